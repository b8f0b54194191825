# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The types of an export: what is asked for, and what there is. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._connector.find import Selector
from .._copy_source import TRY, SourceVm
from .._errors import InvalidOption
from .._retention import Retention
from .._vsphere.hardware import Machine
from .._vsphere.snapshots import SnapshotSelector

# The two forms of a package.
OVF, OVA = "ovf", "ova"

# When a VM is exported of which a complete package is there.
CHANGED, MISSING, ALWAYS = "changed", "missing", "always"

_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 80


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vm(SourceVm):
    """A VM that may be exported.

    :ivar networks: names of its networks, by what the backings of NICs hold.
    :ivar change_version: changes with every change of its configuration, a start too.
    """

    machine: Machine
    networks: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    change_version: str = ""


@dataclasses.dataclass(frozen=True)
class Target:
    """A VM that is asked for.

    :ivar snapshot: that is to be exported in the place of the VM as it is; None for that.
    :ivar name: of the package; None for one made of the VM's name.
    """

    selector: Selector
    snapshot: SnapshotSelector | None = None
    name: str | None = None


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What one task is asked to do.

    :ivar dest: folder for the packages.
    :ivar extra_config: keys of extraConfig that go along besides those that are safe.
    :ivar property_values: whether values of vApp properties go along, those of passwords too.
    :ivar fresh_hours: a package that is not older is enough; 0 for none.
    :ivar dated: whether the name of a package ends with when it is made.
    :ivar retention: how many packages of a VM are kept.
    :ivar timeout: seconds for all of the work; removing snapshots has time of its own.
    :ivar parallel: disks that are received at the same time.
    """

    targets: tuple[Target, ...]
    datacenter: str | None
    dest: str
    format: str = OVF
    quiesce: str = TRY
    refresh: str = CHANGED
    extra_config: tuple[str, ...] = ()
    property_values: bool = False
    fresh_hours: int = 0
    dated: bool = False
    retention: Retention = dataclasses.field(default_factory=Retention)
    timeout: int = 3600
    parallel: int = 8

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> ExportOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        listed = params.get("vms")
        if bool(params.get("vm")) == (listed is not None):
            raise InvalidOption("Set either vm, for one VM, or vms, for a list of them.", option="vm")
        shared = {key: params.get(key) for key in ("snapshot", "package")}
        given = [{**params["vm"], **shared}] if listed is None else [_with(shared, each) for each in listed]
        option = "vm" if listed is None else "vms"
        if len(given) > 1 and params.get("package"):
            raise InvalidOption(
                "The option package names one package, and there are several VMs.",
                hint="Set it in the items of vms.",
                option="package",
            )
        return cls(
            targets=tuple(_target(each, option) for each in given),
            datacenter=params.get("datacenter"),
            dest=params["dest"],
            format=params["format"],
            quiesce=params["quiesce"],
            refresh=params["refresh"],
            extra_config=tuple(params.get("extra_config") or ()),
            property_values=bool(params.get("property_values")),
            fresh_hours=_not_negative(params, "fresh_hours"),
            dated=bool(params.get("dated")),
            retention=Retention.from_params(params),
            timeout=params["timeout"],
            parallel=params["parallel"],
        )


def _not_negative(params: t.Mapping[str, t.Any], option: str) -> int:
    value: int = params.get(option) or 0
    if value < 0:
        raise InvalidOption(f"The option {option} must be at least 0.", option=option)
    return value


def _with(shared: t.Mapping[str, t.Any], each: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """An item of the list, with what the task says for all where the item says nothing."""
    own = {key: value for key, value in each.items() if value is not None}
    return {**shared, **own}


def _target(given: t.Mapping[str, t.Any], option: str) -> Target:
    name = given.get("package") or None
    if name is not None and plain(name) != name:
        raise InvalidOption(
            f"The option package is {name!r}, which is no plain name of a file.",
            hint=f"Take letters, digits, dots, dashes and underscores, such as {plain(name) or 'web-1'}.",
            option="package",
        )
    return Target(
        Selector.from_params(given, option),
        SnapshotSelector.from_params(given.get("snapshot")),
        name,
    )


def plain(name: str) -> str:
    """A name for files, made of a VM's: whatever a VM is called leads to no other folder."""
    return _PLAIN.sub("_", name).lstrip(".-")[:_LONGEST]
