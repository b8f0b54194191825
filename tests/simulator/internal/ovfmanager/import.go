// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package ovfmanager

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/ovf"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/lookup"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/ovfdoc"
)

// diskProvisionings are the ways in which a host can make an imported disk.
var diskProvisionings = []string{"thin", "thick", "eagerZeroedThick", "monolithicFlat", "flat", "sparse", "seSparse"}

// ovfImport is a descriptor on its way to a specification.
type ovfImport struct {
	*ovfdoc.Descriptor
	s      *OvfManager
	params *types.OvfCreateImportSpecParams
	pool   mo.Reference
	ds     *simulator.Datastore
	host   *simulator.HostSystem
	spec   *types.VirtualMachineConfigSpec
	option string
	device []types.BaseVirtualDevice
	parent map[string]types.BaseVirtualDevice // controllers by their InstanceID
	files  []types.OvfFileItem
	filled map[string]int
	values map[string]string
}

// CreateImportSpec makes of a descriptor what ImportVApp takes. What is wrong with the
// descriptor, or does not fit the place, is in the result, not a fault.
func (sh *ovfShim) CreateImportSpec(ctx *simulator.Context, req *types.CreateImportSpec) soap.HasFault {
	if fault := sh.S.Lacking(ctx, core.NeedOn(req.ResourcePool, "VApp.Import"), core.NeedOn(req.Datastore, core.AllocateSpace)); fault != nil {
		return &methods.CreateImportSpecBody{Fault_: faults.SOAP(fault)}
	}
	im := &ovfImport{
		Descriptor: ovfdoc.Read(req.OvfDescriptor), s: sh.S, params: req.Cisp.GetOvfCreateImportSpecParams(),
		parent: make(map[string]types.BaseVirtualDevice), filled: make(map[string]int), values: make(map[string]string),
	}
	if fault := im.place(req); fault != nil {
		return &methods.CreateImportSpecBody{Fault_: faults.SOAP(fault)}
	}
	if len(im.Errors) == 0 {
		im.build()
	}
	res := types.OvfCreateImportSpecResult{Error: faults.LocalizedAll(im.Errors), Warning: faults.LocalizedAll(im.Warnings)}
	if len(im.Errors) == 0 {
		res.ImportSpec = &types.VirtualMachineImportSpec{ConfigSpec: *im.spec, ResPoolEntity: &req.ResourcePool}
		res.FileItem = im.files
		sh.S.Imports.set(naming.Escape(im.spec.Name), im.filled)
	}
	return &methods.CreateImportSpecBody{Res: &types.CreateImportSpecResponse{Returnval: res}}
}

// place finds where the import is to go.
func (im *ovfImport) place(req *types.CreateImportSpec) types.BaseMethodFault {
	s := im.s
	im.pool = s.Reg.Get(req.ResourcePool)
	if lookup.PoolVMs(im.pool) == nil {
		return &types.ManagedObjectNotFound{Obj: req.ResourcePool}
	}
	ds, ok := s.Reg.Get(req.Datastore).(*simulator.Datastore)
	if !ok {
		return &types.ManagedObjectNotFound{Obj: req.Datastore}
	}
	im.ds = ds
	sees := func(h *simulator.HostSystem) bool { return simulator.FindReference(h.Datastore, ds.Self) != nil }
	if ref := im.params.HostSystem; ref != nil {
		if im.host = s.Host(*ref); im.host == nil {
			return &types.ManagedObjectNotFound{Obj: *ref}
		}
		if !s.SameCompute(*ref, req.ResourcePool) {
			return faults.Invalid("cisp.hostSystem")
		}
		if fault := core.HostFault(im.host); fault != nil {
			return fault
		}
	} else if !s.PlacedByDRS(req.ResourcePool) {
		return faults.Invalid("cisp.hostSystem")
	} else {
		cr, _ := s.ComputeOf(req.ResourcePool)
		im.host = s.LeastHost(cr, sees)
	}
	if im.host == nil || !sees(im.host) {
		return &types.InvalidDatastore{Datastore: &ds.Self, Name: ds.Name}
	}
	return nil
}

// build turns the descriptor into a specification, and notes all that is wrong on the way.
func (im *ovfImport) build() {
	if im.System == nil {
		im.Fail(&types.OvfUnsupportedElement{Name: "VirtualSystemCollection"}) // vApps are not simulated
		return
	}
	name := im.params.EntityName
	if name == "" {
		name = im.EntityName()
	}
	if im.option = im.params.DeploymentOption; im.option == "" {
		im.option = im.DefaultOption()
	} else if !im.HasOption(im.option) {
		im.Fail(&types.OvfInvalidValueConfiguration{OvfInvalidValue: types.OvfInvalidValue{
			OvfAttribute: types.OvfAttribute{ElementName: "Configuration", AttributeName: "id"}, Value: im.option,
		}})
	}
	if p := im.params.DiskProvisioning; p != "" && !slices.Contains(diskProvisionings, p) {
		im.Fail(&types.OvfUnsupportedDiskProvisioning{DiskProvisioning: p, SupportedDiskProvisioning: strings.Join(diskProvisionings, ",")})
	}
	im.spec = &types.VirtualMachineConfigSpec{
		Name: naming.Unescape(naming.Escape(name)), Files: &types.VirtualMachineFileInfo{VmPathName: dsfiles.Path(im.ds.Name, "")},
		NumCoresPerSocket: types.NewInt32(1),
	}
	if im.System.Annotation != nil {
		im.spec.Annotation = im.System.Annotation.Annotation
	}
	im.guestID()
	im.version()
	im.items()
	im.properties()
	im.settings()
	for _, c := range im.System.VirtualHardware[0].ExtraConfig {
		im.spec.ExtraConfig = append(im.spec.ExtraConfig, &types.OptionValue{Key: c.Key, Value: c.Value})
	}
	for i := range im.device {
		c := &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationAdd, Device: im.device[i]}
		if _, disk := im.device[i].(*types.VirtualDisk); disk {
			c.FileOperation = types.VirtualDeviceConfigSpecFileOperationCreate
		}
		im.spec.DeviceChange = append(im.spec.DeviceChange, c)
	}
}

