// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package control

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/controlhttp"
	"vforge.vsphere/simulator/internal/guestwrites"
)

// postWorkload starts a workload on a disk.
func (s *Control) postWorkload(r *http.Request) (any, error) {
	t, err := s.diskTarget(r)
	if err != nil {
		return nil, err
	}
	w := &guestwrites.Workload{}
	if err := controlhttp.Decode(r, w); err != nil {
		return nil, err
	}
	if err := w.Check(); err != nil {
		return nil, controlhttp.BadRequest(err)
	}
	var capacity int64
	s.Background("").WithLock(t.vm, func() {
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
	if !s.Writes.Begin(t.vm, t.key, w) {
		return nil, controlhttp.Conflict(errors.New("a workload runs on this disk already"))
	}
	return controlhttp.Done, nil
}

// getWorkload tells how much a workload has written; deleteWorkload ends it besides.
func (s *Control) getWorkload(r *http.Request) (any, error) {
	t, err := s.diskTarget(r)
	if err != nil {
		return nil, err
	}
	w := s.Writes.Workloads.Of(t.vm.Self, t.key)
	if w == nil {
		return nil, controlhttp.NoSuch("workload on disk", fmt.Sprint(t.key))
	}
	return w.Count(), nil
}

func (s *Control) deleteWorkload(r *http.Request) (any, error) {
	t, err := s.diskTarget(r)
	if err != nil {
		return nil, err
	}
	w := s.Writes.Workloads.End(t.vm.Self, t.key)
	if w == nil {
		return nil, controlhttp.NoSuch("workload on disk", fmt.Sprint(t.key))
	}
	return w.Count(), nil
}
