# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which devices keep a VM from being cloned."""

from __future__ import annotations

import pytest
from pyVmomi import vim

from ansible_collections.vforge.vsphere.plugins.module_utils._parent import read

_DEVICE = vim.vm.device
_PCI = _DEVICE.VirtualPCIPassthrough


@pytest.mark.parametrize(
    ("device", "code"),
    [
        (_PCI(backing=_PCI.DeviceBackingInfo(deviceName="card")), "passthrough"),
        (_PCI(backing=_PCI.DynamicBackingInfo(deviceName="card")), "passthrough"),
        (_PCI(backing=_PCI.VmiopBackingInfo(vgpu="grid_v100-8q")), "vgpu"),
        (_DEVICE.VirtualSriovEthernetCard(), "sriov"),
        (_DEVICE.VirtualSCSIPassthrough(), "scsi_passthrough"),
        (_DEVICE.VirtualUSB(connected=True), "usb_passthrough"),
        (_DEVICE.ParaVirtualSCSIController(sharedBus="physicalSharing"), "shared_bus"),
    ],
)
def test_hardware_of_the_host_refuses_and_is_named(device, code):
    device.key, device.deviceInfo = 13000, vim.Description(label="The device", summary="")
    (found,) = read.obstacles([device])
    assert (found.code, found.device) == (code, "The device")
    assert found.reason.startswith("The device: ")


def test_a_virtual_gpu_is_named_by_its_profile():
    (found,) = read.obstacles([_PCI(key=13000, backing=_PCI.VmiopBackingInfo(vgpu="grid_v100-8q"))])
    assert "grid_v100-8q" in found.reason
    assert found.device == "device 13000"


@pytest.mark.parametrize(
    "device",
    [
        _DEVICE.VirtualVmxnet3(key=4000),
        _DEVICE.VirtualDisk(key=2000),
        _DEVICE.VirtualUSB(key=7000, connected=False),
        _DEVICE.ParaVirtualSCSIController(key=1000, sharedBus="noSharing"),
        _DEVICE.VirtualCdrom(key=3000),
    ],
)
def test_virtual_hardware_does_not(device):
    assert read.obstacles([device]) == ()
