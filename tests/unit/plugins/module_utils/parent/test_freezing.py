# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Freeze a parent in the simulator, and let it run again."""

from __future__ import annotations

import json
import math
import os
import signal
import threading
import time
import tracemalloc

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import Interrupted
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import freeze
from ansible_collections.vforge.vsphere.plugins.plugin_utils import ready_made
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import succeeded


def test_a_running_parent_is_frozen_once(start):
    parents = start()
    ran = parents.run()
    assert (ran.one["changed"], ran.one["actions"], ran.one["state"]) == (True, ["frozen"], "frozen")
    assert ran.result["changed"] is True
    assert parents.frozen()
    assert ran.one["seconds"] > 0
    again = parents.run()
    assert again.one["seconds"] == 0
    assert (again.result["changed"], again.one["actions"], again.one["state"]) == (False, [], "frozen")
    assert "StartProgramInGuest" not in again.calls
    assert again.result["diff"]["before"] == again.result["diff"]["after"] == ""
    assert parents.warnings == []


def test_what_freezing_costs(start):
    ran = start().run(on_wake=["echo awake\n"])
    calls = {method: count for method, count in ran.calls.items() if method != "WaitForUpdatesEx"}
    # Asked after rounds of 1, 2, 4 and more seconds in which nothing came.
    assert calls.pop("ListProcessesInGuest", 0) <= math.log2(2 + ran.one["seconds"])
    assert calls == {
        "RetrieveServiceContent": 1,
        "Login": 1,
        "CreatePropertyCollector": 1,
        "RetrievePropertiesEx": 2,
        "CreateTemporaryDirectoryInGuest": 1,
        "ListFilesInGuest": 1,
        "InitiateFileTransferToGuest": 2,
        "StartProgramInGuest": 1,
        "CreateFilter": 1,
        "DestroyPropertyFilter": 1,
        "Logout": 1,
    }


def test_three_parents_share_everything_but_the_work_in_their_guests(start):
    parents = start("--parents", "3")
    names = ["golden-parent", "golden-parent-2", "golden-parent-3"]
    three = parents.run(parents=[{"name": name} for name in names])
    assert [entry["name"] for entry in three.parents] == names
    assert all(parents.frozen(name) for name in names)
    assert (three.calls["CreateFilter"], three.calls["StartProgramInGuest"]) == (1, 3)
    # The names are found in one call, each guest costs five; the rest is shared.
    assert three.calls["RetrievePropertiesEx"] == 2
    assert three.total - three.calls.get("ListProcessesInGuest", 0) == 5 + 3 * 5


def test_check_mode_logs_in_to_the_guest_and_changes_nothing(start):
    parents = start()
    ran = parents.run(check=True)
    assert (ran.result["changed"], ran.one["actions"], ran.one["state"]) == (True, ["frozen"], "frozen")
    assert "state: running" in ran.result["diff"]["before"]
    assert "state: frozen" in ran.result["diff"]["after"]
    assert ran.calls["ValidateCredentialsInGuest"] == 1
    assert "StartProgramInGuest" not in ran.calls
    assert not parents.frozen()
    real = parents.run()
    assert real.result["diff"] == ran.result["diff"]
    assert set(real.one) == set(ran.one)


def test_check_mode_finds_wrong_credentials(start):
    parents = start()
    ran = parents.attempt(check=True, guest_password="wrong")  # noqa: S106 (that is the point)
    assert ran.code == "guest_wrong_credentials"
    assert ran.result["changed"] is False


def test_the_script_before_runs_in_the_parent_and_the_others_in_each_clone(start):
    parents = start()
    parents.run(before_freeze="echo before > /root/log\n", on_wake=["echo one >> /root/log\n", "echo two >> /root/log\n"])
    assert parents.sim.guest_file("golden-parent", "/root/log") == "before\n"
    _clone(parents, "web-1")
    _until(lambda: parents.sim.guest_file("web-1", "/root/log") == "before\none\ntwo\n")
    _until(lambda: parents.left_in_guest("web-1") == [])
    assert parents.sim.guest_file("golden-parent", "/root/log") == "before\n"


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ({"before_freeze": "echo disk is full\nexit 1\n"}, 71, ["before_freeze", "disk is full"]),
        ({"freeze_command": "no-such-command"}, 72, ["the freeze command", "not found"]),
        ({"on_wake": ["if true; then\n"]}, 70, ["syntax"]),
        ({"freeze_command": "true"}, 0, ["exit code 0"]),
    ],
)
def test_a_script_that_fails_reports_why_and_leaves_nothing(start, asked, code, words):
    parents = start()
    ran = parents.attempt(**asked)
    assert (ran.code, ran.one["error"]["exit_code"]) == ("freeze_failed", code)
    assert all(word in ran.one["error"]["msg"] for word in words), ran.one["error"]["msg"]
    assert (ran.result["changed"], ran.one["state"]) == (False, "running")
    assert not parents.frozen()
    assert parents.left_in_guest() == []
    assert parents.warnings == []


