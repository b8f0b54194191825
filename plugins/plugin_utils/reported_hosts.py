# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VMs become hosts of the inventory, by which address, and with which keys. Pure.

What comes in are entries of results, in which a module has judged what the guests of one task
report. Here they are held against what that task could not know: the other hosts of the
inventory, and the file of known hosts.
"""

from __future__ import annotations

import collections
import dataclasses
import re
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit import hostkeys
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.addresses import (
    ADDRESS_REFUSED,
    HOST_KEY_REFUSED,
    parsed,
    reachable,
    shown,
    without_prefix,
)
from ansible_collections.vforge.vsphere.plugins.plugin_utils import host_names, known_hosts

NAME_REFUSED = "host_name_refused"

_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Inventory(t.Protocol):
    """What is known of the inventory."""

    def holders(self, address: str) -> list[str]:
        """Names of the hosts that have an address."""

    @property
    def groups(self) -> t.Collection[str]:
        """Names of the groups."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What the user says.

    :ivar addresses: by the name of a VM its address, with or without prefix.
    :ivar replace: whether what known_hosts holds for others gives way.
    """

    addresses: t.Mapping[str, t.Any]
    replace: bool


@dataclasses.dataclass
class Found:
    """The hosts, and what was refused: entries with ``name``, ``error_code`` and ``msg``."""

    guests: list[known_hosts.Guest] = dataclasses.field(default_factory=list)
    refused: list[dict[str, str]] = dataclasses.field(default_factory=list)

    def refuse(self, name: str, code: str, why: str) -> None:
        """Leave a VM out."""
        self.refused.append({"name": name, "error_code": code, "msg": why})

    def as_result(self) -> list[dict[str, str]]:
        """The hosts for the result."""
        return [{"name": guest.name, "address": guest.address} for guest in self.guests]

    def write_down(self, text: str, options: Options) -> str:
        """The text of the file with their keys; those whose address it holds for others are
        refused.

        A VM whose keys were refused is none of the hosts any more, since nobody could know that it
        is the one that answers.
        """
        bad = {entry["name"] for entry in self.refused if entry["error_code"] == HOST_KEY_REFUSED}
        self.guests = [guest for guest in self.guests if guest.name not in bad]
        settled = known_hosts.settle(text, self.guests, replace=options.replace)
        for number, why in settled.refused.items():
            guest = self.guests[number]
            self.refuse(
                guest.name,
                ADDRESS_REFUSED,
                f"{guest.name} reports the address {guest.address}, which known_hosts holds {why}. "
                "Remove these lines, or set replace_host_keys, if it is the VM's now.",
            )
        self.guests = [guest for number, guest in enumerate(self.guests) if number not in settled.refused]
        return settled.text


class _Claims:
    """What the VMs of a task claim, all of them, before any is believed: so their order decides
    nothing.
    """

    def __init__(self) -> None:
        self._by_address: dict[str, list[tuple[str, str]]] = {}
        self._by_name: dict[str, set[str]] = {}

    def add(self, name: str, uuid: str, address: str) -> bool:
        """Note what a VM claims; False when that is known."""
        claimants = self._by_address.setdefault(address, [])
        if (name, uuid) in claimants:
            return False
        claimants.append((name, uuid))
        self._by_name.setdefault(name, set()).add(uuid)
        return True

    def others(self, name: str, address: str) -> list[str]:
        """Names of the other VMs that claim an address."""
        return [other for other, _uuid in self._by_address[address] if other != name]

    def same_name(self, name: str) -> bool:
        """Whether several VMs have a name."""
        return len(self._by_name[name]) > 1


class _Given:
    """The addresses that the user gave.

    :ivar of: by the name of a VM.
    :ivar holders: the names of the VMs that were given an address, by it.
    """

    def __init__(self, of: t.Mapping[str, str]) -> None:
        self.of = of
        self.holders: dict[str, list[str]] = {}
        for name, address in of.items():
            self.holders.setdefault(address, []).append(name)


def judge(vms: t.Sequence[t.Mapping[str, t.Any]], options: Options, inventory: Inventory) -> Found:
    """Make hosts of the entries of a result.

    :raises InvalidOption: for an address that the user gave and that is none.
    """
    found = Found()
    given = _Given({str(name): _address_of(name, text) for name, text in options.addresses.items() if text})
    claims = _Claims()
    reports = []
    for entry in vms:
        name, uuid = (str(entry.get(key) or "") for key in ("name", "instance_uuid"))
        for refusal in entry.get("refused") or ():
            found.refuse(name, str(refusal.get("error_code")), str(refusal.get("msg")))
        reported = [str(entry[key]) for key in ("ip", "local_ipv4", "local_ipv6") if entry.get(key)]
        if not reported:
            continue
        address = given.of[name] if given.of.get(name) in reported else reported[0]
        # A VM may stand in the results of several tasks.
        if claims.add(name, uuid, address):
            reports.append((entry, known_hosts.Guest(name, uuid, address, given.of.get(name) == address, ())))
    for entry, guest in reports:
        code, why = _objection(guest, given, claims, inventory)
        if code:
            found.refuse(guest.name, code, why)
            continue
        try:
            keys = tuple(hostkeys.parse(",".join(str(key) for key in entry.get("ssh_host_keys") or ())))
        except hostkeys.NoHostKey as refusal:
            keys = ()
            found.refuse(guest.name, HOST_KEY_REFUSED, f"{guest.name} {refusal}.")
        found.guests.append(dataclasses.replace(guest, keys=keys))
    return found


def arguments(host: t.Mapping[str, str], groups: t.Sequence[str], variables: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What ``add_host`` takes for a host, as one mapping.

    :param host: with ``name`` and ``address``.
    """
    return {**variables, "name": host["name"], "groups": list(groups), "ansible_host": host["address"]}


