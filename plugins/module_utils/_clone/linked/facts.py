# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is cloned, and where clones may go. Plain values, no pyVmomi."""

from __future__ import annotations

import dataclasses

from ..._vsphere.places import Pool
from ..facts import Network, Parent


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A snapshot of the source; ``path`` holds the names from the root of the tree, joined by slashes."""

    moid: str
    path: str
    name: str


@dataclasses.dataclass(frozen=True)
class Disk:
    """A virtual disk; ``layers`` counts its files, the base included: a disk of one has nothing that could be shared."""

    label: str
    layers: int


@dataclasses.dataclass(frozen=True)
class Host:
    """An ESXi host; ``datastores`` are moids, ``compute`` is that of its compute resource."""

    moid: str
    name: str
    available: bool
    compute: str
    datastores: frozenset[str]


@dataclasses.dataclass(frozen=True)
class Compute:
    """A cluster, or a host that is in none.

    :ivar balanced: whether it chooses hosts by itself (DRS, fully automated).
    """

    moid: str
    name: str
    balanced: bool
    pools: tuple[Pool, ...]
    hosts: tuple[Host, ...]


@dataclasses.dataclass(frozen=True)
class Sight:
    """What a host sees: its networks, and the moids of its accessible datastores by name."""

    networks: tuple[Network, ...]
    datastores: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Source(Parent):
    """What is cloned; of its surroundings those where a clone goes.

    :ivar snapshots: in the order of the tree.
    :ivar current: moid of the snapshot on which it stands now, or empty.
    :ivar home: moids of the datastores that it lies on.
    :ivar send_host: whether the host goes into the call, because it was asked for or nobody else would choose one.
    """

    snapshots: tuple[Snapshot, ...] = ()
    current: str = ""
    disks: tuple[Disk, ...] = ()
    home: frozenset[str] = frozenset()
    send_host: bool = True