def test_a_script_that_never_ends_is_ended(start):
    parents = start()
    ran = parents.late("WaitForUpdatesEx", before_freeze="sleep 3600\n")
    assert ran.code == "freeze_timeout"
    assert not any(process["running"] for process in parents.sim.vm("golden-parent")["guest"]["processes"])
    assert parents.left_in_guest() == []


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda sim: sim.patch_vm("golden-parent", tools="notRunning"), "guest_tools_not_running"),
        (lambda sim: sim.govc("vm.power", "-off", "golden-parent"), "invalid_option"),
        (lambda sim: sim.patch_guest("golden-parent", users={"root": "another"}), "guest_wrong_credentials"),
        (lambda sim: sim.patch_guest("golden-parent", missing=["vmware-rpctool"]), "freeze_failed"),
        (lambda sim: sim.inject(method="StartProgramInGuest", do="fault", fault="SystemError"), "system_error"),
        (lambda sim: sim.inject(method="CreateTemporaryDirectoryInGuest", do="fault", fault="NoPermission"), "no_permission"),
    ],
)
def test_what_stands_in_the_way_is_reported_and_nothing_is_changed(start, spoil, code):
    parents = start()
    spoil(parents.sim)
    # Only Tools that do not run are waited for.
    ran = parents.late("WaitForUpdatesEx") if code == "guest_tools_not_running" else parents.attempt()
    assert ran.code == code
    assert ran.one["error"]["msg"]
    assert ran.result["changed"] is False
    assert not parents.frozen()
    assert parents.left_in_guest() == []


def test_one_that_fails_stops_no_other(start):
    parents = start("--parents", "2")
    parents.sim.patch_guest("golden-parent", fail={"vmware-rpctool*": 3})
    ran = parents.attempt(parents=[{"name": "golden-parent"}, {"name": "golden-parent-2"}])
    assert [entry["state"] for entry in ran.parents] == ["running", "frozen"]
    assert [item["name"] for item in ran.result["failures"]] == ["golden-parent"]
    assert ran.result["changed"] is True
    assert "1 of 2 parents failed: /DC0/vm/golden-parent: " in str(ran.error)
    told = ran.result["failures"][0]["msg"]
    assert str(ran.error).endswith(told), "what to do is said once"
    parents.sim.patch_guest("golden-parent", fail={})
    again = parents.run(parents=[{"name": "golden-parent"}, {"name": "golden-parent-2"}])
    assert [entry["actions"] for entry in again.parents] == [["frozen"], []]


def _tools_come(parents):
    """A task whose parent has no Tools that run until it waits for them."""
    parents.sim.patch_vm("golden-parent", tools="notRunning")
    return parents.meanwhile("CreateFilter", 1, lambda: parents.sim.patch_vm("golden-parent", tools="running"))


def test_tools_that_are_not_there_yet_are_waited_for(start):
    parents = start()
    ran = succeeded(_tools_come(parents))
    assert ran.one["state"] == "frozen"
    assert ran.calls["CreateFilter"] == 2


def test_check_mode_does_not_fail_for_tools_that_a_real_run_would_wait_for(start):
    parents = start()
    parents.sim.patch_vm("golden-parent", tools="notRunning")
    ran = parents.run(check=True)
    assert (ran.one["actions"], ran.calls.get("ValidateCredentialsInGuest", 0)) == (["frozen"], 0)
    (warning,) = ran.one["warnings"]
    assert "A real run waits for them" in warning
    assert parents.warnings == [warning]
    parents.sim.patch_vm("golden-parent", tools="running")
    assert parents.run().one["state"] == "frozen"


