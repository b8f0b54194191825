# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a guest, in version 1 or 2 of cloud-init's network configuration. Pure.

Version 2 is netplan's, and a guest with netplan gets it as it is. On every other guest cloud-init
takes it apart for its own renderers (``cloudinit/net/network_state.py``), which know less: what
they drop, or stumble over, is warned of.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import ipaddress
import itertools
import re
import typing as t

from .._errors import InvalidOption

# What cloud-init's documentation of version 2 knows, and what netplan has besides.
_DEVICES = ("ethernets", "bonds", "bridges", "vlans")
_MORE_DEVICES = (
    "wifis",
    "modems",
    "tunnels",
    "vrfs",
    "dummy-devices",
    "virtual-ethernets",
    "nm-devices",
)
_TOP = ("version", "renderer", *_DEVICES, *_MORE_DEVICES)

# Of these cloud-init's other renderers know nothing, and make no network at all beside them.
_OF_NETPLAN = tuple(kind for kind in _MORE_DEVICES if kind != "wifis")

_RENDERERS = ("networkd", "NetworkManager")

# Where a device says which others it is made of, and what it must have besides.
_LINKS = {"bonds": "interfaces", "bridges": "interfaces", "vlans": "link"}
_NEEDED = {"bonds": ("interfaces",), "bridges": ("interfaces",), "vlans": ("link", "id")}

# Kinds of devices that are there, and are found by ``match``.
_BY_MATCH = ("ethernets", "wifis", "modems", "nm-devices")

# What a device of version 2 may have: cloud-init's documentation, and netplan's of autumn 2026.
_KEYS = frozenset({
    "renderer", "match", "set-name", "wakeonlan", "emit-lldp", "receive-checksum-offload",
    "transmit-checksum-offload", "tcp-segmentation-offload", "tcp6-segmentation-offload",
    "generic-segmentation-offload", "generic-receive-offload", "large-receive-offload", "openvswitch",
    "dhcp4", "dhcp6", "dhcp4-overrides", "dhcp6-overrides", "dhcp-identifier", "ipv6-mtu", "ipv6-privacy",
    "ipv6-address-generation", "ipv6-address-token", "link-local", "ignore-carrier", "critical", "accept-ra",
    "ra-overrides", "addresses", "gateway4", "gateway6", "nameservers", "macaddress", "mtu", "optional",
    "optional-addresses", "activation-mode", "routes", "routing-policy", "neigh-suppress", "auth",
    "virtual-function-count", "embedded-switch-mode", "delay-virtual-functions-rebind", "infiniband-mode",
    "link", "interfaces", "parameters", "id", "networkmanager",
})  # fmt: skip

# Parameters of bonds and bridges that cloud-init's other renderers take (NET_CONFIG_TO_V2 in its
# network_state.py), and those that netplan has besides.
_PARAMETERS = {
    "bonds": {
        "ad-select", "all-slaves-active", "arp-all-targets", "arp-interval", "arp-validate", "down-delay",
        "fail-over-mac-policy", "gratuitous-arp", "gratuitious-arp", "lacp-rate", "learn-packet-interval", "min-links",
        "mii-monitor-interval", "mode", "packets-per-slave", "primary", "primary-reselect-policy", "transmit-hash-policy",
        "up-delay",
    },
    "bridges": {
        "ageing-time", "forward-delay", "hello-time", "max-age", "path-cost", "port-priority", "priority", "stp",
    },
}  # fmt: skip
_PARAMETERS_OF_NETPLAN = {
    "bonds": {"all-members-active", "arp-ip-targets", "packets-per-member", "resend-igmp"},
    "bridges": {"aging-time"},
}

# The modes of a bond, and those parameters of a bridge that have a value for each interface.
_MODES = (
    "balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb",
    "balance-tcp", "balance-slb",
)  # fmt: skip
_BY_INTERFACE = ("path-cost", "port-priority")

_OVERRIDES = {
    "hostname", "route-metric", "send-hostname", "use-dns", "use-domains", "use-hostname", "use-mtu", "use-ntp", "use-routes",
}  # fmt: skip

