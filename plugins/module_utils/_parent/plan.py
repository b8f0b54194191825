# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done: options and what there is become one plan a parent. Pure.

Check mode, diff and the real run all consume the same plan.
"""

from __future__ import annotations

import dataclasses

from .._connector import names
from .._errors import InvalidOption, VforgeError
from .._vsphere import freeze
from .._vsphere.disks import MANY_LEVELS, MOST_LEVELS
from .model import FROZEN, METHOD, Obstacle, Parent, ParentOptions

RESET, COLLAPSE, FREEZE = "reset", "collapse", "freeze"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will be done to one parent.

    :ivar steps: some of reset, collapse and freeze, in the order in which they are done.
    :ivar refusal: why nothing is done although something is asked for, or None.
    """

    parent: Parent
    steps: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    refusal: VforgeError | None = None


def decide(parent: Parent, options: ParentOptions) -> Plan:
    """The plan that brings a parent to the state asked for."""
    stays_frozen = parent.frozen and options.state == FROZEN and freeze.is_up_to_date(parent.record, options.scripts)
    refusal = _not_running(parent) or _no_reset(parent, options, stays_frozen)
    if refusal is not None:
        return Plan(parent, refusal=refusal)
    wants_collapse = options.collapse and (parent.collapsible_levels > 0 or parent.leftover)
    warnings = []
    if wants_collapse and stays_frozen:
        wants_collapse = False
        warnings.append(
            f"{parent.name} is frozen, so its {parent.delta_levels} delta levels stay. Bring it to state running first."
        )
    if wants_collapse and parent.snapshots:
        return Plan(parent, refusal=own_snapshots(parent))
    steps = [RESET] if parent.frozen and not stays_frozen else []
    steps += [COLLAPSE] if wants_collapse else []
    steps += [FREEZE] if options.state == FROZEN and not stays_frozen else []
    if not wants_collapse:
        warnings += many_deltas(parent)
    return Plan(parent, tuple(steps), tuple(warnings))


def many_deltas(parent: Parent) -> list[str]:
    """A warning for a parent whose disks are near the limit."""
    if parent.delta_levels < MANY_LEVELS:
        return []
    left = max(MOST_LEVELS - parent.delta_levels, 0)
    remedy = (
        "its deltas can be collapsed while it runs (collapse_deltas)"
        if parent.collapsible_levels
        else "they belong to the VM that it is a linked clone of: make the parent again as a full clone"
    )
    return [f"{parent.name} has {parent.delta_levels} delta levels of at most {MOST_LEVELS}, which leaves {left}; {remedy}."]


def obstacles(parent: Parent) -> list[Obstacle]:
    """What would make vSphere refuse a clone, as far as that can be known."""
    found = []
    if parent.template:
        found.append(Obstacle("template", "It is a template; an instant clone needs a running VM."))
    elif not parent.powered_on:
        found.append(
            Obstacle(
                "not_powered_on",
                f"It is {parent.power_state}; an instant clone needs a running VM.",
            )
        )
    if not parent.host:
        found.append(Obstacle("host_unknown", "It is on a host that this user may not see."))
    elif not parent.host_available:
        found.append(
            Obstacle(
                "host_unavailable",
                f"Its host {parent.host_name} is in maintenance mode or not connected.",
            )
        )
    if parent.delta_levels >= MOST_LEVELS:
        found.append(
            Obstacle(
                "delta_levels",
                f"Its disks have {parent.delta_levels} delta levels of at most {MOST_LEVELS}.",
            )
        )
    return [*found, *parent.devices]


def _not_running(parent: Parent) -> VforgeError | None:
    if parent.template:
        return InvalidOption(
            f"{parent.path} is a template.",
            hint="The parent of instant clones is a running VM.",
            option="parent",
        )
    if not parent.powered_on:
        return InvalidOption(
            f"{parent.path} is {parent.power_state or 'in an unknown state'}.",
            hint="Power it on first: freezing, and running, are states of a VM that is powered on.",
            option="parent",
        )
    return None


def _no_reset(parent: Parent, options: ParentOptions, stays_frozen: bool) -> VforgeError | None:
    if not parent.frozen or stays_frozen or options.allow_reset:
        return None
    if options.state == FROZEN:
        return freeze.out_of_date(parent.path, METHOD, parent.record)
    return InvalidOption(
        f"{parent.path} is frozen, and only a reset makes a frozen VM run again.",
        hint="Set allow_reset if its guest may be reset. What its memory holds is lost then; its clones go on.",
        option="allow_reset",
    )


def own_snapshots(parent: Parent) -> VforgeError:
    """Why a parent with snapshots that are not of a collapse is not collapsed."""
    return InvalidOption(
        f"{parent.path} has snapshots of its own ({names.listing(parent.snapshots)}), and collapsing removes all snapshots.",
        hint="Remove them yourself if they are not needed, or leave collapse_deltas off.",
        option="collapse_deltas",
        snapshots=list(parent.snapshots),
    )
