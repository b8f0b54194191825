// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vms

import (
	"cmp"
	"errors"
	"io/fs"
	"log"
	"os"
	"path"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/datastores"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/hardware"
	"vforge.vsphere/simulator/internal/inventory"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vhardware"
)

// creation is a VM that is to be made by CreateVM_Task.
type creation struct {
	spec      *types.VirtualMachineConfigSpec
	name      string // as it is kept
	folder    types.ManagedObjectReference
	pool      types.ManagedObjectReference
	host      *simulator.HostSystem
	datastore *simulator.Datastore
}

// CreateVMTask makes a VM, or leaves nothing of it. vcsim gives one whose name has escapes each of its devices twice, and leaves
// the files of one that it could not make; only the settings that it alone knows are left to it.
func (sh *folderShim) CreateVMTask(ctx *simulator.Context, req *types.CreateVM_Task) soap.HasFault {
	s := sh.S
	if fault := s.Hardware.CreateDenied(ctx, req); fault != nil {
		return &methods.CreateVM_TaskBody{Fault_: faults.SOAP(fault)}
	}
	c, fault := s.plan(req)
	if fault == nil && vhardware.UnknownConfig(&req.Config) != "" {
		if fault = s.taken(c.folder, c.name); fault == nil {
			return s.createByVcsim(ctx, req)
		}
	}
	if fault != nil {
		return &methods.CreateVM_TaskBody{Res: &types.CreateVM_TaskResponse{Returnval: s.Tasks.Failed(ctx, req.This, "createVm", fault)}}
	}
	task := s.Tasks.Run(ctx, req.This, "createVm", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		vm, fault := s.create(ctx, c)
		if fault != nil {
			return nil, fault
		}
		return vm.Self, nil
	})
	return &methods.CreateVM_TaskBody{Res: &types.CreateVM_TaskResponse{Returnval: task}}
}

func (s *VMs) createByVcsim(ctx *simulator.Context, req *types.CreateVM_Task) (res soap.HasFault) {
	f := s.Reg.Get(req.This).(*simulator.Folder)
	req.Config.Name = naming.Unescape(req.Config.Name)
	s.sizeAttached(req.This, req.Config.DeviceChange)
	ctx.WithLock(f, func() { res = f.CreateVMTask(ctx, req) })
	return res
}

// plan applies the rules that need no file.
func (s *VMs) plan(req *types.CreateVM_Task) (*creation, types.BaseMethodFault) {
	c := &creation{spec: &req.Config, name: naming.Escape(req.Config.Name), folder: req.This, pool: req.Pool}
	switch {
	case req.Config.Name == "":
		return nil, &types.InvalidVmConfig{Property: "configSpec.name"}
	case len(c.name) > vhardware.MaxNameBytes:
		return nil, &types.InvalidName{Name: req.Config.Name}
	case req.Config.Files == nil || req.Config.Files.VmPathName == "":
		return nil, &types.InvalidVmConfig{Property: "configSpec.files.vmPathName"}
	}
	if _, file := dsfiles.Split(req.Config.Files.VmPathName); file != "" && !fs.ValidPath(path.Clean(file)) {
		return nil, &types.InvalidDatastorePath{DatastorePath: req.Config.Files.VmPathName}
	}
	for _, check := range []func() types.BaseMethodFault{
		func() types.BaseMethodFault { return vhardware.CheckConfigSpec(c.spec) },
		func() types.BaseMethodFault { return s.Policies.Unknown(c.spec.DeviceChange) },
		func() types.BaseMethodFault { return s.placeNew(c, req.Host) },
		func() types.BaseMethodFault { return s.Hardware.VersionFault(c.host, c.spec.Version) },
	} {
		if fault := check(); fault != nil {
			return nil, fault
		}
	}
	return c, nil
}

// placeNew finds the datastore of a new VM, and its host: the one that is asked for, or one of the pool's that sees the datastore.
func (s *VMs) placeNew(c *creation, ref *types.ManagedObjectReference) types.BaseMethodFault {
	name, _ := dsfiles.Split(c.spec.Files.VmPathName)
	dc := s.DatacenterOf(c.folder)
	if c.datastore = s.Datastores.DatastoreIn(&dc, c.spec.Files.VmPathName); c.datastore == nil {
		return &types.InvalidDatastorePath{InvalidDatastore: types.InvalidDatastore{Name: name}, DatastorePath: c.spec.Files.VmPathName}
	}
	sees := func(h *simulator.HostSystem) bool {
		for _, ds := range h.Datastore {
			if ds == c.datastore.Self {
				return true
			}
		}
		return false
	}
	cr, ok := s.ComputeOf(c.pool)
	if !ok {
		return &types.ManagedObjectNotFound{Obj: c.pool}
	}
	if ref == nil {
		if c.host = s.LeastHost(cr, sees); c.host == nil {
			return &types.NoCompatibleHost{}
		}
		return nil
	}
	switch c.host = s.Host(*ref); {
	case c.host == nil:
		return &types.ManagedObjectNotFound{Obj: *ref}
	case !s.SameCompute(*ref, c.pool):
		return faults.Invalid("host")
	case !sees(c.host):
		return &types.InvalidDatastorePath{InvalidDatastore: types.InvalidDatastore{Name: name}, DatastorePath: c.spec.Files.VmPathName}
	}
	return core.HostFault(c.host)
}

