# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writers: the ways by which a disk of a point becomes a disk of a datastore, behind one interface.

The disk belongs to no VM in the end, and to none but the one that the module runs in meanwhile.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import time
import typing as t

from .. import _devices, _files
from .._disk_import import importing
from .._errors import NotFound, TimedOut, VforgeError
from .._progress import Meter
from .._temporary_disks import Attachments, Fresh, NotAttached, detach_leftovers, leftovers
from .._vsphere import proxy as proxies
from .._vsphere.datastore_files import DatastorePath
from .._vsphere.transports import Store, Subject, Way, hotadd_new
from . import disk as disks
from . import images, restore_plan
from .blockmap import differences
from .model import BLOCK
from .readers import WrongDisk
from .restore_options import CONTENT, HOTADD, IMPORT, MANIFEST, NOTHING, SIZE
from .restore_plan import NotRestored
from .sources import SECONDS_TO_SHOW

if t.TYPE_CHECKING:
    from .._vsphere.proxy import Attached, Known
    from .restore_plan import Place, RestoredDisk
    from .restoring import RestoreTask

WHAT = "disk that is made ready"

# What begins the names of files that are made ready for an upload.
_READY = "restore-"

# What the host's report of an upload proves.
_REPORTED = {importing.DIGEST: MANIFEST, importing.SIZE: SIZE, importing.NOTHING: NOTHING}


class Writer(t.Protocol):
    """A way to a new disk on a datastore."""

    def check(self, places: t.Sequence[Place]) -> None:
        """Refuse, before anything is done, disks that cannot be brought in, or not proved as asked for.

        :raises VforgeError: with the reason.
        """

    @property
    def proxy(self) -> str:
        """Moid of the VM that a disk is attached to meanwhile; empty where there is none."""

    @property
    def held(self) -> t.Collection[str]:
        """Files that could not be detached from it. The next run does it."""

    def bring_in(self, disk: RestoredDisk, file: str, begin: t.Callable[[], None]) -> str:
        """Have the content of a point in a new file of a datastore.

        :param begin: is called before the first thing is made in vCenter.
        :returns: how it was proved so far: ``content``, ``manifest``, ``size`` or ``nothing``.
        :raises VforgeError: it did not come. No VM has it then, unless a warning says so.
        """


def choose(job: RestoreTask, places: t.Sequence[Place]) -> Writer:
    """The way that was asked for; where any will do, devices of the VM that the module runs in, if they lead to all disks.

    :raises VforgeError: it cannot bring these disks in, or not prove them as asked for.
    """
    wanted = job.options.transport
    if wanted != IMPORT:
        devices = DeviceWriter(job)
        way = Way(HOTADD, devices.reason(places))
        job.ways.append(way)
        if way.usable or wanted == HOTADD:
            devices.check(places)
            return devices
    lease = LeaseWriter(job)
    lease.check(places)
    job.ways.append(Way(IMPORT))
    return lease


# By an import lease


class LeaseWriter:
    """Sends disks to a host by import leases, as files that are made ready on this machine."""

    proxy = ""
    held: t.Collection[str] = ()

    def __init__(self, job: RestoreTask) -> None:
        self._job = job

    def check(self, places: t.Sequence[Place]) -> None:
        """It can bring in all; what it cannot is to read them back everywhere."""
        restore_plan.check_verify(self._job.target, self._job.options, places)

    def bring_in(self, disk: RestoredDisk, file: str, begin: t.Callable[[], None]) -> str:
        """One lease."""
        job, place = self._job, disk.place
        with self._ready(place) as path:
            begin()
            new = importing.NewDisk(
                path=path,
                capacity=place.backup.capacity,
                target=DatastorePath.parse(file, "disk"),
                adapter="ide" if place.backup.unit.startswith("ide") else "lsilogic",
                provisioning=place.provisioning,
                replace=False,
                timeout=job.options.timeout,
                policies=disk.policies,
            )
            came = importing.DiskImport(job.task, job.item, job.home(new.target)).bring_in(new)
        if not came.cleared:
            job.record.note_carried(file)
        return _REPORTED[came.reported]

    @contextlib.contextmanager
    def _ready(self, place: Place) -> t.Iterator[str]:
        """The disk of the point as a file that a host takes, compared with its digests; it goes at the end."""
        job = self._job
        path = os.path.join(_folder(job), f"{_ready_name(job)}{place.backup.key}.vmdk")
        job.session.show_progress(f"preparing {place.backup.label} of {job.point.id}")
        try:
            disks.restore(job.machine, job.point, place.backup, path, "vmdk", job.task.deadline, streamed=True)
            yield path
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _folder(job: RestoreTask) -> str:
    """Where disks are made ready for their upload."""
    return job.options.folder or job.machine.folder


