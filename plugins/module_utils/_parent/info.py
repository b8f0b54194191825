# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of instant clone parents: their state, their deltas, their children, and what would refuse a clone."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._connector import names
from .._connector.batch import Work, run_batch
from .._connector.find import Selector, selectors
from .._connector.releases import require_instant_clones
from .._errors import Fault, PartialFailure, Reason, VforgeError
from . import api, lookup, plan, report
from .facts import Obstacle, Parent
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
    :raises PartialFailure: a signal or the loss of the server kept vCenter from being asked; it holds the whole result.
    """
    require_instant_clones(session)
    parents = [found.parent for found in lookup.find_parents(session, options.selectors, options.datacenter)]
    uuids = [parent.instance_uuid for parent in parents]
    children = lookup.read_children(session, uuids) if options.children and parents else {}
    # vCenter says of a VM that is off only that it is off, which is known already.
    running = [parent for parent in parents if parent.power_state == "poweredOn" and not parent.template]
    asked = _ask(session, running) if options.ask_vcenter else _Answers()
    result = {
        "changed": False,
        "parents": [
            report.info(
                parent,
                children.get(parent.instance_uuid, ()),
                _merged(plan.obstacles(parent), asked.refusals.get(parent.moid, ())),
                asked.unknown.get(parent.moid),
            )
            for parent in parents
        ],
    }
    lost = {moid: error for moid, error in asked.unknown.items() if not isinstance(error, Fault)}
    if lost:
        left = names.listing([parent.path for parent in running if parent.moid in lost], most=5)
        why = asked.stopped or next(iter(lost.values()))
        raise PartialFailure(f"{why} It is not known whether vCenter would clone {left}.", result)
    return result


def _merged(known: t.Sequence[Obstacle], told: t.Iterable[Obstacle]) -> list[Obstacle]:
    """What is known, and what vCenter says besides."""
    codes = {item.code for item in known}
    return [*known, *(item for item in told if item.code not in codes)]


@dataclasses.dataclass
class _Answers:
    """What dry runs have told, by moid.

    :ivar refusals: what vCenter would refuse a clone for.
    :ivar unknown: why it could not be asked.
    :ivar stopped: why not all were asked.
    """

    refusals: dict[str, list[Obstacle]] = dataclasses.field(default_factory=dict)
    unknown: dict[str, VforgeError] = dataclasses.field(default_factory=dict)
    stopped: Reason | None = None


def _ask(session: Session, parents: t.Sequence[Parent]) -> _Answers:
    """What vCenter would refuse a clone of each VM for, by a dry run."""
    works = [Work(parent.moid, _check(session, parent.moid), repeatable=True) for parent in parents]
    if not works:
        return _Answers()
    deadline = min(session.limit.end, time.monotonic() + _CHECK_SECONDS)
    done = run_batch(session, works, PARALLEL, deadline, "parents checked")
    answers = _Answers(stopped=done.stopped)
    for parent in parents:
        outcome = done.outcomes[parent.moid]
        if outcome.error is None:
            answers.refusals[parent.moid] = api.refusals(outcome.result or ())
            continue
        answers.unknown[parent.moid] = outcome.error
        if isinstance(outcome.error, Fault):
            session.warn(f"vCenter could not be asked for a dry run of a clone of {parent.path}: {outcome.error}")
    return answers


def _check(session: Session, moid: str) -> t.Callable[[], t.Any]:
    return lambda: api.start_check(session, moid)
