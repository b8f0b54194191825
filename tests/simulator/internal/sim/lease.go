// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

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

// nfcLease is the lease of an import or an export. While that of an import lives, the VM is there
// and waits for the content of its disks; if it does not end well, it takes the VM with it.
type nfcLease struct {
	mo.HttpNfcLease
	s       *Sim
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
	files map[string]*leaseFile // by the last part of their URLs
	order []*leaseFile
	timer *time.Timer
	// moved is when data last came in, renewed when the client last told its progress.
	moved, renewed time.Time
	over           bool
	gone           chan struct{} // closed when the lease is over
	done           chan struct{} // closed when all that follows from that is done
	transfers      sync.WaitGroup
}

// leaseFile is one file that a lease waits for, or gives away.
type leaseFile struct {
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

// leaseTable knows all leases: those that live by token and by VM, and the latest of the
// others for tests to look at.
type leaseTable struct {
	mu    sync.Mutex
	all   []*nfcLease
	byID  map[string]*nfcLease
	relay bool // URLs have "*" for the server that was asked
	form  vmdkfile.Form
	// cancelable is whether the tasks of imports to come let themselves be cancelled.
	cancelable bool
}

func (t *leaseTable) mayCancel() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cancelable
}

// ofTask returns the lease of the task of an import that may be cancelled, or nil.
func (t *leaseTable) ofTask(task types.ManagedObjectReference) *nfcLease {
	for _, l := range t.list() {
		if l.task.Self == task && l.cancelable {
			return l
		}
	}
	return nil
}

// formOfDisks is the form in which disks go out.
func (t *leaseTable) formOfDisks() vmdkfile.Form {
	t.mu.Lock()
	defer t.mu.Unlock()
	return cmp.Or(t.form, vmdkfile.Stream)
}

func (t *leaseTable) relayed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.relay
}

func (t *leaseTable) add(l *nfcLease) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID == nil {
		t.byID = make(map[string]*nfcLease)
	}
	t.all = append(t.all, l)
	t.byID[l.token] = l
}

func (t *leaseTable) find(token string) *nfcLease {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[token]
}

// list returns all leases, the oldest first.
func (t *leaseTable) list() []*nfcLease {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]*nfcLease(nil), t.all...)
}

// of returns the lease that a VM waits for, or nil.
func (t *leaseTable) of(vm types.ManagedObjectReference) *nfcLease {
	for _, l := range t.list() {
		if l.holds(vm) {
			return l
		}
	}
	return nil
}

func (l *nfcLease) holds(vm types.ManagedObjectReference) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.over && l.vm == vm && l.snapshot == nil // that of a snapshot leaves the VM alone
}

// newLease registers a lease that makes its VM.
func (s *Sim) newLease(ctx *simulator.Context, task *simulator.Task) *nfcLease {
	l := &nfcLease{
		s: s, session: ctx.Session.Key, user: ctx.Session.UserName, token: ids.NewToken(), task: task, made: time.Now(),
		files: make(map[string]*leaseFile), gone: make(chan struct{}), done: make(chan struct{}),
	}
	l.Self = types.ManagedObjectReference{Type: "HttpNfcLease", Value: "session[" + l.session + "]" + ids.NewUUID(0x52)}
	l.State, l.Mode = types.HttpNfcLeaseStateInitializing, string(types.HttpNfcLeaseModePushOrGet)
	l.Capabilities = types.HttpNfcLeaseCapabilities{PullModeSupported: !apiversion.Less(s.cfg.APIVersion, apiversion.PullSince), CorsSupported: true}
	s.leases.add(l)
	s.reg.Put(l)
	return l
}

func (l *nfcLease) update(changes ...types.PropertyChange) {
	l.s.reg.AtomicUpdate(l.s.background(l.user), l, changes)
}

// ready opens the lease for its files.
func (l *nfcLease) ready(info *types.HttpNfcLeaseInfo) {
	l.mu.Lock()
	now := time.Now()
	l.moved, l.renewed = now, now
	l.timer = time.AfterFunc(l.s.cfg.LeaseTimeout, l.expire)
	l.mu.Unlock()
	l.update(
		types.PropertyChange{Name: "initializeProgress", Val: int32(100)},
		types.PropertyChange{Name: "info", Val: info},
		types.PropertyChange{Name: "state", Val: types.HttpNfcLeaseStateReady})
}

// renew puts the end of the lease off.
func (l *nfcLease) renew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over && l.timer != nil {
		l.renewed = time.Now()
		l.timer.Reset(l.s.cfg.LeaseTimeout)
	}
}

// dataMoved notes that something came in.
func (l *nfcLease) dataMoved() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moved = time.Now()
}

// stalled tells if nothing has come in for as long as a lease lives.
func (l *nfcLease) stalled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.over && l.timer != nil && time.Since(l.moved) > l.s.cfg.LeaseTimeout
}

// expire ends a lease that its client has forgotten.
func (l *nfcLease) expire() {
	l.fail(&types.Timedout{})
}

// finish ends the lease once: what was asked for is there. It tells if this was the end.
func (l *nfcLease) finish() bool {
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
	l.s.finishTask(l.s.background(l.user), l.task, result, nil)
	close(l.done)
	return true
}

// fail ends the lease once, and removes the VM with all that has come in. It tells if this
// was the end.
func (l *nfcLease) fail(fault types.BaseMethodFault) bool {
	if !l.close() {
		return false
	}
	l.transfers.Wait()
	if !l.exporting {
		l.s.creating.Lock() // a VM that is being made for it is there by now, or will not be made
		l.discard()
		l.s.creating.Unlock()
	}
	l.update(
		types.PropertyChange{Name: "info", Val: nil},
		types.PropertyChange{Name: "error", Val: faults.Localized(fault)},
		types.PropertyChange{Name: "state", Val: types.HttpNfcLeaseStateError})
	l.s.finishTask(l.s.background(l.user), l.task, nil, faults.Localized(fault))
	close(l.done)
	return true
}

// close takes the lease out of use, and has all transfers end.
func (l *nfcLease) close() bool {
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
func (l *nfcLease) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// discard removes the VM and its files. The caller holds Sim.creating.
func (l *nfcLease) discard() {
	s := l.s
	ctx := s.background(l.user)
	s.withdraw(ctx, l.name, l.coming)
	vm := s.VM(l.vm)
	if vm == nil {
		return
	}
	ctx.WithLock(vm, func() { s.destroy(ctx, vm) })
	for _, f := range l.order {
		if err := os.Remove(f.path + partSuffix); err != nil && !os.IsNotExist(err) {
			log.Printf("vforge-sim: %v", err)
		}
	}
}

// inProgress is how a VM that is being made, or that an import works on, refuses anything else.
func (s *Sim) inProgress(ref types.ManagedObjectReference) types.BaseMethodFault {
	if coming := s.coming(ref); coming != nil {
		return &types.TaskInProgress{Task: coming.task}
	}
	if l := s.leases.of(ref); l != nil {
		return &types.TaskInProgress{Task: l.task.Self}
	}
	return nil
}

// failLeases ends all leases that live.
func (s *Sim) failLeases(fault types.BaseMethodFault) {
	for _, l := range s.leases.list() {
		l.fail(fault)
	}
}

// cancelLease ends the import of a task, where it may be cancelled.
func (s *Sim) cancelLease(task types.ManagedObjectReference) bool {
	l := s.leases.ofTask(task)
	return l != nil && l.fail(&types.RequestCanceled{})
}
