# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mode of a cluster, against simulators."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._evc import apply
from ansible_collections.vforge.vsphere.tests.unit.plugins.unreturned import late_results


def test_a_mode_is_set_changed_and_ended(start):
    evc = start("xeon-haswell", "xeon-skylake")
    checked = evc.cluster("intel-haswell", check=True)
    assert checked.result["changed"]
    assert evc.mode_of_cluster() is None

    done = evc.cluster("intel-haswell")
    assert done.result["cluster"]["actions"] == ["mode_set"]
    assert done.result["cluster"]["highest_mode"] == "intel-haswell"
    assert done.result["diff"]["after"] == "/DC0/host/DC0_C0: EVC mode intel-haswell\n"
    assert evc.mode_of_cluster() == "intel-haswell"

    again = evc.cluster("intel-haswell")
    assert not again.result["changed"]
    assert again.total <= 4

    lowered = evc.cluster('Intel "Ivy Bridge" generation')
    assert lowered.result["cluster"]["previous_mode"] == "intel-haswell"
    assert evc.mode_of_cluster() == "intel-ivybridge"

    assert evc.cluster("", check=True, state="absent").result["changed"]
    assert evc.mode_of_cluster() == "intel-ivybridge"
    assert evc.cluster("", state="absent").result["cluster"]["actions"] == ["mode_removed"]
    assert evc.mode_of_cluster() is None
    ended = evc.cluster("", state="absent")
    assert not ended.result["changed"]
    assert ended.total <= 4


def test_the_highest_mode_is_that_of_the_oldest_host(start):
    evc = start("xeon-icelake", "xeon-broadwell", "xeon-skylake")
    done = evc.cluster("highest")
    assert done.result["cluster"]["mode"] == "intel-broadwell"
    assert {host["max_mode"] for host in done.result["cluster"]["hosts"]} == {
        "intel-icelake",
        "intel-broadwell",
        "intel-skylake",
    }
    again = evc.cluster("highest")
    assert not again.result["changed"]
    assert again.total <= 4


def test_the_highest_mode_leaves_out_what_newer_hosts_have_lost(start):
    evc = start("opteron-abudhabi", "epyc-rome")
    assert evc.cluster("highest").result["cluster"]["mode"] == "amd-greyhound-no3dnow"


@pytest.mark.parametrize(
    ("processors", "mode", "code", "said"),
    [
        (("xeon-haswell", "xeon-skylake"), "intel-skylake", "evc_mode_unsupported_by_hosts", "DC0_C0_H0 lack"),
        (("epyc-rome",), "intel-haswell", "evc_mode_illegal_by_vendor", "the mode is intel's"),
        (("xeon-haswell", "epyc-rome"), "intel-haswell", "heterogenous_hosts_blocking_evc", "more than one vendor"),
        (("xeon-cranford",), "intel-merom", "evc_unsupported_by_host_hardware", "support no EVC"),
    ],
)
def test_hosts_in_the_way_are_named_and_nothing_is_changed(start, processors, mode, code, said):
    evc = start(*processors)
    for check in (True, False):
        refused = evc.cluster(mode, check=check)
        assert refused.code == "evc_blocked"
        assert said in str(refused.error)
        assert [obstacle["code"] for obstacle in refused.result["cluster"]["obstacles"]] == [code]
        assert refused.called("ConfigureEvcMode_Task") == 0
        assert not refused.result["changed"]
    assert evc.mode_of_cluster() is None


def test_running_vms_in_the_way_are_named_with_what_they_need(start):
    evc = start("xeon-broadwell")
    evc.make("evc-on")
    evc.make("evc-off", on=False)
    refused = evc.cluster("intel-haswell", check=True)
    (obstacle,) = refused.result["cluster"]["obstacles"]
    assert obstacle["code"] == "active_vms_blocking_evc"
    (vm,) = obstacle["vms"]
    assert (vm["name"], vm["host"], vm["needs_mode"]) == ("evc-on", "DC0_C0_H0", "intel-broadwell")
    assert vm["features"] == ["cpuid.3dnprefetch", "cpuid.adx", "cpuid.rdseed", "cpuid.smap"]
    assert "evc-on (needs intel-broadwell)" in str(refused.error)


def test_what_a_check_returns_late_is_waited_for(start, monkeypatch):
    evc = start("xeon-broadwell")
    evc.make("evc-on")
    late_results(monkeypatch)
    for check in (True, False):
        refused = evc.cluster("intel-haswell", check=check)
        assert (refused.code, refused.result["changed"]) == ("evc_blocked", False)


