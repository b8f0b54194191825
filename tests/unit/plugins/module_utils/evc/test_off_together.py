# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VMs that are off together while their cluster gets a mode, against simulators."""

from __future__ import annotations

from ansible_collections.vforge.vsphere.plugins.module_utils._evc import apply

OLD = {"hardware": "vmx-11"}


def together(evc, *names, check=False, **more):
    """A task about the cluster that may shut these VMs down."""
    return evc.cluster("intel-haswell", check=check, vms=[{"name": name} for name in names], power_cycle=True, **more)


def is_marked(evc, name):
    """Whether govc sees the mark of a run that has not brought the VM back."""
    return "vforge.evc" in {pair["key"] for pair in evc.vm(name)["config"].get("extraConfig") or ()}


def runs(evc, name):
    """The lowest mode in which a VM could run, if it runs and has no mark."""
    seen = evc.vm(name)
    assert seen["runtime"]["powerState"] == "poweredOn"
    assert not is_marked(evc, name)
    return seen["runtime"]["minRequiredEVCModeKey"]


def test_old_vms_are_off_while_the_cluster_gets_its_mode_and_the_second_run_changes_nothing(start):
    evc = start("xeon-broadwell")
    for name in ("evc-old", "evc-older"):
        evc.make(name, **OLD)
    evc.make("evc-low", on=False)
    assert evc.vms("intel-haswell", "evc-low").result["changed"]
    evc.sim.govc("vm.power", "-on", "evc-low")

    checked = together(evc, "evc-old", "evc-older", "evc-low", check=True)
    assert [vm["actions"] for vm in checked.vms] == [["shut_down", "powered_on"]] * 2 + [[]]
    assert checked.result["cluster"]["actions"] == ["mode_set"]
    assert (checked.called("ShutdownGuest"), evc.mode_of_cluster()) == (0, None)

    done = together(evc, "evc-old", "evc-older", "evc-low")
    assert [vm["actions"] for vm in done.vms] == [["shut_down", "powered_on"]] * 2 + [[]]
    assert [vm["mode"] for vm in done.vms] == [None, None, "intel-haswell"]
    assert [vm["needs_mode"] for vm in done.vms] == ["intel-haswell"] * 3
    assert done.result["cluster"]["actions"] == ["mode_set"]
    assert done.called("ShutdownGuest") == 2
    assert evc.mode_of_cluster() == "intel-haswell"
    assert runs(evc, "evc-old") == runs(evc, "evc-older") == "intel-haswell"

    again = together(evc, "evc-old", "evc-older", "evc-low")
    assert not again.result["changed"]
    assert [vm["actions"] for vm in again.vms] == [[], [], []]


def test_no_vm_is_shut_down_that_is_not_named(start):
    evc = start("xeon-broadwell")
    evc.make("evc-old", **OLD)
    evc.make("evc-other")
    for check in (True, False):
        refused = together(evc, "evc-old", check=check)
        assert refused.error.error_code == "evc_blocked"
        assert "evc-other (needs intel-broadwell)" in str(refused.error)
        assert "evc-old (" not in str(refused.error)
        assert not refused.result["changed"]
    assert (refused.called("ShutdownGuest"), refused.called("ConfigureEvcMode_Task")) == (0, 0)


def test_where_one_cannot_be_shut_down_none_is(start):
    evc = start("xeon-broadwell")
    for name in ("evc-old", "evc-bare"):
        evc.make(name, **OLD)
    evc.sim.patch_vm("evc-bare", tools="notRunning")
    for check in (True, False):
        refused = together(evc, "evc-old", "evc-bare", check=check)
        assert refused.error.error_code == "evc_blocked"
        assert "in its way are /DC0/vm/evc-bare, which cannot be shut down" in str(refused.error)
        assert "VMware Tools do not run" in refused.vms[1]["error"]["msg"]
        assert refused.called("ShutdownGuest") == 0
    assert together(evc, "evc-old", "evc-bare", force=True).error is None
    assert runs(evc, "evc-bare") == "intel-haswell"


def test_where_a_guest_does_not_go_off_the_others_are_started_again(start):
    evc = start("xeon-broadwell")
    for name in ("evc-old", "evc-deaf"):
        evc.make(name, **OLD)
    evc.sim.inject(method="ShutdownGuest", name="evc-deaf", do="fault", fault="ToolsUnavailable")
    failed = together(evc, "evc-old", "evc-deaf")
    assert failed.error.error_code == "evc_blocked"
    assert failed.called("ConfigureEvcMode_Task") == 0
    assert failed.vms[0]["actions"] == ["shut_down", "powered_on"]
    assert runs(evc, "evc-old") == runs(evc, "evc-deaf") == "intel-broadwell"
    assert evc.mode_of_cluster() is None


def test_where_one_cannot_be_marked_none_is_shut_down(start):
    evc = start("xeon-broadwell")
    for name in ("evc-old", "evc-locked"):
        evc.make(name, **OLD)
    evc.sim.inject(method="ReconfigVM_Task", name="evc-locked", do="task-fault", fault="SystemError")
    failed = together(evc, "evc-old", "evc-locked")
    assert failed.error.error_code == "evc_blocked"
    assert failed.vms[1]["error"]["error_code"] == "system_error"
    assert (failed.called("ShutdownGuest"), failed.called("ConfigureEvcMode_Task")) == (0, 0)
    assert runs(evc, "evc-old") == runs(evc, "evc-locked") == "intel-broadwell"


