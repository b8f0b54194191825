# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the addresses that guests report are used.

Pure: works on plain values, as read from ``guest.net``.

Whoever has root in a guest decides what it reports, through guestinfo and through VMware Tools
alike. What the user says of a VM comes first, then what nothing else contradicts; what does not fit
is refused for that VM alone.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
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


# The same few texts are asked about for each of hundreds of clones, several times.
@functools.lru_cache(maxsize=4096)
def parsed(text: str) -> Address | None:
    """The address that a text is, or None: no name, no prefix, no zone, nothing before or behind
    it.
    """
    if len(text) > _LONGEST or not text.isascii() or "%" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def reachable(address: Address) -> bool:
    """Whether an address is of the kind that one machine reaches another by.

    An IPv4 address within an IPv6 one is another spelling, by which it would not be known again; it
    lies in the reserved range.
    """
    odd = address.is_link_local or address.is_loopback or address.is_unspecified or address.is_multicast or address.is_reserved
    return not odd and not (address.version == 4 and address in _THIS_NETWORK)


def usable(addresses: t.Iterable[str], family: str = "any") -> list[str]:
    """The addresses that another machine can reach, in the order given, each in its one canonical
    spelling.

    Link-local, loopback, unspecified, multicast and reserved ones are left out, and so is what is
    not an address.

    :param family: ``ipv4``, ``ipv6`` or ``any``.
    """
    versions = {"ipv4": (4,), "ipv6": (6,)}.get(family, (4, 6))
    known = (parsed(text) for text in addresses)
    found = (address for address in known if address is not None and address.version in versions and reachable(address))
    return [str(address) for address in found]


def guest_nics(net: t.Iterable[t.Any]) -> list[GuestNic]:
    """``guest.net`` as plain values.

    ``deviceConfigId`` is -1 for an interface that is no virtual NIC of the VM.
    """
    return [
        GuestNic(
            key=nic.deviceConfigId if nic.deviceConfigId >= 0 else None,
            mac=(nic.macAddress or "").lower(),
            addresses=tuple(nic.ipAddress or ()),
        )
        for nic in net
    ]


ADDRESS_REFUSED, HOST_KEY_REFUSED = "reported_address_refused", "host_key_refused"

_SHOWN = 60

