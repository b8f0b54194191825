// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vmdkfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/vdisk"
)

// sectorSize is the unit of all places and sizes in these files.
const sectorSize = vdisk.SectorSize

// SparseHeader is the header of a sparse extent, and in a stream its footer as well.
type SparseHeader struct {
	Magic            [4]byte
	Version, Flags   uint32
	Capacity         uint64 // in sectors, as all places and sizes here
	GrainSize        uint64
	DescriptorOffset uint64
	DescriptorSize   uint64
	TableEntries     uint32
	SecondDirectory  uint64
	Directory        uint64
	Overhead         uint64
	Unclean          uint8
	LineEnds         [4]byte
	Compression      uint16
}

const (
	sparseVersion    = 3
	lineEndsKnown    = 1 << 0
	secondTables     = 1 << 1
	compressedGrains = 1 << 16
	withMarkers      = 1 << 17
	deflate          = 1
	directoryAtEnd   = ^uint64(0) // the header leaves it to the footer

	grainSectors = 128
	grainSize    = grainSectors * sectorSize
	tableEntries = 512
	tableSectors = tableEntries * 4 / sectorSize
)

var sparseMagic = []byte("KDMV")

// DiskFormatError is why a host does not take a file as the content of a disk.
type DiskFormatError struct{ why string }

// Error is vCenter's text for it.
func (e *DiskFormatError) Error() string { return "Not a supported disk format (" + e.why + ")" }

// Fault is the fault that the API has of it.
func (e *DiskFormatError) Fault() types.BaseMethodFault {
	fault := &types.SystemError{Reason: e.Error()}
	fault.FaultMessage = []types.LocalizableMessage{{Key: "vforge.disk.format", Message: e.Error()}}
	return fault
}

// CheckDiskFormat refuses what a host refuses of a file for a disk: it takes streamOptimized
// VMDKs, in the form of VMware's tools, with a footer and an end-of-stream marker, or in that of
// qemu-img, without. Nothing shows that the end of the second form is missing.
func CheckDiskFormat(path string, capacity int64) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	head, err := readSparseHeader(file, 0)
	if err != nil {
		return err
	}
	switch {
	case head.Flags&compressedGrains == 0 || head.Compression != deflate:
		return &DiskFormatError{"its grains are not compressed"}
	case head.Version < sparseVersion:
		return &DiskFormatError{"sparse VMDK version too old"}
	case head.Version > sparseVersion:
		return &DiskFormatError{"sparse VMDK version too new"}
	case head.Capacity > uint64(capacity+sectorSize-1)/sectorSize:
		return &DiskFormatError{fmt.Sprintf("its capacity of %d sectors is larger than the disk", head.Capacity)}
	case head.Directory != directoryAtEnd:
		return nil
	}
	return checkStreamEnd(file)
}

// checkStreamEnd looks for the footer and the end-of-stream marker, the last two sectors.
func checkStreamEnd(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	footer, err := readSparseHeader(file, info.Size()-2*sectorSize)
	if err != nil || footer.Directory == directoryAtEnd {
		return &DiskFormatError{"the stream ends without its footer"}
	}
	marker := make([]byte, sectorSize)
	if _, err := file.ReadAt(marker, info.Size()-sectorSize); err != nil || len(bytes.Trim(marker, "\x00")) > 0 {
		return &DiskFormatError{"the stream ends without its end-of-stream marker"}
	}
	return nil
}

func readSparseHeader(file *os.File, at int64) (*SparseHeader, error) {
	var head SparseHeader
	err := binary.Read(io.NewSectionReader(file, at, sectorSize), binary.LittleEndian, &head)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), err == nil && !bytes.Equal(head.Magic[:], sparseMagic):
		return nil, &DiskFormatError{"no sparse VMDK"}
	case err != nil:
		return nil, err
	}
	return &head, nil
}
