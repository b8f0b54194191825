// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"crypto/subtle"
	"slices"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// user is somebody who can log in.
type user struct {
	Name       string   `json:"username"`
	Password   string   `json:"password"`
	Privileges []string `json:"privileges"` // "*" for all
	Locked     bool     `json:"locked"`
}

// may tells if a user has a privilege. Everybody may look: a restricted user has
// the read-only role besides what is listed.
func (u *user) may(privilege string) bool {
	return strings.HasPrefix(privilege, "System.") ||
		slices.Contains(u.Privileges, "*") || slices.Contains(u.Privileges, privilege)
}

// authority knows the users. User names are not case sensitive, as in vCenter's
// single sign-on.
type authority struct {
	mu    sync.Mutex
	users map[string]*user
}

func newAuthority(name, password string) *authority {
	a := &authority{users: make(map[string]*user)}
	a.add(user{Name: name, Password: password, Privileges: []string{"*"}})
	return a
}

func (a *authority) add(u user) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users[strings.ToLower(u.Name)] = &u
}

func (a *authority) find(name string) (user, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u, ok := a.users[strings.ToLower(name)]
	if !ok {
		return user{}, false
	}
	return *u, true
}

// denied returns the fault for a user who lacks a privilege on an object, or nil.
func (a *authority) denied(name string, ref types.ManagedObjectReference, privilege string) types.BaseMethodFault {
	if u, ok := a.find(name); ok && u.may(privilege) {
		return nil
	}
	return &types.NoPermission{Object: &ref, PrivilegeId: privilege}
}

// lockedText is what single sign-on says of a locked account. The API has no fault
// of its own for that.
const lockedText = "User account is locked. Please contact your administrator."

// refuse returns the text for a login that fails, or nothing for one that succeeds.
func (a *authority) refuse(name, password string) string {
	u, ok := a.find(name)
	if ok && u.Locked {
		return lockedText
	}
	if !ok || subtle.ConstantTimeCompare([]byte(u.Password), []byte(password)) != 1 {
		return faultText(&types.InvalidLogin{})
	}
	return ""
}

// sessionShim is vCenter's session manager with credentials that are checked.
type sessionShim struct{ shimBase }

// Login logs in, or raises InvalidLogin; so does a second login in one session.
func (sh *sessionShim) Login(ctx *simulator.Context, req *types.Login) soap.HasFault {
	if text := sh.s.auth.refuse(req.UserName, req.Password); text != "" {
		return &methods.LoginBody{Fault_: simulator.Fault(text, &types.InvalidLogin{})}
	}
	return sh.s.reg.SessionManager().Login(ctx, req)
}

// LoginByToken refuses every token: vcsim would take any, and this server trusts
// no token service.
func (sh *sessionShim) LoginByToken(*simulator.Context, *types.LoginByToken) soap.HasFault {
	return &methods.LoginByTokenBody{Fault_: soapFault(&types.InvalidLogin{})}
}

// LoginExtensionByCertificate refuses every extension, as none is registered.
func (sh *sessionShim) LoginExtensionByCertificate(*simulator.Context, *types.LoginExtensionByCertificate) soap.HasFault {
	return &methods.LoginExtensionByCertificateBody{Fault_: soapFault(&types.NoClientCertificate{})}
}

// ImpersonateUser is not offered: vcsim would log anybody in as anybody.
func (sh *sessionShim) ImpersonateUser(ctx *simulator.Context, req *types.ImpersonateUser) soap.HasFault {
	return &methods.ImpersonateUserBody{Fault_: soapFault(&types.NoPermission{
		Object: &req.This, PrivilegeId: "Sessions.ImpersonateUser",
	})}
}

// Logout ends the session for the front too.
func (sh *sessionShim) Logout(ctx *simulator.Context, req *types.Logout) soap.HasFault {
	sh.s.sessions.close(ctx.Session.Key)
	sh.s.props.hub.closeSession(ctx.Session.Key)
	return sh.s.reg.SessionManager().Logout(ctx, req)
}

// TerminateSession ends other sessions.
func (sh *sessionShim) TerminateSession(ctx *simulator.Context, req *types.TerminateSession) soap.HasFault {
	res := sh.s.reg.SessionManager().TerminateSession(ctx, req)
	if res.Fault() == nil {
		for _, key := range req.SessionId {
			sh.s.sessions.close(key)
			sh.s.props.hub.closeSession(key)
		}
	}
	return res
}

// endSession has vcsim forget a session, and ends the waits that it has.
func (s *Sim) endSession(key string) {
	s.props.hub.closeSession(key)
	ctx := s.background("")
	m := s.reg.SessionManager()
	// That vcsim has lost it already is no failure: it is gone either way.
	m.TerminateSession(ctx, &types.TerminateSession{This: m.Self, SessionId: []string{key}})
}
