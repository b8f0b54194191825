// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clusters

import (
	"slices"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/cpus"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/shim"
)

// evcTable is what is known of processors and EVC.
type evcTable struct {
	changes    sync.Mutex // held while a cluster's mode is checked and set
	mu         sync.Mutex
	processors map[types.ManagedObjectReference]*cpus.Processor
	modes      map[types.ManagedObjectReference]*cpus.Mode // of clusters
	byHost     map[types.ManagedObjectReference]bool       // clusters that go by the hosts of running VMs alone
	uses       map[string]uses                             // by processor and mode
}

const editCluster = "Host.Inventory.EditCluster"

// graphicsModes are the EVC graphics modes, by key.
var graphicsModes = []struct{ key, label string }{
	{"baseline", "Baseline Graphics"},
	{"d3d11", "D3D 11.0 class features"},
}

// Install tells of the EVC modes, gives each cluster its manager and each host its processor.
func (s *Clusters) Install() error {
	s.evc.processors = make(map[types.ManagedObjectReference]*cpus.Processor)
	s.evc.modes = make(map[types.ManagedObjectReference]*cpus.Mode)
	s.evc.byHost = make(map[types.ManagedObjectReference]bool)
	s.evc.uses = make(map[string]uses)
	api, spell := s.Cfg.APIVersion, cpus.SpellingOf(s.Cfg.APIVersion)
	instance := s.Reg.Get(vim25.ServiceInstance).(*simulator.ServiceInstance)
	for _, m := range cpus.Modes(api) {
		instance.Capability.SupportedEVCMode = append(instance.Capability.SupportedEVCMode, m.API(spell))
	}
	if s.hasGraphicsModes() {
		for _, g := range graphicsModes {
			mode := types.FeatureEVCMode{}
			mode.Key, mode.Label, mode.Summary = g.key, g.label, g.label
			instance.Capability.SupportedEVCGraphicsMode = append(instance.Capability.SupportedEVCGraphicsMode, mode)
		}
	}
	for _, e := range s.Reg.All("ClusterComputeResource") {
		cluster := e.(*simulator.ClusterComputeResource)
		manager := &mo.ClusterEVCManager{ManagedCluster: cluster.Self}
		manager.Self = evcManagerOf(cluster.Self)
		manager.EvcState.SupportedEVCMode = instance.Capability.SupportedEVCMode
		s.Reg.Put(manager)
		for i, ref := range cluster.Host {
			processor, err := cpus.Named(s.Cfg.Processors[i%len(s.Cfg.Processors)])
			if err != nil {
				return err
			}
			s.SetProcessor(s.Host(ref), processor)
		}
	}
	return nil
}

func (s *Clusters) hasGraphicsModes() bool {
	return !apiversion.Less(s.Cfg.APIVersion, apiversion.GraphicsEVCSince)
}

// evcManagerOf is the EVC manager of a cluster.
func evcManagerOf(cluster types.ManagedObjectReference) types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "ClusterEVCManager", Value: "evcmanager-" + cluster.Value}
}

// clusterShim answers what vcsim's clusters do not know.
type clusterShim struct{ shim.Of[*Clusters] }

// EvcManager is the manager of a cluster's EVC. API 6.0 has it first.
func (sh *clusterShim) EvcManager(_ *simulator.Context, req *types.EvcManager) soap.HasFault {
	body := &methods.EvcManagerBody{}
	manager := evcManagerOf(req.This)
	if sh.S.Reg.Get(manager) == nil {
		body.Fault_ = faults.NotFound(req.This)
		return body
	}
	body.Res = &types.EvcManagerResponse{Returnval: &manager}
	return body
}

// evcShim is a cluster's EVC manager.
type evcShim struct{ shim.Of[*Clusters] }

// ConfigureEvcModeTask sets the mode of a cluster.
func (sh *evcShim) ConfigureEvcModeTask(ctx *simulator.Context, req *types.ConfigureEvcMode_Task) soap.HasFault {
	s := sh.S
	wanted, fault := s.wantedEVC(ctx, req.This, editCluster, req.EvcModeKey, req.EvcGraphicsModeKey)
	if fault != nil {
		return &methods.ConfigureEvcMode_TaskBody{Fault_: faults.SOAP(fault)}
	}
	task := s.Tasks.Run(ctx, wanted.cluster.Self, "configureEvcMode", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		s.evc.changes.Lock()
		defer s.evc.changes.Unlock()
		if problems := s.evcProblems(wanted.cluster, wanted.mode); len(problems) > 0 {
			return nil, problems[0].Error.Fault
		}
		s.setEVC(ctx, wanted)
		return nil, nil
	})
	return &methods.ConfigureEvcMode_TaskBody{Res: &types.ConfigureEvcMode_TaskResponse{Returnval: task}}
}

// CheckConfigureEvcModeTask tells what would stand in the way of a mode.
func (sh *evcShim) CheckConfigureEvcModeTask(ctx *simulator.Context, req *types.CheckConfigureEvcMode_Task) soap.HasFault {
	s := sh.S
	wanted, fault := s.wantedEVC(ctx, req.This, "System.View", req.EvcModeKey, req.EvcGraphicsModeKey)
	if fault != nil {
		return &methods.CheckConfigureEvcMode_TaskBody{Fault_: faults.SOAP(fault)}
	}
	task := s.Tasks.Run(ctx, wanted.cluster.Self, "checkConfigureEvcMode", func(*simulator.Context) (types.AnyType, types.BaseMethodFault) {
		return types.ArrayOfClusterEVCManagerCheckResult{ClusterEVCManagerCheckResult: s.evcProblems(wanted.cluster, wanted.mode)}, nil
	})
	return &methods.CheckConfigureEvcMode_TaskBody{Res: &types.CheckConfigureEvcMode_TaskResponse{Returnval: task}}
}

