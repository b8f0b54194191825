// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"slices"
	"testing"

	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

func TestWhoMayDoWhatIsTold(t *testing.T) {
	b := start(t)
	const yes, no = "VirtualMachine.State.CreateSnapshot", "VirtualMachine.State.RemoveSnapshot"
	ask := []string{"System.Read", yes, no}
	vm := b.parent().Reference()
	c := b.as(yes)
	who, err := session.NewManager(c).UserSession(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	am := *c.ServiceContent.AuthorizationManager
	for name, x := range map[string]struct {
		key  string
		want []bool
	}{
		"this session":      {who.Key, []bool{true, true, false}},
		"a session of none": {"52000000-0000-0000-0000-000000000000", []bool{false, false, false}},
	} {
		one, err := methods.HasPrivilegeOnEntity(b.ctx, c, &types.HasPrivilegeOnEntity{This: am, Entity: vm, SessionId: x.key, PrivId: ask})
		if err != nil || !slices.Equal(one.Returnval, x.want) {
			t.Errorf("%s: %v %v, want %v", name, one, err, x.want)
		}
		req := types.HasPrivilegeOnEntities{This: am, Entity: []types.ManagedObjectReference{vm}, SessionId: x.key, PrivId: ask}
		many, err := methods.HasPrivilegeOnEntities(b.ctx, c, &req)
		if err != nil || !slices.Equal(granted(many.Returnval), x.want) {
			t.Errorf("%s: %v %v, want %v", name, many, err, x.want)
		}
	}
	req := types.HasUserPrivilegeOnEntities{This: am, Entities: []types.ManagedObjectReference{vm}, UserName: who.UserName, PrivId: ask}
	user, err := methods.HasUserPrivilegeOnEntities(b.ctx, b.client, &req)
	if err != nil || !slices.Equal(granted(user.Returnval), []bool{true, true, false}) {
		t.Errorf("by name: %v %v", user, err)
	}
	vm.Value = "vm-0"
	_, err = methods.HasPrivilegeOnEntity(b.ctx, c, &types.HasPrivilegeOnEntity{This: am, Entity: vm, SessionId: who.Key, PrivId: ask})
	b.wantFault(b.callFault(err), &types.ManagedObjectNotFound{})
}

// granted are the answers for the only object that was asked about.
func granted(found []types.EntityPrivilege) []bool {
	var told []bool
	for _, p := range found[0].PrivAvailability {
		told = append(told, p.IsGranted)
	}
	return told
}
