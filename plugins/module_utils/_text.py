# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text from outside (guests, servers, files of others) made fit to be shown. Pure."""

from __future__ import annotations

import re
import typing as t

# What a terminal may obey (C0 without tab and line feed, DEL, C1), what breaks a line in ways that
# nobody sees, and what changes the direction of the text around it.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

# What stands at the place where a text was cut.
_CUT = "..."


def printable(text: str, most: int | None = None) -> str:
    """A text without control characters: each is replaced by its escape, such as ``\\x1b``.

    Tabs and line feeds stay, and a carriage return before a line feed goes: output has them.

    :param most: characters of the result at most; of a longer one the end is kept, which of the
        output of a program tells most. None keeps all.
    """
    shown = _UNSHOWABLE.sub(_escaped, text.replace("\r\n", "\n"))
    if most is None or len(shown) <= most:
        return shown
    if most <= len(_CUT):
        return _CUT[:most]
    return _CUT + shown[len(_CUT) - most :]


def one_line(text: str, most: int | None = None) -> str:
    """As ``printable``, in one line: line feeds and tabs are blanks."""
    return printable(text.replace("\r\n", " ").replace("\n", " ").replace("\t", " "), most)


def shown(value: t.Any) -> t.Any:
    """A value of plain data with each text in it, keys too, made ``printable``."""
    if isinstance(value, str):
        return printable(value) if _UNSHOWABLE.search(value) else value
    if isinstance(value, dict):
        return {shown(key): shown(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [shown(item) for item in value]
    return value


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
