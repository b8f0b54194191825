// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vhardware

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/deepcopy"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/vdisk"
)

// CheckConfigSpec refuses what a configuration may not hold, whatever the VM.
func CheckConfigSpec(spec *types.VirtualMachineConfigSpec) types.BaseMethodFault {
	for _, o := range spec.ExtraConfig {
		if o == nil || o.GetOptionValue().Key == "" {
			return faults.Invalid("configSpec.extraConfig")
		}
	}
	for _, id := range []string{spec.Uuid, spec.InstanceUuid} {
		if id != "" && !ValidUUID(id) {
			return faults.Invalid("configSpec.uuid")
		}
	}
	if spec.NumCPUs < 0 {
		return faults.Invalid("configSpec.numCPUs")
	}
	if spec.MemoryMB < 0 || spec.MemoryMB%4 != 0 {
		return faults.Invalid("configSpec.memoryMB")
	}
	if cores := spec.NumCoresPerSocket; cores != nil && *cores > 0 && spec.NumCPUs%*cores != 0 {
		return faults.Invalid("configSpec.numCoresPerSocket")
	}
	return nil
}

// ApplyConfig lays a configuration over a VM's, but for its name, its devices and its
// extra configuration. The caller holds the VM's lock, or nobody else knows the VM yet.
func ApplyConfig(vm *simulator.VirtualMachine, spec *types.VirtualMachineConfigSpec) types.BaseMethodFault {
	if rest := UnknownConfig(spec); rest != "" {
		return &types.NotSupported{}
	}
	c := vm.Config
	put(&c.Annotation, spec.Annotation)
	put(&c.AlternateGuestName, spec.AlternateGuestName)
	put(&c.Firmware, spec.Firmware)
	put(&c.Version, spec.Version)
	put(&c.Uuid, spec.Uuid)
	put(&c.InstanceUuid, spec.InstanceUuid)
	put(&c.Hardware.NumCPU, spec.NumCPUs)
	put(&c.Hardware.MemoryMB, int32(spec.MemoryMB))
	put(&c.Hardware.NumCoresPerSocket, spec.NumCoresPerSocket)
	put(&c.CpuHotAddEnabled, spec.CpuHotAddEnabled)
	put(&c.CpuHotRemoveEnabled, spec.CpuHotRemoveEnabled)
	put(&c.MemoryHotAddEnabled, spec.MemoryHotAddEnabled)
	put(&c.NestedHVEnabled, spec.NestedHVEnabled)
	put(&c.ChangeTrackingEnabled, spec.ChangeTrackingEnabled)
	put(&c.CpuAllocation, spec.CpuAllocation)
	put(&c.MemoryAllocation, spec.MemoryAllocation)
	put(&c.LatencySensitivity, spec.LatencySensitivity)
	put(&c.BootOptions, spec.BootOptions)
	put(&c.Tools, spec.Tools)
	put(&c.ManagedBy, spec.ManagedBy)
	if spec.Flags != nil {
		c.Flags = *spec.Flags
	}
	if spec.GuestId != "" {
		c.GuestId, c.GuestFullName = spec.GuestId, spec.GuestId
	}
	if spec.VAppConfigRemoved != nil && *spec.VAppConfigRemoved {
		c.VAppConfig = nil
	}
	if spec.VAppConfig != nil {
		c.VAppConfig = vAppInfo(c.VAppConfig, spec.VAppConfig)
	}
	return nil
}

// UnknownConfig is the name of a setting that this simulator does not carry out.
func UnknownConfig(spec *types.VirtualMachineConfigSpec) string {
	known := map[string]bool{
		"ChangeVersion": true, "Name": true, "Files": true, "DeviceChange": true, "ExtraConfig": true,
		"Annotation": true, "AlternateGuestName": true, "Firmware": true, "Version": true, "Uuid": true, "InstanceUuid": true,
		"NumCPUs": true, "MemoryMB": true, "NumCoresPerSocket": true, "CpuHotAddEnabled": true, "CpuHotRemoveEnabled": true,
		"MemoryHotAddEnabled": true, "NestedHVEnabled": true, "ChangeTrackingEnabled": true, "CpuAllocation": true,
		"MemoryAllocation": true, "LatencySensitivity": true, "BootOptions": true, "Tools": true, "ManagedBy": true,
		"Flags": true, "GuestId": true, "VAppConfig": true, "VAppConfigRemoved": true,
		// of no consequence here
		"VmProfile": true, "SwapPlacement": true, "PowerOpInfo": true, "ConsolePreferences": true,
	}
	v := reflect.ValueOf(*spec)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; !known[name] && !v.Field(i).IsZero() {
			return name
		}
	}
	return ""
}

