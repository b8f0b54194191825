# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Back VMs up as clones, and remove backups that are old."""

DOCUMENTATION = r"""
module: backup_clone
short_description: Back VMs up as clones, and remove backups that are old
version_added: 0.9.0
description:
  - Makes a full clone of each VM as its backup, on the same datastore or another one, and removes
    backups by their number and age. One VM or many in one task.
  - A VM that is off is cloned as it is. Of one that runs a snapshot is made, cloned and removed, in
    every ending, signals included. Where the module was killed, the next run on the same VM
    recognizes the snapshot and removes it.
  - A backup is a VM that is off. It has a mark (C(vforge.backup) in extraConfig) with its source,
    its time and its consistency, and counts only by that. A VM without the mark, or with another
    name than the mark has, is neither counted nor removed.
  - A backup is in the resource pool of its source; that of a template, or of a VM in a vApp, in the root pool of its
    cluster or host.
  - To restore, clone the backup by M(vforge.vsphere.linked_clone) with C(disk_mode=full). The role
    P(vforge.vsphere.vm_clone_backup#role) does both.
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
      - The VMs, when there is more than one. They are worked on at once, in one session.
    type: list
    elements: dict
    suboptions: *vm
  datacenter:
    description:
      - Name or path of the datacenter to look in. The whole inventory by default.
    type: str
  snapshot:
    description:
      - The snapshot that is cloned, in the place of the VM as it
        is. It stays. Every VM must have it.
      - A text is its name, or its path where it begins with a slash.
    type: dict
    suboptions:
      name:
        description:
          - Its name.
        type: str
      path:
        description:
          - Its path in the tree of snapshots, such as V(installed/patched).
          - A slash within a name is written V(%2f).
        type: str
      moid:
        description:
          - Its managed object ID, such as V(snapshot-42).
        type: str
      current:
        description:
          - Whether it is the one that the VM runs on.
        type: bool
        default: false
  mode:
    description:
      - V(full) copies the disks.
      - V(linked) makes a clone that rests on the disks of its source, so it goes
        with them. It is quick and takes no room, and is no backup against the loss
        of a datastore. Needs O(snapshot).
    type: str
    choices: [full, linked]
    default: full
  folder:
    description:
      - VM folder, as a whole path (V(/DC0/vm/web)) or below the VM
        folder of the datacenter (V(web)).
      - That of the source by default. A VM in a vApp has none, so that it has to be set for it.
    type: str
  datastore:
    description:
      - Datastore for the disks. The source's host must reach it.
      - The source's own datastores by default.
    type: str
  quiesce:
    description:
      - Whether VMware Tools bring the file systems of a running guest to rest for
        the snapshot that is made of it.
      - V(try) does without where they do not run, or fail at it. A failure is a warning, and
        RV(vms[].backup.consistency) says what was reached.
      - V(require) fails such a VM and makes no backup of it. V(no) does not try.
    type: str
    choices: ["try", "require", "no"]
    default: "try"
  fresh_hours:
    description:
      - A backup that is not older than so many hours is enough, so that a run that
        is repeated makes no second one. With O(quiesce=require) only one that is consistent counts
        for a VM that runs.
      - With V(0) each run makes one.
    type: int
    default: 0
  keep_last:
    description:
      - So many of the newest backups of each VM are kept. One that another rule keeps stays, too.
      - Without any rule all are kept. The newest one is kept always, and nothing is removed of a VM
        whose backup failed. One whose disks another VM uses stays, with a warning.
    type: int
  keep_days:
    description:
      - Backups of each VM that are not older than so many days are kept.
    type: int
  keep_daily:
    description:
      - The newest backup of each of so many days that have one is kept. Days, weeks and months are those of UTC.
    type: int
  keep_weekly:
    description:
      - The newest backup of each of so many ISO weeks that have one is kept.
    type: int
  keep_monthly:
    description:
      - The newest backup of each of so many months that have one is kept.
    type: int
  parallel:
    description:
      - How many calls are made at the same time, from 1 to 64. Each has a connection of its own.
      - As many snapshots of the task exist at the same time.
    type: int
    default: 8
  timeout:
    description:
      - Seconds that the task may take, from its beginning. Removing its
        snapshots is not limited by it.
    type: int
    default: 3600
extends_documentation_fragment:
  - vforge.vsphere.connection
  - vforge.vsphere.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - With O(fresh_hours).
  action_group:
    support: full
notes:
  - Needs the privileges VirtualMachine.Provisioning.Clone on the VM (on a template
    VirtualMachine.Provisioning.DeployTemplate),
    VirtualMachine.Inventory.CreateFromExisting on the folder, Datastore.AllocateSpace and
    Resource.AssignVMToPool; for VMs that run VirtualMachine.State.CreateSnapshot and
    VirtualMachine.State.RemoveSnapshot; to remove backups VirtualMachine.Inventory.Delete.
  - A clone has no memory of its source. Independent disks are in no snapshot,
    so a VM that has one must be off.
  - Proved on a simulator.
seealso:
  - module: vforge.vsphere.vm_export
  - module: vforge.vsphere.linked_clone
  - name: Role vforge.vsphere.vm_clone_backup
    description: Calls it, and restores.
    link: https://github.com/vforge/vforge.vsphere/blob/main/roles/vm_clone_backup/README.md
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Back two VMs up every night, and keep a week
  vforge.vsphere.backup_clone:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    vms:
      - name: web-1
      - path: /DC0/vm/databases/db-1
    folder: backups
    datastore: backup-1
    keep_last: 3
    keep_days: 7
  register: night

- name: Restore one of them beside its source
  vforge.vsphere.linked_clone:
    source:
      moid: "{{ night.vms[0].backup.moid }}"
    name: web-1-restored
    disk_mode: full
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
      sample: /DC0/vm/web-1
    instance_uuid:
      description: Instance UUID.
      type: str
    power_state:
      description: Power state.
      type: str
      sample: poweredOn
    actions:
      description: What was done, or in check mode would be done, of V(cloned),
        V(pruned) and V(leftover_removed).
      type: list
      elements: str
    changed:
      description: Whether anything was done.
      type: bool
    backup:
      description:
        - The backup that was made, or the one that is new enough. Null where there is none, and in
          check mode for one that would be made.
      type: dict
      contains:
        name:
          description: Name of the clone.
          type: str
          sample: web-1-backup-20260501T020000Z
        moid:
          description: Its managed object ID.
          type: str
        at:
          description: When it was made, in UTC.
          type: str
        consistency:
          description:
            - V(crash), the disks are as after a power failure; V(file_system), the guest had
              written all, since Tools had quiesced it or it was shut down.
          type: str
        independent:
          description: Whether it does without the disks of its source. Null of one that was there.
          type: bool
    backups:
      description: The names of all backups of it that are there.
      type: list
      elements: str
    removed:
      description: The backups that were removed, with C(name), C(moid), C(at) and C(consistency).
      type: list
      elements: dict
    seconds:
      description: Seconds that vCenter has worked on it; null where it did not.
      type: float
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
counts:
  description: How many VMs were V(backed_up), V(unchanged) or V(failed).
  returned: as RV(vms)
  type: dict
  sample: {"backed_up": 12}
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
      V(partial_failure). In RV(vms[].error) it is V(not_clonable), for example.
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._clone_backup.model import BackupOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._clone_backup.task import run as run_backups


def argument_spec():
    """The options of the module."""
    snapshot = {
        "name": {"type": "str"},
        "path": {"type": "str"},
        "moid": {"type": "str"},
        "current": {"type": "bool", "default": False},
    }
    return {
        **_argspec.connection(),
        "vm": _argspec.vm(),
        "vms": _argspec.vms(),
        "datacenter": {"type": "str"},
        # Not current, which has a default: Ansible counts that as set.
        "snapshot": {"type": "dict", "options": snapshot, "mutually_exclusive": [["name", "path", "moid"]]},
        "mode": {"type": "str", "choices": ["full", "linked"], "default": "full"},
        "folder": {"type": "str"},
        "datastore": {"type": "str"},
        "quiesce": {"type": "str", "choices": ["try", "require", "no"], "default": "try"},
        "fresh_hours": {"type": "int", "default": 0},
        "keep_last": {"type": "int"},
        "keep_days": {"type": "int"},
        "keep_daily": {"type": "int"},
        "keep_weekly": {"type": "int"},
        "keep_monthly": {"type": "int"},
        **_argspec.parallel(),
        **_argspec.timeout(3600),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(
        _argspec.connection_rules(),
        _argspec.one_of("vm", "vms"),
        {"required_if": [["mode", "linked", ["snapshot"]]]},
    )


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), BackupOptions.from_params)
    run(
        module,
        BackupOptions.from_params,
        lambda session, options: run_backups(session, options, check=module.check_mode),
    )


if __name__ == "__main__":
    main()
