# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parents from disabled to quiesced and back, in the simulator."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.fork.running import named


def test_a_running_vm_becomes_a_quiesced_parent_once(start):
    forks = start()
    ran = forks.run()
    assert (ran.one["changed"], ran.one["actions"], ran.one["state"]) == (True, ["enabled", "quiesced"], "quiesced")
    assert forks.quiesced()
    assert ran.one["fork_group_id"] == forks.fork_info()["parentForkGroupId"]
    again = forks.run()
    assert (again.result["changed"], again.one["actions"], again.one["state"]) == (False, [], "quiesced")
    assert "StartProgramInGuest" not in again.calls
    assert again.result["diff"]["before"] == again.result["diff"]["after"] == ""
    assert forks.warnings == []


def test_children_are_forked_and_set_themselves_up(start):
    forks = start()
    ran = forks.run(children=named("web-1", "web-2"), wait_for_ip_address=True)
    assert ran.actions == {"web-1": "created", "web-2": "created"}
    assert ran.listed == ["web-1", "web-2"]
    for name, child in ran.children.items():
        assert (child["power_state"], child["child_type"], child["persistent"]) == ("poweredOn", "nonpersistent", False)
        assert child["ip"] == forks.sim.vm(name)["ip"]
        assert forks.sim.guest_file(name, "/etc/hostname") == f"{name}\n"
        assert forks.left_in_guest(name) == []
        assert forks.fork_info(name)["childForkGroupId"] == ran.one["fork_group_id"]
    again = forks.run(children=named("web-1", "web-2"), wait_for_ip_address=True)
    assert again.result["changed"] is False
    assert again.actions == {"web-1": "unchanged", "web-2": "unchanged"}


def test_check_mode_logs_in_to_the_guest_and_changes_nothing(start):
    forks = start()
    ran = forks.run(check=True, children=named("web-1"))
    assert (ran.result["changed"], ran.one["actions"], ran.one["state"]) == (True, ["enabled", "quiesced"], "quiesced")
    assert ran.actions == {"web-1": "created"}
    assert ran.calls["ValidateCredentialsInGuest"] == 1
    assert not any(method.endswith("_Task") for method in ran.calls)
    assert forks.fork_info() == {}
    real = forks.run(children=named("web-1"))
    assert real.result["diff"] == ran.result["diff"]
    assert set(real.one) == set(ran.one)
    assert set(real.children["web-1"]) == set(ran.children["web-1"])


def test_check_mode_does_not_fail_for_tools_that_a_real_run_would_wait_for(start):
    forks = start()
    forks.sim.patch_vm("golden-parent", tools="notRunning")
    ran = forks.run(check=True, children=named("web-1"))
    assert (ran.one["actions"], ran.actions) == (["enabled", "quiesced"], {"web-1": "created"})
    assert "ValidateCredentialsInGuest" not in ran.calls
    (warning,) = ran.one["warnings"]
    assert "A real run waits for them" in warning


def test_check_mode_finds_wrong_credentials_and_leaves_the_children_alone(start):
    ran = start().attempt(check=True, guest_password="wrong", children=named("web-1"))  # noqa: S106 (that is the point)
    assert ran.code == "guest_wrong_credentials"
    assert ran.result["changed"] is False
    assert ran.children["web-1"]["error"]["error_code"] == "not_attempted"


def test_the_diff_shows_states_and_names_but_no_values(start):
    diff = start().run(check=True, children=[{"name": "web-1", "config_params": {"token": "hidden"}}]).result["diff"]
    assert diff["before"] == "golden-parent:\n  state: disabled\n"
    for line in ("  state: quiesced\n", "web-1:\n", "  child_type: nonpersistent\n", "  guestinfo.fork.token: (set)\n"):
        assert line in diff["after"]
    assert "hidden" not in diff["after"]


def test_enabled_and_disabled_without_a_word_to_the_guest(start):
    forks = start()
    first = forks.run(state="enabled")
    assert (first.one["actions"], first.one["state"]) == (["enabled"], "enabled")
    assert forks.fork_info()["parentEnabled"] is True
    assert forks.run(state="enabled").result["changed"] is False
    gone = forks.run(state="disabled")
    assert (gone.one["actions"], gone.one["state"], gone.one["fork_group_id"]) == (["disabled"], "disabled", None)
    assert not forks.fork_info().get("parentEnabled")
    again = forks.run(state="disabled")
    assert again.result["changed"] is False
    assert not any("Guest" in method for method in again.calls)


