// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package leases

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/certs"
	"vforge.vsphere/simulator/internal/clones"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/hardware"
	"vforge.vsphere/simulator/internal/inventory"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/ovfmanager"
	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vhardware"
	"vforge.vsphere/simulator/internal/wire"
)

// ImportVApp makes a VM that waits for its files, and returns the lease that it comes with.
func (sh *PoolCalls) ImportVApp(ctx *simulator.Context, req *types.ImportVApp) soap.HasFault {
	s := sh.S
	p, fault := s.planImport(ctx, req)
	if fault != nil {
		return &methods.ImportVAppBody{Fault_: faults.SOAP(fault)}
	}
	l := s.startImport(ctx, req.This)
	bg := core.Detached(ctx)
	go s.runImport(bg, l, p)
	return &methods.ImportVAppBody{Res: &types.ImportVAppResponse{Returnval: l.Self}}
}

// startImport begins the task of an import and its lease.
func (s *Leases) startImport(ctx *simulator.Context, pool types.ManagedObjectReference) *Lease {
	task := s.Tasks.New(ctx, pool, "ImportVAppLRO", false)
	bg := s.Background(ctx.Session.UserName)
	s.Tasks.Start(bg, task)
	l := s.newLease(ctx, task)
	if s.table.mayCancel() {
		l.cancelable = true
		s.Reg.AtomicUpdate(bg, task, []types.PropertyChange{{Name: "info.cancelable", Val: true}})
	}
	return l
}

// FailingImport makes the lease of an import that fails.
func (s *Leases) FailingImport(call *wire.Call, fault types.BaseMethodFault) types.ManagedObjectReference {
	ctx := s.Background(call.Session.User)
	ctx.Session.Key = call.Session.Key
	l := s.startImport(ctx, call.This)
	go l.fail(fault)
	return l.Self
}

// importPlan is an import that passed the rules of the call.
type importPlan struct {
	spec      *types.VirtualMachineConfigSpec
	name      string
	folder    *simulator.Folder
	pool      mo.Reference
	host      *simulator.HostSystem
	datastore *simulator.Datastore
}

// planImport applies the rules whose breach is a fault of the call.
func (s *Leases) planImport(ctx *simulator.Context, req *types.ImportVApp) (*importPlan, types.BaseMethodFault) {
	spec, ok := req.Spec.(*types.VirtualMachineImportSpec)
	if !ok {
		return nil, &types.NotSupported{} // vApps are not simulated
	}
	config := &spec.ConfigSpec
	p := &importPlan{spec: config, name: naming.Escape(config.Name), pool: s.Reg.Get(req.This)}
	for _, check := range []func() types.BaseMethodFault{
		func() types.BaseMethodFault { return checkImportSpec(config) },
		func() types.BaseMethodFault { return s.Policies.Unknown(config.DeviceChange) },
		func() types.BaseMethodFault { return s.importFolder(p, req.Folder) },
		func() types.BaseMethodFault { return s.importHost(p, req.Host) },
		func() types.BaseMethodFault { return s.importDatastore(p) },
		func() types.BaseMethodFault { return s.importDenied(ctx, p) },
	} {
		if fault := check(); fault != nil {
			return nil, fault
		}
	}
	return p, nil
}

func checkImportSpec(config *types.VirtualMachineConfigSpec) types.BaseMethodFault {
	switch {
	case config.Name == "":
		return faults.Invalid("spec.configSpec.name")
	case len(naming.Escape(config.Name)) > vhardware.MaxNameBytes:
		return &types.InvalidName{Name: config.Name}
	case config.Files == nil || config.Files.VmPathName == "":
		return faults.Invalid("spec.configSpec.files.vmPathName")
	}
	if _, vmx := dsfiles.Split(config.Files.VmPathName); vmx != "" {
		if path.Ext(vmx) != ".vmx" || path.Dir(vmx) == "." || !fs.ValidPath(vmx) {
			return &types.InvalidDatastorePath{DatastorePath: config.Files.VmPathName}
		}
	}
	return vhardware.CheckConfigSpec(config)
}

