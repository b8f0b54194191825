# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which clone has which fixed address. Pure.

A clone reads its address once, when it wakes, and keeps it for life. So an address that the list gives to somebody else now is
not free as long as that clone is there.
"""

from __future__ import annotations

import typing as t

from .._connector import names
from .._errors import InvalidOption
from .facts import Clone
from .naming import address_alone
from .options import FleetOptions


def handed(options: FleetOptions, number: int, existing: Clone | None) -> str:
    """The address that a clone gets, or has; empty for DHCP."""
    if existing is not None:
        return existing.ipv4
    return options.addresses[number - 1] if options.addresses else ""


def refuse_held(options: FleetOptions, making: t.Iterable[int], staying: t.Iterable[Clone]) -> None:
    """Make sure that no clone gets the address of another one.

    :param making: numbers of the clones that are made, or made anew.
    :param staying: the clones that are not gone by then.
    :raises InvalidOption: naming the addresses.
    """
    held = {address_alone(clone.ipv4): clone for clone in staying if clone.ipv4}
    taken = []
    for number in making if options.addresses else ():
        address = address_alone(options.addresses[number - 1])
        if address in held and held[address].number != number:
            taken.append((options.pattern.name(number), address, held[address].name))
    if taken:
        name, address, holder = taken[0]
        raise InvalidOption(
            f"The option addresses gives {address} to {name}, and {holder} has it.",
            hint=f"A clone keeps the address with which it was made. Give it to {holder}, or remove {holder} first.",
            option="addresses",
            conflicts=[each[1] for each in taken],
        )


def warning(options: FleetOptions, clones: t.Iterable[Clone]) -> str:
    """A word on clones whose address is another than the list's, or empty.

    :param clones: those that stay as they are.
    """
    # Those that were left alone, since their parent is gone, may have numbers above the count, and so none in the list.
    listed = dict(enumerate(options.addresses, start=1))
    found = [clone.name for clone in clones if clone.number in listed and _differs(clone, listed[clone.number])]
    if not found:
        return ""
    return (
        f"{names.listing(found)}: the option addresses has another address now. A clone keeps the one it was made with. "
        "Remove it, and the next run makes it anew with the other one."
    )


def _differs(clone: Clone, wanted: str) -> bool:
    return not clone.ipv4 or address_alone(clone.ipv4) != address_alone(wanted)
