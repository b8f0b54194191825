// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package control

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/controlhttp"
	"vforge.vsphere/simulator/internal/cpus"
	"vforge.vsphere/simulator/internal/inventory"
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

func (s *Control) postVM(r *http.Request) (any, error) {
	var req vmRequest
	if err := controlhttp.Decode(r, &req); err != nil {
		return nil, err
	}
	if req.Name == "" {
		return nil, controlhttp.BadRequest(errors.New(`"name" is needed`))
	}
	spec, err := s.vmSpecFor(&req)
	if err != nil {
		return nil, err
	}
	s.Creating.Lock()
	defer s.Creating.Unlock()
	if holder := s.Holder(spec.Folder, spec.Name); holder != nil {
		return nil, controlhttp.Conflict(fmt.Errorf("the folder has a %s named %q", holder.Type, req.Name))
	}
	if req.Connection != "" {
		return s.addLostVM(spec, types.VirtualMachineConnectionState(req.Connection))
	}
	vm, err := s.Inventory.AddVM(s.Background(""), spec)
	if err != nil {
		return nil, err
	}
	if spec.On {
		s.Guests.Report(vm.Self, 0)
	}
	return s.view(vm), nil
}

// addLostVM makes a VM whose files vCenter does not reach: it has a name, a host and a power state, and
// no configuration. The caller holds Sim.creating.
func (s *Control) addLostVM(spec inventory.VMSpec, state types.VirtualMachineConnectionState) (any, error) {
	switch state {
	case types.VirtualMachineConnectionStateInaccessible,
		types.VirtualMachineConnectionStateInvalid,
		types.VirtualMachineConnectionStateOrphaned:
	default:
		return nil, controlhttp.BadRequest(fmt.Errorf("%q is no state of a VM that cannot be reached", state))
	}
	key := naming.Child{Folder: spec.Folder, Name: spec.Name}
	lost := s.Coming(s.AnnounceVM(s.Background(""), key, types.ManagedObjectReference{}))
	lost.Runtime.ConnectionState, lost.Runtime.Host = state, &spec.Host
	return map[string]any{"name": spec.Name, "moid": lost.Self.Value}, nil
}

func (s *Control) vmSpecFor(req *vmRequest) (inventory.VMSpec, error) {
	var spec inventory.VMSpec
	site, err := s.siteNamed(req.Datacenter)
	if err != nil {
		return spec, err
	}
	spec = s.Inventory.Spread(site, 0, req.Name)
	spec.Folder = site.Folders[0]
	spec.On, spec.Template = !req.Template, req.Template
	if req.On != nil {
		spec.On = *req.On
	}
	if req.Host != "" {
		host, err := s.Named("HostSystem", req.Host)
		if err != nil {
			return spec, err
		}
		spec.Host = host.Reference()
		cr, _ := s.ComputeOf(spec.Host)
		for i, c := range site.Clusters {
			if c.Self == cr {
				spec.Pool = site.Pools[i][0]
			}
		}
	}
	for _, place := range []struct {
		kind, name string
		into       *types.ManagedObjectReference
	}{{"Folder", req.Folder, &spec.Folder}, {"ResourcePool", req.Pool, &spec.Pool}} {
		if place.name == "" {
			continue
		}
		e, err := s.Named(place.kind, place.name)
		if err != nil {
			return spec, err
		}
		*place.into = e.Reference()
	}
	if req.Datastore != "" {
		ds, err := s.Named("Datastore", req.Datastore)
		if err != nil {
			return spec, err
		}
		spec.Datastore = ds.(*simulator.Datastore)
	}
	if req.Disks != nil {
		spec.Disks = req.Disks
	}
	if len(spec.Disks) > vhardware.MaxDisks {
		return spec, controlhttp.BadRequest(fmt.Errorf("%d disks: at most %d are possible", len(spec.Disks), vhardware.MaxDisks))
	}
	for i := range spec.Disks {
		if err := spec.Disks[i].Check(); err != nil {
			return spec, controlhttp.BadRequest(err)
		}
	}
	spec.Hardware = req.Hardware
	for k, v := range req.ExtraConfig {
		spec.Extra = append(spec.Extra, &types.OptionValue{Key: k, Value: v})
	}
	if req.Networks == nil {
		return spec, nil
	}
	spec.Networks, err = pickNetworks(site, req.Networks)
	return spec, err
}

func pickNetworks(st *inventory.Site, names []string) ([]lookup.Network, error) {
	out := []lookup.Network{}
	for _, name := range names {
		found := false
		for _, net := range st.Networks {
			if net.Name == name {
				out, found = append(out, net), true
				break
			}
		}
		if !found {
			return nil, controlhttp.NoSuch("network", name)
		}
	}
	return out, nil
}

func (s *Control) siteNamed(name string) (*inventory.Site, error) {
	for _, st := range s.Inventory.Sites {
		if name == "" || st.Datacenter.Name == name {
			return st, nil
		}
	}
	return nil, controlhttp.NoSuch("datacenter", name)
}

func (s *Control) postHost(r *http.Request) (any, error) {
	e, err := s.Named("HostSystem", r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	var body struct {
		Maintenance *bool  `json:"maintenance"`
		Processor   string `json:"processor"`
		Connection  string `json:"connection"`
	}
	if err := controlhttp.Decode(r, &body); err != nil {
		return nil, err
	}
	if body.Maintenance == nil && body.Processor == "" && body.Connection == "" {
		return nil, controlhttp.BadRequest(errors.New(`"maintenance", "processor" or "connection" is needed`))
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
			return nil, controlhttp.BadRequest(fmt.Errorf(`"connection" is one of %v`, state.Values()))
		}
		changes = append(changes, types.PropertyChange{Name: "runtime.connectionState", Val: state},
			types.PropertyChange{Name: "summary.runtime.connectionState", Val: state})
	}
	s.Reg.AtomicUpdate(s.Background(""), host, changes)
	return map[string]any{"name": host.Name, "maintenance": host.Runtime.InMaintenanceMode, "processor": s.Clusters.ProcessorOf(host.Self).Name}, nil
}

// changeProcessor gives a host another processor. VMs that run there found its features when they started. A cluster keeps
// the mode that it has, which the processor has to fit.
func (s *Control) changeProcessor(host *simulator.HostSystem, name string) error {
	processor, err := cpus.Named(name)
	if err != nil {
		return controlhttp.BadRequest(err)
	}
	cluster, _ := s.ComputeOf(host.Self)
	if mode := s.Clusters.ModeOf(cluster); mode != nil {
		return controlhttp.Conflict(fmt.Errorf("the cluster of %s has the EVC mode %s", host.Name, mode.Key))
	}
	s.Clusters.SetProcessor(host, processor)
	ctx := s.Background("")
	for _, ref := range s.Children(ctx, host.Self) {
		if vm := s.VM(ref); vm != nil {
			ctx.WithLock(vm, func() { s.Clusters.UpdateFeatures(ctx, vm) })
		}
	}
	return nil
}
