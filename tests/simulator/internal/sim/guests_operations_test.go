// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/vmware/govmomi/guest"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/guests"
)

// inside is a client that works in a guest.
type inside struct {
	*bench
	vm   types.ManagedObjectReference
	auth types.BaseGuestAuthentication
	pm   *guest.ProcessManager
	fm   *guest.FileManager
	am   *guest.AuthManager
}

func login(name, password string) *types.NamePasswordAuthentication {
	return &types.NamePasswordAuthentication{Username: name, Password: password}
}

// inside works in a VM's guest as its administrator.
func (b *bench) inside(vm types.ManagedObjectReference) *inside {
	b.Helper()
	ops := guest.NewOperationsManager(b.client, vm)
	i := &inside{bench: b, vm: vm, auth: login(guests.Admin, b.sim.Cfg.GuestPassword)}
	var err [3]error
	i.pm, err[0] = ops.ProcessManager(b.ctx)
	i.fm, err[1] = ops.FileManager(b.ctx)
	i.am, err[2] = ops.AuthManager(b.ctx)
	for _, e := range err {
		if e != nil {
			b.Fatal(e)
		}
	}
	return i
}

func (i *inside) start(program, arguments string) int64 {
	i.Helper()
	pid, err := i.pm.StartProgram(i.ctx, i.auth, &types.GuestProgramSpec{ProgramPath: program, Arguments: arguments})
	if err != nil {
		i.Fatal(err)
	}
	return pid
}

// ended waits for a process's end and returns its exit code.
func (i *inside) ended(pid int64) int32 {
	i.Helper()
	for {
		list, err := i.pm.ListProcesses(i.ctx, i.auth, []int64{pid})
		if err != nil {
			i.Fatal(err)
		}
		if len(list) == 1 && list[0].EndTime != nil {
			return list[0].ExitCode
		}
		time.Sleep(time.Millisecond)
	}
}

// frozen waits until a VM reads as frozen.
func (b *bench) frozen(vm types.ManagedObjectReference) {
	b.Helper()
	err := property.Wait(b.ctx, property.DefaultCollector(b.client), vm, []string{"runtime.instantCloneFrozen"},
		func(changes []types.PropertyChange) bool { return changes[0].Val == true })
	if err != nil {
		b.Fatal(err)
	}
}

