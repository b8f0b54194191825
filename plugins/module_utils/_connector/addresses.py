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


def usable(addresses: t.Iterable[str], family: str = "any") -> list[str]:
    """The addresses that another machine can reach, in the order given.

    Link-local, loopback, unspecified and multicast ones are left out, and so is what is not an address.

    :param family: ``ipv4``, ``ipv6`` or ``any``.
    """
    versions = {"ipv4": (4,), "ipv6": (6,)}.get(family, (4, 6))
    found: list[str] = []
    for text in addresses:
        try:
            address = ipaddress.ip_address(text.split("%")[0])
        except ValueError:
            continue
        unreachable = address.is_link_local or address.is_loopback or address.is_unspecified or address.is_multicast
        if address.version in versions and not unreachable:
            found.append(str(address))
    return found


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
