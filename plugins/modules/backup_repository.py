# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verify and prune the backups of a repository."""

DOCUMENTATION = r"""
module: backup_repository
short_description: Verify, prune or merge the backups of a repository
version_added: 0.9.0
description:
  - Verifies backups, removes those that are kept no longer, or makes synthetic fulls. It takes the
    lock of each VM, and puts right first what runs that died have left.
  - With O(state=verified) each image is read whole and compared with the digest of each MiB, its
    chain is compared with the manifest, and C(qemu-img check) looks at its tables. A point that is
    damaged fails the task, and is named; the others are verified all the same. Room that an image
    takes for nothing, such as after a merge that was killed, is given back.
  - With O(state=pruned) the points that no rule keeps are removed. What a later point needs of one
    is written into the image that it stands on first, and compared with the digests, so every point
    that is kept still reads as before. It is safe to end at any moment. Images that are damaged are
    not merged.
  - With O(state=merged) a point becomes a synthetic full. What its images have from earlier points
    is written into them, with no VM being read, so that it needs no other point. Later backups
    stand on it, and their chains are short. Safe to end at any moment, too. It takes the room of a
    full backup.
  - A point that is damaged, or stands on one that is damaged or not there, fails the task, and is
    named. The others are pruned or merged all the same. Such a point does not stand for one that a
    rule keeps, and neither it is removed nor what it needs or may need, since it can be restored
    from another copy of the repository. Where that cannot be, remove its folder.
options:
  path:
    description:
      - Folder of the backups, on the machine that runs the module.
    type: path
    required: true
  state:
    description:
      - What is to be done.
    type: str
    choices: [verified, pruned, merged]
    required: true
  vm:
    description:
      - Instance UUID of a VM, or the name that it had at its newest backup. All VMs by default.
    type: str
  vms:
    description:
      - Instance UUIDs of VMs. Those that have no backups are skipped, and an empty list
        means none. It excludes O(vm).
    type: list
    elements: str
  point:
    description:
      - With O(state=merged), the ID of the point that becomes a synthetic full,
        which needs O(vm); or V(newest).
    type: str
    default: newest
  points:
    description:
      - With O(state=verified), which points of each VM are read. V(newest) is the newest alone, with what it needs of
        earlier ones. A manifest that is damaged is named of every point.
    type: str
    choices: [all, newest]
    default: all
  max_chain:
    description:
      - With O(state=merged), a point is left as it is where none of its disks has more images than
        so many, one over the other. V(1) makes every point a full one.
      - Whoever reads an image has all that are below it open, so a chain of a thousand images
        cannot be read on most systems. M(vforge.vsphere.vm_backup) has a limit of its own,
        O(vforge.vsphere.vm_backup#module:max_chain).
    type: int
    default: 1
  keep_last:
    description:
      - With O(state=pruned), keep so many of the newest points. At least
        one of the four numbers must be set.
    type: int
    default: 0
  keep_daily:
    description:
      - Keep the newest point of each of so many days that have points, in UTC.
    type: int
    default: 0
  keep_weekly:
    description:
      - Keep the newest point of each of so many ISO weeks that have points.
    type: int
    default: 0
  keep_monthly:
    description:
      - Keep the newest point of each of so many months that have points.
    type: int
    default: 0
  timeout:
    description:
      - Seconds that the task may take, from its beginning.
    type: int
    default: 3600
extends_documentation_fragment:
  - vforge.vsphere.attributes
attributes:
  check_mode:
    support: full
    details:
      - Images are not read, so a point is V(not_read) where it would be verified. Manifests are.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - Pruning or merging twice changes nothing the second time.
        Verifying reads everything each time.
  action_group:
    support: none
    membership: []
notes:
  - It connects to no vCenter. Proved by qemu-img, on points of a simulator.
requirements:
  - qemu-img and qemu-nbd 6.1 or later
  - python3-libnbd 1.14 or later, for the Python that runs the module
seealso:
  - module: vforge.vsphere.vm_backup
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Keep a week of days, a month of weeks and a year of months
  vforge.vsphere.backup_repository:
    path: /srv/backups
    state: pruned
    keep_daily: 7
    keep_weekly: 4
    keep_monthly: 12

- name: Read every byte of the backups of db-1
  vforge.vsphere.backup_repository:
    path: /srv/backups
    state: verified
    vm: db-1

- name: On Sundays, make the newest backup of each VM a full one, without reading the VM
  vforge.vsphere.backup_repository:
    path: /srv/backups
    state: merged
"""

RETURN = r"""
repository:
  description: The folder of the backups.
  returned: on success, and when a VM failed
  type: str
  sample: /srv/backups
vms:
  description: One entry for each VM.
  returned: as RV(repository)
  type: list
  elements: dict
  contains:
    instance_uuid:
      description: Instance UUID of the VM.
      type: str
    name:
      description: Name that the VM had at its newest backup.
      type: str
    put_right:
      description: What was done about what a run that died has left, in sentences.
      type: list
      elements: str
    points:
      description:
        - Each point with its C(id) and the C(action), one of V(verified), V(damaged),
          V(kept), V(removed), V(removal_begun), V(merged), V(unchanged), and in check mode
          V(not_read). A removal that was begun and failed is finished by the next run. With
          O(state=merged) there are only the point that it is about, and those that are damaged.
        - With C(read), bytes that were compared; C(leaked), bytes that its images took for nothing,
          and C(mended), whether they were given back; C(kept_by), the rules that keep it; C(chain),
          how many images it had, one over the other; C(error), what is wrong with it, or why it
          could not be removed or merged.
      type: list
      elements: dict
    error:
      description: Why it could not be done whole, with C(error_code) and C(msg).
      returned: when it failed
      type: dict
counts:
  description: How many points there are of each C(action).
  returned: as RV(repository)
  type: dict
failures:
  description: The VMs that failed, with C(name), C(instance_uuid), C(error_code) and C(msg).
  returned: as RV(repository)
  type: list
  elements: dict
timing:
  description: Seconds by phase.
  returned: always
  type: dict
error_code:
  description: A stable code for what went wrong, such as V(backup_damaged), V(not_found),
    V(timeout) or V(partial_failure).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run_alone
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.care import CareOptions, care


def argument_spec():
    """The options of the module."""
    keep = {"type": "int", "default": 0}
    return {
        "path": {"type": "path", "required": True},
        "state": {"type": "str", "choices": ["verified", "pruned", "merged"], "required": True},
        "vm": {"type": "str"},
        "vms": {"type": "list", "elements": "str"},
        "point": {"type": "str", "default": "newest"},
        "points": {"type": "str", "choices": ["all", "newest"], "default": "all"},
        "max_chain": {"type": "int", "default": 1},
        "keep_last": keep,
        "keep_daily": keep,
        "keep_weekly": keep,
        "keep_monthly": keep,
        **_argspec.timeout(3600),
    }


def rules():
    """Which options exclude each other."""
    return {"mutually_exclusive": [["vm", "vms"]]}


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), CareOptions.from_params)
    run_alone(module, CareOptions.from_params, lambda options, show: care(options, show, check=module.check_mode))


if __name__ == "__main__":
    main()
