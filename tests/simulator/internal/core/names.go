// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/controlhttp"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/props"
)

// Named finds an entity by inventory path, managed object id or name.
func (s *Core) Named(kind, name string) (mo.Entity, error) {
	found := s.Entities(kind, name)
	if len(found) == 1 {
		return found[0], nil
	}
	if len(found) > 1 {
		return nil, controlhttp.Conflict(fmt.Errorf("%d objects are named %q: use a path", len(found), name))
	}
	return nil, controlhttp.NoSuch(kind, name)
}

// FindVM finds a VM by managed object id or by name, as vCenter keeps it or as a
// person writes it.
func (s *Core) FindVM(name string) (*simulator.VirtualMachine, error) {
	if vm := s.VM(types.ManagedObjectReference{Type: "VirtualMachine", Value: name}); vm != nil {
		return vm, nil
	}
	var found []*simulator.VirtualMachine
	for _, e := range s.Reg.All("VirtualMachine") {
		vm, made := e.(*simulator.VirtualMachine)
		if !made {
			continue
		}
		if n := s.nameOf(vm); n == name || n == naming.Escape(name) {
			found = append(found, vm)
		}
	}
	switch len(found) {
	case 0:
		return nil, controlhttp.NoSuch("VM", name)
	case 1:
		return found[0], nil
	}
	return nil, controlhttp.Conflict(fmt.Errorf("%d VMs are named %q: use a managed object id", len(found), name))
}

func (s *Core) nameOf(vm *simulator.VirtualMachine) (name string) {
	s.Background("").WithLock(vm, func() { name = vm.Name })
	return name
}

// EntityPath is the inventory path of an entity: the names from below the root
// folder down.
func (s *Core) EntityPath(ref types.ManagedObjectReference) string {
	var names []string
	for {
		e, ok := s.Reg.Get(ref).(mo.Entity)
		if !ok || e.Entity().Parent == nil {
			break
		}
		names = append([]string{e.Entity().Name}, names...)
		ref = *e.Entity().Parent
	}
	return "/" + strings.Join(names, "/")
}

// Entities finds those of a kind by inventory path, managed object id or name.
func (s *Core) Entities(kind, name string) []mo.Entity {
	if e, ok := s.Reg.Get(types.ManagedObjectReference{Type: kind, Value: name}).(mo.Entity); ok {
		return []mo.Entity{e}
	}
	var found []mo.Entity
	for _, e := range s.Reg.All(kind) {
		if strings.HasPrefix(name, "/") && s.EntityPath(e.Reference()) == name || e.Entity().Name == name {
			found = append(found, e)
		}
	}
	return found
}

// Holder returns what has a name in a folder, or nil.
func (s *Core) Holder(folder types.ManagedObjectReference, name string) *types.ManagedObjectReference {
	if ref, ok := s.Index.Find(folder, name); ok {
		return &ref
	}
	return nil
}

// Children copies the list of what is directly below an entity.
func (s *Core) Children(ctx *simulator.Context, ref types.ManagedObjectReference) (out []types.ManagedObjectReference) {
	obj := s.Reg.Get(ref)
	if obj == nil || ref.Type == "VirtualMachine" {
		return nil
	}
	ctx.WithLock(ref, func() {
		switch e := props.Managed(obj).Addr().Interface().(type) {
		case *mo.Datacenter:
			out = []types.ManagedObjectReference{e.VmFolder, e.HostFolder, e.DatastoreFolder, e.NetworkFolder}
		case *mo.Folder:
			out = slices.Clone(e.ChildEntity)
		case *mo.StoragePod:
			out = slices.Clone(e.ChildEntity)
		case *mo.ComputeResource:
			out = append(slices.Clone(e.Host), *e.ResourcePool)
		case *mo.ClusterComputeResource:
			out = append(slices.Clone(e.Host), *e.ResourcePool)
		case *mo.ResourcePool:
			out = append(slices.Clone(e.ResourcePool), e.Vm...)
		case *mo.VirtualApp:
			out = append(slices.Clone(e.ResourcePool.ResourcePool), e.Vm...)
		case *mo.HostSystem:
			out = slices.Clone(e.Vm)
		}
	})
	return out
}
