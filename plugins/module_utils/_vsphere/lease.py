# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases (HttpNfcLease): the time in which disks are carried to or from a host, and the carrying
itself.

While a lease is held, vCenter blocks what would alter the VM. A lease that is not kept alive, or is
aborted, ends in error, and what was imported by it is removed (API reference, HttpNfcLease).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import re
import ssl
import threading
import typing as t

from .._connector import faults
from .._connector.props import read
from .._connector.pyvmomi import vim
from .._connector.tasks import Backoff, Update, wait_until
from .._connector.web import Clock, Host, Late, Stop, TransferRefused
from .._errors import ConnectionLost, Fault, TimedOut, VforgeError

if t.TYPE_CHECKING:
    from .._connector.options import ConnectionOptions
    from .._connector.session import Session

_PATHS = ("state", "error", "info")

# A lease lives for 300 seconds from one sign of life to the next; ten are no load, and keep the
# percentage fresh.
_SECONDS_BETWEEN_SIGNS = 10.0

# A host answers when it has written the last byte.
_SECONDS_FOR_THE_ANSWER = 300


@dataclasses.dataclass(frozen=True)
class Device:
    """Where the file of one disk goes.

    :ivar key: names the device in the lease's manifest.
    :ivar pin: the certificate of the host, as ``tls.pinned`` takes it; None where vCenter does not
        tell it.
    """

    key: str
    import_key: str
    url: str
    pin: str | None
    disk: bool


@dataclasses.dataclass(frozen=True)
class Ready:
    """What a lease offers.

    :ivar entity: moid of the VM.
    :ivar timeout: seconds that the lease lives without a sign of life.
    """

    entity: str
    devices: tuple[Device, ...]
    timeout: float


@dataclasses.dataclass(frozen=True)
class Received:
    """What a host has got of one file.

    :ivar size: in bytes.
    :ivar digests: names of algorithms (``sha256``) with digests of the bytes, in hexadecimal
        digits.
    """

    size: int
    digests: tuple[tuple[str, str], ...]


class Stopped(VforgeError):
    """A transfer was broken off because another one failed, or the run was."""

    error_code = "stopped"


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
        """What the host has of each device, by its key, as far as vCenter reports it."""
        try:
            entries = self._session.retrying(self.ref.HttpNfcLeaseGetManifest)
        except Fault as fault:
            if fault.fault not in ("MethodNotFound", "NotSupported", "NotImplemented"):
                raise
            return {}
        return {entry.key: Received(entry.size, tuple(_sums(entry))) for entry in entries or ()}

    def complete(self, deadline: float) -> None:
        """All is carried: vCenter takes over what was imported. It is asked again where its answer was lost.

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
        """``initializing``, ``ready``, ``done`` or ``error``; empty where vCenter does not know it any more."""
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
            thread.join()

    def _cause(self, error: VforgeError) -> VforgeError:
        """Why the lease ended, as it says itself; the error at hand where it does not."""
        try:
            row = read(self._session, [self.ref], vim.HttpNfcLease, ["error"]).get(self.ref._GetMoId())
        except VforgeError:
            return error
        return faults.translate(row.get("error"), "the upload") if row is not None and row.get("error") else error


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
        Device(item.key, item.importKey or item.key, item.url, _pin(item), bool(item.disk))
        for item in info.deviceUrl or ()
        if item.url
    )
    return Ready(info.entity._GetMoId(), devices, float(info.leaseTimeout or 300))


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
    """The whole certificate where the release tells it, else its thumbprint, which is a SHA-1
    before vSphere 8.
    """
    if getattr(item, "sslCertificate", None):
        with contextlib.suppress(ValueError):
            return hashlib.sha256(ssl.PEM_cert_to_DER_cert(item.sslCertificate.strip())).hexdigest()
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
    except ConnectionLost as error:
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


def wait_until_gone(session: Session, vm: t.Any, deadline: float) -> bool:
    """Wait until a VM is gone, as one is whose import was aborted.

    False when it is still there at the deadline.
    """
    return not wait_until(session, [vm], vim.VirtualMachine, ("name",), deadline, lambda update: update.gone)
