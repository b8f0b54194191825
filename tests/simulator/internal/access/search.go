// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package access

import (
	"slices"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/shim"
)

// searchShim searches the inventory. vcsim's own search looks at VMs without their
// locks and leaves a datacenter given as the scope aside.
type searchShim struct{ shim.Of[*Access] }

// findVMs returns the VMs that match and that the caller may look at, in the order of their ids; with a datacenter
// only those in it.
func (s *Access) findVMs(ctx *simulator.Context, dc *types.ManagedObjectReference, match func(*simulator.VirtualMachine) bool) []types.ManagedObjectReference {
	var out []types.ManagedObjectReference
	for _, e := range s.Reg.All("VirtualMachine") {
		vm, ok := e.(*simulator.VirtualMachine)
		if !ok {
			continue
		}
		hit := false
		ctx.WithLock(vm, func() { hit = vm.Config != nil && match(vm) })
		if !hit || !s.Sees(ctx.Session.UserName, vm.Self) {
			continue
		}
		if dc != nil {
			if at := s.Ancestor(vm.Self, "Datacenter"); at == nil || at.Reference() != *dc {
				continue
			}
		}
		out = append(out, vm.Self)
	}
	slices.SortFunc(out, func(a, b types.ManagedObjectReference) int {
		if len(a.Value) != len(b.Value) {
			return len(a.Value) - len(b.Value)
		}
		return strings.Compare(a.Value, b.Value)
	})
	return out
}

func firstRef(refs []types.ManagedObjectReference) *types.ManagedObjectReference {
	if len(refs) == 0 {
		return nil
	}
	return &refs[0]
}

func (s *Access) byUUID(ctx *simulator.Context, dc *types.ManagedObjectReference, id string, instance *bool) []types.ManagedObjectReference {
	return s.findVMs(ctx, dc, func(vm *simulator.VirtualMachine) bool {
		if instance != nil && *instance {
			return strings.EqualFold(vm.Config.InstanceUuid, id)
		}
		return strings.EqualFold(vm.Config.Uuid, id)
	})
}

// FindByUuid finds a VM by its BIOS or instance UUID, or a host by its UUID.
func (sh *searchShim) FindByUuid(ctx *simulator.Context, req *types.FindByUuid) soap.HasFault {
	if !req.VmSearch {
		return sh.S.Reg.SearchIndex().FindByUuid(ctx, req)
	}
	return &methods.FindByUuidBody{Res: &types.FindByUuidResponse{
		Returnval: firstRef(sh.S.byUUID(ctx, req.Datacenter, req.Uuid, req.InstanceUuid)),
	}}
}

// FindAllByUuid finds all VMs with a UUID.
func (sh *searchShim) FindAllByUuid(ctx *simulator.Context, req *types.FindAllByUuid) soap.HasFault {
	if !req.VmSearch {
		return sh.S.Reg.SearchIndex().FindAllByUuid(ctx, req)
	}
	return &methods.FindAllByUuidBody{Res: &types.FindAllByUuidResponse{
		Returnval: sh.S.byUUID(ctx, req.Datacenter, req.Uuid, req.InstanceUuid),
	}}
}

func hasAddress(vm *simulator.VirtualMachine, ip string) bool {
	return vm.Guest != nil && (vm.Guest.IpAddress == ip || slices.ContainsFunc(vm.Guest.Net, func(n types.GuestNicInfo) bool {
		return slices.Contains(n.IpAddress, ip)
	}))
}

// FindByIp finds a VM by an address that its guest reports.
func (sh *searchShim) FindByIp(ctx *simulator.Context, req *types.FindByIp) soap.HasFault {
	if !req.VmSearch {
		return sh.S.Reg.SearchIndex().FindByIp(ctx, req)
	}
	return &methods.FindByIpBody{Res: &types.FindByIpResponse{
		Returnval: firstRef(sh.S.findVMs(ctx, req.Datacenter, func(vm *simulator.VirtualMachine) bool { return hasAddress(vm, req.Ip) })),
	}}
}

// FindAllByIp finds all VMs with an address.
func (sh *searchShim) FindAllByIp(ctx *simulator.Context, req *types.FindAllByIp) soap.HasFault {
	if !req.VmSearch {
		return sh.S.Reg.SearchIndex().FindAllByIp(ctx, req)
	}
	return &methods.FindAllByIpBody{Res: &types.FindAllByIpResponse{
		Returnval: sh.S.findVMs(ctx, req.Datacenter, func(vm *simulator.VirtualMachine) bool { return hasAddress(vm, req.Ip) }),
	}}
}

