// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestwrites

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/vdisk"
)

// Seeded fills sectors with bytes that follow from a seed and the sector's number, and
// are never all zeros.
func Seeded(seed uint64) func(p []byte, off int64) error {
	return func(p []byte, off int64) error {
		for sector := range slices.Chunk(p, vdisk.SectorSize) {
			random := rand.NewPCG(seed, uint64(off))
			for word := range slices.Chunk(sector, 8) {
				binary.LittleEndian.PutUint64(word, random.Uint64()|1)
			}
			off += vdisk.SectorSize
		}
		return nil
	}
}

// Workload is a guest that goes on writing to one disk, at random places.
type Workload struct {
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
	running map[workloadKey]*Workload
}

// take removes a workload, or all of a VM, or all.
func (w *workloads) take(pick func(workloadKey) bool) (out []*Workload) {
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

// Of returns the workload of a disk, or nil.
func (w *workloads) Of(vm types.ManagedObjectReference, key int32) *Workload {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running[workloadKey{vm, key}]
}

// End ends the workload of a disk, waits for it and returns it, or nil where there is none.
func (w *workloads) End(vm types.ManagedObjectReference, key int32) *Workload {
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

// StopAll ends all workloads and waits for them.
func (w *workloads) StopAll() {
	for _, one := range w.take(func(workloadKey) bool { return true }) {
		close(one.stop)
		<-one.done
	}
}

// Count is how much was written.
func (w *Workload) Count() map[string]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return map[string]int64{"writes": w.writes, "bytes": w.bytes}
}

// Check refuses what makes no sense, and fills in what is not said.
func (w *Workload) Check() error {
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

// Begin starts a workload on a disk, unless one runs there.
func (s *Writes) Begin(vm *simulator.VirtualMachine, key int32, w *Workload) bool {
	s.Workloads.mu.Lock()
	defer s.Workloads.mu.Unlock()
	of := workloadKey{vm.Self, key}
	if s.Workloads.running[of] != nil {
		return false
	}
	if s.Workloads.running == nil {
		s.Workloads.running = make(map[workloadKey]*Workload)
	}
	w.stop, w.done = make(chan struct{}), make(chan struct{})
	s.Workloads.running[of] = w
	go s.work(vm, key, w)
	return true
}

// work writes until it is stopped. While the guest does not run, it writes nothing.
func (s *Writes) work(vm *simulator.VirtualMachine, disk int32, w *Workload) {
	defer close(w.done)
	random := rand.New(rand.NewPCG(w.Seed, 0))
	tick := time.NewTicker(time.Duration(float64(time.Second) / w.Rate))
	defer tick.Stop()
	ctx := s.Background("")
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
		ctx.WithLock(vm, func() { err = s.Write(vm, disk, vdisk.Spans{area}, Seeded(seed)) })
		if err == nil {
			w.mu.Lock()
			w.writes, w.bytes = w.writes+1, w.bytes+area.Length()
			w.mu.Unlock()
		}
	}
}
