# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any part of a disk, whatever it is: an image on this machine, or a disk in vSphere that is not
locked.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import os
import random
import tempfile
import threading
import time
import typing as t

from .. import _signals
from .._connector.web import Stop
from .._vsphere.datastore_files import DatastoreFiles
from .._vsphere.flat import Flat
from . import exporting, image
from .asking import MIB, RANDOM, Benchmark

if t.TYPE_CHECKING:
    import subprocess

    from .._connector.session import Session
    from .._vsphere.datastore_files import DatastorePath
    from .._vsphere.disks import Disk
    from .image import Image, QemuImg
    from .model import DiskVm

# So much of an image that is not raw is unpacked at once.
_WINDOW = 64 * MIB


class Reader(t.Protocol):
    """A disk that can be read.

    :ivar label: what messages call it.
    :ivar capacity: in bytes.
    """

    label: str
    capacity: int

    def pieces(self, _start: int, _length: int, /) -> t.Iterator[bytes]:
        """The bytes from there, in their order.

        :raises VforgeError: they cannot be had.
        """

    def areas(self) -> list[tuple[int, int]] | None:
        """Starts and lengths of what is not zeros for certain; None where nobody says it."""

    def measured(self, _places: t.Sequence[t.Sequence[int]], _size: int, /) -> float:
        """Seconds that it takes to read blocks of a size; each list of places in a stream of its
        own.
        """


def bytes_of(reader: Reader, start: int, length: int) -> bytes:
    """A part of a disk, which fits into memory; up to the disk's end."""
    return b"".join(reader.pieces(start, max(min(length, reader.capacity - start), 0)))


def parts(reader: Reader, start: int, length: int) -> t.Iterator[bytes]:
    """The bytes from there in parts of 1 MiB, the last a shorter one; behind a disk's end are
    zeros.
    """
    there = max(min(length, reader.capacity - start), 0)
    held = bytearray()
    for piece in reader.pieces(start, there):
        held += piece
        while len(held) >= MIB:
            yield bytes(held[:MIB])
            del held[:MIB]
    left = length - there
    while held or left:
        added = min(left, MIB - len(held))
        yield bytes(held) + bytes(added)
        left -= added
        held.clear()


class ImageReader:
    """An image on this machine."""

    def __init__(self, tool: QemuImg, found: Image) -> None:
        self.label = found.path
        self.capacity = found.capacity
        self._tool = tool
        self._image = found

    def pieces(self, start: int, length: int) -> t.Iterator[bytes]:
        """Raw images are read as they are, of others a window after the other is unpacked."""
        if self._image.format == image.RAW:
            yield from _pieces(self._image.path, start, length)
            return
        with tempfile.TemporaryDirectory(prefix="vforge-") as scratch:
            target = os.path.join(scratch, "part.raw")
            while length > 0:
                size = min(length, _WINDOW)
                skipped = self._tool.part(self._image, start, size, target)
                yield from _pieces(target, skipped, size)
                start, length = start + size, length - size

    def areas(self) -> list[tuple[int, int]]:
        """As the image's own tables say."""
        return [(span.start, span.length) for span in self._tool.spans(self._image) if not span.zero]

    def measured(self, places: t.Sequence[t.Sequence[int]], size: int) -> float:
        """By ``qemu-io``, a process for each stream, which opens the image once."""
        programs = _Programs()
        works = [functools.partial(self._tool.read, self._image, part, size, programs.add) for part in places]
        return _at_once(works, programs.end)


class DatastoreReader:
    """A disk whose content is one file of a datastore.

    :param areas: that are in use; None where that is not known.
    """

    def __init__(
        self,
        session: Session,
        datacenter: str,
        path: DatastorePath,
        deadline: float,
        areas: list[tuple[int, int]] | None,
    ) -> None:
        self.label = str(path)
        self._session = session
        self._datacenter = datacenter
        self._path = path
        self._deadline = deadline
        self._areas = areas
        with self._files() as files:
            flat = Flat(files, path)
            self.text = flat.text
            self.capacity = flat.text.capacity
            flat.state()

    def _files(self, stop: Stop | None = None) -> DatastoreFiles:
        return DatastoreFiles(self._session, self._datacenter, self._deadline, stop)

    def pieces(self, start: int, length: int) -> t.Iterator[bytes]:
        """Over HTTPS from the vCenter."""
        if length <= 0:
            return
        buffer = memoryview(bytearray(MIB))
        with self._files() as files:
            for part in Flat(files, self._path).pieces(start, length, buffer):
                yield bytes(part)

    def areas(self) -> list[tuple[int, int]] | None:
        """As changed block tracking has it."""
        return self._areas

    def measured(self, places: t.Sequence[t.Sequence[int]], size: int) -> float:
        """Each stream over a connection of its own, which is open when the clock starts."""
        stop = Stop()
        with contextlib.ExitStack() as stack:
            flats = [Flat(stack.enter_context(self._files(stop)), self._path) for _part in places]
            works = [functools.partial(_read_all, flat, part, size) for flat, part in zip(flats, places, strict=True)]
            return _at_once(works, stop.set)


def of_vm(session: Session, vm: DiskVm, disk: Disk, path: DatastorePath, deadline: float) -> DatastoreReader:
    """The disk of a VM that is off."""
    return DatastoreReader(session, vm.datacenter, path, deadline, exporting.areas_in_use(session, vm, disk))


def places(capacity: int, size: int, asked: Benchmark) -> list[list[int]]:
    """Where each stream reads: one part of the disk after the other, or anywhere, the same in each
    run.
    """
    whole = max(capacity // size, 1)
    if asked.order == RANDOM:
        chooser = random.Random(0)  # noqa: S311 (places to read at, no secrets)
        found = [chooser.randrange(whole) * size for _read in range(asked.reads)]
    else:
        found = [at % whole * size for at in range(asked.reads)]
    share = -(-asked.reads // asked.streams)
    return [found[at : at + share] for at in range(0, asked.reads, share)]


def _pieces(path: str, start: int, length: int) -> t.Iterator[bytes]:
    with open(path, "rb", buffering=0) as file:
        while length > 0:
            part = os.pread(file.fileno(), min(length, MIB), start)
            if not part:
                # A disk has whole sectors, and its file need not.
                part = bytes(min(length, MIB))
            yield part
            start, length = start + len(part), length - len(part)


def _read_all(flat: Flat, part: t.Sequence[int], size: int) -> None:
    buffer = memoryview(bytearray(size))
    for at in part:
        for _piece in flat.pieces(at, min(size, flat.capacity - at), buffer):
            pass


class _Programs:
    """Programs that read, for who breaks them off."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[subprocess.Popen[bytes]] = []
        self._ended = False

    def add(self, program: subprocess.Popen[bytes]) -> None:
        """One was started."""
        with self._lock:
            self._running.append(program)
            if self._ended:
                program.kill()

    def end(self) -> None:
        """End them all, also one that is just being started."""
        with self._lock:
            self._ended = True
            for program in self._running:
                program.kill()


def _at_once(works: t.Sequence[t.Callable[[], None]], break_off: t.Callable[[], None]) -> float:
    """Seconds until all works are done, which run beside each other.

    :param break_off: ends them at once: where one of them fails, or a signal comes.
    """
    with concurrent.futures.ThreadPoolExecutor(len(works)) as pool:
        begun = time.monotonic()
        try:
            with _signals.held_back():  # a thread that is just being started would be lost
                due = [pool.submit(work) for work in works]
            for done in due:
                done.result()
        except BaseException:
            break_off()
            raise
        return time.monotonic() - begun
