# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much room hosts and datastores have, counted down while clones are placed. Pure."""

from __future__ import annotations

import typing as t

from .._connector import names
from .._vsphere.compute import Datastore, Host
from .model import FULL, MIB, FleetOptions, Golden, Parent, Situation


class Room:
    """The hosts that take clones.

    A host must see a datastore for its parent. Its memory must hold the parent, as long as there is
    none that is ready, and ``clone_memory`` for each clone; the datastore what these take of it.
    One that several hosts see is counted once.

    :ivar usable: hosts that take at least one clone.
    :ivar skipped: names of the others -> why.
    """

    def __init__(
        self,
        options: FleetOptions,
        golden: Golden,
        now: Situation,
        current: t.Mapping[str, Parent],
    ) -> None:
        self._options, self._golden = options, golden
        self._datastores = now.datastores
        self._current = current
        self._memory = {host.moid: free_memory(host) for host in now.hosts}
        self._disk = {moid: store.free // MIB for moid, store in now.datastores.items()}
        self._begun: set[str] = set()
        self.skipped = {host.name: why for host in now.hosts if (why := self._why_not(host))}
        self.usable = [host for host in now.hosts if host.name not in self.skipped]

    def datastore(self, host: Host) -> Datastore:
        """Where the parent of a usable host goes."""
        fitting = self._fitting(host)
        own = [store for store in fitting if store.moid in self._golden.datastores]
        return own[0] if own else max(fitting, key=lambda store: (store.free, store.name))

    def fits(self, host: Host) -> bool:
        """Whether a usable host takes one more clone."""
        return not self._lacking(host)

    def take(self, host: Host) -> None:
        """Count one more clone, and with the first one its parent."""
        memory, disk = self._need(host)
        free = self._memory[host.moid]
        self._memory[host.moid] = None if free is None else free - memory
        self._disk[self.datastore(host).moid] -= disk
        self._begun.add(host.moid)

    def reasons(self) -> dict[str, str]:
        """Why hosts take no further clone, by their names."""
        return {
            **self.skipped,
            **{host.name: why for host in self.usable if (why := self._lacking(host))},
        }

    def _why_not(self, host: Host) -> str:
        if host.obstacle:
            return host.obstacle
        if not self._fitting(host):
            return (
                f"it does not see the datastore {self._options.datastore}"
                if self._options.datastore
                else "it sees no datastore"
            )
        return self._lacking(host)

    def _fitting(self, host: Host) -> list[Datastore]:
        # In the order of moids: what is chosen is the same with each run.
        seen = [self._datastores[moid] for moid in sorted(host.datastores) if moid in self._datastores]
        wanted = self._options.datastore
        return [store for store in seen if store.usable and (wanted is None or names.same(store.name, wanted))]

    def _lacking(self, host: Host) -> str:
        """What a host lacks for one more clone, or an empty text."""
        memory, disk = self._need(host)
        free, store = self._memory[host.moid], self.datastore(host)
        what = "a clone" if self._has_parent(host) else "a parent and a clone"
        if free is not None and free < memory:
            return f"{memory} MiB of memory are needed for {what}, and {max(free, 0)} are free"
        if self._disk[store.moid] < disk:
            return f"{disk} MiB are needed for {what} on {store.name}, and {max(self._disk[store.moid], 0)} are free"
        return ""

    def _need(self, host: Host) -> tuple[int, int]:
        """Memory and disk of one more clone in MiB, with the parent's where there is none yet."""
        # A VM that is on has a swap file as large as its memory (vSphere Resource Management, swap
        # files).
        disk = self._golden.memory if self._options.clone_disk is None else self._options.clone_disk
        if self._has_parent(host):
            return self._options.clone_memory, disk
        own = self._golden.disk if self._options.disk_mode == FULL else 0
        return self._options.clone_memory + self._golden.memory, disk + own + self._golden.memory

    def _has_parent(self, host: Host) -> bool:
        parent = self._current.get(host.moid)
        return host.moid in self._begun or (parent is not None and parent.ready)


def free_memory(host: Host) -> int | None:
    """MiB; None where the host does not say."""
    return host.free_memory // MIB if host.free_memory is not None else None
