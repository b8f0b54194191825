# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore a backup to image files, or to an OVF package."""

DOCUMENTATION = r"""
module: vm_restore
short_description: Restore a backup to image files, or to an OVF package
version_added: 0.1.0
description:
  - Writes disks as they were at any point of a repository into files of this machine, and compares every MiB with the digest
    of the backup. A file is there when that is done, and not before.
  - Files that already have what the point has are left alone.
  - With O(format=ovf) it writes an OVF package of the whole VM, with its hardware, firmware and networks, of which
    M(vforge.vsphere.cached_ovf_template) and other importers make a VM again. The role C(vm_restore) does both.
  - Single files are read by C(guestmount) or C(qemu-nbd), straight from the image of a point.
options:
  repository:
    description:
      - Folder of the backups, on the machine that runs the module.
    type: path
    required: true
  vm:
    description:
      - Instance UUID of the VM, or the name that it had at its newest backup.
    type: str
    required: true
  point:
    description:
      - Which backup, by its C(id) as M(vforge.vsphere.backup_info) lists it, or V(newest).
    type: str
    default: newest
  disks:
    description:
      - Labels of the disks, such as V(Hard disk 1). All disks by default.
    type: list
    elements: str
    default: []
  dest:
    description:
      - Folder for the files, which must be there. They are named after the keys of the disks, such as C(disk-2000.qcow2). The
        descriptor of a package is C(vm.ovf), its manifest C(vm.mf), and its disks are C(vm-disk-2000.vmdk) and so on.
    type: path
    required: true
  format:
    description:
      - Format of the files.
      - V(ovf) is a package, with all disks as streamOptimized VMDKs, a descriptor and a manifest (SHA-256). What may be a
        secret is not in a backup, so it is not in the package either, nor are the MAC addresses and UUIDs of the VM, and its
        NVRAM.
    type: str
    choices: [qcow2, raw, vmdk, ovf]
    default: qcow2
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
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - Files that are there are read and compared, and written only where they differ.
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
  - module: vforge.vsphere.backup_info
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Have the disks of the newest backup of db-1
  vforge.vsphere.vm_restore:
    repository: /srv/backups
    vm: db-1
    dest: /srv/restored
    format: raw

- name: Have the whole VM as a package
  vforge.vsphere.vm_restore:
    repository: /srv/backups
    vm: db-1
    dest: /srv/restored/db-1
    format: ovf

- name: Have one disk as it was a week ago
  vforge.vsphere.vm_restore:
    repository: /srv/backups
    vm: db-1
    point: 20261122T011500Z-1f0e9c3a
    disks: [Hard disk 2]
    dest: /srv/restored
"""

RETURN = r"""
repository:
  description: The folder of the backups.
  returned: always
  type: str
  sample: /srv/backups
instance_uuid:
  description: Instance UUID of the VM.
  returned: always
  type: str
name:
  description: Name that the VM had at the point.
  returned: always
  type: str
point:
  description: The point that was restored.
  returned: always
  type: str
package:
  description:
    - The package, with the C(path) of its descriptor and the C(action), V(restored) or V(unchanged). Null for other formats.
  returned: always
  type: dict
disks:
  description: One entry for each disk.
  returned: always
  type: list
  elements: dict
  contains:
    label:
      description: Label of the disk.
      type: str
    key:
      description: Device key of the disk.
      type: int
    capacity:
      description: Its size in bytes.
      type: int
    path:
      description: The file.
      type: str
    action:
      description: V(restored), or V(unchanged) where the file had it already.
      type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run, run_alone
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.local import RestoreOptions, restore
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.restore_options import IntoOptions


def argument_spec():
    """The options of the module."""
    return {
        **_argspec.connection(),
        "repository": {"type": "path", "required": True},
        "vm": {"type": "str", "required": True},
        "point": {"type": "str", "default": "newest"},
        "before": {"type": "str"},
        "disks": {"type": "list", "elements": "str", "default": []},
        "dest": {"type": "path"},
        "format": {"type": "str", "choices": ["qcow2", "raw", "vmdk", "ovf"]},
        "into": _argspec.vm(),
        "datacenter": {"type": "str"},
        "power_off": {"type": "bool", "default": False},
        "powered_on": {"type": "bool", "default": False},
        "snapshots": {"type": "str", "choices": ["refuse", "remove"], "default": "refuse"},
        "keep_replaced": {"type": "bool", "default": False},
        "verify": {"type": "str", "choices": ["auto", "content", "manifest"], "default": "auto"},
        **_argspec.timeout(3600),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(
        _argspec.connection_rules(),
        {"required_one_of": [["dest", "into"]], "mutually_exclusive": [["into", "format"]]},
    )


def prepared(params):
    """The options of either way."""
    return (IntoOptions if params.get("into") else RestoreOptions).from_params(params)


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), prepared)
    if module.params["into"] is None:
        run_alone(module, prepared, lambda options, show: restore(options, show, check=module.check_mode))
    from ansible_collections.vforge.vsphere.plugins.module_utils._backup import restoring

    run(module, prepared, lambda session, options: restoring.run(session, options, check=module.check_mode))


if __name__ == "__main__":
    main()
