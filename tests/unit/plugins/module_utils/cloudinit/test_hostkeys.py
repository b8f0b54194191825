# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SSH host keys that guests report: what is taken, and that nothing else ever is."""

from __future__ import annotations

import base64
import contextlib
import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit.hostkeys import NoHostKey, parse


def blob(*fields):
    """The fields of a key as SSH joins them, in base64."""
    return base64.b64encode(b"".join(struct.pack(">I", len(field)) + field for field in fields)).decode()


ED25519 = f"ssh-ed25519 {blob(b'ssh-ed25519', b'e' * 32)}"
RSA = f"ssh-rsa {blob(b'ssh-rsa', bytes([1, 0, 1]), bytes(1) + b'r' * 256)}"
ECDSA = f"ecdsa-sha2-nistp256 {blob(b'ecdsa-sha2-nistp256', b'nistp256', bytes([4]) + b'c' * 64)}"


def test_keys_as_files_of_a_guest_hold_them():
    report = f"{ECDSA} root@web-1,{ED25519} root@web, the first one,{RSA}\t root@web-1,"
    assert parse(report) == [ECDSA, ED25519, RSA]
    assert (parse(None), parse("")) == ([], [])


def test_a_key_that_is_not_used_any_more_or_not_yet_is_left_out():
    old, new = f"ssh-dss {blob(b'ssh-dss', b'p', b'q')} root@a", f"ssh-new {blob(b'ssh-new', b'x')}"
    assert parse(f"{old},{new},{ED25519}") == [ED25519]


@pytest.mark.parametrize(
    ("report", "why"),
    [
        ("whatever", "there is none in it"),
        ("-oProxyCommand=true", "there is none in it"),
        (" , ,", "there is none in it"),
        (f"* {ED25519}", "something before its type"),
        (f"web-1,db-1 {ED25519}", "something before its type"),
        (f"@cert-authority * {ED25519}", "something before its type"),
        (f'command="true" {ED25519}', "something before its type"),
        (f"{ED25519}\n* {ED25519}", "line ends or control characters"),
        (f"{ED25519}\x1b[2J", "line ends or control characters"),
        (f"ssh-rsa {ED25519.split()[1]}", "that is none"),
        ("ssh-ed25519 not-base64!", "that is none"),
        ("ssh-ed25519", "that is none"),
        (f"ssh-ed25519 {blob(b'ssh-ed25519', b'e' * 31)}", "no key of its type"),
        (f"ssh-ed25519 {blob(b'ssh-ed25519', b'e' * 32, b'more')}", "no key of its type"),
        (f"ssh-rsa {blob(b'ssh-rsa', bytes([1, 0, 1]), b'r' * 64)}", "no key of its type"),
        (f"ssh-rsa {blob(b'ssh-rsa', bytes([0]), b'r' * 256)}", "no key of its type"),
        (f"ecdsa-sha2-nistp256 {blob(b'ecdsa-sha2-nistp256', b'nistp384', b'c' * 97)}", "no key of its type"),
        (f"ssh-ed25519 {base64.b64encode(bytes([0, 0, 0, 11]) + b'ssh-ed25519' + bytes([255] * 4)).decode()}", "that is none"),
        (f"{ED25519},ssh-ed25519 {blob(b'ssh-ed25519', b'f' * 32)}", "more than one SSH host key of type ssh-ed25519"),
        ("x" * 40_000, "SSH host keys of 40000 characters"),
        (f"ssh-rsa {base64.b64encode(b'x' * 9000).decode()}", "that is none"),
    ],
)
def test_what_is_none_is_refused_whole(report, why):
    with pytest.raises(NoHostKey, match=re.escape(why)) as caught:
        parse(f"{RSA},{report}" if report.startswith(("ssh", "@", "*")) else report)
    assert len(str(caught.value)) < 250
    assert str(caught.value).isprintable()


# Letters, what patterns and options are made of, controls, and what is beyond ASCII.
_LETTERS = "ab01.:/,*?!@#-=|[] \t\n\r\x1b\x85\u202e\u0661\ud800"

_PIECES = st.one_of(
    st.sampled_from([ED25519, RSA, ECDSA, "*", "@revoked", "ssh-rsa", "ssh-ed25519", "AAAA", "\n", " ", "#"]),
    st.text(_LETTERS, max_size=20),
)


@given(st.lists(_PIECES, max_size=6), st.sampled_from([",", " ", ""]))
def test_what_comes_out_is_always_one_type_and_its_base64(pieces, between):
    keys = []
    with contextlib.suppress(NoHostKey):
        keys = parse(between.join(pieces))
    for key in keys:
        kind, content = key.split(" ")
        fields = base64.b64decode(content, validate=True)
        assert fields.startswith(struct.pack(">I", len(kind)) + kind.encode())
        assert re.fullmatch(r"[A-Za-z0-9+/=]+", content)
    assert len({key.split()[0] for key in keys}) == len(keys)