def test_a_wait_for_tools_is_no_change(start):
    parents = start()
    parents.sim.patch_guest("golden-parent", fail={"vmware-rpctool*": 3})
    ran = _tools_come(parents)
    assert (ran.code, ran.one["seconds"], ran.calls["CreateFilter"]) == ("freeze_failed", 0, 2)


def test_a_frozen_parent_runs_again_only_when_a_reset_is_allowed(start):
    parents = start()
    parents.run()
    refused = parents.attempt(state="running")
    assert (refused.code, refused.one["error"]["option"]) == ("invalid_option", "allow_reset")
    assert parents.frozen()
    would = parents.run(state="running", allow_reset=True, check=True)
    assert (would.one["actions"], would.one["state"]) == (["reset"], "running")
    assert parents.frozen()
    ran = parents.run(state="running", allow_reset=True)
    assert (ran.one["actions"], ran.one["state"]) == (["reset"], "running")
    assert not parents.frozen()
    again = parents.run(state="running", allow_reset=True)
    assert (again.result["changed"], again.calls.get("ResetVM_Task", 0)) == (False, 0)
    assert parents.run().one["actions"] == ["frozen"]


def test_no_parents_are_nothing_to_do(start):
    ran = start().run(parents=[])
    assert (ran.result["changed"], ran.parents) == (False, [])
    assert "RetrievePropertiesEx" not in ran.calls


def test_one_vm_named_twice_is_refused(start):
    parents = start()
    moid = parents.sim.vm("golden-parent")["moid"]
    ran = parents.attempt(parents=[{"name": "golden-parent"}, {"moid": moid}])
    assert ran.error is not None
    assert ran.error.error_code == "invalid_option"
    assert ran.result == {}


@pytest.mark.parametrize(("selector", "words"), [({"name": "golden-paren"}, "golden-parent"), ({"moid": "vm-0"}, "moid vm-0")])
def test_a_vm_that_is_not_there_is_reported(start, selector, words):
    ran = start().attempt(parent=selector)
    assert ran.error is not None
    assert ran.error.error_code == "not_found"
    assert words in str(ran.error)


def test_a_lost_connection_ends_the_task_with_an_account(start):
    parents = start()
    parents.sim.inject(method="WaitForUpdatesEx", do="drop", times=0)
    ran = parents.attempt()
    assert ran.error is not None
    # A parent that froze nevertheless is told as frozen.
    assert ran.one["frozen"] == parents.frozen()
    assert ran.one["frozen"] or ran.code in ("not_attempted", "connection_lost")


def test_an_interrupt_leaves_the_guest_as_it_was_and_an_account(start):
    parents = start()

    def interrupt(line):
        if "are frozen" in line:
            raise Interrupted("The run was ended by SIGTERM.", hint="Run again.")

    parents.tell = interrupt
    ran = parents.attempt(before_freeze="sleep 3600\n")
    assert ran.code == "not_attempted"
    assert "SIGTERM" in str(ran.error)
    assert not any(process["running"] for process in parents.sim.vm("golden-parent")["guest"]["processes"])
    assert parents.left_in_guest() == []
    parents.tell = lambda _line: None
    assert parents.run().one["actions"] == ["frozen"]


def test_a_signal_while_guests_are_cleaned_up_waits_until_all_are(start):
    parents = start("--parents", "2")
    both = [{"name": "golden-parent"}, {"name": "golden-parent-2"}]
    held = parents.sim.inject(method="TerminateProcessInGuest", nth=1, do="delay")
    struck = threading.Event()

    def interrupt(_number, _frame):
        struck.set()
        raise Interrupted("The run was ended by SIGTERM.", hint="Run again.")

    def watch():
        assert parents.sim.called("TerminateProcessInGuest", 1, within=120)
        os.kill(os.getpid(), signal.SIGALRM)
        struck.wait(300)
        parents.sim.clear(held)

    before = signal.signal(signal.SIGALRM, interrupt)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        ran = parents.late("WaitForUpdatesEx", parent=None, parents=both, before_freeze="sleep 3600\n")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert "SIGTERM" in str(ran.error)
    for parent in both:
        processes = parents.sim.vm(parent["name"])["guest"]["processes"]
        assert not any(process["running"] for process in processes)
    assert parents.left_in_guest() == []
    assert parents.warnings == []


