# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each call of each module can fail, and before each somebody can do something in the vSphere Client: two cases and one moment
of each task here, all cases, more moments, and the roles by ``make faults``.

VFORGE_FAULTS names the folder for what came of each task; then all cases are tried.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import random
import time
from collections import defaultdict

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.modules import endings
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import Forked
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.faults import KINDS, Tally, some
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.roles import ROLES, WITHOUT_CALLS, RoleRun
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.somebody import TWICE, Meanwhile
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.ways import WAYS
from vforge_ova import write_package

_COLLECTION = pathlib.Path(__file__).parents[4]

_FOLDER = os.environ.get("VFORGE_FAULTS", "")
_STORIES = {**endings.STORIES, **WAYS}

# Cases of a task without VFORGE_FAULTS.
_FEW = 2

# In how many moments of a part of a task somebody does something in a sweep; without VFORGE_FAULTS it is one. Where there was
# nothing to be done so often, no other moment is looked for.
_MOMENTS = 6 if _FOLDER else 1
_MISSED = 40 if _FOLDER else 3

# Cases and moments of a role in a sweep, which takes ten times as long as a module.
_FEW_OF_ROLES = 12
_MOMENTS_OF_ROLES = 3

# A sweep by hand of some faults, or of some calls.
_ONLY = os.environ.get("VFORGE_FAULTS_ONLY", "")

# How many calls of one method have the same fault in a sweep; 0 for all.
_MOST = int(os.environ.get("VFORGE_FAULTS_MOST", "1"))

# In how many tests the cases of one task are, so that they run beside each other.
_PARTS = 4 if _FOLDER else 1


def _chosen(sweep, which, part):
    cases = [case for case in sweep.cases(_MOST if _FOLDER else 0) if _ONLY in str(case)]
    # By the name of the task alone, so that they are the same ones in each run; each part has some of all kinds.
    mixed = random.Random(which).sample(cases, len(cases))  # noqa: S311
    return mixed[part::_PARTS] if _FOLDER else mixed[:_FEW]


def _moments(sweep, which, part):
    moments = [moment for moment in sweep.moments() if _ONLY in str(moment)]
    mixed = random.Random(which).sample(moments, len(moments))  # noqa: S311
    return mixed[part::_PARTS]


# In a sweep alone, and before the others: these take longest.
if _FOLDER:

    @pytest.mark.parametrize("which", sorted(ROLES))
    def test_each_call_of_a_role_can_fail(make_sim, tmp_path, request, which):
        story = ROLES[which]
        _ready(request, story, tmp_path, "programs")
        sim = make_sim(*story.flags)
        sweep = Meanwhile(sim, story, RoleRun(sim, which, tmp_path), tmp_path)
        sweep.measure()
        cases = [case for case in sweep.cases() if _ONLY in str(case) and not case.is_signal]
        chosen = random.Random(which).sample(cases, min(_FEW_OF_ROLES, len(cases)))  # noqa: S311
        # Two controllers with one role have tests of their own.
        moments = [moment for moment in sweep.moments() if _ONLY in str(moment) and moment.act != TWICE]
        mixed = random.Random(which).sample(moments, len(moments))  # noqa: S311
        _try(sweep, chosen, f"role-{which}", f"role {which}", mixed, _MOMENTS_OF_ROLES)


# The first part of all tasks comes first.
@pytest.mark.parametrize("which", sorted(_STORIES))
@pytest.mark.parametrize("part", range(_PARTS))
def test_each_call_can_fail(make_sim, tmp_path, request, part, which):
    story = _STORIES[which]
    _ready(request, story, tmp_path)
    sim = make_sim(*story.flags)
    sweep = Meanwhile(sim, story, Forked(sim, which.partition(",")[0], tmp_path), tmp_path)
    sweep.measure()
    _try(sweep, _chosen(sweep, which, part), f"{which}-{part}", which, _moments(sweep, which, part))


def test_every_role_is_in_the_sweep():
    roles = {path.name for path in (_COLLECTION / "roles").iterdir()}
    assert ROLES.keys() | WITHOUT_CALLS == roles


def _ready(request, story, folder, programs="libnbd"):
    if story.images:
        request.getfixturevalue(programs)
    write_package(folder / "ova")


def _try(sweep, cases, file, task, moments, most=_MOMENTS):
    """Try these cases and some of these moments, and write down what came of them."""
    tallies = defaultdict(Tally)
    begun = time.monotonic()
    for case in cases:
        sweep.try_case(case, tallies[case.kind])
    beside = tallies["somebody beside it"] if moments else Tally()
    for moment in moments:
        sweep.try_moment(moment, beside)
        if beside.runs >= most or beside.missed >= _MISSED:
            break
    seconds = time.monotonic() - begun
    if _FOLDER:
        told = {kind: dataclasses.asdict(tally) for kind, tally in tallies.items()}
        path = pathlib.Path(_FOLDER) / f"{file}.json"
        of = len(_STORIES) * _PARTS + len(ROLES)
        path.write_text(json.dumps({"task": task, "seconds": seconds, "kinds": told, "of": of}), encoding="utf-8")
    wrong = [f"{what}: {each}" for tally in tallies.values() for what, each in tally.wrong]
    assert not wrong, "\n".join(wrong)


def test_a_fault_strikes_the_calls_that_can_have_it():
    of_files = {"lease timed out", "transfer cut", "transfer stalled", "transfer slow"}
    assert _kinds("CloneVM_Task") == set(KINDS) - of_files
    waiting = {"answered too late", "NoPermission", "TaskInProgress", "task failed", "task did its work and failed"}
    assert _kinds("WaitForUpdatesEx") == set(KINDS) - of_files - waiting
    assert _kinds("GET /nfc") >= of_files
    assert _kinds("REST GET /tags") == _kinds("GET /folder") - of_files - {"session ended"}


def _kinds(call):
    return {kind for kind, about in KINDS.items() if about.calls.match(call)}


def test_some_calls_of_many_are_the_same_ones_in_each_run():
    assert some(3, 4, "x") == [1, 2, 3]
    chosen = some(20, 4, "x")
    assert (len(chosen), chosen[0], chosen[-1]) == (4, 1, 20)
    assert some(20, 4, "x") == chosen
    assert some(20, 0, "x") == list(range(1, 21))
    [one] = some(20, 1, "x")
    assert [one] == some(20, 1, "x")
    assert {some(20, 1, f"x {number}")[0] for number in range(200)} == set(range(1, 21))