def test_vms_are_read_once_unless_the_check_is_about_others(start):
    evc = start("xeon-broadwell")
    evc.make("evc-on")
    # One call for the cluster, one for its hosts and VMs.
    assert evc.cluster("intel-haswell").called("RetrievePropertiesEx") == 2
    assert evc.cluster("intel-broadwell").called("RetrievePropertiesEx") == 2
    evc.sim.request("POST", "/clusters/DC0_C0/evc", {"by_host": True})
    evc.sim.request("POST", "/vms/evc-on/cpu", {"silent": True})
    # Where none is named, all that are on now are meant: one call more.
    assert evc.cluster("intel-haswell").called("RetrievePropertiesEx") == 3


def test_a_vm_that_is_started_before_the_check_is_named(start, monkeypatch):
    evc = start("xeon-broadwell")
    evc.make("evc-on")
    evc.make("evc-late", on=False)
    started = apply.start_check

    def start_late(*given):
        evc.sim.govc("vm.power", "-on", "evc-late")
        return started(*given)

    monkeypatch.setattr(apply, "start_check", start_late)
    (obstacle,) = evc.cluster("intel-haswell").result["cluster"]["obstacles"]
    assert [vm["name"] for vm in obstacle["vms"]] == ["evc-late", "evc-on"]


def test_a_vm_of_old_hardware_gets_the_mode_of_its_cluster_when_it_is_powered_on(start):
    """Hardware version 14 is what a mode of a VM's own takes; in the way of a cluster's a VM is only while it runs."""
    evc = start("xeon-broadwell")
    evc.make("evc-old", hardware="vmx-11")
    refused = evc.cluster("intel-haswell")
    assert [vm["name"] for vm in refused.result["cluster"]["obstacles"][0]["vms"]] == ["evc-old"]
    own = evc.vms("intel-haswell", "evc-old", power_cycle=True)
    assert (own.code, own.called("ShutdownGuest")) == ("not_supported", 0)
    evc.sim.govc("vm.power", "-off", "evc-old")
    assert evc.cluster("intel-haswell").result["changed"]
    evc.sim.govc("vm.power", "-on", "evc-old")
    assert evc.vm("evc-old")["runtime"]["minRequiredEVCModeKey"] == "intel-haswell"


def test_where_vcenter_goes_by_hosts_those_within_the_mode_are_told_apart(start):
    evc = start("xeon-broadwell", "xeon-broadwell")
    evc.make("evc-low", on=False)
    assert evc.vms("intel-haswell", "evc-low").result["changed"]
    evc.sim.govc("vm.power", "-on", "evc-low")
    assert evc.cluster("intel-haswell", check=True).error is None
    evc.sim.request("POST", "/clusters/DC0_C0/evc", {"by_host": True})
    refused = evc.cluster("intel-haswell")
    (obstacle,) = refused.result["cluster"]["obstacles"]
    assert (obstacle["vms"], [vm["name"] for vm in obstacle["vms_within_mode"]]) == ([], ["evc-low"])
    assert obstacle["hosts_without_named_vms"] == obstacle["hosts"]
    assert "vCenter names no VM; within the mode already: evc-low" in obstacle["msg"]
    assert "they have to be off together" in str(refused.error)
    assert not refused.result["changed"]


def test_where_vcenter_names_no_vm_those_that_need_more_are_meant(start):
    evc = start("xeon-broadwell")
    evc.make("evc-high")
    evc.sim.request("POST", "/clusters/DC0_C0/evc", {"by_host": True})
    evc.sim.request("POST", "/vms/evc-high/cpu", {"silent": True})
    (obstacle,) = evc.cluster("intel-haswell").result["cluster"]["obstacles"]
    assert ([vm["name"] for vm in obstacle["vms"]], obstacle["vms_within_mode"]) == (["evc-high"], [])


def test_a_disconnected_host_is_named(start):
    evc = start("xeon-haswell", "xeon-haswell")
    evc.sim.host_state("DC0_C0_H1", connection="disconnected")
    refused = evc.cluster("intel-haswell")
    assert "not connected: DC0_C0_H1" in str(refused.error)


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ({"mode": "intel-hasswell"}, "invalid_option", "Did you mean intel-haswell?"),
        ({"mode": "HIGHEST"}, "invalid_option", "Did you mean highest? It offers: "),
        ({"mode": "unknown"}, "invalid_option", ", highest."),
        ({"mode": "intel-haswell", "cluster": "DC0_C9"}, "not_found", "/DC0/host/DC0_C0"),
        ({"mode": "intel-haswell", "graphics_mode": "d3d12"}, "invalid_option", "It offers: baseline, d3d11"),
        ({"mode": "intel-haswell", "datacenter": "DC9"}, "not_found", "No datacenter DC9 was found. There are: DC0."),
    ],
)
def test_what_is_not_there_is_said_with_what_there_is(start, given, code, said):
    refused = start("xeon-haswell").attempt(**{"cluster": "DC0_C0", **given})
    assert refused.code == code
    assert said in str(refused.error)


