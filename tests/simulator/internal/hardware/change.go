// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package hardware

import (
	"log"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/deepcopy"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vhardware"
)

// Change is the devices of a VM while they are changed. Nothing of it shows until all
// changes have been made, and no file that was there before goes until then.
type Change struct {
	s       *Hardware
	VM      types.ManagedObjectReference // none for one that is being made
	Host    *simulator.HostSystem
	Home    *disks.Home
	On      bool
	Fresh   bool // a new VM: its base controllers are there already
	Cloning bool // edits name the disks of the source
	Devices []types.BaseVirtualDevice
	// Keys are those that new devices got in place of the ones in the request.
	Keys map[int32]int32
	// removed are the disks that were taken away, whose layers may come back as parents.
	removed []*types.VirtualDisk
	// Doomed are those of them whose files are to go.
	Doomed []*types.VirtualDisk
	// Pending are the new disks of an import that wait for their content.
	Pending map[int32]bool
	Cards   bool // network cards changed
}

// Make makes changes in their order; the first that is refused is the answer, and then
// the files that were made are for the caller to remove.
func (h *Change) Make(specs []types.BaseVirtualDeviceConfigSpec) types.BaseMethodFault {
	for i, spec := range specs {
		if spec == nil || spec.GetVirtualDeviceConfigSpec().Device == nil {
			return InvalidDevice(int32(i), "virtualDeviceSpec.device")
		}
		c := spec.GetVirtualDeviceConfigSpec()
		var fault types.BaseMethodFault
		switch c.Operation {
		case types.VirtualDeviceConfigSpecOperationAdd:
			fault = h.add(int32(i), c)
		case types.VirtualDeviceConfigSpecOperationEdit:
			fault = h.Edit(int32(i), c)
		case types.VirtualDeviceConfigSpecOperationRemove:
			fault = h.remove(int32(i), c)
		default:
			fault = InvalidDevice(int32(i), "virtualDeviceSpec.operation")
		}
		if fault != nil {
			return fault
		}
	}
	return nil
}

// Find is the index of the device of a key, or -1.
func (h *Change) Find(key int32) int {
	for i, d := range h.Devices {
		if d.GetVirtualDevice().Key == key {
			return i
		}
	}
	return -1
}

// Edit changes a device that is there.
func (h *Change) Edit(index int32, c *types.VirtualDeviceConfigSpec) types.BaseMethodFault {
	at := h.Find(c.Device.GetVirtualDevice().Key)
	if at < 0 {
		return InvalidDevice(index, "virtualDeviceSpec.device.key")
	}
	now := deepcopy.Of(h.Devices[at])
	var fault types.BaseMethodFault
	switch edit := c.Device.(type) {
	case types.BaseVirtualEthernetCard:
		card, ok := now.(types.BaseVirtualEthernetCard)
		if !ok {
			return InvalidDevice(index, "virtualDeviceSpec.device.key")
		}
		fault = h.editCard(index, card.GetVirtualEthernetCard(), edit.GetVirtualEthernetCard())
	case *types.VirtualDisk:
		disk, ok := now.(*types.VirtualDisk)
		if !ok {
			return InvalidDevice(index, "virtualDeviceSpec.device.key")
		}
		fault = h.editDisk(index, disk, edit)
	default:
		if edit.GetVirtualDevice().Backing != nil {
			now.GetVirtualDevice().Backing = deepcopy.Of(edit.GetVirtualDevice().Backing)
		}
		if edit.GetVirtualDevice().Connectable != nil && now.GetVirtualDevice().Connectable != nil {
			now.GetVirtualDevice().Connectable = deepcopy.Of(edit.GetVirtualDevice().Connectable)
		}
	}
	if fault != nil {
		return fault
	}
	h.Devices[at] = now
	return nil
}

