// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clones

import (
	"log"
	"slices"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/guests"
	"vforge.vsphere/simulator/internal/hardware"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/taskqueue"
	"vforge.vsphere/simulator/internal/vhardware"
)

// CloneVMTask is VirtualMachine.CloneVM_Task: full and linked clones of VMs and
// templates. The call returns its task at once.
func (sh *VMCalls) CloneVMTask(ctx *simulator.Context, req *types.CloneVM_Task) soap.HasFault {
	s := sh.S
	source := s.VM(req.This)
	if source == nil {
		return &methods.CloneVM_TaskBody{Fault_: faults.NotFound(req.This)}
	}
	j := &vmCloneJob{s: s, ctx: core.Detached(ctx), req: req, stop: make(chan struct{})}
	if denied := s.vmCloneDenied(ctx, source, req); denied != nil {
		return &methods.CloneVM_TaskBody{Fault_: faults.SOAP(denied)}
	}
	j.task = s.Tasks.New(ctx, req.This, "clone", true)
	s.Tasks.Queues.Submit(&taskqueue.Job{Source: cloneQueue(req.This), Places: s.cloneRoom(ctx, source, req), Task: j.task, Stop: j.stop, Run: j.run})
	return &methods.CloneVM_TaskBody{Res: &types.CloneVM_TaskResponse{Returnval: j.task.Self}}
}

// cloneRoom lists where a clone takes up room: on the host of its source, and on its own. What cannot be made takes up room
// on the first alone, until its task has failed.
func (s *Clones) cloneRoom(ctx *simulator.Context, source *simulator.VirtualMachine, req *types.CloneVM_Task) (places []taskqueue.Place) {
	ctx.WithLock(source, func() {
		p := &vmClonePlan{spec: &req.Spec, clonePlan: clonePlan{parent: source}}
		if s.placeVMPool(p) != nil || s.placeVMHost(p) != nil {
			places = s.Tasks.RoomOn(source.Runtime.Host)
			return
		}
		places = s.Tasks.RoomOn(source.Runtime.Host, &p.host.Self)
	})
	return places
}

// cloneQueue is where the clones of a VM wait: instant clones, one at a time, elsewhere.
func cloneQueue(source types.ManagedObjectReference) types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "CloneVM", Value: source.Value}
}

// vmCloneDenied checks the caller's privileges, as the API reference lists them: what
// is needed on the source depends on which of the two is a template.
func (s *Clones) vmCloneDenied(ctx *simulator.Context, source *simulator.VirtualMachine, req *types.CloneVM_Task) types.BaseMethodFault {
	spec, loc := &req.Spec, &req.Spec.Location
	needs := []core.Need{
		core.NeedOn(req.This, cloneKindPrivilege(source.Config.Template, spec.Template)),
		core.NeedOn(req.Folder, "VirtualMachine.Inventory.CreateFromExisting"),
	}
	datastore, pool := loc.Datastore, loc.Pool
	if datastore == nil && len(source.Datastore) > 0 {
		datastore = &source.Datastore[0]
	}
	if pool == nil {
		pool = source.ResourcePool
	}
	if datastore != nil {
		needs = append(needs, core.NeedOn(*datastore, core.AllocateSpace))
	}
	for _, disk := range loc.Disk {
		needs = append(needs, core.NeedOn(disk.Datastore, core.AllocateSpace))
	}
	if pool != nil && !spec.Template {
		needs = append(needs, core.NeedOn(*pool, "Resource.AssignVMToPool"))
	}
	if spec.Customization != nil {
		needs = append(needs, core.NeedOn(req.This, guests.CustomizePrivilege))
	}
	if spec.PowerOn && !spec.Template {
		needs = append(needs, core.NeedOn(req.This, "VirtualMachine.Interact.PowerOn"))
	}
	for _, n := range needs {
		if s.Reg.Get(n.On) == nil {
			continue // the rules say what is wrong with it
		}
		if fault := s.Lacking(ctx, n); fault != nil {
			return fault
		}
	}
	changes := slices.Clone(loc.DeviceChange)
	if spec.Config != nil {
		changes = append(changes, spec.Config.DeviceChange...)
	}
	return s.Hardware.AssignDenied(ctx, s.HostOf(source), source.Config.Hardware.Device, changes)
}

func cloneKindPrivilege(fromTemplate, toTemplate bool) string {
	switch {
	case fromTemplate && toTemplate:
		return "VirtualMachine.Provisioning.CloneTemplate"
	case fromTemplate:
		return "VirtualMachine.Provisioning.DeployTemplate"
	case toTemplate:
		return "VirtualMachine.Provisioning.CreateTemplateFromVM"
	}
	return "VirtualMachine.Provisioning.Clone"
}

// vmCloneJob is one accepted CloneVM_Task.
type vmCloneJob struct {
	s    *Clones
	ctx  *simulator.Context
	req  *types.CloneVM_Task
	task *simulator.Task
	stop chan struct{}
}

