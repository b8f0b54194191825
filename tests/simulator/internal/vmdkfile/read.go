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
	"os"
)

// maxGrain bounds what one grain may hold: larger ones are in no file that a tool writes.
const maxGrain = 1 << 20

// Unpack reads a file that CheckDiskFormat has taken, grain by grain, in the order of the disk.
// What a file without a footer lacks at its end reads as zeros: a host, which reads such a file from
// its beginning to its end, does not miss it.
//
// put is called for each grain that is there, with its place on the disk. Unpack returns a
// DiskFormatError where the tables lead to nothing, or where a grain is damaged.
func Unpack(path string, put func(p []byte, off int64) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	head, err := readSparseHeader(file, 0)
	if err != nil {
		return err
	}
	cut := head.Directory != directoryAtEnd
	if !cut {
		info, err := file.Stat()
		if err != nil {
			return err
		}
		if head, err = readSparseHeader(file, info.Size()-2*sectorSize); err != nil {
			return err
		}
	}
	if head.TableEntries != tableEntries || head.GrainSize == 0 || head.GrainSize > maxGrain/sectorSize {
		return &DiskFormatError{"its grains or tables are of no usual size"}
	}
	u := &unpacker{file: file, grain: int64(head.GrainSize) * sectorSize, put: put, cut: cut}
	tables := (int64(head.Capacity) + tableEntries*int64(head.GrainSize) - 1) / (tableEntries * int64(head.GrainSize))
	directory := make([]uint32, tables)
	if err := u.read(int64(head.Directory), directory); err != nil {
		return err
	}
	for i, at := range directory {
		if at == 0 {
			continue
		}
		table := make([]uint32, tableEntries)
		if err := u.read(int64(at), table); err != nil {
			return err
		}
		if err := u.table(int64(i), table); err != nil {
			return err
		}
	}
	return nil
}

type unpacker struct {
	file  *os.File
	grain int64 // bytes
	put   func(p []byte, off int64) error
	cut   bool // whether the end of the file may be missing
}

// read reads a list of sectors at one.
func (u *unpacker) read(sector int64, into []uint32) error {
	at := io.NewSectionReader(u.file, sector*sectorSize, int64(len(into))*4)
	if err := binary.Read(at, binary.LittleEndian, into); err != nil {
		return &DiskFormatError{fmt.Sprintf("there is no table at sector %d", sector)}
	}
	return nil
}

func (u *unpacker) table(number int64, table []uint32) error {
	for i, sector := range table {
		if sector <= 1 { // none, or one that reads as zeros
			continue
		}
		off := (number*tableEntries + int64(i)) * u.grain
		data, err := u.unpack(int64(sector), off/sectorSize)
		if errors.Is(err, errNotThere) && u.cut {
			continue
		}
		if err != nil {
			return err
		}
		if err := u.put(data, off); err != nil {
			return err
		}
	}
	return nil
}

// errNotThere is for a grain that would be behind the end of the file.
var errNotThere = errors.New("behind the end of the file")

// unpack reads the grain at a sector of the file, which is to be that of a sector of the disk.
func (u *unpacker) unpack(sector, ofDisk int64) ([]byte, error) {
	var head [grainHeaderSize]byte
	if _, err := u.file.ReadAt(head[:], sector*sectorSize); err != nil {
		return nil, errors.Join(errNotThere, &DiskFormatError{fmt.Sprintf("there is no grain at sector %d", sector)})
	}
	lba, size := binary.LittleEndian.Uint64(head[:]), int64(binary.LittleEndian.Uint32(head[8:]))
	if lba != uint64(ofDisk) || size > 2*maxGrain {
		return nil, &DiskFormatError{fmt.Sprintf("the grain at sector %d is another one", sector)}
	}
	packed := make([]byte, size)
	if _, err := u.file.ReadAt(packed, sector*sectorSize+grainHeaderSize); err != nil {
		return nil, errors.Join(errNotThere, &DiskFormatError{fmt.Sprintf("the grain at sector %d is cut short", sector)})
	}
	reader, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, &DiskFormatError{fmt.Sprintf("the grain at sector %d is damaged", sector)}
	}
	// The last grain of a disk may be a shorter one. Behind the data is their checksum.
	data, err := io.ReadAll(io.LimitReader(reader, u.grain+1))
	if err != nil || int64(len(data)) > u.grain {
		return nil, &DiskFormatError{fmt.Sprintf("the grain at sector %d is damaged", sector)}
	}
	return data, nil
}
