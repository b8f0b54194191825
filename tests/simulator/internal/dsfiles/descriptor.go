// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package dsfiles

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/vmdk"
)

// Layer is what the descriptor of one layer of a disk says.
type Layer struct {
	Name     string // its datastore path
	Capacity int64  // bytes
	Parent   string // the datastore path of the layer below; a base has none
	UUID     string // of the disk; a base alone has one, and a new one where this is empty
	Adapter  string // empty: lsilogic
	Thick    bool
}

func (l *Layer) delta() bool { return l.Parent != "" }

// Text is the descriptor as a host writes it, for an extent in a file of this name.
func (l *Layer) Text(extent string) string {
	kind, parentCID, hint, extentKind := "vmfs", "ffffffff", "", "VMFS"
	if l.delta() {
		kind, parentCID, extentKind = "seSparse", contentID(l.Parent), "SESPARSE"
		hint = fmt.Sprintf("parentFileNameHint=\"%s\"\n", l.hint())
	}
	return fmt.Sprintf(`# Disk DescriptorFile
version=1
encoding="UTF-8"
CID=%s
parentCID=%s
createType="%s"
%s
# Extent description
RW %d %s "%s"

# The Disk Data Base
#DDB

%s`, contentID(l.Name), parentCID, kind, hint, l.sectors(), extentKind, extent, l.dataBase())
}

// StreamText is the descriptor within a streamOptimized file.
func (l *Layer) StreamText() string {
	return fmt.Sprintf(`# Disk DescriptorFile
version=1
CID=%s
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RDONLY %d SPARSE "generated-stream.vmdk"

# The Disk Data Base
#DDB

%s`, contentID(l.Name), l.sectors(), l.dataBase())
}

func (l *Layer) sectors() int64 { return (l.Capacity + vmdk.SectorSize - 1) / vmdk.SectorSize }

// dataBase is the last part of the descriptor.
func (l *Layer) dataBase() string {
	long := fmt.Sprintf("ddb.longContentID = \"%x%s\"\n", crc32.ChecksumIEEE([]byte("long "+l.Name)), strings.Repeat("0", 16)+contentID(l.Name))
	if l.delta() {
		return long
	}
	heads, sectors := int64(255), int64(63)
	if l.Capacity < 1<<30 {
		heads, sectors = 64, 32
	}
	thin := "ddb.thinProvisioned = \"1\"\n"
	if l.Thick {
		thin = ""
	}
	return fmt.Sprintf(`ddb.adapterType = "%s"
ddb.geometry.cylinders = "%d"
ddb.geometry.heads = "%d"
ddb.geometry.sectors = "%d"
%s%sddb.toolsInstallType = "4"
ddb.uuid = "%s"
ddb.virtualHWVersion = "21"
`, cmp.Or(strings.ToLower(l.Adapter), "lsilogic"), l.sectors()/(heads*sectors), heads, sectors, long, thin, DiskUUID(cmp.Or(l.UUID, newUUID())))
}

// hint is how the descriptor of a delta names the one below: by its file where both are in one
// directory.
func (l *Layer) hint() string {
	dsName, file := Split(l.Parent)
	if path.Dir(l.Parent) == path.Dir(l.Name) {
		return path.Base(file)
	}
	return path.Join("/vmfs/volumes", dsName, file)
}

// contentID is the CID of a layer: a child names its parent's, and whoever opens both compares them.
func contentID(name string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(name))&^1) }

func newUUID() string {
	id := uuid.New()
	copy(id[:], []byte{0x60, 0x00, 0xc2, 0x90 | id[3]&0xf})
	return id.String()
}

// DiskUUID is a UUID as descriptors and the API of disks write it: "60 00 C2 9a ... -..." in pairs of
// digits, with a hyphen in the middle.
func DiskUUID(id string) string {
	parsed, err := uuid.Parse(id)
	if err != nil {
		return id
	}
	pairs := make([]string, 0, len(parsed))
	for _, b := range parsed {
		pairs = append(pairs, fmt.Sprintf("%02x", b))
	}
	return strings.Join(pairs[:8], " ") + "-" + strings.Join(pairs[8:], " ")
}

// PlainUUID is the same as the backings of VMs' disks have it: 6000c29a-...; empty for what is none.
func PlainUUID(text string) string {
	id, err := uuid.Parse(strings.NewReplacer(" ", "", "-", "").Replace(text))
	if err != nil {
		return ""
	}
	return id.String()
}

// ReadDescriptor reads a descriptor of this machine.
//
// It returns an error for a file that is not there, or that is none.
func ReadDescriptor(local string) (*vmdk.Descriptor, error) {
	f, err := os.Open(local)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	desc, err := vmdk.ParseDescriptor(io.LimitReader(f, 1<<20))
	if err == nil && (len(desc.Extent) == 0 || desc.Capacity() <= 0) {
		err = fmt.Errorf("%s is no descriptor of a disk", path.Base(local))
	}
	return desc, err
}

var (
	extentLine = regexp.MustCompile(`(?m)^(RW|RDONLY) \d+ `)
	extentName = regexp.MustCompile(`(?m)^((?:RW|RDONLY) \d+ VMFS )".*"`)
	thinLine   = regexp.MustCompile(`(?m)^ddb\.thinProvisioned *=.*\n`)
	uuidLine   = regexp.MustCompile(`(?m)^ddb\.uuid *=.*$`)
)

// SetCapacity changes the size in a descriptor; one that is not there is no error.
func SetCapacity(local string, capacity int64) error {
	return change(local, func(text string) string {
		sectors := (capacity + vmdk.SectorSize - 1) / vmdk.SectorSize
		return extentLine.ReplaceAllString(text, "${1} "+strconv.FormatInt(sectors, 10)+" ")
	})
}

// SetUUID changes the UUID in a descriptor; one that is not there is no error.
func SetUUID(local, id string) error {
	return change(local, func(text string) string {
		line := fmt.Sprintf("ddb.uuid = \"%s\"", DiskUUID(id))
		if !uuidLine.MatchString(text) {
			return text + line + "\n"
		}
		return uuidLine.ReplaceAllString(text, line)
	})
}

// SetThick takes the word from a descriptor that its disk is thin.
func SetThick(local string) error {
	return change(local, func(text string) string { return thinLine.ReplaceAllString(text, "") })
}

// Renamed writes the name of a disk's extent into its descriptor.
func Renamed(local string) error {
	return change(local, func(text string) string {
		return extentName.ReplaceAllString(text, `${1}"`+strings.ReplaceAll(path.Base(Extent(local, false)), "$", "$$")+`"`)
	})
}

func change(local string, edit func(string) string) error {
	text, err := os.ReadFile(local)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(local, []byte(edit(string(text))), 0o600)
}
