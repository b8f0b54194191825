# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The templates of OVF packages that there are, finished or not."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._connector.props import PAGE_OF_LITTLE, Route, collect
from .._vsphere.disks import users
from . import read, report
from .model import FOREIGN, NAME_KEY, READY, Existing, Place

if t.TYPE_CHECKING:
    from .._connector.session import Session


@dataclasses.dataclass(frozen=True)
class InfoOptions:
    """What is asked for.

    :ivar name: of a template, whose versions are then returned; None for all templates.
    :ivar place: the folder to look in; the whole datacenter, or inventory, where none is named.
    :ivar recurse: whether the folders below it are looked in, too.
    :ivar users: whether the VMs that depend on each are returned.
    """

    name: str | None
    place: Place
    recurse: bool
    users: bool

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> InfoOptions:
        """Take the options out of a module's parameters."""
        place = Place(
            datacenter=params.get("datacenter") or None,
            folder=params.get("folder") or None,
        )
        return cls(params.get("name") or None, place, params["recurse"], params["used_by"])


def run(session: Session, options: InfoOptions) -> dict[str, t.Any]:
    """The module's result: ``templates``, sorted by their paths. Changes nothing.

    :raises NotFound: the folder or the datacenter is not there.
    :raises InvalidOption: one folder alone is asked for, and nothing says of which datacenter.
    """
    root = session.content.rootFolder
    routes: t.Sequence[Route] = read.TO_ALL_VMS
    if options.place != Place() or not options.recurse:
        root = read.folder(session, read.find_home(session, options.place).moid)
    if not options.recurse:
        routes = read.TO_CHILDREN
    # Of all VMs no more than one mark, which every finished or unfinished template has.
    rows = collect(session, [root], read.MARKED, routes, page=PAGE_OF_LITTLE)
    marked = [row.ref for row in rows if read.marks_of(row.values)]
    known = read.read_vms(session, marked).values()
    found = [existing for existing in known if _wanted(existing, options.name)]
    used = None
    if options.users:
        ready = [existing.moid for existing in found if existing.state == READY]
        used = users(session, ready)
    return {
        "changed": False,
        "templates": [
            report.info(existing, None if used is None else used.get(existing.moid, {}))
            for existing in sorted(found, key=lambda existing: existing.path)
        ],
    }


def _wanted(existing: Existing, name: str | None) -> bool:
    if existing.state == FOREIGN:
        return False  # a clone, which has the pairs of its template
    called = (existing.name, existing.marks.get(NAME_KEY, ""))
    return name is None or any(names.same(each, name) for each in called)
