# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases (HttpNfcLease): the time in which disks are carried to or from a host.

While a lease is held, vCenter blocks what would alter the VM. A lease that is not kept alive, or is
aborted, ends in error, and what was imported by it is removed (API reference, HttpNfcLease).

``sending`` and ``receiving`` carry the files. To send some::

    lease = Lease(session, ref)
    ready = lease.wait_until_ready(deadline)
    stop = Stop()
    with lease.held(ready.timeout, percent, stop):
        Sender(session, parallel, deadline, stop, progress=..., check=...).send(uploads_by_disk)
    lease.complete(deadline)
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import threading
import typing as t
import urllib.parse

from .. import _signals
from .._connector import faults, tls
from .._connector.props import read
from .._connector.pyvmomi import vim
from .._connector.tasks import Backoff, Update, wait_until
from .._errors import CodedError, ConnectionLost, Fault, NotAttempted, TimedOut, VforgeError

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .._connector.web import Stop

# At the end of the key of a disk's device.
CONTROLLER_AND_UNIT = re.compile(r"Virtual(\w*?)Controller(\d+):(\d+)$")

_PATHS = ("state", "error", "info")

# How a release answers to a method that it does not have.
_UNKNOWN = ("MethodNotFound", "NotSupported", "NotImplemented")

# A lease lives for 300 seconds from one sign of life to the next; ten are no load, and keep the
# percentage fresh.
_SECONDS_BETWEEN_SIGNS = 10.0

# So long a sign that is under way is waited for after a signal.
_FAREWELL_SECONDS = 1.0


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


class Stopped(VforgeError):
    """A transfer was broken off because another one failed, or the run was."""

    error_code = "stopped"


class UploadFailed(VforgeError):
    """A file did not get to its host, however often it was sent."""

    error_code = "upload_failed"


class ExportFailed(CodedError):
    """What came of an export is not what the host has sent, or it did not come at all."""


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

        def known(update: Update, path: str) -> t.Any:
            # What goes with a state need not come in one update with it.
            value = update.state.get(path)
            return value if value is not None or update.gone else self._read(path)

        def is_ready(update: Update) -> bool:
            state = str(update.state.get("state"))
            if state == "error" or update.gone:
                raise _why(known(update, "error"))
            info = known(update, "info") if state == "ready" else None
            if info is not None:
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
        """Have the manifest of an export say the SHA-256 of each file; False where this release
        cannot.
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
        """``initializing``, ``ready``, ``done`` or ``error``; empty where vCenter does not know it
        any more.
        """
        return str(self._read("state") or "")

    def _read(self, path: str) -> t.Any:
        """A property of it; None where it is unset, or vCenter does not know the lease any more."""
        row = read(self._session, [self.ref], vim.HttpNfcLease, [path]).get(self.ref._GetMoId())
        return row.get(path) if row is not None else None

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
            # A sign that is not answered holds nobody up who has to end.
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
            # A host closes its connections when the lease ends, which says nothing: a datastore
            # that is full, or a disk that it refuses.
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
            fault = self._read("error")
        except VforgeError:
            return error
        return faults.translate(fault, "the transfer") if fault is not None else error


def _why(fault: t.Any) -> VforgeError:
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
    return path.lower().endswith(".vmdk") or CONTROLLER_AND_UNIT.search(item.importKey or item.key) is not None


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


def wait_until_gone(session: Session, vm: t.Any, deadline: float) -> bool:
    """Wait until a VM is gone, as one is whose import was aborted.

    False when it is still there at the deadline.
    """
    return not wait_until(session, [vm], vim.VirtualMachine, ("name",), deadline, lambda update: update.gone)


def export_vm(session: Session, moid: str) -> Lease:
    """``ExportVm``: a lease for the disks of a VM that is off."""
    return Lease(session, session.reference(vim.VirtualMachine, moid).ExportVm())


def export_snapshot(session: Session, moid: str) -> Lease:
    """``ExportSnapshot``: a lease for the disks as a snapshot has them, whatever the VM does meanwhile.

    :param moid: of the snapshot.
    """
    return Lease(session, session.reference(vim.vm.Snapshot, moid).ExportSnapshot())


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
