# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modes that VMs have of their own, against simulators."""

from __future__ import annotations

import time
import types

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._engine import Task
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import Fault, NotAttempted, TimedOut
from ansible_collections.vforge.vsphere.plugins.module_utils._evc import cycle, plan
from ansible_collections.vforge.vsphere.plugins.module_utils._evc.cycle import VmItem
from ansible_collections.vforge.vsphere.plugins.module_utils._evc.model import EvcVm
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import vm
from ansible_collections.vforge.vsphere.tests.unit.plugins.deadlines import time_over
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.evc.running import Evc


def test_a_vm_that_is_off_gets_a_mode_another_and_none(start):
    evc = start("xeon-skylake")
    evc.make("evc-one", on=False)
    assert evc.vms("intel-haswell", "evc-one", check=True).one["actions"] == ["mode_set"]
    assert not evc.vm("evc-one")["runtime"].get("featureMask")

    done = evc.vms("intel-haswell", "evc-one")
    assert done.one["actions"] == ["mode_set"]
    assert (done.one["mode"], done.one["previous_mode"], done.one["needs_mode"]) == ("intel-haswell", None, "intel-haswell")
    masks = {mask["key"]: mask["value"] for mask in evc.vm("evc-one")["runtime"]["featureMask"]}
    assert masks["cpuid.model"] == "Val:0x3f"

    again = evc.vms("Intel Haswell Generation", "evc-one")
    assert not again.result["changed"]
    assert again.total <= 4

    other = evc.vms("intel-ivybridge", "evc-one").one
    assert (other["mode"], other["previous_mode"]) == ("intel-ivybridge", "intel-haswell")
    assert evc.vms("", "evc-one", state="absent").one["actions"] == ["mode_removed"]
    assert not evc.vm("evc-one")["runtime"].get("featureMask")
    assert not evc.vms("", "evc-one", state="absent").result["changed"]


def test_a_running_vm_is_shut_down_given_the_mode_and_started_again(start):
    evc = start("xeon-broadwell")
    evc.make("evc-a")
    evc.make("evc-b")
    done = evc.vms("intel-haswell", "evc-a", "evc-b", power_cycle=True)
    assert [vm["actions"] for vm in done.vms] == [["shut_down", "mode_set", "powered_on"]] * 2
    assert done.called("ShutdownGuest") == 2
    assert done.called("PowerOffVM_Task") == 0
    for name in ("evc-a", "evc-b"):
        seen = evc.vm(name)
        assert seen["runtime"]["powerState"] == "poweredOn"
        assert seen["runtime"]["minRequiredEVCModeKey"] == "intel-haswell"
        assert "vforge.evc" not in {pair["key"] for pair in seen["config"].get("extraConfig") or ()}
    again = evc.vms("intel-haswell", "evc-a", "evc-b", power_cycle=True)
    assert not again.result["changed"]
    assert again.total <= 4
    # What it was for: the cluster can have the mode now.
    assert evc.cluster("intel-haswell").error is None


@pytest.mark.parametrize(
    ("made", "given", "code", "said"),
    [
        ({}, {}, "invalid_option", "is powered on"),
        ({"hardware": "vmx-13", "on": False}, {}, "not_supported", "hardware version is 13"),
        ({"template": True}, {}, "invalid_option", "is a template"),
    ],
)
def test_a_vm_that_cannot_have_a_mode_now_is_refused_before_anything_is_done(start, made, given, code, said):
    evc = start("xeon-broadwell")
    evc.make("evc-no", **made)
    refused = evc.vms("intel-haswell", "evc-no", **given)
    assert refused.code == code
    assert said in refused.one["error"]["msg"]
    assert refused.called("ApplyEvcModeVM_Task") == 0


def test_without_tools_only_force_powers_a_vm_off(start):
    evc = start("xeon-broadwell")
    evc.make("evc-bare")
    evc.sim.patch_vm("evc-bare", tools="notRunning")
    refused = evc.vms("intel-haswell", "evc-bare", power_cycle=True)
    assert "VMware Tools do not run" in refused.one["error"]["msg"]
    done = evc.vms("intel-haswell", "evc-bare", power_cycle=True, force=True)
    assert done.one["actions"] == ["shut_down", "mode_set", "powered_on"]
    assert done.called("PowerOffVM_Task") == 1


def test_a_suspended_vm_is_left_alone(start):
    evc = start("xeon-broadwell")
    evc.make("evc-asleep")
    evc.sim.govc("vm.power", "-suspend", "evc-asleep")
    assert "is suspended" in evc.vms("intel-haswell", "evc-asleep", power_cycle=True).one["error"]["msg"]


