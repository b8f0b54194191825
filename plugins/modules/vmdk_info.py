# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say what a VMDK is."""

DOCUMENTATION = r"""
module: vmdk_info
short_description: Say what a VMDK is
version_added: 0.9.0
description:
  - Reads the descriptor of a disk, its extents, its parent, its capacity and its adapter, and on
    request makes the digest of its content.
  - The disk is a file on the machine where the module runs, in any format that C(qemu-img) reads; a
    disk on a datastore; or a disk of a VM. A file that is not whole is refused.
options:
  path:
    description:
      - A file on the machine where the module runs. No vCenter is needed for it.
      - Exactly one of this, O(datastore_path) and O(vm) is required.
    type: path
  datastore_path:
    description:
      - A disk on a datastore, as vSphere names it, such as V([datastore1]
        web/web.vmdk), without C(-flat).
    type: str
  vm:
    description:
      - The VM whose disk is meant, named in exactly one way.
      - A text is its name, or its path where it begins with a slash.
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
          - BIOS UUID of the VM, or its instance UUID with O(vm.use_instance_uuid=true).
        type: str
      use_instance_uuid:
        description:
          - Whether O(vm.uuid) is the instance UUID, which vCenter keeps
            unique, rather than the BIOS UUID.
        type: bool
        default: false
      moid:
        description:
          - Managed object ID of the VM, such as V(vm-42).
        type: str
      folder:
        description:
          - Inventory path of the folder that holds the VM named by O(vm.name).
        type: str
  disk:
    description:
      - Which disk of O(vm), by its label (V(Hard disk 1)), its place (V(scsi0:1)), its key
        (V(2000)) or its file. Not needed where it has only one.
    type: str
  source_format:
    description:
      - Format of O(path).
      - V(auto) goes by the name and the first bytes. Give V(raw) for a raw image whose content is
        not to be trusted, since who writes it may write there what looks like another format. Names
        that end in C(-flat.vmdk), C(.raw) or C(.img) are raw.
    type: str
    choices: [auto, raw, vmdk, qcow2, vhdx, vpc, vdi]
    default: auto
  digest:
    description:
      - Whether the digest of the content is made, for which all of it is read. In vSphere that is
        possible for disks of VMs that are powered off and have no snapshots.
    type: bool
    default: false
  datacenter:
    description:
      - Name or path of the datacenter to look in. Not needed where there is only one.
    type: str
  timeout:
    description:
      - Seconds that the task may take, from its beginning.
    type: int
    default: 3600
notes:
  - Needs the privilege Datastore.FileManagement on the datastore, from which it reads the descriptor.
  - Proved on the simulator and with the formats' own programs; not on a real vCenter.
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
requirements:
  - qemu-img 6.0 or later, for O(path)
seealso:
  - module: vforge.vsphere.vmdk
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: What is in this file?
  vforge.vsphere.vmdk_info:
    path: /srv/images/web-1.vmdk
    digest: true
  register: file

- name: What is the disk of this VM?
  vforge.vsphere.vmdk_info:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    vm:
      name: web-1
    disk: scsi0:0
    digest: true
  register: disk

- name: Both have the same content
  ansible.builtin.assert:
    that: file.disk.content_sha256 == disk.disk.content_sha256
"""

RETURN = r"""
disk:
  description: The disk.
  returned: success
  type: dict
  contains:
    path:
      description: The file on this machine.
      type: str
    format:
      description: V(vmdk), V(raw), V(qcow2), V(vhdx), V(vpc) or V(vdi).
      type: str
    subformat:
      description: Of a VMDK its C(createType), such as V(streamOptimized) or V(vmfs).
      type: str
    capacity:
      description: Of the disk, in bytes.
      type: int
    allocated:
      description: Bytes of the disk that are stored; null where nobody says it.
      type: int
    size:
      description: Bytes of its files on this machine.
      type: int
    files:
      description: Its files on this machine, the one that names the others first.
      type: list
      elements: str
    adapter:
      description: Of a VMDK, the adapter in its descriptor. VMware's products
        write V(lsilogic) for pvSCSI, too.
      type: str
    hardware_version:
      description: Of a VMDK, the version of the virtual hardware in its descriptor.
      type: str
    uuid:
      description: Of a VMDK, the UUID in its descriptor.
      type: str
    content_sha256:
      description: SHA-256 of the content from its first byte to its last one,
        which is the same in every format.
      type: str
    backing:
      description: Of a file, the image that it has only the changes of; empty where there is none.
      type: str
    parent:
      description: Of a VMDK, the descriptor that it is a delta disk of; empty where it is none.
      type: str
    cid:
      description: Of a VMDK, the ID of its content, which changes when it is opened to be written.
      type: str
    parent_cid:
      description: Of a VMDK, the ID that its parent has to have.
      type: str
    create_type:
      description: Of a VMDK, its kind.
      type: str
    thin:
      description: Of a VMDK, whether its descriptor says that it takes only the space that is used.
      type: bool
    extents:
      description: Of a VMDK, the parts that its descriptor names, with C(access), C(size)
        in bytes, C(type) and C(file).
      type: list
      elements: dict
    datastore_path:
      description: The disk on its datastore.
      type: str
    sizes:
      description: Of a disk on a datastore, the sizes of the files of its
        extents; null for one that is locked.
      type: dict
    vm:
      description: Name of the VM.
      type: str
    moid:
      description: Managed object ID of the VM.
      type: str
    instance_uuid:
      description: Instance UUID of the VM.
      type: str
    power_state:
      description: Power state of the VM.
      type: str
    folder:
      description: Inventory path of the folder of the VM.
      type: str
    disks_of_vm:
      description: How many disks the VM has.
      type: int
    snapshots_of_vm:
      description: How many snapshots the VM has.
      type: int
    label:
      description: Label of the disk in the VM.
      type: str
    key:
      description: Key of the device in the VM.
      type: int
    unit:
      description: Controller, bus and unit in the VM.
      type: str
      sample: scsi0:0
    mode:
      description: Mode of the disk in the VM.
      type: str
    backing_type:
      description: Kind of the backing in the VM.
      type: str
      sample: FlatVer2
    chain:
      description: The disk's files, the topmost first.
      type: list
      elements: str
    change_id:
      description: From where changed areas count; empty where tracking is not active.
      type: str
    object_id:
      description: ID of the object, where it has one.
      type: str
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
  description: A stable code for what went wrong, such as V(invalid_disk), V(file_locked),
    V(missing_program) or V(not_found).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._disk import info
from ansible_collections.vforge.vsphere.plugins.module_utils._disk.model import InfoOptions


def argument_spec():
    """The options of the module."""
    return {
        **_argspec.connection(),
        "path": {"type": "path"},
        "datastore_path": {"type": "str"},
        "vm": _argspec.vm(),
        "disk": {"type": "str"},
        "source_format": {
            "type": "str",
            "choices": ["auto", "raw", "vmdk", "qcow2", "vhdx", "vpc", "vdi"],
            "default": "auto",
        },
        "digest": {"type": "bool", "default": False},
        "datacenter": {"type": "str"},
        **_argspec.timeout(3600),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(_argspec.connection_rules(), _argspec.one_of("path", "datastore_path", "vm"))


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), InfoOptions.from_params)
    run(module, InfoOptions.from_params, info.run, info.run_alone)


if __name__ == "__main__":
    main()
