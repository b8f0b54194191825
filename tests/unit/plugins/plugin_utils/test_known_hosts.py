# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file of known hosts: whom a line is about, what is added, and what is left alone."""

from __future__ import annotations

import base64
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.plugin_utils.known_hosts import Guest, settle

KEY, OTHER, RSA = "ssh-ed25519 QUFBQQ==", "ssh-ed25519 QkJCQg==", "ssh-rsa Q0NDQw=="
UUID = "5011a5f0-0000-0000-0000-000000000001"


def guest(name="web-1", address="10.0.0.1", *, uuid=UUID, fixed=False, keys=(KEY, RSA)):
    """A VM that reports its keys."""
    return Guest(name, uuid, address, fixed, tuple(keys))


def hashed(address):
    """A host as OpenSSH hashes it."""
    salt = b"s" * 20
    return "|1|{}|{}".format(*(base64.b64encode(x).decode() for x in (salt, hmac.digest(salt, address.encode(), "sha1"))))


def test_keys_are_added_once_and_the_rest_stays_as_it_is():
    before = "# mine\nexample.com ssh-rsa Q0NDQw== me\n\n@cert-authority * ssh-rsa QUFBQQ=="
    after = settle(before, [guest()], replace=False)
    assert after.refused == {}
    mark = f"vforge.vsphere:web-1:{UUID}"
    assert after.text == f"{before}\n10.0.0.1 {KEY} {mark}\n10.0.0.1 {RSA} {mark}\n"
    assert settle(after.text, [guest()], replace=False) == after


def test_new_keys_of_the_same_vm_take_the_place_of_its_old_ones():
    first = settle("", [guest()], replace=False).text
    second = settle(first, [guest(keys=(OTHER,))], replace=False)
    assert (second.refused, second.text.splitlines()) == ({}, [f"10.0.0.1 {OTHER} {guest().mark}"])


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"10.0.0.1 {OTHER}", "for another machine, or with another key"),
        (f"10.0.0.1 {KEY}", "for another machine, or with another key"),
        (f"db-1,10.0.0.1 {KEY}", "for db-1"),
        (f"10.0.0.1 {KEY} vforge.vsphere:db-1:{UUID[:-1]}2", "for the VM db-1"),
        (f"10.0.0.1 {KEY} vforge.vsphere:web-1:{UUID[:-1]}2", "for the VM web-1"),
        (f"{hashed('10.0.0.1')} {OTHER}", "for another machine, or with another key"),
        (f"10.0.0.* {OTHER}", "for 10.0.0.*"),
        (f"@revoked * {KEY}", "with the mark @revoked"),
    ],
)
def test_what_the_file_holds_for_somebody_else_stands(line, why):
    settled = settle(f"{line}\n", [guest(), guest("web-2", "192.0.2.2", uuid=f"{UUID[:-1]}3", keys=(RSA,))], replace=False)
    assert list(settled.refused) == [0]
    assert why in settled.refused[0]
    lines = settled.text.splitlines()
    assert lines[0] == line
    assert [each.split()[0] for each in lines[1:]] == ["192.0.2.2"]


@pytest.mark.parametrize(
    ("line", "left"),
    [
        (f"10.0.0.1 {OTHER}", None),
        (f"{hashed('10.0.0.1')} {OTHER}", None),
        (f"db-1,10.0.0.1 {OTHER} of db", f"db-1 {OTHER} of db"),
        (f"10.0.0.* {OTHER}", f"10.0.0.* {OTHER}"),
    ],
)
def test_with_the_users_word_it_gives_way_for_this_address_alone(line, left):
    settled = settle(f"{line}\n", [guest()], replace=True)
    lines = settled.text.splitlines()
    assert (settled.refused, lines[:-2]) == ({}, [left] if left else [])
    assert [each.split()[0] for each in lines[-2:]] == ["10.0.0.1", "10.0.0.1"]
    assert settle(settled.text, [guest()], replace=True).text == settled.text


def test_a_revoked_key_stays_revoked_whatever_the_user_says():
    assert list(settle(f"@revoked * {KEY}\n", [guest()], replace=True).refused) == [0]


@pytest.mark.parametrize(
    ("line", "one"),
    [
        (f"web-1,10.0.0.1 {KEY}", guest()),
        (f"10.0.0.1 {KEY}", guest(fixed=True)),
        (f"10.0.0.* {KEY}", guest()),
        (f"10.0.0.1 {KEY} vforge.vsphere:web-1:{UUID[:-1]}2", guest(fixed=True)),
        (f"!10.0.0.1,10.0.0.* {OTHER}", guest()),
        (f"[10.0.0.1]:2222 {OTHER}", guest()),
        (f"@cert-authority 10.0.0.* {OTHER}", guest()),
    ],
)
def test_what_is_the_vms_own_or_about_nobody_else_is_no_hindrance(line, one):
    settled = settle(f"{line}\n", [one], replace=False)
    assert settled.refused == {}
    assert line in settled.text.splitlines()
    assert f"10.0.0.1 {RSA} {one.mark}" in settled.text


def test_an_address_that_an_authority_answers_for_is_somebody_elses():
    line = f"@cert-authority 10.0.0.1 {OTHER}"
    settled = settle(f"{line}\n", [guest()], replace=False)
    assert (settled.text, settled.refused) == (f"{line}\n", {0: "for an authority (@cert-authority)"})
    for settled in (settle(line, [guest(fixed=True)], replace=False), settle(line, [guest()], replace=True)):
        assert settled.refused == {}
        assert settled.text.startswith(f"{line}\n10.0.0.1 ")


def test_a_name_with_blanks_and_colons_stays_one_mark():
    odd = guest("web: 1 *")
    text = settle("", [odd], replace=False).text
    assert all(len(line.split(" ")) == 4 for line in text.splitlines())
    assert settle(text, [odd], replace=False).text == text


# Letters, what patterns and options are made of, controls, and what is beyond ASCII.
_LETTERS = "ab01.:/,*?!@#-=|[] \t\n\r\x1b\x85\u202e\u0661\ud800"


@given(st.text(_LETTERS, max_size=200), st.lists(st.sampled_from([KEY, OTHER, RSA]), unique=True))
def test_any_file_can_be_read_and_a_second_time_changes_nothing(text, keys):
    first = settle(text, [guest(keys=keys)], replace=False)
    assert settle(first.text, [guest(keys=keys)], replace=False) == first
    kept = [line for line in text.split("\n") if line.strip()]
    assert [line for line in first.text.split("\n") if line in kept and line.strip()][: len(kept)] == kept