# What people write, and what they mean.
_PARAMETERS_INSTEAD = {"miimon": "mii-monitor-interval", "xmit-hash-policy": "transmit-hash-policy"}
_INSTEAD = {
    "gateway": "a route (routes: [{to: 0.0.0.0/0, via: 10.0.0.1}])",
    "address": "addresses, a list with prefixes",
    "ip": "addresses, a list with prefixes",
    "ipaddress": "addresses, a list with prefixes",
    "netmask": "the prefix behind the address, as in 10.0.0.5/24",
    "prefix": "the prefix behind the address, as in 10.0.0.5/24",
    "mac": "match.macaddress",
    "mac_address": "match.macaddress",
    "hwaddr": "match.macaddress",
    "dhcp": "dhcp4: true",
    "dns": "nameservers.addresses",
    "dns_nameservers": "nameservers.addresses",
    "dns_search": "nameservers.search",
    "search": "nameservers.search",
    "name": "set-name, with match.macaddress",
}

# What an entry of version 1 must have, and may have, by its type.
_FIRST_NEEDED: dict[str, tuple[str, ...]] = {
    "physical": ("name",),
    "infiniband": ("name",),
    "loopback": ("name",),
    "bond": ("name", "bond_interfaces", "params"),
    "bridge": ("name", "bridge_interfaces"),
    "vlan": ("name", "vlan_link", "vlan_id"),
    "nameserver": ("address",),
    "route": ("destination",),
}
_FIRST_KEYS = {
    "nameserver": {"type", "address", "search", "interface"},
    "route": {"type", "destination", "netmask", "gateway", "metric"},
    "physical": {
        "type", "name", "mac_address", "mtu", "subnets", "accept-ra", "wakeonlan", "params", "keep_configuration", "id"
    },
}  # fmt: skip
_SUBNETS = (
    "dhcp", "dhcp4", "dhcp6", "static", "static6", "manual", "ipv6_dhcpv6-stateful", "ipv6_dhcpv6-stateless", "ipv6_slaac"
)  # fmt: skip

# What cloud-init takes for on and off in a bridge of version 1.
_STP = (True, False, "on", "off", "1", "0", 1, 0)

_LABEL = re.compile(r"network adapter \d{1,3}", re.IGNORECASE)
_WITH_PREFIX = re.compile(r"[0-9A-Fa-f:.]+/[0-9]{1,3}")
_TWELVE_DIGITS = re.compile(r"[0-9a-f]{12}")


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
    devices = itertools.chain.from_iterable(kind.values() for kind in kinds if isinstance(kind, dict))
    for device in devices:
        if not isinstance(device, dict):
            continue
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
                yield (
                    [subnet.get("address", "")],
                    {6} if str(subnet.get("type")).startswith("static") else {4, 6},
                )


