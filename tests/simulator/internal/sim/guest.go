// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/guestinfo"
	"vforge.vsphere/simulator/internal/ids"
	"vforge.vsphere/simulator/internal/lookup"
)

// guestOff is what vCenter says of a guest that reports nothing.
func guestOff() *types.GuestInfo {
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

// summaryGuest is the part of a report that the summary of a VM has.
func summaryGuest(g *types.GuestInfo) *types.VirtualMachineGuestSummary {
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

// setGuest replaces what the guest reports. The caller holds the VM's lock.
func (s *Sim) setGuest(ctx *simulator.Context, vm *simulator.VirtualMachine, g *types.GuestInfo) {
	heartbeat := types.ManagedEntityStatusGray
	if g.ToolsRunningStatus == string(types.VirtualMachineToolsRunningStatusGuestToolsRunning) {
		heartbeat = types.ManagedEntityStatusGreen
	}
	vm.Guest = g
	vm.Summary.Guest = summaryGuest(g)
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

// bootGuest starts the guest of a VM that has just been powered on or cloned: it
// reports after its delay, unless it was told to hang or is off by then.
func (s *Sim) bootGuest(vm types.ManagedObjectReference) {
	var boot int
	var stale time.Duration
	delay := s.cfg.GuestTime
	s.guestStates.With(vm, func(st *vmState) {
		st.guest.bootID++
		boot, stale = st.guest.bootID, st.guest.stale
		if st.guest.ipDelay > 0 {
			delay = st.guest.ipDelay
		}
	})
	if stale > 0 {
		s.after(delay, func() { s.reportStale(vm, boot) })
	}
	s.after(delay+stale, func() { s.reportGuest(vm, boot) })
}

// inheritGuest gives a clone's guest what a test has set for its parent's, and the
// memory of its parent's address. The caller holds the parent's lock.
func (s *Sim) inheritGuest(parent *simulator.VirtualMachine, clone types.ManagedObjectReference) {
	from := s.guestStates.Get(parent.Self).guest
	macs := make(map[int32]string)
	for _, d := range parent.Config.Hardware.Device {
		if c, ok := d.(types.BaseVirtualEthernetCard); ok {
			macs[c.GetVirtualEthernetCard().Key] = c.GetVirtualEthernetCard().MacAddress
		}
	}
	s.guestStates.With(clone, func(st *vmState) {
		st.guest.ipDelay, st.guest.hang, st.guest.noTools, st.guest.stale = from.ipDelay, from.hang, from.noTools, from.stale
		st.guest.staleIPv4, st.guest.staleMACs = from.ipv4, macs
	})
}

// inheritSettings gives a full or linked clone's guest what a test has set for its
// source's. It boots by itself, so it remembers nothing.
func (s *Sim) inheritSettings(source, clone types.ManagedObjectReference) {
	from := s.guestStates.Get(source).guest
	s.guestStates.With(clone, func(st *vmState) {
		st.guest.ipDelay, st.guest.hang, st.guest.noTools = from.ipDelay, from.hang, from.noTools
	})
}

// after runs f later, or at once when there is nothing to wait for.
func (s *Sim) after(d time.Duration, f func()) {
	if d <= 0 {
		go f()
		return
	}
	time.AfterFunc(d, f)
}

// reportStale is the first report of a clone that has not yet noticed its new card:
// it still has its parent's address.
func (s *Sim) reportStale(ref types.ManagedObjectReference, boot int) {
	s.report(ref, boot, func(vm *simulator.VirtualMachine, st guestState) *types.GuestInfo {
		st.ipv4, st.ipv6 = st.staleIPv4, ""
		g := s.guestInfo(vm, st)
		for i := range g.Net {
			if mac := st.staleMACs[g.Net[i].DeviceConfigId]; mac != "" && len(g.Net[i].IpAddress) > 0 {
				g.Net[i].MacAddress = mac
				g.Net[i].IpAddress, g.Net[i].IpConfig = nil, nil
				addAddresses(&g.Net[i], st.ipv4, st.prefix, "")
			}
		}
		return g
	})
}

// reportGuest publishes what Tools of a running guest would.
func (s *Sim) reportGuest(ref types.ManagedObjectReference, boot int) {
	s.customizeFirstBoot(ref)
	s.report(ref, boot, s.guestInfo)
}

// report publishes what info says, if the guest still is what it was when the report
// was due.
func (s *Sim) report(ref types.ManagedObjectReference, boot int, info func(*simulator.VirtualMachine, guestState) *types.GuestInfo) {
	vm := s.VM(ref)
	if vm == nil {
		return
	}
	s.bootSystem(ref, boot)
	ctx := s.background("")
	ctx.WithLock(vm, func() {
		if vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn || frozen(vm) {
			return
		}
		var st guestState
		s.guestStates.With(ref, func(v *vmState) {
			if addr, prefix, ok := guestinfo.IPv4(vm); ok && !s.guestAwake(ref) {
				v.guest.ipv4, v.guest.prefix = addr, prefix
			} else if v.guest.ipv4 == "" {
				v.guest.ipv4, v.guest.prefix = s.dhcp.Take()
			}
			st = v.guest
		})
		if boot != st.bootID || st.noTools {
			return
		}
		s.setGuest(ctx, vm, info(vm, st))
	})
}

// frozen tells if a VM is frozen for instant clones.
func frozen(vm *simulator.VirtualMachine) bool {
	return vm.Runtime.InstantCloneFrozen != nil && *vm.Runtime.InstantCloneFrozen
}

// guestInfo is the report of a guest with Tools running.
func (s *Sim) guestInfo(vm *simulator.VirtualMachine, st guestState) *types.GuestInfo {
	g := guestOff()
	g.ToolsStatus = types.VirtualMachineToolsStatusToolsOk
	g.ToolsRunningStatus = string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
	g.GuestState = string(types.VirtualMachineGuestStateRunning)
	g.GuestOperationsReady = types.NewBool(true)
	g.GuestStateChangeSupported = types.NewBool(true)
	g.GuestId, g.GuestFullName, g.GuestFamily = vm.Config.GuestId, vm.Config.GuestFullName, string(types.VirtualMachineGuestOsFamilyLinuxGuest)
	g.HostName = guestinfo.HostName(vm)
	if sys := s.guests.find(vm.Self); sys != nil && sys.Named() != "" {
		g.HostName = sys.Named()
	}
	if st.name != "" {
		g.HostName = st.name
	}
	if st.family != "" {
		g.GuestFamily = st.family
	}
	if !apiversion.Less(s.cfg.APIVersion, apiversion.CustomizationInfoSince) {
		g.CustomizationInfo = s.guestStates.Get(vm.Self).customization
	}
	if st.hang {
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
		info := types.GuestNicInfo{Network: s.nicNetworkName(nic), MacAddress: nic.MacAddress, Connected: connected, DeviceConfigId: nic.Key}
		own, known := seen[nic.Key]
		if known && !own.Bound {
			first = false
			continue
		}
		if known && own.MAC != nic.MacAddress { // vCenter finds no card with that address
			info.MacAddress, info.DeviceConfigId = own.MAC, -1
		}
		if connected {
			v4, v6, prefix := "", "", st.prefix
			if first {
				v4, v6, first = st.ipv4, st.ipv6, false
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

// nicNetworkName is the name of the network that a card is on.
func (s *Sim) nicNetworkName(nic *types.VirtualEthernetCard) string {
	ref, ok := lookup.BackingNetwork(nic.Backing)
	if !ok {
		return ""
	}
	net, _ := s.NetworkByRef(ref)
	return net.Name
}

// outdateReport has a report that is on its way not arrive.
func (s *Sim) outdateReport(vm types.ManagedObjectReference) {
	s.guestStates.With(vm, func(st *vmState) { st.guest.bootID++ })
}

// reportChanged has Tools report again, unless a test has them not run.
func (s *Sim) reportChanged(vm types.ManagedObjectReference) {
	if st := s.guestStates.Get(vm).guest; !st.noTools {
		s.reportGuest(vm, st.bootID)
	}
}
