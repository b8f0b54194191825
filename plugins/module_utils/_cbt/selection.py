# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disks and which snapshot are meant. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._errors import Ambiguous, InvalidOption, NotFound
from .changeid import ALL, ChangeId
from .facts import Disk, Snapshot

_WAYS = ("label", "key", "unit", "backing")


@dataclasses.dataclass(frozen=True)
class DiskSelector:
    """What names one disk: exactly one of ``label``, ``key``, ``unit`` and ``backing``; and what to compare it with.

    :ivar change_id: of the past, ``*`` for all areas in use, None for what is asked of all disks.
    """

    label: str | None = None
    key: int | None = None
    unit: str | None = None
    backing: str | None = None
    change_id: str | None = None

    def __str__(self) -> str:
        for way in _WAYS:
            if getattr(self, way) is not None:
                return f"{way} {getattr(self, way)}"
        return "nothing"

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> DiskSelector:
        """The selector in a module's suboptions.

        :raises InvalidOption: when it names no disk, or in two ways, or its changeId is none.
        """
        given = [way for way in _WAYS if params.get(way) is not None]
        if len(given) != 1:
            raise InvalidOption(
                f"A disk of the option disks is given by {' and '.join(given) or 'nothing'}.",
                hint="Set exactly one of label, key, unit and backing.",
                option="disks",
            )
        return cls(**{given[0]: params[given[0]]}, change_id=change_id_from(params.get("change_id")))

    def fits(self, disk: Disk) -> bool:
        """Whether it names this disk. A file names it, too, where the disk builds on it, as it does after a snapshot."""
        if self.label is not None:
            return disk.label.casefold() == self.label.strip().casefold()
        if self.key is not None:
            return disk.key == self.key
        if self.unit is not None:
            return disk.unit == self.unit.replace(" ", "").lower()
        return self.backing in disk.files


def change_id_from(text: str | None) -> str | None:
    """The changeId that an option holds.

    :raises InvalidOption: when it is none.
    """
    if text is None or text.strip() == ALL or ChangeId.parse(text):
        return text.strip() if text is not None else None
    raise InvalidOption(
        f"{text!r} is no changeId.",
        hint="It looks like '52 de c0 d9 b9 43 9d 10-61 d5 4c 1b e9 7b 65 63/81', or is '*' for all areas in use.",
        option="change_id",
    )


def select(
    disks: t.Sequence[Disk], selectors: t.Sequence[DiskSelector] | None, where: str
) -> list[tuple[Disk, DiskSelector | None]]:
    """The disks that are meant, in their own order; all of them without selectors.

    :param where: the VM, for messages.
    :raises NotFound: when a selector fits none; the message lists those that there are.
    :raises Ambiguous: when one fits several.
    :raises InvalidOption: when two fit the same.
    """
    if selectors is None:
        return [(disk, None) for disk in disks]
    chosen: dict[int, DiskSelector] = {}
    for selector in selectors:
        key = _only(disks, selector, where).key
        if key in chosen:
            raise InvalidOption(f"{chosen[key]} and {selector} are the same disk of {where}.", option="disks")
        chosen[key] = selector
    return [(disk, chosen[disk.key]) for disk in disks if disk.key in chosen]


def _only(disks: t.Sequence[Disk], selector: DiskSelector, where: str) -> Disk:
    found = [disk for disk in disks if selector.fits(disk)]
    if len(found) == 1:
        return found[0]
    listed = [f"{disk.label} ({disk.key}, {disk.unit}, {disk.file})" for disk in found or disks]
    if found:
        raise Ambiguous(
            f"{len(found)} disks of {where} have the {selector}: {names.listing(listed)}.",
            hint="Name the one you mean by its key.",
            matches=listed,
        )
    raise NotFound(
        f"{where} has no disk with the {selector}.",
        hint=f"There are: {names.listing(listed) or 'none'}.",
        known=listed,
    )


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
        return f"snapshot with the {way} {getattr(self, way)}"

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any] | None) -> SnapshotSelector | None:
        """The selector in a module's suboptions, None where none is given.

        :raises InvalidOption: when it names no snapshot, or in two ways.
        """
        if params is None:
            return None
        given = [way for way in ("name", "path", "moid", "current") if params.get(way)]
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
            return snapshot.path == self.path.strip("/")
        return snapshot.name == self.name


def choose(snapshots: t.Sequence[Snapshot], selector: SnapshotSelector, where: str) -> Snapshot:
    """The snapshot that is meant.

    :param where: the VM, for messages.
    :raises NotFound: with the paths of those that there are.
    :raises Ambiguous: when two have one name, or even one path.
    """
    found = [snapshot for snapshot in snapshots if selector.fits(snapshot)]
    if len(found) == 1:
        return found[0]
    listed = [f"{snapshot.path} ({snapshot.moid})" for snapshot in found or snapshots]
    if found:
        raise Ambiguous(
            f"{len(found)} snapshots of {where} fit the {selector}: {names.listing(listed)}.",
            hint="Name the one you mean by its path or moid.",
            matches=listed,
        )
    raise NotFound(f"{where} has no {selector}.", hint=f"There are: {names.listing(listed) or 'none'}.", known=listed)
