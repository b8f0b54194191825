# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a repository of backups: one HTML file that needs no network, made of the result of
backup_info.

Jinja2 does the writing; here is what it writes of. All names in a result come from tenants and
administrators: the template escapes whatever it is given, and the page allows no scripts.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import typing as t

import jinja2

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._text import one_line, size

from .backup_template import TEMPLATE

Entry: t.TypeAlias = t.Mapping[str, t.Any]

# Days of the calendar, up to that of the newest point.
_DAYS = 31

# VMs whose points are unfolded; the others are one click away.
_UNFOLDED = 3


@dataclasses.dataclass(frozen=True)
class PointView:
    """One point. ``disks`` has a text for each disk, ``restored`` when and where it was restored."""

    id: str
    at: str
    kind: str
    consistency: str
    capacity: str
    read: str
    stored: str
    verified: str
    restored: tuple[str, ...]
    disks: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class DayView:
    """A day in the calendar of a VM: ``mark`` is the class of its cell, ``text`` what it says to
    who cannot see it.
    """

    day: str
    mark: str
    text: str


@dataclasses.dataclass(frozen=True)
class VmView:
    """One VM, with its days that have points, the newest first."""

    name: str
    uuid: str
    newest: str
    points: int
    stored: str
    verified: str
    restored: str
    never_verified: int
    calendar: tuple[DayView, ...]
    days: tuple[tuple[str, tuple[PointView, ...]], ...]
    damaged: tuple[tuple[str, str], ...]
    error: str
    unfolded: bool


def render(result: Entry, vcenter: str = "") -> str:
    """The page of a result. It is the same whenever it is made of the same one.

    :param result: as backup_info returns it.
    :param vcenter: what the head names as where the VMs are; the folder of
        the repository where it is empty.
    :raises InvalidOption: it is no such result.
    """
    check(result)
    vms = sorted(result["vms"], key=lambda vm: (not _is_wrong(vm), str(vm["name"]).casefold(), str(vm["instance_uuid"])))
    days = _calendar(vms)
    points = [point for vm in vms for point in vm["points"]]
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters["line"] = lambda text: one_line(str(text))
    return environment.from_string(TEMPLATE).render(
        title=vcenter or result["repository"],
        repository=result["repository"],
        vms=[_vm(vm, days, unfolded=place < _UNFOLDED) for place, vm in enumerate(vms)],
        days=[day.isoformat() for day in days],
        newest=max((_text(point["created"]) for point in points), default=""),
        points=len(points),
        stored=size(sum(point["stored"] for point in points)),
        not_verified=sum(point["verified"] is None for point in points),
        damaged=sum(map(len, (vm["damaged"] for vm in vms))),
    )


def check(result: t.Any) -> None:
    """Make sure that a result is one of which a page can be made.

    :raises InvalidOption: it is none.
    """
    vms = result.get("vms") if isinstance(result, dict) else None
    keys = ("points", "damaged", "instance_uuid", "name")
    if isinstance(vms, list) and "repository" in result and all(isinstance(vm, dict) and set(keys) <= set(vm) for vm in vms):
        return
    raise InvalidOption(
        "The option result is no result of backup_info.",
        hint="Give the variable that a task of backup_info has registered.",
        option="result",
    )


def _is_wrong(vm: Entry) -> bool:
    return bool(vm["damaged"] or vm.get("error"))


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).astimezone(datetime.UTC)


def _text(moment: str | None) -> str:
    """A time for people, in UTC; empty for none."""
    return f"{_moment(moment):%Y-%m-%d %H:%M}" if moment else ""


def _calendar(vms: t.Sequence[Entry]) -> list[datetime.date]:
    """The days up to the newest one that has a point of any VM; none where there are no points."""
    made = [_moment(point["created"]).date() for vm in vms for point in vm["points"]]
    if not made:
        return []
    return [max(made) - datetime.timedelta(days=back) for back in reversed(range(_DAYS))]


def _vm(vm: Entry, days: t.Sequence[datetime.date], *, unfolded: bool) -> VmView:
    points = sorted(vm["points"], key=lambda point: str(point["created"]), reverse=True)
    by_day = [(day, list(group)) for day, group in itertools.groupby(points, lambda point: _moment(point["created"]).date())]
    restores = [each["at"] for point in points for each in point["restored"]]
    return VmView(
        name=one_line(str(vm["name"])) or vm["instance_uuid"],
        uuid=vm["instance_uuid"],
        newest=_text(points[0]["created"]) if points else "",
        points=len(points),
        stored=size(sum(point["stored"] for point in points)),
        verified=max((_text(point["verified"]) for point in points), default=""),
        restored=max(map(_text, restores), default=""),
        never_verified=sum(point["verified"] is None for point in points),
        calendar=tuple(_day(day, dict(by_day).get(day, [])) for day in days),
        days=tuple((day.isoformat(), tuple(map(_point, group))) for day, group in by_day),
        damaged=tuple((str(each["id"]), str(each["error"]["msg"])) for each in vm["damaged"]),
        error="" if vm["damaged"] or not vm.get("error") else str(vm["error"]["msg"]),
        unfolded=unfolded or _is_wrong(vm),
    )


def _day(day: datetime.date, points: t.Sequence[Entry]) -> DayView:
    if not points:
        return DayView(day.isoformat(), "none", "no backup")
    full = any(point["kind"] == "full" for point in points)
    proved = " proved" if all(point["verified"] for point in points) else ""
    count = f"{len(points)} backup{'' if len(points) == 1 else 's'}"
    text = f"{count}, {'full' if full else 'incremental'}{', verified' if proved else ''}"
    return DayView(day.isoformat(), f"{'full' if full else 'incremental'}{proved}", text)


def _point(point: Entry) -> PointView:
    return PointView(
        id=point["id"],
        at=f"{_moment(point['created']):%H:%M}",
        kind=point["kind"],
        consistency=point["consistency"],
        capacity=size(sum(disk["capacity"] for disk in point["disks"])),
        read=size(sum(disk["read"] for disk in point["disks"])),
        stored=size(point["stored"]),
        verified=_text(point["verified"]),
        restored=tuple(f"{_text(each['at'])} to {one_line(str(each['to']))}" for each in reversed(point["restored"])),
        disks=tuple(
            f"{one_line(str(disk['label']))}, {size(disk['capacity'])}, by {disk['transport']}" for disk in point["disks"]
        ),
    )
