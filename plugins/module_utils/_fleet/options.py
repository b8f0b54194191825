# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a fleet, checked and typed. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector.find import Selector
from .._connector.names import is_sendable
from .._errors import InvalidOption
from .._vsphere.wake import Manner, Scripts
from .naming import Pattern, addresses

PRESENT, ABSENT = "present", "absent"
FULL, LINKED = "full", "linked"
INSTANT_CLONE, VMFORK = "instant_clone", "vmfork"

# Of scripts only the names of the options are needed here: nothing is frozen.
MANNER = Manner(commands={}, shown_by="", verb="freeze", state="frozen")

# Registered VMs of one vCenter Server 8.0 (VMware's configuration maximums); a larger number is a slip of the finger.
MOST_VMS = 45_000


@dataclasses.dataclass(frozen=True)
class FleetOptions:
    """What the fleet is to be.

    :ivar kind: how clones are made: as instant clones, or by VMFork.
    :ivar golden: what the parents are made of; None only where the fleet is to be absent.
    :ivar version: of the golden VM, as the user calls it; None to take it from the VM.
    :ivar snapshot: name of the snapshot of the golden VM that parents are made from; None for its present state.
    :ivar clusters: names or paths of the compute resources on whose hosts it may be.
    :ivar hosts: names of the hosts on which it may be; empty for all of the clusters.
    :ivar folder: of the clones; None for that of the golden VM.
    :ivar parents_folder: of the parents; None for that of the clones.
    :ivar datastore: of the parents; None for that of the golden VM where a host sees it.
    :ivar clone_memory: MiB that a clone takes of its host, apart from what it shares with its parent.
    :ivar scripts: that parents are frozen with; none where nobody says which.
    :ivar clone_disk: MiB that a clone takes of its datastore; None for as much as it has memory.
    """

    kind: str
    state: str
    pattern: Pattern
    count: int
    golden: Selector | None
    datacenter: str | None
    version: str | None
    snapshot: str | None
    disk_mode: str
    clusters: tuple[str, ...]
    hosts: tuple[str, ...]
    folder: str | None
    parents_folder: str | None
    datastore: str | None
    addresses: tuple[str, ...]
    clone_memory: int
    clone_disk: int | None
    batch_size: int
    scripts: Scripts = dataclasses.field(default_factory=Scripts)

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> FleetOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        state, golden = params["state"], params.get("golden")
        pattern = Pattern(params["name"])
        count = params["count"] if state == PRESENT else 0
        _check(params, state, golden)
        snapshot = params.get("golden_snapshot") or None
        mode = params.get("disk_mode") or (LINKED if snapshot else FULL)
        return cls(
            kind=params["kind"],
            state=state,
            pattern=pattern,
            count=count,
            golden=Selector.from_params(golden, "golden") if golden else None,
            datacenter=params.get("datacenter") or None,
            version=params.get("golden_version") or None,
            snapshot=snapshot,
            disk_mode=mode,
            clusters=tuple(params.get("clusters") or ()),
            hosts=tuple(params.get("hosts") or ()),
            folder=params.get("folder") or None,
            parents_folder=params.get("parents_folder") or None,
            datastore=params.get("datastore") or None,
            addresses=tuple(addresses(params.get("addresses") or (), count)),
            clone_memory=params["clone_memory_mb"],
            clone_disk=params.get("clone_disk_mb"),
            batch_size=params["batch_size"],
            scripts=Scripts.from_params(params, MANNER),
        )


def _check(params: t.Mapping[str, t.Any], state: str, golden: t.Any) -> None:
    least = {"count": 0, "batch_size": 1, "clone_memory_mb": 0, "clone_disk_mb": 0}
    for option, smallest in least.items():
        if params.get(option) is not None and params[option] < smallest:
            raise InvalidOption(f"The option {option} must be at least {smallest}.", option=option)
    if params["count"] > MOST_VMS:
        raise InvalidOption(f"The option count is at most {MOST_VMS}: no vCenter has more VMs.", option="count")
    if not is_sendable(params.get("golden_version") or ""):
        raise InvalidOption("The option golden_version has a control character.", option="golden_version")
    if state == PRESENT and not golden:
        raise InvalidOption(
            "The option golden is not set.", hint="Name the VM or template to make parents of.", option="golden"
        )
    if state == PRESENT and not params.get("clusters") and not params.get("hosts"):
        raise InvalidOption("Neither clusters nor hosts is set.", hint="Say where the fleet may be.", option="clusters")
    if not golden:
        for option in ("folder", "parents_folder"):
            if not (params.get(option) or "/").startswith("/") or (option == "folder" and not params.get(option)):
                raise InvalidOption(
                    f"Without golden, {option} must be a whole path.", hint="Write it as /Datacenter/vm/folder.", option=option
                )
