# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Freeze the parents of instant clones, and let them run again."""

DOCUMENTATION = r"""
module: instant_clone_parent
short_description: Freeze the parents of instant clones, and let them run again
version_added: 0.9.0
description:
  - Brings VMs to the state in which instant clones are made of them. The guest of a frozen parent
    is halted in the middle of a command; each clone goes on behind it. It is cloned as often as one
    likes, and its disks do not grow by it.
  - Freezing writes a script into the guest and runs it, through VMware Tools. What the script does
    after the freeze, each clone does when it wakes. That is where a clone gets its own name,
    addresses, machine ID and host keys.
  - Counts the delta levels of the disks, warns near the limit of 255,
    and collapses them on request.
options:
  state:
    description:
      - V(frozen) freezes the VM. One that is frozen with these scripts already is not changed. One
        that is frozen with others is out of date, and so is one that does not show its scripts
        where some are asked for. The task then fails with V(parent_out_of_date), or with
        O(allow_reset) resets the VM and freezes it again.
      - V(running) lets a frozen VM run again, which only a reset does. See O(allow_reset).
    type: str
    choices: [frozen, running]
    default: frozen
  before_freeze:
    description:
      - Script for the parent before it freezes, such as one that stops what should not be cloned.
        POSIX shell on Linux, PowerShell on Windows. Where it ends with another exit code than 0,
        nothing is frozen, and the end of its output is in the result.
      - A text that looks like the path of a file is refused. The text of a file comes by
        P(ansible.builtin.file#lookup).
      - Not shown at any verbosity, since a script may hold secrets.
    type: str
  freeze_command:
    description:
      - The command that freezes, as a line of the guest's shell.
      - By default C(vmware-rpctool "instantclone.freeze"), which comes with VMware
        Tools; on Windows C(rpctool.exe).
    type: str
  on_wake:
    description:
      - What each clone runs when it wakes, in this order. An item is the text of a script, in the
        language of O(before_freeze), or the name of a script that comes with the collection.
      - V(networkmanager), V(netplan) and V(ifcfg) are for Linux guests whose network is set by
        these. They unbind and bind the network cards, so that the clone's own MACs show, and give
        it a machine ID and SSH host keys. They set host name and address as C(guestinfo.hostname),
        C(guestinfo.ipv4), C(guestinfo.gateway) and C(guestinfo.dns) say.
      - V(cloud_init) does the first of this and leaves the rest to cloud-init, which
        reads C(guestinfo.metadata) and C(guestinfo.userdata). Its metadata need an
        C(instance-id) of each clone's own.
      - V(windows) does the same as V(networkmanager) for Windows guests.
      - >-
        A mistake in the syntax of a script is found before anything is frozen, and so is what a script needs and the guest has
        not. A script says what it needs in lines such as C(# vforge: needs nmcli), as the ready-made ones do.
      - A text that looks like the path of a file, or is nearly the name of a
        ready-made script, is refused.
      - Each clone reports to vCenter how its scripts went, and
        M(vforge.vsphere.instant_clone) waits for that.
      - Not shown at any verbosity.
    type: list
    elements: str
  wake_output:
    description:
      - Whether a clone in which a script of O(on_wake) fails reports the end of its output, at most
        1 KiB. It is kept in the configuration of the clone, as C(guestinfo.vforge.wake_log), where
        whoever may read that can read it. So switch this off where scripts print secrets.
    type: bool
    default: true
  allow_reset:
    description:
      - Whether a frozen VM may be reset, for O(state=running) or because it is frozen with other
        scripts. What is in its memory is lost by that.
    type: bool
    default: false
  collapse_deltas:
    description:
      - Whether the delta disks that clones have left on a running parent are collapsed into their
        base, by a snapshot that is thrown away. It is done while the VM runs, so before it is
        frozen, or after it was reset.
      - Refused where the VM has snapshots of its own, since all snapshots are removed by it.
    type: bool
    default: false
  timeout:
    description:
      - Seconds that the task may take, from its beginning. Waiting for VMware Tools is part of it.
    type: int
    default: 300
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
  diff_mode:
    support: full
  idempotent:
    support: full
  action_group:
    support: full
notes:
  - O(guest_username) and O(guest_password) are required with O(state=frozen).
  - Needs the privileges VirtualMachine.GuestOperations.Execute,
    VirtualMachine.GuestOperations.Modify, VirtualMachine.GuestOperations.Query and, to pin the
    connections to the hosts, System.Read on them; for O(state=running)
    VirtualMachine.Interact.Reset; for O(collapse_deltas) VirtualMachine.State.CreateSnapshot and
    VirtualMachine.State.RemoveSnapshot.
  - Scripts go straight to the ESXi host of the VM, over a connection that accepts nothing
    but the certificate that vCenter knows of this host. The machine that runs the module
    must reach port 443 of the host.
seealso:
  - module: vforge.vsphere.instant_clone_parent_info
  - module: vforge.vsphere.instant_clone
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Freeze a parent whose clones set themselves up by cloud-init
  vforge.vsphere.instant_clone_parent:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    guest_username: root
    guest_password: "{{ golden_root_password }}"
    parent:
      path: /DC0/vm/golden-parent
    on_wake:
      - cloud_init

- name: Freeze the parents of three hosts at once, with a script of one's own
  vforge.vsphere.instant_clone_parent:
    guest_username: root
    guest_password: "{{ golden_root_password }}"
    parents:
      - name: golden-esx1
      - name: golden-esx2
      - name: golden-esx3
    before_freeze: |
      systemctl stop myservice
    on_wake:
      - networkmanager
      - |
        systemctl start myservice

- name: Collapse the deltas of a parent that was never frozen
  vforge.vsphere.instant_clone_parent:
    state: running
    parent:
      name: old-parent
    collapse_deltas: true

- name: Let a frozen parent run again, to update its guest
  vforge.vsphere.instant_clone_parent:
    state: running
    parent:
      name: golden-parent
    allow_reset: true
"""

