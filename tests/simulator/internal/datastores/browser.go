// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package datastores

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vmdk"

	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/shim"
)

// browserShim looks for files on datastores. What is no search for disks is vcsim's to answer.
type browserShim struct{ shim.Of[*Datastores] }

// SearchDatastoreTask looks in one directory.
func (sh *browserShim) SearchDatastoreTask(ctx *simulator.Context, req *types.SearchDatastore_Task) soap.HasFault {
	query, fault := sh.query(ctx, req.DatastorePath, &req.SearchSpec)
	switch {
	case fault != nil:
		return &methods.SearchDatastore_TaskBody{Fault_: faults.SOAP(fault)}
	case query == nil:
		b := sh.S.Reg.Get(req.This).(*simulator.HostDatastoreBrowser)
		var res soap.HasFault
		ctx.WithLock(b, func() { res = b.SearchDatastoreTask(ctx, req) })
		return res
	}
	task := sh.search(ctx, req.This, query, "searchDatastore", false)
	return &methods.SearchDatastore_TaskBody{Res: &types.SearchDatastore_TaskResponse{Returnval: task}}
}

// SearchDatastoreSubFoldersTask looks below a directory too.
func (sh *browserShim) SearchDatastoreSubFoldersTask(ctx *simulator.Context, req *types.SearchDatastoreSubFolders_Task) soap.HasFault {
	query, fault := sh.query(ctx, req.DatastorePath, &req.SearchSpec)
	switch {
	case fault != nil:
		return &methods.SearchDatastoreSubFolders_TaskBody{Fault_: faults.SOAP(fault)}
	case query == nil:
		b := sh.S.Reg.Get(req.This).(*simulator.HostDatastoreBrowser)
		var res soap.HasFault
		ctx.WithLock(b, func() { res = b.SearchDatastoreSubFoldersTask(ctx, req) })
		return res
	}
	task := sh.search(ctx, req.This, query, "searchDatastoreSubFolders", true)
	return &methods.SearchDatastoreSubFolders_TaskBody{Res: &types.SearchDatastoreSubFolders_TaskResponse{Returnval: task}}
}

// diskQuery is a search for disks.
type diskQuery struct {
	ds       *simulator.Datastore
	folder   string // a datastore path
	patterns []string
	common   types.FileQueryFlags
	disk     *types.VmDiskFileQuery
}

// query is what is looked for; nil where that is more than disks. A specification that is left out
// looks for all files, and so does one without patterns.
func (sh *browserShim) query(ctx *simulator.Context, folder string, spec **types.HostDatastoreBrowserSearchSpec) (*diskQuery, types.BaseMethodFault) {
	if *spec == nil {
		*spec = &types.HostDatastoreBrowserSearchSpec{}
	}
	s := *spec
	if len(s.MatchPattern) == 0 {
		s.MatchPattern = []string{"*"}
	}
	ds := sh.S.DatastoreIn(nil, folder)
	if ds == nil {
		return nil, nil // vcsim says what is wrong with it
	}
	if fault := sh.S.Auth.Denied(ctx.Session.UserName, ds.Self, "Datastore.Browse"); fault != nil {
		return nil, fault
	}
	if len(s.Query) != 1 {
		return nil, nil
	}
	disk, ok := s.Query[0].(*types.VmDiskFileQuery)
	if !ok {
		return nil, nil
	}
	q := &diskQuery{ds: ds, folder: folder, patterns: s.MatchPattern, disk: disk}
	if s.Details != nil {
		q.common = *s.Details
	}
	return q, nil
}

