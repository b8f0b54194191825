# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of virtual hardware, such as ``vmx-19``: how they are written, and which release has which."""

from __future__ import annotations

import re
import typing as t

from .._connector import versions
from .._errors import InvalidOption, NotSupported

if t.TYPE_CHECKING:
    from .._connector.session import Session

HOW_TO_WRITE_IT = "Write it as vmx-19."

_OPTION = "hardware_version"
_WRITTEN = re.compile(r"vmx-(0[1-9]|[1-9][0-9]?)")

# The newest that hosts of a release have, with the version of the API that has it first
# (VMware's KB 1003746). Of releases after 8.0 nothing is known here.
_NEWEST = (
    ("8.0.2.0", 21),
    ("8.0.0.0", 20),
    ("7.0.2.0", 19),
    ("7.0.1.0", 18),
    ("7.0.0.0", 17),
    ("6.7.2", 15),
    ("6.7", 14),
    ("6.5", 13),
    ("6.0", 11),
)
_NOT_KNOWN = "8.1"


def number_of(text: str) -> int:
    """The number of a version such as ``vmx-19``; 0 where it is none."""
    found = _WRITTEN.fullmatch(text)
    return int(found[1]) if found else 0


def from_option(text: str) -> int:
    """The number of the version that the option ``hardware_version`` names; 0 where it is not set.

    :raises InvalidOption: it is written in another way.
    """
    number = number_of(text)
    if text and not number:
        raise InvalidOption(f"The option {_OPTION} is {text!r}.", hint=HOW_TO_WRITE_IT, option=_OPTION)
    return number


def newest(api_version: str) -> int:
    """The newest that hosts of a vCenter of this version can have; 0 where it is not known."""
    if versions.at_least(api_version, _NOT_KNOWN):
        return 0
    return next((number for since, number in _NEWEST if versions.at_least(api_version, since)), 0)


def require(session: Session, number: int) -> None:
    """Make sure that this vCenter has hosts that may have virtual hardware of this version. A host
    can be older than its vCenter: that vCenter says then.

    :param number: 0 where none is asked for.
    :raises NotSupported: it is newer than the vCenter.
    """
    version = session.about.get("apiVersion", "")
    most = newest(version)
    if most and number > most:
        raise NotSupported(
            f"{session.options.endpoint} has no virtual hardware vmx-{number}: its API version is {version}.",
            hint=f"Set {_OPTION} to vmx-{most} or an older one.",
            api_version=version,
            option=_OPTION,
        )
