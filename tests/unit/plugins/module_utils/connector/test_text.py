# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Text from outside is fit to be shown, whatever it is."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._text import one_line, printable, seconds, shown, size

_BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ANY = st.text(st.characters(blacklist_categories=("Cs",)))


def harmful(text: str, allowed: str = "\n\t") -> list[str]:
    """The characters of a text that a terminal may obey, or that turn the text around them."""
    return [letter for letter in text if (unicodedata.category(letter) == "Cc" and letter not in allowed) or letter in _BIDI]


@given(_ANY)
def test_nothing_that_is_shown_has_control_characters(text):
    assert harmful(printable(text)) == []
    assert harmful(one_line(text), allowed="") == []


@given(_ANY, st.integers(0, 50))
def test_a_bound_holds_and_keeps_the_end(text, most):
    cut = printable(text, most)
    assert len(cut) <= most
    whole = printable(text)
    assert cut == whole or whole.endswith(cut.removeprefix("..."[:most]))


@given(st.text(st.characters(blacklist_categories=("Cc", "Cs"), blacklist_characters="".join(_BIDI) + "\u2028\u2029")))
def test_other_text_stays_as_it_is(text):
    assert printable(text) == one_line(text) == shown(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\r\nb\tc\n", "a\nb\tc\n"),
        ("paid\rfree", "paid\\x0dfree"),
        ("\x9b31m\x7f", "\\x9b31m\\x7f"),
        ("exe.\u202etxt", "exe.\\u202etxt"),
        ("two\u2028lines", "two\\u2028lines"),
    ],
)
def test_what_is_taken_out_can_be_seen(text, expected):
    assert printable(text) == expected


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | _ANY,
        lambda inner: st.lists(inner) | st.dictionaries(_ANY, inner),
        max_leaves=20,
    )
)
def test_plain_data_keep_their_shape(value):
    def texts(data):
        if isinstance(data, str):
            yield data
        for item in data if isinstance(data, list) else [*data, *data.values()] if isinstance(data, dict) else ():
            yield from texts(item)

    done = shown(value)
    assert type(done) is type(value)
    assert all(harmful(text) == [] for text in texts(done))


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1 MiB"),
        (40 * 1024**3, "40 GiB"),
        (1000 * 1024**4, "1,000 TiB"),
        (5 * 1024**6, "5,120 PiB"),
        (None, "unknown"),
    ],
)
def test_sizes(count, expected):
    assert size(count) == expected


@pytest.mark.parametrize(
    ("span", "expected"),
    [(0, "0.00 s"), (0.426, "0.43 s"), (3.25, "3.2 s"), (59.6, "60 s"), (300, "300 s"), (725, "12 min 5 s"), (3600, "60 min")],
)
def test_spans_of_time(span, expected):
    assert seconds(span) == expected


@given(st.integers(0, 2**60))
def test_a_size_is_right_to_a_tenth_of_its_unit(count):
    text, unit = size(count).replace(",", "").split(" ")
    bytes_of_one = 1024 ** ("B", "KiB", "MiB", "GiB", "TiB", "PiB").index(unit)
    assert abs(float(text) * bytes_of_one - count) <= bytes_of_one / 10
