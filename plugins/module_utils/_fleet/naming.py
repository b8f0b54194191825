# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names and addresses of a fleet's VMs. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import typing as t

from .._errors import InvalidOption

# Limit of the API for the name of a VM.
_LONGEST_NAME = 80


class Pattern:
    """What the names of a fleet look like: a run of ``#`` stands for a number of at least as many digits.

    :ivar fleet: what the fleet itself is called: the pattern without its number.
    """

    def __init__(self, text: str) -> None:
        runs = re.findall("#+", text)
        if len(runs) != 1 or "/" in text or not text.strip("#").strip():
            raise InvalidOption(
                f"The option name is {text!r}, which is no pattern of names.",
                hint="Write it with one run of # for the number, such as web-###.",
                option="name",
            )
        self._before, _run, self._after = text.partition(runs[0])
        self._digits = len(runs[0])
        self.fleet = "-".join(part for part in (self._before.strip("-_. "), self._after.strip("-_. ")) if part)
        if len(self.name(1)) > _LONGEST_NAME:
            raise InvalidOption(f"The option name makes names of more than {_LONGEST_NAME} characters.", option="name")

    def name(self, number: int) -> str:
        """The name of the VM with this number."""
        return f"{self._before}{number:0{self._digits}d}{self._after}"

    def number(self, name: str) -> int | None:
        """The number in a name, or None where the name is none of this fleet."""
        found = re.fullmatch(f"{re.escape(self._before)}([0-9]{{{self._digits},}}){re.escape(self._after)}", name)
        number = int(found[1]) if found else 0
        return number if number and self.name(number) == name else None


def parent_name(fleet: str, host_name: str, host: str, version: str) -> str:
    """The name of the parent of one version on one host; the last part makes it the only one of this name.

    :param host: moid of the host.
    """
    short = host_name if re.fullmatch(r"[0-9.]+|.*:.*", host_name) else host_name.partition(".")[0]
    tail = hashlib.sha256(f"{host} {version}".encode()).hexdigest()[:6]
    return f"{f'{fleet}-parent-{short}'[: _LONGEST_NAME - len(tail) - 1]}-{tail}"


def addresses(given: t.Sequence[str], count: int) -> list[str]:
    """The fixed addresses, checked: the n-th belongs to the VM with number n. An empty list means DHCP.

    :raises InvalidOption: for one that is none, one that is there twice, and for too few.
    """
    if not given:
        return []
    seen: set[str] = set()
    for text in given:
        alone = _address(text)
        if alone in seen:
            raise InvalidOption(f"The option addresses names {alone} more than once.", option="addresses")
        seen.add(alone)
    if len(given) < count:
        raise InvalidOption(
            f"The option addresses has {len(given)} addresses for {count} VMs.",
            hint="Give one for each, in the order of their numbers, or none at all for DHCP.",
            option="addresses",
        )
    return list(given)


def is_address(text: str) -> bool:
    """Whether a text is an address with its prefix; the guest that has it may have written anything."""
    try:
        return "/" in text and bool(ipaddress.ip_interface(text))
    except ValueError:
        return False


def address_alone(text: str) -> str:
    """An address without its prefix; what is none stays as it is."""
    try:
        return str(ipaddress.ip_interface(text).ip)
    except ValueError:
        return text


def _address(text: str) -> str:
    try:
        known = ipaddress.ip_interface(text) if "/" in text else None
    except ValueError:
        known = None
    if known is None:
        raise InvalidOption(
            f"The option addresses has {text!r}, which is no address with its prefix.",
            hint="Write each as 10.0.0.11/24.",
            option="addresses",
        )
    return str(known.ip)
