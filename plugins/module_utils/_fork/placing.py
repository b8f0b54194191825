# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of which parent a child is, and where it goes: what the names of a request mean. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._connector.places import Pool, fitting_pools
from .._errors import InvalidOption

if t.TYPE_CHECKING:
    from .facts import Parent
    from .options import ChildRequest


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a child goes, as moids.

    :ivar pool_asked: False where the pool is the parent's own because none was asked for.
    :ivar datastore: None means the parent's.
    """

    folder: str
    folder_path: str
    pool: Pool
    pool_asked: bool
    datastore: str | None


def owner(request: ChildRequest, parents: t.Sequence[Parent]) -> Parent:
    """The parent of a child among those of the task.

    :raises InvalidOption: when none, or more than one, is meant.
    """
    wanted = request.parent
    if wanted is None:
        return parents[0]
    fits = [parent for parent in parents if _is(parent, wanted)]
    if len(fits) == 1:
        return fits[0]
    raise InvalidOption(
        f"child {request.name!r}: {'none' if not fits else 'more than one'} of this task's parents has the {wanted}.",
        hint=f"Its parents are: {names.listing([parent.path for parent in parents])}.",
        option="children",
    )


def _is(parent: Parent, wanted: t.Any) -> bool:
    if wanted.moid:
        return bool(parent.moid == wanted.moid)
    if wanted.uuid:
        uuid = parent.instance_uuid if wanted.use_instance_uuid else parent.bios_uuid
        return bool(uuid.lower() == wanted.uuid.strip().lower())
    if wanted.path:
        parts = names.split(wanted.path)
        whole = names.split(parent.path)
        return parts in (whole, whole[2:]) if not wanted.path.startswith("/") else parts == whole
    in_folder = not wanted.folder or names.split(wanted.folder) in (
        names.split(parent.folder_path),
        names.split(parent.folder_path)[2:],
    )
    return names.same(parent.name, wanted.name or "") and in_folder


def place(request: ChildRequest, parent: Parent, folders: t.Mapping[str, tuple[str, str]]) -> Placement:
    """Turn the names of a request into what they mean around its parent.

    :param folders: the folder option as written -> (moid, path).
    :raises InvalidOption: when a name means nothing there; the hint lists what would do.
    """
    if not request.folder and not parent.folder:
        raise InvalidOption(
            f"child {request.name!r}: the parent is in a vApp, which is no folder.", hint="Set folder.", option="folder"
        )
    folder, path = folders[request.folder] if request.folder else (parent.folder, parent.folder_path)
    return Placement(folder, path, _pool(request, parent), bool(request.resource_pool), _datastore(request, parent))


def _pool(request: ChildRequest, parent: Parent) -> Pool:
    if not request.resource_pool:
        # A parent inside a vApp has a pool that is not among the compute resource's own.
        own = [pool for pool in parent.pools if pool.moid == parent.pool]
        return own[0] if own else Pool(parent.pool, parent.pool, parent.pool)
    fits = fitting_pools(parent.pools, parent.compute_resource, request.resource_pool)
    if len(fits) == 1:
        return fits[0]
    listing = names.listing(sorted(pool.path for pool in fits or parent.pools), most=20)
    what = (
        f"{len(fits)} resource pools are named {request.resource_pool}"
        if fits
        else f"the resource pool {request.resource_pool} is not one of {parent.compute_resource}, where its parent runs"
    )
    raise InvalidOption(f"child {request.name!r}: {what}.", hint=f"Pools that would do: {listing}.", option="resource_pool")


def _datastore(request: ChildRequest, parent: Parent) -> str | None:
    if not request.datastore:
        return None
    for name, moid in parent.datastores.items():
        if names.same(name, request.datastore):
            return moid
    raise InvalidOption(
        f"child {request.name!r}: the host {parent.host_name} has no accessible datastore {request.datastore}.",
        hint=f"It has: {names.listing(sorted(parent.datastores), most=20)}.",
        option="datastore",
    )
