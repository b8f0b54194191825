// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"

	service "github.com/vmware/govmomi/pbm"
	"github.com/vmware/govmomi/pbm/methods"
	pbmsim "github.com/vmware/govmomi/pbm/simulator"
	pbm "github.com/vmware/govmomi/pbm/types"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"

	"vforge.vsphere/simulator/internal/clock"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/wire"
)

// policyTable is what storage policies allow: moids of datastores by the policy's ID. One
// that is not in it allows every datastore.
type policyTable struct {
	mu       sync.Mutex
	allowed  map[string][]string
	profiles *pbmsim.ProfileManager
	of       map[string]string // what disks have, by "vm-42:2000", as PbmServerObjectRef names them
}

// vcsimsPolicies guards the policies that vcsim offers: all simulators of a process share them, and
// each that is made writes their names anew.
var vcsimsPolicies sync.RWMutex

// policyManager knows which policies disks have; vcsim's own says that none has one.
type policyManager struct {
	*pbmsim.ProfileManager
	s *Sim
}

// PbmQueryAssociatedProfiles tells which policies some disks have.
func (p *policyManager) PbmQueryAssociatedProfiles(req *pbm.PbmQueryAssociatedProfiles) soap.HasFault {
	res := new(pbm.PbmQueryAssociatedProfilesResponse)
	t := &p.s.policies
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

// notePolicies keeps the policies of disks that a reconfiguration has put in, and forgets those of disks that it took off.
func (s *Sim) notePolicies(vm types.ManagedObjectReference, changes []types.BaseVirtualDeviceConfigSpec, keys map[int32]int32) {
	t := &s.policies
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
		if id := profileOf(change.Profile); id != "" {
			if t.of == nil {
				t.of = make(map[string]string)
			}
			t.of[name] = id
		}
	}
}

// unknownPolicy refuses devices with a storage policy that there is not.
func (s *Sim) unknownPolicy(changes []types.BaseVirtualDeviceConfigSpec) types.BaseMethodFault {
	for _, c := range changes {
		if id := profileOf(c.GetVirtualDeviceConfigSpec().Profile); id != "" && !s.policies.known(id) {
			return faults.Invalid("configSpec.deviceChange.profile")
		}
	}
	return nil
}

// policySolver answers which datastores a policy allows; vcsim's own allows all.
type policySolver struct {
	pbmsim.PlacementSolver
	s *Sim
}

