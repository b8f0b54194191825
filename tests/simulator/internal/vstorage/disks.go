// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vstorage

import (
	"errors"
	"io"
	"log"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vmdk"

	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/fcd"
	"vforge.vsphere/simulator/internal/policies"
	"vforge.vsphere/simulator/internal/shim"
	"vforge.vsphere/simulator/internal/vdisk"
)

// fileManagement is the privilege that a change of a first class disk needs on its datastore.
const fileManagement = "Datastore.FileManagement"

// fcdFolder is where first class disks lie that were given no path.
const fcdFolder = "fcd"

// fcdShim answers for the manager of first class disks. vcsim's own knows no bytes, no faults and half
// of the methods; its tags are used.
type fcdShim struct{ shim.Of[*VStorage] }

// fcdWork is what is done with a disk, under all locks that it takes.
type fcdWork func(ctx *simulator.Context, d *fcd.Disk) (types.AnyType, types.BaseMethodFault)

// fcdDatastore is a datastore on which the caller may change first class disks.
func (s *VStorage) fcdDatastore(ctx *simulator.Context, ref types.ManagedObjectReference) (*simulator.Datastore, types.BaseMethodFault) {
	ds, ok := s.Reg.Get(ref).(*simulator.Datastore)
	if !ok {
		return nil, &types.ManagedObjectNotFound{Obj: ref}
	}
	return ds, s.Auth.Denied(ctx.Session.UserName, ref, fileManagement)
}

// withFCD does something with a disk under the lock of the catalogue, and of the VM that has it.
func (s *VStorage) withFCD(ctx *simulator.Context, ds types.ManagedObjectReference, id string, work fcdWork) (types.AnyType, types.BaseMethodFault) {
	for {
		vm, fault := s.fcdHolder(ds, id)
		if fault != nil {
			return nil, fault
		}
		var result types.AnyType
		again := false
		locked := func() {
			s.Catalogue.Lock()
			defer s.Catalogue.Unlock()
			d := s.Catalogue.Get(ds, id)
			if d == nil {
				fault = &types.NotFound{}
				return
			}
			if again = !sameRef(d.VM, vm); !again {
				result, fault = work(ctx, d)
			}
		}
		if machine := s.fcdVM(vm); machine != nil {
			ctx.WithLock(machine, locked)
		} else {
			locked()
		}
		if !again {
			return result, fault
		}
	}
}

func (s *VStorage) fcdHolder(ds types.ManagedObjectReference, id string) (*types.ManagedObjectReference, types.BaseMethodFault) {
	s.Catalogue.Lock()
	defer s.Catalogue.Unlock()
	if d := s.Catalogue.Get(ds, id); d != nil {
		return d.VM, nil
	}
	return nil, &types.NotFound{}
}

func sameRef(a, b *types.ManagedObjectReference) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

func (s *VStorage) fcdVM(ref *types.ManagedObjectReference) *simulator.VirtualMachine {
	if ref == nil {
		return nil
	}
	return s.VM(*ref)
}

// fcdTask starts a task about one disk. Like vCenter's it is about no object of the inventory.
func (s *VStorage) fcdTask(ctx *simulator.Context, ds types.ManagedObjectReference, id, name string, work fcdWork) (types.ManagedObjectReference, types.BaseMethodFault) {
	if _, fault := s.fcdDatastore(ctx, ds); fault != nil {
		return types.ManagedObjectReference{}, fault
	}
	return s.fcdRun(ctx, name, func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		return s.withFCD(ctx, ds, id, work)
	}), nil
}

func (s *VStorage) fcdRun(ctx *simulator.Context, name string, work func(*simulator.Context) (types.AnyType, types.BaseMethodFault)) types.ManagedObjectReference {
	return s.Tasks.Run(ctx, s.Reg.VStorageObjectManager().Self, name, work)
}

