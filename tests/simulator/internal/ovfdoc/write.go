// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package ovfdoc

import (
	"cmp"
	"fmt"
	"strings"
	"text/template"

	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// System is a VM that a descriptor is written of.
type System struct {
	ID, Name   string
	Annotation string
	Config     *types.VirtualMachineConfigInfo
	Files      []types.OvfFile // those that are there already; none: all devices are named
	// Networks are the names of the networks, by the keys of the cards.
	Networks map[int32]string
	// DeviceID names a device as a lease does: "/vm-42/ParaVirtualSCSIController0:0".
	DeviceID func(types.BaseVirtualDevice) string
}

// item is one entry of the hardware.
type item struct {
	Kind, ID                                         int
	Element, Description, SubType, Units, Connection string
	Quantity                                         int64
	Address, OnParent, Parent, Resource              string
}

// file is an entry of References.
type file struct {
	ID string
	types.OvfFile
}

// disk is an entry of DiskSection.
type disk struct {
	ID, FileRef         string
	Capacity, Populated int64
}

// document is what the template takes.
type document struct {
	*System
	Refs     []file
	Disks    []disk
	Used     []string // names of networks
	Items    []item
	Settings [][2]string
	Nvram    string // the ID of its file
}

// Write writes the descriptor of a VM as vCenter does, and says what of the VM is not in it.
func Write(s *System) (text string, left []types.BaseMethodFault) {
	d := &document{System: s}
	for i, f := range s.Files {
		d.Refs = append(d.Refs, file{fmt.Sprintf("file%d", i+1), f})
		if strings.HasSuffix(f.DeviceId, "/nvram") {
			d.Nvram = d.Refs[i].ID
		}
	}
	left = d.hardware()
	d.settings()
	var out strings.Builder
	if err := page.Execute(&out, d); err != nil {
		panic(err) // the template and its types are ours
	}
	return out.String(), left
}

// hardware lists the VM's devices: controllers first, as disks name them.
func (d *document) hardware() (left []types.BaseMethodFault) {
	c := d.Config
	d.Items = []item{
		{Kind: 3, ID: 1, Element: fmt.Sprintf("%d virtual CPU(s)", c.Hardware.NumCPU), Description: "Number of Virtual CPUs",
			Units: "hertz * 10^6", Quantity: int64(c.Hardware.NumCPU)},
		{Kind: 4, ID: 2, Element: fmt.Sprintf("%dMB of memory", c.Hardware.MemoryMB), Description: "Memory Size",
			Units: "byte * 2^20", Quantity: int64(c.Hardware.MemoryMB)},
	}
	ids := make(map[int32]int) // of controllers by their keys
	for _, dev := range c.Hardware.Device {
		if it, ok := controller(dev); ok {
			it.ID = len(d.Items) + 1
			ids[dev.GetVirtualDevice().Key] = it.ID
			d.Items = append(d.Items, it)
		}
	}
	for _, dev := range c.Hardware.Device {
		v := dev.GetVirtualDevice()
		it := item{ID: len(d.Items) + 1, Element: label(v), Parent: fmt.Sprint(ids[v.ControllerKey])}
		if v.UnitNumber != nil {
			it.OnParent = fmt.Sprint(*v.UnitNumber)
		}
		switch x := dev.(type) {
		case *types.VirtualDisk:
			it.Kind, it.Resource = 17, "ovf:/disk/"+d.disk(dev, x.CapacityInBytes)
		case types.BaseVirtualEthernetCard:
			it.Kind, it.Parent, it.SubType, it.Connection = 10, "", cardKind(dev), d.network(v.Key)
		case *types.VirtualCdrom:
			it.Kind, it.SubType = 15, "vmware.cdrom.remotepassthrough"
		case *types.VirtualPCIPassthrough:
			left = append(left, &types.OvfUnknownDevice{Device: dev, VmName: d.Name})
			continue
		default:
			continue // controllers, and what every VM has
		}
		d.Items = append(d.Items, it)
	}
	return left
}

func label(v *types.VirtualDevice) string {
	if v.DeviceInfo == nil {
		return fmt.Sprintf("Device %d", v.Key)
	}
	return v.DeviceInfo.GetDescription().Label
}

func controller(dev types.BaseVirtualDevice) (item, bool) {
	it := item{Element: label(dev.GetVirtualDevice())}
	switch x := dev.(type) {
	case types.BaseVirtualSCSIController:
		it.Kind, it.SubType, it.Description = 6, scsiKind(dev), "SCSI Controller"
		it.Address = fmt.Sprint(x.GetVirtualSCSIController().BusNumber)
	case *types.VirtualIDEController:
		it.Kind, it.Description, it.Address = 5, "IDE Controller", fmt.Sprint(x.BusNumber)
	case types.BaseVirtualSATAController:
		it.Kind, it.SubType, it.Description = 20, "vmware.sata.ahci", "SATA Controller"
		it.Address = fmt.Sprint(x.GetVirtualSATAController().BusNumber)
	case *types.VirtualNVMEController:
		it.Kind, it.SubType, it.Description, it.Address = 20, "vmware.nvme.controller", "NVME Controller", fmt.Sprint(x.BusNumber)
	default:
		return it, false
	}
	return it, true
}

func scsiKind(dev types.BaseVirtualDevice) string {
	switch dev.(type) {
	case *types.ParaVirtualSCSIController:
		return "VirtualSCSI"
	case *types.VirtualLsiLogicSASController:
		return "lsilogicsas"
	case *types.VirtualBusLogicController:
		return "buslogic"
	}
	return "lsilogic"
}

func cardKind(dev types.BaseVirtualDevice) string {
	name := fmt.Sprintf("%T", dev)
	return strings.TrimPrefix(name[strings.LastIndex(name, ".")+1:], "Virtual")
}

// disk enters a disk and returns its ID. It has no file where others were downloaded, and not it.
func (d *document) disk(dev types.BaseVirtualDevice, capacity int64) string {
	entry := disk{ID: fmt.Sprintf("vmdisk%d", len(d.Disks)+1), Capacity: capacity}
	for _, f := range d.Refs {
		if f.DeviceId == d.DeviceID(dev) {
			entry.FileRef, entry.Populated = f.ID, f.PopulatedSize
		}
	}
	d.Disks = append(d.Disks, entry)
	return entry.ID
}

func (d *document) network(card int32) string {
	name := cmp.Or(d.Networks[card], "none")
	for _, used := range d.Used {
		if used == name {
			return name
		}
	}
	d.Used = append(d.Used, name)
	return name
}

// settings are those of the configuration that the hardware does not show.
func (d *document) settings() {
	c := d.Config
	put := func(key string, on *bool) {
		d.Settings = append(d.Settings, [2]string{key, fmt.Sprint(on != nil && *on)})
	}
	put("cpuHotAddEnabled", c.CpuHotAddEnabled)
	put("memoryHotAddEnabled", c.MemoryHotAddEnabled)
	put("nestedHVEnabled", c.NestedHVEnabled)
	d.Settings = append(d.Settings, [2]string{"firmware", cmp.Or(c.Firmware, "bios")})
	if c.BootOptions != nil {
		put("bootOptions.efiSecureBootEnabled", c.BootOptions.EfiSecureBootEnabled)
	}
}

func escape(value any) (string, error) {
	var out strings.Builder
	err := xml.EscapeText(&out, []byte(fmt.Sprint(value)))
	return out.String(), err
}

var page = template.Must(template.New("ovf").Funcs(template.FuncMap{"x": escape}).Parse(`<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" ` +
	`xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" ` +
	`xmlns:vmw="http://www.vmware.com/schema/ovf" ` +
	`xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References>{{range .Refs}}
    <File ovf:id="{{.ID}}" ovf:href="{{x .Path}}" ovf:size="{{.Size}}"/>{{end}}
  </References>
  <DiskSection>
    <Info>List of the virtual disks</Info>{{range .Disks}}
    <Disk ovf:capacity="{{.Capacity}}" ovf:capacityAllocationUnits="byte" ovf:diskId="{{.ID}}"{{if .FileRef}} ovf:fileRef="{{.FileRef}}"{{end}} ` +
	`ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"{{if .Populated}} ovf:populatedSize="{{.Populated}}"{{end}}/>{{end}}
  </DiskSection>
  <NetworkSection>
    <Info>The list of logical networks</Info>{{range .Used}}
    <Network ovf:name="{{x .}}">
      <Description>The {{x .}} network</Description>
    </Network>{{end}}
  </NetworkSection>
  <VirtualSystem ovf:id="{{x .ID}}">
    <Info>A virtual machine</Info>
    <Name>{{x .Name}}</Name>
    <OperatingSystemSection ovf:id="1" vmw:osType="{{x .Config.GuestId}}">
      <Info>The kind of installed guest operating system</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware requirements</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{{x .Name}}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>{{x .Config.Version}}</vssd:VirtualSystemType>
      </System>{{range .Items}}
      <Item>{{if .Address}}
        <rasd:Address>{{.Address}}</rasd:Address>{{end}}{{if .OnParent}}
        <rasd:AddressOnParent>{{.OnParent}}</rasd:AddressOnParent>{{end}}{{if .Units}}
        <rasd:AllocationUnits>{{.Units}}</rasd:AllocationUnits>{{end}}{{if .Connection}}
        <rasd:AutomaticAllocation>true</rasd:AutomaticAllocation>
        <rasd:Connection>{{x .Connection}}</rasd:Connection>{{end}}{{if .Description}}
        <rasd:Description>{{.Description}}</rasd:Description>{{end}}
        <rasd:ElementName>{{x .Element}}</rasd:ElementName>{{if .Resource}}
        <rasd:HostResource>{{.Resource}}</rasd:HostResource>{{end}}
        <rasd:InstanceID>{{.ID}}</rasd:InstanceID>{{if .Parent}}
        <rasd:Parent>{{.Parent}}</rasd:Parent>{{end}}{{if .SubType}}
        <rasd:ResourceSubType>{{.SubType}}</rasd:ResourceSubType>{{end}}
        <rasd:ResourceType>{{.Kind}}</rasd:ResourceType>{{if .Quantity}}
        <rasd:VirtualQuantity>{{.Quantity}}</rasd:VirtualQuantity>{{end}}
      </Item>{{end}}{{range .Settings}}
      <vmw:Config ovf:required="false" vmw:key="{{index . 0}}" vmw:value="{{x (index . 1)}}"/>{{end}}{{if .Nvram}}
      <vmw:ExtraConfig ovf:required="false" vmw:key="nvram" vmw:value="ovf:/file/{{.Nvram}}"/>{{end}}
    </VirtualHardwareSection>{{if .Annotation}}
    <AnnotationSection>
      <Info>A human-readable annotation</Info>
      <Annotation>{{x .Annotation}}</Annotation>
    </AnnotationSection>{{end}}
  </VirtualSystem>
</Envelope>
`))
