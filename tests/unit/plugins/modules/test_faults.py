# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each call of each module can fail: a few cases of the sweep each time, all of them by ``make faults``.

VFORGE_FAULTS names the folder for what came of each task; then all cases are tried.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import random
from collections import defaultdict

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.modules import endings
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.faults import KINDS, Sweep, Tally
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.ways import WAYS
from vforge_ova import write_package

_FOLDER = os.environ.get("VFORGE_FAULTS", "")
_STORIES = {**endings.STORIES, **WAYS}

# Cases of a task without VFORGE_FAULTS.
_FEW = 4

# A sweep by hand of some faults, or of some calls.
_ONLY = os.environ.get("VFORGE_FAULTS_ONLY", "")

# How many cases of each task a sweep tries, chosen anew by each seed; 0 for all.
_CASES = int(os.environ.get("VFORGE_FAULTS_CASES", "0"))
_SEED = os.environ.get("VFORGE_FAULTS_SEED", "")

# In how many tests the cases of one task are, so that they run beside each other.
_PARTS = 4 if _FOLDER else 1


def _chosen(cases, which, part):
    if _ONLY:
        cases = [case for case in cases if _ONLY in str(case)]
    if _FOLDER and _CASES:
        cases = random.Random(which + _SEED).sample(cases, min(_CASES, len(cases)))  # noqa: S311
    if _FOLDER:
        return cases[part::_PARTS]
    # By the name of the task alone, so that they are the same ones in each run.
    return random.Random(which).sample(cases, min(_FEW, len(cases)))  # noqa: S311


@pytest.mark.parametrize("part", range(_PARTS))
@pytest.mark.parametrize("which", sorted(_STORIES))
def test_each_call_can_fail(make_sim, tmp_path, request, which, part):
    story = _STORIES[which]
    if story.images:
        request.getfixturevalue("libnbd")
    write_package(tmp_path / "ova")
    sweep = Sweep(make_sim(*story.flags), which.partition(",")[0], story, tmp_path)
    sweep.measure()
    tallies = defaultdict(Tally)
    cases = list(sweep.cases())
    many = len(cases)
    for case in _chosen(cases, which, part):
        sweep.try_case(case, tallies[case.kind])
    if _FOLDER:
        told = {kind: dataclasses.asdict(tally) for kind, tally in tallies.items()}
        (pathlib.Path(_FOLDER) / f"{which}-{part}.json").write_text(
            json.dumps({"task": which, "of": many, "kinds": told}), encoding="utf-8"
        )
    wrong = [each for tally in tallies.values() for each in tally.wrong]
    assert not wrong, "\n".join(wrong)


def test_a_fault_strikes_the_calls_that_can_have_it():
    assert [kind for kind, about in KINDS.items() if about.calls.match("CloneVM_Task")] == list(KINDS)
    waiting = {kind for kind, about in KINDS.items() if not about.calls.match("WaitForUpdatesEx")}
    assert waiting == {"answered too late", "NoPermission", "TaskInProgress", "task failed"}
