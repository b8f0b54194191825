# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make VMs parents of VMFork on vSphere 6.0 and 6.5, and fork children of them."""

DOCUMENTATION = r"""
module: fork_parent
short_description: Fork running VMs on vSphere 6.0 and 6.5 (VMFork)
version_added: 0.9.0
description:
  - Brings VMs to be parents of VMFork, the instant clone of vSphere 6.0 and 6.5, and makes, changes
    and removes their children, all parents and all children of a task at once. The role
    P(vforge.vsphere.vmfork_fleet#role) makes fleets of them over many hosts.
  - The guest of a quiesced parent is halted in the middle of a command. Each child goes on behind
    it, with the memory and the disks of the parent.
  - A child is recognized as vCenter itself reports it, by the parent's list of children and by the
    fork group. A VM of the same name that is no child of its parent is neither changed nor removed.
  - VMFork was never part of a public SDK, and later releases do not have it. On vCenter 6.7 and
    later use M(vforge.vsphere.instant_clone); this module says so there and changes nothing.
options:
  state:
    description:
      - V(quiesced) enables VMFork and quiesces the guest, through VMware Tools. A parent that is
        quiesced already, with the scripts that are asked for, is not changed. For one that is
        quiesced with other scripts see O(allow_reset).
      - V(enabled) enables VMFork on a VM that runs. A quiesced one runs again only
        by a reset. See O(allow_reset).
      - V(disabled) switches VMFork off. Refused while non-persistent children run, since they live
        on the parent's memory. A quiesced parent stays quiesced, with a warning, unless
        O(allow_reset) is set.
      - Without this option a parent stays as it is, and only its children are worked on.
    type: str
    choices: [enabled, disabled, quiesced]
  persistent:
    description: &persistent
      - Whether a child outlives its parent. A persistent child becomes a linked clone with its
        first start. It is made only while the parent is quiesced, and rests on a snapshot of the
        parent. See O(create_snapshot).
      - A child that is not persistent can be powered on only while its parent is
        quiesced, and is a new fork each time.
      - A child stays of the kind that it was made.
    type: bool
    default: false
  powered_on:
    description: &powered_on
      - Whether children are powered on. vSphere makes them powered off.
      - With V(false) a child that runs is powered off.
    type: bool
    default: true
  folder: &folder
    description:
      - VM folder, as a whole path (V(/DC0/vm/web)) or below the VM
        folder of the datacenter (V(web)).
      - That of the parent by default, and in its datacenter.
    type: str
  resource_pool: &resource_pool
    description:
      - Resource pool for children, by its name, its path in the cluster
        (V(Resources/web)) or its inventory path. A child is on the host of its parent,
        so the pool must belong to the same cluster or host.
      - The parent's pool by default.
    type: str
  datastore: &datastore
    description:
      - Datastore for children. The parent's host must reach it.
      - The parent's datastore by default.
    type: str
  config_params: &config_params
    description:
      - Parameters of children. A guest reads the parameter C(hostname) with
        C(vmware-rpctool "info-get guestinfo.fork.hostname").
      - Values are texts, numbers, or booleans, which become V(TRUE) and V(FALSE).
      - Values are never shown, in no result, no diff and at no verbosity.
    type: json
  create_snapshot:
    description:
      - Whether a parent without a snapshot gets one (C(vforge-fork)) before it has its first
        persistent child. It is made before the guest is quiesced. Without it the task is refused,
        since vSphere makes no persistent child then.
      - The snapshot is not removed by this module.
    type: bool
    default: false
  before_quiesce:
    description:
      - Script for the parent before it is quiesced, such as one that stops what should not be
        forked. POSIX shell on Linux, PowerShell on Windows. Where it ends with another exit code
        than 0 nothing is quiesced, and its output is in the result.
      - Not shown at any verbosity, since a script may hold secrets.
    type: str
  quiesce_command:
    description:
      - The command that quiesces, as a line of the guest's shell. It does not return in the
        parent, and returns 0 in each child.
      - By default C(vmtoolsd --cmd 'vmfork-begin -1 -1').
    type: str
  on_wake:
    description:
      - What each child runs when it goes on, in this order. An item is the text of a script, in the
        language of O(before_quiesce), or the name of a script that comes with the collection,
        V(networkmanager), V(netplan), V(ifcfg) or V(windows). See
        M(vforge.vsphere.instant_clone_parent).
      - These read C(hostname), C(ipv4), C(gateway) and C(dns) of O(config_params). The script
        V(cloud_init) finds nothing to read in a child, as cloud-init looks for its data in other
        keys than those that VMFork sets.
      - Not shown at any verbosity.
    type: list
    elements: str
  wake_output:
    description:
      - Whether a child in which a script of O(on_wake) fails reports the end of its output, at most
        1 KiB. It is kept in the configuration of the child, as C(guestinfo.vforge.wake_log), where
        whoever may read that can read it.
    type: bool
    default: true
  allow_reset:
    description:
      - Whether a quiesced parent may be reset with O(state=enabled) and O(state=disabled), and with
        O(state=quiesced) where it is quiesced with other scripts than those asked for
        (V(parent_out_of_date)). What is in its memory is lost by that. It is never reset while
        non-persistent children run.
    type: bool
    default: false
  wait_for_ip_address:
    description:
      - Whether to wait until the guest of every child that is powered on reports an
        address of its own. Link-local addresses are not used, nor are those of cards
        that still have the parent's MAC.
    type: bool
    default: false
  wait_for_wake:
    description:
      - Whether to wait until every child that is powered on has reported how its scripts of
        O(on_wake) went. One in which a script has failed fails with V(wake_failed), one that did
        not report the end in time with V(wake_timeout).
    type: bool
    default: true
  ip_family:
    description:
      - Which address is waited for.
    type: str
    choices: [any, ipv4, ipv6]
    default: any
  timeout:
    description:
      - Seconds that the task may take, from its beginning. Waiting for VMware
        Tools and addresses is part of it.
    type: int
    default: 900
  parallel:
    description:
      - How many calls are made at the same time, from 1 to 64. Each has a connection of its own.
    type: int
    default: 8
  children:
    description:
      - The children to make, change or remove. What an item leaves out is taken from the options of
        the task. The keys of O(config_params) are joined, and those of an item win. Children that
        are not listed are left alone.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the child.
        type: str
        required: true
      state:
        description:
          - Whether the child is to be there. With V(absent) it is powered off and destroyed. One
            whose disks others use is left.
        type: str
        choices: [present, absent]
        default: present
      parent:
        description:
          - Its parent, one of O(parents), named in any way. Required where there are several.
        type: dict
        suboptions:
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
      persistent:
        description: *persistent
        type: bool
      powered_on:
        description: *powered_on
        type: bool
      folder: *folder
      resource_pool: *resource_pool
      datastore: *datastore
      config_params: *config_params
extends_documentation_fragment:
  - vforge.vsphere.parents
  - vforge.vsphere.guest
  - vforge.vsphere.connection
  - vforge.vsphere.attributes
attributes:
  check_mode:
    support: full
    details:
      - Looks everything up, and logs in to the guests to see whether they take the credentials.
        vCenter has no dry run for forking a child.
  diff_mode:
    support: full
    details:
      - Of O(config_params) only the names of the keys are shown.
  idempotent:
    support: full
  action_group:
    support: full
notes:
  - O(guest_username) and O(guest_password) are needed only where a parent has to be quiesced.
  - Needs the privileges VirtualMachine.Config.ToggleForkParent,
    VirtualMachine.GuestOperations.Execute, VirtualMachine.GuestOperations.Modify and
    VirtualMachine.GuestOperations.Query on the parents; for children
    VirtualMachine.Provisioning.Clone, VirtualMachine.Inventory.CreateFromExisting,
    Datastore.AllocateSpace, Resource.AssignVMToPool and VirtualMachine.Interact.PowerOn; to remove
    them VirtualMachine.Interact.PowerOff and VirtualMachine.Inventory.Delete; for O(allow_reset)
    VirtualMachine.Interact.Reset; for O(create_snapshot) VirtualMachine.State.CreateSnapshot.
  - How vSphere 6.0 and 6.5 answer was learned from what clients have been seen to do, and
    is proved on a simulator alone.
seealso:
  - module: vforge.vsphere.instant_clone
  - module: vforge.vsphere.instant_clone_parent
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Three children that set themselves up, forked from one parent
  vforge.vsphere.fork_parent:
    hostname: vcenter65.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    guest_username: root
    guest_password: "{{ golden_root_password }}"
    parent:
      path: /DC0/vm/golden-parent
    state: quiesced
    on_wake:
      - networkmanager
    children:
      - name: web-1
        config_params: {hostname: web-1}
      - name: web-2
        config_params: {hostname: web-2}
      - name: web-3
        config_params: {hostname: web-3}
    wait_for_ip_address: true

- name: One more child, one less; the parent stays as it is
  vforge.vsphere.fork_parent:
    parent:
      path: /DC0/vm/golden-parent
    children:
      - name: web-4
        config_params: {hostname: web-4}
      - name: web-1
        state: absent

- name: Children of the parents on two hosts, that outlive them
  vforge.vsphere.fork_parent:
    guest_username: root
    guest_password: "{{ golden_root_password }}"
    parents:
      - name: golden-esx1
      - name: golden-esx2
    state: quiesced
    persistent: true
    create_snapshot: true
    children:
      - name: db-1
        parent:
          name: golden-esx1
      - name: db-2
        parent:
          name: golden-esx2

- name: Remove the last children, and let the parent run again as a VM like any other
  vforge.vsphere.fork_parent:
    state: disabled
    parent:
      path: /DC0/vm/golden-parent
    allow_reset: true
    children:
      - {name: web-2, state: absent}
      - {name: web-3, state: absent}
      - {name: web-4, state: absent}
"""

