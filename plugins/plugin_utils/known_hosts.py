# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file of known hosts: whom it holds an address for, and the lines of guests in it. Pure: text to text.

Each line that is written has a mark behind its key, which says for which VM. A line without one was
written by somebody else, and so was one with the mark of another VM. What such lines say of an
address stands, unless the user says otherwise.
"""

from __future__ import annotations

import base64
import binascii
import collections
import dataclasses
import fnmatch
import functools
import hmac
import typing as t
import urllib.parse

_MARK = "vforge.vsphere"
_REVOKED, _AUTHORITY = "@revoked", "@cert-authority"


@dataclasses.dataclass(frozen=True)
class Guest:
    """A VM whose keys are to be known.

    :ivar given: whether the user gave it this address.
    :ivar keys: each ``TYPE BASE64``.
    """

    name: str
    instance_uuid: str
    address: str
    given: bool
    keys: tuple[str, ...]

    @property
    def mark(self) -> str:
        """What stands behind its keys."""
        return f"{_MARK}:{urllib.parse.quote(self.name, safe='')}:{self.instance_uuid}"


@dataclasses.dataclass(frozen=True)
class Settled:
    """What becomes of the file.

    :ivar text: all of it, as it is to be.
    :ivar refused: index of a guest -> why nothing is written for it, to go on after
        "known_hosts holds its address".
    """

    text: str
    refused: dict[int, str]


@dataclasses.dataclass
class _Line:
    """One line; what is no key of a host has an empty ``key``."""

    text: str
    marker: str = ""
    hosts: tuple[str, ...] = ()
    key: str = ""
    comment: str = ""
    gone: bool = False

    @classmethod
    def of(cls, text: str) -> _Line:
        words = text.split(None, 4 if text.lstrip().startswith("@") else 3)
        if not words or words[0].startswith("#"):
            return cls(text)
        marker = words.pop(0) if words[0].startswith("@") else ""
        if len(words) < 3:
            return cls(text)
        hosts = tuple(host if host.startswith("|") else host.lower() for host in words[0].split(","))
        return cls(text, marker, hosts, " ".join(words[1:3]), words[3] if len(words) > 3 else "")

    @property
    def pattern(self) -> bool:
        """Whether it is for hosts that it does not name one by one."""
        return any(set(host) & set("*?!") for host in self.hosts)

    @property
    def owner(self) -> tuple[str, str] | None:
        """Name and instance UUID of the VM that a mark is of."""
        parts = self.comment.split()[-1].split(":") if self.comment.split() else []
        return (urllib.parse.unquote(parts[1]), parts[2]) if len(parts) == 3 and parts[0] == _MARK else None

    def covers(self, address: str) -> bool:
        """Whether it says something of an address, by a pattern or a hash."""
        if len(self.hosts) == 1 and self.hosts[0].startswith("|1|"):
            return _is_hash_of(self.hosts[0], address)
        if any(host.startswith("!") and _fits(address, host[1:]) for host in self.hosts):
            return False
        return any(_fits(address, host) for host in self.hosts if not host.startswith("!"))

    def drop(self, address: str) -> None:
        """Say nothing of an address any more; names that share the line stay."""
        left = [host for host in self.hosts if host != address and not _is_hash_of(host, address)]
        self.gone = not left
        if left and len(left) < len(self.hosts):
            self.hosts = tuple(left)
            self.text = " ".join(part for part in (self.marker, ",".join(left), self.key, self.comment) if part)


def settle(text: str, guests: t.Sequence[Guest], *, replace: bool) -> Settled:
    """The file with the keys of the guests in it.

    :param replace: whether lines of others for the address of a guest are to give way.
    """
    before = text.removesuffix("\n").split("\n") if text else []
    lines = [_Line.of(line) for line in before]
    index = _Index(lines)
    refused: dict[int, str] = {}
    added: list[str] = []
    for number, guest in enumerate(guests):
        found = index.about(guest.address)
        why = _objection(found, guest, replace=replace)
        if why:
            refused[number] = why
            continue
        there = [line for line in found if not line.marker]
        for line in there:
            if not line.pattern and (not _is_own(line, guest) or (guest.keys and line.key not in guest.keys)):
                line.drop(guest.address)
        held = {line.key for line in there if not line.gone and line.covers(guest.address)}
        added += [f"{guest.address} {key} {guest.mark}" for key in guest.keys if key not in held]
    kept = [line.text for line in lines if not line.gone]
    if not added and kept == before:
        return Settled(text, refused)
    return Settled("".join(f"{line}\n" for line in (*kept, *added)), refused)


def _objection(found: list[_Line], guest: Guest, *, replace: bool) -> str:
    revoked = [line for line in found if line.marker == _REVOKED and line.key in guest.keys]
    if revoked:
        return "with the mark @revoked on the key that it reports"
    for line in found:
        if replace or _is_own(line, guest):
            continue
        if line.marker == _AUTHORITY and not guest.given:
            return "for an authority (@cert-authority)"
        if line.marker:
            continue
        if line.owner is not None:
            return f"for the VM {line.owner[0]}"
        others = [host for host in line.hosts if host != guest.address and not host.startswith("|")]
        return f"for {', '.join(others[:3])}" if others else "for another machine, or with another key"
    return ""


def _is_own(line: _Line, guest: Guest) -> bool:
    """Whether a line may be taken for one about this guest."""
    if line.owner is not None:
        name, uuid = line.owner
        return bool(uuid and uuid == guest.instance_uuid) or (guest.given and name == guest.name)
    if guest.name.lower() in line.hosts:
        return True
    # Anybody can report the public key of another machine, so that it is the same proves nothing by itself.
    return line.key in guest.keys and (guest.given or line.pattern)


class _Index:
    """Finds the lines about an address without looking at all of them each time."""

    def __init__(self, lines: list[_Line]) -> None:
        self._named: dict[str, list[_Line]] = collections.defaultdict(list)
        self._others: list[_Line] = []
        for line in lines:
            if not line.key:
                continue
            if line.pattern and line.marker == _AUTHORITY:
                # Usually one line for a whole network or domain, which says nothing of one address.
                continue
            if line.pattern or line.hosts[0].startswith("|"):
                self._others.append(line)
            else:
                for host in line.hosts:
                    self._named[host].append(line)

    def about(self, address: str) -> list[_Line]:
        """The lines that say something of an address, but for those of authorities of many."""
        found = [*self._named.get(address, ()), *(line for line in self._others if line.covers(address))]
        return [line for line in found if not line.gone]


def _fits(address: str, pattern: str) -> bool:
    """Whether a pattern of OpenSSH, which knows ``*`` and ``?`` alone, fits."""
    return fnmatch.fnmatchcase(address, pattern.replace("[", "[[]"))


def _is_hash_of(host: str, address: str) -> bool:
    """Whether a host is this address, as OpenSSH hashes names: ``|1|SALT|HASH`` with HMAC-SHA1."""
    salt, wanted = _salt_and_hash(host)
    return bool(wanted) and hmac.compare_digest(hmac.digest(salt, address.encode(), "sha1"), wanted)


# Each line is held against each address: only the hash itself is worked out for every pair.
@functools.lru_cache(100_000)
def _salt_and_hash(host: str) -> tuple[bytes, bytes]:
    """Both empty where a host is not hashed."""
    parts = host.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return b"", b""
    try:
        return base64.b64decode(parts[2], validate=True), base64.b64decode(parts[3], validate=True)
    except (binascii.Error, ValueError):
        return b"", b""
