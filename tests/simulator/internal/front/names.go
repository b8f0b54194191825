// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package front

import (
	"bytes"
	"strings"

	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"

	"vforge.vsphere/simulator/internal/wire"
)

// names lists the names that a call is about, for rules that pick calls by name:
// the one of the VM that it makes, else those of the VMs that it is called on or
// lists.
func (s *Front) names(call *wire.Call) []string {
	var names []string
	var refs []types.ManagedObjectReference
	if call.This.Type == "VirtualMachine" {
		refs = append(refs, call.This)
	}
	if snapshot := s.Snapshot(call.This); snapshot != nil {
		refs = append(refs, snapshot.Vm)
	}
	d := xml.NewDecoder(bytes.NewReader(call.Body))
	var path []string
	depth := -1
	for {
		tok, err := d.Token()
		if err != nil {
			break // the end, or what vcsim will refuse anyway
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if depth >= 0 {
				path = append(path, t.Name.Local)
			}
			if t.Name.Local == call.Method && depth < 0 {
				depth = 0
			}
		case xml.EndElement:
			if len(path) > 0 {
				path = path[:len(path)-1]
			}
		case xml.CharData:
			at := "/" + strings.Join(path, "/")
			for _, p := range wire.NamePaths {
				if at == p && !strings.Contains(call.Method, "Snapshot") { // theirs is not a VM's
					names = append(names, string(t))
				}
			}
			if at == "/list" || at == "/vm" {
				refs = append(refs, types.ManagedObjectReference{Type: "VirtualMachine", Value: string(t)})
			}
		}
	}
	if len(names) > 0 {
		return names
	}
	for _, ref := range refs {
		if vm := s.VM(ref); vm != nil {
			names = append(names, vm.Name)
		}
	}
	return names
}
