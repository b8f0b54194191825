// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"testing"

	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

func TestAClusterWithoutDRSWantsAHost(t *testing.T) {
	b := start(t)
	parent := b.parent().Reference()
	mould := b.made("mould", map[string]any{"template": true})
	pool, host := b.ref("/DC0/host/DC0_C0/Resources"), b.ref("/DC0/host/DC0_C0/DC0_C0_H0")
	imports := b.importSpec(twoDisks)
	b.control("POST", "/clusters/DC0_C0", map[string]any{"drs": "off"}, nil)

	inPool := func(r *types.CloneVM_Task) { r.Spec.Location.Pool = pool }
	onHost := func(r *types.CloneVM_Task) { r.Spec.Location.Host = host }
	task, err := b.cloneVM(b.client, parent, "nowhere", inPool)
	if err != nil {
		t.Fatal(err)
	}
	b.wantInvalid(b.taskFault(task), "spec.location.host")
	b.cloned(parent, "with-host", inPool, onHost)
	b.cloned(parent, "beside-its-source")

	_, err = methods.ImportVApp(b.ctx, b.client, &types.ImportVApp{This: *pool, Spec: imports.ImportSpec})
	b.wantInvalid(b.callFault(err), "host")
	_, err = methods.CreateImportSpec(b.ctx, b.client, &types.CreateImportSpec{
		This: *b.client.ServiceContent.OvfManager, OvfDescriptor: twoDisks, ResourcePool: *pool,
		Datastore: b.find("/DC0/datastore/LocalDS_0"), Cisp: &types.OvfCreateImportSpecParams{},
	})
	b.wantInvalid(b.callFault(err), "cisp.hostSystem")

	_, err = methods.MarkAsVirtualMachine(b.ctx, b.client, &types.MarkAsVirtualMachine{This: mould, Pool: *pool})
	b.wantInvalid(b.callFault(err), "host")
	_, err = methods.MarkAsVirtualMachine(b.ctx, b.client, &types.MarkAsVirtualMachine{This: mould, Pool: *pool, Host: host})
	if err != nil {
		t.Error(err)
	}
}

func (b *bench) wantInvalid(fault any, property string) {
	b.Helper()
	switch f := fault.(type) {
	case *types.InvalidArgument:
		if f.InvalidProperty == property {
			return
		}
	case types.InvalidArgument:
		if f.InvalidProperty == property {
			return
		}
	}
	b.Errorf("fault %#v, want InvalidArgument %s", fault, property)
}

func TestBothConfigurationsOfAClusterTellOfDRS(t *testing.T) {
	b := start(t)
	var c mo.ClusterComputeResource
	for _, set := range []string{"", "off", "fullyAutomated"} {
		want := set
		if set == "" {
			want = "partiallyAutomated"
		} else {
			b.control("POST", "/clusters/DC0_C0", map[string]any{"drs": set}, nil)
		}
		if err := property.DefaultCollector(b.client).RetrieveOne(b.ctx, b.find("/DC0/host/DC0_C0"), []string{"configuration", "configurationEx"}, &c); err != nil {
			t.Fatal(err)
		}
		for _, drs := range []types.ClusterDrsConfigInfo{c.Configuration.DrsConfig, c.ConfigurationEx.(*types.ClusterConfigInfoEx).DrsConfig} {
			if *drs.Enabled != (want != "off") || *drs.Enabled && string(drs.DefaultVmBehavior) != want {
				t.Errorf("set to %q: %+v", set, drs)
			}
		}
	}
	if status := b.control("POST", "/clusters/DC0_C0", map[string]any{"drs": "sometimes"}, nil); status != 400 {
		t.Errorf("status %d", status)
	}
}