func (s *VMs) taken(folder types.ManagedObjectReference, name string) types.BaseMethodFault {
	if holder := s.Holder(folder, name); holder != nil {
		return &types.DuplicateName{Name: name, Object: *holder}
	}
	return nil
}

// create makes the VM with its files and puts it in the inventory.
func (s *VMs) create(ctx *simulator.Context, c *creation) (*simulator.VirtualMachine, types.BaseMethodFault) {
	s.Creating.Lock()
	defer s.Creating.Unlock()
	if s.Closed {
		return nil, &types.RequestCanceled{}
	}
	if fault := s.taken(c.folder, c.name); fault != nil {
		return nil, fault
	}
	if fault := s.attachable(c); fault != nil {
		return nil, fault
	}
	home, fault := newHome(c)
	if fault != nil {
		return nil, fault
	}
	vm := &simulator.VirtualMachine{DataSets: make(map[string]*simulator.DataSet)}
	h := s.Hardware.NewChange(hardware.Change{Host: c.host, Home: home, Fresh: true, Devices: vhardware.BoardDevices()})
	if fault = h.Make(c.spec.DeviceChange); fault == nil {
		s.configureNew(vm, c, home, h)
		fault = vhardware.ApplyConfig(vm, c.spec)
	}
	if fault != nil {
		home.Remove()
		return nil, fault
	}
	s.Reg.NewEntity(vm)
	vm.Network = s.NetworksOf(h.Devices)
	vm.Datastore = s.DatastoresOf(c.datastore, h.Devices)
	vhardware.Summarize(vm)
	s.Disks.RefreshFiles(vm)
	s.LayerUsers.Add(vm.Self, h.Devices)
	s.Policies.Note(vm.Self, c.spec.DeviceChange, h.Keys)
	s.Inventory.Link(ctx, vm, c.folder)
	e := s.VMEvent(vm)
	s.Post(ctx, &types.VmBeingCreatedEvent{VmEvent: e, ConfigSpec: c.spec}, &types.VmCreatedEvent{VmEvent: e})
	return vm, nil
}

// configureNew writes what a VM has before its settings are laid over that.
func (s *VMs) configureNew(vm *simulator.VirtualMachine, c *creation, home *disks.Home, h *hardware.Change) {
	spec := inventory.VMSpec{
		Name: c.name, Datastore: c.datastore, Host: c.host.Self, Pool: c.pool, CPUs: 1, MemoryMB: 32,
		Hardware: cmp.Or(c.spec.Version, vhardware.VersionName(apiversion.NewestHardware(s.Cfg.APIVersion))),
	}
	s.Inventory.FillConfig(vm, spec, dsfiles.Path(c.datastore.Name, home.VMX()), h.Devices)
	s.Inventory.FillRuntime(vm, spec)
	other := string(types.VirtualMachineGuestOsIdentifierOtherGuest)
	vm.Config.GuestId, vm.Config.GuestFullName = other, other
	vm.Config.ExtraConfig = vhardware.MergeExtra(nil, c.spec.ExtraConfig)
}

// attachable refuses disks that are not there.
func (s *VMs) attachable(c *creation) types.BaseMethodFault {
	dc := s.DatacenterOf(c.folder)
	for _, change := range c.spec.DeviceChange {
		spec := change.GetVirtualDeviceConfigSpec()
		disk, ok := spec.Device.(*types.VirtualDisk)
		if !ok || spec.Operation != types.VirtualDeviceConfigSpecOperationAdd || spec.FileOperation != "" {
			continue
		}
		backing, ok := disk.Backing.(*vdisk.FlatBacking)
		if !ok || backing.FileName == "" {
			continue
		}
		ds := s.Datastores.DatastoreIn(&dc, backing.FileName)
		if ds == nil {
			continue // the change of devices says what is wrong with it
		}
		_, file := dsfiles.Split(backing.FileName)
		if !dsfiles.Exists(dsfiles.Local(ds, datastores.ListedAs(ds, file))) {
			return &types.FileNotFound{FileFault: types.FileFault{File: backing.FileName}}
		}
	}
	return nil
}

// newHome makes the directory of a new VM: the one that is named, with a number while it is taken where it alone is.
func newHome(c *creation) (*disks.Home, types.BaseMethodFault) {
	_, vmx := dsfiles.Split(c.spec.Files.VmPathName)
	if vmx != "" && path.Ext(vmx) != ".vmx" {
		vmx = path.Join(dsfiles.FreeDir(c.datastore, path.Clean(vmx)), c.name+".vmx")
	}
	home, err := disks.NewHome(c.datastore, c.name, vmx)
	switch {
	case errors.Is(err, os.ErrExist):
		return nil, &types.FileAlreadyExists{FileFault: types.FileFault{File: c.spec.Files.VmPathName}}
	case err != nil:
		log.Printf("vforge-sim: making %s: %v", c.name, err)
		return nil, &types.FileFault{File: c.spec.Files.VmPathName}
	}
	return home, nil
}
