// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/clones"
	"vforge.vsphere/simulator/internal/clusters"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/front"
	"vforge.vsphere/simulator/internal/guests"
	"vforge.vsphere/simulator/internal/leases"
	"vforge.vsphere/simulator/internal/shim"
	"vforge.vsphere/simulator/internal/snapshots"
	"vforge.vsphere/simulator/internal/vms"
)

// The calls on one kind of objects that several parts answer together.
type (
	diskCalls      = disks.VMCalls
	evcCalls       = clusters.VMCalls
	guestCalls     = guests.VMCalls
	cloneCalls     = clones.VMCalls
	vmCalls        = vms.VMCalls
	snapshotsOfVMs = snapshots.VMCalls
	exportCalls    = leases.VMCalls

	snapshotCalls       = snapshots.SnapshotCalls
	snapshotExportCalls = leases.SnapshotCalls

	poolCalls   = vms.PoolCalls
	importCalls = leases.PoolCalls
)

type vmShim struct {
	shim.Base
	diskCalls
	evcCalls
	guestCalls
	cloneCalls
	vmCalls
	snapshotsOfVMs
	exportCalls
}

type snapshotShim struct {
	shim.Base
	snapshotCalls
	snapshotExportCalls
}

type poolShim struct {
	shim.Base
	poolCalls
	importCalls
}

func (s *Sim) poolShim(kind string) shim.Shim {
	return &poolShim{shim.NewBase(kind), poolCalls{S: s.VMs}, importCalls{S: s.Leases}}
}

// installShims registers the shims and hooks them into vcsim's dispatch.
func (s *Sim) installShims() {
	all := []shim.Shim{
		&vmShim{
			shim.NewBase("VirtualMachine"), diskCalls{S: s.Disks}, evcCalls{S: s.Clusters}, guestCalls{S: s.Guests},
			cloneCalls{S: s.Clones}, vmCalls{S: s.VMs}, snapshotsOfVMs{S: s.Snapshots}, exportCalls{S: s.Leases},
		},
		&snapshotShim{shim.NewBase("VirtualMachineSnapshot"), snapshotCalls{S: s.Snapshots}, snapshotExportCalls{S: s.Leases}},
		s.poolShim("ResourcePool"), s.poolShim("VirtualApp"),
		&taskShim{shim.For("Task", s)},
		s.Props.CollectorShim(), s.Props.FilterShim(),
	}
	for _, part := range []interface{ Shims() []shim.Shim }{
		s.Access, s.Datastores, s.Disks, s.Clusters, s.Guests, s.VStorage, s.Clones, s.VMs, s.OvfManager, s.Leases,
	} {
		all = append(all, part.Shims()...)
	}
	s.shims = make(map[string]shim.Shim)
	for _, sh := range all {
		s.shims[sh.Reference().Value] = sh
		s.Reg.Put(sh)
	}
	if apiversion.Less(s.Cfg.APIVersion, apiversion.FirstClassDisksSince) {
		s.Reg.Get(vim25.ServiceInstance).(*simulator.ServiceInstance).Content.VStorageObjectManager = nil
	}
	s.Reg.Handler = s.route
	s.Reg.AddHandler(s.Props.Hub)
	s.Reg.AddHandler(s.Index)
	s.Reg.AddHandler(newCompleter(s.Reg))
}

// ownObjects are the kinds of objects that only their shim knows.
var ownObjects = map[string]bool{"PropertyCollector": true, "PropertyFilter": true}

// route is called by vcsim for every call before it looks for the method.
func (s *Sim) route(ctx *simulator.Context, method *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	sh, ok := s.shims[method.This.Type]
	if !ok || !shim.HasMethod(sh, method.Name) {
		return nil, nil
	}
	if !ownObjects[method.This.Type] && s.Reg.Get(method.This) == nil {
		return nil, nil // vcsim answers ManagedObjectNotFound
	}
	if s.Coming(method.This) != nil {
		return nil, nil // it has no methods yet
	}
	if ctx.Session == nil && !front.OpenMethods[method.Name] {
		// The session has ended since the front let the call through. vcsim's own fault would
		// name the shim, whose type no client knows.
		return nil, faults.NotAuthenticated(method.This)
	}
	method.This = sh.Reference()
	return sh, nil
}
