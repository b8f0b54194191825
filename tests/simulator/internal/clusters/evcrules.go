// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clusters

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/cpus"
	"vforge.vsphere/simulator/internal/faults"
)

// evcProblems are what stands in the way of a mode for a cluster, each with its hosts.
func (s *Clusters) evcProblems(cluster *simulator.ClusterComputeResource, mode *cpus.Mode) []types.ClusterEVCManagerCheckResult {
	hosts := s.hostsOf(cluster)
	problems := s.disconnected(cluster, hosts, mode)
	vendors := map[string]bool{}
	for _, h := range hosts {
		vendors[s.ProcessorOf(h.Self).Vendor()] = true
	}
	switch {
	case len(vendors) > 1:
		return s.asResults(append(problems, problem{&types.HeterogenousHostsBlockingEVC{}, hosts}), mode)
	case len(vendors) == 1 && !vendors[mode.Vendor]:
		other := cpus.Intel
		if mode.Vendor == cpus.Intel {
			other = cpus.AMD
		}
		return s.asResults(append(problems, problem{&types.EVCModeIllegalByVendor{ClusterCPUVendor: other, ModeCPUVendor: mode.Vendor}, hosts}), mode)
	}
	problems = append(problems, s.unfit(hosts, mode)...)
	problems = append(problems, s.activeVMs(cluster, hosts, mode)...)
	return s.asResults(problems, mode)
}

// problem is a fault and the hosts that cause it.
type problem struct {
	fault types.BaseMethodFault
	hosts []*simulator.HostSystem
}

func (s *Clusters) asResults(problems []problem, mode *cpus.Mode) []types.ClusterEVCManagerCheckResult {
	var out []types.ClusterEVCManagerCheckResult
	for _, p := range problems {
		refs, _ := named(p.hosts)
		out = append(out, types.ClusterEVCManagerCheckResult{EvcModeKey: mode.Key, Error: *faults.Localized(p.fault), Host: refs})
	}
	return out
}

func named(hosts []*simulator.HostSystem) (refs []types.ManagedObjectReference, names []string) {
	for _, h := range hosts {
		refs, names = append(refs, h.Self), append(names, h.Name)
	}
	return refs, names
}

func (s *Clusters) hostsOf(cluster *simulator.ClusterComputeResource) []*simulator.HostSystem {
	var out []*simulator.HostSystem
	for _, ref := range cluster.Host {
		if h := s.Host(ref); h != nil {
			out = append(out, h)
		}
	}
	return out
}

// disconnected hosts block EVC when it is enabled or lowered.
func (s *Clusters) disconnected(cluster *simulator.ClusterComputeResource, hosts []*simulator.HostSystem, mode *cpus.Mode) []problem {
	now := s.ModeOf(cluster.Self)
	if now != nil && mode.Baseline().Has(now.Baseline()) {
		return nil
	}
	var out []*simulator.HostSystem
	for _, h := range hosts {
		if h.Runtime.ConnectionState != types.HostSystemConnectionStateConnected {
			out = append(out, h)
		}
	}
	if out == nil {
		return nil
	}
	return []problem{{&types.DisconnectedHostsBlockingEVC{}, out}}
}

// unfit are hosts that can have no mode, and those that cannot have this one.
func (s *Clusters) unfit(hosts []*simulator.HostSystem, mode *cpus.Mode) (out []problem) {
	var never, notThis []*simulator.HostSystem
	var lacking []types.LocalizedMethodFault
	for _, h := range hosts {
		has := s.ProcessorOf(h.Self).Features()
		missing := mode.Baseline().Without(has)
		switch {
		case cpus.Max(s.Cfg.APIVersion, has) == nil:
			never = append(never, h)
		case len(missing) > 0:
			notThis = append(notThis, h)
			lacking = append(lacking, *faults.Localized(s.requirementsNotMet(missing, nil, &h.Self)))
		}
	}
	if never != nil {
		refs, names := named(never)
		out = append(out, problem{&types.EVCUnsupportedByHostHardware{Host: refs, HostName: names}, never})
	}
	if notThis != nil {
		refs, names := named(notThis)
		fault := &types.EVCModeUnsupportedByHosts{EvcMode: mode.Key, Host: refs, HostName: names}
		fault.Faults = lacking
		out = append(out, problem{fault, notThis})
	}
	return out
}

