# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names and addresses of a fleet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._fleet.model import Pattern, addresses, parent_name
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.markers import fleet_mark, fleet_of


@pytest.mark.parametrize(
    ("text", "number", "name", "fleet"),
    [
        ("web-###", 7, "web-007", "web"),
        ("web-#", 12, "web-12", "web"),
        ("web-##", 100, "web-100", "web"),
        ("##.web", 3, "03.web", "web"),
        ("web##-prod", 3, "web03-prod", "web-prod"),
        ("straße ##", 3, "straße 03", "straße"),
        ("a%5Cb-##", 3, "a\\b-03", "a\\b"),
    ],
)
def test_a_pattern_makes_names_and_knows_them_again(text, number, name, fleet):
    pattern = Pattern(text)
    assert (pattern.name(number), pattern.number(name), pattern.fleet) == (name, number, fleet)


@pytest.mark.parametrize("text", ["web", "###", "", "web-#-#", "a/b-##", "a%2fb-##", "--##"[2:], "w" * 80 + "#"])
def test_what_is_no_pattern_is_refused(text):
    with pytest.raises(InvalidOption, match="The option name"):
        Pattern(text)


def test_the_last_name_is_the_longest():
    assert len(Pattern("w" * 79 + "#", 9).name(9)) == 80
    with pytest.raises(InvalidOption, match="more than 80 characters"):
        Pattern("w" * 79 + "#", 10)


@pytest.mark.parametrize(
    "name", ["web-7", "web-0007", "web-000", "web-", "web-07x", "xweb-007", "web-\u0660\u0660\u0667", "web-parent-esx1-012345"]
)
def test_other_names_have_no_number(name):
    assert Pattern("web-###").number(name) is None


@pytest.mark.parametrize(
    ("text", "name", "digits"),
    [
        ("web-##", "web-001", 3),
        ("web-###", "web-01", 2),
        ("web-###", "web-10", 2),
        ("web-##", "web-100", 0),
        ("web-##", "web-01", 0),
        ("web-##", "web-00", 0),
        ("web-##", "web-", 0),
        ("web-##", "db-001", 0),
    ],
)
def test_a_name_of_another_pattern_shows_how_many_digits_that_has(text, name, digits):
    assert Pattern(text).other_digits(name) == digits


@pytest.mark.parametrize(
    ("text", "others", "unsure"), [("web-##", [3], [100, 150]), ("web-###", [2], [100, 150]), ("web-##", [], [])]
)
def test_numbers_that_two_patterns_write_alike_may_be_of_either(text, others, unsure):
    assert [number for number in (1, 99, 100, 150) if Pattern(text).may_be_of_others(number, others)] == unsure


@given(st.text("ab-#.", min_size=1, max_size=12), st.integers(1, 10**6))
def test_names_and_numbers_are_the_same_thing(text, number):
    try:
        pattern = Pattern(text)
    except InvalidOption:
        return
    assert pattern.number(pattern.name(number)) == number


def test_a_parent_is_named_after_its_host_and_no_two_are_alike():
    one = parent_name("web", "esx1.example.com", "host-1", "7")
    assert one.startswith("web-parent-esx1-")
    assert one == parent_name("web", "esx1.example.com", "host-1", "7")
    others = {parent_name("web", "esx1.other.com", "host-2", "7"), parent_name("web", "esx1.example.com", "host-1", "8")}
    assert one not in others
    assert len(others) == 2
    assert parent_name("web", "10.0.0.5", "host-1", "7").startswith("web-parent-10.0.0.5-")
    assert len(parent_name("w" * 70, "h" * 70, "host-1", "7")) == 80


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_the_mark_of_a_parent_is_read_as_it_was_written(fleet, version, name):
    told = fleet_of(fleet_mark(fleet, version, name))
    assert told == (fleet, version, name)


@pytest.mark.parametrize("value", ["", "web", "web 1"])
def test_what_is_no_mark_reports_nothing(value):
    assert fleet_of(value) is None


@pytest.mark.parametrize(
    ("given_addresses", "message"),
    [
        (["10.0.0.1/24"], "has 1 addresses for 2 VMs"),
        (["10.0.0.1", "10.0.0.2/24"], "'10.0.0.1', which is no address with its prefix"),
        (["10.0.0.1/24", "10.0.0.300/24"], "'10.0.0.300/24', which is no address"),
        (["10.0.0.1/24", "10.0.0.1/25"], "names 10.0.0.1 more than once"),
    ],
)
def test_wrong_addresses_are_named(given_addresses, message):
    with pytest.raises(InvalidOption, match=message):
        addresses(given_addresses, 2)


def test_addresses_are_as_given_and_none_means_dhcp():
    assert addresses([], 5) == []
    assert addresses(["10.0.0.1/24", "2001:db8::1/64", "10.0.0.3/24"], 2) == ["10.0.0.1/24", "2001:db8::1/64", "10.0.0.3/24"]
