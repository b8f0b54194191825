// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package disks

import (
	"log"
	"path"
	"slices"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/datastores"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/shim"
	"vforge.vsphere/simulator/internal/vdisk"
)

// diskShim answers the calls on disks that are named by their files.
type diskShim struct{ shim.Of[*Disks] }

// diskFile is a disk that a call names.
type diskFile struct {
	name string
	ds   *simulator.Datastore
	file string // within the datastore
}

func (f *diskFile) fault() types.FileFault { return types.FileFault{File: f.name} }

func (f *diskFile) exists() bool { return dsfiles.Exists(dsfiles.Local(f.ds, f.file)) }

// homeless refuses a disk whose directory is not there, or that would be in none where only objects can be.
func (f *diskFile) homeless() types.BaseMethodFault {
	switch {
	case datastores.HasNamespaces(f.ds) && !strings.Contains(f.file, "/"):
		return &types.SystemError{Reason: "Function not implemented"}
	case !dsfiles.Exists(path.Dir(dsfiles.Local(f.ds, f.file))):
		return &types.FileNotFound{FileFault: f.fault()}
	}
	return nil
}

// named finds the datastore of a disk, and checks what the caller may do there.
func (sh *diskShim) named(ctx *simulator.Context, name string, dc *types.ManagedObjectReference) (*diskFile, types.BaseMethodFault) {
	dsName, file := dsfiles.Split(name)
	switch {
	case dsName == "" || !strings.HasSuffix(file, ".vmdk"):
		return nil, &types.InvalidDatastorePath{InvalidDatastore: types.InvalidDatastore{Name: dsName}, DatastorePath: name}
	case dc == nil:
		return nil, faults.Invalid("datacenter")
	}
	if _, ok := sh.S.Reg.Get(*dc).(*simulator.Datacenter); !ok {
		return nil, &types.ManagedObjectNotFound{Obj: *dc}
	}
	ds := sh.S.Datastores.DatastoreIn(dc, name)
	if ds == nil {
		return nil, &types.InvalidDatastore{Name: dsName}
	}
	if denied := sh.S.Auth.Denied(ctx.Session.UserName, ds.Self, datastores.FilePrivilege); denied != nil {
		return nil, denied
	}
	file = datastores.ListedAs(ds, file)
	return &diskFile{dsfiles.Path(dsName, file), ds, file}, nil
}

// disk is the chain that a disk's file is the top of. What is not there, or no disk, is a fault.
func (sh *diskShim) disk(f *diskFile) (*vdisk.FlatBacking, int64, types.BaseMethodFault) {
	if !f.exists() {
		return nil, 0, &types.FileNotFound{FileFault: f.fault()}
	}
	for _, ref := range sh.S.LayerUsers.UsersOf(vdisk.LayerKey{Datastore: f.ds.Self.Value, File: dsfiles.Path(f.ds.Name, f.file)}) {
		if top, capacity := sh.S.layerOf(ref, f); top != nil {
			return top, capacity, nil
		}
	}
	desc, err := dsfiles.ReadDescriptor(dsfiles.Local(f.ds, f.file))
	if err != nil || !dsfiles.Exists(dsfiles.Local(f.ds, dsfiles.Extent(f.file, false))) {
		return nil, 0, &types.InvalidDiskFormat{}
	}
	return BaseBacking(f.ds, f.file), desc.Capacity(), nil
}

// layerOf finds a layer among the disks of a VM and of its snapshots.
func (s *Disks) layerOf(ref types.ManagedObjectReference, f *diskFile) (top *vdisk.FlatBacking, capacity int64) {
	vm := s.VM(ref)
	if vm == nil {
		return nil, 0
	}
	s.Background("").WithLock(vm, func() {
		devices := slices.Clone(vm.Config.Hardware.Device)
		for _, snapshot := range s.SnapshotsOf(vm) {
			devices = append(devices, snapshot.Config.Hardware.Device...)
		}
		for _, disk := range vdisk.DisksOf(devices) {
			if b := LayerNamed(disk, f.ds, f.file); b != nil && top == nil {
				top, capacity = b, disk.CapacityInBytes
			}
		}
	})
	return top, capacity
}

// free refuses a disk that a running VM has open, or that disks of several VMs build on.
func (sh *diskShim) free(f *diskFile, dc *types.ManagedObjectReference) types.BaseMethodFault {
	if !f.exists() {
		return &types.FileNotFound{FileFault: f.fault()}
	}
	return sh.S.Datastores.Needed(f.name, dc)
}

// readable refuses a disk that a running VM has open.
func (sh *diskShim) readable(f *diskFile) types.BaseMethodFault {
	for _, delta := range []bool{false, true} {
		if sh.S.Datastores.Locked(f.ds, dsfiles.Extent(f.file, delta)) {
			return faults.FileLocked(f.name)
		}
	}
	return nil
}

