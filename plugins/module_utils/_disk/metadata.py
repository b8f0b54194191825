# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk database of a VMDK: the entries ``ddb.*`` of its descriptor. Pure: bytes in, bytes out.

Only a descriptor that is a text file of its own is changed. In a sparse VMDK the descriptor has a
place of fixed size amid binary tables, which is not ours to write.
"""

from __future__ import annotations

import re
import typing as t

from .._errors import InvalidOption, VforgeError
from .._vsphere import vmdk

_TEXT = b"# Disk DescriptorFile"
_PREFIX = "ddb."
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]*")
_ENTRY = re.compile(rb"\s*ddb\.([A-Za-z0-9_.]+)\s*=.*", re.IGNORECASE | re.DOTALL)
_MOST_VALUE = 1024

# What these say is true of the extents or of the content; another value would make it wrong.
_OF_THE_DISK = re.compile(r"geometry\..*|longcontentid|thinprovisioned", re.IGNORECASE)


class NotWritable(VforgeError):
    """The disk database of this disk cannot be changed."""

    error_code = "metadata_not_writable"


def wanted(given: t.Mapping[str, t.Any]) -> dict[str, str]:
    """The entries that are asked for, by name without ``ddb.``; an empty value removes one.

    :raises InvalidOption: a name or a value cannot be in a descriptor, or is not to be changed.
    """
    found: dict[str, str] = {}
    for key, value in given.items():
        name = str(key).removeprefix(_PREFIX)
        if not _NAME.fullmatch(name) or name.casefold() in map(str.casefold, found):
            raise InvalidOption(
                f"metadata has the name {key!r}, which is no name of an entry, or is there twice.",
                hint="A name has letters, digits, dots and underscores. Upper and lower case are the same.",
                option="metadata",
            )
        if _OF_THE_DISK.fullmatch(name):
            raise InvalidOption(
                f"metadata has {key}, which describes the disk itself and is not changed.",
                hint="Leave it out.",
                option="metadata",
            )
        found[name] = _value(name, value)
    return found


def _value(name: str, value: t.Any) -> str:
    text = str(value)
    plain = text.isascii() and text.isprintable() and '"' not in text and len(text) <= _MOST_VALUE
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not plain:
        raise InvalidOption(
            f"The value of {name} in metadata cannot be in a descriptor.",
            hint=f"It is a text or a number, of at most {_MOST_VALUE} printable ASCII characters, without quotation marks.",
            option="metadata",
        )
    return text


def entries(text: vmdk.Descriptor) -> dict[str, str]:
    """All entries of a descriptor, by their names in lower case, without ``ddb.``."""
    pairs = sorted(text.values.items())
    return {key.removeprefix(_PREFIX): value for key, value in pairs if key.startswith(_PREFIX)}


def differences(before: t.Mapping[str, str], after: t.Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Lines for the diff, before and after: one for each entry that changes.

    :param before: as ``entries`` returns them.
    """
    keys = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    return [_shown(key, before) for key in keys], [_shown(key, after) for key in keys]


def _shown(key: str, known: t.Mapping[str, str]) -> str:
    return f'  {key}: "{known[key]}"\n' if key in known else f"  {key}: not there\n"


def check(data: bytes, label: str) -> None:
    """Make sure that a file is a descriptor of its own.

    :param data: its first bytes, one more than a descriptor may have.
    :raises NotWritable: it is not.
    """
    if data.startswith(_TEXT) and len(data) <= vmdk.MOST_DESCRIPTOR and b"\0" not in data.rstrip(b"\0"):
        return
    kind = "a sparse VMDK, whose descriptor is inside of it" if vmdk.header_of(data) else vmdk.kind_of_bytes(data)
    if data.startswith(_TEXT):
        kind = "a descriptor with more than text in it"
    raise NotWritable(
        f"{label} is {kind or 'no descriptor of a VMDK'}: no metadata can be written to it.",
        hint="Convert it with subformat monolithicFlat, which has its descriptor in a file of its own.",
    )


def changed(data: bytes, asked: t.Mapping[str, str]) -> bytes:
    """A descriptor with these entries; all else stays, byte by byte.

    qemu-img fills the last sector of a descriptor up with zeros, and readers take the first zero
    for the end. So what is added goes before them, and the sector is filled up again.

    :param data: what ``check`` has accepted.
    :param asked: as ``wanted`` returns it.
    """
    left = {name.casefold(): (name, value) for name, value in asked.items()}
    known: set[str] = set()
    lines: list[bytes] = []
    text = data.rstrip(b"\0")
    end = b"\r\n" if b"\r\n" in text else b"\n"
    for line in text.splitlines(keepends=True):
        found = _ENTRY.fullmatch(line)
        key = found[1].decode("ascii").casefold() if found else ""
        if key not in left:
            lines.append(line)
            continue
        # Of a name that is there twice the first is what counts for readers, so one is enough.
        if found and key not in known and left[key][1]:
            lines.append(_line(found[1].decode("ascii"), left[key][1], end))
        known.add(key)
    added = [_line(name, value, end) for key, (name, value) in left.items() if value and key not in known]
    if added and lines and not lines[-1].endswith(b"\n"):
        lines[-1] += end
    whole = b"".join(lines + added)
    filled = -(-len(whole) // vmdk.SECTOR) * vmdk.SECTOR
    return whole.ljust(filled, b"\0") if len(text) < len(data) else whole


def _line(name: str, value: str, end: bytes) -> bytes:
    return f'{_PREFIX}{name} = "{value}"'.encode("ascii") + end
