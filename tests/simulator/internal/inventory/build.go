// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package inventory

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/guests"
	"vforge.vsphere/simulator/internal/ids"
	"vforge.vsphere/simulator/internal/lookup"
	"vforge.vsphere/simulator/internal/vhardware"
)

// GiB is 2^30 bytes.
const GiB = int64(1) << 30

// VMSpec is what is chosen about a VM that is registered directly, without a task
// and without the ten millisecond polls of vcsim's own creation.
type VMSpec struct {
	Name      string // escaped already
	Folder    types.ManagedObjectReference
	Pool      types.ManagedObjectReference
	Host      types.ManagedObjectReference
	Datastore *simulator.Datastore
	Networks  []lookup.Network
	On        bool
	Template  bool
	MemoryMB  int32
	CPUs      int32
	Disks     []vhardware.DiskSpec
	Hardware  string // empty: a new one
	Extra     []types.BaseOptionValue
	// listed VMs have files in their layout only: fifty thousand real ones would take
	// longer than all the rest of a large inventory.
	listed bool
}

// AddVM makes a VM with its files and puts it in the inventory.
func (s *Inventory) AddVM(ctx *simulator.Context, spec VMSpec) (*simulator.VirtualMachine, error) {
	vm := &simulator.VirtualMachine{DataSets: make(map[string]*simulator.DataSet)}
	s.Reg.NewEntity(vm)
	dir, err := writeVM(&spec)
	if err != nil {
		return nil, err
	}
	vmx := path.Join(dir, spec.Name+".vmx")
	devices := vhardware.BaseDevices()
	for i, disk := range spec.Disks {
		devices = append(devices, vhardware.NewDisk(i, disk.Backing(spec.Datastore, spec.diskFile(dir, i)), disk.Bytes))
	}
	vhardware.Attach(devices)
	for i, net := range spec.Networks {
		devices = append(devices, vhardware.NewNIC(int32(i), net, s.MACs.Take(), spec.On))
	}
	vm.Network = s.NetworksOf(devices)
	s.FillConfig(vm, spec, dsfiles.Path(spec.Datastore.Name, vmx), devices)
	s.FillRuntime(vm, spec)
	s.Disks.RefreshFiles(vm)
	s.LayerUsers.Add(vm.Self, vm.Config.Hardware.Device)
	s.Link(ctx, vm, spec.Folder)
	return vm, nil
}

// diskFile is the descriptor of the i-th disk.
func (spec *VMSpec) diskFile(dir string, i int) string {
	if i == 0 {
		return path.Join(dir, spec.Name+".vmdk")
	}
	return path.Join(dir, fmt.Sprintf("%s_%d.vmdk", spec.Name, i))
}

// writeVM makes the directory and the files of a new VM and returns the directory's
// name.
func writeVM(spec *VMSpec) (string, error) {
	if spec.listed {
		return spec.Name, nil
	}
	dir, err := dsfiles.MakeVMDir(spec.Datastore, spec.Name)
	if err != nil {
		return "", err
	}
	err = disks.WriteVMFiles(spec.Datastore, path.Join(dir, spec.Name+".vmx"))
	spec.Disks = slices.Clone(spec.Disks) // others are made after the same pattern
	for i := range spec.Disks {
		spec.Disks[i].UUID = ids.NewUUID(0x60)
		layer := dsfiles.Layer{Capacity: spec.Disks[i].Bytes, UUID: spec.Disks[i].UUID}
		err = errors.Join(err, dsfiles.WriteDisk(spec.Datastore, spec.diskFile(dir, i), layer))
	}
	return dir, err
}

