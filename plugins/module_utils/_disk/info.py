# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VMDK is: a file on this machine, one on a datastore, or a disk of a VM. Changes nothing."""

from __future__ import annotations

import tempfile
import time
import typing as t

from .._connector import names
from .._disk_import import places
from .._progress import Meter
from .._vsphere import vmdk
from .._vsphere.datastore_files import DatastoreFiles, DatastorePath, FileLocked
from .._vsphere.flat import Flat
from . import converting, exporting, local, plan, read
from .image import QemuImg
from .model import InfoOptions, choose_disk

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .._vsphere.disks import Disk
    from .model import DiskVm


def run_alone(options: InfoOptions, tell: t.Callable[[str], None]) -> dict[str, t.Any] | None:
    """The module's result for a file on this machine; None for anything else.

    :raises ImageError: it is not there, not whole, or another thing.
    """
    if not options.path:
        return None
    tool = QemuImg(time.monotonic() + options.timeout)
    found = converting.source(tool, options.path, options.source_format)
    facts = converting.described(tool, found)
    if options.digest:
        meter = Meter(f"reading {options.path}", found.capacity, tell)
        with tempfile.TemporaryDirectory(prefix="vforge-") as scratch:
            facts["content_sha256"] = local.content_digest(found, tool, f"{scratch}/raw", meter.add)
    return {"changed": False, "disk": facts}


def run(session: Session, options: InfoOptions) -> dict[str, t.Any]:
    """The module's result for a disk in vSphere.

    :raises VforgeError: it is not there, or cannot be read.
    """
    deadline = session.deadline(options.timeout)
    if options.vm is not None:
        vm = read.find(session, options.vm, options.datacenter)
        disk = choose_disk(vm, options.disk)
        with DatastoreFiles(session, vm.datacenter, deadline) as files:
            path = DatastorePath.parse(disk.file, "disk")
            facts = _of_vm(vm, disk) | _on_datastore(session, files, path, options, (vm, disk))
        return {"changed": False, "disk": facts}
    path = t.cast(DatastorePath, options.on_datastore)
    _ref, datacenter = places.datacenter(session, options.datacenter, path)
    with DatastoreFiles(session, datacenter, deadline) as files:
        return {"changed": False, "disk": _on_datastore(session, files, path, options, None)}


def _of_vm(vm: DiskVm, disk: Disk) -> dict[str, t.Any]:
    return {
        "vm": vm.name,
        "moid": vm.moid,
        "instance_uuid": vm.instance_uuid,
        "power_state": vm.power_state,
        "folder": names.join(names.split(vm.path)[:-1]),
        "disks_of_vm": len(vm.disks),
        "snapshots_of_vm": len(vm.snapshots),
        "label": disk.label,
        "key": disk.key,
        "unit": disk.unit,
        "mode": disk.mode,
        "backing_type": disk.backing,
        "chain": list(disk.files),
        "change_id": disk.change_id or "",
        "object_id": disk.object_id,
    }


def _on_datastore(
    session: Session,
    files: DatastoreFiles,
    path: DatastorePath,
    options: InfoOptions,
    of: tuple[DiskVm, Disk] | None,
) -> dict[str, t.Any]:
    flat = Flat(files, path)
    facts = {
        "datastore_path": str(path),
        "format": "vmdk",
        "subformat": flat.text.create_type,
        "capacity": flat.text.capacity,
        **converting.of_descriptor(flat.text),
        "allocated": None,
    }
    areas = exporting.areas_in_use(session, *of) if of is not None and of[0].power_state == "poweredOff" else None
    if areas is not None:
        facts["allocated"] = sum(length for _start, length in plan.spans(areas, flat.text.capacity))
    sizes: dict[str, int | None] = {}
    for each in flat.text.extents:
        if each.file:
            sizes[each.file] = _size(files, path, each)
    facts["sizes"] = sizes
    if options.digest:
        wanted = plan.spans(areas, flat.capacity)
        facts["content_sha256"] = exporting.content_of(flat, wanted, session.show_progress, str(path))
    return facts


def _size(files: DatastoreFiles, path: DatastorePath, extent: vmdk.Extent) -> int | None:
    """Of the file of an extent; None where the server does not say it."""
    if "/" in extent.file:
        return None
    try:
        return files.state(path.beside(extent.file)).size
    except FileLocked:
        return None
