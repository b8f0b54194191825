// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vms

import (
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/hardware"
	"vforge.vsphere/simulator/internal/vstorage"
)

// AttachDiskTask gives a VM a first class disk.
func (sh *VMCalls) AttachDiskTask(ctx *simulator.Context, req *types.AttachDisk_Task) soap.HasFault {
	task := sh.S.Tasks.OnVM(ctx, req.This, "attachDisk", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		return sh.S.attachFCD(ctx, vm, req)
	})
	return &methods.AttachDisk_TaskBody{Res: &types.AttachDisk_TaskResponse{Returnval: task}}
}

// attachFCD is AttachDisk_Task under the VM's lock.
func (s *VMs) attachFCD(ctx *simulator.Context, vm *simulator.VirtualMachine, req *types.AttachDisk_Task) types.BaseMethodFault {
	s.VStorage.Catalogue.Lock()
	defer s.VStorage.Catalogue.Unlock()
	d := s.VStorage.Catalogue.Get(req.Datastore, req.DiskId.Id)
	switch {
	case d == nil:
		return &types.NotFound{}
	case vm.Config.Template:
		return &types.InvalidState{}
	}
	if fault := s.VStorage.Usable(d, true); fault != nil {
		return fault
	}
	if host := s.HostOf(vm); host == nil || simulator.FindReference(host.Datastore, d.Datastore) == nil {
		return &types.InvalidDatastore{Datastore: &d.Datastore}
	}
	controller, fault := fcdController(vm.Config.Hardware.Device, req.ControllerKey)
	if fault != nil {
		return fault
	}
	disk := d.Device()
	top := *d.Top()
	top.DiskMode = string(types.VirtualDiskModePersistent)
	disk.Key, disk.Backing, disk.ControllerKey, disk.UnitNumber = -1, &top, controller, req.UnitNumber
	if fault := s.reconfigure(ctx, vm, deviceChange(types.VirtualDeviceConfigSpecOperationAdd, disk)); fault != nil {
		return fault
	}
	ref := vm.Self
	d.VM, d.Key = &ref, vstorage.OnVM(vm, d).Key
	return nil
}

func deviceChange(op types.VirtualDeviceConfigSpecOperation, disk *types.VirtualDisk) *types.VirtualMachineConfigSpec {
	return &types.VirtualMachineConfigSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{
		&types.VirtualDeviceConfigSpec{Operation: op, Device: disk},
	}}
}

// fcdController is the controller that is asked for or, where none is, the first one with a free place
// that takes a disk while a VM runs, too.
func fcdController(devices []types.BaseVirtualDevice, asked int32) (int32, types.BaseMethodFault) {
	list := object.VirtualDeviceList(devices)
	if asked != 0 {
		found, ok := list.FindByKey(asked).(types.BaseVirtualController)
		if !ok || hardware.Slots(found) == 0 {
			return 0, &types.InvalidController{InvalidDeviceSpec: types.InvalidDeviceSpec{}, ControllerKey: asked}
		}
		return asked, nil
	}
	for _, device := range list {
		c, ok := device.(types.BaseVirtualController)
		if _, ide := device.(*types.VirtualIDEController); !ok || ide {
			continue
		}
		if len(c.GetVirtualController().Device) < hardware.Slots(c) {
			return c.GetVirtualController().Key, nil
		}
	}
	return 0, &types.MissingController{}
}

// DetachDiskTask takes a first class disk from a VM; its files stay.
func (sh *VMCalls) DetachDiskTask(ctx *simulator.Context, req *types.DetachDisk_Task) soap.HasFault {
	s := sh.S
	task := sh.S.Tasks.OnVM(ctx, req.This, "detachDisk", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		s.VStorage.Catalogue.Lock()
		defer s.VStorage.Catalogue.Unlock()
		d := s.VStorage.Catalogue.Named(req.DiskId.Id)
		if d == nil || d.VM == nil || *d.VM != vm.Self {
			return &types.NotFound{}
		}
		disk := vstorage.OnVM(vm, d)
		if disk == nil {
			return &types.NotFound{}
		}
		if vm.Snapshot != nil {
			return &types.InvalidState{}
		}
		if fault := s.reconfigure(ctx, vm, deviceChange(types.VirtualDeviceConfigSpecOperationRemove, disk)); fault != nil {
			return fault
		}
		d.VM, d.Key = nil, 0
		return nil
	})
	return &methods.DetachDisk_TaskBody{Res: &types.DetachDisk_TaskResponse{Returnval: task}}
}