func (s *Leases) importFolder(p *importPlan, ref *types.ManagedObjectReference) types.BaseMethodFault {
	dc, ok := s.Ancestor(p.pool.Reference(), "Datacenter").(*simulator.Datacenter)
	if !ok {
		return faults.Invalid("folder")
	}
	if ref == nil {
		ref = &dc.VmFolder
	}
	folder, ok := s.Reg.Get(*ref).(*simulator.Folder)
	if !ok {
		return &types.ManagedObjectNotFound{Obj: *ref}
	}
	if s.DatacenterOf(*ref) != dc.Self || !clones.HoldsVMs(folder) {
		return faults.Invalid("folder")
	}
	p.folder = folder
	return nil
}

// importHost finds the host: the one asked for, or one of the pool's that sees the
// datastore.
func (s *Leases) importHost(p *importPlan, ref *types.ManagedObjectReference) types.BaseMethodFault {
	if ref == nil && !s.PlacedByDRS(p.pool.Reference()) {
		return faults.Invalid("host")
	}
	if ref == nil {
		name, _ := dsfiles.Split(p.spec.Files.VmPathName)
		cr, _ := s.ComputeOf(p.pool.Reference())
		p.host = s.LeastHost(cr, func(h *simulator.HostSystem) bool { return s.hostDatastore(h, name) != nil })
		if p.host != nil {
			return nil
		}
		if s.LeastHost(cr, func(*simulator.HostSystem) bool { return true }) == nil {
			return &types.NoCompatibleHost{}
		}
		return &types.InvalidDatastorePath{InvalidDatastore: types.InvalidDatastore{Name: name}, DatastorePath: p.spec.Files.VmPathName}
	}
	if p.host = s.Host(*ref); p.host == nil {
		return &types.ManagedObjectNotFound{Obj: *ref}
	}
	if !s.SameCompute(*ref, p.pool.Reference()) {
		return faults.Invalid("host")
	}
	return core.HostFault(p.host)
}

func (s *Leases) importDatastore(p *importPlan) types.BaseMethodFault {
	name, _ := dsfiles.Split(p.spec.Files.VmPathName)
	if p.datastore = s.hostDatastore(p.host, name); p.datastore == nil {
		return &types.InvalidDatastorePath{InvalidDatastore: types.InvalidDatastore{Name: name}, DatastorePath: p.spec.Files.VmPathName}
	}
	return nil
}

// hostDatastore finds a datastore of a host by its name.
func (s *Leases) hostDatastore(host *simulator.HostSystem, name string) *simulator.Datastore {
	for _, ref := range host.Datastore {
		if ds, ok := s.Reg.Get(ref).(*simulator.Datastore); ok && ds.Name == name {
			return ds
		}
	}
	return nil
}

// importDenied checks the privileges on the places of an import; the one on the pool is
// checked before.
func (s *Leases) importDenied(ctx *simulator.Context, p *importPlan) types.BaseMethodFault {
	fault := s.Lacking(ctx,
		core.NeedOn(p.folder.Self, "VApp.Import"),
		core.NeedOn(p.folder.Self, "VirtualMachine.Inventory.Create"),
		core.NeedOn(p.datastore.Self, core.AllocateSpace),
		core.NeedOn(p.pool.Reference(), "Resource.AssignVMToPool"),
	)
	if fault != nil {
		return fault
	}
	return s.Hardware.AssignDenied(ctx, p.host, nil, p.spec.DeviceChange)
}

// runImport makes the VM and opens its lease. The name is taken from the beginning.
func (s *Leases) runImport(ctx *simulator.Context, l *Lease, p *importPlan) {
	key := naming.Child{Folder: p.folder.Self, Name: p.name}
	s.Creating.Lock()
	holder := s.Holder(key.Folder, key.Name)
	if holder == nil && !l.ended() {
		l.name, l.coming = key, s.AnnounceVM(ctx, key, l.task.Self)
	}
	s.Creating.Unlock()
	if holder != nil {
		l.fail(&types.DuplicateName{Name: p.name, Object: *holder})
		return
	}
	select {
	case <-time.After(s.Cfg.CloneTime):
	case <-l.gone:
	}
	if fault := s.openImport(ctx, l, p); fault != nil {
		l.fail(fault)
	}
}

