// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"strconv"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/cpus"
	"vforge.vsphere/simulator/internal/faults"
)

// perVMEVC is the first hardware version that can have a mode of its own.
const perVMEVC = 14

// vmEVC is what a VM is masked by.
type vmEVC struct {
	masks    []types.HostFeatureMask
	complete bool
}

// processorOf is what a host has.
func (s *Sim) processorOf(host types.ManagedObjectReference) *cpus.Processor {
	s.evc.mu.Lock()
	defer s.evc.mu.Unlock()
	if p := s.evc.processors[host]; p != nil {
		return p
	}
	p, _ := cpus.Named(cpus.Default)
	return p
}

// setProcessor gives a host a processor, and tells of it where hosts do.
func (s *Sim) setProcessor(host *simulator.HostSystem, processor *cpus.Processor) {
	s.evc.mu.Lock()
	s.evc.processors[host.Self] = processor
	s.evc.mu.Unlock()
	family, model, stepping := processor.Signature()
	hardware := *host.Hardware
	hardware.CpuFeature = processor.CPUID()
	hardware.CpuPkg = make([]types.HostCpuPackage, len(host.Hardware.CpuPkg))
	for i, pkg := range host.Hardware.CpuPkg {
		pkg.Vendor, pkg.Hz, pkg.Description, pkg.CpuFeature = processor.Vendor(), processor.Hz, processor.Brand, processor.CPUID()
		if !apiversion.Less(s.cfg.APIVersion, "8.0.3.0") {
			pkg.Family, pkg.Model, pkg.Stepping = family, model, stepping
		}
		hardware.CpuPkg[i] = pkg
	}
	best := ""
	if m := cpus.Max(s.cfg.APIVersion, processor.Features()); m != nil {
		best = m.Key
	}
	summary := *host.Summary.Hardware
	summary.CpuModel = processor.Brand
	spell := cpus.SpellingOf(s.cfg.APIVersion)
	changes := []types.PropertyChange{
		{Name: "hardware", Val: hardware},
		{Name: "summary.hardware", Val: summary},
		{Name: "summary.maxEVCModeKey", Val: best},
		{Name: "capability.featureCapabilitiesSupported", Val: true},
		{Name: "config.featureVersion", Val: []types.HostFeatureVersionInfo{{Key: "faultTolerance", Value: "6.0.0-6.0.0-6.0.0"}}},
		{Name: "config.featureCapability", Val: spell.Capabilities(processor.Features())},
		{Name: "config.maskedFeatureCapability", Val: spell.Capabilities(processor.Features())},
	}
	s.reg.AtomicUpdate(s.background(""), host, changes)
}

// shownBy are the features that a host shows to its VMs, in the mode of its cluster.
func (s *Sim) shownBy(host *simulator.HostSystem) cpus.Set {
	has := s.processorOf(host.Self).Features()
	ref, _ := s.ComputeOf(host.Self)
	if mode := s.evcModeOf(ref); mode != nil {
		return mode.Shown(has)
	}
	return has
}

// neededBy are the features that a VM uses: those that it found when it started.
func (s *Sim) neededBy(vm *simulator.VirtualMachine) cpus.Set {
	out := cpus.Set{}
	for _, r := range vm.Runtime.FeatureRequirement {
		out[strings.ToLower(strings.TrimPrefix(r.Key, "cpuid."))] = true
	}
	return out
}

// startFeatures are what a VM finds when it starts on its host, or the fault of a host that has less than the VM's
// masks demand.
func (s *Sim) startFeatures(vm *simulator.VirtualMachine, host *simulator.HostSystem) (cpus.Set, types.BaseMethodFault) {
	has := s.shownBy(host)
	found := has
	if own := s.evcOf(vm.Self); own != nil {
		found, _ = cpus.SpellingOf(s.cfg.APIVersion).Masked(has, own.masks, own.complete) // they were checked when they came
	}
	if missing := found.Without(has); len(missing) > 0 {
		return nil, s.requirementsNotMet(missing, &vm.Self, &host.Self)
	}
	return found.Guest(), nil
}

// moveFault refuses to move a running VM to a host that shows less than it uses.
func (s *Sim) moveFault(vm *simulator.VirtualMachine, to *types.ManagedObjectReference) types.BaseMethodFault {
	if to == nil || vm.Runtime.PowerState == poweredOff || s.Host(*to) == nil {
		return nil
	}
	if missing := s.neededBy(vm).Without(s.shownBy(s.Host(*to))); len(missing) > 0 {
		return s.requirementsNotMet(missing, &vm.Self, to)
	}
	return nil
}

func (s *Sim) evcOf(vm types.ManagedObjectReference) *vmEVC { return s.vms.get(vm).evc }