def test_a_quiesced_parent_runs_again_only_when_a_reset_is_allowed(start):
    forks = start()
    forks.run()
    refused = forks.attempt(state="enabled")
    assert (refused.code, refused.one["error"]["option"]) == ("invalid_option", "allow_reset")
    would = forks.run(state="enabled", allow_reset=True, check=True)
    assert (would.one["actions"], would.one["state"]) == (["reset"], "enabled")
    assert forks.quiesced()
    ran = forks.run(state="enabled", allow_reset=True)
    assert (ran.one["actions"], ran.one["state"]) == (["reset"], "enabled")
    assert not forks.quiesced()
    assert forks.run(state="enabled", allow_reset=True).result["changed"] is False
    # Its guest is not there at once; quiescing waits for it.
    assert forks.run().one["actions"] == ["quiesced"]


def test_disabling_lets_the_parent_run_only_when_a_reset_is_allowed(start):
    forks = start()
    forks.run()
    kept = forks.run(state="disabled")
    assert (kept.one["actions"], kept.one["state"], kept.one["quiesced"]) == (["disabled"], "disabled", True)
    assert "allow_reset" in forks.warnings[0]
    ran = forks.run(state="disabled", allow_reset=True)
    assert (ran.one["actions"], ran.one["quiesced"]) == (["reset"], False)


def test_a_parent_is_not_disabled_while_a_child_lives_on_its_memory(start):
    forks = start()
    forks.run(children=named("web-1", "web-2"))
    refused = forks.attempt(state="disabled", children=[{"name": "web-2", "state": "absent"}])
    assert refused.one["error"]["running"] == ["web-1"]
    assert refused.result["changed"] is False
    assert refused.children["web-2"]["error"]["error_code"] == "not_attempted"
    assert refused.listed == ["web-1", "web-2"]
    both = [{"name": name, "state": "absent"} for name in ("web-1", "web-2")]
    ran = forks.run(state="disabled", allow_reset=True, children=both)
    assert (ran.one["actions"], ran.listed, ran.actions) == (
        ["disabled", "reset"],
        [],
        {"web-1": "removed", "web-2": "removed"},
    )


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ({"before_quiesce": "echo disk is full\nexit 1\n"}, 71, ["before_quiesce", "disk is full"]),
        ({"quiesce_command": "no-such-command"}, 72, ["the quiesce command", "not found"]),
        ({"on_wake": ["if true; then\n"]}, 70, ["syntax"]),
        ({"quiesce_command": "true", "on_wake": []}, 0, ["exit code 0"]),
    ],
)
def test_a_script_that_fails_reports_why_and_leaves_nothing(start, asked, code, words):
    forks = start()
    ran = forks.attempt(children=named("web-1"), **asked)
    assert (ran.code, ran.one["error"]["exit_code"]) == ("quiesce_failed", code)
    assert all(word in ran.one["error"]["msg"] for word in words), ran.one["error"]["msg"]
    # What was done is told: VMFork is enabled now.
    assert (ran.one["actions"], ran.one["state"]) == (["enabled"], "enabled")
    assert ran.children["web-1"]["error"]["error_code"] == "not_attempted"
    assert "CreateForkChild_Task" not in ran.calls
    assert forks.left_in_guest() == []
    good = forks.run(children=named("web-1"))
    assert (good.one["actions"], good.actions) == (["quiesced"], {"web-1": "created"})


def test_a_command_that_never_ends_and_never_quiesces_is_ended(start):
    forks = start()
    forks.sim.patch_guest("golden-parent", hang="vmtoolsd*")
    ran = forks.late("WaitForUpdatesEx", since=("StartProgramInGuest", 1))
    assert ran.code == "quiesce_timeout"
    assert not any(process["running"] for process in forks.sim.vm("golden-parent")["guest"]["processes"])
    assert forks.left_in_guest() == []


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda sim: sim.patch_vm("golden-parent", tools="notRunning"), "guest_tools_not_running"),
        (lambda sim: sim.govc("vm.power", "-off", "golden-parent"), "invalid_option"),
        (lambda sim: sim.patch_guest("golden-parent", users={"root": "another"}), "guest_wrong_credentials"),
        (lambda sim: sim.inject(method="EnableForkParent_Task", do="task-fault", fault="SystemError"), "system_error"),
        (lambda sim: sim.inject(method="EnableForkParent_Task", do="fault", fault="NoPermission"), "no_permission"),
    ],
)
def test_what_stands_in_the_way_is_reported(start, spoil, code):
    forks = start()
    spoil(forks.sim)
    ran = forks.late("WaitForUpdatesEx") if code == "guest_tools_not_running" else forks.attempt()
    assert ran.code == code
    assert ran.one["error"]["msg"]
    assert not forks.quiesced()
    assert forks.left_in_guest() == []


