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
	// atOnce is how many jobs of the parent run beside each other; 0 means one.
	atOnce int
}

// cloneQueues runs the jobs of each parent in the order in which they came, one at a
// time unless they allow more; different parents run beside each other.
type cloneQueues struct {
	mu      sync.Mutex
	waiting map[types.ManagedObjectReference][]*job
	running map[types.ManagedObjectReference]int
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
	return jobs[0]
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
