// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"testing"

	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vmdkfile"
)

// diskHeader is the header of a disk of 1 MiB, in the form of qemu-img and without a grain, as a
// test changes it.
func diskHeader(change ...func(*vmdkfile.SparseHeader)) []byte {
	h := vmdkfile.SparseHeader{
		Magic: [4]byte{'K', 'D', 'M', 'V'}, Version: 3, Flags: 1<<16 | 0x20001, Capacity: 2048, GrainSize: 128,
		DescriptorOffset: 1, DescriptorSize: 1, TableEntries: 512, SecondDirectory: 2, Directory: 2, Overhead: 3,
		LineEnds: [4]byte{'\n', ' ', '\r', '\n'}, Compression: 1,
	}
	for _, f := range change {
		f(&h)
	}
	var out bytes.Buffer
	if err := binary.Write(&out, binary.LittleEndian, &h); err != nil {
		panic(err)
	}
	return append(out.Bytes(), make([]byte, vdisk.SectorSize-out.Len())...)
}

// streamed is a disk in the form of VMware's tools.
func streamed() []byte {
	atEnd := diskHeader(func(h *vmdkfile.SparseHeader) { h.Directory = ^uint64(0) })
	disk := append(atEnd, make([]byte, 4*vdisk.SectorSize)...)
	return append(append(disk, diskHeader()...), make([]byte, vdisk.SectorSize)...)
}

// A host takes two forms of one kind of disk.
func TestDisksThatAHostTakes(t *testing.T) {
	b := start(t)
	im := b.imported("appliance")
	l := im.ready()
	im.mustPut(l, 0, streamed())
	im.mustPut(l, 1, content(3_000, 1))
	if err := im.complete(); err != nil {
		t.Fatal(err)
	}
}

// What a host does not take ends the import, and nothing of it is left.
func TestDisksThatNoHostTakes(t *testing.T) {
	noEnd, noFooter := streamed(), streamed()
	for name, disk := range map[string][]byte{
		"raw":                bytes.Repeat([]byte("raw"), 1000),
		"nearly nothing":     []byte("KDMV"),
		"not compressed":     diskHeader(func(h *vmdkfile.SparseHeader) { h.Flags, h.Compression = 3, 0 }),
		"of version 1":       diskHeader(func(h *vmdkfile.SparseHeader) { h.Version = 1 }),
		"of version 4":       diskHeader(func(h *vmdkfile.SparseHeader) { h.Version = 4 }),
		"larger than its VM": diskHeader(func(h *vmdkfile.SparseHeader) { h.Capacity = 4097 }),
		"without its end":    noEnd[:len(noEnd)-vdisk.SectorSize],
		"without its footer": noFooter[:len(noFooter)-2*vdisk.SectorSize],
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			im := b.imported("appliance")
			res, err := im.put(im.ready(), 0, bytes.NewReader(disk))
			if err != nil || res.StatusCode != http.StatusInternalServerError {
				t.Errorf("%+v, %v", res, err)
			}
			over := im.state(types.HttpNfcLeaseStateReady)
			if over.State != types.HttpNfcLeaseStateError || over.Error == nil {
				t.Fatalf("lease %+v", over)
			}
			b.wantFault(over.Error.Fault, &types.SystemError{})
			b.nothingOf("appliance")
		})
	}
}
