// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vms

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/hardware"
	"vforge.vsphere/simulator/internal/lookup"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vhardware"
)

// ReconfigVMTask changes a VM's configuration. The settings that vcsim alone knows are left
// to it, after the checks that it has not.
func (sh *VMCalls) ReconfigVMTask(ctx *simulator.Context, req *types.ReconfigVM_Task) soap.HasFault {
	s := sh.S
	vm := s.VM(req.This)
	var denied types.BaseMethodFault
	ctx.WithLock(vm, func() { denied = s.reconfigDenied(ctx, vm, &req.Spec) })
	if denied != nil {
		return &methods.ReconfigVM_TaskBody{Fault_: faults.SOAP(denied)}
	}
	locked := s.Hardware.Attaching(vm, &req.Spec)
	if vhardware.UnknownConfig(&req.Spec) == "" {
		task := s.Tasks.SlowOnVM(ctx, req.This, "reconfigure", s.Cfg.ReconfigureTime, func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
			if fault := s.reconfigFault(vm, &req.Spec); fault != nil {
				return fault
			}
			if locked != nil {
				return locked
			}
			return s.reconfigure(ctx, vm, &req.Spec)
		})
		return &methods.ReconfigVM_TaskBody{Res: &types.ReconfigVM_TaskResponse{Returnval: task}}
	}
	var res soap.HasFault
	ctx.WithLock(vm, func() {
		if fault := s.reconfigFault(vm, &req.Spec); fault != nil {
			res = &methods.ReconfigVM_TaskBody{Res: &types.ReconfigVM_TaskResponse{
				Returnval: s.Tasks.Failed(ctx, req.This, "reconfigure", fault),
			}}
			return
		}
		res = vm.ReconfigVMTask(ctx, req)
	})
	s.Tasks.After(res.(*methods.ReconfigVM_TaskBody).Res.Returnval, func() { s.mend(vm) })
	return res
}

// reconfigDenied checks the caller's privileges, as the API reference lists them by what is changed. The caller holds the VM's lock.
func (s *VMs) reconfigDenied(ctx *simulator.Context, vm *simulator.VirtualMachine, spec *types.VirtualMachineConfigSpec) types.BaseMethodFault {
	devices := vm.Config.Hardware.Device
	for _, p := range reconfigPrivileges(devices, spec) {
		if fault := s.Lacking(ctx, core.NeedOn(vm.Self, p)); fault != nil {
			return fault
		}
	}
	if fault := s.Hardware.SpaceDenied(ctx, vm, spec.DeviceChange); fault != nil {
		return fault
	}
	return s.Hardware.AssignDenied(ctx, s.HostOf(vm), devices, spec.DeviceChange)
}

// reconfigPrivileges lists what a change of the configuration needs on the VM.
func reconfigPrivileges(now []types.BaseVirtualDevice, spec *types.VirtualMachineConfigSpec) []string {
	out := hardware.DiskPrivileges(spec.DeviceChange)
	for _, c := range spec.DeviceChange {
		d := c.GetVirtualDeviceConfigSpec()
		if connectionChanges(now, d) {
			out = append(out, "VirtualMachine.Interact.DeviceConnection")
		}
		if _, disk := d.Device.(*types.VirtualDisk); disk {
			continue
		}
		if d.Operation == types.VirtualDeviceConfigSpecOperationEdit {
			out = append(out, "VirtualMachine.Config.EditDevice")
		} else {
			out = append(out, "VirtualMachine.Config.AddRemoveDevice")
		}
	}
	rest := *spec
	for _, setting := range []struct {
		set       bool
		privilege string
		forget    func()
	}{
		{len(spec.ExtraConfig) > 0, "VirtualMachine.Config.AdvancedConfig", func() { rest.ExtraConfig = nil }},
		{len(spec.DeviceChange) > 0, "", func() { rest.DeviceChange = nil }},
		{spec.Name != "", "VirtualMachine.Config.Rename", func() { rest.Name = "" }},
		{spec.NumCPUs != 0, "VirtualMachine.Config.CPUCount", func() { rest.NumCPUs = 0 }},
		{spec.MemoryMB != 0, "VirtualMachine.Config.Memory", func() { rest.MemoryMB = 0 }},
		{spec.Annotation != "", "VirtualMachine.Config.Annotation", func() { rest.Annotation = "" }},
		{spec.ChangeTrackingEnabled != nil, "VirtualMachine.Config.ChangeTracking", func() { rest.ChangeTrackingEnabled = nil }},
		{spec.VAppConfigRemoved != nil && *spec.VAppConfigRemoved, "VApp.ApplicationConfig", func() { rest.VAppConfigRemoved = nil }},
		{spec.SwapPlacement != "", "VirtualMachine.Config.SwapPlacement", func() { rest.SwapPlacement = "" }},
		{spec.CpuAllocation != nil || spec.MemoryAllocation != nil, "VirtualMachine.Config.Resource", func() {
			rest.CpuAllocation, rest.MemoryAllocation = nil, nil
		}},
	} {
		if !setting.set {
			continue
		}
		setting.forget()
		if setting.privilege != "" {
			out = append(out, setting.privilege)
		}
	}
	rest.ChangeVersion = "" // it says what is changed, and changes nothing
	if !reflect.DeepEqual(rest, types.VirtualMachineConfigSpec{}) || len(out) == 0 {
		out = append(out, "VirtualMachine.Config.Settings")
	}
	return out
}

