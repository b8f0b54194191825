# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work out what a fleet of clones over many hosts needs."""

DOCUMENTATION = r"""
module: fleet_plan
short_description: Work out what a fleet of clones over many hosts needs
version_added: 0.9.0
description:
  - Compares a fleet of N clones, named by a pattern and spread over hosts, with what there is, and
    says what is to be done. Which hosts get a parent, which clones are made of it, which ones go,
    which are replaced because the golden VM has changed, and which hosts are left out and why.
  - Changes nothing. The lists that it returns are what M(vforge.vsphere.instant_clone) and the
    other modules take; the role P(vforge.vsphere.instant_clone_fleet#role) carries them out, and
    P(vforge.vsphere.vmfork_fleet#role) with O(kind=vmfork).
  - A clone stays where it is. Only what is missing is placed, always on the host that has
    the fewest clones of the fleet.
  - The number of calls depends neither on the size of the fleet nor on that of the inventory.
options:
  kind:
    description:
      - How the clones are made. V(vmfork) is for vSphere 6.0 and 6.5.
    type: str
    choices: [instant_clone, vmfork]
    default: instant_clone
  state:
    description:
      - V(absent) plans to remove all clones of the fleet, and its parents.
    type: str
    choices: [present, absent]
    default: present
  name:
    description:
      - Pattern of the names. One run of C(#) stands for a number, from 1 on, of at least as many
        digits. V(web-###) means V(web-001), V(web-002) and so on.
      - The pattern without the number is what the fleet is called; its
        parents carry it in their names.
    type: str
    required: true
  count:
    description:
      - How many clones the fleet has. Clones with higher numbers, which are the newest, go.
    type: int
    default: 1
  golden:
    description:
      - The VM or template that parents are clones of. With O(state=absent) it may be left out,
        where O(folder) is a whole path.
    type: dict
    suboptions:
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
      - The fleet is in the datacenter of the golden VM.
    type: str
  golden_version:
    description:
      - What this state of the golden VM is called, such as a build number. Parents carry it, and so
        do their clones. Where it is another than theirs they are replaced.
      - Without it, the name and time of O(golden_snapshot) are taken, or else
        C(config.changeVersion) of the golden VM. This changes with every change of the VM's
        configuration, even of its notes, and with each snapshot, as of a backup. It does not change
        with what is on its disks. So set it wherever the golden VM is more than a template that is
        built again each time.
    type: str
  golden_snapshot:
    description:
      - Name of the snapshot of the golden VM that parents are made from.
    type: str
  disk_mode:
    description:
      - Whether parents have disks of their own, or share those of the golden VM. V(linked) where
        there is O(golden_snapshot), by default, and else V(full).
      - V(linked) without a snapshot is for templates that are made for linked clones, with an empty
        delta disk on top, such as those of M(vforge.vsphere.cached_ovf_template).
    type: str
    choices: [full, linked]
  clusters:
    description:
      - Names or inventory paths of the clusters on whose hosts the fleet may be.
        Either this or O(hosts) is required.
    type: list
    elements: str
  hosts:
    description:
      - Names of the hosts on which it may be. All of O(clusters) by default.
    type: list
    elements: str
  folder:
    description:
      - VM folder, as a whole path (V(/DC0/vm/web)) or below the VM
        folder of the datacenter (V(web)).
      - It is for the clones. That of the golden VM by default.
    type: str
  parents_folder:
    description:
      - The same for the parents. O(folder) by default.
    type: str
  datastore:
    description:
      - Name of the datastore of the parents, and so of their clones. By default that of the
        golden VM, or where a host does not see it the one with the most free space. A host
        that does not see it is left out.
    type: str
  addresses:
    description:
      - Fixed addresses with their prefixes, such as V(10.0.0.11/24). The n-th belongs to the clone
        with number n, which gets it as C(guestinfo.ipv4). Without them clones use DHCP.
      - A clone keeps the address that it was made with. Where the list has another one for it,
        there is a warning, and where the list gives its address to another clone, the task fails.
    type: list
    elements: str
  clone_memory_mb:
    description:
      - MiB of a host's memory to count for a clone. It shares its parent's memory until it writes,
        so what this is depends on what the clones do. A parent always counts with its whole memory.
    type: int
    default: 0
  clone_disk_mb:
    description:
      - MiB of a datastore to count for a clone. As much as it has
        memory by default, for its swap file.
    type: int
  batch_size:
    description:
      - How many clones are replaced at a time when the golden VM has changed.
    type: int
    default: 10
  before_freeze:
    description:
      - The script that runs in parents before they are frozen, as in
        M(vforge.vsphere.instant_clone_parent).
      - Where any of O(before_freeze), O(freeze_command) and O(on_wake) is given, they are part of
        the version of the golden VM. So a fleet whose scripts have changed gets new parents, and
        its clones are replaced as for a new version. The first digits of a digest of the scripts
        are in the mark of each parent.
      - With O(kind=vmfork) it is C(before_quiesce) of M(vforge.vsphere.fork_parent).
    type: str
  freeze_command:
    description:
      - The command that freezes them, as in
        M(vforge.vsphere.instant_clone_parent). See O(before_freeze).
    type: str
  on_wake:
    description:
      - What each clone runs when it wakes, as in
        M(vforge.vsphere.instant_clone_parent). See O(before_freeze).
    type: list
    elements: str
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
notes:
  - A parent belongs to the fleet by the mark C(vforge.fleet) in its configuration, which holds the
    fleet, the version of the golden VM and the name of the parent. Its clones inherit the mark.
  - Where a VM has a name of the fleet and no such mark, the task fails.
seealso:
  - module: vforge.vsphere.linked_clone
  - module: vforge.vsphere.instant_clone
  - module: vforge.vsphere.instant_clone_parent
  - module: vforge.vsphere.fork_parent
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: What would a fleet of 300 over two clusters need?
  vforge.vsphere.fleet_plan:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    name: web-###
    count: 300
    golden:
      name: golden-web
    golden_version: "2026-11"
    clusters: [Berlin-1, Berlin-2]
    folder: web
  register: plan

- name: Hosts that are left out
  ansible.builtin.debug:
    msg: "{{ plan.skipped_hosts }}"
"""

