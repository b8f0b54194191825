// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/cpus"
	"vforge.vsphere/simulator/internal/lookup"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/vhardware"
)

// vmRequest is what POST /vms makes. Places are inventory paths or names; what is
// left out is as for golden-parent.
type vmRequest struct {
	Name        string               `json:"name"`
	Folder      string               `json:"folder"`
	Datacenter  string               `json:"datacenter"`
	Host        string               `json:"host"`
	Pool        string               `json:"pool"`
	Datastore   string               `json:"datastore"`
	Networks    []string             `json:"networks"`
	On          *bool                `json:"on"`
	Template    bool                 `json:"template"`
	ExtraConfig map[string]string    `json:"extra_config"`
	Disks       []vhardware.DiskSpec `json:"disks"`
	Hardware    string               `json:"hardware"`
	Connection  string               `json:"connection"`
}

func (s *Sim) postVM(r *http.Request) (any, error) {
	var req vmRequest
	if err := decode(r, &req); err != nil {
		return nil, err
	}
	if req.Name == "" {
		return nil, badRequest(errors.New(`"name" is needed`))
	}
	spec, err := s.vmSpecFor(&req)
	if err != nil {
		return nil, err
	}
	s.creating.Lock()
	defer s.creating.Unlock()
	if holder := s.holder(spec.folder, spec.name); holder != nil {
		return nil, conflict(fmt.Errorf("the folder has a %s named %q", holder.Type, req.Name))
	}
	if req.Connection != "" {
		return s.addLostVM(spec, types.VirtualMachineConnectionState(req.Connection))
	}
	vm, err := s.addVM(s.background(""), spec)
	if err != nil {
		return nil, err
	}
	if spec.on {
		s.reportGuest(vm.Self, 0)
	}
	return s.view(vm), nil
}

// addLostVM makes a VM whose files vCenter does not reach: it has a name, a host and a power state, and
// no configuration. The caller holds Sim.creating.
func (s *Sim) addLostVM(spec vmSpec, state types.VirtualMachineConnectionState) (any, error) {
	switch state {
	case types.VirtualMachineConnectionStateInaccessible,
		types.VirtualMachineConnectionStateInvalid,
		types.VirtualMachineConnectionStateOrphaned:
	default:
		return nil, badRequest(fmt.Errorf("%q is no state of a VM that cannot be reached", state))
	}
	key := naming.Child{Folder: spec.folder, Name: spec.name}
	lost := s.coming(s.announceVM(s.background(""), key, types.ManagedObjectReference{}))
	lost.Runtime.ConnectionState, lost.Runtime.Host = state, &spec.host
	return map[string]any{"name": spec.name, "moid": lost.Self.Value}, nil
}

func (s *Sim) vmSpecFor(req *vmRequest) (vmSpec, error) {
	var spec vmSpec
	site, err := s.siteNamed(req.Datacenter)
	if err != nil {
		return spec, err
	}
	spec = s.spread(site, 0, req.Name)
	spec.folder = site.folders[0]
	spec.on, spec.template = !req.Template, req.Template
	if req.On != nil {
		spec.on = *req.On
	}
	if req.Host != "" {
		host, err := s.named("HostSystem", req.Host)
		if err != nil {
			return spec, err
		}
		spec.host = host.Reference()
		cr, _ := s.ComputeOf(spec.host)
		for i, c := range site.clusters {
			if c.Self == cr {
				spec.pool = site.pools[i][0]
			}
		}
	}
	for _, place := range []struct {
		kind, name string
		into       *types.ManagedObjectReference
	}{{"Folder", req.Folder, &spec.folder}, {"ResourcePool", req.Pool, &spec.pool}} {
		if place.name == "" {
			continue
		}
		e, err := s.named(place.kind, place.name)
		if err != nil {
			return spec, err
		}
		*place.into = e.Reference()
	}
	if req.Datastore != "" {
		ds, err := s.named("Datastore", req.Datastore)
		if err != nil {
			return spec, err
		}
		spec.datastore = ds.(*simulator.Datastore)
	}
	if req.Disks != nil {
		spec.disks = req.Disks
	}
	if len(spec.disks) > vhardware.MaxDisks {
		return spec, badRequest(fmt.Errorf("%d disks: at most %d are possible", len(spec.disks), vhardware.MaxDisks))
	}
	for i := range spec.disks {
		if err := spec.disks[i].Check(); err != nil {
			return spec, badRequest(err)
		}
	}
	spec.hardware = req.Hardware
	for k, v := range req.ExtraConfig {
		spec.extra = append(spec.extra, &types.OptionValue{Key: k, Value: v})
	}
	if req.Networks == nil {
		return spec, nil
	}
	spec.networks, err = pickNetworks(site, req.Networks)
	return spec, err
}

