// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/settings"
)

// TestEverythingAtOnce has several clients clone, look, wait and destroy at the same
// time: what it asks of is the race detector, and that nobody waits for ever.
func TestEverythingAtOnce(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.Parents, c.VMs = 2, 20 })
	const rounds = 8
	var all sync.WaitGroup
	do := func(work func(context.Context, int) error) {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range rounds {
				if err := work(b.ctx, i); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	for k, name := range []string{"golden-parent", "golden-parent-2"} {
		parent := object.NewVirtualMachine(b.client, b.find("/DC0/vm/"+name))
		do(func(ctx context.Context, i int) error {
			task, err := parent.InstantClone(ctx, cloneSpec(fmt.Sprintf("c%d-%d", k, i)))
			if err != nil {
				return err
			}
			info, err := task.WaitForResult(ctx, nil)
			if err != nil || i%2 == 0 {
				return err
			}
			vm := object.NewVirtualMachine(b.client, info.Result.(types.ManagedObjectReference))
			off, err := vm.PowerOff(ctx)
			if err != nil {
				return err
			}
			if err := off.Wait(ctx); err != nil {
				return err
			}
			gone, err := vm.Destroy(ctx)
			if err != nil {
				return err
			}
			return gone.Wait(ctx)
		})
	}
	do(func(ctx context.Context, _ int) error {
		v, err := view.NewManager(b.client).CreateContainerView(ctx, b.client.ServiceContent.RootFolder, []string{"VirtualMachine"}, true)
		if err != nil {
			return err
		}
		var vms []mo.VirtualMachine
		if err := v.Retrieve(ctx, []string{"VirtualMachine"}, []string{"name", "guest", "layoutEx", "config.hardware"}, &vms); err != nil {
			return err
		}
		return v.Destroy(ctx)
	})
	do(func(context.Context, int) error {
		_, err := b.retrieve(b.allVMs("name", "summary", "config", "recentTask"), 10)
		return err
	})
	do(func(ctx context.Context, _ int) error {
		_, err := find.NewFinder(b.client).VirtualMachineList(ctx, "/DC0/vm/...")
		return err
	})
	do(func(ctx context.Context, _ int) error {
		_, err := object.NewSearchIndex(b.client).FindByUuid(ctx, nil, "no such", true, types.NewBool(true))
		return err
	})
	do(func(ctx context.Context, _ int) error {
		var host mo.HostSystem
		ref := b.sim.Reg.All("HostSystem")[0].Reference()
		return property.DefaultCollector(b.client).RetrieveOne(ctx, ref, []string{"vm", "network", "datastore", "runtime"}, &host)
	})
	do(func(ctx context.Context, i int) error {
		task, err := object.NewVirtualMachine(b.client, b.find("/DC0/vm/golden-parent")).Reconfigure(ctx, types.VirtualMachineConfigSpec{
			ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "guestinfo.round", Value: fmt.Sprint(i)}},
		})
		if err != nil {
			return err
		}
		return task.Wait(ctx)
	})
	all.Wait()
}
