# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles that are played again in one play: what an earlier run has left in variables is not taken for what this one found."""

from __future__ import annotations

import json

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import environment, forking, kept
from vforge_playbook import run_playbook


@pytest.fixture
def play(make_sim, tmp_path):
    """A function that plays a role after another run of it, of which it gets the variables; returns the exit code, the
    output, what the play hands on, and variables of the role."""
    sim = make_sim("--vms", "1")

    def played(role, before, given, *words, keep=()):
        named = [{f"{role}_{name}": value for name, value in each.items()} for each in (before, given)]
        include = {"ansible.builtin.include_role": {"name": f"vforge.vsphere.{role}"}, "vars": named[1]}
        told = {name: f"{{{{ {role}_{name} | default({{}}) }}}}" for name in keep}
        always = [{**kept("{{ told | to_json }}", tmp_path / "left.json"), "vars": {"told": told}}]
        tasks = [{"ansible.builtin.set_fact": named[0]}, {"block": [include], "always": always}]
        book = [{"hosts": "localhost", "gather_facts": False, "vars": forking(), "tasks": tasks}]
        (tmp_path / "play.json").write_text(json.dumps(book), encoding="utf-8")
        env = {**environment(tmp_path, sim), "ANSIBLE_SHOW_CUSTOM_STATS": "true", "ANSIBLE_NOCOLOR": "1"}
        code, output = run_playbook(*words, "play.json", cwd=tmp_path, env=env)
        handed = [json.loads(line.split("RUN: ", 1)[1])[role] for line in output.splitlines() if "RUN: " in line]
        return code, output, handed, json.loads((tmp_path / "left.json").read_text(encoding="utf-8"))

    return played


_OTHERS = [{"name": "of-another", "path": "/DC0/vm/of-another", "instance_uuid": "", "action": "created"}]


def test_the_clones_of_another_template_are_not_handed_on(play, tiny_ova):
    given = {
        "template": "tiny",
        "source": str(tiny_ova.ova),
        "cluster": "DC0_C0",
        "default_network": "VM Network",
        "clones": [{"name": "web-1"}],
    }
    code, output, handed, _left = play("ovf_linked_clones", {"result": {"clones": _OTHERS}}, given, "--check")
    assert (code, [each["clones"] for each in handed]) == (0, [[]]), output


def test_the_unused_templates_of_another_folder_are_not_handed_on(play, tiny_ova):
    place = {"cluster": "DC0_C0", "default_network": "VM Network"}
    given = {"name": "node", "source": str(tiny_ova.ova), "unused": "ignore", **place}
    code, output, handed, _left = play("capv_node_template", {"old": _OTHERS}, given, "--check")
    assert (code, [each["unused"] for each in handed]) == (0, [[]]), output


def test_a_group_that_cannot_be_tracked_is_looked_after_whatever_became_of_another_one(play, tmp_path):
    before = {"asked": {"vms": [], "failures": [], "calls": {"total": 1}, "timing": {}}, "not_tracked": _OTHERS}
    given = {
        "vms": [{"name": "server-00001"}],
        "state_file": str(tmp_path / "state.json"),
        "path": str(tmp_path / "page.html"),
        "datacenter": "nowhere",
    }
    code, output, handed, left = play("changed_areas_report", before, given, keep=("cleaned", "not_tracked"))
    # Snapshots are looked for, which fails as the question before it has.
    assert (code, handed, left["cleaned"]["error_code"], left["not_tracked"]) == (2, [], "not_found", []), output
