# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases (HttpNfcLease): the time in which disks are carried to or from a host, and the carrying
itself.

While a lease is held, vCenter blocks what would alter the VM. A lease that is not kept alive, or is
aborted, ends in error, and what was imported by it is removed (API reference, HttpNfcLease).

To send files::

    lease = Lease(session, ref)
    ready = lease.wait_until_ready(deadline)
    stop = Stop()
    with lease.held(ready.timeout, percent, stop):
        Sender(session, parallel, deadline, stop, progress=..., check=...).send(uploads_by_disk)
    lease.complete(deadline)
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import itertools
import math
import re
import threading
import time
import typing as t
import urllib.parse

from .. import _signals
from .._connector import faults, tls
from .._connector.props import read
from .._connector.pyvmomi import vim
from .._connector.tasks import Backoff, Update, wait_until
from .._connector.web import Clock, Host, Late, Stop, TransferRefused
from .._errors import ConnectionFailed, ConnectionLost, Fault, NotAttempted, TimedOut, VforgeError
from . import vmdk

if t.TYPE_CHECKING:
    from .._connector.options import ConnectionOptions
    from .._connector.session import Session
    from .disks import Disk

_PATHS = ("state", "error", "info")

# How a release answers to a method that it does not have.
_UNKNOWN = ("MethodNotFound", "NotSupported", "NotImplemented")

# A lease lives for 300 seconds from one sign of life to the next; ten are no load, and keep the
# percentage fresh.
_SECONDS_BETWEEN_SIGNS = 10.0

# So long a sign that is under way is waited for after a signal.
_FAREWELL_SECONDS = 1.0

# A host answers when it has written the last byte.
_SECONDS_FOR_THE_ANSWER = 300

# What is read, hashed and sent at once where one file is carried alone. Larger parts are no faster,
# and take the module's process beyond 60 MiB. Files that are sent at the same time share the
# memory; parts of less than the smallest cost more to hand over than to hash.
_PART = 2**19
_SMALLEST_PART = 2**16

# So many parts of a file may be read and hashed before they are sent.
_PARTS = 4

# A disk whose connection broke is sent, or received, again from its start: a host cannot go on in
# the middle.
_ATTEMPTS = 3


@dataclasses.dataclass(frozen=True)
class Device:
    """Where the file of one device goes, or comes from.

    :ivar key: names the device in the lease's manifest.
    :ivar pin: the certificate of the host, as ``tls.pinned`` takes it; None where vCenter does not
        tell it.
    :ivar target: of an export, what vCenter would call the file; empty where it does not say.
    """

    key: str
    import_key: str
    url: str
    pin: str | None
    disk: bool
    target: str = ""


@dataclasses.dataclass(frozen=True)
class Ready:
    """What a lease offers.

    :ivar entity: moid of the VM.
    :ivar timeout: seconds that the lease lives without a sign of life.
    :ivar capacity: of all disks, in bytes; 0 where vCenter does not say it.
    """

    entity: str
    devices: tuple[Device, ...]
    timeout: float
    capacity: int = 0


@dataclasses.dataclass(frozen=True)
class Received:
    """What a host has got, or has sent, of one file.

    :ivar size: in bytes.
    :ivar digests: names of algorithms (``sha256``) with digests of the bytes, in hexadecimal
        digits.
    :ivar populated: bytes of the disk that are in use; None where it is not said.
    """

    size: int
    digests: tuple[tuple[str, str], ...]
    populated: int | None = None


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


class Stopped(VforgeError):
    """A transfer was broken off because another one failed, or the run was."""

    error_code = "stopped"


class SourceChanged(VforgeError):
    """A file is not what it was when its size was read."""

    error_code = "source_changed"


class UploadFailed(VforgeError):
    """A file did not get to its host, however often it was sent."""

    error_code = "upload_failed"


class ExportFailed(VforgeError):
    """What came of an export is not what the host has sent, or it did not come at all."""

    def __init__(self, error_code: str, message: str, *, hint: str = "", **details: t.Any) -> None:
        super().__init__(message, hint=hint, **details)
        self.error_code = error_code