// gone tells if a file of a disk's chain is not there: the disk is listed, and cannot be used.
func (s *VStorage) gone(d *fcd.Disk) bool {
	ds, ok := s.Reg.Get(d.Datastore).(*simulator.Datastore)
	if !ok {
		return true
	}
	_, file := dsfiles.Split(d.Top().FileName)
	return !dsfiles.Exists(dsfiles.Local(ds, file))
}

// Usable refuses a disk whose files are gone, and one that a VM has, for what needs it detached.
func (s *VStorage) Usable(d *fcd.Disk, detached bool) types.BaseMethodFault {
	switch {
	case s.gone(d):
		return &types.NotFound{}
	case detached && d.VM != nil:
		return &types.InvalidState{}
	}
	return nil
}

func (s *VStorage) fcdObject(d *fcd.Disk) types.VStorageObject {
	consumer := ""
	if vm := s.fcdVM(d.VM); vm != nil {
		consumer = vm.Config.InstanceUuid
	}
	return d.Object(consumer)
}

// provisioned are the provisioning types, and what a disk's backing says of each.
var provisioned = map[string][2]bool{
	string(types.BaseConfigInfoDiskFileBackingInfoProvisioningTypeThin):             {true, false},
	string(types.BaseConfigInfoDiskFileBackingInfoProvisioningTypeLazyZeroedThick):  {false, false},
	string(types.BaseConfigInfoDiskFileBackingInfoProvisioningTypeEagerZeroedThick): {false, true},
}

func setProvisioning(b *vdisk.FlatBacking, kind string) {
	b.ThinProvisioned, b.EagerlyScrub = types.NewBool(provisioned[kind][0]), types.NewBool(provisioned[kind][1])
}

// fcdPlace is where a new disk's file goes: the path that is named, or one of its own.
func (s *VStorage) fcdPlace(spec types.BaseVslmCreateSpecBackingSpec) (ds *simulator.Datastore, file, kind string, fault types.BaseMethodFault) {
	disk, ok := spec.(*types.VslmCreateSpecDiskFileBackingSpec)
	if !ok {
		return nil, "", "", faults.Invalid("spec.backingSpec")
	}
	kind = disk.ProvisioningType
	if kind == "" {
		kind = string(types.BaseConfigInfoDiskFileBackingInfoProvisioningTypeThin)
	}
	if _, known := provisioned[kind]; !known {
		return nil, "", "", faults.Invalid("spec.backingSpec.provisioningType")
	}
	ds, ok = s.Reg.Get(disk.Datastore).(*simulator.Datastore)
	if !ok {
		return nil, "", "", &types.InvalidDatastore{Datastore: &disk.Datastore}
	}
	file, fault = s.FileFor(ds, disk.Path)
	return ds, file, kind, fault
}

// FileFor is the file of a new disk, where none is in its way.
func (s *VStorage) FileFor(ds *simulator.Datastore, file string) (string, types.BaseMethodFault) {
	if file == "" {
		return path.Join(fcdFolder, strings.ReplaceAll(uuid.NewString(), "-", "")+".vmdk"), nil
	}
	if path.IsAbs(file) || !strings.HasSuffix(file, ".vmdk") || strings.HasPrefix(path.Clean(file), "..") {
		return "", faults.Invalid("path")
	}
	if dsfiles.Exists(dsfiles.Local(ds, file)) {
		return "", &types.FileAlreadyExists{FileFault: types.FileFault{File: dsfiles.Path(ds.Name, file)}}
	}
	return file, nil
}

// NewDisk puts a disk into the catalogue.
func (s *VStorage) NewDisk(d *fcd.Disk) types.VStorageObject {
	d.ID, d.BackingID, d.Created = uuid.NewString(), uuid.NewString(), time.Now()
	s.Catalogue.Lock()
	defer s.Catalogue.Unlock()
	s.Catalogue.Put(d)
	s.fcdLayers(d)
	return s.fcdObject(d)
}

// fcdLayers records which layers a disk has. The caller holds the catalogue's lock.
func (s *VStorage) fcdLayers(d *fcd.Disk) {
	s.LayerUsers.Release(d.Ref())
	s.LayerUsers.Add(d.Ref(), []types.BaseVirtualDevice{d.Device()})
}

