# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a guest, in the version 2 of cloud-init's network configuration, which is netplan's. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

from .._errors import InvalidOption

# What cloud-init's documentation of version 2 knows, and what netplan has besides.
_DEVICES = ("ethernets", "bonds", "bridges", "vlans")
_MORE_DEVICES = ("wifis", "modems", "tunnels", "vrfs", "dummy-devices", "virtual-ethernets", "nm-devices")
_TOP = ("version", "renderer", *_DEVICES, *_MORE_DEVICES)

_NEEDED = {"bonds": "interfaces", "bridges": "interfaces", "vlans": "link"}


@dataclasses.dataclass(frozen=True)
class Fixed:
    """The addresses that a network configuration gives a guest.

    :ivar firm: families (4, 6) in which the guest gets no other address, from DHCP or a router.
    """

    addresses: tuple[str, ...] = ()
    firm: frozenset[int] = frozenset()


NOTHING_FIXED = Fixed()


def fixed(network: t.Any) -> Fixed:
    """What is fixed in a network configuration of version 1 or 2; nothing in what is neither."""
    inner = network.get("network", network) if isinstance(network, dict) else None
    if not isinstance(inner, dict):
        return NOTHING_FIXED
    parts = list(_subnets(inner) if inner.get("version") == 1 else _devices(inner))
    found = [address for texts, _open in parts for text in texts if (address := _without_prefix(text)) is not None]
    open_ = {family for _texts, families in parts for family in families}
    firm = frozenset(address.version for address in found if address.version not in open_)
    return Fixed(tuple(dict.fromkeys(str(address) for address in found)), firm)


_Part = tuple[list[t.Any], set[int]]


def _devices(inner: t.Mapping[str, t.Any]) -> t.Iterator[_Part]:
    """Of each device of version 2 its addresses, and the families in which it may get others."""
    kinds = [inner.get(kind) for kind in (*_DEVICES, *_MORE_DEVICES)]
    for device in (device for kind in kinds if isinstance(kind, dict) for device in kind.values() if isinstance(device, dict)):
        texts = device.get("addresses") if isinstance(device.get("addresses"), list) else []
        # A guest takes what routers announce unless that is switched off.
        by_router = device.get("accept-ra") is not False
        yield (
            [next(iter(text), "") if isinstance(text, dict) else text for text in texts or ()],
            ({4} if device.get("dhcp4") else set()) | ({6} if device.get("dhcp6") or by_router else set()),
        )


def _subnets(inner: t.Mapping[str, t.Any]) -> t.Iterator[_Part]:
    """The same of version 1, where each device has a list of subnets."""
    devices = inner.get("config")
    for device in devices if isinstance(devices, list) else ():
        subnets = device.get("subnets") if isinstance(device, dict) else None
        for subnet in subnets if isinstance(subnets, list) else ():
            if isinstance(subnet, dict):
                yield [subnet.get("address", "")], {6} if str(subnet.get("type")).startswith("static") else {4, 6}


def _without_prefix(text: t.Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_interface(str(text)).ip
    except ValueError:
        return None


def checked(network: t.Mapping[str, t.Any], where: str) -> tuple[dict[str, t.Any], list[str]]:
    """The network as it is delivered, and warnings. One in the form of a netplan file loses its outer key.

    :raises InvalidOption: with the path of what is wrong.
    """
    inner = network["network"] if set(network) == {"network"} and isinstance(network["network"], dict) else network
    version = inner.get("version", 2)
    if version == 1:
        return dict(inner), []
    if version != 2:
        raise _wrong(f"{where}.version", "is neither 2 nor 1")
    unknown = sorted(str(key) for key in set(inner) - set(_TOP))
    if unknown:
        raise _wrong(f"{where}.{unknown[0]}", f"is unknown; version 2 has {', '.join(_TOP)}")
    warnings: list[str] = []
    for kind in (*_DEVICES, *_MORE_DEVICES):
        devices = inner.get(kind)
        if devices is None:
            continue
        if not isinstance(devices, dict):
            raise _wrong(f"{where}.{kind}", "is no mapping of names to devices")
        for name, device in devices.items():
            warnings += _device(kind, device, f"{where}.{kind}.{name}")
    return {**inner, "version": 2}, warnings


def _device(kind: str, device: t.Any, where: str) -> list[str]:
    if not isinstance(device, dict):
        raise _wrong(where, "is no mapping")
    needed = _NEEDED.get(kind)
    if needed and needed not in device:
        raise _wrong(where, f"has no {needed}")
    for key in ("dhcp4", "dhcp6", "optional"):
        if not isinstance(device.get(key, False), bool):
            raise _wrong(f"{where}.{key}", "is neither true nor false")
    _addresses(device.get("addresses"), where)
    _nameservers(device.get("nameservers"), where)
    warnings = []
    for key, family in (("gateway4", "0.0.0.0/0"), ("gateway6", "::/0")):
        if key in device:
            _address(device[key], f"{where}.{key}")
            warnings.append(f"{where}.{key} is deprecated in netplan. Write a route to {family} instead.")
    return warnings + _routes(device.get("routes"), where)


def _addresses(addresses: t.Any, where: str) -> None:
    for number, item in enumerate(_list(addresses, f"{where}.addresses")):
        # netplan takes an address with options, too: a mapping of one key.
        text = next(iter(item), "") if isinstance(item, dict) else item
        try:
            valid = "/" in str(text) and bool(ipaddress.ip_interface(str(text)))
        except ValueError:
            valid = False
        if not valid:
            raise _wrong(f"{where}.addresses[{number}]", "is no address with its prefix, as in 10.0.0.5/24")


def _nameservers(given: t.Any, where: str) -> None:
    if given is None:
        return
    if not isinstance(given, dict) or set(given) - {"addresses", "search"}:
        raise _wrong(f"{where}.nameservers", "has addresses and search, and nothing else")
    for number, text in enumerate(_list(given.get("addresses"), f"{where}.nameservers.addresses")):
        _address(text, f"{where}.nameservers.addresses[{number}]")
    _list(given.get("search"), f"{where}.nameservers.search")


def _routes(routes: t.Any, where: str) -> list[str]:
    warnings = []
    for number, route in enumerate(_list(routes, f"{where}.routes")):
        place = f"{where}.routes[{number}]"
        if not isinstance(route, dict) or "to" not in route:
            raise _wrong(place, "is no mapping with to and via")
        if route["to"] == "default":
            warnings.append(f"{place}.to is default, which older releases of cloud-init do not know. Write 0.0.0.0/0 or ::/0.")
        else:
            try:
                ipaddress.ip_interface(str(route["to"]))
            except ValueError:
                raise _wrong(f"{place}.to", "is no network, as in 0.0.0.0/0") from None
        if "via" in route:
            _address(route["via"], f"{place}.via")
    return warnings


def _list(value: t.Any, where: str) -> list[t.Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _wrong(where, "is no list")
    return value


def _address(text: t.Any, where: str) -> None:
    try:
        ipaddress.ip_address(str(text))
    except ValueError:
        raise _wrong(where, "is no address") from None


def _wrong(where: str, what: str) -> InvalidOption:
    return InvalidOption(f"{where} {what}.", option="metadata", path=where)
