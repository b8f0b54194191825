// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package hardware

import (
	"cmp"
	"errors"
	"fmt"
	"log"
	"os"
	"reflect"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/datastores"
	"vforge.vsphere/simulator/internal/deepcopy"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vhardware"
)

// Slots is how many disks a controller takes; its own place is not one of them.
func Slots(c types.BaseVirtualController) int {
	switch c.(type) {
	case types.BaseVirtualSCSIController:
		return 15
	case types.BaseVirtualSATAController:
		return 30
	case *types.VirtualNVMEController:
		return 15
	case *types.VirtualIDEController:
		return 2
	}
	return 0
}

// add puts a new device in.
func (h *Change) add(index int32, c *types.VirtualDeviceConfigSpec) types.BaseMethodFault {
	dev := deepcopy.Of(c.Device)
	d := dev.GetVirtualDevice()
	asked := d.Key
	if h.Fresh && d.ControllerKey == 0 && h.Find(asked) >= 0 {
		return nil // a new VM has its base controllers already
	}
	if to, ok := h.Keys[d.ControllerKey]; ok {
		d.ControllerKey = to
	}
	var fault types.BaseMethodFault
	switch x := dev.(type) {
	case types.BaseVirtualController:
		fault = h.addController(index, x)
	case *types.VirtualDisk:
		fault = h.addDisk(index, x, c.FileOperation)
	case types.BaseVirtualEthernetCard:
		fault = h.addCard(index, x)
	default:
		fault = h.place(index, d, keyOther)
		h.describe(dev)
	}
	if fault != nil {
		return fault
	}
	if h.Keys == nil {
		h.Keys = make(map[int32]int32)
	}
	h.Keys[asked] = d.Key
	if _, ok := dev.(types.BaseVirtualController); ok && h.Find(d.Key) >= 0 {
		return nil // an IDE controller, both of which are in every VM
	}
	if d.Connectable != nil {
		d.Connectable.Connected = h.On && d.Connectable.StartConnected
	}
	h.Devices = append(h.Devices, dev)
	return nil
}

// labels are what vSphere calls the devices that have a number and nothing else.
var labels = map[string]string{
	"VirtualCdrom": "CD/DVD drive", "VirtualFloppy": "Floppy drive", "VirtualSerialPort": "Serial port", "VirtualParallelPort": "Parallel port",
}

// describe gives a device that brings none its label, without which govc cannot list it.
func (h *Change) describe(dev types.BaseVirtualDevice) {
	d := dev.GetVirtualDevice()
	if d.DeviceInfo != nil {
		return
	}
	kind, number := reflect.TypeOf(dev), 1
	for _, other := range h.Devices {
		if reflect.TypeOf(other) == kind {
			number++
		}
	}
	name := kind.Elem().Name()
	label := fmt.Sprintf("%s %d", cmp.Or(labels[name], strings.TrimPrefix(name, "Virtual")), number)
	d.DeviceInfo = &types.Description{Label: label, Summary: label}
}

// keyOther is where the keys of devices begin that have no range of their own.
const keyOther int32 = 16000

// place gives a device its key, and a free place on its controller.
func (h *Change) place(index int32, d *types.VirtualDevice, first int32) types.BaseMethodFault {
	var controller types.BaseVirtualController
	if d.ControllerKey != 0 {
		at := h.Find(d.ControllerKey)
		if at < 0 {
			return InvalidDevice(index, "virtualDeviceSpec.device.controllerKey")
		}
		var ok bool
		if controller, ok = deepcopy.Of(h.Devices[at]).(types.BaseVirtualController); !ok {
			return InvalidDevice(index, "virtualDeviceSpec.device.controllerKey")
		}
		h.Devices[at] = controller.(types.BaseVirtualDevice) // others still read the one that was there
		if d.UnitNumber == nil || *d.UnitNumber < 0 {
			unit := h.freeUnit(controller)
			d.UnitNumber = &unit
		} else if h.taken(d.ControllerKey, *d.UnitNumber) {
			return InvalidDevice(index, "virtualDeviceSpec.device.unitNumber")
		}
	}
	d.Key = h.freeKey(first)
	if controller != nil {
		controller.GetVirtualController().Device = append(controller.GetVirtualController().Device, d.Key)
	}
	return nil
}

