// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package leases

import (
	"cmp"
	"io"
	"log"
	"os"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/ids"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vmdkfile"
)

// Lease is the lease of an import or an export. While that of an import lives, the VM is there
// and waits for the content of its disks; if it does not end well, it takes the VM with it.
type Lease struct {
	mo.HttpNfcLease
	s       *Leases
	session string // the key of the session that it belongs to
	user    string
	token   string // names the lease in URLs
	// name and coming are the VM before it is made, vm when it is.
	name   naming.Child
	coming types.ManagedObjectReference
	vm     types.ManagedObjectReference
	host   types.ManagedObjectReference
	task   *simulator.Task
	made   time.Time
	// cancelable is whether the task may be cancelled.
	cancelable bool
	// exporting is whether disks go out; then snapshot is the one that they are of, if any.
	exporting bool
	snapshot  *types.ManagedObjectReference

	mu    sync.Mutex
	files map[string]*File // by the last part of their URLs
	order []*File
	timer *time.Timer
	// moved is when data last came in, renewed when the client last told its progress.
	moved, renewed time.Time
	over           bool
	gone           chan struct{} // closed when the lease is over
	done           chan struct{} // closed when all that follows from that is done
	transfers      sync.WaitGroup
}

// File is one file that a lease waits for, or gives away.
type File struct {
	name      string // in its URL
	key       string // of its deviceUrl
	importKey string
	device    int32
	disk      bool
	create    bool   // made by PUT; a disk is there already, and gets its content by POST
	needed    int    // by how many files it is filled, one after the other
	taken     int    // how many have come in
	path      string // on this machine
	backing   *vdisk.FlatBacking
	capacity  int64
	size      int64 // what came in
	sha1      string
	sha256    string
	algorithm string // of the checksum in the manifest, where one is chosen
	populated int64  // bytes of an exported disk that are in its file
	// send writes a file that is exported, and tells how much of the disk is in it.
	send func(to io.Writer) (populated int64, err error)
	done bool
	busy bool
}

// table knows all leases: those that live by token and by VM, and the latest of the
// others for tests to look at.
type table struct {
	mu    sync.Mutex
	all   []*Lease
	byID  map[string]*Lease
	relay bool // URLs have "*" for the server that was asked
	form  vmdkfile.Form
	// cancelable is whether the tasks of imports to come let themselves be cancelled.
	cancelable bool
}

func (t *table) mayCancel() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cancelable
}

// ofTask returns the lease of the task of an import that may be cancelled, or nil.
func (t *table) ofTask(task types.ManagedObjectReference) *Lease {
	for _, l := range t.list() {
		if l.task.Self == task && l.cancelable {
			return l
		}
	}
	return nil
}

// formOfDisks is the form in which disks go out.
func (t *table) formOfDisks() vmdkfile.Form {
	t.mu.Lock()
	defer t.mu.Unlock()
	return cmp.Or(t.form, vmdkfile.Stream)
}

func (t *table) relayed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.relay
}

func (t *table) add(l *Lease) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID == nil {
		t.byID = make(map[string]*Lease)
	}
	t.all = append(t.all, l)
	t.byID[l.token] = l
}

func (t *table) find(token string) *Lease {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[token]
}

// list returns all leases, the oldest first.
func (t *table) list() []*Lease {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]*Lease(nil), t.all...)
}

// of returns the lease that a VM waits for, or nil.
func (t *table) of(vm types.ManagedObjectReference) *Lease {
	for _, l := range t.list() {
		if l.holds(vm) {
			return l
		}
	}
	return nil
}

func (l *Lease) holds(vm types.ManagedObjectReference) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.over && l.vm == vm && l.snapshot == nil // that of a snapshot leaves the VM alone
}

// newLease registers a lease that makes its VM.
func (s *Leases) newLease(ctx *simulator.Context, task *simulator.Task) *Lease {
	l := &Lease{
		s: s, session: ctx.Session.Key, user: ctx.Session.UserName, token: ids.NewToken(), task: task, made: time.Now(),
		files: make(map[string]*File), gone: make(chan struct{}), done: make(chan struct{}),
	}
	l.Self = types.ManagedObjectReference{Type: "HttpNfcLease", Value: "session[" + l.session + "]" + ids.NewUUID(0x52)}
	l.State, l.Mode = types.HttpNfcLeaseStateInitializing, string(types.HttpNfcLeaseModePushOrGet)
	l.Capabilities = types.HttpNfcLeaseCapabilities{PullModeSupported: !apiversion.Less(s.Cfg.APIVersion, apiversion.PullSince), CorsSupported: true}
	s.table.add(l)
	s.Reg.Put(l)
	return l
}