RETURN = r"""
parents:
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
      sample: golden-parent
    moid:
      description: Managed object ID.
      type: str
      sample: vm-42
    path:
      description: Inventory path.
      type: str
      sample: /DC0/vm/golden-parent
    instance_uuid:
      description: Instance UUID.
      type: str
    host:
      description: ESXi host on which it runs, and its clones with it.
      type: str
    power_state:
      description: Power state.
      type: str
      sample: poweredOn
    state:
      description: V(frozen), V(running), or the power state of a VM that is not powered on.
      type: str
      sample: frozen
    frozen:
      description: Whether it is frozen.
      type: bool
    wake_scripts:
      description: >-
        How many scripts clones run when they wake. Null where the VM is not frozen or does not show it, and in check mode for
        one that would be frozen.
      type: int
    delta_levels:
      description: Levels of delta disks above the base, of the disk that has most.
      type: int
      sample: 12
    collapsible_levels:
      description: How many of them a collapse takes away; the rest belongs to the VM that
        this one is a linked clone of.
      type: int
      sample: 12
    clones_left:
      description: How many clones a running parent can still have. A
        frozen one does not use them up.
      type: int
      sample: 243
    actions:
      description:
        - What was done, or in check mode would be done, of V(reset), V(collapsed) and V(frozen).
        - After a failure also what was done of a step that did not come to its end.
          V(snapshot_created) of collapsing, V(scripts_left) where scripts are still in a guest that
          was not frozen, V(started) where vCenter still worked on a step when the task ended.
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
      description: For a VM that failed its C(error_code) and C(msg). Where a script failed,
        C(exit_code) and C(output) too.
      type: dict
failures:
  description: The VMs that failed, in short, with C(name), C(error_code) and C(msg).
  returned: as RV(parents)
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
    - A stable code for what went wrong, such as V(not_found), V(invalid_option) or
      V(partial_failure). In RV(parents[].error) it is V(guest_wrong_credentials),
      V(guest_tools_not_running), V(wake_script_needs), V(parent_out_of_date), V(freeze_failed) or
      V(freeze_timeout), for example.
    - Where the task has only one parent, it is that parent's own.
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._parent.model import ParentOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._parent.task import run as run_parents


def argument_spec():
    """The options of the module."""
    return {
        **_argspec.connection(),
        **_argspec.guest(),
        **_argspec.parents(),
        "state": {"type": "str", "choices": ["frozen", "running"], "default": "frozen"},
        "before_freeze": {"type": "str", "no_log": True},
        "freeze_command": {"type": "str"},
        "on_wake": {"type": "list", "elements": "str", "no_log": True},
        "wake_output": {"type": "bool", "default": True},
        "allow_reset": {"type": "bool", "default": False},
        "collapse_deltas": {"type": "bool", "default": False},
        **_argspec.timeout(),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(
        _argspec.connection_rules(),
        _argspec.guest_rules(),
        _argspec.one_of("parent", "parents"),
        {"required_if": [["state", "frozen", ["guest_username", "guest_password"]]]},
    )


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), ParentOptions.from_params)
    run(
        module,
        ParentOptions.from_params,
        lambda session, options: run_parents(session, options, check=module.check_mode),
    )


if __name__ == "__main__":
    main()
