# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give VMs their identity through cloud-init's VMware data source."""

DOCUMENTATION = r"""
module: cloud_init_guestinfo
short_description: Give VMs their identity through cloud-init's VMware data source
version_added: 0.9.0
description:
  - Delivers metadata, user data and vendor data for cloud-init to one VM or to many,
    checked before anything is sent.
  - Compares what is there as cloud-init reads it, whatever its encoding, and also knows again what
    cloud-init has overwritten since. So a second run changes nothing.
  - Powers the VMs on, or reboots them, where that is asked for, and waits until their guests report
    that cloud-init has read its data, has set up the network, or has finished.
options:
  state:
    description:
      - V(present) delivers.
      - V(absent) takes the keys away.
      - V(redacted) overwrites them as cloud-init does, so that a secret
        which has done its work is gone.
    type: str
    choices: [present, absent, redacted]
    default: present
  vm:
    description:
      - The VM, named in exactly one way. Either this or O(vms) is required.
      - A text is its name, or its path where it begins with a slash.
    type: dict
    suboptions: &vm
      name:
        description:
          - Name of the VM. When several VMs have it, this one fails and lists their paths.
        type: str
      path:
        description:
          - Inventory path of the VM, such as V(/DC0/vm/web/web-1), or its path below
            the VM folder of O(datacenter).
          - A slash within a name is written V(%2f).
        type: str
      uuid:
        description:
          - BIOS UUID of the VM, or its instance UUID with C(use_instance_uuid=true).
        type: str
      use_instance_uuid:
        description:
          - Whether C(uuid) is the instance UUID, which vCenter keeps
            unique, rather than the BIOS UUID.
        type: bool
        default: false
      moid:
        description:
          - Managed object ID of the VM, such as V(vm-42).
        type: str
      folder:
        description:
          - Inventory path of the folder that holds the VM named by C(name).
        type: str
  datacenter:
    description:
      - Name or path of the datacenter to look in. Without it the whole inventory is searched.
    type: str
  metadata: &metadata
    description:
      - What the VM is to be, as a mapping, or as a text of YAML or JSON that is delivered as it is.
        Without it the metadata that are there stay.
      - C(instance_id) tells cloud-init whether it has set this instance up already. V(auto), which
        is the default, derives it from the instance UUID of the VM and from user data, vendor data
        and network, so that cloud-init sets the VM up again when one of these changes, and a clone
        when it is made. A new instance gets new SSH host keys.
      - V(auto:web-1) derives it from this name in place of the instance UUID,
        which must then be no other VM's.
      - C(local_hostname) and C(hostname) are its names.
      - C(network) is a mapping of version 2 (netplan's) or 1, or a text of one, which
        C(network.encoding) may say to be encoded already. It is checked, and what guests without
        netplan drop of it is warned of. Write the default route as a route to V(0.0.0.0/0), which
        each release of cloud-init knows.
      - Without netplan cloud-init takes the name of a device in C(network) for that of the
        interface. So call it as the interface (V(ens192)), or give it C(match) with a
        C(macaddress), and C(set-name). A mapping may have the label of one of the VM's cards there,
        such as V(Network adapter 1); its MAC address is delivered. Where the server labels cards in
        another language, that is the first of them. A MAC address may be written in any form, and
        is delivered in the one that cloud-init compares.
      - C(wait_on_network) has C(ipv4) and C(ipv6). cloud-init then waits for
        such an address, without a limit.
      - C(redact) is a list of what cloud-init overwrites once it has read it, usually
        V(userdata) and V(vendordata).
      - Other keys are delivered as they are; cloud-init offers them to templates.
      - Treated as a secret, not shown at any verbosity.
    type: raw
  userdata: &userdata
    description:
      - What cloud-init is to do. A mapping is cloud-config. A list is of parts, each a text, a
        mapping of cloud-config, or a mapping with C(content) and, if need be, C(type), C(filename)
        and C(merge). A text begins with a header of cloud-init, such as V(#cloud-config) or
        V(#!/bin/sh).
      - On Windows cloudbase-init reads it. A script for that begins with V(#ps1), V(#ps1_sysnative),
        V(#ps1_x86), V(rem cmd), V(<script>) or V(<powershell>); a warning says that cloud-init
        passes over it.
      - Treated as a secret, not shown at any verbosity.
    type: raw
  vendordata: &vendordata
    description:
      - What the provider of the VM wants done, in the forms of O(userdata).
        Users of the VM can switch it off.
    type: raw
  vms:
    description:
      - The VMs, when there is more than one, in one session with one lookup and one wait.
      - Data in an item come before those of the task. Metadata that are
        mappings are merged, key by key.
    type: list
    elements: dict
    suboptions:
      <<: *vm
      metadata: *metadata
      userdata: *userdata
      vendordata: *vendordata
  transport:
    description:
      - V(guestinfo) writes into the extra configuration of the VM, where
        cloud-init looks at each boot.
      - V(customization) hands metadata and user data to vSphere (C(CustomizeVM_Task) with
        C(CustomizationCloudinitPrep)), which gives them to the guest at its next start. The VM must
        be powered off, VMware Tools must be in it, and each may have 512 KiB. It needs vCenter
        7.0.3. What was delivered so cannot be read back; a fingerprint shows whether it changed.
    type: str
    choices: [guestinfo, customization]
    default: guestinfo
  encoding:
    description:
      - How values are written. V(auto) takes V(base64), and V(gzip+base64) for
        what would have more than 64 KiB.
      - Values that are there already in another encoding are not written again.
    type: str
    choices: [auto, base64, gzip+base64, plain]
    default: auto
  keys:
    description:
      - What O(state=absent) and O(state=redacted) are for. By default all three, or V(userdata) and
        V(vendordata); metadata that are redacted make the VM a new instance at its next boot.
    type: list
    elements: str
    choices: [metadata, userdata, vendordata]
  mend_header:
    description:
      - Whether user data whose header is not in the very first line, since V(---) or the like
        stands before it, lose what stands before. cloud-init ignores such data, silently; without
        this option the task fails. Blank lines before V(#cloud-config) are harmless, and stay.
    type: bool
    default: false
  validate:
    description:
      - V(syntax) checks that cloud-config is YAML and a mapping, and that a template is one.
      - V(schema) checks it against the JSON schema that cloud-init publishes, too. This needs the
        Python library jsonschema, and the schema; see O(schema_path).
      - V(none) checks only headers, sizes and the network.
    type: str
    choices: [none, syntax, schema]
    default: syntax
  schema_path:
    description:
      - The schema file of cloud-init (C(schema-cloud-config-v1.json)), its folder, or the
        folder into which the package cloud-init of a distribution was unpacked. By default it
        is looked for where packages put it.
    type: path
  power_on:
    description:
      - Whether VMs that are off are powered on after the delivery.
    type: bool
    default: false
  allow_reboot:
    description:
      - Whether the guest of a running VM may be rebooted, through VMware Tools, when its data
        have changed. Without it the data wait for the next boot, and the result says so; a
        later task that may reboot does it then.
    type: bool
    default: false
  wait:
    description:
      - What to wait for, by what the guests report. A VM that is off, or whose data wait
        for a boot, is not waited for.
      - V(read) waits until cloud-init has overwritten the keys in C(redact), which
        it does when it has read them.
      - V(network) waits until cloud-init reports an address
        (C(guestinfo.local-ipv4) or C(guestinfo.local-ipv6)).
      - V(finished) waits until cloud-init has done all, and fails where cloud-init failed. A script
        that reports it is added to the vendor data; it is not compared. See O(finished_key).
    type: str
    choices: [none, read, network, finished]
    default: none
  finished_key:
    description:
      - A key of guestinfo that your own user data write when all is done, such as
        V(guestinfo.ready), instead of the script.
    type: str
  timeout:
    description:
      - Seconds that the task may take, from its beginning. Waiting for guests is part of it.
    type: int
    default: 300
  parallel:
    description:
      - How many calls are made at the same time, from 1 to 64. Each has a connection of its own.
    type: int
    default: 8
extends_documentation_fragment:
  - vforge.vsphere.connection
  - vforge.vsphere.attributes
attributes:
  check_mode:
    support: full
    details:
      - Looks everything up and checks all data.
  diff_mode:
    support: full
    details:
      - Names keys, sizes, encodings and digests, never what is delivered. A
        digest is good for one result alone.
  idempotent:
    support: full
  action_group:
    support: full
notes:
  - Needs the privilege VirtualMachine.Config.AdvancedConfig; for O(power_on)
    VirtualMachine.Interact.PowerOn; for O(allow_reboot) VirtualMachine.Interact.Reset; for
    O(transport=customization) VirtualMachine.Provisioning.Customize.
  - Whoever may read the configuration of the VM in vCenter may read what was delivered until it is
    redacted. Give no passwords, but their hashes, and redact.
  - The guest needs cloud-init 21.3 or later.
seealso:
  - module: vforge.vsphere.cloud_init_guestinfo_info
  - plugin: vforge.vsphere.to_guestinfo
    plugin_type: filter
  - plugin: vforge.vsphere.cloud_init_multipart
    plugin_type: filter
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Name, address and a user for a VM, which is then started
  vforge.vsphere.cloud_init_guestinfo:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    vm:
      path: /DC0/vm/web/web-1
    metadata:
      local_hostname: web-1
      redact: [userdata]
      network:
        ethernets:
          eth0:
            match: {macaddress: Network adapter 1}
            set-name: eth0
            addresses: [10.0.0.11/24]
            routes:
              - {to: 0.0.0.0/0, via: 10.0.0.1}
            nameservers:
              addresses: [10.0.0.2]
    userdata:
      users:
        - name: admin
          sudo: ALL=(ALL) NOPASSWD:ALL
          ssh_authorized_keys: "{{ admin_keys }}"
      packages: [nginx]
    power_on: true
    wait: finished

- name: The same user data for many VMs, each with its own name
  vforge.vsphere.cloud_init_guestinfo:
    vms:
      - name: web-1
        metadata: {local_hostname: web-1}
      - name: web-2
        metadata: {local_hostname: web-2}
    userdata: "{{ lookup('ansible.builtin.template', 'userdata.j2') }}"

- name: Cloud-config and a script together, checked against cloud-init's own schema
  vforge.vsphere.cloud_init_guestinfo:
    vm:
      name: web-1
    userdata:
      - packages: [nginx]
      - |
        #!/bin/sh
        touch /etc/ready
    validate: schema
    schema_path: /opt/cloud-init-package

- name: Overwrite what was delivered
  vforge.vsphere.cloud_init_guestinfo:
    state: redacted
    vm:
      name: web-1
"""

