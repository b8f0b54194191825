// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package ovfmanager

import (
	"slices"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/ovf"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/lookup"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/ovfdoc"
	"vforge.vsphere/simulator/internal/vdisk"
)

// CIM's numbers of the kinds of hardware that a descriptor lists.
const (
	cimOther    = 1
	cimCPU      = 3
	cimMemory   = 4
	cimIDE      = 5
	cimSCSI     = 6
	cimEthernet = 10
	cimFloppy   = 14
	cimCDROM    = 15
	cimDVD      = 16
	cimDisk     = 17
	cimStorage  = 20
	cimUSB      = 23
	cimVideo    = 24
)

// items turns the hardware of the chosen configuration into devices. Controllers come
// first, whatever their place in the list.
func (im *ovfImport) items() {
	section := im.System.VirtualHardware[0]
	for _, pass := range []bool{true, false} {
		for i := range section.Item {
			item := &section.Item[i]
			if item.ResourceType == nil || !im.chosen(item) || isController(item) != pass {
				continue
			}
			im.item(item)
		}
	}
	im.nvram()
	if im.spec.NumCPUs == 0 {
		im.Fail(&types.OvfMissingHardware{Name: "CPU", ResourceType: cimCPU})
	}
	if im.spec.MemoryMB == 0 {
		im.Fail(&types.OvfMissingHardware{Name: "memory", ResourceType: cimMemory})
	}
}

// chosen tells if an item is of the configuration that was asked for: one without a
// configuration is of all.
func (im *ovfImport) chosen(item *ovf.ResourceAllocationSettingData) bool {
	if item.Configuration == nil {
		return true
	}
	for _, c := range strings.Fields(*item.Configuration) {
		if c == im.option {
			return true
		}
	}
	return false
}

func isController(item *ovf.ResourceAllocationSettingData) bool {
	switch int(*item.ResourceType) {
	case cimIDE, cimSCSI, cimStorage:
		return true
	}
	return false
}

func (im *ovfImport) item(item *ovf.ResourceAllocationSettingData) {
	switch int(*item.ResourceType) {
	case cimCPU:
		im.spec.NumCPUs = int32(quantity(item))
		if threads := int32(im.host.Summary.Hardware.NumCpuThreads); threads > 0 && im.spec.NumCPUs > threads {
			im.Fail(&types.OvfHardwareCheck{})
		}
		if c := item.CoresPerSocket; c != nil && c.Value > 0 {
			im.spec.NumCoresPerSocket = &c.Value
		}
	case cimMemory:
		im.memory(item)
	case cimIDE, cimSCSI, cimStorage:
		im.controller(item)
	case cimEthernet:
		im.card(item)
	case cimDisk:
		im.disk(item)
	case cimCDROM, cimDVD, cimFloppy:
		im.drive(item)
	case cimOther, cimUSB, cimVideo: // every VM has a video card and VMCI; the others are left out
	default:
		im.unsupported(item)
	}
}

func quantity(item *ovf.ResourceAllocationSettingData) int64 {
	if item.VirtualQuantity == nil {
		return 0
	}
	return int64(*item.VirtualQuantity)
}

func (im *ovfImport) memory(item *ovf.ResourceAllocationSettingData) {
	unit := int64(1 << 20)
	if item.AllocationUnits != nil {
		if n := ovf.ParseCapacityAllocationUnits(*item.AllocationUnits); n > 0 {
			unit = n
		}
	}
	im.spec.MemoryMB = quantity(item) * unit >> 20
}

// unsupported refuses a device that a VM cannot have; one that need not be there is left
// out with a warning.
func (im *ovfImport) unsupported(item *ovf.ResourceAllocationSettingData) {
	var fault types.BaseMethodFault = &types.OvfUnsupportedType{
		Name: item.ElementName, InstanceId: item.InstanceID, DeviceType: int32(*item.ResourceType),
	}
	if item.ResourceSubType != nil {
		fault = &types.OvfUnsupportedSubType{
			ElementName: item.ElementName, InstanceId: item.InstanceID, DeviceType: int32(*item.ResourceType), DeviceSubType: *item.ResourceSubType,
		}
	}
	if item.Required != nil && !*item.Required {
		im.Warn(fault)
		return
	}
	im.Fail(fault)
}

// nextKey is the key of a new device in the specification, which is none that a VM has.
func (im *ovfImport) nextKey() int32 { return -100 - int32(len(im.device)) }

