// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// finder finds objects of the inventory by what refers to them.
type finder struct{ reg *simulator.Registry }

func newFinder(reg *simulator.Registry) finder { return finder{reg} }

// vm returns the VM of ref, or nil.
func (f *finder) vm(ref types.ManagedObjectReference) *simulator.VirtualMachine {
	vm, _ := f.reg.Get(ref).(*simulator.VirtualMachine)
	return vm
}

func (f *finder) host(ref types.ManagedObjectReference) *simulator.HostSystem {
	host, _ := f.reg.Get(ref).(*simulator.HostSystem)
	return host
}

func (f *finder) hostOf(vm *simulator.VirtualMachine) *simulator.HostSystem {
	if vm.Runtime.Host == nil {
		return nil
	}
	return f.host(*vm.Runtime.Host)
}

// datastoreOf finds a datastore of the VM's host by name; names repeat across
// datacenters, so the host decides.
func (f *finder) datastoreOf(vm *simulator.VirtualMachine, name string) (*simulator.Datastore, bool) {
	host := f.hostOf(vm)
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

// ancestor climbs from ref to the first object of kind.
func (f *finder) ancestor(ref types.ManagedObjectReference, kind string) mo.Entity {
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

// computeOf returns the compute resource, cluster or not, that a host or a
// resource pool belongs to.
func (f *finder) computeOf(ref types.ManagedObjectReference) (types.ManagedObjectReference, bool) {
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

// snapshotsOf lists the snapshots of a VM, all branches of the tree.
func (f *finder) snapshotsOf(vm *simulator.VirtualMachine) []*simulator.VirtualMachineSnapshot {
	if vm.Snapshot == nil {
		return nil
	}
	var out []*simulator.VirtualMachineSnapshot
	for _, ref := range snapshotsIn(vm.Snapshot.RootSnapshotList) {
		if snapshot := f.snapshot(ref); snapshot != nil {
			out = append(out, snapshot)
		}
	}
	return out
}

// snapshot returns the snapshot of ref, or nil.
func (f *finder) snapshot(ref types.ManagedObjectReference) *simulator.VirtualMachineSnapshot {
	snapshot, _ := f.reg.Get(ref).(*simulator.VirtualMachineSnapshot)
	return snapshot
}