def _without_prefix(text: t.Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_interface(str(text)).ip
    except ValueError:
        return None


def checked(network: t.Mapping[str, t.Any], where: str) -> tuple[dict[str, t.Any], list[str]]:
    """The network as it is delivered, and warnings. One in the form of a netplan file loses its
    outer key.

    MAC addresses are brought to the form that cloud-init compares, and keys without a value are
    left out, of which no guest makes a network.

    :param network: of version 1 or 2.
    :param where: names the VM and the option, for messages.
    :raises InvalidOption: with the path of what is wrong.
    """
    inner = network["network"] if is_netplan_file(network) else network
    if is_disabled(inner):
        return dict(inner), []
    version = inner.get("version", 2)
    if version == 1:
        return _checked_first(_without_nulls(inner), where)
    if version != 2:
        raise _wrong(f"{where}.version", "is neither 2 nor 1")
    return _checked_second({**_without_nulls(inner), "version": 2}, where)


def null_in(network: t.Any) -> str:
    """The path of a key without a value; empty where each has one."""
    if isinstance(network, dict):
        for key, value in network.items():
            below = null_in(value)
            if value is None or below:
                return f".{key}{below}"
    for number, value in enumerate(network) if isinstance(network, list) else ():
        below = null_in(value)
        if below:
            return f"[{number}]{below}"
    return ""


def _without_nulls(value: t.Any, depth: int = 0) -> t.Any:
    """A copy without the keys that have no value. A device without one, below its kind, stays and
    is refused.
    """
    if isinstance(value, dict):
        kept = value.items() if depth == 1 else ((key, item) for key, item in value.items() if item is not None)
        return {key: _without_nulls(item, depth + 1) for key, item in kept}
    if isinstance(value, list):
        return [_without_nulls(item, depth + 1) for item in value]
    return value


def is_disabled(network: t.Mapping[str, t.Any]) -> bool:
    """Whether cloud-init is to leave the network alone, in whatever version (its
    net.is_disabled_cfg).
    """
    return network.get("config") == "disabled"


def is_netplan_file(network: t.Mapping[str, t.Any]) -> bool:
    """Whether all of it is below the key ``network``, as in files of netplan."""
    return set(network) == {"network"} and isinstance(network["network"], dict)


# The cards of a VM


@dataclasses.dataclass(frozen=True)
class Card:
    """A NIC of a VM.

    :ivar label: as the vSphere Client shows it, such as ``Network adapter 1``.
    :ivar mac: in lower case with colons; empty where it has none yet.
    """

    label: str
    mac: str


def names_macs(network: t.Any) -> bool:
    """Whether a checked network finds a card by its MAC address, or by the label that stands for
    it.
    """
    return any(True for _place in _mac_places(network))


def names_labels(network: t.Any) -> bool:
    """Whether a checked network has a label in the place of a MAC address."""
    return any(_LABEL.fullmatch(str(holder[key])) for holder, key, _path in _mac_places(network))


def with_cards(network: t.Mapping[str, t.Any], cards: t.Sequence[Card], where: str) -> tuple[dict[str, t.Any], list[str]]:
    """A checked network with labels of cards replaced by their MAC addresses.

    :param cards: of the VM, in the order of their keys.
    :returns: the network, and a warning for each MAC address that none of the cards has.
    :raises InvalidOption: for a label that no card has, or a card that has no MAC address yet.
    """
    made = copy.deepcopy(dict(network))
    by_label = _by_label(cards)
    known = ", ".join(f"{card.label} ({card.mac or 'no MAC address yet'})" for card in cards) or "none"
    warnings = []
    for holder, key, path in _mac_places(made):
        place, given = f"{where}.{path}", holder[key]
        if not _LABEL.fullmatch(given):
            if _mac(given, place) not in by_label.values():
                warnings.append(
                    f"{place} is {given}, which no card of the VM has, so nothing is configured by it. Its cards: {known}."
                )
            continue
        mac = by_label.get(given.casefold())
        if not mac:
            why = "has no MAC address yet" if given.casefold() in by_label else "is no card of the VM"
            raise InvalidOption(
                f"{place}: {given} {why}.",
                hint=f"Its cards: {known}.",
                option="metadata",
                path=_path_of(place),
            )
        holder[key] = mac
    return made, warnings


def _by_label(cards: t.Sequence[Card]) -> dict[str, str]:
    """The MAC addresses by what a network may call the cards.

    Labels are in the language of the server (API reference, Description). Where none of them is
    such a label, it counts the cards.
    """
    if any(_LABEL.fullmatch(card.label) for card in cards):
        return {card.label.casefold(): card.mac for card in cards}
    return {f"network adapter {number}": card.mac for number, card in enumerate(cards, 1)}


def _mac_places(network: t.Any) -> t.Iterator[tuple[dict[str, t.Any], str, str]]:
    """Where a checked network finds cards by MAC address: mapping, key, and path."""
    if not isinstance(network, dict):
        return
    if network.get("version") == 1:
        entries = network.get("config")
        for number, entry in enumerate(entries if isinstance(entries, list) else ()):
            if entry.get("type") == "physical" and entry.get("mac_address"):
                yield entry, "mac_address", f"config[{number}].mac_address"
        return
    for kind in _BY_MATCH:
        for name, device in (network.get(kind) or {}).items():
            if (device.get("match") or {}).get("macaddress"):
                yield device["match"], "macaddress", f"{kind}.{name}.match.macaddress"


def _mac(value: t.Any, where: str) -> str:
    """A MAC address in the form that cloud-init compares; the label of a card stays as it is."""
    if isinstance(value, str):
        if _LABEL.fullmatch(value.strip()):
            return value.strip()
        digits = re.sub(r"[:.-]", "", value.strip()).lower()
        if _TWELVE_DIGITS.fullmatch(digits):
            return ":".join(digits[place : place + 2] for place in range(0, 12, 2))
    raise _wrong(
        where,
        "is no MAC address. Write it in quotes, as in '00:50:56:01:02:03', or a card's label, Network adapter 1",
    )


# Version 2


def _checked_second(network: dict[str, t.Any], where: str) -> tuple[dict[str, t.Any], list[str]]:
    unknown = sorted(str(key) for key in set(network) - set(_TOP))
    if unknown:
        raise _wrong(f"{where}.{unknown[0]}", f"is unknown; version 2 has {', '.join(_TOP)}")
    if network.get("renderer", "networkd") not in _RENDERERS:
        raise _wrong(f"{where}.renderer", f"is none of {', '.join(_RENDERERS)}")
    warnings: list[str] = []
    for kind in (*_DEVICES, *_MORE_DEVICES):
        devices = network.get(kind)
        if devices is None:
            continue
        if not isinstance(devices, dict):
            raise _wrong(f"{where}.{kind}", "is no mapping of names to devices")
        if kind in _OF_NETPLAN and devices:
            warnings.append(f"{where}.{kind} are for netplan alone; every other guest gets no network at all. Leave them out.")
        for name, device in devices.items():
            warnings += _device(kind, str(name), device, f"{where}.{kind}.{name}")
    return network, warnings + _links(network, where)


def _device(kind: str, name: str, device: t.Any, where: str) -> list[str]:
    if not isinstance(device, dict):
        raise _wrong(where, "is no mapping")
    if re.search(r"[\s/]", name):
        raise _wrong(where, "is no name that an interface can have")
    for needed in _NEEDED.get(kind, ()):
        if needed not in device:
            raise _wrong(where, f"has no {needed}")
    warnings = _unknown_keys(device, where) if kind in _DEVICES else []
    if kind in _PARAMETERS and "parameters" in device:
        warnings += _parameters(kind, device, f"{where}.parameters")
    _check_kinds_of_values(device, where)
    if "macaddress" in device:
        device["macaddress"] = _own_mac(device["macaddress"], f"{where}.macaddress")
    if kind in _BY_MATCH:
        warnings += _match(name, device, where)
    return warnings + _layer_three(device, where)


def _layer_three(device: t.Mapping[str, t.Any], where: str) -> list[str]:
    """What each kind of device may have: addresses, name servers, routes."""
    warnings = _addresses(device.get("addresses"), where)
    for key in ("dhcp4-overrides", "dhcp6-overrides"):
        warnings += _overrides(device.get(key, {}), f"{where}.{key}")
    _nameservers(device.get("nameservers"), where)
    for key, family in (("gateway4", "0.0.0.0/0"), ("gateway6", "::/0")):
        if key in device:
            _check_family(_address(device[key], f"{where}.{key}"), _interface(family), f"{where}.{key}")
            warnings.append(f"{where}.{key} is deprecated in netplan. Write a route to {family} instead.")
    return warnings + _routes(device, where)


def _check_kinds_of_values(device: t.Mapping[str, t.Any], where: str) -> None:
    for key in ("dhcp4", "dhcp6", "optional"):
        if not isinstance(device.get(key, False), bool):
            raise _wrong(f"{where}.{key}", "is neither true nor false")
    for key in ("mtu", "id"):
        value = device.get(key, 0)
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong(f"{where}.{key}", "is no number")
    if not 0 <= device.get("id", 0) <= 4094:
        raise _wrong(f"{where}.id", "is no number of a VLAN, which goes to 4094")
    _list(device.get("link-local"), f"{where}.link-local")


def _unknown_keys(device: t.Mapping[str, t.Any], where: str) -> list[str]:
    """netplan refuses the whole network for a key that it does not know; cloud-init's other
    renderers pass over the key.
    """
    warnings = []
    for key in sorted(str(key) for key in set(device) - _KEYS):
        instead = _INSTEAD.get(key) or next(iter(difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.8)), "")
        if instead:
            raise _wrong(f"{where}.{key}", f"is no key of a device. Write {instead} instead")
        warnings.append(
            f"{where}.{key} is no key that cloud-init's documentation of version 2 or netplan's has: netplan "
            "refuses the whole network for it, others pass over it. Leave it out, unless your netplan has it."
        )
    return warnings


