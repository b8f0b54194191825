// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/vdisk"
)

// workload is a guest that goes on writing to one disk, at random places.
type workload struct {
	Seed      uint64  `json:"seed"`
	Rate      float64 `json:"rate"`       // writes in a second
	MaxLength int64   `json:"max_length"` // bytes; each write has from one sector to this
	Within    int64   `json:"within"`     // only the first so many bytes of the disk

	stop chan struct{}
	done chan struct{}

	mu     sync.Mutex
	writes int64
	bytes  int64
}

// workloadKey names a disk.
type workloadKey struct {
	vm  types.ManagedObjectReference
	key int32
}

// workloads are all that run.
type workloads struct {
	mu      sync.Mutex
	running map[workloadKey]*workload
}

// take removes a workload, or all of a VM, or all.
func (w *workloads) take(pick func(workloadKey) bool) (out []*workload) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, one := range w.running {
		if pick(key) {
			delete(w.running, key)
			out = append(out, one)
		}
	}
	return out
}

// of returns the workload of a disk, or nil.
func (w *workloads) of(vm types.ManagedObjectReference, key int32) *workload {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running[workloadKey{vm, key}]
}

// end ends the workload of a disk, waits for it and returns it, or nil where there is none.
func (w *workloads) end(vm types.ManagedObjectReference, key int32) *workload {
	stopped := w.take(func(k workloadKey) bool { return k == workloadKey{vm, key} })
	if len(stopped) == 0 {
		return nil
	}
	close(stopped[0].stop)
	<-stopped[0].done
	return stopped[0]
}

// Drop ends those of a VM that goes. The caller holds the VM's lock, which a write may
// wait for, so that nobody waits here.
func (w *workloads) Drop(vm types.ManagedObjectReference) {
	for _, one := range w.take(func(key workloadKey) bool { return key.vm == vm }) {
		close(one.stop)
	}
}

// stopAll ends all workloads and waits for them.
func (w *workloads) stopAll() {
	for _, one := range w.take(func(workloadKey) bool { return true }) {
		close(one.stop)
		<-one.done
	}
}

// count is how much was written.
func (w *workload) count() map[string]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return map[string]int64{"writes": w.writes, "bytes": w.bytes}
}

// check refuses what makes no sense, and fills in what is not said.
func (w *workload) check() error {
	if w.MaxLength == 0 {
		w.MaxLength = 64 * 1024
	}
	if w.Rate == 0 {
		w.Rate = 100
	}
	if w.Rate < 0 || w.Rate > 10_000 || w.MaxLength < vdisk.SectorSize || w.Within < 0 {
		return fmt.Errorf(`"rate" is up to 10000 writes in a second, "max_length" at least %d bytes`, vdisk.SectorSize)
	}
	return nil
}

// postWorkload starts a workload on a disk.
func (s *Sim) postWorkload(r *http.Request) (any, error) {
	t, err := s.diskTarget(r)
	if err != nil {
		return nil, err
	}
	w := &workload{}
	if err := decode(r, w); err != nil {
		return nil, err
	}
	if err := w.check(); err != nil {
		return nil, badRequest(err)
	}
	var capacity int64
	s.background("").WithLock(t.vm, func() {
		var disk *types.VirtualDisk
		if disk, _, err = s.open(diskTarget{vm: t.vm, key: t.key}); err == nil {
			capacity = disk.CapacityInBytes
		}
	})
	if err != nil {
		return nil, err
	}
	if w.Within == 0 || w.Within > capacity {
		w.Within = capacity
	}
	if !s.beginWork(t.vm, t.key, w) {
		return nil, conflict(errors.New("a workload runs on this disk already"))
	}
	return done, nil
}

// getWorkload tells how much a workload has written; deleteWorkload ends it besides.
func (s *Sim) getWorkload(r *http.Request) (any, error) {
	t, err := s.diskTarget(r)
	if err != nil {
		return nil, err
	}
	w := s.workloads.of(t.vm.Self, t.key)
	if w == nil {
		return nil, noSuch("workload on disk", fmt.Sprint(t.key))
	}
	return w.count(), nil
}

func (s *Sim) deleteWorkload(r *http.Request) (any, error) {
	t, err := s.diskTarget(r)
	if err != nil {
		return nil, err
	}
	w := s.workloads.end(t.vm.Self, t.key)
	if w == nil {
		return nil, noSuch("workload on disk", fmt.Sprint(t.key))
	}
	return w.count(), nil
}

// beginWork starts a workload on a disk, unless one runs there.
func (s *Sim) beginWork(vm *simulator.VirtualMachine, key int32, w *workload) bool {
	s.workloads.mu.Lock()
	defer s.workloads.mu.Unlock()
	of := workloadKey{vm.Self, key}
	if s.workloads.running[of] != nil {
		return false
	}
	if s.workloads.running == nil {
		s.workloads.running = make(map[workloadKey]*workload)
	}
	w.stop, w.done = make(chan struct{}), make(chan struct{})
	s.workloads.running[of] = w
	go s.work(vm, key, w)
	return true
}

// work writes until it is stopped. While the guest does not run, it writes nothing.
func (s *Sim) work(vm *simulator.VirtualMachine, disk int32, w *workload) {
	defer close(w.done)
	random := rand.New(rand.NewPCG(w.Seed, 0))
	tick := time.NewTicker(time.Duration(float64(time.Second) / w.Rate))
	defer tick.Stop()
	ctx := s.background("")
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
		sectors := 1 + random.Int64N(min(w.MaxLength, w.Within)/vdisk.SectorSize)
		start := random.Int64N(w.Within/vdisk.SectorSize - sectors + 1)
		area := vdisk.Span{Start: start * vdisk.SectorSize, End: (start + sectors) * vdisk.SectorSize}
		seed := random.Uint64()
		var err error
		ctx.WithLock(vm, func() { err = s.guestWrite(vm, disk, vdisk.Spans{area}, seeded(seed)) })
		if err == nil {
			w.mu.Lock()
			w.writes, w.bytes = w.writes+1, w.bytes+area.Length()
			w.mu.Unlock()
		}
	}
}
