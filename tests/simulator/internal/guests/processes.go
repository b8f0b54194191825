// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guests

import (
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/guestos"
	"vforge.vsphere/simulator/internal/shim"
)

// guestProcessShim starts and lists processes in guests.
type guestProcessShim struct{ shim.Of[*Guests] }

// StartProgramInGuest starts a program and returns its process's number.
func (sh *guestProcessShim) StartProgramInGuest(ctx *simulator.Context, req *types.StartProgramInGuest) soap.HasFault {
	in, fault := sh.S.enter(ctx, req.Vm, req.Auth, guestExecute)
	var pid int64
	if fault == nil {
		pid, fault = in.startProgram(req.Spec.GetGuestProgramSpec())
	}
	if fault != nil {
		return &methods.StartProgramInGuestBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.StartProgramInGuestBody{Res: &types.StartProgramInGuestResponse{Returnval: pid}}
}

// startProgram checks what Tools check before a shell gets the line: the program and
// the working directory.
func (in *workInside) startProgram(spec *types.GuestProgramSpec) (int64, types.BaseMethodFault) {
	program := strings.Trim(spec.ProgramPath, `"`)
	if program == "" {
		return 0, faults.Invalid("spec.programPath")
	}
	node, err := in.sys.Stat(program)
	switch {
	case err != nil || node.Kind == guestos.Dir:
		return 0, &types.FileNotFound{FileFault: types.FileFault{File: program}}
	case node.Mode&0o111 == 0:
		return 0, &types.CannotAccessFile{FileFault: types.FileFault{File: program}}
	}
	if spec.WorkingDirectory != "" {
		node, err := in.sys.Stat(spec.WorkingDirectory)
		if err != nil || node.Kind != guestos.Dir {
			return 0, &types.FileNotFound{FileFault: types.FileFault{File: spec.WorkingDirectory}}
		}
	}
	for _, pair := range spec.EnvVariables {
		if !strings.Contains(pair, "=") {
			return 0, faults.Invalid("spec.envVariables")
		}
	}
	return in.sys.Start(in.user, program, spec.Arguments, spec.WorkingDirectory, spec.EnvVariables), nil
}

// ListProcessesInGuest lists the processes that run, and those that were started here
// and ended up to five minutes ago.
func (sh *guestProcessShim) ListProcessesInGuest(ctx *simulator.Context, req *types.ListProcessesInGuest) soap.HasFault {
	in, fault := sh.S.enter(ctx, req.Vm, req.Auth, guestQuery)
	if fault != nil {
		return &methods.ListProcessesInGuestBody{Fault_: faults.SOAP(fault)}
	}
	res := &types.ListProcessesInGuestResponse{}
	for _, p := range in.sys.Processes(req.Pids) {
		res.Returnval = append(res.Returnval, types.GuestProcessInfo{
			Name: p.Name, Pid: p.PID, Owner: p.Owner, CmdLine: p.CmdLine, StartTime: p.Started,
			EndTime: p.Ended, ExitCode: int32(p.Code),
		})
	}
	return &methods.ListProcessesInGuestBody{Res: res}
}

// TerminateProcessInGuest ends a process of the user's own, or as the administrator
// anybody's.
func (sh *guestProcessShim) TerminateProcessInGuest(ctx *simulator.Context, req *types.TerminateProcessInGuest) soap.HasFault {
	in, fault := sh.S.enter(ctx, req.Vm, req.Auth, guestExecute)
	if fault == nil {
		owner, found := in.sys.Owner(req.Pid)
		switch {
		case found && owner != in.user && in.user != Admin:
			fault = &types.GuestPermissionDenied{}
		case !in.sys.Kill(req.Pid):
			fault = &types.GuestProcessNotFound{Pid: req.Pid}
		}
	}
	if fault != nil {
		return &methods.TerminateProcessInGuestBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.TerminateProcessInGuestBody{Res: &types.TerminateProcessInGuestResponse{}}
}

// ReadEnvironmentVariableInGuest lists variables of a login of the user's.
func (sh *guestProcessShim) ReadEnvironmentVariableInGuest(ctx *simulator.Context, req *types.ReadEnvironmentVariableInGuest) soap.HasFault {
	in, fault := sh.S.enter(ctx, req.Vm, req.Auth, guestQuery)
	if fault != nil {
		return &methods.ReadEnvironmentVariableInGuestBody{Fault_: faults.SOAP(fault)}
	}
	res := &types.ReadEnvironmentVariableInGuestResponse{}
	for _, pair := range guestos.LoginEnvironment(in.user) {
		name, _, _ := strings.Cut(pair, "=")
		wanted := len(req.Names) == 0
		for _, n := range req.Names {
			wanted = wanted || n == name
		}
		if wanted {
			res.Returnval = append(res.Returnval, pair)
		}
	}
	return &methods.ReadEnvironmentVariableInGuestBody{Res: res}
}
