// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package control

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/controlhttp"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/guestwrites"
	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/vdisk"
)

// maxReply bounds what one request reads of a disk.
const maxReply = 256 << 20

// diskTarget is the disk that a request to the control endpoint names: of a VM as it is
// or, with ?snapshot=, as a snapshot keeps it.
type diskTarget struct {
	vm       *simulator.VirtualMachine
	key      int32
	snapshot string
}

func (s *Control) diskTarget(r *http.Request) (t diskTarget, err error) {
	if t.vm, err = s.FindVM(r.PathValue("name")); err != nil {
		return t, err
	}
	key, err := strconv.ParseInt(r.PathValue("key"), 10, 32)
	if err != nil {
		return t, controlhttp.NoSuch("disk", r.PathValue("key"))
	}
	t.key, t.snapshot = int32(key), r.URL.Query().Get("snapshot")
	return t, nil
}

// open finds the disk of a target, and what it shows. It lasts as long as the caller
// holds the VM's lock.
func (s *Control) open(t diskTarget) (*types.VirtualDisk, *vdisk.Image, error) {
	devices := t.vm.Config.Hardware.Device
	if t.snapshot != "" {
		snapshot := s.Snapshot(types.ManagedObjectReference{Type: "VirtualMachineSnapshot", Value: t.snapshot})
		if snapshot == nil || snapshot.Vm != t.vm.Self {
			return nil, nil, controlhttp.NoSuch("snapshot", t.snapshot)
		}
		devices = snapshot.Config.Hardware.Device
	}
	disk, err := guestwrites.DiskOf(devices, t.key)
	if err != nil {
		return nil, nil, err
	}
	top, ok := disk.Backing.(*vdisk.FlatBacking)
	if !ok {
		return nil, nil, controlhttp.Conflict(fmt.Errorf("disk %d is a raw device, whose bytes are not simulated", t.key))
	}
	image, err := s.DiskLayers.Image(top, disk.CapacityInBytes)
	return disk, image, err
}

// getDisk shows a disk: its layers, where their files are, and which areas were ever
// written.
func (s *Control) getDisk(r *http.Request) (out any, err error) {
	t, err := s.diskTarget(r)
	if err != nil {
		return nil, err
	}
	s.Background("").WithLock(t.vm, func() {
		var disk *types.VirtualDisk
		var image *vdisk.Image
		if disk, image, err = s.open(t); err != nil {
			return
		}
		var layers []map[string]any
		for i, b := range vdisk.DiskChain(disk) {
			layers = append(layers, map[string]any{
				"file": b.FileName, "extent": image.Layers[i].Extent, "written": areaPairs(image.Layers[i].Written()),
			})
		}
		out = map[string]any{
			"key": disk.Key, "bytes": disk.CapacityInBytes, "change_id": disk.Backing.(*vdisk.FlatBacking).ChangeId,
			"layers": layers, "written": areaPairs(image.Allocated()),
		}
	})
	return out, err
}

// areaPairs lists areas as [start, length].
func areaPairs(s vdisk.Spans) [][2]int64 {
	out := make([][2]int64, 0, len(s))
	for _, a := range s {
		out = append(out, [2]int64{a.Start, a.Length()})
	}
	return out
}

