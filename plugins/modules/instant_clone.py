# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make, change and remove instant clones of a running VM."""

DOCUMENTATION = r"""
module: instant_clone
short_description: Make instant clones of a running VM, one or thousands in one task
version_added: 0.9.0
description:
  - Makes instant clones. A clone goes on from the memory and the disks of its running parent, so it
    is there in about a second and needs no boot.
  - All clones of a task share one session, one lookup, and one wait. The number of calls to the
    vCenter is the number of clones and a few more, whatever the size of the inventory.
  - A clone is recognized by a mark in its configuration (C(vforge.clone)) that
    holds the instance UUID of its parent and the name of the clone. A VM without
    this mark is neither changed nor removed.
options:
  state:
    description:
      - V(present) makes the clones that are missing, and brings existing ones to what is asked as
        far as vSphere allows it on a running VM.
      - V(absent) powers off and destroys the clones. One whose disks others use is left.
    type: str
    choices: [present, absent]
    default: present
  parent:
    description:
      - The running VM to clone, named in exactly one way.
      - A text is its name, or its path where it begins with a slash.
      - Required for O(state=present), unless every item of O(clones) names its own.
        With O(state=absent) it may be left out, where O(folder) is a whole path. Clones
        of any parent are then removed.
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
  datacenter:
    description:
      - Name or path of the datacenter to look in. Without it the whole inventory is searched.
    type: str
  folder: &folder
    description:
      - VM folder, as a whole path (V(/DC0/vm/web)) or below the VM
        folder of the datacenter (V(web)).
      - That of the parent by default, and in its datacenter.
    type: str
  resource_pool: &resource_pool
    description:
      - Resource pool for the clones, by its name, its path in the cluster (V(Resources/web)) or
        its inventory path. An instant clone stays on the host of its parent, so the pool must
        belong to the same cluster or host.
      - The parent's pool by default.
    type: str
  datastore: &datastore
    description:
      - Datastore for the deltas of the clones. The parent's host must see it.
      - The parent's datastore by default. VMware's documentation contradicts itself on whether it
        may be another one.
    type: str
  force:
    description:
      - With O(state=absent), removes a VM of this name even where it is no marked clone of the
        parent. Never the parent itself.
    type: bool
    default: false
  wait_for_wake:
    description:
      - Whether to wait until each clone has reported how the scripts went that it runs when it
        wakes, where its parent was frozen with some by M(vforge.vsphere.instant_clone_parent). The
        wait is the same as that for addresses.
      - A clone in which a script has failed fails with V(wake_failed), with the end of the script's
        output, and does so with each run until it is removed. One that did not report the end in
        time fails with V(wake_timeout).
      - A clone that has the SSH host keys of its parent when its scripts have ended is warned of.
    type: bool
    default: true
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
      parent:
        description:
          - The parent of this clone, where it is another than O(parent). The clones of all parents
            are made at the same time, and parents are looked up together.
        type: dict
        suboptions: *vm
      folder: *folder
      resource_pool: *resource_pool
      datastore: *datastore
      networks: *networks
      guestinfo: *guestinfo
      extra_config: *extra_config
      bios_uuid: *bios_uuid
      customize: *customize
extends_documentation_fragment:
  - vforge.vsphere.clone_task
  - vforge.vsphere.guest
  - vforge.vsphere.connection
  - vforge.vsphere.attributes
attributes:
  check_mode:
    support: full
    details:
      - Looks everything up and asks vCenter to check each missing
        clone (C(CheckInstantClone_Task)).
  diff_mode:
    support: full
    details:
      - Of O(guestinfo) and O(extra_config) only the names of the keys are shown.
  idempotent:
    support: full
  action_group:
    support: full
notes:
  - Needs a vCenter of version 6.7 or later; an ESXi host by itself cannot make instant clones.
  - With O(customize) guests are customized through VMware Tools (C(CustomizeGuest_Task)), all at
    once, after they were made. Their networks are started then. Where it fails in a guest it is
    aborted there, and reported for this clone; the next run customizes a clone that is not marked
    yet. It needs vCenter 7.0, O(guest_username) and O(guest_password), and VMware Tools that run in
    the clones.
  - The user needs the privileges VirtualMachine.Provisioning.Clone,
    VirtualMachine.Interact.PowerOn, VirtualMachine.Inventory.CreateFromExisting,
    Datastore.AllocateSpace and Resource.AssignVMToPool; for a change of O(networks) Network.Assign
    on the network; for O(state=absent) and O(on_error=rollback) VirtualMachine.Interact.PowerOff
    and VirtualMachine.Inventory.Delete; for O(customize) VirtualMachine.Provisioning.Customize and
    VirtualMachine.Config.AdvancedConfig. To change existing clones it needs
    VirtualMachine.Config.AdvancedConfig for O(guestinfo) and O(extra_config), and
    VirtualMachine.Config.EditDevice and VirtualMachine.Interact.DeviceConnection for O(networks).
  - A running parent that is not frozen gets one more delta disk with each clone. vSphere refuses
    clones at 255 of them. Clones that would not all fit are refused before any is made, in check
    mode too. From 200 on there is a warning.
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: One instant clone beside its parent
  vforge.vsphere.instant_clone:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    parent:
      name: golden-parent
    name: web-1

- name: Twelve clones with an identity of their own, in one task
  vforge.vsphere.instant_clone:
    parent:
      path: /DC0/vm/golden-parent
    folder: web
    resource_pool: web
    networks:
      - label: Network adapter 1
        network: DC0_DVPG0
    clones: "{{ fleet_list | from_yaml }}"
    wait_for_ip_address: true
    ip_family: ipv4
  vars:
    fleet_list: |
      {% for number in range(1, 13) %}
      - name: web-{{ '%02d' % number }}
        guestinfo:
          hostname: web-{{ '%02d' % number }}
      {% endfor %}
  register: fleet

- name: Clones on two hosts in one task, each beside the parent that it names
  vforge.vsphere.instant_clone:
    clones:
      - name: web-1
        parent:
          name: golden-esx1
      - name: web-2
        parent:
          name: golden-esx2

- name: What would be made, asked of vCenter itself
  vforge.vsphere.instant_clone:
    parent:
      moid: vm-42
    name: web-13
  check_mode: true
  diff: true

- name: All or nothing
  vforge.vsphere.instant_clone:
    parent:
      name: golden-parent
    clones:
      - name: db-1
        bios_uuid: 4220d3a4-1f5e-0b3c-9a63-25cf6a1b9a01
        networks:
          - index: 0
            mac: 00:50:56:20:00:01
      - name: db-2
    on_error: rollback

- name: Clones with fixed addresses, set by guest customization
  vforge.vsphere.instant_clone:
    parent:
      name: golden-parent
    guest_username: root
    guest_password: "{{ golden_root_password }}"
    customize:
      dns_servers: [10.0.0.2, 10.0.0.3]
      dns_suffixes: [example.com]
      linux:
        timezone: Europe/Berlin
    clones:
      - name: app-1
        customize:
          nics:
            - ip: 10.0.0.11/24
              gateway: 10.0.0.1
      - name: app-2
        customize:
          nics:
            - ip: 10.0.0.12/24
              gateway: 10.0.0.1

- name: Remove them again; a VM of the same name that is no clone of this parent stays
  vforge.vsphere.instant_clone:
    state: absent
    parent:
      name: golden-parent
    clones:
      - name: db-1
      - name: db-2
"""

