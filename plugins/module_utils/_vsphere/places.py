# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a new VM may go: folders and the names taken in them, resource pools. Each reading is one call."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._connector.find import TO_ANCESTORS, path_in
from .._connector.props import Route, Row, collect
from .._connector.pyvmomi import vim
from .._errors import NotFound

if t.TYPE_CHECKING:
    from .._connector.session import Session

_ROOT_POOL = "Resources"

_FOLDERS: dict[type, tuple[str, ...]] = {vim.Folder: ("name", "parent"), vim.Datacenter: ("name", "parent")}
_TO_FOLDERS = (
    Route("datacenter-vms", vim.Datacenter, "vmFolder", ("folder-children",)),
    Route("folder-children", vim.Folder, "childEntity", ("folder-children",)),
)

_NAMES: dict[type, tuple[str, ...]] = {vim.ManagedEntity: ("name", "parent")}
_TO_CHILDREN = (Route("folder-children", vim.Folder, "childEntity"),)


@dataclasses.dataclass(frozen=True)
class Pool:
    """A resource pool of a compute resource; ``path`` is relative to it, the root pool's is ``Resources``."""

    moid: str
    name: str
    path: str


def read_folders(session: Session, datacenter: str, wanted: t.Iterable[str]) -> dict[str, tuple[str, str]]:
    """The VM folders of one datacenter that the options name, as written -> (moid, path).

    :param datacenter: moid.
    :param wanted: absolute paths (``/Datacenter/vm/web``) or paths below the VM folder of the datacenter (``web``).
    :raises NotFound: naming the folder, with the nearest ones.
    """
    root = session.reference(vim.Datacenter, datacenter)
    rows = {row.moid: row for row in collect(session, [root], _FOLDERS, (*_TO_FOLDERS, *TO_ANCESTORS))}
    by_path = {path_in(rows, row.moid): row.moid for row in rows.values() if isinstance(row.ref, vim.Folder)}
    top = names.join([*names.split(path_in(rows, datacenter)), "vm"])
    below = {path: moid for path, moid in by_path.items() if path == top or path.startswith(f"{top}/")}
    found = {}
    for text in wanted:
        path = names.join(names.split(text if text.startswith("/") else f"{top}/{text}"))
        if path not in below:
            near = names.nearest(path, below) or sorted(below)
            raise NotFound(
                f"No folder {path} was found.",
                hint=f"Folders of this datacenter: {names.listing(near)}.",
                searched=top,
                nearest=near[:3],
            )
        found[text] = (below[path], path)
    return found


def read_names(session: Session, wanted: t.Mapping[str, t.Collection[str]]) -> dict[tuple[str, str], t.Any]:
    """Which of the wanted names are taken: (moid of the folder, unescaped name) -> reference.

    :param wanted: moid of a folder -> unescaped names.
    """
    folders = [session.reference(vim.Folder, moid) for moid in wanted]
    found = {}
    for row in collect(session, folders, _NAMES, _TO_CHILDREN):
        above = row.get("parent")
        key = (above._GetMoId() if above is not None else "", names.unescape(row.get("name") or ""))
        if key[1] in wanted.get(key[0], ()):
            found[key] = row.ref
    return found


def is_plain_pool(ref: t.Any) -> bool:
    """Whether a reference is a resource pool that is no vApp: a VM put into a vApp would join its start order."""
    return isinstance(ref, vim.ResourcePool) and not isinstance(ref, vim.VirtualApp)


def pools_in(rows: t.Mapping[str, Row]) -> t.Iterator[Pool]:
    """The plain resource pools among rows, which have ``name`` and ``parent``."""
    for row in rows.values():
        if not is_plain_pool(row.ref):
            continue
        parts, here = [], row
        while is_plain_pool(here.ref):
            parts.append(names.unescape(here.get("name") or ""))
            above = here.get("parent")
            if above is None or above._GetMoId() not in rows:
                break
            here = rows[above._GetMoId()]
        yield Pool(row.moid, names.unescape(row.get("name") or ""), names.join(reversed(parts))[1:])


def fitting_pools(pools: t.Iterable[Pool], compute_resource: str, text: str) -> list[Pool]:
    """Which of the pools of a compute resource a text may mean: a name, a path in it, or an inventory path."""
    wanted, known = names.split(text), list(pools)
    fits = [pool for pool in known if _is_pool(pool, wanted)]
    if not fits and compute_resource in wanted:
        # An inventory path: /DC0/host/cluster/Resources/web, or cluster/web, or the cluster alone for its root pool.
        below = wanted[wanted.index(compute_resource) + 1 :] or [_ROOT_POOL]
        fits = [pool for pool in known if _is_pool(pool, below)]
    return fits


def _is_pool(pool: Pool, wanted: list[str]) -> bool:
    path = names.split(pool.path)
    return bool(wanted) and wanted in (path, path[1:], path[-1:])


def is_available(host: Row | None) -> bool:
    """Whether VMs can run on a host, by its ``runtime.inMaintenanceMode`` and ``runtime.connectionState``."""
    if host is None:
        return False
    return not host.get("runtime.inMaintenanceMode") and str(host.get("runtime.connectionState")) == "connected"
