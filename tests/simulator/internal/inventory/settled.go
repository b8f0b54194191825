// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package inventory

import (
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// settled holds questions back while tasks run. vcsim builds its inventory by tasks of its own, and waits for each of
// them as a client does: who asks while one runs hears of its end with the next tick of 20 ms, which was four fifths of
// a start. Who asks after it hears of it at once.
type settled struct {
	mu      sync.Mutex
	ended   *sync.Cond
	running map[string]bool // by the task's moid
}

// settle has questions for updates answered only while no task runs, until the function that it returns is called.
func settle(reg *simulator.Registry) (stop func()) {
	s := &settled{running: map[string]bool{}}
	s.ended = sync.NewCond(&s.mu)
	reg.AddHandler(s)
	before := reg.Handler
	reg.Handler = func(_ *simulator.Context, m *simulator.Method) (mo.Reference, types.BaseMethodFault) {
		if m.Name == "WaitForUpdatesEx" {
			s.wait()
		}
		return nil, nil
	}
	return func() {
		reg.Handler = before
		reg.RemoveHandler(s)
	}
}

func (s *settled) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.running) > 0 {
		s.ended.Wait()
	}
}

// Reference makes it a handler of vcsim's registry.
func (s *settled) Reference() types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "VforgeSettled", Value: "settled"}
}

// PutObject is called when an object is added.
func (s *settled) PutObject(_ *simulator.Context, obj mo.Reference) {
	if ref := obj.Reference(); ref.Type == "Task" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running[ref.Value] = true
	}
}

// UpdateObject is called when properties change, after they have.
func (s *settled) UpdateObject(_ *simulator.Context, obj mo.Reference, changes []types.PropertyChange) {
	for _, c := range changes {
		if c.Name == "info.completeTime" {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.running, obj.Reference().Value)
			s.ended.Broadcast()
			return
		}
	}
}

// RemoveObject is called when an object is removed.
func (s *settled) RemoveObject(*simulator.Context, types.ManagedObjectReference) {}
