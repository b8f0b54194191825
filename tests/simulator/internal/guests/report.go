// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guests

import (
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/guestinfo"
	"vforge.vsphere/simulator/internal/ids"
	"vforge.vsphere/simulator/internal/lookup"
)

// Off is what vCenter says of a guest that reports nothing.
func Off() *types.GuestInfo {
	return &types.GuestInfo{
		ToolsStatus:               types.VirtualMachineToolsStatusToolsNotRunning,
		ToolsVersionStatus:        string(types.VirtualMachineToolsVersionStatusGuestToolsUnmanaged),
		ToolsVersionStatus2:       string(types.VirtualMachineToolsVersionStatusGuestToolsUnmanaged),
		ToolsRunningStatus:        string(types.VirtualMachineToolsRunningStatusGuestToolsNotRunning),
		ToolsVersion:              "12352",
		ToolsInstallType:          "guestToolsTypeOpenVMTools",
		GuestState:                string(types.VirtualMachineGuestStateNotRunning),
		GuestOperationsReady:      types.NewBool(false),
		GuestStateChangeSupported: types.NewBool(false),
	}
}

// Summary is the part of a report that the summary of a VM has.
func Summary(g *types.GuestInfo) *types.VirtualMachineGuestSummary {
	return &types.VirtualMachineGuestSummary{
		GuestId:             g.GuestId,
		GuestFullName:       g.GuestFullName,
		ToolsStatus:         g.ToolsStatus,
		ToolsVersionStatus:  g.ToolsVersionStatus,
		ToolsVersionStatus2: g.ToolsVersionStatus2,
		ToolsRunningStatus:  g.ToolsRunningStatus,
		HostName:            g.HostName,
		IpAddress:           g.IpAddress,
	}
}

// Set replaces what the guest reports. The caller holds the VM's lock.
func (s *Guests) Set(ctx *simulator.Context, vm *simulator.VirtualMachine, g *types.GuestInfo) {
	heartbeat := types.ManagedEntityStatusGray
	if g.ToolsRunningStatus == string(types.VirtualMachineToolsRunningStatusGuestToolsRunning) {
		heartbeat = types.ManagedEntityStatusGreen
	}
	vm.Guest = g
	vm.Summary.Guest = Summary(g)
	ctx.Update(vm, []types.PropertyChange{
		{Name: "guest.toolsStatus", Val: g.ToolsStatus},
		{Name: "guest.toolsRunningStatus", Val: g.ToolsRunningStatus},
		{Name: "guest.guestState", Val: g.GuestState},
		{Name: "guest.hostName", Val: g.HostName},
		{Name: "guest.ipAddress", Val: g.IpAddress},
		{Name: "guest.net", Val: g.Net},
		{Name: "summary.guest.toolsRunningStatus", Val: g.ToolsRunningStatus},
		{Name: "summary.guest.hostName", Val: g.HostName},
		{Name: "summary.guest.ipAddress", Val: g.IpAddress},
		{Name: "guestHeartbeatStatus", Val: heartbeat},
	})
}

// Boot starts the guest of a VM that has just been powered on or cloned: it
// reports after its delay, unless it was told to hang or is off by then.
func (s *Guests) Boot(vm types.ManagedObjectReference) {
	var boot int
	var stale time.Duration
	delay := s.Cfg.GuestTime
	s.States.With(vm, func(st *VMState) {
		st.Guest.bootID++
		boot, stale = st.Guest.bootID, st.Guest.Stale
		if st.Guest.IPDelay > 0 {
			delay = st.Guest.IPDelay
		}
	})
	if stale > 0 {
		s.After(delay, func() { s.reportStale(vm, boot) })
	}
	s.After(delay+stale, func() { s.Report(vm, boot) })
}

