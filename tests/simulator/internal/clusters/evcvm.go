// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clusters

import (
	"strconv"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/core"
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

// ProcessorOf is what a host has.
func (s *Clusters) ProcessorOf(host types.ManagedObjectReference) *cpus.Processor {
	s.evc.mu.Lock()
	defer s.evc.mu.Unlock()
	if p := s.evc.processors[host]; p != nil {
		return p
	}
	p, _ := cpus.Named(cpus.Default)
	return p
}

// SetProcessor gives a host a processor, and tells of it where hosts do.
func (s *Clusters) SetProcessor(host *simulator.HostSystem, processor *cpus.Processor) {
	s.evc.mu.Lock()
	s.evc.processors[host.Self] = processor
	s.evc.mu.Unlock()
	family, model, stepping := processor.Signature()
	hardware := *host.Hardware
	hardware.CpuFeature = processor.CPUID()
	hardware.CpuPkg = make([]types.HostCpuPackage, len(host.Hardware.CpuPkg))
	for i, pkg := range host.Hardware.CpuPkg {
		pkg.Vendor, pkg.Hz, pkg.Description, pkg.CpuFeature = processor.Vendor(), processor.Hz, processor.Brand, processor.CPUID()
		if !apiversion.Less(s.Cfg.APIVersion, "8.0.3.0") {
			pkg.Family, pkg.Model, pkg.Stepping = family, model, stepping
		}
		hardware.CpuPkg[i] = pkg
	}
	best := ""
	if m := cpus.Max(s.Cfg.APIVersion, processor.Features()); m != nil {
		best = m.Key
	}
	summary := *host.Summary.Hardware
	summary.CpuModel = processor.Brand
	spell := cpus.SpellingOf(s.Cfg.APIVersion)
	changes := []types.PropertyChange{
		{Name: "hardware", Val: hardware},
		{Name: "summary.hardware", Val: summary},
		{Name: "summary.maxEVCModeKey", Val: best},
		{Name: "capability.featureCapabilitiesSupported", Val: true},
		{Name: "config.featureVersion", Val: []types.HostFeatureVersionInfo{{Key: "faultTolerance", Value: "6.0.0-6.0.0-6.0.0"}}},
		{Name: "config.featureCapability", Val: spell.Capabilities(processor.Features())},
		{Name: "config.maskedFeatureCapability", Val: spell.Capabilities(processor.Features())},
	}
	s.Reg.AtomicUpdate(s.Background(""), host, changes)
}

// shownBy are the features that a host shows to its VMs, in the mode of its cluster.
func (s *Clusters) shownBy(host *simulator.HostSystem) cpus.Set {
	has := s.ProcessorOf(host.Self).Features()
	ref, _ := s.ComputeOf(host.Self)
	if mode := s.ModeOf(ref); mode != nil {
		return mode.Shown(has)
	}
	return has
}

// neededBy are the features that a VM uses: those that it found when it started.
func (s *Clusters) neededBy(vm *simulator.VirtualMachine) cpus.Set {
	out := cpus.Set{}
	for _, r := range vm.Runtime.FeatureRequirement {
		out[strings.ToLower(strings.TrimPrefix(r.Key, "cpuid."))] = true
	}
	return out
}

// StartFeatures are what a VM finds when it starts on its host, or the fault of a host that has less than the VM's
// masks demand.
func (s *Clusters) StartFeatures(vm *simulator.VirtualMachine, host *simulator.HostSystem) (cpus.Set, types.BaseMethodFault) {
	has := s.shownBy(host)
	found := has
	if own := s.evcOf(vm.Self); own != nil {
		found, _ = cpus.SpellingOf(s.Cfg.APIVersion).Masked(has, own.masks, own.complete) // they were checked when they came
	}
	if missing := found.Without(has); len(missing) > 0 {
		return nil, s.requirementsNotMet(missing, &vm.Self, &host.Self)
	}
	return found.Guest(), nil
}

// MoveFault refuses to move a running VM to a host that shows less than it uses.
func (s *Clusters) MoveFault(vm *simulator.VirtualMachine, to *types.ManagedObjectReference) types.BaseMethodFault {
	if to == nil || vm.Runtime.PowerState == core.PoweredOff || s.Host(*to) == nil {
		return nil
	}
	if missing := s.neededBy(vm).Without(s.shownBy(s.Host(*to))); len(missing) > 0 {
		return s.requirementsNotMet(missing, &vm.Self, to)
	}
	return nil
}

func (s *Clusters) evcOf(vm types.ManagedObjectReference) *vmEVC { return s.own.Get(vm) }

// FillFeatures writes what a VM tells of its features, for its power state. The caller holds the VM's lock, or nobody else
// knows the VM yet.
func (s *Clusters) FillFeatures(vm *simulator.VirtualMachine, host *simulator.HostSystem) {
	rt := &vm.Runtime
	own := s.evcOf(vm.Self)
	rt.FeatureMask = nil
	if own != nil {
		rt.FeatureMask = own.masks
	}
	lm := cpus.SpellingOf(s.Cfg.APIVersion).Requirements(cpus.Set{"lm": true})[0].Key
	rt.OfflineFeatureRequirement = []types.VirtualMachineFeatureRequirement{{Key: lm, FeatureName: lm, Value: "Num:Min:1"}}
	rt.FeatureRequirement, rt.MinRequiredEVCModeKey = nil, ""
	switch {
	case rt.PowerState != core.PoweredOff && host != nil:
		uses := s.usesOn(vm, host, own)
		rt.FeatureRequirement, rt.MinRequiredEVCModeKey = uses.features, uses.least
	case own != nil:
		all, _ := cpus.SpellingOf(s.Cfg.APIVersion).Masked(cpus.Set{}, own.masks, own.complete)
		rt.MinRequiredEVCModeKey = s.usesOf(all.Guest()).least
	}
	vm.Capability.PerVmEvcSupported = types.NewBool(s.perVMEVC(vm))
	vm.Summary.Runtime = *rt
}

// uses is what a running VM tells of the features that it found.
type uses struct {
	features []types.VirtualMachineFeatureRequirement
	least    string
}

// usesOn is what a VM finds on a host. The thousands of VMs without a mode of their own find the same on hosts that are alike.
func (s *Clusters) usesOn(vm *simulator.VirtualMachine, host *simulator.HostSystem, own *vmEVC) uses {
	if own != nil {
		found, _ := s.StartFeatures(vm, host)
		return s.usesOf(found)
	}
	key := s.ProcessorOf(host.Self).Name
	cluster, _ := s.ComputeOf(host.Self)
	if mode := s.ModeOf(cluster); mode != nil {
		key += " " + mode.Key
	}
	s.evc.mu.Lock()
	known, ok := s.evc.uses[key]
	s.evc.mu.Unlock()
	if !ok {
		known = s.usesOf(s.shownBy(host).Guest())
		s.evc.mu.Lock()
		s.evc.uses[key] = known
		s.evc.mu.Unlock()
	}
	return known
}

func (s *Clusters) usesOf(found cpus.Set) uses {
	out := uses{features: cpus.SpellingOf(s.Cfg.APIVersion).Requirements(found)}
	if least := cpus.Least(s.Cfg.APIVersion, found); least != nil {
		out.least = least.Key
	}
	return out
}

func (s *Clusters) perVMEVC(vm *simulator.VirtualMachine) bool {
	n, err := strconv.Atoi(strings.TrimPrefix(vm.Config.Version, "vmx-"))
	return err == nil && n >= perVMEVC && !apiversion.Less(s.Cfg.APIVersion, apiversion.PerVMEVCSince)
}

// UpdateFeatures is FillFeatures for a VM that others know. The caller holds the VM's lock.
func (s *Clusters) UpdateFeatures(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	changed := *vm
	s.FillFeatures(&changed, s.HostOf(vm))
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
func (sh *VMCalls) ApplyEvcModeVMTask(ctx *simulator.Context, req *types.ApplyEvcModeVM_Task) soap.HasFault {
	s := sh.S
	complete := req.CompleteMasks == nil || *req.CompleteMasks
	task := sh.S.Tasks.OnVM(ctx, req.This, "applyEvcMode", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		switch {
		case vm.Config.Template || !s.perVMEVC(vm):
			return &types.NotSupported{}
		case vm.Runtime.PowerState != core.PoweredOff:
			return core.WrongPower(vm, core.PoweredOff)
		}
		if _, err := cpus.SpellingOf(s.Cfg.APIVersion).Masked(cpus.Set{}, req.Mask, complete); err != nil {
			return faults.Invalid("mask")
		}
		s.own.With(vm.Self, func(own **vmEVC) {
			*own = nil
			if len(req.Mask) > 0 {
				*own = &vmEVC{req.Mask, complete}
			}
		})
		s.UpdateFeatures(ctx, vm)
		return nil
	})
	return &methods.ApplyEvcModeVM_TaskBody{Res: &types.ApplyEvcModeVM_TaskResponse{Returnval: task}}
}
