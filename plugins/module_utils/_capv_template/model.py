# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A template of nodes as vCenter has it, and what it is to be for CAPV. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector.find import Selector
from .._vsphere import hardware_version
from .._vsphere.snapshots import Snapshot
from .._vsphere.vm import Vm, vm_name

LINKED, FULL = "linkedClone", "fullClone"

# What cloud-init and Ignition read of guestinfo. CAPV gives clones some of these keys, and a clone
# has what its template has of the others: data of whoever tried the template out.
GUEST_KEYS = tuple(
    f"guestinfo.{name}{suffix}"
    for name in ("userdata", "metadata", "vendordata", "ignition.config.data")
    for suffix in ("", ".encoding")
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeTemplate(Vm):
    """A template, or a VM that is to be one.

    :ivar hardware: version of its virtual hardware, as a number; 0 where it is not known.
    :ivar vapp: whether it has vApp properties or products.
    :ivar guest_keys: those of ``GUEST_KEYS`` that have a value.
    :ivar host: moid of the host that it is registered on; ``pool`` that
        of the root resource pool there.
    :ivar disks: how many it has.
    """

    snapshots: tuple[Snapshot, ...]
    hardware: int
    vapp: bool
    guest_keys: tuple[str, ...]
    host: str
    pool: str
    disks: int

    @property
    def current_snapshot(self) -> str:
        """The name of the snapshot that it runs on; empty where there is none."""
        return next((each.name for each in self.snapshots if each.current), "")


@dataclasses.dataclass(frozen=True)
class Options:
    """What one task is asked to do.

    :ivar snapshot: name of the snapshot for linked clones; empty for full ones.
    :ivar hardware: least version of the virtual hardware; 0 leaves it as it is.
    """

    selector: Selector
    datacenter: str | None
    snapshot: str
    hardware: int
    timeout: int

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Options:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        linked = params["clone_mode"] == LINKED
        return cls(
            Selector.from_params(params.get("template") or {}, "template"),
            params.get("datacenter"),
            vm_name(params["snapshot"], "snapshot") if linked else "",
            hardware_version.from_option(params.get("hardware_version") or ""),
            params["timeout"],
        )
