# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which VM could move where: held against what vCenter itself does, and in few calls."""

from __future__ import annotations

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cpu.test_info import CLUSTER, SESSION

MIXED = ("--clusters", "1", "--hosts", "4", "--processors", "xeon-haswell,xeon-broadwell,xeon-skylake,epyc-rome", "--vms", "8")


def test_what_is_reported_is_what_vcenter_does(start):
    """Each running VM to each host: those that are said to fit are taken, the others refused."""
    lab = start(*MIXED)
    hosts = [host["name"] for host in lab.run().result["hosts"]]
    told, done = {}, {}
    for vm in ("server-00001", "server-00003", "server-00005", "server-00007"):
        group = lab.group_of(lab.run(compare=True), vm)
        assert group["basis"] == "running"
        home = lab.run(vms=[{"name": vm}]).one["host"]
        for host in hosts:
            told[vm, host] = host in group["hosts"]
            done[vm, host] = lab.moves(vm, f"{CLUSTER}/{host}")
            if done[vm, host]:
                assert lab.moves(vm, f"{CLUSTER}/{home}")
    assert told == done
    assert len(set(told.values())) == 2


def test_obstacles_name_the_features_and_the_vendor(start):
    lab = start(*MIXED)
    ran = lab.run(compare=True)
    groups = [each for each in ran.result["comparison"]["groups"] if each["vendor"] == "intel"]
    modes = {mode: each for each in groups for mode in each["min_evc_modes"]}
    skylake = {each["feature"]: each for each in modes["intel-cascadelake"]["obstacles"]}
    assert skylake["cpuid.avx512f"] == {
        "feature": "cpuid.avx512f",
        "required": "Bool:Min:1",
        "has": "0",
        "certain": True,
        "hosts": ["DC0_C0_H0", "DC0_C0_H1", "DC0_C0_H3"],
    }
    assert (skylake["vendor"]["required"], skylake["vendor"]["has"], skylake["vendor"]["hosts"]) == (
        "intel",
        "amd",
        ["DC0_C0_H3"],
    )
    assert modes["intel-cascadelake"]["hosts"] == ["DC0_C0_H2"]
    assert modes["intel-cascadelake"]["clusters"] == {CLUSTER: "some"}


def test_vms_that_are_off_may_go_anywhere_but_for_their_own_mode(start):
    lab = start(*MIXED)
    off = lab.group_of(lab.run(compare=True), "server-00002")
    assert (off["basis"], len(off["hosts"]), off["vendor"]) == ("powered_off", 4, "")
    lab.mask_vm("server-00002", "intel-skylake")
    own = lab.group_of(lab.run(compare=True), "server-00002")
    assert own["hosts"] == ["DC0_C0_H2"]
    assert "cpuid.model" not in own["feature_requirements"]
    assert own["min_evc_modes"] == ["intel-skylake"]


def test_an_evc_mode_makes_all_hosts_fit(start):
    lab = start("--clusters", "1", "--hosts", "2", "--processors", "xeon-skylake,xeon-haswell", "--vms", "4")
    for vm in ("server-00001", "server-00003", "golden-parent"):
        lab.power(vm, False)
    lab.set_mode(CLUSTER, "intel-haswell")
    lab.power("server-00001", True)
    group = lab.group_of(lab.run(compare=True), "server-00001")
    missing = {each["feature"] for each in group["obstacles"]}
    # What came by microcode no mode hides; everything else is the same on both.
    assert missing <= {"cpuid.ibrs", "cpuid.ibpb", "cpuid.stibp", "cpuid.ssbd", "cpuid.mdclear", "cpuid.fcmd"}


def test_vms_without_requirements_are_unknown_and_never_said_to_fit(start):
    lab = start(*MIXED)
    lab.sim.request("POST", "/vms/server-00001/cpu", {})
    group = lab.group_of(lab.run(compare=True), "server-00001")
    assert (group["basis"], group["hosts"], group["clusters"]) == ("unknown", [], {CLUSTER: "unknown"})
    assert "vCenter shows no feature requirements" in group["why_unknown"]
    assert len(group["unknown_hosts"]) == 4


def test_only_the_named_vms_and_places_are_compared(start):
    lab = start("--vms", "8")
    ran = lab.run(compare=True, vms=[{"name": "server-00001"}], clusters=["DC0_C1"], hosts=["DC0_C0_H0"])
    comparison = ran.result["comparison"]
    assert [vm["name"] for each in comparison["groups"] for vm in each["vms"]] == ["server-00001"]
    assert [host["name"] for host in comparison["hosts"]] == ["DC0_C0_H0", "DC0_C1_H0", "DC0_C1_H1", "DC0_C1_H2"]
    assert [cluster["path"] for cluster in comparison["clusters"]] == ["/DC0/host/DC0_C1"]


def test_disconnected_hosts_are_compared_and_called_so(start):
    lab = start("--vms", "4")
    lab.sim.request("POST", "/hosts/DC0_C0_H1", {"connection": "disconnected"})
    ran = lab.run(compare=True)
    (host,) = [each for each in ran.result["comparison"]["hosts"] if each["name"] == "DC0_C0_H1"]
    assert host["obstacle"] == "it is disconnected"
    assert "DC0_C0_H1" in lab.group_of(ran, "server-00001")["hosts"]


def test_the_calls_do_not_grow_with_hosts_but_with_pages_of_vms(start):
    """The figure is 64 hosts and 10,000 VMs in at most 12 calls and their pages."""
    ran = start("--clusters", "8", "--hosts", "8", "--vms", "1200", "--parents", "0").run(compare=True)
    pages = ran.called("ContinueRetrievePropertiesEx")
    assert len(ran.result["comparison"]["hosts"]) == 64
    assert sum(len(each["vms"]) for each in ran.result["comparison"]["groups"]) == 1200
    assert ran.calls == {**SESSION, "RetrievePropertiesEx": 2, "ContinueRetrievePropertiesEx": pages}
    assert pages == 2
    assert ran.total - pages <= 12
