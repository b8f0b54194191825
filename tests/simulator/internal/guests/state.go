// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guests

import (
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// VMState is what is known of the guest of a VM besides its API properties, and what a
// test has set for it.
type VMState struct {
	Guest State
	// customizing is the lock of a guest that is customized; it is closed to abort.
	customizing chan struct{}
	// customization is the last one, for the guest's report.
	customization *types.GuestInfoCustomizationInfo
	// firstBoot is a customization that waits for the VM to be powered on.
	firstBoot *CustomizationPlan
	// cloudPrep is what a customization by cloud-init has left for the next start.
	cloudPrep *types.CustomizationCloudinitPrep
}

// State is the simulated guest of one VM.
type State struct {
	IPDelay time.Duration // replaces --guest-time; zero means the default
	Hang    bool          // never reports an address
	NoTools bool
	IPv4    string // what DHCP gave, or what a test or guestinfo asked for
	IPv6    string // a routable address besides the link-local one; empty for none
	Prefix  int32
	name    string        // what a customization called it
	Stale   time.Duration // how long a clone of this VM still reports its parent's address
	Relayed bool          // files are transferred through vCenter, not the host
	Family  string        // replaces linuxGuest
	// cloudDue tells that this is a boot whose cloud-init has not run yet.
	cloudDue bool
	bootID   int // counts boots, so that a late timer of an earlier boot is ignored
	// staleIPv4 and staleMACs, by device key, are the parent's, which a clone still has
	// until its network is set up anew.
	staleIPv4 string
	staleMACs map[int32]string
}
