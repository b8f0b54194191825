// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package leases

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"vforge.vsphere/simulator/internal/controlhttp"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/vmdkfile"
)

// GetLeases lists all leases since the start, and those that live: ?within_ms=T answers when none does, but after that time
// in any case.
func (s *Leases) GetLeases(r *http.Request) (any, error) {
	if q := r.URL.Query(); q.Has("within_ms") {
		within, err := strconv.Atoi(q.Get("within_ms"))
		if err != nil {
			return nil, controlhttp.BadRequest(fmt.Errorf("within_ms: %w", err))
		}
		s.table.waitForEnd(r.Context(), time.Duration(within)*time.Millisecond)
	}
	ctx := s.Background("")
	open := 0
	list := []map[string]any{}
	for _, l := range s.table.list() {
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
func (t *table) waitForEnd(ctx context.Context, within time.Duration) {
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

// PostLeases sets where the URLs of leases to come lead to, in which form disks go out, and whether
// the tasks of their imports may be cancelled, or ends those that live now, at once or after a while: as a
// host does that goes down, or as their time does when nobody gives a sign of life.
func (s *Leases) PostLeases(r *http.Request) (any, error) {
	var body struct {
		Relayed    *bool  `json:"relayed"`
		Cancelable *bool  `json:"cancelable"`
		Form       string `json:"form"`
		Fail       string `json:"fail"`
		AfterMS    int    `json:"after_ms"`
	}
	if err := controlhttp.Decode(r, &body); err != nil {
		return nil, err
	}
	if body.Relayed != nil {
		s.table.mu.Lock()
		s.table.relay = *body.Relayed
		s.table.mu.Unlock()
	}
	if body.Cancelable != nil {
		s.table.mu.Lock()
		s.table.cancelable = *body.Cancelable
		s.table.mu.Unlock()
	}
	switch form := vmdkfile.Form(body.Form); form {
	case "":
	case vmdkfile.Stream, vmdkfile.QEMU:
		s.table.mu.Lock()
		s.table.form = form
		s.table.mu.Unlock()
	default:
		return nil, controlhttp.BadRequest(fmt.Errorf(`"form" is %q: %s or %s is needed`, form, vmdkfile.Stream, vmdkfile.QEMU))
	}
	if body.Fail == "" {
		return controlhttp.Done, nil
	}
	fault, err := faults.New(body.Fail, "")
	if err != nil {
		return nil, controlhttp.BadRequest(err)
	}
	if body.AfterMS > 0 {
		s.Settle(r.Context()) // a client that has ended may have begun one more with its last call
	}
	ended := 0
	for _, l := range s.table.list() {
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

// NoteFiles notes the files that leases write, and those that they have made.
func (s *Leases) NoteFiles(known map[string]bool) {
	for _, l := range s.table.list() {
		l.mu.Lock()
		for _, f := range l.order {
			if !l.over || f.create && f.done {
				known[f.path], known[f.path+partSuffix] = true, true
			}
		}
		l.mu.Unlock()
	}
}
