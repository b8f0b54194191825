// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"errors"
	"strings"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// sdkCall is what the front knows of a SOAP request: which method, on what, and
// who asks.
type sdkCall struct {
	method  string
	this    types.ManagedObjectReference
	body    []byte
	version string // the API version that the request is made in
	session *liveSession
}

// parseCall reads the method's name and its _this from a SOAP envelope, and not
// one byte more: vcsim decodes the whole.
func parseCall(body []byte) (*sdkCall, error) {
	call := &sdkCall{body: body}
	d := xml.NewDecoder(bytes.NewReader(body))
	inBody := false
	for {
		tok, err := d.Token()
		if err != nil {
			return nil, errors.Join(errors.New("no method in the SOAP body"), err)
		}
		start, ok := tok.(xml.StartElement)
		switch {
		case !ok:
		case start.Name.Local == "Body" && !inBody:
			inBody = true
		case inBody && call.method == "":
			call.method = start.Name.Local
		case inBody && start.Name.Local == "_this":
			var ref struct {
				Type  string `xml:"type,attr"`
				Value string `xml:",chardata"`
			}
			if err := d.DecodeElement(&ref, &start); err != nil {
				return nil, err
			}
			call.this = types.ManagedObjectReference{Type: ref.Type, Value: ref.Value}
			return call, nil
		case inBody:
			return call, nil // a method without _this: vcsim says what is wrong
		}
	}
}

// entity is what a call's task is about: the object that is called, or for a manager's
// method the VM that its arguments name.
func (s *Sim) entity(call *sdkCall) types.ManagedObjectReference {
	if snapshot := s.snapshot(call.this); snapshot != nil {
		return snapshot.Vm
	}
	if _, ok := s.reg.Get(call.this).(mo.Entity); ok {
		return call.this
	}
	d := xml.NewDecoder(bytes.NewReader(call.body))
	for {
		tok, err := d.Token()
		if err != nil {
			return call.this // no VM in it: vcsim will say what is wrong
		}
		if start, ok := tok.(xml.StartElement); ok && start.Name.Local == "vm" {
			var value string
			if err := d.DecodeElement(&value, &start); err != nil {
				return call.this
			}
			return types.ManagedObjectReference{Type: "VirtualMachine", Value: value}
		}
	}
}

// namePaths are where a request names the VM that it makes.
var namePaths = []string{"/spec/name", "/spec/configSpec/name", "/name", "/config/name", "/newName"}

// names lists the names that a call is about, for rules that pick calls by name:
// the one of the VM that it makes, else those of the VMs that it is called on or
// lists.
func (s *Sim) names(call *sdkCall) []string {
	var names []string
	var refs []types.ManagedObjectReference
	if call.this.Type == "VirtualMachine" {
		refs = append(refs, call.this)
	}
	if snapshot := s.snapshot(call.this); snapshot != nil {
		refs = append(refs, snapshot.Vm)
	}
	d := xml.NewDecoder(bytes.NewReader(call.body))
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
			if t.Name.Local == call.method && depth < 0 {
				depth = 0
			}
		case xml.EndElement:
			if len(path) > 0 {
				path = path[:len(path)-1]
			}
		case xml.CharData:
			at := "/" + strings.Join(path, "/")
			for _, p := range namePaths {
				if at == p && !strings.Contains(call.method, "Snapshot") { // theirs is not a VM's
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
		if vm := s.vm(ref); vm != nil {
			names = append(names, vm.Name)
		}
	}
	return names
}
