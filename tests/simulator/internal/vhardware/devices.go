// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vhardware

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/deepcopy"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/ids"
	"vforge.vsphere/simulator/internal/lookup"
	"vforge.vsphere/simulator/internal/vdisk"
)

// Device keys as vCenter gives them out.
const (
	KeySCSI int32 = 1000
	KeyDisk int32 = 2000
	KeyNIC  int32 = 4000
	KeyPCI  int32 = 100
)

// BoardDevices returns the devices that even a VM without any other has: controllers,
// keyboard, pointer, video card and VMCI.
func BoardDevices() []types.BaseVirtualDevice {
	var devices []types.BaseVirtualDevice
	for _, d := range esx.VirtualDevice {
		devices = append(devices, deepcopy.Of(d))
	}
	return devices
}

// BaseDevices returns the devices that every VM has: controllers, keyboard,
// pointer, video card, VMCI and one paravirtual SCSI controller.
func BaseDevices() []types.BaseVirtualDevice {
	return append(BoardDevices(), &types.ParaVirtualSCSIController{
		VirtualSCSIController: types.VirtualSCSIController{
			VirtualController: types.VirtualController{
				VirtualDevice: types.VirtualDevice{
					Key:           KeySCSI,
					DeviceInfo:    &types.Description{Label: "SCSI controller 0", Summary: "VMware paravirtual SCSI"},
					ControllerKey: KeyPCI,
					UnitNumber:    types.NewInt32(3),
				},
			},
			HotAddRemove:       types.NewBool(true),
			SharedBus:          types.VirtualSCSISharingNoSharing,
			ScsiCtlrUnitNumber: 7,
		},
	})
}

// DiskSpec is what is chosen about a disk.
type DiskSpec struct {
	Bytes int64  `json:"bytes"`
	Mode  string `json:"mode"` // as DiskMode; empty: persistent
	RDM   string `json:"rdm"`  // physicalMode or virtualMode for a raw device
	// UUID is that of the disk, in its descriptor too; empty: a new one.
	UUID string `json:"-"`
}

// MaxDisks is how many disks fit to one SCSI controller.
const MaxDisks = 15

// Check returns an error for what is no disk.
func (d *DiskSpec) Check() error {
	modes := []string{"", string(types.VirtualDiskModePersistent), string(types.VirtualDiskModeIndependent_persistent), string(types.VirtualDiskModeIndependent_nonpersistent)}
	raw := []string{"", string(types.VirtualDiskCompatibilityModePhysicalMode), string(types.VirtualDiskCompatibilityModeVirtualMode)}
	if d.Bytes <= 0 || d.Bytes%vdisk.SectorSize != 0 || !slices.Contains(modes, d.Mode) || !slices.Contains(raw, d.RDM) {
		return fmt.Errorf(`a disk has "bytes", a multiple of %d, "mode" of %q and "rdm" of %q`, vdisk.SectorSize, modes, raw)
	}
	return nil
}

// Backing describes the disk's file.
func (d *DiskSpec) Backing(ds *simulator.Datastore, file string) types.BaseVirtualDeviceBackingInfo {
	ref := ds.Self
	named := types.VirtualDeviceFileBackingInfo{FileName: dsfiles.Path(ds.Name, file), Datastore: &ref}
	mode := cmp.Or(d.Mode, string(types.VirtualDiskModePersistent))
	if d.RDM != "" {
		return &types.VirtualDiskRawDiskMappingVer1BackingInfo{
			VirtualDeviceFileBackingInfo: named, CompatibilityMode: d.RDM, DiskMode: mode, Uuid: ids.NewUUID(0x60), LunUuid: ids.NewUUID(0x02),
		}
	}
	return &vdisk.FlatBacking{
		VirtualDeviceFileBackingInfo: named, DiskMode: mode, ThinProvisioned: types.NewBool(true), Uuid: cmp.Or(d.UUID, ids.NewUUID(0x60)),
	}
}

// Attach tells the SCSI controller of the disks.
func Attach(devices []types.BaseVirtualDevice) {
	var keys []int32
	for _, disk := range vdisk.DisksOf(devices) {
		keys = append(keys, disk.Key)
	}
	for _, d := range devices {
		if c, ok := d.(*types.ParaVirtualSCSIController); ok {
			c.Device = keys
		}
	}
}

// NewDisk makes the index-th disk of a VM.
func NewDisk(index int, backing types.BaseVirtualDeviceBackingInfo, capacity int64) *types.VirtualDisk {
	unit := int32(index)
	if unit >= 7 {
		unit++ // the controller's own
	}
	return &types.VirtualDisk{
		VirtualDevice: types.VirtualDevice{
			Key:           KeyDisk + unit,
			DeviceInfo:    &types.Description{Label: fmt.Sprintf("Hard disk %d", index+1), Summary: Thousands(capacity/1024) + " KB"},
			Backing:       backing,
			ControllerKey: KeySCSI,
			UnitNumber:    types.NewInt32(unit),
		},
		CapacityInKB:    capacity / 1024,
		CapacityInBytes: capacity,
	}
}

// NewNIC makes the index-th vmxnet3 card of a VM on net.
func NewNIC(index int32, net lookup.Network, mac string, connected bool) *types.VirtualVmxnet3 {
	return &types.VirtualVmxnet3{
		VirtualVmxnet: types.VirtualVmxnet{
			VirtualEthernetCard: types.VirtualEthernetCard{
				VirtualDevice: types.VirtualDevice{
					Key:           KeyNIC + index,
					DeviceInfo:    &types.Description{Label: fmt.Sprintf("Network adapter %d", index+1), Summary: net.Summary},
					Backing:       net.Backing(),
					ControllerKey: KeyPCI,
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

// Thousands prints n with a comma after each group of three digits, as device
// summaries do.
func Thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Connected copies devices with those that connect at the start connected or, with
// the VM off, none.
func Connected(devices []types.BaseVirtualDevice, on bool) []types.BaseVirtualDevice {
	out := make([]types.BaseVirtualDevice, len(devices))
	for i, d := range devices {
		out[i] = d
		if d.GetVirtualDevice().Connectable == nil {
			continue
		}
		out[i] = deepcopy.Of(d)
		c := out[i].GetVirtualDevice().Connectable
		c.Connected = on && c.StartConnected
	}
	return out
}
