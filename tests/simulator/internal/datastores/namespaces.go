// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package datastores

import (
	"errors"
	"log"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/shim"
)

// namespaceShim makes and removes the directories of datastores whose topmost ones are objects: vSAN.
type namespaceShim struct{ shim.Of[*Datastores] }

const namespacePrivilege = "Datastore.Config"

// namespaces are directories that were made as objects, by their stable paths.
type namespaces struct {
	mu   sync.Mutex
	dirs map[string]namespace
}

type namespace struct {
	ds   *simulator.Datastore
	name string
}

// HasNamespaces tells if the topmost directories of a datastore are objects.
func HasNamespaces(ds *simulator.Datastore) bool {
	return ds.Capability.TopLevelDirectoryCreateSupported != nil && !*ds.Capability.TopLevelDirectoryCreateSupported
}

// CreateDirectory makes a topmost directory. It is found by its name as by the path that is returned.
func (sh *namespaceShim) CreateDirectory(ctx *simulator.Context, req *types.CreateDirectory) soap.HasFault {
	refuse := func(fault types.BaseMethodFault) soap.HasFault {
		return &methods.CreateDirectoryBody{Fault_: faults.SOAP(fault)}
	}
	ds, ok := sh.S.Reg.Get(req.Datastore).(*simulator.Datastore)
	if !ok {
		return refuse(&types.ManagedObjectNotFound{Obj: req.Datastore})
	}
	if denied := sh.S.Auth.Denied(ctx.Session.UserName, ds.Self, namespacePrivilege); denied != nil {
		return refuse(denied)
	}
	if !HasNamespaces(ds) {
		return refuse(&types.InvalidDatastore{Datastore: &ds.Self, Name: ds.Name})
	}
	id := uuid.NewString()
	name := req.DisplayName
	if name == "" {
		name = id
	}
	file := types.FileFault{File: dsfiles.Path(ds.Name, name)}
	if strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") {
		return refuse(&types.CannotCreateFile{FileFault: file})
	}
	if err := makeNamespace(ds, id, name); errors.Is(err, os.ErrExist) {
		return refuse(&types.FileAlreadyExists{FileFault: file})
	} else if err != nil {
		log.Printf("vforge-sim: making %s: %v", file.File, err)
		return refuse(&types.CannotCreateFile{FileFault: file})
	}
	stable := path.Join("/vmfs/volumes", path.Base(ds.Summary.Url), id)
	sh.S.namespaces.mu.Lock()
	defer sh.S.namespaces.mu.Unlock()
	if sh.S.namespaces.dirs == nil {
		sh.S.namespaces.dirs = make(map[string]namespace)
	}
	sh.S.namespaces.dirs[stable] = namespace{ds, name}
	return &methods.CreateDirectoryBody{Res: &types.CreateDirectoryResponse{Returnval: stable}}
}

// makeNamespace makes a directory whose name is a UUID, and which is found by another name, too: a link here.
func makeNamespace(ds *simulator.Datastore, id, name string) error {
	if err := os.Mkdir(dsfiles.Local(ds, id), 0o700); err != nil || id == name {
		return err
	}
	err := os.Symlink(id, dsfiles.Local(ds, name))
	if err != nil {
		_ = os.Remove(dsfiles.Local(ds, id)) // it is empty
	}
	return err
}

// ListedAs is a path within a datastore as vCenter lists it: with the UUID of its topmost directory, where that is an object.
func ListedAs(ds *simulator.Datastore, file string) string {
	top, below, _ := strings.Cut(file, "/")
	id, err := os.Readlink(dsfiles.Local(ds, top))
	if err != nil || top == "" {
		return file
	}
	return path.Join(id, below)
}

