# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be done to a parent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._parent.model import Obstacle
from ansible_collections.vforge.vsphere.plugins.module_utils._parent.plan import COLLAPSE, FREEZE, RESET, decide, obstacles
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.parent.support import disk, options, parent

FROZEN = {"frozen": True, "tools": False}


@pytest.mark.parametrize(
    ("known", "asked", "steps"),
    [
        (parent(), {}, (FREEZE,)),
        (parent(**FROZEN), {}, ()),
        (parent(), {"state": "running"}, ()),
        (parent(**FROZEN), {"state": "running", "allow_reset": True}, (RESET,)),
        (parent(), {"state": "running", "allow_reset": True}, ()),
        (parent(3), {"collapse_deltas": True}, (COLLAPSE, FREEZE)),
        (parent(3), {"state": "running", "collapse_deltas": True}, (COLLAPSE,)),
        (parent(3, **FROZEN), {"state": "running", "collapse_deltas": True, "allow_reset": True}, (RESET, COLLAPSE)),
        (parent(0), {"state": "running", "collapse_deltas": True}, ()),
        (parent(1, own=0), {"state": "running", "collapse_deltas": True}, ()),
        (parent(1, leftover=True), {"state": "running", "collapse_deltas": True}, (COLLAPSE,)),
        (parent(0, leftover=True), {"state": "running", "collapse_deltas": True}, (COLLAPSE,)),
        (parent(3), {}, (FREEZE,)),
        (parent(3, snapshots=("mine",)), {}, (FREEZE,)),
    ],
)
def test_the_steps(known, asked, steps):
    plan = decide(known, options(**asked))
    assert (plan.steps, plan.refusal) == (steps, None)


@pytest.mark.parametrize(
    ("known", "asked", "option", "words"),
    [
        (parent(**FROZEN), {"state": "running"}, "allow_reset", "only a reset"),
        (parent(power_state="poweredOff"), {}, "parent", "poweredOff"),
        (parent(power_state="suspended"), {"state": "running"}, "parent", "suspended"),
        (parent(template=True, power_state="poweredOff"), {}, "parent", "template"),
        (parent(3, snapshots=("before update", "mine")), {"collapse_deltas": True}, "collapse_deltas", "before update, mine"),
        (
            parent(3, snapshots=("mine",), leftover=True),
            {"state": "running", "collapse_deltas": True},
            "collapse_deltas",
            "mine",
        ),
    ],
)
def test_what_is_refused_is_refused_as_a_whole(known, asked, option, words):
    plan = decide(known, options(**asked))
    assert plan.steps == ()
    assert plan.refusal is not None
    assert plan.refusal.details["option"] == option
    assert words in str(plan.refusal)


def test_a_frozen_parent_is_not_collapsed_but_reported():
    plan = decide(parent(7, **FROZEN), options(collapse_deltas=True))
    assert plan.steps == ()
    assert "7 delta levels" in plan.warnings[0]


@pytest.mark.parametrize(("levels", "warned"), [(0, 0), (199, 0), (200, 1), (254, 1), (300, 1)])
def test_a_parent_near_the_limit_is_warned_of(levels, warned):
    warnings = decide(parent(levels), options()).warnings
    assert len(warnings) == warned
    assert all(
        f"{levels} delta levels of at most 255" in text and f"leaves {max(255 - levels, 0)}" in text for text in warnings
    )


def test_there_is_no_warning_of_what_is_about_to_be_collapsed():
    assert decide(parent(250), options(collapse_deltas=True)).warnings == ()


def test_levels_of_another_vm_are_not_promised_to_be_collapsed():
    assert "full clone" in decide(parent(220, own=0), options()).warnings[0]


@given(st.integers(0, 300), st.booleans(), st.booleans(), st.sampled_from(["frozen", "running"]))
def test_a_second_run_has_nothing_to_do(levels, frozen, collapse, state):
    asked = options(state=state, collapse_deltas=collapse, allow_reset=True)
    first = decide(parent(levels, frozen=frozen), asked)
    after = parent(
        0 if COLLAPSE in first.steps else levels, frozen=FREEZE in first.steps or (frozen and RESET not in first.steps)
    )
    assert decide(after, asked).steps == ()


@pytest.mark.parametrize(
    ("known", "codes"),
    [
        (parent(), []),
        (parent(254), []),
        (parent(255), ["delta_levels"]),
        (parent(template=True, power_state="poweredOff"), ["template"]),
        (parent(power_state="poweredOff"), ["not_powered_on"]),
        (parent(host_available=False), ["host_unavailable"]),
        (parent(host="", host_available=False), ["host_unknown"]),
        (parent(255, devices=(Obstacle("vgpu", "a GPU", "GPU 1"),)), ["delta_levels", "vgpu"]),
    ],
)
def test_what_would_refuse_a_clone(known, codes):
    assert [item.code for item in obstacles(known)] == codes


def test_the_disk_with_most_levels_counts():
    known = parent(disks=(disk(3, 1), disk(1), disk(2)))
    assert (known.delta_levels, known.collapsible_levels) == (3, 2)
    assert (parent(disks=()).delta_levels, parent(disks=()).collapsible_levels) == (0, 0)
