// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/ids"
	"vforge.vsphere/simulator/internal/lookup"
	"vforge.vsphere/simulator/internal/vhardware"
)

// gib is 2^30 bytes.
const gib = int64(1) << 30

// vmSpec is what is chosen about a VM that is registered directly, without a task
// and without the ten millisecond polls of vcsim's own creation.
type vmSpec struct {
	name      string // escaped already
	folder    types.ManagedObjectReference
	pool      types.ManagedObjectReference
	host      types.ManagedObjectReference
	datastore *simulator.Datastore
	networks  []lookup.Network
	on        bool
	template  bool
	memoryMB  int32
	cpus      int32
	disks     []vhardware.DiskSpec
	hardware  string // empty: a new one
	extra     []types.BaseOptionValue
	// listed VMs have files in their layout only: fifty thousand real ones would take
	// longer than all the rest of a large inventory.
	listed bool
}

// addVM makes a VM with its files and puts it in the inventory.
func (s *Sim) addVM(ctx *simulator.Context, spec vmSpec) (*simulator.VirtualMachine, error) {
	vm := &simulator.VirtualMachine{DataSets: make(map[string]*simulator.DataSet)}
	s.reg.NewEntity(vm)
	dir, err := writeVM(&spec)
	if err != nil {
		return nil, err
	}
	vmx := path.Join(dir, spec.name+".vmx")
	devices := vhardware.BaseDevices()
	for i, disk := range spec.disks {
		devices = append(devices, vhardware.NewDisk(i, disk.Backing(spec.datastore, spec.diskFile(dir, i)), disk.Bytes))
	}
	vhardware.Attach(devices)
	for i, net := range spec.networks {
		devices = append(devices, vhardware.NewNIC(int32(i), net, s.macs.Take(), spec.on))
	}
	vm.Network = s.NetworksOf(devices)
	s.fillConfig(vm, spec, dsfiles.Path(spec.datastore.Name, vmx), devices)
	s.fillRuntime(vm, spec)
	s.refreshFiles(vm)
	s.layers.Add(vm.Self, vm.Config.Hardware.Device)
	s.link(ctx, vm, spec.folder)
	return vm, nil
}

// diskFile is the descriptor of the i-th disk.
func (spec *vmSpec) diskFile(dir string, i int) string {
	if i == 0 {
		return path.Join(dir, spec.name+".vmdk")
	}
	return path.Join(dir, fmt.Sprintf("%s_%d.vmdk", spec.name, i))
}

// writeVM makes the directory and the files of a new VM and returns the directory's
// name.
func writeVM(spec *vmSpec) (string, error) {
	if spec.listed {
		return spec.name, nil
	}
	dir, err := dsfiles.MakeVMDir(spec.datastore, spec.name)
	if err != nil {
		return "", err
	}
	err = writeVMFiles(spec.datastore, path.Join(dir, spec.name+".vmx"))
	spec.disks = slices.Clone(spec.disks) // others are made after the same pattern
	for i := range spec.disks {
		spec.disks[i].UUID = ids.NewUUID(0x60)
		layer := dsfiles.Layer{Capacity: spec.disks[i].Bytes, UUID: spec.disks[i].UUID}
		err = errors.Join(err, dsfiles.WriteDisk(spec.datastore, spec.diskFile(dir, i), layer))
	}
	return dir, err
}

