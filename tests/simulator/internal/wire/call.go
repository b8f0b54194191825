// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package wire

import (
	"bytes"
	"errors"

	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"

	"vforge.vsphere/simulator/internal/accounts"
)

// Call is what the front knows of a SOAP request: which method, on what, and
// who asks.
type Call struct {
	Method  string
	This    types.ManagedObjectReference
	Body    []byte
	Version string // the API version that the request is made in
	Session *accounts.Session
}

// Parse reads the method's name and its _this from a SOAP envelope, and not
// one byte more: vcsim decodes the whole.
func Parse(body []byte) (*Call, error) {
	call := &Call{Body: body}
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
		case inBody && call.Method == "":
			call.Method = start.Name.Local
		case inBody && start.Name.Local == "_this":
			var ref struct {
				Type  string `xml:"type,attr"`
				Value string `xml:",chardata"`
			}
			if err := d.DecodeElement(&ref, &start); err != nil {
				return nil, err
			}
			call.This = types.ManagedObjectReference{Type: ref.Type, Value: ref.Value}
			return call, nil
		case inBody:
			return call, nil // a method without _this: vcsim says what is wrong
		}
	}
}

// NamePaths are where a request names the VM that it makes.
var NamePaths = []string{"/spec/name", "/spec/configSpec/name", "/name", "/config/name", "/newName"}

// OVFParams are what a descriptor's parameters must hold, be it empty.
var OVFParams = []string{"locale", "deploymentOption"}

// MissingParam names a parameter that a call about a descriptor lacks. Decoded, one that is
// not there looks like an empty one.
func MissingParam(call *Call) string {
	if call.Method != "CreateImportSpec" && call.Method != "ParseDescriptor" {
		return ""
	}
	found := make(map[string]bool)
	dec := xml.NewDecoder(bytes.NewReader(call.Body))
	for {
		tok, err := dec.Token()
		if err != nil {
			break // the end, or what vcsim will refuse
		}
		if start, ok := tok.(xml.StartElement); ok {
			found[start.Name.Local] = true
		}
	}
	for _, name := range OVFParams {
		if !found[name] {
			return name
		}
	}
	return ""
}
