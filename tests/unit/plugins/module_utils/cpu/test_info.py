# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told of hosts, clusters and VMs, in how many calls."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, PartialFailure

# The call that asks, and what every session takes: about the server, login, a collector, logout.
SESSION = {"RetrieveServiceContent": 1, "Login": 1, "CreatePropertyCollector": 1, "Logout": 1}

CLUSTER = "/DC0/host/DC0_C0"
THREE = ("--clusters", "1", "--processors", "xeon-haswell,core-kabylake,xeon-skylake", "--vms", "6")


def test_hosts_clusters_and_modes_take_one_call(start):
    ran = start(*THREE).run()
    assert ran.calls == {**SESSION, "RetrievePropertiesEx": 1}
    hosts = {host["name"]: host for host in ran.result["hosts"]}
    assert {name: host["cpu"]["microarchitecture"] for name, host in hosts.items()} == {
        "DC0_C0_H0": "Haswell",
        "DC0_C0_H1": "Kaby Lake",
        "DC0_C0_H2": "Skylake",
    }
    kaby = hosts["DC0_C0_H1"]
    assert kaby["cpu"] == {
        "vendor": "intel",
        "family": 6,
        "model": 142,
        "stepping": 9,
        "signature": "000806e9",
        "microarchitecture": "Kaby Lake",
    }
    assert kaby["cpuid"]["00000001"]["eax"] == "000806e9"
    assert kaby["description"].startswith("Intel(R) Core(TM) i5-7200U")
    assert kaby["max_evc_mode"]["key"] == "intel-broadwell"
    assert "Broadwell" in kaby["max_evc_mode"]["label"]
    assert (kaby["evc_mode"], kaby["masked"], kaby["cluster"]) == (None, {}, CLUSTER)
    assert kaby["feature_capabilities"]["cpuid.adx"] == "1"
    (cluster,) = ran.result["clusters"]
    assert cluster["vendors"] == ["intel"]
    assert cluster["hosts"] == sorted(hosts)
    assert len(cluster["cpus"]) == 3


def test_the_mode_of_a_cluster_shows_in_masks_and_in_what_guests_are_to_see(start):
    """The example of an engineer who looked at it by hand: 142 without EVC, 63 in the mode of Haswell."""
    lab = start("--clusters", "1", "--hosts", "1", "--processors", "core-kabylake", "--vms", "2")
    lab.power("server-00001", False)
    lab.power("golden-parent", False)
    before = lab.run(vms=[{"name": "server-00001"}]).one
    assert before["expected_cpu"]["source"] == "host"
    assert (before["expected_cpu"]["model"], before["expected_cpu"]["signature"]) == (142, "000806e9")
    lab.set_mode(CLUSTER, "intel-haswell")
    ran = lab.run(vms=[{"name": "server-00001"}])
    assert ran.one["expected_cpu"] == {
        "vendor": "intel",
        "family": 6,
        "model": 63,
        "stepping": 0,
        "signature": "000306f0",
        "microarchitecture": "Haswell",
        "source": "evc_mode",
    }
    (host,) = ran.result["hosts"]
    assert host["cpu"]["model"] == 142
    assert (host["evc_mode"]["key"], ran.result["clusters"][0]["evc_mode"]["key"]) == ("intel-haswell", "intel-haswell")
    lost = {"cpuid.rdseed", "cpuid.adx", "cpuid.smap", "cpuid.clflushopt", "cpuid.xsavec", "cpuid.xsaves"}
    assert lost <= host["masked"].keys()
    assert all(host["masked"][key] == "0" for key in lost)


def test_a_vm_reports_what_it_requires_and_its_own_mode(start):
    lab = start(*THREE)
    running = lab.run(vms=[{"name": "server-00001"}]).one
    assert running["power_state"] == "poweredOn"
    assert running["min_evc_mode"]["key"].startswith("intel-")
    assert running["feature_requirements"]["cpuid.lm"] == "Bool:Min:1"
    assert running["feature_masks"] == {}
    lab.power("server-00001", False)
    lab.mask_vm("server-00001", "intel-haswell")
    ran = lab.run(vms=[{"name": "server-00001"}])
    assert ran.one["feature_masks"]["cpuid.model"] == "Val:0x3f"
    assert (ran.one["expected_cpu"]["source"], ran.one["expected_cpu"]["model"]) == ("vm_masks", 63)
    assert ran.one["offline_feature_requirements"] == {"cpuid.lm": "Num:Min:1"}
    # One call for the places, one that finds the VM by its name, one for it.
    assert ran.total == 7


