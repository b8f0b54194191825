// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"fmt"

	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25/types"
)

// Device keys as vCenter gives them out.
const (
	keySCSI int32 = 1000
	keyDisk int32 = 2000
	keyNIC  int32 = 4000
	keyPCI  int32 = 100
)

// baseDevices returns the devices that every VM has: controllers, keyboard,
// pointer, video card, VMCI and one paravirtual SCSI controller.
func baseDevices() []types.BaseVirtualDevice {
	devices := make([]types.BaseVirtualDevice, 0, len(esx.VirtualDevice)+3)
	for _, d := range esx.VirtualDevice {
		devices = append(devices, clone(d))
	}
	return append(devices, &types.ParaVirtualSCSIController{
		VirtualSCSIController: types.VirtualSCSIController{
			VirtualController: types.VirtualController{
				VirtualDevice: types.VirtualDevice{
					Key:           keySCSI,
					DeviceInfo:    &types.Description{Label: "SCSI controller 0", Summary: "VMware paravirtual SCSI"},
					ControllerKey: keyPCI,
					UnitNumber:    types.NewInt32(3),
				},
				Device: []int32{keyDisk},
			},
			HotAddRemove:       types.NewBool(true),
			SharedBus:          types.VirtualSCSISharingNoSharing,
			ScsiCtlrUnitNumber: 7,
		},
	})
}

func newDisk(backing *types.VirtualDiskFlatVer2BackingInfo, capacity int64) *types.VirtualDisk {
	return &types.VirtualDisk{
		VirtualDevice: types.VirtualDevice{
			Key:           keyDisk,
			DeviceInfo:    &types.Description{Label: "Hard disk 1", Summary: thousands(capacity/1024) + " KB"},
			Backing:       backing,
			ControllerKey: keySCSI,
			UnitNumber:    types.NewInt32(0),
		},
		CapacityInKB:    capacity / 1024,
		CapacityInBytes: capacity,
	}
}

// newNIC makes the index-th vmxnet3 card of a VM on net.
func newNIC(index int32, net network, mac string, connected bool) *types.VirtualVmxnet3 {
	return &types.VirtualVmxnet3{
		VirtualVmxnet: types.VirtualVmxnet{
			VirtualEthernetCard: types.VirtualEthernetCard{
				VirtualDevice: types.VirtualDevice{
					Key:           keyNIC + index,
					DeviceInfo:    &types.Description{Label: fmt.Sprintf("Network adapter %d", index+1), Summary: net.summary},
					Backing:       net.backing(),
					ControllerKey: keyPCI,
					UnitNumber:    types.NewInt32(7 + index),
					Connectable: &types.VirtualDeviceConnectInfo{
						StartConnected:    true,
						AllowGuestControl: true,
						Connected:         connected,
						Status:            "ok",
					},
				},
				AddressType:      string(types.VirtualEthernetCardMacTypeAssigned),
				MacAddress:       mac,
				WakeOnLanEnabled: types.NewBool(true),
			},
		},
	}
}

// thousands prints n with a comma after each group of three digits, as device
// summaries do.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
