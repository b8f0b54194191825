# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts, clusters, pools, networks, datastores: one reader each, of rows that hold only what a domain asked for."""

from __future__ import annotations

import pytest
from pyVmomi import vim

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.props import Row
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import compute
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.compute import (
    Compute,
    Host,
    Network,
    Place,
    Pool,
    Surroundings,
)


def _rows(*known):
    return {ref._GetMoId(): Row(ref, values) for ref, values in known}


HOST, CLUSTER, ALONE = vim.HostSystem("host-1"), vim.ClusterComputeResource("domain-c1"), vim.ComputeResource("domain-s1")
ROOT, WEB, VAPP = vim.ResourcePool("resgroup-1"), vim.ResourcePool("resgroup-2"), vim.VirtualApp("resgroup-v3")
FAST, SLOW, GONE = vim.Datastore("datastore-1"), vim.Datastore("datastore-2"), vim.Datastore("datastore-3")
PLAIN, GROUP, UPLINK = (
    vim.Network("network-1"),
    vim.dvs.DistributedVirtualPortgroup("dvportgroup-1"),
    vim.dvs.DistributedVirtualPortgroup("dvportgroup-2"),
)
SWITCH, OPAQUE = vim.DistributedVirtualSwitch("dvs-1"), vim.OpaqueNetwork("network-o1")
VM = vim.VirtualMachine("vm-1")

CONNECTED = {"runtime.connectionState": "connected", "runtime.inMaintenanceMode": False}


def _world():
    return _rows(
        (VM, {"runtime.host": HOST, "resourcePool": WEB, "datastore": [FAST]}),
        (
            HOST,
            {
                **CONNECTED,
                "name": "esx-1",
                "parent": CLUSTER,
                "datastore": [SLOW, FAST, GONE],
                "network": [PLAIN, GROUP, UPLINK, OPAQUE],
            },
        ),
        (CLUSTER, {"name": "C%2f0", "host": [HOST], "configuration.drsConfig": _drs("fullyAutomated")}),
        (ROOT, {"name": "Resources", "owner": CLUSTER}),
        (WEB, {"name": "web", "owner": CLUSTER, "parent": ROOT}),
        (VAPP, {"name": "app", "owner": CLUSTER, "parent": ROOT}),
        (FAST, {"name": "fast", "summary.accessible": True, "summary.freeSpace": 7}),
        (SLOW, {"name": "slow", "summary.accessible": False}),
        (PLAIN, {"name": "VM%2f1"}),
        (GROUP, {"name": "a%2fb", "key": "dvportgroup-1", "config.distributedVirtualSwitch": SWITCH}),
        (UPLINK, {"name": "uplinks", "key": "dvportgroup-2", "config.uplink": True}),
        (SWITCH, {"uuid": "50 2e"}),
        (OPAQUE, {"name": "nsx", "summary": _opaque()}),
    )


def _drs(behavior, enabled=True):
    return vim.cluster.DrsConfigInfo(enabled=enabled, defaultVmBehavior=behavior)


def _opaque():
    return vim.OpaqueNetwork.Summary(opaqueNetworkId="o-1", opaqueNetworkType="nsx.LogicalSwitch")


def test_what_has_a_name_in_a_folder_and_a_vapp_is_in_its_parent_folder():
    folder, pool = vim.Folder("group-v1"), vim.ResourcePool("resgroup-1")
    rows = [
        Row(VM, {"name": "a%2fb", "parent": folder}),
        Row(VAPP, {"name": "shop", "parent": pool, "parentFolder": folder}),
    ]
    assert compute.names_in(rows) == {("group-v1", "a/b"): VM, ("group-v1", "shop"): VAPP}


def test_surroundings_are_what_the_host_of_a_vm_offers():
    rows = _world()
    around = compute.surroundings_in(rows, rows["vm-1"])
    assert (around.host.name, around.host.available) == ("esx-1", True)
    assert (around.compute.name, around.compute.is_cluster, around.compute.balanced) == ("C/0", True, True)
    # A vApp is no place for a clone.
    assert [pool.path for pool in around.compute.pools] == ["Resources", "Resources/web"]
    assert around.compute.root_pool == Pool("resgroup-1", "Resources", "Resources")
    assert around.datastores == {"fast": "datastore-1"}
    # Nothing above the networks was read here.
    assert around.networks == (
        Network("network-1", "VM/1", "standard", "network-1", device_name="VM%2f1", path="/"),
        Network("dvportgroup-1", "a/b", "distributed", "dvportgroup-1", switch_uuid="50 2e", path="/"),
        Network("network-o1", "nsx", "opaque", "o-1", opaque_type="nsx.LogicalSwitch", path="/"),
    )


def test_a_nic_is_connected_to_a_network_by_what_the_server_calls_it():
    plain, group, opaque = (network.backing() for network in compute.surroundings_in(_world(), _world()["vm-1"]).networks)
    assert (plain.deviceName, plain.network._moId) == ("VM%2f1", "network-1")
    assert (group.port.portgroupKey, group.port.switchUuid) == ("dvportgroup-1", "50 2e")
    assert (opaque.opaqueNetworkId, opaque.opaqueNetworkType) == ("o-1", "nsx.LogicalSwitch")