// DisableEvcModeTask ends EVC: "EVC may be disabled at any time."
func (sh *evcShim) DisableEvcModeTask(ctx *simulator.Context, req *types.DisableEvcMode_Task) soap.HasFault {
	s := sh.S
	cluster := s.evcCluster(req.This)
	if fault := s.Auth.Denied(ctx.Session.UserName, cluster.Self, editCluster); fault != nil {
		return &methods.DisableEvcMode_TaskBody{Fault_: faults.SOAP(fault)}
	}
	task := s.Tasks.Run(ctx, cluster.Self, "disableEvcMode", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		s.evc.changes.Lock()
		defer s.evc.changes.Unlock()
		s.setEVC(ctx, wantedEVC{cluster: cluster})
		return nil, nil
	})
	return &methods.DisableEvcMode_TaskBody{Res: &types.DisableEvcMode_TaskResponse{Returnval: task}}
}

// wantedEVC is what a call wants a cluster to be. Without a mode it is EVC switched off.
type wantedEVC struct {
	cluster  *simulator.ClusterComputeResource
	mode     *cpus.Mode
	graphics string
}

func (s *Clusters) evcCluster(manager types.ManagedObjectReference) *simulator.ClusterComputeResource {
	m := s.Reg.Get(manager).(*mo.ClusterEVCManager)
	return s.Reg.Get(m.ManagedCluster).(*simulator.ClusterComputeResource)
}

func (s *Clusters) wantedEVC(ctx *simulator.Context, manager types.ManagedObjectReference, privilege, key, graphics string) (wantedEVC, types.BaseMethodFault) {
	out := wantedEVC{cluster: s.evcCluster(manager), mode: cpus.ModeOf(s.Cfg.APIVersion, key), graphics: graphics}
	if privilege != "System.View" { // everybody may look
		if fault := s.Auth.Denied(ctx.Session.UserName, out.cluster.Self, privilege); fault != nil {
			return out, fault
		}
	}
	if out.mode == nil {
		return out, faults.Invalid("evcModeKey")
	}
	known := slices.ContainsFunc(graphicsModes, func(g struct{ key, label string }) bool { return g.key == graphics })
	if graphics != "" && (!known || !s.hasGraphicsModes()) {
		return out, faults.Invalid("evcGraphicsModeKey")
	}
	return out, nil
}

// ModeOf is the mode that a cluster has; nil without EVC.
func (s *Clusters) ModeOf(cluster types.ManagedObjectReference) *cpus.Mode {
	s.evc.mu.Lock()
	defer s.evc.mu.Unlock()
	return s.evc.modes[cluster]
}

// setEVC writes the mode where clusters, hosts and the manager tell of it.
func (s *Clusters) setEVC(ctx *simulator.Context, to wantedEVC) {
	s.evc.mu.Lock()
	s.evc.modes[to.cluster.Self] = to.mode
	s.evc.mu.Unlock()
	spell := cpus.SpellingOf(s.Cfg.APIVersion)
	manager := s.Reg.Get(evcManagerOf(to.cluster.Self)).(*mo.ClusterEVCManager)
	state := types.ClusterEVCManagerEVCState{SupportedEVCMode: manager.EvcState.SupportedEVCMode}
	key := ""
	if to.mode != nil {
		m := to.mode.API(spell)
		key = m.Key
		state.CurrentEVCModeKey, state.GuaranteedCPUFeatures = m.Key, m.GuaranteedCPUFeatures
		state.FeatureCapability, state.FeatureMask, state.FeatureRequirement = m.FeatureCapability, m.FeatureMask, m.FeatureRequirement
	}
	s.Reg.AtomicUpdate(ctx, manager, []types.PropertyChange{{Name: "evcState", Val: state}})
	ctx.WithLock(to.cluster, func() {
		summary := *to.cluster.Summary.(*types.ClusterComputeResourceSummary)
		summary.CurrentEVCModeKey, summary.CurrentEVCGraphicsModeKey = key, to.graphics
		ctx.Update(to.cluster, []types.PropertyChange{{Name: "summary", Val: &summary}})
	})
	for _, ref := range to.cluster.Host {
		s.Reg.AtomicUpdate(ctx, s.Host(ref), s.hostModeChanges(ref, key, to.graphics, to.mode))
	}
}

// hostModeChanges is how a host tells of the mode of its cluster.
func (s *Clusters) hostModeChanges(host types.ManagedObjectReference, key, graphics string, mode *cpus.Mode) []types.PropertyChange {
	shown := s.ProcessorOf(host).Features()
	if mode != nil {
		shown = mode.Shown(shown)
	}
	changes := []types.PropertyChange{
		{Name: "summary.currentEVCModeKey", Val: key},
		{Name: "config.maskedFeatureCapability", Val: cpus.SpellingOf(s.Cfg.APIVersion).Capabilities(shown)},
	}
	if s.hasGraphicsModes() {
		changes = append(changes, types.PropertyChange{Name: "summary.currentEVCGraphicsModeKey", Val: graphics})
	}
	return changes
}
