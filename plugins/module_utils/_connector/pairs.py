# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of VMs and pairs of configuration, as options give them and as vSphere takes them. Pure.

Messages name keys, never values, which may be secrets.
"""

from __future__ import annotations

import json
import re
import typing as t

from .._errors import InvalidOption
from . import names

# Limit of the API for the name of a VM.
_LONGEST_NAME = 80

# What XML cannot carry, so that no call could: control characters, and halves of surrogate pairs.
_UNSENDABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_LINE_ENDS = re.compile(r"\r\n?")


def is_sendable(text: str) -> bool:
    """Whether a text has only characters that a call can carry."""
    return not _UNSENDABLE.search(text)


def vm_name(given: t.Any, kind: str) -> str:
    """A name for a new VM, as a person reads it.

    :param kind: of VM (``clone``), for the message.
    :raises InvalidOption: when no VM can have it.
    """
    name = names.unescape(str(given))
    where = f"{kind} {name!r}"
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise InvalidOption(f"{where}: the name must have 1 to {_LONGEST_NAME} characters.", option="name")
    if not is_sendable(name) or set(name) & set("\t\r\n\x7f"):
        raise InvalidOption(f"{where}: the name has a control character.", option="name")
    return name


def pairs(given: t.Any, option: str, where: str) -> list[tuple[str, str]]:
    """A mapping, or its JSON text, with every value as vSphere's text.

    :param where: begins the message (``clone 'web-1'``).
    :raises InvalidOption: naming the option and the key.
    """
    if given in (None, ""):
        return []
    try:
        mapping = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        mapping = None
    if not isinstance(mapping, dict):
        raise InvalidOption(f"{where}: {option} is not a mapping of keys to values.", option=option)
    return [(_key(str(key), option, where), _text(value, f"{where}: {option}.{key}", option)) for key, value in mapping.items()]


def _key(key: str, option: str, where: str) -> str:
    if not key.strip() or not is_sendable(key):
        raise InvalidOption(f"{where}: {option} has a key that is empty or has a control character.", option=option)
    return key


def _text(value: t.Any, where: str, option: str) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if not isinstance(value, (str, int, float)):
        raise InvalidOption(
            f"{where} is neither text, number nor boolean.",
            hint="Pass a mapping or list through the filter to_json.",
            option=option,
        )
    if not is_sendable(str(value)):
        raise InvalidOption(
            f"{where} has a character that vSphere's interface cannot carry, such as a control character.",
            hint="Pass binary data through the filter b64encode.",
            option=option,
        )
    # On its way any line end becomes a line feed (XML 1.0, section 2.11). Without this the next run would see a difference.
    return _LINE_ENDS.sub("\n", str(value))
