// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package accounts

import (
	"crypto/subtle"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/faults"
)

// User is somebody who can log in.
type User struct {
	Name     string `json:"username"`
	Password string `json:"password"`
	// Privileges are those of the user's role on the root folder, which propagates: on everything, with looking at it. "*"
	// for all.
	Privileges []string `json:"privileges"`
	// Roles are those of a user who has none on the root folder but the one that stands here: privileges by the paths of
	// objects. They propagate, and looking comes with them. Empty: the user sees nothing, until he is given a role.
	Roles  map[string][]string `json:"roles"`
	Locked bool                `json:"locked"`
}

// Grant is a role that a user has on an object.
type Grant struct {
	// Privileges of the role, "*" for all. None: the role is No access.
	Privileges []string
	// Role is the number of one that the server knows, in place of Privileges: it can be changed later.
	Role      *int32
	Propagate bool
}

// grants are all roles of one user, by the object: one on each.
type grants map[types.ManagedObjectReference]Grant

// Inventory is what rights depend on.
type Inventory interface {
	// Above lists from what an object inherits roles; of a VM from its folder and from its pool. Nothing is above the root.
	Above(ref types.ManagedObjectReference) []types.ManagedObjectReference
	// RolePrivileges are the privileges of a role by its number.
	RolePrivileges(id int32) []string
}

// root is where the inventory begins.
var root = types.ManagedObjectReference{Type: "Folder", Value: "group-d1"}

// looking is what every role has but No access.
var looking = []string{"System.Anonymous", "System.View", "System.Read"}

// Authority knows the users, and the roles that they have. User names are not case sensitive, as in vCenter's
// single sign-on.
type Authority struct {
	inventory Inventory
	mu        sync.Mutex
	users     map[string]*User
	grants    map[string]grants
}

// NewAuthority knows one user, who may do everything.
func NewAuthority(name, password string, inventory Inventory) *Authority {
	a := &Authority{inventory: inventory, users: make(map[string]*User), grants: make(map[string]grants)}
	a.Add(User{Name: name, Password: password, Privileges: []string{"*"}})
	return a
}

// Add adds a user, or takes the place of one of the same name.
func (a *Authority) Add(u User) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := strings.ToLower(u.Name)
	a.users[key] = &u
	a.grants[key] = make(grants)
	if u.Roles == nil {
		a.grants[key][root] = Role(u.Privileges...)
	}
}

// Role is one that propagates, with looking.
func Role(privileges ...string) Grant {
	return Grant{Privileges: append(slices.Clone(looking), privileges...), Propagate: true}
}

// Grant gives a user a role on an object, in place of one that he had there. principal: NAME@DOMAIN, or DOMAIN\NAME.
func (a *Authority) Grant(principal string, on types.ManagedObjectReference, g Grant) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := account(principal)
	mine := maps.Clone(a.grants[key]) // who reads them has no lock
	if mine == nil {
		mine = make(grants)
	}
	mine[on] = g
	a.grants[key] = mine
}

// Revoke takes the role of a user on an object away.
func (a *Authority) Revoke(principal string, on types.ManagedObjectReference) {
	a.mu.Lock()
	defer a.mu.Unlock()
	mine := maps.Clone(a.grants[account(principal)])
	delete(mine, on)
	a.grants[account(principal)] = mine
}

// account is the name under which a user is known here.
func account(principal string) string {
	if domain, name, ok := strings.Cut(principal, `\`); ok {
		principal = name + "@" + domain
	}
	return strings.ToLower(principal)
}

// May tells if a user has a privilege on an object.
func (a *Authority) May(name string, on types.ManagedObjectReference, privilege string) bool {
	a.mu.Lock()
	mine := a.grants[strings.ToLower(name)]
	a.mu.Unlock()
	if g, ok := mine[root]; ok && len(mine) == 1 && g.Propagate {
		return a.has(g, privilege) // everywhere the same
	}
	return a.inherits(mine, on, privilege, true)
}

// inherits tells if a user has a privilege by his role on an object, or by those that come from above. A role on an object
// overrides these, and what comes from two sides is added.
func (a *Authority) inherits(mine grants, on types.ManagedObjectReference, privilege string, itself bool) bool {
	if g, ok := mine[on]; ok && (itself || g.Propagate) {
		return a.has(g, privilege)
	}
	return slices.ContainsFunc(a.inventory.Above(on), func(above types.ManagedObjectReference) bool {
		return a.inherits(mine, above, privilege, false)
	})
}

func (a *Authority) has(g Grant, privilege string) bool {
	held := g.Privileges
	if g.Role != nil {
		held = a.inventory.RolePrivileges(*g.Role)
	}
	return slices.Contains(held, "*") || slices.Contains(held, privilege)
}

// SeesAll tells if nothing of the inventory is hidden from a user. That is so for what the server does by itself, too.
func (a *Authority) SeesAll(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	mine, known := a.grants[strings.ToLower(name)]
	g, everywhere := mine[root]
	return !known || everywhere && len(mine) == 1 && g.Propagate && g.Role == nil
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
	if a.May(name, ref, privilege) {
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
