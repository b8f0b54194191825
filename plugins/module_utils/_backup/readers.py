# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers: the ways to the content of a disk of a snapshot, behind one interface."""

from __future__ import annotations

import contextlib
import os
import threading
import typing as t
import weakref

from .._devices import Device
from .._errors import ConnectionLost, VforgeError
from .._progress import Meter
from .._vsphere import lease as leases
from .._vsphere import lease_devices, receiving
from .._vsphere.flat import Flat
from . import nbd
from .images import Nbd
from .options import PASSWORD_FILE
from .storage import remove

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .._connector.web import Stop
    from .._vsphere.datastore_files import DatastoreFiles, DatastorePath
    from .._vsphere.disks import Disk
    from .copying import Stream
    from .options import NbdServer, Vm


# Between two looks at whether the task is to end.
_TURN_SECONDS = 1.0

# So often a range is asked for.
_ATTEMPTS = 3


class Reader(t.Protocol):
    """A way to one disk of a snapshot."""

    def open(self) -> Stream:
        """One connection, for one thread."""

    def data(self, capacity: int) -> list[tuple[int, int]]:
        """Where there may be anything but zeros: starts and lengths, up to the capacity."""


class NbdReader:
    """A disk that a server offers over NBD.

    :param server: its URI or its command.
    :param values: for its placeholders, all but the password's.
    :param password: for the command, where it asks for one.
    :param capacity: of the disk, in bytes, as vSphere has it.
    :param what: it is, for messages.
    :param go_on: is called while the server is waited for; raises why that is to end.
    """

    def __init__(
        self,
        server: NbdServer,
        values: t.Mapping[str, str],
        password: str,
        capacity: int,
        what: str,
        go_on: t.Callable[[], None],
    ) -> None:
        self._go_on = go_on
        self._open: weakref.WeakSet[Nbd] = weakref.WeakSet()
        self._server = server
        self._values = values
        self._password = password
        self._capacity = capacity
        self._what = what

    def open(self) -> Nbd:
        """One connection; a server of its own where a command serves it.

        :raises WrongDisk: it offers less than the disk has: what is behind its end would read
            as zeros.
        """
        disk = self._connect()
        self._open.add(disk)
        if disk.size < self._capacity:
            disk.close()
            raise WrongDisk(
                f"{self._what} has {self._capacity} bytes, and the NBD server offers {disk.size}.",
                hint="Look whether it serves the right disk of the right snapshot.",
            )
        return disk

    @contextlib.contextmanager
    def watched(self) -> t.Iterator[None]:
        """Break connections off, as long as the context lasts, when the task is to end: a server
        may never answer.
        """
        over = threading.Event()

        def watch() -> None:
            try:
                while not over.wait(_TURN_SECONDS):
                    self._go_on()
            except VforgeError:
                # Who waits asks why, and says so.
                for disk in list(self._open):
                    disk.break_off()

        watcher = threading.Thread(target=watch, name="nbd-watch", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def _connect(self) -> Nbd:
        server = self._server
        if not server.command:
            return Nbd.uri(server.filled({**self._values, PASSWORD_FILE: ""}).uri, self._go_on)
        with contextlib.ExitStack() as held:
            kept, path = [], ""
            if PASSWORD_FILE in server.placeholders:
                kept = [held.enter_context(nbd.secret(self._password))]
                path = f"/dev/fd/{kept[0]}"
            command = server.filled({**self._values, PASSWORD_FILE: path}).command
            return Nbd.command(command, self._what, kept, self._go_on)

    def data(self, capacity: int) -> list[tuple[int, int]]:
        """What the server says of its holes."""
        with contextlib.closing(self.open()) as disk:
            return list(disk.data(0, capacity))


class DeviceReader:
    """A disk that is attached to the VM that the module runs in.

    :param path: of the disk here.
    :param areas: asks which areas are in use.
    """

    def __init__(self, path: str, what: str, capacity: int, areas: t.Callable[[], list[tuple[int, int]]]) -> None:
        self._path = path
        self._what = what
        self._capacity = capacity
        self._areas = areas

    def open(self) -> Device:
        """The disk, opened once more.

        :raises WrongDisk: it has another size than the disk of the snapshot.
        """
        device = Device(self._path, self._what)
        if device.size != self._capacity:
            device.close()
            raise WrongDisk(
                f"{self._what} has {self._capacity} bytes, and {self._path} has {device.size}.",
                hint="Look which disk of this machine has that name.",
            )
        return device

    def data(self, _capacity: int) -> list[tuple[int, int]]:
        """The areas in use.

        :raises WrongDisk: as ``open`` does, also where none is in use.
        """
        self.open().close()
        return self._areas()


class FolderReader:
    """A disk whose content is one file of a datastore, read over HTTPS.

    :param connect: makes a connection of its own to the files of the datacenter.
    :param path: of the disk's descriptor.
    :param areas: asks which areas are in use.
    """

    def __init__(
        self,
        connect: t.Callable[[], DatastoreFiles],
        path: DatastorePath,
        capacity: int,
        areas: t.Callable[[], list[tuple[int, int]]],
    ) -> None:
        self._connect = connect
        self._path = path
        self._capacity = capacity
        self._areas = areas

    def open(self) -> FolderStream:
        """One connection.

        :raises WrongDisk: the file is one of another disk.
        """
        files = self._connect()
        try:
            return FolderStream(files, self._file(files))
        except BaseException:
            files.close()
            raise

    def _file(self, files: DatastoreFiles) -> Flat:
        flat = Flat(files, self._path)
        flat.state()
        if flat.capacity != self._capacity:
            raise WrongDisk(f"{self._path} has {flat.capacity} bytes, and the disk has {self._capacity}.", hint="Run again.")
        return flat

    def data(self, _capacity: int) -> list[tuple[int, int]]:
        """The areas in use."""
        return self._areas()


class FolderStream:
    """One connection to the file of a disk."""

    def __init__(self, files: DatastoreFiles, flat: Flat) -> None:
        self._files = files
        self._flat = flat

    def read(self, offset: int, length: int) -> bytearray:
        """A range of the file; asked for again where the connection broke off in it.

        :raises ConnectionLost: it broke off each time.
        """
        data = bytearray(length)
        with memoryview(data) as there:
            for attempt in range(_ATTEMPTS):
                try:
                    self._flat.read_into(offset, there)
                    break
                except ConnectionLost:
                    if attempt + 1 == _ATTEMPTS:
                        raise
        return data

    def close(self) -> None:
        """End it."""
        self._files.close()


class WrongDisk(VforgeError):
    """A server offers another disk than the one that was asked for."""

    error_code = "wrong_disk"


class ImageReader:
    """A disk that lies on this machine as a VMDK, as an export lease has given it.

    :param path: of the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def open(self) -> Nbd:
        """A server of its own."""
        return Nbd.image(self._path, form="vmdk")

    def data(self, capacity: int) -> list[tuple[int, int]]:
        """What the image has."""
        with contextlib.closing(self.open()) as disk:
            # A streamOptimized VMDK has whole sectors, or whole grains.
            if disk.size < capacity or not lease_devices.same_grains(disk.size, capacity):
                raise WrongDisk(f"The disk has {capacity} bytes, and {disk.size} came by the lease.", hint="Run again.")
            return list(disk.data(0, capacity))

    def remove(self) -> None:
        """It was read."""
        remove(self._path)


def export(
    session: Session,
    vm: Vm,
    snapshot: str,
    disks: t.Sequence[Disk],
    folder: str,
    *,
    deadline: float,
    stop: Stop,
    parallel: int,
    warn: t.Callable[[str], None],
) -> dict[int, ImageReader]:
    """Get the disks of a snapshot by an export lease, whole, into files.

    :param folder: for the files.
    :param warn: is called with a sentence for each disk of which the host does not say what it has sent.
    :returns: readers by the keys of the disks.
    :raises ExportFailed: what came is not what was sent, or a disk has no address.
    """
    lease = leases.export_snapshot(session, snapshot)
    with leases.exporting(lease, deadline) as ready:
        found = [(disk, lease_devices.device_of(ready, disk, disks)) for disk in disks]
        missing = [disk.label for disk, device in found if device is None]
        if missing:
            raise leases.ExportFailed(
                "export_incomplete",
                f"vCenter offers no file of {missing[0]} of {vm.path}, or none that is certain to be its.",
                hint="Run again; if it happens again, look at the tasks of the vCenter.",
            )
        paths = {disk.key: os.path.join(folder, f"export-{disk.key}.vmdk") for disk in disks}
        with contextlib.ExitStack() as files:
            wanted = [
                receiving.Wanted(
                    device, files.enter_context(_Sink(paths[disk.key])), f"{disk.label} of {vm.path}", disk.capacity
                )
                for disk, device in found
                if device is not None
            ]
            came = receiving.receive(
                session,
                lease,
                ready,
                wanted,
                gauge=Meter(vm.name, ready.capacity, session.show_progress),
                parallel=parallel,
                deadline=deadline,
                stop=stop,
            )
    for each, one in zip(came, wanted, strict=True):
        if not each.witnessed:
            warn(
                f"The host reports neither the size nor a digest of what it has sent of {one.label}, "
                "so nothing says that all of it came but that it ends as such a file does."
            )
    return {key: ImageReader(path) for key, path in paths.items()}


class _Sink:
    """A file that is written once, or again from its beginning."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "xb", buffering=0)  # noqa: SIM115 (it is a context itself)

    def restart(self) -> None:
        """From the first byte again."""
        self._file.seek(0)
        self._file.truncate()

    def write(self, part: memoryview) -> None:
        """Add bytes, all of them."""
        while part:
            part = part[self._file.write(part) :]

    def __enter__(self) -> _Sink:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()
