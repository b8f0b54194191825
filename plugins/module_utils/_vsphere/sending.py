# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on their way to the hosts of a lease, each hashed while it is sent."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import math
import queue
import time
import typing as t

from .._connector.tasks import Backoff
from .._connector.web import Clock, Host, Late, Stop, TransferRefused
from .._errors import ConnectionFailed, ConnectionLost, TimedOut, VforgeError
from .lease import Stopped, UploadFailed

if t.TYPE_CHECKING:
    from .._connector.options import ConnectionOptions
    from .._connector.session import Session
    from .lease import Device

# A host answers when it has written the last byte.
_SECONDS_FOR_THE_ANSWER = 300

# What is read, hashed and sent at once. More than two files at the same time share the memory of two,
# which keeps the module's process below 60 MiB; parts of less than the smallest cost more to hand
# over than to hash.
PART = 2**20
_SMALLEST_PART = 2**16

# So many parts of a file may be read and hashed before they are sent.
_PARTS = 4

# A disk whose connection broke is sent, or received, again from its start: a host cannot go on in
# the middle.
ATTEMPTS = 3


class Stream(t.Protocol):
    """What is read from; ``readinto`` fills as much as it can, and 0 is the end."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the buffer from its start; returns how far."""

    def close(self) -> None:
        """Let go of what is behind it."""


class Source(t.Protocol):
    """A file that is to be sent."""

    @property
    def label(self) -> str:
        """For messages; never holds a secret."""

    @property
    def size(self) -> int:
        """Bytes."""

    def open(self) -> Stream:
        """Begin to read; what is read comes from the start."""


@dataclasses.dataclass(frozen=True)
class Upload:
    """One file on its way to the host of a lease.

    :ivar name: what the caller calls it.
    :ivar create: whether the host makes a new file of it (PUT) or fills a disk that vCenter has
        made (POST).
    :ivar algorithm: of the digest that is made of what is sent, as hashlib calls it; empty for none.
    """

    name: str
    source: Source
    device: Device
    create: bool = False
    algorithm: str = "sha256"


class SourceChanged(VforgeError):
    """A file is not what it was when its size was read."""

    error_code = "source_changed"


def send(
    options: ConnectionOptions,
    device: Device,
    size: int,
    parts: t.Iterable[memoryview],
    *,
    create: bool,
    stop: Stop,
    deadline: float = math.inf,
) -> None:
    """Send a file to the host of a lease, from one buffer: its size makes no difference to the
    memory.

    :param size: of the file itself. A host writes as much as the header announces, so a wrong one
        truncates the disk.
    :param parts: the bytes; each part is sent before the next is asked for.
    :param create: whether the host makes a new file of it (PUT) or fills a disk that vCenter has
        made (POST).
    :param stop: set to break off.
    :param deadline: of ``time.monotonic()``.
    :raises ConnectionFailed: the host cannot be reached, or is not the one that vCenter names;
        nothing was sent.
    :raises ConnectionLost: the connection broke.
    :raises TransferRefused: the host does not take it.
    :raises Stopped: ``stop`` was set.
    :raises TimedOut: the deadline passed.
    """
    clock = Clock(options.connection_timeout, deadline, receiving=_SECONDS_FOR_THE_ANSWER)
    host = Host(options, device.url, device.pin, clock, stop)
    headers = {
        "Content-Type": "application/x-vnd.vmware-streamVmdk",
        **({"Overwrite": "t"} if create else {}),
    }
    body = _Body(size, parts, stop) if size else b""
    try:
        host.send("PUT" if create else "POST", headers, body)
    except (ConnectionLost, ConnectionFailed) as error:
        # One that refuses may have done so before it was broken off; that is reported all the same.
        if stop.is_set() and not isinstance(error, TransferRefused):
            raise Stopped("The upload was broken off.") from error
        raise
    except Late as late:
        raise TimedOut(
            f"The time allowed for the task was over while a disk was sent: {late.why}.",
            hint="Raise timeout.",
        ) from late


class _Body:
    """The bytes of an upload, as requests takes them: parts, and their number in all."""

    def __init__(self, size: int, parts: t.Iterable[memoryview], stop: Stop) -> None:
        self._size = size
        self._parts = parts
        self._stop = stop

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> t.Iterator[memoryview]:
        for part in self._parts:
            if self._stop.is_set():
                raise Stopped("The upload was broken off.")
            yield part


def at_once(works: t.Sequence[t.Callable[[], None]], parallel: int, stop: Stop) -> None:
    """Carry files, some at the same time. It returns when no thread of it is left, however it ends.

    :param stop: breaks the others off when one fails, or a signal comes.
    :raises VforgeError: the first thing that went wrong.
    """
    failures: list[BaseException] = []

    def ended(future: concurrent.futures.Future[None]) -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None:
            # The first is why the others end, whatever they say.
            failures.append(error)
            stop.set()

    pool = concurrent.futures.ThreadPoolExecutor(max_workers=parallel)
    try:
        futures = [pool.submit(work) for work in works]
        for future in futures:
            future.add_done_callback(ended)
        concurrent.futures.wait(futures)
    except BaseException:
        stop.set()  # a signal
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if failures:
        raise failures[0]