// connectionChanges tells if a change connects or disconnects a device.
func connectionChanges(now []types.BaseVirtualDevice, change *types.VirtualDeviceConfigSpec) bool {
	wanted := change.Device.GetVirtualDevice()
	if change.Operation != types.VirtualDeviceConfigSpecOperationEdit || wanted.Connectable == nil {
		return false
	}
	h := &hardware.Change{Devices: now}
	at := h.Find(wanted.Key)
	if at < 0 {
		return false // the rules say what is wrong with it
	}
	is := now[at].GetVirtualDevice().Connectable
	return is == nil || is.Connected != wanted.Connectable.Connected
}

// reconfigFault refuses what vCenter refuses and vcsim does not.
func (s *VMs) reconfigFault(vm *simulator.VirtualMachine, spec *types.VirtualMachineConfigSpec) types.BaseMethodFault {
	if spec.ChangeVersion != "" && spec.ChangeVersion != vm.Config.ChangeVersion {
		return &types.ConcurrentAccess{}
	}
	if vm.Config.Template && !templateMay(spec) {
		return &types.NotSupported{}
	}
	if spec.Name != "" && naming.Escape(spec.Name) != vm.Name {
		if holder := s.Holder(*vm.Parent, naming.Escape(spec.Name)); holder != nil {
			return &types.DuplicateName{Name: spec.Name, Object: *holder}
		}
	}
	for _, id := range []string{spec.Uuid, spec.InstanceUuid} {
		if id != "" && !vhardware.ValidUUID(id) {
			return faults.Invalid("configSpec.uuid")
		}
	}
	if on := spec.ChangeTrackingEnabled; on != nil && *on && !vdisk.CanTrack(vm) {
		return &types.NotSupported{}
	}
	if fault := s.Policies.Unknown(spec.DeviceChange); fault != nil {
		return fault
	}
	if vm.Runtime.PowerState == core.Suspended && (len(spec.DeviceChange) > 0 || spec.NumCPUs != 0 || spec.MemoryMB != 0) {
		return core.WrongPower(vm, core.PoweredOff) // its memory knows the hardware that it has
	}
	if vm.Runtime.PowerState != core.PoweredOn {
		return nil
	}
	hot := func(b *bool) bool { return b != nil && *b }
	switch {
	case spec.Uuid != "" && spec.Uuid != vm.Config.Uuid:
		return core.WrongPower(vm, core.PoweredOff)
	case spec.NumCPUs != 0 && spec.NumCPUs != vm.Config.Hardware.NumCPU && !hot(vm.Config.CpuHotAddEnabled):
		return &types.CpuHotPlugNotSupported{}
	case spec.MemoryMB != 0 && spec.MemoryMB != int64(vm.Config.Hardware.MemoryMB) && !hot(vm.Config.MemoryHotAddEnabled):
		return &types.MemoryHotPlugNotSupported{}
	}
	return nil
}

// templateMay tells if a change is one of the few that a template takes: of its name and its
// annotation.
func templateMay(spec *types.VirtualMachineConfigSpec) bool {
	rest := *spec
	rest.Name, rest.Annotation, rest.ChangeVersion = "", "", ""
	return reflect.DeepEqual(rest, types.VirtualMachineConfigSpec{})
}

// reconfigure applies a change, all of it or nothing. The caller holds the VM's lock.
func (s *VMs) reconfigure(ctx *simulator.Context, vm *simulator.VirtualMachine, spec *types.VirtualMachineConfigSpec) types.BaseMethodFault {
	if fault := vhardware.CheckConfigSpec(spec); fault != nil {
		return fault
	}
	home, ok := s.Disks.HomeOf(vm)
	if !ok {
		return &types.InvalidState{}
	}
	h := s.Hardware.NewChange(hardware.Change{
		VM: vm.Self, Host: s.HostOf(vm), Home: home, On: vm.Runtime.PowerState == core.PoweredOn,
		Devices: slices.Clone(vm.Config.Hardware.Device),
	})
	old, config := vm.Config, *vm.Config
	fault := h.Make(spec.DeviceChange)
	if fault == nil {
		vm.Config = &config
		fault = vhardware.ApplyConfig(vm, spec)
	}
	if fault != nil {
		vm.Config = old
		home.Remove()
		return fault
	}
	now := time.Now()
	config.ChangeVersion, config.Modified = fmt.Sprint(now.UnixNano()), now
	config.ExtraConfig = vhardware.MergeExtra(old.ExtraConfig, spec.ExtraConfig)
	changes := []types.PropertyChange{{Name: "config", Val: &config}}
	if name := naming.Escape(spec.Name); name != "" {
		changes = append(changes, types.PropertyChange{Name: "name", Val: name}, types.PropertyChange{Name: "config.name", Val: name})
	}
	ctx.Update(vm, changes)
	if on := spec.ChangeTrackingEnabled; on != nil && (old.ChangeTrackingEnabled == nil || *on != *old.ChangeTrackingEnabled) {
		s.Tracks.Switched(vm)
	}
	if len(spec.DeviceChange) > 0 {
		s.Policies.Note(vm.Self, spec.DeviceChange, h.Keys)
		s.setHardware(ctx, vm, h)
	}
	vhardware.Summarize(vm)
	s.Post(ctx, &types.VmReconfiguredEvent{VmEvent: s.VMEvent(vm), ConfigSpec: *spec})
	return nil
}