// writeVMFiles makes the small files of a VM: configuration, NVRAM and log.
func writeVMFiles(ds *simulator.Datastore, vmx string) error {
	base := vmx[:len(vmx)-len(path.Ext(vmx))]
	files := []struct{ name, text string }{
		{vmx, ".encoding = \"UTF-8\"\n"},
		{base + ".nvram", ""},
		{path.Join(path.Dir(vmx), "vmware.log"), fmt.Sprintf("%s vmx created\n", time.Now().UTC().Format(time.RFC3339))},
	}
	for _, f := range files {
		if err := os.WriteFile(dsfiles.Local(ds, f.name), []byte(f.text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// fillConfig writes the configuration of a new VM.
func (s *Sim) fillConfig(vm *simulator.VirtualMachine, spec vmSpec, vmx string, devices []types.BaseVirtualDevice) {
	now := time.Now()
	dir := path.Dir(vmx)
	shares := types.DefaultResourceConfigSpec()
	vm.Name = spec.name
	vm.Config = &types.VirtualMachineConfigInfo{
		ChangeVersion: fmt.Sprint(now.UnixNano()),
		Modified:      now,
		CreateDate:    &now,
		Name:          spec.name,
		GuestFullName: "Debian GNU/Linux 12 (64-bit)",
		GuestId:       string(types.VirtualMachineGuestOsIdentifierDebian12_64Guest),
		Version:       cmp.Or(spec.hardware, "vmx-21"),
		Firmware:      string(types.GuestOsDescriptorFirmwareTypeBios),
		Uuid:          ids.NewUUID(0x42),
		InstanceUuid:  ids.NewUUID(0x50),
		Template:      spec.template,
		Files: types.VirtualMachineFileInfo{
			VmPathName: vmx, SnapshotDirectory: dir + "/", SuspendDirectory: dir + "/", LogDirectory: dir + "/",
		},
		Tools: &types.ToolsConfigInfo{ToolsVersion: 2147483647, ToolsInstallType: "guestToolsTypeOpenVMTools"},
		Hardware: types.VirtualHardware{
			NumCPU: spec.cpus, NumCoresPerSocket: types.NewInt32(1), MemoryMB: spec.memoryMB, Device: devices,
		},
		CpuAllocation:         &shares.CpuAllocation,
		MemoryAllocation:      &shares.MemoryAllocation,
		LatencySensitivity:    &types.LatencySensitivity{Level: types.LatencySensitivitySensitivityLevelNormal},
		BootOptions:           &types.VirtualMachineBootOptions{},
		ExtraConfig:           spec.extra,
		ChangeTrackingEnabled: types.NewBool(false),
	}
	vm.Capability.ChangeTrackingSupported = true
	vm.Summary.Config = types.VirtualMachineConfigSummary{
		Name: spec.name, Template: spec.template, VmPathName: vmx, MemorySizeMB: spec.memoryMB, NumCpu: spec.cpus,
		NumEthernetCards: int32(len(spec.networks)), NumVirtualDisks: int32(len(spec.disks)),
		Uuid: vm.Config.Uuid, InstanceUuid: vm.Config.InstanceUuid,
		GuestId: vm.Config.GuestId, GuestFullName: vm.Config.GuestFullName, HwVersion: vm.Config.Version,
	}
	vm.Datastore = []types.ManagedObjectReference{spec.datastore.Self}
}

// fillRuntime writes what there is of a new VM besides.
func (s *Sim) fillRuntime(vm *simulator.VirtualMachine, spec vmSpec) {
	host := spec.host
	vm.Runtime = types.VirtualMachineRuntimeInfo{
		Host:                &host,
		ConnectionState:     types.VirtualMachineConnectionStateConnected,
		PowerState:          types.VirtualMachinePowerStatePoweredOff,
		InstantCloneFrozen:  types.NewBool(false),
		FaultToleranceState: types.VirtualMachineFaultToleranceStateNotConfigured,
		RecordReplayState:   types.VirtualMachineRecordReplayStateInactive,
	}
	if s.canFork() {
		vm.Runtime.QuiescedForkParent = types.NewBool(false)
	}
	if !spec.template {
		pool := spec.pool
		vm.ResourcePool = &pool
	}
	if spec.on {
		now := time.Now()
		vm.Runtime.PowerState, vm.Runtime.BootTime = types.VirtualMachinePowerStatePoweredOn, &now
	}
	vm.Summary.Runtime = vm.Runtime
	vm.Summary.Vm = &vm.Self
	vm.Guest = guestOff()
	vm.Summary.Guest = summaryGuest(vm.Guest)
	vm.Summary.OverallStatus = types.ManagedEntityStatusGreen
	vm.Summary.QuickStats.GuestHeartbeatStatus = types.ManagedEntityStatusGray
	vm.GuestHeartbeatStatus = types.ManagedEntityStatusGray
	if cr, ok := s.ComputeOf(host); ok {
		switch c := s.reg.Get(cr).(type) {
		case *simulator.ClusterComputeResource:
			vm.EnvironmentBrowser = *c.EnvironmentBrowser
		case *mo.ComputeResource:
			vm.EnvironmentBrowser = *c.EnvironmentBrowser
		}
	}
}

// refreshFiles recomputes what the API says of a VM's files. The caller holds the
// VM's lock, or nobody else knows the VM yet.
func (s *Sim) refreshFiles(vm *simulator.VirtualMachine) {
	if s.filesStale.Get(vm.Self) {
		return
	}
	vm.Layout, vm.LayoutEx = s.layout(vm)
	vm.Storage = s.storage(vm, vm.LayoutEx)
	sum := &types.VirtualMachineStorageSummary{Timestamp: vm.Storage.Timestamp}
	for _, u := range vm.Storage.PerDatastoreUsage {
		sum.Committed += u.Committed
		sum.Uncommitted += u.Uncommitted
		sum.Unshared += u.Unshared
	}
	vm.Summary.Storage = sum
}

// link puts a finished VM in the inventory: folder, host, pool, datastores and
// networks know it from here on.
func (s *Sim) link(ctx *simulator.Context, vm *simulator.VirtualMachine, folder types.ManagedObjectReference) {
	host := s.HostOf(vm)
	s.fillFeatures(vm, host)
	s.reg.AppendReference(ctx, host, &host.Vm, vm.Self)
	if vm.ResourcePool != nil {
		pool := s.reg.Get(*vm.ResourcePool)
		s.reg.AppendReference(ctx, pool, lookup.PoolVMs(pool), vm.Self)
	}
	for _, ref := range vm.Datastore {
		ds := s.reg.Get(ref).(*simulator.Datastore)
		s.reg.AppendReference(ctx, ds, &ds.Vm, vm.Self)
	}
	for _, ref := range vm.Network {
		if net := s.reg.Get(ref); lookup.NetworkVMs(net) != nil {
			s.reg.AppendReference(ctx, net, lookup.NetworkVMs(net), vm.Self)
		}
	}
	s.arrive(ctx, vm, s.reg.Get(folder).(*simulator.Folder))
}