def difference(path: str, before: str, after: str) -> dict[str, str]:
    """The lines of the file that change, as Ansible's diff."""
    old, new = before.splitlines(), after.splitlines()
    return {
        "before_header": path,
        "after_header": path,
        "before": _beyond(old, new),
        "after": _beyond(new, old),
    }


def _beyond(lines: t.Sequence[str], others: t.Iterable[str]) -> str:
    """The lines that others do not have, or not as often, in their order."""
    left, found = collections.Counter(others), []
    for line in lines:
        if left[line]:
            left[line] -= 1
        else:
            found.append(f"{line}\n")
    return "".join(found)


def _objection(guest: known_hosts.Guest, given: _Given, claims: _Claims, inventory: Inventory) -> tuple[str, str]:
    """Code and sentence of why a VM is no host, or empty ones."""
    name, address = guest.name, guest.address
    why = host_names.objection(name)
    if not why and name in inventory.groups:
        why = "is that of a group of the inventory"
    if not why and claims.same_name(name):
        why = "is that of another VM of this task"
    if why:
        return NAME_REFUSED, f"The VM {shown(name)} is no host of the inventory: its name {why}."
    known = parsed(address)
    if known is None or (not reachable(known) and not guest.given):
        return ADDRESS_REFUSED, f"{name} reports {shown(address)}, which is no address that another machine can reach it by."
    if given.of.get(name, address) != address:
        return ADDRESS_REFUSED, f"{name} reports the address {address}, and the user gave it {given.of[name]}."
    if name in given.of:
        return "", ""
    others = [*given.holders.get(address, ()), *(host for host in inventory.holders(address) if not _is_host_of(host, name))]
    if others:
        return ADDRESS_REFUSED, f"{name} reports the address {address}, which is that of {', '.join(others[:3])}."
    others = claims.others(name, address)
    if others:
        return (
            ADDRESS_REFUSED,
            f"{name} reports the address {address}, and so does {', '.join(others[:3])}: nobody can know whose it is.",
        )
    return "", ""


def _is_host_of(host: str, name: str) -> bool:
    """Whether a host of the inventory is this VM, by its name; inventories add a domain or a UUID
    to it.
    """
    host, name = host.casefold(), name.casefold()
    if host == name or host.startswith(f"{name}."):
        return True
    return host.startswith(f"{name}_") and bool(_UUID.fullmatch(host, len(name) + 1))


def _address_of(name: object, text: object) -> str:
    known = parsed(without_prefix(str(text)))
    if known is None:
        raise InvalidOption(f"addresses: {shown(str(text))} of {name} is no address.", option="addresses")
    return str(known)
