// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package dsfiles

import (
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vmware/govmomi/simulator"
)

// Used is how many bytes of a datastore its files take: those of thick disks all of their size, of
// others what was written.
func Used(ds *simulator.Datastore) (sum int64, err error) {
	err = filepath.WalkDir(ds.Summary.Url, func(local string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size := info.Size()
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && !thick(local) {
			size = min(size, stat.Blocks*512)
		}
		sum += size
		return nil
	})
	return sum, err
}

// thick tells if a file is the extent of a disk that has all of its room.
func thick(local string) bool {
	base, ok := strings.CutSuffix(local, Extent("", false))
	if !ok {
		return false
	}
	desc, err := ReadDescriptor(base + ".vmdk")
	return err == nil && desc.DDB["thinProvisioned"] != "1"
}