// setHardware gives a VM the devices that were worked out for it, and tells networks,
// datastores and guest.
func (s *VMs) setHardware(ctx *simulator.Context, vm *simulator.VirtualMachine, h *hardware.Change) {
	if h.Cards {
		networks := s.NetworksOf(h.Devices)
		s.RelinkNetworks(ctx, vm, networks)
		ctx.Update(vm, []types.PropertyChange{{Name: "network", Val: networks}})
		s.Guests.After(s.Cfg.GuestTime, func() { s.Guests.ReportAgain(vm) })
	}
	stores := s.DatastoresOf(h.Home.DS, h.Devices)
	for _, ref := range stores {
		if simulator.FindReference(vm.Datastore, ref) == nil {
			ds := s.Reg.Get(ref).(*simulator.Datastore)
			s.Reg.AddReference(ctx, ds, &ds.Vm, vm.Self)
		}
	}
	ctx.Update(vm, []types.PropertyChange{{Name: "datastore", Val: stores}})
	s.Hardware.KeepWritten(vm, h.Devices)
	s.Disks.SetDevices(ctx, vm, h.Devices)
	s.Hardware.Borrowed.Note(vm.Self, h.Devices)
	s.Hardware.ShowDevices(vm)
	s.TrackLayers(vm)
	for _, disk := range h.Doomed {
		s.Disks.RemoveLevel(vdisk.KeyOf(vdisk.DiskChain(disk)[0]))
	}
	s.Tracks.Resized(vm)
	s.Tracks.ShowIDs(ctx, vm)
}

// RelinkNetworks tells the networks which VMs they have after a change.
func (s *VMs) RelinkNetworks(ctx *simulator.Context, vm *simulator.VirtualMachine, now []types.ManagedObjectReference) {
	for _, ref := range vm.Network {
		if net := s.Reg.Get(ref); lookup.NetworkVMs(net) != nil && simulator.FindReference(now, ref) == nil {
			s.Reg.RemoveReference(ctx, net, lookup.NetworkVMs(net), vm.Self)
		}
	}
	for _, ref := range now {
		if net := s.Reg.Get(ref); lookup.NetworkVMs(net) != nil {
			s.Reg.AddReference(ctx, net, lookup.NetworkVMs(net), vm.Self)
		}
	}
}

// mend puts right what vcsim's own reconfiguration leaves behind: file layouts with
// its names of extents, cards without addresses in the guest's report.
func (s *VMs) mend(vm *simulator.VirtualMachine) {
	ctx := s.Background("")
	ctx.WithLock(vm, func() {
		s.Disks.Reconfigured(ctx, vm)
	})
	s.Guests.ReportChanged(vm.Self)
}

// RefreshStorageInfo reads the sizes of the VM's files again.
func (sh *VMCalls) RefreshStorageInfo(ctx *simulator.Context, req *types.RefreshStorageInfo) soap.HasFault {
	vm := sh.S.VM(req.This)
	ctx.WithLock(vm, func() { sh.S.Disks.RefreshFiles(vm) })
	return &methods.RefreshStorageInfoBody{Res: &types.RefreshStorageInfoResponse{}}
}

// RenameTask renames a VM; its files keep their names.
func (sh *VMCalls) RenameTask(ctx *simulator.Context, req *types.Rename_Task) soap.HasFault {
	name := naming.Escape(req.NewName)
	task := sh.S.Tasks.OnVM(ctx, req.This, "rename", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		if name == "" || len(name) > vhardware.MaxNameBytes {
			return &types.InvalidName{Name: req.NewName}
		}
		if holder := sh.S.Holder(*vm.Parent, name); holder != nil && *holder != vm.Self {
			return &types.DuplicateName{Name: name, Object: *holder}
		}
		e := &types.VmRenamedEvent{VmEvent: sh.S.VMEvent(vm), OldName: vm.Name, NewName: name}
		ctx.Update(vm, []types.PropertyChange{
			{Name: "name", Val: name}, {Name: "config.name", Val: name}, {Name: "summary.config.name", Val: name},
		})
		sh.S.Post(ctx, e)
		return nil
	})
	return &methods.Rename_TaskBody{Res: &types.Rename_TaskResponse{Returnval: task}}
}
