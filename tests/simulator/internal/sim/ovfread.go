// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/ovf"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// ovfNamespace begins the namespaces of OVF envelopes, whatever their version.
const ovfNamespace = "http://schemas.dmtf.org/ovf/envelope/"

// descriptor is an OVF descriptor that was read, with what is wrong with it.
type descriptor struct {
	*ovf.Envelope
	system   *ovf.VirtualSystem // nil in a vApp
	errors   []types.BaseMethodFault
	warnings []types.BaseMethodFault
}

func (d *descriptor) fail(fault types.BaseMethodFault) { d.errors = append(d.errors, fault) }
func (d *descriptor) warn(fault types.BaseMethodFault) { d.warnings = append(d.warnings, fault) }

func ovfElement(name string) types.OvfElement { return types.OvfElement{Name: name} }

// readDescriptor reads a descriptor. What is wrong with it is no failure of the reading, but
// a part of the answer.
func readDescriptor(text string) *descriptor {
	d := &descriptor{Envelope: &ovf.Envelope{}}
	if fault := checkEnvelope(text); fault != nil {
		d.fail(fault)
		return d
	}
	env, err := ovf.Unmarshal(strings.NewReader(text))
	if err != nil {
		d.fail(xmlFault(err))
		return d
	}
	d.Envelope, d.system = env, env.VirtualSystem
	switch {
	case d.system == nil && env.VirtualSystemCollection == nil:
		d.fail(&types.OvfMissingElement{OvfElement: ovfElement("VirtualSystem")})
	case d.system != nil && len(d.system.VirtualHardware) == 0:
		d.fail(&types.OvfMissingElement{OvfElement: ovfElement("VirtualHardwareSection")})
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
func (d *descriptor) checkSections(text string) {
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
					d.warn(fault)
				} else {
					d.fail(fault)
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
func (d *descriptor) checkReferences() {
	files := make(map[string]bool)
	for _, f := range d.References {
		if files[f.ID] {
			d.fail(&types.OvfDuplicateElement{OvfElement: ovfElement("File " + f.ID)})
		}
		files[f.ID] = true
		if f.Href == "" {
			d.fail(&types.OvfMissingAttribute{OvfAttribute: types.OvfAttribute{ElementName: "File", AttributeName: "href"}})
		}
	}
	if d.Disk == nil {
		return
	}
	disks := make(map[string]bool)
	for _, disk := range d.Disk.Disks {
		if disks[disk.DiskID] {
			d.fail(&types.OvfDuplicateElement{OvfElement: ovfElement("Disk " + disk.DiskID)})
		}
		disks[disk.DiskID] = true
		if ref := text(disk.FileRef); ref != "" && !files[ref] { // an empty one means a disk without a file
			d.fail(badReference("Disk", "fileRef", *disk.FileRef))
		}
		if ref := text(disk.ParentRef); ref != "" && (ref == disk.DiskID || d.diskNamed(ref) == nil) {
			d.fail(badReference("Disk", "parentRef", ref))
		}
		if disk.Capacity == "" {
			d.fail(&types.OvfMissingAttribute{OvfAttribute: types.OvfAttribute{ElementName: "Disk", AttributeName: "capacity"}})
		} else if diskCapacity(&disk) <= 0 {
			d.fail(&types.OvfInvalidValue{OvfAttribute: types.OvfAttribute{ElementName: "Disk", AttributeName: "capacity"}, Value: disk.Capacity})
		}
	}
}

func badReference(element, attribute, value string) types.BaseMethodFault {
	return &types.OvfInvalidValueReference{OvfInvalidValue: types.OvfInvalidValue{
		OvfAttribute: types.OvfAttribute{ElementName: element, AttributeName: attribute}, Value: value,
	}}
}

// diskCapacity is a disk's size in bytes; 0 when it cannot be read.
func diskCapacity(disk *ovf.VirtualDiskDesc) int64 {
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
	return (n*unit + sectorSize - 1) / sectorSize * sectorSize
}

func (d *descriptor) file(id string) *ovf.File {
	for i := range d.References {
		if d.References[i].ID == id {
			return &d.References[i]
		}
	}
	return nil
}

func (d *descriptor) diskNamed(id string) *ovf.VirtualDiskDesc {
	if d.Disk != nil {
		for i := range d.Disk.Disks {
			if d.Disk.Disks[i].DiskID == id {
				return &d.Disk.Disks[i]
			}
		}
	}
	return nil
}

// defaultOption is the configuration that is meant when none is asked for.
func (d *descriptor) defaultOption() string {
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

func (d *descriptor) hasOption(id string) bool {
	return d.DeploymentOption != nil && slices.ContainsFunc(d.DeploymentOption.Configuration, func(c ovf.DeploymentOptionConfiguration) bool {
		return c.ID == id
	})
}

// entityName is what the VM is called when nobody says.
func (d *descriptor) entityName() string {
	if d.system == nil {
		return ""
	}
	if d.system.Name != nil && *d.system.Name != "" {
		return *d.system.Name
	}
	return d.system.ID
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
