// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// vm returns the VM of ref, or nil.
func (s *Sim) vm(ref types.ManagedObjectReference) *simulator.VirtualMachine {
	vm, _ := s.reg.Get(ref).(*simulator.VirtualMachine)
	return vm
}

func (s *Sim) host(ref types.ManagedObjectReference) *simulator.HostSystem {
	host, _ := s.reg.Get(ref).(*simulator.HostSystem)
	return host
}

func (s *Sim) hostOf(vm *simulator.VirtualMachine) *simulator.HostSystem {
	if vm.Runtime.Host == nil {
		return nil
	}
	return s.host(*vm.Runtime.Host)
}

// datastoreOf finds a datastore of the VM's host by name; names repeat across
// datacenters, so the host decides.
func (s *Sim) datastoreOf(vm *simulator.VirtualMachine, name string) (*simulator.Datastore, bool) {
	host := s.hostOf(vm)
	if host == nil {
		return nil, false
	}
	for _, ref := range host.Datastore {
		if ds, ok := s.reg.Get(ref).(*simulator.Datastore); ok && ds.Name == name {
			return ds, true
		}
	}
	return nil, false
}

// ancestor climbs from ref to the first object of kind.
func (s *Sim) ancestor(ref types.ManagedObjectReference, kind string) mo.Entity {
	for {
		e, ok := s.reg.Get(ref).(mo.Entity)
		if !ok {
			return nil
		}
		if ref.Type == kind {
			return e
		}
		if e.Entity().Parent == nil {
			return nil
		}
		ref = *e.Entity().Parent
	}
}

// computeOf returns the compute resource, cluster or not, that a host or a
// resource pool belongs to.
func (s *Sim) computeOf(ref types.ManagedObjectReference) (types.ManagedObjectReference, bool) {
	for {
		e, ok := s.reg.Get(ref).(mo.Entity)
		if !ok {
			return types.ManagedObjectReference{}, false
		}
		switch ref.Type {
		case "ClusterComputeResource", "ComputeResource":
			return ref, true
		}
		if e.Entity().Parent == nil {
			return types.ManagedObjectReference{}, false
		}
		ref = *e.Entity().Parent
	}
}

// poolVMs returns the list of VMs of a resource pool or vApp.
func poolVMs(pool mo.Reference) *[]types.ManagedObjectReference {
	switch p := pool.(type) {
	case *simulator.ResourcePool:
		return &p.Vm
	case *simulator.VirtualApp:
		return &p.Vm
	}
	return nil
}

// networkVMs returns the list of VMs of a network and its name.
func networkVMs(n mo.Reference) *[]types.ManagedObjectReference {
	switch n := n.(type) {
	case *simulator.DistributedVirtualPortgroup:
		return &n.Vm
	case *mo.Network:
		return &n.Vm
	case *mo.OpaqueNetwork:
		return &n.Vm
	}
	return nil
}

func networkName(n mo.Reference) (string, bool) {
	switch n := n.(type) {
	case *mo.Network:
		return n.Name, true
	case *mo.OpaqueNetwork:
		return n.Name, true
	}
	return "", false
}
