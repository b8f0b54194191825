// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package hardware

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vhardware"
)

// CreateDenied checks what CreateVM_Task needs besides the privilege to create VMs in the folder, as the API reference has it.
func (s *Hardware) CreateDenied(ctx *simulator.Context, req *types.CreateVM_Task) types.BaseMethodFault {
	needs := []core.Need{core.NeedOn(req.Pool, "Resource.AssignVMToPool")}
	for _, p := range DiskPrivileges(req.Config.DeviceChange) {
		needs = append(needs, core.NeedOn(req.This, p))
	}
	if len(req.Config.ExtraConfig) > 0 {
		needs = append(needs, core.NeedOn(req.This, "VirtualMachine.Config.AdvancedConfig"))
	}
	if req.Config.ChangeTrackingEnabled != nil {
		needs = append(needs, core.NeedOn(req.This, "VirtualMachine.Config.ChangeTracking"))
	}
	dc := s.DatacenterOf(req.This)
	names := fileNames(req.Config.DeviceChange)
	if req.Config.Files != nil {
		names = append(names, req.Config.Files.VmPathName)
	}
	for _, name := range names {
		if ds := s.Datastores.DatastoreIn(&dc, name); ds != nil { // else vcsim says what is wrong with it
			needs = append(needs, core.NeedOn(ds.Self, core.AllocateSpace))
		}
	}
	if fault := s.Lacking(ctx, needs...); fault != nil {
		return fault
	}
	host := req.Host
	if host == nil {
		host = s.someHost(req.Pool)
	}
	if host == nil {
		return nil // vcsim says what is wrong with the pool
	}
	return s.AssignDenied(ctx, s.Host(*host), nil, req.Config.DeviceChange)
}

// someHost is one of the hosts that a pool's VMs run on.
func (s *Hardware) someHost(pool types.ManagedObjectReference) *types.ManagedObjectReference {
	cr, _ := s.ComputeOf(pool)
	for _, e := range s.Reg.All("HostSystem") {
		if mine, _ := s.ComputeOf(mo.Reference(e).Reference()); mine == cr {
			ref := e.Reference()
			return &ref
		}
	}
	return nil
}

// DiskPrivileges lists what changes of disks need on a VM, or on the folder of one that is made.
func DiskPrivileges(changes []types.BaseVirtualDeviceConfigSpec) []string {
	var out []string
	for _, c := range changes {
		d := c.GetVirtualDeviceConfigSpec()
		disk, ok := d.Device.(*types.VirtualDisk)
		switch {
		case !ok:
		case d.Operation == types.VirtualDeviceConfigSpecOperationRemove:
			out = append(out, "VirtualMachine.Config.RemoveDisk")
		case d.Operation == types.VirtualDeviceConfigSpecOperationAdd && d.FileOperation == "":
			out = append(out, "VirtualMachine.Config.AddExistingDisk")
		case d.Operation == types.VirtualDeviceConfigSpecOperationAdd:
			out = append(out, "VirtualMachine.Config.AddNewDisk")
		case disk.CapacityInBytes+disk.CapacityInKB > 0:
			out = append(out, "VirtualMachine.Config.DiskExtend")
		default:
			out = append(out, "VirtualMachine.Config.EditDevice")
		}
	}
	return out
}

// fileNames are the files of disks that changes make or extend.
func fileNames(changes []types.BaseVirtualDeviceConfigSpec) []string {
	var names []string
	for _, c := range changes {
		d := c.GetVirtualDeviceConfigSpec()
		disk, ok := d.Device.(*types.VirtualDisk)
		if !ok || d.Operation == types.VirtualDeviceConfigSpecOperationRemove {
			continue
		}
		grows := d.Operation == types.VirtualDeviceConfigSpecOperationEdit && disk.CapacityInBytes+disk.CapacityInKB > 0
		if backing, ok := disk.Backing.(*vdisk.FlatBacking); ok && (grows || d.FileOperation != "") {
			names = append(names, backing.FileName)
		}
	}
	return names
}

// SpaceDenied checks the privilege on every datastore where changes of a VM make or extend disks: on the VM's own where none
// is named. The caller holds the VM's lock.
func (s *Hardware) SpaceDenied(ctx *simulator.Context, vm *simulator.VirtualMachine, changes []types.BaseVirtualDeviceConfigSpec) types.BaseMethodFault {
	dc := s.DatacenterOf(vm.Self)
	for _, name := range fileNames(changes) {
		if name == "" {
			name = vm.Config.Files.VmPathName
		}
		if ds := s.Datastores.DatastoreIn(&dc, name); ds != nil { // else the rules say what is wrong with it
			if fault := s.Lacking(ctx, core.NeedOn(ds.Self, core.AllocateSpace)); fault != nil {
				return fault
			}
		}
	}
	return nil
}

// AssignDenied checks the privilege on every network that changes put cards on. A card that
// stays where it is needs none.
func (s *Hardware) AssignDenied(ctx *simulator.Context, host *simulator.HostSystem, now []types.BaseVirtualDevice, changes []types.BaseVirtualDeviceConfigSpec) types.BaseMethodFault {
	h := &Change{Devices: now}
	for i, c := range changes {
		change := c.GetVirtualDeviceConfigSpec()
		card, ok := change.Device.(types.BaseVirtualEthernetCard)
		if !ok || host == nil || change.Operation == types.VirtualDeviceConfigSpecOperationRemove || card.GetVirtualEthernetCard().Backing == nil {
			continue
		}
		net, fault := s.networkOf(host, int32(i), card.GetVirtualEthernetCard().Backing)
		if fault != nil {
			continue // the rules say what is wrong with it
		}
		if at := h.Find(card.GetVirtualEthernetCard().Key); at >= 0 && slices.Contains(s.NetworksOf(now[at:at+1]), net.Ref) {
			continue
		}
		if fault := s.Auth.Denied(ctx.Session.UserName, net.Ref, "Network.Assign"); fault != nil {
			return fault
		}
	}
	return nil
}

// VersionFault refuses virtual hardware that a host has not; an empty version is for its newest.
func (s *Hardware) VersionFault(host *simulator.HostSystem, version string) types.BaseMethodFault {
	n := vhardware.VersionNumber(version)
	// What hosts list as supported begins with vmx-04 and vmx-07.
	if version == "" || n == 4 || n >= 7 && n <= apiversion.NewestHardware(s.Cfg.APIVersion) {
		return nil
	}
	return &types.VirtualHardwareVersionNotSupported{HostName: host.Name, Host: host.Self}
}
