# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A misspelt variable of a role, which Ansible ignores, is refused before anything is done."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.fleets import Fleet
from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import Plays

_ROLES = sorted((Path(__file__).parents[4] / "roles").glob("*/tasks/main.yml"))


def _first(tasks):
    """The first task, be it in a block or in a file of its own."""
    if "block" in tasks[0]:
        return _first(tasks[0]["block"])
    return tasks[0]


@pytest.mark.parametrize("main", _ROLES, ids=lambda main: main.parents[1].name)
def test_every_role_begins_with_it(main):
    assert "vforge.vsphere.role_variables" in _first(yaml.safe_load(main.read_text(encoding="utf-8")))


def test_no_role_asks_ansible_check_mode_which_is_false_below_a_check_mode_of_a_play():
    files = [file for main in _ROLES for file in main.parents[1].rglob("*.yml")]
    assert [str(file) for file in files if "ansible_check_mode" in file.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize(("words", "keyword", "said"), [((), False, False), (("--check",), False, True), ((), True, True)])
def test_check_mode_is_said_wherever_it_comes_from(make_sim, tmp_path, words, keyword, said):
    play = Plays(make_sim(), tmp_path, "fcd_audit", keep=("run",))
    ran = play.run(*words, check_mode=keyword, path=str(tmp_path / "page.html"))
    assert (ran.code, ran.left["run"]["check_mode"]) == (0, said)


def test_a_fleet_is_not_scaled_down_by_a_misspelt_count(make_sim, tmp_path):
    fleet = Fleet(make_sim("--clone-time", "1ms", "--vms", "0"), tmp_path, "instant_clone_fleet")
    assert fleet.run(count=3).code == 0
    mine = {"instant_clone_fleet_owner": "team-a"}
    refused = fleet.run(cuont=3, others=mine)
    assert refused.code != 0
    assert "no variable instant_clone_fleet_cuont (did you mean instant_clone_fleet_count?)" in " ".join(refused.output.split())
    assert refused.calls == {}
    ran = fleet.run(count=3, others={**mine, "instant_clone_fleet_counts": [3, 5]})
    assert (ran.code, ran.counts) == (0, {"unchanged": 3})
    warned = "The role instant_clone_fleet has no variable instant_clone_fleet_counts, instant_clone_fleet_owner."
    assert warned in " ".join(ran.output.split())
    assert len(fleet.vms("web-[0-9]*")) == 3
