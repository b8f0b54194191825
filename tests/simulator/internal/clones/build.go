// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clones

import (
	"fmt"
	"log"
	"path"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/deepcopy"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/guests"
	"vforge.vsphere/simulator/internal/ids"
	"vforge.vsphere/simulator/internal/vhardware"
)

// buildClone makes the clone of a plan. The caller holds the parent's lock and
// sees to it that no two VMs are made at once.
func (s *Clones) buildClone(ctx *simulator.Context, p *clonePlan) (*simulator.VirtualMachine, types.BaseMethodFault) {
	s.Post(ctx, s.beingCloned(p))
	vm, err := s.cloneVM(ctx, p)
	if err != nil {
		log.Printf("vforge-sim: instant clone %s: %v", p.name, err)
		fault := &types.FileFault{File: p.name}
		s.Post(ctx, s.cloneFailed(p, fault))
		return nil, fault
	}
	s.Post(ctx, s.cloned(p, vm)...)
	return vm, nil
}

func (s *Clones) cloneVM(ctx *simulator.Context, p *clonePlan) (*simulator.VirtualMachine, error) {
	vm := &simulator.VirtualMachine{DataSets: make(map[string]*simulator.DataSet)}
	s.Reg.NewEntity(vm)
	dir, err := dsfiles.MakeVMDir(p.datastore, p.name)
	if err != nil {
		return nil, err
	}
	vmx := path.Join(dir, p.name+".vmx")
	if err := disks.WriteVMFiles(p.datastore, vmx); err != nil {
		return nil, err
	}
	disks, err := s.forkDisks(ctx, p, path.Join(dir, p.name))
	if err != nil {
		return nil, err
	}
	for _, d := range p.devices {
		if card, ok := d.(types.BaseVirtualEthernetCard); ok && card.GetVirtualEthernetCard().MacAddress == "" {
			card.GetVirtualEthernetCard().MacAddress = s.MACs.Take()
		}
	}
	s.copyConfig(vm, p, dsfiles.Path(p.datastore.Name, vmx), append(p.devices, disks...))
	s.copyRuntime(vm, p)
	s.Disks.RefreshFiles(vm)
	s.LayerUsers.Add(vm.Self, vm.Config.Hardware.Device)
	s.Inventory.Link(ctx, vm, p.folder.Self)
	if !p.off {
		s.Tracks.TakeEffect(ctx, vm)
	}
	return vm, nil
}

// copyConfig gives the clone its parent's configuration with an identity of its
// own.
func (s *Clones) copyConfig(vm *simulator.VirtualMachine, p *clonePlan, vmx string, devices []types.BaseVirtualDevice) {
	now := time.Now()
	dir := path.Dir(vmx) + "/"
	config := *p.from
	config.Hardware.Device = nil
	config = deepcopy.Of(config)
	config.Hardware.Device = devices
	config.Name, config.Uuid, config.InstanceUuid = p.name, ids.NewUUID(0x42), ids.NewUUID(0x50)
	if p.biosUUID != "" {
		config.Uuid = p.biosUUID
	}
	config.ChangeVersion, config.Modified, config.CreateDate = fmt.Sprint(now.UnixNano()), now, &now
	config.ForkConfigInfo = p.fork
	config.Files = types.VirtualMachineFileInfo{VmPathName: vmx, SnapshotDirectory: dir, SuspendDirectory: dir, LogDirectory: dir}
	config.ExtraConfig = vhardware.MergeExtra(config.ExtraConfig, p.config)
	vm.Name, vm.Config = p.name, &config
	vm.Capability = deepcopy.Of(p.parent.Capability)
	vm.EnvironmentBrowser = p.parent.EnvironmentBrowser
	vm.Network = s.NetworksOf(devices)

	vm.Summary.Config = p.parent.Summary.Config
	vm.Summary.Config.Name, vm.Summary.Config.VmPathName = p.name, vmx
	vm.Summary.Config.Uuid, vm.Summary.Config.InstanceUuid = config.Uuid, config.InstanceUuid
}

// copyRuntime: the clone runs at once, on its parent's host.
func (s *Clones) copyRuntime(vm *simulator.VirtualMachine, p *clonePlan) {
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
	if s.HasVMFork() {
		vm.Runtime.QuiescedForkParent = types.NewBool(false)
	}
	if p.off {
		vm.Runtime.PowerState, vm.Runtime.BootTime = core.PoweredOff, nil
	}
	vm.Summary.Runtime, vm.Summary.Vm = vm.Runtime, &vm.Self
	vm.Guest = guests.Off()
	vm.Summary.Guest = guests.Summary(vm.Guest)
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
