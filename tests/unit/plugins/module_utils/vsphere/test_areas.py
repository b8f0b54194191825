# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From pages to proved areas: coverage, refusals, merging, counting."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.areas import (
    Area,
    InconsistentAreas,
    Page,
    Tally,
    changed_areas,
    merged,
)
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.support import asked

CAPACITY = 1000


def areas_of(*pages, capacity=CAPACITY):
    return list(changed_areas(asked(pages), capacity))


def test_pages_are_asked_for_until_the_capacity_is_covered():
    offsets = []

    def ask(offset):
        offsets.append(offset)
        return Page(offset, min(300, CAPACITY - offset), [(offset, 10)])

    assert list(changed_areas(ask, CAPACITY)) == [Area(0, 10), Area(300, 10), Area(600, 10), Area(900, 10)]
    assert offsets == [0, 300, 600, 900]  # and none at the capacity itself, which vCenter refuses


def test_an_empty_page_in_the_middle_is_not_the_end():
    assert areas_of(Page(0, 400, []), Page(400, 100, []), Page(500, 500, [(999, 1)])) == [Area(999, 1)]


def test_nothing_changed_is_an_empty_list_only_with_full_coverage():
    assert areas_of(Page(0, CAPACITY, [])) == []


@pytest.mark.parametrize(
    ("pages", "why"),
    [
        ([Page(0, 0, [])], "covers nothing"),
        ([Page(0, -1, [])], "covers nothing"),
        ([Page(100, 900, [])], "answered from byte 100"),
        ([Page(0, 500, []), Page(0, 1000, [])], "asked from byte 500"),
        ([Page(0, 1000, [(10, 10), (15, 10)])], "begins before byte 20"),
        ([Page(0, 1000, [(50, 10), (10, 10)])], "begins before byte 60"),
        ([Page(0, 1000, [(10, 10), (10, 10)])], "begins before byte 20"),
        ([Page(0, 500, [(490, 20)])], "ends behind byte 500"),
        ([Page(0, 500, []), Page(500, 500, [(499, 5)])], "begins before byte 500"),
        ([Page(0, 1000, [(10, 0)])], "has the length 0"),
        ([Page(0, 1000, [(10, -4)])], "has the length -4"),
    ],
)
def test_an_answer_that_cannot_be_trusted_is_refused(pages, why):
    with pytest.raises(InconsistentAreas, match=why) as caught:
        areas_of(*pages)
    assert caught.value.error_code == "inconsistent_areas"


@pytest.mark.parametrize("covered", [1024, CAPACITY])
def test_what_is_reported_beyond_the_end_of_the_disk_is_cut_off(covered):
    assert areas_of(Page(0, covered, [(990, 20), (1010, 14)])) == [Area(990, 10)]


def test_a_disk_without_bytes_is_not_asked():
    assert areas_of(capacity=0) == []


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (0, [Area(0, 20), Area(25, 5), Area(100, 1)]),
        (4, [Area(0, 20), Area(25, 5), Area(100, 1)]),
        (5, [Area(0, 30), Area(100, 1)]),
        (1000, [Area(0, 101)]),
    ],
)
def test_areas_that_touch_or_nearly_do_become_one(gap, expected):
    areas = [Area(0, 10), Area(10, 10), Area(25, 5), Area(100, 1)]
    assert list(merged(areas, gap)) == expected


def test_areas_are_merged_across_pages():
    assert areas_of(Page(0, 500, [(450, 50)]), Page(500, 500, [(500, 50)])) == [Area(450, 100)]


@st.composite
def disks(draw):
    """A disk's changed bytes, and the lengths of the pages that tell them."""
    capacity = draw(st.integers(1, 400))
    changed = draw(st.sets(st.integers(0, capacity - 1)))
    lengths = draw(st.lists(st.integers(1, 150), min_size=1, max_size=10))
    return capacity, changed, lengths


def told(changed, lengths, capacity):
    """What asks a server that knows the changed bytes."""
    asked_so_far = []

    def ask(offset):
        length = min(lengths[len(asked_so_far) % len(lengths)], capacity - offset)
        asked_so_far.append(offset)
        inside = sorted(byte for byte in changed if offset <= byte < offset + length)
        return Page(offset, length, [(byte, 1) for byte in inside])

    return ask


@given(disks())
def test_every_changed_byte_is_reported_and_no_other(known):
    capacity, changed, lengths = known
    found = list(changed_areas(told(changed, lengths, capacity), capacity))
    assert {byte for area in found for byte in range(area.start, area.end)} == changed
    assert all(before.end < after.start for before, after in itertools.pairwise(found))
    tally = Tally(capacity)
    for area in found:
        tally.add(area)
    assert (tally.count, tally.changed_bytes, sum(tally.regions)) == (len(found), len(changed), len(changed))
    for place, count in enumerate(tally.regions):
        begin = place * tally.region_size
        assert count == sum(begin <= byte < begin + tally.region_size for byte in changed)


@given(disks(), st.integers(0, 50))
def test_a_gap_adds_only_what_lies_between(known, gap):
    capacity, changed, lengths = known
    found = list(changed_areas(told(changed, lengths, capacity), capacity, gap))
    covered = {byte for area in found for byte in range(area.start, area.end)}
    assert changed <= covered
    for area in found:
        assert {area.start, area.end - 1} <= changed
    assert all(after.start - before.end > gap for before, after in itertools.pairwise(found))
