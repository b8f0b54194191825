// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package ovfmanager

import (
	"fmt"
	"strings"
	"sync"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"
)

// importTable remembers by how many files each device of a VM to come is filled: an import's
// specification does not tell disks that wait for a file from those that stay empty. A disk
// with parent references is filled by one file after the other.
type importTable struct {
	mu     sync.Mutex
	filled map[string]map[string]int // by the VM's name, then by the device's import key
}

func (t *importTable) set(name string, files map[string]int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.filled == nil {
		t.filled = make(map[string]map[string]int)
	}
	t.filled[name] = files
}

// Needs tells for how many files a disk waits: for one where no descriptor was read.
func (t *importTable) Needs(name, key string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	files, known := t.filled[name]
	if !known {
		return 1
	}
	return files[key]
}

// Stores tells if the descriptor of a VM to come has a file for its BIOS settings.
func (t *importTable) Stores(name, key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.filled[name][key] > 0
}

// NVRAMSince is the API version that takes the BIOS settings of an import.
const NVRAMSince = "6.7"

// NVRAMKey is what leases and descriptors call the file of the firmware settings.
func NVRAMKey(name string) string { return "/" + name + "/nvram" }

// ImportKey names a device of a VM to come, alike in what is read from a descriptor and in
// the lease.
func ImportKey(name string, devices []types.BaseVirtualDevice, d types.BaseVirtualDevice) string {
	v := d.GetVirtualDevice()
	kind, bus, unit := object.VirtualDeviceList{}.Type(d), int32(0), int32(0)
	if v.UnitNumber != nil {
		unit = *v.UnitNumber
	}
	for _, c := range devices {
		if controller, ok := c.(types.BaseVirtualController); ok && c.GetVirtualDevice().Key == v.ControllerKey {
			kind, bus = controllerKind(c), controller.GetVirtualController().BusNumber
		}
	}
	return fmt.Sprintf("/%s/%s%d:%d", name, kind, bus, unit)
}

// controllerKind is the name of a controller's type: VirtualLsiLogicController.
func controllerKind(c types.BaseVirtualDevice) string {
	name := fmt.Sprintf("%T", c)
	return name[strings.LastIndex(name, ".")+1:]
}
