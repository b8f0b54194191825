# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is: what holds a name, and where a template could be put. Plain values, no pyVmomi."""

from __future__ import annotations

import dataclasses

from .._vsphere.places import Pool

# Kept in extraConfig. The first four come with the import itself, so they are as old as the name.
DIGEST_KEY = "vforge.ovf.digest"  # of the package that the VM is made of
OWNER_KEY = "vforge.ovf.owner"  # who makes it: "<run> <machine> <time>"
NAME_KEY = "vforge.ovf.name"  # the name that was asked for, of which this VM is one version
SOURCE_KEY = "vforge.ovf.source"  # where it came from, for people
# Written together with the delta layer: the VM's own instance UUID. A clone inherits the pairs of its template, but not the
# UUID, so it does not count as made of the package.
READY_KEY = "vforge.ovf.ready"

KEYS = (DIGEST_KEY, OWNER_KEY, NAME_KEY, SOURCE_KEY, READY_KEY)

STRANGER, UNKNOWN, IMPORTING, UNPUBLISHED, READY = "stranger", "unknown", "importing", "unpublished", "ready"


@dataclasses.dataclass(frozen=True)
class Holder:
    """What holds a name.

    :ivar kind: ``VirtualMachine``, or what else.
    :ivar configured: False while vCenter has no configuration of it yet, as at the begin of an import.
    """

    moid: str
    name: str
    path: str = ""
    kind: str = "VirtualMachine"
    configured: bool = True
    marks: dict[str, str] = dataclasses.field(default_factory=dict)
    template: bool = False
    power_state: str = "poweredOff"
    instance_uuid: str = ""
    change_version: str = ""
    host_name: str = ""
    compute: str = ""
    datastores: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Of the package, or empty."""
        return self.marks.get(DIGEST_KEY, "")

    @property
    def owner(self) -> str:
        """The mark of who makes it."""
        return self.marks.get(OWNER_KEY, "")

    @property
    def state(self) -> str:
        """``stranger``, ``unknown`` (not told yet), ``importing``, ``unpublished`` (complete but no template), ``ready``."""
        if self.kind != "VirtualMachine":
            return STRANGER
        if not self.configured:
            return UNKNOWN
        if not self.digest:
            return STRANGER
        mark = self.marks.get(READY_KEY)
        if mark is None:
            return STRANGER if self.template or self.power_state != "poweredOff" else IMPORTING
        if mark != self.instance_uuid:
            return STRANGER
        return READY if self.template else UNPUBLISHED


@dataclasses.dataclass(frozen=True)
class Host:
    """A host; ``free_memory`` in bytes."""

    moid: str
    name: str
    compute: str
    connected: bool
    maintenance: bool
    datastores: frozenset[str]
    networks: frozenset[str]
    free_memory: int = 0


@dataclasses.dataclass(frozen=True)
class Compute:
    """A cluster, or a host that is in none."""

    moid: str
    name: str
    path: str
    pools: tuple[Pool, ...]


@dataclasses.dataclass(frozen=True)
class Datastore:
    """A datastore; ``cluster`` is the moid of the datastore cluster that it is in."""

    moid: str
    name: str
    free: int
    usable: bool
    cluster: str = ""
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What a datacenter offers.

    :ivar networks: name by moid; two may have one name.
    :ivar network_kinds: vSphere's type of each, by moid.
    :ivar datastore_clusters: name by moid.
    """

    computes: tuple[Compute, ...]
    hosts: tuple[Host, ...]
    datastores: tuple[Datastore, ...]
    networks: dict[str, str]
    datastore_clusters: dict[str, str]
    network_kinds: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where the template goes, as moids; ``networks`` by their names in the descriptor."""

    host: Host
    pool: Pool
    compute: Compute
    datastore: Datastore
    networks: dict[str, str]
