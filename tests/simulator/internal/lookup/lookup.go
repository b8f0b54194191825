// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package lookup

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/snaptree"
)

// Finder finds objects of the inventory by what refers to them.
type Finder struct{ reg *simulator.Registry }

// NewFinder looks things up in vcsim's registry.
func NewFinder(reg *simulator.Registry) Finder { return Finder{reg} }

// VM returns the VM of ref, or nil.
func (f *Finder) VM(ref types.ManagedObjectReference) *simulator.VirtualMachine {
	vm, _ := f.reg.Get(ref).(*simulator.VirtualMachine)
	return vm
}

// Host returns the host of ref, or nil.
func (f *Finder) Host(ref types.ManagedObjectReference) *simulator.HostSystem {
	host, _ := f.reg.Get(ref).(*simulator.HostSystem)
	return host
}

// HostOf returns the host that a VM is on, or nil.
func (f *Finder) HostOf(vm *simulator.VirtualMachine) *simulator.HostSystem {
	if vm.Runtime.Host == nil {
		return nil
	}
	return f.Host(*vm.Runtime.Host)
}

// DatastoreOf finds a datastore of the VM's host by name; names repeat across
// datacenters, so the host decides.
func (f *Finder) DatastoreOf(vm *simulator.VirtualMachine, name string) (*simulator.Datastore, bool) {
	host := f.HostOf(vm)
	if host == nil {
		return nil, false
	}
	for _, ref := range host.Datastore {
		if ds, ok := f.reg.Get(ref).(*simulator.Datastore); ok && ds.Name == name {
			return ds, true
		}
	}
	return nil, false
}

// Ancestor climbs from ref to the first object of kind.
func (f *Finder) Ancestor(ref types.ManagedObjectReference, kind string) mo.Entity {
	for {
		e, ok := f.reg.Get(ref).(mo.Entity)
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

// ComputeOf returns the compute resource, cluster or not, that a host or a
// resource pool belongs to.
func (f *Finder) ComputeOf(ref types.ManagedObjectReference) (types.ManagedObjectReference, bool) {
	for {
		e, ok := f.reg.Get(ref).(mo.Entity)
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

// PoolVMs returns the list of VMs of a resource pool or vApp.
func PoolVMs(pool mo.Reference) *[]types.ManagedObjectReference {
	switch p := pool.(type) {
	case *simulator.ResourcePool:
		return &p.Vm
	case *simulator.VirtualApp:
		return &p.Vm
	}
	return nil
}

// NetworkVMs returns the list of VMs of a network and its name.
func NetworkVMs(n mo.Reference) *[]types.ManagedObjectReference {
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

// SnapshotsOf lists the snapshots of a VM, all branches of the tree.
func (f *Finder) SnapshotsOf(vm *simulator.VirtualMachine) []*simulator.VirtualMachineSnapshot {
	if vm.Snapshot == nil {
		return nil
	}
	var out []*simulator.VirtualMachineSnapshot
	for _, ref := range snaptree.Refs(vm.Snapshot.RootSnapshotList) {
		if snapshot := f.Snapshot(ref); snapshot != nil {
			out = append(out, snapshot)
		}
	}
	return out
}

// Snapshot returns the snapshot of ref, or nil.
func (f *Finder) Snapshot(ref types.ManagedObjectReference) *simulator.VirtualMachineSnapshot {
	snapshot, _ := f.reg.Get(ref).(*simulator.VirtualMachineSnapshot)
	return snapshot
}
