// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vstorage

import (
	"log"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/fcd"
	"vforge.vsphere/simulator/internal/policies"
	"vforge.vsphere/simulator/internal/vdisk"
)

// deltaOf puts a new layer on a chain of a first class disk.
func (s *VStorage) deltaOf(d *fcd.Disk, below *vdisk.FlatBacking) (*vdisk.FlatBacking, types.BaseMethodFault) {
	ds := s.Reg.Get(d.Datastore).(*simulator.Datastore)
	_, base := dsfiles.Split(d.Layers[0].FileName)
	short := strings.ReplaceAll(uuid.NewString(), "-", "")
	file := path.Join(path.Dir(base), short+".vmdk")
	delta, err := disks.NewDelta(ds, file, below, d.Bytes())
	if err != nil {
		return nil, fileFault(ds, file, err)
	}
	return delta, nil
}

// OnVM is the device of a VM that is a first class disk; nil where there is none any more.
func OnVM(vm *simulator.VirtualMachine, d *fcd.Disk) *types.VirtualDisk {
	for _, disk := range vdisk.DisksOf(vm.Config.Hardware.Device) {
		if disk.VDiskId != nil && disk.VDiskId.Id == d.ID {
			return disk
		}
	}
	return nil
}

// ownChain makes sure that a disk's files are its own: a snapshot of the VM that has it adds a layer
// that only the VM knows. The caller holds the VM's lock.
func (s *VStorage) ownChain(d *fcd.Disk) types.BaseMethodFault {
	if vm := s.fcdVM(d.VM); vm != nil && vm.Snapshot != nil {
		return &types.InvalidState{}
	}
	return nil
}

// rechained gives a disk other layers, and the VM that has it, too. The caller holds all locks.
func (s *VStorage) rechained(ctx *simulator.Context, d *fcd.Disk, layers []*vdisk.FlatBacking) {
	d.Layers = fcd.Rebuild(layers)
	s.fcdLayers(d)
	vm := s.fcdVM(d.VM)
	if vm == nil {
		return
	}
	devices := slices.Clone(vm.Config.Hardware.Device)
	for i, device := range devices {
		if disk, ok := device.(*types.VirtualDisk); ok && disk.VDiskId != nil && disk.VDiskId.Id == d.ID {
			shown := *disk
			shown.Backing = d.Top()
			devices[i] = &shown
		}
	}
	s.Disks.SetDevices(ctx, vm, devices)
	s.TrackLayers(vm)
}

