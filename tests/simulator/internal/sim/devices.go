// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/vmware/govmomi/simulator"
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

// boardDevices returns the devices that even a VM without any other has: controllers,
// keyboard, pointer, video card and VMCI.
func boardDevices() []types.BaseVirtualDevice {
	var devices []types.BaseVirtualDevice
	for _, d := range esx.VirtualDevice {
		devices = append(devices, clone(d))
	}
	return devices
}

// baseDevices returns the devices that every VM has: controllers, keyboard,
// pointer, video card, VMCI and one paravirtual SCSI controller.
func baseDevices() []types.BaseVirtualDevice {
	return append(boardDevices(), &types.ParaVirtualSCSIController{
		VirtualSCSIController: types.VirtualSCSIController{
			VirtualController: types.VirtualController{
				VirtualDevice: types.VirtualDevice{
					Key:           keySCSI,
					DeviceInfo:    &types.Description{Label: "SCSI controller 0", Summary: "VMware paravirtual SCSI"},
					ControllerKey: keyPCI,
					UnitNumber:    types.NewInt32(3),
				},
			},
			HotAddRemove:       types.NewBool(true),
			SharedBus:          types.VirtualSCSISharingNoSharing,
			ScsiCtlrUnitNumber: 7,
		},
	})
}

// diskSpec is what is chosen about a disk.
type diskSpec struct {
	Bytes int64  `json:"bytes"`
	Mode  string `json:"mode"` // as DiskMode; empty: persistent
	RDM   string `json:"rdm"`  // physicalMode or virtualMode for a raw device
}

// maxDisks is how many disks fit to one SCSI controller.
const maxDisks = 15

func (d *diskSpec) check() error {
	modes := []string{"", string(types.VirtualDiskModePersistent), string(types.VirtualDiskModeIndependent_persistent), string(types.VirtualDiskModeIndependent_nonpersistent)}
	raw := []string{"", string(types.VirtualDiskCompatibilityModePhysicalMode), string(types.VirtualDiskCompatibilityModeVirtualMode)}
	if d.Bytes <= 0 || d.Bytes%sectorSize != 0 || !slices.Contains(modes, d.Mode) || !slices.Contains(raw, d.RDM) {
		return fmt.Errorf(`a disk has "bytes", a multiple of %d, "mode" of %q and "rdm" of %q`, sectorSize, modes, raw)
	}
	return nil
}

// backing describes the disk's file.
func (d *diskSpec) backing(ds *simulator.Datastore, file string) types.BaseVirtualDeviceBackingInfo {
	ref := ds.Self
	named := types.VirtualDeviceFileBackingInfo{FileName: dsPath(ds.Name, file), Datastore: &ref}
	mode := cmp.Or(d.Mode, string(types.VirtualDiskModePersistent))
	if d.RDM != "" {
		return &types.VirtualDiskRawDiskMappingVer1BackingInfo{
			VirtualDeviceFileBackingInfo: named, CompatibilityMode: d.RDM, DiskMode: mode, Uuid: newUUID(0x60), LunUuid: newUUID(0x02),
		}
	}
	return &flatBacking{
		VirtualDeviceFileBackingInfo: named, DiskMode: mode, ThinProvisioned: types.NewBool(true), Uuid: newUUID(0x60),
	}
}

// attach tells the SCSI controller of the disks.
func attach(devices []types.BaseVirtualDevice) {
	var keys []int32
	for _, disk := range disksOf(devices) {
		keys = append(keys, disk.Key)
	}
	for _, d := range devices {
		if c, ok := d.(*types.ParaVirtualSCSIController); ok {
			c.Device = keys
		}
	}
}

// newDisk makes the index-th disk of a VM.
func newDisk(index int, backing types.BaseVirtualDeviceBackingInfo, capacity int64) *types.VirtualDisk {
	unit := int32(index)
	if unit >= 7 {
		unit++ // the controller's own
	}
	return &types.VirtualDisk{
		VirtualDevice: types.VirtualDevice{
			Key:           keyDisk + unit,
			DeviceInfo:    &types.Description{Label: fmt.Sprintf("Hard disk %d", index+1), Summary: thousands(capacity/1024) + " KB"},
			Backing:       backing,
			ControllerKey: keySCSI,
			UnitNumber:    types.NewInt32(unit),
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