def _overrides(overrides: t.Any, where: str) -> list[str]:
    if not isinstance(overrides, dict):
        raise _wrong(where, "is no mapping")
    return [
        f"{where}.{key} is none of {', '.join(sorted(_OVERRIDES))}: netplan refuses the whole network for it. Leave it out."
        for key in sorted(str(key) for key in set(overrides) - _OVERRIDES)
    ]


def _parameters(kind: str, device: t.Mapping[str, t.Any], where: str) -> list[str]:
    """Of a parameter that they do not know, netplan and cloud-init's other renderers make no
    network at all.
    """
    parameters = device["parameters"]
    if not isinstance(parameters, dict):
        raise _wrong(where, "is no mapping")
    _check_values(parameters, [str(one) for one in _list(device["interfaces"], f"{where}.interfaces")], where)
    known, of_netplan = _PARAMETERS[kind], _PARAMETERS_OF_NETPLAN[kind]
    warnings = []
    for key in sorted(str(key) for key in set(parameters) - known):
        if key in of_netplan:
            warnings.append(f"{where}.{key} is for netplan alone; every other guest gets no network at all. Leave it out.")
            continue
        word = key.replace("_", "-").removeprefix("bond-").removeprefix("bridge-")
        close = difflib.get_close_matches(word, known | of_netplan, n=1, cutoff=0.8)
        instead = _PARAMETERS_INSTEAD.get(word) or next(iter(close), "")
        if instead:
            raise _wrong(f"{where}.{key}", f"is no parameter of {kind}. Write {instead} instead")
        warnings.append(f"{where}.{key} is no parameter that cloud-init knows, and a guest then gets no network at all.")
    return warnings


