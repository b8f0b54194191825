// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package disks

import (
	"strconv"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/vdisk"
)

// maxAreas is how many areas one answer lists.
const maxAreas = 2000

// allInUse is the changeId that asks for all areas in use.
const allInUse = "*"

// QueryChangedDiskAreas tells which areas of a disk were written from the moment of a
// changeId to a snapshot or, of a VM that is powered off, to now.
func (sh *VMCalls) QueryChangedDiskAreas(ctx *simulator.Context, req *types.QueryChangedDiskAreas) soap.HasFault {
	s := sh.S
	body := &methods.QueryChangedDiskAreasBody{}
	vm := s.VM(req.This)
	ctx.WithLock(vm, func() {
		info, fault := s.changedAreas(vm, req)
		if fault != nil {
			body.Fault_ = faults.SOAP(fault)
			return
		}
		body.Res = &types.QueryChangedDiskAreasResponse{Returnval: *info}
	})
	return body
}

// ChangeQuery is a request that has been found to name what exists.
type ChangeQuery struct {
	Disk *types.VirtualDisk
	Mark vdisk.Mark // without a tracker where there was none
}

func (s *Disks) changedAreas(vm *simulator.VirtualMachine, req *types.QueryChangedDiskAreas) (*types.DiskChangeInfo, types.BaseMethodFault) {
	q, fault := s.changeQuery(vm, req)
	if fault != nil {
		return nil, fault
	}
	if req.StartOffset < 0 || req.StartOffset >= q.Disk.CapacityInBytes {
		return nil, faults.Invalid("startOffset")
	}
	areas, fault := s.AreasSince(q, req.ChangeId)
	if fault != nil {
		return nil, fault
	}
	areas = areas.Aligned(s.Granule.Load(), q.Disk.CapacityInBytes)
	return ChangePage(areas, vdisk.Span{Start: req.StartOffset, End: q.Disk.CapacityInBytes}), nil
}

// changeQuery finds the disk, as it was at the end of the query.
func (s *Disks) changeQuery(vm *simulator.VirtualMachine, req *types.QueryChangedDiskAreas) (q ChangeQuery, fault types.BaseMethodFault) {
	devices := vm.Config.Hardware.Device
	if req.Snapshot != nil {
		snapshot := s.Snapshot(*req.Snapshot)
		if snapshot == nil || snapshot.Vm != vm.Self {
			return q, &types.NotFound{}
		}
		devices = snapshot.Config.Hardware.Device
		q.Mark = s.Tracks.MarkOf(snapshot.Self, req.DeviceKey)
	} else {
		q.Mark = s.Tracks.Now(vm.Self, req.DeviceKey)
	}
	for _, disk := range vdisk.DisksOf(devices) {
		if disk.Key == req.DeviceKey {
			q.Disk = disk
		}
	}
	switch {
	case q.Disk == nil:
		return q, faults.Invalid("deviceKey")
	case req.Snapshot == nil && vm.Runtime.PowerState != core.PoweredOff:
		return q, cbtFault(q.Disk, "cannotGetChanges", "the disk is in use")
	case req.Snapshot == nil && s.Tracks.IsBroken(q.Mark):
		return q, cbtFault(q.Disk, "cannotGetChanges", "the file with the changes cannot be used")
	}
	return q, nil
}

// AreasSince lists the areas that a query is about, on the whole disk.
func (s *Disks) AreasSince(q ChangeQuery, changeID string) (vdisk.Spans, types.BaseMethodFault) {
	id, moment, ok := parseChangeID(changeID)
	if !ok {
		return nil, faults.Invalid("changeId")
	}
	switch {
	case q.Mark.Tracker == nil:
		return nil, cbtFault(q.Disk, "noTrack", "changes were not tracked")
	case changeID == allInUse:
		return s.areasInUse(q)
	}
	areas, ok := s.Tracks.Since(id, moment, q.Mark)
	if !ok {
		return nil, cbtFault(q.Disk, "cannotGetChanges", "the changeId is not one of this disk's past")
	}
	return areas, nil
}

// areasInUse is the answer to "*". Only VMFS knows what is in use.
func (s *Disks) areasInUse(q ChangeQuery) (vdisk.Spans, types.BaseMethodFault) {
	b, flat := q.Disk.Backing.(*vdisk.FlatBacking)
	if !flat {
		return vdisk.Spans{{Start: 0, End: q.Disk.CapacityInBytes}}, nil
	}
	if ds, ok := s.Reg.Get(*b.Datastore).(*simulator.Datastore); !ok || ds.Summary.Type != string(types.HostFileSystemVolumeFileSystemTypeVMFS) {
		return vdisk.Spans{{Start: 0, End: q.Disk.CapacityInBytes}}, nil
	}
	if !q.Mark.Tracker.Complete {
		return nil, cbtFault(q.Disk, "noEpoch", "there was a snapshot when tracking was switched on")
	}
	image, err := s.DiskLayers.Image(b, q.Disk.CapacityInBytes)
	if err != nil {
		return nil, &types.FileFault{File: b.FileName}
	}
	return image.Allocated(), nil
}

// ChangePage is what one answer tells: the part of the disk that its areas cover.
func ChangePage(areas vdisk.Spans, of vdisk.Span) *types.DiskChangeInfo {
	areas = areas.Within(of)
	if len(areas) > maxAreas {
		areas = areas[:maxAreas]
		of.End = areas[maxAreas-1].End
	}
	info := &types.DiskChangeInfo{StartOffset: of.Start, Length: of.Length()}
	for _, a := range areas {
		info.ChangedArea = append(info.ChangedArea, types.DiskChangeExtent{Start: a.Start, Length: a.Length()})
	}
	return info
}

// parseChangeID takes a changeId apart: sixteen bytes in hexadecimal and a number.
func parseChangeID(text string) (id string, moment int, ok bool) {
	if text == allInUse {
		return "", 0, true
	}
	id, number, found := strings.Cut(text, "/")
	if !found {
		return "", 0, false
	}
	bytes := strings.FieldsFunc(id, func(r rune) bool { return r == ' ' || r == '-' })
	for _, b := range bytes {
		if _, err := strconv.ParseUint(b, 16, 8); err != nil || len(b) != 2 {
			return "", 0, false
		}
	}
	moment, err := strconv.Atoi(number)
	return id, moment, err == nil && moment > 0 && len(bytes) == 16
}

// cbtFault is how a host says that there is no answer: only a full backup helps.
func cbtFault(disk *types.VirtualDisk, kind, why string) types.BaseMethodFault {
	fault := &types.FileFault{}
	if b, ok := disk.Backing.(types.BaseVirtualDeviceFileBackingInfo); ok {
		fault.File = b.GetVirtualDeviceFileBackingInfo().FileName
	}
	fault.FaultMessage = []types.LocalizableMessage{{
		Key: "vim.hostd.vmsvc.cbt." + kind, Message: "Error caused by file " + fault.File + ": " + why,
	}}
	return fault
}
