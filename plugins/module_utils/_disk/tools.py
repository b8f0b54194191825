# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about a disk: what it is, what is on it, what differs, and how fast it is read. Changes
nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
import typing as t

from .._connector.find import Selector
from .._errors import NotFound, VforgeError
from .._programs import vddk_reason
from .._progress import Meter
from .._vsphere import fcd, transports, vmdk
from .._vsphere import proxy as proxies
from .._vsphere.datastore_files import DatastorePath, FileLocked
from .._vsphere.flat import SeveralFiles, without_files
from .._vsphere.transports import Way
from . import answers, asking, converting, metadata, read, reading
from .asking import SECTOR, BlockMap, DiskOfVm, LocalFile, ToolOptions
from .image import QemuImg
from .model import choose_disk
from .reading import DatastoreReader, ImageReader, Reader

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .._vsphere.disks import Disk
    from .model import DiskVm


class NotReadable(VforgeError):
    """No way of this module leads to the bytes of a disk."""

    error_code = "disk_not_readable"


class Found(t.NamedTuple):
    """A disk that a question is about.

    :ivar facts: what it is, for the result.
    :ivar text: the descriptor of a VMDK; None for other formats.
    """

    reader: Reader
    facts: dict[str, t.Any]
    text: vmdk.Descriptor | None


def run_alone(options: ToolOptions, tell: t.Callable[[str], None]) -> dict[str, t.Any] | None:
    """The module's result where all is on this machine; None for anything else.

    :raises VforgeError: it is not there, not whole, or cannot be read.
    """
    if not options.local:
        return None
    tool = QemuImg(time.monotonic() + options.timeout)
    return _answered(options, lambda source: _local(tool, t.cast(LocalFile, source)), tell)


def run(session: Session, options: ToolOptions) -> dict[str, t.Any]:
    """The module's result for disks in vSphere.

    :raises VforgeError: one is not there, or cannot be read.
    """
    deadline = session.deadline(options.timeout)

    def open_one(source: asking.Source) -> Found:
        if isinstance(source, LocalFile):
            return _local(QemuImg(deadline), source)
        if isinstance(source, DiskOfVm):
            return _of_vm(session, source, options, deadline)
        return _first_class(session, source, options, deadline)

    return _answered(options, open_one, session.show_progress)


def _answered(
    options: ToolOptions,
    open_one: t.Callable[[asking.Source], Found],
    tell: t.Callable[[str], None],
) -> dict[str, t.Any]:
    found = open_one(options.source)
    result: dict[str, t.Any] = {"changed": False, "capacity": found.reader.capacity}
    if options.question == asking.COMPARE:
        result["compared"] = _compared(found, options, open_one, tell)
    else:
        result[_KEYS[options.question]] = _ANSWERS[options.question](found, options, tell)
    return result


# Which disk


def _local(tool: QemuImg, source: LocalFile) -> Found:
    image = converting.source(tool, source.path, source.kind)
    facts = converting.described(tool, image)
    facts["transports"] = [{"name": "file", "usable": True, "reason": ""}]
    return Found(ImageReader(tool, image), facts, converting.descriptor_of(image))


def _of_vm(session: Session, source: DiskOfVm, options: ToolOptions, deadline: float) -> Found:
    vm = read.find(session, source.vm, options.datacenter)
    disk = choose_disk(vm, source.disk)
    return _in_vm(session, vm, disk, _transports(session, vm, disk), deadline, {})


def _in_vm(
    session: Session, vm: DiskVm, disk: Disk, ways: t.Sequence[Way], deadline: float, more: t.Mapping[str, t.Any]
) -> Found:
    """The disk of a VM.

    :param more: what its result says besides.
    """
    facts = {
        "vm": vm.name,
        "moid": vm.moid,
        "label": disk.label,
        "key": disk.key,
        "unit": disk.unit,
        "capacity": disk.capacity,
        "datastore_path": disk.file,
        "chain": list(disk.files),
        "uuid": disk.uuid,
        "change_id": disk.change_id or "",
        **more,
    }
    path = DatastorePath.parse(disk.file, "disk")
    by_vm = {"adapter": disk.controller, "hardware_version": vm.hardware}
    return _over_datastore(facts, ways, lambda: reading.of_vm(session, vm, disk, path, deadline), by_vm)