// fillFeatures writes what a VM tells of its features, for its power state. The caller holds the VM's lock, or nobody else
// knows the VM yet.
func (s *Sim) fillFeatures(vm *simulator.VirtualMachine, host *simulator.HostSystem) {
	rt := &vm.Runtime
	own := s.evcOf(vm.Self)
	rt.FeatureMask = nil
	if own != nil {
		rt.FeatureMask = own.masks
	}
	spell := cpus.SpellingOf(s.cfg.APIVersion)
	var needed cpus.Set
	switch {
	case rt.PowerState != poweredOff && host != nil:
		needed, _ = s.startFeatures(vm, host)
	case own != nil:
		all, _ := spell.Masked(cpus.Set{}, own.masks, own.complete)
		needed = all.Guest()
	}
	rt.OfflineFeatureRequirement = []types.VirtualMachineFeatureRequirement{{
		Key: spell.Requirements(cpus.Set{"lm": true})[0].Key, FeatureName: spell.Requirements(cpus.Set{"lm": true})[0].Key, Value: "Num:Min:1",
	}}
	rt.FeatureRequirement, rt.MinRequiredEVCModeKey = nil, ""
	if rt.PowerState != poweredOff {
		rt.FeatureRequirement = s.requirements(needed)
	}
	if least := cpus.Least(s.cfg.APIVersion, needed); needed != nil && least != nil {
		rt.MinRequiredEVCModeKey = least.Key
	}
	vm.Capability.PerVmEvcSupported = types.NewBool(s.perVMEVC(vm))
	vm.Summary.Runtime = *rt
}

// requirements are shared by the thousands of VMs that need the same.
func (s *Sim) requirements(needed cpus.Set) []types.VirtualMachineFeatureRequirement {
	made := cpus.SpellingOf(s.cfg.APIVersion).Requirements(needed)
	var key strings.Builder
	for _, r := range made {
		key.WriteString(r.Key)
	}
	s.evc.mu.Lock()
	defer s.evc.mu.Unlock()
	if known, ok := s.evc.needs[key.String()]; ok {
		return known
	}
	s.evc.needs[key.String()] = made
	return made
}

func (s *Sim) perVMEVC(vm *simulator.VirtualMachine) bool {
	n, err := strconv.Atoi(strings.TrimPrefix(vm.Config.Version, "vmx-"))
	return err == nil && n >= perVMEVC && !apiversion.Less(s.cfg.APIVersion, apiversion.PerVMEVCSince)
}

// updateFeatures is fillFeatures for a VM that others know. The caller holds the VM's lock.
func (s *Sim) updateFeatures(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	changed := *vm
	s.fillFeatures(&changed, s.HostOf(vm))
	rt := &changed.Runtime
	ctx.Update(vm, []types.PropertyChange{
		{Name: "runtime.featureMask", Val: rt.FeatureMask}, {Name: "summary.runtime.featureMask", Val: rt.FeatureMask},
		{Name: "runtime.featureRequirement", Val: rt.FeatureRequirement}, {Name: "summary.runtime.featureRequirement", Val: rt.FeatureRequirement},
		{Name: "runtime.offlineFeatureRequirement", Val: rt.OfflineFeatureRequirement},
		{Name: "runtime.minRequiredEVCModeKey", Val: rt.MinRequiredEVCModeKey},
		{Name: "summary.runtime.minRequiredEVCModeKey", Val: rt.MinRequiredEVCModeKey},
		{Name: "capability.perVmEvcSupported", Val: s.perVMEVC(vm)},
	})
}

// ApplyEvcModeVMTask gives a VM that is off masks of its own, or takes them away.
func (sh *vmShim) ApplyEvcModeVMTask(ctx *simulator.Context, req *types.ApplyEvcModeVM_Task) soap.HasFault {
	s := sh.s
	complete := req.CompleteMasks == nil || *req.CompleteMasks
	task := sh.vmTask(ctx, req.This, "applyEvcMode", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		switch {
		case vm.Config.Template || !s.perVMEVC(vm):
			return &types.NotSupported{}
		case vm.Runtime.PowerState != poweredOff:
			return wrongPower(vm, poweredOff)
		}
		if _, err := cpus.SpellingOf(s.cfg.APIVersion).Masked(cpus.Set{}, req.Mask, complete); err != nil {
			return faults.Invalid("mask")
		}
		s.vms.with(vm.Self, func(st *vmState) {
			st.evc = nil
			if len(req.Mask) > 0 {
				st.evc = &vmEVC{req.Mask, complete}
			}
		})
		s.updateFeatures(ctx, vm)
		return nil
	})
	return &methods.ApplyEvcModeVM_TaskBody{Res: &types.ApplyEvcModeVM_TaskResponse{Returnval: task}}
}
