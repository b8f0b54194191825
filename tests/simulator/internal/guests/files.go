// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guests

import (
	"regexp"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/guestos"
	"vforge.vsphere/simulator/internal/shim"
)

// defaultListing is how many files one listing returns unless asked otherwise.
const defaultListing = 50

// guestFileShim works on files in guests.
type guestFileShim struct{ shim.Of[*Guests] }

// posix reads the mode and the owner of attributes; absent ones are -1 and "".
func posix(attributes types.BaseGuestFileAttributes, otherwise int64) int64 {
	if p, ok := attributes.(*types.GuestPosixFileAttributes); ok && p.Permissions != 0 {
		return p.Permissions
	}
	return otherwise
}

// ownerIDs are the numbers of the users that guests have.
func ownerID(name string) *int32 {
	if name == Admin {
		return types.NewInt32(0)
	}
	return types.NewInt32(1000)
}

func attributesOf(n guestos.Node) *types.GuestPosixFileAttributes {
	modified := n.Modified
	return &types.GuestPosixFileAttributes{
		GuestFileAttributes: types.GuestFileAttributes{ModificationTime: &modified, AccessTime: &modified, SymlinkTarget: n.Target},
		OwnerId:             ownerID(n.Owner), GroupId: ownerID(n.Owner), Permissions: n.Mode,
	}
}

