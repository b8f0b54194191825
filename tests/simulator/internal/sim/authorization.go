// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"slices"
	"strconv"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/accounts"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/shim"
)

// authorizationShim tells who may do what. vcsim would say yes to everything.
type authorizationShim struct{ shim.Of[*Sim] }

// HasPrivilegeOnEntities tells what the user of a session may do. A session that is not there may do nothing.
func (sh *authorizationShim) HasPrivilegeOnEntities(ctx *simulator.Context, req *types.HasPrivilegeOnEntities) soap.HasFault {
	body := &methods.HasPrivilegeOnEntitiesBody{}
	found, fault := sh.privileges(ctx, req.Entity, req.PrivId, sh.mayInSession(req.SessionId))
	if fault != nil {
		body.Fault_ = faults.SOAP(fault)
		return body
	}
	body.Res = &types.HasPrivilegeOnEntitiesResponse{Returnval: found}
	return body
}

// onEntityBody is the answer to HasPrivilegeOnEntity. That of govmomi leaves out each false.
type onEntityBody struct {
	Res    *HasPrivilegeOnEntityResponse `xml:"urn:vim25 HasPrivilegeOnEntityResponse,omitempty"`
	Fault_ *soap.Fault                   `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault,omitempty"`
}

// HasPrivilegeOnEntityResponse has the name that vcsim gives its element.
type HasPrivilegeOnEntityResponse struct {
	Returnval []string `xml:"returnval"`
}

// Fault makes it a body.
func (b *onEntityBody) Fault() *soap.Fault { return b.Fault_ }

// HasPrivilegeOnEntity is the same for one object.
func (sh *authorizationShim) HasPrivilegeOnEntity(ctx *simulator.Context, req *types.HasPrivilegeOnEntity) soap.HasFault {
	found, fault := sh.privileges(ctx, []types.ManagedObjectReference{req.Entity}, req.PrivId, sh.mayInSession(req.SessionId))
	if fault != nil {
		return &onEntityBody{Fault_: faults.SOAP(fault)}
	}
	res := &HasPrivilegeOnEntityResponse{}
	for _, p := range found[0].PrivAvailability {
		res.Returnval = append(res.Returnval, strconv.FormatBool(p.IsGranted))
	}
	return &onEntityBody{Res: res}
}

// HasUserPrivilegeOnEntities is the same for a user by name.
func (sh *authorizationShim) HasUserPrivilegeOnEntities(ctx *simulator.Context, req *types.HasUserPrivilegeOnEntities) soap.HasFault {
	body := &methods.HasUserPrivilegeOnEntitiesBody{}
	found, fault := sh.privileges(ctx, req.Entities, req.PrivId, sh.may(req.UserName))
	if fault != nil {
		body.Fault_ = faults.SOAP(fault)
		return body
	}
	body.Res = &types.HasUserPrivilegeOnEntitiesResponse{Returnval: found}
	return body
}

// rights tell if somebody has a privilege on an object.
type rights func(on types.ManagedObjectReference, privilege string) bool

func (sh *authorizationShim) mayInSession(key string) rights {
	session := sh.S.sessions.ByKey(key)
	if session == nil {
		return func(types.ManagedObjectReference, string) bool { return false }
	}
	return sh.may(session.User)
}

func (sh *authorizationShim) may(name string) rights {
	return func(on types.ManagedObjectReference, privilege string) bool {
		return sh.S.auth.May(name, on, privilege)
	}
}

// privileges asks for each privilege on each object.
func (sh *authorizationShim) privileges(ctx *simulator.Context, on []types.ManagedObjectReference, ids []string, may rights) ([]types.EntityPrivilege, types.BaseMethodFault) {
	var found []types.EntityPrivilege
	for _, ref := range on {
		if sh.S.reg.Get(ref) == nil {
			return nil, &types.ManagedObjectNotFound{Obj: ref}
		}
		if fault := sh.S.auth.Denied(ctx.Session.UserName, ref, "System.Read"); fault != nil {
			return nil, fault
		}
		told := types.EntityPrivilege{Entity: ref}
		for _, id := range ids {
			told.PrivAvailability = append(told.PrivAvailability, types.PrivilegeAvailability{PrivId: id, IsGranted: may(ref, id)})
		}
		found = append(found, told)
	}
	return found, nil
}

// modifyPermissions is needed on the object that a role is given on.
const modifyPermissions = "Authorization.ModifyPermissions"

