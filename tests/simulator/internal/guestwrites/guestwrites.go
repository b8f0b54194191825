// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestwrites

import (
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/vstorage"
)

// Writes are what guests write to their disks.
type Writes struct {
	*core.Core
	VStorage *vstorage.VStorage
	// Workloads are the guests that go on writing.
	Workloads workloads
}

// New has no guest write.
func New(c *core.Core, v *vstorage.VStorage) *Writes {
	s := &Writes{Core: c, VStorage: v}
	c.Register(&s.Workloads)
	return s
}
