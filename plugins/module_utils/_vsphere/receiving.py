# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on their way from the hosts of a lease: the disks of an export, held against what the host
says of them.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import time
import typing as t

from .._connector.tasks import Backoff
from .._connector.web import Clock, Host, Late, Stop
from .._errors import ConnectionFailed, ConnectionLost, TimedOut, VforgeError
from . import vmdk
from .lease import ExportFailed, Stopped
from .lease_devices import same_grains
from .sending import ATTEMPTS, PART, at_once

if t.TYPE_CHECKING:
    from .._connector.options import ConnectionOptions
    from .._connector.session import Session
    from .lease import Device, Lease, Ready, Received


class Sink(t.Protocol):
    """Where the bytes of an exported file go."""

    def restart(self) -> None:
        """Forget what was written: the file comes again from its first byte."""

    def write(self, part: memoryview) -> None:
        """Take the next bytes, all of them, before it returns."""


class Gauge(t.Protocol):
    """What is called with how far an export is; safe for many threads."""

    def add(self, count: int) -> None:
        """Note bytes that came; a negative number takes back what has to come again."""

    def percent(self) -> int:
        """Whole percent, for vCenter's own display."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A file of an export that is wanted.

    :ivar label: names it in messages.
    :ivar capacity: of the disk that it is to be, in bytes; None for another file.
    """

    device: Device
    sink: Sink
    label: str
    capacity: int | None = None


@dataclasses.dataclass(frozen=True)
class Exported:
    """A file that came whole.

    :ivar size: in bytes.
    :ivar sha256: of its bytes, in hexadecimal digits; empty where it was not hashed.
    :ivar seconds: that it took.
    :ivar witnessed: whether the host has reported the same size or digest.
    :ivar digests: those that the host has reported, by the names of their algorithms.
    :ivar populated: bytes of the disk that are in use; None where the host does not say it.
    """

    size: int
    sha256: str
    seconds: float
    witnessed: bool
    populated: int | None = None
    digests: t.Mapping[str, str] = dataclasses.field(default_factory=dict)


def receive(
    session: Session,
    lease: Lease,
    ready: Ready,
    wanted: t.Sequence[Wanted],
    *,
    gauge: Gauge,
    parallel: int,
    deadline: float,
    stop: Stop | None = None,
    hashed: bool = True,
) -> list[Exported]:
    """Get the files of an export, some at once, each through one buffer.

    Each is read by a thread, hashed by another, and then held against what the host says that it
    has sent. The lease is kept alive meanwhile, and not completed.

    :param parallel: files at the same time.
    :param hashed: False where the caller reads the files anyway, and then holds them against the host's digests.
    :param stop: breaks all off when it is set, for a caller who works in a thread.
    :returns: what came, in the order of ``wanted``.
    :raises ExportFailed: ``export_broken`` where a connection broke in each attempt,
        ``export_incomplete`` where what came is not what was sent; with the code of the connection
        where a host cannot be reached, or is not the one that vCenter names.
    :raises ConnectionFailed: the same, when the vCenter is gone as well.
    :raises Fault: vCenter ended the lease.
    :raises TimedOut: the deadline passed.
    """
    stop = stop or Stop()
    with lease.held(ready.timeout, gauge.percent, stop):
        algorithms = _compared_by(lease, wanted) if hashed else ()
        receivers = [_Receiver(session.options, one, algorithms, gauge, stop, deadline) for one in wanted]
        with _of_hosts(session):
            at_once([receiver.run for receiver in receivers], parallel, stop)
        sent = lease.received()
    return [receiver.compared(sent.get(one.device.key)) for receiver, one in zip(receivers, wanted, strict=True)]


def _compared_by(lease: Lease, wanted: t.Sequence[Wanted]) -> tuple[str, ...]:
    """The digests that are made of files: where the host reports a SHA-256, that is compared;
    otherwise a SHA-1 is made besides.
    """
    return ("sha256",) if lease.ask_for_sha256([one.device for one in wanted]) else ("sha256", "sha1")


@contextlib.contextmanager
def _of_hosts(session: Session) -> t.Iterator[None]:
    """A host that cannot be reached says nothing of the vCenter: who counts lost connections must
    not count it.
    """
    try:
        yield
    except ConnectionFailed as error:
        if session.unreachable():
            raise
        raise ExportFailed(error.error_code, error.message, hint=error.hint, **error.details) from error


