// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package taskqueue

import (
	"slices"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// Job is an accepted call whose work is done later, in turn with the others of its source.
type Job struct {
	// Source is what the job is made of: the jobs of one begin in the order in which they came.
	Source types.ManagedObjectReference
	// Alone tells that no two jobs of the source run at a time.
	Alone bool
	// Places are where it takes up room while it runs: it begins when there is room in all of them.
	Places []Place
	Task   *simulator.Task
	Run    func()
	// Stop is closed to cancel a job that runs; nil for one that cannot be.
	Stop   chan struct{}
	number int // in the order in which they came
}

// Place is something that has room for so many jobs at a time: a host, or a whole vCenter.
type Place struct {
	Ref  types.ManagedObjectReference
	Room int
}

// Queues runs jobs as soon as their sources and places let them.
type Queues struct {
	mu      sync.Mutex
	came    int
	waiting map[types.ManagedObjectReference][]*Job // by source
	running map[types.ManagedObjectReference]int    // by source
	taken   map[types.ManagedObjectReference]int    // by place
	live    map[types.ManagedObjectReference]*Job   // by task: those that run and can be cancelled
}

// Submit has a job wait for its turn.
func (q *Queues) Submit(j *Job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting == nil {
		q.waiting = make(map[types.ManagedObjectReference][]*Job)
		q.running = make(map[types.ManagedObjectReference]int)
		q.taken = make(map[types.ManagedObjectReference]int)
		q.live = make(map[types.ManagedObjectReference]*Job)
	}
	q.came++
	j.number = q.came
	q.waiting[j.Source] = append(q.waiting[j.Source], j)
	q.begin()
}

// begin starts what can start: of the first ones of each source the one that has waited longest, then the next. The caller
// holds the lock.
func (q *Queues) begin() {
	for {
		var next *Job
		for _, jobs := range q.waiting {
			if j := jobs[0]; (next == nil || j.number < next.number) && q.mayStart(j) {
				next = j
			}
		}
		if next == nil {
			return
		}
		q.start(next)
	}
}

func (q *Queues) mayStart(j *Job) bool {
	if j.Alone && q.running[j.Source] > 0 {
		return false
	}
	return !slices.ContainsFunc(j.Places, func(p Place) bool { return q.taken[p.Ref] >= p.Room })
}

func (q *Queues) start(j *Job) {
	q.remove(j)
	q.running[j.Source]++
	for _, p := range j.Places {
		q.taken[p.Ref]++
	}
	if j.Stop != nil {
		q.live[j.Task.Self] = j
	}
	go func() {
		j.Run()
		q.end(j)
	}()
}

func (q *Queues) end(j *Job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.running[j.Source]--; q.running[j.Source] == 0 {
		delete(q.running, j.Source)
	}
	for _, p := range j.Places {
		q.taken[p.Ref]--
	}
	q.begin()
}

// remove takes a job out of its queue. The caller holds the lock.
func (q *Queues) remove(j *Job) {
	left := q.waiting[j.Source]
	if left[0] == j {
		left = left[1:]
	} else {
		left = slices.DeleteFunc(slices.Clone(left), func(other *Job) bool { return other == j })
	}
	q.waiting[j.Source] = left
	if len(left) == 0 {
		delete(q.waiting, j.Source)
	}
}

// Settle ends the time in which a job that runs can be cancelled. It tells if it was.
func (q *Queues) Settle(task types.ManagedObjectReference) (cancelled bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, open := q.live[task]
	delete(q.live, task)
	return !open
}

// Stop cancels a job that runs, if that is possible.
func (q *Queues) Stop(task types.ManagedObjectReference) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	j, ok := q.live[task]
	if ok {
		delete(q.live, task)
		close(j.Stop)
	}
	return ok
}

// Cancel takes a job that has not begun out of its queue.
func (q *Queues) Cancel(task types.ManagedObjectReference) *Job {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, jobs := range q.waiting {
		i := slices.IndexFunc(jobs, func(j *Job) bool { return j.Task.Self == task })
		if i >= 0 {
			found := jobs[i]
			q.remove(found)
			q.begin() // what waited behind it may find room elsewhere
			return found
		}
	}
	return nil
}
