# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked for: a module's parameters as checked requests, one a clone. Pure; nothing of vSphere is needed."""

from __future__ import annotations

import collections
import dataclasses
import json
import re
import typing as t

from .._connector import names
from .._errors import InvalidOption
from .facts import MARKER_KEY

# Limit of the API for the name of a VM.
_LONGEST_NAME = 80

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_COMMON = ("folder", "resource_pool", "datastore", "networks")


@dataclasses.dataclass(frozen=True)
class NicRequest:
    """What one NIC of the clone should be; None means: as the parent's, with a new MAC.

    :ivar label: ``Network adapter 1``, or None when ``index`` (from 0) chooses it.
    """

    label: str | None = None
    index: int | None = None
    network: str | None = None
    mac: str | None = None
    connected: bool | None = None

    def __str__(self) -> str:
        return self.label if self.label is not None else f"NIC {self.index}"


@dataclasses.dataclass(frozen=True)
class CloneRequest:
    """One wanted clone. ``config`` holds whole keys of extraConfig; it may hold secrets and is never in ``repr``."""

    name: str
    folder: str | None = None
    resource_pool: str | None = None
    datastore: str | None = None
    networks: tuple[NicRequest, ...] = ()
    config: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    bios_uuid: str | None = None


def parse(params: t.Mapping[str, t.Any]) -> list[CloneRequest]:
    """The requests in a module's parameters: ``name`` at the top level, or the list ``clones`` over common options.

    :raises InvalidOption: naming the clone and the option.
    """
    if bool(params.get("name")) == bool(params.get("clones")):
        raise InvalidOption("Set either name, for one clone, or clones, for a list of them.", option="name")
    if params.get("bios_uuid") and params.get("clones"):
        raise InvalidOption("A bios_uuid belongs to one clone: set it in the items of clones.", option="bios_uuid")
    items = params.get("clones") or [{"name": params["name"], "bios_uuid": params.get("bios_uuid")}]
    requests = [_request(item, params) for item in items]
    _refuse_duplicates(requests)
    return requests


def _request(item: t.Mapping[str, t.Any], common: t.Mapping[str, t.Any]) -> CloneRequest:
    name = names.unescape(str(item["name"]))
    where = f"clone {name!r}"
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise InvalidOption(f"{where}: the name must have 1 to {_LONGEST_NAME} characters.", option="name")
    chosen = {key: item.get(key) if item.get(key) is not None else common.get(key) for key in _COMMON}
    return CloneRequest(
        name=name,
        folder=chosen["folder"],
        resource_pool=chosen["resource_pool"],
        datastore=chosen["datastore"],
        networks=tuple(_nic(nic, where) for nic in chosen["networks"] or ()),
        config=_config(common, where) | _config(item, where),
        bios_uuid=_uuid(item.get("bios_uuid"), where),
    )


def _nic(given: t.Mapping[str, t.Any], where: str) -> NicRequest:
    label, index = given.get("label"), given.get("index")
    if (label is None) == (index is None):
        raise InvalidOption(f"{where}: each of networks needs either label or index.", option="networks")
    mac = None if given.get("mac") in (None, "automatic") else str(given["mac"]).lower().replace("-", ":")
    if mac is not None and not _MAC.fullmatch(mac):
        raise InvalidOption(
            f"{where}: {given['mac']} is not a MAC address.", hint="Write it as 00:50:56:01:02:03.", option="mac"
        )
    if mac is not None and int(mac[:2], 16) & 1:
        raise InvalidOption(f"{where}: {mac} is a multicast address and cannot be a NIC's own.", option="mac")
    return NicRequest(label=label, index=index, network=given.get("network"), mac=mac, connected=given.get("connected"))


def _uuid(text: str | None, where: str) -> str | None:
    if not text:
        return None
    if not _UUID.fullmatch(text.lower()):
        raise InvalidOption(
            f"{where}: {text} is not a UUID.", hint="It is written as 8-4-4-4-12 hexadecimal digits.", option="bios_uuid"
        )
    return text.lower()


def _config(given: t.Mapping[str, t.Any], where: str) -> dict[str, str]:
    """Both mappings as whole extraConfig keys; guestinfo keys get their prefix."""
    guestinfo = _pairs(given.get("guestinfo"), "guestinfo", where)
    prefixed = {key if key.startswith("guestinfo.") else f"guestinfo.{key}": value for key, value in guestinfo.items()}
    extra = _pairs(given.get("extra_config"), "extra_config", where)
    if MARKER_KEY in extra:
        raise InvalidOption(f"{where}: the key {MARKER_KEY} is the collection's own.", option="extra_config")
    return prefixed | extra


def _pairs(given: t.Any, option: str, where: str) -> dict[str, str]:
    """A mapping, or its JSON text, with every value as vSphere's text. Messages name keys, never values."""
    if given in (None, ""):
        return {}
    try:
        mapping = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        mapping = None
    if not isinstance(mapping, dict):
        raise InvalidOption(f"{where}: {option} is not a mapping of keys to values.", option=option)
    return {str(key): _text(value, f"{where}: {option}.{key}", option) for key, value in mapping.items()}


def _text(value: t.Any, where: str, option: str) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise InvalidOption(
        f"{where} is neither text, number nor boolean.",
        hint="Pass a mapping or list through the filter to_json.",
        option=option,
    )


def _refuse_duplicates(requests: t.Sequence[CloneRequest]) -> None:
    """Two requests for one name in one folder could never both be met; folders are compared as written."""
    counts = collections.Counter((request.folder, request.name) for request in requests)
    twice = sorted(name for (_, name), count in counts.items() if count > 1)
    if twice:
        raise InvalidOption(
            f"clones names {names.listing(twice)} more than once in the same folder.",
            hint="Give each clone of a folder its own name.",
            option="clones",
        )