func (l *Lease) update(changes ...types.PropertyChange) {
	l.s.Reg.AtomicUpdate(l.s.Background(l.user), l, changes)
}

// ready opens the lease for its files.
func (l *Lease) ready(info *types.HttpNfcLeaseInfo) {
	l.mu.Lock()
	now := time.Now()
	l.moved, l.renewed = now, now
	l.timer = time.AfterFunc(l.s.Cfg.LeaseTimeout, l.expire)
	l.mu.Unlock()
	l.update(
		types.PropertyChange{Name: "initializeProgress", Val: int32(100)},
		types.PropertyChange{Name: "info", Val: info},
		types.PropertyChange{Name: "state", Val: types.HttpNfcLeaseStateReady})
}

// renew puts the end of the lease off.
func (l *Lease) renew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over && l.timer != nil {
		l.renewed = time.Now()
		l.timer.Reset(l.s.Cfg.LeaseTimeout)
	}
}

// dataMoved notes that something came in.
func (l *Lease) dataMoved() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moved = time.Now()
}

// stalled tells if nothing has come in for as long as a lease lives.
func (l *Lease) stalled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.over && l.timer != nil && time.Since(l.moved) > l.s.Cfg.LeaseTimeout
}

// expire ends a lease that its client has forgotten.
func (l *Lease) expire() {
	l.fail(&types.Timedout{})
}

// finish ends the lease once: what was asked for is there. It tells if this was the end.
func (l *Lease) finish() bool {
	if !l.close() {
		return false
	}
	l.update(
		types.PropertyChange{Name: "info", Val: nil},
		types.PropertyChange{Name: "state", Val: types.HttpNfcLeaseStateDone})
	var result types.AnyType
	if !l.exporting {
		result = l.vm
	}
	l.s.Tasks.Finish(l.s.Background(l.user), l.task, result, nil)
	close(l.done)
	return true
}

// fail ends the lease once, and removes the VM with all that has come in. It tells if this
// was the end.
func (l *Lease) fail(fault types.BaseMethodFault) bool {
	if !l.close() {
		return false
	}
	l.transfers.Wait()
	if !l.exporting {
		l.s.Creating.Lock() // a VM that is being made for it is there by now, or will not be made
		l.discard()
		l.s.Creating.Unlock()
	}
	l.update(
		types.PropertyChange{Name: "info", Val: nil},
		types.PropertyChange{Name: "error", Val: faults.Localized(fault)},
		types.PropertyChange{Name: "state", Val: types.HttpNfcLeaseStateError})
	l.s.Tasks.Finish(l.s.Background(l.user), l.task, nil, faults.Localized(fault))
	close(l.done)
	return true
}

// close takes the lease out of use, and has all transfers end.
func (l *Lease) close() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	l.over = true
	close(l.gone)
	if l.timer != nil {
		l.timer.Stop()
	}
	return true
}

// ended tells if the lease is over.
func (l *Lease) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// discard removes the VM and its files. The caller holds Sim.creating.
func (l *Lease) discard() {
	s := l.s
	ctx := s.Background(l.user)
	s.Withdraw(ctx, l.name, l.coming)
	vm := s.VM(l.vm)
	if vm == nil {
		return
	}
	ctx.WithLock(vm, func() { s.VMs.Destroy(ctx, vm) })
	for _, f := range l.order {
		if err := os.Remove(f.path + partSuffix); err != nil && !os.IsNotExist(err) {
			log.Printf("vforge-sim: %v", err)
		}
	}
}

// InProgress is how a VM that is being made, or that an import works on, refuses anything else.
func (s *Leases) InProgress(ref types.ManagedObjectReference) types.BaseMethodFault {
	if coming := s.Coming(ref); coming != nil {
		return &types.TaskInProgress{Task: coming.Task}
	}
	if l := s.table.of(ref); l != nil {
		return &types.TaskInProgress{Task: l.task.Self}
	}
	return nil
}

// FailAll ends all leases that live.
func (s *Leases) FailAll(fault types.BaseMethodFault) {
	for _, l := range s.table.list() {
		l.fail(fault)
	}
}

// CancelImport ends the import of a task, where it may be cancelled.
func (s *Leases) CancelImport(task types.ManagedObjectReference) bool {
	l := s.table.ofTask(task)
	return l != nil && l.fail(&types.RequestCanceled{})
}
