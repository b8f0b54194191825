// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"slices"
	"sync"

	"github.com/vmware/govmomi/vim25/types"
)

// cloneQueues runs the jobs of each parent one at a time, in the order in which
// they came; different parents run beside each other.
type cloneQueues struct {
	mu      sync.Mutex
	waiting map[types.ManagedObjectReference][]*cloneJob
	busy    map[types.ManagedObjectReference]bool
}

func (q *cloneQueues) submit(job *cloneJob) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting == nil {
		q.waiting = make(map[types.ManagedObjectReference][]*cloneJob)
		q.busy = make(map[types.ManagedObjectReference]bool)
	}
	q.waiting[job.vm] = append(q.waiting[job.vm], job)
	if !q.busy[job.vm] {
		q.busy[job.vm] = true
		go q.work(job.vm)
	}
}

func (q *cloneQueues) work(parent types.ManagedObjectReference) {
	for {
		job := q.next(parent)
		if job == nil {
			return
		}
		job.run()
	}
}

func (q *cloneQueues) next(parent types.ManagedObjectReference) *cloneJob {
	q.mu.Lock()
	defer q.mu.Unlock()
	jobs := q.waiting[parent]
	if len(jobs) == 0 {
		delete(q.waiting, parent)
		delete(q.busy, parent)
		return nil
	}
	q.waiting[parent] = jobs[1:]
	return jobs[0]
}

// cancel takes a job that has not begun out of its queue.
func (q *cloneQueues) cancel(task types.ManagedObjectReference) *cloneJob {
	q.mu.Lock()
	defer q.mu.Unlock()
	for parent, jobs := range q.waiting {
		i := slices.IndexFunc(jobs, func(j *cloneJob) bool { return j.task.Self == task })
		if i >= 0 {
			q.waiting[parent] = slices.Delete(slices.Clone(jobs), i, i+1)
			return jobs[i]
		}
	}
	return nil
}
