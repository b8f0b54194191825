// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vmdkfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"vforge.vsphere/simulator/internal/vdisk"
)

// random is a disk with something in some of its parts, of a size that is a multiple of sectors.
func random(r *rand.Rand) Content {
	capacity := (1 + r.Int64N(3*tableEntries*grainSectors)) * sectorSize
	disk := make([]byte, capacity)
	var allocated vdisk.Spans
	for range r.IntN(12) {
		start := r.Int64N(capacity)
		end := min(capacity, start+1+r.Int64N(5*grainSize))
		allocated.Add(vdisk.Span{Start: start, End: end})
		if r.IntN(4) == 0 {
			continue // zeros that were written
		}
		for i := start; i < end; i++ {
			disk[i] = byte(r.Uint32())
		}
	}
	return Content{ReaderAt: bytes.NewReader(disk), Capacity: capacity, Allocated: allocated, Descriptor: "# Disk DescriptorFile\n"}
}

// file writes a disk into a file.
func file(t *testing.T, disk Content, form Form) string {
	t.Helper()
	var out bytes.Buffer
	if _, err := Write(&out, disk, form); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "disk.vmdk")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// unpacked is the disk of a file.
func unpacked(t *testing.T, path string, capacity int64) []byte {
	t.Helper()
	got := make([]byte, capacity)
	if err := Unpack(path, func(p []byte, off int64) error { copy(got[off:], p); return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 5 {
		disk := random(r)
		want := make([]byte, disk.Capacity)
		if _, err := disk.ReadAt(want, 0); err != nil {
			t.Fatal(err)
		}
		for _, form := range []Form{Stream, QEMU} {
			path := file(t, disk, form)
			if err := CheckDiskFormat(path, disk.Capacity); err != nil {
				t.Fatalf("%s: %v", form, err)
			}
			if !bytes.Equal(unpacked(t, path, disk.Capacity), want) {
				t.Fatalf("%s: another disk of %d bytes with %v", form, disk.Capacity, disk.Allocated)
			}
		}
	}
}

// The parts of a stream stand in the order in which a reader that cannot go back needs them.
func TestAStreamIsByTheBook(t *testing.T) {
	raw := make([]byte, 40<<20)
	raw[0], raw[len(raw)-1] = 1, 2 // a grain in either table
	disk := Content{
		ReaderAt: bytes.NewReader(raw), Capacity: int64(len(raw)), Descriptor: "# Disk DescriptorFile\n",
		Allocated: vdisk.Spans{{Start: 0, End: int64(len(raw))}},
	}
	text, err := os.ReadFile(file(t, disk, Stream))
	if err != nil {
		t.Fatal(err)
	}
	at := grainSize // behind header and descriptor
	var kinds []uint32
	for at < len(text) {
		sectors, size := binary.LittleEndian.Uint64(text[at:]), int(binary.LittleEndian.Uint32(text[at+8:]))
		if size > 0 { // a grain
			kinds = append(kinds, 100)
			at += (grainHeaderSize + size + sectorSize - 1) / sectorSize * sectorSize
			continue
		}
		kinds = append(kinds, binary.LittleEndian.Uint32(text[at+12:]))
		at += sectorSize + int(sectors)*sectorSize
	}
	want := []uint32{100, markerTable, 100, markerTable, markerDirectory, markerFooter, markerEndOfStream}
	if len(kinds) != len(want) || at != len(text) {
		t.Fatalf("%v, %d of %d bytes", kinds, at, len(text))
	}
	for i := range want {
		if kinds[i] != want[i] {
			t.Fatalf("%v, want %v", kinds, want)
		}
	}
}

// A grain that is not what its place says, or not what was compressed, is refused; one behind the
// end of a file without a footer is not missed.
func TestDamage(t *testing.T) {
	raw := bytes.Repeat([]byte("some text "), 1<<17)[:1<<20]
	disk := Content{ReaderAt: bytes.NewReader(raw), Capacity: 1 << 20, Allocated: vdisk.Spans{{Start: 0, End: 1 << 20}}}
	nothing := func([]byte, int64) error { return nil }
	for _, form := range []Form{Stream, QEMU} {
		whole, err := os.ReadFile(file(t, disk, form))
		if err != nil {
			t.Fatal(err)
		}
		first := bytes.Index(whole, []byte{0x78, 0x01}) // zlib's own header
		for name, change := range map[string]func([]byte){
			"another place":  func(p []byte) { p[first-grainHeaderSize] ^= 1 },
			"another length": func(p []byte) { p[first-4] -= 8 },
			"another byte":   func(p []byte) { p[first+20] ^= 0x10 },
		} {
			damaged := bytes.Clone(whole)
			change(damaged)
			path := filepath.Join(t.TempDir(), "damaged.vmdk")
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			var refused *DiskFormatError
			if err := Unpack(path, nothing); !errors.As(err, &refused) {
				t.Errorf("%s, %s: %v", form, name, err)
			}
		}
	}
	path := file(t, disk, QEMU)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, info.Size()-sectorSize); err != nil {
		t.Fatal(err)
	}
	got := unpacked(t, path, 1<<20)
	if !bytes.Equal(got[:15*grainSize], raw[:15*grainSize]) || len(bytes.Trim(got[15*grainSize:], "\x00")) > 0 {
		t.Error("a short file is not read up to its last whole grain")
	}
}