func pickNetworks(st *site, names []string) ([]lookup.Network, error) {
	out := []lookup.Network{}
	for _, name := range names {
		found := false
		for _, net := range st.networks {
			if net.Name == name {
				out, found = append(out, net), true
				break
			}
		}
		if !found {
			return nil, noSuch("network", name)
		}
	}
	return out, nil
}

func (s *Sim) siteNamed(name string) (*site, error) {
	for _, st := range s.layoutSites {
		if name == "" || st.dc.Name == name {
			return st, nil
		}
	}
	return nil, noSuch("datacenter", name)
}

// named finds an entity by inventory path, managed object id or name.
func (s *Sim) named(kind, name string) (mo.Entity, error) {
	found := s.entities(kind, name)
	if len(found) == 1 {
		return found[0], nil
	}
	if len(found) > 1 {
		return nil, conflict(fmt.Errorf("%d objects are named %q: use a path", len(found), name))
	}
	return nil, noSuch(kind, name)
}

func (s *Sim) postHost(r *http.Request) (any, error) {
	e, err := s.named("HostSystem", r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	var body struct {
		Maintenance *bool  `json:"maintenance"`
		Processor   string `json:"processor"`
		Connection  string `json:"connection"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if body.Maintenance == nil && body.Processor == "" && body.Connection == "" {
		return nil, badRequest(errors.New(`"maintenance", "processor" or "connection" is needed`))
	}
	host := e.(*simulator.HostSystem)
	if body.Processor != "" {
		if err := s.changeProcessor(host, body.Processor); err != nil {
			return nil, err
		}
	}
	var changes []types.PropertyChange
	if on := body.Maintenance; on != nil {
		changes = append(changes, types.PropertyChange{Name: "runtime.inMaintenanceMode", Val: *on},
			types.PropertyChange{Name: "summary.runtime.inMaintenanceMode", Val: *on})
	}
	if body.Connection != "" {
		state := types.HostSystemConnectionState(body.Connection)
		if !slices.Contains(state.Values(), state) {
			return nil, badRequest(fmt.Errorf(`"connection" is one of %v`, state.Values()))
		}
		changes = append(changes, types.PropertyChange{Name: "runtime.connectionState", Val: state},
			types.PropertyChange{Name: "summary.runtime.connectionState", Val: state})
	}
	s.reg.AtomicUpdate(s.background(""), host, changes)
	return map[string]any{"name": host.Name, "maintenance": host.Runtime.InMaintenanceMode, "processor": s.processorOf(host.Self).Name}, nil
}

// changeProcessor gives a host another processor. VMs that run there found its features when they started. A cluster keeps
// the mode that it has, which the processor has to fit.
func (s *Sim) changeProcessor(host *simulator.HostSystem, name string) error {
	processor, err := cpus.Named(name)
	if err != nil {
		return badRequest(err)
	}
	cluster, _ := s.ComputeOf(host.Self)
	if mode := s.evcModeOf(cluster); mode != nil {
		return conflict(fmt.Errorf("the cluster of %s has the EVC mode %s", host.Name, mode.Key))
	}
	s.setProcessor(host, processor)
	ctx := s.background("")
	for _, ref := range s.children(ctx, host.Self) {
		if vm := s.VM(ref); vm != nil {
			ctx.WithLock(vm, func() { s.updateFeatures(ctx, vm) })
		}
	}
	return nil
}