def test_before_8_0_names_are_spelt_otherwise_and_are_reported_alike(start):
    old = start(*THREE, "--api-version", "7.0.3.2").run(compare=True, vms=[{"name": "server-00001"}])
    assert old.one["feature_requirements"]["cpuid.avx2"] == "Bool:Min:1"
    assert old.result["hosts"][0]["feature_capabilities"]["cpuid.avx2"] == "1"
    assert old.result["comparison"]["groups"][0]["hosts"]


def test_only_what_is_named_is_reported(start):
    lab = start("--vms", "2")
    ran = lab.run(hosts=["DC0_C0_H1"], clusters=["/DC0/host/DC0_C1"])
    assert [host["name"] for host in ran.result["hosts"]] == ["DC0_C0_H1", "DC0_C1_H0", "DC0_C1_H1", "DC0_C1_H2"]
    assert [cluster["name"] for cluster in ran.result["clusters"]] == ["DC0_C1"]
    moid = ran.result["hosts"][0]["moid"]
    path = ran.result["hosts"][0]["path"]
    assert lab.host(moid)["name"] == lab.host(path, datacenter="DC0")["name"] == "DC0_C0_H1"


@pytest.mark.parametrize("cluster", ["a/b", "a%2Fb", "/DC0/host/a%2Fb", "DC0/host/a%2fb/"])
def test_a_cluster_is_named_in_any_spelling(start, cluster):
    lab = start("--vms", "0")
    lab.sim.govc("object.rename", "/DC0/host/DC0_C1", "a%2fb")
    assert [each["name"] for each in lab.run(clusters=[cluster]).result["clusters"]] == ["a/b"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"hosts": ["DC0_C0_H9"]}, "None of the hosts that this user may see is DC0_C0_H9"),
        ({"clusters": ["/DC0/host/nowhere"]}, "None of the clusters that this user may see is /DC0/host/nowhere"),
        ({"hosts": [" "]}, "The list hosts has an entry that is empty"),
        ({"in_guest": True}, "in_guest is set, and vms is not"),
        ({"in_guest": True, "vms": [{"name": "a"}]}, "the option guest_username is not"),
        ({"vms": [{}]}, "vms is given by nothing"),
    ],
)
def test_bad_options_are_refused(start, given, says):
    lab = start("--vms", "0", "--parents", "0")
    with pytest.raises(InvalidOption, match=says):
        lab.run(**given)


def test_a_name_that_two_clusters_have_wants_a_path(start):
    lab = start("--datacenters", "2", "--clusters", "1", "--vms", "0", "--parents", "0")
    assert {cluster["path"] for cluster in lab.run().result["clusters"]} == {"/DC0/host/DC0_C0", "/DC1/host/DC1_C0"}
    only = lab.run(datacenter="DC1").result
    assert [cluster["path"] for cluster in only["clusters"]] == ["/DC1/host/DC1_C0"]
    assert {host["path"] for host in only["hosts"]} == {f"/DC1/host/DC1_C0/DC1_C0_H{n}" for n in range(3)}


def test_one_vm_of_several_that_is_not_there_fails_and_the_others_are_reported(start):
    ran = start("--vms", "2").attempt(vms=[{"name": "server-00001"}, {"name": "nobody"}])
    assert isinstance(ran.error, PartialFailure)
    found, missing = ran.vms
    assert found["feature_requirements"]
    assert missing["error"]["error_code"] == "not_found"


def test_hosts_that_say_nothing_or_nonsense(start):
    lab = start(*THREE)
    lab.sim.request("POST", "/hosts/DC0_C0_H0/cpu", {"silent": True})
    lab.sim.request("POST", "/hosts/DC0_C0_H1/cpu", {"eax": "0000:0000:00x0:2"})
    ran = lab.run(compare=True)
    silent, bad, good = ran.result["hosts"]
    assert (silent["cpu"], silent["cpuid"], silent["description"], silent["packages"]) == (None, {}, "", 0)
    assert bad["cpu"] is None
    assert "00000001" not in bad["cpuid"]
    assert good["cpu"]["microarchitecture"] == "Skylake"
    assert lab.warnings == ["DC0_C0_H1: '0000:0000:00x0:2' is no eax of leaf 0x1: it has 13 bits, and a register has 32."]
    assert all(group["unknown_hosts"] == ["DC0_C0_H0"] for group in ran.result["comparison"]["groups"])


def test_a_processor_that_vcenter_itself_calls_another_is_warned_of(start):
    lab = start(*THREE)
    lab.sim.request("POST", "/hosts/DC0_C0_H0/cpu", {"eax": "0000:0000:0000:1000:0000:0110:1110:1001"})
    assert lab.host("DC0_C0_H0")["cpu"]["model"] == 142
    assert lab.warnings == [
        "DC0_C0_H0: vCenter itself says family 6 model 63 stepping 2, and leaf 1 says Intel family 6 model 142 stepping 9 "
        "(Kaby Lake)."
    ]
