// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/lookup"
	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/vhardware"
)

// refusal is a clone that vCenter does not make.
type refusal struct {
	setUp  func(*bench)
	parent string // golden-parent when empty
	name   string // "x" when not given
	change func(*bench) cloneChange
	want   types.BaseMethodFault
	says   string // in the fault's property, message or key
}

func spec(f cloneChange) func(*bench) cloneChange { return func(*bench) cloneChange { return f } }

func device(op types.VirtualDeviceConfigSpecOperation, d types.BaseVirtualDevice) func(*bench) cloneChange {
	return spec(func(s *types.VirtualMachineInstantCloneSpec) {
		s.Location.DeviceChange = []types.BaseVirtualDeviceConfigSpec{&types.VirtualDeviceConfigSpec{Operation: op, Device: d}}
	})
}

func nicEdit(f func(*types.VirtualEthernetCard)) func(*bench) cloneChange { return spec(editNIC(f)) }

const (
	add    = types.VirtualDeviceConfigSpecOperationAdd
	edit   = types.VirtualDeviceConfigSpecOperationEdit
	remove = types.VirtualDeviceConfigSpecOperationRemove
)

// refusals are the rules of the table in README.md.
var refusals = map[string]refusal{
	"no name":       {change: spec(func(s *types.VirtualMachineInstantCloneSpec) { s.Name = "" }), want: &types.InvalidArgument{}, says: "spec.name"},
	"name too long": {change: spec(func(s *types.VirtualMachineInstantCloneSpec) { s.Name = strings.Repeat("n", 81) }), want: &types.InvalidName{}},
	"BIOS UUID that is none": {
		change: spec(func(s *types.VirtualMachineInstantCloneSpec) { s.BiosUuid = "1234" }),
		want:   &types.InvalidArgument{}, says: "spec.biosUuid",
	},
	"pair without a key": {
		change: spec(func(s *types.VirtualMachineInstantCloneSpec) {
			s.Config = []types.BaseOptionValue{&types.OptionValue{Value: "v"}}
		}),
		want: &types.InvalidArgument{}, says: "spec.config",
	},
	"host given": {
		change: func(b *bench) cloneChange {
			host := b.find("/DC0/host/DC0_C0/DC0_C0_H0")
			return func(s *types.VirtualMachineInstantCloneSpec) { s.Location.Host = &host }
		},
		want: &types.InvalidArgument{}, says: "spec.location.host",
	},
	"disk move type": {
		change: spec(func(s *types.VirtualMachineInstantCloneSpec) { s.Location.DiskMoveType = "createNewChildDiskBacking" }),
		want:   &types.InvalidArgument{}, says: "spec.location.diskMoveType",
	},
	"transform": {
		change: spec(func(s *types.VirtualMachineInstantCloneSpec) { s.Location.Transform = "sparse" }),
		want:   &types.InvalidArgument{}, says: "spec.location.transform",
	},
	"disk locators": {
		change: spec(func(s *types.VirtualMachineInstantCloneSpec) {
			s.Location.Disk = []types.VirtualMachineRelocateSpecDiskLocator{{DiskId: vhardware.KeyDisk}}
		}),
		want: &types.InvalidArgument{}, says: "spec.location.disk",
	},
	"storage profile": {
		change: spec(func(s *types.VirtualMachineInstantCloneSpec) {
			s.Location.Profile = []types.BaseVirtualMachineProfileSpec{&types.VirtualMachineDefinedProfileSpec{ProfileId: "p"}}
		}),
		want: &types.InvalidArgument{}, says: "spec.location.profile",
	},
	"another vCenter": {
		change: spec(func(s *types.VirtualMachineInstantCloneSpec) {
			s.Location.Service = &types.ServiceLocator{InstanceUuid: "i", Url: "https://other", Credential: &types.ServiceLocatorSAMLCredential{}}
		}),
		want: &types.InvalidArgument{}, says: "spec.location.service",
	},
	"parent powered off": {
		setUp: func(b *bench) { b.power("golden-parent", "off") },
		want:  &types.InvalidPowerState{},
	},
	"parent suspended": {
		setUp: func(b *bench) { b.power("golden-parent", "suspend") },
		want:  &types.InvalidPowerState{},
	},
	"parent is a template": {
		setUp:  func(b *bench) { b.control("POST", "/vms", map[string]any{"name": "mould", "template": true}, nil) },
		parent: "mould", want: &types.InvalidArgument{}, says: "vm",
	},
	"parent with a passthrough device": {
		setUp: func(b *bench) { b.patch("golden-parent", map[string]any{"passthrough": true}) },
		want:  &types.DisallowedMigrationDeviceAttached{},
	},
	"parent with 255 deltas": {
		setUp: func(b *bench) { b.patch("golden-parent", map[string]any{"delta_levels": 255}) },
		want:  &types.SystemError{}, says: "msg.migrate.prepare.failed",
	},
	"host in maintenance": {
		setUp: func(b *bench) { b.control("POST", "/hosts/DC0_C0_H0", map[string]any{"maintenance": true}, nil) },
		want:  &types.InvalidState{},
	},
	"pool of another cluster": {
		change: func(b *bench) cloneChange {
			pool := b.find("/DC0/host/DC0_C1/Resources")
			return func(s *types.VirtualMachineInstantCloneSpec) { s.Location.Pool = &pool }
		},
		want: &types.InvalidArgument{}, says: core.HostPoolMismatch,
	},
	"pool that is not there": {
		change: spec(func(s *types.VirtualMachineInstantCloneSpec) {
			s.Location.Pool = &types.ManagedObjectReference{Type: "ResourcePool", Value: "resgroup-9999"}
		}),
		want: &types.ManagedObjectNotFound{},
	},
	"folder for hosts": {
		change: func(b *bench) cloneChange {
			folder := b.find("/DC0/host")
			return func(s *types.VirtualMachineInstantCloneSpec) { s.Location.Folder = &folder }
		},
		want: &types.InvalidArgument{}, says: "spec.location.folder",
	},
	"name that is taken":        {name: "golden-parent", want: &types.DuplicateName{}, says: "golden-parent"},
	"name of a folder":          {name: "DC0_F0", want: &types.DuplicateName{}, says: "DC0_F0"},
	"card added":                {change: device(add, &types.VirtualVmxnet3{}), want: &types.DisallowedMigrationDeviceAttached{}},
	"card removed":              {change: device(remove, &types.VirtualVmxnet3{}), want: &types.DisallowedMigrationDeviceAttached{}},
	"disk edited":               {change: device(edit, &types.VirtualDisk{}), want: &types.DisallowedMigrationDeviceAttached{}},
	"serial port with a URI":    {change: device(edit, &types.VirtualSerialPort{VirtualDevice: types.VirtualDevice{Backing: &types.VirtualSerialPortURIBackingInfo{}}}), want: &types.DisallowedMigrationDeviceAttached{}},
	"card that is not there":    {change: nicEdit(func(n *types.VirtualEthernetCard) { n.Key = 4099 }), want: &types.InvalidDeviceSpec{}, says: "key"},
	"MAC address that is none":  {change: nicEdit(func(n *types.VirtualEthernetCard) { n.AddressType, n.MacAddress = "manual", "00:50" }), want: &types.InvalidDeviceSpec{}, says: "macAddress"},
	"multicast MAC address":     {change: nicEdit(func(n *types.VirtualEthernetCard) { n.AddressType, n.MacAddress = "manual", "01:00:5e:00:00:01" }), want: &types.InvalidDeviceSpec{}, says: "macAddress"},
	"manual without an address": {change: nicEdit(func(n *types.VirtualEthernetCard) { n.AddressType = "manual" }), want: &types.InvalidDeviceSpec{}, says: "macAddress"},
	"network that is not there": {change: nicEdit(func(n *types.VirtualEthernetCard) { n.Backing = lookup.Network{Name: "No Network"}.Backing() }), want: &types.InvalidDeviceSpec{}, says: "backing"},
	"port group not on the host": {change: nicEdit(func(n *types.VirtualEthernetCard) {
		n.Backing = lookup.Network{Portgroup: "dvportgroup-9999", SwitchID: "s"}.Backing()
	}), want: &types.InvalidDeviceSpec{}, says: "backing"},
}