// run starts a task; what the caller may not, or names wrongly, is a fault of the call.
func (sh *diskShim) run(ctx *simulator.Context, this types.ManagedObjectReference, id string, work func() (types.AnyType, types.BaseMethodFault)) types.ManagedObjectReference {
	return sh.S.Tasks.Run(ctx, this, id, func(*simulator.Context) (types.AnyType, types.BaseMethodFault) {
		sh.S.Creating.Lock() // names are looked for and taken in one
		defer sh.S.Creating.Unlock()
		return work()
	})
}

// CreateVirtualDiskTask makes an empty disk.
func (sh *diskShim) CreateVirtualDiskTask(ctx *simulator.Context, req *types.CreateVirtualDisk_Task) soap.HasFault {
	f, fault := sh.named(ctx, req.Name, req.Datacenter)
	if fault != nil {
		return &methods.CreateVirtualDisk_TaskBody{Fault_: faults.SOAP(fault)}
	}
	task := sh.run(ctx, req.This, "createVirtualDisk", func() (types.AnyType, types.BaseMethodFault) {
		backed, ok := req.Spec.(types.BaseFileBackedVirtualDiskSpec)
		if !ok {
			return nil, faults.Invalid("spec")
		}
		spec := backed.GetFileBackedVirtualDiskSpec()
		if spec.CapacityKb <= 0 {
			return nil, faults.Invalid("spec.capacityKb")
		}
		layer := dsfiles.Layer{Capacity: spec.CapacityKb * 1024}
		if fault := shape(&layer, &spec.VirtualDiskSpec); fault != nil {
			return nil, fault
		}
		return f.name, sh.make(f, layer)
	})
	return &methods.CreateVirtualDisk_TaskBody{Res: &types.CreateVirtualDisk_TaskResponse{Returnval: task}}
}

// shape takes a disk's type and adapter. Those of hosted products and of raw devices make no file here.
func shape(layer *dsfiles.Layer, spec *types.VirtualDiskSpec) types.BaseMethodFault {
	switch types.VirtualDiskType(spec.DiskType) {
	case types.VirtualDiskTypeThin:
	case types.VirtualDiskTypePreallocated, types.VirtualDiskTypeThick, types.VirtualDiskTypeEagerZeroedThick, types.VirtualDiskTypeFlatMonolithic:
		layer.Thick = true
	default:
		return faults.Invalid("spec.diskType")
	}
	adapters := types.VirtualDiskAdapterType("").Values()
	if !slices.Contains(adapters, types.VirtualDiskAdapterType(spec.AdapterType)) {
		return faults.Invalid("spec.adapterType")
	}
	layer.Adapter = spec.AdapterType
	return nil
}

// make makes the files of a disk that is not there, in a directory that is.
func (sh *diskShim) make(f *diskFile, layer dsfiles.Layer) types.BaseMethodFault {
	if f.exists() {
		return &types.FileAlreadyExists{FileFault: f.fault()}
	}
	if fault := f.homeless(); fault != nil {
		return fault
	}
	if fault := sh.S.Datastores.Room(f.ds, f.file, layer.Capacity, !layer.Thick); fault != nil {
		return fault
	}
	if err := dsfiles.WriteDisk(f.ds, f.file, layer); err != nil {
		log.Printf("vforge-sim: making %s: %v", f.name, err)
		return &types.CannotCreateFile{FileFault: f.fault()}
	}
	return nil
}

// DeleteVirtualDiskTask deletes a disk, unless a VM needs it.
func (sh *diskShim) DeleteVirtualDiskTask(ctx *simulator.Context, req *types.DeleteVirtualDisk_Task) soap.HasFault {
	f, fault := sh.named(ctx, req.Name, req.Datacenter)
	if fault != nil {
		return &methods.DeleteVirtualDisk_TaskBody{Fault_: faults.SOAP(fault)}
	}
	task := sh.run(ctx, req.This, "deleteVirtualDisk", func() (types.AnyType, types.BaseMethodFault) {
		fault := sh.free(f, req.Datacenter)
		if fault == nil {
			fault = sh.remove(f)
		}
		return nil, fault
	})
	return &methods.DeleteVirtualDisk_TaskBody{Res: &types.DeleteVirtualDisk_TaskResponse{Returnval: task}}
}

// remove deletes a disk's descriptor and its extent.
func (sh *diskShim) remove(f *diskFile) types.BaseMethodFault {
	files := []string{f.file, dsfiles.Extent(f.file, false), dsfiles.Extent(f.file, true)}
	for i := range files {
		files[i] = dsfiles.Local(f.ds, files[i])
	}
	if err := sh.S.DiskLayers.Remove(files); err != nil {
		log.Printf("vforge-sim: removing %s: %v", f.name, err)
		return &types.CannotDeleteFile{FileFault: f.fault()}
	}
	sh.S.Datastores.ShowSpace(f.ds)
	return nil
}

