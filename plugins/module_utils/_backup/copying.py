# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a disk to an image: areas read in parallel, written, read back and compared."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import hashlib
import threading
import time
import typing as t
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from .._connector.tasks import Backoff
from .._errors import ConnectionLost, TimedOut, VforgeError
from .blockmap import BlockMap, differences
from .images import GoOn, Nbd, to_the_end
from .model import BLOCK, SECTOR, BackupDamaged, short_read

if t.TYPE_CHECKING:
    from .._vsphere.flat import Flat

_NOTHING = bytes(BLOCK)

# Pieces of each stream that are read, and not written yet: reading does not wait for the image.
_AHEAD = 2


class ReadBackFailed(VforgeError):
    """An image does not have what was written into it."""

    error_code = "read_back_failed"


class Stream(t.Protocol):
    """One connection to a disk, for one thread."""

    def read(self, offset: int, length: int) -> bytes | bytearray:
        """Bytes of the disk: as many as are asked for.

        :raises VforgeError: where they cannot be had.
        """

    def close(self) -> None:
        """End it."""


class Copied:
    """What was copied of a disk.

    :ivar read: bytes; ``written`` those of pieces that are not all zeros.
    :ivar touched: a byte for each block, 1 where something of it was copied.
    :ivar seconds: that reading and writing took.
    :ivar parts: of blocks that were not copied whole, what was: offset, length, digest.
    """

    def __init__(self, blocks: int) -> None:
        self.read = 0
        self.written = 0
        self.seconds = 0.0
        # A disk of 2 TiB has 2 million blocks: a set of their numbers would be large.
        self.touched = bytearray(blocks)
        self.parts: dict[int, list[tuple[int, int, bytes]]] = {}

    @property
    def rate(self) -> int | None:
        """Bytes in a second; None where nothing was read."""
        return int(self.read / self.seconds) if self.read and self.seconds else None

    @property
    def blocks(self) -> t.Iterator[int]:
        """The blocks of which something was copied, in their order."""
        block = self.touched.find(1)
        while block >= 0:
            yield block
            block = self.touched.find(1, block + 1)