class _Receiver:
    """Gets one file."""

    def __init__(
        self,
        options: ConnectionOptions,
        wanted: Wanted,
        algorithms: t.Sequence[str],
        gauge: Gauge,
        stop: Stop,
        deadline: float,
    ) -> None:
        self._options = options
        self._wanted = wanted
        self._algorithms = algorithms
        self._gauge = gauge
        self._stop = stop
        self._deadline = deadline
        self._seconds = 0.0
        self._begin()

    def _begin(self) -> None:
        self._ends = vmdk.Ends(self._wanted.label)
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in self._algorithms}

    def run(self) -> None:
        """Get it, from its first byte again where the connection breaks."""
        begun = time.monotonic()
        backoff = Backoff(self._deadline)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._receive()
            except ConnectionLost as error:
                self._gauge.add(-self._ends.size)
                if self._stop.is_set():
                    raise Stopped("The download was broken off.") from error
                if attempt == ATTEMPTS or not backoff.begin():
                    raise ExportFailed(
                        "export_broken",
                        f"{self._wanted.label} could not be received in {attempt} attempts: {error.message}",
                        hint="Check the network to the ESXi hosts (port 443), then run again.",
                    ) from error
            except Late as late:
                raise TimedOut(
                    f"The time allowed for the task was over while {self._wanted.label} was received: {late.why}.",
                    hint="Raise timeout.",
                ) from late
            else:
                self._seconds = time.monotonic() - begun
                return

    def _receive(self) -> None:
        """One pass over the file, in one buffer: while a part is written another thread hashes it."""
        self._begin()
        self._wanted.sink.restart()
        device = self._wanted.device
        host = Host(self._options, device.url, device.pin, Clock(self._options.connection_timeout, self._deadline), self._stop)
        buffer = memoryview(bytearray(PART))
        with host.receiving({}) as answer, concurrent.futures.ThreadPoolExecutor(max_workers=1) as helper:
            while count := answer.readinto(buffer):
                part = buffer[:count]
                hashed = helper.submit(self._hash, part) if self._hashes else None
                self._wanted.sink.write(part)
                if hashed is not None:
                    hashed.result()
                self._ends.add(part)
                self._gauge.add(count)
                if self._stop.is_set():
                    raise Stopped("The download was broken off.")

    def _hash(self, part: memoryview) -> None:
        for each in self._hashes.values():
            each.update(part)

    def compared(self, sent: Received | None) -> Exported:
        """What came, held against what the host says that it has sent.

        :raises ExportFailed: ``export_incomplete``.
        """
        label, size = self._wanted.label, self._ends.size
        if not size:
            raise _incomplete(f"{label} came without a byte.")
        known = dict(sent.digests) if sent is not None else {}
        # Some releases are not used here, and say 0.
        if sent is not None and sent.size and sent.size != size:
            raise _incomplete(f"{label} came with {size} bytes, and the host has sent {sent.size}.")
        for name, each in self._hashes.items():
            if name in known and known[name] != each.hexdigest():
                raise _incomplete(f"{label} came with the {name} {each.hexdigest()}, and the host has sent {known[name]}.")
        self._check_disk()
        return Exported(
            size=size,
            sha256=self._hashes["sha256"].hexdigest() if self._hashes else "",
            seconds=self._seconds,
            witnessed=sent is not None and bool(sent.size or known.keys() & self._hashes.keys()),
            populated=sent.populated if sent is not None else None,
            digests=known,
        )

    def _check_disk(self) -> None:
        """Refuse what is no whole stream of a disk, or that of another disk, as far as its two ends
        say so.
        """
        wanted = self._wanted
        if wanted.capacity is None:
            return
        try:
            capacity = vmdk.look_at_ends(self._ends).capacity * vmdk.SECTOR
        except VforgeError as error:
            raise _incomplete(error.message) from error
        if not same_grains(capacity, wanted.capacity):
            raise _incomplete(f"{wanted.label} has {wanted.capacity} bytes, and a disk of {capacity} bytes came.")


def _incomplete(message: str) -> ExportFailed:
    hint = "Run again; if it happens again, look at what is between here and the ESXi hosts."
    return ExportFailed("export_incomplete", message, hint=hint)
