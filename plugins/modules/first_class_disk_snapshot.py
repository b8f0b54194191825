# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make and remove snapshots of first class disks, revert to them, and make disks of them."""

DOCUMENTATION = r"""
module: first_class_disk_snapshot
short_description: Snapshots of first class disks
version_added: 0.9.0
description:
  - Makes and removes snapshots of first class disks, reverts disks to them, and makes disks
    of them, all of a task at once.
  - A snapshot is named by its ID or by its description. Descriptions may repeat. Where several
    snapshots of a disk have one, the message lists their IDs and nothing is done with them.
  - Of two runs that make a snapshot of one description at the same time, the one whose snapshot is the younger
    removes it again, goes on with the other one, and warns. vCenter itself takes both.
options:
  snapshots:
    description:
      - The snapshots. One that fails does not stop the others.
      - All new ones are made first, then disks are made of snapshots, then disks are
        reverted, then snapshots are removed.
    type: list
    elements: dict
    required: true
    suboptions:
      disk:
        description:
          - The disk whose snapshot it is.
        type: dict
        required: true
        suboptions:
          id:
            description:
              - ID of the disk.
            type: str
          name:
            description:
              - Name of the disk.
            type: str
      datastore:
        description:
          - The datastore on which the disk is, by its name, its inventory path or its
            moid. O(datastore) by default.
        type: str
      state:
        description:
          - Whether the snapshot is to be there.
          - With V(reverted) the disk becomes what it was. Later snapshots are removed, this one
            stays. No VM may have the disk. vCenter does not say whether a disk was written to
            since, so this is done each time.
        type: str
        choices: [present, absent, reverted]
        default: present
      id:
        description:
          - ID of a snapshot that is there.
        type: str
      description:
        description:
          - Description of the snapshot. With O(snapshots[].state=present),
            one that is not there is made.
        type: str
      new_disk:
        description:
          - Name of a first class disk that is made of the snapshot, on the same datastore. A disk
            of this name that is there is left as it is.
        type: str
  datastore:
    description:
      - The datastore of items that name none.
    type: str
  datacenter:
    description:
      - Name or path of the datacenter to look in. All by default.
    type: str
  timeout:
    description:
      - Seconds that the task may take, from its beginning.
    type: int
    default: 3600
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
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - O(snapshots[].state=reverted) reverts each time.
  action_group:
    support: full
notes:
  - Needs vSphere 6.7 or later, and the privilege Datastore.FileManagement on the datastores.
  - Proved on the simulator alone, whose rules are those of the API reference.
seealso:
  - module: vforge.vsphere.first_class_disk
  - module: vforge.vsphere.first_class_disk_info
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: A snapshot before the upgrade
  vforge.vsphere.first_class_disk_snapshot:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    datastore: datastore1
    snapshots:
      - disk: {name: data-1}
        description: before the upgrade

- name: Back to it, the disk being detached
  vforge.vsphere.first_class_disk_snapshot:
    datastore: datastore1
    snapshots:
      - disk: {name: data-1}
        description: before the upgrade
        state: reverted

- name: A disk of what it was then, and the snapshot is not needed any more
  vforge.vsphere.first_class_disk_snapshot:
    datastore: datastore1
    snapshots:
      - disk: {name: data-1}
        description: before the upgrade
        new_disk: data-1-old
      - disk: {name: data-2}
        description: before the upgrade
        state: absent
"""

RETURN = r"""
snapshots:
  description: One entry for each snapshot asked for, in the same order, also when the task fails.
  returned: when the datastores were read
  type: list
  elements: dict
  contains:
    name:
      description: Its description.
      type: str
      sample: before the upgrade
    id:
      description: ID. Null for one that is not there, and in check mode for one that would be made.
      type: str
    path:
      description: Datastore path of the topmost file of its disk.
      type: str
    disk:
      description: ID of its disk.
      type: str
    disk_name:
      description: Name of its disk.
      type: str
    datastore:
      description: Name of the datastore.
      type: str
    created:
      description: When it was made, in ISO 8601. Empty for one that was made just now.
      type: str
    new_disk:
      description: ID of the disk that was made of it.
      type: str
    lost:
      description: IDs of the later snapshots that a revert removes.
      type: list
      elements: str
    actions:
      description: >-
        What was done, or in check mode would be, of V(created), V(disk_made), V(reverted) and V(removed).
      type: list
      elements: str
    changed:
      description: Whether anything was done.
      type: bool
    seconds:
      description: That vCenter has worked on it. Null where it did not.
      type: float
    error:
      description: For a snapshot that failed its C(error_code) and C(msg).
      type: dict
counts:
  description: How many were C(changed), are C(unchanged), or C(failed).
  returned: as RV(snapshots)
  type: dict
failures:
  description: Those that failed, in short, with C(name), C(error_code) and C(msg).
  returned: as RV(snapshots)
  type: list
  elements: dict
diff:
  description: What changes, or would change, in diff mode.
  returned: in diff mode
  type: dict
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
  description: A stable code for what went wrong, such as V(not_found) or V(invalid_option).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._fcd.model import SnapshotOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._fcd.snapshots import run as run_snapshots


def argument_spec():
    """The options of the module."""
    snapshot = {
        "disk": {
            "type": "dict",
            "required": True,
            "options": {"id": {"type": "str"}, "name": {"type": "str"}},
            **_argspec.one_of("id", "name"),
        },
        "datastore": {"type": "str"},
        "state": {
            "type": "str",
            "choices": ["present", "absent", "reverted"],
            "default": "present",
        },
        "id": {"type": "str"},
        "description": {"type": "str"},
        "new_disk": {"type": "str"},
    }
    return {
        **_argspec.connection(),
        "snapshots": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": snapshot,
            **_argspec.one_of("id", "description"),
        },
        "datastore": {"type": "str"},
        "datacenter": {"type": "str"},
        **_argspec.timeout(3600),
        **_argspec.parallel(),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.connection_rules()


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), SnapshotOptions.from_params)
    run(
        module,
        SnapshotOptions.from_params,
        lambda session, options: run_snapshots(session, options, check=module.check_mode),
    )


if __name__ == "__main__":
    main()
