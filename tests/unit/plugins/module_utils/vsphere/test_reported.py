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
    Word,
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
    verdict = vet(words)[0]
    assert {refusal.code for refusal in verdict.refusals} <= {"reported_address_refused"}
    return list(verdict.addresses), " ".join(refusal.text for refusal in verdict.refusals)


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
    taken, why = one(Word("web-1", told=(text,), tools=(text,)))
    assert (taken, "which is none" in why, len(why) < 200) == ([], True, True)


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "0.0.0.0", "0.0.0.7", "224.0.0.1", "169.254.1.1", "255.255.255.255", "240.0.0.1"),  # noqa: S104
        *("::1", "::", "ff02::1", "fe80::1", "::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1"),
    ],
)
def test_an_address_that_leads_elsewhere_or_is_another_spelling_is_refused(text):
    taken, why = one(Word("web-1", told=(text,), tools=(text,)))
    assert (taken, "no other machine can reach it by" in why) == ([], True)


def test_what_the_user_gave_needs_no_other_word():
    assert one(Word("web-1", told=("169.254.7.7", "FD00::0001"), given=("169.254.7.7", "fd00::1"))) == (
        ["169.254.7.7", "fd00::1"],
        "",
    )


def test_where_the_user_gave_the_only_address_there_is_no_other():
    taken, why = one(Word("web-1", told=("10.0.0.9",), given=("10.0.0.1",), firm=IPV4_ONLY, tools=("10.0.0.9",)))
    assert (taken, "is not the one that the user gave it, 10.0.0.1" in why) == ([], True)
    beside = Word("web-1", told=("10.0.0.9",), given=("10.0.0.1",), tools=("10.0.0.9",))
    assert one(beside) == (["10.0.0.9"], "")


def test_what_tools_do_not_report_is_refused():
    word = Word("web-1", told=("10.0.0.1",), tools=("10.0.0.2",))
    taken, why = one(word)
    assert (taken, "VMware Tools do not report" in why, unconfirmed(word)) == ([], True, True)
    assert one(Word("web-1", told=("10.0.0.1",), tools=("10.0.0.1",))) == (["10.0.0.1"], "")


@pytest.mark.parametrize(
    "other",
    [Word("db-1", told=("10.0.0.1",)), Word("db-1", tools=("10.0.0.1",)), Word("web-1", told=("10.0.0.1",))],
)
def test_an_address_that_two_claim_is_neither_s(other):
    mine = Word("web-1", told=("10.0.0.1",), tools=("10.0.0.1",))
    for words in ((mine, other), (mine, other, Word("web-3", told=("10.0.0.3",), tools=("10.0.0.3",)))):
        taken, why = one(*words)
        assert (taken, f"{other.name} reports as well" in why) == ([], True)
    assert vet(words)[2].addresses == ("10.0.0.3",)


def test_an_address_that_the_user_gave_to_another_is_that_one_s():
    liar = Word("web-1", told=("10.0.0.5",), tools=("10.0.0.5",))
    owner = Word("db-1", told=("10.0.0.5",), given=("10.0.0.5",))
    verdicts = vet([liar, owner])
    assert [verdict.addresses for verdict in verdicts] == [(), ("10.0.0.5",)]
    assert "the user gave to db-1" in verdicts[0].refusals[0].text


@pytest.mark.parametrize(
    ("word", "waits"),
    [
        (Word("a", told=("10.0.0.1",)), True),
        (Word("a", told=("10.0.0.1",), given=("10.0.0.1",)), False),
        (Word("a", told=("10.0.0.1",), given=("10.0.0.2",), firm=IPV4_ONLY), False),
        (Word("a", told=("odd", "127.0.0.1")), False),
        (Word("a"), False),
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
    Word,
    name=st.sampled_from(["a", "b", "c"]),
    told=st.lists(_TEXTS, max_size=3).map(tuple),
    given=st.lists(_TEXTS, max_size=2).map(tuple),
    firm=st.sets(st.sampled_from([4, 6])).map(frozenset),
    tools=st.lists(_TEXTS, max_size=3).map(tuple),
)


@given(st.lists(_WORDS, max_size=5))
@example([Word("a", told=("FD00::1",), tools=("fd00::1",)), Word("b", told=("fd00:0::1",))])
def test_whatever_guests_say_no_two_have_one_address_and_each_is_canonical(words):
    verdicts = vet(words)
    every = [address for verdict in verdicts for address in verdict.addresses]
    assert len(every) == len(set(every))
    for word, verdict in zip(words, verdicts, strict=True):
        assert len(verdict.addresses) + len(verdict.refusals) >= min(len(word.told), 1)
        for text in verdict.addresses:
            address = ipaddress.ip_address(text)
            assert str(address) == text
            given_ones = {parsed(one) for one in word.given}
            assert address in given_ones or (reachable(address) and address in {parsed(one) for one in word.tools})
        assert all(refusal.text.isprintable() for refusal in verdict.refusals)


def test_the_codes_are_those_that_are_documented():
    assert (addresses.ADDRESS_REFUSED, addresses.HOST_KEY_REFUSED) == ("reported_address_refused", "host_key_refused")
