# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of changed areas for people: one HTML file that needs no network, made of the result of
cbt_changed_areas.

Jinja2 does the writing; here is what it writes of. All names in a result come from tenants and
administrators: the template escapes whatever it is given, and the page allows no scripts.
"""

from __future__ import annotations

import dataclasses
import typing as t

import jinja2

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._text import number, size

from . import task_results
from .changed_areas_template import TEMPLATE

Entry: t.TypeAlias = t.Mapping[str, t.Any]

# Runs that are drawn of all disks together.
_MOST_RUNS = 14

# VMs that are unfolded; the others are one click away.
_UNFOLDED = 5

# From which share of a region on it is drawn how dark.
_LEVELS = (0.0, 0.01, 0.05, 0.2, 0.6)


@dataclasses.dataclass(frozen=True)
class Strip:
    """One run of one disk; ``paths`` is the heat map, as the level and the shape of all cells that
    have it.
    """

    at: str
    text: str
    areas: str
    full: str = ""
    paths: tuple[tuple[int, str], ...] = ()
    width: int = 1
    latest: bool = False


@dataclasses.dataclass(frozen=True)
class Region:
    """A part of a disk's address space, for the text table."""

    begins: str
    ends: str
    changed: str
    percent: str


@dataclasses.dataclass(frozen=True)
class DiskView:
    """One disk."""

    label: str
    unit: str
    backing: str
    capacity: str
    changed: str
    percent: str
    areas: str
    full: str
    error: str
    strips: tuple[Strip, ...] = ()
    regions: tuple[Region, ...] = ()
    more_regions: int = 0


@dataclasses.dataclass(frozen=True)
class RunView:
    """One run of all disks together; ``share`` is what changed, of the run in which most did, in
    percent.
    """

    at: str
    changed: str
    share: float
    disks: int
    full_disks: int
    full: str


@dataclasses.dataclass(frozen=True)
class VmView:
    """One VM; ``share`` and ``full_share`` are what changed and what has to be read whole, in
    percent.

    Of what there is to read of the VM that has most.
    """

    name: str
    path: str
    to_read: str
    changed: str
    capacity: str
    share: float
    full_share: float
    full_disks: int
    error: str
    unfolded: bool
    disks: tuple[DiskView, ...]
    excluded: tuple[tuple[str, str], ...]


def render(result: Entry, vcenter: str = "") -> str:
    """The page of a result. It is the same whenever it is made of the same one.

    :param result: as cbt_changed_areas returns it, with ``runs``.
    :param vcenter: what the head of the page names as where the VMs are.
    :raises InvalidOption: it is no such result.
    """
    check(result)
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    totals = dict(result["totals"])
    for name in ("capacity", "changed_bytes", "bytes_to_read"):
        totals[name] = size(totals[name])
    stopped = result.get("stopped")
    return environment.from_string(TEMPLATE).render(
        at=_moment(_asked_at(result)),
        vcenter=vcenter,
        vms=_vms(result["vms"]),
        runs=_runs(result["vms"]),
        totals=totals,
        legend=_legend(),
        stopped=stopped["msg"] if stopped else "",
    )


def _asked_at(result: Entry) -> str:
    """When it was asked, in UTC, as ``2026-05-01T02:00:00.000+00:00``; empty where nothing says so.

    What was not noted, as in check mode, has the time in the newest runs.
    """
    question = result.get("question")
    if isinstance(question, dict):
        return str(question["at"])
    runs = (run for vm in result["vms"] for disk in vm["disks"] for run in disk["runs"])
    return max((str(run["at"]) for run in runs), default="")


def check(result: t.Any) -> None:
    """Make sure that a result is one of which a page can be made.

    :raises InvalidOption: it is none.
    """
    vms = result.get("vms") if isinstance(result, dict) else None
    if not isinstance(vms, list) or "totals" not in result:
        raise InvalidOption(
            "The option result is no result of cbt_changed_areas.",
            hint=task_results.why_not(result) or "Give the variable that a task with state queried has registered.",
            option="result",
        )
    for disk in (disk for vm in vms for disk in vm["disks"]):
        if "runs" not in disk:
            raise InvalidOption(
                "The option result has no runs of its disks.",
                hint="Ask with the option runs of cbt_changed_areas set, such as to 14.",
                option="result",
            )


def _vms(entries: t.Sequence[Entry]) -> list[VmView]:
    """All VMs, the one with most to read first."""
    ordered = sorted(entries, key=lambda entry: (-_to_read(entry), entry["path"]))
    most = max(map(_to_read, entries), default=0)
    return [_vm(entry, most, unfolded=place < _UNFOLDED) for place, entry in enumerate(ordered)]


def _changed(entry: Entry) -> int:
    changed: list[int] = [disk["changed_bytes"] or 0 for disk in entry["disks"]]
    return sum(changed)


def _to_read(entry: Entry) -> int:
    """What changed, and disks that have to be read whole."""
    whole: list[int] = [disk["capacity"] for disk in entry["disks"] if disk["full_required"]]
    return _changed(entry) + sum(whole)


def _share(count: int, longest: int) -> float:
    """How long a bar is, in percent of the longest."""
    return round(100 * count / longest, 2) if longest else 0.0


@dataclasses.dataclass
class _Sums:
    """One run of all disks together."""

    changed: int = 0
    disks: int = 0
    full_disks: int = 0
    full: int = 0

    def add(self, disk: Entry, run: Entry) -> None:
        """Add what the run found of one disk."""
        self.changed += run["changed_bytes"] or 0
        self.disks += 1
        if run["full_required"]:
            self.full_disks += 1
            self.full += disk["capacity"]