RETURN = r"""
clones:
  description: One entry for each clone asked for, in the same order, also when the task fails.
  returned: when the parent and the folders were found
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
        - After a failure also what was done of a step that did not come to its end.
          V(powered_off) of a removal, V(customization_started), V(started) where vCenter still
          worked on a step when the task ended.
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
    parent:
      description: Inventory path of the parent.
      type: str
      sample: /DC0/vm/golden-parent
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
    wake:
      description: >-
        How the scripts went that it runs when it wakes, V(ok), V(failed) or V(running). It is V(unknown) where that is no
        longer known, and null where there are none.
      returned: with O(wait_for_wake)
      type: str
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
  sample: {"created": 11, "unchanged": 1}
parent:
  description: The parent, with C(name), C(moid), C(path), C(instance_uuid), C(host),
    C(frozen) and C(delta_levels).
  returned: as RV(clones), where exactly one parent was named
  type: dict
parents:
  description: All parents of the task, each as in RV(parent).
  returned: as RV(clones)
  type: list
  elements: dict
timing:
  description: Seconds by phase, such as C(connect), C(lookup),
    C(clone), C(wait_for_ip) and C(total).
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
from ansible_collections.vforge.vsphere.plugins.module_utils._clone.instant import run as run_clones
from ansible_collections.vforge.vsphere.plugins.module_utils._clone.model import InstantOptions


def _of_one_clone():
    return {
        "folder": {"type": "str"},
        "resource_pool": {"type": "str"},
        "datastore": {"type": "str"},
    }


def argument_spec():
    """The options of the module."""
    parent = {"parent": _argspec.vm()}
    item = {**parent, **_of_one_clone(), **_argspec.clone_item(), **_argspec.customize()}
    return {
        **_argspec.connection(),
        **_argspec.guest(),
        **_argspec.clone_task(),
        **_argspec.clone_item(),
        **_argspec.customize(),
        **_of_one_clone(),
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        **parent,
        "datacenter": {"type": "str"},
        "clones": {"type": "list", "elements": "dict", "options": {**item, "name": {"type": "str", "required": True}}},
        "force": {"type": "bool", "default": False},
        "wait_for_wake": {"type": "bool", "default": True},
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(
        _argspec.connection_rules(),
        _argspec.guest_rules(),
        _argspec.one_of("name", "clones"),
        {"mutually_exclusive": [["bios_uuid", "clones"]], "required_if": [["state", "present", ["parent", "clones"], True]]},
    )


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), InstantOptions.from_params)
    run(
        module,
        InstantOptions.from_params,
        lambda session, options: run_clones(session, options, check=module.check_mode),
    )


if __name__ == "__main__":
    main()
