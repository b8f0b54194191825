// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guests

import (
	"errors"
	"io/fs"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/guestos"
	"vforge.vsphere/simulator/internal/shim"
)

// Admin is the administrator of every simulated guest.
const Admin = "root"

// The privileges of work inside a guest, on its VM.
const (
	guestQuery   = "VirtualMachine.GuestOperations.Query"
	guestModify  = "VirtualMachine.GuestOperations.Modify"
	guestExecute = "VirtualMachine.GuestOperations.Execute"
)

// installOperations completes vcsim's guest operations manager and puts shims
// before its parts.
func (s *Guests) installOperations() {
	instance := s.Reg.Get(vim25.ServiceInstance).(*simulator.ServiceInstance)
	ops := s.Reg.Get(*instance.Content.GuestOperationsManager).(*simulator.GuestOperationsManager)
	auth := &mo.GuestAuthManager{Self: types.ManagedObjectReference{Type: "GuestAuthManager", Value: "guestOperationsAuthManager"}}
	ops.AuthManager = &auth.Self
	s.Reg.Put(auth)
}

// workInside is what somebody may do who has shown credentials of a guest.
type workInside struct {
	sys  *guestos.System
	user string
}

// enter checks all that work inside a guest needs: a privilege on the VM, the VM
// powered on, Tools running, and credentials.
func (s *Guests) enter(ctx *simulator.Context, ref types.ManagedObjectReference, auth types.BaseGuestAuthentication, privilege string) (*workInside, types.BaseMethodFault) {
	vm := s.VM(ref)
	if vm == nil {
		return nil, &types.ManagedObjectNotFound{Obj: ref}
	}
	if fault := s.Auth.Denied(ctx.Session.UserName, ref, privilege); fault != nil {
		return nil, fault
	}
	var fault types.BaseMethodFault
	ctx.WithLock(vm, func() {
		switch {
		case vm.Runtime.PowerState != core.PoweredOn:
			fault = core.WrongPower(vm, core.PoweredOn)
		case Frozen(vm) || vm.Guest.ToolsRunningStatus != string(types.VirtualMachineToolsRunningStatusGuestToolsRunning):
			fault = &types.GuestOperationsUnavailable{}
		}
	})
	if fault != nil {
		return nil, fault
	}
	login, ok := auth.(*types.NamePasswordAuthentication)
	if !ok || login.InteractiveSession { // a Linux guest has neither
		return nil, &types.OperationNotSupportedByGuest{}
	}
	sys := s.System(ref)
	if !sys.Login(login.Username, login.Password) {
		return nil, &types.InvalidGuestLogin{}
	}
	return &workInside{sys, login.Username}, nil
}

// guestFileFault is the fault for an error of a guest's file system.
func guestFileFault(err error, path string) types.BaseMethodFault {
	file := types.FileFault{File: path}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return &types.FileNotFound{FileFault: file}
	case errors.Is(err, fs.ErrExist):
		return &types.FileAlreadyExists{FileFault: file}
	case errors.Is(err, fs.ErrPermission):
		return &types.GuestPermissionDenied{}
	case errors.Is(err, guestos.ErrIsDir):
		return &types.NotAFile{FileFault: file}
	case errors.Is(err, guestos.ErrNotDir):
		return &types.NotADirectory{FileFault: file}
	case errors.Is(err, guestos.ErrNotEmpty):
		return &types.DirectoryNotEmpty{FileFault: file}
	}
	return &file
}

// guestAuthShim checks credentials.
type guestAuthShim struct{ shim.Of[*Guests] }

// ValidateCredentialsInGuest tells if credentials are right.
func (sh *guestAuthShim) ValidateCredentialsInGuest(ctx *simulator.Context, req *types.ValidateCredentialsInGuest) soap.HasFault {
	if _, fault := sh.S.enter(ctx, req.Vm, req.Auth, guestQuery); fault != nil {
		return &methods.ValidateCredentialsInGuestBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.ValidateCredentialsInGuestBody{Res: &types.ValidateCredentialsInGuestResponse{}}
}

// AcquireCredentialsInGuest is for single sign-on of Windows guests: there is none.
func (sh *guestAuthShim) AcquireCredentialsInGuest(ctx *simulator.Context, req *types.AcquireCredentialsInGuest) soap.HasFault {
	return &methods.AcquireCredentialsInGuestBody{Fault_: faults.SOAP(&types.OperationNotSupportedByGuest{})}
}

// ReleaseCredentialsInGuest has nothing to release.
func (sh *guestAuthShim) ReleaseCredentialsInGuest(ctx *simulator.Context, req *types.ReleaseCredentialsInGuest) soap.HasFault {
	return &methods.ReleaseCredentialsInGuestBody{Fault_: faults.SOAP(&types.OperationNotSupportedByGuest{})}
}