// SetEntityPermissions gives users roles on an object. Those that others have there stay, which vcsim would forget.
func (sh *authorizationShim) SetEntityPermissions(ctx *simulator.Context, req *types.SetEntityPermissions) soap.HasFault {
	if fault := sh.S.auth.Denied(ctx.Session.UserName, req.Entity, modifyPermissions); fault != nil {
		return &methods.SetEntityPermissionsBody{Fault_: faults.SOAP(fault)}
	}
	m := sh.S.authorizations()
	var res soap.HasFault
	ctx.WithLock(m, func() { res = sh.S.setPermissions(ctx, m, req) })
	return res
}

func (s *Sim) setPermissions(ctx *simulator.Context, m *simulator.AuthorizationManager, req *types.SetEntityPermissions) soap.HasFault {
	if _, ok := s.reg.Get(req.Entity).(mo.Entity); !ok {
		return &methods.SetEntityPermissionsBody{Fault_: faults.NotFound(req.Entity)}
	}
	now := m.RetrieveEntityPermissions(ctx, &types.RetrieveEntityPermissions{Entity: req.Entity}).(*methods.RetrieveEntityPermissionsBody)
	all := slices.Clone(req.Permission)
	for _, old := range now.Res.Returnval {
		if !slices.ContainsFunc(req.Permission, func(p types.Permission) bool { return p.Principal == old.Principal && p.Group == old.Group }) {
			all = append(all, old)
		}
	}
	for _, p := range req.Permission {
		if !slices.ContainsFunc(m.RoleList, func(r types.AuthorizationRole) bool { return r.RoleId == p.RoleId }) {
			return &methods.SetEntityPermissionsBody{Fault_: faults.SOAP(&types.NotFound{})}
		}
	}
	for _, p := range req.Permission {
		if !p.Group { // there are no groups here
			s.auth.Grant(p.Principal, req.Entity, accounts.Grant{Role: &p.RoleId, Propagate: p.Propagate})
		}
	}
	return m.SetEntityPermissions(&types.SetEntityPermissions{This: m.Self, Entity: req.Entity, Permission: all})
}

// RemoveEntityPermission takes a role of a user on an object away.
func (sh *authorizationShim) RemoveEntityPermission(ctx *simulator.Context, req *types.RemoveEntityPermission) soap.HasFault {
	if fault := sh.S.auth.Denied(ctx.Session.UserName, req.Entity, modifyPermissions); fault != nil {
		return &methods.RemoveEntityPermissionBody{Fault_: faults.SOAP(fault)}
	}
	if !req.IsGroup {
		sh.S.auth.Revoke(req.User, req.Entity)
	}
	m := sh.S.authorizations()
	var res soap.HasFault
	ctx.WithLock(m, func() { res = m.RemoveEntityPermission(req) })
	return res
}

// authorizations is the manager of roles and permissions.
func (s *Sim) authorizations() *simulator.AuthorizationManager {
	return s.reg.Get(*s.content().AuthorizationManager).(*simulator.AuthorizationManager)
}

// content says where things are.
func (s *Sim) content() types.ServiceContent {
	return s.reg.Get(vim25.ServiceInstance).(*simulator.ServiceInstance).Content
}

// Above lists from what an object inherits roles. What is no part of the inventory, such as a manager, has the rights of
// the root folder, a snapshot those of its VM.
func (s *Sim) Above(ref types.ManagedObjectReference) []types.ManagedObjectReference {
	root := s.content().RootFolder
	if ref == root {
		return nil
	}
	switch obj := s.reg.Get(ref).(type) {
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
func (s *Sim) RolePrivileges(id int32) []string {
	m := s.authorizations()
	var held []string
	s.background("").WithLock(m, func() {
		for _, role := range m.RoleList {
			if role.RoleId == id {
				held = slices.Clone(role.Privilege)
			}
		}
	})
	return held
}

// SeesAll tells if nothing of the inventory is hidden from a user.
func (s *Sim) SeesAll(user string) bool { return s.auth.SeesAll(user) }

// Sees tells if a user may look at an object. Only what is in the inventory can be hidden: tasks, managers and what belongs
// to a session are not.
func (s *Sim) Sees(user string, ref types.ManagedObjectReference) bool {
	if s.auth.SeesAll(user) {
		return true
	}
	if _, ok := s.reg.Get(ref).(mo.Entity); !ok {
		return true
	}
	return s.auth.May(user, ref, "System.View")
}
