# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make, change and remove linked and full clones of a VM, a snapshot or a template."""

DOCUMENTATION = r"""
module: linked_clone
short_description: Make linked or full clones of a template, a VM or a
  snapshot, one or thousands in one task
version_added: 0.9.0
description:
  - Makes clones whose disks begin as empty delta disks on the disks of a template or of a snapshot,
    so that a clone takes seconds and next to no space. With O(disk_mode=full) the disks are copied.
  - All clones of a task share one session, one lookup, and one wait. The number of calls to the
    vCenter is the number of clones and a few more, whatever the size of the inventory.
  - A clone is recognized by a mark in its configuration (C(vforge.clone)) that
    holds the instance UUID of its source and the name of the clone. A VM without
    this mark is neither changed nor removed.
options:
  state:
    description:
      - V(present) makes the clones that are missing, and brings existing ones to
        what is asked as far as vSphere allows it in their power state. What would
        take a restart is reported and left.
      - V(published) makes templates of clones that were made with O(as_template). Their
        guests are shut down, an empty delta disk is put on each disk, and as the last
        thing they are marked as templates.
      - V(absent) powers off and destroys the clones, and templates that were clones. One
        whose disks others use is left.
    type: str
    choices: [present, published, absent]
    default: present
  source:
    description:
      - The template or VM to clone, named in exactly one way.
      - A text is its name, or its path where it begins with a slash.
      - Required, but with O(state=absent) it may be left out where O(folder) is a whole path.
        Clones of any source are then removed.
    type: dict
    suboptions: &vm
      name:
        description:
          - Name of the VM. When several VMs have it, the task fails and lists their paths.
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
  snapshot:
    description:
      - The snapshot of the source to clone, named in exactly one way. Its disks are
        then what linked clones share.
      - A text is its name, or its path where it begins with a slash.
      - Without it linked clones share all of the source's disk chains but the topmost disk, of
        which each clone has a copy. A base disk alone has nothing to share; then the task fails and
        says what to do. Templates that are made for linked clones have an empty delta disk on top.
    type: dict
    suboptions:
      name:
        description:
          - Name of the snapshot. When several have it, the task fails
            and lists their paths and moids.
        type: str
      path:
        description:
          - Names from the root of the snapshot tree down to it, joined by
            slashes, such as V(base/patched).
          - A slash within a name is written V(%2f).
        type: str
      moid:
        description:
          - Managed object ID of the snapshot, such as V(snapshot-42).
        type: str
      current:
        description:
          - Whether the current snapshot is meant.
        type: bool
        default: false
  disk_mode:
    description:
      - V(linked) shares what disks the source has, V(full) copies them.
    type: str
    choices: [linked, full]
    default: linked
  powered_on:
    description: &powered_on
      - Whether the clones are to run. Existing clones that are off are powered on.
      - With V(false) new clones are left off, and existing ones as they are.
    type: bool
    default: true
  add_delta_disks:
    description:
      - Whether a VM that has nothing to share gets an empty delta disk on every disk before it is
        cloned. It must be off and without snapshots. A template is never changed so.
    type: bool
    default: false
  as_template:
    description:
      - Whether the clone is to become a template for further clones. It is made once, whoever asks
        and however many ask at the same time. The run that makes it (RV(clones[].ready) is false)
        fills it and then publishes it by O(state=published). All other runs wait in this task until
        that is done.
      - What holds the name is not changed by this, be it published or not.
    type: bool
    default: false
  owner:
    description:
      - What this run calls itself when it makes a template with O(as_template), such as the
        number of a pipeline. A later run of the same name goes on with a template that was not
        published, where another one waits.
    type: str
  other_versions:
    description:
      - Instance UUIDs of other versions of the source, such as older templates of the same name.
        Their clones count as clones of the source. They are brought to what is asked and removed
        like these, and RV(clones[].differences) has an entry C(source) for each that is of another
        version. Its disks stay those of that version.
    type: list
    elements: str
    default: []
  datacenter:
    description:
      - Name or path of the datacenter to look in. Without it the whole inventory is searched.
    type: str
  folder: &folder
    description:
      - VM folder, as a whole path (V(/DC0/vm/web)) or below the VM
        folder of the datacenter (V(web)).
      - That of the source by default, and in its datacenter.
    type: str
  resource_pool: &resource_pool
    description:
      - Resource pool for the clones, by its name, its path in the cluster (V(Resources/web)), with
        the cluster before it (V(cluster/Resources/web)), or its inventory path. The name of a
        cluster alone is its root pool.
      - The source's pool by default, or where a template has none, or
        O(host) is elsewhere, the root pool.
    type: str
  host: &host
    description:
      - ESXi host for the clones, by its name or moid.
      - By default the cluster chooses where DRS is fully automated. Elsewhere it is the source's
        host, or one that sees the source's datastore.
    type: str
  datastore: &datastore
    description:
      - Datastore for the clones. The host must see it, and the source's datastore too.
      - The source's datastore by default.
    type: str
  cpu: &cpu
    description:
      - CPUs of the clones. What is left out is as in the source.
    type: dict
    suboptions:
      cores:
        description:
          - Number of CPU cores. A running clone can get more where hot-add is switched on in it.
        type: int
      cores_per_socket:
        description:
          - Number of cores in each socket.
        type: int
  memory: &memory
    description:
      - Memory of the clones. As in the source by default.
    type: dict
    suboptions:
      size_mb:
        description:
          - Size in MiB, a multiple of 4. A running clone can get more
            where hot-add is switched on in it.
        type: int
  annotation: &annotation
    description:
      - Notes of the clones. The source's by default.
    type: str
  force:
    description:
      - With O(state=absent), removes a VM of this name even where it is no marked clone of the
        source. Never the source itself.
    type: bool
    default: false
  networks: &networks
    description:
      - NICs that are to be different in the clones. Those that are not listed keep
        their network and get a new MAC.
    type: list
    elements: dict
    suboptions:
      label:
        description:
          - Label of the NIC, such as V(Network adapter 1). Either this or
            O(networks[].index) is required.
        type: str
      index:
        description:
          - Position of the NIC, from 0.
        type: int
      network:
        description:
          - Port group or network, by its name, its inventory path (or the last parts of it) or
            its moid. The host of the clone must see it. A name that several networks have is
            refused, and the choices are listed.
        type: str
      mac:
        description:
          - MAC address, or V(automatic) for one that vCenter chooses.
        type: str
      connected:
        description:
          - Whether the NIC is connected.
        type: bool
  guestinfo: &guestinfo
    description:
      - Pairs that the guest can read with C(vmware-rpctool "info-get guestinfo.KEY"). The prefix
        C(guestinfo.) is added where it is missing.
      - Values are texts, numbers, or booleans, which become V(TRUE) and V(FALSE). Other data is
        passed as text, by the filter P(ansible.builtin.to_json#filter) for instance.
      - Values are never shown, in no result, no diff and at no verbosity.
    type: json
  extra_config: &extra_config
    description:
      - Further pairs for the C(extraConfig) of the clones. Values are never shown either.
    type: json
  bios_uuid: &bios_uuid
    description:
      - BIOS UUID of the clone. vCenter chooses one by default.
      - It belongs to one clone. With O(clones) it is set in their items.
    type: str
  customize: &customize
    description:
      - How the guests of the clones are customized. V({}) sets the host name alone. Without this
        option no guest is customized.
      - A clone whose guest was customized is marked by C(vforge.customized) in its configuration.
        It is not customized again, and its settings are not compared.
      - The notes of the module say how guests are customized, and what that needs.
    type: dict
    suboptions:
      hostname:
        description:
          - Host name, without the domain. The name of the clone by default.
        type: str
      nics:
        description:
          - Settings of the network cards, in their order. Cards that are not listed use DHCP.
        type: list
        elements: dict
        suboptions:
          ip:
            description:
              - IPv4 address with its prefix, such as V(10.0.0.5/24), or
                V(dhcp), which is the default.
            type: str
          gateway:
            description:
              - Address of the default router.
            type: str
          dns_servers:
            description:
              - Name servers of this card. Only Windows knows such.
            type: list
            elements: str
          dns_domain:
            description:
              - DNS suffix of this card. Only Windows knows such.
            type: str
      dns_servers:
        description:
          - Addresses of the name servers.
        type: list
        elements: str
      dns_suffixes:
        description:
          - Domains in which names without one are looked up.
        type: list
        elements: str
      linux:
        description:
          - Settings for Linux guests.
        type: dict
        suboptions:
          domain:
            description:
              - Domain of the host. The first of the DNS suffixes by
                default, or else V(localdomain).
            type: str
          timezone:
            description:
              - Time zone, such as V(Europe/Berlin).
            type: str
          hw_clock_utc:
            description:
              - Whether the hardware clock runs in UTC.
            type: bool
          script:
            description:
              - Script that is run before and after the customization, with C(precustomization) or
                C(postcustomization) as its argument. VMware Tools run it only where
                C(enable-custom-scripts) is switched on in the guest.
              - Needs vCenter 7.0 or later.
            type: str
      windows:
        description:
          - Settings for Windows guests (Sysprep). Setting it says that the guest runs Windows.
        type: dict
        suboptions:
          full_name:
            description:
              - Name of the owner. Required for Windows.
            type: str
          organization:
            description:
              - Name of the organization. Required for Windows.
            type: str
          product_id:
            description:
              - Product key. Not needed with volume licenses.
            type: str
          timezone:
            description:
              - Index of the time zone, of Microsoft's list. V(85), which is GMT, by default.
            type: int
          admin_password:
            description:
              - New password of the administrator.
            type: str
          auto_logon_count:
            description:
              - How often the administrator is logged on without being asked. V(0) by default. More
                needs the password of the administrator.
            type: int
          workgroup:
            description:
              - Workgroup to join. V(WORKGROUP) by default.
            type: str
          domain:
            description:
              - Domain to join, instead of a workgroup.
            type: str
          domain_ou:
            description:
              - Organizational unit for the computer account, such as V(OU=web,DC=example,DC=com).
                Needs vCenter 8.0.2 or later.
            type: str
          domain_admin:
            description:
              - User who may join computers to the domain.
            type: str
          domain_admin_password:
            description:
              - Password of this user.
            type: str
          run_once:
            description:
              - Commands for the first logon. They may hold secrets, so they are not shown.
            type: list
            elements: str
          change_sid:
            description:
              - Whether the machine gets a new security identifier. Yes by default; Windows Vista and
                later always do, and no is an error there.
            type: bool
  clones:
    description:
      - The clones, when there is more than one. What an item leaves out is taken from the options
        of the task. The keys of O(guestinfo) and O(extra_config) are joined, and those of an item
        win. With an empty list nothing is done.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the clone.
        type: str
        required: true
      powered_on:
        description: *powered_on
        type: bool
      folder: *folder
      resource_pool: *resource_pool
      host: *host
      datastore: *datastore
      cpu: *cpu
      memory: *memory
      annotation: *annotation
      networks: *networks
      guestinfo: *guestinfo
      extra_config: *extra_config
      bios_uuid: *bios_uuid
      customize: *customize
extends_documentation_fragment:
  - vforge.vsphere.clone_task
  - vforge.vsphere.connection
  - vforge.vsphere.attributes
attributes:
  check_mode:
    support: full
    details:
      - Looks everything up and asks vCenter to check each missing clone (C(CheckClone_Task)).
  diff_mode:
    support: full
    details:
      - Of O(guestinfo) and O(extra_config) only the names of the keys are shown.
  idempotent:
    support: full
  action_group:
    support: full
notes:
  - With O(customize) vCenter customizes the guest of a new clone when it boots for the first time.
    The module does not wait for the end of that. An existing clone is not customized.
  - A NIC whose MAC address was set by hand in the source gets a new one in a clone.
  - The user needs the privileges VirtualMachine.Provisioning.Clone (of a template
    VirtualMachine.Provisioning.DeployTemplate), VirtualMachine.Inventory.CreateFromExisting,
    VirtualMachine.Interact.PowerOn, VirtualMachine.Config.AdvancedConfig, Datastore.AllocateSpace
    and Resource.AssignVMToPool; for O(networks) Network.Assign on the network; for O(state=absent)
    and O(on_error=rollback) VirtualMachine.Interact.PowerOff and VirtualMachine.Inventory.Delete;
    for O(customize) VirtualMachine.Provisioning.Customize; for O(add_delta_disks) and
    O(state=published) VirtualMachine.Config.AddNewDisk and VirtualMachine.Config.RemoveDisk; for
    O(state=published) VirtualMachine.Interact.PowerOff and
    VirtualMachine.Provisioning.MarkAsTemplate as well.
  - For the hardware of clones the user needs VirtualMachine.Config.CPUCount and
    VirtualMachine.Config.Settings (O(cpu)), VirtualMachine.Config.Memory (O(memory)) and
    VirtualMachine.Config.Annotation (O(annotation)), and to change O(networks) of existing clones
    VirtualMachine.Config.EditDevice and VirtualMachine.Interact.DeviceConnection.
seealso:
  - module: vforge.vsphere.instant_clone
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: One linked clone of a template, beside it
  vforge.vsphere.linked_clone:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    source:
      path: /DC0/vm/templates/rocky
    name: web-1

- name: Twelve clones of a snapshot over two hosts, with what cloud-init reads
  vforge.vsphere.linked_clone:
    source:
      name: golden
    snapshot:
      name: patched
    folder: web
    cpu:
      cores: 2
    memory:
      size_mb: 4096
    clones: "{{ wanted | from_yaml }}"
    wait_for_ip_address: true
    ip_family: ipv4
  vars:
    wanted: |
      {% for number in range(1, 13) %}
      - name: web-{{ '%02d' % number }}
        host: esx{{ number % 2 + 1 }}.example.com
        guestinfo:
          hostname: web-{{ '%02d' % number }}
      {% endfor %}
  register: fleet

- name: A full clone of a running VM, left off
  vforge.vsphere.linked_clone:
    source:
      moid: vm-42
    disk_mode: full
    name: golden-copy
    resource_pool: cluster-2/Resources
    datastore: ssd-2
    powered_on: false

- name: What would be made, asked of vCenter itself
  vforge.vsphere.linked_clone:
    source:
      name: rocky
    name: web-13
  check_mode: true
  diff: true

- name: A second level, or the wait for the run that makes it
  vforge.vsphere.linked_clone:
    source:
      name: rocky
    name: rocky-app-1.4
    as_template: true
  register: level

- name: Fill it, if it is ours to fill
  ansible.builtin.include_tasks: install_app.yml
  when: not level.clones[0].ready

- name: Publish it
  vforge.vsphere.linked_clone:
    state: published
    source:
      name: rocky
    name: rocky-app-1.4
  # In check mode it has not been made.
  when: not (level.clones[0].ready or ansible_check_mode)

- name: Remove them again; a VM of the same name that is no clone of this source stays
  vforge.vsphere.linked_clone:
    state: absent
    source:
      name: rocky
    clones:
      - name: web-1
      - name: web-13
"""

