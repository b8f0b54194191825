// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"sync"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// vmState is what the simulator knows of a VM besides its API properties: the
// guest inside it and what a test has set. Its fields are guarded by vmTable.
type vmState struct {
	guest guestState
	// customizing is the lock of a guest that is customized; it is closed to abort.
	customizing chan struct{}
	// customization is the last one, for the guest's report.
	customization *types.GuestInfoCustomizationInfo
	// firstBoot is a customization that waits for the VM to be powered on.
	firstBoot *customizationPlan
	// cloudPrep is what a customization by cloud-init has left for the next start.
	cloudPrep *types.CustomizationCloudinitPrep
	// forked tells that this boot goes on where the parent stands still.
	forked bool
	// passthrough marks a VM with a PCI passthrough device, which no instant clone
	// can have.
	passthrough bool
	// deltas counts the layers that this parent's disks ever got; it numbers their
	// files.
	deltas int
	// devices is a folder of this machine in which the guest's disks show, as below /dev/disk/by-id.
	devices string
	// filesStale: layoutEx and what else says which files there are stays as it is.
	filesStale bool
	// snapshots counts those that this VM ever had.
	snapshots int
	// evc is the EVC mode that the VM has of its own.
	evc *vmEVC
}

// guestState is the simulated guest of one VM.
type guestState struct {
	ipDelay time.Duration // replaces --guest-time; zero means the default
	hang    bool          // never reports an address
	noTools bool
	ipv4    string // what DHCP gave, or what a test or guestinfo asked for
	ipv6    string // a routable address besides the link-local one; empty for none
	prefix  int32
	name    string        // what a customization called it
	stale   time.Duration // how long a clone of this VM still reports its parent's address
	relayed bool          // files are transferred through vCenter, not the host
	family  string        // replaces linuxGuest
	// cloudDue tells that this is a boot whose cloud-init has not run yet.
	cloudDue bool
	bootID   int // counts boots, so that a late timer of an earlier boot is ignored
	// staleIPv4 and staleMACs, by device key, are the parent's, which a clone still has
	// until its network is set up anew.
	staleIPv4 string
	staleMACs map[int32]string
}

// vmTable holds the states of all VMs.
type vmTable struct {
	mu     sync.Mutex
	states map[types.ManagedObjectReference]*vmState
}

func newVMTable() *vmTable {
	return &vmTable{states: make(map[types.ManagedObjectReference]*vmState)}
}

// with calls f with the state of vm while holding the table's lock.
func (t *vmTable) with(vm types.ManagedObjectReference, f func(*vmState)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	st, ok := t.states[vm]
	if !ok {
		st = &vmState{}
		t.states[vm] = st
	}
	f(st)
}

// get returns a copy of the state of vm.
func (t *vmTable) get(vm types.ManagedObjectReference) vmState {
	var out vmState
	t.with(vm, func(st *vmState) { out = *st })
	return out
}

func (t *vmTable) drop(vm types.ManagedObjectReference) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.states, vm)
}
