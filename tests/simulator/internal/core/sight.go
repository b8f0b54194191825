// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// Authorizations is the manager of roles and permissions.
func (s *Core) Authorizations() *simulator.AuthorizationManager {
	return s.Reg.Get(*s.Content().AuthorizationManager).(*simulator.AuthorizationManager)
}

// Above lists from what an object inherits roles. What is no part of the inventory, such as a manager, has the rights of
// the root folder, a snapshot those of its VM.
func (s *Core) Above(ref types.ManagedObjectReference) []types.ManagedObjectReference {
	root := s.Content().RootFolder
	if ref == root {
		return nil
	}
	switch obj := s.Reg.Get(ref).(type) {
	case *simulator.VirtualMachineSnapshot:
		return []types.ManagedObjectReference{obj.Vm}
	case *simulator.VirtualMachine:
		return above(obj.Parent, obj.ResourcePool, obj.Runtime.Host)
	case mo.Entity:
		if parent := obj.Entity().Parent; parent != nil {
			return []types.ManagedObjectReference{*parent}
		}
	}
	return []types.ManagedObjectReference{root}
}

// above lists from what a VM inherits: from its folder, and from its pool, or its host where it is a template, which is in no pool.
func above(folder, pool, host *types.ManagedObjectReference) []types.ManagedObjectReference {
	var found []types.ManagedObjectReference
	if pool == nil {
		pool = host
	}
	for _, ref := range []*types.ManagedObjectReference{folder, pool} {
		if ref != nil {
			found = append(found, *ref)
		}
	}
	return found
}

// RolePrivileges are the privileges of a role.
func (s *Core) RolePrivileges(id int32) []string {
	m := s.Authorizations()
	var held []string
	s.Background("").WithLock(m, func() {
		for _, role := range m.RoleList {
			if role.RoleId == id {
				held = slices.Clone(role.Privilege)
			}
		}
	})
	return held
}

// SeesAll tells if nothing of the inventory is hidden from a user.
func (s *Core) SeesAll(user string) bool { return s.Auth.SeesAll(user) }

// Sees tells if a user may look at an object. Only what is in the inventory can be hidden: tasks, managers and what belongs
// to a session are not.
func (s *Core) Sees(user string, ref types.ManagedObjectReference) bool {
	if s.Auth.SeesAll(user) {
		return true
	}
	if _, ok := s.Reg.Get(ref).(mo.Entity); !ok {
		return true
	}
	return s.Auth.May(user, ref, "System.View")
}
