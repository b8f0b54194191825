// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package props

import (
	"bytes"
	"log"
	"reflect"
	"slices"
	"sync"

	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// mostWritten are the lists of which the text is kept.
const mostWritten = 64

// written keeps long lists as XML. Thousands of VMs tell of the same features: to write these down anew for each of them takes
// seconds that no vCenter takes. A list is taken for one that is known where all of its elements are the same.
type written struct {
	mu           sync.Mutex
	requirements known[types.VirtualMachineFeatureRequirement]
	masks        known[types.HostFeatureMask]
	capabilities known[types.HostFeatureCapability]
}

// known are the lists of one kind that were written last.
type known[E comparable] struct {
	lists []wordedList[E]
	next  int // is written over when there is no more room
}

type wordedList[E comparable] struct {
	list []E
	text worded
}

// worded is an array as it is written: the name of its type, and what is inside of its element.
type worded struct {
	kind string
	text []byte
}

var schemaType = xml.Name{Space: "http://www.w3.org/2001/XMLSchema-instance", Local: "type"}

// MarshalXML writes the array under the name of its own type, which the encoder does not see.
func (w worded) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	start.Attr = []xml.Attr{{Name: schemaType, Value: w.kind}}
	return e.EncodeElement(struct {
		Text []byte `xml:",innerxml"`
	}{w.text}, start)
}

// in puts text in the place of such lists in an answer that nobody but its client reads.
func (w *written) in(set []types.DynamicProperty) {
	for i := range set {
		set[i].Val = w.of(set[i].Val)
	}
}

// of gives a property back as text where it is such a list, and all others as they are.
func (w *written) of(value any) any {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch v := value.(type) {
	case *types.ArrayOfVirtualMachineFeatureRequirement:
		return w.requirements.of(v, v.VirtualMachineFeatureRequirement)
	case *types.ArrayOfHostFeatureMask:
		return w.masks.of(v, v.HostFeatureMask)
	case *types.ArrayOfHostFeatureCapability:
		return w.capabilities.of(v, v.HostFeatureCapability)
	}
	return value
}

// of gives an array back as text. list: its elements, which nobody changes any more.
func (k *known[E]) of(array any, list []E) any {
	for _, each := range k.lists {
		if slices.Equal(each.list, list) {
			return each.text
		}
	}
	text, err := inside(array)
	if err != nil {
		log.Printf("vforge-sim: writing a list once: %v", err)
		return array
	}
	fresh := wordedList[E]{list, worded{reflect.TypeOf(array).Elem().Name(), text}}
	if len(k.lists) < mostWritten {
		k.lists = append(k.lists, fresh)
	} else {
		k.lists[k.next] = fresh
		k.next = (k.next + 1) % mostWritten
	}
	return fresh.text
}

// inside is what the element of an array has inside.
func inside(array any) ([]byte, error) {
	whole, err := xml.Marshal(array)
	if err != nil {
		return nil, err
	}
	first, last := bytes.IndexByte(whole, '>'), bytes.LastIndex(whole, []byte("</"))
	return whole[first+1 : last], nil
}
