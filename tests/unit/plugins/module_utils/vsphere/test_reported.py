# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which reported addresses are taken for a VM's own: each case by itself, and what holds whatever guests say."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import addresses
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.addresses import (
    ReportedAddresses,
    parsed,
    plain,
    reachable,
    shown,
    unconfirmed,
    vet,
)

IPV4_ONLY = frozenset({4})


def one(*words):
    """Addresses and reasons of the first of these VMs."""
    used = vet(words)[0]
    assert {refusal.code for refusal in used.refusals} <= {"reported_address_refused"}
    return list(used.addresses), " ".join(refusal.text for refusal in used.refusals)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "web-1",
        "10.0.0.1,*",
        "10.0.0.1 -oPort=1",
        "-oPort=1",
        "10.0.0.1\n*",
        " 10.0.0.1",
        "10.0.0.1/24",
        "010.0.0.1",
        "10.1",
        "[fd00::1]",
        "fd00::1%eth0",
        "fe80::1%-x",
        "10.0.0.1%x",
        "\u0661\u0660.0.0.1",
        "1" * 10_000,
    ],
)
def test_what_no_parser_takes_whole_is_no_address(text):
    assert parsed(text) is None
    taken, why = one(ReportedAddresses("web-1", reported=(text,), tools=(text,)))
    assert (taken, "which is none" in why, len(why) < 200) == ([], True, True)


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "0.0.0.0", "0.0.0.7", "224.0.0.1", "169.254.1.1", "255.255.255.255", "240.0.0.1"),  # noqa: S104
        *("::1", "::", "ff02::1", "fe80::1", "::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1"),
    ],
)
def test_an_address_that_leads_elsewhere_or_is_another_spelling_is_refused(text):
    taken, why = one(ReportedAddresses("web-1", reported=(text,), tools=(text,)))
    assert (taken, "no other machine can reach it by" in why) == ([], True)


def test_what_the_user_gave_needs_no_other_word():
    assert one(ReportedAddresses("web-1", reported=("169.254.7.7", "FD00::0001"), given=("169.254.7.7", "fd00::1"))) == (
        ["169.254.7.7", "fd00::1"],
        "",
    )


def test_where_the_user_gave_the_only_address_there_is_no_other():
    taken, why = one(
        ReportedAddresses("web-1", reported=("10.0.0.9",), given=("10.0.0.1",), firm=IPV4_ONLY, tools=("10.0.0.9",))
    )
    assert (taken, "is not the one that the user gave it, 10.0.0.1" in why) == ([], True)
    beside = ReportedAddresses("web-1", reported=("10.0.0.9",), given=("10.0.0.1",), tools=("10.0.0.9",))
    assert one(beside) == (["10.0.0.9"], "")


def test_what_tools_do_not_report_is_refused():
    word = ReportedAddresses("web-1", reported=("10.0.0.1",), tools=("10.0.0.2",))
    taken, why = one(word)
    assert (taken, "VMware Tools do not report" in why, unconfirmed(word)) == ([], True, True)
    assert one(ReportedAddresses("web-1", reported=("10.0.0.1",), tools=("10.0.0.1",))) == (["10.0.0.1"], "")


@pytest.mark.parametrize(
    "other",
    [
        ReportedAddresses("db-1", reported=("10.0.0.1",)),
        ReportedAddresses("db-1", tools=("10.0.0.1",)),
        ReportedAddresses("web-1", reported=("10.0.0.1",)),
    ],
)
def test_an_address_that_two_claim_is_neither_s(other):
    mine = ReportedAddresses("web-1", reported=("10.0.0.1",), tools=("10.0.0.1",))
    for words in ((mine, other), (mine, other, ReportedAddresses("web-3", reported=("10.0.0.3",), tools=("10.0.0.3",)))):
        taken, why = one(*words)
        assert (taken, f"{other.name} reports as well" in why) == ([], True)
    assert vet(words)[2].addresses == ("10.0.0.3",)


def test_an_address_that_the_user_gave_to_another_is_that_one_s():
    liar = ReportedAddresses("web-1", reported=("10.0.0.5",), tools=("10.0.0.5",))
    owner = ReportedAddresses("db-1", reported=("10.0.0.5",), given=("10.0.0.5",))
    all_used = vet([liar, owner])
    assert [used.addresses for used in all_used] == [(), ("10.0.0.5",)]
    assert "the user gave to db-1" in all_used[0].refusals[0].text


@pytest.mark.parametrize(
    ("word", "waits"),
    [
        (ReportedAddresses("a", reported=("10.0.0.1",)), True),
        (ReportedAddresses("a", reported=("10.0.0.1",), given=("10.0.0.1",)), False),
        (ReportedAddresses("a", reported=("10.0.0.1",), given=("10.0.0.2",), firm=IPV4_ONLY), False),
        (ReportedAddresses("a", reported=("odd", "127.0.0.1")), False),
        (ReportedAddresses("a"), False),
    ],
)
def test_only_what_tools_could_still_confirm_is_waited_for(word, waits):
    assert unconfirmed(word) is waits


def test_a_text_from_outside_is_shown_on_one_line():
    assert shown("a\x1b[31m\nb\u202e") == "'a?[31m?b?'"
    assert len(shown("x" * 1000)) < 70
    assert plain("a\r\nb", 3) == "a??..."


# Letters, what patterns and options are made of, controls, and what is beyond ASCII.
_LETTERS = "ab01.:/,*?!@#-=|[] \t\n\r\x1b\x85\u202e\u0661\ud800"

_TEXTS = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda number: str(ipaddress.IPv4Address(number))),
    st.integers(0, 2**128 - 1).map(lambda number: str(ipaddress.IPv6Address(number))),
    st.sampled_from(["10.0.0.1", "10.0.0.2", "fd00::1", "FD00::1", "::ffff:10.0.0.1", "-oX=y", "10.0.0.1,*", ""]),
    st.text(_LETTERS, max_size=12),
)
_WORDS = st.builds(
    ReportedAddresses,
    name=st.sampled_from(["a", "b", "c"]),
    reported=st.lists(_TEXTS, max_size=3).map(tuple),
    given=st.lists(_TEXTS, max_size=2).map(tuple),
    firm=st.sets(st.sampled_from([4, 6])).map(frozenset),
    tools=st.lists(_TEXTS, max_size=3).map(tuple),
)


@given(st.lists(_WORDS, max_size=5))
@example([ReportedAddresses("a", reported=("FD00::1",), tools=("fd00::1",)), ReportedAddresses("b", reported=("fd00:0::1",))])
def test_whatever_guests_say_no_two_have_one_address_and_each_is_canonical(words):
    all_used = vet(words)
    every = [address for used in all_used for address in used.addresses]
    assert len(every) == len(set(every))
    for word, used in zip(words, all_used, strict=True):
        assert len(used.addresses) + len(used.refusals) >= min(len(word.reported), 1)
        for text in used.addresses:
            address = ipaddress.ip_address(text)
            assert str(address) == text
            given_ones = {parsed(one) for one in word.given}
            assert address in given_ones or (reachable(address) and address in {parsed(one) for one in word.tools})
        assert all(refusal.text.isprintable() for refusal in used.refusals)


def test_the_codes_are_those_that_are_documented():
    assert (addresses.ADDRESS_REFUSED, addresses.HOST_KEY_REFUSED) == ("reported_address_refused", "host_key_refused")