def test_a_vcenter_that_knows_no_instant_clones_says_so(start):
    ran = start("--api-version", "6.5").attempt()
    assert ran.error is not None
    assert ran.error.error_code == "not_supported"
    assert "6.5" in str(ran.error)


def test_neither_password_nor_scripts_are_reported(start):
    parents = start()
    ran = parents.attempt(before_freeze="true hidden-in-script\nexit 1\n")
    told = json.dumps(ran.result) + str(ran.error) + json.dumps(parents.sim.vm("golden-parent"))
    assert parents.sim.guest_password not in told
    assert "hidden-in-script" not in told


# What a parent is frozen with


def test_what_scripts_need_and_the_guest_lacks_is_reported_before_it_is_frozen(start):
    parents = start()
    parents.sim.patch_guest("golden-parent", missing=["nmcli", "ssh-keygen"])
    ran = parents.attempt(on_wake=[ready_made.script("networkmanager")])
    assert ran.code == "wake_script_needs"
    assert ran.one["error"]["missing"] == ["ssh-keygen", "nmcli"]
    assert "nmcli" in ran.one["error"]["msg"]
    assert (ran.result["changed"], parents.frozen(), parents.left_in_guest()) == (False, False, [])
    other = parents.run(on_wake=["echo awake\n"])
    assert (other.one["state"], other.one["wake_scripts"]) == ("frozen", 1)


def test_a_parent_frozen_with_other_scripts_is_out_of_date(start):
    parents = start()
    parents.run(on_wake=["echo one hidden-word\n"])
    asked = {"on_wake": ["echo two\n"]}
    refused = parents.attempt(**asked)
    assert refused.code == "parent_out_of_date"
    assert "allow_reset" in refused.one["error"]["msg"]
    assert refused.result["changed"] is False
    would = parents.run(**asked, allow_reset=True, check=True)
    assert would.one["actions"] == ["reset", "frozen"]
    # Its state is the same as before: without this the diff would show no reason to lose its memory.
    assert "scripts: others than this task asks for" in would.result["diff"]["before"]
    assert "scripts: those of this task" in would.result["diff"]["after"]
    ran = parents.run(**asked, allow_reset=True)
    assert ran.result["diff"] == would.result["diff"]
    assert (ran.one["actions"], ran.one["state"]) == (["reset", "frozen"], "frozen")
    assert set(would.one) == set(ran.one)
    again = parents.run(**asked)
    assert (again.result["changed"], again.one["wake_scripts"]) == (False, 1)
    assert "hidden-word" not in json.dumps([refused.result, ran.result, parents.sim.vm("golden-parent")])


@pytest.mark.parametrize(
    "other",
    [
        {"before_freeze": "echo b\n", "on_wake": ["echo a\n"]},
        {"freeze_command": "vmtoolsd --cmd instantclone.freeze", "on_wake": ["echo a\n"]},
        {"on_wake": []},
        {"on_wake": ["echo a\n", "echo b\n"]},
    ],
)
def test_all_scripts_decide_what_a_parent_is_frozen_with(start, other):
    parents = start()
    parents.run(on_wake=["echo a\n"])
    assert parents.attempt(**other).code == "parent_out_of_date"
    # How much of the output is told changes nothing that a clone does.
    assert parents.run(on_wake=["echo a"], wake_output=False).result["changed"] is False


def test_a_parent_that_does_not_show_its_scripts_is_frozen_where_none_are_asked_for(start):
    parents = start()
    parents.sim.patch_vm("golden-parent", frozen=True)
    assert parents.run().result["changed"] is False
    ran = parents.attempt(on_wake=["echo a\n"])
    assert ran.code == "parent_out_of_date"
    assert "does not show" in ran.one["error"]["msg"]


# What runs that were killed have left


def _leave_behind(parents, script="sleep 3600\n", **asked):
    """A run that writes scripts into the guest, and then is gone, as after a kill: nothing is cleaned up."""
    parents.sim.inject(method="TerminateProcessInGuest", do="fault", fault="SystemError", times=1)
    ran = parents.late("WaitForUpdatesEx", before_freeze=script, **asked)
    assert ran.code == "freeze_timeout"
    assert "left running" in parents.warnings.pop()
    assert parents.warnings == []
    assert _running(parents) != []
    assert parents.left_in_guest() != []


