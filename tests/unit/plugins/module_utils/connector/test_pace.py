# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rounds of waiting are never more than four in any second."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.tasks import Pace

ARRIVALS = st.lists(st.floats(0, 3), max_size=60)


def _begins(arrivals, start):
    """When rounds begin that are asked for at these times, each at the earliest after the one before has begun."""
    pace, now, begins = Pace(), start, []
    for gap in arrivals:
        now += gap
        now += pace.pause(now)
        begins.append(now)
    return begins


@given(ARRIVALS, st.floats(0, 1e6))
def test_no_second_has_more_than_four_rounds(arrivals, start):
    begins = _begins(arrivals, start)
    # The millionth is for the rounding of sums.
    assert all(later - earlier >= 1 - 1e-6 for earlier, later in zip(begins, begins[4:], strict=False))


@given(ARRIVALS)
def test_a_round_waits_half_a_second_at_the_most(arrivals):
    pace, now = Pace(), 0.0
    for gap in arrivals:
        now += gap
        pause = pace.pause(now)
        assert 0 <= pause <= 0.5 + 1e-6
        now += pause


def test_two_rounds_follow_each_other_at_once_after_a_quiet_second_and_a_third_soon():
    """A clock of our own: rounds of no length, each asked for as soon as the one before is over."""
    assert _begins([0] * 9, 0) == pytest.approx([0, 0, 0.1, 0.5, 1, 1.25, 1.5, 1.75, 2])
    # "Soon" counts from the one before.
    assert _begins([0, 0.05, 0], 0) == pytest.approx([0, 0.05, 0.15])
    # A quiet second later it is so again.
    assert _begins([0, 0, 1, 0, 0], 7) == pytest.approx([7, 7, 8, 8, 8.1])


@given(st.lists(st.floats(0.25, 9), max_size=20))
def test_rounds_that_are_far_apart_anyway_never_wait(gaps):
    pace, now = Pace(), 0.0
    for gap in gaps:
        now += gap + 1e-6
        assert pace.pause(now) == 0


def test_no_round_begins_at_or_after_the_deadline():
    pace = Pace()
    assert not pace.begin(time.monotonic())
    in_an_hour = time.monotonic() + 3600
    pace.pause(in_an_hour)
    assert not pace.begin(in_an_hour)