// getDiskBytes answers with what a disk shows: ?offset= and ?length= pick a part of it.
func (s *Control) getDiskBytes(w http.ResponseWriter, r *http.Request) {
	text, err := s.diskBytes(r)
	if err != nil {
		controlhttp.Handler(func(*http.Request) (any, error) { return nil, err })(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // a client that has gone needs no answer
}

func (s *Control) diskBytes(r *http.Request) (text []byte, err error) {
	t, err := s.diskTarget(r)
	if err != nil {
		return nil, err
	}
	s.Background("").WithLock(t.vm, func() {
		var disk *types.VirtualDisk
		var image *vdisk.Image
		if disk, image, err = s.open(t); err != nil {
			return
		}
		part := vdisk.Span{Start: 0, End: disk.CapacityInBytes}
		if part, err = pickPart(r, part); err != nil {
			return
		}
		text = make([]byte, part.Length())
		if _, err = image.ReadAt(text, part.Start); errors.Is(err, io.EOF) {
			err = nil
		}
	})
	return text, err
}

func pickPart(r *http.Request, all vdisk.Span) (vdisk.Span, error) {
	part, length := all, int64(-1)
	for name, into := range map[string]*int64{"offset": &part.Start, "length": &length} {
		if text := r.URL.Query().Get(name); text != "" {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil || n < 0 {
				return part, controlhttp.BadRequest(fmt.Errorf("%q is %q: a number of bytes is needed", name, text))
			}
			*into = n
		}
	}
	if length >= 0 {
		part.End = min(part.Start+length, all.End)
	}
	if part.Length() < 0 || part.Length() > maxReply {
		return part, controlhttp.BadRequest(fmt.Errorf("%d bytes at %d of %d: at most %d at once", part.Length(), part.Start, all.End, maxReply))
	}
	return part, nil
}

// diskWrite is one thing for a guest to write: at one place or, with a count, at many.
type diskWrite struct {
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
	Count  int64  `json:"count"`  // how many of them
	Stride int64  `json:"stride"` // from the beginning of one to that of the next
	Seed   uint64 `json:"seed"`   // what is written follows from it and from where
	Data   string `json:"data"`   // base64, in place of length and seed
	Missed bool   `json:"missed"` // changed block tracking does not see it, as in the hosts' faults of the past
}

// check completes a write and tells what is wrong with it.
func (d *diskWrite) check() (data []byte, err error) {
	if data, err = base64.StdEncoding.DecodeString(d.Data); err != nil {
		return nil, controlhttp.BadRequest(fmt.Errorf(`"data": %w`, err))
	}
	if len(data) > 0 {
		if d.Length != 0 || d.Seed != 0 {
			return nil, controlhttp.BadRequest(errors.New(`"data" is in place of "length" and "seed"`))
		}
		d.Length = int64(len(data))
	}
	d.Count = max(d.Count, 1)
	if d.Length <= 0 || d.Offset < 0 || d.Count > 1 && d.Stride < d.Length || d.Count > 10_000_000 {
		return nil, controlhttp.BadRequest(errors.New(`a write has "length" over 0, "offset" of at least 0 and, with "count", "stride" of at least "length"`))
	}
	return data, nil
}

func (d *diskWrite) ranges() vdisk.Spans {
	out := make(vdisk.Spans, 0, d.Count)
	for i := range d.Count {
		start := d.Offset + i*d.Stride
		out = out.Append(vdisk.Span{Start: start, End: start + d.Length})
	}
	return out
}

// postWrites has the guest write.
func (s *Control) postWrites(r *http.Request) (any, error) {
	t, err := s.diskTarget(r)
	if err != nil {
		return nil, err
	}
	var body struct {
		diskWrite
		Writes []diskWrite `json:"writes"`
	}
	if err := controlhttp.Decode(r, &body); err != nil {
		return nil, err
	}
	if body.Writes == nil {
		body.Writes = []diskWrite{body.diskWrite}
	} else if body.diskWrite != (diskWrite{}) {
		return nil, controlhttp.BadRequest(errors.New(`a list of "writes" stands alone`))
	}
	total := vdisk.Spans{}
	ctx := s.Background("")
	ctx.WithLock(t.vm, func() {
		for i := range body.Writes {
			if err == nil {
				total, err = s.writeOne(t, &body.Writes[i], total)
			}
		}
		s.Disks.TellFiles(ctx, t.vm)
	})
	return map[string]int64{"bytes": total.Bytes()}, err
}

// writeOne has the guest write one of a list. The caller holds the VM's lock.
func (s *Control) writeOne(t diskTarget, d *diskWrite, total vdisk.Spans) (vdisk.Spans, error) {
	data, err := d.check()
	if err != nil {
		return total, err
	}
	fill := guestwrites.Seeded(d.Seed)
	if len(data) > 0 {
		fill = d.repeated(data)
	}
	ranges := d.ranges()
	if d.Missed {
		return total.With(ranges), s.Writes.WriteMissed(t.vm, t.key, ranges, fill)
	}
	return total.With(ranges), s.Writes.Write(t.vm, t.key, ranges, fill)
}

// repeated fills each of a write's places with the same bytes.
func (d *diskWrite) repeated(data []byte) func(p []byte, off int64) error {
	return func(p []byte, off int64) error {
		for i := range p {
			at := off + int64(i) - d.Offset
			if d.Count > 1 {
				at %= d.Stride
			}
			p[i] = data[at]
		}
		return nil
	}
}

// postPowerFailure takes the power from a running VM: it is off, and its tracked changes
// cannot be trusted.
func (s *Control) postPowerFailure(r *http.Request) (any, error) {
	vm, err := s.FindVM(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	ctx := s.Background("")
	ctx.WithLock(vm, func() {
		if vm.Runtime.PowerState != core.PoweredOn {
			err = controlhttp.Conflict(errors.New("the VM is not powered on"))
			return
		}
		s.Tracks.BreakAll(vm)
		s.VMs.PowerOff(ctx, vm)
	})
	return controlhttp.Done, err
}

// postCBT sets how changed areas are told.
func (s *Control) postCBT(r *http.Request) (any, error) {
	var body struct {
		Granule *int64 `json:"granule"`
	}
	if err := controlhttp.Decode(r, &body); err != nil {
		return nil, err
	}
	if body.Granule == nil {
		return nil, controlhttp.BadRequest(errors.New(`"granule" is needed`))
	}
	if err := settings.CheckGranule(*body.Granule); err != nil {
		return nil, controlhttp.BadRequest(err)
	}
	s.Disks.Granule.Store(*body.Granule)
	return controlhttp.Done, nil
}

// postDatastore changes what kind of file system a datastore has, or how much of it is free.
func (s *Control) postDatastore(r *http.Request) (any, error) {
	e, err := s.Named("Datastore", r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	var body struct {
		Type string `json:"type"`
		Free *int64 `json:"free"`
	}
	if err := controlhttp.Decode(r, &body); err != nil {
		return nil, err
	}
	if body.Free != nil {
		if *body.Free < 0 {
			return nil, controlhttp.BadRequest(errors.New(`"free" is a number of bytes`))
		}
		if err := s.Datastores.Limit(e.(*simulator.Datastore), *body.Free); err != nil {
			return nil, err
		}
	}
	if body.Type == "" && body.Free != nil {
		return controlhttp.Done, nil
	}
	if !slices.Contains([]string{"VMFS", "NFS", "NFS41", "vsan"}, body.Type) {
		return nil, controlhttp.BadRequest(errors.New(`"type" is VMFS, NFS, NFS41 or vsan`))
	}
	capability := e.(*simulator.Datastore).Capability
	capability.TopLevelDirectoryCreateSupported = types.NewBool(body.Type != "vsan")
	if body.Type == "vsan" {
		body.Type = dsfiles.VSAN
	}
	s.Reg.AtomicUpdate(s.Background(""), e, []types.PropertyChange{
		{Name: "summary.type", Val: body.Type}, {Name: "capability", Val: capability},
	})
	return controlhttp.Done, nil
}