// editCard edits a network card. The address of a card of a running VM stays.
func (h *Change) editCard(index int32, card, edit *types.VirtualEthernetCard) types.BaseMethodFault {
	if mac, given := wantedMAC(card, edit); given && mac != card.MacAddress && h.On {
		return &types.InvalidPowerState{RequestedState: core.PoweredOff, ExistingState: core.PoweredOn}
	}
	fault := h.s.EditNIC(h.Host, index, card, edit, make(map[int32]bool))
	if fault == nil && !h.On && card.Connectable != nil {
		card.Connectable.Connected = false
	}
	h.Cards = true
	return fault
}

// editDisk changes the mode of a disk, or grows it. No disk shrinks, and one that builds
// on another cannot grow.
func (h *Change) editDisk(index int32, disk, edit *types.VirtualDisk) types.BaseMethodFault {
	want := edit.CapacityInBytes
	if want == 0 || want == disk.CapacityInBytes && edit.CapacityInKB != disk.CapacityInKB {
		want = edit.CapacityInKB * 1024
	}
	backing, _ := disk.Backing.(*vdisk.FlatBacking)
	if to, ok := edit.Backing.(*vdisk.FlatBacking); ok && backing != nil {
		if to.FileName != "" && to.FileName != backing.FileName && !h.Cloning {
			return InvalidDevice(index, "virtualDeviceSpec.device.backing.fileName")
		}
		if to.DiskMode != "" {
			changed := *backing
			changed.DiskMode = to.DiskMode
			disk.Backing = &changed
		}
	}
	if want == 0 || want == disk.CapacityInBytes {
		return nil
	}
	if want < disk.CapacityInBytes || backing == nil || backing.Parent != nil || h.s.LayerUsers.Shared(h.VM, vdisk.KeyOf(backing)) {
		return &types.InvalidDeviceOperation{InvalidDeviceSpec: types.InvalidDeviceSpec{DeviceIndex: index}}
	}
	if err := h.s.Disks.GrowBase(backing, disk.CapacityInBytes, want); err != nil {
		log.Printf("vforge-sim: growing %s: %v", backing.FileName, err)
		return &types.FileFault{File: backing.FileName}
	}
	disk.CapacityInBytes, disk.CapacityInKB = want, want/1024
	disk.DeviceInfo = &types.Description{Label: disk.DeviceInfo.GetDescription().Label, Summary: vhardware.Thousands(want/1024) + " KB"}
	return nil
}

// remove takes a device away. The files of a disk go only when that is asked for, and
// never while others build on them.
func (h *Change) remove(index int32, c *types.VirtualDeviceConfigSpec) types.BaseMethodFault {
	at := h.Find(c.Device.GetVirtualDevice().Key)
	if at < 0 {
		return InvalidDevice(index, "virtualDeviceSpec.device.key")
	}
	switch d := h.Devices[at].(type) {
	case *types.VirtualDisk:
		if c.FileOperation == types.VirtualDeviceConfigSpecFileOperationDestroy {
			for _, layer := range vdisk.DiskChain(d)[:min(1, len(vdisk.DiskChain(d)))] {
				if h.s.LayerUsers.Shared(h.VM, vdisk.KeyOf(layer)) {
					return faults.FileLocked(layer.FileName)
				}
			}
			h.Doomed = append(h.Doomed, d)
		}
		h.removed = append(h.removed, d)
	case types.BaseVirtualEthernetCard:
		h.Cards = true
	case types.BaseVirtualController:
		if h.holds(d.GetVirtualController().Key) {
			return &types.InvalidDeviceOperation{InvalidDeviceSpec: types.InvalidDeviceSpec{DeviceIndex: index}}
		}
	}
	h.Devices = append(append([]types.BaseVirtualDevice{}, h.Devices[:at]...), h.Devices[at+1:]...)
	return nil
}

// holds tells if a controller has devices.
func (h *Change) holds(controller int32) bool {
	for _, d := range h.Devices {
		if d.GetVirtualDevice().ControllerKey == controller {
			return true
		}
	}
	return false
}

// NewChange begins a change of devices.
func (s *Hardware) NewChange(h Change) *Change {
	h.s = s
	return &h
}