func hasHostName(vm *simulator.VirtualMachine, name string) bool {
	return vm.Guest != nil && strings.EqualFold(vm.Guest.HostName, name)
}

// FindByDnsName finds a VM by the host name that its guest reports.
func (sh *searchShim) FindByDnsName(ctx *simulator.Context, req *types.FindByDnsName) soap.HasFault {
	if !req.VmSearch {
		return sh.S.Reg.SearchIndex().FindByDnsName(ctx, req)
	}
	return &methods.FindByDnsNameBody{Res: &types.FindByDnsNameResponse{
		Returnval: firstRef(sh.S.findVMs(ctx, req.Datacenter, func(vm *simulator.VirtualMachine) bool { return hasHostName(vm, req.DnsName) })),
	}}
}

// FindByDatastorePath finds a VM by its configuration file.
func (sh *searchShim) FindByDatastorePath(ctx *simulator.Context, req *types.FindByDatastorePath) soap.HasFault {
	return &methods.FindByDatastorePathBody{Res: &types.FindByDatastorePathResponse{
		Returnval: firstRef(sh.S.findVMs(ctx, &req.Datacenter, func(vm *simulator.VirtualMachine) bool {
			return vm.Config.Files.VmPathName == req.Path
		})),
	}}
}

// FindChild finds an entity below another by name.
func (sh *searchShim) FindChild(ctx *simulator.Context, req *types.FindChild) soap.HasFault {
	if sh.S.Reg.Get(req.Entity) == nil {
		return &methods.FindChildBody{Fault_: faults.NotFound(req.Entity)}
	}
	return &methods.FindChildBody{Res: &types.FindChildResponse{Returnval: sh.S.child(ctx, req.Entity, req.Name)}}
}

// FindByInventoryPath walks down from the root folder. A slash in a name is written
// %2f.
func (sh *searchShim) FindByInventoryPath(ctx *simulator.Context, req *types.FindByInventoryPath) soap.HasFault {
	at := sh.S.walk(req.InventoryPath, func(parent types.ManagedObjectReference, name string) *types.ManagedObjectReference {
		return sh.S.child(ctx, parent, name)
	})
	return &methods.FindByInventoryPathBody{Res: &types.FindByInventoryPathResponse{Returnval: at}}
}

// At finds an object by its path, whoever may look at it.
func (s *Access) At(path string) *types.ManagedObjectReference {
	ctx := s.Background("")
	return s.walk(path, func(parent types.ManagedObjectReference, name string) *types.ManagedObjectReference {
		return s.anyChild(ctx, parent, name)
	})
}

// walk goes down from the root folder, step by step.
func (s *Access) walk(path string, step func(types.ManagedObjectReference, string) *types.ManagedObjectReference) *types.ManagedObjectReference {
	root := s.Content().RootFolder
	at := &root
	for _, name := range strings.Split(strings.Trim(path, "/"), "/") {
		if name == "" || at == nil {
			break
		}
		at = step(*at, name)
	}
	return at
}

// child finds one step of a path, where the caller may look at both of its ends.
func (s *Access) child(ctx *simulator.Context, parent types.ManagedObjectReference, name string) *types.ManagedObjectReference {
	found := s.anyChild(ctx, parent, name)
	if found == nil || !s.Sees(ctx.Session.UserName, parent) || !s.Sees(ctx.Session.UserName, *found) {
		return nil
	}
	return found
}

// anyChild finds one step of a path: in a folder by the index of names, elsewhere, and
// for what the index does not hold, by vcsim's own search.
func (s *Access) anyChild(ctx *simulator.Context, parent types.ManagedObjectReference, name string) (found *types.ManagedObjectReference) {
	if ref := s.Holder(parent, name); ref != nil {
		return ref
	}
	ctx.WithLock(parent, func() {
		res := s.Reg.SearchIndex().FindChild(ctx, &types.FindChild{Entity: parent, Name: name})
		if res.Fault() == nil {
			found = res.(*methods.FindChildBody).Res.Returnval
		}
	})
	return found
}