// Inherit gives a clone's guest what a test has set for its parent's, and the
// memory of its parent's address. The caller holds the parent's lock.
func (s *Guests) Inherit(parent *simulator.VirtualMachine, clone types.ManagedObjectReference) {
	from := s.States.Get(parent.Self).Guest
	macs := make(map[int32]string)
	for _, d := range parent.Config.Hardware.Device {
		if c, ok := d.(types.BaseVirtualEthernetCard); ok {
			macs[c.GetVirtualEthernetCard().Key] = c.GetVirtualEthernetCard().MacAddress
		}
	}
	s.States.With(clone, func(st *VMState) {
		st.Guest.IPDelay, st.Guest.Hang, st.Guest.NoTools, st.Guest.Stale = from.IPDelay, from.Hang, from.NoTools, from.Stale
		st.Guest.staleIPv4, st.Guest.staleMACs = from.IPv4, macs
	})
}

// InheritSettings gives a full or linked clone's guest what a test has set for its
// source's. It boots by itself, so it remembers nothing.
func (s *Guests) InheritSettings(source, clone types.ManagedObjectReference) {
	from := s.States.Get(source).Guest
	s.States.With(clone, func(st *VMState) {
		st.Guest.IPDelay, st.Guest.Hang, st.Guest.NoTools = from.IPDelay, from.Hang, from.NoTools
	})
}

// After runs f later, or at once when there is nothing to wait for.
func (s *Guests) After(d time.Duration, f func()) {
	if d <= 0 {
		go f()
		return
	}
	time.AfterFunc(d, f)
}

// reportStale is the first report of a clone that has not yet noticed its new card:
// it still has its parent's address.
func (s *Guests) reportStale(ref types.ManagedObjectReference, boot int) {
	s.publish(ref, boot, func(vm *simulator.VirtualMachine, st State) *types.GuestInfo {
		st.IPv4, st.IPv6 = st.staleIPv4, ""
		g := s.guestInfo(vm, st)
		for i := range g.Net {
			if mac := st.staleMACs[g.Net[i].DeviceConfigId]; mac != "" && len(g.Net[i].IpAddress) > 0 {
				g.Net[i].MacAddress = mac
				g.Net[i].IpAddress, g.Net[i].IpConfig = nil, nil
				addAddresses(&g.Net[i], st.IPv4, st.Prefix, "")
			}
		}
		return g
	})
}

// Report publishes what Tools of a running guest would.
func (s *Guests) Report(ref types.ManagedObjectReference, boot int) {
	s.customizeFirstBoot(ref)
	s.publish(ref, boot, s.guestInfo)
}

// publish publishes what info says, if the guest still is what it was when the report
// was due.
func (s *Guests) publish(ref types.ManagedObjectReference, boot int, info func(*simulator.VirtualMachine, State) *types.GuestInfo) {
	vm := s.VM(ref)
	if vm == nil {
		return
	}
	s.bootSystem(ref, boot)
	ctx := s.Background("")
	ctx.WithLock(vm, func() {
		if vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn || Frozen(vm) {
			return
		}
		var st State
		s.States.With(ref, func(v *VMState) {
			if addr, prefix, ok := guestinfo.IPv4(vm); ok && !s.guestAwake(ref) {
				v.Guest.IPv4, v.Guest.Prefix = addr, prefix
			} else if v.Guest.IPv4 == "" {
				v.Guest.IPv4, v.Guest.Prefix = s.dhcp.Take()
			}
			st = v.Guest
		})
		if boot != st.bootID || st.NoTools {
			return
		}
		s.Set(ctx, vm, info(vm, st))
	})
}

// Frozen tells if a VM is frozen for instant clones.
func Frozen(vm *simulator.VirtualMachine) bool {
	return vm.Runtime.InstantCloneFrozen != nil && *vm.Runtime.InstantCloneFrozen
}