func TestWhoMayWorkInsideAGuest(t *testing.T) {
	b := start(t)
	in := b.inside(b.parent().Reference())
	b.patch("golden-parent", map[string]any{"guest": map[string]any{"users": map[string]string{"ann": "secret"}}})
	interactive := login(guests.Admin, b.sim.Cfg.GuestPassword)
	interactive.InteractiveSession = true
	for name, c := range map[string]struct {
		auth types.BaseGuestAuthentication
		want types.BaseMethodFault
	}{
		"administrator":  {in.auth, nil},
		"another user":   {login("ann", "secret"), nil},
		"wrong password": {login("ann", "Secret"), &types.InvalidGuestLogin{}},
		"unknown user":   {login("bob", ""), &types.InvalidGuestLogin{}},
		"no password":    {login(guests.Admin, ""), &types.InvalidGuestLogin{}},
		"interactive":    {interactive, &types.OperationNotSupportedByGuest{}},
		"another way":    {&types.SSPIAuthentication{SspiToken: "x"}, &types.OperationNotSupportedByGuest{}},
	} {
		err := in.am.ValidateCredentials(b.ctx, c.auth)
		if c.want == nil {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		t.Run(name, func(t *testing.T) {
			b.T = t
			b.wantFault(b.callFault(err), c.want)
		})
	}
	b.T = t
	_, err := methods.AcquireCredentialsInGuest(b.ctx, b.client, &types.AcquireCredentialsInGuest{
		This: in.am.Reference(), Vm: in.vm, RequestedAuth: in.auth,
	})
	b.wantFault(b.callFault(err), &types.OperationNotSupportedByGuest{})
}

func TestStatesInWhichNobodyCanWorkInside(t *testing.T) {
	b := start(t)
	vm := b.parent()
	in := b.inside(vm.Reference())
	list := func() error {
		_, err := in.pm.ListProcesses(b.ctx, in.auth, nil)
		return err
	}
	b.patch("golden-parent", map[string]any{"guest": map[string]any{"tools": "notRunning"}})
	b.wantFault(b.callFault(list()), &types.GuestOperationsUnavailable{})
	b.patch("golden-parent", map[string]any{"tools": "running"})
	if err := list(); err != nil {
		t.Fatal(err)
	}
	b.patch("golden-parent", map[string]any{"frozen": true})
	b.wantFault(b.callFault(list()), &types.GuestOperationsUnavailable{})
	task, err := vm.PowerOff(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.result(task)
	b.wantFault(b.callFault(list()), &types.InvalidPowerState{})
	_, err = methods.ListProcessesInGuest(b.ctx, b.client, &types.ListProcessesInGuest{
		This: in.pm.Reference(), Vm: types.ManagedObjectReference{Type: "VirtualMachine", Value: "vm-none"}, Auth: in.auth,
	})
	b.wantFault(b.callFault(err), &types.ManagedObjectNotFound{})
}

func TestPrivilegesForWorkInside(t *testing.T) {
	b := start(t)
	vm := b.parent().Reference()
	for _, c := range []struct {
		privilege string
		do        func(*inside) error
	}{
		{"VirtualMachine.GuestOperations.Query", func(i *inside) error { _, err := i.pm.ListProcesses(i.ctx, i.auth, nil); return err }},
		{"VirtualMachine.GuestOperations.Query", func(i *inside) error {
			_, err := i.fm.InitiateFileTransferFromGuest(i.ctx, i.auth, "/etc/hosts")
			return err
		}},
		{"VirtualMachine.GuestOperations.Modify", func(i *inside) error {
			return i.fm.MakeDirectory(i.ctx, i.auth, fmt.Sprintf("/tmp/%d", time.Now().UnixNano()), false)
		}},
		{"VirtualMachine.GuestOperations.Execute", func(i *inside) error {
			_, err := i.pm.StartProgram(i.ctx, i.auth, &types.GuestProgramSpec{ProgramPath: "/bin/true"})
			return err
		}},
	} {
		b.client = b.as(c.privilege)
		if err := c.do(b.inside(vm)); err != nil {
			t.Errorf("%s is not enough: %v", c.privilege, err)
		}
		b.client = b.as("VirtualMachine.Interact.PowerOn")
		b.wantFault(b.callFault(c.do(b.inside(vm))), &types.NoPermission{})
	}
}

func TestProgramsOfAGuest(t *testing.T) {
	b := start(t)
	in := b.inside(b.parent().Reference())
	pid := in.start("/bin/sh", "-c 'echo out; echo err >&2; exit 3' > /tmp/all 2>&1")
	if code := in.ended(pid); code != 3 {
		t.Errorf("exit code %d", code)
	}
	if got := b.guestFile("golden-parent", "/tmp/all"); got != "out\nerr\n" {
		t.Errorf("output %q", got)
	}
	long := in.start("/bin/sleep", "1000")
	if err := in.pm.TerminateProcess(b.ctx, in.auth, long); err != nil {
		t.Fatal(err)
	}
	if code := in.ended(long); code == 0 {
		t.Error("a process that was ended reads as one that succeeded")
	}
	b.wantFault(b.callFault(in.pm.TerminateProcess(b.ctx, in.auth, long)), &types.GuestProcessNotFound{})
	b.patch("golden-parent", map[string]any{"guest": map[string]any{
		"users": map[string]string{"ann": "secret"}, "files": map[string]string{"/opt/tool": "no program\n"},
	}})
	b.wantFault(b.callFault(in.pm.TerminateProcess(b.ctx, login("ann", "secret"), in.start("/bin/sleep", "1000"))), &types.GuestPermissionDenied{})
	for name, c := range map[string]struct {
		spec types.GuestProgramSpec
		want types.BaseMethodFault
	}{
		"no program":           {types.GuestProgramSpec{}, &types.InvalidArgument{}},
		"missing program":      {types.GuestProgramSpec{ProgramPath: "/usr/bin/none"}, &types.FileNotFound{}},
		"a directory":          {types.GuestProgramSpec{ProgramPath: "/etc"}, &types.FileNotFound{}},
		"not executable":       {types.GuestProgramSpec{ProgramPath: "/opt/tool"}, &types.CannotAccessFile{}},
		"no working directory": {types.GuestProgramSpec{ProgramPath: "/bin/true", WorkingDirectory: "/none"}, &types.FileNotFound{}},
		"no pair":              {types.GuestProgramSpec{ProgramPath: "/bin/true", EnvVariables: []string{"A"}}, &types.InvalidArgument{}},
	} {
		t.Run(name, func(t *testing.T) {
			b.T = t
			_, err := in.pm.StartProgram(b.ctx, in.auth, &c.spec)
			b.wantFault(b.callFault(err), c.want)
		})
	}
	b.T = t
	env, err := in.pm.ReadEnvironmentVariable(b.ctx, in.auth, []string{"HOME"})
	if err != nil || len(env) != 1 || env[0] != "HOME=/root" {
		t.Errorf("environment %v, %v", env, err)
	}
}

// guestFile reads a file of a guest through the control endpoint.
func (b *bench) guestFile(vm, path string) string {
	b.Helper()
	var answer struct {
		Text string `json:"text"`
	}
	address := "/vms/" + url.PathEscape(vm) + "?file=" + url.QueryEscape(path)
	if status := b.control("GET", address, nil, &answer); status != http.StatusOK {
		b.Fatalf("GET %s: %d", address, status)
	}
	return answer.Text
}

func TestFailuresCanBeInjectedIntoWorkInside(t *testing.T) {
	b := start(t)
	in := b.inside(b.parent().Reference())
	rule := map[string]any{"method": "ListProcessesInGuest", "do": "fault", "fault": "GuestOperationsUnavailable", "nth": 2, "name": "golden-*"}
	if status := b.control("POST", "/inject", rule, nil); status != http.StatusOK {
		t.Fatal(status)
	}
	b.control("POST", "/calls/reset", nil, nil)
	for n, want := range []types.BaseMethodFault{nil, &types.GuestOperationsUnavailable{}, nil} {
		_, err := in.pm.ListProcesses(b.ctx, in.auth, nil)
		if want == nil && err != nil {
			t.Errorf("call %d: %v", n, err)
		} else if want != nil {
			b.wantFault(b.callFault(err), want)
		}
	}
	var calls struct {
		By map[string]int `json:"by_method"`
	}
	b.control("GET", "/calls", nil, &calls)
	if calls.By["ListProcessesInGuest"] != 3 || len(calls.By) != 1 {
		t.Errorf("calls %v", calls.By)
	}
}

func TestWhatATestSetsInsideAGuest(t *testing.T) {
	b := start(t)
	in := b.inside(b.parent().Reference())
	for _, bad := range []map[string]any{
		{"hang": 3}, {"hang": "["}, {"fail": map[string]int{"[": 1}}, {"transfer": "x"}, {"family": "dos"},
		{"files": map[string]string{"x": ""}}, {"unknown": 1}, {"tools": "maybe"},
	} {
		if status := b.control("PATCH", "/vms/golden-parent", map[string]any{"guest": bad}, nil); status != http.StatusBadRequest {
			t.Errorf("%v: status %d", bad, status)
		}
	}
	b.patch("golden-parent", map[string]any{"guest": map[string]any{"hang": "sleep*", "fail": map[string]int{"hostname": 9}, "missing": []string{"nmcli"}}})
	if code := in.ended(in.start("/bin/hostname", "")); code != 9 {
		t.Errorf("exit code %d", code)
	}
	in.start("/bin/sleep", "0")
	_, err := in.pm.StartProgram(b.ctx, in.auth, &types.GuestProgramSpec{ProgramPath: "/usr/bin/nmcli"})
	b.wantFault(b.callFault(err), &types.FileNotFound{})
	var view struct {
		Guest struct {
			Files     []string
			Processes []struct {
				Name    string
				Running bool
			}
		}
	}
	b.control("GET", "/vms/golden-parent", nil, &view)
	if p := view.Guest.Processes; len(p) != 2 || p[0].Running || !p[1].Running || p[1].Name != "sleep" {
		t.Errorf("processes %+v", p)
	}
	b.reset("golden-parent") // what hangs ends with its guest
	b.control("GET", "/vms/golden-parent", nil, &view)
	if len(view.Guest.Processes) != 0 {
		t.Errorf("after a reset: %+v", view.Guest.Processes)
	}
}
