// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/controlhttp"
	"vforge.vsphere/simulator/internal/guests"
)

// hangPatch is true or false for a guest that never reports an address, or a glob of
// the programs that hang.
type hangPatch struct {
	addresses *bool
	programs  *string
}

// UnmarshalJSON takes a boolean or a text.
func (h *hangPatch) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, &h.addresses); err == nil {
		return nil
	}
	h.addresses = nil
	if err := json.Unmarshal(data, &h.programs); err != nil {
		return errors.New("hang is true, false or a glob of programs")
	}
	return nil
}

// insidePatch is what a test sets inside a guest.
type insidePatch struct {
	Tools    *string           `json:"tools"`
	Users    map[string]string `json:"users"`    // name -> password; empty takes the user away
	Fail     map[string]int    `json:"fail"`     // glob of programs -> exit code
	Missing  []string          `json:"missing"`  // programs that are taken off the disk
	Files    map[string]string `json:"files"`    // path -> text
	Transfer *string           `json:"transfer"` // host or vcenter
	Family   *string           `json:"family"`   // linux or windows
}

var guestFamilies = map[string]string{
	"linux":   string(types.VirtualMachineGuestOsFamilyLinuxGuest),
	"windows": string(types.VirtualMachineGuestOsFamilyWindowsGuest),
}

// check says what is wrong with a patch before anything is changed.
func (p *insidePatch) check(hang *hangPatch) error {
	if p.Transfer != nil && !slices.Contains([]string{"host", "vcenter"}, *p.Transfer) {
		return controlhttp.BadRequest(errors.New(`"transfer" is host or vcenter`))
	}
	if p.Family != nil && guestFamilies[*p.Family] == "" {
		return controlhttp.BadRequest(errors.New(`"family" is linux or windows`))
	}
	globs := []string{}
	for glob := range p.Fail {
		globs = append(globs, glob)
	}
	if hang != nil && hang.programs != nil {
		globs = append(globs, *hang.programs)
	}
	for _, glob := range globs {
		if _, err := path.Match(glob, ""); err != nil {
			return controlhttp.BadRequest(fmt.Errorf("%q: %w", glob, err))
		}
	}
	for name := range p.Files {
		if !path.IsAbs(name) {
			return controlhttp.BadRequest(fmt.Errorf("%q is no absolute path", name))
		}
	}
	return nil
}

// patchInside sets what a test wants inside a guest. No lock may be held.
func (s *Control) patchInside(vm types.ManagedObjectReference, p *insidePatch, hang *hangPatch) error {
	s.Guests.States.With(vm, func(st *guests.VMState) {
		if p.Transfer != nil {
			st.Guest.Relayed = *p.Transfer == "vcenter"
		}
		if p.Family != nil {
			st.Guest.Family = guestFamilies[*p.Family]
		}
	})
	programs := hang != nil && hang.programs != nil
	if p.Users == nil && p.Fail == nil && p.Missing == nil && p.Files == nil && !programs {
		return nil
	}
	sys := s.Guests.System(vm)
	sys.SetUsers(p.Users)
	sys.SetMissing(p.Missing)
	if p.Fail != nil {
		sys.SetFail(p.Fail)
	}
	if programs {
		sys.SetHang(*hang.programs)
	}
	for name, text := range p.Files {
		if err := sys.Place(name, []byte(text)); err != nil {
			return controlhttp.BadRequest(fmt.Errorf("%s: %w", name, err))
		}
	}
	return nil
}

// viewInside is what the control endpoint shows of what is inside a guest.
func (s *Control) viewInside(vm *simulator.VirtualMachine) map[string]any {
	out := map[string]any{"files": []string{}, "processes": []map[string]any{}}
	sys := s.Guests.Systems.Find(vm.Self)
	if sys == nil {
		return out
	}
	files := sys.Files()
	slices.Sort(files)
	out["files"] = files
	processes := []map[string]any{}
	for _, p := range sys.Processes(nil) {
		if p.Started.IsZero() { // there from the start
			continue
		}
		process := map[string]any{
			"pid": p.PID, "name": p.Name, "command": p.CmdLine, "owner": p.Owner,
			"started": p.Started.UTC().Format(time.RFC3339Nano), "running": p.Ended == nil,
		}
		if p.Ended != nil {
			process["exit_code"] = p.Code
		}
		processes = append(processes, process)
	}
	out["processes"] = processes
	out["awake"] = sys.Awake()
	return out
}

// guestFileText returns what a file of a guest holds, as text.
func (s *Control) guestFileText(vm *simulator.VirtualMachine, name string) (any, error) {
	data, err := s.Guests.System(vm.Self).Read(guests.Admin, name)
	if err != nil {
		return nil, controlhttp.NoSuch("file", name)
	}
	return map[string]any{"path": name, "text": string(data)}, nil
}
