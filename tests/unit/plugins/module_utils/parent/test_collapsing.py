# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Collapse the deltas that clones have left on a parent."""

from __future__ import annotations

import functools

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.clone.running import Tasks

_COLLAPSE = {"state": "running", "collapse_deltas": True}


@pytest.fixture
def parents(start):
    """A parent with three delta levels, which three clones have left."""
    parents = start()
    Tasks(parents.sim).run(clones=[{"name": f"web-{number}"} for number in range(3)])
    return parents


def _snapshots(parents):
    return parents.info(children=False, ask_vcenter=False).one["snapshots"]


def test_deltas_are_collapsed_once(parents):
    ran = parents.run(**_COLLAPSE)
    assert (ran.one["actions"], ran.one["delta_levels"], ran.one["clones_left"]) == (["collapsed"], 0, 255)
    assert [ran.calls[name] for name in ("CreateSnapshot_Task", "RemoveAllSnapshots_Task")] == [1, 1]
    assert parents.sim.vm("golden-parent")["disks"][0]["deltas"] == 0
    assert "delta_levels: 3" in ran.result["diff"]["before"]
    assert "delta_levels: 0" in ran.result["diff"]["after"]
    again = parents.run(**_COLLAPSE)
    assert again.result["changed"] is False
    assert "CreateSnapshot_Task" not in again.calls


def test_the_clones_keep_their_disks(parents):
    before = parents.sim.vm("web-0")["disks"]
    parents.run(**_COLLAPSE)
    assert parents.sim.vm("web-0")["disks"] == before
    assert Tasks(parents.sim).run(name="web-9").actions == {"web-9": "created"}


def test_check_mode_reports_and_changes_nothing(parents):
    ran = parents.run(check=True, **_COLLAPSE)
    assert (ran.one["actions"], ran.one["delta_levels"]) == (["collapsed"], 0)
    assert parents.sim.vm("golden-parent")["disks"][0]["deltas"] == 3
    assert "CreateSnapshot_Task" not in ran.calls


def test_a_parent_is_collapsed_before_it_is_frozen(parents):
    ran = parents.run(collapse_deltas=True)
    assert (ran.one["actions"], ran.one["state"], ran.one["delta_levels"]) == (["collapsed", "frozen"], "frozen", 0)


def test_a_frozen_one_is_left_alone_with_a_word(parents):
    parents.run()
    ran = parents.run(collapse_deltas=True)
    assert ran.result["changed"] is False
    assert "3 delta levels stay" in ran.one["warnings"][0]
    assert parents.warnings == ran.one["warnings"]
    ran = parents.run(allow_reset=True, **_COLLAPSE)
    assert (ran.one["actions"], ran.one["delta_levels"]) == (["reset", "collapsed"], 0)


def test_a_parent_with_snapshots_of_its_own_is_never_touched(parents):
    parents.sim.govc("snapshot.create", "-vm", "golden-parent", "-m=false", "mine")
    ran = parents.attempt(**_COLLAPSE)
    assert (ran.code, ran.one["error"]["snapshots"]) == ("invalid_option", ["mine"])
    assert "RemoveAllSnapshots_Task" not in ran.calls
    assert _snapshots(parents) == ["mine"]


@pytest.mark.parametrize("removable", [True, False])
def test_a_snapshot_that_somebody_makes_meanwhile_is_spared(parents, removable):
    """Backup software may make one at any time, and to collapse removes all."""
    if not removable:
        parents.sim.inject(method="RemoveSnapshot_Task", do="task-fault", fault="SystemError", message="no")
    make = functools.partial(parents.sim.govc, "snapshot.create", "-vm", "golden-parent", "-m=false", "mine")
    ran = parents.meanwhile("CreateSnapshot_Task", 1, make, **_COLLAPSE)
    assert (ran.code, ran.one["error"]["snapshots"]) == ("invalid_option", ["mine"])
    assert "RemoveAllSnapshots_Task" not in ran.calls
    assert _snapshots(parents) == ["mine"]
    assert (ran.result["changed"], ran.one["actions"]) == ((False, []) if removable else (True, ["snapshot_created"]))
    (vm,) = parents.sim.govc("vm.info", "golden-parent")["virtualMachines"]
    assert ("vforge-collapse" in str(vm["snapshot"])) is not removable
    assert len(ran.one["warnings"]) == (0 if removable else 1)


def test_a_snapshot_that_a_broken_run_has_left_is_used_and_removed(parents):
    parents.sim.inject(method="RemoveAllSnapshots_Task", do="task-fault", fault="SystemError", message="no")
    ran = parents.attempt(**_COLLAPSE)
    assert ran.code == "system_error"
    assert (ran.result["changed"], ran.one["actions"]) == (True, ["snapshot_created"])
    again = parents.run(**_COLLAPSE)
    assert (again.one["actions"], again.one["delta_levels"]) == (["collapsed"], 0)
    assert "CreateSnapshot_Task" not in again.calls
    assert _snapshots(parents) == []


def test_a_parent_near_the_limit_is_warned_of(start):
    parents = start()
    parents.sim.patch_vm("golden-parent", delta_levels=240)
    ran = parents.run(state="running")
    assert "240 delta levels of at most 255, which leaves 15" in ran.one["warnings"][0]
    assert parents.warnings == ran.one["warnings"]
    assert ran.one["clones_left"] == 15