// pair names the two disks of a copy or a move. The second is in the first's datacenter unless
// another is said.
func (sh *diskShim) pair(ctx *simulator.Context, source string, from *types.ManagedObjectReference, dest string, to *types.ManagedObjectReference) (a, b *diskFile, fault types.BaseMethodFault) {
	if to == nil {
		to = from
	}
	if a, fault = sh.named(ctx, source, from); fault == nil {
		b, fault = sh.named(ctx, dest, to)
	}
	return a, b, fault
}

// clear makes room for a disk, where that is wanted.
func (sh *diskShim) clear(f *diskFile, force *bool) types.BaseMethodFault {
	switch {
	case !f.exists():
		return nil
	case force == nil || !*force:
		return &types.FileAlreadyExists{FileFault: f.fault()}
	}
	dc := sh.S.DatacenterOf(mo.Reference(f.ds).Reference())
	if fault := sh.S.Datastores.Needed(f.name, &dc); fault != nil {
		return fault
	}
	return sh.remove(f)
}

// CopyVirtualDiskTask makes a disk of what a chain shows.
func (sh *diskShim) CopyVirtualDiskTask(ctx *simulator.Context, req *types.CopyVirtualDisk_Task) soap.HasFault {
	from, to, fault := sh.pair(ctx, req.SourceName, req.SourceDatacenter, req.DestName, req.DestDatacenter)
	if fault != nil {
		return &methods.CopyVirtualDisk_TaskBody{Fault_: faults.SOAP(fault)}
	}
	task := sh.run(ctx, req.This, "copyVirtualDisk", func() (types.AnyType, types.BaseMethodFault) {
		top, capacity, fault := sh.disk(from)
		if fault == nil {
			fault = sh.readable(from)
		}
		if fault != nil {
			return nil, fault
		}
		layer := dsfiles.Layer{Capacity: capacity, Thick: top.ThinProvisioned == nil || !*top.ThinProvisioned}
		if req.DestSpec != nil {
			if fault := shape(&layer, req.DestSpec.GetVirtualDiskSpec()); fault != nil {
				return nil, fault
			}
		}
		if to.exists() { // force is ignored
			return nil, &types.FileAlreadyExists{FileFault: to.fault()}
		}
		if need, err := sh.S.Allocated(top, capacity); err == nil && !layer.Thick {
			if fault := sh.S.Datastores.Room(to.ds, to.file, need, false); fault != nil {
				return nil, fault
			}
		}
		if fault := sh.make(to, layer); fault != nil {
			return nil, fault
		}
		if err := sh.S.CopyBytes(BaseBacking(to.ds, to.file), top, capacity, len(layersOf(top))); err != nil {
			log.Printf("vforge-sim: copying %s: %v", from.name, err)
			return nil, &types.CannotCreateFile{FileFault: to.fault()}
		}
		return nil, nil
	})
	return &methods.CopyVirtualDisk_TaskBody{Res: &types.CopyVirtualDisk_TaskResponse{Returnval: task}}
}

// MoveVirtualDiskTask gives a disk another name, or another place.
func (sh *diskShim) MoveVirtualDiskTask(ctx *simulator.Context, req *types.MoveVirtualDisk_Task) soap.HasFault {
	from, to, fault := sh.pair(ctx, req.SourceName, req.SourceDatacenter, req.DestName, req.DestDatacenter)
	if fault != nil {
		return &methods.MoveVirtualDisk_TaskBody{Fault_: faults.SOAP(fault)}
	}
	task := sh.run(ctx, req.This, "moveVirtualDisk", func() (types.AnyType, types.BaseMethodFault) {
		top, _, fault := sh.disk(from)
		if fault == nil {
			fault = sh.free(from, req.SourceDatacenter)
		}
		if fault == nil && top.Parent != nil {
			fault = &types.NotSupported{} // a delta is nothing without the layers below
		}
		if fault == nil {
			fault = sh.clear(to, req.Force)
		}
		if fault == nil {
			fault = to.homeless()
		}
		if fault != nil {
			return nil, fault
		}
		if err := sh.S.DiskLayers.Move(dsfiles.Local(from.ds, from.file), dsfiles.Local(to.ds, to.file)); err != nil {
			log.Printf("vforge-sim: moving %s: %v", from.name, err)
			return nil, &types.CannotAccessFile{FileFault: from.fault()}
		}
		return nil, nil
	})
	return &methods.MoveVirtualDisk_TaskBody{Res: &types.MoveVirtualDisk_TaskResponse{Returnval: task}}
}