def _ready_name(job: RestoreTask) -> str:
    """What begins the names of files that are made ready: of the VM that was backed up, whose lock is held, for this one."""
    return f"{_READY}{job.point.instance_uuid}-{job.target.instance_uuid}-"


def remove_ready(job: RestoreTask) -> None:
    """Remove what runs that were killed have made ready for this VM, and begun to make; the lock is held."""
    with _files.open_folder(_folder(job), what=WHAT) as folder:
        for name in folder.names():
            if name.startswith(_ready_name(job)) and name.endswith(".vmdk"):
                folder.remove(name)
        folder.sweep(_ready_name(job))


# By a disk of the VM that the module runs in


class DeviceWriter:
    """Makes disks on the VM that the module runs in, and writes them there as devices."""

    def __init__(self, job: RestoreTask) -> None:
        self._job = job
        self._hotadd = job.options.hotadd
        self.held: set[str] = set()

    @functools.cached_property
    def _known(self) -> Known | str:
        named = self._hotadd.proxy
        return proxies.find(self._job.session, named, self._job.options.datacenter if named is not None else None)

    @property
    def proxy(self) -> str:
        """The VM that the module runs in."""
        return "" if isinstance(self._known, str) else self._known.proxy.moid

    def check(self, places: t.Sequence[Place]) -> None:
        """Each disk has to have its way to that VM."""
        why = self.reason(places)
        if why:
            raise NotRestored(
                "no_transport",
                f"Disks cannot be written by {HOTADD}. {why}.",
                hint="Set transport to import or auto, or run the module in another VM.",
            )

    def reason(self, places: t.Sequence[Place]) -> str:
        """Why a disk has no way to that VM; empty where all have."""
        for place in places:
            why = self._obstacle(place) or _devices.reason(self._hotadd.folder)
            if why:
                return f"{place.backup.label}: {why}"
        return ""

    def _obstacle(self, place: Place) -> str:
        job, target = self._job, self._job.target
        near = restore_plan.beside(target, place)
        home = job.home(near)
        subject = Subject(
            moid=target.moid,
            power_state=target.power_state,
            datacenter=target.datacenter,
            stores={near.datastore: Store(home.kind, frozenset(home.hosts))},
        )
        proxy = self._known if isinstance(self._known, str) else self._known.proxy
        return hotadd_new(subject, place.backup.unit, near.datastore, proxy)

    def bring_in(self, disk: RestoredDisk, file: str, begin: t.Callable[[], None]) -> str:
        """One call makes it, one takes it off."""
        job, backup = self._job, disk.place.backup
        known = self._known
        if isinstance(known, str):
            raise NotAttached(f"Disks cannot be attached: {known}.")
        what = f"{backup.label} of {job.point.id}"
        attachments = Attachments(job.session, known, secrets.token_hex(8), job.options.timeout, self._go_on)
        new = Fresh(file, backup.capacity, disk.place.provisioning, disk.policies)
        # What is damaged is said before anything is made.
        source = job.machine.image_of(job.point, backup)
        with images.damage_of(what):
            images.backing_of(source, job.task.deadline, self._go_on)
        begin()
        try:
            with (
                # Held until the disk is detached: what was written has LVM, RAID and partitions, which this machine's
                # own services would take for theirs.
                contextlib.ExitStack() as afterwards,
                attachments.made(new, job.target.instance_uuid, what, job.task.deadline) as attached,
            ):
                device = self._opened(attached, what)
                afterwards.callback(device.close)
                self._write(disk, source, device, what)
        finally:
            for why in attachments.end().values():
                self.held.add(file)
                job.item.warnings.append(f"{why} The next restore into this VM does it.")
        if file in self.held:
            raise NotAttached(
                f"{file} could not be detached, so the VM cannot have it.", hint="See the warnings, and run again."
            )
        return CONTENT

    def _go_on(self) -> None:
        if time.monotonic() > self._job.task.deadline:
            raise TimedOut("The restore was not made in the time allowed.", hint="Raise timeout.")

    def _opened(self, attached: Attached, what: str) -> _devices.Device:
        """The device of a disk that was made a moment ago, for this process alone."""
        if not attached.uuid:
            raise NotAttached(f"{what} has no UUID by which it could be found in the guest.", hint="Set transport to import.")
        until = min(self._job.task.deadline, time.monotonic() + SECONDS_TO_SHOW)
        path = _devices.wait(self._hotadd.folder, attached.uuid, what, until, self._go_on)
        return _devices.Device(path, what, write=True)

    def _write(self, disk: RestoredDisk, source: str, device: _devices.Device, what: str) -> None:
        """Write the disk of a point to a new one, and read it back.

        :param source: the image of the point.
        :raises WrongDisk: the device is another disk; nothing is written then.
        :raises NotRestored: it has something else then.
        """
        job, backup = self._job, disk.place.backup
        _check_new(device, what, backup.capacity)
        job.session.show_progress(f"writing {what}")
        images.write_device(source, device.path, job.task.deadline, self._go_on)
        device.forget_cached()
        meter = Meter(f"comparing {what}", backup.capacity, job.session.show_progress)
        with job.machine.digests_of(job.point, backup) as digests:

            def read(offset: int, length: int) -> bytes:
                self._go_on()
                meter.add(length)
                return device.read(offset, length)

            wrong = next(differences(read, digests, range(digests.count)), None)
        if wrong is not None:
            raise NotRestored(
                "read_back_failed",
                f"{what} has something else at byte {wrong * BLOCK} than the backup. The VM was not changed.",
                hint="Verify the backup. If it is whole, look at the storage of the datastore.",
            )


