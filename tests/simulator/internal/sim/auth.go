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
	Name       string
	Password   string
	Privileges []string // "*" for all
	Locked     bool
}

func (u *user) may(privilege string) bool {
	return slices.Contains(u.Privileges, "*") || slices.Contains(u.Privileges, privilege)
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

// check tells if name may log in with password.
func (a *authority) check(name, password string) bool {
	u, ok := a.find(name)
	if !ok || u.Locked {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(u.Password), []byte(password)) == 1
}

// sessionShim is vCenter's session manager with credentials that are checked.
type sessionShim struct{ shimBase }

// Login logs in, or raises InvalidLogin.
func (sh *sessionShim) Login(ctx *simulator.Context, req *types.Login) soap.HasFault {
	if !sh.s.auth.check(req.UserName, req.Password) {
		return &methods.LoginBody{Fault_: simulator.Fault(
			"Cannot complete login due to an incorrect user name or password.", &types.InvalidLogin{})}
	}
	return sh.s.reg.SessionManager().Login(ctx, req)
}
