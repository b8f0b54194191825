# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say what is on a disk, what differs, and how fast it is read."""

DOCUMENTATION = r"""
module: disk_tool_info
short_description: Say what is on a disk, what differs, and how fast it is read
version_added: 0.9.0
description:
  - Answers one question about a disk, which is a file on the machine where the module runs in any
    format that C(qemu-img) reads, a disk of a VM, or a first class disk. Nothing is changed.
  - Bytes of a disk in vSphere are read over its datastore, so its VM has to be
    powered off and without snapshots. Where they cannot be read, O(question=info)
    says why, and which other ways there are.
  - What VMware's disk library answers by its sample program, without that library.
options:
  question:
    description:
      - What is asked.
      - V(info), what the disk is, its chain, its descriptor, and by which ways it can be read, with
        a reason for each that is none.
      - V(dump), O(count) sectors from O(sector) on, in hexadecimal digits and text.
      - V(allocated), which blocks of O(block_size) are in use. An image's own tables say it, for a
        VM's disk changed block tracking; where nobody does, the whole disk is read.
      - V(compare), whether the disk has the content of another, or of a map that was made earlier.
      - V(map), the SHA-256 of each block of O(block_size), to compare with later.
      - V(read_benchmark), how fast the disk is read, with O(block_size),
        O(order), O(reads) and O(streams).
      - V(metadata), the entries of a VMDK's disk database.
    type: str
    required: true
    choices: [info, dump, allocated, compare, map, read_benchmark, metadata]
  path:
    description:
      - A file on the machine where the module runs. No vCenter is needed for it.
      - Exactly one of O(path), O(vm) and O(first_class_disk) names the disk.
    type: path
  source_format: &source_format
    description:
      - Format of the file.
      - V(auto) goes by the name and the first bytes. Give V(raw) for a raw image
        whose content is not to be trusted.
    type: str
    choices: [auto, raw, vmdk, qcow2, vhdx, vpc, vdi]
    default: auto
  vm: &vm
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
          - BIOS UUID of the VM, or its instance UUID with C(use_instance_uuid).
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
          - Inventory path of the folder that holds the VM that is named by C(name).
        type: str
  disk: &disk
    description:
      - Which disk of the VM, by its label (V(Hard disk 1)), its place (V(scsi0:1)), its key
        (V(2000)) or its file. Not needed where it has only one.
    type: str
  first_class_disk: &first_class_disk
    description:
      - The first class disk that is meant, by its ID or, where no other of its
        datastore has it, by its name.
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
      datastore:
        description:
          - Name, inventory path or managed object ID of its datastore.
        type: str
        required: true
  other:
    description:
      - For V(compare), the disk that it is compared with.
    type: dict
    suboptions:
      path:
        description:
          - A file on the machine where the module runs.
        type: path
      source_format: *source_format
      vm: *vm
      disk: *disk
      first_class_disk: *first_class_disk
  map:
    description:
      - For V(compare), what V(map) returned earlier.
    type: dict
    suboptions:
      block_size:
        description:
          - Bytes of a block.
        type: int
        required: true
      sha256:
        description:
          - SHA-256 of each block.
        type: list
        elements: str
        required: true
  sector:
    description:
      - For V(dump), the first sector of 512 bytes.
    type: int
    default: 0
  count:
    description:
      - For V(dump), how many sectors, 2048 at most.
    type: int
    default: 1
  block_size:
    description:
      - Bytes of a block, a multiple of 512, at most 4 MiB.
    type: int
    default: 65536
  order:
    description:
      - For V(read_benchmark), whether one block is read after the other, or any;
        these are the same in each run.
    type: str
    choices: [sequential, random]
    default: sequential
  reads:
    description:
      - For V(read_benchmark), how many blocks are read.
    type: int
    default: 256
  streams:
    description:
      - For V(read_benchmark), how many read at the same time, each over a connection of its own.
    type: int
    default: 1
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
  - Proved on the simulator and with the formats' own programs; not on a real vCenter.
  - A dump shows what is on the disk, secrets among it. Set C(no_log) for the
    task where that is not to be seen.
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
  - qemu-img and qemu-io 6.0 or later, for O(path)
seealso:
  - module: vforge.vsphere.vmdk_info
  - module: vforge.vsphere.vmdk
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: The partition table of an image
  vforge.vsphere.disk_tool_info:
    question: dump
    path: /srv/images/web-1.vmdk
    sector: 0
    count: 2
  register: first

- name: Is the image what the VM has?
  vforge.vsphere.disk_tool_info:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    question: compare
    vm:
      name: web-1
    disk: scsi0:0
    other:
      path: /srv/images/web-1.vmdk
  register: comparison

- name: How fast is the datastore, with four readers at random places?
  vforge.vsphere.disk_tool_info:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    question: read_benchmark
    first_class_disk:
      name: scratch
      datastore: datastore1
    order: random
    block_size: 65536
    streams: 4
"""

