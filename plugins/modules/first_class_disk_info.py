# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List first class disks, however many there are, and those that nobody seems to use."""

DOCUMENTATION = r"""
module: first_class_disk_info
short_description: List first class disks, and those that nobody seems to use
version_added: 0.9.0
description:
  - Lists the first class disks of datastores from the global catalogue of vCenter, a thousand with
    each call, with the VMs that have them, their snapshots and their metadata. Without that
    catalogue, before vSphere 6.7.2, each disk takes a call.
  - Changes nothing. To put a list right that has disks that are gone, see
    O(vforge.vsphere.first_class_disk#module:reconcile).
options:
  datastores:
    description:
      - Datastores on which to look, by their names, inventory paths or moids. All by default.
    type: list
    elements: str
  ids:
    description:
      - IDs of the disks that are asked about. All by default.
    type: list
    elements: str
  names:
    description:
      - Names of the disks that are asked about. All by default. Several disks may have one.
    type: list
    elements: str
  details:
    description:
      - Whether to read what the catalogue does not have, which are provisioning, control flags and
        the times of snapshots. This takes two calls for each disk.
    type: bool
    default: false
  tags:
    description:
      - Whether to read the tags, which takes a call for each disk.
    type: bool
    default: false
  orphans:
    description:
      - Whether to look for disks and snapshots that nobody seems to use. The files of the
        datastores are listed for it, with one call for each folder, and each disk whose file is not
        listed is asked about by itself.
      - A snapshot counts as used where the metadata of a disk of these datastores names it. Whether
        a disk rests on its file is known with O(details) alone.
    type: bool
    default: false
  datacenter:
    description:
      - Name or path of the datacenter to look in. All by default.
    type: str
  timeout:
    description:
      - Seconds that the task may take, from its beginning.
    type: int
    default: 300
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
    support: none
  idempotent:
    support: full
  action_group:
    support: full
notes:
  - Needs the privileges System.Read and System.View; for O(orphans)
    Datastore.Browse on the datastores too.
  - Proved on the simulator alone, whose rules are those of the API reference.
seealso:
  - module: vforge.vsphere.first_class_disk
  - module: vforge.vsphere.first_class_disk_snapshot
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: All first class disks of a datastore
  vforge.vsphere.first_class_disk_info:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    datastores: [datastore1]
  register: found

- name: What nobody seems to use, on all datastores
  vforge.vsphere.first_class_disk_info:
    orphans: true
  register: found

- name: Those that no VM has and that Kubernetes does not know
  ansible.builtin.debug:
    msg: "{{ found.orphans | selectattr('cns', 'equalto', {}) }}"
"""

RETURN = r"""
disks:
  description: One entry for each disk that can be read.
  returned: on success, and when the task ended early
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
      sample: data-1
    id:
      description: ID.
      type: str
      sample: 7a3b9f0e-6f2c-4d1a-9a55-3f8a0d6f1c11
    path:
      description: Datastore path of its topmost file.
      type: str
    datastore:
      description: Name of its datastore.
      type: str
    capacity_mb:
      description: Size in MiB.
      type: int
    used_mb:
      description: What it occupies in MiB. Null where vCenter does not say.
      type: int
    provisioning:
      description: V(thin), V(lazyZeroedThick) or V(eagerZeroedThick). Null without O(details).
      type: str
    created:
      description: When it was made, in ISO 8601.
      type: str
    flags:
      description: Its control flags, with O(details).
      type: dict
    metadata:
      description: Its metadata.
      type: dict
    cns:
      description: What of the metadata the storage of Kubernetes on vSphere (CNS) has written.
      type: dict
    attached_to:
      description: The VMs that have it, with the moid in C(vm), the
        C(name), and the C(key) of the device.
      type: list
      elements: dict
    snapshots:
      description: Its snapshots, with C(id), C(description), C(created) and
        C(path), as far as they were read.
      type: list
      elements: dict
    tags:
      description: Its tags as C(category:name), with O(tags).
      type: list
      elements: str
    error:
      description: For a disk whose details could not be read its C(error_code) and C(msg).
      type: dict
datastores:
  description: The datastores that were looked at, with C(name), C(moid), C(path)
    and how many C(disks) they list.
  returned: as RV(disks)
  type: list
  elements: dict
orphans:
  description: Disks that nobody seems to use, those first that cannot be found.
  returned: with O(orphans)
  type: list
  elements: dict
  contains:
    id:
      description: ID.
      type: str
    name:
      description: Name, or empty where it cannot be read.
      type: str
    path:
      description: Datastore path.
      type: str
    datastore:
      description: Name of the datastore that lists it.
      type: str
    capacity_mb:
      description: Size in MiB, or null.
      type: int
    reasons:
      description: >-
        Of V(not_found) (listed, and cannot be found), V(not_attached) (no VM has it) and V(vmdk_gone) (its file is not where it
        should be).
      type: list
      elements: str
    cns:
      description: What CNS says of it. A disk of Kubernetes that no VM has may be
        one of a pod that does not run.
      type: dict
orphan_snapshots:
  description: >-
    Snapshots that nothing refers to, with C(id), C(description), C(disk), C(disk_name), C(datastore) and C(reasons). No
    metadata of a disk names them, and no other disk rests on them. Kubernetes may know them nevertheless.
  returned: with O(orphans)
  type: list
  elements: dict
failures:
  description: The disks whose details could not be read, in short, with
    C(name), C(error_code) and C(msg).
  returned: as RV(disks)
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
  description: A stable code for what went wrong, such as V(not_found) or V(wrong_credentials).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._fcd.info import run as read_disks
from ansible_collections.vforge.vsphere.plugins.module_utils._fcd.model import InfoOptions


def argument_spec():
    """The options of the module."""
    texts = {"type": "list", "elements": "str"}
    return {
        **_argspec.connection(),
        "datastores": texts,
        "ids": texts,
        "names": texts,
        "details": {"type": "bool", "default": False},
        "tags": {"type": "bool", "default": False},
        "orphans": {"type": "bool", "default": False},
        "datacenter": {"type": "str"},
        **_argspec.timeout(),
        **_argspec.parallel(),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.connection_rules()


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), InfoOptions.from_params)
    run(module, InfoOptions.from_params, read_disks)


if __name__ == "__main__":
    main()