// power brings a VM into a power state.
func (b *bench) power(name, state string) {
	b.Helper()
	vm := object.NewVirtualMachine(b.client, b.find("/DC0/vm/"+name))
	do := map[string]func() (*object.Task, error){
		"on": func() (*object.Task, error) { return vm.PowerOn(b.ctx) }, "off": func() (*object.Task, error) { return vm.PowerOff(b.ctx) },
		"suspend": func() (*object.Task, error) { return vm.Suspend(b.ctx) },
	}
	task, err := do[state]()
	if err != nil {
		b.Fatal(err)
	}
	b.result(task)
}

// stage is the common simulator for a refusal that leaves it as it was.
func (r *refusal) stage(t *testing.T, common *bench) *bench {
	if r.setUp != nil {
		return start(t)
	}
	b := *common
	b.T = t
	return &b
}

// prepare sets the scene of a refusal and returns the request.
func (r *refusal) prepare(b *bench) (*object.VirtualMachine, types.VirtualMachineInstantCloneSpec) {
	if r.setUp != nil {
		r.setUp(b)
	}
	name, parent := "x", "golden-parent"
	if r.name != "" {
		name = r.name
	}
	if r.parent != "" {
		parent = r.parent
	}
	req := cloneSpec(name)
	if r.change != nil {
		r.change(b)(&req)
	}
	return object.NewVirtualMachine(b.client, b.find("/DC0/vm/"+parent)), req
}