def _runs(entries: t.Sequence[Entry]) -> tuple[RunView, ...]:
    """The runs of all disks together, the newest first; empty where there is only one, which the
    totals have.
    """
    sums: dict[str, _Sums] = {}
    for disk in (disk for entry in entries for disk in entry["disks"]):
        for run in disk["runs"]:
            sums.setdefault(run["at"], _Sums()).add(disk, run)
    newest = sorted(sums, reverse=True)[:_MOST_RUNS]
    if len(newest) < 2:
        return ()
    most = max(sums[at].changed for at in newest)
    return tuple(_run(at, sums[at], most) for at in newest)


def _run(at: str, found: _Sums, most: int) -> RunView:
    return RunView(
        at=_moment(at),
        changed=size(found.changed),
        share=_share(found.changed, most),
        disks=found.disks,
        full_disks=found.full_disks,
        full=size(found.full) if found.full_disks else "",
    )


def _vm(entry: Entry, most: int, *, unfolded: bool) -> VmView:
    error = entry.get("error")
    changed, to_read = _changed(entry), _to_read(entry)
    nothing_known = error is not None and not entry["disks"]
    return VmView(
        name=entry["name"],
        path=entry["path"],
        to_read="unknown" if nothing_known else size(to_read),
        changed="unknown" if nothing_known else size(changed),
        capacity=size(sum(disk["capacity"] for disk in (*entry["disks"], *entry["excluded"]))),
        share=_share(changed, most),
        full_share=_share(to_read - changed, most),
        full_disks=sum(disk["full_required"] for disk in entry["disks"]),
        error=error["msg"] if error else "",
        unfolded=unfolded,
        disks=tuple(map(_disk, entry["disks"])),
        excluded=tuple((disk["label"], disk["reason"]) for disk in entry["excluded"]),
    )


def _disk(disk: Entry) -> DiskView:
    capacity, changed = disk["capacity"], disk["changed_bytes"]
    strips = [_strip(run, capacity) for run in reversed(disk["runs"])]
    if strips:
        strips[0] = dataclasses.replace(strips[0], latest=True)
    # Of a disk about which nothing was found now, the last run is an earlier one.
    newest = disk["runs"][-1]["regions"] if changed is not None and disk["runs"] else []
    regions = _regions(newest, _region_size(newest, capacity), capacity)
    error = disk.get("error")
    known = changed is not None
    return DiskView(
        label=disk["label"],
        unit=disk["unit"],
        backing=disk["backing"],
        capacity=size(capacity),
        changed=size(changed) if known else "",
        percent=_percent(changed, capacity) if known else "",
        areas=number(disk["area_count"]) if known else "",
        full=disk.get("full_required_reason", ""),
        error=error["msg"] if error else "",
        strips=tuple(strips),
        regions=tuple(regions[:10]),
        more_regions=max(len(regions) - 10, 0),
    )


def _region_size(regions: t.Sequence[int], capacity: int) -> int:
    return -(-capacity // max(len(regions), 1))


def _strip(run: Entry, capacity: int) -> Strip:
    regions = run["regions"]
    return Strip(
        at=_moment(run["at"]),
        text="all of it" if run["full_required"] else size(run["changed_bytes"]),
        areas="" if run["areas"] is None else number(run["areas"]),
        full=run["full_required"] or "",
        paths=tuple(_paths(regions, _region_size(regions, capacity))),
        width=max(len(regions), 1),
    )


def cells(regions: t.Sequence[int], region_size: int) -> t.Iterator[tuple[int, int, int]]:
    """Neighbours of one level as one cell: (first region, how many, level); regions without changes
    are left out.
    """
    first, last = 0, 0
    for place, changed in enumerate([*regions, 0]):
        level = level_of(changed, region_size) if place < len(regions) else 0
        if level != last:
            if last:
                yield first, place - first, last
            first, last = place, level
    if last:
        yield first, len(regions) - first, last


def _paths(regions: t.Sequence[int], region_size: int) -> t.Iterator[tuple[int, str]]:
    """One shape a level: a page has a hundred thousand cells, and an element for each would be
    heavy.
    """
    shapes: dict[int, str] = {}
    for first, count, level in cells(regions, region_size):
        shapes[level] = shapes.get(level, "") + f"M{first} 0h{count}v1h-{count}z"
    yield from sorted(shapes.items())


def level_of(changed: int, region_size: int) -> int:
    """0 for nothing, to 5."""
    share = changed / region_size if region_size else 0.0
    return sum(share > least for least in _LEVELS) if changed else 0


def _regions(changed: t.Sequence[int], region_size: int, capacity: int) -> list[Region]:
    """The regions that changed, most first."""
    found = sorted(((count, place) for place, count in enumerate(changed) if count), key=lambda item: (-item[0], item[1]))
    return [
        Region(
            begins=size(place * region_size),
            ends=size(min((place + 1) * region_size, capacity)),
            changed=size(count),
            percent=_percent(count, min(region_size, capacity - place * region_size)),
        )
        for count, place in found
    ]


def _legend() -> list[tuple[int, str]]:
    bounds = [*_LEVELS[1:], 1.0]
    texts = [f"up to {upper:.0%}" for upper in bounds]
    return [(0, "unchanged"), *enumerate(texts, 1)]


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole if whole else 0.0
    if share < 0.01:
        return "< 0.01 %" if part else "0 %"
    return f"{share:.2f} %" if share < 10 else f"{share:.0f} %"


def _moment(at: str) -> str:
    return at[:16].replace("T", " ")
