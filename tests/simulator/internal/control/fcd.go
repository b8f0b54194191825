// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package control

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/controlhttp"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/fcd"
	"vforge.vsphere/simulator/internal/guestwrites"
	"vforge.vsphere/simulator/internal/vdisk"
)

// postFCDs makes first class disks, many at once.
func (s *Control) postFCDs(r *http.Request) (any, error) {
	body := struct {
		Prefix    string            `json:"prefix"`
		Datastore string            `json:"datastore"`
		Count     int               `json:"count"`
		SizeMB    int64             `json:"size_mb"`
		Metadata  map[string]string `json:"metadata"`
	}{Prefix: "disk-", Count: 1, SizeMB: 1}
	if err := controlhttp.Decode(r, &body); err != nil {
		return nil, err
	}
	e, err := s.Named("Datastore", body.Datastore)
	if err != nil {
		return nil, err
	}
	ds := e.(*simulator.Datastore)
	var pairs []types.KeyValue
	for key, value := range body.Metadata {
		pairs = append(pairs, types.KeyValue{Key: key, Value: value})
	}
	kind := string(types.BaseConfigInfoDiskFileBackingInfoProvisioningTypeThin)
	ids := make([]string, 0, body.Count)
	for i := range body.Count {
		file, _ := s.VStorage.FileFor(ds, "") // one of its own is free
		base, err := disks.NewBaseDisk(ds, file, body.SizeMB*fcd.MB)
		if err != nil {
			return nil, err
		}
		made := s.VStorage.NewDisk(&fcd.Disk{
			Name: body.Prefix + strconv.Itoa(i+1), Datastore: ds.Self, CapacityMB: body.SizeMB, Provisioning: kind,
			Layers: []*vdisk.FlatBacking{base}, Metadata: fcd.Merged(nil, pairs, nil),
		})
		ids = append(ids, made.Config.Id.Id)
	}
	return map[string]any{"ids": ids}, nil
}

// fcdImage does something with what a disk shows, under the catalogue's lock; ?snapshot= for what it showed then.
func (s *Control) fcdImage(r *http.Request, do func(*fcd.Disk, *vdisk.FlatBacking, *vdisk.Image) error) error {
	s.VStorage.Catalogue.Lock()
	defer s.VStorage.Catalogue.Unlock()
	d := s.VStorage.Catalogue.Named(r.PathValue("id"))
	if d == nil {
		return controlhttp.NoSuch("first class disk", r.PathValue("id"))
	}
	top := d.Top()
	if id := r.URL.Query().Get("snapshot"); id != "" {
		at := d.SnapshotAt(id)
		if at < 0 {
			return controlhttp.NoSuch("snapshot", id)
		}
		top = d.Layers[at]
	}
	image, err := s.DiskLayers.Image(top, d.Bytes())
	if err != nil {
		return err
	}
	return do(d, top, image)
}

// getFCD shows a disk as the simulator has it.
func (s *Control) getFCD(r *http.Request) (out any, err error) {
	err = s.fcdImage(r, func(d *fcd.Disk, _ *vdisk.FlatBacking, image *vdisk.Image) error {
		layers := make([]map[string]any, 0, len(d.Layers))
		for i, b := range d.Layers {
			extent := image.Layers[len(d.Layers)-1-i].Extent
			layers = append(layers, map[string]any{"file": b.FileName, "extent": extent})
		}
		vm := ""
		if d.VM != nil {
			vm = d.VM.Value
		}
		out = map[string]any{
			"name": d.Name, "datastore": d.Datastore.Value, "layers": layers, "vm": vm, "key": d.Key, "snapshots": len(d.Snapshots),
			"profile": d.Profile, "written": areaPairs(image.Allocated()),
		}
		return nil
	})
	return out, err
}

// getFCDBytes answers with what a disk shows: ?offset= and ?length= pick a part of it.
func (s *Control) getFCDBytes(w http.ResponseWriter, r *http.Request) {
	var text []byte
	err := s.fcdImage(r, func(d *fcd.Disk, _ *vdisk.FlatBacking, image *vdisk.Image) error {
		part, err := pickPart(r, vdisk.Span{Start: 0, End: d.Bytes()})
		if err != nil {
			return err
		}
		text = make([]byte, part.Length())
		if _, err = image.ReadAt(text, part.Start); errors.Is(err, io.EOF) {
			err = nil
		}
		return err
	})
	if err != nil {
		controlhttp.Handler(func(*http.Request) (any, error) { return nil, err })(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(text) // a client that has gone needs no answer
}

// postFCDWrites writes to a disk that no VM has, as whoever may open it from outside can. Of one that a VM has the
// guest writes.
func (s *Control) postFCDWrites(r *http.Request) (any, error) {
	var body diskWrite
	if err := controlhttp.Decode(r, &body); err != nil {
		return nil, err
	}
	data, err := body.check()
	if err != nil {
		return nil, err
	}
	fill := guestwrites.Seeded(body.Seed)
	if len(data) > 0 {
		fill = body.repeated(data)
	}
	ranges := body.ranges()
	err = s.fcdImage(r, func(d *fcd.Disk, top *vdisk.FlatBacking, image *vdisk.Image) error {
		if d.VM != nil {
			return controlhttp.Conflict(fmt.Errorf("a VM has %s: let its guest write", d.Name))
		}
		if last := ranges[len(ranges)-1].End; last > d.Bytes() {
			return controlhttp.BadRequest(fmt.Errorf("%d is behind the end of the disk", last))
		}
		s.Tracks.Wrote(d.Ref(), 0, ranges)
		return image.Layers[0].Write(ranges, fill)
	})
	return map[string]int64{"bytes": ranges.Bytes()}, err
}

// noteFCDs notes the files of first class disks.
func (s *Control) noteFCDs(known map[string]bool) {
	s.VStorage.Catalogue.Lock()
	defer s.VStorage.Catalogue.Unlock()
	for _, d := range s.VStorage.Catalogue.All(nil) {
		for i, b := range d.Layers {
			name, file := dsfiles.Split(b.FileName)
			if ds, ok := s.Reg.Get(d.Datastore).(*simulator.Datastore); ok && ds.Name == name {
				known[dsfiles.Local(ds, file)], known[dsfiles.Local(ds, dsfiles.Extent(file, i > 0))] = true, true
			}
		}
	}
}