def _over_datastore(
    facts: dict[str, t.Any],
    ways: t.Sequence[Way],
    opened: t.Callable[[], DatastoreReader],
    otherwise: t.Mapping[str, t.Any] | None = None,
) -> Found:
    """A disk on a datastore, which is read over its path where that is possible.

    :param ways: that to its path first.
    :param opened: makes the reader.
    :param otherwise: what is said of it where its descriptor cannot be read.
    """
    path, capacity = facts["datastore_path"], facts["capacity"]
    reason = ways[0].reason
    if not reason:
        try:
            reader = opened()
        except (FileLocked, SeveralFiles) as error:
            reason = error.message.removesuffix(".")
        else:
            readable = {"transports": [way.as_result() for way in ways]}
            return Found(reader, {**converting.of_descriptor(reader.text), **facts, **readable}, reader.text)
    known = [Way(ways[0].name, reason), *ways[1:]]
    said = {**(otherwise or {}), "transports": [way.as_result() for way in known]}
    return Found(_Unreadable(path, capacity, reason), {**facts, **said}, None)


def _first_class(session: Session, source: asking.DetachedDisk, options: ToolOptions, deadline: float) -> Found:
    store = fcd.choose_store(fcd.read_stores(session, options.datacenter), source.store)
    disk = _chosen(session, store, source.selector)
    named = {"id": disk.id, "name": disk.name, "datastore": store.name}
    disk = dataclasses.replace(disk, attachments=fcd.read_attachments(session, [(disk.id, store)]).get(disk.id, ()))
    for each in disk.attachments:
        with contextlib.suppress(NotFound):  # this user may not read the VM, or it is gone
            # The disk is what that VM has now, which may be a delta disk.
            vm = read.find(session, Selector(moid=each.vm), None)
            own = choose_disk(vm, str(each.key))
            return _in_vm(session, vm, own, _transports(session, vm, own), deadline, named)
    facts = {
        **named,
        "capacity": disk.capacity_mb * asking.MIB,
        "datastore_path": disk.path,
        "chain": [disk.path, *disk.parents],
    }
    path = DatastorePath.parse(disk.path, "first_class_disk")
    ways = [Way(transports.DATASTORE_HTTP, _why_not_over_datastore(disk)), *_WITHOUT_VM]
    return _over_datastore(facts, ways, lambda: DatastoreReader(session, store.datacenter, path, deadline, None))


def _why_not_over_datastore(disk: fcd.FirstClassDisk) -> str:
    if disk.attached:
        holders = [each.vm for each in disk.attachments] or list(disk.consumers)
        return f"{', '.join(holders)} has it, of which vCenter says no more"
    if disk.parents:
        return "it has snapshots, and the content of its topmost disk is in several files"
    return without_files(disk.store.kind)


# Of a first class disk that no VM has.
_WITHOUT_VM = tuple(
    Way(name, "no VM has it: attach it to one, and ask about the disk of that VM")
    for name in (transports.EXPORT, transports.HOTADD, transports.NBD)
)


def _chosen(session: Session, store: fcd.Store, selector: fcd.DiskSelector) -> fcd.FirstClassDisk:
    if selector.id:
        return fcd.read_disk(session, store, selector.id)
    disks = fcd.read_disks(session, store, fcd.list_ids(session, store))
    named = [disk for disk in disks if isinstance(disk, fcd.FirstClassDisk) and disk.name == selector.name]
    return fcd.only_one(named, str(selector.name), store)


