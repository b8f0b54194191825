// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package ovfdoc

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/ovf"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"

	"vforge.vsphere/simulator/internal/vdisk"
)

// ovfNamespace begins the namespaces of OVF envelopes, whatever their version.
const ovfNamespace = "http://schemas.dmtf.org/ovf/envelope/"

// Descriptor is an OVF descriptor that was read, with what is wrong with it.
type Descriptor struct {
	*ovf.Envelope
	System   *ovf.VirtualSystem // nil in a vApp
	Errors   []types.BaseMethodFault
	Warnings []types.BaseMethodFault
}

// Fail notes an error.
func (d *Descriptor) Fail(fault types.BaseMethodFault) { d.Errors = append(d.Errors, fault) }

// Warn notes a warning.
func (d *Descriptor) Warn(fault types.BaseMethodFault) { d.Warnings = append(d.Warnings, fault) }

func ovfElement(name string) types.OvfElement { return types.OvfElement{Name: name} }

// Read reads a descriptor. What is wrong with it is no failure of the reading, but
// a part of the answer.
func Read(text string) *Descriptor {
	d := &Descriptor{Envelope: &ovf.Envelope{}}
	if fault := checkEnvelope(text); fault != nil {
		d.Fail(fault)
		return d
	}
	env, err := ovf.Unmarshal(strings.NewReader(text))
	if err != nil {
		d.Fail(xmlFault(err))
		return d
	}
	d.Envelope, d.System = env, env.VirtualSystem
	switch {
	case d.System == nil && env.VirtualSystemCollection == nil:
		d.Fail(&types.OvfMissingElement{OvfElement: ovfElement("VirtualSystem")})
	case d.System != nil && len(d.System.VirtualHardware) == 0:
		d.Fail(&types.OvfMissingElement{OvfElement: ovfElement("VirtualHardwareSection")})
	}
	d.checkSections(text)
	d.checkReferences()
	return d
}

// checkEnvelope looks at the outermost element alone.
func checkEnvelope(text string) types.BaseMethodFault {
	dec := xml.NewDecoder(strings.NewReader(text))
	for {
		tok, err := dec.Token()
		if err != nil {
			return xmlFault(err)
		}
		start, ok := tok.(xml.StartElement)
		switch {
		case !ok:
		case start.Name.Local != "Envelope":
			return &types.OvfWrongElement{OvfElement: ovfElement(start.Name.Local)}
		case !strings.HasPrefix(start.Name.Space, ovfNamespace):
			return &types.OvfWrongNamespace{NamespaceName: start.Name.Space}
		default:
			return nil
		}
	}
}

func xmlFault(err error) types.BaseMethodFault {
	fault := &types.OvfXmlFormat{Description: err.Error()}
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		fault.LineNumber = int32(syntax.Line)
	}
	fault.FaultMessage = []types.LocalizableMessage{{Key: "vforge.ovf.xml", Message: "The OVF descriptor is not valid XML: " + err.Error()}}
	return fault
}

// knownSections are those that this reader takes something from, or may leave out.
var knownSections = []string{
	"References", "DiskSection", "NetworkSection", "DeploymentOptionSection", "VirtualSystem", "VirtualSystemCollection", "Strings",
	"Info", "Name", "AnnotationSection", "ProductSection", "EulaSection", "OperatingSystemSection", "VirtualHardwareSection",
	"ResourceAllocationSection", "InstallSection", "StartupSection", "IpAssignmentSection", "StorageGroupSection", "VmStorageGroupSection",
}

// checkSections complains of sections that are not known: those that a consumer must know
// are errors, the others warnings.
func (d *Descriptor) checkSections(text string) {
	dec := xml.NewDecoder(strings.NewReader(text))
	var path []string
	for {
		tok, err := dec.Token()
		if err != nil {
			return // the end: all of it could be read before
		}
		switch t := tok.(type) {
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.StartElement:
			at := strings.Join(path, "/")
			if (at == "Envelope" || at == "Envelope/VirtualSystem") && !slices.Contains(knownSections, t.Name.Local) {
				fault := &types.OvfUnsupportedSection{OvfUnsupportedElement: types.OvfUnsupportedElement{Name: t.Name.Local}}
				if optional(t) {
					d.Warn(fault)
				} else {
					d.Fail(fault)
				}
			}
			path = append(path, t.Name.Local)
		}
	}
}

