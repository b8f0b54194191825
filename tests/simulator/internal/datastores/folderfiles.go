// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package datastores

import (
	"errors"
	"html/template"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/vdisk"
)

// ServeFolder gives access to the files of datastores: those that no running VM has
// locked, to whoever may.
func (s *Datastores) ServeFolder(w http.ResponseWriter, r *http.Request) {
	ds, ok := s.DatastoreAsked(r.URL.Query())
	if !ok {
		http.Error(w, "no such datastore", http.StatusNotFound)
		return
	}
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/folder")
	name = strings.TrimPrefix(name, "/")
	dc := s.DatacenterOf(ds.Self)
	info, err := os.Stat(dsfiles.Local(ds, name))
	reading := r.Method == http.MethodGet || r.Method == http.MethodHead
	privilege := "Datastore.FileManagement"
	if reading && err == nil && info.IsDir() {
		privilege = "Datastore.Browse"
	}
	switch {
	case strings.Contains(r.URL.Path, ".."):
		http.Error(w, "a path within the datastore is needed", http.StatusBadRequest)
	case s.Auth.Denied(s.Sessions.Of(r).User, ds.Self, privilege) != nil:
		http.Error(w, privilege+" is needed", http.StatusForbidden)
	case s.Locked(ds, name), !reading && s.Needed(dsfiles.Path(ds.Name, name), &dc) != nil:
		http.Error(w, "the file is locked by a running VM", http.StatusInternalServerError)
	case reading && privilege == "Datastore.FileManagement":
		s.serveFile(w, r, ds, name)
	case reading:
		s.listFolder(w, ds, name)
	case r.Method == http.MethodPut || r.Method == http.MethodPost:
		s.takeFile(w, r, ds, name)
	case r.Method == http.MethodDelete:
		s.deleteFile(w, ds, name)
	default:
		http.Error(w, r.Method+" is not possible", http.StatusMethodNotAllowed)
	}
}

// folderPage is how a vCenter shows a directory.
var folderPage = template.Must(template.New("").Parse(`<html><body>
<h1>Index of {{.Name}} on datastore {{.Datastore}}</h1>
<table>
{{range .Entries}}<tr><td><a href="{{.Link}}">{{.Name}}</a></td></tr>
{{end}}</table>
</body></html>
`))

type folderEntry struct{ Name, Link string }