def _check_values(parameters: t.Mapping[str, t.Any], interfaces: t.Sequence[str], where: str) -> None:
    if parameters.get("mode", _MODES[0]) not in _MODES:
        raise _wrong(f"{where}.mode", f"is none of {', '.join(_MODES)}")
    stp = parameters.get("stp", False)
    if not isinstance(stp, bool) and stp not in ("on", "off"):
        raise _wrong(f"{where}.stp", "is neither true nor false")
    for key in _BY_INTERFACE:
        if not isinstance(parameters.get(key, {}), dict):
            raise _wrong(f"{where}.{key}", "is no mapping of interfaces to numbers")
    named = [("primary", parameters["primary"])] if "primary" in parameters else []
    named += [(key, one) for key in _BY_INTERFACE for one in parameters.get(key, {})]
    for key, one in named:
        if str(one) not in interfaces:
            raise _wrong(f"{where}.{key}", f"names {one}, which is none of the interfaces")


def _match(name: str, device: dict[str, t.Any], where: str) -> list[str]:
    """How a card is found. Outside netplan cloud-init takes a device's name in the
    configuration for its interface's.
    """
    match, new_name = device.get("match"), device.get("set-name")
    if new_name is not None and (not isinstance(new_name, str) or not new_name):
        raise _wrong(f"{where}.set-name", "is no name. Write it in quotes")
    if match is None:
        if new_name is not None:
            raise _wrong(
                f"{where}.set-name",
                "needs match.macaddress, by which cloud-init finds what is to be renamed",
            )
        return []
    if not isinstance(match, dict) or set(match) - {"name", "macaddress", "driver"}:
        raise _wrong(f"{where}.match", "has name, macaddress and driver, and nothing else")
    for key in ("name", "driver"):
        if not isinstance(match.get(key, ""), str if key == "name" else (str, list)):
            raise _wrong(f"{where}.match.{key}", "is no text. Write it in quotes")
    if match.get("macaddress") is not None:
        match["macaddress"] = _mac(match["macaddress"], f"{where}.match.macaddress")
        return []
    if new_name is not None:
        return [
            f"{where}.set-name renames nothing without match.macaddress, and guests without netplan look for an "
            f"interface {new_name}. Add match.macaddress, such as Network adapter 1."
        ]
    if match.get("name") == name:
        return []
    return [
        f"{where}.match is for netplan alone: on every other guest cloud-init configures an interface that is called "
        f"{name}. Add match.macaddress (such as Network adapter 1) and set-name, or call the device by the interface's name."
    ]


