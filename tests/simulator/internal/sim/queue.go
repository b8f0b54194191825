// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"slices"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// job is an accepted call whose work is done later, one job of a parent at a time.
type job struct {
	parent types.ManagedObjectReference
	task   *simulator.Task
	run    func()
	// stop is closed to cancel a job that runs; nil for one that cannot be.
	stop chan struct{}
	// atOnce is how many jobs of the parent run beside each other; 0 means one.
	atOnce int
}

// cloneQueues runs the jobs of each parent in the order in which they came, one at a
// time unless they allow more; different parents run beside each other.
type cloneQueues struct {
	mu      sync.Mutex
	waiting map[types.ManagedObjectReference][]*job
	running map[types.ManagedObjectReference]int
	live    map[types.ManagedObjectReference]*job // by task: those that run and can be cancelled
}

func (q *cloneQueues) submit(j *job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting == nil {
		q.waiting = make(map[types.ManagedObjectReference][]*job)
		q.running = make(map[types.ManagedObjectReference]int)
	}
	q.waiting[j.parent] = append(q.waiting[j.parent], j)
	if q.running[j.parent] < max(1, j.atOnce) {
		q.running[j.parent]++
		go q.work(j.parent)
	}
}

func (q *cloneQueues) work(parent types.ManagedObjectReference) {
	for {
		j := q.next(parent)
		if j == nil {
			return
		}
		j.run()
	}
}

func (q *cloneQueues) next(parent types.ManagedObjectReference) *job {
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
	if j := jobs[0]; j.stop != nil {
		if q.live == nil {
			q.live = make(map[types.ManagedObjectReference]*job)
		}
		q.live[j.task.Self] = j
	}
	return jobs[0]
}

// settle ends the time in which a job that runs can be cancelled. It tells if it was.
func (q *cloneQueues) settle(task types.ManagedObjectReference) (cancelled bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, open := q.live[task]
	delete(q.live, task)
	return !open
}

// stop cancels a job that runs, if that is possible.
func (q *cloneQueues) stop(task types.ManagedObjectReference) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	j, ok := q.live[task]
	if ok {
		delete(q.live, task)
		close(j.stop)
	}
	return ok
}

// cancel takes a job that has not begun out of its queue.
func (q *cloneQueues) cancel(task types.ManagedObjectReference) *job {
	q.mu.Lock()
	defer q.mu.Unlock()
	for parent, jobs := range q.waiting {
		i := slices.IndexFunc(jobs, func(j *job) bool { return j.task.Self == task })
		if i >= 0 {
			found := jobs[i]
			q.waiting[parent] = slices.Delete(slices.Clone(jobs), i, i+1)
			return found
		}
	}
	return nil
}
