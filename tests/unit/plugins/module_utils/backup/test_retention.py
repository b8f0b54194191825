# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which points a retention keeps, by a table and by properties."""

from __future__ import annotations

import dataclasses
import datetime
import time
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import plan
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.model import Point, kept
from ansible_collections.vforge.vsphere.plugins.module_utils._retention import Retention

NOW = datetime.datetime(2026, 12, 31, tzinfo=datetime.UTC)

_POINT = Point(
    id="20261101T000000Z-00000000",
    number=1,
    created="2026-11-01T00:00:00+00:00",
    instance_uuid="",
    vm_name="web",
    consistency="crash-consistent",
    disks=(),
)


def point(number, when):
    return dataclasses.replace(_POINT, id=str(number), number=number, created=when.isoformat())


def each(hours, count):
    begin = datetime.datetime(2026, 11, 2, tzinfo=datetime.UTC)
    return [point(number, begin + datetime.timedelta(hours=hours * number)) for number in range(count)]


@pytest.mark.parametrize(
    ("rules", "hours", "count", "left"),
    [
        ({"last": 2}, 1, 5, ["3", "4"]),
        ({"daily": 2}, 6, 12, ["7", "11"]),
        ({"weekly": 2}, 24, 14, ["6", "13"]),
        ({"monthly": 1}, 24, 40, ["39"]),
        ({"last": 1, "daily": 3}, 12, 6, ["1", "3", "5"]),
    ],
)
def test_which_points_are_kept(rules, hours, count, left):
    assert sorted(kept(each(hours, count), Retention(**rules), NOW), key=int) == left


@pytest.mark.parametrize(
    ("hours", "age", "found"),
    [(0, 0, False), (12, 11, True), (12, 12, False), (12, 13, False), (12, -1, True), (12, -13, False)],
)
def test_a_point_is_new_enough_but_not_one_of_a_far_tomorrow(hours, age, found):
    now = datetime.datetime(2026, 11, 2, 12, tzinfo=datetime.UTC)
    options = types.SimpleNamespace(fresh_hours=hours)
    newest = point(1, now - datetime.timedelta(hours=age))
    assert plan.fresh(newest, options, now) is (newest if found else None)
    assert plan.fresh(None, options, now) is None


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Auckland", "America/St_Johns"])
def test_days_are_those_of_utc_wherever_it_runs_and_whatever_its_clocks_do(zone, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        # Through the nights in which clocks are put back in Berlin, and forward in Auckland.
        hourly = [
            point(number, datetime.datetime(2026, 9, 25, 0, 30, tzinfo=datetime.UTC) + datetime.timedelta(hours=number))
            for number in range(32 * 24)
        ]
        assert sorted(kept(hourly, Retention(daily=40), NOW), key=int) == [str(day * 24 + 23) for day in range(32)]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_time_of_any_zone_counts_on_its_day_in_utc():
    zone = datetime.timezone(datetime.timedelta(hours=13))
    times = [datetime.datetime(2026, 11, 2, 23, tzinfo=zone), datetime.datetime(2026, 11, 3, 1, tzinfo=zone)]
    assert sorted(kept([point(number, at) for number, at in enumerate(times)], Retention(daily=2), NOW)) == ["1"]


def test_a_clock_that_was_wrong_for_a_while_costs_no_newer_point():
    right = datetime.datetime(2026, 11, 2, 1, tzinfo=datetime.UTC)
    days = [0, 1, 400, 401, 2, 3]
    points = [point(number, right + datetime.timedelta(days=day)) for number, day in enumerate(days)]
    assert sorted(kept(points, Retention(daily=3), NOW)) == ["3", "4", "5"]
    assert sorted(kept(points, Retention(last=2), NOW)) == ["4", "5"]


# In any order: a clock may have been put back.
_TIMES = st.lists(st.datetimes(datetime.datetime(2020, 1, 1), datetime.datetime(2030, 1, 1)), max_size=30)


@given(_TIMES, st.integers(0, 5), st.integers(1, 5), st.integers(0, 5), st.integers(0, 5))
def test_the_newest_is_always_kept_and_no_rule_keeps_more_than_it_says(times, last, daily, weekly, monthly):
    points = [point(number, when.replace(tzinfo=datetime.UTC)) for number, when in enumerate(times)]
    rules = Retention(last=last, daily=daily, weekly=weekly, monthly=monthly)
    found = kept(points, rules, NOW)
    if points:
        assert points[-1].id in found
    for rule, most in (("last", last), ("daily", daily), ("weekly", weekly), ("monthly", monthly)):
        assert sum(rule in reasons for reasons in found.values()) <= most
    assert len(found) <= last + daily + weekly + monthly


@given(_TIMES, st.integers(1, 4))
def test_pruning_again_removes_nothing_more(times, daily):
    points = [point(number, when.replace(tzinfo=datetime.UTC)) for number, when in enumerate(times)]
    rules = Retention(daily=daily)
    left = [one for one in points if one.id in kept(points, rules, NOW)]
    assert set(kept(left, rules, NOW)) == {one.id for one in left}
