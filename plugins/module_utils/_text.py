# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How texts are shown: what comes from outside (guests, servers, files of others), and sizes, times
and numbers. Pure.
"""

from __future__ import annotations

import re
import typing as t

# What a terminal may obey (C0 without tab and line feed, DEL, C1), what breaks a line in ways that
# nobody sees, and what changes the direction of the text around it.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

# What is put where a text was cut.
_CUT = "..."

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def printable(text: str, most: int | None = None) -> str:
    """A text without control characters: each is replaced by its escape, such as ``\\x1b``.

    Tabs and line feeds stay, and a carriage return before a line feed goes: output has them.

    :param most: characters of the result at most; of a longer one the end is kept, which of the
        output of a program says most. None keeps all.
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


def plain(value: t.Any) -> str:
    """The text of a value, as Python's own ``str``.

    Up to ansible-core 2.18 ``str()`` of a text from elsewhere is Ansible's own class of texts still.
    """
    return str.__str__(value) if isinstance(value, str) else str(value)


def number(count: int) -> str:
    """A count as people read it: ``12,345``."""
    return f"{count:,}"


def size(count: float | None) -> str:
    """Bytes as people read them: ``512 B``, ``1.5 GiB``, ``20 GiB``; ``unknown`` for None."""
    if count is None:
        return "unknown"
    value, unit = float(count), 0
    # What would be written as 1024.0 is 1.0 of the next unit.
    while value >= 1023.95 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    digits = 0 if unit == 0 or round(value, 1).is_integer() else 1
    return f"{value:,.{digits}f} {_UNITS[unit]}"


def seconds(span: float) -> str:
    """A span of time as people read it: ``0.42 s``, ``3.2 s``, ``90 s``, and ``12 min 5 s`` from
    ten minutes on.
    """
    if span >= 600:
        minutes, rest = divmod(round(span), 60)
        return f"{number(minutes)} min {rest} s" if rest else f"{number(minutes)} min"
    digits = 2 if span < 1 else 1 if span < 10 else 0
    return f"{span:.{digits}f} s"


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