// settings takes those of VMware's own settings that a VM here can have.
func (im *ovfImport) settings() {
	for _, c := range im.System.VirtualHardware[0].Config {
		on := types.NewBool(c.Value == "true")
		switch c.Key {
		case "firmware":
			im.spec.Firmware = c.Value
		case "cpuHotAddEnabled":
			im.spec.CpuHotAddEnabled = on
		case "memoryHotAddEnabled":
			im.spec.MemoryHotAddEnabled = on
		case "nestedHVEnabled":
			im.spec.NestedHVEnabled = on
		case "bootOptions.efiSecureBootEnabled":
			im.spec.BootOptions = &types.VirtualMachineBootOptions{EfiSecureBootEnabled: on}
		}
	}
}

// guestID takes the operating system, or says that it is not known.
func (im *ovfImport) guestID() {
	const other = types.VirtualMachineGuestOsIdentifierOtherGuest64
	im.spec.GuestId = string(other)
	os := im.System.OperatingSystem
	if os == nil {
		return
	}
	known := types.VirtualMachineGuestOsIdentifier(ovfdoc.Text(os.OSType))
	if slices.Contains(known.Values(), known) {
		im.spec.GuestId = string(known)
		return
	}
	im.Warn(&types.OvfMappedOsId{OvfId: int32(os.ID), OvfDescription: ovfdoc.Text(os.OSType), TargetDescription: string(other)})
}

// version picks the newest hardware that the descriptor allows and the release has.
func (im *ovfImport) version() {
	system := im.System.VirtualHardware[0].System
	if system == nil || ovfdoc.Text(system.VirtualSystemType) == "" {
		return
	}
	best, newest := 0, apiversion.NewestHardware(im.s.Cfg.APIVersion)
	for _, family := range strings.FieldsFunc(*system.VirtualSystemType, func(r rune) bool { return r == ' ' || r == ',' }) {
		n, err := strconv.Atoi(strings.TrimPrefix(family, "vmx-"))
		if err == nil && strings.HasPrefix(family, "vmx-") && n <= newest && n > best {
			best = n
		}
	}
	if best == 0 {
		im.Fail(&types.OvfNoSupportedHardwareFamily{Version: *system.VirtualSystemType})
		return
	}
	im.spec.Version = fmt.Sprintf("vmx-%02d", best)
}

// properties takes the values that were given for the VM's properties.
func (im *ovfImport) properties() {
	given := make(map[string]string)
	for _, m := range im.params.PropertyMapping {
		given[m.Key] = m.Value
	}
	products, properties := im.Products(given)
	if len(products) == 0 && len(given) == 0 {
		return
	}
	known := make(map[string]bool)
	vapp := &types.VAppConfigSpec{}
	for _, p := range products {
		vapp.Product = append(vapp.Product, types.VAppProductSpec{
			ArrayUpdateSpec: types.ArrayUpdateSpec{Operation: types.ArrayUpdateOperationAdd}, Info: &p,
		})
	}
	for _, section := range im.System.Product {
		for _, p := range section.Property {
			known[section.Key(p)] = true
			im.checkValue(section.Key(p), &p, given[section.Key(p)])
		}
	}
	for key, value := range given {
		if !known[key] {
			im.Fail(&types.OvfPropertyValue{OvfProperty: types.OvfProperty{Type: key, Value: value}})
		}
	}
	for _, p := range properties {
		vapp.Property = append(vapp.Property, types.VAppPropertySpec{
			ArrayUpdateSpec: types.ArrayUpdateSpec{Operation: types.ArrayUpdateOperationAdd}, Info: &p,
		})
	}
	if t := im.System.VirtualHardware[0].Transport; t != nil {
		vapp.OvfEnvironmentTransport = strings.Fields(*t)
	}
	im.spec.VAppConfig = vapp
}

// checkValue complains of a value that a property cannot have.
func (im *ovfImport) checkValue(key string, p *ovf.Property, value string) {
	switch {
	case value == "":
	case p.UserConfigurable == nil || !*p.UserConfigurable:
		im.Fail(&types.OvfPropertyQualifier{OvfProperty: types.OvfProperty{Type: key, Value: value}, Qualifier: "userConfigurable"})
	case !ovfdoc.Fits(p, value):
		im.Fail(&types.OvfPropertyValue{OvfProperty: types.OvfProperty{Type: p.Type, Value: value}})
	}
}