// VStorageObjectCreateSnapshotTask keeps a disk as it is; it goes on in a new layer.
func (sh *fcdShim) VStorageObjectCreateSnapshotTask(ctx *simulator.Context, req *types.VStorageObjectCreateSnapshot_Task) soap.HasFault {
	task, fault := sh.S.snapshotFCD(ctx, req.Datastore, req.Id.Id, req.Description)
	if fault != nil {
		return &methods.VStorageObjectCreateSnapshot_TaskBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.VStorageObjectCreateSnapshot_TaskBody{Res: &types.VStorageObjectCreateSnapshot_TaskResponse{Returnval: task}}
}

func (s *VStorage) snapshotFCD(ctx *simulator.Context, ds types.ManagedObjectReference, id, description string) (types.ManagedObjectReference, types.BaseMethodFault) {
	return s.fcdTask(ctx, ds, id, "createSnapshot", func(ctx *simulator.Context, d *fcd.Disk) (types.AnyType, types.BaseMethodFault) {
		fault := s.Usable(d, false)
		if fault == nil {
			fault = s.ownChain(d)
		}
		if fault == nil && len(d.Snapshots) >= core.MaxSnapshots {
			fault = &types.InvalidState{}
		}
		if fault != nil {
			return nil, fault
		}
		delta, fault := s.deltaOf(d, d.Top())
		if fault != nil {
			return nil, fault
		}
		made := fcd.Snapshot{
			ID: uuid.NewString(), Description: description, BackingID: uuid.NewString(), Created: time.Now(),
			Mark: s.Tracks.MarkOne(d.Ref()), Metadata: slices.Clone(d.Metadata),
		}
		d.Snapshots = append(d.Snapshots, made)
		s.rechained(ctx, d, append(slices.Clone(d.Layers), delta))
		return types.ID{Id: made.ID}, nil
	})
}

// fcdSnapshotTask starts a task about a snapshot of a disk.
func (s *VStorage) fcdSnapshotTask(ctx *simulator.Context, ds types.ManagedObjectReference, id, snapshot, name string, detached bool, work func(*simulator.Context, *fcd.Disk, int) (types.AnyType, types.BaseMethodFault)) (types.ManagedObjectReference, types.BaseMethodFault) {
	return s.fcdTask(ctx, ds, id, name, func(ctx *simulator.Context, d *fcd.Disk) (types.AnyType, types.BaseMethodFault) {
		fault := s.Usable(d, detached)
		if fault == nil {
			fault = s.ownChain(d)
		}
		if fault != nil {
			return nil, fault
		}
		at := d.SnapshotAt(snapshot)
		if at < 0 {
			return nil, &types.NotFound{}
		}
		return work(ctx, d, at)
	})
}

// DeleteSnapshotTask removes a snapshot: what was written since goes into its layer.
func (sh *fcdShim) DeleteSnapshotTask(ctx *simulator.Context, req *types.DeleteSnapshot_Task) soap.HasFault {
	task, fault := sh.S.deleteFCDSnapshot(ctx, req.Datastore, req.Id.Id, req.SnapshotId.Id)
	if fault != nil {
		return &methods.DeleteSnapshot_TaskBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.DeleteSnapshot_TaskBody{Res: &types.DeleteSnapshot_TaskResponse{Returnval: task}}
}

func (s *VStorage) deleteFCDSnapshot(ctx *simulator.Context, ds types.ManagedObjectReference, id, snapshot string) (types.ManagedObjectReference, types.BaseMethodFault) {
	return s.fcdSnapshotTask(ctx, ds, id, snapshot, "deleteSnapshot", false, func(ctx *simulator.Context, d *fcd.Disk, at int) (types.AnyType, types.BaseMethodFault) {
		above := d.Layers[at+1]
		if err := s.Disks.CopyBytes(d.Layers[at], above, d.Bytes(), 1); err != nil {
			log.Printf("vforge-sim: %v", err)
			return nil, &types.FileFault{File: above.FileName}
		}
		d.Snapshots = slices.Delete(slices.Clone(d.Snapshots), at, at+1)
		s.rechained(ctx, d, slices.Delete(slices.Clone(d.Layers), at+1, at+2))
		s.Disks.RemoveLevel(vdisk.KeyOf(above))
		return nil, nil
	})
}

// RevertVStorageObjectTask makes a disk what it was; later snapshots go.
func (sh *fcdShim) RevertVStorageObjectTask(ctx *simulator.Context, req *types.RevertVStorageObject_Task) soap.HasFault {
	s := sh.S
	task, fault := s.fcdSnapshotTask(ctx, req.Datastore, req.Id.Id, req.SnapshotId.Id, "revertVStorageObject", true, func(ctx *simulator.Context, d *fcd.Disk, at int) (types.AnyType, types.BaseMethodFault) {
		fresh, fault := s.deltaOf(d, d.Layers[at])
		if fault != nil {
			return nil, fault
		}
		gone := slices.Clone(d.Layers[at+1:])
		d.Snapshots = slices.Clone(d.Snapshots[:at+1])
		s.rechained(ctx, d, append(slices.Clone(d.Layers[:at+1]), fresh))
		for _, b := range gone {
			s.Disks.RemoveLevel(vdisk.KeyOf(b))
		}
		s.fcdTrack(d)
		return nil, nil
	})
	if fault != nil {
		return &methods.RevertVStorageObject_TaskBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.RevertVStorageObject_TaskBody{Res: &types.RevertVStorageObject_TaskResponse{Returnval: task}}
}

// RetrieveSnapshotInfo lists the snapshots of a disk, the oldest first.
func (sh *fcdShim) RetrieveSnapshotInfo(ctx *simulator.Context, req *types.RetrieveSnapshotInfo) soap.HasFault {
	info, fault := sh.S.fcdSnapshots(ctx, req.Datastore, req.Id.Id)
	if fault != nil {
		return &methods.RetrieveSnapshotInfoBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.RetrieveSnapshotInfoBody{Res: &types.RetrieveSnapshotInfoResponse{Returnval: info}}
}

func (s *VStorage) fcdSnapshots(ctx *simulator.Context, ds types.ManagedObjectReference, id string) (info types.VStorageObjectSnapshotInfo, fault types.BaseMethodFault) {
	_, fault = s.withFCD(ctx, ds, id, func(_ *simulator.Context, d *fcd.Disk) (types.AnyType, types.BaseMethodFault) {
		for _, snapshot := range d.Snapshots {
			info.Snapshots = append(info.Snapshots, types.VStorageObjectSnapshotInfoVStorageObjectSnapshot{
				Id: &types.ID{Id: snapshot.ID}, BackingObjectId: snapshot.BackingID, CreateTime: snapshot.Created, Description: snapshot.Description,
			})
		}
		return nil, s.Usable(d, false)
	})
	return info, fault
}

// RetrieveSnapshotDetails tells the file of a snapshot and, where changes are tracked, its changeId.
func (sh *fcdShim) RetrieveSnapshotDetails(ctx *simulator.Context, req *types.RetrieveSnapshotDetails) soap.HasFault {
	body := &methods.RetrieveSnapshotDetailsBody{}
	var details types.VStorageObjectSnapshotDetails
	fault := sh.S.fcdCall(ctx, req.Datastore, req.Id.Id, func(d *fcd.Disk) types.BaseMethodFault {
		at := d.SnapshotAt(req.SnapshotId.Id)
		if at < 0 {
			return &types.NotFound{}
		}
		details.Path, details.ChangedBlockTrackingId = d.Layers[at].FileName, d.Snapshots[at].Mark.ChangeID()
		return nil
	})
	if fault != nil {
		body.Fault_ = faults.SOAP(fault)
		return body
	}
	body.Res = &types.RetrieveSnapshotDetailsResponse{Returnval: details}
	return body
}

// VstorageObjectVCenterQueryChangedDiskAreas tells which areas of a disk that no VM has were written
// from the moment of a changeId to a snapshot.
func (sh *fcdShim) VstorageObjectVCenterQueryChangedDiskAreas(ctx *simulator.Context, req *types.VstorageObjectVCenterQueryChangedDiskAreas) soap.HasFault {
	s := sh.S
	body := &methods.VstorageObjectVCenterQueryChangedDiskAreasBody{}
	var info *types.DiskChangeInfo
	fault := s.fcdCall(ctx, req.Datastore, req.Id.Id, func(d *fcd.Disk) (fault types.BaseMethodFault) {
		at := d.SnapshotAt(req.SnapshotId.Id)
		switch {
		case d.VM != nil:
			return &types.InvalidState{}
		case at < 0:
			return &types.NotFound{}
		case req.StartOffset < 0 || req.StartOffset >= d.Bytes():
			return faults.Invalid("startOffset")
		}
		disk := d.Device()
		disk.Backing = d.Layers[at]
		areas, fault := s.Disks.AreasSince(disks.ChangeQuery{Disk: disk, Mark: d.Snapshots[at].Mark}, req.ChangeId)
		if fault == nil {
			areas = areas.Aligned(s.Disks.Granule.Load(), d.Bytes())
			info = disks.ChangePage(areas, vdisk.Span{Start: req.StartOffset, End: d.Bytes()})
		}
		return fault
	})
	if fault != nil {
		body.Fault_ = faults.SOAP(fault)
		return body
	}
	body.Res = &types.VstorageObjectVCenterQueryChangedDiskAreasResponse{Returnval: *info}
	return body
}

// fcdCopy makes one disk of what a chain shows, on the place that a specification names.
func (s *VStorage) fcdCopy(spec types.BaseVslmCreateSpecBackingSpec, top *vdisk.FlatBacking, capacity int64) (*vdisk.FlatBacking, *simulator.Datastore, string, types.BaseMethodFault) {
	ds, file, kind, fault := s.fcdPlace(spec)
	if fault != nil {
		return nil, nil, "", fault
	}
	made, err := s.Disks.CopyDisk(ds, file, top, capacity)
	if err != nil {
		return nil, nil, "", fileFault(ds, file, err)
	}
	setProvisioning(made, kind)
	return made, ds, kind, nil
}

// CloneVStorageObjectTask copies a disk as it is; its snapshots are not copied.
func (sh *fcdShim) CloneVStorageObjectTask(ctx *simulator.Context, req *types.CloneVStorageObject_Task) soap.HasFault {
	s := sh.S
	body := &methods.CloneVStorageObject_TaskBody{}
	fault := s.targetDenied(ctx, req.Spec.BackingSpec)
	if fault == nil && req.Spec.Name == "" {
		fault = faults.Invalid("spec.name")
	}
	if fault != nil {
		body.Fault_ = faults.SOAP(fault)
		return body
	}
	task := s.fcdRun(ctx, "cloneVStorageObject", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		made, fault := s.withFCD(ctx, req.Datastore, req.Id.Id, func(_ *simulator.Context, d *fcd.Disk) (types.AnyType, types.BaseMethodFault) {
			if fault := s.Usable(d, true); fault != nil {
				return nil, fault
			}
			base, ds, kind, fault := s.fcdCopy(req.Spec.BackingSpec, d.Top(), d.Bytes())
			if fault != nil {
				return nil, fault
			}
			return &fcd.Disk{
				Name: req.Spec.Name, Datastore: ds.Self, CapacityMB: d.CapacityMB, Provisioning: kind, Layers: []*vdisk.FlatBacking{base},
				Keep: req.Spec.KeepAfterDeleteVm != nil && *req.Spec.KeepAfterDeleteVm, Profile: policies.ProfileOf(req.Spec.Profile),
				Metadata: fcd.Merged(nil, req.Spec.Metadata, nil),
			}, nil
		})
		if fault != nil {
			return nil, fault
		}
		return s.NewDisk(made.(*fcd.Disk)), nil
	})
	body.Res = &types.CloneVStorageObject_TaskResponse{Returnval: task}
	return body
}

func (s *VStorage) targetDenied(ctx *simulator.Context, spec types.BaseVslmCreateSpecBackingSpec) types.BaseMethodFault {
	if spec == nil {
		return faults.Invalid("spec.backingSpec")
	}
	_, fault := s.fcdDatastore(ctx, spec.GetVslmCreateSpecBackingSpec().Datastore)
	return fault
}

// CreateDiskFromSnapshotTask makes a disk of what a snapshot has.
func (sh *fcdShim) CreateDiskFromSnapshotTask(ctx *simulator.Context, req *types.CreateDiskFromSnapshot_Task) soap.HasFault {
	s := sh.S
	body := &methods.CreateDiskFromSnapshot_TaskBody{}
	if req.Name == "" {
		body.Fault_ = faults.SOAP(faults.Invalid("name"))
		return body
	}
	if _, fault := s.fcdDatastore(ctx, req.Datastore); fault != nil {
		body.Fault_ = faults.SOAP(fault)
		return body
	}
	task := s.fcdRun(ctx, "createDiskFromSnapshot", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		made, fault := s.withFCD(ctx, req.Datastore, req.Id.Id, func(_ *simulator.Context, d *fcd.Disk) (types.AnyType, types.BaseMethodFault) {
			if fault := s.Usable(d, false); fault != nil {
				return nil, fault
			}
			at := d.SnapshotAt(req.SnapshotId.Id)
			if at < 0 {
				return nil, &types.NotFound{}
			}
			spec := &types.VslmCreateSpecDiskFileBackingSpec{
				VslmCreateSpecBackingSpec: types.VslmCreateSpecBackingSpec{Datastore: d.Datastore, Path: req.Path}, ProvisioningType: d.Provisioning,
			}
			base, ds, kind, fault := s.fcdCopy(spec, d.Layers[at], d.Bytes())
			if fault != nil {
				return nil, fault
			}
			return &fcd.Disk{
				Name: req.Name, Datastore: ds.Self, CapacityMB: d.CapacityMB, Provisioning: kind, Layers: []*vdisk.FlatBacking{base},
				Profile: policies.ProfileOf(req.Profile),
			}, nil
		})
		if fault != nil {
			return nil, fault
		}
		return s.NewDisk(made.(*fcd.Disk)), nil
	})
	body.Res = &types.CreateDiskFromSnapshot_TaskResponse{Returnval: task}
	return body
}

// RelocateVStorageObjectTask moves a disk that no VM has to another place, with its snapshots.
func (sh *fcdShim) RelocateVStorageObjectTask(ctx *simulator.Context, req *types.RelocateVStorageObject_Task) soap.HasFault {
	s := sh.S
	body := &methods.RelocateVStorageObject_TaskBody{}
	if fault := s.targetDenied(ctx, req.Spec.BackingSpec); fault != nil {
		body.Fault_ = faults.SOAP(fault)
		return body
	}
	task, fault := s.fcdTask(ctx, req.Datastore, req.Id.Id, "relocateVStorageObject", func(ctx *simulator.Context, d *fcd.Disk) (types.AnyType, types.BaseMethodFault) {
		if fault := s.Usable(d, true); fault != nil {
			return nil, fault
		}
		if d.Fixed {
			return nil, &types.InvalidState{}
		}
		return s.moveFCD(d, req.Spec.BackingSpec)
	})
	if fault != nil {
		body.Fault_ = faults.SOAP(fault)
		return body
	}
	body.Res = &types.RelocateVStorageObject_TaskResponse{Returnval: task}
	return body
}

// moveFCD copies all layers of a disk, and removes the old ones. The caller holds the catalogue's lock.
func (s *VStorage) moveFCD(d *fcd.Disk, spec types.BaseVslmCreateSpecBackingSpec) (types.AnyType, types.BaseMethodFault) {
	old, from := d.Layers, d.Datastore
	base, ds, kind, fault := s.fcdCopy(spec, old[0], d.Bytes())
	if fault != nil {
		return nil, fault
	}
	moved := []*vdisk.FlatBacking{base}
	d.Datastore = ds.Self
	for _, layer := range old[1:] {
		delta, fault := s.deltaOf(&fcd.Disk{Datastore: ds.Self, Layers: moved, CapacityMB: d.CapacityMB}, moved[len(moved)-1])
		if fault == nil {
			if err := s.Disks.CopyBytes(delta, layer, d.Bytes(), 1); err != nil {
				fault = &types.FileFault{File: layer.FileName}
			}
		}
		if fault != nil {
			d.Datastore = from
			return nil, fault
		}
		moved = append(moved, delta)
	}
	s.removeFCDLayers(d, old)
	d.Layers, d.Provisioning = fcd.Rebuild(moved), kind
	s.fcdLayers(d)
	return s.fcdObject(d), nil
}