class Lease:
    """One lease.

    :param ref: the ``vim.HttpNfcLease``.
    """

    def __init__(self, session: Session, ref: t.Any) -> None:
        self.ref = ref
        self._session = session

    def wait_until_ready(self, deadline: float) -> Ready:
        """Wait until disks can be carried.

        :raises Fault: the lease ended in error instead; a taken name is one, ``DuplicateName``.
        :raises TimedOut: the deadline passed.
        """
        found: list[Ready] = []

        def is_ready(update: Update) -> bool:
            state, info = str(update.state.get("state")), update.state.get("info")
            if state == "error" or update.gone:
                raise _why(update.state)
            if state == "ready" and info is not None:
                found.append(_ready(info))
            return bool(found)

        if wait_until(self._session, [self.ref], vim.HttpNfcLease, _PATHS, deadline, is_ready):
            raise TimedOut(
                "The lease was not ready in the time allowed.",
                hint="Raise timeout, or look at the tasks of the vCenter.",
            )
        return found[0]

    def received(self) -> dict[str, Received]:
        """What the host has of each device, by its key, as far as vCenter reports it.

        The API reference promises it of downloads alone. Where a lease has ended, its completion
        says so.
        """
        try:
            entries = self._session.retrying(self.ref.HttpNfcLeaseGetManifest)
        except Fault as fault:
            if fault.fault not in (*_UNKNOWN, "InvalidState"):
                raise
            return {}
        return {entry.key: Received(entry.size, tuple(_sums(entry)), entry.populatedSize) for entry in entries or ()}

    def ask_for_sha256(self, devices: t.Iterable[Device]) -> bool:
        """Have the manifest of an export say the SHA-256 of each file;
        False where this release cannot.
        """
        kinds = [vim.KeyValue(key=device.key, value="sha256") for device in devices]
        try:
            self._session.retrying(lambda: self.ref.HttpNfcLeaseSetManifestChecksumType(kinds))
        except Fault as fault:
            if fault.fault not in _UNKNOWN:
                raise
            return False
        return True

    def complete(self, deadline: float) -> None:
        """All is carried: vCenter takes over what was imported. It is asked
        again where its answer was lost.

        :param deadline: of ``time.monotonic()``, for asking again.
        :raises Fault: it does not.
        :raises ConnectionLost: it does not answer any more.
        """
        waits = Backoff(deadline, first=0.5, longest=10.0)
        lost = False
        while True:
            try:
                self._session.retrying(self.ref.HttpNfcLeaseComplete)
                return
            except ConnectionLost:
                if self._session.unreachable() or self._session.limit.over() or not waits.begin():
                    raise
                lost = True
            except Fault as fault:
                # Of a call that was sent twice, the first may have done it.
                if lost and fault.fault == "InvalidState" and self.state() == "done":
                    return
                if fault.fault != "TaskInProgress" or not waits.begin():
                    raise

    def state(self) -> str:
        """``initializing``, ``ready``, ``done`` or ``error``; empty where
        vCenter does not know it any more.
        """
        row = read(self._session, [self.ref], vim.HttpNfcLease, ["state"]).get(self.ref._GetMoId())
        return str(row.get("state") or "") if row is not None else ""

    def abort(self) -> bool:
        """Nothing of it is wanted: vCenter removes it.

        False when it has ended already, one way or the other.
        """
        try:
            self._session.retrying(lambda: self.ref.HttpNfcLeaseAbort(None))
        except Fault as fault:
            if fault.fault not in ("InvalidState", "Timedout", "ManagedObjectNotFound"):
                raise
            return False
        return True

    def pull(self, files: t.Sequence[t.Any]) -> t.Any:
        """Let the host fetch the files itself; a task."""
        return self._session.retrying(lambda: self.ref.HttpNfcLeasePullFromUrls_Task(list(files)))

    @contextlib.contextmanager
    def kept_alive(
        self, timeout: float, percent: t.Callable[[], int], lost: t.Callable[[VforgeError], None]
    ) -> t.Iterator[None]:
        """Give signs of life as long as the context lasts.

        :param timeout: of the lease.
        :param percent: how far the work is, for vCenter's own display.
        :param lost: called once, in a thread, when vCenter does not know the lease any more.
        """
        over = threading.Event()
        every = min(_SECONDS_BETWEEN_SIGNS, timeout / 4)

        def live() -> None:
            while not over.wait(every):
                try:
                    self._session.retrying(lambda: self.ref.HttpNfcLeaseProgress(percent()))
                except ConnectionLost:
                    continue  # the next sign may come through, and comes long before the lease ends
                except VforgeError as error:
                    lost(self._cause(error))
                    return

        thread = threading.Thread(target=live, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            # A sign that is not answered holds nobody up who was told to end.
            thread.join(_FAREWELL_SECONDS if _signals.ended() else None)

    @contextlib.contextmanager
    def held(self, timeout: float, percent: t.Callable[[], int], stop: Stop) -> t.Iterator[None]:
        """Keep the lease alive while files are carried under it.

        :param timeout: of the lease.
        :param percent: how far the work is, for vCenter's own display.
        :param stop: set when vCenter does not know the lease any more, so that what is under way
            ends at once.
        :raises VforgeError: why the lease ended, in place of all that came to nothing by it.
        """
        errors: list[VforgeError] = []

        def lost(error: VforgeError) -> None:
            errors.append(error)
            stop.set()

        try:
            with self.kept_alive(timeout, percent, lost):
                yield
        except (UploadFailed, ExportFailed) as error:
            # A host closes its connections when the lease ends, which says
            # nothing: a datastore that is full, or a disk that it refuses.
            cause = errors[0] if errors else self._cause(error)
            if cause is error:
                raise
            raise cause from None
        except VforgeError:
            if errors:
                raise errors[0] from None
            raise
        if errors:
            raise errors[0]

    def _cause(self, error: VforgeError) -> VforgeError:
        """Why the lease ended, as it says itself; the error at hand where it does not."""
        try:
            row = read(self._session, [self.ref], vim.HttpNfcLease, ["error"]).get(self.ref._GetMoId())
        except VforgeError:
            return error
        return faults.translate(row.get("error"), "the transfer") if row is not None and row.get("error") else error


def _why(known: t.Mapping[str, t.Any]) -> VforgeError:
    fault = known.get("error")
    if fault is None:
        return Fault(
            "Timedout",
            "lease_lost",
            "The lease ended before it was ready, without saying why.",
            hint="Run again.",
        )
    return faults.translate(fault)


def _ready(info: t.Any) -> Ready:
    devices = tuple(
        Device(item.key, item.importKey or item.key, item.url, _pin(item), _is_disk(item), item.targetId or "")
        for item in info.deviceUrl or ()
        if item.url
    )
    capacity = int(info.totalDiskCapacityInKB or 0) * 1024
    return Ready(info.entity._GetMoId(), devices, float(info.leaseTimeout or 300), capacity)


def _is_disk(item: t.Any) -> bool:
    """Whether the file of a lease is a disk, which vCenter need not say ("Optional value", API reference)."""
    if item.disk is not None:
        return bool(item.disk)
    path = urllib.parse.urlsplit(item.url).path
    return path.lower().endswith(".vmdk") or _ADDRESS.search(item.importKey or item.key) is not None


def _sums(entry: t.Any) -> t.Iterator[tuple[str, str]]:
    """SHA-1 from all releases, and what else newer ones make of it."""
    kind, value = getattr(entry, "checksumType", None), getattr(entry, "checksum", None)
    for algorithm, digest in (
        ("sha1", entry.sha1),
        (str(kind or "").lower().replace("-", ""), value),
    ):
        if algorithm and digest:
            yield algorithm, digest.lower()


def _pin(item: t.Any) -> str | None:
    """The whole certificate where the release reports it, else its thumbprint, which is a SHA-1
    before vSphere 8.
    """
    whole = tls.digest_of(getattr(item, "sslCertificate", None) or "")
    if whole is not None:
        return whole
    return re.sub(r"[:\s]", "", item.sslThumbprint).lower() if item.sslThumbprint else None


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


def _at_once(works: t.Sequence[t.Callable[[], None]], parallel: int, stop: Stop) -> None:
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
        part = max(_PART // max(1, min(self._parallel, len(chains))), _SMALLEST_PART)
        works = [functools.partial(self._send_chain, chain, part) for chain in chains]
        _at_once(works, self._parallel, self._stop)

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
            pause = backoff.pause(time.monotonic()) if attempt < _ATTEMPTS else None
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
        self._stream: Stream | None = None

    def __enter__(self) -> _Reading:
        return self

    def __exit__(self, *_exc: object) -> None:
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
        ring = itertools.cycle([memoryview(bytearray(self._part)) for _number in range(_PARTS)])
        due = collections.deque(self._ahead.submit(self._fill, next(ring)) for _number in range(_PARTS))
        while part := due.popleft().result():
            yield part
            due.append(self._ahead.submit(self._fill, next(ring)))

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


def wait_until_gone(session: Session, vm: t.Any, deadline: float) -> bool:
    """Wait until a VM is gone, as one is whose import was aborted.

    False when it is still there at the deadline.
    """
    return not wait_until(session, [vm], vim.VirtualMachine, ("name",), deadline, lambda update: update.gone)


# Exports


# Bytes of a grain of a streamOptimized file ("Virtual Disk Format 5.0", VMware), which its capacity
# is in whole numbers of.
_GRAIN = 128 * vmdk.SECTOR


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


def export_vm(session: Session, moid: str) -> Lease:
    """``ExportVm``: a lease for the disks of a VM that is off."""
    return Lease(session, session.reference(vim.VirtualMachine, moid).ExportVm())


def export_snapshot(session: Session, moid: str) -> Lease:
    """``ExportSnapshot``: a lease for the disks as a snapshot has them,
    whatever the VM does meanwhile.

    :param moid: of the snapshot.
    """
    return Lease(session, session.reference(vim.vm.Snapshot, moid).ExportSnapshot())


_ADDRESS = re.compile(r"Virtual(\w*?)Controller(\d+):(\d+)$")
_NUMBERED = re.compile(r"(?:^|/)disk-(\d+)\.vmdk$")
_SCSI = ("scsi", "lsilogic", "lsilogicsas", "buslogic", "paravirtualscsi", "paravirtual")
_BUSES = {**dict.fromkeys(_SCSI, "scsi"), "ide": "ide", "ahci": "sata", "sata": "sata", "nvme": "nvme"}


@dataclasses.dataclass(frozen=True)
class Expected:
    """A disk that an export is to have.

    :ivar unit: as ``scsi0:1``; empty where it is not known.
    :ivar file: its topmost one, as ``[datastore] folder/name.vmdk``.
    :ivar capacity: in bytes.
    """

    unit: str
    file: str
    capacity: int


def device_of(ready: Ready, disk: Disk, disks: t.Sequence[Disk]) -> Device | None:
    """The device of a lease that is a disk, as ``devices_of`` finds it.

    :param disks: all that the lease is of.
    """
    found = devices_of(ready.devices, [Expected(each.unit, each.file, each.capacity) for each in disks])
    keys = [each.key for each in disks]
    return found[keys.index(disk.key)] if disk.key in keys else None


def devices_of(devices: t.Sequence[Device], disks: t.Sequence[Expected]) -> list[Device | None]:
    """The device of each disk of a lease: by the controller and unit in its key, else by the name
    of its file.

    No form of keys is promised (API reference, HttpNfcLeaseDeviceUrl). What neither says is taken
    by number or order, and as a guess, where what comes will show whether that is right.

    :param disks: all that the lease is of.
    :returns: None for a disk that has no device, or where nobody can say which it is.
    """
    offered = [device for device in devices if device.disk]
    found = _by_name([disk.unit for disk in disks], {device: unit_in(device.key) for device in offered})
    for number, device in _by_name([_file_name(disk.file) for disk in disks], _file_names(offered)).items():
        if number not in found and device not in found.values():
            found[number] = device
    rest = [number for number in range(len(disks)) if number not in found]
    left = _in_order([device for device in offered if device not in found.values()], [disks[number] for number in rest])
    found |= dict(zip(rest, left, strict=False))
    return [found.get(number) for number in range(len(disks))]


def _by_name(names: t.Sequence[str], offered: t.Mapping[Device, str]) -> dict[int, Device]:
    """What has a name that nothing else has, by the place of that name."""
    often, offers = collections.Counter(names), collections.Counter(offered.values())
    by_name = {name: device for device, name in offered.items()}
    return {number: by_name[name] for number, name in enumerate(names) if name and often[name] == offers[name] == 1}


def _file_names(offered: t.Sequence[Device]) -> dict[Device, str]:
    """Names such as ``disk-0.vmdk``, which vCenter makes for the export, are those of no file."""
    names = {device: device.target or urllib.parse.unquote(urllib.parse.urlsplit(device.url).path) for device in offered}
    return {device: "" if _NUMBERED.search(name) else _file_name(name) for device, name in names.items()}


def _file_name(path: str) -> str:
    return path.rpartition("/")[2].rpartition("] ")[2]


def _in_order(left: t.Sequence[Device], disks: t.Sequence[Expected]) -> list[Device]:
    """Devices in the order of these disks; none where nobody can tell, or see that it is wrong."""
    if len(left) != len(disks):
        return []
    if len(left) == 1:
        return list(left)
    numbers = {device: int(found[1]) for device in left if (found := _NUMBERED.search(device.target))}
    if len(set(numbers.values())) == len(left):
        left = sorted(left, key=lambda device: numbers[device])
    elif len({_grains(disk.capacity) for disk in disks}) < len(disks):
        return []
    return list(left)


def _grains(capacity: int) -> int:
    """The capacity of a disk as a streamOptimized file may round it."""
    return -(-capacity // _GRAIN)


def same_grains(first: int, second: int) -> bool:
    """Whether two capacities are one, as a streamOptimized file may round it."""
    return _grains(first) == _grains(second)


def unit_in(key: str) -> str:
    """Controller and unit in the key of a device (``/vm-42/ParaVirtualSCSIController0:1``), as
    ``scsi0:1``; empty where it is of another form.
    """
    found = _ADDRESS.search(key)
    bus = _BUSES.get(found[1].lower(), "") if found else ""
    return f"{bus}{found[2]}:{found[3]}" if found and bus else ""


@contextlib.contextmanager
def exporting(lease: Lease, deadline: float) -> t.Iterator[Ready]:
    """Hold a lease for an export: it is completed where the block ends well, and aborted where not.

    A lease that nobody ends blocks its VM until it times out.

    :param deadline: of ``time.monotonic()``.
    :raises Fault, TimedOut: it does not become ready.
    """
    try:
        yield lease.wait_until_ready(deadline)
        lease.complete(deadline)
    except BaseException:
        _abort(lease)
        raise


def _abort(lease: Lease) -> None:
    """What goes wrong here is a warning: the first error is what the user has to know."""
    session = lease._session
    if session.unreachable():
        return
    try:
        lease.abort()
    except NotAttempted:
        # A signal has ended the run, and this is a thread of it: the main one does it.
        session.owed.append(lambda: _abort(lease))
    except VforgeError as error:
        session.warn(f"The lease of the export could not be ended; vCenter ends it by itself within minutes: {error}")


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
            _at_once([receiver.run for receiver in receivers], parallel, stop)
        sent = lease.received()
    return [receiver.compared(sent.get(one.device.key)) for receiver, one in zip(receivers, wanted, strict=True)]


def _compared_by(lease: Lease, wanted: t.Sequence[Wanted]) -> tuple[str, ...]:
    """The digests that are made of files: where the host reports a SHA-256, that is compared; otherwise a SHA-1 is
    made besides.
    """
    return ("sha256",) if lease.ask_for_sha256([one.device for one in wanted]) else ("sha256", "sha1")


@contextlib.contextmanager
def _of_hosts(session: Session) -> t.Iterator[None]:
    """A host that cannot be reached says nothing of the vCenter: who counts lost
    connections must not count it.
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
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._receive()
            except ConnectionLost as error:
                self._gauge.add(-self._ends.size)
                if self._stop.is_set():
                    raise Stopped("The download was broken off.") from error
                if attempt == _ATTEMPTS or not backoff.begin():
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
        """One pass over the file, in one buffer: while a part is
        written another thread hashes it.
        """
        self._begin()
        self._wanted.sink.restart()
        device = self._wanted.device
        host = Host(self._options, device.url, device.pin, Clock(self._options.connection_timeout, self._deadline), self._stop)
        buffer = memoryview(bytearray(_PART))
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
        """Refuse what is no whole stream of a disk, or that of another disk, as far as its two ends say so."""
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