// CreateDiskTask makes an empty disk.
func (sh *fcdShim) CreateDiskTask(ctx *simulator.Context, req *types.CreateDisk_Task) soap.HasFault {
	task, fault := sh.S.createFCD(ctx, &req.Spec)
	if fault != nil {
		return &methods.CreateDisk_TaskBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.CreateDisk_TaskBody{Res: &types.CreateDisk_TaskResponse{Returnval: task}}
}

func (s *VStorage) createFCD(ctx *simulator.Context, spec *types.VslmCreateSpec) (types.ManagedObjectReference, types.BaseMethodFault) {
	none := types.ManagedObjectReference{}
	switch {
	case spec.BackingSpec == nil:
		return none, faults.Invalid("spec.backingSpec")
	case spec.Name == "":
		return none, faults.Invalid("spec.name")
	case spec.CapacityInMB <= 0:
		return none, faults.Invalid("spec.capacityInMB")
	}
	if _, fault := s.fcdDatastore(ctx, spec.BackingSpec.GetVslmCreateSpecBackingSpec().Datastore); fault != nil {
		return none, fault
	}
	return s.fcdRun(ctx, "createDisk", func(*simulator.Context) (types.AnyType, types.BaseMethodFault) {
		ds, file, kind, fault := s.fcdPlace(spec.BackingSpec)
		if fault != nil {
			return nil, fault
		}
		thin := kind == string(types.BaseConfigInfoDiskFileBackingInfoProvisioningTypeThin)
		if fault := s.Datastores.Room(ds, file, spec.CapacityInMB*fcd.MB, thin); fault != nil {
			return nil, fault
		}
		base, err := disks.NewBaseDisk(ds, file, spec.CapacityInMB*fcd.MB)
		if err != nil {
			return nil, fileFault(ds, file, err)
		}
		setProvisioning(base, kind)
		d := &fcd.Disk{
			Name: spec.Name, Datastore: ds.Self, CapacityMB: spec.CapacityInMB, Provisioning: kind,
			Keep: spec.KeepAfterDeleteVm != nil && *spec.KeepAfterDeleteVm, Profile: policies.ProfileOf(spec.Profile),
			Metadata: fcd.Merged(nil, spec.Metadata, nil), Layers: []*vdisk.FlatBacking{base},
		}
		return s.NewDisk(d), nil
	}), nil
}

func fileFault(ds *simulator.Datastore, file string, err error) types.BaseMethodFault {
	name := dsfiles.Path(ds.Name, file)
	if errors.Is(err, os.ErrExist) {
		return &types.FileAlreadyExists{FileFault: types.FileFault{File: name}}
	}
	log.Printf("vforge-sim: %s: %v", name, err)
	return &types.FileFault{File: name}
}

// RegisterDisk makes a first class disk of a file that is there. Its path is a URL.
func (sh *fcdShim) RegisterDisk(ctx *simulator.Context, req *types.RegisterDisk) soap.HasFault {
	made, fault := sh.S.registerFCD(ctx, req.Path, req.Name)
	if fault != nil {
		return &methods.RegisterDiskBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.RegisterDiskBody{Res: &types.RegisterDiskResponse{Returnval: made}}
}

func (s *VStorage) registerFCD(ctx *simulator.Context, address, name string) (made types.VStorageObject, fault types.BaseMethodFault) {
	ds, file, ok := s.folderURL(address)
	if !ok {
		return made, faults.Invalid("path")
	}
	if _, fault := s.fcdDatastore(ctx, ds.Self); fault != nil {
		return made, fault
	}
	full := dsfiles.Path(ds.Name, file)
	f, err := os.Open(dsfiles.Local(ds, file))
	if err != nil {
		return made, &types.FileNotFound{FileFault: types.FileFault{File: full}}
	}
	defer f.Close()
	desc, err := vmdk.ParseDescriptor(io.LimitReader(f, 1<<20))
	if err != nil || desc.Capacity() < fcd.MB || !dsfiles.Exists(dsfiles.Local(ds, dsfiles.Extent(file, false))) {
		return made, &types.FileFault{File: full}
	}
	base := disks.BaseBacking(ds, file)
	if fault := s.registered(base); fault != nil {
		return made, fault
	}
	if name == "" {
		name = strings.TrimSuffix(path.Base(file), ".vmdk")
	}
	return s.NewDisk(&fcd.Disk{
		Name: name, Datastore: ds.Self, CapacityMB: int64(desc.Capacity()) / fcd.MB,
		Provisioning: string(types.BaseConfigInfoDiskFileBackingInfoProvisioningTypeThin), Layers: []*vdisk.FlatBacking{base},
	}), nil
}

// folderURL is the file that a URL below /folder names, as vCenter wants the path of a disk to register.
func (s *VStorage) folderURL(address string) (*simulator.Datastore, string, bool) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, "", false
	}
	file, below := strings.CutPrefix(path.Clean(u.Path), "/folder/")
	ds, known := s.Datastores.DatastoreAsked(u.Query())
	return ds, file, below && known
}

