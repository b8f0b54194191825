// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package dsfiles

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
)

// DeltaSize is what a fresh delta extent occupies: its metadata, no data.
const DeltaSize = 64 * 1024

// Path is a datastore path split in two: "[name] dir/file".
func Path(datastore, path string) string {
	p := object.DatastorePath{Datastore: datastore, Path: path}
	return p.String()
}

// Split takes a datastore path apart; both parts are empty for what is none.
func Split(s string) (datastore, path string) {
	var p object.DatastorePath
	if !p.FromString(s) {
		return "", ""
	}
	return p.Datastore, p.Path
}

// Local is where a file of ds lies on this machine.
func Local(ds *simulator.Datastore, path string) string {
	return filepath.Join(ds.Summary.Url, filepath.FromSlash(path))
}

// MakeVMDir makes a directory for a VM and returns its name: that of the VM, with
// _1, _2 and so on appended while it is taken, as vCenter does. Blanks around the name
// are left out: who reads a datastore path trims it, and would not find the files.
func MakeVMDir(ds *simulator.Datastore, name string) (string, error) {
	name = strings.TrimSpace(name)
	for i := 0; ; i++ {
		dir := name
		if i > 0 {
			dir = fmt.Sprintf("%s_%d", name, i)
		}
		err := os.Mkdir(Local(ds, dir), 0o700)
		if err == nil || !errors.Is(err, os.ErrExist) {
			return dir, err
		}
	}
}

// FreeDir names a directory that is not there: the one that is asked for, with _1, _2 and so on while it is taken.
func FreeDir(ds *simulator.Datastore, name string) string {
	dir := name
	for i := 1; Exists(Local(ds, dir)); i++ {
		dir = fmt.Sprintf("%s_%d", name, i)
	}
	return dir
}

// WriteDisk makes a layer's descriptor and its sparse extent, in a directory that a VM
// whose files are only listed may not have yet.
func WriteDisk(ds *simulator.Datastore, descriptor string, l Layer) error {
	l.Name = Path(ds.Name, descriptor)
	return MakeLayerFiles(Local(ds, descriptor), Local(ds, Extent(descriptor, l.delta())), l)
}

// MakeLayerFiles is WriteDisk with paths of this machine.
func MakeLayerFiles(descriptor, extent string, l Layer) error {
	if err := os.MkdirAll(filepath.Dir(descriptor), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(descriptor, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(l.Text(filepath.Base(extent)))
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if l.delta() {
		return WriteSparse(extent, DeltaSize)
	}
	return WriteSparse(extent, l.Capacity)
}

// WriteSparse makes a file of a size with nothing in it.
func WriteSparse(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// Extent is the file that holds the data of a disk: flat for a base disk,
// sesparse for a delta.
func Extent(descriptor string, delta bool) string {
	kind := "-flat.vmdk"
	if delta {
		kind = "-sesparse.vmdk"
	}
	return strings.TrimSuffix(descriptor, ".vmdk") + kind
}

// Exists tells if there is a file or folder.
func Exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