def _links(network: t.Mapping[str, t.Any], where: str) -> list[str]:
    """Names of devices that others are made of, which must be in the same network."""
    names = {str(name) for kind in (*_DEVICES, *_MORE_DEVICES) for name in network.get(kind) or {}}
    cards = {str(name): device.get("set-name") for name, device in (network.get("ethernets") or {}).items()}
    renamed = {name: called for name, called in cards.items() if called is not None and called != name}
    warnings = []
    for kind, key in _LINKS.items():
        for name, device in (network.get(kind) or {}).items():
            place = f"{where}.{kind}.{name}.{key}"
            linked = [device[key]] if key == "link" else _list(device[key], place)
            warnings += [
                f"{place} names {one}, which is no device of this network, and netplan refuses all of it. "
                f"Add {one}, under ethernets for example."
                for one in linked
                if str(one) not in names
            ]
            warnings += [
                f"{place} names {one}, whose interface is called {renamed[str(one)]}: guests without netplan look for an "
                f"interface {one}. Call the device {renamed[str(one)]}, as set-name does."
                for one in linked
                if str(one) in renamed
            ]
    return warnings


def _addresses(addresses: t.Any, where: str) -> list[str]:
    warnings = []
    for number, item in enumerate(_list(addresses, f"{where}.addresses")):
        place = f"{where}.addresses[{number}]"
        text = next(iter(item), "") if isinstance(item, dict) else item
        if not _WITH_PREFIX.fullmatch(str(text)) or _interface(text) is None:
            raise _wrong(place, "is no address with its prefix, as in 10.0.0.5/24")
        if isinstance(item, dict):
            warnings.append(
                f"{place} has options, which netplan alone takes; every other guest gets no network at all. Write {text}."
            )
    return warnings


def _nameservers(given: t.Any, where: str) -> None:
    if given is None:
        return
    if not isinstance(given, dict) or set(given) - {"addresses", "search"}:
        raise _wrong(f"{where}.nameservers", "has addresses and search, and nothing else")
    for number, text in enumerate(_list(given.get("addresses"), f"{where}.nameservers.addresses")):
        _address(text, f"{where}.nameservers.addresses[{number}]")
    for number, text in enumerate(_list(given.get("search"), f"{where}.nameservers.search")):
        if not isinstance(text, str):
            raise _wrong(f"{where}.nameservers.search[{number}]", "is no text. Write it in quotes")


def _routes(device: t.Mapping[str, t.Any], where: str) -> list[str]:
    routes = _list(device.get("routes"), f"{where}.routes")
    warnings = []
    for number, route in enumerate(routes):
        warnings += _route(route, f"{where}.routes[{number}]")
    if routes and not (device.get("addresses") or device.get("dhcp4") or device.get("dhcp6")):
        warnings.append(
            f"{where}.routes are for netplan alone, since the device has neither addresses nor dhcp4 nor dhcp6; "
            "every other guest gets none of them. Add one of these."
        )
    return warnings


