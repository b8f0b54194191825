# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Export, import, copy, convert and delete VMDKs."""

DOCUMENTATION = r"""
module: vmdk
short_description: Export, import, copy, convert and delete VMDKs
version_added: 0.9.0
description:
  - Gets a disk of a VM as a file, makes a disk on a datastore of a file, copies disks on
    datastores, and converts files.
  - What was made is proved. A streamOptimized VMDK is read to its end, and every grain of
    it is decompressed. All else is compared with what it was made of. Sizes and digests are
    compared with what hosts report.
  - Nothing half-made is ever in the place of a disk. It is made in a folder beside
    it, and moved when it is whole.
  - Formats are read and written by C(qemu-img), which has to be on the PATH of the machine where
    the module runs. An image may name no files outside of its own folder.
options:
  state:
    description:
      - V(exported) gets a disk of O(vm) into the file O(path).
      - V(imported) makes the disk O(datastore_path) of the file O(path), by a lease. Never is a
        disk written to the path of a datastore, since such a disk cannot be used on vSAN.
      - V(copied) copies the disk O(datastore_path) to O(destination), within one datacenter. A
        disk that a running VM has locked is refused; O(state=exported) gets it.
      - V(converted) makes the file O(destination) of the file O(path). It needs no vCenter.
      - V(described) sets O(metadata) in the file O(path), which needs no vCenter and no
        C(qemu-img), in the disk O(datastore_path), or in a disk of O(vm), which has to be powered
        off. The descriptor has to be a text file of its own.
      - V(absent) deletes the disk O(datastore_path), or the file O(path) with all that
        its descriptor names. A disk that a VM has, on or off, or that a snapshot or a
        linked clone builds on, is refused, and so is a first class disk. Of O(path) a folder
        is refused. A file is refused that is no disk, neither by its name (such as
        C(.vmdk), C(.qcow2), C(.raw), C(.img)) nor by its content, and that this module has not
        made; O(force) deletes it all the same.
    type: str
    choices: [exported, imported, copied, converted, described, absent]
    required: true
  path:
    description:
      - A file on the machine where the module runs.
    type: path
  datastore_path:
    description:
      - A disk on a datastore, as vSphere names it, such as V([datastore1]
        web/web.vmdk), without C(-flat).
    type: str
  destination:
    description:
      - For O(state=converted) the file that is made. For O(state=copied) the disk that
        is made, as O(datastore_path).
    type: str
  vm:
    description:
      - The VM whose disk is exported or described, named in exactly one way.
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
  snapshot:
    description:
      - A snapshot of O(vm), named in exactly one way, as which the disk is exported. It stays.
      - A text is its name, or its path where it begins with a slash.
    type: dict
    suboptions:
      name:
        description: Name of the snapshot. When several have it, the task fails
          and lists their paths and moids.
        type: str
      path:
        description:
          - Names from the root of the snapshot tree down to it, joined by
            slashes, such as V(base/patched).
          - A slash within a name is written V(%2f).
        type: str
      moid:
        description: Managed object ID of the snapshot, such as V(snapshot-42).
        type: str
      current:
        description: Whether the current snapshot is meant.
        type: bool
        default: false
  transport:
    description:
      - How a disk is exported.
      - V(datastore) reads the file with its content over the path of its datastore. This takes a VM
        that is powered off and has no snapshots, on a datastore with files, so not on vSAN. Areas
        that were never written are not transferred where changed block tracking knows them. A run
        that was interrupted is gone on with where it came to.
      - V(lease) gets the disk by an export lease, streamOptimized, whole and from its start each
        time. Of a running VM a snapshot is made for it, and removed.
      - V(auto) takes V(datastore) where that is possible, and otherwise V(lease).
    type: str
    choices: [auto, datastore, lease]
    default: auto
  source_format:
    description:
      - Format of O(path) where it is read.
      - V(auto) goes by the name and the first bytes. Give V(raw) for a raw image whose content is
        not to be trusted, since who writes it may write there what looks like another format. Names
        that end in C(-flat.vmdk), C(.raw) or C(.img) are raw.
    type: str
    choices: [auto, raw, vmdk, qcow2, vhdx, vpc, vdi]
    default: auto
  format:
    description:
      - Format of the file that is exported or converted to.
    type: str
    choices: [vmdk, raw, qcow2, vhdx, vpc, vdi]
    default: vmdk
  subformat:
    description:
      - Kind of the VMDK that is made. V(streamOptimized), which is the default, is
        compressed, and what hosts import.
    type: str
    choices: [streamOptimized, monolithicSparse, monolithicFlat, twoGbMaxExtentSparse, twoGbMaxExtentFlat]
  adapter:
    description:
      - The adapter in the descriptor of the disk, V(lsilogic) by default. V(legacyESX) is for
        O(state=converted) alone. For pvSCSI and NVMe VMware's products write V(lsilogic).
      - Where it is set, a disk that was imported with another one is refused, unless O(force) is
        set. This is known by what the import has noted beside the disk.
    type: str
    choices: [lsilogic, buslogic, ide, legacyESX]
  hardware_version:
    description:
      - Version of the virtual hardware in the descriptor of a VMDK that is made, from 4 to 40.
    type: int
  provisioning:
    description:
      - How an imported disk takes space.
      - A disk that was imported with another value is refused, unless O(force) is set, which
        imports it again. What the storage has made of it is not compared.
    type: str
    choices: [thin, thick, eager_zeroed_thick]
    default: thin
  checksum:
    description:
      - C(sha256:) and the SHA-256 of the file O(path), in hexadecimal digits. A
        file that has another one is not read. Of an image that was cut short
        nothing else shows it in every format.
    type: str
  verify:
    description:
      - How an imported disk is proved.
      - V(manifest) compares the size and the digest that the host reports
        of the file with what was sent. A release of vSphere need not report them; a warning says
        where there was no digest.
      - V(content) reads the disk back from its datastore besides, and compares its
        content. This is not possible on vSAN. A disk that was imported without is read back, too.
    type: str
    choices: [manifest, content]
    default: manifest
  metadata:
    description:
      - Entries of the disk database of a VMDK, which are the lines C(ddb.*) of its
        descriptor, by name without C(ddb.), such as V(toolsVersion). An empty value removes
        one. What is not named stays as it is.
      - Upper and lower case of names are the same. C(geometry.*), C(longContentID) and
        C(thinProvisioned) describe the disk itself, and are refused.
      - A sparse or streamOptimized VMDK has its descriptor inside of it, and is refused;
        O(state=converted) with O(subformat=monolithicFlat) makes one that has not.
      - Of a disk on a datastore the descriptor is read and replaced over its path, and read back;
        its content is not touched, nor its CID. A disk that a VM has which is not powered off, on
        which delta disks build, or which is on vSAN or vVols is refused.
    type: dict
  datacenter:
    description:
      - Name or path of the datacenter to look in. Not needed where there is only one.
    type: str
  host:
    description:
      - ESXi host by which an import goes. By default any that has the datastore.
    type: str
  force:
    description:
      - Whether a disk that is in the place already is replaced, or made again.
      - Without it, one that was not made of the same source is left alone, and the task fails.
      - A disk that a VM has, on or off, and a first class disk are not replaced in any case.
      - With O(state=absent), whether a file O(path) is deleted that is no disk as far as can be
        seen.
    type: bool
    default: false
  timeout:
    description:
      - Seconds that the task may take, from its beginning.
    type: int
    default: 3600
notes:
  - Beside a file that is made, its name with a dot before it and C(.vforge) behind it notes what it
    was made of. Beside a disk that is imported or copied, C(NAME.vmdk.vforge) does, and
    C(NAME.vmdk.vforge-begun) while it is copied. By these the next run knows that nothing is to be
    done, without reading a disk. Where a run ended amid a copy, the next one reads both disks, and
    leaves another one that is in the place since; on vSAN, where no disk can be read, O(force) is
    needed then.
  - A copy that replaces a disk is made beside it, as C(NAME.vforge-copy.vmdk), which needs the room
    for both, and takes its place when it is whole.
  - A folder of a datastore is made where there is none. When the disk does not come, it is removed
    again if nothing is in it. Where this user may not browse the datastore, it stays, with a
    warning.
  - A file is made in the folder C(.NAME.vforge-part) beside it, which needs the room for it, and
    for O(transport=datastore) for the content, too. There it stays after an interruption, and the
    next run goes on with it. The folder of an import is C(.NAME.stream.vforge-part), beside
    O(path).
  - An import makes a VM C(vforge-import-...) in the VM folder of the datacenter for
    the disk, and removes it. One that a killed run has left is removed by the next
    run to the same O(datastore_path).
  - A 4Kn disk (vSphere 9.0 and later) is not exported, since an imported disk has sectors of 512
    bytes.
  - Needed privileges are Datastore.FileManagement for O(transport=datastore), O(state=copied),
    O(state=described) and O(state=absent); Datastore.Config for O(state=imported) and
    O(state=copied) into a new folder of vSAN or vVols; VApp.Export, and
    VirtualMachine.State.CreateSnapshot and VirtualMachine.State.RemoveSnapshot of running VMs, for
    O(transport=lease); VApp.Import, Resource.AssignVMToPool, Datastore.AllocateSpace,
    VirtualMachine.Inventory.Create, VirtualMachine.Inventory.Delete,
    VirtualMachine.Config.RemoveDisk and Datastore.FileManagement for O(state=imported).
  - Proved on the simulator and with the formats' own programs; not on a real vCenter.
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
      - An exported disk of a VM that is off is exported again when it was changed. Where it comes by
        a lease and the host does not tell its content ID, a start or a new configuration of the VM
        counts as a change. Of a running VM a later state is exported only with O(force=true).
  action_group:
    support: full
requirements:
  - qemu-img 6.0 or later
seealso:
  - module: vforge.vsphere.vmdk_info
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: The disk of a VM as a compressed file
  vforge.vsphere.vmdk:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    state: exported
    vm:
      name: web-1
    disk: Hard disk 1
    path: /srv/images/web-1.vmdk

- name: Make a VMDK of a cloud image
  vforge.vsphere.vmdk:
    state: converted
    path: /srv/images/debian-13.qcow2
    destination: /srv/images/debian-13.vmdk
    checksum: "sha256:{{ debian_13_sha256 }}"

- name: Make a disk of any image, which is converted on its way
  vforge.vsphere.vmdk:
    state: imported
    path: /srv/images/debian-13.qcow2
    datastore_path: "[datastore1] web-2/web-2.vmdk"
    provisioning: thin

- name: Copy it
  vforge.vsphere.vmdk:
    state: copied
    datastore_path: "[datastore1] web-2/web-2.vmdk"
    destination: "[datastore2] web-3/web-3.vmdk"

- name: Say in a VMDK who has made it
  vforge.vsphere.vmdk:
    state: described
    path: /srv/images/web-2.vmdk
    metadata:
      comment: made by the nightly build

- name: Say it in the disk of a VM that is off
  vforge.vsphere.vmdk:
    state: described
    vm:
      name: web-1
    disk: Hard disk 1
    metadata:
      comment: made by the nightly build

- name: Delete it
  vforge.vsphere.vmdk:
    state: absent
    datastore_path: "[datastore1] web-2/web-2.vmdk"
"""

