// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"github.com/vmware/govmomi/vim25/types"
)

// holder returns what has a name in a folder, or nil.
func (s *Sim) holder(folder types.ManagedObjectReference, name string) *types.ManagedObjectReference {
	if ref, ok := s.index.Find(folder, name); ok {
		return &ref
	}
	return nil
}