RETURN = r"""
capacity:
  description: Of the disk, in bytes.
  returned: success
  type: int
disk:
  description:
    - What the disk is, with C(chain), C(uuid), C(adapter), C(hardware_version) and
      C(extents) as far as it has them, and C(transports), the ways to its bytes, each with
      C(name), C(usable) and C(reason).
    - Where the descriptor of a disk of a VM cannot be read, as while the VM runs, C(adapter) is the kind
      of the VM's controller, such as V(pvscsi), and C(hardware_version) that of the VM.
  returned: for O(question=info)
  type: dict
dump:
  description: Rows of sixteen bytes, with the place of the first; rows that
    repeat the one before are one V(*).
  returned: for O(question=dump)
  type: list
  elements: str
  sample: ["000000000000  33 c0 8e d0 bc 00 7c 8e  c0 8e d8 be 00 7c bf 00  |3.....|......|..|"]
allocated:
  description: What is in use.
  returned: for O(question=allocated)
  type: dict
  contains:
    block_size:
      description: Bytes of a block.
      type: int
    blocks:
      description: How many are in use.
      type: int
    bytes:
      description: Bytes of all of them.
      type: int
    areas:
      description: The blocks, those that touch in one, with C(start) and C(length) in bytes.
      type: list
      elements: dict
    method:
      description: V(tables), where the image or changed block tracking says it, or V(read).
      type: str
compared:
  description: What differs.
  returned: for O(question=compare)
  type: dict
  contains:
    same:
      description: Whether nothing does. What one disk has more than the other has to be zeros.
      type: bool
    first_difference:
      description: Place of the first byte that differs, with O(map) of
        its block; null where none does.
      type: int
    different_sectors:
      description: How many sectors of 512 bytes differ. Of another disk.
      type: int
    other_capacity:
      description: Of the other disk, in bytes.
      type: int
    different_blocks:
      description: How many blocks differ. Of a map.
      type: int
    block_size:
      description: Bytes of a block of the map.
      type: int
map:
  description: The SHA-256 of each block, with C(block_size) and C(sha256).
  returned: for O(question=map)
  type: dict
read_benchmark:
  description: What was read, and how fast.
  returned: for O(question=read_benchmark)
  type: dict
  contains:
    block_size:
      description: Bytes of a block.
      type: int
    order:
      description: As it was asked for.
      type: str
    streams:
      description: How many read at the same time.
      type: int
    reads:
      description: How many blocks were read.
      type: int
    bytes:
      description: Bytes of all of them.
      type: int
    seconds:
      description: From the first read to the end of the last one.
      type: float
    bytes_per_second:
      description: Of all streams.
      type: int
metadata:
  description: The entries of the disk database, without the C(ddb.) before each.
  returned: for O(question=metadata)
  type: dict
  sample: {"adaptertype": "lsilogic", "uuid": "60 00 c2 9a 00 11 22 33-44 55 66 77 88 99 aa bb"}
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
  description: A stable code for what went wrong, such as V(disk_not_readable),
    V(invalid_disk) or V(file_locked).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._disk import tools
from ansible_collections.vforge.vsphere.plugins.module_utils._disk.asking import ToolOptions


def _source():
    """A disk, wherever it is."""
    return {
        "path": {"type": "path"},
        "source_format": {"type": "str", "choices": ["auto", "raw", "vmdk", "qcow2", "vhdx", "vpc", "vdi"], "default": "auto"},
        "vm": _argspec.vm(),
        "disk": {"type": "str"},
        "first_class_disk": {
            "type": "dict",
            "options": {
                "id": {"type": "str"},
                "name": {"type": "str"},
                "datastore": {"type": "str", "required": True},
            },
        },
    }


def argument_spec():
    """The options of the module."""
    return {
        **_argspec.connection(),
        **_source(),
        "question": {
            "type": "str",
            "required": True,
            "choices": [
                "info",
                "dump",
                "allocated",
                "compare",
                "map",
                "read_benchmark",
                "metadata",
            ],
        },
        "other": {"type": "dict", "options": _source()},
        "map": {
            "type": "dict",
            "options": {
                "block_size": {"type": "int", "required": True},
                "sha256": {"type": "list", "elements": "str", "required": True, "no_log": False},
            },
        },
        "sector": {"type": "int", "default": 0},
        "count": {"type": "int", "default": 1},
        "block_size": {"type": "int", "default": 65536},
        "order": {"type": "str", "choices": ["sequential", "random"], "default": "sequential"},
        "reads": {"type": "int", "default": 256},
        "streams": {"type": "int", "default": 1},
        "datacenter": {"type": "str"},
        **_argspec.timeout(3600),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(_argspec.connection_rules(), _argspec.one_of("path", "vm", "first_class_disk"))


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), ToolOptions.from_params)
    run(module, ToolOptions.from_params, tools.run, tools.run_alone)


if __name__ == "__main__":
    main()
