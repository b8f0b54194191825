# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a linked clone task, checked and typed. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ..._connector.find import Selector
from ..._errors import InvalidOption
from ..options import CloneOptions, common_fields
from ..request import parse

LINKED, FULL = "linked", "full"

_SNAPSHOT_MOID = re.compile(r"snapshot-\w+")


@dataclasses.dataclass(frozen=True)
class SnapshotSelector:
    """Which snapshot of the source: exactly one of these.

    :ivar path: names from the root of the tree, ``base/patched``; or one name, where only one snapshot has it.
    """

    path: str | None = None
    moid: str | None = None
    current: bool = False

    def __str__(self) -> str:
        return "current snapshot" if self.current else f"snapshot {self.path or self.moid}"

    @classmethod
    def from_params(cls, given: t.Mapping[str, t.Any] | None) -> SnapshotSelector | None:
        """The selector in the suboptions, or None where no snapshot is named.

        :raises InvalidOption: when it is named in two ways, or in none.
        """
        if given is None:
            return None
        asked = [key for key in ("name", "moid", "current") if given.get(key)]
        if len(asked) != 1:
            raise InvalidOption(
                f"snapshot is given by {' and '.join(asked) or 'nothing'}.",
                hint="Set exactly one of name, moid and current.",
                option="snapshot",
            )
        if given.get("moid") and not _SNAPSHOT_MOID.fullmatch(given["moid"]):
            raise InvalidOption(
                f"{given['moid']} is no moid of a snapshot.", hint="It looks like snapshot-42.", option="snapshot"
            )
        return cls(given.get("name") or None, given.get("moid") or None, bool(given.get("current")))


@dataclasses.dataclass(frozen=True)
class LinkedOptions(CloneOptions):
    """What one task is asked to do; ``parent`` is the source.

    :ivar snapshot: of the source that is cloned; None for the source as it is.
    :ivar disk_mode: ``linked`` or ``full``.
    :ivar add_layer: whether a source that is off and has nothing to share gets a layer.
    :ivar as_template: whether clones are to become templates.
    :ivar owner: what the run that fills templates calls itself; empty for nothing.
    :ivar other_versions: instance UUIDs of other versions of the source, whose clones count as its own.
    """

    snapshot: SnapshotSelector | None = None
    disk_mode: str = LINKED
    add_layer: bool = False
    as_template: bool = False
    owner: str = ""
    other_versions: tuple[str, ...] = ()

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> LinkedOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option and the clone.
        """
        source = params.get("source")
        if params["state"] != "absent" and not source:
            raise InvalidOption("The option source is not set.", hint="Name the VM or template to clone.", option="source")
        requests = tuple(parse(params))
        if params["wait_for_ip_address"] and requests and not any(request.powered_on for request in requests):
            raise InvalidOption(
                "wait_for_ip_address is set, and powered_on is not: a VM that is off has no address.",
                hint="Set powered_on, or do not wait.",
                option="wait_for_ip_address",
            )
        return cls(
            **common_fields(params, requests, Selector.from_params(source, "source") if source else None),
            snapshot=SnapshotSelector.from_params(params.get("snapshot")),
            disk_mode=params["disk_mode"],
            add_layer=params["add_layer"],
            as_template=params["as_template"],
            owner=params.get("owner") or "",
            other_versions=tuple(uuid.lower() for uuid in params.get("other_versions") or ()),
        )
