# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read back what VMs hold for cloud-init."""

DOCUMENTATION = r"""
module: cloud_init_guestinfo_info
short_description: Read back what VMs hold for cloud-init
version_added: 0.9.0
description:
  - Tells what metadata, user data and vendor data VMs hold in guestinfo, decoded as cloud-init
    decodes them, and what their guests have reported of cloud-init.
  - The data themselves are shown only on request, since they often hold secrets.
options:
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
  vms:
    description:
      - The VMs, when there is more than one.
    type: list
    elements: dict
    suboptions: *vm
  datacenter:
    description:
      - Name or path of the datacenter to look in. Without it the whole inventory is searched.
    type: str
  show_content:
    description:
      - Whether the data are in the result. Set C(no_log) for the task,
        unless there are no secrets in them.
    type: bool
    default: false
  timeout:
    description:
      - Seconds that the task may take, from its beginning.
    type: int
    default: 300
extends_documentation_fragment:
  - vforge.vsphere.connection
  - vforge.vsphere.attributes
attributes:
  check_mode:
    support: full
    details:
      - Never changes anything.
  diff_mode:
    support: none
  idempotent:
    support: full
  action_group:
    support: full
seealso:
  - module: vforge.vsphere.cloud_init_guestinfo
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: What has this VM been given?
  vforge.vsphere.cloud_init_guestinfo_info:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    vm:
      name: web-1
  register: given

- name: Has cloud-init taken its secrets away?
  ansible.builtin.assert:
    that: given.vms[0].userdata.state in ['redacted', 'absent']
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
    error:
      description: Of a VM that cannot be found its C(error_code) and C(msg).
      type: dict
    instance_uuid:
      description: Instance UUID.
      type: str
    power_state:
      description: Power state.
      type: str
      sample: poweredOn
    metadata:
      description:
        - C(state) is V(present), V(absent), V(redacted) or V(broken); then there are C(reason),
          C(size) of the value, its C(encoding), C(length) of what is in it, its C(instance_id), and
          with O(show_content) the C(content).
      type: dict
    userdata:
      description: The same, with the C(type) of the content in place of the instance-id.
      type: dict
    vendordata:
      description: The same as C(userdata).
      type: dict
    local_ipv4:
      description:
        - The IPv4 address that cloud-init has reported, where it is known
          to be the VM's own; else null.
        - That is, where VMware Tools report it for a card of the VM as well.
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
      description: How cloud-init ended, where it was delivered with
        O(vforge.vsphere.cloud_init_guestinfo#module:wait=finished).
      type: str
    ssh_host_keys:
      description:
        - Public SSH host keys, each with its type, which the script that reports the end
          reports, too. They are taken apart and put together again; where one is not of the
          form of its type, none is returned.
      type: list
      elements: str
failures:
  description: Those of several that could not be found, in short, with
    C(name), C(error_code) and C(msg).
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
  description: A stable code for what went wrong, such as V(not_found) or V(wrong_credentials).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit.info import InfoOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit.info import run as run_info


def argument_spec():
    """The options of the module."""
    return {
        **_argspec.connection(),
        "vm": _argspec.vm(),
        "vms": _argspec.vms(),
        "datacenter": {"type": "str"},
        "show_content": {"type": "bool", "default": False},
        **_argspec.timeout(),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(_argspec.connection_rules(), _argspec.one_of("vm", "vms"))


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), InfoOptions.from_params)
    run(module, InfoOptions.from_params, run_info)


if __name__ == "__main__":
    main()
