// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clones

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vhardware"
)

// maxDeltas is how many delta layers a disk may have above its base.
const maxDeltas = 255

// clonePlan is a request that passed all rules, with every default filled in.
type clonePlan struct {
	parent    *simulator.VirtualMachine
	from      *types.VirtualMachineConfigInfo // the parent's, or that of its snapshot
	name      string
	folder    *simulator.Folder
	pool      mo.Reference
	host      *simulator.HostSystem
	datastore *simulator.Datastore
	devices   []types.BaseVirtualDevice // the clone's, but for its disks
	config    []types.BaseOptionValue
	biosUUID  string
	// of a child of VMFork
	fork *types.VirtualMachineForkConfigInfo
	off  bool
}

// cloneRule is one thing that must be true of an instant clone, and the kind of test
// that a dry run knows it by.
type cloneRule struct {
	test  string // one of the checker's test types; empty: part of every dry run
	check func() types.BaseMethodFault
}

// cloneRules lists the rules in vCenter's order of doing: the request itself, the
// parent, then the places. Each rule's source is in README.md. A rule fills in its
// part of the plan; one that needs a part which is not there says nothing, as
// another rule has said it.
func (s *Clones) cloneRules(p *clonePlan, spec *types.VirtualMachineInstantCloneSpec) []cloneRule {
	loc := &spec.Location
	return []cloneRule{
		{"", func() types.BaseMethodFault { return checkCloneSpec(spec) }},
		{"sourceTests", func() types.BaseMethodFault { return s.checkParent(p) }},
		{"hostTests", func() types.BaseMethodFault { return s.checkHost(p) }},
		{"", func() types.BaseMethodFault { return s.placeFolder(p, loc.Folder) }},
		{"resourcePoolTests", func() types.BaseMethodFault { return s.placePool(p, loc.Pool) }},
		{"datastoreTests", func() types.BaseMethodFault { return s.placeDatastore(p, loc.Datastore) }},
		{"networkTests", func() types.BaseMethodFault { return s.planDevices(p, loc.DeviceChange) }},
		{"", func() types.BaseMethodFault { return s.checkName(p) }},
	}
}

func (s *Clones) newPlan(parent *simulator.VirtualMachine, spec *types.VirtualMachineInstantCloneSpec) *clonePlan {
	return &clonePlan{
		parent: parent, from: parent.Config, host: s.HostOf(parent), name: naming.Escape(spec.Name), config: spec.Config, biosUUID: spec.BiosUuid,
	}
}

// planClone applies the rules; the first that is broken is the answer. The caller
// holds the parent's lock.
func (s *Clones) planClone(parent *simulator.VirtualMachine, spec *types.VirtualMachineInstantCloneSpec) (*clonePlan, types.BaseMethodFault) {
	p := s.newPlan(parent, spec)
	for _, rule := range s.cloneRules(p, spec) {
		if fault := rule.check(); fault != nil {
			return nil, fault
		}
	}
	return p, nil
}

// checkCloneSpec refuses what a spec may not hold, whatever the inventory.
func checkCloneSpec(spec *types.VirtualMachineInstantCloneSpec) types.BaseMethodFault {
	if spec.Name == "" {
		return faults.Invalid("spec.name")
	}
	if len(naming.Escape(spec.Name)) > vhardware.MaxNameBytes {
		return &types.InvalidName{Name: spec.Name}
	}
	if spec.BiosUuid != "" && !vhardware.ValidUUID(spec.BiosUuid) {
		return faults.Invalid("spec.biosUuid")
	}
	for _, c := range spec.Config {
		if c == nil || c.GetOptionValue().Key == "" {
			return faults.Invalid("spec.config")
		}
	}
	return checkRelocateSpec(&spec.Location)
}

// checkRelocateSpec refuses the settings of a relocation that an instant clone
// does not have.
func checkRelocateSpec(loc *types.VirtualMachineRelocateSpec) types.BaseMethodFault {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"service", loc.Service != nil},
		{"host", loc.Host != nil},
		{"diskMoveType", loc.DiskMoveType != ""},
		{"disk", len(loc.Disk) > 0},
		{"transform", loc.Transform != ""},
		{"profile", len(loc.Profile) > 0},
		{"cryptoSpec", loc.CryptoSpec != nil},
	} {
		if f.set {
			return faults.Invalid("spec.location." + f.name)
		}
	}
	return nil
}

// checkParent refuses a parent that cannot be cloned in its present state.
func (s *Clones) checkParent(p *clonePlan) types.BaseMethodFault {
	vm := p.parent
	if vm.Config.Template {
		return faults.Invalid("vm")
	}
	if vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
		return &types.InvalidPowerState{
			RequestedState: types.VirtualMachinePowerStatePoweredOn,
			ExistingState:  vm.Runtime.PowerState,
		}
	}
	if s.Passthrough.Get(vm.Self) {
		return disallowedDevice(&types.DeviceNotSupported{Device: "PCI device 0"})
	}
	for _, d := range vm.Config.Hardware.Device {
		if name, no := uncloneable(d); no {
			return disallowedDevice(&types.DeviceNotSupported{Device: name})
		}
	}
	for _, disk := range vdisk.DisksOf(vm.Config.Hardware.Device) {
		if len(vdisk.DiskChain(disk)) > maxDeltas {
			return tooManyDeltas()
		}
	}
	return nil
}

// checkHost refuses a host that takes no new VMs.
func (s *Clones) checkHost(p *clonePlan) types.BaseMethodFault {
	if p.host == nil || p.host.Runtime.InMaintenanceMode || p.host.Runtime.ConnectionState != types.HostSystemConnectionStateConnected {
		return &types.InvalidState{}
	}
	return nil
}

// uncloneable tells if a VM with this device cannot be a parent: the device is
// real hardware, whose state cannot be copied.
func uncloneable(d types.BaseVirtualDevice) (label string, no bool) {
	switch d.(type) {
	case *types.VirtualPCIPassthrough, *types.VirtualSriovEthernetCard:
		if info := d.GetVirtualDevice().DeviceInfo; info != nil {
			label = info.GetDescription().Label
		}
		return label, true
	}
	return "", false
}

// tooManyDeltas is how vCenter reports a parent whose disk has as many layers as
// it can: the reason is only in the fault's cause.
func tooManyDeltas() types.BaseMethodFault {
	const key = "msg.migrate.prepare.failed"
	cause := &types.GenericVmConfigFault{Reason: key}
	cause.FaultMessage = []types.LocalizableMessage{{Key: key, Message: "Failed to prepare the virtual machine for migration."}}
	fault := &types.SystemError{Reason: "vim.fault.GenericVmConfigFault"}
	fault.FaultCause = faults.Localized(cause)
	fault.FaultMessage = cause.FaultMessage
	return fault
}

// checkName refuses a name that something in the folder already has.
func (s *Clones) checkName(p *clonePlan) types.BaseMethodFault {
	if p.folder == nil {
		return nil
	}
	if holder := s.Holder(p.folder.Self, p.name); holder != nil {
		return &types.DuplicateName{Name: p.name, Object: *holder}
	}
	return nil
}