RETURN = r"""
parents:
  description:
    - One entry for each parent, in the order of the options, also when the task fails.
    - Of one of several that cannot be found it has its C(name), C(moid) and C(path), as far as the
      options say them, and its C(error).
  returned: when the parents were found
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
      sample: golden-parent
    moid:
      description: Managed object ID.
      type: str
      sample: vm-42
    path:
      description: Inventory path.
      type: str
    instance_uuid:
      description: Instance UUID.
      type: str
    host:
      description: ESXi host on which it is, and its children with it.
      type: str
    power_state:
      description: Power state. A quiesced parent is powered on.
      type: str
    state:
      description: V(quiesced), V(enabled) or V(disabled).
      type: str
      sample: quiesced
    enabled:
      description: Whether VMFork is enabled.
      type: bool
    quiesced:
      description: Whether its guest is quiesced. It may do so while VMFork is disabled.
      type: bool
    wake_scripts:
      description: >-
        How many scripts children run when they wake. Null where the VM is not quiesced or does not show it, and in check
        mode for one that would be.
      type: int
    fork_group_id:
      description: The group that it and its children are of. Null where VMFork is disabled.
      type: str
    child_type:
      description: V(persistent) or V(nonpersistent) for a VM that is a child itself, else V(none).
      type: str
    parent:
      description: Its own parent as vCenter reports it, where it is a child itself.
      type: dict
    children:
      description:
        - Its children as vCenter lists them, with C(name), C(moid), C(path), C(host),
          C(power_state) and C(child_type).
      type: list
      elements: dict
    actions:
      description:
        - What was done, or in check mode would be, of V(enabled), V(snapshot_created),
          V(quiesced), V(disabled) and V(reset).
        - After a failure also V(scripts_left) where scripts are still in a guest that was not
          quiesced, and V(started) where vCenter still worked on a step when the task ended.
      type: list
      elements: str
    changed:
      description: Whether this VM was changed.
      type: bool
    seconds:
      description: Seconds until its last change.
      type: float
    warnings:
      description: What should be known of this VM.
      type: list
      elements: str
    error:
      description: For a parent that failed its C(error_code) and C(msg). Where a script failed,
        C(exit_code) and C(output) too.
      type: dict
children:
  description: One entry for each child asked for, in the same order, also when the task fails.
  returned: as RV(parents)
  type: list
  elements: dict
  contains:
    name:
      description: Name of the child.
      type: str
      sample: web-1
    action:
      description: One of V(created), V(updated), V(unchanged), V(removed), V(absent) and V(failed).
      type: str
      sample: created
    actions:
      description:
        - The steps that were done, in their order, or in check mode would be. An empty list
          where there was nothing to do.
        - Some of V(created), V(updated), V(powered_on), V(powered_off) and V(removed).
        - After a failure also V(powered_off) of a removal that did not come to its end, and
          V(started) where vCenter still worked on a step when the task ended.
      type: list
      elements: str
      sample: [created, powered_on]
    changed:
      description: Whether this child was changed. One that failed may have been made.
      type: bool
    seconds:
      description: Seconds that vCenter worked on its tasks, by vCenter's clock.
      type: float
    calls:
      description: SOAP calls that were made for this child alone; what all share is in RV(calls).
      type: int
    moid:
      description: Managed object ID.
      type: str
    parent:
      description: Name of its parent.
      type: str
    persistent:
      description: Whether it outlives its parent.
      type: bool
    child_type:
      description: V(nonpersistent); V(persistent) until its first start, and then V(none).
      type: str
    fork_group_id:
      description: The group that its parent had when it was made.
      type: str
    instance_uuid:
      description: Instance UUID.
      type: str
    path:
      description: Inventory path.
      type: str
    folder:
      description: Inventory path of the folder.
      type: str
    host:
      description: ESXi host on which it is.
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
    ip:
      description: First address of the family asked for that others can
        reach, as the guest reports it.
      type: str
    ip_addresses:
      description: All such addresses. One that another VM of the task reports as well is left out.
      type: list
      elements: str
    refused:
      description: What the child reports of itself and was not taken for true,
        with C(error_code) and C(msg).
      type: list
      elements: dict
    wake:
      description: >-
        How the scripts of O(on_wake) went, V(ok), V(failed) or V(running). It is V(unknown) where that is no longer known, and
        null where there are none.
      returned: with O(wait_for_wake)
      type: str
    config_params:
      description: Names of the parameters. Values are never returned.
      type: list
      elements: str
    differences:
      description: In what an existing child is not as asked, with C(what), C(actual),
        C(wanted), C(can_change) and C(why_not).
      type: list
      elements: dict
    error:
      description: For a child that failed its C(error_code) and C(msg).
      type: dict
failures:
  description: The parents and children that failed, in short, with C(name), C(error_code)
    and C(msg). Parents come first.
  returned: as RV(parents)
  type: list
  elements: dict
refusals:
  description:
    - What children report of themselves and was not taken for true, in short, with
      C(name), C(error_code) and C(msg).
    - Such a child does not fail. A warning says so.
  returned: as RV(parents)
  type: list
  elements: dict
counts:
  description: How many children there are of each action.
  returned: as RV(parents)
  type: dict
  sample: {"created": 3}
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
    - A stable code for what went wrong, such as V(not_found), V(invalid_option),
      V(partial_failure), or V(not_supported) on a release without VMFork. In RV(parents[].error) it
      is V(guest_wrong_credentials), V(quiesce_failed) or V(quiesce_timeout), for example.
    - Where the task has only one parent or child, it is that one's own.
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._fork.model import ForkOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._fork.task import run as run_fork


def _of_one_child():
    return {
        "folder": {"type": "str"},
        "resource_pool": {"type": "str"},
        "datastore": {"type": "str"},
        "config_params": {"type": "json", "no_log": True},
    }


def argument_spec():
    """The options of the module."""
    child = {
        **_of_one_child(),
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "parent": _argspec.vm(),
        "persistent": {"type": "bool"},
        "powered_on": {"type": "bool"},
    }
    return {
        **_argspec.connection(),
        **_argspec.guest(),
        **_argspec.parents(),
        **_of_one_child(),
        "state": {"type": "str", "choices": ["enabled", "disabled", "quiesced"]},
        "children": {"type": "list", "elements": "dict", "options": child},
        "persistent": {"type": "bool", "default": False},
        "powered_on": {"type": "bool", "default": True},
        "create_snapshot": {"type": "bool", "default": False},
        "before_quiesce": {"type": "str", "no_log": True},
        "quiesce_command": {"type": "str"},
        "on_wake": {"type": "list", "elements": "str", "no_log": True},
        "wake_output": {"type": "bool", "default": True},
        "allow_reset": {"type": "bool", "default": False},
        "wait_for_ip_address": {"type": "bool", "default": False},
        "wait_for_wake": {"type": "bool", "default": True},
        "ip_family": {"type": "str", "choices": ["any", "ipv4", "ipv6"], "default": "any"},
        **_argspec.timeout(900),
        **_argspec.parallel(),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(
        _argspec.connection_rules(),
        _argspec.guest_rules(),
        _argspec.one_of("parent", "parents"),
    )


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), ForkOptions.from_params)
    run(
        module,
        ForkOptions.from_params,
        lambda session, options: run_fork(session, options, check=module.check_mode),
    )


if __name__ == "__main__":
    main()
