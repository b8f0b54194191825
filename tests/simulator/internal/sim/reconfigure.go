// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"fmt"
	"reflect"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// ReconfigVMTask changes a VM's configuration. Extra configuration and edits of
// network cards are done here; what else vcsim knows to change is left to it, after
// the checks that it has not.
func (sh *vmShim) ReconfigVMTask(ctx *simulator.Context, req *types.ReconfigVM_Task) soap.HasFault {
	s := sh.s
	for _, p := range reconfigPrivileges(&req.Spec) {
		if fault := s.auth.denied(ctx.Session.UserName, req.This, p); fault != nil {
			return &methods.ReconfigVM_TaskBody{Fault_: soapFault(fault)}
		}
	}
	vm := s.vm(req.This)
	if simpleReconfig(&req.Spec) {
		task := sh.vmTask(ctx, req.This, "reconfigure", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
			if fault := s.reconfigFault(vm, &req.Spec); fault != nil {
				return fault
			}
			return s.reconfigure(ctx, vm, &req.Spec)
		})
		return &methods.ReconfigVM_TaskBody{Res: &types.ReconfigVM_TaskResponse{Returnval: task}}
	}
	var res soap.HasFault
	ctx.WithLock(vm, func() {
		if fault := s.reconfigFault(vm, &req.Spec); fault != nil {
			res = &methods.ReconfigVM_TaskBody{Res: &types.ReconfigVM_TaskResponse{
				Returnval: s.failedTask(ctx, req.This, "reconfigure", fault),
			}}
			return
		}
		res = vm.ReconfigVMTask(ctx, req)
	})
	s.afterTask(res.(*methods.ReconfigVM_TaskBody).Res.Returnval, func() { s.mend(vm) })
	return res
}

// simpleReconfig tells if a spec holds nothing but extra configuration, change tracking
// and edits of network cards.
func simpleReconfig(spec *types.VirtualMachineConfigSpec) bool {
	rest := *spec
	rest.ExtraConfig, rest.DeviceChange, rest.ChangeVersion, rest.ChangeTrackingEnabled = nil, nil, "", nil
	if !reflect.DeepEqual(rest, types.VirtualMachineConfigSpec{}) {
		return false
	}
	for _, c := range spec.DeviceChange {
		d := c.GetVirtualDeviceConfigSpec()
		if _, nic := d.Device.(types.BaseVirtualEthernetCard); !nic || d.Operation != types.VirtualDeviceConfigSpecOperationEdit {
			return false
		}
	}
	return true
}

// reconfigPrivileges lists what a change of the configuration needs.
func reconfigPrivileges(spec *types.VirtualMachineConfigSpec) []string {
	var out []string
	if len(spec.ExtraConfig) > 0 {
		out = append(out, "VirtualMachine.Config.AdvancedConfig")
	}
	for _, c := range spec.DeviceChange {
		switch d := c.GetVirtualDeviceConfigSpec(); d.Operation {
		case types.VirtualDeviceConfigSpecOperationEdit:
			out = append(out, "VirtualMachine.Config.EditDevice")
		default:
			out = append(out, "VirtualMachine.Config.AddRemoveDevice")
		}
	}
	if spec.Name != "" {
		out = append(out, "VirtualMachine.Config.Rename")
	}
	if spec.NumCPUs != 0 {
		out = append(out, "VirtualMachine.Config.CPUCount")
	}
	if spec.MemoryMB != 0 {
		out = append(out, "VirtualMachine.Config.Memory")
	}
	if spec.Annotation != "" {
		out = append(out, "VirtualMachine.Config.Annotation")
	}
	if spec.ChangeTrackingEnabled != nil {
		out = append(out, "VirtualMachine.Config.ChangeTracking")
	}
	if len(out) == 0 {
		out = append(out, "VirtualMachine.Config.Settings")
	}
	return out
}