// openImport makes the VM of an import and opens its lease, unless that is over already.
func (s *Leases) openImport(ctx *simulator.Context, l *Lease, p *importPlan) types.BaseMethodFault {
	s.Creating.Lock()
	defer s.Creating.Unlock()
	defer s.Withdraw(ctx, l.name, l.coming)
	if s.Closed || l.ended() {
		return nil
	}
	vm, fault := s.importVM(ctx, l, p)
	if fault != nil {
		return fault
	}
	l.mu.Lock()
	l.vm, l.host = vm.Self, p.host.Self
	l.mu.Unlock()
	s.Inventory.Link(ctx, vm, p.folder.Self)
	info, err := l.info(p)
	if err != nil {
		log.Printf("vforge-sim: import of %s: %v", p.name, err)
		return &types.SystemError{Reason: err.Error()}
	}
	ctx.WithLock(vm, func() {
		ctx.Update(vm, []types.PropertyChange{{Name: "recentTask", Val: append(vm.RecentTask, l.task.Self)}})
		s.Post(ctx, &types.VmCreatedEvent{VmEvent: s.VMEvent(vm)})
	})
	l.ready(info)
	return nil
}

// importVM makes the VM of an import, with disks that wait for their content, or leaves
// nothing of it.
func (s *Leases) importVM(ctx *simulator.Context, l *Lease, p *importPlan) (*simulator.VirtualMachine, types.BaseMethodFault) {
	if fault := s.Hardware.VersionFault(p.host, p.spec.Version); fault != nil {
		return nil, fault
	}
	vm := &simulator.VirtualMachine{DataSets: make(map[string]*simulator.DataSet)}
	vm.Self = l.coming
	_, vmx := dsfiles.Split(p.spec.Files.VmPathName)
	home, err := disks.NewHome(p.datastore, p.name, vmx)
	if errors.Is(err, os.ErrExist) {
		return nil, &types.FileAlreadyExists{FileFault: types.FileFault{File: p.spec.Files.VmPathName}}
	}
	if err != nil {
		log.Printf("vforge-sim: import of %s: %v", p.name, err)
		return nil, &types.FileFault{File: p.name}
	}
	h := s.Hardware.NewChange(hardware.Change{Host: p.host, Home: home, Fresh: true, Devices: vhardware.BoardDevices()})
	fault := h.Make(p.spec.DeviceChange)
	if fault == nil {
		pool := p.pool.Reference()
		s.Inventory.FillConfig(vm, inventory.VMSpec{Name: p.name, Datastore: p.datastore, CPUs: 1, MemoryMB: 128}, dsfiles.Path(p.datastore.Name, home.VMX()), h.Devices)
		s.Inventory.FillRuntime(vm, inventory.VMSpec{Name: p.name, Host: p.host.Self, Pool: pool})
		vm.Config.ExtraConfig = vhardware.MergeExtra(nil, p.spec.ExtraConfig)
		fault = vhardware.ApplyConfig(vm, p.spec)
	}
	if fault != nil {
		home.Remove()
		return nil, fault
	}
	vm.Network = s.NetworksOf(h.Devices)
	vm.Datastore = s.DatastoresOf(p.datastore, h.Devices)
	vhardware.Summarize(vm)
	s.Disks.RefreshFiles(vm)
	forgetSizes(vm, h.Pending)
	s.LayerUsers.Add(vm.Self, h.Devices)
	s.Policies.Note(vm.Self, p.spec.DeviceChange, h.Keys)
	l.expect(p, vm, h)
	return vm, nil
}

// forgetSizes leaves in the layout of a VM the sizes that its disks have before anything is
// sent. vCenter reads them again late by itself, and at once for RefreshStorageInfo.
func forgetSizes(vm *simulator.VirtualMachine, pending map[int32]bool) {
	for _, disk := range vm.LayoutEx.Disk {
		if !pending[disk.Key] {
			continue
		}
		for _, unit := range disk.Chain {
			for _, key := range unit.FileKey {
				vm.LayoutEx.File[key].Size, vm.LayoutEx.File[key].UniqueSize = 0, 0
			}
		}
	}
}

