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

// Job is an accepted call whose work is done later, one job of a parent at a time.
type Job struct {
	Parent types.ManagedObjectReference
	Task   *simulator.Task
	Run    func()
	// Stop is closed to cancel a job that runs; nil for one that cannot be.
	Stop chan struct{}
	// AtOnce is how many jobs of the parent run beside each other; 0 means one.
	AtOnce int
}

// Queues runs the jobs of each parent in the order in which they came, one at a
// time unless they allow more; different parents run beside each other.
type Queues struct {
	mu      sync.Mutex
	waiting map[types.ManagedObjectReference][]*Job
	running map[types.ManagedObjectReference]int
	live    map[types.ManagedObjectReference]*Job // by task: those that run and can be cancelled
}

// Submit has a job wait for its turn.
func (q *Queues) Submit(j *Job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting == nil {
		q.waiting = make(map[types.ManagedObjectReference][]*Job)
		q.running = make(map[types.ManagedObjectReference]int)
	}
	q.waiting[j.Parent] = append(q.waiting[j.Parent], j)
	if q.running[j.Parent] < max(1, j.AtOnce) {
		q.running[j.Parent]++
		go q.work(j.Parent)
	}
}

func (q *Queues) work(parent types.ManagedObjectReference) {
	for {
		j := q.next(parent)
		if j == nil {
			return
		}
		j.Run()
	}
}

func (q *Queues) next(parent types.ManagedObjectReference) *Job {
	q.mu.Lock()
	defer q.mu.Unlock()
	jobs := q.waiting[parent]
	if len(jobs) == 0 {
		delete(q.waiting, parent)
		if q.running[parent]--; q.running[parent] == 0 {
			delete(q.running, parent)
		}
		return nil
	}
	q.waiting[parent] = jobs[1:]
	if j := jobs[0]; j.Stop != nil {
		if q.live == nil {
			q.live = make(map[types.ManagedObjectReference]*Job)
		}
		q.live[j.Task.Self] = j
	}
	return jobs[0]
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
	for parent, jobs := range q.waiting {
		i := slices.IndexFunc(jobs, func(j *Job) bool { return j.Task.Self == task })
		if i >= 0 {
			found := jobs[i]
			q.waiting[parent] = slices.Delete(slices.Clone(jobs), i, i+1)
			return found
		}
	}
	return nil
}
