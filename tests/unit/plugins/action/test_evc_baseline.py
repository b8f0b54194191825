# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role evc_baseline in playbooks: a mode that a cluster has not got is not called set."""

from __future__ import annotations

import json

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import environment, forking
from vforge_playbook import run_playbook


def test_a_cluster_that_has_not_the_mode_after_all_fails_the_role(make_sim, tmp_path):
    sim = make_sim("--vms", "0", "--parents", "0")
    role = {"name": "vforge.vsphere.evc_baseline"}
    # In check mode the mode is not set, so the cluster is as it would be where somebody has taken the mode away again.
    tasks = [
        {"ansible.builtin.include_role": role},
        {"ansible.builtin.include_role": {**role, "tasks_from": "apply", "apply": {"check_mode": True}}},
    ]
    given = {"evc_baseline_cluster": "DC0_C0", "evc_baseline_mode": "intel-ivybridge", **forking()}
    play = {"hosts": "localhost", "gather_facts": False, "vars": given, "tasks": tasks}
    (tmp_path / "play.json").write_text(json.dumps([play]), encoding="utf-8")
    code, output = run_playbook("play.json", cwd=tmp_path, env=environment(tmp_path, sim))
    assert (code, "has not got intel-ivybridge: its mode is none." in " ".join(output.split())) == (2, True), output
