# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The snapshots of a VM: the one type, the one reader of the tree, and the one way to name a
snapshot.
"""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from .._connector import find, names
from .._connector.props import read, utc
from .._connector.pyvmomi import vim
from .._errors import InvalidOption

if t.TYPE_CHECKING:
    from .._connector.session import Session

_WAYS = ("name", "path", "moid", "current")


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A snapshot of a VM.

    :ivar name: as a person reads it: vSphere keeps some characters escaped.
    :ivar path: names from the root of the tree to it, joined by slashes; a slash in a name is
        ``%2f``.
    :ivar created: by vCenter's clock; None where vCenter does not say it.
    :ivar current: whether it is what the VM runs on.
    """

    moid: str
    name: str
    path: str
    description: str = ""
    created: datetime.datetime | None = None
    current: bool = False


def snapshots_in(info: t.Any) -> tuple[Snapshot, ...]:
    """All snapshots of a VM, of every branch, in the order of the tree: each before those below it.

    :param info: the VM's property ``snapshot``; None where the VM has none.
    """
    if info is None:
        return ()
    current = info.currentSnapshot._GetMoId() if info.currentSnapshot else ""
    # Not by recursion: a chain of snapshots may be as long as its maker wished.
    due: list[tuple[tuple[str, ...], t.Any]] = [((), node) for node in reversed(info.rootSnapshotList)]
    found = []
    while due:
        above, node = due.pop()
        moid, name = node.snapshot._GetMoId(), names.unescape(node.name)
        path = (*above, name)
        found.append(
            Snapshot(
                moid=moid,
                name=name,
                path=path_of(path),
                description=node.description or "",
                created=utc(node.createTime),
                current=moid == current,
            )
        )
        due.extend((path, child) for child in reversed(node.childSnapshotList or ()))
    return tuple(found)


def quiesced_in(info: t.Any) -> frozenset[str]:
    """The moids of the snapshots that were made with a quiesced file system.

    :param info: as for ``snapshots_in``.
    """
    found, due = set(), list(info.rootSnapshotList) if info is not None else []
    while due:
        node = due.pop()
        due.extend(node.childSnapshotList or ())
        if node.quiesced:
            found.add(node.snapshot._GetMoId())
    return frozenset(found)


def path_of(parts: t.Iterable[str]) -> str:
    """The path of a snapshot, from the names on the way to it."""
    return names.join(parts).removeprefix("/")


@dataclasses.dataclass(frozen=True)
class SnapshotSelector:
    """What names one snapshot of a VM: exactly one of ``name``, ``path``, ``moid`` and ``current``."""

    name: str | None = None
    path: str | None = None
    moid: str | None = None
    current: bool = False

    def __str__(self) -> str:
        if self.current:
            return "current snapshot"
        way = next((way for way in ("name", "path", "moid") if getattr(self, way)), "name")
        return f"snapshot with the {way} {names.shown(getattr(self, way) or '')}"

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any] | None) -> SnapshotSelector | None:
        """The selector in a module's suboptions, None where none is given.

        :raises InvalidOption: when it names no snapshot, or in two ways.
        """
        if params is None:
            return None
        given = [way for way in _WAYS if params.get(way)]
        if len(given) != 1:
            raise InvalidOption(
                f"The option snapshot is given by {' and '.join(given) or 'nothing'}.",
                hint="Set exactly one of name, path, moid and current.",
                option="snapshot",
            )
        return cls(**{given[0]: params[given[0]]})

    def fits(self, snapshot: Snapshot) -> bool:
        """Whether it names this snapshot."""
        if self.current:
            return snapshot.current
        if self.moid:
            return snapshot.moid == self.moid
        if self.path:
            return snapshot.path == path_of(names.split(self.path))
        return snapshot.name == names.unescape(self.name or "")


def choose(snapshots: t.Sequence[Snapshot], selector: SnapshotSelector, where: str) -> Snapshot:
    """The snapshot that a selector names.

    :param where: the VM, for messages.
    :raises NotFound: with the paths of those that there are.
    :raises Ambiguous: when two have one name, or even one path.
    """
    return find.choose(
        snapshots,
        selector,
        "snapshot",
        where,
        listed=lambda snapshot: f"{snapshot.path} ({snapshot.moid})",
        hint="Name the one you mean by its path or moid.",
    )


def reference(session: Session, moid: str) -> t.Any:
    """A reference to a snapshot; nothing is sent."""
    return session.reference(vim.vm.Snapshot, moid)


def read_snapshots(session: Session, vms: t.Sequence[str]) -> dict[str, tuple[Snapshot, ...]]:
    """The snapshots of VMs, by moid of the VM: one call.

    :param vms: moids.
    """
    refs = [session.reference(vim.VirtualMachine, moid) for moid in vms]
    rows = read(session, refs, vim.VirtualMachine, ("snapshot",))
    return {moid: snapshots_in(row.get("snapshot")) for moid, row in rows.items()}


def read_quiesced(session: Session, vms: t.Sequence[str]) -> frozenset[str]:
    """The moids of those snapshots of VMs that were made with a quiesced file system: one call.

    :param vms: moids.
    """
    refs = [session.reference(vim.VirtualMachine, moid) for moid in vms]
    rows = read(session, refs, vim.VirtualMachine, ("snapshot",))
    return frozenset().union(*(quiesced_in(row.get("snapshot")) for row in rows.values()))


def start_create(
    session: Session,
    vm: str,
    name: str,
    description: str,
    *,
    memory: bool = False,
    quiesce: bool = False,
) -> t.Any:
    """``CreateSnapshot_Task``; the task's result is the snapshot.

    :param vm: moid.
    :param name: as a person reads it.
    """
    # A percent sign has to be escaped in it; the rest may be as it is (API reference).
    escaped = name.replace("%", "%25")
    return session.reference(vim.VirtualMachine, vm).CreateSnapshot_Task(escaped, description, memory, quiesce)


def start_remove(session: Session, moid: str) -> t.Any:
    """``RemoveSnapshot_Task`` of this snapshot alone, whose delta disks are written into the disks
    below.
    """
    return reference(session, moid).RemoveSnapshot_Task(False, True)


def start_remove_all(session: Session, vm: str) -> t.Any:
    """``RemoveAllSnapshots_Task``, which writes all delta disks of snapshots into their bases.

    :param vm: moid.
    """
    return session.reference(vim.VirtualMachine, vm).RemoveAllSnapshots_Task(True)