// put sets what is given.
func put[T comparable](to *T, from T) {
	var none T
	if from != none {
		*to = from
	}
}

// vAppInfo lays a vApp's products and properties over those that a VM has.
func vAppInfo(old types.BaseVmConfigInfo, change types.BaseVmConfigSpec) types.BaseVmConfigInfo {
	info := &types.VAppConfigInfo{}
	if have, ok := old.(*types.VAppConfigInfo); ok && have != nil {
		info = deepcopy.Of(have)
	}
	spec := change.GetVmConfigSpec()
	for _, p := range spec.Product {
		if p.Info != nil && p.Operation == types.ArrayUpdateOperationAdd {
			info.Product = append(info.Product, *p.Info)
		}
	}
	for _, p := range spec.Property {
		if p.Info == nil {
			continue
		}
		at := -1
		for i := range info.Property {
			if info.Property[i].Key == p.Info.Key {
				at = i
			}
		}
		switch {
		case at < 0 && p.Operation == types.ArrayUpdateOperationAdd:
			info.Property = append(info.Property, *p.Info)
		case at >= 0 && p.Operation == types.ArrayUpdateOperationEdit:
			info.Property[at].Value = p.Info.Value
		}
	}
	if len(spec.OvfEnvironmentTransport) > 0 {
		info.OvfEnvironmentTransport = spec.OvfEnvironmentTransport
	}
	for _, o := range spec.OvfSection {
		if o.Info != nil && o.Operation == types.ArrayUpdateOperationAdd {
			info.OvfSection = append(info.OvfSection, *o.Info)
		}
	}
	return info
}

// Summarize puts a VM's summary right after its configuration has changed.
func Summarize(vm *simulator.VirtualMachine) {
	c, sum := vm.Config, &vm.Summary.Config
	sum.Name, sum.Template, sum.VmPathName, sum.Annotation = vm.Name, c.Template, c.Files.VmPathName, c.Annotation
	sum.MemorySizeMB, sum.NumCpu = c.Hardware.MemoryMB, c.Hardware.NumCPU
	sum.Uuid, sum.InstanceUuid = c.Uuid, c.InstanceUuid
	sum.GuestId, sum.GuestFullName, sum.HwVersion = c.GuestId, c.GuestFullName, c.Version
	sum.NumVirtualDisks, sum.NumEthernetCards = int32(len(vdisk.DisksOf(c.Hardware.Device))), 0
	for _, d := range c.Hardware.Device {
		if _, ok := d.(types.BaseVirtualEthernetCard); ok {
			sum.NumEthernetCards++
		}
	}
}

// MergeExtra lays pairs over base; a pair with an empty value takes its key away.
func MergeExtra(base, pairs []types.BaseOptionValue) []types.BaseOptionValue {
	at := make(map[string]int, len(base))
	out := make([]types.BaseOptionValue, 0, len(base)+len(pairs))
	put := func(o types.BaseOptionValue) {
		if i, ok := at[o.GetOptionValue().Key]; ok {
			out[i] = o
			return
		}
		at[o.GetOptionValue().Key] = len(out)
		out = append(out, o)
	}
	for _, o := range base {
		put(o)
	}
	for _, o := range pairs {
		put(o)
	}
	kept := out[:0]
	for _, o := range out {
		if v, ok := o.GetOptionValue().Value.(string); !ok || v != "" {
			kept = append(kept, o)
		}
	}
	return kept
}

// MaxNameBytes is the longest entity name that vCenter takes.
const MaxNameBytes = 80

var uuidPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// ValidUUID tells if a text is a UUID.
func ValidUUID(id string) bool { return uuidPattern.MatchString(id) }

var versionPattern = regexp.MustCompile(`^vmx-([0-9]{1,3})$`)

// VersionNumber is the number of a version of virtual hardware, such as 19 of vmx-19; 0 for what is none.
func VersionNumber(version string) int {
	found := versionPattern.FindStringSubmatch(version)
	if found == nil {
		return 0
	}
	n, _ := strconv.Atoi(found[1])
	return n
}

// VersionName writes a number as a version of virtual hardware.
func VersionName(n int) string { return fmt.Sprintf("vmx-%02d", n) }
