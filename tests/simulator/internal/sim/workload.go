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

// drop ends those of a VM that goes. The caller holds the VM's lock, which a write may
// wait for, so that nobody waits here.
func (w *workloads) drop(vm types.ManagedObjectReference) {
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

func (w *workload) count() map[string]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return map[string]int64{"writes": w.writes, "bytes": w.bytes}
}

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
	w := &workload{stop: make(chan struct{}), done: make(chan struct{})}
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
	s.workloads.mu.Lock()
	defer s.workloads.mu.Unlock()
	key := workloadKey{t.vm.Self, t.key}
	if s.workloads.running[key] != nil {
		return nil, conflict(errors.New("a workload runs on this disk already"))
	}
	if s.workloads.running == nil {
		s.workloads.running = make(map[workloadKey]*workload)
	}
	s.workloads.running[key] = w
	go s.work(t, w)
	return done, nil
}

// getWorkload tells how much a workload has written; deleteWorkload ends it besides.
func (s *Sim) getWorkload(r *http.Request) (any, error) {
	t, err := s.diskTarget(r)
	if err != nil {
		return nil, err
	}
	s.workloads.mu.Lock()
	w := s.workloads.running[workloadKey{t.vm.Self, t.key}]
	s.workloads.mu.Unlock()
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
	stopped := s.workloads.take(func(key workloadKey) bool { return key == workloadKey{t.vm.Self, t.key} })
	if len(stopped) == 0 {
		return nil, noSuch("workload on disk", fmt.Sprint(t.key))
	}
	close(stopped[0].stop)
	<-stopped[0].done
	return stopped[0].count(), nil
}

// work writes until it is stopped. While the guest does not run, it writes nothing.
func (s *Sim) work(t diskTarget, w *workload) {
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
		ctx.WithLock(t.vm, func() { err = s.guestWrite(t.vm, t.key, vdisk.Spans{area}, seeded(seed)) })
		if err == nil {
			w.mu.Lock()
			w.writes, w.bytes = w.writes+1, w.bytes+area.Length()
			w.mu.Unlock()
		}
	}
}