// expect lists the files that the VM's devices wait for.
func (l *Lease) expect(p *importPlan, vm *simulator.VirtualMachine, h *hardware.Change) {
	for _, d := range h.Devices {
		key := ovfmanager.ImportKey(p.name, h.Devices, d)
		f := &File{
			device: d.GetVirtualDevice().Key, importKey: key,
			key: "/" + vm.Self.Value + key[strings.LastIndex(key, "/"):],
		}
		switch dev := d.(type) {
		case *types.VirtualDisk:
			if !h.Pending[dev.Key] {
				continue
			}
			f.disk, f.backing, f.capacity = true, dev.Backing.(*vdisk.FlatBacking), dev.CapacityInBytes
			f.name = fmt.Sprintf("disk-%d.vmdk", len(l.order))
			f.needed = l.s.OvfManager.Imports.Needs(p.name, key)
			_, file := dsfiles.Split(f.backing.FileName)
			ds := l.s.Reg.Get(*f.backing.Datastore).(*simulator.Datastore)
			f.path = dsfiles.Local(ds, dsfiles.Extent(file, f.backing.Parent != nil))
		case *types.VirtualCdrom, *types.VirtualFloppy:
			b, ok := dev.GetVirtualDevice().Backing.(types.BaseVirtualDeviceFileBackingInfo)
			if !ok {
				continue
			}
			name, file := dsfiles.Split(b.GetVirtualDeviceFileBackingInfo().FileName)
			ds := l.s.hostDatastore(p.host, name)
			if ds == nil || file == "" {
				continue
			}
			f.create, f.needed, f.name, f.path = true, 1, path.Base(file), dsfiles.Local(ds, file)
		default:
			continue
		}
		l.files[f.name] = f
		l.order = append(l.order, f)
	}
	l.expectNvram(p, vm)
}

// expectNvram lists the file for the VM's BIOS settings. Releases before 6.7 name it among
// the files of an import, and have no place for it.
func (l *Lease) expectNvram(p *importPlan, vm *simulator.VirtualMachine) {
	key := ovfmanager.NVRAMKey(p.name)
	if apiversion.Less(l.s.Cfg.APIVersion, ovfmanager.NVRAMSince) || !l.s.OvfManager.Imports.Stores(p.name, key) {
		return
	}
	_, file := dsfiles.Split(strings.TrimSuffix(vm.Config.Files.VmPathName, ".vmx") + ".nvram")
	f := &File{
		name: "nvram", key: "/" + vm.Self.Value + "/nvram", importKey: key, create: true, needed: 1,
		path: dsfiles.Local(p.datastore, file),
	}
	l.files[f.name] = f
	l.order = append(l.order, f)
}

// info is what a lease that is ready tells.
func (l *Lease) info(p *importPlan) (*types.HttpNfcLeaseInfo, error) {
	address, thumb, err := l.s.transferAddress(p.host)
	if err != nil {
		return nil, err
	}
	info := &types.HttpNfcLeaseInfo{Lease: l.Self, Entity: l.vm, LeaseTimeout: int32(max(1, l.s.Cfg.LeaseTimeout.Seconds()))}
	for _, f := range l.order {
		info.DeviceUrl = append(info.DeviceUrl, types.HttpNfcLeaseDeviceUrl{
			Key: f.key, ImportKey: f.importKey, Url: "https://" + address + "/nfc/" + l.token + "/" + f.name,
			SslThumbprint: thumb, Disk: types.NewBool(f.disk), TargetId: f.name, DatastoreKey: p.datastore.Summary.Url,
		})
		info.TotalDiskCapacityInKB += f.capacity / 1024
	}
	info.HostMap = []types.HttpNfcLeaseDatastoreLeaseInfo{{
		DatastoreKey: p.datastore.Summary.Url,
		Hosts:        []types.HttpNfcLeaseHostInfo{{Url: "https://" + address + "/nfc/" + l.token + "/", SslThumbprint: thumb}},
	}}
	return info, nil
}

// transferAddress is where uploads go: to the host, or with "*" to the server that was asked
// when a test wants that; and the certificate that is there.
func (s *Leases) transferAddress(host *simulator.HostSystem) (address, thumb string, err error) {
	if s.table.relayed() {
		return "*", certs.SHA1Thumbprint(s.Identity.Leaf.Certificate[0]), nil
	}
	address, err = s.Hosts.Address(host)
	return address, host.Summary.Config.SslThumbprint, err
}
