// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package ovfmanager

import (
	"cmp"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/deepcopy"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/ovfdoc"
)

// CreateDescriptor writes the descriptor of a VM, or of a snapshot of it.
func (sh *ovfShim) CreateDescriptor(ctx *simulator.Context, req *types.CreateDescriptor) soap.HasFault {
	text, left, fault := sh.describe(ctx, req)
	if fault != nil {
		return &methods.CreateDescriptorBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.CreateDescriptorBody{Res: &types.CreateDescriptorResponse{Returnval: types.OvfCreateDescriptorResult{
		OvfDescriptor: text, Error: faults.LocalizedAll(left), IncludeImageFiles: types.NewBool(false),
	}}}
}

func (sh *ovfShim) describe(ctx *simulator.Context, req *types.CreateDescriptor) (string, []types.BaseMethodFault, types.BaseMethodFault) {
	vm := sh.S.VM(req.Obj)
	switch {
	case vm == nil && sh.S.Reg.Get(req.Obj) == nil:
		return "", nil, &types.ManagedObjectNotFound{Obj: req.Obj}
	case vm == nil:
		return "", nil, &types.NotSupported{} // vApps are not simulated
	}
	if fault := sh.S.Auth.Denied(ctx.Session.UserName, vm.Self, "VApp.Export"); fault != nil {
		return "", nil, fault
	}
	system := &ovfdoc.System{Files: req.Cdp.OvfFiles, Networks: make(map[int32]string)}
	var fault types.BaseMethodFault
	ctx.WithLock(vm, func() {
		config := vm.Config
		if ref := req.Cdp.Snapshot; ref != nil {
			snapshot := sh.S.Snapshot(*ref)
			if snapshot == nil || snapshot.Vm != vm.Self {
				fault = faults.Invalid("cdp.snapshot")
				return
			}
			config = &snapshot.Config
		}
		system.Config = deepcopy.Of(config)
		system.Name = vm.Name
	})
	if fault != nil {
		return "", nil, fault
	}
	devices := system.Config.Hardware.Device
	system.ID = cmp.Or(req.Cdp.Name, product(system.Config), system.Name)
	system.Annotation = cmp.Or(req.Cdp.Description, system.Config.Annotation)
	system.DeviceID = func(dev types.BaseVirtualDevice) string {
		key := ImportKey(system.Name, devices, dev)
		return "/" + vm.Self.Value + key[strings.LastIndex(key, "/"):]
	}
	for _, dev := range devices {
		if _, card := dev.(types.BaseVirtualEthernetCard); !card {
			continue
		}
		for _, ref := range sh.S.NetworksOf([]types.BaseVirtualDevice{dev}) {
			if net, ok := sh.S.NetworkByRef(ref); ok {
				system.Networks[dev.GetVirtualDevice().Key] = net.Name
			}
		}
	}
	text, left := ovfdoc.Write(system)
	return text, left, nil
}

// product is the name of the product in a VM.
func product(c *types.VirtualMachineConfigInfo) string {
	if c.VAppConfig == nil {
		return ""
	}
	for _, p := range c.VAppConfig.GetVmConfigInfo().Product {
		return p.Name
	}
	return ""
}