class Sender:
    """Sends files to the hosts of a lease, some at the same time, and hashes each on its way.

    :param parallel: disks at the same time.
    :param deadline: of ``time.monotonic()``.
    :param stop: breaks everything off. Where sources are read from the network, it has to break
        that off, too: what is broken off is waited for.
    :param progress: called with the number of bytes that went through, in several threads, often;
        a negative number takes back what has to be sent again.
    :param check: called with each file that was sent, and the digest of the bytes that were, in
        hexadecimal digits, where one was asked for. What it raises ends all.
    :ivar attempts: to send a file, of the one that took most.
    """

    def __init__(
        self,
        session: Session,
        parallel: int,
        deadline: float,
        stop: Stop,
        *,
        progress: t.Callable[[int], None],
        check: t.Callable[[Upload, str], None],
    ) -> None:
        self.attempts = 0
        self._session = session
        self._parallel = parallel
        self._deadline = deadline
        self._stop = stop
        self._progress = progress
        self._check = check

    def send(self, chains: t.Sequence[t.Sequence[Upload]]) -> None:
        """Send all files. It returns when no thread of it is left, however it ends.

        :param chains: the files of each disk, in their order. With parent references there are
            several of one disk: each updates what the one before has left.
        :raises VforgeError: the first thing that went wrong; the others are broken off.
        """
        files = max(1, min(self._parallel, len(chains)))
        part = max(min(PART, 2 * PART // files), _SMALLEST_PART)
        works = [functools.partial(self._send_chain, chain, part) for chain in chains]
        at_once(works, self._parallel, self._stop)

    def _send_chain(self, chain: t.Sequence[Upload], part: int) -> None:
        for upload in chain:
            self._check(upload, self._send(upload, part))

    def _send(self, upload: Upload, part: int) -> str:
        """Send one file, after a broken connection again; returns the digest of what was sent."""
        backoff = Backoff(self._deadline)
        attempt = 0
        while True:
            attempt += 1
            self.attempts = max(self.attempts, attempt)
            with _Reading(upload.source, upload.algorithm, part, self._progress) as reading:
                try:
                    self._send_once(upload, reading)
                    return reading.digest()
                except ConnectionLost as error:
                    self._progress(-reading.sent)
                    lost = error
            pause = backoff.pause(time.monotonic()) if attempt < ATTEMPTS else None
            if pause is None or self._stop.wait(pause):
                raise UploadFailed(
                    f"{upload.source.label} could not be sent in {attempt} attempts: {lost.message}",
                    hint="Check the network to the ESXi hosts (port 443), then run again.",
                ) from lost

    def _send_once(self, upload: Upload, reading: _Reading) -> None:
        send(
            self._session.options,
            upload.device,
            upload.source.size,
            reading.parts(),
            create=upload.create,
            stop=self._stop,
            deadline=self._deadline,
        )


class _Reading:
    """One pass over a file that is sent. Where it is hashed, a thread reads and hashes some parts ahead.

    So reading, hashing and sending go on beside each other, and each byte is read once. Leaving the
    context ends the thread and closes the file.

    :param part: bytes that are read, hashed and sent at once.
    :param progress: called with the size of each part when it was sent.
    :ivar sent: bytes that were sent.
    """

    def __init__(self, source: Source, algorithm: str, part: int, progress: t.Callable[[int], None]) -> None:
        self.sent = 0
        self._part = part
        self._source = source
        self._progress = progress
        self._hash = hashlib.new(algorithm, usedforsecurity=False) if algorithm else None
        self._left = source.size
        self._ahead = concurrent.futures.ThreadPoolExecutor(max_workers=1)
        # Buffers that may be filled; None ends the thread.
        self._free: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        self._stream: Stream | None = None

    def __enter__(self) -> _Reading:
        return self

    def __exit__(self, *_exc: object) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._free.get_nowait()
        self._free.put(None)
        self._ahead.shutdown(wait=True, cancel_futures=True)
        if self._stream is not None:
            self._stream.close()

    def parts(self) -> t.Iterator[memoryview]:
        """The bytes, part by part; a part is valid until the next is asked for.

        :raises SourceChanged: the file became shorter.
        :raises VforgeError: what reading it raised.
        """
        self._stream = self._source.open()
        for part in self._read_ahead() if self._hash is not None else self._read():
            yield part
            self.sent += len(part)
            self._progress(len(part))

    def _read(self) -> t.Iterator[memoryview]:
        """Where nothing is hashed, the system's own reading ahead is enough."""
        buffer = memoryview(bytearray(self._part))
        while part := self._fill(buffer):
            yield part

    def _read_ahead(self) -> t.Iterator[memoryview]:
        for _number in range(_PARTS):
            self._free.put(memoryview(bytearray(self._part)))
        # Each with the part of it that was filled; None is the end, whatever it was.
        filled: queue.SimpleQueue[tuple[memoryview, memoryview] | None] = queue.SimpleQueue()
        filling = self._ahead.submit(self._fill_ahead, filled)
        while (ready := filled.get()) is not None:
            buffer, part = ready
            yield part
            self._free.put(buffer)
        filling.result()

    def _fill_ahead(self, filled: queue.SimpleQueue[tuple[memoryview, memoryview] | None]) -> None:
        """What the thread does: one task of a pool for each part would take a tenth more of the processor."""
        try:
            while (buffer := self._free.get()) is not None and (part := self._fill(buffer)):
                filled.put((buffer, part))
        finally:
            filled.put(None)

    def _fill(self, buffer: memoryview) -> memoryview:
        """Read and hash the next part; an empty one is the end."""
        stream, most = t.cast(Stream, self._stream), min(len(buffer), self._left)
        count = stream.readinto(buffer[:most]) if most else 0
        if most and not count:
            raise SourceChanged(
                f"{self._source.label} became shorter while it was sent.",
                hint="Run again.",
            )
        part = buffer[:count]
        if self._hash is not None:
            self._hash.update(part)
        self._left -= count
        return part

    def digest(self) -> str:
        """Of all that was sent, in hexadecimal digits; empty where none was asked for."""
        return self._hash.hexdigest() if self._hash is not None else ""