def test_a_vm_that_does_not_come_back_fails_and_is_waited_for_again(start):
    evc = start("xeon-broadwell")
    evc.make("evc-lost")
    evc.make("evc-fine")
    # Its Tools are there until it is shut down, and then no more.
    evc.sim.inject(method="PowerOnVM_Task", name="evc-lost", do="task-fault", fault="SystemError")
    failed = evc.vms("intel-haswell", "evc-lost", "evc-fine", power_cycle=True)
    lost, fine = failed.vms
    assert lost["error"]["error_code"] == "system_error"
    assert lost["actions"] == ["shut_down", "mode_set"]
    assert fine["actions"] == ["shut_down", "mode_set", "powered_on"]
    assert evc.vm("evc-lost")["runtime"]["powerState"] == "poweredOff"
    # Only with power_cycle is a VM started.
    assert not evc.vms("intel-haswell", "evc-lost").result["changed"]
    gone_on = evc.vms("intel-haswell", "evc-lost", "evc-fine", power_cycle=True)
    assert [vm["actions"] for vm in gone_on.vms] == [["powered_on"], []]
    assert evc.vm("evc-lost")["runtime"]["powerState"] == "poweredOn"
    assert not evc.vms("intel-haswell", "evc-lost", "evc-fine", power_cycle=True).result["changed"]


def test_a_guest_whose_tools_do_not_come_has_not_come_back(start):
    evc = start("xeon-broadwell", flags=("--guest-time", "3s"))
    evc.make("evc-slow")
    failed = evc.vms("intel-haswell", "evc-slow", power_cycle=True, shutdown_timeout=60, tools_timeout=1)
    assert failed.code == "timeout"
    assert "did not come back" in failed.one["error"]["msg"]
    back = evc.vms("intel-haswell", "evc-slow", power_cycle=True)
    assert back.error is None
    assert back.one["actions"] == []
    assert not evc.vms("intel-haswell", "evc-slow", power_cycle=True).result["changed"]


def test_one_that_is_not_there_does_not_stop_the_others(start):
    evc = start("xeon-broadwell")
    evc.make("evc-here", on=False)
    failed = evc.vms("intel-haswell", "evc-nobody", "evc-here")
    assert failed.vms[0]["error"]["error_code"] == "not_found"
    assert failed.vms[1]["actions"] == ["mode_set"]


def test_names_in_capitals_are_the_same_features(start):
    evc = start("xeon-skylake", flags=("--api-version", "7.0.3.2"))
    evc.make("evc-old-names", on=False)
    assert evc.vms("intel-haswell", "evc-old-names").result["changed"]
    assert {mask["key"] for mask in evc.vm("evc-old-names")["runtime"]["featureMask"]} > {"cpuid.AVX2", "cpuid.Intel"}
    assert not evc.vms("intel-haswell", "evc-old-names").result["changed"]