// activeVMs are hosts with powered-on or suspended VMs that use more than the mode would leave them. The reference speaks of
// any such VM on a host that shows more than the mode has; since VMs may have a mode of their own, vCenter looks at
// what each of them needs. A cluster can be told to go by the reference.
func (s *Clusters) activeVMs(cluster *simulator.ClusterComputeResource, hosts []*simulator.HostSystem, mode *cpus.Mode) []problem {
	var blocking []*simulator.HostSystem
	var lacking []types.LocalizedMethodFault
	ctx := s.Background("")
	s.evc.mu.Lock()
	byHost := s.evc.byHost[cluster.Self]
	s.evc.mu.Unlock()
	for _, h := range hosts {
		if len(s.shownBy(h).Guest().Without(mode.Baseline())) == 0 {
			continue // it shows nothing that the mode would hide
		}
		blocked := false
		for _, ref := range s.Children(ctx, h.Self) {
			active, needed := s.activeNeeds(ctx, ref)
			if !active {
				continue
			}
			missing := needed.Without(mode.Baseline())
			if len(missing) > 0 {
				lacking = append(lacking, *faults.Localized(s.requirementsNotMet(missing, &ref, &h.Self)))
			}
			blocked = blocked || len(missing) > 0 || byHost
		}
		if blocked {
			blocking = append(blocking, h)
		}
	}
	if blocking == nil {
		return nil
	}
	refs, names := named(blocking)
	fault := &types.ActiveVMsBlockingEVC{EvcMode: mode.Key, Host: refs, HostName: names}
	fault.Faults = lacking
	return []problem{{fault, blocking}}
}

// activeNeeds tells if a VM is on or suspended, and what it uses then.
func (s *Clusters) activeNeeds(ctx *simulator.Context, ref types.ManagedObjectReference) (active bool, needed cpus.Set) {
	vm := s.VM(ref)
	if vm == nil {
		return false, nil // it went meanwhile
	}
	ctx.WithLock(vm, func() { active, needed = vm.Runtime.PowerState != core.PoweredOff, s.neededBy(vm) })
	return active, needed
}

func (s *Clusters) requirementsNotMet(missing cpus.Set, vm, host *types.ManagedObjectReference) types.BaseMethodFault {
	return &types.FeatureRequirementsNotMet{
		FeatureRequirement: cpus.SpellingOf(s.Cfg.APIVersion).Requirements(missing), Vm: vm, Host: host,
	}
}

// CheckAddHostEvcTask tells if a host that this vCenter has already, elsewhere, could come into a cluster with EVC.
func (sh *evcShim) CheckAddHostEvcTask(ctx *simulator.Context, req *types.CheckAddHostEvc_Task) soap.HasFault {
	s := sh.S
	cluster := s.evcCluster(req.This)
	task := s.Tasks.Run(ctx, cluster.Self, "checkAddHostEvc", func(*simulator.Context) (types.AnyType, types.BaseMethodFault) {
		known := s.Entities("HostSystem", req.CnxSpec.HostName)
		if len(known) != 1 {
			return nil, &types.NoHost{Name: req.CnxSpec.HostName}
		}
		found := types.ArrayOfClusterEVCManagerCheckResult{}
		mode := s.ModeOf(cluster.Self)
		if mode == nil {
			return found, nil
		}
		host := known[0].(*simulator.HostSystem)
		if fault := s.admission(host, mode); fault != nil {
			found.ClusterEVCManagerCheckResult = s.asResults([]problem{{fault, []*simulator.HostSystem{host}}}, mode)
		}
		return found, nil
	})
	return &methods.CheckAddHostEvc_TaskBody{Res: &types.CheckAddHostEvc_TaskResponse{Returnval: task}}
}

// admission is why a host may not come into a cluster of a mode.
func (s *Clusters) admission(host *simulator.HostSystem, mode *cpus.Mode) types.BaseMethodFault {
	processor := s.ProcessorOf(host.Self)
	has := processor.Features()
	switch {
	case host.Runtime.ConnectionState != types.HostSystemConnectionStateConnected:
		return &types.EVCAdmissionFailedHostDisconnected{}
	case processor.Vendor() != mode.Vendor:
		return &types.EVCAdmissionFailedCPUVendor{ClusterCPUVendor: mode.Vendor, HostCPUVendor: processor.Vendor()}
	case cpus.Max(s.Cfg.APIVersion, has) == nil:
		return &types.EVCAdmissionFailedCPUModel{}
	case !has.Has(mode.Baseline()):
		return &types.EVCAdmissionFailedCPUModelForMode{CurrentEVCModeKey: mode.Key}
	}
	ctx := s.Background("")
	for _, ref := range s.Children(ctx, host.Self) {
		if active, needed := s.activeNeeds(ctx, ref); active && !mode.Baseline().Has(needed) {
			return &types.EVCAdmissionFailedVmActive{}
		}
	}
	return nil
}