def _check_new(device: _devices.Device, what: str, capacity: int) -> None:
    """Make sure, before the first byte is written, that a disk is the one that was made.

    :raises WrongDisk: it has another size, or anything but zeros where disks that are in use have something.
    """
    if device.size != capacity:
        raise WrongDisk(
            f"{what} has {capacity} bytes, and {device.path} has {device.size}. Nothing was written to it.",
            hint="Look which disk of this machine has that name.",
        )
    for begin in (0, max(0, capacity - BLOCK)):
        if any(device.read(begin, min(BLOCK, capacity))):
            raise WrongDisk(
                f"{device.path} should be a new disk for {what}, and is not empty. Nothing was written to it.",
                hint="Look which disk of this machine has that name.",
            )


def detach_left(job: RestoreTask, files: t.Mapping[str, str]) -> dict[str, str]:
    """Detach disks that runs that were killed have left on the VMs that they ran in; the lock is held.

    :param files: moids of these VMs by the files of the disks.
    :returns: why files are still attached, by their paths.
    """
    stuck: dict[str, str] = {}
    for moid in sorted(set(files.values())):
        mine = [file for file, proxy in files.items() if proxy == moid]
        try:
            known = proxies.read(job.session, moid)
            detach_leftovers(job.session, known, leftovers(job.session, known, mine))
        except NotFound:
            continue  # the VM is gone, or not to be seen: who else has the disk is looked for before it is deleted
        except VforgeError as error:
            stuck |= dict.fromkeys(mine, str(error))
    return stuck
