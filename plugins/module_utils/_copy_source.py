# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the disks of a copy of a VM come from, and what they are like: for exports and backups by
clones.

A VM that is off is copied as it is, any other one from a snapshot: one that is named and stays, or
one that is made for the copy and removed.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ._errors import VforgeError
from ._temporary_snapshots import Made, SnapshotItem, SnapshotTask, waves, with_snapshots
from ._vsphere import vm as vms
from ._vsphere.snapshots import Snapshot, SnapshotSelector, choose

# Whether Tools are to quiesce the guest's file systems for the snapshot.
TRY, REQUIRE, NO = "try", "require", "no"

# What the disks of a copy are like: as after a power failure, or with all that the guest had to
# write.
CRASH, FILE_SYSTEM = "crash", "file_system"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceVm(vms.Vm):
    """A VM that is to be copied.

    :ivar quiesced: moids of those of its snapshots that were made with a quiesced file system.
    :ivar tools: whether VMware Tools run.
    :ivar clean: of one that is off, whether its guest was shut down; None where nobody knows.
    """

    snapshots: tuple[Snapshot, ...] = ()
    quiesced: frozenset[str] = frozenset()
    tools: bool = False
    clean: bool | None = None


# Where the disks come from: one of these


@dataclasses.dataclass(frozen=True)
class FromVm:
    """A VM that is off: its own disks."""


@dataclasses.dataclass(frozen=True)
class FromSnapshot:
    """A snapshot that is there and stays."""

    snapshot: Snapshot


@dataclasses.dataclass(frozen=True)
class FromNewSnapshot:
    """A snapshot that is made for it and removed.

    :ivar quiesce: whether it is tried with a quiesced file system.
    """

    quiesce: bool


Source: t.TypeAlias = FromVm | FromSnapshot | FromNewSnapshot


def source_of(vm: SourceVm, snapshot: SnapshotSelector | None, quiesce: str, refused: t.Callable[..., VforgeError]) -> Source:
    """Where the disks of a copy come from.

    :param snapshot: that is to be copied in the place of the VM as it is.
    :param quiesce: ``try``, ``require`` or ``no``.
    :param refused: makes the error for a guest that is to be quiesced, and cannot be.
    :raises NotFound, Ambiguous: the snapshot that is asked for.
    """
    if snapshot is not None:
        return FromSnapshot(choose(vm.snapshots, snapshot, vm.path))
    if vm.powered_off:
        return FromVm()
    answers = vm.powered_on and vm.tools
    if quiesce == REQUIRE and not answers:
        raise refused(
            f"The file systems of {vm.path} cannot be quiesced: VMware Tools do not run in it.",
            hint="Start VMware Tools, or set quiesce to try or no.",
        )
    # A guest that does not answer is not asked: each try would take minutes.
    return FromNewSnapshot(quiesce=quiesce != NO and answers)


def must_be_quiesced(vm: SourceVm, snapshot: SnapshotSelector | None, quiesce: str) -> bool:
    """Whether a copy of a VM is to be consistent for its file systems, so that one which is not is not enough.

    :param snapshot: that is copied in the place of the VM as it is.
    """
    return quiesce == REQUIRE and snapshot is None and not vm.powered_off


def consistency(vm: SourceVm, source: Source, *, quiesced: bool) -> str:
    """What the disks of the copy are like: ``crash`` or ``file_system``.

    :param quiesced: whether the snapshot that was made for it is.
    """
    if isinstance(source, FromVm):
        return FILE_SYSTEM if vm.clean else CRASH
    if isinstance(source, FromSnapshot):
        return FILE_SYSTEM if source.snapshot.moid in vm.quiesced else CRASH
    return FILE_SYSTEM if quiesced else CRASH


# The stage


@dataclasses.dataclass(kw_only=True)
class CopyItem(SnapshotItem):
    """A VM that is copied.

    :ivar source: where its disks come from; the VM itself until that is decided.
    """

    source: Source = dataclasses.field(default_factory=FromVm)

    @property
    def snapshot(self) -> str | None:
        """The moid of the snapshot that is copied; None for the VM itself."""
        if isinstance(self.own, Made):
            return self.own.moid
        return self.source.snapshot.moid if isinstance(self.source, FromSnapshot) else None

    @property
    def consistency(self) -> str:
        """What the disks of its copy are like."""
        return consistency(self.vm, self.source, quiesced=self.quiesced)


I = t.TypeVar("I", bound=CopyItem)  # noqa: E741 (as T, for items)


def copy_all(job: SnapshotTask[I], items: t.Sequence[I], copy: t.Callable[[list[I]], None], *, crash_consistent: str) -> None:
    """Copy VMs from where their disks come from, at most ``parallel`` at a time.

    :param crash_consistent: see ``with_snapshots``.
    :raises Reason: why the task ended early.
    """
    with_new, others = [], []
    for item in items:
        if isinstance(item.source, FromNewSnapshot):
            item.quiesced = item.source.quiesce
            with_new.append(item)
        else:
            others.append(item)
    for wave in waves(others, job.task.parallel):
        copy(wave)
    with_snapshots(job, with_new, copy, crash_consistent=crash_consistent)
