// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package datastores

import (
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/shim"
)

// fileShim keeps what VMs need from being removed by those who work on files.
type fileShim struct{ shim.Of[*Datastores] }

// FilePrivilege is needed for what is done to files of a datastore.
const FilePrivilege = "Datastore.FileManagement"

// DeleteDatastoreFileTask deletes a file or a directory, unless a VM needs a disk in it.
func (sh *fileShim) DeleteDatastoreFileTask(ctx *simulator.Context, req *types.DeleteDatastoreFile_Task) soap.HasFault {
	if denied := sh.denied(ctx, req.Name, req.Datacenter); denied != nil {
		return &methods.DeleteDatastoreFile_TaskBody{Fault_: faults.SOAP(denied)}
	}
	if fault := sh.S.Needed(req.Name, req.Datacenter); fault != nil {
		task := sh.S.Tasks.Failed(ctx, req.This, "deleteDatastoreFile", fault)
		return &methods.DeleteDatastoreFile_TaskBody{Res: &types.DeleteDatastoreFile_TaskResponse{Returnval: task}}
	}
	m := sh.S.Reg.FileManager()
	var res soap.HasFault
	ctx.WithLock(m, func() { res = m.DeleteDatastoreFileTask(ctx, req) })
	sh.S.Tasks.After(res.(*methods.DeleteDatastoreFile_TaskBody).Res.Returnval, sh.S.DiskLayers.ForgetRemoved)
	return res
}

// MoveDatastoreFileTask moves a file or a directory, unless a VM needs a disk in it.
func (sh *fileShim) MoveDatastoreFileTask(ctx *simulator.Context, req *types.MoveDatastoreFile_Task) soap.HasFault {
	to := req.DestinationDatacenter
	if to == nil {
		to = req.SourceDatacenter
	}
	for _, denied := range []types.BaseMethodFault{
		sh.denied(ctx, req.SourceName, req.SourceDatacenter), sh.denied(ctx, req.DestinationName, to),
	} {
		if denied != nil {
			return &methods.MoveDatastoreFile_TaskBody{Fault_: faults.SOAP(denied)}
		}
	}
	if fault := sh.S.Needed(req.SourceName, req.SourceDatacenter); fault != nil {
		task := sh.S.Tasks.Failed(ctx, req.This, "moveDatastoreFile", fault)
		return &methods.MoveDatastoreFile_TaskBody{Res: &types.MoveDatastoreFile_TaskResponse{Returnval: task}}
	}
	m := sh.S.Reg.FileManager()
	var res soap.HasFault
	ctx.WithLock(m, func() { res = m.MoveDatastoreFileTask(ctx, req) })
	sh.S.Tasks.After(res.(*methods.MoveDatastoreFile_TaskBody).Res.Returnval, sh.S.DiskLayers.ForgetRemoved)
	return res
}

// MakeDirectory makes a directory.
func (sh *fileShim) MakeDirectory(ctx *simulator.Context, req *types.MakeDirectory) soap.HasFault {
	if denied := sh.denied(ctx, req.Name, req.Datacenter); denied != nil {
		return &methods.MakeDirectoryBody{Fault_: faults.SOAP(denied)}
	}
	if fault := sh.S.unmakeable(req.Name, req.Datacenter); fault != nil {
		return &methods.MakeDirectoryBody{Fault_: faults.SOAP(fault)}
	}
	m := sh.S.Reg.FileManager()
	var res soap.HasFault
	ctx.WithLock(m, func() { res = m.MakeDirectory(ctx, req) })
	return res
}

// denied checks the caller's privilege on the datastore of a file.
func (sh *fileShim) denied(ctx *simulator.Context, name string, dc *types.ManagedObjectReference) types.BaseMethodFault {
	ds := sh.S.DatastoreIn(dc, name)
	if ds == nil {
		return nil // vcsim says what is wrong with the name
	}
	return sh.S.Auth.Denied(ctx.Session.UserName, ds.Self, FilePrivilege)
}

// DatastoreIn finds the datastore of a file in a datacenter.
func (s *Datastores) DatastoreIn(dc *types.ManagedObjectReference, name string) *simulator.Datastore {
	dsName, _ := dsfiles.Split(name)
	for _, e := range s.Reg.All("Datastore") {
		ds, ok := e.(*simulator.Datastore)
		if ok && ds.Name == dsName && (dc == nil || s.DatacenterOf(mo.Reference(ds).Reference()) == *dc) {
			return ds
		}
	}
	return nil
}

// Needed refuses a file, or a directory with one, that a running VM has open or that disks
// of several VMs build on.
func (s *Datastores) Needed(name string, dc *types.ManagedObjectReference) types.BaseMethodFault {
	ds := s.DatastoreIn(dc, name)
	if ds == nil {
		return nil
	}
	_, file := dsfiles.Split(name)
	name = dsfiles.Path(ds.Name, ListedAs(ds, file))
	for key, users := range s.LayerUsers.All() {
		if key.Datastore != ds.Self.Value || !touches(name, key.File) {
			continue
		}
		for _, ref := range users {
			if len(users) > 1 || s.runs(ref) {
				return faults.FileLocked(key.File)
			}
		}
	}
	return nil
}

// touches tells if a path is that of a disk, of its extent, or of a directory above it.
func touches(name, disk string) bool {
	name = strings.TrimSuffix(name, "/")
	return name == disk || name == dsfiles.Extent(disk, false) || name == dsfiles.Extent(disk, true) || strings.HasPrefix(disk, name+"/")
}

func (s *Datastores) runs(ref types.ManagedObjectReference) (on bool) {
	if vm := s.VM(ref); vm != nil {
		s.Background("").WithLock(vm, func() { on = vm.Runtime.PowerState == core.PoweredOn })
	}
	return on
}
