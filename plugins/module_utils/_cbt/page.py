# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report for people: one HTML file that needs no network. Jinja2 does the writing; here is what it writes of."""

from __future__ import annotations

import dataclasses
import importlib
import typing as t

from .._errors import MissingLibrary
from . import report
from .job import Answer, Job, Standing
from .state import Run, State
from .template import TEMPLATE

# Runs that are drawn of each disk, and of all disks together; the text tables have the same ones. Of very many disks fewer
# are drawn, so that the page stays one that a phone can open.
_MOST_RUNS = 14
_MOST_STRIPS = 4000

# VMs that are unfolded; the others are one click away.
_UNFOLDED = 5

# From which share of a region on it is drawn how dark.
_LEVELS = (0.0, 0.01, 0.05, 0.2, 0.6)

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@dataclasses.dataclass(frozen=True)
class Strip:
    """One run of one disk; ``paths`` is the heat map, as the level and the shape of all cells that have it."""

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
    """One run of all disks together; ``share`` is what changed, of the run in which most did, in percent."""

    at: str
    changed: str
    share: float
    disks: int
    full_disks: int
    full: str


@dataclasses.dataclass(frozen=True)
class VmView:
    """One VM; ``share`` and ``full_share`` are what changed and what has to be read whole, in percent.

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


def require() -> None:
    """Make sure that Jinja2 is there.

    :raises MissingLibrary: when it is not.
    """
    _jinja2()


def render(job: Job, state: State, at: str) -> str:
    """The page of a task.

    :param state: with the runs of each disk, this one included.
    :param at: when this run was, in UTC.
    """
    vms = _vms(job, state)
    environment = _jinja2().Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    totals = report.totals([report.entry(job, standing) for standing in job.standings])
    return str(
        environment.from_string(TEMPLATE).render(
            at=_moment(at),
            vcenter=job.session.options.hostname,
            vms=vms,
            runs=_runs(job, state),
            totals={**totals, **{name: size(totals[name]) for name in ("capacity", "changed_bytes", "bytes_to_read")}},
            legend=_legend(),
            stopped=str(job.stopped) if job.stopped is not None else "",
        )
    )


def size(count: int | None) -> str:
    """Bytes as a person reads them: ``1.5 GiB``."""
    if count is None:
        return "unknown"
    value, unit = float(count), 0
    while value >= 1023.95 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit and value < 1000 and value % 1 else f"{value:.0f} {_UNITS[unit]}"


def _vms(job: Job, state: State) -> list[VmView]:
    """All VMs, the one with most to read first."""
    entries = [report.entry(job, standing) for standing in job.standings]
    reads = [report.totals([entry])["bytes_to_read"] for entry in entries]
    most, disks = max(reads, default=0), sum(len(entry["disks"]) for entry in entries)
    drawn = _Drawn(state, min(_MOST_RUNS, max(_MOST_STRIPS // max(disks, 1), 1)), most)
    ordered = sorted(zip(job.standings, entries, reads, strict=True), key=lambda item: (-item[2], item[0].vm.path))
    return [_vm(drawn, standing, entry, unfolded=place < _UNFOLDED) for place, (standing, entry, _read) in enumerate(ordered)]


@dataclasses.dataclass(frozen=True)
class _Drawn:
    """What is drawn of each VM: how many runs of a disk, and how many bytes the longest bar is."""

    state: State
    runs: int
    longest: int

    def share(self, count: int) -> float:
        return round(100 * count / self.longest, 2) if self.longest else 0.0


def _runs(job: Job, state: State) -> tuple[RunView, ...]:
    """The runs of all disks together, the newest first; empty where there is only one, which the totals have."""
    sums: dict[str, list[int]] = {}
    for standing in job.standings:
        for answer in standing.answers.values():
            for run in state.runs(standing.vm, answer.disk):
                told = sums.setdefault(run.at, [0, 0, 0, 0])
                full = run.full_required is not None
                for place, count in enumerate((run.changed_bytes or 0, 1, int(full), answer.disk.capacity if full else 0)):
                    told[place] += count
    newest = sorted(sums, reverse=True)[:_MOST_RUNS]
    most = max((sums[at][0] for at in newest), default=0)
    drawn = _Drawn(state, _MOST_RUNS, most)
    views = [
        RunView(_moment(at), size(changed), drawn.share(changed), disks, full_disks, size(full) if full_disks else "")
        for at, (changed, disks, full_disks, full) in ((at, sums[at]) for at in newest)
    ]
    return tuple(views) if len(views) > 1 else ()


def _vm(drawn: _Drawn, standing: Standing, entry: dict[str, t.Any], *, unfolded: bool) -> VmView:
    sums = report.totals([entry])
    nothing_known = standing.error is not None and not entry["disks"]
    return VmView(
        name=standing.vm.name,
        path=standing.vm.path,
        to_read="unknown" if nothing_known else size(sums["bytes_to_read"]),
        changed="unknown" if nothing_known else size(sums["changed_bytes"]),
        capacity=size(sum(disk.capacity for disk in standing.vm.disks)),
        share=drawn.share(sums["changed_bytes"]),
        full_share=drawn.share(sums["bytes_to_read"] - sums["changed_bytes"]),
        full_disks=sums["full_required_disks"],
        error=standing.error.message if standing.error else "",
        unfolded=unfolded,
        disks=tuple(_disk(drawn, standing, answer) for answer in standing.answers.values()),
        excluded=tuple((disk["label"], disk["reason"]) for disk in entry["excluded"]),
    )


def _disk(drawn: _Drawn, standing: Standing, answer: Answer) -> DiskView:
    disk, tally = answer.disk, answer.tally
    runs = drawn.state.runs(standing.vm, disk)[-drawn.runs :]
    strips = [_strip(run, disk.capacity, latest=False) for run in reversed(runs)]
    if strips:
        strips[0] = dataclasses.replace(strips[0], latest=True)
    regions = _regions(tally.regions, tally.region_size, disk.capacity) if tally else []
    return DiskView(
        label=disk.label,
        unit=disk.unit,
        backing=disk.file,
        capacity=size(disk.capacity),
        changed=size(tally.changed_bytes) if tally else "",
        percent=_percent(tally.changed_bytes, disk.capacity) if tally else "",
        areas=f"{tally.count:,}" if tally else "",
        full=answer.full.reason if answer.full else "",
        error=answer.error.message if answer.error else "",
        strips=tuple(strips),
        regions=tuple(regions[:10]),
        more_regions=max(len(regions) - 10, 0),
    )


def _strip(run: Run, capacity: int, *, latest: bool) -> Strip:
    width = max(len(run.regions), 1)
    return Strip(
        at=_moment(run.at),
        text="all of it" if run.full_required else size(run.changed_bytes),
        areas="" if run.areas is None else f"{run.areas:,}",
        full=run.full_required or "",
        paths=tuple(_paths(run.regions, -(-capacity // width))),
        width=width,
        latest=latest,
    )


def cells(regions: t.Sequence[int], region_size: int) -> t.Iterator[tuple[int, int, int]]:
    """Neighbours of one level as one cell: (first region, how many, level); regions without changes are left out."""
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
    """One shape a level: a page has a hundred thousand cells, and an element for each would be heavy."""
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


def _jinja2() -> t.Any:
    try:
        return importlib.import_module("jinja2")
    except ImportError as error:
        raise MissingLibrary(
            f"The Python library jinja2 cannot be imported ({error}), and the report is made with it.",
            hint="Install it (pip install jinja2) where the module runs, or leave the option report out.",
        ) from error
