// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package datastores

import (
	"errors"
	"log"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/shim"
	"vforge.vsphere/simulator/internal/vdisk"
)

// spaceTable is how large datastores are: those that a test has made small. The others never run out.
type spaceTable struct {
	mu       sync.Mutex
	capacity map[types.ManagedObjectReference]int64
}

// Limit makes a datastore so small that so many bytes are free.
func (s *Datastores) Limit(ds *simulator.Datastore, free int64) error {
	used, err := dsfiles.Used(ds)
	if err != nil {
		return err
	}
	s.limits.mu.Lock()
	if s.limits.capacity == nil {
		s.limits.capacity = make(map[types.ManagedObjectReference]int64)
	}
	s.limits.capacity[ds.Self] = used + free
	s.limits.mu.Unlock()
	s.ShowSpace(ds)
	return nil
}

// free is how many bytes of a datastore are free; limited is false where that does not matter.
func (s *Datastores) free(ds *simulator.Datastore) (free int64, limited bool) {
	s.limits.mu.Lock()
	capacity, limited := s.limits.capacity[ds.Self]
	s.limits.mu.Unlock()
	if !limited {
		return 0, false
	}
	used, err := dsfiles.Used(ds)
	if err != nil {
		log.Printf("vforge-sim: the space of %s: %v", ds.Name, err)
	}
	return max(capacity-used, 0), true
}

// ShowSpace tells clients of what is free.
func (s *Datastores) ShowSpace(ds *simulator.Datastore) {
	free, limited := s.free(ds)
	if !limited {
		return
	}
	s.limits.mu.Lock()
	capacity := s.limits.capacity[ds.Self]
	s.limits.mu.Unlock()
	s.Reg.AtomicUpdate(s.Background(""), ds, []types.PropertyChange{
		{Name: "summary.capacity", Val: capacity}, {Name: "summary.freeSpace", Val: free},
	})
}

// Room refuses what needs more bytes than are free. What is thin needs its first block.
func (s *Datastores) Room(ds *simulator.Datastore, file string, size int64, thin bool) types.BaseMethodFault {
	if thin {
		size = dsfiles.DeltaSize
	}
	if free, limited := s.free(ds); limited && free < size {
		s.ShowSpace(ds)
		return noDiskSpace(ds, file)
	}
	return nil
}

func noDiskSpace(ds *simulator.Datastore, file string) types.BaseMethodFault {
	return &types.NoDiskSpace{FileFault: types.FileFault{File: dsfiles.Path(ds.Name, file)}, Datastore: ds.Name}
}

// Full is the fault for a disk whose content has no room.
func (s *Datastores) Full(b *vdisk.FlatBacking) types.BaseMethodFault {
	_, file := dsfiles.Split(b.FileName)
	ds, _ := s.Reg.Get(*b.Datastore).(*simulator.Datastore)
	s.ShowSpace(ds)
	return noDiskSpace(ds, file)
}

// ErrNoSpace is what ends a write to a datastore that has run out.
var ErrNoSpace = errors.New("the datastore is full")

// Within has what is put into a disk fail when its datastore is full.
func (s *Datastores) Within(b *vdisk.FlatBacking, put func(p []byte, off int64) error) func(p []byte, off int64) error {
	ds, ok := s.Reg.Get(*b.Datastore).(*simulator.Datastore)
	if !ok {
		return put
	}
	free, limited := s.free(ds)
	if !limited {
		return put
	}
	return func(p []byte, off int64) error {
		if free -= int64(len(p)); free < 0 {
			return ErrNoSpace
		}
		return put(p, off)
	}
}

// datastoreShim answers calls on datastores.
type datastoreShim struct{ shim.Of[*Datastores] }

// RefreshDatastore reads anew how much is free.
func (sh *datastoreShim) RefreshDatastore(ctx *simulator.Context, req *types.RefreshDatastore) soap.HasFault {
	ds, ok := sh.S.Reg.Get(req.This).(*simulator.Datastore)
	if !ok {
		return &methods.RefreshDatastoreBody{Fault_: faults.NotFound(req.This)}
	}
	if _, limited := sh.S.free(ds); !limited {
		var res soap.HasFault
		ctx.WithLock(ds, func() { res = ds.RefreshDatastore(ctx, req) })
		return res
	}
	sh.S.ShowSpace(ds)
	return &methods.RefreshDatastoreBody{Res: &types.RefreshDatastoreResponse{}}
}
