# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values for the tests of VMFork, as a small vCenter would give them."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._fork.model import Child, ForkOptions, Parent
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.compute import (
    Compute,
    Host,
    Place,
    Pool,
    Surroundings,
)
from ansible_collections.vforge.vsphere.plugins.modules.fork_parent import argument_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted

CREDENTIALS = {"guest_username": "root", "guest_password": "not-shown"}


def options(**given: t.Any) -> ForkOptions:
    """Typed options; the parent is golden-parent, to be quiesced, unless others are given."""
    named: dict[str, t.Any] = {"state": "quiesced"}
    if "parents" not in given:
        named["parent"] = {"name": "golden-parent"}
    asked = {key: value for key, value in {**named, **given}.items() if value is not None}
    return ForkOptions.from_params(accepted(argument_spec(), asked))


def parent(**changes: t.Any) -> Parent:
    """A running VM with Tools that is no parent yet."""
    known = Parent(
        moid="vm-1",
        name="golden-parent",
        path="/DC0/vm/templates/golden-parent",
        instance_uuid="50000000-0000-0000-0000-000000000001",
        bios_uuid="42000000-0000-0000-0000-000000000001",
        power_state="poweredOn",
        template=False,
        enabled=False,
        quiesced=False,
        group_id="",
        child_type="none",
        child_group_id="",
        known=False,
        tools=True,
        tools_installed=True,
        snapshots=(),
        folder="group-v1",
        folder_path="/DC0/vm/templates",
        datacenter="datacenter-1",
        host_name="esx-1",
        host_available=True,
        place=Place(pool="resgroup-1", datastore_names=("fast",)),
        around=Surroundings(
            host=Host("host-1", "esx-1"),
            compute=Compute(
                "domain-c1",
                "C0",
                pools=(Pool("resgroup-1", "Resources", "Resources"), Pool("resgroup-2", "web", "Resources/web")),
            ),
            datastores={"fast": "datastore-1", "slow": "datastore-2"},
        ),
    )
    return dataclasses.replace(known, **changes)


def quiesced(*children: Child, **changes: t.Any) -> Parent:
    """A quiesced parent with these children."""
    standing = {"enabled": True, "quiesced": True, "group_id": "group-1", "known": True, "tools": False}
    return parent(**{**standing, "children": children, **changes})


def child(name: str = "web-1", **changes: t.Any) -> Child:
    """A non-persistent child that runs."""
    known = Child(
        moid=f"vm-{name}",
        name=name,
        path=f"/DC0/vm/templates/{name}",
        power_state="poweredOn",
        place=Place(
            pool="resgroup-1",
            pool_name="Resources",
            datastores=("datastore-1",),
            datastore_names=("fast",),
        ),
        child_type="nonpersistent",
        group_id="group-1",
    )
    return dataclasses.replace(known, **changes)
