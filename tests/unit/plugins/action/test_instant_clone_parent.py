# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules for parents in playbooks: ready-made scripts by their names, and secrets that nobody sees."""

from __future__ import annotations

import json

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import environment, forking, kept
from vforge_playbook import run_playbook


@pytest.fixture
def sim(make_sim):
    """A simulator of the test's own."""
    return make_sim("--vms", "2")


@pytest.fixture
def play(sim, tmp_path):
    """A function that runs tasks, and returns the results and all of the output at the highest verbosity in use."""

    def run(*tasks):
        steps = []
        for number, task in enumerate(tasks):
            steps.append({**task, "register": f"done_{number}", "ignore_errors": True})
            steps.append(kept(f"{{{{ done_{number} | to_json }}}}", tmp_path / f"{number}.json"))
        playbook = [{"hosts": "localhost", "gather_facts": False, "vars": forking(), "tasks": steps}]
        (tmp_path / "play.json").write_text(json.dumps(playbook), encoding="utf-8")
        code, output = run_playbook("-vvv", "--diff", "play.json", cwd=tmp_path, env=environment(tmp_path, sim))
        assert code == 0, output
        results = [json.loads((tmp_path / f"{number}.json").read_text(encoding="utf-8")) for number in range(len(tasks))]
        return results, output

    return run


def _parent(sim, **options):
    login = {"guest_username": sim.guest_username, "guest_password": sim.guest_password}
    return {"vforge.vsphere.instant_clone_parent": {"parent": {"name": "golden-parent"}, **login, **options}}


def test_a_parent_is_frozen_with_a_ready_made_script_and_its_clone_sets_itself_up(sim, play):
    clone = {"parent": {"name": "golden-parent"}, "name": "web-1", "guestinfo": {"hostname": "first", "ipv4": "10.9.8.1/24"}}
    results, _output = play(
        _parent(sim, on_wake=["networkmanager", "echo done > /root/own-script"], before_freeze="true"),
        {"vforge.vsphere.instant_clone": {**clone, "wait_for_ip_address": True}},
        {"vforge.vsphere.instant_clone_parent_info": {"parent": {"name": "golden-parent"}}},
    )
    frozen, cloned, told = results
    assert frozen["parents"][0]["actions"] == ["frozen"]
    assert cloned["clones"][0]["ip"] == "10.9.8.1"
    assert sim.vm("web-1")["host_name"] == "first"
    assert told["parents"][0]["state"] == "frozen"
    assert [child["name"] for child in told["parents"][0]["children"]] == ["web-1"]
    # "true" is a script here, and secret; that must not star out every true of the result.
    assert frozen["changed"] is True


def test_secrets_are_seen_nowhere(sim, play):
    script = "password=hidden-in-script\necho it fails\nexit 1\n"
    results, output = play(
        _parent(sim, before_freeze=script, on_wake=["echo hidden-in-wake"]),
        _parent(sim, guest_password="wrong-one"),  # noqa: S106 (not one)
    )
    failed, refused = results
    assert failed["parents"][0]["error"]["output"] == "it fails"
    assert refused["parents"][0]["error"]["error_code"] == "guest_wrong_credentials"
    for secret in ("hidden-in-script", "hidden-in-wake", "wrong-one", sim.guest_password):
        assert secret not in output
        assert secret not in json.dumps(results)


def test_a_name_that_is_no_script_is_refused_before_anything_is_connected(sim, play):
    results, _output = play(_parent(sim, on_wake=["networkmanger"]))
    assert results[0]["error_code"] == "invalid_option"
    assert "networkmanager, netplan, ifcfg" in results[0]["msg"]
    assert sim.calls()["total"] == 0