RETURN = r"""
vms:
  description:
    - One entry for each VM, in the order of the options, also when the task fails.
    - Of one of several that cannot be found it has its C(name), C(moid) and C(path), as far as the
      options say them, and its C(error).
  returned: when the VMs were found
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
      sample: web-1
    moid:
      description: Managed object ID.
      type: str
      sample: vm-42
    path:
      description: Inventory path.
      type: str
      sample: /DC0/vm/web/web-1
    instance_uuid:
      description: Instance UUID.
      type: str
    power_state:
      description: Power state.
      type: str
      sample: poweredOn
    instance_id:
      description: The instance-id that it has, where metadata were given.
      type: str
    actions:
      description:
        - What was done, or in check mode would be, of V(delivered), V(customized), V(removed),
          V(redacted), V(powered_on), V(rebooted).
        - After a failure also V(started) where vCenter still worked on a step when the task ended.
      type: list
      elements: str
    changed:
      description: Whether this VM was changed.
      type: bool
    changed_keys:
      description: What changed, with the C(key), and C(size), C(encoding) and
        C(digest) C(before) and C(after).
      type: list
      elements: dict
    takes_effect:
      description: When cloud-init reads what changed, or what was left for the next boot,
        V(at_power_on) or V(at_next_boot); null where it has all.
      type: str
      sample: at_power_on
    reached:
      description: Whether what was waited for came; null where nothing was waited for.
      type: bool
    local_ipv4:
      description:
        - The IPv4 address that cloud-init has reported, where it is known
          to be the VM's own; else null.
        - That is, where the network in the metadata gives it, or VMware Tools
          report it for a card of the VM as well. With O(wait=network) and
          O(wait=finished) these have up to a minute for it.
        - An address that another VM of the task says is its own is neither's.
      type: str
    local_ipv6:
      description: The same of IPv6.
      type: str
    refused:
      description:
        - What the guest reports and is not taken for true, with C(error_code),
          V(reported_address_refused) or V(host_key_refused), and C(msg). Whoever has root in a
          guest decides what it reports.
      type: list
      elements: dict
    finished:
      description: With O(wait=finished), how cloud-init ended, V(done), V(degraded) or
        V(error), or the value of O(finished_key).
      type: str
    ssh_host_keys:
      description:
        - Public SSH host keys, each with its type, which the script that reports the end
          reports, too. They are taken apart and put together again; where one is not of the
          form of its type, none is returned.
      type: list
      elements: str
    seconds:
      description: Seconds that vCenter spent on it; null where nothing was done.
      type: float
    calls:
      description: SOAP calls for this VM alone.
      type: int
    warnings:
      description: What should be known of this VM.
      type: list
      elements: str
    error:
      description: For a VM that failed its C(error_code) and C(msg).
      type: dict
failures:
  description: The VMs that failed, in short, with C(name), C(error_code) and C(msg).
  returned: as RV(vms)
  type: list
  elements: dict
refusals:
  description:
    - What guests report and is not taken for true, in short, with
      C(name), C(error_code) and C(msg).
    - Such a VM does not fail. A warning says so.
  returned: as RV(vms)
  type: list
  elements: dict
timing:
  description: Seconds by phase.
  returned: always
  type: dict
calls:
  description: SOAP calls of the task, with C(total), C(update_rounds) (waiting, not in the total),
    C(by_method), C(bytes_received) and, of these, C(bytes_by_phase).
  returned: when a connection was tried
  type: dict
error_code:
  description:
    - A stable code for what went wrong, such as V(invalid_option), V(not_found) or
      V(partial_failure). In RV(vms[].error) it is V(cloud_init_timeout) or
      V(cloud_init_failed), for example.
    - Where the task has only one VM, it is that VM's own.
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit.model import CloudOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit.task import run as run_delivery


def argument_spec():
    """The options of the module."""
    data = {name: {"type": "raw", "no_log": True} for name in ("metadata", "userdata", "vendordata")}
    return {
        **_argspec.connection(),
        "state": {"type": "str", "choices": ["present", "absent", "redacted"], "default": "present"},
        "vm": _argspec.vm(),
        "vms": _argspec.vms(data),
        "datacenter": {"type": "str"},
        **data,
        "transport": {"type": "str", "choices": ["guestinfo", "customization"], "default": "guestinfo"},
        "encoding": {"type": "str", "choices": ["auto", "base64", "gzip+base64", "plain"], "default": "auto"},
        "keys": {
            "type": "list",
            "elements": "str",
            "choices": ["metadata", "userdata", "vendordata"],
            "no_log": False,
        },
        "mend_header": {"type": "bool", "default": False},
        "validate": {"type": "str", "choices": ["none", "syntax", "schema"], "default": "syntax"},
        "schema_path": {"type": "path"},
        "power_on": {"type": "bool", "default": False},
        "allow_reboot": {"type": "bool", "default": False},
        "wait": {"type": "str", "choices": ["none", "read", "network", "finished"], "default": "none"},
        "finished_key": {"type": "str", "no_log": False},
        **_argspec.timeout(),
        **_argspec.parallel(),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(_argspec.connection_rules(), _argspec.one_of("vm", "vms"))


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), CloudOptions.from_params)
    run(
        module,
        CloudOptions.from_params,
        lambda session, options: run_delivery(session, options, check=module.check_mode),
    )


if __name__ == "__main__":
    main()
