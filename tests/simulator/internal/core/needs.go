// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// AllocateSpace is needed on each datastore where disks or VMs are made.
const AllocateSpace = "Datastore.AllocateSpace"

// Need is a privilege on an object.
type Need struct {
	On        types.ManagedObjectReference
	Privilege string
}

// NeedOn says which privilege is needed on an object.
func NeedOn(object types.ManagedObjectReference, privilege string) Need {
	return Need{object, privilege}
}

// Lacking returns the fault for the first of some privileges that the caller has not.
func (s *Core) Lacking(ctx *simulator.Context, needs ...Need) types.BaseMethodFault {
	for _, n := range needs {
		if fault := s.Auth.Denied(ctx.Session.UserName, n.On, n.Privilege); fault != nil {
			return fault
		}
	}
	return nil
}
