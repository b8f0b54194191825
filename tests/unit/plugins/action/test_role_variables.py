# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A misspelt variable of a role, which Ansible ignores, and errors that a play ignores, are refused before anything is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.fleets import Fleet
from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import Plays, environment
from vforge_playbook import run_playbook

_ROLES = sorted((Path(__file__).parents[4] / "roles").glob("*/tasks/main.yml"))


def _first(tasks):
    """The first task, be it in a block or in a file of its own."""
    if "block" in tasks[0]:
        return _first(tasks[0]["block"])
    return tasks[0]


@pytest.mark.parametrize("main", _ROLES, ids=lambda main: main.parents[1].name)
def test_every_role_begins_with_it(main):
    first = _first(yaml.safe_load(main.read_text(encoding="utf-8")))
    # Its own ignore_errors wins over that of a play, which it refuses.
    assert ("vforge.vsphere.role_variables" in first, first["ignore_errors"]) == (True, False)


_ROLE = {"name": "vforge.vsphere.vm_clone_backup"}
_IGNORING = {"ignore_errors": True}
_WAYS = {
    "play": {**_IGNORING, "tasks": [{"ansible.builtin.include_role": _ROLE}]},
    "roles": {"roles": [{"role": _ROLE["name"], **_IGNORING}]},
    "import": {"tasks": [{"ansible.builtin.import_role": _ROLE, "ignore_errors": "{{ not ansible_check_mode }}"}]},
    "apply": {"tasks": [{"ansible.builtin.include_role": {**_ROLE, "apply": _IGNORING}}]},
    "block": {"tasks": [{"block": [{"ansible.builtin.include_role": _ROLE}], **_IGNORING}]},
}
_REFUSED = "The role is played with ignore_errors"


def _played(folder, *words, **play):
    """Play a role that is to back nothing up, which it refuses in its second task."""
    (folder / "play.json").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, **play}]), encoding="utf-8")
    code, output = run_playbook(*words, "play.json", cwd=folder, env=environment(folder))
    return code, " ".join(output.split())


@pytest.mark.parametrize("way", _WAYS)
def test_a_role_does_not_go_on_past_its_checks_where_a_play_ignores_errors(tmp_path, way):
    code, output = _played(tmp_path, **_WAYS[way])
    assert (code, _REFUSED in output, "Set vm_clone_backup_vms" in output) == (2, True, False), output


def test_ignore_errors_is_no_matter_in_check_mode_and_not_where_it_ends_at_the_include(tmp_path):
    _code, checked = _played(tmp_path, "--check", **_WAYS["play"])
    assert (_REFUSED in checked, "Set vm_clone_backup_vms" in checked) == (False, True), checked
    _code, included = _played(tmp_path, tasks=[{"ansible.builtin.include_role": _ROLE, **_IGNORING}])
    assert (_REFUSED in included, "Set vm_clone_backup_vms" in included) == (False, True), included


def test_no_role_asks_ansible_check_mode_which_is_false_below_a_check_mode_of_a_play():
    files = [file for main in _ROLES for file in main.parents[1].rglob("*.yml")]
    assert [str(file) for file in files if "ansible_check_mode" in file.read_text(encoding="utf-8")] == []


def test_an_extra_variable_does_not_win_over_what_a_role_gives_to_another_one(tmp_path):
    given = {"ovf_linked_clones_template": "tiny", "ovf_linked_clones_clones": [{"name": "web-1"}]}
    play = {"vars": {**given, "ovf_linked_clones_identity": "cloud_init"}, "roles": ["vforge.vsphere.ovf_linked_clones"]}
    code, output = _played(tmp_path, "-e", "guest_cloud_init_clone=full", **play)
    assert code == 2, output
    assert "guest_cloud_init_clone would win over what the role ovf_linked_clones gives to the role guest_cloud_init" in output
    # What the outer role does not set is for the user to set, in whatever way, and a user's own include may be overridden.
    for words, tasks in (
        (("-e", "guest_cloud_init_domain=example.com"), play),
        (
            ("-e", "vm_clone_backup_state=restored"),
            {"tasks": [{"include_role": _ROLE, "vars": {"vm_clone_backup_state": "x"}}]},
        ),
    ):
        _code, others = _played(tmp_path, *words, **tasks)
        assert "would win" not in others, others
    assert "Set vm_clone_backup_restores" in others


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