def _route(route: t.Any, place: str) -> list[str]:
    if not isinstance(route, dict) or "to" not in route:
        raise _wrong(place, "is no mapping with to and via")
    if "gateway" in route:
        raise _wrong(f"{place}.gateway", "is no key of a route. Write via instead")
    warnings = []
    if route["to"] == "default":
        family = "::/0" if ":" in str(route.get("via")) else "0.0.0.0/0"
        warnings.append(
            f"{place}.to is default, which older releases of cloud-init (to 25.1) do not know outside netplan: the guest "
            f"gets no network at all. Write {family}."
        )
    elif (network := _interface(route["to"])) is None:
        raise _wrong(f"{place}.to", "is no network, as in 0.0.0.0/0")
    elif "/" not in route["to"]:
        warnings.append(
            f"{place}.to has no prefix, and guests without netplan take it for a network of /24 or /64. "
            f"Write {network.with_prefixlen}."
        )
    if route.get("via") is not None:
        _check_family(_address(route["via"], f"{place}.via"), _interface(route["to"]), f"{place}.via")
    else:
        warnings.append(f"{place} has no via, and guests without netplan lose the route. Write the gateway's address.")
    lost = sorted(str(key) for key in set(route) - {"to", "via"})
    if lost:
        warnings.append(f"{place} has {', '.join(lost)}, which guests without netplan may not get. Leave it out where you can.")
    return warnings


# Version 1


def _checked_first(network: dict[str, t.Any], where: str) -> tuple[dict[str, t.Any], list[str]]:
    entries = network.get("config")
    if not isinstance(entries, list):
        raise _wrong(f"{where}.config", "is no list of devices, which version 1 has")
    unknown = sorted(str(key) for key in set(network) - {"version", "config"})
    if unknown:
        raise _wrong(
            f"{where}.{unknown[0]}",
            "is unknown; version 1 has config, and version 2 what netplan has",
        )
    warnings: list[str] = []
    for number, entry in enumerate(entries):
        warnings += _entry(entry, f"{where}.config[{number}]")
    known = [entry.get("name") for entry in entries]
    for number, entry in enumerate(entries):
        if "interface" in entry and entry["interface"] not in known:
            raise _wrong(f"{where}.config[{number}].interface", f"names {entry['interface']}, which has no entry of its own")
    return network, warnings


def _entry(entry: t.Any, where: str) -> list[str]:
    if not isinstance(entry, dict):
        raise _wrong(where, "is no mapping")
    kind = entry.get("type")
    if not isinstance(kind, str) or kind not in _FIRST_NEEDED:
        raise _wrong(f"{where}.type", f"is none of {', '.join(_FIRST_NEEDED)}")
    for key in _FIRST_NEEDED[kind]:
        if entry.get(key) in (None, "", []):
            raise _wrong(where, f"has no {key}, which {kind} needs")
    for key in ("name", "vlan_link"):
        if not isinstance(entry.get(key, ""), str):
            raise _wrong(f"{where}.{key}", "is no text. Write it in quotes")
    read = {"nameserver": _first_nameserver, "route": _first_route}.get(kind, _interface_entry)
    return read(entry, where) + [
        f"{where}.{key} is no key of {kind} in version 1, and cloud-init passes over it. Leave it out."
        for key in sorted(str(key) for key in set(entry) - _FIRST_KEYS.get(kind, set(entry)))
    ]


def _first_nameserver(entry: dict[str, t.Any], where: str) -> list[str]:
    for address in entry["address"] if isinstance(entry["address"], list) else [entry["address"]]:
        _address(address, f"{where}.address")
    return []


def _interface_entry(entry: dict[str, t.Any], where: str) -> list[str]:
    kind = entry["type"]
    if entry.get("mac_address") is not None and kind != "infiniband":  # whose addresses are longer
        read = _mac if kind == "physical" else _own_mac
        entry["mac_address"] = read(entry["mac_address"], f"{where}.mac_address")
    params = entry.get("params", {})
    if not isinstance(params, dict):
        raise _wrong(f"{where}.params", "is no mapping")
    if params.get("bridge_stp", False) not in _STP:
        raise _wrong(f"{where}.params.bridge_stp", "is neither on nor off")
    warnings = []
    for number, subnet in enumerate(_list(entry.get("subnets"), f"{where}.subnets")):
        warnings += _subnet(subnet, f"{where}.subnets[{number}]")
    return warnings