RETURN = r"""
clones:
  description: One entry for each clone asked for, in the same order, also when the task fails.
  returned: when the source and the folders were found
  type: list
  elements: dict
  contains:
    name:
      description: Name of the clone.
      type: str
      sample: web-1
    action:
      description:
        - What was done, or in check mode would be done. Check mode returns all
          keys; what vCenter chooses is null.
        - One of V(created), V(updated), V(unchanged), V(removed),
          V(absent), V(rolled_back) and V(failed).
      type: str
      sample: created
    actions:
      description:
        - The steps that were done, in their order, or in check mode would be. An empty list
          where there was nothing to do.
        - Some of V(created), V(updated), V(customized), V(powered_on), V(published) and V(removed).
        - After a failure also what was done of a step that did not come to its end. V(powered_off)
          of a removal, V(shut_down) (its guest was asked to) and V(delta_disks_added) of what was
          to be published, V(started) where vCenter still worked on a step when the task ended.
      type: list
      elements: str
      sample: [created]
    changed:
      description: Whether this clone was changed.
      type: bool
    seconds:
      description: Seconds between the beginning and the end of the
        vCenter task, by vCenter's clock.
      type: float
      sample: 0.412
    calls:
      description: SOAP calls that were made for this clone alone; what
        all clones share is in RV(calls).
      type: int
      sample: 1
    moid:
      description: Managed object ID.
      type: str
      sample: vm-1042
    instance_uuid:
      description: Instance UUID.
      type: str
    bios_uuid:
      description: BIOS UUID.
      type: str
    source:
      description: Inventory path of the source.
      type: str
      sample: /DC0/vm/templates/rocky
    path:
      description: Inventory path.
      type: str
      sample: /DC0/vm/web/web-1
    folder:
      description: Inventory path of the folder.
      type: str
    host:
      description: ESXi host on which the clone runs.
      type: str
    resource_pool:
      description: Resource pool.
      type: str
    datastore:
      description: Datastores, joined by commas.
      type: str
    power_state:
      description: Power state.
      type: str
      sample: poweredOn
    nics:
      description: NICs with C(label), C(mac), C(network), C(connected) and C(ip_addresses).
      type: list
      elements: dict
    ip:
      description: First address of the family and the NIC asked for that others can
        reach, as the guest reports it.
      type: str
      sample: 10.20.0.17
    ip_addresses:
      description: All such addresses. One that another VM of the task reports as well is left out.
      type: list
      elements: str
    refused:
      description: What the clone reports of itself and was not taken for true,
        with C(error_code) and C(msg).
      type: list
      elements: dict
    customized:
      description: Whether the guest was customized. It is left out where that
        was not to be done, or not begun.
      type: bool
    ready:
      description: With O(as_template), whether it is a template that can be cloned. If not, this
        run is to fill and publish it.
      type: bool
    guestinfo:
      description: Names of the guestinfo keys. Values are never returned.
      type: list
      elements: str
      sample: [guestinfo.hostname]
    differences:
      description: In what an existing clone is not as asked, with C(what), C(actual),
        C(wanted), C(can_change) and C(why_not).
      type: list
      elements: dict
    warnings:
      description: What vCenter or the task warns of.
      type: list
      elements: str
    error:
      description: For a failed clone its C(error_code) and C(msg), and
        more where the fault reports more.
      type: dict
failures:
  description: The clones that failed, in short, with C(name), C(error_code) and C(msg). One that
    stays since VMs use its disks has their MOIDs as C(user_moids).
  returned: as RV(clones)
  type: list
  elements: dict
refusals:
  description:
    - What clones report of themselves and was not taken for true, in short, with
      C(name), C(error_code) and C(msg).
    - Such a clone does not fail. A warning says so.
  returned: as RV(clones)
  type: list
  elements: dict
counts:
  description: How many clones there are of each action.
  returned: as RV(clones)
  type: dict
  sample: {"created": 99, "unchanged": 1}
source:
  description:
    - What was cloned, with C(name), C(moid), C(path), C(instance_uuid), C(host), C(template),
      C(snapshot) (a moid, or null) and C(disk_mode).
    - C(changed) says whether it was changed itself, and C(actions) what was done,
      V(delta_disks_added) where O(add_delta_disks) asks for it.
  returned: as RV(clones), where a source was named
  type: dict
timing:
  description: Seconds by phase, such as C(connect), C(lookup), C(clone),
    C(power_on), C(wait_for_ip) and C(total).
  returned: always
  type: dict
calls:
  description: SOAP calls of the task, with C(total), C(update_rounds) (waiting, not in the total),
    C(by_method), C(bytes_received) and, of these, C(bytes_by_phase).
  returned: when a connection was tried
  type: dict
error_code:
  description:
    - A stable code for what went wrong, such as V(not_found),
      V(wrong_credentials) or V(partial_failure).
    - Where the task has only one clone, it is that clone's own, and else V(partial_failure).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._clone.linked import run as run_clones
from ansible_collections.vforge.vsphere.plugins.module_utils._clone.model import LinkedOptions


def _of_one_clone():
    cpu = {"cores": {"type": "int"}, "cores_per_socket": {"type": "int"}}
    return {
        "folder": {"type": "str"},
        "resource_pool": {"type": "str"},
        "host": {"type": "str"},
        "datastore": {"type": "str"},
        "cpu": {"type": "dict", "options": cpu},
        "memory": {"type": "dict", "options": {"size_mb": {"type": "int"}}},
        "annotation": {"type": "str"},
    }


def argument_spec():
    """The options of the module."""
    item = {**_of_one_clone(), "powered_on": {"type": "bool"}, **_argspec.clone_item(), **_argspec.customize()}
    snapshot = {
        "name": {"type": "str"},
        "path": {"type": "str"},
        "moid": {"type": "str"},
        "current": {"type": "bool", "default": False},
    }
    return {
        **_argspec.connection(),
        **_argspec.clone_task(),
        **_argspec.clone_item(),
        **_argspec.customize(),
        **_of_one_clone(),
        "state": {"type": "str", "choices": ["present", "published", "absent"], "default": "present"},
        "source": _argspec.vm(),
        # Not current, which has a default: Ansible counts that as set.
        "snapshot": {"type": "dict", "options": snapshot, "mutually_exclusive": [["name", "path", "moid"]]},
        "disk_mode": {"type": "str", "choices": ["linked", "full"], "default": "linked"},
        "powered_on": {"type": "bool", "default": True},
        "add_delta_disks": {"type": "bool", "default": False},
        "as_template": {"type": "bool", "default": False},
        "owner": {"type": "str"},
        "other_versions": {"type": "list", "elements": "str", "default": []},
        "datacenter": {"type": "str"},
        "clones": {"type": "list", "elements": "dict", "options": {**item, "name": {"type": "str", "required": True}}},
        "force": {"type": "bool", "default": False},
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(
        _argspec.connection_rules(),
        _argspec.one_of("name", "clones"),
        {
            "mutually_exclusive": [["bios_uuid", "clones"]],
            "required_if": [["state", state, ["source"]] for state in ("present", "published")],
        },
    )


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), LinkedOptions.from_params)
    run(
        module,
        LinkedOptions.from_params,
        lambda session, options: run_clones(session, options, check=module.check_mode),
    )


if __name__ == "__main__":
    main()