class _Unreadable:
    """A disk of which much can be said, and no byte read."""

    def __init__(self, label: str, capacity: int, reason: str) -> None:
        self.label = label
        self.capacity = capacity
        self._reason = reason

    def _refuse(self) -> NotReadable:
        return NotReadable(
            f"{self.label} cannot be read: {self._reason}.",
            hint="Power the VM off and remove its snapshots, or export the disk by module vmdk and ask about the file.",
        )

    def pieces(self, _start: int, _length: int) -> t.Iterator[bytes]:
        """Of none."""
        raise self._refuse()

    def areas(self) -> list[tuple[int, int]] | None:
        """Nobody says it."""
        raise self._refuse()

    def measured(self, _places: t.Sequence[t.Sequence[int]], _size: int) -> float:
        """Nothing can be measured."""
        raise self._refuse()


# How it could be read


def _transports(session: Session, vm: DiskVm, disk: Disk) -> list[Way]:
    """The ways to the bytes of a VM's disk, and why one is none."""
    proxy = proxies.find(session, None)
    return [
        Way(transports.DATASTORE_HTTP, transports.datastore_http(vm.subject, disk)),
        Way(transports.EXPORT, transports.export(vm.subject, disk)),
        Way(transports.HOTADD, transports.hotadd(vm.subject, disk, proxy if isinstance(proxy, str) else proxy.proxy)),
        Way(transports.NBD, _no_nbd()),
    ]


def _no_nbd() -> str:
    program = shutil.which("nbdkit")
    return "the program nbdkit is missing where the module runs" if program is None else vddk_reason(program, "")


# The answers


def _info(found: Found, _options: ToolOptions, _tell: t.Callable[[str], None]) -> dict[str, t.Any]:
    return found.facts


def _dump(found: Found, options: ToolOptions, _tell: t.Callable[[str], None]) -> list[str]:
    start = options.sector * SECTOR
    if start >= found.reader.capacity:
        raise NotFound(
            f"{found.reader.label} has {found.reader.capacity // SECTOR} sectors, and no sector {options.sector}.",
            hint="The first sector is 0.",
            option="sector",
        )
    return answers.dump(reading.bytes_of(found.reader, start, options.count * SECTOR), start)


