// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"net/url"
	"testing"

	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vapi/tags"
)

func TestTagsByREST(t *testing.T) {
	b := start(t)
	vm := b.clone("tagged")
	client := rest.NewClient(b.client)
	if err := client.Login(b.ctx, url.UserPassword(b.sim.Cfg.Username, "wrong")); err == nil {
		t.Fatal("logged in with a wrong password")
	}
	manager := tags.NewManager(client)
	if _, err := manager.ListTags(b.ctx); err == nil {
		t.Fatal("tags are listed without a session")
	}
	if err := client.Login(b.ctx, url.UserPassword(b.sim.Cfg.Username, b.sim.Cfg.Password)); err != nil {
		t.Fatal(err)
	}
	category, err := manager.CreateCategory(b.ctx, &tags.Category{Name: "tier", Cardinality: "SINGLE", AssociableTypes: []string{"VirtualMachine"}})
	if err != nil {
		t.Fatal(err)
	}
	tag, err := manager.CreateTag(b.ctx, &tags.Tag{Name: "web", CategoryID: category})
	if err != nil {
		t.Fatal(err)
	}
	if err := manager.AttachTag(b.ctx, tag, vm); err != nil {
		t.Fatal(err)
	}
	attached, err := manager.GetAttachedTags(b.ctx, vm)
	if err != nil || len(attached) != 1 || attached[0].Name != "web" {
		t.Errorf("attached: %+v, %v", attached, err)
	}
	var calls struct {
		ByMethod map[string]int `json:"by_method"`
	}
	b.control("GET", "/calls", nil, &calls)
	if n := calls.ByMethod["REST GET /com/vmware/cis/tagging/tag/id"]; n != 1 {
		t.Errorf("%d calls for a tag: %v", n, calls.ByMethod)
	}
}
