// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path"
	"strings"

	"github.com/vmware/govmomi/simulator"

	"vforge.vsphere/simulator/internal/dsfiles"
)

// vmHome is the directory of a VM to which files are added, all of which go again when
// what they are made for fails.
type vmHome struct {
	ds   *simulator.Datastore
	name string // that its files begin with: the VM's, unless another one was asked for
	dir  string
	made []string // local paths, in the order of making
}

// newVMHome makes the directory and the small files of a new VM. vmx is the path of its configuration file where that was
// asked for; its directory may be there already.
func newVMHome(ds *simulator.Datastore, name, vmx string) (*vmHome, error) {
	h := &vmHome{ds: ds, name: name}
	if vmx == "" {
		dir, err := dsfiles.MakeVMDir(ds, name)
		if err != nil {
			return nil, err
		}
		h.dir, h.made = dir, []string{dsfiles.Local(ds, dir)}
	} else {
		h.dir, h.name = path.Dir(vmx), strings.TrimSuffix(path.Base(vmx), ".vmx")
		if _, err := os.Lstat(dsfiles.Local(ds, h.vmx())); err == nil {
			return nil, os.ErrExist
		}
		dir := dsfiles.Local(ds, h.dir)
		if _, err := os.Lstat(dir); errors.Is(err, os.ErrNotExist) {
			h.made = []string{dir}
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	for _, f := range []string{h.vmx(), path.Join(h.dir, h.name+".nvram"), path.Join(h.dir, "vmware.log")} {
		h.made = append(h.made, dsfiles.Local(ds, f))
	}
	if err := writeVMFiles(ds, h.vmx()); err != nil {
		h.remove()
		return nil, err
	}
	return h, nil
}

// homeOf is the home of a VM that exists.
func (s *Sim) homeOf(vm *simulator.VirtualMachine) (*vmHome, bool) {
	dsName, vmx := dsfiles.Split(vm.Config.Files.VmPathName)
	ds, ok := s.DatastoreOf(vm, dsName)
	return &vmHome{ds: ds, name: vm.Name, dir: path.Dir(vmx)}, ok
}

// vmx is the path of the configuration file.
func (h *vmHome) vmx() string { return path.Join(h.dir, h.name+".vmx") }

// NewDisk names a disk that is to be made on a datastore: NAME.vmdk, else NAME_1.vmdk
// and so on.
func (h *vmHome) newDisk(ds *simulator.Datastore) string {
	return h.free(ds, func(i int) string {
		if i == 0 {
			return h.name + ".vmdk"
		}
		return fmt.Sprintf("%s_%d.vmdk", h.name, i)
	})
}

// newLayer names a delta disk that is to be made.
func (h *vmHome) newLayer(ds *simulator.Datastore) string {
	return h.free(ds, func(i int) string { return fmt.Sprintf("%s-%06d.vmdk", h.name, i+1) })
}

func (h *vmHome) free(ds *simulator.Datastore, name func(int) string) string {
	for i := 0; ; i++ {
		file := path.Join(h.dir, name(i))
		if _, err := os.Lstat(dsfiles.Local(ds, file)); errors.Is(err, os.ErrNotExist) {
			h.note(ds, file)
			return file
		}
	}
}

// note has the files of a disk go with the rest when the work fails.
func (h *vmHome) note(ds *simulator.Datastore, file string) {
	for _, f := range []string{file, dsfiles.Extent(file, false), dsfiles.Extent(file, true)} {
		h.made = append(h.made, dsfiles.Local(ds, f))
	}
}

// remove takes away all that was made, last things first; a directory goes when it is
// empty.
func (h *vmHome) remove() {
	for i := len(h.made) - 1; i >= 0; i-- {
		if err := os.Remove(h.made[i]); err != nil && !errors.Is(err, os.ErrNotExist) {
			log.Printf("vforge-sim: %v", err)
		}
	}
	h.made = nil
}
