# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where linked clones go: hosts, clusters, pools, datastores, folders, networks."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._clone import linked_plan, read
from ansible_collections.vforge.vsphere.plugins.module_utils._clone.model import Source
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import compute
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.clone.support import parent, request
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import session


@pytest.mark.parametrize(
    ("seen", "chosen"),
    [
        ({"esx-1": "a", "esx-2": "ab", "esx-3": "ab"}, "esx-2"),
        ({"esx-1": "b", "esx-2": "a"}, "esx-1"),
        ({"esx-1": "c", "esx-2": "b"}, "esx-2"),
    ],
)
def test_where_a_source_has_disks_on_several_datastores_a_host_that_sees_them_all_is_chosen(seen, chosen):
    known = parent(place=compute.Place(host="host-of-another-cluster", datastores=("a", "b")))
    source = Source(**{field.name: getattr(known, field.name) for field in dataclasses.fields(known)})
    pools = (compute.Pool("resgroup-9", "Resources", "Resources"),)
    hosts = tuple(compute.Host(name, name, datastores=frozenset(letters)) for name, letters in seen.items())
    choice = linked_plan.choose_host(
        request(resource_pool="C1/Resources"), source, [compute.Compute("domain-c1", "C1", pools=pools, hosts=hosts)]
    )
    assert choice.host.name == chosen


@pytest.mark.parametrize("text", ["fe80::1%vmk0", "fe80::1%25vmk0", "host-1"])
def test_a_host_is_named_in_any_spelling(text):
    known = parent()
    source = Source(**{field.name: getattr(known, field.name) for field in dataclasses.fields(known)})
    hosts = (compute.Host("host-1", "fe80::1%vmk0"), compute.Host("host-2", "esx-2"))
    choice = linked_plan.choose_host(request(host=text), source, [compute.Compute("domain-c1", "C1", hosts=hosts)])
    assert choice.host.moid == "host-1"


def test_each_clone_goes_to_the_host_that_it_names(start):
    tasks = start()
    hosts = [f"DC0_C0_H{number}" for number in range(3)]
    ran = tasks.run(clones=[{"name": f"on-{host}", "host": host} for host in hosts], folder="DC0_F1")
    for host in hosts:
        vm = tasks.sim.vm(f"on-{host}")
        assert vm["path"] == f"/DC0/vm/DC0_F1/on-{host}"
        assert (vm["host"], ran.clones[f"on-{host}"]["host"]) == (f"/DC0/host/DC0_C0/{host}", host)


def test_a_host_of_another_cluster_brings_that_clusters_root_pool(start):
    tasks = start()
    tasks.run(name="a", host="DC0_C1_H1")
    vm = tasks.sim.vm("a")
    assert (vm["host"], vm["pool"]) == ("/DC0/host/DC0_C1/DC0_C1_H1", "/DC0/host/DC0_C1/Resources")


@pytest.mark.parametrize("pool", ["DC0_C1_RP2", "DC0_C1/Resources/DC0_C1_RP2", "/DC0/host/DC0_C1/Resources/DC0_C1_RP2"])
def test_a_pool_is_found_in_any_cluster(start, pool):
    tasks = start()
    tasks.run(name="a", resource_pool=pool)
    assert tasks.sim.vm("a")["pool"] == "/DC0/host/DC0_C1/Resources/DC0_C1_RP2"
    assert tasks.run(name="a", resource_pool=pool).actions == {"a": "unchanged"}


def test_a_template_needs_no_place_either(start):
    tasks = start()
    tasks.sim.govc("vm.markastemplate", "/DC0/vm/golden")
    ran = tasks.run(name="a")
    assert ran.actions == {"a": "created"}
    assert tasks.sim.vm("a")["pool"].endswith("Resources")


def test_a_cluster_that_leaves_hosts_to_its_users_is_given_one(start):
    tasks = start()
    for drs in ("off", "manual"):
        tasks.sim.cluster_drs("DC0_C1", drs)
        tasks.run(name=f"a-{drs}", resource_pool="DC0_C1/Resources")
        assert tasks.run(check=True, name=f"b-{drs}", resource_pool="DC0_C1/Resources").clones[f"b-{drs}"]["host"]


def test_a_cluster_that_chooses_hosts_by_itself_is_let_to(start):
    tasks = start()
    tasks.sim.cluster_drs("DC0_C1", "fullyAutomated")
    # vCenter takes the host with the fewest VMs, the module would have taken the first.
    for number in range(3):
        tasks.sim.create_vm(f"load-{number}", host="DC0_C1_H0")
    asked = {"name": "a", "resource_pool": "DC0_C1/Resources"}
    assert tasks.run(check=True, **asked).clones["a"]["host"] is None
    assert tasks.run(**asked).clones["a"]["host"] != "DC0_C1_H0"


