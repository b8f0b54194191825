// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package disks

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

// Home is the directory of a VM to which files are added, all of which go again when
// what they are made for fails.
type Home struct {
	DS   *simulator.Datastore
	Name string // that its files begin with: the VM's, unless another one was asked for
	dir  string
	made []string // local paths, in the order of making
}

// NewHome makes the directory and the small files of a new VM. vmx is the path of its configuration file where that was
// asked for; its directory may be there already.
func NewHome(ds *simulator.Datastore, name, vmx string) (*Home, error) {
	h := &Home{DS: ds, Name: name}
	if vmx == "" {
		dir, err := dsfiles.MakeVMDir(ds, name)
		if err != nil {
			return nil, err
		}
		h.dir, h.made = dir, []string{dsfiles.Local(ds, dir)}
	} else {
		h.dir, h.Name = path.Dir(vmx), strings.TrimSuffix(path.Base(vmx), ".vmx")
		if _, err := os.Lstat(dsfiles.Local(ds, h.VMX())); err == nil {
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
	for _, f := range []string{h.VMX(), path.Join(h.dir, h.Name+".nvram"), path.Join(h.dir, "vmware.log")} {
		if local := dsfiles.Local(ds, f); !dsfiles.Exists(local) { // another VM may lie in the same directory
			h.made = append(h.made, local)
		}
	}
	if err := WriteVMFiles(ds, h.VMX()); err != nil {
		h.Remove()
		return nil, err
	}
	return h, nil
}

// HomeOf is the home of a VM that exists.
func (s *Disks) HomeOf(vm *simulator.VirtualMachine) (*Home, bool) {
	dsName, vmx := dsfiles.Split(vm.Config.Files.VmPathName)
	ds, ok := s.DatastoreOf(vm, dsName)
	return &Home{DS: ds, Name: vm.Name, dir: path.Dir(vmx)}, ok
}

// VMX is the path of the configuration file.
func (h *Home) VMX() string { return path.Join(h.dir, h.Name+".vmx") }

// NewDisk names a disk that is to be made on a datastore: NAME.vmdk, else NAME_1.vmdk
// and so on.
func (h *Home) NewDisk(ds *simulator.Datastore) string {
	return h.free(ds, func(i int) string {
		if i == 0 {
			return h.Name + ".vmdk"
		}
		return fmt.Sprintf("%s_%d.vmdk", h.Name, i)
	})
}

// NewLayer names a delta disk that is to be made.
func (h *Home) NewLayer(ds *simulator.Datastore) string {
	return h.free(ds, func(i int) string { return fmt.Sprintf("%s-%06d.vmdk", h.Name, i+1) })
}

func (h *Home) free(ds *simulator.Datastore, name func(int) string) string {
	for i := 0; ; i++ {
		file := path.Join(h.dir, name(i))
		if _, err := os.Lstat(dsfiles.Local(ds, file)); errors.Is(err, os.ErrNotExist) {
			h.Note(ds, file)
			return file
		}
	}
}

// Note has the files of a disk go with the rest when the work fails.
func (h *Home) Note(ds *simulator.Datastore, file string) {
	for _, f := range []string{file, dsfiles.Extent(file, false), dsfiles.Extent(file, true)} {
		h.made = append(h.made, dsfiles.Local(ds, f))
	}
}

// Remove takes away all that was made, last things first; a directory goes when it is
// empty.
func (h *Home) Remove() {
	for i := len(h.made) - 1; i >= 0; i-- {
		if err := os.Remove(h.made[i]); err != nil && !errors.Is(err, os.ErrNotExist) {
			log.Printf("vforge-sim: %v", err)
		}
	}
	h.made = nil
}
