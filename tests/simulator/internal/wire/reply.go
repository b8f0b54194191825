// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package wire

import (
	"bytes"
	"log"
	"net/http"
	"reflect"

	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"

	"vforge.vsphere/simulator/internal/faults"
)

// The front answers some calls without vcsim. Its envelopes have the namespaces
// and prefixes of vCenter's.
type replyEnvelope struct {
	XMLName xml.Name `xml:"soapenv:Envelope"`
	Enc     string   `xml:"xmlns:soapenc,attr"`
	Env     string   `xml:"xmlns:soapenv,attr"`
	XSD     string   `xml:"xmlns:xsd,attr"`
	XSI     string   `xml:"xmlns:xsi,attr"`
	Body    any      `xml:"soapenv:Body"`
}

type replyFault struct {
	Code   string      `xml:"faultcode"`
	String string      `xml:"faultstring"`
	Detail replyDetail `xml:"detail"`
}

type replyDetail struct{ fault types.BaseMethodFault }

// MarshalXML names the element after the fault's type, as the schema asks.
func (d replyDetail) MarshalXML(e *xml.Encoder, start xml.StartElement) error {
	if err := e.EncodeToken(start); err != nil {
		return err
	}
	kind := reflect.TypeOf(d.fault).Elem().Name()
	inner := xml.StartElement{
		Name: xml.Name{Local: kind + "Fault"},
		Attr: []xml.Attr{
			{Name: xml.Name{Local: "xmlns"}, Value: "urn:vim25"},
			{Name: xml.Name{Local: "xsi:type"}, Value: kind},
		},
	}
	if err := e.EncodeElement(d.fault, inner); err != nil {
		return err
	}
	return e.EncodeToken(start.End())
}

// WriteFault answers a call with a fault.
func WriteFault(w http.ResponseWriter, fault types.BaseMethodFault, text string) {
	if text == "" {
		text = faults.Text(fault)
	}
	writeEnvelope(w, http.StatusInternalServerError, struct {
		Fault replyFault `xml:"soapenv:Fault"`
	}{replyFault{Code: "ServerFaultCode", String: text, Detail: replyDetail{fault}}})
}

// WriteTask answers a call of an asynchronous method with its task.
func WriteTask(w http.ResponseWriter, method string, task types.ManagedObjectReference) {
	writeEnvelope(w, http.StatusOK, struct {
		Response taskResponse
	}{taskResponse{XMLName: xml.Name{Space: "urn:vim25", Local: method + "Response"}, Returnval: task}})
}

// TaskIn reads the task that an answer names.
func TaskIn(answer []byte) (types.ManagedObjectReference, bool) {
	d := xml.NewDecoder(bytes.NewReader(answer))
	for {
		tok, err := d.Token()
		if err != nil {
			return types.ManagedObjectReference{}, false
		}
		if start, ok := tok.(xml.StartElement); ok && start.Name.Local == "returnval" {
			var task types.ManagedObjectReference
			err := d.DecodeElement(&task, &start)
			return task, err == nil && task.Type == "Task"
		}
	}
}

type taskResponse struct {
	XMLName   xml.Name
	Returnval types.ManagedObjectReference `xml:"returnval"`
}

func writeEnvelope(w http.ResponseWriter, status int, body any) {
	var out bytes.Buffer
	out.WriteString(xml.Header)
	err := xml.NewEncoder(&out).Encode(&replyEnvelope{
		Enc:  "http://schemas.xmlsoap.org/soap/encoding/",
		Env:  "http://schemas.xmlsoap.org/soap/envelope/",
		XSD:  "http://www.w3.org/2001/XMLSchema",
		XSI:  "http://www.w3.org/2001/XMLSchema-instance",
		Body: body,
	})
	if err != nil {
		log.Printf("vforge-sim: encoding a reply: %v", err)
		http.Error(w, "cannot encode", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.WriteHeader(status)
	if _, err := w.Write(out.Bytes()); err != nil {
		log.Printf("vforge-sim: writing a reply: %v", err)
	}
}