RETURN = r"""
pending:
  description: Whether anything is to be done.
  returned: success
  type: bool
summary:
  description: The plan for people, a line for the fleet and one for each host.
  returned: success
  type: list
  elements: str
  sample: ["web: 3 parents to make, 300 clones to make", "esx1: 100 clones, a new parent"]
fleet:
  description: What the fleet is called.
  returned: success
  type: str
  sample: web
folder:
  description: Inventory path of the folder of the clones.
  returned: success
  type: str
parents_folder:
  description: Inventory path of the folder of the parents.
  returned: success
  type: str
golden:
  description: The golden VM with C(name), C(moid), C(path),
    C(instance_uuid), C(template) and C(version).
  returned: success
  type: dict
disk_mode:
  description: How parents get their disks.
  returned: success
  type: str
hosts:
  description: >-
    The hosts on which the fleet may be, with C(name), C(cluster), C(parent), the number of C(clones) that they are to have,
    whether they are C(skipped) and the C(reason), and C(free_memory_mb).
  returned: success
  type: list
  elements: dict
skipped_hosts:
  description: The hosts that take no new clone, with C(name) and C(reason).
  returned: success
  type: list
  elements: dict
  sample: [{"name": "esx3.example.com", "reason": "it is in maintenance mode"}]
seeds:
  description: >-
    Parents to make, or to make ready where an ended run has left them, with C(name), C(host) (its moid), C(datastore) and
    C(extra_config), for M(vforge.vsphere.linked_clone).
  returned: success
  type: list
  elements: dict
parents:
  description: What names these parents, for M(vforge.vsphere.instant_clone_parent).
  returned: success
  type: list
  elements: dict
clones:
  description: >-
    All clones of the fleet with C(name), C(parent) and C(guestinfo), for M(vforge.vsphere.instant_clone). With O(kind=vmfork)
    they have C(config_params) instead, for the O(vforge.vsphere.fork_parent#module:children) of M(vforge.vsphere.fork_parent).
  returned: success
  type: list
  elements: dict
rolls:
  description: Batches of clones to replace. Each has C(remove) and C(make), lists for
    M(vforge.vsphere.instant_clone).
  returned: success
  type: list
  elements: dict
removals:
  description: Clones to remove, the newest first, with C(name), C(folder) and C(parent).
  returned: success
  type: list
  elements: dict
leaving:
  description: The MOIDs of the clones that are replaced or removed. In check mode they are there, and are known by this.
  returned: success
  type: list
  elements: str
obsolete_parents:
  description: Parents to remove when all this is done, with C(name) and C(folder).
  returned: success
  type: list
  elements: dict
orphans:
  description: Clones whose parent is gone, with C(name), C(moid) and C(ip). They are left alone.
  returned: success
  type: list
  elements: dict
counts:
  description: >-
    How many C(seeds) and C(obsolete_parents), and how many clones that are C(created), C(unchanged), C(rolled) and C(removed).
  returned: success
  type: dict
check_mode:
  description: Whether the task ran in check mode, so that those that carry the plan out know it.
  returned: success
  type: bool
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
  description: A stable code for what went wrong, such as V(not_found),
    V(invalid_option) or V(no_room).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._fleet import task
from ansible_collections.vforge.vsphere.plugins.module_utils._fleet.model import FleetOptions


def argument_spec():
    """The options of the module."""
    return {
        **_argspec.connection(),
        "kind": {"type": "str", "choices": ["instant_clone", "vmfork"], "default": "instant_clone"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "name": {"type": "str", "required": True},
        "count": {"type": "int", "default": 1},
        "golden": _argspec.vm(),
        "datacenter": {"type": "str"},
        "golden_version": {"type": "str"},
        "golden_snapshot": {"type": "str"},
        "disk_mode": {"type": "str", "choices": ["full", "linked"]},
        "clusters": {"type": "list", "elements": "str"},
        "hosts": {"type": "list", "elements": "str"},
        "folder": {"type": "str"},
        "parents_folder": {"type": "str"},
        "datastore": {"type": "str"},
        "addresses": {"type": "list", "elements": "str"},
        "clone_memory_mb": {"type": "int", "default": 0},
        "clone_disk_mb": {"type": "int"},
        "batch_size": {"type": "int", "default": 10},
        "before_freeze": {"type": "str", "no_log": True},
        "freeze_command": {"type": "str"},
        "on_wake": {"type": "list", "elements": "str", "no_log": True},
        **_argspec.timeout(),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(
        _argspec.connection_rules(),
        {
            "required_if": [
                ["state", "present", ["golden"]],
                ["state", "present", ["clusters", "hosts"], True],
                ["state", "absent", ["golden", "folder"], True],
            ],
        },
    )


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), FleetOptions.from_params)
    run(
        module,
        FleetOptions.from_params,
        # Tasks that follow ask it here: the variable ansible_check_mode knows nothing
        # of a check_mode of their role.
        lambda session, options: {**task.run(session, options), "check_mode": module.check_mode},
    )


if __name__ == "__main__":
    main()