// PbmCheckCompatibility tells for each datastore whether a policy allows it.
func (p *policySolver) PbmCheckCompatibility(_ *simulator.Context, req *pbm.PbmCheckCompatibility) soap.HasFault {
	res := new(pbm.PbmCheckCompatibilityResponse)
	for _, e := range p.s.reg.All("Datastore") {
		ref := e.Reference()
		result := pbm.PbmPlacementCompatibilityResult{Hub: pbm.PbmPlacementHub{HubType: ref.Type, HubId: ref.Value}}
		if !p.s.policyAllows(req.Profile.UniqueId, ref.Value) {
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
func (t *policyTable) known(policy string) bool {
	asked := &pbm.PbmRetrieveContent{ProfileIds: []pbm.PbmProfileId{{UniqueId: policy}}}
	return t.profiles.PbmRetrieveContent(asked).Fault() == nil
}

// policyAllows says whether a policy lets a disk lie on a datastore.
func (s *Sim) policyAllows(policy, datastore string) bool {
	s.policies.mu.Lock()
	defer s.policies.mu.Unlock()
	allowed, limited := s.policies.allowed[policy]
	return !limited || slices.Contains(allowed, datastore)
}

// installPolicies adds the service for storage policies, with vcsim's profiles.
func (s *Sim) installPolicies() {
	vcsimsPolicies.Lock()
	reg := pbmsim.New()
	vcsimsPolicies.Unlock()
	reg.Cookie = simulator.HTTPCookie // serveBeside has looked at the one in the SOAP header
	content := reg.Get(service.ServiceInstance).(*pbmsim.ServiceInstance).Content
	reg.Put(&policySolver{PlacementSolver: pbmsim.PlacementSolver{ManagedObjectReference: content.PlacementSolver}, s: s})
	s.policies.profiles = reg.Get(content.ProfileManager).(*pbmsim.ProfileManager)
	reg.Put(&policyManager{ProfileManager: s.policies.profiles, s: s})
	s.svc.RegisterSDK(reg, reg.Path+"/sdk")
}

// serveBeside answers a call of a service beside that for VMs. Its session is that of the VM service, named in
// the SOAP header; who has none lacks a privilege.
func (s *Sim) serveBeside(privilege string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { s.answerBeside(w, r, privilege) }
}

func (s *Sim) answerBeside(w http.ResponseWriter, r *http.Request, privilege string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "request body: "+err.Error(), http.StatusBadRequest)
		return
	}
	call, err := wire.Parse(body)
	if err != nil {
		wire.WriteFault(w, &types.InvalidRequest{}, err.Error())
		return
	}
	s.calls.Add(call.Method)
	clock.Sleep(r.Context(), s.latency.Of(call.Method))
	live := s.sessions.Named(sessionInHeader(body))
	if live == nil {
		wire.WriteFault(w, &types.NotAuthenticated{NoPermission: types.NoPermission{
			Object: &call.This, PrivilegeId: privilege,
		}}, "")
		return
	}
	// What is of no policy needs nothing but a session, and so does the question where things are.
	fault := s.auth.Denied(live.User, s.content().RootFolder, privilege)
	if fault != nil && privilege != "System.View" && call.This.Type != "PbmServiceInstance" {
		wire.WriteFault(w, fault, "")
		return
	}
	r.Header.Set("Cookie", soap.SessionCookieName+"="+live.Key)
	r.Body = io.NopCloser(bytes.NewReader(body))
	vcsimsPolicies.RLock()
	defer vcsimsPolicies.RUnlock()
	s.svc.ServeSDK(w, r)
}

// sessionInHeader is the vcSessionCookie of a SOAP envelope.
func sessionInHeader(body []byte) string {
	var envelope struct {
		Header struct {
			Cookie string `xml:"vcSessionCookie"`
		} `xml:"Header"`
	}
	if xml.Unmarshal(body, &envelope) != nil {
		return ""
	}
	return envelope.Header.Cookie
}

// postPolicy makes a storage policy that allows some datastores.
func (s *Sim) postPolicy(r *http.Request) (any, error) {
	var body struct {
		Name       string   `json:"name"`
		Datastores []string `json:"datastores"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if body.Name == "" {
		return nil, badRequest(errors.New(`"name" is needed`))
	}
	var allowed []string
	for _, name := range body.Datastores {
		e, err := s.named("Datastore", name)
		if err != nil {
			return nil, err
		}
		allowed = append(allowed, e.Reference().Value)
	}
	kind := pbm.PbmProfileResourceType{ResourceType: string(pbm.PbmProfileResourceTypeEnumSTORAGE)}
	made, ok := s.policies.profiles.PbmCreate(s.background(s.cfg.Username), &pbm.PbmCreate{CreateSpec: pbm.PbmCapabilityProfileCreateSpec{
		Name: body.Name, ResourceType: kind, Category: string(pbm.PbmProfileCategoryEnumREQUIREMENT),
		Constraints: &pbm.PbmCapabilitySubProfileConstraints{},
	}}).(*methods.PbmCreateBody)
	if !ok {
		return nil, badRequest(errors.New("no policy was made"))
	}
	s.policies.mu.Lock()
	defer s.policies.mu.Unlock()
	if s.policies.allowed == nil {
		s.policies.allowed = make(map[string][]string)
	}
	id := made.Res.Returnval.UniqueId
	s.policies.allowed[id] = allowed
	return map[string]string{"id": id}, nil
}
