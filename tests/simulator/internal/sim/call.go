// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"errors"
	"sync"

	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// sdkCall is what the front reads of a SOAP request: which method, on what.
type sdkCall struct {
	method string
	this   types.ManagedObjectReference
}

// parseCall reads the method's name and its _this from a SOAP envelope, and not
// one byte more: vcsim decodes the whole.
func parseCall(body []byte) (sdkCall, error) {
	var call sdkCall
	d := xml.NewDecoder(bytes.NewReader(body))
	inBody := false
	for {
		tok, err := d.Token()
		if err != nil {
			return call, errors.Join(errors.New("no method in the SOAP body"), err)
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
				return call, err
			}
			call.this = types.ManagedObjectReference{Type: ref.Type, Value: ref.Value}
			return call, nil
		case inBody:
			return call, nil // a method without _this: vcsim says what is wrong
		}
	}
}

// callCounter counts calls by method.
type callCounter struct {
	mu       sync.Mutex
	total    int
	byMethod map[string]int
}

func (c *callCounter) add(method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byMethod == nil {
		c.byMethod = make(map[string]int)
	}
	c.total++
	c.byMethod[method]++
}

func (c *callCounter) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total, c.byMethod = 0, nil
}

func (c *callCounter) snapshot() (int, map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string]int, len(c.byMethod))
	for k, v := range c.byMethod {
		out[k] = v
	}
	return c.total, out
}
