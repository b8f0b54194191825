// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestwrites

import (
	"errors"
	"fmt"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/controlhttp"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/guests"
	"vforge.vsphere/simulator/internal/vdisk"
)

// Write has the guest of a VM write to one of its disks: ranges, each with the
// bytes that fill makes for it. The caller holds the VM's lock.
//
// It returns an error when no guest runs that could write, or the disk is not there.
func (s *Writes) Write(vm *simulator.VirtualMachine, key int32, ranges vdisk.Spans, fill func(p []byte, off int64) error) error {
	return s.write(vm, key, ranges, fill, func(disk *types.VirtualDisk) {
		// Told first: a change that is told and did not happen does no harm.
		s.Tracks.Wrote(vm.Self, key, ranges)
		s.VStorage.Wrote(disk, ranges)
	})
}

// WriteMissed is a Write that changed block tracking never tells of: what hosts
// have done (Broadcom KB 2090639, 2136854), and what an audit is for.
func (s *Writes) WriteMissed(vm *simulator.VirtualMachine, key int32, ranges vdisk.Spans, fill func(p []byte, off int64) error) error {
	return s.write(vm, key, ranges, fill, func(*types.VirtualDisk) {})
}

func (s *Writes) write(
	vm *simulator.VirtualMachine, key int32, ranges vdisk.Spans, fill func(p []byte, off int64) error, track func(*types.VirtualDisk),
) error {
	disk, err := DiskOf(vm.Config.Hardware.Device, key)
	if err != nil {
		return err
	}
	if vm.Runtime.PowerState != core.PoweredOn || guests.Frozen(vm) {
		return controlhttp.Conflict(errors.New("no guest is running that could write"))
	}
	top, ok := disk.Backing.(*vdisk.FlatBacking)
	if !ok {
		return controlhttp.Conflict(fmt.Errorf("disk %d is a raw device, whose bytes are not simulated", key))
	}
	for _, r := range ranges {
		if r.Start%vdisk.SectorSize != 0 || r.End%vdisk.SectorSize != 0 || r.Start < 0 || r.End > disk.CapacityInBytes {
			return controlhttp.BadRequest(fmt.Errorf("%d bytes at %d: a guest writes whole sectors of %d bytes, up to %d",
				r.Length(), r.Start, vdisk.SectorSize, disk.CapacityInBytes))
		}
	}
	l, err := s.DiskLayers.Layer(top, disk.CapacityInBytes)
	if err != nil {
		return err
	}
	track(disk)
	return l.Write(ranges, fill)
}

// DiskOf finds a disk by its key.
func DiskOf(devices []types.BaseVirtualDevice, key int32) (*types.VirtualDisk, error) {
	for _, disk := range vdisk.DisksOf(devices) {
		if disk.Key == key {
			return disk, nil
		}
	}
	return nil, controlhttp.NoSuch("disk", fmt.Sprint(key))
}
