// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vmdkfile

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"vforge.vsphere/simulator/internal/vdisk"
)

// Form is one of the two forms in which streamOptimized disks are met.
type Form string

const (
	// Stream is what hosts and VMware's tools write: tables behind the grains that they are of,
	// each behind a marker, then the directory, a footer and an end-of-stream marker.
	Stream Form = "stream"
	// QEMU is what qemu-img writes: all tables before the grains, and no footer and no markers of
	// tables. A host never sends it; readers have to know both.
	QEMU Form = "qemu"
)

// descriptorSectors is the room for the descriptor's text, as VMware's tools leave it.
const descriptorSectors = 20

// Markers: what follows them.
const (
	markerEndOfStream uint32 = iota
	markerTable
	markerDirectory
	markerFooter
)

// Content is a disk to write.
type Content struct {
	io.ReaderAt
	Capacity  int64       // bytes
	Allocated vdisk.Spans // the parts that may hold something; all else is zeros
	// Descriptor is the text that is put into the file.
	Descriptor string
}

// Write writes a disk, with the grains of it alone that are not all zeros, and returns how many
// bytes of the disk are in it. The content must not change meanwhile.
func Write(to io.Writer, disk Content, form Form) (populated int64, err error) {
	w := &writer{to: to, disk: disk}
	if form == QEMU {
		return w.qemu()
	}
	return w.stream()
}

// writer counts the sectors that it has written.
type writer struct {
	to     io.Writer
	disk   Content
	sector uint64
	packer *zlib.Writer
	packed bytes.Buffer
}

func (w *writer) header(flags uint32, directory, overhead uint64) SparseHeader {
	return SparseHeader{
		Magic: [4]byte(sparseMagic), Version: sparseVersion, Flags: flags | lineEndsKnown | compressedGrains | withMarkers,
		Capacity: w.sectors(), GrainSize: grainSectors, DescriptorOffset: 1, DescriptorSize: descriptorSectors,
		TableEntries: tableEntries, Directory: directory, Overhead: overhead,
		LineEnds: [4]byte{'\n', ' ', '\r', '\n'}, Compression: deflate,
	}
}

// sectors is the disk's capacity.
func (w *writer) sectors() uint64 {
	return uint64(w.disk.Capacity+sectorSize-1) / sectorSize
}

// tables is how many grain tables the disk has.
func (w *writer) tables() int {
	const covered = tableEntries * grainSectors
	return int((w.sectors() + covered - 1) / covered)
}

// stream writes the form of VMware's tools, in one go.
func (w *writer) stream() (populated int64, err error) {
	const overhead = grainSectors // the first grain begins at a grain
	head := w.header(0, directoryAtEnd, overhead)
	if err := w.head(&head, overhead); err != nil {
		return 0, err
	}
	directory, table, current := make([]uint32, w.tables()), make([]uint32, tableEntries), -1
	endTable := func() error {
		if current < 0 {
			return nil
		}
		if err := w.marker(tableSectors, markerTable); err != nil {
			return err
		}
		directory[current] = uint32(w.sector)
		return w.data(table)
	}
	err = w.grains(func(number int64, grain []byte) error {
		if at := int(number / tableEntries); at != current {
			if err := endTable(); err != nil {
				return err
			}
			clear(table)
			current = at
		}
		table[number%tableEntries], populated = uint32(w.sector), populated+int64(len(grain))
		return w.grain(number, grain)
	})
	if err == nil {
		err = endTable()
	}
	if err != nil {
		return populated, err
	}
	return populated, w.end(directory, overhead)
}

// end writes what is behind the grains: the directory, the footer and the end of the stream.
func (w *writer) end(directory []uint32, overhead uint64) error {
	size := (uint64(len(directory))*4 + sectorSize - 1) / sectorSize
	if err := w.marker(size, markerDirectory); err != nil {
		return err
	}
	footer := w.header(0, w.sector, overhead)
	return errors.Join(w.data(directory), w.marker(1, markerFooter), w.data(&footer), w.marker(0, markerEndOfStream))
}