def test_what_a_user_may_not_do_is_said_before_anything_is_shut_down(make_sim, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    sim = make_sim("--clusters", "1", "--hosts", "1", "--vms", "0", "--parents", "0")
    account = {"username": "operator@vsphere.local", "password": "secret-of-the-operator"}
    sim.add_user(**account, privileges=["VirtualMachine.Interact.PowerOff"])
    operator = Evc(sim, **account)
    operator.make("evc-mine")
    for check in (True, False):
        refused = operator.vms("intel-ivybridge", "evc-mine", power_cycle=True, check=check)
        assert refused.code == "no_permission"
        assert "VirtualMachine.Config.Settings" in refused.one["error"]["msg"]
        assert refused.called("ShutdownGuest") == 0


def test_a_vm_whose_mode_is_refused_runs_again(start):
    evc = start("xeon-broadwell")
    evc.make("evc-refused")
    evc.sim.inject(method="ApplyEvcModeVM_Task", do="task-fault", fault="SystemError")
    failed = evc.vms("intel-haswell", "evc-refused", power_cycle=True)
    assert failed.code == "system_error"
    assert failed.one["actions"] == ["shut_down", "powered_on"]
    seen = evc.vm("evc-refused")
    assert seen["runtime"]["powerState"] == "poweredOn"
    assert "vforge.evc" not in {pair["key"] for pair in seen["config"].get("extraConfig") or ()}


def has_mark(evc, name):
    """Whether govc sees the mark of a run that has not brought the VM back."""
    return "vforge.evc" in {pair["key"] for pair in evc.vm(name)["config"].get("extraConfig") or ()}


def test_a_guest_that_does_not_shut_down_is_left_running_and_only_force_ends_it(start):
    evc = start("xeon-broadwell", flags=("--guest-time", "30s"))
    evc.make("evc-stubborn")
    late = evc.vms("intel-haswell", "evc-stubborn", power_cycle=True, shutdown_timeout=1)
    assert late.code == "timeout"
    assert "did not shut down within shutdown_timeout (1 s)" in late.one["error"]["msg"]
    assert "keeps the mark vforge.evc" in str(late.error)
    assert evc.vm("evc-stubborn")["runtime"]["powerState"] == "poweredOn"
    assert has_mark(evc, "evc-stubborn")
    forced = evc.vms("intel-haswell", "evc-stubborn", power_cycle=True, shutdown_timeout=1, tools_timeout=1, force=True)
    assert forced.called("PowerOffVM_Task") == 1
    assert forced.one["actions"] == ["shut_down", "mode_set", "powered_on"]


@pytest.mark.parametrize(
    ("do", "code"),
    [(("vm.power", "-suspend"), "guest_powered_off"), (("vm.destroy",), "not_found")],
    ids=["suspended", "removed"],
)
def test_one_that_somebody_takes_away_while_it_shuts_down_is_reported_at_once(start, do, code):
    evc = start("xeon-broadwell", flags=("--guest-time", "60s"))
    evc.make("evc-taken")
    asked = {
        "mode": "intel-haswell",
        "vms": [{"name": "evc-taken"}],
        "power_cycle": True,
        "shutdown_timeout": 3000,
        "timeout": 6000,
    }
    # The first filter is that of the mark.
    ran = evc.meanwhile("CreateFilter", 2, lambda: evc.sim.govc(*do, "evc-taken"), **asked)
    assert (ran.code, ran.one["actions"]) == (code, [])
    assert ran.called("PowerOnVM_Task") == 0


def test_one_that_somebody_powers_off_while_its_tools_are_waited_for_is_reported_at_once_and_started_by_the_next(start):
    evc = start("xeon-broadwell")
    evc.make("evc-taken")
    asked = {
        "mode": "intel-haswell",
        "vms": [{"name": "evc-taken"}],
        "power_cycle": True,
        "tools_timeout": 3000,
        "timeout": 6000,
    }

    def off():
        evc.sim.govc("vm.power", "-off", "-force", "evc-taken")

    # Of the mark, the guest's end, the mode, and the start.
    ran = evc.meanwhile("CreateFilter", 5, off, **asked)
    assert (ran.code, ran.one["actions"]) == ("guest_powered_off", ["shut_down", "mode_set", "powered_on"])
    assert has_mark(evc, "evc-taken")
    assert evc.vms("intel-haswell", "evc-taken", power_cycle=True).one["actions"] == ["powered_on"]
    assert not has_mark(evc, "evc-taken")


def test_a_guest_that_goes_off_after_the_run_is_started_by_the_next(start):
    evc = start("xeon-broadwell")
    evc.make("evc-late")
    # Nobody knows whether it was asked.
    evc.sim.inject(method="ShutdownGuest", do="drop")
    failed = evc.vms("intel-haswell", "evc-late", power_cycle=True)
    assert failed.code == "connection_lost"
    assert has_mark(evc, "evc-late")
    evc.sim.govc("vm.power", "-off", "-force", "evc-late")
    assert evc.vms("intel-haswell", "evc-late", power_cycle=True).one["actions"] == ["mode_set", "powered_on"]
    assert evc.vm("evc-late")["runtime"]["powerState"] == "poweredOn"
    assert not has_mark(evc, "evc-late")


def test_a_guest_that_vcenter_could_not_ask_keeps_no_mark(start):
    evc = start("xeon-broadwell")
    evc.make("evc-deaf")
    evc.sim.inject(method="ShutdownGuest", do="fault", fault="ToolsUnavailable")
    refused = evc.vms("intel-haswell", "evc-deaf", power_cycle=True)
    assert "VMware Tools do not run in" in refused.one["error"]["msg"]
    assert not has_mark(evc, "evc-deaf")


CYCLE = (plan.MARK, plan.SHUT_DOWN, plan.APPLY, plan.POWER_ON, plan.COME_BACK, plan.UNMARK)


@pytest.mark.parametrize(
    ("done", "left", "in_vain", "more"),
    [
        (0, False, False, {}),
        (1, False, True, {}),
        # The work ended while its guest was shutting down, or when that was late.
        (1, True, False, {"asked": True}),
        (1, False, False, {"asked": True, "error": TimedOut("late")}),
        (2, True, False, {}),
        (2, True, False, {"error": Fault("SystemError", "system_error", "no")}),
        (3, True, False, {}),
        (3, True, False, {"error": NotAttempted("not begun")}),
        # vCenter has refused to start it: it would do so again.
        (3, False, False, {"error": Fault("SystemError", "system_error", "no")}),
        (4, False, False, {}),
        (6, False, False, {}),
    ],
)
def test_what_is_started_again_when_the_work_ends(done, left, in_vain, more):
    found = EvcVm(moid="vm-1", name="a")
    item = VmItem(vm=found, now=found, mode=None, steps=CYCLE, done=list(CYCLE[:done]), **more)
    assert (item.is_left_off, item.is_marked_in_vain) == (left, in_vain)


def test_one_slow_guest_leaves_no_other_vm_off_when_the_time_is_over(start, monkeypatch):
    evc = start("xeon-broadwell")
    evc.make("evc-slow")
    evc.make("evc-fast")
    asked = vm.shut_down_guest
    slow = evc.vm("evc-slow")["self"]["value"]
    monkeypatch.setattr(vm, "shut_down_guest", lambda session, moid: asked(session, moid) if moid != slow else None)
    # The marks take of the time of the task, and so the wait ends with that.
    given = {"power_cycle": True, "shutdown_timeout": 299, "timeout": 300}
    with time_over("ReconfigVM_Task", seconds=10), time_over("WaitForUpdatesEx", saying="poweredOff", seconds=301):
        failed = evc.vms("intel-haswell", "evc-slow", "evc-fast", **given)
    assert "did not shut down within timeout (300 s)" in failed.vms[0]["error"]["msg"]
    assert failed.vms[1]["actions"] == ["shut_down", "powered_on"]
    assert evc.vm("evc-fast")["runtime"]["powerState"] == "poweredOn"
    assert (has_mark(evc, "evc-slow"), has_mark(evc, "evc-fast")) == (True, False)


def test_what_went_off_while_the_wait_was_broken_off_is_started_again(start, monkeypatch):
    evc = start("xeon-broadwell", flags=("--guest-time", "1ms"))
    for name in ("evc-w1", "evc-w2"):
        evc.make(name)
    waited = Task.wait_until

    def broken_off(task, *given, **more):
        waited(task, *given, **more)
        raise TimedOut("The wait was broken off.")

    monkeypatch.setattr(Task, "wait_until", broken_off)
    failed = evc.vms("intel-haswell", "evc-w1", "evc-w2", power_cycle=True)
    assert [entry["actions"] for entry in failed.vms] == [["shut_down", "powered_on"]] * 2
    for name in ("evc-w1", "evc-w2"):
        assert evc.vm(name)["runtime"]["powerState"] == "poweredOn"
        assert not has_mark(evc, name)


def test_each_wait_has_its_whole_time_from_where_it_begins(start, monkeypatch):
    evc = start("xeon-broadwell")
    evc.make("evc-waits")
    waited, left, now = Task.wait_until, [], [time.monotonic()]
    change = vm.start_config_change

    def slow(*given):
        now[0] += 100
        return change(*given)

    def noted(task, *given, deadline, **more):
        left.append(deadline - now[0])
        return waited(task, *given, deadline=deadline, **more)

    # The marks take of the time.
    monkeypatch.setattr(vm, "start_config_change", slow)
    monkeypatch.setattr(cycle, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(Task, "wait_until", noted)
    assert evc.vms("intel-haswell", "evc-waits", power_cycle=True, shutdown_timeout=50, tools_timeout=60).error is None
    assert left == pytest.approx([50, 60])


def test_masks_that_are_not_complete_hide_what_they_name_alone(start):
    """A VM with them finds what its mode does not name, and needs it where it moves."""
    evc = start("xeon-skylake")
    needs = {}
    for name, complete in (("evc-whole", True), ("evc-part", False)):
        evc.make(name, on=False)
        assert evc.vms("intel-haswell", name, complete_masks=complete).one["actions"] == ["mode_set"]
        evc.sim.govc("vm.power", "-on", name)
        needs[name] = {each["key"] for each in evc.vm(name)["runtime"]["featureRequirement"]}
    assert needs["evc-whole"] < needs["evc-part"]
