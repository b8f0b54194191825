// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"fmt"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// newVMRef reserves a managed object id for a VM that is yet to be made.
func (s *Core) newVMRef() types.ManagedObjectReference {
	return s.Reg.NewEntity(&simulator.VirtualMachine{}).Reference()
}

// TaskRef reserves a managed object id for a task from the registry's own
// counter, so that it never meets one that vcsim gave out.
func (s *Core) TaskRef() types.ManagedObjectReference {
	e := s.Reg.NewEntity(&simulator.VirtualMachine{})
	var n int64
	if _, err := fmt.Sscanf(e.Reference().Value, "vm-%d", &n); err != nil {
		panic(fmt.Sprintf("registry gave %q for a VM: %v", e.Reference().Value, err))
	}
	return types.ManagedObjectReference{Type: "Task", Value: fmt.Sprintf("task-%d", n)}
}
