// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package props

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// sees tells if the caller may look at an object. Without a session nothing is read at all: see withheld.
func (p *Server) sees(ctx *simulator.Context, ref types.ManagedObjectReference) bool {
	return ctx.Session == nil || p.sight.Sees(ctx.Session.UserName, ref)
}

// seen leaves out the objects that the caller may not look at.
func (p *Server) seen(ctx *simulator.Context, refs []types.ManagedObjectReference) []types.ManagedObjectReference {
	if ctx.Session == nil || p.sight.SeesAll(ctx.Session.UserName) {
		return refs
	}
	return slices.DeleteFunc(slices.Clone(refs), func(ref types.ManagedObjectReference) bool { return !p.sees(ctx, ref) })
}

// visible is a property's value without references that lead to what the caller may not look at, where it is a list of such.
func (p *Server) visible(ctx *simulator.Context, value any) any {
	list, ok := value.(*types.ArrayOfManagedObjectReference)
	if !ok {
		return value
	}
	return &types.ArrayOfManagedObjectReference{ManagedObjectReference: p.seen(ctx, list.ManagedObjectReference)}
}
