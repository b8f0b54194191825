# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Questions that no update answers come ever further apart, and the last one is at the deadline."""

from __future__ import annotations

import itertools
import math
import time
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import soap
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.tasks import Backoff, growing_rounds


def _asked(deadline, longest=5.0, each=0.0):
    """The times at which questions are asked that take ``each`` seconds, beginning at 0."""
    backoff, now, times = Backoff(deadline, longest=longest), 0.0, []
    while (rest := backoff.pause(now)) is not None:
        now += rest
        times.append(now)
        now += each
    return times


@given(st.floats(0.01, 3600), st.floats(0.2, 30))
def test_the_last_question_is_at_the_deadline(deadline, longest):
    assert _asked(deadline, longest)[-1] == pytest.approx(deadline)


@given(st.floats(1, 3600), st.floats(0.2, 30), st.floats(0, 2))
def test_questions_come_ever_further_apart_up_to_the_longest(deadline, longest, each):
    times = _asked(deadline, longest, each)
    gaps = [later - earlier - each for earlier, later in itertools.pairwise(times)][:-1]
    assert all(later >= earlier - 1e-6 for earlier, later in itertools.pairwise(gaps))
    assert all(gap <= longest + 1e-6 for gap in gaps)


@given(st.floats(1, 3600), st.floats(0.2, 30))
def test_a_pause_is_at_most_half_as_long_again_as_the_one_before(deadline, longest):
    gaps = [later - earlier for earlier, later in itertools.pairwise([0.0, *_asked(deadline, longest)])]
    assert gaps[0] == pytest.approx(0.1)
    assert all(later <= 1.5 * earlier + 1e-6 for earlier, later in itertools.pairwise(gaps))


@given(st.floats(60, 3600))
def test_an_hour_costs_less_than_one_question_in_five_seconds_and_a_dozen_more(deadline):
    assert len(_asked(deadline)) <= deadline / 5 + 12


def test_nothing_is_asked_after_the_deadline():
    assert not Backoff(time.monotonic()).begin()
    assert Backoff(time.monotonic() - 1).pause(time.monotonic()) is None


def test_rounds_between_which_something_is_asked_double_up_to_the_longest_one():
    assert list(itertools.islice(growing_rounds(), 7)) == [1, 2, 4, 8, 16, 20, 20]


def test_where_a_task_has_no_deadline_a_vcenter_that_starts_is_waited_for_a_moment(monkeypatch):
    clock, limit = [100.0], types.SimpleNamespace(deadline=math.inf, over=lambda: False)

    def pause(seconds):
        clock[0] += seconds
        return True

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    waits = soap.StartingWait(types.SimpleNamespace(limit=limit, pause=pause))
    while waits.begin():
        pass
    assert clock[0] == pytest.approx(101.0)