func (im *ovfImport) controller(item *ovf.ResourceAllocationSettingData) {
	kind := strings.ToLower(ovfdoc.Text(item.ResourceSubType))
	var made types.BaseVirtualDevice
	var err error
	switch int(*item.ResourceType) {
	case cimIDE:
		made = &types.VirtualIDEController{}
	case cimSCSI:
		made, err = object.VirtualDeviceList{}.CreateSCSIController(kind)
	case cimStorage:
		switch {
		case strings.Contains(kind, "nvme"):
			made = &types.VirtualNVMEController{}
		case strings.Contains(kind, "ahci"), kind == "":
			made = &types.VirtualAHCIController{}
		default:
			err = strconv.ErrSyntax
		}
	}
	if err != nil {
		im.unsupported(item)
		return
	}
	c := made.(types.BaseVirtualController).GetVirtualController()
	c.Key, c.Device, c.BusNumber = im.nextKey(), nil, im.busNumber(made, item)
	im.parent[item.InstanceID] = made
	im.device = append(im.device, made)
}

// busNumber is the item's address if it has one, else the next of its kind.
func (im *ovfImport) busNumber(made types.BaseVirtualDevice, item *ovf.ResourceAllocationSettingData) int32 {
	if n, err := strconv.Atoi(ovfdoc.Text(item.Address)); err == nil && n >= 0 && n < 4 {
		return int32(n)
	}
	n := int32(0)
	for _, d := range im.device {
		_, scsi := d.(types.BaseVirtualSCSIController)
		_, same := made.(types.BaseVirtualSCSIController)
		if scsi && same || controllerKind(d) == controllerKind(made) {
			n++
		}
	}
	return n
}

// seat puts a device on its controller.
func (im *ovfImport) seat(item *ovf.ResourceAllocationSettingData, v *types.VirtualDevice) bool {
	controller, ok := im.parent[ovfdoc.Text(item.Parent)]
	if !ok {
		im.Fail(ovfdoc.BadReference("Item "+item.InstanceID, "Parent", ovfdoc.Text(item.Parent)))
		return false
	}
	v.Key, v.ControllerKey = im.nextKey(), controller.GetVirtualDevice().Key
	unit, err := strconv.Atoi(ovfdoc.Text(item.AddressOnParent))
	if err != nil {
		unit = 0
		for _, d := range im.device {
			if d.GetVirtualDevice().ControllerKey == v.ControllerKey {
				unit++
			}
		}
	}
	v.UnitNumber = types.NewInt32(int32(unit))
	return true
}

// card makes a network card on the network that is meant for it, by default the host's
// first.
func (im *ovfImport) card(item *ovf.ResourceAllocationSettingData) {
	kind := strings.ToLower(ovfdoc.Text(item.ResourceSubType))
	name := ""
	if len(item.Connection) > 0 {
		name = item.Connection[0]
	}
	declared := im.Network != nil
	if declared {
		declared = false
		for _, n := range im.Network.Networks {
			declared = declared || n.Name == name
		}
	}
	if name != "" && !declared {
		im.Fail(ovfdoc.BadReference("Item "+item.InstanceID, "Connection", name))
		return
	}
	net, ok := im.network(name)
	if !ok {
		return
	}
	made, err := object.VirtualDeviceList{}.CreateEthernetCard(kind, net.Backing())
	if err != nil {
		im.unsupported(item)
		return
	}
	nic := made.(types.BaseVirtualEthernetCard).GetVirtualEthernetCard()
	nic.Key = im.nextKey()
	nic.Connectable = &types.VirtualDeviceConnectInfo{StartConnected: true, AllowGuestControl: true}
	if a := item.AutomaticAllocation; a != nil {
		nic.Connectable.StartConnected = *a
	}
	im.device = append(im.device, made)
}

// network finds the network for one of the descriptor's.
func (im *ovfImport) network(name string) (lookup.Network, bool) {
	for _, m := range im.params.NetworkMapping {
		if m.Name != name {
			continue
		}
		for _, ref := range im.host.Network {
			if ref == m.Network {
				return im.s.NetworkByRef(ref)
			}
		}
		im.Fail(&types.OvfNetworkMappingNotSupported{})
		return lookup.Network{}, false
	}
	var names []lookup.Network
	for _, ref := range im.host.Network {
		if net, ok := im.s.NetworkByRef(ref); ok && !strings.Contains(net.Name, "DVUplinks") {
			names = append(names, net)
		}
	}
	for _, net := range names {
		if net.Portgroup == "" {
			return net, true
		}
	}
	if len(names) == 0 {
		im.Fail(&types.OvfNoHostNic{})
		return lookup.Network{}, false
	}
	return names[0], true
}