def test_a_child_reports_its_own_parent(start):
    forks = start()
    forks.run(children=named("web-1"))
    ran = forks.attempt(parent={"name": "web-1"}, state="disabled")
    assert ran.error is None
    assert ran.one["child_type"] == "nonpersistent"
    assert ran.one["parent"]["name"] == "golden-parent"
    assert ran.calls["RetrieveForkParent_Task"] == 1
    assert "is a child itself" in str(forks.attempt(parent={"name": "web-1"}).error)


def test_one_parent_that_fails_stops_no_other(start):
    forks = start("--parents", "2")
    both = [{"name": "golden-parent"}, {"name": "golden-parent-2"}]
    children = [
        *named("a-1", parent={"name": "golden-parent"}),
        *named("b-1", "b-2", parent={"name": "golden-parent-2"}),
    ]
    forks.sim.patch_guest("golden-parent", fail={"vmtoolsd*": 3})
    ran = forks.attempt(parents=both, children=children)
    assert [entry["state"] for entry in ran.result["parents"]] == ["enabled", "quiesced"]
    assert ran.actions == {"a-1": "failed", "b-1": "created", "b-2": "created"}
    assert [item["name"] for item in ran.result["failures"]] == ["golden-parent", "a-1"]
    assert "2 of 5 parents and children failed" in str(ran.error)
    forks.sim.patch_guest("golden-parent", fail={})
    again = forks.run(parents=both, children=children)
    assert [entry["actions"] for entry in again.result["parents"]] == [["quiesced"], []]
    assert again.actions == {"a-1": "created", "b-1": "unchanged", "b-2": "unchanged"}
    assert {child["name"]: child["parent"] for child in again.result["children"]} == {
        "a-1": "golden-parent",
        "b-1": "golden-parent-2",
        "b-2": "golden-parent-2",
    }


# Scripts


def test_a_parent_quiesced_with_other_scripts_is_out_of_date(start):
    forks = start()
    forks.run(on_wake=["echo one\n"])
    refused = forks.attempt(on_wake=["echo two\n"])
    assert refused.code == "parent_out_of_date"
    assert refused.result["changed"] is False
    asked = {"on_wake": ["echo two\n"], "allow_reset": True}
    would = forks.run(check=True, **asked)
    assert would.one["actions"] == ["reset", "quiesced"]
    assert "scripts: others than this task asks for" in would.result["diff"]["before"]
    assert "scripts: those of this task" in would.result["diff"]["after"]
    ran = forks.run(**asked)
    assert ran.result["diff"] == would.result["diff"]
    assert (ran.one["actions"], ran.one["state"], ran.one["wake_scripts"]) == (["reset", "quiesced"], "quiesced", 1)
    assert forks.run(on_wake=["echo two\n"]).result["changed"] is False


def test_a_parent_is_not_reset_for_its_scripts_while_children_live_on_its_memory(start):
    forks = start()
    forks.run(on_wake=["echo one\n"], children=named("web-1"))
    ran = forks.attempt(on_wake=["echo two\n"], allow_reset=True)
    assert (ran.code, ran.one["error"]["option"]) == ("invalid_option", "state")
    assert forks.quiesced()


def test_what_scripts_need_and_the_guest_lacks_is_reported_before_it_is_quiesced(start):
    forks = start()
    forks.sim.patch_guest("golden-parent", missing=["netplan"])
    ran = forks.attempt(on_wake=["# vforge: needs netplan\necho awake\n"])
    assert (ran.code, ran.one["error"]["missing"]) == ("wake_script_needs", ["netplan"])
    assert not forks.quiesced()
    assert forks.left_in_guest() == []


def test_a_script_that_fails_in_a_child_is_the_failure_of_that_child(start):
    forks = start()
    script = """case $(vmware-rpctool "info-get guestinfo.fork.role") in bad) echo no way; exit 7 ;; esac\n"""
    children = [
        {"name": "web-1", "config_params": {"role": "good"}},
        {"name": "web-2", "config_params": {"role": "bad"}},
    ]
    ran = forks.attempt(on_wake=[script], children=children, timeout=60)
    good, bad = ran.children["web-1"], ran.children["web-2"]
    assert (good["action"], good["wake"]) == ("created", "ok")
    assert (bad["action"], bad["wake"], bad["error"]["error_code"]) == ("failed", "failed", "wake_failed")
    assert (bad["error"]["exit_code"], bad["error"]["output"]) == (7, "no way")
    assert any("web-1: the SSH host keys are still those of the parent" in text for text in forks.warnings)
    again = forks.attempt(on_wake=[script], children=children)
    assert again.children["web-2"]["error"]["error_code"] == "wake_failed"


def test_a_script_that_does_not_end_in_a_child_is_late(start):
    ran = start().late("WaitForUpdatesEx", saying=" running'", on_wake=["sleep 3600\n"], children=named("web-1"))
    assert ran.children["web-1"]["error"]["error_code"] == "wake_timeout"
