// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/vdisk"
)

// findVM finds a VM by managed object id or by name, as vCenter keeps it or as a
// person writes it.
func (s *Sim) findVM(name string) (*simulator.VirtualMachine, error) {
	if vm := s.VM(types.ManagedObjectReference{Type: "VirtualMachine", Value: name}); vm != nil {
		return vm, nil
	}
	var found []*simulator.VirtualMachine
	for _, e := range s.reg.All("VirtualMachine") {
		vm, made := e.(*simulator.VirtualMachine)
		if !made {
			continue
		}
		if n := s.nameOf(vm); n == name || n == naming.Escape(name) {
			found = append(found, vm)
		}
	}
	switch len(found) {
	case 0:
		return nil, noSuch("VM", name)
	case 1:
		return found[0], nil
	}
	return nil, conflict(fmt.Errorf("%d VMs are named %q: use a managed object id", len(found), name))
}

func (s *Sim) nameOf(vm *simulator.VirtualMachine) (name string) {
	s.background("").WithLock(vm, func() { name = vm.Name })
	return name
}

func (s *Sim) getVM(r *http.Request) (any, error) {
	vm, err := s.findVM(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	if file := r.URL.Query().Get("file"); file != "" {
		return s.guestFileText(vm, file)
	}
	return s.view(vm), nil
}

// view is what the control endpoint shows of a VM.
func (s *Sim) view(vm *simulator.VirtualMachine) (out map[string]any) {
	s.background("").WithLock(vm, func() {
		var nics []map[string]any
		var disks []map[string]any
		for _, d := range vm.Config.Hardware.Device {
			switch d := d.(type) {
			case types.BaseVirtualEthernetCard:
				nics = append(nics, s.viewNIC(d.GetVirtualEthernetCard()))
			case *types.VirtualDisk:
				disks = append(disks, viewDisk(d))
			}
		}
		extra := make(map[string]any)
		for _, o := range vm.Config.ExtraConfig {
			extra[o.GetOptionValue().Key] = o.GetOptionValue().Value
		}
		out = map[string]any{
			"moid": vm.Self.Value, "name": vm.Name, "path": s.entityPath(vm.Self),
			"host": s.refName(vm.Runtime.Host), "pool": s.refName(vm.ResourcePool),
			"bios_uuid": vm.Config.Uuid, "instance_uuid": vm.Config.InstanceUuid,
			"power": vm.Runtime.PowerState, "template": vm.Config.Template, "frozen": frozen(vm),
			"passthrough": s.passthrough.Get(vm.Self),
			"tools":       vm.Guest.ToolsRunningStatus, "ip": vm.Guest.IpAddress, "host_name": vm.Guest.HostName,
			"guest": s.viewInside(vm),
			"nics":  nics, "disks": disks, "extra_config": extra,
		}
	})
	return out
}

func (s *Sim) refName(ref *types.ManagedObjectReference) string {
	if ref == nil {
		return ""
	}
	e, ok := s.reg.Get(*ref).(interface {
		Reference() types.ManagedObjectReference
	})
	if !ok {
		return ""
	}
	return s.entityPath(e.Reference())
}

func (s *Sim) viewNIC(nic *types.VirtualEthernetCard) map[string]any {
	return map[string]any{
		"key": nic.Key, "mac": nic.MacAddress, "mac_type": nic.AddressType, "network": s.nicNetworkName(nic),
		"connected": nic.Connectable != nil && nic.Connectable.Connected,
	}
}

func viewDisk(d *types.VirtualDisk) map[string]any {
	var files []string
	for _, b := range vdisk.DiskChain(d) {
		files = append(files, b.FileName)
	}
	return map[string]any{"key": d.Key, "files": files, "deltas": len(files) - 1, "bytes": d.CapacityInBytes}
}

// vmPatch is the state of a VM that no call of vCenter sets.
type vmPatch struct {
	Frozen      *bool       `json:"frozen"`
	Passthrough *bool       `json:"passthrough"`
	DeltaLevels *int        `json:"delta_levels"`
	Tools       *string     `json:"tools"`
	Guest       *guestPatch `json:"guest"`
	Devices     *string     `json:"devices"`
	FilesStale  *bool       `json:"files_stale"`
}

type guestPatch struct {
	IPDelayMS *int       `json:"ip_delay_ms"`
	StaleMS   *int       `json:"stale_ms"`
	Hang      *hangPatch `json:"hang"`
	insidePatch
	IPv4 *string `json:"ipv4"`
	IPv6 *string `json:"ipv6"`
}

func (s *Sim) patchVM(r *http.Request) (any, error) {
	vm, err := s.findVM(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	var p vmPatch
	if err := decode(r, &p); err != nil {
		return nil, err
	}
	if err := s.applyPatch(vm, &p); err != nil {
		return nil, err
	}
	return s.view(vm), nil
}

func (s *Sim) applyPatch(vm *simulator.VirtualMachine, p *vmPatch) error {
	if g := p.Guest; g != nil {
		if p.Tools == nil {
			p.Tools = g.Tools
		}
		if err := g.check(g.Hang); err != nil {
			return err
		}
	}
	if p.Tools != nil && !slices.Contains([]string{"running", "notRunning"}, *p.Tools) {
		return badRequest(errors.New(`"tools" is running or notRunning`))
	}
	if p.DeltaLevels != nil && (*p.DeltaLevels < 0 || *p.DeltaLevels > 1000) {
		return badRequest(errors.New(`"delta_levels" is from 0 to 1000`))
	}
	if p.Devices != nil {
		if err := checkDevices(*p.Devices); err != nil {
			return err
		}
	}
	s.patchState(vm, p)
	if p.Guest != nil {
		if err := s.patchInside(vm.Self, &p.Guest.insidePatch, p.Guest.Hang); err != nil {
			return err
		}
	}
	ctx := s.background("")
	var err error
	ctx.WithLock(vm, func() {
		if p.Frozen != nil {
			err = s.freeze(ctx, vm, *p.Frozen)
		}
		if p.DeltaLevels != nil && *p.DeltaLevels < vdisk.DeltasOf(vm) {
			err = badRequest(fmt.Errorf("the disks have %d deltas already, and a delta cannot be taken away here", vdisk.DeltasOf(vm)))
		}
		for p.DeltaLevels != nil && err == nil && vdisk.DeltasOf(vm) < *p.DeltaLevels {
			err = s.growParent(ctx, vm)
		}
		if p.Devices != nil {
			s.showDevices(vm)
		}
		if p.FilesStale != nil && !*p.FilesStale {
			s.tellFiles(ctx, vm)
		}
	})
	if err == nil && (p.Tools != nil || p.Guest != nil) {
		s.rereport(vm)
	}
	return err
}

func (s *Sim) patchState(vm *simulator.VirtualMachine, p *vmPatch) {
	s.passthrough.With(vm.Self, func(has *bool) { set(has, p.Passthrough) })
	s.deviceFolders.With(vm.Self, func(folder *string) { set(folder, p.Devices) })
	s.filesStale.With(vm.Self, func(stale *bool) { set(stale, p.FilesStale) })
	s.guestStates.With(vm.Self, func(st *vmState) {
		if p.Tools != nil {
			st.guest.noTools = *p.Tools == "notRunning"
		}
		if g := p.Guest; g != nil {
			if g.Hang != nil {
				set(&st.guest.hang, g.Hang.addresses)
			}
			set(&st.guest.ipv4, g.IPv4)
			set(&st.guest.ipv6, g.IPv6)
			if g.IPv4 != nil {
				st.guest.prefix = 24
			}
			if g.IPDelayMS != nil {
				st.guest.ipDelay = time.Duration(*g.IPDelayMS) * time.Millisecond
			}
			if g.StaleMS != nil {
				st.guest.stale = time.Duration(*g.StaleMS) * time.Millisecond
			}
		}
	})
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// freeze does what instantclone.freeze does in a guest, or, thawing, what only a
// reset does in a real one.
func (s *Sim) freeze(ctx *simulator.Context, vm *simulator.VirtualMachine, freeze bool) error {
	if vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
		return badRequest(errors.New("only a VM that is powered on can be frozen"))
	}
	ctx.Update(vm, []types.PropertyChange{
		{Name: "runtime.instantCloneFrozen", Val: freeze},
		{Name: "summary.runtime.instantCloneFrozen", Val: freeze},
	})
	if freeze {
		s.pauseGuest(vm.Self, true)
		s.setGuest(ctx, vm, guestOff())
		return nil
	}
	s.haltGuest(vm.Self)
	s.bootGuest(vm.Self)
	return nil
}

// rereport has the guest tell at once what has been set for it.
func (s *Sim) rereport(vm *simulator.VirtualMachine) {
	st := s.guestStates.Get(vm.Self).guest
	if st.noTools {
		ctx := s.background("")
		ctx.WithLock(vm, func() { s.setGuest(ctx, vm, guestOff()) })
		return
	}
	s.reportGuest(vm.Self, st.bootID)
}