// disk makes a disk, and notes the file that fills it, if any does.
func (im *ovfImport) disk(item *ovf.ResourceAllocationSettingData) {
	id := ""
	if len(item.HostResource) > 0 {
		id = item.HostResource[0][strings.LastIndex(item.HostResource[0], "/")+1:]
	}
	desc := im.DiskNamed(id)
	if desc == nil {
		im.Fail(ovfdoc.BadReference("Item "+item.InstanceID, "HostResource", id))
		return
	}
	disk := &types.VirtualDisk{CapacityInBytes: ovfdoc.DiskCapacity(desc), CapacityInKB: ovfdoc.DiskCapacity(desc) / 1024}
	if !im.seat(item, &disk.VirtualDevice) {
		return
	}
	disk.DeviceInfo = &types.Description{Label: item.ElementName, Summary: item.ElementName}
	ref := im.ds.Self
	provisioning := im.params.DiskProvisioning
	disk.Backing = &vdisk.FlatBacking{
		VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: dsfiles.Path(im.ds.Name, ""), Datastore: &ref},
		DiskMode:                     string(types.VirtualDiskModePersistent),
		ThinProvisioned:              types.NewBool(provisioning == "" || provisioning == "thin" || provisioning == "sparse" || provisioning == "seSparse"),
		EagerlyScrub:                 types.NewBool(provisioning == "eagerZeroedThick"),
	}
	im.device = append(im.device, disk)
	for _, link := range im.chain(desc) {
		if file := im.File(ovfdoc.Text(link.FileRef)); file != nil {
			im.want(item, disk, file, false)
		}
	}
}

// chain lists a disk with those that it refers to as its parents, the base first: a file of
// each is sent to the same device, and updates what is there by then.
func (im *ovfImport) chain(disk *ovf.VirtualDiskDesc) []*ovf.VirtualDiskDesc {
	var out []*ovf.VirtualDiskDesc
	for disk != nil && !slices.Contains(out, disk) {
		out = append(out, disk)
		disk = im.DiskNamed(ovfdoc.Text(disk.ParentRef))
	}
	slices.Reverse(out)
	return out
}

// nvram notes the file that a descriptor has for the VM's BIOS settings, which an entry of
// its extra configuration names.
func (im *ovfImport) nvram() {
	for _, entry := range im.System.VirtualHardware[0].ExtraConfig {
		if entry.Key != "nvram" {
			continue
		}
		if file := im.File(entry.Value[strings.LastIndex(entry.Value, "/")+1:]); file != nil {
			key := NVRAMKey(naming.Escape(im.spec.Name))
			im.files = append(im.files, types.OvfFileItem{
				DeviceId: key, Path: file.Href, Size: int64(file.Size), CimType: cimOther, Create: true,
			})
			im.filled[key]++
		}
	}
}

// drive makes a CD-ROM or floppy drive, with the image that goes into it, if any does.
func (im *ovfImport) drive(item *ovf.ResourceAllocationSettingData) {
	if int(*item.ResourceType) == cimFloppy {
		return // a drive that nothing needs
	}
	drive := &types.VirtualCdrom{}
	if !im.seat(item, &drive.VirtualDevice) {
		return
	}
	drive.Connectable = &types.VirtualDeviceConnectInfo{AllowGuestControl: true}
	drive.Backing = &types.VirtualCdromRemotePassthroughBackingInfo{}
	im.device = append(im.device, drive)
	if len(item.HostResource) == 0 {
		return
	}
	id := item.HostResource[0][strings.LastIndex(item.HostResource[0], "/")+1:]
	file := im.File(id)
	if file == nil {
		im.Fail(ovfdoc.BadReference("Item "+item.InstanceID, "HostResource", id))
		return
	}
	drive.Connectable.StartConnected = true
	name := strings.ReplaceAll(im.spec.Name, "/", "_") + "/_deviceImage" + strconv.Itoa(len(im.files)) + ".iso"
	drive.Backing = &types.VirtualCdromIsoBackingInfo{
		VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: dsfiles.Path(im.ds.Name, name)},
	}
	im.want(item, drive, file, true)
}

// want notes that a file of the package goes to a device.
func (im *ovfImport) want(item *ovf.ResourceAllocationSettingData, d types.BaseVirtualDevice, file *ovf.File, create bool) {
	key := ImportKey(im.spec.Name, im.device, d)
	f := types.OvfFileItem{
		DeviceId: key, Path: file.Href, Size: int64(file.Size), CompressionMethod: ovfdoc.Text(file.Compression),
		CimType: int32(*item.ResourceType), Create: create,
	}
	if file.ChunkSize != nil {
		f.ChunkSize = int64(*file.ChunkSize)
	}
	im.files = append(im.files, f)
	im.filled[key]++
}
