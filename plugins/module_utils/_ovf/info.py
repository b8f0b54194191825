# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The templates of OVF packages that there are, finished or not."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._connector.props import collect
from .._vsphere.deltas import dependents
from . import api, lookup, report
from .facts import NAME_KEY, READY, STRANGER, Holder
from .options import Place

if t.TYPE_CHECKING:
    from .._connector.session import Session


@dataclasses.dataclass(frozen=True)
class InfoOptions:
    """What is asked for.

    :ivar name: of a template, whose versions are then told; None for all templates.
    :ivar place: the folder to look in, with all below it; the whole datacenter, or inventory, where none is named.
    :ivar users: whether it is told which VMs depend on each.
    """

    name: str | None
    place: Place
    users: bool

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> InfoOptions:
        """Take the options out of a module's parameters."""
        place = Place(datacenter=params.get("datacenter") or None, folder=params.get("folder") or None)
        return cls(params.get("name") or None, place, params["used_by"])


def run(session: Session, options: InfoOptions) -> dict[str, t.Any]:
    """The module's result: ``templates``, sorted by their paths. Changes nothing.

    :raises NotFound: the folder or the datacenter is not there.
    """
    anywhere = options.place == Place()
    root = session.content.rootFolder if anywhere else api.folder(session, lookup.find_home(session, options.place).moid)
    marked = [row.ref for row in collect(session, [root], api.VERSIONS, api.TO_ALL_VMS) if api.marks_of(row.values)]
    found = [holder for holder in lookup.read_vms(session, marked).values() if _wanted(holder, options.name)]
    used = dependents(session, [holder.moid for holder in found if holder.state == READY]) if options.users else None
    return {
        "changed": False,
        "templates": [
            report.info(holder, None if used is None else used.get(holder.moid, ()))
            for holder in sorted(found, key=lambda holder: holder.path)
        ],
    }


def _wanted(holder: Holder, name: str | None) -> bool:
    if holder.state == STRANGER:
        return False  # a clone, which has the pairs of its template
    return name is None or names.same(holder.name, name) or names.same(holder.marks.get(NAME_KEY, ""), name)
