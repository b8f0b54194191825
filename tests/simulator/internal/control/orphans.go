// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package control

import (
	"io/fs"
	"net/http"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/vmware/govmomi/simulator"

	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/inventory"
)

// getOrphans lists the files on datastores that no VM refers to.
func (s *Control) getOrphans(*http.Request) (any, error) {
	s.Creating.Lock() // nothing is half made
	defer s.Creating.Unlock()
	known := make(map[string]bool)
	for _, e := range s.Reg.All("VirtualMachine") {
		if vm, made := e.(*simulator.VirtualMachine); made {
			s.noteFiles(vm, known)
		}
	}
	s.Leases.NoteFiles(known)
	s.noteFCDs(known)
	orphans := []string{}
	root := inventory.DatastoreDir(s.Cfg.StateDir)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		// A tool's note about a file, which has that file's name and an ending more, goes with it.
		if err == nil && !d.IsDir() && !known[p] && !known[strings.TrimSuffix(p, filepath.Ext(p))] {
			orphans = append(orphans, strings.TrimPrefix(p, root+"/"))
		}
		return err
	})
	sort.Strings(orphans)
	return map[string]any{"files": orphans}, err
}

// noteFiles notes the files that a VM refers to: what its layout lists, and what its
// devices are backed by.
func (s *Control) noteFiles(vm *simulator.VirtualMachine, known map[string]bool) {
	s.Background("").WithLock(vm, func() {
		note := func(name string) {
			dsName, file := dsfiles.Split(name)
			if ds, ok := s.DatastoreOf(vm, dsName); ok && file != "" {
				known[dsfiles.Local(ds, file)] = true
			}
		}
		if vm.LayoutEx != nil {
			for _, f := range vm.LayoutEx.File {
				note(f.Name)
			}
		}
		dir := path.Dir(vm.Config.Files.VmPathName)
		for _, name := range []string{"/vmware.log", "/" + vm.Name + ".nvram"} {
			note(dir + name)
		}
		for key := range s.LayerUsers.Levels(vm.Self) {
			for _, name := range []string{key.File, dsfiles.Extent(key.File, false), dsfiles.Extent(key.File, true)} {
				note(name)
			}
		}
	})
}
