// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package control

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/controlhttp"
	"vforge.vsphere/simulator/internal/guests"
	"vforge.vsphere/simulator/internal/hardware"
	"vforge.vsphere/simulator/internal/vdisk"
)

func (s *Control) getVM(r *http.Request) (any, error) {
	vm, err := s.FindVM(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	if file := r.URL.Query().Get("file"); file != "" {
		return s.guestFileText(vm, file)
	}
	return s.view(vm), nil
}

// view is what the control endpoint shows of a VM.
func (s *Control) view(vm *simulator.VirtualMachine) (out map[string]any) {
	s.Background("").WithLock(vm, func() {
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
			"moid": vm.Self.Value, "name": vm.Name, "path": s.EntityPath(vm.Self),
			"host": s.refName(vm.Runtime.Host), "pool": s.refName(vm.ResourcePool),
			"bios_uuid": vm.Config.Uuid, "instance_uuid": vm.Config.InstanceUuid,
			"power": vm.Runtime.PowerState, "template": vm.Config.Template, "frozen": guests.Frozen(vm),
			"passthrough": s.Clones.Passthrough.Get(vm.Self),
			"tools":       vm.Guest.ToolsRunningStatus, "ip": vm.Guest.IpAddress, "host_name": vm.Guest.HostName,
			"guest": s.viewInside(vm),
			"nics":  nics, "disks": disks, "extra_config": extra,
		}
	})
	return out
}

func (s *Control) refName(ref *types.ManagedObjectReference) string {
	if ref == nil {
		return ""
	}
	e, ok := s.Reg.Get(*ref).(interface {
		Reference() types.ManagedObjectReference
	})
	if !ok {
		return ""
	}
	return s.EntityPath(e.Reference())
}

func (s *Control) viewNIC(nic *types.VirtualEthernetCard) map[string]any {
	return map[string]any{
		"key": nic.Key, "mac": nic.MacAddress, "mac_type": nic.AddressType, "network": s.Guests.NetworkName(nic),
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

func (s *Control) patchVM(r *http.Request) (any, error) {
	vm, err := s.FindVM(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	var p vmPatch
	if err := controlhttp.Decode(r, &p); err != nil {
		return nil, err
	}
	if err := s.applyPatch(vm, &p); err != nil {
		return nil, err
	}
	return s.view(vm), nil
}

func (s *Control) applyPatch(vm *simulator.VirtualMachine, p *vmPatch) error {
	if g := p.Guest; g != nil {
		if p.Tools == nil {
			p.Tools = g.Tools
		}
		if err := g.check(g.Hang); err != nil {
			return err
		}
	}
	if p.Tools != nil && !slices.Contains([]string{"running", "notRunning"}, *p.Tools) {
		return controlhttp.BadRequest(errors.New(`"tools" is running or notRunning`))
	}
	if p.DeltaLevels != nil && (*p.DeltaLevels < 0 || *p.DeltaLevels > 1000) {
		return controlhttp.BadRequest(errors.New(`"delta_levels" is from 0 to 1000`))
	}
	if p.Devices != nil {
		if err := hardware.CheckDevices(*p.Devices); err != nil {
			return err
		}
	}
	s.patchState(vm, p)
	if p.Guest != nil {
		if err := s.patchInside(vm.Self, &p.Guest.insidePatch, p.Guest.Hang); err != nil {
			return err
		}
	}
	ctx := s.Background("")
	var err error
	ctx.WithLock(vm, func() {
		if p.Frozen != nil {
			if refused := s.Guests.Freeze(ctx, vm, *p.Frozen); refused != nil {
				err = controlhttp.BadRequest(refused)
			}
		}
		if p.DeltaLevels != nil && *p.DeltaLevels < vdisk.DeltasOf(vm) {
			err = controlhttp.BadRequest(fmt.Errorf("the disks have %d deltas already, and a delta cannot be taken away here", vdisk.DeltasOf(vm)))
		}
		for p.DeltaLevels != nil && err == nil && vdisk.DeltasOf(vm) < *p.DeltaLevels {
			err = s.Disks.GrowParent(ctx, vm)
		}
		if p.Devices != nil {
			s.Hardware.ShowDevices(vm)
		}
		if p.FilesStale != nil && !*p.FilesStale {
			s.Disks.TellFiles(ctx, vm)
		}
	})
	if err == nil && (p.Tools != nil || p.Guest != nil) {
		s.Guests.ReportAgain(vm)
	}
	return err
}

func (s *Control) patchState(vm *simulator.VirtualMachine, p *vmPatch) {
	s.Clones.Passthrough.With(vm.Self, func(has *bool) { set(has, p.Passthrough) })
	s.Hardware.DeviceFolders.With(vm.Self, func(folder *string) { set(folder, p.Devices) })
	s.Disks.FilesStale.With(vm.Self, func(stale *bool) { set(stale, p.FilesStale) })
	s.Guests.States.With(vm.Self, func(st *guests.VMState) {
		if p.Tools != nil {
			st.Guest.NoTools = *p.Tools == "notRunning"
		}
		if g := p.Guest; g != nil {
			if g.Hang != nil {
				set(&st.Guest.Hang, g.Hang.addresses)
			}
			set(&st.Guest.IPv4, g.IPv4)
			set(&st.Guest.IPv6, g.IPv6)
			if g.IPv4 != nil {
				st.Guest.Prefix = 24
			}
			if g.IPDelayMS != nil {
				st.Guest.IPDelay = time.Duration(*g.IPDelayMS) * time.Millisecond
			}
			if g.StaleMS != nil {
				st.Guest.Stale = time.Duration(*g.StaleMS) * time.Millisecond
			}
		}
	})
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}
