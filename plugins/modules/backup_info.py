# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List the backups of a repository."""

DOCUMENTATION = r"""
module: backup_info
short_description: List the backups of VMs in a repository
version_added: 0.9.0
description:
  - Lists the VMs that have backups, and the points of each, with their disks and sizes.
    Nothing is read from the disks.
  - It connects to no vCenter.
options:
  repository:
    description:
      - Folder of the backups, on the machine that runs the module.
    type: path
    required: true
  vm:
    description:
      - Instance UUID of a VM, or the name that it had at its newest backup. All VMs by default.
    type: str
extends_documentation_fragment:
  - vforge.vsphere.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
  action_group:
    support: none
    membership: []
seealso:
  - module: vforge.vsphere.vm_backup
  - module: vforge.vsphere.vm_restore
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Which backups are there of db-1?
  vforge.vsphere.backup_info:
    repository: /srv/backups
    vm: db-1
  register: backups
"""

RETURN = r"""
repository:
  description: The folder of the backups.
  returned: success
  type: str
  sample: /srv/backups
vms:
  description: One entry for each VM that has backups.
  returned: success
  type: list
  elements: dict
  contains:
    instance_uuid:
      description: Instance UUID of the VM.
      type: str
    name:
      description: Name that the VM had at its newest backup.
      type: str
    folder:
      description: Its folder in the repository.
      type: str
    error:
      description: Why not all of its backups can be listed, with C(error_code) and
        C(msg). Those of other VMs are.
      returned: when a manifest is damaged
      type: dict
    damaged:
      description: Points whose manifests are damaged or not there, each
        with its C(id) and its C(error).
      type: list
      elements: dict
    points:
      description: Its backups, the oldest first.
      type: list
      elements: dict
      contains:
        id:
          description: Name of the point, which is that of its folder.
          type: str
        created:
          description: When it was made, in UTC.
          type: str
        kind:
          description: V(full), or V(incremental) where an image of it has a
            backing file in another point.
          type: str
        consistency:
          description: V(crash-consistent), V(file-system-consistent),
            V(application-consistent), or V(powered-off).
          type: str
        snapshot:
          description: Managed object ID of the snapshot that was read. It is gone by now.
          type: str
        disks:
          description: Its disks, each with C(label), C(key), C(capacity), C(image), C(backing),
            C(change_id), C(transport), C(tracking) (V(active) or V(not_active)), C(reason) (why it
            was read whole), C(read) and C(written).
          type: list
          elements: dict
        stored:
          description: Bytes that its images take.
          type: int
        verified:
          description: When it was verified last, in UTC. Null where it was not
            since its images were written.
          type: str
        restored:
          description: When it was restored, the newest last, each with
            C(at) in UTC, C(to) and C(disks).
          type: list
          elements: dict
timing:
  description: Seconds by phase.
  returned: always
  type: dict
error_code:
  description: A stable code for what went wrong, such as V(not_found) or V(file_refused).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run_alone
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.local import info


def argument_spec():
    """The options of the module."""
    return {"repository": {"type": "path", "required": True}, "vm": {"type": "str"}}


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), {}, dict)
    run_alone(module, dict, lambda options, _show: info(options["repository"], options.get("vm")))


if __name__ == "__main__":
    main()