# One for each of hundreds of VMs would hide everything else.
_WARNINGS = 10


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why something that a guest reports is not used.

    :ivar code: ``reported_address_refused`` or ``host_key_refused``.
    :ivar text: one sentence, which names the VM.
    """

    code: str
    text: str

    def as_result(self) -> dict[str, str]:
        """As results show it."""
        return {"error_code": self.code, "msg": self.text}


@dataclasses.dataclass(frozen=True)
class ReportedAddresses:
    """What is said of the addresses of one VM.

    :ivar name: what messages call the VM.
    :ivar reported: by its guest, through guestinfo, as they came.
    :ivar given: that the user gave it.
    :ivar firm: families (4, 6) in which it has what the user gave it and nothing else.
    :ivar tools: that VMware Tools report for the VM's own cards.
    """

    name: str
    reported: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    firm: frozenset[int] = frozenset()
    tools: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class UsedAddresses:
    """Which of one VM's addresses are used.

    :ivar addresses: in the order in which they were reported, in their canonical spelling.
    """

    addresses: tuple[str, ...]
    refusals: tuple[Refusal, ...]


def vet(reports: t.Sequence[ReportedAddresses]) -> list[UsedAddresses]:
    """Judge what the VMs of one task say, each beside all of the others.

    An address that the user gave a VM is that VM's. Any other one has to be reachable, to be
    reported by VMware Tools for a card of this VM as well, and to be claimed by no other VM: of two
    that claim one address nobody can say which one lies, so neither gets it.
    """
    givers: dict[Address, list[str]] = collections.defaultdict(list)
    claimers: dict[Address, list[str]] = collections.defaultdict(list)
    for number, report in enumerate(reports):
        for address in _known(report.given):
            givers[address].append(f"{number} {report.name}")
        for address in _known((*report.reported, *report.tools)):
            claimers[address].append(f"{number} {report.name}")
    all_used = []
    for number, report in enumerate(reports):
        me = f"{number} {report.name}"
        taken, refusals = [], []
        for text in dict.fromkeys(report.reported):
            why = _objection(report, text, _others(givers, text, me), _others(claimers, text, me))
            if why:
                refusals.append(
                    Refusal(
                        ADDRESS_REFUSED,
                        f"{report.name} reports the address {shown(text)}, which {why}.",
                    )
                )
            else:
                taken.append(str(parsed(text)))
        all_used.append(UsedAddresses(tuple(taken), tuple(refusals)))
    return all_used


def unconfirmed(report: ReportedAddresses) -> bool:
    """Whether an address is reported that would be used if only VMware Tools reported it as well,
    which they may do later.
    """
    reported, tools, given = _known(report.reported), set(_known(report.tools)), set(_known(report.given))
    return any(reachable(one) and one.version not in report.firm and one not in given | tools for one in reported)


def refusals(entries: t.Iterable[t.Mapping[str, t.Any]]) -> list[dict[str, str]]:
    """What was refused of all VMs of a task, for the end of its result.

    :param entries: each with its ``name``, and what was ``refused`` of it.
    """
    return [{"name": entry["name"], **refusal} for entry in entries for refusal in entry.get("refused", ())]


def warn(say: t.Callable[[str], None], refused: t.Sequence[t.Mapping[str, str]]) -> None:
    """Warn of what was refused, of each by itself as long as there are few."""
    for refusal in refused[:_WARNINGS]:
        say(f"{refusal['msg']} It is left out of the result.")
    if len(refused) > _WARNINGS:
        say(f"{len(refused) - _WARNINGS} more reports of guests were refused; refusals in the result has them.")


def without_prefix(text: str) -> str:
    """An address as a user writes it, without its prefix; a text that is none stays as it is."""
    return text.partition("/")[0].strip()


def shown(text: str) -> str:
    """A text from outside for a message: in quotes, on one line, without control characters, cut
    where it is long.
    """
    return repr(plain(text, _SHOWN))


def plain(text: str, most: int = 1000) -> str:
    """A text from outside on one line, without control characters, cut where it is longer than
    ``most`` characters.
    """
    kept = "".join(letter if letter.isprintable() else "?" for letter in text[:most])
    return f"{kept}..." if len(text) > most else kept


def _objection(report: ReportedAddresses, text: str, givers: list[str], claimers: list[str]) -> str:
    """What speaks against an address, or empty.

    :param givers: other VMs that the user gave it to.
    :param claimers: other VMs that say it is theirs.
    """
    address = parsed(text)
    if address is None:
        return "is none"
    if givers:
        return f"the user gave to {_listed(givers)}"
    if address in _known(report.given):
        return ""
    if not reachable(address):
        return "no other machine can reach it by"
    if address.version in report.firm:
        same = (str(one) for one in _known(report.given) if one.version == address.version)
        return f"is not the one that the user gave it, {' or '.join(same)}"
    if address not in _known(report.tools):
        return "VMware Tools do not report for its own network cards. Give it an address, or look into the guest"
    if claimers:
        return f"{_listed(claimers)} reports as well. Give each its address, or look into both guests"
    return ""


def _known(texts: t.Iterable[str]) -> tuple[Address, ...]:
    addresses = (parsed(text) for text in texts)
    return tuple(dict.fromkeys(address for address in addresses if address is not None))


def _others(by_address: t.Mapping[Address, list[str]], text: str, me: str) -> list[str]:
    address = parsed(text)
    return [] if address is None else [name for name in by_address.get(address, ()) if name != me]


def _listed(numbered: list[str]) -> str:
    """Names, each of which has its number before it."""
    return ", ".join(name.partition(" ")[2] for name in numbered[:3])
