// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package policies

import (
	"fmt"
	"slices"
	"sync"

	service "github.com/vmware/govmomi/pbm"
	"github.com/vmware/govmomi/pbm/methods"
	pbmsim "github.com/vmware/govmomi/pbm/simulator"
	pbm "github.com/vmware/govmomi/pbm/types"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/faults"
)

// Policies are the storage policies.
type Policies struct {
	*core.Core
	table table
}

// ProfileOf is the ID of the storage policy in a request, or nothing.
func ProfileOf(specs []types.BaseVirtualMachineProfileSpec) string {
	for _, spec := range specs {
		if defined, ok := spec.(*types.VirtualMachineDefinedProfileSpec); ok {
			return defined.ProfileId
		}
	}
	return ""
}

// table is what storage policies allow: moids of datastores by the policy's ID. One
// that is not in it allows every datastore.
type table struct {
	mu       sync.Mutex
	allowed  map[string][]string
	profiles *pbmsim.ProfileManager
	of       map[string]string // what disks have, by "vm-42:2000", as PbmServerObjectRef names them
}

// VcsimsOwn guards the policies that vcsim offers: all simulators of a process share them, and
// each that is made writes their names anew.
var VcsimsOwn sync.RWMutex

// policyManager knows which policies disks have; vcsim's own says that none has one.
type policyManager struct {
	*pbmsim.ProfileManager
	s *Policies
}

// PbmQueryAssociatedProfiles tells which policies some disks have.
func (p *policyManager) PbmQueryAssociatedProfiles(req *pbm.PbmQueryAssociatedProfiles) soap.HasFault {
	res := new(pbm.PbmQueryAssociatedProfilesResponse)
	t := &p.s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, entity := range req.Entities {
		result := pbm.PbmQueryProfileResult{Object: entity}
		if id := t.of[entity.Key]; id != "" && entity.ObjectType == string(pbm.PbmObjectTypeVirtualDiskId) {
			result.ProfileId = []pbm.PbmProfileId{{UniqueId: id}}
		}
		res.Returnval = append(res.Returnval, result)
	}
	return &methods.PbmQueryAssociatedProfilesBody{Res: res}
}

// PbmRetrieveContent tells what policies are, without their names for Kubernetes. These came with 9.1.0.0 (pyVmomi's
// types), and a server sends no client what the version that it asked in has not got. vcsim sends them to all, which
// older clients cannot read.
func (p *policyManager) PbmRetrieveContent(req *pbm.PbmRetrieveContent) soap.HasFault {
	body := p.ProfileManager.PbmRetrieveContent(req)
	if answer, ok := body.(*methods.PbmRetrieveContentBody); ok && answer.Res != nil {
		for i, each := range answer.Res.Returnval {
			if profile, ok := each.(*pbm.PbmCapabilityProfile); ok {
				named := *profile // shared by all simulators of this process
				named.K8sCompliantName = ""
				answer.Res.Returnval[i] = &named
			}
		}
	}
	return body
}

// Note keeps the policies of disks that a reconfiguration has put in, and forgets those of disks that it took off.
func (s *Policies) Note(vm types.ManagedObjectReference, changes []types.BaseVirtualDeviceConfigSpec, keys map[int32]int32) {
	t := &s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range changes {
		change := c.GetVirtualDeviceConfigSpec()
		disk, ok := change.Device.(*types.VirtualDisk)
		if !ok {
			continue
		}
		key := disk.Key
		if to, added := keys[key]; added && change.Operation == types.VirtualDeviceConfigSpecOperationAdd {
			key = to
		}
		name := fmt.Sprintf("%s:%d", vm.Value, key)
		if change.Operation == types.VirtualDeviceConfigSpecOperationRemove {
			delete(t.of, name)
		}
		if id := ProfileOf(change.Profile); id != "" {
			if t.of == nil {
				t.of = make(map[string]string)
			}
			t.of[name] = id
		}
	}
}

// Unknown refuses devices with a storage policy that there is not.
func (s *Policies) Unknown(changes []types.BaseVirtualDeviceConfigSpec) types.BaseMethodFault {
	for _, c := range changes {
		if id := ProfileOf(c.GetVirtualDeviceConfigSpec().Profile); id != "" && !s.table.known(id) {
			return faults.Invalid("configSpec.deviceChange.profile")
		}
	}
	return nil
}

// policySolver answers which datastores a policy allows; vcsim's own allows all.
type policySolver struct {
	pbmsim.PlacementSolver
	s *Policies
}

// PbmCheckCompatibility tells for each datastore whether a policy allows it.
func (p *policySolver) PbmCheckCompatibility(_ *simulator.Context, req *pbm.PbmCheckCompatibility) soap.HasFault {
	res := new(pbm.PbmCheckCompatibilityResponse)
	for _, e := range p.s.Reg.All("Datastore") {
		ref := e.Reference()
		result := pbm.PbmPlacementCompatibilityResult{Hub: pbm.PbmPlacementHub{HubType: ref.Type, HubId: ref.Value}}
		if !p.s.Allows(req.Profile.UniqueId, ref.Value) {
			result.Error = append(result.Error, types.LocalizedMethodFault{
				Fault:            &pbm.PbmCompatibilityCheckFault{Hub: result.Hub},
				LocalizedMessage: "The datastore does not satisfy the policy.",
			})
		}
		res.Returnval = append(res.Returnval, result)
	}
	return &methods.PbmCheckCompatibilityBody{Res: res}
}

// known says whether there is a policy of this ID.
func (t *table) known(policy string) bool {
	asked := &pbm.PbmRetrieveContent{ProfileIds: []pbm.PbmProfileId{{UniqueId: policy}}}
	return t.profiles.PbmRetrieveContent(asked).Fault() == nil
}

// Allows says whether a policy lets a disk lie on a datastore.
func (s *Policies) Allows(policy, datastore string) bool {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	allowed, limited := s.table.allowed[policy]
	return !limited || slices.Contains(allowed, datastore)
}

// Install adds the service for storage policies, with vcsim's profiles.
func (s *Policies) Install() {
	VcsimsOwn.Lock()
	reg := pbmsim.New()
	VcsimsOwn.Unlock()
	reg.Cookie = simulator.HTTPCookie // serveBeside has looked at the one in the SOAP header
	content := reg.Get(service.ServiceInstance).(*pbmsim.ServiceInstance).Content
	reg.Put(&policySolver{PlacementSolver: pbmsim.PlacementSolver{ManagedObjectReference: content.PlacementSolver}, s: s})
	s.table.profiles = reg.Get(content.ProfileManager).(*pbmsim.ProfileManager)
	reg.Put(&policyManager{ProfileManager: s.table.profiles, s: s})
	s.Service.RegisterSDK(reg, reg.Path+"/sdk")
}
