# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is: the golden VM, the hosts, and what the fleet has now. Plain values, no pyVmomi."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Golden:
    """What the parents are made of.

    :ivar version: changes when it does.
    :ivar memory: MiB.
    :ivar disk: MiB that a full clone of it takes.
    :ivar datastores: moids of those on which it lies.
    """

    moid: str
    name: str
    path: str
    instance_uuid: str
    template: bool
    version: str
    memory: int
    disk: int
    datacenter: str
    folder_path: str
    datastores: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Datastore:
    """A datastore; ``free`` in MiB."""

    moid: str
    name: str
    free: int
    accessible: bool


@dataclasses.dataclass(frozen=True)
class Host:
    """A host on which the fleet may be.

    :ivar obstacle: why it takes no VM now, or empty.
    :ivar free_memory: MiB; None where the host does not tell.
    :ivar datastores: moids.
    """

    moid: str
    name: str
    cluster: str
    obstacle: str
    free_memory: int | None
    datastores: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Parent:
    """A parent of this fleet.

    :ivar ready: whether clones can be made of it.
    :ivar host: moid.
    :ivar group: its fork group, where it is a parent of VMFork.
    """

    moid: str
    name: str
    path: str
    instance_uuid: str
    version: str
    host: str
    ready: bool
    group: str = ""


@dataclasses.dataclass(frozen=True)
class Clone:
    """A clone of this fleet.

    :ivar parent: instance UUID of its parent.
    :ivar version: of the golden VM that its parent was made of.
    :ivar host: moid.
    :ivar address: that its guest tells, or empty.
    :ivar ipv4: the fixed one that it was made with, or empty.
    """

    moid: str
    name: str
    number: int
    parent: str
    version: str
    host: str
    address: str = ""
    ipv4: str = ""


@dataclasses.dataclass(frozen=True)
class Situation:
    """All that a plan is made from.

    :ivar golden: None only where the fleet is to be absent.
    :ivar strangers: names of this fleet that something else holds -> what that is.
    """

    golden: Golden | None
    folder_path: str
    parents_path: str
    hosts: tuple[Host, ...]
    datastores: dict[str, Datastore]
    parents: tuple[Parent, ...]
    clones: tuple[Clone, ...]
    strangers: dict[str, str]