// ConvertNamespacePathToUuidPath says the path of a file or directory by the UUID of its topmost directory.
func (sh *namespaceShim) ConvertNamespacePathToUuidPath(_ *simulator.Context, req *types.ConvertNamespacePathToUuidPath) soap.HasFault {
	converted, fault := sh.converted(req)
	if fault != nil {
		return &methods.ConvertNamespacePathToUuidPathBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.ConvertNamespacePathToUuidPathBody{Res: &types.ConvertNamespacePathToUuidPathResponse{Returnval: converted}}
}

func (sh *namespaceShim) converted(req *types.ConvertNamespacePathToUuidPath) (string, types.BaseMethodFault) {
	if req.Datacenter == nil {
		return "", faults.Invalid("datacenter")
	}
	for _, e := range sh.S.Reg.All("Datastore") {
		ds, ok := e.(*simulator.Datastore)
		if !ok || sh.S.DatacenterOf(ds.Self) != *req.Datacenter {
			continue
		}
		file, ok := strings.CutPrefix(req.NamespaceUrl, strings.TrimSuffix(ds.Summary.Url, "/")+"/")
		switch {
		case !ok:
			continue
		case !HasNamespaces(ds):
			return "", &types.InvalidDatastore{Datastore: &ds.Self, Name: ds.Name}
		case !dsfiles.Exists(dsfiles.Local(ds, file)):
			return "", &types.InvalidDatastorePath{InvalidDatastore: types.InvalidDatastore{Datastore: &ds.Self, Name: ds.Name}, DatastorePath: req.NamespaceUrl}
		}
		return path.Join(ds.Summary.Url, ListedAs(ds, file)), nil
	}
	return "", &types.InvalidDatastorePath{DatastorePath: req.NamespaceUrl}
}

// DeleteDirectory removes a directory by its stable path; it has to be empty.
func (sh *namespaceShim) DeleteDirectory(ctx *simulator.Context, req *types.DeleteDirectory) soap.HasFault {
	fault := sh.remove(ctx, req)
	if fault != nil {
		return &methods.DeleteDirectoryBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.DeleteDirectoryBody{Res: &types.DeleteDirectoryResponse{}}
}

func (sh *namespaceShim) remove(ctx *simulator.Context, req *types.DeleteDirectory) types.BaseMethodFault {
	if req.Datacenter == nil {
		return faults.Invalid("datacenter")
	}
	stable := path.Clean(req.DatastorePath)
	if !strings.HasPrefix(stable, "/vmfs/volumes/") || strings.Count(stable, "/") != 4 {
		return &types.InvalidDatastorePath{DatastorePath: req.DatastorePath}
	}
	sh.S.namespaces.mu.Lock()
	defer sh.S.namespaces.mu.Unlock()
	found, ok := sh.S.namespaces.dirs[stable]
	file := types.FileFault{File: req.DatastorePath}
	if !ok || sh.S.DatacenterOf(found.ds.Self) != *req.Datacenter {
		return &types.FileNotFound{FileFault: file}
	}
	if denied := sh.S.Auth.Denied(ctx.Session.UserName, found.ds.Self, namespacePrivilege); denied != nil {
		return denied
	}
	err := os.Remove(dsfiles.Local(found.ds, path.Base(stable)))
	if err == nil && found.name != path.Base(stable) {
		err = os.Remove(dsfiles.Local(found.ds, found.name))
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		delete(sh.S.namespaces.dirs, stable)
		return &types.FileNotFound{FileFault: file}
	case err != nil:
		return &file // it is not empty
	}
	delete(sh.S.namespaces.dirs, stable)
	return nil
}

// unmakeable refuses a directory that is there, and one whose topmost one is not, and would have to be
// an object.
func (s *Datastores) unmakeable(name string, dc *types.ManagedObjectReference) types.BaseMethodFault {
	ds := s.DatastoreIn(dc, name)
	if ds == nil {
		return nil // vcsim says what is wrong with the name
	}
	_, file := dsfiles.Split(name)
	top, _, _ := strings.Cut(strings.Trim(path.Clean(file), "/"), "/")
	switch {
	case dsfiles.Exists(dsfiles.Local(ds, file)):
		return &types.FileAlreadyExists{FileFault: types.FileFault{File: name}}
	case HasNamespaces(ds) && !dsfiles.Exists(dsfiles.Local(ds, top)):
		return &types.CannotCreateFile{FileFault: types.FileFault{File: name}}
	}
	return nil
}