// registered refuses a file that is a first class disk's already, and one that a VM uses.
func (s *VStorage) registered(base *vdisk.FlatBacking) types.BaseMethodFault {
	for _, user := range s.LayerUsers.UsersOf(vdisk.KeyOf(base)) {
		if user.Type != "VirtualMachine" {
			return &types.AlreadyExists{Name: base.FileName}
		}
		return &types.FileLocked{FileFault: types.FileFault{File: base.FileName}}
	}
	return nil
}

// ListVStorageObject lists what is in the catalogue, whether its files are there or not.
func (sh *fcdShim) ListVStorageObject(_ *simulator.Context, req *types.ListVStorageObject) soap.HasFault {
	s := sh.S
	if _, ok := s.Reg.Get(req.Datastore).(*simulator.Datastore); !ok {
		return &methods.ListVStorageObjectBody{Fault_: faults.NotFound(req.Datastore)}
	}
	s.Catalogue.Lock()
	defer s.Catalogue.Unlock()
	res := &types.ListVStorageObjectResponse{}
	for _, d := range s.Catalogue.All(&req.Datastore) {
		res.Returnval = append(res.Returnval, types.ID{Id: d.ID})
	}
	return &methods.ListVStorageObjectBody{Res: res}
}

// RetrieveVStorageObject shows a disk; one whose files are gone is not found.
func (sh *fcdShim) RetrieveVStorageObject(ctx *simulator.Context, req *types.RetrieveVStorageObject) soap.HasFault {
	s := sh.S
	body := &methods.RetrieveVStorageObjectBody{}
	found, fault := s.withFCD(ctx, req.Datastore, req.Id.Id, func(_ *simulator.Context, d *fcd.Disk) (types.AnyType, types.BaseMethodFault) {
		return s.fcdObject(d), s.Usable(d, false)
	})
	if fault != nil {
		body.Fault_ = faults.SOAP(fault)
		return body
	}
	body.Res = &types.RetrieveVStorageObjectResponse{Returnval: found.(types.VStorageObject)}
	return body
}

// RetrieveVStorageObjectState tells if a disk is still being made, which none is here.
func (sh *fcdShim) RetrieveVStorageObjectState(ctx *simulator.Context, req *types.RetrieveVStorageObjectState) soap.HasFault {
	s := sh.S
	_, fault := s.withFCD(ctx, req.Datastore, req.Id.Id, func(_ *simulator.Context, d *fcd.Disk) (types.AnyType, types.BaseMethodFault) {
		return nil, s.Usable(d, false)
	})
	if fault != nil {
		return &methods.RetrieveVStorageObjectStateBody{Fault_: faults.SOAP(fault)}
	}
	state := types.VStorageObjectStateInfo{Tentative: types.NewBool(false)}
	return &methods.RetrieveVStorageObjectStateBody{Res: &types.RetrieveVStorageObjectStateResponse{Returnval: state}}
}