RETURN = r"""
disks:
  description: The disk, as the only entry of a list.
  returned: unless the options were refused
  type: list
  elements: dict
  contains:
    name:
      description: Name of the file.
      type: str
    place:
      description: Where the disk is, or is to be.
      type: str
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
    provisioning:
      description: How the disk takes space, as O(provisioning).
      returned: with O(state=imported)
      type: str
    datastore_path:
      description: The disk on its datastore.
      returned: with O(state=described), for a disk on a datastore
      type: str
    metadata:
      description: Entries of the disk database after the task, by their names
        in lower case, without C(ddb.).
      returned: with O(state=described)
      type: dict
    content_sha256:
      description: SHA-256 of the content from its first byte to its last one,
        which is the same in every format.
      type: str
    vm:
      description: Name of the VM whose disk was exported.
      type: str
    moid:
      description: Managed object ID of that VM.
      type: str
    instance_uuid:
      description: Instance UUID of that VM.
      type: str
    disk:
      description: Label of the disk in that VM.
      type: str
    transport:
      description: V(datastore) or V(lease).
      returned: with O(state=exported)
      type: str
    witnessed:
      description: Whether the host has reported the size or the digest of what it has sent.
      returned: with O(transport=lease)
      type: bool
    fetched:
      description: Bytes that came from vSphere in this run.
      type: int
    resumed:
      description: Bytes that had come in an earlier run, which was interrupted.
      type: int
    sent:
      description: Bytes that were sent to vSphere in this run.
      type: int
    actions:
      description:
        - What was done, or in check mode would be, of V(exported), V(imported), V(copied),
          V(converted), V(described) and V(deleted).
      type: list
      elements: str
    changed:
      description: Whether anything was done.
      type: bool
    seconds:
      description: Seconds that vCenter has worked on it; null where it did not.
      type: float
    error:
      description: Where it failed, C(error_code) and C(msg).
      type: dict
counts:
  description: How many disks there are of each action.
  returned: as RV(disks)
  type: dict
  sample: {"exported": 1}
failures:
  description: The disk, in short, where it failed, with C(name), C(error_code) and C(msg).
  returned: where a vCenter was needed
  type: list
  elements: dict
timing:
  description: Seconds by phase. C(transfer) is the part of C(work) in which a disk is on its way.
  returned: always
  type: dict
calls:
  description: SOAP calls of the task, with C(total), C(update_rounds) (waiting, not in the total),
    C(by_method), C(bytes_received) and, of these, C(bytes_by_phase).
  returned: when a connection was tried
  type: dict
error_code:
  description:
    - A stable code for what went wrong, such as V(invalid_disk) for an image that is damaged or not
      whole, V(exists), V(file_locked), V(metadata_not_writable), V(descriptor_not_written),
      V(export_incomplete), V(incomplete_upload), V(in_use), V(missing_program) or V(not_found).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._disk import task
from ansible_collections.vforge.vsphere.plugins.module_utils._disk.model import DiskOptions


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
        "state": {
            "type": "str",
            "choices": ["exported", "imported", "copied", "converted", "described", "absent"],
            "required": True,
        },
        "path": {"type": "path"},
        "datastore_path": {"type": "str"},
        "destination": {"type": "str"},
        "vm": _argspec.vm(),
        "disk": {"type": "str"},
        "snapshot": {"type": "dict", "options": snapshot, "mutually_exclusive": [["name", "path", "moid"]]},
        "transport": {"type": "str", "choices": ["auto", "datastore", "lease"], "default": "auto"},
        "source_format": {
            "type": "str",
            "choices": ["auto", "raw", "vmdk", "qcow2", "vhdx", "vpc", "vdi"],
            "default": "auto",
        },
        "format": {"type": "str", "choices": ["vmdk", "raw", "qcow2", "vhdx", "vpc", "vdi"], "default": "vmdk"},
        "subformat": {
            "type": "str",
            "choices": [
                "streamOptimized",
                "monolithicSparse",
                "monolithicFlat",
                "twoGbMaxExtentSparse",
                "twoGbMaxExtentFlat",
            ],
        },
        "adapter": {"type": "str", "choices": ["lsilogic", "buslogic", "ide", "legacyESX"]},
        "hardware_version": {"type": "int"},
        "provisioning": {"type": "str", "choices": ["thin", "thick", "eager_zeroed_thick"], "default": "thin"},
        "checksum": {"type": "str"},
        "verify": {"type": "str", "choices": ["manifest", "content"], "default": "manifest"},
        "metadata": {"type": "dict"},
        "datacenter": {"type": "str"},
        "host": {"type": "str"},
        "force": {"type": "bool", "default": False},
        **_argspec.timeout(3600),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(
        _argspec.connection_rules(),
        {
            "required_if": [
                ["state", "exported", ["vm", "path"]],
                ["state", "imported", ["path", "datastore_path"]],
                ["state", "copied", ["datastore_path", "destination"]],
                ["state", "converted", ["path", "destination"]],
                ["state", "described", ["metadata"]],
                ["state", "absent", ["path", "datastore_path"], True],
            ]
        },
    )


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), DiskOptions.from_params)
    run(
        module,
        DiskOptions.from_params,
        lambda session, options: task.run(session, options, check=module.check_mode),
        lambda options, tell: task.run_alone(options, tell, check=module.check_mode),
    )


if __name__ == "__main__":
    main()
