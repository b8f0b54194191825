# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told against what is true: the bytes of the simulator's disks, before and after.

Random writes, snapshots, consolidations and power cycles; then what changed since any earlier point, judged by comparing the
disks.
"""

from __future__ import annotations

import random

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.support import MIB

_SIZE = MIB
_SECTOR = 512


def differing(before, after):
    """The sectors in which two states of a disk differ."""
    return {place for place in range(0, _SIZE, _SECTOR) if before[place : place + _SECTOR] != after[place : place + _SECTOR]}


def sectors(disk):
    return {
        place
        for area in disk["areas"]
        for place in range(area["start"] // _SECTOR * _SECTOR, area["start"] + area["length"], _SECTOR)
    }


class Story:
    """Random things happen to a VM; at some points it is asked what changed since each earlier one."""

    def __init__(self, areas, seed):
        self.areas = areas
        self.name = f"story-{seed}"
        self.random = random.Random(seed)  # noqa: S311 (a test's dice)
        self.points = []  # changeIds and the bytes of the two disks then
        self.written = {2000: set(), 2001: set()}
        areas.make(self.name, 2, size=_SIZE)

    def write(self):
        key = self.random.choice([2000, 2001])
        start = self.random.randrange(0, _SIZE // _SECTOR) * _SECTOR
        length = min(self.random.randint(1, 40) * _SECTOR, _SIZE - start)
        self.areas.sim.write_disk(self.name, key, offset=start, length=length, seed=self.random.randint(1, 1 << 30))
        for point in self.points:
            point["written"][key] |= set(range(start, start + length, _SECTOR))

    def snapshot(self):
        self.areas.snapshot(self.name, f"s{self.random.random()}")

    def consolidate(self):
        self.areas.sim.govc("snapshot.remove", "-vm", self.name, "*")

    def power_cycle(self):
        self.areas.sim.govc("vm.power", "-off", self.name)
        self.areas.sim.govc("vm.power", "-on", self.name)

    def ask(self, *, exact):
        """Ask since every earlier point, compare with the bytes, and make this a point too."""
        now = {key: self.areas.sim.read_disk(self.name, key) for key in (2000, 2001)}
        for point in self.points:
            asked = [{"key": key, "change_id": point["ids"][key]} for key in (2000, 2001)]
            for disk in self.areas.run(vm={"name": self.name}, disks=asked, areas_limit=100_000).one["disks"]:
                key, found = disk["key"], sectors(disk)
                assert not disk["full_required"]
                assert differing(point["bytes"][key], now[key]) <= found
                if exact:
                    assert found == point["written"][key]
        disks = self.areas.run(vm={"name": self.name}).one["disks"]
        ids = {disk["key"]: disk["change_id"] for disk in disks}
        self.points.append({"ids": ids, "bytes": now, "written": {2000: set(), 2001: set()}})

    def run(self, steps, *, exact=True):
        self.ask(exact=exact)
        ways = [self.write] * 12 + [self.snapshot, self.consolidate, self.power_cycle]
        for _step in range(steps):
            self.random.choice(ways)()
        self.ask(exact=exact)


@pytest.fixture
def known(start):
    """A simulator for many stories."""
    return start()


@pytest.mark.parametrize("seed", range(3))
def test_every_byte_that_differs_is_reported_and_no_sector_that_was_not_written(known, seed):
    story = Story(known, seed)
    for _chapter in range(3):
        story.run(12)
    assert len(story.points) == 6


def test_where_the_server_reports_too_much_nothing_is_missing(known):
    known.sim.cbt_granule(65536)
    story = Story(known, 99)
    story.run(25, exact=False)
    story.run(25, exact=False)
    assert len(story.points) == 4
