// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package accounts

import (
	"crypto/subtle"
	"slices"
	"strings"
	"sync"

	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/faults"
)

// User is somebody who can log in.
type User struct {
	Name       string   `json:"username"`
	Password   string   `json:"password"`
	Privileges []string `json:"privileges"` // "*" for all
	Locked     bool     `json:"locked"`
}

// May tells if a user has a privilege. Everybody may look: a restricted user has
// the read-only role besides what is listed.
func (u *User) May(privilege string) bool {
	return strings.HasPrefix(privilege, "System.") ||
		slices.Contains(u.Privileges, "*") || slices.Contains(u.Privileges, privilege)
}

// Authority knows the users. User names are not case sensitive, as in vCenter's
// single sign-on.
type Authority struct {
	mu    sync.Mutex
	users map[string]*User
}

// NewAuthority knows one user, who may do everything.
func NewAuthority(name, password string) *Authority {
	a := &Authority{users: make(map[string]*User)}
	a.Add(User{Name: name, Password: password, Privileges: []string{"*"}})
	return a
}

// Add adds a user, or takes the place of one of the same name.
func (a *Authority) Add(u User) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users[strings.ToLower(u.Name)] = &u
}

// Find returns the user of a name.
func (a *Authority) Find(name string) (User, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	u, ok := a.users[strings.ToLower(name)]
	if !ok {
		return User{}, false
	}
	return *u, true
}

// Denied returns the fault for a user who lacks a privilege on an object, or nil.
func (a *Authority) Denied(name string, ref types.ManagedObjectReference, privilege string) types.BaseMethodFault {
	if u, ok := a.Find(name); ok && u.May(privilege) {
		return nil
	}
	return &types.NoPermission{Object: &ref, PrivilegeId: privilege}
}

// lockedText is what single sign-on says of a locked account. The API has no fault
// of its own for that.
const lockedText = "User account is locked. Please contact your administrator."

// Refuse returns the text for a login that fails, or nothing for one that succeeds.
func (a *Authority) Refuse(name, password string) string {
	u, ok := a.Find(name)
	if ok && u.Locked {
		return lockedText
	}
	if !ok || subtle.ConstantTimeCompare([]byte(u.Password), []byte(password)) != 1 {
		return faults.Text(&types.InvalidLogin{})
	}
	return ""
}
