// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"strconv"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/faults"
)

// authorizationShim tells who may do what. vcsim would say yes to everything.
type authorizationShim struct{ shimBase }

// HasPrivilegeOnEntities tells what the user of a session may do. A session that is not there may do nothing.
func (sh *authorizationShim) HasPrivilegeOnEntities(_ *simulator.Context, req *types.HasPrivilegeOnEntities) soap.HasFault {
	body := &methods.HasPrivilegeOnEntitiesBody{}
	found, fault := sh.privileges(req.Entity, req.PrivId, sh.mayInSession(req.SessionId))
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
func (sh *authorizationShim) HasPrivilegeOnEntity(_ *simulator.Context, req *types.HasPrivilegeOnEntity) soap.HasFault {
	found, fault := sh.privileges([]types.ManagedObjectReference{req.Entity}, req.PrivId, sh.mayInSession(req.SessionId))
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
func (sh *authorizationShim) HasUserPrivilegeOnEntities(_ *simulator.Context, req *types.HasUserPrivilegeOnEntities) soap.HasFault {
	body := &methods.HasUserPrivilegeOnEntitiesBody{}
	found, fault := sh.privileges(req.Entities, req.PrivId, sh.may(req.UserName))
	if fault != nil {
		body.Fault_ = faults.SOAP(fault)
		return body
	}
	body.Res = &types.HasUserPrivilegeOnEntitiesResponse{Returnval: found}
	return body
}

func (sh *authorizationShim) mayInSession(key string) func(string) bool {
	session := sh.s.sessions.ByKey(key)
	if session == nil {
		return func(string) bool { return false }
	}
	return sh.may(session.User)
}

func (sh *authorizationShim) may(name string) func(string) bool {
	u, ok := sh.s.auth.Find(name)
	return func(privilege string) bool { return ok && u.May(privilege) }
}

// privileges asks for each privilege on each object.
func (sh *authorizationShim) privileges(on []types.ManagedObjectReference, ids []string, may func(string) bool) ([]types.EntityPrivilege, types.BaseMethodFault) {
	var found []types.EntityPrivilege
	for _, ref := range on {
		if sh.s.reg.Get(ref) == nil {
			return nil, &types.ManagedObjectNotFound{Obj: ref}
		}
		told := types.EntityPrivilege{Entity: ref}
		for _, id := range ids {
			told.PrivAvailability = append(told.PrivAvailability, types.PrivilegeAvailability{PrivId: id, IsGranted: may(id)})
		}
		found = append(found, told)
	}
	return found, nil
}
