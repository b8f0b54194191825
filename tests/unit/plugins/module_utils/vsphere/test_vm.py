# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VMs: what every domain reads of one."""

from __future__ import annotations

import pytest
from pyVmomi import vim

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.props import Row
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import vm
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.vm import Nic, Vm

_CARD = vim.vm.device.VirtualEthernetCard
_PAIR = vim.option.OptionValue

FOLDER, DATACENTER = vim.Folder("group-v1"), vim.Datacenter("datacenter-1")
VAPP, MACHINE = vim.VirtualApp("resgroup-v1"), vim.VirtualMachine("vm-1")


def _rows(*known):
    return {ref._GetMoId(): Row(ref, values) for ref, values in known}


def test_the_basics_of_a_vm_are_read_with_its_path():
    rows = _rows(
        (
            MACHINE,
            {
                "name": "web%2f1",
                "parentVApp": VAPP,
                "config.instanceUuid": "50",
                "config.template": True,
                "runtime.powerState": "suspended",
            },
        ),
        (VAPP, {"name": "app", "parentFolder": FOLDER}),
        (FOLDER, {"name": "vm", "parent": DATACENTER}),
        (DATACENTER, {"name": "DC0", "parent": vim.Folder("group-d1")}),
    )
    found = Vm(**vm.basics(rows, rows["vm-1"]))
    assert found == Vm(
        moid="vm-1", name="web/1", path="/DC0/vm/app/web%2f1", instance_uuid="50", power_state="suspended", template=True
    )
    assert (found.powered_on, found.powered_off) == (False, False)
    assert vm.datacenter_of(rows, rows["vm-1"]).moid == "datacenter-1"
    assert vm.is_readable(rows["vm-1"])


def test_of_a_vm_that_is_half_made_or_gone_nothing_is_readable():
    assert not vm.is_readable(None)
    rows = _rows((MACHINE, {"name": "web"}))
    assert not vm.is_readable(rows["vm-1"])
    assert vm.datacenter_of(rows, rows["vm-1"]) is None
    assert Vm(**vm.basics(rows, rows["vm-1"])).power_state == ""


def _card(key, backing, **values):
    state = vim.vm.device.VirtualDevice.ConnectInfo(connected=True, startConnected=False, allowGuestControl=True)
    return vim.vm.device.VirtualVmxnet3(key=key, backing=backing, connectable=state, **values)


STANDARD = _CARD.NetworkBackingInfo(network=vim.Network("network-1"))
DISTRIBUTED = _CARD.DistributedVirtualPortBackingInfo(
    port=vim.dvs.PortConnection(switchUuid="50", portgroupKey="dvportgroup-1")
)
OPAQUE = _CARD.OpaqueNetworkBackingInfo(opaqueNetworkId="o-1", opaqueNetworkType="nsx")


def test_nics_come_in_the_order_of_their_keys_and_without_other_devices():
    label = vim.Description(label="Network adapter 1", summary="")
    devices = [
        _card(4001, OPAQUE),
        vim.vm.device.VirtualDisk(key=2000),
        _card(4000, STANDARD, macAddress="00:50:56:AA:00:01", deviceInfo=label),
    ]
    first, second = vm.nics_in(devices, running=True, network_names={"network-1": "VM Network"})
    assert first == Nic(4000, "Network adapter 1", "00:50:56:aa:00:01", "network-1", True, "VM Network")
    assert (second.label, second.mac, second.backing_id, second.network) == ("NIC 4001", "", "o-1", "")
    assert first.device is devices[2]


@pytest.mark.parametrize(("running", "connected"), [(True, True), (False, False)])
def test_a_nic_of_a_vm_that_is_off_is_connected_as_it_will_be(running, connected):
    (nic,) = vm.nics_in([_card(4000, DISTRIBUTED)], running=running)
    assert (nic.connected, nic.backing_id) == (connected, "dvportgroup-1")


def test_extra_config_is_read_whole_or_by_key():
    whole = {"config.extraConfig": [_PAIR(key="a", value="1"), _PAIR(key="b", value=2), _PAIR(key="c")]}
    assert vm.config_in(whole) == {"a": "1", "b": "2", "c": ""}
    paths = vm.config_paths(["guestinfo.a", "guestinfo.b"])
    assert paths == ('config.extraConfig["guestinfo.a"]', 'config.extraConfig["guestinfo.b"]')
    # A pair that is removed while it is watched: vCenter sends the property without a value.
    assert vm.config_in({paths[0]: _PAIR(key="guestinfo.a", value="1"), paths[1]: None}) == {
        "guestinfo.a": "1",
        "guestinfo.b": "",
    }
    assert vm.config_in({"name": "web"}) == {}


def test_devices_are_read_whole_or_by_key():
    card = _card(4000, STANDARD)
    assert vm.devices_in({vm.DEVICES: [card]}) == [card]
    assert vm.devices_in({vm.device_path(4000): card, "name": "web"}) == [card]
    assert vm.devices_in({}) == []


def test_pairs_are_sent_in_the_order_of_their_keys():
    assert [(pair.key, pair.value) for pair in vm.option_values({"b": "2", "a": "1"})] == [("a", "1"), ("b", "2")]


def test_what_is_unset_has_no_name_and_no_moid():
    assert (vm.moid_of(None), vm.name_of(None), vm.row_of({}, None)) == ("", "", None)
    assert vm.kind_of(VAPP) == "VirtualApp"
