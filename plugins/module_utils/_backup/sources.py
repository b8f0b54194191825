# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The transports of a task: what each says of a VM before its snapshot is made, and the readers
that it makes after that.

There is one of them for a task. It looks for the VM that the module runs in at most once, and
has all that is attached to that.
"""

from __future__ import annotations

import contextlib
import functools
import time
import typing as t

from .. import _devices
from .._connector import certificate
from .._connector.web import Stop
from .._errors import VforgeError
from .._temporary_disks import Attachments, Leftovers, detach_leftovers, leftovers
from .._vsphere import proxy as proxies
from .._vsphere import tracking, transports
from .._vsphere.areas import changed_areas
from .._vsphere.datastore_files import DatastoreFiles, DatastorePath
from .._vsphere.flat import Flat
from .._vsphere.transports import DATASTORE_HTTP, EXPORT, HOTADD, NBD, Way
from . import nbd, plan, readers
from .options import AUTO, FULL

if t.TYPE_CHECKING:
    from .._vsphere.disks import Disk
    from .options import BackupOptions, NbdServer, Vm
    from .readers import Reader
    from .task import BackupItem, BackupTask

# For the guest to see a disk that was attached. It takes one or two.
SECONDS_TO_SHOW = 60.0

SourceOf = t.Callable[["Disk"], t.ContextManager["Reader"]]


class Sources:
    """The transports of one task.

    :ivar detached: files of disks that dead runs had left attached, and that were
        detached; in check mode would be.
    """

    def __init__(self, job: BackupTask) -> None:
        self._job = job
        self._proxy: proxies.Known | str = "it was not looked for, since another transport was asked for"
        self._attachments: Attachments | None = None
        self._known_thumbprints: dict[str, str] = {}
        self.detached: list[str] = []

    @property
    def _options(self) -> BackupOptions:
        return self._job.options

    # Before anything is changed

    def look(self) -> None:
        """Find the VM that the module runs in, where it may be needed, and detach what dead runs
        have left on it.

        :raises NotFound: the VM that is named as the proxy is not there.
        """
        # A snapshot that a dead run has left may be one whose disk is still attached.
        suspicious = any(item.leftovers for item in self._job.vms)
        if self._options.transport not in (AUTO, HOTADD) and not suspicious:
            return
        session, named = self._job.session, self._options.hotadd.proxy
        self._proxy = proxies.find(session, named, self._options.datacenter if named is not None else None)
        if isinstance(self._proxy, str):
            return
        found: Leftovers = leftovers(session, self._proxy)
        if not self._job.task.check:
            self._proxy = detach_leftovers(session, self._proxy, found)
        self.detached = found.files

    def ways(self, vm: Vm) -> list[Way]:
        """What each transport says of a VM.

        Files of datastores are looked at: that is no SOAP call, and three HTTP requests for each
        disk.
        """
        disks = plan.kept(vm.disks)
        return [
            Way(NBD, self._nbd),
            Way(HOTADD, self._hotadd(vm, disks)),
            Way(DATASTORE_HTTP, self._http(vm, disks)),
            Way(EXPORT, _first(disks, functools.partial(transports.export, vm.subject))),
        ]

    @functools.cached_property
    def _nbd(self) -> str:
        return nbd.reason(self._options.nbd)

    def _hotadd(self, vm: Vm, disks: t.Sequence[Disk]) -> str:
        proxy = self._proxy if isinstance(self._proxy, str) else self._proxy.proxy
        return _first(disks, lambda disk: transports.hotadd(vm.subject, disk, proxy)) or _devices.reason(
            self._options.hotadd.folder
        )

    def _http(self, vm: Vm, disks: t.Sequence[Disk]) -> str:
        if self._options.transport not in (AUTO, DATASTORE_HTTP):
            return _first(disks, functools.partial(transports.datastore_http, vm.subject))
        return _first(disks, functools.partial(self._http_of, vm))

    def _http_of(self, vm: Vm, disk: Disk) -> str:
        why = transports.datastore_http(vm.subject, disk)
        if why:
            return why
        try:
            with self._files(vm) as files:
                Flat(files, DatastorePath.parse(disk.file, "disk")).state()
        except VforgeError as error:
            return error.message.rstrip(".")
        return ""

    def _files(self, vm: Vm, stop: Stop | None = None) -> DatastoreFiles:
        return DatastoreFiles(self._job.session, vm.datacenter, self._job.task.deadline, stop)

    # With the snapshot

    @contextlib.contextmanager
    def opened(self, item: BackupItem, snapshot: str, disks: t.Sequence[Disk], folder: str) -> t.Iterator[SourceOf]:
        """The readers of the disks of a snapshot, by the transport of the VM.

        :param folder: for the files of an export.
        """
        makers = {NBD: self._by_nbd, HOTADD: self._by_hotadd, DATASTORE_HTTP: self._by_http}
        if item.transport == EXPORT:
            yield self._exported(item, snapshot, disks, folder)
        else:
            yield functools.partial(makers[item.transport], item, snapshot)

    @contextlib.contextmanager
    def _by_nbd(self, item: BackupItem, snapshot: str, disk: Disk) -> t.Iterator[Reader]:
        server, what = self._options.nbd, _what(item, disk)
        if server is None:
            raise plan.NotBackedUp("no_transport", f"No NBD server is named that serves {what}.", hint="Set nbd.")
        session = self._job.session
        known = nbd.values(session, server, item.vm, snapshot, disk, self._thumbprints(server))
        reader = readers.NbdReader(server, known, session.options.password, disk.capacity, what, self._job.go_on)
        with reader.watched():
            yield reader

    def _thumbprints(self, server: NbdServer) -> dict[str, str]:
        if not nbd.wants_thumbprint(server):
            return {}
        with self._job.lock:
            if not self._known_thumbprints:
                self._known_thumbprints = certificate.thumbprints(self._job.session.options)
            return self._known_thumbprints

    @contextlib.contextmanager
    def _by_hotadd(self, item: BackupItem, snapshot: str, disk: Disk) -> t.Iterator[Reader]:
        job, what, folder = self._job, _what(item, disk), self._options.hotadd.folder
        deadline = job.task.deadline
        with self._attached().attached(disk, item.vm.instance_uuid, what, deadline, self._is_away) as attached:
            path = _devices.wait(folder, attached.uuid, what, self._shown(), job.go_on)
            yield readers.DeviceReader(path, what, disk.capacity, self._areas_in_use(item, snapshot, disk))

    def _shown(self) -> float:
        return min(self._job.task.deadline, time.monotonic() + SECONDS_TO_SHOW)

    def _is_away(self, disk: Disk) -> None:
        _devices.wait_gone(self._options.hotadd.folder, disk.uuid, disk.label, self._shown(), self._job.go_on)

    def _attached(self) -> Attachments:
        with self._job.lock:
            if self._attachments is None:
                known = self._proxy
                if isinstance(known, str):
                    raise plan.NotBackedUp("no_transport", f"Disks cannot be attached: {known}.")
                self._attachments = Attachments(self._job.session, known, self._job.run, self._options.timeout, self._job.go_on)
            return self._attachments

    @contextlib.contextmanager
    def _by_http(self, item: BackupItem, snapshot: str, disk: Disk) -> t.Iterator[Reader]:
        path = DatastorePath.parse(disk.file, "disk")
        stop = self._job.end.stop()
        yield readers.FolderReader(
            lambda: self._files(item.vm, stop), path, disk.capacity, self._areas_in_use(item, snapshot, disk)
        )

    def _exported(self, item: BackupItem, snapshot: str, disks: t.Sequence[Disk], folder: str) -> SourceOf:
        images = readers.export(
            self._job.session,
            item.vm,
            snapshot,
            disks,
            folder,
            deadline=self._job.task.deadline,
            stop=self._job.end.stop(),
            parallel=self._options.streams,
            warn=item.warnings.append,
        )

        @contextlib.contextmanager
        def source(disk: Disk) -> t.Iterator[Reader]:
            yield images[disk.key]
            images[disk.key].remove()

        return source

    def _areas_in_use(self, item: BackupItem, snapshot: str, disk: Disk) -> t.Callable[[], list[tuple[int, int]]]:
        """Asks which areas of a disk are in use: those that tracking knows, else all of it. Who
        asks for a full backup may do so because tracking is not to be trusted.
        """

        def ask() -> list[tuple[int, int]]:
            whole = [(0, disk.capacity)] if disk.capacity else []
            if disk.change_id is None or self._options.mode == FULL:
                return whole
            pages = tracking.pages(self._job.session, item.vm.moid, snapshot, disk.key, tracking.IN_USE)
            return tracking.or_whole(lambda: [(area.start, area.length) for area in changed_areas(pages, disk.capacity)], whole)

        return ask

    # In every ending

    def end(self, vm: str = "") -> dict[str, str]:
        """Detach what is still attached.

        :param vm: instance UUID of the VM whose disks are meant; all where it is empty.
        :returns: why a disk could not be, by the instance UUID of its VM.
        """
        return self._attachments.end(vm) if self._attachments is not None else {}


def _first(disks: t.Sequence[Disk], why: t.Callable[[Disk], str]) -> str:
    """The first reason against a disk; with its label where there are several."""
    for disk in disks:
        reason = why(disk)
        if reason:
            return f"{disk.label}: {reason}" if len(disks) > 1 else reason
    return ""


def _what(item: BackupItem, disk: Disk) -> str:
    return f"{disk.label} of {item.title}"