// reconfigFault refuses what vCenter refuses and vcsim does not.
func (s *Sim) reconfigFault(vm *simulator.VirtualMachine, spec *types.VirtualMachineConfigSpec) types.BaseMethodFault {
	if spec.ChangeVersion != "" && spec.ChangeVersion != vm.Config.ChangeVersion {
		return &types.ConcurrentAccess{}
	}
	if spec.Name != "" && escapeName(spec.Name) != vm.Name {
		if holder := s.holder(*vm.Parent, escapeName(spec.Name)); holder != nil {
			return &types.DuplicateName{Name: spec.Name, Object: *holder}
		}
	}
	for _, id := range []string{spec.Uuid, spec.InstanceUuid} {
		if id != "" && !validUUID(id) {
			return invalid("configSpec.uuid")
		}
	}
	if on := spec.ChangeTrackingEnabled; on != nil && *on && !canTrack(vm) {
		return &types.NotSupported{}
	}
	if vm.Runtime.PowerState != poweredOn {
		return nil
	}
	hot := func(b *bool) bool { return b != nil && *b }
	switch {
	case spec.Uuid != "" && spec.Uuid != vm.Config.Uuid:
		return wrongPower(vm, poweredOff)
	case spec.NumCPUs != 0 && spec.NumCPUs != vm.Config.Hardware.NumCPU && !hot(vm.Config.CpuHotAddEnabled):
		return &types.CpuHotPlugNotSupported{}
	case spec.MemoryMB != 0 && spec.MemoryMB != int64(vm.Config.Hardware.MemoryMB) && !hot(vm.Config.MemoryHotAddEnabled):
		return &types.MemoryHotPlugNotSupported{}
	}
	return nil
}

// reconfigure applies a simple spec, all of it or nothing.
func (s *Sim) reconfigure(ctx *simulator.Context, vm *simulator.VirtualMachine, spec *types.VirtualMachineConfigSpec) types.BaseMethodFault {
	if vm.Config.Template {
		return &types.NotSupported{}
	}
	devices := clone(withoutDisks(vm.Config.Hardware.Device))
	for i, c := range spec.DeviceChange {
		if fault := s.reconfigNIC(vm, devices, int32(i), c.GetVirtualDeviceConfigSpec().Device); fault != nil {
			return fault
		}
	}
	for _, o := range spec.ExtraConfig {
		if o == nil || o.GetOptionValue().Key == "" {
			return invalid("configSpec.extraConfig")
		}
	}
	now := time.Now()
	changes := []types.PropertyChange{
		{Name: "config.changeVersion", Val: fmt.Sprint(now.UnixNano())},
		{Name: "config.modified", Val: now},
		{Name: "config.extraConfig", Val: mergeExtra(vm.Config.ExtraConfig, spec.ExtraConfig)},
	}
	if on := spec.ChangeTrackingEnabled; on != nil && *on != tracking(vm) {
		changes = append(changes, types.PropertyChange{Name: "config.changeTrackingEnabled", Val: *on})
		s.trackingSwitched(vm)
	}
	if len(spec.DeviceChange) > 0 {
		all := append(devices, devicesOnly(vm.Config.Hardware.Device)...)
		networks := s.networksOf(all)
		s.relinkNetworks(ctx, vm, networks)
		changes = append(changes,
			types.PropertyChange{Name: "config.hardware.device", Val: all},
			types.PropertyChange{Name: "network", Val: networks})
		s.after(s.cfg.GuestTime, func() { s.rereport(vm) })
	}
	ctx.Update(vm, changes)
	s.post(ctx, &types.VmReconfiguredEvent{VmEvent: s.vmEvent(vm), ConfigSpec: *spec})
	return nil
}

// devicesOnly lists the disks as devices.
func devicesOnly(devices []types.BaseVirtualDevice) []types.BaseVirtualDevice {
	var out []types.BaseVirtualDevice
	for _, d := range disksOf(devices) {
		out = append(out, d)
	}
	return out
}

