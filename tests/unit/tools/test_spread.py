# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order in which several workers get the tests."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vforge_spread import spread

_TESTS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans()), max_size=60)


@given(_TESTS, st.integers(1, 8))
def test_each_test_is_run_once(tests: list[tuple[str, bool]], workers: int) -> None:
    assert sorted(spread(tests, workers)) == list(range(len(tests)))


@given(_TESTS, st.integers(1, 8))
def test_tests_of_a_file_keep_their_order(tests: list[tuple[str, bool]], workers: int) -> None:
    order = spread(tests, workers)
    for kind in set(tests):
        places = [order.index(place) for place, each in enumerate(tests) if each == kind]
        assert places == list(range(places[0], places[0] + len(places)))


def test_each_worker_begins_with_what_waits() -> None:
    tests = [("pure", False)] * 4 + [("slow", True)] * 2 + [("slower", True)] * 2
    assert spread(tests, 2) == [4, 5, 0, 1, 2, 3, 6, 7]
    assert spread(tests, 1) == [4, 5, 6, 7, 0, 1, 2, 3]