func (sh *browserShim) search(ctx *simulator.Context, this types.ManagedObjectReference, q *diskQuery, id string, below bool) types.ManagedObjectReference {
	return sh.S.Tasks.Run(ctx, this, id, func(*simulator.Context) (types.AnyType, types.BaseMethodFault) {
		_, folder := dsfiles.Split(q.folder)
		root := dsfiles.Local(q.ds, folder)
		if _, err := os.Stat(root); err != nil {
			return nil, &types.FileNotFound{FileFault: types.FileFault{File: q.folder}}
		}
		var found []types.HostDatastoreBrowserSearchResults
		err := filepath.WalkDir(root, func(local string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			rel := strings.TrimPrefix(strings.TrimPrefix(local, dsfiles.Local(q.ds, "")), "/")
			found = append(found, sh.folder(q, rel))
			if local != root && !below {
				return fs.SkipDir
			}
			return nil
		})
		switch {
		case err != nil:
			return nil, &types.CannotAccessFile{FileFault: types.FileFault{File: q.folder}}
		case below:
			return types.ArrayOfHostDatastoreBrowserSearchResults{HostDatastoreBrowserSearchResults: found}, nil
		}
		return found[0], nil
	})
}

// folder lists the disks in one directory: each once, whatever files it is made of.
func (sh *browserShim) folder(q *diskQuery, rel string) types.HostDatastoreBrowserSearchResults {
	out := types.HostDatastoreBrowserSearchResults{Datastore: &q.ds.Self, FolderPath: dsfiles.Path(q.ds.Name, rel)}
	entries, err := os.ReadDir(dsfiles.Local(q.ds, rel))
	if err != nil {
		return out
	}
	for _, e := range entries {
		name := path.Join(rel, e.Name())
		if _, extent := descriptorOf(name); extent || !strings.HasSuffix(name, ".vmdk") || !q.wants(e.Name()) {
			continue
		}
		desc, err := dsfiles.ReadDescriptor(dsfiles.Local(q.ds, name))
		if err != nil {
			continue
		}
		if info := sh.diskInfo(q, name, desc); info != nil {
			out.File = append(out.File, info)
		}
	}
	return out
}

func (q *diskQuery) wants(name string) bool {
	return slices.ContainsFunc(q.patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return err == nil && ok
	})
}

// diskInfo tells of a disk what is asked for; nil for one that is filtered out.
func (sh *browserShim) diskInfo(q *diskQuery, name string, desc *vmdk.Descriptor) *types.VmDiskFileInfo {
	hardware, _ := strconv.Atoi(desc.DDB["virtualHWVersion"]) // a delta has none
	kind := "VirtualDiskFlatVer2BackingInfo"
	if f := q.disk.Filter; f != nil {
		if len(f.DiskType) > 0 && !slices.Contains(f.DiskType, kind) ||
			len(f.MatchHardwareVersion) > 0 && !slices.Contains(f.MatchHardwareVersion, int32(hardware)) {
			return nil
		}
	}
	info := &types.VmDiskFileInfo{FileInfo: types.FileInfo{Path: path.Base(name)}}
	extent := dsfiles.Local(q.ds, dsfiles.Extent(name, desc.Extent[0].Type == "SESPARSE"))
	if stat, err := os.Stat(extent); err == nil {
		if q.common.FileSize {
			info.FileSize = stat.Size()
			if l := sh.S.DiskLayers.Known(extent); l != nil {
				info.FileSize = l.Size()
			}
		}
		if q.common.Modification {
			when := stat.ModTime()
			info.Modification = &when
		}
	}
	d := q.disk.Details
	if d == nil {
		return info
	}
	if d.DiskType {
		info.DiskType = kind
	}
	if d.CapacityKb {
		info.CapacityKb = desc.Capacity() / 1024
	}
	if d.HardwareVersion {
		info.HardwareVersion = int32(hardware)
	}
	if isSet(d.ControllerType) && desc.DDB["adapterType"] != "" {
		info.ControllerType = map[string]string{"ide": "VirtualIDEController", "buslogic": "VirtualBusLogicController"}[desc.DDB["adapterType"]]
		if info.ControllerType == "" {
			info.ControllerType = "VirtualLsiLogicController"
		}
	}
	if isSet(d.DiskExtents) {
		info.DiskExtents = []string{dsfiles.Path(q.ds.Name, path.Join(path.Dir(name), path.Base(extent)))}
	}
	if isSet(d.Thin) {
		info.Thin = types.NewBool(desc.DDB["thinProvisioned"] == "1" || desc.Extent[0].Type == "SESPARSE")
	}
	return info
}

func isSet(b *bool) bool { return b != nil && *b }