// FillConfig writes the configuration of a new VM.
func (s *Inventory) FillConfig(vm *simulator.VirtualMachine, spec VMSpec, vmx string, devices []types.BaseVirtualDevice) {
	now := time.Now()
	dir := path.Dir(vmx)
	shares := types.DefaultResourceConfigSpec()
	vm.Name = spec.Name
	vm.Config = &types.VirtualMachineConfigInfo{
		ChangeVersion: fmt.Sprint(now.UnixNano()),
		Modified:      now,
		CreateDate:    &now,
		Name:          spec.Name,
		GuestFullName: "Debian GNU/Linux 12 (64-bit)",
		GuestId:       string(types.VirtualMachineGuestOsIdentifierDebian12_64Guest),
		Version:       cmp.Or(spec.Hardware, "vmx-21"),
		Firmware:      string(types.GuestOsDescriptorFirmwareTypeBios),
		Uuid:          ids.NewUUID(0x42),
		InstanceUuid:  ids.NewUUID(0x50),
		Template:      spec.Template,
		Files: types.VirtualMachineFileInfo{
			VmPathName: vmx, SnapshotDirectory: dir + "/", SuspendDirectory: dir + "/", LogDirectory: dir + "/",
		},
		Tools: &types.ToolsConfigInfo{ToolsVersion: 2147483647, ToolsInstallType: "guestToolsTypeOpenVMTools"},
		Hardware: types.VirtualHardware{
			NumCPU: spec.CPUs, NumCoresPerSocket: types.NewInt32(1), MemoryMB: spec.MemoryMB, Device: devices,
		},
		CpuAllocation:         &shares.CpuAllocation,
		MemoryAllocation:      &shares.MemoryAllocation,
		LatencySensitivity:    &types.LatencySensitivity{Level: types.LatencySensitivitySensitivityLevelNormal},
		BootOptions:           &types.VirtualMachineBootOptions{},
		ExtraConfig:           spec.Extra,
		ChangeTrackingEnabled: types.NewBool(false),
	}
	vm.Capability.ChangeTrackingSupported = true
	vm.Summary.Config = types.VirtualMachineConfigSummary{
		Name: spec.Name, Template: spec.Template, VmPathName: vmx, MemorySizeMB: spec.MemoryMB, NumCpu: spec.CPUs,
		NumEthernetCards: int32(len(spec.Networks)), NumVirtualDisks: int32(len(spec.Disks)),
		Uuid: vm.Config.Uuid, InstanceUuid: vm.Config.InstanceUuid,
		GuestId: vm.Config.GuestId, GuestFullName: vm.Config.GuestFullName, HwVersion: vm.Config.Version,
	}
	vm.Datastore = []types.ManagedObjectReference{spec.Datastore.Self}
}

// FillRuntime writes what there is of a new VM besides.
func (s *Inventory) FillRuntime(vm *simulator.VirtualMachine, spec VMSpec) {
	host := spec.Host
	vm.Runtime = types.VirtualMachineRuntimeInfo{
		Host:                &host,
		ConnectionState:     types.VirtualMachineConnectionStateConnected,
		PowerState:          types.VirtualMachinePowerStatePoweredOff,
		InstantCloneFrozen:  types.NewBool(false),
		FaultToleranceState: types.VirtualMachineFaultToleranceStateNotConfigured,
		RecordReplayState:   types.VirtualMachineRecordReplayStateInactive,
	}
	if s.HasVMFork() {
		vm.Runtime.QuiescedForkParent = types.NewBool(false)
	}
	if !spec.Template {
		pool := spec.Pool
		vm.ResourcePool = &pool
	}
	if spec.On {
		now := time.Now()
		vm.Runtime.PowerState, vm.Runtime.BootTime = types.VirtualMachinePowerStatePoweredOn, &now
	}
	vm.Summary.Runtime = vm.Runtime
	vm.Summary.Vm = &vm.Self
	vm.Guest = guests.Off()
	vm.Summary.Guest = guests.Summary(vm.Guest)
	vm.Summary.OverallStatus = types.ManagedEntityStatusGreen
	vm.Summary.QuickStats.GuestHeartbeatStatus = types.ManagedEntityStatusGray
	vm.GuestHeartbeatStatus = types.ManagedEntityStatusGray
	if cr, ok := s.ComputeOf(host); ok {
		switch c := s.Reg.Get(cr).(type) {
		case *simulator.ClusterComputeResource:
			vm.EnvironmentBrowser = *c.EnvironmentBrowser
		case *mo.ComputeResource:
			vm.EnvironmentBrowser = *c.EnvironmentBrowser
		}
	}
}

// Link puts a finished VM in the inventory: folder, host, pool, datastores and
// networks know it from here on.
func (s *Inventory) Link(ctx *simulator.Context, vm *simulator.VirtualMachine, folder types.ManagedObjectReference) {
	host := s.HostOf(vm)
	s.Clusters.FillFeatures(vm, host)
	s.Reg.AppendReference(ctx, host, &host.Vm, vm.Self)
	if vm.ResourcePool != nil {
		pool := s.Reg.Get(*vm.ResourcePool)
		s.Reg.AppendReference(ctx, pool, lookup.PoolVMs(pool), vm.Self)
	}
	for _, ref := range vm.Datastore {
		ds := s.Reg.Get(ref).(*simulator.Datastore)
		s.Reg.AppendReference(ctx, ds, &ds.Vm, vm.Self)
	}
	for _, ref := range vm.Network {
		if net := s.Reg.Get(ref); lookup.NetworkVMs(net) != nil {
			s.Reg.AppendReference(ctx, net, lookup.NetworkVMs(net), vm.Self)
		}
	}
	s.Arrive(ctx, vm, s.Reg.Get(folder).(*simulator.Folder))
}
