// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"

	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/vmdkfile"
)

// getLeases lists all leases since the start, and those that live: ?within_ms=T answers when none does, but after that time
// in any case.
func (s *Sim) getLeases(r *http.Request) (any, error) {
	if q := r.URL.Query(); q.Has("within_ms") {
		within, err := strconv.Atoi(q.Get("within_ms"))
		if err != nil {
			return nil, badRequest(fmt.Errorf("within_ms: %w", err))
		}
		s.leases.waitForEnd(r.Context(), time.Duration(within)*time.Millisecond)
	}
	ctx := s.background("")
	open := 0
	list := []map[string]any{}
	for _, l := range s.leases.list() {
		var view map[string]any
		ctx.WithLock(l, func() {
			view = map[string]any{"lease": l.Self.Value, "state": l.State, "percent": l.TransferProgress, "task": l.task.Self.Value}
			if l.Error != nil {
				view["error"] = faults.Name(l.Error.Fault)
			}
		})
		l.mu.Lock()
		view["vm"] = l.vm.Value
		if !l.over {
			open++
		}
		files := []map[string]any{}
		for _, f := range l.order {
			files = append(files, map[string]any{
				"key": cmp.Or(f.importKey, f.key), "disk": f.disk, "needed": f.needed > 0, "done": f.done, "bytes": f.size, "sha1": f.sha1, "path": f.path,
			})
		}
		l.mu.Unlock()
		view["files"] = files
		list = append(list, view)
	}
	return map[string]any{"open": open, "leases": list}, nil
}

// waitForEnd returns when the leases that live now are over, or after some time.
func (t *leaseTable) waitForEnd(ctx context.Context, within time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for _, l := range t.list() {
		select {
		case <-l.done:
		case <-ctx.Done():
			return
		}
	}
}

// postLeases sets where the URLs of leases to come lead to, in which form disks go out, and whether
// the tasks of their imports may be cancelled, or ends those that live now, at once or after a while: as a
// host does that goes down, or as their time does when nobody gives a sign of life.
func (s *Sim) postLeases(r *http.Request) (any, error) {
	var body struct {
		Relayed    *bool  `json:"relayed"`
		Cancelable *bool  `json:"cancelable"`
		Form       string `json:"form"`
		Fail       string `json:"fail"`
		AfterMS    int    `json:"after_ms"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if body.Relayed != nil {
		s.leases.mu.Lock()
		s.leases.relay = *body.Relayed
		s.leases.mu.Unlock()
	}
	if body.Cancelable != nil {
		s.leases.mu.Lock()
		s.leases.cancelable = *body.Cancelable
		s.leases.mu.Unlock()
	}
	switch form := vmdkfile.Form(body.Form); form {
	case "":
	case vmdkfile.Stream, vmdkfile.QEMU:
		s.leases.mu.Lock()
		s.leases.form = form
		s.leases.mu.Unlock()
	default:
		return nil, badRequest(fmt.Errorf(`"form" is %q: %s or %s is needed`, form, vmdkfile.Stream, vmdkfile.QEMU))
	}
	if body.Fail == "" {
		return done, nil
	}
	fault, err := faults.New(body.Fail, "")
	if err != nil {
		return nil, badRequest(err)
	}
	if body.AfterMS > 0 {
		s.settle(r.Context()) // a client that has ended may have begun one more with its last call
	}
	ended := 0
	for _, l := range s.leases.list() {
		switch {
		case l.ended():
		case body.AfterMS > 0:
			time.AfterFunc(time.Duration(body.AfterMS)*time.Millisecond, func() { l.fail(fault) })
			ended++
		case l.fail(fault):
			ended++
		}
	}
	return map[string]int{"ended": ended}, nil
}

// getOrphans lists the files on datastores that no VM refers to.
func (s *Sim) getOrphans(*http.Request) (any, error) {
	s.creating.Lock() // nothing is half made
	defer s.creating.Unlock()
	known := make(map[string]bool)
	for _, e := range s.reg.All("VirtualMachine") {
		if vm, made := e.(*simulator.VirtualMachine); made {
			s.noteFiles(vm, known)
		}
	}
	s.noteLeases(known)
	s.noteFCDs(known)
	orphans := []string{}
	root := datastoreDir(s.cfg.StateDir)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !known[p] {
			orphans = append(orphans, strings.TrimPrefix(p, root+"/"))
		}
		return err
	})
	sort.Strings(orphans)
	return map[string]any{"files": orphans}, err
}

// noteFiles notes the files that a VM refers to: what its layout lists, and what its
// devices are backed by.
func (s *Sim) noteFiles(vm *simulator.VirtualMachine, known map[string]bool) {
	s.background("").WithLock(vm, func() {
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
		for key := range s.layers.Levels(vm.Self) {
			for _, name := range []string{key.File, dsfiles.Extent(key.File, false), dsfiles.Extent(key.File, true)} {
				note(name)
			}
		}
	})
}

// noteLeases notes the files that leases write, and those that they have made.
func (s *Sim) noteLeases(known map[string]bool) {
	for _, l := range s.leases.list() {
		l.mu.Lock()
		for _, f := range l.order {
			if !l.over || f.create && f.done {
				known[f.path], known[f.path+partSuffix] = true, true
			}
		}
		l.mu.Unlock()
	}
}
