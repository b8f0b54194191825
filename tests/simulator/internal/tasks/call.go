// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package tasks

import (
	"bytes"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"

	"vforge.vsphere/simulator/internal/wire"
)

// Entity is what a call's task is about: the object that is called, or for a manager's
// method the VM that its arguments name.
func (s *Tasks) Entity(call *wire.Call) types.ManagedObjectReference {
	if snapshot := s.Snapshot(call.This); snapshot != nil {
		return snapshot.Vm
	}
	if _, ok := s.Reg.Get(call.This).(mo.Entity); ok {
		return call.This
	}
	d := xml.NewDecoder(bytes.NewReader(call.Body))
	for {
		tok, err := d.Token()
		if err != nil {
			return call.This // no VM in it: vcsim will say what is wrong
		}
		if start, ok := tok.(xml.StartElement); ok && start.Name.Local == "vm" {
			var value string
			if err := d.DecodeElement(&value, &start); err != nil {
				return call.This
			}
			return types.ManagedObjectReference{Type: "VirtualMachine", Value: value}
		}
	}
}