// changed runs a change of a base disk that nobody else needs.
func (sh *diskShim) changed(f *diskFile, dc *types.ManagedObjectReference, change func(*vdisk.FlatBacking, int64) types.BaseMethodFault) types.BaseMethodFault {
	top, capacity, fault := sh.disk(f)
	if fault == nil {
		fault = sh.free(f, dc)
	}
	if fault == nil && top.Parent != nil {
		fault = &types.NotSupported{} // the size and the shape of a delta are those of its base
	}
	if fault == nil {
		fault = change(top, capacity)
	}
	return fault
}

// ExtendVirtualDiskTask makes a disk larger.
func (sh *diskShim) ExtendVirtualDiskTask(ctx *simulator.Context, req *types.ExtendVirtualDisk_Task) soap.HasFault {
	f, fault := sh.named(ctx, req.Name, req.Datacenter)
	if fault != nil {
		return &methods.ExtendVirtualDisk_TaskBody{Fault_: faults.SOAP(fault)}
	}
	task := sh.run(ctx, req.This, "extendVirtualDisk", func() (types.AnyType, types.BaseMethodFault) {
		return f.name, sh.changed(f, req.Datacenter, func(top *vdisk.FlatBacking, capacity int64) types.BaseMethodFault {
			if req.NewCapacityKb*1024 < capacity {
				return faults.Invalid("newCapacityKb")
			}
			if err := sh.S.GrowBase(top, capacity, req.NewCapacityKb*1024); err != nil {
				log.Printf("vforge-sim: extending %s: %v", f.name, err)
				return &types.CannotAccessFile{FileFault: f.fault()}
			}
			return nil
		})
	})
	return &methods.ExtendVirtualDisk_TaskBody{Res: &types.ExtendVirtualDisk_TaskResponse{Returnval: task}}
}

// InflateVirtualDiskTask gives a thin disk all of its room.
func (sh *diskShim) InflateVirtualDiskTask(ctx *simulator.Context, req *types.InflateVirtualDisk_Task) soap.HasFault {
	f, fault := sh.named(ctx, req.Name, req.Datacenter)
	if fault != nil {
		return &methods.InflateVirtualDisk_TaskBody{Fault_: faults.SOAP(fault)}
	}
	task := sh.run(ctx, req.This, "inflateVirtualDisk", func() (types.AnyType, types.BaseMethodFault) {
		return nil, sh.changed(f, req.Datacenter, func(top *vdisk.FlatBacking, _ int64) types.BaseMethodFault {
			if top.ThinProvisioned == nil || !*top.ThinProvisioned {
				return &types.InvalidDiskFormat{}
			}
			if err := dsfiles.SetThick(dsfiles.Local(f.ds, f.file)); err != nil {
				log.Printf("vforge-sim: inflating %s: %v", f.name, err)
				return &types.CannotAccessFile{FileFault: f.fault()}
			}
			return nil
		})
	})
	return &methods.InflateVirtualDisk_TaskBody{Res: &types.InflateVirtualDisk_TaskResponse{Returnval: task}}
}

// QueryVirtualDiskUuid tells the UUID in a disk's descriptor.
func (sh *diskShim) QueryVirtualDiskUuid(ctx *simulator.Context, req *types.QueryVirtualDiskUuid) soap.HasFault {
	f, fault := sh.named(ctx, req.Name, req.Datacenter)
	var top *vdisk.FlatBacking
	if fault == nil {
		top, _, fault = sh.disk(f)
	}
	if fault != nil {
		return &methods.QueryVirtualDiskUuidBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.QueryVirtualDiskUuidBody{Res: &types.QueryVirtualDiskUuidResponse{Returnval: dsfiles.DiskUUID(top.Uuid)}}
}

// SetVirtualDiskUuid writes another UUID into a disk's descriptor.
func (sh *diskShim) SetVirtualDiskUuid(ctx *simulator.Context, req *types.SetVirtualDiskUuid) soap.HasFault {
	f, fault := sh.named(ctx, req.Name, req.Datacenter)
	if fault == nil && dsfiles.PlainUUID(req.Uuid) == "" {
		fault = faults.Invalid("uuid")
	}
	if fault == nil {
		fault = sh.changed(f, req.Datacenter, func(*vdisk.FlatBacking, int64) types.BaseMethodFault {
			if err := dsfiles.SetUUID(dsfiles.Local(f.ds, f.file), dsfiles.PlainUUID(req.Uuid)); err != nil {
				log.Printf("vforge-sim: the UUID of %s: %v", f.name, err)
				return &types.CannotAccessFile{FileFault: f.fault()}
			}
			return nil
		})
	}
	if fault != nil {
		return &methods.SetVirtualDiskUuidBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.SetVirtualDiskUuidBody{Res: &types.SetVirtualDiskUuidResponse{}}
}
