// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package faults

import (
	"github.com/vmware/govmomi/vim25/types"
)

// guestFaultText is vCenter's English text for the faults of guest operations; ok is
// false for any other fault.
func guestFaultText(f types.BaseMethodFault) (text string, ok bool) {
	switch f := f.(type) {
	case *types.GuestOperationsUnavailable:
		return "The guest operations agent could not be contacted.", true
	case *types.InvalidGuestLogin:
		return "Failed to authenticate with the guest operating system using the supplied credentials.", true
	case *types.GuestPermissionDenied:
		return "Insufficient permissions in the guest operating system.", true
	case *types.OperationNotSupportedByGuest:
		return "The operation is not supported by the guest operating system.", true
	case *types.GuestProcessNotFound:
		return "The process is not found in the guest operating system.", true
	case *types.FileNotFound:
		return "File " + f.File + " was not found", true
	case *types.FileAlreadyExists:
		return "A file named " + f.File + " already exists.", true
	}
	return "", false
}