def pieces(areas: t.Iterable[tuple[int, int]]) -> t.Iterator[tuple[int, int]]:
    """Areas cut where a block ends, so that each piece belongs to one block."""
    for start, length in areas:
        end = start + length
        while start < end:
            size = min(end, (start // BLOCK + 1) * BLOCK) - start
            yield start, size
            start += size


@dataclasses.dataclass
class Copying:
    """Copies areas of a disk into an image.

    :ivar open_stream: makes one connection to the disk; each thread has its own.
    :ivar fresh: whether the image reads as zeros where nothing was written, so that zeros need not
        be written.
    :ivar streams: how many read at the same time.
    :ivar go_on: is called between two pieces, by any thread; raises why it is to end.
    :ivar report: is called with the bytes that were read so far; from any thread.
    """

    open_stream: t.Callable[[], Stream]
    fresh: bool
    streams: int
    go_on: t.Callable[[], None]
    report: t.Callable[[int], None] = lambda _read: None

    def copy(self, areas: t.Iterable[tuple[int, int]], images: t.Sequence[Nbd], digests: BlockMap) -> Copied:
        """Read these areas, and write them.

        :param areas: sorted, apart from each other.
        :param images: connections to the image, one for each stream.
        :param digests: gets those of the blocks that are read whole.
        :raises VforgeError: the first error of a reader; all of them have ended by then.
        """
        copied, begun = Copied(digests.count), time.monotonic()
        account = threading.Lock()

        def work(image: Nbd, pieces_due: t.Iterator[tuple[int, int]]) -> None:
            write = functools.partial(self._write, image, copied, digests, account)
            with ThreadPoolExecutor(1, thread_name_prefix="write") as writer:
                self._read_ahead(pieces_due, lambda offset, data: writer.submit(write, offset, data))

        at_once(images, pieces(areas), work, self.go_on)
        for image in images:
            image.flush()
        copied.seconds = time.monotonic() - begun
        return copied

    def _read_ahead(self, due: t.Iterator[tuple[int, int]], write: t.Callable[[int, bytes | bytearray], Future[None]]) -> None:
        """Read pieces over one connection, while the ones before are written."""
        pending: collections.deque[Future[None]] = collections.deque()
        # The connection is made with the first piece: there may be fewer of them than streams.
        with contextlib.ExitStack() as held:
            stream: Stream | None = None
            for offset, length in due:
                stream = stream or held.enter_context(contextlib.closing(self.open_stream()))
                data = stream.read(offset, length)
                if len(data) != length:
                    raise short_read(offset, length, len(data))
                if len(pending) == _AHEAD:
                    pending.popleft().result()
                pending.append(write(offset, data))
        for future in pending:
            future.result()

    def _write(
        self, image: Nbd, copied: Copied, digests: BlockMap, account: threading.Lock, offset: int, data: bytes | bytearray
    ) -> None:
        length, block = len(data), offset // BLOCK
        zeros = data == _NOTHING[:length]
        digest = hashlib.sha256(data).digest()
        if not zeros:
            image.write(offset, data)
        elif not self.fresh:
            image.zero(offset, length)
        with account:
            copied.written += 0 if zeros else length
            copied.read += length
            copied.touched[block] = 1
            if length == digests.length(block):
                digests[block] = digest
            else:
                copied.parts.setdefault(block, []).append((offset, length, digest))
        self.report(copied.read)


X = t.TypeVar("X")
I = t.TypeVar("I")  # noqa: E741 (as X, for what a thread works with)


def at_once(
    images: t.Sequence[I],
    due: t.Iterator[X],
    work: t.Callable[[I, t.Iterator[X]], None],
    go_on: t.Callable[[], None],
) -> None:
    """Do pieces of work, a thread for each connection to an image.

    :param work: takes pieces, one after the other, as long as there are any.
    :param go_on: is called between two pieces, by any thread; raises why it is to end.
    :raises VforgeError: the first error; all threads have ended by then.
    """
    turn, stop = threading.Lock(), threading.Event()

    def pieces_due() -> t.Iterator[X]:
        while True:
            go_on()
            with turn:
                piece = next(due, None)
            if piece is None or stop.is_set():
                return
            yield piece

    with ThreadPoolExecutor(len(images), thread_name_prefix="backup") as pool:
        workers = [pool.submit(work, image, pieces_due()) for image in images]
        try:
            wait(workers, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
    for worker in workers:
        worker.result()


def read_back(
    copied: Copied,
    images: t.Sequence[Nbd],
    below: t.Sequence[Nbd | None],
    digests: BlockMap,
    go_on: t.Callable[[], None],
) -> None:
    """Read what was copied from the image again, compare it, and note the digests of its blocks.

    :param images: connections to it; it was opened again, so that
        what is read is what the file has.
    :param below: as many connections to the image that it stands on; None where it stands on none,
        or no block was copied in parts.
    :param digests: of blocks that were copied in parts those of before.
    :param go_on: is called between two blocks, by any thread; raises why it is to end.
    :raises ReadBackFailed: where it is something else.
    :raises BackupDamaged: the rest of a block is not what it was at the earlier point.
    """

    def work(image: tuple[Nbd, Nbd | None], blocks: t.Iterator[int]) -> None:
        for block in blocks:
            digests[block] = _read_back(*image, block, copied, digests)

    at_once(list(zip(images, below, strict=True)), copied.blocks, work, go_on)


def _read_back(image: Nbd, below: Nbd | None, block: int, copied: Copied, digests: BlockMap) -> bytes:
    """The digest of a block, once it is as it was copied."""
    start = block * BLOCK
    data = image.read(start, digests.length(block))
    digest = hashlib.sha256(data).digest()
    parts = copied.parts.get(block)
    wrong = [start] if parts is None and digest != digests[block] else []
    with memoryview(data) as view:
        for offset, length, expected in parts or ():
            if hashlib.sha256(view[offset - start : offset - start + length]).digest() != expected:
                wrong.append(offset)
    if wrong:
        raise ReadBackFailed(
            f"The image has something else at byte {wrong[0]} than what was written there.",
            hint="The storage of the repository, or this machine's memory, is not to be trusted.",
        )
    if parts is not None and _digest_before(data, start, parts, below) != digests[block]:
        raise not_as_backed_up(start)
    return digest


def _digest_before(data: bytes | bytearray, start: int, parts: t.Iterable[tuple[int, int, bytes]], below: Nbd | None) -> bytes:
    """The digest that a block had before parts of it were copied.

    The rest of it comes from the earlier image. What that has lost must not get a digest that says
    it is right.
    """
    before = bytearray(data)
    for offset, length, _digest in parts:
        earlier = below.read(offset, length) if below is not None else bytes(length)
        before[offset - start : offset - start + length] = earlier
    return hashlib.sha256(before).digest()


def not_as_backed_up(offset: int) -> BackupDamaged:
    """The error of an earlier image on which a new one cannot stand.

    :param offset: of the block that differs.
    """
    return BackupDamaged(
        f"The newest backup is not what was backed up: its block of 1 MiB at byte {offset} differs from its digest.",
        hint="Verify the repository. With mode full the next backup does not stand on it.",
    )


def blocks_of(areas: t.Iterable[tuple[int, int]]) -> t.Iterator[int]:
    """The blocks of which areas have something, each once.

    :param areas: sorted, apart from each other.
    """
    last = -1
    for start, length in areas:
        for block in range(max(start // BLOCK, last + 1), -(-(start + length) // BLOCK)):
            last = block
            yield block


def prove(
    path: str,
    digests: BlockMap,
    blocks: t.Iterable[int],
    deadline: float,
    form: str = "qcow2",
    called: str = "",
    go_on: GoOn = to_the_end,
) -> int:
    """Compare an image with the digests of a disk.

    :param deadline: of ``time.monotonic()``.
    :param form: of the image: ``raw``, ``qcow2`` or ``vmdk``.
    :param called: what messages call it; by default its path.
    :param go_on: is called before each block; raises why it is to end.
    :returns: how many bytes were compared.
    :raises TimedOut: when the deadline passes.
    :raises BackupDamaged: where it is something else; it names the first byte, and how many blocks.
    """
    looked = 0

    def read(offset: int, length: int) -> bytes | bytearray:
        nonlocal looked
        go_on()
        if time.monotonic() > deadline:
            raise TimedOut(f"{called or path} could not be compared in the time allowed.", hint="Raise timeout.")
        looked += length
        return image.read(offset, length)

    with Nbd.image(path, form=form) as image:
        # Images have whole sectors.
        if image.size != -(-digests.capacity // SECTOR) * SECTOR:
            raise BackupDamaged(
                f"{called or path} has {image.size} bytes, and the disk had {digests.capacity}.",
                hint="Take another point, or another copy of the repository.",
                path=path,
            )
        wrong = list(differences(read, digests, blocks))
    if wrong:
        raise BackupDamaged(
            f"{called or path} is not what was backed up: {len(wrong)} blocks of 1 MiB differ, the first at byte "
            f"{wrong[0] * BLOCK}.",
            hint="Take another point, or another copy of the repository.",
            path=path,
            blocks=len(wrong),
            first=wrong[0] * BLOCK,
        )
    return looked


# What is asked for at once: a request costs little beside it, and a connection that breaks no more.
_BLOCKS_A_REQUEST = 64
_ATTEMPTS = 3


def first_difference(flat: Flat, digests: BlockMap, deadline: float, progress: t.Callable[[int], None]) -> int | None:
    """Compare a disk with its digests, up to the first block that differs.

    :param deadline: of ``time.monotonic()``.
    :param progress: is called with the bytes of each block that was compared.
    :returns: the byte where that block begins; None where there is none.
    :raises TimedOut: when the deadline passes.
    :raises ConnectionLost: when it could not be read.
    """
    for begin in range(0, digests.count, _BLOCKS_A_REQUEST):
        blocks = range(begin, min(begin + _BLOCKS_A_REQUEST, digests.count))
        for block, digest in zip(blocks, _patiently(flat, digests, blocks, deadline), strict=True):
            if digest != digests[block]:
                return block * BLOCK
            progress(digests.length(block))
    return None


def _patiently(flat: Flat, digests: BlockMap, blocks: range, deadline: float) -> list[bytes]:
    """The digests of some blocks of a disk; a connection that broke is made again."""
    waits = Backoff(deadline)
    for attempt in range(1, _ATTEMPTS + 1):
        if time.monotonic() > deadline:
            break
        try:
            return list(_digests(flat, digests, blocks))
        except ConnectionLost:
            if attempt == _ATTEMPTS or not waits.begin():
                raise
    raise TimedOut("A disk could not be compared in the time allowed.", hint="Raise timeout, or set verify to manifest.")


def _digests(flat: Flat, digests: BlockMap, blocks: range) -> t.Iterator[bytes]:
    start = blocks[0] * BLOCK
    length = min(blocks[-1] * BLOCK + BLOCK, digests.capacity) - start
    buffer = memoryview(bytearray(BLOCK))
    found, left = hashlib.sha256(), digests.length(blocks[0])
    block = blocks[0]
    for piece in flat.pieces(start, length, buffer):
        part = piece
        while len(part) >= left:
            found.update(part[:left])
            yield found.digest()
            part = part[left:]
            block += 1
            if block not in blocks:
                return
            found, left = hashlib.sha256(), digests.length(block)
        found.update(part)
        left -= len(part)
