# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of instant clone parents: their state, their deltas, their children, and what would refuse a clone."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._connector.batch import Work, run_batch
from .._connector.find import Selector, selectors
from .._connector.releases import require_instant_clones
from . import api, lookup, plan, report
from .facts import Obstacle
from .job import PARALLEL

if t.TYPE_CHECKING:
    from .._connector.session import Session

# A dry run only looks; this is far more than it needs.
_CHECK_SECONDS = 120.0


@dataclasses.dataclass(frozen=True)
class InfoOptions:
    """What is asked for.

    :ivar children: whether the clones are looked for, in the whole inventory.
    :ivar ask_vcenter: whether vCenter is asked for a dry run of a clone.
    """

    selectors: tuple[Selector, ...]
    datacenter: str | None
    children: bool
    ask_vcenter: bool

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> InfoOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        return cls(selectors(params), params.get("datacenter"), params["children"], params["ask_vcenter"])


def run(session: Session, options: InfoOptions) -> dict[str, t.Any]:
    """The module's result: ``parents``, one entry each in the order asked for. Changes nothing.

    :raises NotFound: a VM that is not there.
    """
    require_instant_clones(session)
    parents = [found.parent for found in lookup.find_parents(session, options.selectors, options.datacenter)]
    uuids = [parent.instance_uuid for parent in parents]
    children = lookup.read_children(session, uuids) if options.children and parents else {}
    refusals = {parent.moid: plan.obstacles(parent) for parent in parents}
    if options.ask_vcenter:
        # vCenter says of a VM that is off only that it is off, which is known already.
        running = [parent.moid for parent in parents if parent.power_state == "poweredOn" and not parent.template]
        for moid, told in _ask(session, running).items():
            known = {item.code for item in refusals[moid]}
            refusals[moid] += [item for item in told if item.code not in known]
    return {
        "changed": False,
        "parents": [report.info(parent, children.get(parent.instance_uuid, ()), refusals[parent.moid]) for parent in parents],
    }


def _ask(session: Session, moids: t.Sequence[str]) -> dict[str, list[Obstacle]]:
    """What vCenter would refuse a clone of each VM for, by a dry run."""
    works = [Work(moid, _check(session, moid), repeatable=True) for moid in moids]
    if not works:
        return {}
    done = run_batch(session, works, PARALLEL, time.monotonic() + _CHECK_SECONDS, "parents checked")
    for outcome in done.failed:
        session.warn(f"vCenter could not be asked for a dry run of a clone of {outcome.name}: {outcome.error}")
    return {moid: api.refusals(outcome.result or ()) for moid, outcome in done.outcomes.items() if outcome.error is None}


def _check(session: Session, moid: str) -> t.Callable[[], t.Any]:
    return lambda: api.start_check(session, moid)