func (h *Change) freeKey(first int32) int32 {
	for h.Find(first) >= 0 {
		first++
	}
	return first
}

func (h *Change) taken(controller, unit int32) bool {
	for _, d := range h.Devices {
		v := d.GetVirtualDevice()
		if v.ControllerKey == controller && v.UnitNumber != nil && *v.UnitNumber == unit {
			return true
		}
	}
	return false
}

func (h *Change) freeUnit(c types.BaseVirtualController) int32 {
	unit := int32(0)
	if c.GetVirtualController().Key == vhardware.KeyPCI {
		unit = 7 // below are the slots of what every VM has
	}
	own := int32(-1)
	if scsi, ok := c.(types.BaseVirtualSCSIController); ok {
		own = scsi.GetVirtualSCSIController().ScsiCtlrUnitNumber
		if own == 0 {
			own = 7
		}
	}
	for unit == own || h.taken(c.GetVirtualController().Key, unit) {
		unit++
	}
	return unit
}

// addController adds a controller of disks; those that every VM has are there already.
func (h *Change) addController(index int32, x types.BaseVirtualController) types.BaseMethodFault {
	c := x.GetVirtualController()
	first, label := int32(0), ""
	switch scsi := x.(type) {
	case types.BaseVirtualSCSIController:
		first, label = vhardware.KeySCSI, "SCSI controller"
		if scsi.GetVirtualSCSIController().SharedBus == "" {
			return InvalidDevice(index, "virtualDeviceSpec.device.sharedBus")
		}
		scsi.GetVirtualSCSIController().ScsiCtlrUnitNumber = 7
	case *types.VirtualIDEController:
		first, label = 200, "IDE"
	case types.BaseVirtualSATAController:
		first, label = 15000, "SATA controller"
	case *types.VirtualNVMEController:
		first, label = 31000, "NVME controller"
	default:
		first, label = 7000, "Controller"
	}
	if first == 200 && h.Find(200+c.BusNumber) >= 0 { // both IDE controllers are in every VM
		c.Key = 200 + c.BusNumber
		return nil
	}
	if h.Find(first+c.BusNumber) >= 0 {
		return InvalidDevice(index, "virtualDeviceSpec.device.busNumber")
	}
	c.Key, c.ControllerKey, c.Device = first+c.BusNumber, vhardware.KeyPCI, nil
	c.DeviceInfo = &types.Description{Label: fmt.Sprintf("%s %d", label, c.BusNumber), Summary: label}
	return nil
}

// addCard adds a network card, with an address of its own unless it brings one.
func (h *Change) addCard(index int32, x types.BaseVirtualEthernetCard) types.BaseMethodFault {
	nic := x.GetVirtualEthernetCard()
	net, fault := h.s.networkOf(h.Host, index, nic.Backing)
	if fault != nil {
		return fault
	}
	if nic.AddressType == string(types.VirtualEthernetCardMacTypeManual) || nic.AddressType == "" && nic.MacAddress != "" {
		if !validMAC(nic.MacAddress) {
			return InvalidDevice(index, "virtualDeviceSpec.device.macAddress")
		}
		nic.AddressType = string(types.VirtualEthernetCardMacTypeManual)
	} else {
		nic.MacAddress, nic.AddressType = h.s.MACs.Take(), string(types.VirtualEthernetCardMacTypeAssigned)
	}
	nic.ControllerKey = vhardware.KeyPCI
	if fault := h.place(index, &nic.VirtualDevice, vhardware.KeyNIC); fault != nil {
		return fault
	}
	nic.Backing = net.Backing()
	nic.DeviceInfo = &types.Description{Label: fmt.Sprintf("Network adapter %d", nic.Key-vhardware.KeyNIC+1), Summary: net.Summary}
	if nic.Connectable == nil {
		nic.Connectable = &types.VirtualDeviceConnectInfo{StartConnected: true, AllowGuestControl: true}
	}
	nic.Connectable.Status = "ok"
	h.Cards = true
	return nil
}

