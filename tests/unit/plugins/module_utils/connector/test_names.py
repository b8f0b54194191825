# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names and paths of the inventory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import names

# Names as a person reads them; those with what vCenter escapes come up often.
READABLE = st.text(st.one_of(st.sampled_from("/\\%25cCfF ä東"), st.characters(exclude_categories=["Cs", "Cc"])), min_size=1)


@pytest.mark.parametrize(
    ("kept", "readable"),
    [
        ("web%2f1", "web/1"),
        ("web%2F1", "web/1"),
        ("a%5cb", "a\\b"),
        ("100%25", "100%"),
        ("a%252fb", "a%2fb"),
        ("two words", "two words"),
        ("größe-東京", "größe-東京"),
        ("50% off", "50% off"),
    ],
)
def test_a_name_reads_as_it_was_given(kept, readable):
    assert names.unescape(kept) == readable


@given(READABLE)
def test_what_is_escaped_reads_the_same_again(name):
    kept = names.escape(name)
    assert names.unescape(kept) == name
    assert "/" not in kept
    assert "\\" not in kept


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("a/b", True),
        ("a%2Fb", True),
        ("/100% Berlin/host/a%2fb", True),
        ("100%25 Berlin/host/a%2Fb/", True),
        ("host/a%2fb", False),
        ("/100% Berlin/host/a/b", False),
        ("b", False),
        ("", False),
    ],
)
def test_a_text_means_a_name_or_a_whole_path(text, means):
    assert names.means(text, "a/b", "/100%25 Berlin/host/a%2fb") is means


@given(READABLE)
def test_a_name_and_its_escaped_form_mean_one_entity(name):
    assert names.same(names.escape(name), names.escape(names.unescape(names.escape(name))))


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("a/b", "a%2fb", True),
        ("a%2Fb", "a%2fb", True),
        ("a%252fb", "a%2fb", False),
        ("a%252fb", "a/b", False),
        ("100%", "100%25", True),
        ("Web", "web", False),
    ],
)
def test_which_spellings_mean_one_name(left, right, same):
    assert names.same(left, right) is same


@given(st.lists(READABLE))
def test_a_path_falls_apart_into_what_it_was_made_of(parts):
    assert names.split(names.join(parts)) == parts


@pytest.mark.parametrize("path", ["/DC0/vm/web", "DC0/vm/web", "/DC0//vm/web/"])
def test_slashes_too_many_or_too_few_do_no_harm(path):
    assert names.split(path) == ["DC0", "vm", "web"]


def test_the_nearest_names_come_best_first():
    known = ["golden-parent", "golden-parent-2", "web-1", "Gold-Parent"]
    assert names.nearest("golden-parnet", known) == ["golden-parent", "golden-parent-2", "Gold-Parent"]


def test_a_name_that_differs_in_leading_zeros_alone_is_the_nearest():
    known = [f"server-{number:05}" for number in range(100)]
    assert names.nearest("server-0001", known) == ["server-00001", "server-00010", "server-00011"]
    assert names.nearest("a1", ["b1", "a0000001"])[0] == "a0000001"


def test_case_does_not_make_names_distant():
    assert names.nearest("WEB-1", ["web-1", "db-1"])[0] == "web-1"


def test_names_that_differ_in_case_alone_are_all_shown():
    assert sorted(names.nearest("web-1", ["Web-1", "WEB-1", "other"])) == ["WEB-1", "Web-1"]


def test_nothing_is_near_a_name_unlike_all():
    assert names.nearest("zzzz", ["golden-parent", "web-1"]) == []


def test_all_names_are_reported_the_nearest_before_the_others():
    assert names.nearest_first("VM Netwrok", ["DVPG0", "VM Network"]) == ["VM Network", "DVPG0"]


def test_a_long_list_is_cut():
    assert names.listing([str(number) for number in range(12)], most=3) == "0, 1, 2 and 9 more"
    assert names.listing(["a", "b"], most=3) == "a, b"
    assert names.listing(list("abcdefghij")) == "a, b, c, d, e, f, g, h, i, j"
    assert names.listing(list("abcdefghijk")) == "a, b, c, d, e, f, g, h, i, j and 1 more"