// qemu writes the form of qemu-img: first it finds out where the grains will be.
func (w *writer) qemu() (populated int64, err error) {
	tables := w.tables()
	directorySectors := (uint64(tables)*4 + sectorSize - 1) / sectorSize
	second := uint64(1 + descriptorSectors)
	first := second + directorySectors + uint64(tables)*tableSectors
	end := first + directorySectors + uint64(tables)*tableSectors
	overhead := (end + grainSectors - 1) / grainSectors * grainSectors
	head := w.header(secondTables, first, overhead)
	head.SecondDirectory = second

	places, next := make([]uint32, tables*tableEntries), overhead
	err = w.grains(func(number int64, grain []byte) error {
		places[number] = uint32(next)
		next += (grainHeaderSize + uint64(len(w.pack(grain))) + sectorSize - 1) / sectorSize
		return nil
	})
	if err == nil {
		err = w.head(&head, second)
	}
	for _, directory := range []uint64{second, first} {
		entries := make([]uint32, tables)
		for i := range entries {
			entries[i] = uint32(directory + directorySectors + uint64(i)*tableSectors)
		}
		if err == nil {
			err = errors.Join(w.data(entries), w.data(places))
		}
	}
	if err == nil {
		err = w.pad(overhead)
	}
	if err != nil {
		return 0, err
	}
	err = w.grains(func(number int64, grain []byte) error {
		if uint64(places[number]) != w.sector {
			return fmt.Errorf("the disk changed while it was written: grain %d", number)
		}
		populated += int64(len(grain))
		return w.grain(number, grain)
	})
	return populated, err
}

// grains calls do for each grain that is not all zeros, in order. The last grain of a disk is
// filled up with zeros.
func (w *writer) grains(do func(number int64, grain []byte) error) error {
	grain, zeros := make([]byte, grainSize), make([]byte, grainSize)
	whole := (w.disk.Capacity + grainSize - 1) / grainSize * grainSize
	for _, span := range w.disk.Allocated.Aligned(grainSize, whole) {
		for at := span.Start; at < span.End; at += grainSize {
			n, err := w.disk.ReadAt(grain, at)
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			clear(grain[n:])
			if bytes.Equal(grain, zeros) {
				continue
			}
			if err := do(at/grainSize, grain); err != nil {
				return err
			}
		}
	}
	return nil
}

// grainHeaderSize is that of what stands before a compressed grain: its first sector on the disk,
// and how many bytes follow.
const grainHeaderSize = 12

func (w *writer) grain(number int64, grain []byte) error {
	packed := w.pack(grain)
	whole := make([]byte, grainHeaderSize, grainHeaderSize+len(packed)+sectorSize)
	binary.LittleEndian.PutUint64(whole, uint64(number)*grainSectors)
	binary.LittleEndian.PutUint32(whole[8:], uint32(len(packed)))
	return w.data(append(whole, packed...))
}

// pack compresses a grain. The result is good until the next call.
func (w *writer) pack(grain []byte) []byte {
	w.packed.Reset()
	if w.packer == nil {
		w.packer, _ = zlib.NewWriterLevel(&w.packed, zlib.BestSpeed) // a level that exists
	} else {
		w.packer.Reset(&w.packed)
	}
	_, _ = w.packer.Write(grain) // a buffer in memory takes all
	_ = w.packer.Close()
	return w.packed.Bytes()
}

// head writes the header and the descriptor, and zeros up to a sector.
func (w *writer) head(h *SparseHeader, upTo uint64) error {
	if len(w.disk.Descriptor) > descriptorSectors*sectorSize {
		return errors.New("the descriptor is too long")
	}
	return errors.Join(w.data(h), w.data([]byte(w.disk.Descriptor)), w.pad(upTo))
}

func (w *writer) marker(sectors uint64, kind uint32) error {
	var m [sectorSize]byte
	binary.LittleEndian.PutUint64(m[:], sectors)
	binary.LittleEndian.PutUint32(m[12:], kind)
	return w.data(m[:])
}

// data writes a value in whole sectors.
func (w *writer) data(value any) error {
	p, ok := value.([]byte)
	if !ok {
		var buf bytes.Buffer
		if err := binary.Write(&buf, binary.LittleEndian, value); err != nil {
			return err
		}
		p = buf.Bytes()
	}
	if rest := len(p) % sectorSize; rest > 0 {
		p = append(p, make([]byte, sectorSize-rest)...)
	}
	w.sector += uint64(len(p)) / sectorSize
	_, err := w.to.Write(p)
	return err
}

// pad writes zeros up to a sector.
func (w *writer) pad(sector uint64) error {
	return w.data(make([]byte, (sector-w.sector)*sectorSize))
}
