# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and paths of the inventory: escaping, splitting, the nearest names. Pure.

vCenter keeps ``/``, ``\\`` and ``%`` in entity names as ``%2f``, ``%5c`` and ``%25`` (API
reference, ``ManagedEntity.name``). Users write either form; these functions make both one.
"""

from __future__ import annotations

import heapq
import re
import typing as t

if t.TYPE_CHECKING:
    from difflib import SequenceMatcher

# What XML cannot carry, so that no call could: control characters, and halves of surrogate pairs.
_UNSENDABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

# How much of two names is to be the same, from 0 to 1, for one to be meant by the other.
_ALIKE = 0.5

_ESCAPES = {"/": "%2f", "\\": "%5c", "%": "%25"}
_UNESCAPES = {"%2f": "/", "%5c": "\\", "%25": "%"}


def is_sendable(text: str) -> bool:
    """Whether a text has only characters that a call can carry."""
    return not _UNSENDABLE.search(text)


def unescape(name: str) -> str:
    """The name as a person reads it: ``web%2f1`` becomes ``web/1``."""
    return re.sub(r"%(?:2f|5c|25)", lambda match: _UNESCAPES[match.group().lower()], name, flags=re.IGNORECASE)


def escape(name: str) -> str:
    """The name as vCenter keeps it, of the name as a person reads it: ``web/1`` becomes
    ``web%2f1``.
    """
    return re.sub(r"[/\\%]", lambda match: _ESCAPES[match.group()], name)


def same(left: str, right: str) -> bool:
    """Whether two spellings mean the same entity name."""
    return unescape(left) == unescape(right)


def means(text: str, name: str, path: str) -> bool:
    """Whether a text means the object that has a name and an inventory path: it is the one or the
    other, in any spelling.
    """
    return same(text, name) or split(text) == split(path)


def split(path: str) -> list[str]:
    """The unescaped parts of an inventory path; empty parts are dropped.

    A slash inside a name is written ``%2f`` in a path.
    """
    return [unescape(part) for part in path.split("/") if part]


def join(parts: t.Iterable[str]) -> str:
    """An absolute inventory path of unescaped parts: ``["DC", "vm", "a/b"]`` becomes
    ``/DC/vm/a%2fb``.
    """
    return "/" + "/".join(escape(part) for part in parts)


def nearest(wanted: str, known: t.Iterable[str], count: int = 3) -> list[str]:
    """Up to ``count`` of ``known`` that look most like ``wanted``, the best first.

    Case does not matter.

    Those that differ in leading zeros alone come before all others: ``server-00001`` is meant by
    ``server-0001``, and it has no more letters in common with it than ``server-00019``. Of names
    that look alike as much, they come as people sort them.
    """
    # Only an error looks for names that are alike.
    import difflib

    matcher = difflib.SequenceMatcher()
    matcher.set_seq2(wanted.casefold())
    ranked: list[tuple[bool, float, list[tuple[int, str]], str]] = []
    own = natural(wanted)
    for name in known:
        matcher.set_seq1(name.casefold())
        key = natural(name)
        if key == own or _looks_like(matcher):
            ranked.append((key != own, -matcher.ratio(), key, name))
    return [name for *_rank, name in heapq.nsmallest(count, ranked)]


def _looks_like(matcher: SequenceMatcher[str]) -> bool:
    # The cheap bounds first: most names of an inventory are out by them.
    return all(ratio() >= _ALIKE for ratio in (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio))


def nearest_first(wanted: str, known: t.Sequence[str]) -> list[str]:
    """All of ``known``, those that look most like ``wanted`` before the others."""
    near = nearest(wanted, known)
    return [*near, *(name for name in known if name not in near)]


def shown(name: str) -> str:
    """A name in a message: in quotes where it begins or ends with a blank, which nobody would see."""
    return repr(name) if name != name.strip() else name


def blanks(what: str, name: str) -> str:
    """The sentence that says of a name that a blank is at its end; empty where none is.

    :param what: it is (``name``).
    """
    ends = (("begins", name != name.lstrip()), ("ends", name != name.rstrip()))
    where = " and ".join(verb for verb, blank in ends if blank)
    return f"The {what} {where} with a blank." if where else ""


def listing(names: t.Sequence[str], most: int = 10) -> str:
    """The names in one line for a message, cut after ``most``."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts names as people do: ``esx2`` before ``esx10``."""
    return [(int(part), "") if part.isdigit() else (-1, part.casefold()) for part in re.split(r"([0-9]+)", name)]
