# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An export from its options to its result.

Takes plain options and a Session, so that it runs in a module as well as in an action plugin.

Exports of VMs as OVF packages.

Besides the rooms of every domain there are ``descriptor`` (the OVF that is written), ``package``
(its files on this machine) and ``record`` (what was exported, for the next run).
"""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from .. import _descriptor as descriptor
from .._connector.web import Stops
from .._copy_source import TRY, CopyItem, copy_all
from .._descriptor import Content, DiskFile, OtherFile
from .._engine import Task
from .._errors import NotFound, VforgeError
from .._progress import Meter
from .._temporary_snapshots import Kind, SnapshotTask, find_leftovers, remove_leftovers
from .._vsphere import lease as leases
from .._vsphere import lease_devices, receiving
from .._vsphere.hardware import HardDisk, Machine, exported_extra
from .._vsphere.vm import last_start
from . import package, plan, read, record, report
from .model import ExportOptions, Target, Vm
from .package import Package, Packages
from .plan import EXPORT, PRUNE, NotExportable
from .record import PackedFile, Record

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.session import Session

KIND = Kind("vforge-export", "Made for an export, and removed with it.", "vforge.export ")


@dataclasses.dataclass(kw_only=True)
class ExportItem(CopyItem):
    """A VM of the task.

    :ivar decided: its plan; None where it cannot be exported.
    :ivar package: what its files begin with.
    :ivar before: the package that was there, whole; None where there was none.
    :ivar after: the package that is there now.
    :ivar enough: whether a package that is there is new enough.
    :ivar last_start: when it was last powered on, where that is needed.
    :ivar removed: names and records of packages of it that were old.
    :ivar received: what came, by the labels of the disks.
    """

    vm: Vm
    target: Target
    package: str
    decided: plan.Plan | None = None
    before: Record | None = None
    after: Record | None = None
    enough: bool = False
    last_start: str = ""
    removed: list[tuple[str, Record]] = dataclasses.field(default_factory=list)
    received: dict[str, receiving.Exported] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(kw_only=True)
class ExportTask(SnapshotTask[ExportItem]):
    """A task whose VMs were found.

    :ivar now: by the clock of this machine, as packages are dated.
    """

    kind: Kind = KIND
    options: ExportOptions
    packages: Packages
    now: datetime.datetime = dataclasses.field(default_factory=lambda: datetime.datetime.now(datetime.UTC))


def run(session: Session, options: ExportOptions, *, check: bool) -> dict[str, t.Any]:
    """Export what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``vms``, ``counts``,
        ``failures``, ``diff`` and so on.
    :raises VforgeError: before anything was exported.
    :raises PartialFailure: when a VM failed; it holds the whole result.
    """
    deadline = session.deadline(options.timeout)
    task: Task[ExportItem] = Task(session, [], "VMs", deadline=deadline, parallel=options.parallel, check=check)
    with package.opened(options.dest, options.format, make=not check) as packages:
        job = ExportTask(task=task, timeout=options.timeout, options=options, packages=packages)
        with task.phase("lookup"):
            selectors = [target.selector for target in options.targets]
            found = task.found("vms", read.find(session, selectors, options.datacenter), selectors)
            task.items = [_item(job, vm, options.targets[place]) for place, vm in found]
            plan.check_names([(item.vm, item.package) for item in task.items])
        with task.accounted():
            _carry_out(job)
            _prune(job)
    return task.finish(report.result(job), advice="Packages that are complete stay; run again for the others.")


def _item(job: ExportTask, vm: Vm, target: Target) -> ExportItem:
    # The step is there before its plan, so that an early end is its failure.
    name = plan.package_name(vm, target, job.options, job.now)
    return ExportItem(vm=vm, target=target, package=name, steps=(EXPORT,))


def _carry_out(job: ExportTask) -> None:
    find_leftovers(job)
    for item in job.vms:
        _decide(job, item)
    remove_leftovers(job)
    if job.task.check:
        for item in job.vms:
            item.foresee()
        return
    due = [item for item in job.vms if item.due(EXPORT)]
    copy_all(
        job,
        due,
        lambda ready: _export(job, ready),
        crash_consistent="package" if job.options.quiesce == TRY else "",
    )


def _decide(job: ExportTask, item: ExportItem) -> None:
    try:
        if not job.task.check:
            job.packages.sweep(item.package)
        enough = _fresh(job, item)
        if enough is not None:
            item.package, item.before = enough
            item.after, item.steps, item.enough = item.before, (), True
            return
        item.before = item.after = job.packages.known(item.package)
        source = plan.source(item.vm, item.target, job.options)
        if record.needs_last_start(item.vm, source):
            item.last_start = last_start(job.session, item.vm.moid)
        item.decided = plan.decide(item.vm, source, job.options, item.before, item.last_start)
        item.source, item.steps = source, item.decided.steps
        if item.steps:
            job.packages.check_free(item.package, item.vm.instance_uuid)
    except VforgeError as error:
        item.steps = ()
        item.fail(error)


def _fresh(job: ExportTask, item: ExportItem) -> tuple[str, Record] | None:
    """A package of the VM that is new enough, with its name."""
    if not job.options.fresh_hours:
        return None
    packages = job.packages.all_of(item.vm.instance_uuid)
    return plan.fresh(item.vm, item.target, packages, job.options, job.now)


def _prune(job: ExportTask) -> None:
    """Remove packages that are old, of each VM of which nothing went wrong."""
    now = datetime.datetime.now(datetime.UTC)
    for item in job.vms if not job.options.retention.keeps_all else ():
        if item.error is not None:
            continue
        made: list[tuple[datetime.datetime, tuple[str, Record] | None]] = [
            (known.made, (name, known)) for name, known in job.packages.all_of(item.vm.instance_uuid)
        ]
        # In check mode the one that would be made counts.
        made += [(now, None)] if job.task.check and EXPORT in item.done else []
        old = [each for each in job.options.retention.expired(made, now) if each is not None]
        try:
            for name, known in old:
                if name == item.package:
                    continue
                if not job.task.check:
                    job.packages.remove(name)
                item.removed = [*item.removed, (name, known)]
        except VforgeError as error:
            item.fail(error)
        item.done += [PRUNE] if item.removed else []


# The export of some VMs


def _export(job: ExportTask, wave: t.Sequence[ExportItem]) -> None:
    """Export these VMs at the same time; each is a package, or a failure, then."""
    with job.task.phase("export"):
        machines = _machines(job, wave)
        end = Stops()

        def start(item: ExportItem) -> None:
            _export_one(job, item, machines[item.vm.moid], max(1, job.options.parallel // len(wave)), end)

        def note(item: ExportItem, outcome: Outcome) -> None:
            if outcome.error is not None:
                item.fail(outcome.error)
            else:
                item.done.append(EXPORT)

        due = [item for item in wave if item.error is None]
        job.task.call(due, start, "VMs exported", note, stop=end)


def _machines(job: ExportTask, wave: t.Sequence[ExportItem]) -> dict[str, Machine]:
    """What each VM is, as its source has it: one call for all snapshots."""
    by_snapshot = {moid: item.vm for item in wave if (moid := item.snapshot)}
    known = read.read_snapshots(job.session, by_snapshot) if by_snapshot else {}
    found = {}
    for item in wave:
        moid = item.snapshot
        machine = known.get(moid) if moid else item.vm.machine
        if machine is None:
            item.fail(NotFound(f"The snapshot {moid} of {item.title} is not there any more.", hint="Run again."))
            continue
        try:
            plan.check(item.vm, machine, item.source)
        except NotExportable as error:
            item.fail(error)
        found[item.vm.moid] = machine
    return found


def _export_one(job: ExportTask, item: ExportItem, machine: Machine, parallel: int, end: Stops) -> None:
    """Export one VM: a lease, its disks, the descriptor, the manifest, and the package is in its
    place.
    """
    session, moid = job.session, item.snapshot
    made = job.packages.begin(item.package)
    try:
        lease = leases.export_snapshot(session, moid) if moid else leases.export_vm(session, item.vm.moid)
        with leases.exporting(lease, job.task.deadline) as ready:
            files = _addressed(item, machine, ready)
            wanted = [_wanted(item, made, *each) for each in files]
            total = sum(disk.stored for _device, disk, _href in files if disk is not None) or ready.capacity
            came = receiving.receive(
                session,
                lease,
                ready,
                wanted,
                gauge=Meter(item.vm.name, total, session.show_progress),
                parallel=parallel,
                deadline=job.task.deadline,
                stop=end.stop(),
            )
        item.after = _packed(
            job,
            item,
            machine,
            made,
            [(disk, href, one) for (_d, disk, href), one in zip(files, came, strict=True)],
        )
    finally:
        made.abandon()


def _addressed(item: ExportItem, machine: Machine, ready: leases.Ready) -> list[tuple[leases.Device, HardDisk | None, str]]:
    """Each file of the lease, with the disk that it is of, or None for NVRAM, and its name in the package.

    :raises ExportFailed: a disk has no address.
    """
    offered = [device for device in ready.devices if device.disk]
    found: list[tuple[leases.Device, HardDisk | None, str]] = []
    for number, (disk, device) in enumerate(_pairs(machine.disks, offered), 1):
        if device is None:
            raise leases.ExportFailed(
                "export_incomplete",
                f"vCenter names no address for {disk.label} of {item.title}, or none that is certain to be its.",
                hint="Run again; if it happens again, look at the tasks of the vCenter.",
            )
        found.append((device, disk, f"{item.package}-disk{number}.vmdk"))
    nvram = [device for device in ready.devices if not device.disk and is_nvram(device)]
    found += [(device, None, f"{item.package}.nvram") for device in nvram[:1]]
    return found


def _pairs(disks: t.Sequence[HardDisk], offered: t.Sequence[leases.Device]) -> list[tuple[HardDisk, leases.Device | None]]:
    """Each disk with its address."""
    expected = [lease_devices.Expected(lease_devices.unit_in(disk.place), disk.file, disk.capacity) for disk in disks]
    return list(zip(disks, lease_devices.devices_of(offered, expected), strict=True))


def _wanted(item: ExportItem, made: Package, device: leases.Device, disk: HardDisk | None, href: str) -> receiving.Wanted:
    capacity = disk.capacity if disk is not None else None
    return receiving.Wanted(device, made.sink(href), f"{href} of {item.title}", capacity)


def is_nvram(device: leases.Device) -> bool:
    """Whether a file of a lease is the NVRAM of the VM."""
    return device.target.endswith(".nvram") or device.key.endswith("/nvram") or ".nvram" in device.url.rpartition("/")[2]


_Came: t.TypeAlias = tuple[HardDisk | None, str, receiving.Exported]


def _packed(job: ExportTask, item: ExportItem, machine: Machine, made: Package, came: t.Sequence[_Came]) -> Record:
    """Write what a package has besides its disks, and put it into its place."""
    options = job.options
    disks = [(disk, href, one) for disk, href, one in came if disk is not None]
    item.received = {disk.label: one for disk, _href, one in disks}
    nvram = next((OtherFile(href, one.size) for disk, href, one in came if disk is None), None)
    content = Content(
        disks=tuple(DiskFile(disk, href, one.size, one.populated) for disk, href, one in disks),
        nvram=nvram,
        extra=exported_extra(machine, options.extra_config),
        property_values=options.property_values,
    )
    text = descriptor.descriptor(machine, content)
    names = (f"{item.package}.ovf", f"{item.package}.mf")
    digest = made.add(names[0], text)
    listing = descriptor.manifest([(names[0], digest), *((href, one.sha256) for _disk, href, one in came)])
    files = [
        PackedFile(names[0], len(text), digest, "descriptor"),
        PackedFile(names[1], len(listing), made.add(names[1], listing), "manifest"),
        *(PackedFile(href, one.size, one.sha256, "disk", disk.label) for disk, href, one in disks),
        *(PackedFile(href, one.size, one.sha256, "nvram") for disk, href, one in came if disk is None),
    ]
    source = item.source

    def make_record(whole: tuple[PackedFile, ...]) -> Record:
        return Record(
            vm=item.vm.instance_uuid,
            config=record.config_of(item.vm, source, options),
            disks=record.disks_of(item.vm, source, item.last_start),
            consistency=item.consistency,
            at=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            files=whole,
        )

    # Once more: it may have taken hours.
    job.packages.check_free(item.package, item.vm.instance_uuid)
    return made.finish(files, make_record, job.task.deadline)