def _running(parents):
    processes = parents.sim.vm("golden-parent")["guest"]["processes"]
    return [process["command"] for process in processes if process["running"] and "vforge-" in process["command"]]


def test_what_a_killed_run_has_left_is_ended_and_removed_first(start):
    parents = start()
    _leave_behind(parents, on_wake=["echo old hidden-word > /root/woke\n"])
    parents.run(on_wake=["echo new > /root/woke\n"])
    assert not any("hidden-word" in parents.sim.guest_file("golden-parent", path) for path in parents.left_in_guest())
    assert len({path.rsplit("/", 1)[0] for path in parents.left_in_guest()}) == 1
    _clone(parents, "web-1")
    _until(lambda: parents.sim.guest_file("web-1", "/root/woke") == "new\n")
    _until(lambda: parents.left_in_guest("web-1") == [])
    assert parents.warnings == []


def test_a_script_of_a_killed_run_that_froze_the_parent_after_all_reports_whose_it_was(start):
    parents = start()
    _leave_behind(parents, "sleep 5\n", on_wake=["echo old > /root/woke\n"])
    _until(parents.frozen)
    asked = {"on_wake": ["echo new > /root/woke\n"]}
    refused = parents.attempt(**asked)
    assert (refused.code, refused.result["changed"]) == ("parent_out_of_date", False)
    parents.run(**asked, allow_reset=True)
    _clone(parents, "web-1")
    _until(lambda: parents.sim.guest_file("web-1", "/root/woke") == "new\n")


def test_files_that_only_look_like_ours_stay(start):
    parents = start()
    parents.sim.patch_guest("golden-parent", files={"/tmp/other-vforge-x": "a", "/root/vforge-y": "b"})  # noqa: S108
    parents.run()
    assert parents.sim.guest_file("golden-parent", "/tmp/other-vforge-x") == "a"  # noqa: S108
    assert parents.sim.guest_file("golden-parent", "/root/vforge-y") == "b"


def test_a_script_that_cannot_be_ended_keeps_the_guest_from_being_frozen(start):
    parents = start()
    _leave_behind(parents)
    parents.sim.inject(method="TerminateProcessInGuest", do="fault", fault="GuestPermissionDenied", times=1)
    ran = parents.attempt()
    assert ran.code == "guest_permission_denied"
    assert not parents.frozen()
    assert parents.run().one["actions"] == ["frozen"]


def test_a_parent_that_another_run_froze_meanwhile_is_not_taken_for_ours(start, monkeypatch):
    monkeypatch.setattr(freeze, "_RECORD_SECONDS", 0.5)
    parents = start()
    # The script of the other run is faster: it freezes while this one waits.
    ran = parents.attempt(before_freeze=f"{_other_record()}\nvmware-rpctool instantclone.freeze\n", on_wake=["echo mine\n"])
    assert ran.code == "parent_out_of_date"
    assert parents.frozen()
    assert parents.attempt(on_wake=["echo mine\n"]).code == "parent_out_of_date"


def _other_record():
    uuid = "50000000-0000-0000-0000-000000000009"
    return f'vmware-rpctool "info-set guestinfo.vforge.frozen {uuid} {"0" * 16} 1 {"1" * 16} {"2" * 32}"'


def test_of_a_long_output_the_end_is_kept(start):
    parents = start()
    parents.sim.patch_guest("golden-parent", files={"/root/long": "0123456789abcde\n" * 10_000})
    tracemalloc.start()
    ran = parents.attempt(before_freeze=f"cat {'/root/long ' * 50}\nprintf '\\033[31mlast\\n'\nexit 1\n", timeout=120)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ran.code == "freeze_failed"
    output = ran.one["error"]["output"]
    assert len(output) <= 4000
    assert output.endswith("0123456789abcde\n\\x1b[31mlast")
    assert most < 4 * 2**20, "an output of 8 MB costs no memory of this size"


def _clone(parents, name):
    parents.sim.govc("vm.instantclone", "-vm", "golden-parent", "-ds", "LocalDS_0", "-pool", "DC0_C0/Resources", name)


def _until(seen, seconds=300.0):
    """Guests of the simulator work by themselves; how long that takes says only how busy the machine is."""
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.05)