def test_surroundings_of_a_vm_whose_host_cannot_be_read_are_empty():
    rows = _rows((VM, {"runtime.host": HOST}))
    assert compute.surroundings_in(rows, rows["vm-1"]) == Surroundings()
    assert compute.host_of(rows, rows["vm-1"]) is None


def test_a_place_has_moids_and_names():
    rows = _world()
    assert compute.place_in(rows, rows["vm-1"]) == Place("host-1", "esx-1", "resgroup-2", "web", ("datastore-1",), ("fast",))


@pytest.mark.parametrize(
    ("values", "available", "obstacle"),
    [
        (CONNECTED, True, ""),
        ({**CONNECTED, "runtime.inMaintenanceMode": True}, False, "it is in maintenance mode"),
        ({**CONNECTED, "runtime.inQuarantineMode": True}, True, "it is in quarantine mode"),
        ({"runtime.connectionState": "notResponding"}, False, "it does not respond"),
        ({"runtime.connectionState": "disconnected"}, False, "it is disconnected"),
        ({}, False, "its state is unknown"),
    ],
)
def test_a_host_says_whether_it_takes_vms(values, available, obstacle):
    host = compute.host_in(Row(HOST, {"name": "esx-1", **values}))
    assert (host.available, host.obstacle) == (available, obstacle)


@pytest.mark.parametrize(("used", "free"), [(1024, 3 * 2**30), (None, None)])
def test_free_memory_is_in_bytes(used, free):
    values = {"summary.hardware.memorySize": 4 * 2**30, "summary.quickStats.overallMemoryUsage": used}
    assert compute.host_in(Row(HOST, values)).free_memory == free


@pytest.mark.parametrize("drs", [None, _drs("manual"), _drs("fullyAutomated", enabled=False)])
def test_a_cluster_that_asks_somebody_is_not_balanced(drs):
    rows = _rows((CLUSTER, {"name": "C0", "configuration.drsConfig": drs}))
    assert not compute.computes_in(rows)[0].balanced


def test_hosts_and_computes_are_in_the_order_of_their_names():
    rows = _rows(
        *((vim.HostSystem(f"host-{number}"), {"name": f"esx-{number}"}) for number in (10, 9)),
        (ALONE, {"name": "b"}),
        (CLUSTER, {"name": "a"}),
    )
    assert [host.name for host in compute.hosts_in(rows)] == ["esx-9", "esx-10"]
    assert [(each.name, each.is_cluster) for each in compute.computes_in(rows)] == [("a", True), ("b", False)]


@pytest.mark.parametrize(
    ("values", "usable"),
    [
        ({"summary.accessible": True}, True),
        ({"summary.accessible": True, "summary.maintenanceMode": "normal"}, True),
        ({"summary.accessible": True, "summary.maintenanceMode": "enteringMaintenance"}, False),
        ({"summary.accessible": False}, False),
    ],
)
def test_a_datastore_says_whether_something_may_be_put_on_it(values, usable):
    (found,) = compute.datastores_in(_rows((FAST, {"name": "fast", **values}))).values()
    assert found.usable is usable


AROUND = Surroundings(
    host=Host("host-1", "esx-1"),
    compute=Compute(
        "domain-c1",
        "C0",
        pools=(
            Pool("resgroup-1", "Resources", "Resources"),
            Pool("resgroup-2", "web", "Resources/web"),
            Pool("resgroup-3", "web", "Resources/test/web"),
        ),
    ),
    datastores={"a/b": "datastore-1"},
)


@pytest.mark.parametrize(
    ("text", "moid"),
    [(None, "resgroup-1"), ("Resources/web", "resgroup-2"), ("test/web", "resgroup-3"), ("C0", "resgroup-1")],
)
def test_a_pool_is_named_by_its_path(text, moid):
    assert compute.choose_pool(AROUND, text, "resgroup-1", "clone 'web'").moid == moid


def test_the_own_pool_of_a_vm_in_a_vapp_is_not_among_the_others():
    assert compute.choose_pool(AROUND, None, "resgroup-v3", "clone 'web'") == Pool(*["resgroup-v3"] * 3)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("web", "clone 'web': 2 resource pools are named web.", "Give the path of one: Resources/test/web, Resources/web."),
        ("db", "clone 'web': the resource pool db is not one of C0, to which its host esx-1 belongs.", "Pools that would do:"),
    ],
)
def test_a_pool_that_means_nothing_or_several_is_refused(text, message, hint):
    with pytest.raises(InvalidOption) as error:
        compute.choose_pool(AROUND, text, "resgroup-1", "clone 'web'", advice="It stays.")
    assert error.value.message == message
    assert error.value.hint.startswith(f"It stays. {hint}")


def test_a_datastore_is_named_in_either_spelling():
    assert compute.choose_datastore(AROUND, "a%2fb", "clone 'web'") == "datastore-1"
    assert compute.choose_datastore(AROUND, None, "clone 'web'") is None
    with pytest.raises(InvalidOption, match="esx-1 has no accessible datastore slow") as error:
        compute.choose_datastore(AROUND, "slow", "clone 'web'")
    assert error.value.details["allowed"] == ["a/b"]