def test_where_vcenter_refuses_the_mode_they_are_started_again(start):
    evc = start("xeon-broadwell")
    evc.make("evc-old", **OLD)
    evc.sim.inject(method="ConfigureEvcMode_Task", do="task-fault", fault="SystemError")
    failed = together(evc, "evc-old")
    assert failed.error.error_code == "system_error"
    assert failed.vms[0]["actions"] == ["shut_down", "powered_on"]
    assert runs(evc, "evc-old") == "intel-broadwell"


def test_another_vm_that_was_started_meanwhile_is_named_and_the_first_is_started_again(start, monkeypatch):
    evc = start("xeon-broadwell")
    evc.make("evc-old", **OLD)
    evc.make("evc-late", on=False)
    started, asked = apply.start_check, []

    def start_late(*given):
        asked.append(given)
        if len(asked) == 2:
            evc.sim.govc("vm.power", "-on", "evc-late")
        return started(*given)

    monkeypatch.setattr(apply, "start_check", start_late)
    failed = together(evc, "evc-old")
    assert failed.error.error_code == "evc_blocked"
    assert "evc-late (needs intel-broadwell)" in str(failed.error)
    assert failed.called("ConfigureEvcMode_Task") == 0
    assert runs(evc, "evc-old") == "intel-broadwell"


def test_one_that_does_not_come_back_fails_and_the_next_run_starts_it(start):
    evc = start("xeon-broadwell")
    evc.make("evc-old", **OLD)
    evc.sim.inject(method="PowerOnVM_Task", do="task-fault", fault="SystemError")
    failed = together(evc, "evc-old")
    assert failed.vms[0]["error"]["error_code"] == "system_error"
    assert (evc.mode_of_cluster(), is_marked(evc, "evc-old")) == ("intel-haswell", True)
    # The cluster has its mode: nothing is to be done but this.
    told = evc.cluster("intel-haswell")
    assert [vm["name"] for vm in told.result["cluster"]["interrupted"]] == ["evc-old"]
    warned = len(evc.warnings)
    done = together(evc, "evc-old")
    assert done.result["changed"]
    assert (done.vms[0]["actions"], done.result["cluster"]["actions"]) == (["powered_on"], [])
    assert runs(evc, "evc-old") == "intel-haswell"
    assert len(evc.warnings) == warned


def test_one_that_a_run_has_left_off_is_named_where_the_cluster_fails_before_it_is_started(start):
    evc = start("xeon-broadwell")
    evc.make("evc-left", on=False, extra_config={"vforge.evc": "tools evc-left"}, **OLD)
    evc.make("evc-other")
    for check in (True, False):
        refused = together(evc, "evc-left", check=check)
        assert (refused.error.error_code, refused.vms[0]["actions"]) == ("evc_blocked", [])
        assert "not started them again: evc-left." in " ".join(evc.warnings)
        evc.warnings.clear()
    evc.sim.govc("vm.power", "-off", "-force", "evc-other")
    assert together(evc, "evc-left").vms[0]["actions"] == ["powered_on"]
    assert (runs(evc, "evc-left"), evc.warnings) == ("intel-haswell", [])


def test_where_vcenter_names_no_vm_those_within_the_mode_are_off_together(start):
    evc = start("xeon-broadwell")
    evc.make("evc-low", on=False)
    assert evc.vms("intel-haswell", "evc-low").result["changed"]
    evc.sim.govc("vm.power", "-on", "evc-low")
    evc.sim.request("POST", "/clusters/DC0_C0/evc", {"by_host": True})
    done = together(evc, "evc-low")
    assert done.vms[0]["actions"] == ["shut_down", "powered_on"]
    assert evc.mode_of_cluster() == "intel-haswell"


def test_a_vm_that_is_not_there_is_said_before_anything_is_done(start):
    evc = start("xeon-broadwell")
    evc.make("evc-old", **OLD)
    refused = together(evc, "evc-old", "evc-nobody")
    assert refused.error.error_code == "not_found"
    assert (refused.called("ShutdownGuest"), refused.called("CheckConfigureEvcMode_Task")) == (0, 0)


def test_what_a_user_may_not_do_is_said_before_anything_is_shut_down(start):
    evc = start("xeon-broadwell")
    evc.make("evc-old", **OLD)
    account = {"username": "operator@vsphere.local", "password": "secret-of-the-operator"}
    evc.sim.add_user(**account, privileges=["VirtualMachine.Interact.PowerOff", "Host.Inventory.EditCluster"])
    operator = type(evc)(evc.sim, **account)
    refused = together(operator, "evc-old")
    assert refused.error.error_code == "evc_blocked"
    assert refused.vms[0]["error"]["error_code"] == "no_permission"
    assert "VirtualMachine.Config.Settings" not in refused.vms[0]["error"]["msg"]
    assert refused.called("ShutdownGuest") == 0