// addDisk adds a disk: a new one, a new delta on another, or one that exists.
func (h *Change) addDisk(index int32, disk *types.VirtualDisk, op types.VirtualDeviceConfigSpecFileOperation) types.BaseMethodFault {
	backing, ok := disk.Backing.(*vdisk.FlatBacking)
	if !ok {
		return &types.DeviceUnsupportedForVmPlatform{InvalidDeviceSpec: types.InvalidDeviceSpec{
			InvalidVmConfig: types.InvalidVmConfig{Property: "virtualDeviceSpec.device.backing"}, DeviceIndex: index,
		}}
	}
	if disk.ControllerKey == 0 || op == types.VirtualDeviceConfigSpecFileOperationCreate && disk.UnitNumber == nil {
		return InvalidDevice(index, "virtualDeviceSpec.device.unitNumber")
	}
	if fault := h.place(index, &disk.VirtualDevice, vhardware.KeyDisk); fault != nil {
		return fault
	}
	if fault := h.hotPlug(index, disk); fault != nil {
		return fault
	}
	if disk.CapacityInBytes == 0 {
		disk.CapacityInBytes = disk.CapacityInKB * 1024
	}
	var fault types.BaseMethodFault
	switch op {
	case types.VirtualDeviceConfigSpecFileOperationCreate:
		disk.Backing, fault = h.createDisk(index, disk, backing)
	case "":
		disk.Backing, fault = h.attachDisk(index, disk, backing)
	default:
		fault = &types.NotSupported{}
	}
	if fault != nil {
		return fault
	}
	disk.CapacityInKB = disk.CapacityInBytes / 1024
	disk.DeviceInfo = &types.Description{
		Label: fmt.Sprintf("Hard disk %d", len(vdisk.DisksOf(h.Devices))+1), Summary: vhardware.Thousands(disk.CapacityInKB) + " KB",
	}
	return nil
}

// createDisk makes the files of a new disk. With a parent it is a delta: of the parent's
// capacity, and the parent never changes again.
func (h *Change) createDisk(index int32, disk *types.VirtualDisk, want *vdisk.FlatBacking) (*vdisk.FlatBacking, types.BaseMethodFault) {
	ds, fault := h.diskDatastore(index, want)
	if fault != nil {
		return nil, fault
	}
	if want.Parent != nil {
		parent, capacity, fault := h.layer(index, want.Parent, "virtualDeviceSpec.device.backing.parent.fileName")
		if fault != nil {
			return nil, fault
		}
		file, fault := h.fileFor(ds, want.FileName, h.Home.NewLayer)
		if fault != nil {
			return nil, fault
		}
		if fault := h.s.Datastores.Room(ds, file, 0, true); fault != nil {
			return nil, fault
		}
		delta, err := disks.NewDelta(ds, file, parent, capacity)
		if err != nil {
			log.Printf("vforge-sim: %v", err)
			return nil, &types.FileFault{File: dsfiles.Path(ds.Name, file)}
		}
		disk.CapacityInBytes = capacity
		if want.DiskMode != "" {
			delta.DiskMode = want.DiskMode
		}
		return delta, nil
	}
	if disk.CapacityInBytes <= 0 {
		return nil, InvalidDevice(index, "virtualDeviceSpec.device.capacityInBytes")
	}
	file, fault := h.fileFor(ds, want.FileName, h.Home.NewDisk)
	if fault != nil {
		return nil, fault
	}
	thin := want.ThinProvisioned != nil && *want.ThinProvisioned
	if fault := h.s.Datastores.Room(ds, file, disk.CapacityInBytes, thin || h.Fresh); fault != nil {
		return nil, fault
	}
	made, err := disks.NewBaseDisk(ds, file, disk.CapacityInBytes)
	if err != nil {
		log.Printf("vforge-sim: %v", err)
		return nil, &types.FileFault{File: dsfiles.Path(ds.Name, file)}
	}
	made.DiskMode, made.ThinProvisioned, made.EagerlyScrub = want.DiskMode, want.ThinProvisioned, want.EagerlyScrub
	if made.DiskMode == "" {
		made.DiskMode = string(types.VirtualDiskModePersistent)
	}
	if want.ThinProvisioned != nil && !*want.ThinProvisioned {
		// So it is thick also when another VM gets it.
		if err := dsfiles.SetThick(dsfiles.Local(ds, file)); err != nil {
			log.Printf("vforge-sim: %v", err)
			return nil, &types.FileFault{File: dsfiles.Path(ds.Name, file)}
		}
	}
	if h.Pending == nil {
		h.Pending = make(map[int32]bool)
	}
	h.Pending[disk.Key] = true
	return made, nil
}

