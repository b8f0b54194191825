# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make, change, attach and delete first class disks."""

DOCUMENTATION = r"""
module: first_class_disk
short_description: Make, change, attach and delete first class disks
version_added: 0.9.0
description:
  - Brings first class disks (FCD) to what is asked for, all disks of a task at once. These are
    disks with an ID of their own that need no VM, as Kubernetes uses them on vSphere.
  - A disk is named by its ID or by its name. Names may repeat on vSphere. Where several disks have
    one, that disk fails and the message lists their IDs; nothing is chosen.
  - Of two runs that make a disk of one name at the same time, the one whose disk is the younger deletes it
    again, goes on with the other one, and warns. vCenter itself takes both.
  - What an item does not name is left alone, such as other control flags, other
    keys of the metadata, and other tags.
options:
  disks:
    description:
      - The disks. One that fails does not stop the others. Either this or O(reconcile) is required.
    type: list
    elements: dict
    suboptions:
      id:
        description:
          - ID of a disk that is there.
        type: str
      name:
        description:
          - Name of a disk. With O(disks[].state=present), one that is not there is made.
        type: str
      datastore:
        description:
          - The datastore on which the disk is, or is to be made, by its name,
            its inventory path or its moid.
          - O(datastore) by default.
        type: str
      state:
        description:
          - Whether the disk is to be there. With V(absent) it is deleted,
            with its snapshots and its files.
          - A disk that a VM has is not deleted unless O(disks[].detached) is set too.
        type: str
        choices: [present, absent]
        default: present
      size:
        description:
          - Size, as a number and a unit, such as V(10 GiB) or V(512 MiB). A unit is a power of two,
            also when it is written without its C(i). It must be a whole number of MiB.
          - A disk that is smaller is grown. A disk is never made
            smaller; the message has both sizes.
          - Required for a disk that is made empty.
        type: str
      provisioning:
        description:
          - How a new disk is provisioned. By default V(thin), and that of the source for a clone.
          - A disk that is there keeps its own. See O(disks[].inflated).
        type: str
        choices: [thin, lazy_zeroed_thick, eager_zeroed_thick]
      storage_policy:
        description:
          - Name of the storage policy of a disk that is made. A disk that is there keeps its own.
        type: str
      clone_of:
        description:
          - A disk of the same datastore that a new disk is a copy of,
            as it is now. No VM may have it.
          - The copy, its name and its metadata are made by one call,
            which does all of it or nothing.
        type: dict
        suboptions:
          id:
            description:
              - ID of the disk.
            type: str
          name:
            description:
              - Name of the disk.
            type: str
      register:
        description:
          - A VMDK that is there, as V([datastore] folder/disk.vmdk), which becomes a first class
            disk. That disk is recognized by its file from then on. It has to be on the datastore
            of the item.
        type: str
      new_name:
        description:
          - Name that the disk is to have. A disk that has it already is recognized by it.
        type: str
      relocate_to:
        description:
          - Datastore on which the disk is to be. Its snapshots go with it. No VM may have the disk.
        type: str
      inflated:
        description:
          - Whether a thin disk is given all of its space. No VM may have the disk.
        type: bool
        default: false
      attached_to:
        description:
          - The VM that is to have the disk. Where another one has it, the disk
            fails with that VM in the message.
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
          controller_key:
            description:
              - Key of the controller, such as V(1000). By default vCenter takes the
                first one that has a free place.
            type: int
          unit_number:
            description:
              - Place on the controller. By default the next free one.
            type: int
      detached:
        description:
          - Whether the disk is taken from the VM that has it. This is done before anything else.
        type: bool
        default: false
      keep_after_delete_vm:
        description:
          - Control flag, whether the disk stays when a VM that has it is deleted.
        type: bool
      relocation_disabled:
        description:
          - Control flag, whether the disk must stay on its datastore.
        type: bool
      change_tracking:
        description:
          - Control flag, whether changed blocks are tracked. See
            M(vforge.vsphere.cbt_changed_areas).
        type: bool
      metadata:
        description:
          - Pairs of keys and texts to set, which are not empty. A value of V(null) removes its
            key. Other keys are left alone.
          - New disks can have metadata from vSphere 6.7.2 on; that of disks that are there can be changed from 7.0.2 on.
        type: dict
      tags:
        description:
          - Tags to attach or detach. They have to exist. Other tags are left alone.
        type: list
        elements: dict
        suboptions:
          category:
            description:
              - Category of the tag.
            type: str
            required: true
          name:
            description:
              - Name of the tag.
            type: str
            required: true
          state:
            description:
              - Whether the tag is to be attached.
            type: str
            choices: [present, absent]
            default: present
  datastore:
    description:
      - The datastore of items that name none.
    type: str
  datacenter:
    description:
      - Name or path of the datacenter to look in. All by default.
    type: str
  reconcile:
    description:
      - Datastores whose list of first class disks is put right before anything else. Disks that are
        listed and whose files are gone are listed no more. Their IDs are in RV(reconciled).
        O(disks) may be left out then.
    type: list
    elements: str
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
    support: full
  action_group:
    support: full
notes:
  - Needs vSphere 6.7 or later, and the privilege Datastore.FileManagement on the datastores; to
    attach a disk VirtualMachine.Config.AddExistingDisk on the VM, and to detach one
    VirtualMachine.Config.RemoveDisk. O(disks[].storage_policy) needs StorageProfile.View on the
    vCenter.
  - Proved on the simulator alone, whose rules are those of the API reference.
seealso:
  - module: vforge.vsphere.first_class_disk_info
  - module: vforge.vsphere.first_class_disk_snapshot
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: A disk of 10 GiB that stays when its VM is deleted
  vforge.vsphere.first_class_disk:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    datastore: datastore1
    disks:
      - name: data-1
        size: 10 GiB
        keep_after_delete_vm: true
        metadata: {owner: payroll}
        tags:
          - {category: environment, name: production}

- name: Give it to a VM
  vforge.vsphere.first_class_disk:
    datastore: datastore1
    disks:
      - name: data-1
        attached_to: {name: web-1}

- name: Take it from the VM, grow it, and move it
  vforge.vsphere.first_class_disk:
    datastore: datastore1
    disks:
      - name: data-1
        detached: true
        size: 20 GiB
        relocate_to: datastore2

- name: A copy, and a VMDK that becomes a first class disk
  vforge.vsphere.first_class_disk:
    datastore: datastore1
    disks:
      - name: data-2
        clone_of: {name: data-1}
      - name: old-data
        register: "[datastore1] old-vm/old-vm_1.vmdk"

- name: Delete disks by their IDs, after what is listed wrongly was put right
  vforge.vsphere.first_class_disk:
    datastore: datastore1
    reconcile: [datastore1]
    disks:
      - {id: 7a3b9f0e-6f2c-4d1a-9a55-3f8a0d6f1c11, state: absent}
"""