@pytest.mark.parametrize(
    ("cluster", "datacenter"),
    [
        ("a/b", None),
        ("a%2Fb", "100% Berlin"),
        ("a/b", "100%25 Berlin"),
        ("a/b", "/Europe/100% Berlin"),
        ("/Europe/100% Berlin/host/a%2Fb", "Europe/100%25 Berlin"),
    ],
)
def test_a_cluster_and_its_datacenter_are_found_in_any_spelling(start, cluster, datacenter):
    evc = start("xeon-haswell")
    evc.sim.govc("object.rename", "/DC0/host/DC0_C0", "a%2fb")
    evc.sim.govc("folder.create", "/Europe")
    evc.sim.govc("object.mv", "/DC0", "/Europe")
    evc.sim.govc("object.rename", "/Europe/DC0", "100%25 Berlin")
    done = evc.run(cluster=cluster, datacenter=datacenter, mode="intel-haswell", check=True)
    assert done.result["cluster"]["path"] == "/Europe/100%25 Berlin/host/a%2fb"


def test_of_two_datacenters_of_one_name_none_is_taken(start):
    evc = start("xeon-haswell")
    for region in ("Asia", "Europe"):
        evc.sim.govc("folder.create", f"/{region}")
        evc.sim.govc("datacenter.create", "-folder", f"/{region}", "Berlin")
    refused = evc.cluster("intel-haswell", datacenter="Berlin")
    assert refused.code == "ambiguous"
    assert "2 datacenters are named Berlin: /Asia/Berlin, /Europe/Berlin." in str(refused.error)
    assert "No cluster DC0_C0" in str(evc.cluster("intel-haswell", datacenter="Asia/Berlin").error)


def test_a_graphics_mode_stays_when_the_mode_is_changed(start):
    evc = start("xeon-haswell")
    assert evc.cluster("intel-haswell", graphics_mode="d3d11").result["changed"]
    assert not evc.cluster("intel-haswell", graphics_mode="d3d11").result["changed"]
    changed = evc.cluster("intel-ivybridge").result["cluster"]
    assert (changed["mode"], changed["graphics_mode"]) == ("intel-ivybridge", "d3d11")
    assert evc.cluster("intel-ivybridge").result["cluster"]["graphics_mode"] == "d3d11"


def test_an_old_release_has_fewer_modes_and_no_graphics_modes(start):
    evc = start("xeon-icelake", flags=("--api-version", "6.5"))
    assert "intel-broadwell" in str(evc.cluster("intel-skylake").error)
    assert "7.0 Update 1" in str(evc.cluster("intel-haswell", graphics_mode="baseline").error)
    assert evc.cluster("highest").result["cluster"]["mode"] == "intel-broadwell"


def test_who_may_not_edit_the_cluster_learns_which_privilege_is_missing(start):
    evc = start("xeon-haswell")
    evc.sim.inject(method="ConfigureEvcMode_Task", do="fault", fault="NoPermission")
    refused = evc.cluster("intel-haswell")
    assert refused.code == "no_permission"
    assert not refused.result["changed"]
    assert evc.mode_of_cluster() is None


def test_vms_that_a_run_did_not_bring_back_are_listed(start):
    evc = start("xeon-broadwell")
    evc.make("evc-left", on=False, extra_config={"vforge.evc": "tools evc-left"})
    evc.make("evc-clone", on=False, extra_config={"vforge.evc": "tools evc-left"})
    asked = evc.cluster("intel-haswell", check=True).result["cluster"]
    assert [vm["name"] for vm in asked["interrupted"]] == ["evc-left"]


def test_a_mode_that_vcenter_still_sets_at_the_end_of_the_task_is_a_change(start, monkeypatch):
    evc = start("xeon-haswell")
    started = apply.start_configure

    def start_and_lose(*given):
        task = started(*given)
        evc.sim.inject(method="WaitForUpdatesEx", do="gone")
        return task

    monkeypatch.setattr(apply, "start_configure", start_and_lose)
    failed = evc.cluster("intel-haswell")
    assert failed.error is not None
    assert failed.result["changed"]
    assert (failed.result["cluster"]["changed"], failed.result["cluster"]["actions"]) == (True, ["started"])
    assert failed.result["cluster"]["mode"] is None


@pytest.mark.parametrize("mode", ["intel-haswell", "highest"])
def test_vms_that_a_run_left_off_are_reported_where_the_cluster_has_its_mode(start, mode):
    evc = start("xeon-haswell")
    assert evc.cluster("intel-haswell").result["changed"]
    evc.make("evc-left", on=False, extra_config={"vforge.evc": "tools evc-left"})
    # It runs: whatever it was, nobody has to start it.
    evc.make("evc-runs", extra_config={"vforge.evc": "tools evc-runs"})
    again = evc.cluster(mode)
    assert not again.result["changed"]
    assert [vm["name"] for vm in again.result["cluster"]["interrupted"]] == ["evc-left"]
    assert again.result["cluster"]["requested_mode"] == "intel-haswell"
    assert "not started them again: evc-left." in evc.warnings[-1]
    assert again.total <= 4
