// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package access

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/shim"
)

// sessionShim is vCenter's session manager with credentials that are checked.
type sessionShim struct{ shim.Of[*Access] }

// Login logs in, or raises InvalidLogin; so does a second login in one session.
func (sh *sessionShim) Login(ctx *simulator.Context, req *types.Login) soap.HasFault {
	if text := sh.S.Auth.Refuse(req.UserName, req.Password); text != "" {
		return &methods.LoginBody{Fault_: simulator.Fault(text, &types.InvalidLogin{})}
	}
	return sh.S.Reg.SessionManager().Login(ctx, req)
}

// LoginByToken refuses every token: vcsim would take any, and this server trusts
// no token service.
func (sh *sessionShim) LoginByToken(*simulator.Context, *types.LoginByToken) soap.HasFault {
	return &methods.LoginByTokenBody{Fault_: faults.SOAP(&types.InvalidLogin{})}
}

// LoginExtensionByCertificate refuses every extension, as none is registered.
func (sh *sessionShim) LoginExtensionByCertificate(*simulator.Context, *types.LoginExtensionByCertificate) soap.HasFault {
	return &methods.LoginExtensionByCertificateBody{Fault_: faults.SOAP(&types.NoClientCertificate{})}
}

// ImpersonateUser is not offered: vcsim would log anybody in as anybody.
func (sh *sessionShim) ImpersonateUser(ctx *simulator.Context, req *types.ImpersonateUser) soap.HasFault {
	return &methods.ImpersonateUserBody{Fault_: faults.SOAP(&types.NoPermission{
		Object: &req.This, PrivilegeId: "Sessions.ImpersonateUser",
	})}
}

// Logout ends the session for the front too.
func (sh *sessionShim) Logout(ctx *simulator.Context, req *types.Logout) soap.HasFault {
	sh.S.Sessions.Close(ctx.Session.Key)
	sh.S.Props.CloseSession(ctx.Session.Key)
	return sh.S.Reg.SessionManager().Logout(ctx, req)
}

// TerminateSession ends other sessions.
func (sh *sessionShim) TerminateSession(ctx *simulator.Context, req *types.TerminateSession) soap.HasFault {
	res := sh.S.Reg.SessionManager().TerminateSession(ctx, req)
	if res.Fault() == nil {
		for _, key := range req.SessionId {
			sh.S.Sessions.Close(key)
			sh.S.Props.CloseSession(key)
		}
	}
	return res
}