// reconfigNIC edits one card among devices. The address of a card of a running VM
// cannot be changed.
func (s *Sim) reconfigNIC(vm *simulator.VirtualMachine, devices []types.BaseVirtualDevice, index int32, edit types.BaseVirtualDevice) types.BaseMethodFault {
	want := edit.(types.BaseVirtualEthernetCard).GetVirtualEthernetCard()
	var card *types.VirtualEthernetCard
	for _, d := range devices {
		if c, ok := d.(types.BaseVirtualEthernetCard); ok && c.GetVirtualEthernetCard().Key == want.Key {
			card = c.GetVirtualEthernetCard()
		}
	}
	if card == nil {
		return invalidDevice(index, "virtualDeviceSpec.device.key")
	}
	if mac, given := wantedMAC(card, want); given && mac != card.MacAddress && vm.Runtime.PowerState == poweredOn {
		return wrongPower(vm, poweredOff)
	}
	fault := s.editNIC(s.hostOf(vm), index, card, want, make(map[int32]bool))
	if fault == nil && vm.Runtime.PowerState != poweredOn {
		card.Connectable.Connected = false
	}
	return fault
}

// relinkNetworks tells the networks which VMs they have after a change.
func (s *Sim) relinkNetworks(ctx *simulator.Context, vm *simulator.VirtualMachine, now []types.ManagedObjectReference) {
	for _, ref := range vm.Network {
		if net := s.reg.Get(ref); networkVMs(net) != nil && simulator.FindReference(now, ref) == nil {
			s.reg.RemoveReference(ctx, net, networkVMs(net), vm.Self)
		}
	}
	for _, ref := range now {
		if net := s.reg.Get(ref); networkVMs(net) != nil {
			s.reg.AddReference(ctx, net, networkVMs(net), vm.Self)
		}
	}
}

// mend puts right what vcsim's own reconfiguration leaves behind: file layouts with
// its names of extents, cards without addresses in the guest's report.
func (s *Sim) mend(vm *simulator.VirtualMachine) {
	ctx := s.background("")
	ctx.WithLock(vm, func() {
		s.trackLayers(vm)
		s.refreshFiles(vm)
		ctx.Update(vm, []types.PropertyChange{{Name: "layoutEx", Val: vm.LayoutEx}})
	})
	if st := s.vms.get(vm.Self).guest; !st.noTools {
		s.reportGuest(vm.Self, st.bootID)
	}
}

// RefreshStorageInfo reads the sizes of the VM's files again.
func (sh *vmShim) RefreshStorageInfo(ctx *simulator.Context, req *types.RefreshStorageInfo) soap.HasFault {
	vm := sh.s.vm(req.This)
	ctx.WithLock(vm, func() { sh.s.refreshFiles(vm) })
	return &methods.RefreshStorageInfoBody{Res: &types.RefreshStorageInfoResponse{}}
}

// RenameTask renames a VM; its files keep their names.
func (sh *vmShim) RenameTask(ctx *simulator.Context, req *types.Rename_Task) soap.HasFault {
	name := escapeName(req.NewName)
	task := sh.vmTask(ctx, req.This, "rename", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		if name == "" || len(name) > maxNameBytes {
			return &types.InvalidName{Name: req.NewName}
		}
		if holder := sh.s.holder(*vm.Parent, name); holder != nil && *holder != vm.Self {
			return &types.DuplicateName{Name: name, Object: *holder}
		}
		e := &types.VmRenamedEvent{VmEvent: sh.s.vmEvent(vm), OldName: vm.Name, NewName: name}
		ctx.Update(vm, []types.PropertyChange{
			{Name: "name", Val: name}, {Name: "config.name", Val: name}, {Name: "summary.config.name", Val: name},
		})
		sh.s.post(ctx, e)
		return nil
	})
	return &methods.Rename_TaskBody{Res: &types.Rename_TaskResponse{Returnval: task}}
}
