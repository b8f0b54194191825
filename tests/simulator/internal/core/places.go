// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/vdisk"
)

// HostPoolMismatch is the message key of a pool that the parent's host is not in.
const HostPoolMismatch = "com.vmware.vim.vpxd.vmcheck.hostPoolMismatch"

// DatastoresOf lists the datastores that a VM has files on, its own first.
func (s *Core) DatastoresOf(own *simulator.Datastore, devices []types.BaseVirtualDevice) []types.ManagedObjectReference {
	refs := []types.ManagedObjectReference{own.Self}
	for _, disk := range vdisk.DisksOf(devices) {
		for _, layer := range vdisk.DiskChain(disk) {
			if layer.Datastore != nil && simulator.FindReference(refs, *layer.Datastore) == nil {
				refs = append(refs, *layer.Datastore)
			}
		}
	}
	return refs
}

// SameCompute tells if a host and a pool are of the same cluster, or of the same host alone.
func (s *Core) SameCompute(host, pool types.ManagedObjectReference) bool {
	a, _ := s.ComputeOf(host)
	b, ok := s.ComputeOf(pool)
	return ok && a == b
}

// PoolMismatch is the fault for those that are not.
func PoolMismatch() types.BaseMethodFault {
	fault := &types.InvalidArgument{InvalidProperty: "spec.pool"}
	fault.FaultMessage = []types.LocalizableMessage{{
		Key:     HostPoolMismatch,
		Message: "Resource pool and host do not belong to the same compute resource.",
	}}
	return fault
}

// HostFault tells why a host takes no new VMs.
func HostFault(host *simulator.HostSystem) types.BaseMethodFault {
	if host.Runtime.ConnectionState != types.HostSystemConnectionStateConnected {
		return &types.HostNotConnected{}
	}
	if host.Runtime.InMaintenanceMode {
		return &types.InvalidHostState{Host: &host.Self}
	}
	return nil
}

// LeastHost picks among the hosts of a compute resource that take VMs, and that are fit,
// the one with the fewest.
func (s *Core) LeastHost(cr types.ManagedObjectReference, fit func(*simulator.HostSystem) bool) *simulator.HostSystem {
	var best *simulator.HostSystem
	for _, e := range s.Reg.All("HostSystem") {
		host := e.(*simulator.HostSystem)
		if mine, _ := s.ComputeOf(host.Self); mine != cr || HostFault(host) != nil || !fit(host) {
			continue
		}
		if best == nil || len(host.Vm) < len(best.Vm) || len(host.Vm) == len(best.Vm) && host.Self.Value < best.Self.Value {
			best = host
		}
	}
	return best
}

// DatacenterOf is the datacenter of an entity.
func (s *Core) DatacenterOf(ref types.ManagedObjectReference) types.ManagedObjectReference {
	dc := s.Ancestor(ref, "Datacenter")
	if dc == nil {
		return types.ManagedObjectReference{}
	}
	return dc.Reference()
}

// DrsOff is a cluster's setting in the control endpoint; the others are the API's.
const DrsOff = "off"

// SetDRS says whether a cluster places VMs by itself, where it is told of it today and where
// it was told of it before API 2.5.
func (s *Core) SetDRS(cluster *simulator.ClusterComputeResource, behavior string) {
	drs := types.ClusterDrsConfigInfo{Enabled: types.NewBool(behavior != DrsOff)}
	if behavior != DrsOff {
		drs.DefaultVmBehavior = types.DrsBehavior(behavior)
	}
	config := *cluster.ConfigurationEx.(*types.ClusterConfigInfoEx)
	config.DrsConfig = drs
	s.Reg.AtomicUpdate(s.Background(""), cluster, []types.PropertyChange{
		{Name: "configurationEx", Val: &config}, {Name: "configuration.drsConfig", Val: drs},
	})
}

// PlacedByDRS tells if vCenter chooses the host for a VM of a pool. On a cluster without DRS
// the caller has to.
func (s *Core) PlacedByDRS(pool types.ManagedObjectReference) bool {
	cr, _ := s.ComputeOf(pool)
	cluster, ok := s.Reg.Get(cr).(*simulator.ClusterComputeResource)
	if !ok {
		return true // a host of its own is the only one
	}
	enabled := cluster.ConfigurationEx.(*types.ClusterConfigInfoEx).DrsConfig.Enabled
	return enabled != nil && *enabled
}