def test_network_datastore_and_hardware_are_as_asked(start):
    tasks = start()
    asked = {
        "name": "a",
        "datastore": "LocalDS_1",
        "networks": [{"index": 0, "network": "VM Network", "mac": "00:50:56:01:02:03"}],
        "cpu": {"cores": 4, "cores_per_socket": 2},
        "memory": {"size_mb": 2048},
        "annotation": "made by a test",
        "guestinfo": {"hostname": "a"},
        "bios_uuid": "4220d3a4-1f5e-0b3c-9a63-25cf6a1b9a01",
    }
    tasks.run(**asked)
    vm = tasks.sim.vm("a")
    assert (vm["nics"][0]["network"], vm["nics"][0]["mac"]) == ("VM Network", "00:50:56:01:02:03")
    assert vm["disks"][0]["files"][0].startswith("[LocalDS_1]")
    assert vm["extra_config"]["guestinfo.hostname"] == "a"
    assert vm["bios_uuid"] == asked["bios_uuid"]
    info = tasks.sim.govc("vm.info", "/DC0/vm/a")["virtualMachines"][0]["config"]
    assert (info["hardware"]["numCPU"], info["hardware"]["numCoresPerSocket"], info["hardware"]["memoryMB"]) == (4, 2, 2048)
    assert info["annotation"] == "made by a test"
    again = tasks.run(**asked)
    assert again.actions == {"a": "unchanged"}
    assert again.clones["a"]["differences"] == []


def test_a_mac_set_by_hand_is_not_given_to_a_second_vm(start):
    tasks = start()
    tasks.sim.govc(
        "vm.network.change", "-vm", "/DC0/vm/golden", "-net", "VM Network", "-net.address", "00:50:56:0a:0b:0c", "ethernet-0"
    )
    assert tasks.sim.vm("golden")["nics"][0]["mac"] == "00:50:56:0a:0b:0c"
    tasks.run(name="a")
    assert tasks.sim.vm("a")["nics"][0]["mac"] != "00:50:56:0a:0b:0c"


_REFUSED = [
    ({"host": "DC0_C0_H9"}, "no hosts of the datacenter are named DC0_C0_H9. Nearest: DC0_C0_H"),
    ({"host": "DC0_C0_H0", "resource_pool": "DC0_C1_RP1"}, "the resource pool DC0_C1_RP1 is not one of DC0_C0"),
    ({"resource_pool": "none"}, "no clusters have the resource pool none. Give the path of one, such as: DC0_C0/Resources"),
    ({"datastore": "none"}, "has no accessible datastore none. It has: LocalDS_0, LocalDS_1"),
    ({"networks": [{"index": 0, "network": "none"}]}, "its host sees no network none. It sees: DC0_DVPG0"),
    ({"folder": "DC0_F9"}, "No folder /DC0/vm/DC0_F9 was found."),
    ({"snapshot": {"name": "none"}}, "/DC0/vm/golden has no snapshot with the name none."),
    ({"snapshot": {"name": "base", "current": True}}, "The option snapshot is given by name and current."),
    ({"snapshot": {"moid": "base"}}, "/DC0/vm/golden has no snapshot with the moid base. There are: base (snapshot-"),
    ({"cpu": {"cores": 3, "cores_per_socket": 2}}, "3 CPU cores cannot be divided into sockets of 2."),
    ({"memory": {"size_mb": 1022}}, "memory.size_mb must be a multiple of 4."),
    ({"source": {"name": "goldem"}}, "Nearest names: /DC0/vm/golden"),
    ({"powered_on": False, "wait_for_ip_address": True}, "a VM that is off has no address"),
]


def test_what_cannot_be_is_refused_with_what_could(start):
    tasks = start()
    before = tasks.names()
    for asked, message in _REFUSED:
        ran = tasks.attempt(name="a", **asked)
        assert message in str(ran.error)
        assert ran.called("CloneVM_Task") == 0
    assert tasks.names() == before


def test_a_host_in_maintenance_is_refused_where_it_was_named_and_passed_over_where_not(start):
    tasks = start()
    tasks.sim.host_state("DC0_C0_H1", maintenance=True)
    refused = tasks.attempt(name="a", host="DC0_C0_H1")
    assert "DC0_C0_H1 is in maintenance mode or not connected" in str(refused.error)
    own = tasks.sim.vm("golden")["host"]
    tasks.sim.host_state(own.rsplit("/", 1)[-1], maintenance=True)
    tasks.run(name="a")
    assert tasks.sim.vm("a")["host"] not in (own, "/DC0/host/DC0_C0/DC0_C0_H1")


def test_a_cluster_whose_pools_cannot_be_read_is_reported_with_what_to_do(start, monkeypatch):
    monkeypatch.setattr(compute, "pools_in", lambda _rows: iter(()))
    ran = start().attempt(name="a")
    assert "the root resource pool of DC0_C0 cannot be read" in str(ran.error)
    assert ran.error.details["option"] == "resource_pool"
    assert ran.called("CloneVM_Task") == 0


def test_a_host_that_is_gone_by_then_sees_nothing(start):
    tasks = start()
    with session(tasks.sim) as known:
        assert read.read_reach(known, ["host-0"]) == {"host-0": compute.Surroundings()}