// listFolder shows a directory, at its own path, without a slash behind it.
func (s *Datastores) listFolder(w http.ResponseWriter, ds *simulator.Datastore, name string) {
	found, err := os.ReadDir(dsfiles.Local(ds, name))
	if err != nil {
		http.Error(w, "no such directory", http.StatusNotFound)
		return
	}
	query := url.Values{"dcPath": {strings.TrimPrefix(s.EntityPath(s.DatacenterOf(ds.Self)), "/")}, "dsName": {ds.Name}}.Encode()
	entries := make([]folderEntry, 0, len(found))
	for _, e := range found {
		link := url.URL{Path: path.Join("/folder", name, e.Name()), RawQuery: query}
		entries = append(entries, folderEntry{e.Name(), link.String()})
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	page := struct {
		Name, Datastore string
		Entries         []folderEntry
	}{name, ds.Name, entries}
	if err := folderPage.Execute(w, page); err != nil {
		log.Printf("vforge-sim: listing %s: %v", name, err)
	}
}

// takeFile stores what a client sends, as it comes: what breaks off on its way leaves a part.
func (s *Datastores) takeFile(w http.ResponseWriter, r *http.Request, ds *simulator.Datastore, name string) {
	local := dsfiles.Local(ds, name)
	_, err := os.Stat(local)
	status := http.StatusOK
	if errors.Is(err, os.ErrNotExist) {
		status = http.StatusCreated
	}
	f, err := os.OpenFile(local, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		http.Error(w, "no such directory", http.StatusNotFound)
		return
	}
	if err == nil {
		_, err = io.CopyBuffer(f, OnlyReader{Reader: r.Body}, make([]byte, 256<<10))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.replaced(local)
	s.Sent.note(ds, name)
	w.WriteHeader(status)
}

// deleteFile removes a file, or a directory that is empty.
func (s *Datastores) deleteFile(w http.ResponseWriter, ds *simulator.Datastore, name string) {
	err := os.Remove(dsfiles.Local(ds, name))
	switch {
	case errors.Is(err, os.ErrNotExist):
		http.Error(w, "no such file", http.StatusNotFound)
	case err != nil:
		http.Error(w, "the directory is not empty", http.StatusInternalServerError)
	default:
		s.DiskLayers.ForgetRemoved()
		w.WriteHeader(http.StatusNoContent)
	}
}

// sentFiles are the files that came in by their paths, and lie on vSAN: its disks are objects, which
// no file makes.
type sentFiles struct {
	mu    sync.Mutex
	paths map[string]bool
}

func (t *sentFiles) note(ds *simulator.Datastore, name string) {
	if ds.Summary.Type != dsfiles.VSAN {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.paths == nil {
		t.paths = make(map[string]bool)
	}
	t.paths[dsfiles.Local(ds, ListedAs(ds, name))] = true
}

// Broken tells if a disk's extent, or its descriptor, was sent to vSAN.
func (t *sentFiles) Broken(ds *simulator.Datastore, descriptor string) bool {
	descriptor = ListedAs(ds, descriptor)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.paths[dsfiles.Local(ds, descriptor)] || t.paths[dsfiles.Local(ds, dsfiles.Extent(descriptor, false))]
}

// DatastoreAsked finds the datastore that a URL names: dsName and, where there are
// several datacenters, dcPath.
func (s *Datastores) DatastoreAsked(query url.Values) (*simulator.Datastore, bool) {
	var found []*simulator.Datastore
	for _, e := range s.Reg.All("Datastore") {
		ds := e.(*simulator.Datastore)
		dc := s.Ancestor(ds.Self, "Datacenter")
		if ds.Name != query.Get("dsName") || dc == nil {
			continue
		}
		wanted := strings.TrimPrefix(query.Get("dcPath"), "/")
		if wanted == "" || "/"+wanted == s.EntityPath(dc.Reference()) {
			found = append(found, ds)
		}
	}
	if len(found) != 1 {
		return nil, false
	}
	return found[0], true
}

// descriptorOf is the descriptor of the disk layer that a file belongs to, and whether
// the file is its extent.
func descriptorOf(file string) (name string, extent bool) {
	for _, delta := range []bool{false, true} {
		if base, ok := strings.CutSuffix(file, dsfiles.Extent("", delta)); ok {
			return base + ".vmdk", true
		}
	}
	return file, false
}

// Locked tells if a running VM has a layer of its disks in a file. Its host has locked
// the whole chain then; descriptors can be read.
func (s *Datastores) Locked(ds *simulator.Datastore, file string) bool {
	descriptor, extent := descriptorOf(file)
	if !extent {
		return false
	}
	key := vdisk.LayerKey{Datastore: ds.Self.Value, File: dsfiles.Path(ds.Name, ListedAs(ds, descriptor))}
	for _, ref := range s.LayerUsers.UsersOf(key) {
		if vm := s.VM(ref); vm != nil && s.runsOn(vm, key) {
			return true
		}
	}
	return false
}

// runsOn tells if a VM is powered on with a disk that has a layer.
func (s *Datastores) runsOn(vm *simulator.VirtualMachine, key vdisk.LayerKey) (runs bool) {
	s.Background("").WithLock(vm, func() {
		if vm.Runtime.PowerState != core.PoweredOn {
			return
		}
		for _, disk := range vdisk.DisksOf(vm.Config.Hardware.Device) {
			for _, b := range vdisk.DiskChain(disk) {
				runs = runs || vdisk.KeyOf(b) == key
			}
		}
	})
	return runs
}

// serveFile sends a file, or the part of it that is asked for.
func (s *Datastores) serveFile(w http.ResponseWriter, r *http.Request, ds *simulator.Datastore, file string) {
	_, extent := descriptorOf(file)
	if extent && ds.Summary.Type == dsfiles.VSAN {
		http.Error(w, "no such file", http.StatusNotFound) // a disk's data is in no file there
		return
	}
	f, err := os.Open(dsfiles.Local(ds, file))
	if errors.Is(err, os.ErrNotExist) && s.makeListed(ds, file) {
		f, err = os.Open(dsfiles.Local(ds, file))
	}
	if err != nil {
		http.Error(w, "no such file", http.StatusNotFound)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, file, info.ModTime(), f)
}

// makeListed makes the files of a disk layer that so far was only listed.
func (s *Datastores) makeListed(ds *simulator.Datastore, file string) bool {
	descriptor, _ := descriptorOf(file)
	if len(s.LayerUsers.UsersOf(vdisk.LayerKey{Datastore: ds.Self.Value, File: dsfiles.Path(ds.Name, descriptor)})) == 0 {
		return false
	}
	for _, delta := range []bool{false, true} {
		extent := dsfiles.Local(ds, dsfiles.Extent(descriptor, delta))
		if l := s.DiskLayers.Known(extent); l != nil {
			err := l.MakeFiles()
			if err != nil {
				log.Printf("vforge-sim: making %s: %v", extent, err)
			}
			return err == nil
		}
	}
	return false
}

// replaced takes a file that a client has sent for the content of the layer that it
// is the extent of, if it is one.
func (s *Datastores) replaced(extent string) {
	if l := s.DiskLayers.Known(extent); l != nil {
		l.Replaced()
	}
}

// OnlyReader hides all but Read, so that io.CopyBuffer uses its buffer.
type OnlyReader struct{ io.Reader }