// fileFor is the file that a new disk is to have: the one that is named, or with only a
// datastore named one in the VM's directory.
func (h *Change) fileFor(ds *simulator.Datastore, name string, otherwise func(*simulator.Datastore) string) (string, types.BaseMethodFault) {
	_, file := dsfiles.Split(name)
	if file == "" {
		return otherwise(ds), nil
	}
	if _, err := os.Lstat(dsfiles.Local(ds, file)); !errors.Is(err, os.ErrNotExist) {
		return "", &types.FileAlreadyExists{FileFault: types.FileFault{File: name}}
	}
	h.Home.Note(ds, file)
	return datastores.ListedAs(ds, file), nil
}

// diskDatastore is the datastore that a backing names, by default the VM's own.
func (h *Change) diskDatastore(index int32, b *vdisk.FlatBacking) (*simulator.Datastore, types.BaseMethodFault) {
	name, _ := dsfiles.Split(b.FileName)
	if name == "" && b.FileName != "" {
		return nil, InvalidDevice(index, "virtualDeviceSpec.device.backing.fileName")
	}
	for _, ref := range h.Host.Datastore {
		ds, ok := h.s.Reg.Get(ref).(*simulator.Datastore)
		if ok && (b.Datastore != nil && *b.Datastore == ref || name != "" && ds.Name == name) {
			return ds, nil
		}
	}
	if name == "" && b.Datastore == nil {
		return h.Home.DS, nil
	}
	return nil, &types.InvalidDatastorePath{InvalidDatastore: types.InvalidDatastore{Name: name}, DatastorePath: b.FileName}
}

// attachDisk describes a disk that exists.
func (h *Change) attachDisk(index int32, disk *types.VirtualDisk, want *vdisk.FlatBacking) (*vdisk.FlatBacking, types.BaseMethodFault) {
	found, capacity, fault := h.layer(index, want, "virtualDeviceSpec.device.backing.fileName")
	if fault != nil {
		return nil, fault
	}
	disk.CapacityInBytes = capacity
	out := *found
	if want.DiskMode != "" {
		out.DiskMode = want.DiskMode
	}
	return &out, nil
}

// layer finds a disk layer by its file: among the disks that were just removed, the VM's
// own, or on the datastore.
func (h *Change) layer(index int32, want *vdisk.FlatBacking, property string) (*vdisk.FlatBacking, int64, types.BaseMethodFault) {
	ds, fault := h.diskDatastore(index, want)
	if fault != nil {
		return nil, 0, fault
	}
	_, file := dsfiles.Split(want.FileName)
	file = datastores.ListedAs(ds, file)
	for _, disk := range append(append([]*types.VirtualDisk{}, h.removed...), vdisk.DisksOf(h.Devices)...) {
		if b := disks.LayerNamed(disk, ds, file); b != nil {
			return b, disk.CapacityInBytes, nil
		}
	}
	if want.Parent != nil { // a delta of another VM
		below, capacity, fault := h.layer(index, want.Parent, property)
		if fault != nil || !dsfiles.Exists(dsfiles.Local(ds, file)) || !dsfiles.Exists(dsfiles.Local(ds, dsfiles.Extent(file, true))) {
			return nil, 0, InvalidDevice(index, property)
		}
		out := *want
		out.Parent = below
		return &out, capacity, nil
	}
	if h.s.Datastores.Sent.Broken(ds, file) {
		return nil, 0, &types.InvalidDeviceBacking{InvalidDeviceSpec: types.InvalidDeviceSpec{
			InvalidVmConfig: types.InvalidVmConfig{Property: property}, DeviceIndex: index,
		}}
	}
	desc, err := dsfiles.ReadDescriptor(dsfiles.Local(ds, file))
	if err != nil || !dsfiles.Exists(dsfiles.Local(ds, dsfiles.Extent(file, false))) {
		return nil, 0, InvalidDevice(index, property)
	}
	return disks.BaseBacking(ds, file), int64(desc.Capacity()), nil
}
