// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package access

import (
	"slices"
	"strconv"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/accounts"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/shim"
)

// authorizationShim tells who may do what. vcsim would say yes to everything.
type authorizationShim struct{ shim.Of[*Access] }

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
	session := sh.S.Sessions.ByKey(key)
	if session == nil {
		return func(types.ManagedObjectReference, string) bool { return false }
	}
	return sh.may(session.User)
}

func (sh *authorizationShim) may(name string) rights {
	return func(on types.ManagedObjectReference, privilege string) bool {
		return sh.S.Auth.May(name, on, privilege)
	}
}

// privileges asks for each privilege on each object.
func (sh *authorizationShim) privileges(ctx *simulator.Context, on []types.ManagedObjectReference, ids []string, may rights) ([]types.EntityPrivilege, types.BaseMethodFault) {
	var found []types.EntityPrivilege
	for _, ref := range on {
		if sh.S.Reg.Get(ref) == nil {
			return nil, &types.ManagedObjectNotFound{Obj: ref}
		}
		if fault := sh.S.Auth.Denied(ctx.Session.UserName, ref, "System.Read"); fault != nil {
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
	if fault := sh.S.Auth.Denied(ctx.Session.UserName, req.Entity, modifyPermissions); fault != nil {
		return &methods.SetEntityPermissionsBody{Fault_: faults.SOAP(fault)}
	}
	m := sh.S.Authorizations()
	var res soap.HasFault
	ctx.WithLock(m, func() { res = sh.S.setPermissions(ctx, m, req) })
	return res
}

func (s *Access) setPermissions(ctx *simulator.Context, m *simulator.AuthorizationManager, req *types.SetEntityPermissions) soap.HasFault {
	if _, ok := s.Reg.Get(req.Entity).(mo.Entity); !ok {
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
			s.Auth.Grant(p.Principal, req.Entity, accounts.Grant{Role: &p.RoleId, Propagate: p.Propagate})
		}
	}
	return m.SetEntityPermissions(&types.SetEntityPermissions{This: m.Self, Entity: req.Entity, Permission: all})
}

// RemoveEntityPermission takes a role of a user on an object away.
func (sh *authorizationShim) RemoveEntityPermission(ctx *simulator.Context, req *types.RemoveEntityPermission) soap.HasFault {
	if fault := sh.S.Auth.Denied(ctx.Session.UserName, req.Entity, modifyPermissions); fault != nil {
		return &methods.RemoveEntityPermissionBody{Fault_: faults.SOAP(fault)}
	}
	if !req.IsGroup {
		sh.S.Auth.Revoke(req.User, req.Entity)
	}
	m := sh.S.Authorizations()
	var res soap.HasFault
	ctx.WithLock(m, func() { res = m.RemoveEntityPermission(req) })
	return res
}
