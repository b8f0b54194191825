# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values for the tests of instant clones, as a small vCenter would give them."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._clone.facts import (
    Existing,
    Network,
    Nic,
    Parent,
    Pool,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._clone.options import CloneOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._clone.request import CloneRequest, NicRequest
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.markers import MARKER_KEY, marker
from ansible_collections.vforge.vsphere.plugins.modules.instant_clone import argument_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted

PARENT_UUID = "50000000-0000-0000-0000-000000000001"
OTHER_UUID = "50000000-0000-0000-0000-000000000002"

FRONT = Network("network-1", "front", "standard", "network-1")
BACK = Network("dvportgroup-2", "back", "distributed", "dvportgroup-2", switch_uuid="50 1e")

NICS = (
    Nic(4000, "Network adapter 1", "00:50:56:00:00:01", "network-1", True, "front"),
    Nic(4001, "Network adapter 2", "00:50:56:00:00:02", "dvportgroup-2", True, "back"),
)

POOLS = (
    Pool("resgroup-1", "Resources", "Resources"),
    Pool("resgroup-2", "web", "Resources/web"),
    Pool("resgroup-3", "db", "Resources/db"),
    Pool("resgroup-4", "blue", "Resources/web/blue"),
    Pool("resgroup-5", "blue", "Resources/db/blue"),
)


def validated(**given: t.Any) -> dict[str, t.Any]:
    """Parameters as AnsibleModule would hand them over: with defaults, types converted."""
    return accepted(argument_spec(), given)


def options(**given: t.Any) -> CloneOptions:
    """Typed options; the parent is golden-parent unless given."""
    return CloneOptions.from_params(validated(**{"parent": {"name": "golden-parent"}, **given}))


def parent(**changes: t.Any) -> Parent:
    """A running parent in cluster C0 with two NICs."""
    known = Parent(
        moid="vm-1",
        name="golden",
        path="/DC0/vm/golden",
        instance_uuid=PARENT_UUID,
        power_state="poweredOn",
        template=False,
        frozen=False,
        folder="group-v1",
        folder_path="/DC0/vm",
        datacenter="datacenter-1",
        pool="resgroup-2",
        host="host-1",
        host_name="esx-1",
        host_available=True,
        compute_resource="C0",
        nics=NICS,
        guest=(),
        datastore_names=("fast",),
        pools=POOLS,
        networks=(FRONT, BACK),
        datastores={"fast": "datastore-1", "slow": "datastore-2"},
    )
    return dataclasses.replace(known, **changes)


def existing(name: str = "web-1", of: str | None = PARENT_UUID, **changes: t.Any) -> Existing:
    """A running clone of the parent with this instance UUID; of none where that is None."""
    pairs = {**({MARKER_KEY: marker(of, name)} if of else {}), **changes.pop("extra_config", {})}
    known = Existing(
        moid="vm-9",
        name=name,
        instance_uuid="50000000-0000-0000-0000-000000000009",
        bios_uuid="42000000-0000-0000-0000-000000000009",
        power_state="poweredOn",
        pool="resgroup-2",
        pool_name="web",
        host="host-1",
        host_name="esx-1",
        datastores=("datastore-1",),
        datastore_names=("fast",),
        nics=NICS,
        extra_config=pairs,
    )
    return dataclasses.replace(known, **changes)


def request(name: str = "web-1", *, nics: t.Sequence[dict[str, t.Any]] = (), **fields: t.Any) -> CloneRequest:
    """A checked request."""
    return CloneRequest(name=name, networks=tuple(NicRequest(**nic) for nic in nics), **fields)
