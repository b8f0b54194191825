# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What datastores are on.

Hosts of several datacenters may have the same storage. Each of these datacenters has a datastore of
its own for it then, perhaps of another name (API reference, Datastore), so one file has several
paths.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from .._connector import names
from .._connector.props import PAGE_OF_LITTLE, Route, collect
from .._connector.pyvmomi import vim
from .._errors import NotFound
from .vm import moid_of, name_of

if t.TYPE_CHECKING:
    from .._connector.session import Session

_STORES: dict[type, tuple[str, ...]] = {
    vim.Datacenter: ("datastore",),
    vim.Datastore: ("name", "summary.type", "summary.url"),
}
_TO_STORES = (
    Route("folder-children", vim.Folder, "childEntity", ("folder-children", "datacenter-stores")),
    Route("datacenter-stores", vim.Datacenter, "datastore"),
)


@dataclasses.dataclass(frozen=True)
class Store:
    """A datastore.

    :ivar datacenter: moid of its datacenter.
    :ivar kind: ``VMFS``, ``NFS``, ``vsan`` and so on.
    :ivar url: says on which storage it is; empty where vCenter does not say it.
    """

    ref: t.Any
    datacenter: str
    name: str
    kind: str
    url: str


class Storage:
    """All datastores of an inventory.

    A file is known by its path in a datacenter, such as ``[datastore] web/web.vmdk``.
    """

    def __init__(self, stores: t.Iterable[Store]) -> None:
        self._named = {(store.datacenter, store.name): store for store in stores}
        self._by_moid = {moid_of(store.ref): store for store in self._named.values()}
        self._by_url: dict[str, list[Store]] = collections.defaultdict(list)
        for store in self._named.values():
            self._by_url[store.url].append(store)

    def store_of(self, datacenter: str, file: str) -> Store:
        """The datastore of a file.

        :raises NotFound: the datacenter has none of this name.
        """
        found = self._named.get((datacenter, _split(file)[0]))
        if found is None:
            known = sorted(name for home, name in self._named if home == datacenter)
            raise NotFound(
                f"The datacenter has no datastore {_split(file)[0]}.",
                hint=f"There are: {names.listing(known) or 'none'}.",
                known=known,
            )
        return found

    def datacenter_of(self, refs: t.Iterable[t.Any] | None) -> str:
        """Moid of the datacenter that has these datastores, those of a VM for instance; empty where
        nobody knows it.
        """
        known = (self._by_moid.get(moid_of(ref)) for ref in refs or ())
        return next((store.datacenter for store in known if store is not None), "")

    def same_as(self, stores: t.Iterable[Store]) -> list[t.Any]:
        """The datastores that are on the storage of these, themselves among them, as vSphere's own
        objects.
        """
        found = {moid_of(each.ref): each.ref for store in stores for each in self._same(store)}
        return list(found.values())

    def paths_of(self, datacenter: str, files: t.Iterable[str]) -> dict[str, frozenset[str]]:
        """The paths of files of a datacenter in each that has their storage, by the moids of the
        datacenters.
        """
        paths: dict[str, set[str]] = {datacenter: set()}
        for file in files:
            paths[datacenter].add(file)
            name, below = _split(file)
            store = self._named.get((datacenter, name))
            for each in self._same(store) if store is not None else ():
                paths.setdefault(each.datacenter, set()).add(f"[{each.name}] {below}")
        return {home: frozenset(called) for home, called in paths.items()}

    def _same(self, store: Store) -> list[Store]:
        return self._by_url[store.url] if store.url else [store]


def _split(file: str) -> tuple[str, str]:
    """The name of the datastore of a file, and its path there."""
    name, _bracket, path = file.removeprefix("[").partition("] ")
    return names.unescape(name), path


def read(session: Session, datacenter: t.Any = None) -> Storage:
    """The datastores of the inventory, as far as this user may see it: one call.

    :param datacenter: a reference to one that is read in any case.
    """
    roots = [session.content.rootFolder, *([datacenter] if datacenter is not None else [])]
    rows = collect(session, roots, _STORES, _TO_STORES, PAGE_OF_LITTLE)
    homes = {moid_of(ref): row.moid for row in rows for ref in row.get("datastore") or ()}
    return Storage(
        Store(row.ref, homes[row.moid], name_of(row), str(row.get("summary.type") or ""), str(row.get("summary.url") or ""))
        for row in rows
        if isinstance(row.ref, vim.Datastore) and row.moid in homes
    )