// run makes the clone. Its name is taken and seen from the beginning, long before there is
// more to see.
func (j *vmCloneJob) run() {
	s := j.s
	s.Tasks.Start(j.ctx, j.task)
	s.Reg.AtomicUpdate(j.ctx, j.task, []types.PropertyChange{{Name: "info.cancelable", Val: true}})
	key, ref, fault := j.reserve()
	if fault != nil {
		s.Tasks.Queues.Settle(j.task.Self)
		s.Tasks.Finish(j.ctx, j.task, nil, faults.Localized(fault))
		return
	}
	if half := s.Cfg.CloneTime / 2; half > 0 {
		j.sleep(half)
		s.Tasks.Progress(j.ctx, j.task, 50)
		j.sleep(half)
	}
	if s.Tasks.Queues.Settle(j.task.Self) {
		s.Creating.Lock()
		s.Withdraw(j.ctx, key, ref)
		s.Creating.Unlock()
		s.Tasks.Cancel(j.ctx, j.task)
		return
	}
	if fault = j.make(key, ref); fault != nil {
		s.Tasks.Finish(j.ctx, j.task, nil, faults.Localized(fault))
		return
	}
	if j.req.Spec.PowerOn && !j.req.Spec.Template {
		s.Guests.Boot(ref)
	}
	s.Tasks.Finish(j.ctx, j.task, ref, nil)
}

// sleep waits, but not for what is cancelled.
func (j *vmCloneJob) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-j.stop:
	}
}

// reserve applies all rules, and takes the clone's name.
func (j *vmCloneJob) reserve() (key naming.Child, ref types.ManagedObjectReference, fault types.BaseMethodFault) {
	s := j.s
	source := s.VM(j.req.This)
	if source == nil {
		return key, ref, &types.ManagedObjectNotFound{Obj: j.req.This}
	}
	s.Creating.Lock()
	defer s.Creating.Unlock()
	j.ctx.WithLock(source, func() {
		var p *vmClonePlan
		if p, fault = s.planVMClone(source, j.req); fault != nil {
			return
		}
		if fault = s.checkName(&p.clonePlan); fault != nil {
			s.Post(j.ctx, s.cloneFailed(&p.clonePlan, fault))
			return
		}
		s.Post(j.ctx, s.beingCloned(&p.clonePlan))
		key = naming.Child{Folder: p.folder.Self, Name: p.name}
		ref = s.AnnounceVM(j.ctx, key, j.task.Self)
	})
	return key, ref, fault
}

// make makes the clone. What was true in the beginning may have changed since.
func (j *vmCloneJob) make(key naming.Child, ref types.ManagedObjectReference) (fault types.BaseMethodFault) {
	s := j.s
	s.Creating.Lock()
	defer s.Creating.Unlock()
	defer s.Withdraw(j.ctx, key, ref)
	source := s.VM(j.req.This)
	if source == nil {
		return &types.ManagedObjectNotFound{Obj: j.req.This}
	}
	if s.Closed {
		return &types.RequestCanceled{}
	}
	j.ctx.WithLock(source, func() {
		var p *vmClonePlan
		if p, fault = s.planVMClone(source, j.req); fault != nil {
			return
		}
		fault = s.buildVMClone(j.ctx, p, ref)
	})
	return fault
}

// buildVMClone makes the clone of a plan, or leaves nothing of it.
func (s *Clones) buildVMClone(ctx *simulator.Context, p *vmClonePlan, ref types.ManagedObjectReference) types.BaseMethodFault {
	vm := &simulator.VirtualMachine{DataSets: make(map[string]*simulator.DataSet)}
	vm.Self = ref
	home, err := disks.NewHome(p.datastore, p.name, "")
	if err != nil {
		log.Printf("vforge-sim: clone %s: %v", p.name, err)
		return &types.FileFault{File: p.name}
	}
	fault := s.fillVMClone(ctx, vm, p, home)
	if fault != nil {
		home.Remove()
		s.Post(ctx, s.cloneFailed(&p.clonePlan, fault))
		return fault
	}
	s.Guests.InheritSettings(p.parent.Self, vm.Self)
	s.Guests.CustomizeAtBoot(vm, p.custom)
	s.Inventory.Link(ctx, vm, p.folder.Self)
	if !p.off {
		s.Tracks.TakeEffect(ctx, vm)
	}
	s.Post(ctx, s.cloned(&p.clonePlan, vm)...)
	return nil
}

func (s *Clones) fillVMClone(ctx *simulator.Context, vm *simulator.VirtualMachine, p *vmClonePlan, home *disks.Home) types.BaseMethodFault {
	disks, fault := s.cloneDisks(p, home)
	if fault != nil {
		return fault
	}
	h := s.Hardware.NewChange(hardware.Change{Host: p.host, Home: home, Cloning: true, Devices: append(p.devices, disks...)})
	if p.spec.Config != nil {
		if fault := h.Make(p.spec.Config.DeviceChange); fault != nil {
			return fault
		}
	}
	for _, d := range h.Devices {
		if card, ok := d.(types.BaseVirtualEthernetCard); ok && card.GetVirtualEthernetCard().MacAddress == "" {
			card.GetVirtualEthernetCard().MacAddress = s.MACs.Take()
		}
	}
	s.copyConfig(vm, &p.clonePlan, dsfiles.Path(p.datastore.Name, home.VMX()), h.Devices)
	s.copyRuntime(vm, &p.clonePlan)
	vm.Datastore = s.DatastoresOf(p.datastore, h.Devices)
	setTemplate(vm, p.spec.Template)
	if p.spec.Config != nil {
		if fault := vhardware.ApplyConfig(vm, p.spec.Config); fault != nil {
			return fault
		}
	}
	vhardware.Summarize(vm)
	s.Disks.RefreshFiles(vm)
	s.LayerUsers.Add(vm.Self, vm.Config.Hardware.Device)
	return nil
}