def _subnet(subnet: t.Any, where: str) -> list[str]:
    if not isinstance(subnet, dict) or subnet.get("type") not in _SUBNETS:
        raise _wrong(where, f"is no mapping with a type, one of {', '.join(_SUBNETS)}")
    if str(subnet["type"]).startswith("static"):
        if _interface(subnet.get("address")) is None:
            raise _wrong(f"{where}.address", "is no address, as in 10.0.0.5/24")
        if "/" not in str(subnet["address"]) and not subnet.get("netmask"):
            raise _wrong(
                f"{where}.address",
                "has neither a prefix, as in 10.0.0.5/24, nor a netmask beside it",
            )
        _check_netmask(subnet["address"], subnet, where)
    if subnet.get("gateway"):
        _address(subnet["gateway"], f"{where}.gateway")
    servers = subnet.get("dns_nameservers", [])
    for text in servers.split() if isinstance(servers, str) else _list(servers, f"{where}.dns_nameservers"):
        _address(text, f"{where}.dns_nameservers")
    warnings = []
    for number, route in enumerate(_list(subnet.get("routes"), f"{where}.routes")):
        warnings += _first_route(route, f"{where}.routes[{number}]")
    return warnings


def _first_route(route: t.Any, where: str) -> list[str]:
    """A route, which is an entry of its own or one of a subnet."""
    key = next((key for key in ("network", "destination") if isinstance(route, dict) and route.get(key)), None)
    if key is None:
        raise _wrong(where, "is no mapping with network (or destination), netmask and gateway")
    to, place = route[key], f"{where}.{key}"
    warnings = []
    if to == "default":
        warnings.append(
            f"{place} is default, which older releases of cloud-init (to 25.1) do not know: the guest gets no network at all. "
            "Write 0.0.0.0/0 or ::/0."
        )
    elif _interface(to) is None:
        raise _wrong(place, "is no network, as in 10.0.0.0/8")
    elif "/" not in to and not (route.get("netmask") or route.get("prefix")):
        warnings.append(f"{place} has neither a prefix nor a netmask, and cloud-init takes it for a network of /24 or /64.")
    _check_netmask(to, route, where)
    if not str(route.get("metric", 0)).isdigit():
        raise _wrong(f"{where}.metric", "is no number")
    if route.get("gateway"):
        _address(route["gateway"], f"{where}.gateway")
    else:
        warnings.append(f"{where} has no gateway, and some guests then get no network at all. Write it.")
    return warnings


def _check_netmask(address: str, beside: t.Mapping[str, t.Any], where: str) -> None:
    mask = beside.get("netmask")
    if mask and "/" not in address and address != "default" and _interface(f"{address}/{mask}") is None:
        raise _wrong(f"{where}.netmask", "is no netmask, as in 255.255.255.0")


# What both have

_Interface: t.TypeAlias = "ipaddress.IPv4Interface | ipaddress.IPv6Interface"


def _own_mac(value: t.Any, where: str) -> str:
    """A MAC address that an interface is to have, which no label stands for."""
    mac = _mac(value, where)
    if _LABEL.fullmatch(mac):
        raise _wrong(where, "is what the interface is to have, and no card's label")
    return mac


def _interface(text: t.Any) -> _Interface | None:
    """An address with or without its prefix; None for what is none. A number is none, whatever
    Python makes of it.
    """
    if not isinstance(text, str):
        return None
    try:
        return ipaddress.ip_interface(text)
    except ValueError:
        return None


def _list(value: t.Any, where: str) -> list[t.Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise _wrong(where, "is no list")
    return value


def _address(text: t.Any, where: str) -> _Interface:
    found = _interface(text)
    if found is None or "/" in text:
        raise _wrong(where, "is no address")
    return found


def _check_family(gateway: _Interface, network: _Interface | None, where: str) -> None:
    """netplan refuses the whole network for a gateway of the other family."""
    if network is not None and gateway.version != network.version:
        raise _wrong(where, f"is an address of IPv{gateway.version}, and the route one of IPv{network.version}")


def _wrong(where: str, what: str) -> InvalidOption:
    return InvalidOption(f"{where} {what}.", option="metadata", path=_path_of(where))


def _path_of(where: str) -> str:
    """The path of a value, without the VM in whose data it is."""
    return where.rpartition(": ")[2]