RETURN = r"""
disks:
  description: One entry for each disk asked for, in the same order, also when the task fails.
  returned: when the datastores were read
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
      sample: data-1
    id:
      description: ID. Null for one that is not there, and in check mode for one that would be made.
      type: str
      sample: 7a3b9f0e-6f2c-4d1a-9a55-3f8a0d6f1c11
    path:
      description: Datastore path of its topmost file.
      type: str
      sample: "[datastore1] fcd/5c8c9c8b1f4c4e0f9f2f7d3e2b1a0c9d.vmdk"
    datastore:
      description: Name of its datastore.
      type: str
    state:
      description: V(present) or V(absent), after the task.
      type: str
    capacity_mb:
      description: Size in MiB.
      type: int
      sample: 10240
    used_mb:
      description: What it occupies in MiB, where that is known.
      type: int
    provisioning:
      description: V(thin), V(lazyZeroedThick) or V(eagerZeroedThick).
      type: str
    created:
      description: When it was made, in ISO 8601.
      type: str
    flags:
      description: Its control flags, with C(keep_after_delete_vm),
        C(relocation_disabled) and C(change_tracking).
      type: dict
    metadata:
      description: Its metadata.
      type: dict
    attached_to:
      description: The VMs that have it, with the moid in C(vm) and the C(key) of the device.
      type: list
      elements: dict
    differences:
      description: >-
        In what it was not as asked for, with C(what), C(actual), C(wanted), C(can_change) and, where it cannot be changed,
        C(why_not).
      type: list
      elements: dict
    actions:
      description: >-
        What was done, or in check mode would be, of V(detached), V(deleted), V(created), V(cloned), V(registered),
        V(flags_cleared), V(relocated), V(renamed), V(grown), V(inflated), V(flags_set), V(metadata_changed),
        V(tags_attached), V(tags_detached) and V(attached); V(some_tags_attached) or V(some_tags_detached) where a tag after
        these could not be.
      type: list
      elements: str
    changed:
      description: Whether this disk was changed.
      type: bool
    seconds:
      description: That vCenter has worked on it. Null where it did not.
      type: float
    error:
      description: For a disk that failed its C(error_code) and C(msg).
      type: dict
reconciled:
  description: >-
    For each datastore of O(reconcile) its name in C(datastore), how many disks were C(listed), the IDs that are listed no
    more in C(removed), and C(changed). In check mode the IDs that the global catalogue does not know.
  returned: as RV(disks)
  type: list
  elements: dict
counts:
  description: How many disks were C(changed), are C(unchanged), or C(failed).
  returned: as RV(disks)
  type: dict
failures:
  description: The disks that failed, in short, with C(name), C(error_code) and C(msg).
  returned: as RV(disks)
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
  description: A stable code for what went wrong, such as V(ambiguous) or V(invalid_option).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._fcd.model import DiskOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._fcd.task import run as run_disks


def argument_spec():
    """The options of the module."""
    state = {"type": "str", "choices": ["present", "absent"], "default": "present"}
    # To Ansible a key sounds like a secret.
    place = {"controller_key": {"type": "int", "no_log": False}, "unit_number": {"type": "int"}}
    disk = {
        "id": {"type": "str"},
        "name": {"type": "str"},
        "datastore": {"type": "str"},
        "state": state,
        "size": {"type": "str"},
        "provisioning": {
            "type": "str",
            "choices": ["thin", "lazy_zeroed_thick", "eager_zeroed_thick"],
        },
        "storage_policy": {"type": "str"},
        "clone_of": {
            "type": "dict",
            "options": {"id": {"type": "str"}, "name": {"type": "str"}},
            **_argspec.one_of("id", "name"),
        },
        "register": {"type": "str"},
        "new_name": {"type": "str"},
        "relocate_to": {"type": "str"},
        "inflated": {"type": "bool", "default": False},
        "attached_to": _argspec.vm(place),
        "detached": {"type": "bool", "default": False},
        "keep_after_delete_vm": {"type": "bool"},
        "relocation_disabled": {"type": "bool"},
        "change_tracking": {"type": "bool"},
        "metadata": {"type": "dict"},
        "tags": {
            "type": "list",
            "elements": "dict",
            "options": {
                "category": {"type": "str", "required": True},
                "name": {"type": "str", "required": True},
                "state": state,
            },
        },
    }
    return {
        **_argspec.connection(),
        "disks": {
            "type": "list",
            "elements": "dict",
            "options": disk,
            **_argspec.joined(
                _argspec.one_of("id", "name"),
                {"mutually_exclusive": [["clone_of", "register"]]},
            ),
        },
        "datastore": {"type": "str"},
        "datacenter": {"type": "str"},
        "reconcile": {"type": "list", "elements": "str"},
        **_argspec.timeout(3600),
        **_argspec.parallel(),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(
        _argspec.connection_rules(),
        {"required_one_of": [["disks", "reconcile"]]},
    )


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), DiskOptions.from_params)
    run(
        module,
        DiskOptions.from_params,
        lambda session, options: run_disks(session, options, check=module.check_mode),
    )


if __name__ == "__main__":
    main()
