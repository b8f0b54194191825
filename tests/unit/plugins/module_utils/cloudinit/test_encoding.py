# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values of guestinfo: what is written is read again, by us and as cloud-init would."""

from __future__ import annotations

import base64
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit import encoding
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.markers import is_redacted

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: not encoding.is_absent(text))


@given(TEXTS, st.sampled_from(["auto", "base64", "gzip+base64"]))
def test_what_is_encoded_is_decoded(text, how):
    done = encoding.encode(text, how)
    assert encoding.decode(done.value, done.encoding) == text
    assert encoding.encode(text, how) == done


@given(TEXTS)
def test_plain_text_loses_only_what_is_blank_at_its_end(text):
    done = encoding.encode(text, "plain")
    assert encoding.decode(done.value, done.encoding) == text.rstrip()


def test_auto_packs_what_would_be_uncomfortably_large_and_nothing_else():
    fits = encoding.COMFORTABLE // 4 * 3
    assert encoding.encode("x" * fits).encoding == "base64"
    large = encoding.encode("x" * (fits + 1))
    assert large.encoding == "gzip+base64"
    assert gzip.decompress(base64.b64decode(large.value)) == b"x" * (fits + 1)


@pytest.mark.parametrize("name", ["base64", "b64", "base64 \n"])
def test_both_names_of_base64_are_known(name):
    assert encoding.decode("eA==", name) == "x"


@pytest.mark.parametrize("name", ["BASE64", "Gzip+Base64", " base64", "", None, "rot13"])
def test_an_unknown_name_means_plain_text_as_for_cloud_init(name):
    assert encoding.decode("eA==", name) == "eA=="


@pytest.mark.parametrize("value", [None, "", " ", "---", "--- \n", "\n"])
def test_nothing_is_nothing(value):
    assert encoding.is_absent(value)
    assert encoding.decode(value, "base64") is None


def test_only_what_was_overwritten_reads_as_redacted():
    assert is_redacted("---")
    assert not any(is_redacted(value) for value in (None, "", " ", "x"))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("x", "base64"),
        ("////", "base64"),
        ("eA==", "gzip+base64"),
        (base64.b64encode(gzip.compress(b"x" * 99, mtime=0)[:-9]).decode(), "gzip+base64"),
        (base64.b64encode(gzip.compress(b"\0" * (17 * 1024 * 1024), mtime=0)).decode(), "gz+b64"),
    ],
)
def test_what_is_not_what_it_says_is_reported(value, name):
    with pytest.raises(encoding.Undecodable):
        encoding.decode(value, name)


def test_a_fingerprint_depends_on_salt_and_text_and_not_on_blanks_at_the_end():
    one = encoding.fingerprint("salt", ["text"])
    assert one == encoding.fingerprint("salt", ["text\r\n"])
    assert len({one, encoding.fingerprint("pepper", ["text"]), encoding.fingerprint("salt", ["texts"])}) == 3
    assert encoding.fingerprint("salt", ["a", "b"]) != encoding.fingerprint("salt", ["ab"])


def test_no_secret_is_in_a_repr():
    assert "hunter2" not in repr(encoding.encode("hunter2", "plain"))


def test_the_slow_step_is_taken_once_a_text(monkeypatch):
    taken = []
    slow = encoding.hashlib.scrypt
    monkeypatch.setattr(encoding, "_DERIVED", {})
    monkeypatch.setattr(encoding.hashlib, "scrypt", lambda text, **how: taken.append(text) or slow(text, **how))
    found = {encoding.fingerprint(salt, texts) for salt in ("a", "b", "c") for texts in (["x"], ["y"])}
    assert encoding.fingerprint("a", ["x\r\n"]) in found
    assert (sorted(taken), len(found)) == ([b"x", b"y"], 6)
