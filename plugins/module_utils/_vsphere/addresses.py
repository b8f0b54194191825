# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of a guest's addresses count. Pure: works on plain values, as read from ``guest.net``."""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t


@dataclasses.dataclass(frozen=True)
class GuestNic:
    """A NIC as the guest reports it.

    :ivar key: key of the virtual device, or None where the guest names none.
    :ivar mac: lower-case, with colons.
    :ivar addresses: as reported, without prefix lengths.
    """

    key: int | None
    mac: str
    addresses: tuple[str, ...]


Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]  # noqa: UP007 (evaluated where modules run)

# Longer than any address is.
_LONGEST = 45

_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")


def parsed(text: str) -> Address | None:
    """The address that a text is, or None: no name, no prefix, no zone, nothing before or behind it."""
    if len(text) > _LONGEST or not text.isascii() or "%" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def reachable(address: Address) -> bool:
    """Whether an address is of the kind that one machine reaches another by.

    An IPv4 address within an IPv6 one is another spelling, by which it would not be known again; it lies in the reserved range.
    """
    odd = address.is_link_local or address.is_loopback or address.is_unspecified or address.is_multicast or address.is_reserved
    return not odd and not (address.version == 4 and address in _THIS_NETWORK)


def usable(addresses: t.Iterable[str], family: str = "any") -> list[str]:
    """The addresses that another machine can reach, in the order given, each in its one canonical spelling.

    Link-local, loopback, unspecified, multicast and reserved ones are left out, and so is what is not an address.

    :param family: ``ipv4``, ``ipv6`` or ``any``.
    """
    versions = {"ipv4": (4,), "ipv6": (6,)}.get(family, (4, 6))
    known = (parsed(text) for text in addresses)
    found = (address for address in known if address is not None and address.version in versions and reachable(address))
    return [str(address) for address in found]


def guest_nics(net: t.Iterable[t.Any]) -> list[GuestNic]:
    """``guest.net`` as plain values. ``deviceConfigId`` is -1 for an interface that is no virtual NIC of the VM."""
    return [
        GuestNic(
            key=nic.deviceConfigId if nic.deviceConfigId >= 0 else None,
            mac=(nic.macAddress or "").lower(),
            addresses=tuple(nic.ipAddress or ()),
        )
        for nic in net
    ]