def _allocated(found: Found, options: ToolOptions, tell: t.Callable[[str], None]) -> dict[str, t.Any]:
    areas, size = found.reader.areas(), options.block_size
    known = areas is not None
    if areas is None:
        areas = _by_reading(found.reader, size, tell)
    blocks = answers.blocks(areas, size, found.reader.capacity)
    return {
        "block_size": size,
        "bytes": sum(length for _start, length in blocks),
        "blocks": sum(-(-length // size) for _start, length in blocks),
        "areas": [{"start": start, "length": length} for start, length in blocks],
        "method": "tables" if known else "read",
    }


def _by_reading(reader: Reader, size: int, tell: t.Callable[[str], None]) -> list[tuple[int, int]]:
    """What is not zeros, where only the bytes say it."""
    meter, found, at = Meter(f"reading {reader.label}", reader.capacity, tell), [], 0
    for piece in reader.pieces(0, reader.capacity):
        if piece.strip(b"\0"):
            found += [
                (at + begin, min(size, len(piece) - begin))
                for begin in range(0, len(piece), size)
                if piece[begin : begin + size].strip(b"\0")
            ]
        at += len(piece)
        meter.add(len(piece))
    return found


def _digests(found: Reader, size: int, tell: t.Callable[[str], None]) -> list[str]:
    if found.capacity > size * asking.MOST_BLOCKS:
        raise NotReadable(
            f"{found.label} has more than {asking.MOST_BLOCKS} blocks of {size} bytes.",
            hint="Raise block_size.",
        )
    areas = found.areas()
    digests, at = answers.Digests(size), 0
    meter = Meter(f"reading {found.label}", found.capacity, tell)
    for start, length in areas if areas is not None else [(0, found.capacity)]:
        digests.zeros(start - at)
        for piece in found.pieces(start, length):
            digests.take(piece)
        at = start + length
        meter.reach(at, found.capacity)
    digests.zeros(found.capacity - at)
    return digests.end()


def _map(found: Found, options: ToolOptions, tell: t.Callable[[str], None]) -> dict[str, t.Any]:
    return {
        "block_size": options.block_size,
        "sha256": _digests(found.reader, options.block_size, tell),
    }


def _benchmark(found: Found, options: ToolOptions, tell: t.Callable[[str], None]) -> dict[str, t.Any]:
    asked, size = options.benchmark, options.block_size
    where = reading.places(found.reader.capacity, size, asked)
    tell(f"reading {asked.reads} blocks of {found.reader.label}")
    seconds = found.reader.measured(where, size)
    read_bytes = sum(min(size, found.reader.capacity - at) for part in where for at in part)
    return {
        "block_size": size,
        "order": asked.order,
        "streams": len(where),
        "reads": asked.reads,
        "bytes": read_bytes,
        "seconds": round(seconds, 6),
        "bytes_per_second": int(read_bytes / max(seconds, 1e-6)),
    }


def _metadata(found: Found, _options: ToolOptions, _tell: t.Callable[[str], None]) -> dict[str, str]:
    if found.text is None:
        found.reader.areas()  # what cannot be read says why
        raise NotReadable(
            f"{found.reader.label} is no VMDK, and has no metadata.",
            hint="Convert it by module vmdk.",
        )
    return metadata.entries(found.text)


_KEYS = {
    asking.INFO: "disk",
    asking.DUMP: "dump",
    asking.ALLOCATED: "allocated",
    asking.MAP: "map",
    asking.READ_BENCHMARK: "read_benchmark",
    asking.METADATA: "metadata",
}
_ANSWERS: dict[str, t.Callable[[Found, ToolOptions, t.Callable[[str], None]], t.Any]] = {
    asking.INFO: _info,
    asking.DUMP: _dump,
    asking.ALLOCATED: _allocated,
    asking.MAP: _map,
    asking.READ_BENCHMARK: _benchmark,
    asking.METADATA: _metadata,
}


def _compared(
    found: Found,
    options: ToolOptions,
    open_one: t.Callable[[asking.Source], Found],
    tell: t.Callable[[str], None],
) -> dict[str, t.Any]:
    if isinstance(options.other, BlockMap):
        return _with_map(found.reader, options.other, tell)
    other = open_one(t.cast(asking.Source, options.other)).reader
    differences = answers.Differences()
    mine, theirs = _whole(found.reader), _whole(other)
    meter = Meter(f"comparing {found.reader.label}", max(found.reader.capacity, other.capacity), tell)
    for start, length in answers.union(mine, theirs):
        # Sectors are counted whole, wherever an area begins.
        at, end = start // SECTOR * SECTOR, -(-(start + length) // SECTOR) * SECTOR
        both = (reading.parts(reader, at, end - at) for reader in (found.reader, other))
        for one, another in zip(*both, strict=True):
            differences.take(one, another, at)
            at += len(one)
        meter.reach(start + length, max(found.reader.capacity, other.capacity))
    return {
        "same": differences.first is None,
        "first_difference": differences.first,
        "different_sectors": differences.sectors,
        "other_capacity": other.capacity,
    }


def _whole(reader: Reader) -> list[tuple[int, int]]:
    areas = reader.areas()
    return [(0, reader.capacity)] if areas is None else areas


def _with_map(reader: Reader, known: BlockMap, tell: t.Callable[[str], None]) -> dict[str, t.Any]:
    now = _digests(reader, known.block_size, tell)
    wrong = [at for at, digest in enumerate(now) if at >= len(known.digests) or digest != known.digests[at]]
    missing = max(len(known.digests) - len(now), 0)
    first = wrong[0] if wrong else len(now) if missing else None
    return {
        "same": first is None,
        "first_difference": None if first is None else first * known.block_size,
        "different_blocks": len(wrong) + missing,
        "block_size": known.block_size,
    }