// RetrieveVStorageObjectAssociations tells which VMs have disks, of any number of them.
func (sh *fcdShim) RetrieveVStorageObjectAssociations(_ *simulator.Context, req *types.RetrieveVStorageObjectAssociations) soap.HasFault {
	s := sh.S
	s.Catalogue.Lock()
	defer s.Catalogue.Unlock()
	res := &types.RetrieveVStorageObjectAssociationsResponse{}
	for _, asked := range req.Ids {
		found := types.VStorageObjectAssociations{Id: asked.Id}
		switch d := s.Catalogue.Get(asked.Datastore, asked.Id.Id); {
		case d == nil:
			found.Fault = faults.Localized(&types.NotFound{})
		case d.VM != nil:
			found.VmDiskAssociations = []types.VStorageObjectAssociationsVmDiskAssociations{{VmId: d.VM.Value, DiskKey: d.Key}}
		}
		res.Returnval = append(res.Returnval, found)
	}
	return &methods.RetrieveVStorageObjectAssociationsBody{Res: res}
}

// ExtendDiskTask makes a disk larger. The size that it has already is no change.
func (sh *fcdShim) ExtendDiskTask(ctx *simulator.Context, req *types.ExtendDisk_Task) soap.HasFault {
	s := sh.S
	task, fault := s.fcdTask(ctx, req.Datastore, req.Id.Id, "extendDisk", func(_ *simulator.Context, d *fcd.Disk) (types.AnyType, types.BaseMethodFault) {
		if fault := s.Usable(d, true); fault != nil {
			return nil, fault
		}
		switch {
		case req.NewCapacityInMB < d.CapacityMB:
			return nil, faults.Invalid("newCapacityInMB")
		case req.NewCapacityInMB == d.CapacityMB:
			return nil, nil
		case len(d.Snapshots) > 0:
			return nil, &types.InvalidState{}
		}
		if err := s.Disks.GrowBase(d.Top(), d.Bytes(), req.NewCapacityInMB*fcd.MB); err != nil {
			log.Printf("vforge-sim: %v", err)
			return nil, &types.FileFault{File: d.Top().FileName}
		}
		d.CapacityMB = req.NewCapacityInMB
		s.fcdTrack(d)
		return nil, nil
	})
	if fault != nil {
		return &methods.ExtendDisk_TaskBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.ExtendDisk_TaskBody{Res: &types.ExtendDisk_TaskResponse{Returnval: task}}
}

// InflateDiskTask gives a thin disk all of its space.
func (sh *fcdShim) InflateDiskTask(ctx *simulator.Context, req *types.InflateDisk_Task) soap.HasFault {
	s := sh.S
	task, fault := s.fcdTask(ctx, req.Datastore, req.Id.Id, "inflateDisk", func(_ *simulator.Context, d *fcd.Disk) (types.AnyType, types.BaseMethodFault) {
		if fault := s.Usable(d, true); fault != nil {
			return nil, fault
		}
		if len(d.Snapshots) > 0 {
			return nil, &types.InvalidState{}
		}
		d.Provisioning = string(types.BaseConfigInfoDiskFileBackingInfoProvisioningTypeEagerZeroedThick)
		setProvisioning(d.Top(), d.Provisioning)
		return nil, nil
	})
	if fault != nil {
		return &methods.InflateDisk_TaskBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.InflateDisk_TaskBody{Res: &types.InflateDisk_TaskResponse{Returnval: task}}
}

// fcdCall is a call that answers at once, about one disk.
func (s *VStorage) fcdCall(ctx *simulator.Context, ds types.ManagedObjectReference, id string, work func(d *fcd.Disk) types.BaseMethodFault) types.BaseMethodFault {
	if _, fault := s.fcdDatastore(ctx, ds); fault != nil {
		return fault
	}
	_, fault := s.withFCD(ctx, ds, id, func(_ *simulator.Context, d *fcd.Disk) (types.AnyType, types.BaseMethodFault) {
		if fault := s.Usable(d, false); fault != nil {
			return nil, fault
		}
		return nil, work(d)
	})
	return fault
}

// RenameVStorageObject gives a disk another name, which others may have.
func (sh *fcdShim) RenameVStorageObject(ctx *simulator.Context, req *types.RenameVStorageObject) soap.HasFault {
	fault := sh.S.fcdCall(ctx, req.Datastore, req.Id.Id, func(d *fcd.Disk) types.BaseMethodFault {
		if req.Name == "" {
			return faults.Invalid("name")
		}
		d.Name = req.Name
		return nil
	})
	if fault != nil {
		return &methods.RenameVStorageObjectBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.RenameVStorageObjectBody{Res: &types.RenameVStorageObjectResponse{}}
}

// SetVStorageObjectControlFlags sets flags; those that are not named stay.
func (sh *fcdShim) SetVStorageObjectControlFlags(ctx *simulator.Context, req *types.SetVStorageObjectControlFlags) soap.HasFault {
	if fault := sh.S.fcdFlags(ctx, req.Datastore, req.Id.Id, req.ControlFlags, true); fault != nil {
		return &methods.SetVStorageObjectControlFlagsBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.SetVStorageObjectControlFlagsBody{Res: &types.SetVStorageObjectControlFlagsResponse{}}
}

// ClearVStorageObjectControlFlags clears flags; those that are not named stay.
func (sh *fcdShim) ClearVStorageObjectControlFlags(ctx *simulator.Context, req *types.ClearVStorageObjectControlFlags) soap.HasFault {
	if fault := sh.S.fcdFlags(ctx, req.Datastore, req.Id.Id, req.ControlFlags, false); fault != nil {
		return &methods.ClearVStorageObjectControlFlagsBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.ClearVStorageObjectControlFlagsBody{Res: &types.ClearVStorageObjectControlFlagsResponse{}}
}

func (s *VStorage) fcdFlags(ctx *simulator.Context, ds types.ManagedObjectReference, id string, names []string, on bool) types.BaseMethodFault {
	return s.fcdCall(ctx, ds, id, func(d *fcd.Disk) types.BaseMethodFault {
		tracked := d.CBT
		if d.VM != nil && slices.Contains(names, string(types.VslmVStorageObjectControlFlagEnableChangedBlockTracking)) {
			return &types.InvalidState{}
		}
		if !d.Flags(names, on) {
			return faults.Invalid("controlFlags")
		}
		if d.CBT != tracked {
			s.fcdTrack(d)
		}
		return nil
	})
}

// fcdTrack begins the tracking of a disk's changes anew, or ends it. The caller holds the catalogue's lock.
func (s *VStorage) fcdTrack(d *fcd.Disk) {
	s.Tracks.Drop(d.Ref())
	if d.CBT {
		s.Tracks.Begin(d.Ref(), d.Bytes(), len(d.Snapshots) == 0)
	}
}

// UpdateVStorageObjectPolicyTask gives a disk another storage policy.
func (sh *fcdShim) UpdateVStorageObjectPolicyTask(ctx *simulator.Context, req *types.UpdateVStorageObjectPolicy_Task) soap.HasFault {
	s := sh.S
	task, fault := s.fcdTask(ctx, req.Datastore, req.Id.Id, "updateVStorageObjectPolicy", func(_ *simulator.Context, d *fcd.Disk) (types.AnyType, types.BaseMethodFault) {
		profile := policies.ProfileOf(req.Profile)
		if profile != "" && !s.Policies.Allows(profile, d.Datastore.Value) {
			return nil, &types.InvalidDatastore{Datastore: &d.Datastore}
		}
		d.Profile = profile
		return nil, s.Usable(d, false)
	})
	if fault != nil {
		return &methods.UpdateVStorageObjectPolicy_TaskBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.UpdateVStorageObjectPolicy_TaskBody{Res: &types.UpdateVStorageObjectPolicy_TaskResponse{Returnval: task}}
}

// VCenterUpdateVStorageObjectMetadataExTask sets and removes pairs; the others stay.
func (sh *fcdShim) VCenterUpdateVStorageObjectMetadataExTask(ctx *simulator.Context, req *types.VCenterUpdateVStorageObjectMetadataEx_Task) soap.HasFault {
	task, fault := sh.S.updateFCDMetadata(ctx, req.Datastore, req.Id.Id, req.Metadata, req.DeleteKeys)
	if fault != nil {
		return &methods.VCenterUpdateVStorageObjectMetadataEx_TaskBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.VCenterUpdateVStorageObjectMetadataEx_TaskBody{Res: &types.VCenterUpdateVStorageObjectMetadataEx_TaskResponse{Returnval: task}}
}

func (s *VStorage) updateFCDMetadata(ctx *simulator.Context, ds types.ManagedObjectReference, id string, set []types.KeyValue, remove []string) (types.ManagedObjectReference, types.BaseMethodFault) {
	return s.fcdTask(ctx, ds, id, "updateVStorageObjectMetadataEx", func(_ *simulator.Context, d *fcd.Disk) (types.AnyType, types.BaseMethodFault) {
		if fault := s.Usable(d, false); fault != nil {
			return nil, fault
		}
		d.Metadata = fcd.Merged(d.Metadata, set, remove)
		return s.fcdObject(d), nil
	})
}

// DeleteVStorageObjectTask deletes a disk that no VM has, with its snapshots and its files.
func (sh *fcdShim) DeleteVStorageObjectTask(ctx *simulator.Context, req *types.DeleteVStorageObject_Task) soap.HasFault {
	task, fault := sh.S.deleteFCD(ctx, req.Datastore, req.Id.Id)
	if fault != nil {
		return &methods.DeleteVStorageObject_TaskBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.DeleteVStorageObject_TaskBody{Res: &types.DeleteVStorageObject_TaskResponse{Returnval: task}}
}

func (s *VStorage) deleteFCD(ctx *simulator.Context, ds types.ManagedObjectReference, id string) (types.ManagedObjectReference, types.BaseMethodFault) {
	return s.fcdTask(ctx, ds, id, "deleteVStorageObject", func(_ *simulator.Context, d *fcd.Disk) (types.AnyType, types.BaseMethodFault) {
		if fault := s.Usable(d, true); fault != nil {
			return nil, fault
		}
		s.dropFCD(d)
		s.removeFCDLayers(d, d.Layers)
		return nil, nil
	})
}

// dropFCD takes a disk out of the catalogue. The caller holds its lock.
func (s *VStorage) dropFCD(d *fcd.Disk) {
	s.Catalogue.Remove(d.ID)
	s.Tracks.Drop(d.Ref())
}

// removeFCDLayers removes layers that a disk needs no more; one that a VM rests on goes with that VM.
func (s *VStorage) removeFCDLayers(d *fcd.Disk, layers []*vdisk.FlatBacking) {
	shared := s.LayerUsers.Release(d.Ref())
	for _, b := range layers {
		if key := vdisk.KeyOf(b); shared[key] {
			s.LayerUsers.Abandon(key)
		} else {
			s.Disks.RemoveLevel(key)
		}
	}
}

// ReconcileDatastoreInventoryTask takes the disks out of the catalogue whose files are gone.
func (sh *fcdShim) ReconcileDatastoreInventoryTask(ctx *simulator.Context, req *types.ReconcileDatastoreInventory_Task) soap.HasFault {
	s := sh.S
	if _, fault := s.fcdDatastore(ctx, req.Datastore); fault != nil {
		return &methods.ReconcileDatastoreInventory_TaskBody{Fault_: faults.SOAP(fault)}
	}
	task := s.fcdRun(ctx, "reconcileDatastoreInventory", func(*simulator.Context) (types.AnyType, types.BaseMethodFault) {
		s.Catalogue.Lock()
		defer s.Catalogue.Unlock()
		for _, d := range s.Catalogue.All(&req.Datastore) {
			if s.gone(d) {
				s.LayerUsers.Release(d.Ref())
				s.dropFCD(d)
			}
		}
		return nil, nil
	})
	return &methods.ReconcileDatastoreInventory_TaskBody{Res: &types.ReconcileDatastoreInventory_TaskResponse{Returnval: task}}
}

// RetrieveVStorageInfrastructureObjectPolicy lists policies of what belongs to no disk: there are none.
func (sh *fcdShim) RetrieveVStorageInfrastructureObjectPolicy(_ *simulator.Context, req *types.RetrieveVStorageInfrastructureObjectPolicy) soap.HasFault {
	if _, ok := sh.S.Reg.Get(req.Datastore).(*simulator.Datastore); !ok {
		return &methods.RetrieveVStorageInfrastructureObjectPolicyBody{Fault_: faults.NotFound(req.Datastore)}
	}
	return &methods.RetrieveVStorageInfrastructureObjectPolicyBody{Res: &types.RetrieveVStorageInfrastructureObjectPolicyResponse{}}
}

// tagged lets vcsim, which has the tags, attach or detach one, and notes what became of it: vcsim lists tags
// with the IDs of their categories in place of the names.
func (s *VStorage) tagged(id string, tag types.VslmTagEntry, on bool, do func(*simulator.VcenterVStorageObjectManager) *soap.Fault) *soap.Fault {
	s.Catalogue.Lock()
	defer s.Catalogue.Unlock()
	d := s.Catalogue.Named(id)
	if d == nil {
		return faults.SOAP(&types.NotFound{})
	}
	if fault := do(s.Reg.VStorageObjectManager()); fault != nil {
		return fault
	}
	d.Tags = slices.DeleteFunc(slices.Clone(d.Tags), func(t types.VslmTagEntry) bool { return t == tag })
	if on {
		d.Tags = append(d.Tags, tag)
	}
	return nil
}

// AttachTagToVStorageObject attaches a tag.
func (sh *fcdShim) AttachTagToVStorageObject(ctx *simulator.Context, req *types.AttachTagToVStorageObject) soap.HasFault {
	tag := types.VslmTagEntry{ParentCategoryName: req.Category, TagName: req.Tag}
	fault := sh.S.tagged(req.Id.Id, tag, true, func(m *simulator.VcenterVStorageObjectManager) *soap.Fault {
		return m.AttachTagToVStorageObject(ctx, req).Fault()
	})
	if fault != nil {
		return &methods.AttachTagToVStorageObjectBody{Fault_: fault}
	}
	return &methods.AttachTagToVStorageObjectBody{Res: &types.AttachTagToVStorageObjectResponse{}}
}

// DetachTagFromVStorageObject detaches a tag.
func (sh *fcdShim) DetachTagFromVStorageObject(ctx *simulator.Context, req *types.DetachTagFromVStorageObject) soap.HasFault {
	tag := types.VslmTagEntry{ParentCategoryName: req.Category, TagName: req.Tag}
	fault := sh.S.tagged(req.Id.Id, tag, false, func(m *simulator.VcenterVStorageObjectManager) *soap.Fault {
		return m.DetachTagFromVStorageObject(ctx, req).Fault()
	})
	if fault != nil {
		return &methods.DetachTagFromVStorageObjectBody{Fault_: fault}
	}
	return &methods.DetachTagFromVStorageObjectBody{Res: &types.DetachTagFromVStorageObjectResponse{}}
}

// ListTagsAttachedToVStorageObject lists the tags of a disk.
func (sh *fcdShim) ListTagsAttachedToVStorageObject(_ *simulator.Context, req *types.ListTagsAttachedToVStorageObject) soap.HasFault {
	s := sh.S
	s.Catalogue.Lock()
	defer s.Catalogue.Unlock()
	d := s.Catalogue.Named(req.Id.Id)
	if d == nil {
		return &methods.ListTagsAttachedToVStorageObjectBody{Fault_: faults.SOAP(&types.NotFound{})}
	}
	res := &types.ListTagsAttachedToVStorageObjectResponse{Returnval: slices.Clone(d.Tags)}
	return &methods.ListTagsAttachedToVStorageObjectBody{Res: res}
}
