// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"fmt"
	"log"
	"path"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// buildClone makes the clone of a plan. The caller holds the parent's lock and
// sees to it that no two VMs are made at once.
func (s *Sim) buildClone(ctx *simulator.Context, p *clonePlan) (*simulator.VirtualMachine, types.BaseMethodFault) {
	s.post(ctx, s.beingCloned(p))
	vm, err := s.cloneVM(ctx, p)
	if err != nil {
		log.Printf("vforge-sim: instant clone %s: %v", p.name, err)
		fault := &types.FileFault{File: p.name}
		s.post(ctx, s.cloneFailed(p, fault))
		return nil, fault
	}
	s.post(ctx, s.cloned(p, vm)...)
	return vm, nil
}

func (s *Sim) cloneVM(ctx *simulator.Context, p *clonePlan) (*simulator.VirtualMachine, error) {
	vm := &simulator.VirtualMachine{DataSets: make(map[string]*simulator.DataSet)}
	s.reg.NewEntity(vm)
	dir, err := makeVMDir(p.datastore, p.name)
	if err != nil {
		return nil, err
	}
	vmx := path.Join(dir, p.name+".vmx")
	if err := writeVMFiles(p.datastore, vmx); err != nil {
		return nil, err
	}
	disks, err := s.forkDisks(ctx, p, path.Join(dir, p.name))
	if err != nil {
		return nil, err
	}
	for _, d := range p.devices {
		if card, ok := d.(types.BaseVirtualEthernetCard); ok && card.GetVirtualEthernetCard().MacAddress == "" {
			card.GetVirtualEthernetCard().MacAddress = s.macs.take()
		}
	}
	s.copyConfig(vm, p, dsPath(p.datastore.Name, vmx), append(p.devices, disks...))
	s.copyRuntime(vm, p)
	s.refreshFiles(vm)
	s.layers.add(vm.Self, vm.Config.Hardware.Device)
	s.link(ctx, vm, p.folder.Self)
	if !p.off {
		s.tracks.takeEffect(ctx, vm)
	}
	return vm, nil
}

// copyConfig gives the clone its parent's configuration with an identity of its
// own.
func (s *Sim) copyConfig(vm *simulator.VirtualMachine, p *clonePlan, vmx string, devices []types.BaseVirtualDevice) {
	now := time.Now()
	dir := path.Dir(vmx) + "/"
	config := *p.from
	config.Hardware.Device = nil
	config = clone(config)
	config.Hardware.Device = devices
	config.Name, config.Uuid, config.InstanceUuid = p.name, newUUID(0x42), newUUID(0x50)
	if p.biosUUID != "" {
		config.Uuid = p.biosUUID
	}
	config.ChangeVersion, config.Modified, config.CreateDate = fmt.Sprint(now.UnixNano()), now, &now
	config.ForkConfigInfo = p.fork
	config.Files = types.VirtualMachineFileInfo{VmPathName: vmx, SnapshotDirectory: dir, SuspendDirectory: dir, LogDirectory: dir}
	config.ExtraConfig = mergeExtra(config.ExtraConfig, p.config)
	vm.Name, vm.Config = p.name, &config
	vm.Capability = clone(p.parent.Capability)
	vm.EnvironmentBrowser = p.parent.EnvironmentBrowser
	vm.Network = s.networksOf(devices)

	vm.Summary.Config = p.parent.Summary.Config
	vm.Summary.Config.Name, vm.Summary.Config.VmPathName = p.name, vmx
	vm.Summary.Config.Uuid, vm.Summary.Config.InstanceUuid = config.Uuid, config.InstanceUuid
}

// copyRuntime: the clone runs at once, on its parent's host.
func (s *Sim) copyRuntime(vm *simulator.VirtualMachine, p *clonePlan) {
	now := time.Now()
	host, pool := p.host.Self, p.pool.Reference()
	vm.ResourcePool = &pool
	vm.Runtime = types.VirtualMachineRuntimeInfo{
		Host:                &host,
		ConnectionState:     types.VirtualMachineConnectionStateConnected,
		PowerState:          types.VirtualMachinePowerStatePoweredOn,
		BootTime:            &now,
		InstantCloneFrozen:  types.NewBool(false),
		FaultToleranceState: types.VirtualMachineFaultToleranceStateNotConfigured,
		RecordReplayState:   types.VirtualMachineRecordReplayStateInactive,
	}
	if s.canFork() {
		vm.Runtime.QuiescedForkParent = types.NewBool(false)
	}
	if p.off {
		vm.Runtime.PowerState, vm.Runtime.BootTime = poweredOff, nil
	}
	vm.Summary.Runtime, vm.Summary.Vm = vm.Runtime, &vm.Self
	vm.Guest = guestOff()
	vm.Summary.Guest = summaryGuest(vm.Guest)
	vm.Summary.OverallStatus = types.ManagedEntityStatusGreen
	vm.Summary.QuickStats.GuestHeartbeatStatus = types.ManagedEntityStatusGray
	vm.GuestHeartbeatStatus = types.ManagedEntityStatusGray
	vm.Datastore = []types.ManagedObjectReference{p.datastore.Self}
	for _, ref := range p.parent.Datastore {
		if simulator.FindReference(vm.Datastore, ref) == nil {
			vm.Datastore = append(vm.Datastore, ref) // the lower layers of its disks are there
		}
	}
}

// mergeExtra lays pairs over base; a pair with an empty value takes its key away.
func mergeExtra(base, pairs []types.BaseOptionValue) []types.BaseOptionValue {
	at := make(map[string]int, len(base))
	out := make([]types.BaseOptionValue, 0, len(base)+len(pairs))
	put := func(o types.BaseOptionValue) {
		if i, ok := at[o.GetOptionValue().Key]; ok {
			out[i] = o
			return
		}
		at[o.GetOptionValue().Key] = len(out)
		out = append(out, o)
	}
	for _, o := range base {
		put(o)
	}
	for _, o := range pairs {
		put(o)
	}
	kept := out[:0]
	for _, o := range out {
		if v, ok := o.GetOptionValue().Value.(string); !ok || v != "" {
			kept = append(kept, o)
		}
	}
	return kept
}
