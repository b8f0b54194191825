# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values for the tests of fleets, as a small vCenter would give them."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._fleet.model import (
    MIB,
    Clone,
    FleetOptions,
    Golden,
    Parent,
    Situation,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.compute import Datastore, Host
from ansible_collections.vforge.vsphere.plugins.modules.fleet_plan import argument_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted

V1, V2 = "build 1", "build 2"


def options(**given: t.Any) -> FleetOptions:
    """Typed options, as the module makes them of what a user gives."""
    asked = {"name": "web-##", "count": 6, "golden": {"name": "golden"}, "clusters": ["C0"], **given}
    return FleetOptions.from_params(accepted(argument_spec(), asked))


def golden(**changes: t.Any) -> Golden:
    """A template of 2 GiB on the datastore that all hosts see."""
    known = Golden(
        moid="vm-1",
        name="golden",
        path="/DC0/vm/golden",
        instance_uuid="50000000-0000-0000-0000-000000000001",
        template=True,
        version=V1,
        memory=2048,
        disk=10_240,
        datacenter="datacenter-1",
        folder_path="/DC0/vm",
        datastores=("datastore-1",),
    )
    return dataclasses.replace(known, **changes)


def host(number: int, **changes: t.Any) -> Host:
    """A host with plenty of room."""
    known = Host(
        moid=f"host-{number}",
        name=f"esx{number}",
        compute="cluster-0",
        datastores=frozenset({"datastore-1"}),
        free_memory=65_536 * MIB,
    )
    return dataclasses.replace(known, **changes)


def datastore(number: int = 1, name: str = "fast", free: int = 4_000_000, **changes: t.Any) -> Datastore:
    """A datastore with so many MiB free."""
    return Datastore(f"datastore-{number}", name, free * MIB, **changes)


def parent(number: int, version: str = V1, **changes: t.Any) -> Parent:
    """The frozen parent on a host."""
    name = f"web-parent-esx{number}-{version[-1]}"
    known = Parent(f"vm-p{number}{version[-1]}", name, f"/DC0/vm/{name}", f"uuid-{name}", version, f"host-{number}", True)
    return dataclasses.replace(known, **changes)


def clone(number: int, of: Parent, **changes: t.Any) -> Clone:
    """A clone of a parent, beside it."""
    known = Clone(f"vm-c{number}", f"web-{number:02}", number, of.instance_uuid, of.version, of.host)
    return dataclasses.replace(known, **changes)


def situation(**changes: t.Any) -> Situation:
    """Three hosts and nothing on them."""
    known = Situation(
        golden=golden(),
        folder_path="/DC0/vm",
        parents_path="/DC0/vm",
        hosts=tuple(host(number) for number in (1, 2, 3)),
        clusters={"cluster-0": "C0"},
        datastores={"datastore-1": datastore()},
        parents=(),
        clones=(),
        taken={},
    )
    return dataclasses.replace(known, **changes)