func optional(section xml.StartElement) bool {
	for _, a := range section.Attr {
		if a.Name.Local == "required" && (a.Value == "false" || a.Value == "0") {
			return true
		}
	}
	return false
}

// checkReferences complains of names that mean nothing, or two things.
func (d *Descriptor) checkReferences() {
	files := make(map[string]bool)
	for _, f := range d.References {
		if files[f.ID] {
			d.Fail(&types.OvfDuplicateElement{OvfElement: ovfElement("File " + f.ID)})
		}
		files[f.ID] = true
		if f.Href == "" {
			d.Fail(&types.OvfMissingAttribute{OvfAttribute: types.OvfAttribute{ElementName: "File", AttributeName: "href"}})
		}
	}
	if d.Disk == nil {
		return
	}
	disks := make(map[string]bool)
	for _, disk := range d.Disk.Disks {
		if disks[disk.DiskID] {
			d.Fail(&types.OvfDuplicateElement{OvfElement: ovfElement("Disk " + disk.DiskID)})
		}
		disks[disk.DiskID] = true
		if ref := Text(disk.FileRef); ref != "" && !files[ref] { // an empty one means a disk without a file
			d.Fail(BadReference("Disk", "fileRef", *disk.FileRef))
		}
		if ref := Text(disk.ParentRef); ref != "" && (ref == disk.DiskID || d.DiskNamed(ref) == nil) {
			d.Fail(BadReference("Disk", "parentRef", ref))
		}
		if disk.Capacity == "" {
			d.Fail(&types.OvfMissingAttribute{OvfAttribute: types.OvfAttribute{ElementName: "Disk", AttributeName: "capacity"}})
		} else if DiskCapacity(&disk) <= 0 {
			d.Fail(&types.OvfInvalidValue{OvfAttribute: types.OvfAttribute{ElementName: "Disk", AttributeName: "capacity"}, Value: disk.Capacity})
		}
	}
}

// BadReference is the fault for a name that means nothing.
func BadReference(element, attribute, value string) types.BaseMethodFault {
	return &types.OvfInvalidValueReference{OvfInvalidValue: types.OvfInvalidValue{
		OvfAttribute: types.OvfAttribute{ElementName: element, AttributeName: attribute}, Value: value,
	}}
}

// DiskCapacity is a disk's size in bytes; 0 when it cannot be read.
func DiskCapacity(disk *ovf.VirtualDiskDesc) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(disk.Capacity), 10, 64)
	if err != nil || n <= 0 {
		return 0
	}
	unit := int64(1)
	if disk.CapacityAllocationUnits != nil {
		unit = ovf.ParseCapacityAllocationUnits(*disk.CapacityAllocationUnits)
	}
	if unit <= 0 || n > (1<<62)/unit {
		return 0
	}
	return (n*unit + vdisk.SectorSize - 1) / vdisk.SectorSize * vdisk.SectorSize
}

// File returns the file of an id, or nil.
func (d *Descriptor) File(id string) *ovf.File {
	for i := range d.References {
		if d.References[i].ID == id {
			return &d.References[i]
		}
	}
	return nil
}

// DiskNamed returns the disk of an id, or nil.
func (d *Descriptor) DiskNamed(id string) *ovf.VirtualDiskDesc {
	if d.Disk != nil {
		for i := range d.Disk.Disks {
			if d.Disk.Disks[i].DiskID == id {
				return &d.Disk.Disks[i]
			}
		}
	}
	return nil
}

// DefaultOption is the configuration that is meant when none is asked for.
func (d *Descriptor) DefaultOption() string {
	if d.DeploymentOption == nil || len(d.DeploymentOption.Configuration) == 0 {
		return ""
	}
	for _, c := range d.DeploymentOption.Configuration {
		if c.Default != nil && *c.Default {
			return c.ID
		}
	}
	return d.DeploymentOption.Configuration[0].ID
}

// HasOption tells if there is such a configuration.
func (d *Descriptor) HasOption(id string) bool {
	return d.DeploymentOption != nil && slices.ContainsFunc(d.DeploymentOption.Configuration, func(c ovf.DeploymentOptionConfiguration) bool {
		return c.ID == id
	})
}

// EntityName is what the VM is called when nobody says.
func (d *Descriptor) EntityName() string {
	if d.System == nil {
		return ""
	}
	if d.System.Name != nil && *d.System.Name != "" {
		return *d.System.Name
	}
	return d.System.ID
}

// Text is what a pointer points to, or nothing.
func Text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