// tells compares a fault with what a refusal must say.
func (r *refusal) tells(b *bench, fault types.BaseMethodFault) {
	b.Helper()
	b.wantFault(fault, r.want)
	if text := fmt.Sprintf("%+v %+v", fault, fault.GetMethodFault().FaultMessage); !strings.Contains(text, r.says) {
		b.Errorf("%s does not say %q", text, r.says)
	}
}

func TestClonesThatAreRefused(t *testing.T) {
	common := start(t)
	for name, r := range refusals {
		t.Run(name, func(t *testing.T) {
			b := r.stage(t, common)
			parent, req := r.prepare(b)
			before := len(b.sim.Reg.All("VirtualMachine"))
			task, err := parent.InstantClone(b.ctx, req)
			if err != nil {
				t.Fatalf("the call itself was refused: %v", err)
			}
			r.tells(b, b.taskFault(task))
			if after := len(b.sim.Reg.All("VirtualMachine")); after != before {
				t.Errorf("%d VMs before, %d after", before, after)
			}
		})
	}
}

func TestCheckFindsWhatTheCloneWouldBeRefusedFor(t *testing.T) {
	common := start(t)
	for name, r := range refusals {
		t.Run(name, func(t *testing.T) {
			b := r.stage(t, common)
			parent, req := r.prepare(b)
			result := b.check(parent, req)
			if len(result.Error) == 0 {
				t.Fatal("the check found nothing")
			}
			r.tells(b, result.Error[0].Fault)
		})
	}
}

func (b *bench) check(parent *object.VirtualMachine, req types.VirtualMachineInstantCloneSpec, tests ...string) types.CheckResult {
	b.Helper()
	res, err := methods.CheckInstantClone_Task(b.ctx, b.client, &types.CheckInstantClone_Task{
		This: *b.client.ServiceContent.VmProvisioningChecker, Vm: parent.Reference(), Spec: req, TestType: tests,
	})
	if err != nil {
		b.Fatal(err)
	}
	info, err := object.NewTask(b.client, res.Returnval).WaitForResult(b.ctx, nil)
	if err != nil {
		b.Fatal(err)
	}
	return info.Result.(types.ArrayOfCheckResult).CheckResult[0]
}

func TestCheckOfAGoodCloneChangesNothing(t *testing.T) {
	b := start(t)
	before := b.read(b.parent().Reference())
	result := b.check(b.parent(), cloneSpec("fine"))
	if len(result.Error) != 0 || len(result.Warning) != 0 || *result.Vm != before.Self || *result.Host != *before.Runtime.Host {
		t.Errorf("result %+v", result)
	}
	after := b.read(b.parent().Reference())
	if len(after.LayoutEx.File) != len(before.LayoutEx.File) || len(b.sim.Reg.All("VirtualMachine")) != 3 {
		t.Error("the check left something behind")
	}
}

func TestCheckTellsAllThatIsWrong(t *testing.T) {
	b := start(t)
	pool := b.find("/DC0/host/DC0_C1/Resources")
	wrong := func(s *types.VirtualMachineInstantCloneSpec) {
		s.Location.Pool, s.Location.DiskMoveType = &pool, "x"
	}
	if n := len(b.check(b.parent(), cloneSpec("golden-parent", wrong)).Error); n != 3 {
		t.Errorf("%d errors, want 3: move type, pool and name", n)
	}
	if n := len(b.check(b.parent(), cloneSpec("golden-parent", wrong), "datastoreTests").Error); n != 2 {
		t.Errorf("%d errors, want 2: the pool was not to be tested", n)
	}
}