// guestInfo is the report of a guest with Tools running.
func (s *Guests) guestInfo(vm *simulator.VirtualMachine, st State) *types.GuestInfo {
	g := Off()
	g.ToolsStatus = types.VirtualMachineToolsStatusToolsOk
	g.ToolsRunningStatus = string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
	g.GuestState = string(types.VirtualMachineGuestStateRunning)
	g.GuestOperationsReady = types.NewBool(true)
	g.GuestStateChangeSupported = types.NewBool(true)
	g.GuestId, g.GuestFullName, g.GuestFamily = vm.Config.GuestId, vm.Config.GuestFullName, string(types.VirtualMachineGuestOsFamilyLinuxGuest)
	g.HostName = guestinfo.HostName(vm)
	if sys := s.Systems.Find(vm.Self); sys != nil && sys.Named() != "" {
		g.HostName = sys.Named()
	}
	if st.name != "" {
		g.HostName = st.name
	}
	if st.Family != "" {
		g.GuestFamily = st.Family
	}
	if !apiversion.Less(s.Cfg.APIVersion, apiversion.CustomizationInfoSince) {
		g.CustomizationInfo = s.States.Get(vm.Self).customization
	}
	if st.Hang {
		return g
	}
	first := true
	seen := s.cardsSeen(vm.Self)
	for _, d := range vm.Config.Hardware.Device {
		card, ok := d.(types.BaseVirtualEthernetCard)
		if !ok {
			continue
		}
		nic := card.GetVirtualEthernetCard()
		connected := nic.Connectable == nil || nic.Connectable.Connected
		info := types.GuestNicInfo{Network: s.NetworkName(nic), MacAddress: nic.MacAddress, Connected: connected, DeviceConfigId: nic.Key}
		own, known := seen[nic.Key]
		if known && !own.Bound {
			first = false
			continue
		}
		if known && own.MAC != nic.MacAddress { // vCenter finds no card with that address
			info.MacAddress, info.DeviceConfigId = own.MAC, -1
		}
		if connected {
			v4, v6, prefix := "", "", st.Prefix
			if first {
				v4, v6, first = st.IPv4, st.IPv6, false
			}
			if known && !own.Leased {
				v4, prefix = "", 0
				if len(own.Addrs) > 0 {
					v4, prefix = own.Addrs[0], own.Prefix[0]
				}
			}
			addAddresses(&info, v4, prefix, v6)
		}
		g.Net = append(g.Net, info)
		if g.IpAddress == "" {
			g.IpAddress = firstRoutable(info)
		}
	}
	return g
}

func addAddresses(info *types.GuestNicInfo, v4 string, prefix int32, v6 string) {
	info.IpConfig = &types.NetIpConfigInfo{}
	add := func(addr string, prefix int32) {
		if addr == "" {
			return
		}
		info.IpAddress = append(info.IpAddress, addr)
		info.IpConfig.IpAddress = append(info.IpConfig.IpAddress, types.NetIpConfigInfoIpAddress{
			IpAddress: addr, PrefixLength: prefix, State: string(types.NetIpConfigInfoIpAddressStatusPreferred),
		})
	}
	add(v4, prefix)
	add(v6, 64)
	add(ids.LinkLocal(info.MacAddress), 64)
}

func firstRoutable(info types.GuestNicInfo) string {
	for _, a := range info.IpAddress {
		if a != ids.LinkLocal(info.MacAddress) {
			return a
		}
	}
	return ""
}

// NetworkName is the name of the network that a card is on.
func (s *Guests) NetworkName(nic *types.VirtualEthernetCard) string {
	ref, ok := lookup.BackingNetwork(nic.Backing)
	if !ok {
		return ""
	}
	net, _ := s.NetworkByRef(ref)
	return net.Name
}

// OutdateReport has a report that is on its way not arrive.
func (s *Guests) OutdateReport(vm types.ManagedObjectReference) {
	s.States.With(vm, func(st *VMState) { st.Guest.bootID++ })
}

// ReportChanged has Tools report again, unless a test has them not run.
func (s *Guests) ReportChanged(vm types.ManagedObjectReference) {
	if st := s.States.Get(vm).Guest; !st.NoTools {
		s.Report(vm, st.bootID)
	}
}
