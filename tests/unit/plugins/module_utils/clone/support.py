# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values for the tests of instant clones, as a small vCenter would give them."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._clone.model import (
    BIOS_UUID,
    CloneRequest,
    Existing,
    InstantOptions,
    NicRequest,
    Parent,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.compute import (
    Compute,
    Host,
    Network,
    Place,
    Pool,
    Surroundings,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.disks import Disk
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.markers import MARKER_KEY, marker
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.vm import Nic
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

AROUND = Surroundings(
    host=Host("host-1", "esx-1"),
    compute=Compute("domain-c1", "C0", pools=POOLS),
    networks=(FRONT, BACK),
    datastores={"fast": "datastore-1", "slow": "datastore-2"},
)


def disk(levels: int = 0, own_levels: int = 0) -> Disk:
    """A disk with so many delta disks above its base, of which so many can be collapsed."""
    files = tuple(f"[fast] golden/golden-{number}.vmdk" for number in range(levels, -1, -1))
    return Disk(2000, "Hard disk 1", "scsi0:0", files, 2**30, own_levels=own_levels)


def validated(**given: t.Any) -> dict[str, t.Any]:
    """Parameters as AnsibleModule would hand them over: with defaults, types converted."""
    return accepted(argument_spec(), given)


def options(**given: t.Any) -> InstantOptions:
    """Typed options; the parent is golden-parent unless given."""
    return InstantOptions.from_params(validated(**{"parent": {"name": "golden-parent"}, **given}))


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
        tools=True,
        tools_installed=True,
        folder="group-v1",
        folder_path="/DC0/vm",
        datacenter="datacenter-1",
        vms_path="/DC0/vm",
        host_name="esx-1",
        host_available=True,
        place=Place("host-1", "esx-1", "resgroup-2", "web", ("datastore-1",), ("fast",)),
        around=AROUND,
        nics=NICS,
        disks=(disk(),),
        guest=(),
    )
    return dataclasses.replace(known, **changes)


def existing(name: str = "web-1", of: str | None = PARENT_UUID, **changes: t.Any) -> Existing:
    """A running clone of the parent with this instance UUID; of none where that is None."""
    pairs = {**({MARKER_KEY: marker(of, name)} if of else {}), **changes.pop("extra_config", {})}
    known = Existing(
        moid="vm-9",
        name=name,
        instance_uuid="50000000-0000-0000-0000-000000000009",
        settings={BIOS_UUID: "42000000-0000-0000-0000-000000000009"},
        power_state="poweredOn",
        place=Place("host-1", "esx-1", "resgroup-2", "web", ("datastore-1",), ("fast",)),
        nics=NICS,
        extra_config=pairs,
    )
    return dataclasses.replace(known, **changes)


def request(name: str = "web-1", *, nics: t.Sequence[dict[str, t.Any]] = (), **fields: t.Any) -> CloneRequest:
    """A checked request."""
    uuid = fields.pop("bios_uuid", None)
    fields["settings"] = {BIOS_UUID: uuid} if uuid else {}
    return CloneRequest(name=name, networks=tuple(NicRequest(**nic) for nic in nics), **fields)