func TestCheckWarnsOfManyDeltas(t *testing.T) {
	b := start(t)
	b.patch("golden-parent", map[string]any{"delta_levels": 101})
	if n := len(b.check(b.parent(), cloneSpec("x")).Warning); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
}

func TestDatastoreIsRefusedWhenAskedTo(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.StrictDatastore = true })
	ds := b.find("/DC0/datastore/LocalDS_0")
	task, err := b.parent().InstantClone(b.ctx, cloneSpec("x", func(s *types.VirtualMachineInstantCloneSpec) { s.Location.Datastore = &ds }))
	if err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(task), &types.InvalidArgument{})
	b.clone("without")
}

func TestDeltasRunOut(t *testing.T) {
	b := start(t)
	b.patch("golden-parent", map[string]any{"delta_levels": 253})
	b.clone("last-but-one")
	b.clone("last")
	task, err := b.parent().InstantClone(b.ctx, cloneSpec("one-too-many"))
	if err != nil {
		t.Fatal(err)
	}
	fault := b.taskFault(task)
	b.wantFault(fault, &types.SystemError{})
	b.wantFault(fault.GetMethodFault().FaultCause.Fault, &types.GenericVmConfigFault{})
}

func TestDuplicateNameTellsTheHolder(t *testing.T) {
	b := start(t)
	ref := b.clone("mine")
	task, err := b.parent().InstantClone(b.ctx, cloneSpec("mine"))
	if err != nil {
		t.Fatal(err)
	}
	fault, ok := b.taskFault(task).(*types.DuplicateName)
	if !ok || fault.Object != ref || fault.Name != "mine" {
		t.Errorf("fault %+v, want the holder %v", fault, ref)
	}
	folder := b.find("/DC0/vm/DC0_F0") // names are unique in a folder only
	b.clone("mine", func(s *types.VirtualMachineInstantCloneSpec) { s.Location.Folder = &folder })
}

func TestPrivilegesOfAClone(t *testing.T) {
	all := []string{
		"VirtualMachine.Provisioning.Clone", "VirtualMachine.Interact.PowerOn", "VirtualMachine.Inventory.CreateFromExisting",
		"Datastore.AllocateSpace", "Resource.AssignVMToPool",
	}
	on := map[string]string{
		"VirtualMachine.Provisioning.Clone": "VirtualMachine", "VirtualMachine.Interact.PowerOn": "VirtualMachine",
		"VirtualMachine.Inventory.CreateFromExisting": "Folder", "Datastore.AllocateSpace": "Datastore", "Resource.AssignVMToPool": "ResourcePool",
	}
	b := start(t)
	parent := b.parent().Reference()
	for i, missing := range all {
		t.Run("without "+missing, func(t *testing.T) {
			var rest []string
			rest = append(append(rest, all[:i]...), all[i+1:]...)
			_, err := object.NewVirtualMachine(b.as(rest...), parent).InstantClone(b.ctx, cloneSpec("x"))
			fault, ok := b.callFault(err).(types.NoPermission)
			if !ok || fault.PrivilegeId != missing || fault.Object.Type != on[missing] {
				t.Errorf("fault %+v, want %s on a %s", fault, missing, on[missing])
			}
		})
	}
	task, err := object.NewVirtualMachine(b.as(all...), parent).InstantClone(b.ctx, cloneSpec("allowed"))
	if err != nil {
		t.Fatal(err)
	}
	b.result(task)
}

func TestOldAPIVersionsDoNotKnowInstantClones(t *testing.T) {
	for name, c := range map[string]struct{ server, client string }{
		"old server": {"6.5", "8.0.3.0"}, "old client": {"8.0.3.0", "6.5"},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, func(cfg *settings.Config) { cfg.APIVersion = c.server })
			parent := b.parent()
			b.client.Version = c.client
			_, err := parent.InstantClone(b.ctx, cloneSpec("x"))
			if !soap.IsSoapFault(err) || !strings.Contains(err.Error(), "Unable to resolve WSDL method name InstantClone_Task") {
				t.Errorf("error %v", err)
			}
			_, err = methods.CheckInstantClone_Task(b.ctx, b.client, &types.CheckInstantClone_Task{
				This: *b.client.ServiceContent.VmProvisioningChecker, Vm: parent.Reference(), Spec: cloneSpec("x"),
			})
			if !soap.IsSoapFault(err) {
				t.Errorf("error %v", err)
			}
		})
	}
}