// CreateTemporaryFileInGuest makes an empty file that nobody has.
func (sh *guestFileShim) CreateTemporaryFileInGuest(ctx *simulator.Context, req *types.CreateTemporaryFileInGuest) soap.HasFault {
	name, fault := sh.temporary(ctx, req.Vm, req.Auth, req.DirectoryPath, req.Prefix, req.Suffix, false)
	if fault != nil {
		return &methods.CreateTemporaryFileInGuestBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.CreateTemporaryFileInGuestBody{Res: &types.CreateTemporaryFileInGuestResponse{Returnval: name}}
}

// CreateTemporaryDirectoryInGuest makes an empty directory that nobody has.
func (sh *guestFileShim) CreateTemporaryDirectoryInGuest(ctx *simulator.Context, req *types.CreateTemporaryDirectoryInGuest) soap.HasFault {
	name, fault := sh.temporary(ctx, req.Vm, req.Auth, req.DirectoryPath, req.Prefix, req.Suffix, true)
	if fault != nil {
		return &methods.CreateTemporaryDirectoryInGuestBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.CreateTemporaryDirectoryInGuestBody{Res: &types.CreateTemporaryDirectoryInGuestResponse{Returnval: name}}
}

func (sh *guestFileShim) temporary(ctx *simulator.Context, vm types.ManagedObjectReference, auth types.BaseGuestAuthentication, dir, prefix, suffix string, asDir bool) (string, types.BaseMethodFault) {
	in, fault := sh.S.enter(ctx, vm, auth, guestModify)
	if fault != nil {
		return "", fault
	}
	name, err := in.sys.Temp(in.user, dir, prefix, suffix, asDir)
	return name, guestFileFault(err, dir)
}

// MakeDirectoryInGuest makes a directory.
func (sh *guestFileShim) MakeDirectoryInGuest(ctx *simulator.Context, req *types.MakeDirectoryInGuest) soap.HasFault {
	fault := sh.modify(ctx, req.Vm, req.Auth, req.DirectoryPath, func(in *workInside) error {
		return in.sys.Mkdir(in.user, req.DirectoryPath, req.CreateParentDirectories)
	})
	if fault != nil {
		return &methods.MakeDirectoryInGuestBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.MakeDirectoryInGuestBody{Res: &types.MakeDirectoryInGuestResponse{}}
}

// DeleteFileInGuest deletes a file.
func (sh *guestFileShim) DeleteFileInGuest(ctx *simulator.Context, req *types.DeleteFileInGuest) soap.HasFault {
	fault := sh.modify(ctx, req.Vm, req.Auth, req.FilePath, func(in *workInside) error {
		return in.sys.Remove(in.user, req.FilePath)
	})
	if fault != nil {
		return &methods.DeleteFileInGuestBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.DeleteFileInGuestBody{Res: &types.DeleteFileInGuestResponse{}}
}

// DeleteDirectoryInGuest deletes a directory.
func (sh *guestFileShim) DeleteDirectoryInGuest(ctx *simulator.Context, req *types.DeleteDirectoryInGuest) soap.HasFault {
	fault := sh.modify(ctx, req.Vm, req.Auth, req.DirectoryPath, func(in *workInside) error {
		return in.sys.RemoveDir(in.user, req.DirectoryPath, req.Recursive)
	})
	if fault != nil {
		return &methods.DeleteDirectoryInGuestBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.DeleteDirectoryInGuestBody{Res: &types.DeleteDirectoryInGuestResponse{}}
}

// MoveFileInGuest renames a file.
func (sh *guestFileShim) MoveFileInGuest(ctx *simulator.Context, req *types.MoveFileInGuest) soap.HasFault {
	fault := sh.modify(ctx, req.Vm, req.Auth, req.SrcFilePath, func(in *workInside) error {
		if node, err := in.sys.Stat(req.SrcFilePath); err == nil && node.Kind == guestos.Dir {
			return guestos.ErrIsDir
		}
		return in.sys.Move(in.user, req.SrcFilePath, req.DstFilePath, req.Overwrite)
	})
	if fault != nil {
		return &methods.MoveFileInGuestBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.MoveFileInGuestBody{Res: &types.MoveFileInGuestResponse{}}
}

// MoveDirectoryInGuest renames a directory.
func (sh *guestFileShim) MoveDirectoryInGuest(ctx *simulator.Context, req *types.MoveDirectoryInGuest) soap.HasFault {
	fault := sh.modify(ctx, req.Vm, req.Auth, req.SrcDirectoryPath, func(in *workInside) error {
		if node, err := in.sys.Stat(req.SrcDirectoryPath); err == nil && node.Kind != guestos.Dir {
			return guestos.ErrNotDir
		}
		return in.sys.Move(in.user, req.SrcDirectoryPath, req.DstDirectoryPath, false)
	})
	if fault != nil {
		return &methods.MoveDirectoryInGuestBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.MoveDirectoryInGuestBody{Res: &types.MoveDirectoryInGuestResponse{}}
}

// ChangeFileAttributesInGuest changes the permissions of a file.
func (sh *guestFileShim) ChangeFileAttributesInGuest(ctx *simulator.Context, req *types.ChangeFileAttributesInGuest) soap.HasFault {
	fault := sh.modify(ctx, req.Vm, req.Auth, req.GuestFilePath, func(in *workInside) error {
		return in.sys.Change(in.user, req.GuestFilePath, posix(req.FileAttributes, -1), "")
	})
	if fault != nil {
		return &methods.ChangeFileAttributesInGuestBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.ChangeFileAttributesInGuestBody{Res: &types.ChangeFileAttributesInGuestResponse{}}
}

// modify does something to a file for a user who may.
func (sh *guestFileShim) modify(ctx *simulator.Context, vm types.ManagedObjectReference, auth types.BaseGuestAuthentication, path string, do func(*workInside) error) types.BaseMethodFault {
	in, fault := sh.S.enter(ctx, vm, auth, guestModify)
	if fault != nil {
		return fault
	}
	if path == "" || path[0] != '/' {
		return faults.Invalid("path")
	}
	return guestFileFault(do(in), path)
}

// ListFilesInGuest describes a file, or the files of a directory whose names match a
// regular expression.
func (sh *guestFileShim) ListFilesInGuest(ctx *simulator.Context, req *types.ListFilesInGuest) soap.HasFault {
	in, fault := sh.S.enter(ctx, req.Vm, req.Auth, guestQuery)
	if fault != nil {
		return &methods.ListFilesInGuestBody{Fault_: faults.SOAP(fault)}
	}
	info, fault := in.list(req)
	if fault != nil {
		return &methods.ListFilesInGuestBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.ListFilesInGuestBody{Res: &types.ListFilesInGuestResponse{Returnval: *info}}
}

func (in *workInside) list(req *types.ListFilesInGuest) (*types.GuestListFileInfo, types.BaseMethodFault) {
	pattern, err := regexp.Compile("^(?:" + req.MatchPattern + ")$")
	if err != nil {
		return nil, faults.Invalid("matchPattern")
	}
	entries, err := in.sys.List(in.user, req.FilePath)
	if err != nil {
		return nil, guestFileFault(err, req.FilePath)
	}
	limit := int(req.MaxResults)
	if limit == 0 {
		limit = defaultListing
	}
	info := &types.GuestListFileInfo{}
	seen := 0
	for _, e := range entries {
		if req.MatchPattern != "" && !pattern.MatchString(e.Name) {
			continue
		}
		seen++
		switch {
		case seen <= int(req.Index):
		case len(info.Files) == limit:
			info.Remaining++
		default:
			info.Files = append(info.Files, types.GuestFileInfo{
				Path: e.Name, Type: fileType(e.Node), Size: int64(len(e.Data)), Attributes: attributesOf(e.Node),
			})
		}
	}
	return info, nil
}

func fileType(n guestos.Node) string {
	switch {
	case n.Kind == guestos.Dir:
		return string(types.GuestFileTypeDirectory)
	case n.Kind == guestos.Link:
		return string(types.GuestFileTypeSymlink)
	}
	return string(types.GuestFileTypeFile)
}
