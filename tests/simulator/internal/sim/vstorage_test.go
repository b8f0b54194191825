// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vslm"
	vslmtypes "github.com/vmware/govmomi/vslm/types"

	"vforge.vsphere/simulator/internal/fcd"
	"vforge.vsphere/simulator/internal/vdisk"
)

// fcdBench is a simulator with a first class disk of 8 MB on LocalDS_0.
type fcdBench struct {
	*bench
	m  fcdManager
	ds types.ManagedObjectReference
	id string
}

// fcdManager is govmomi's manager, with the calls that it lacks.
type fcdManager struct {
	*vslm.ObjectManager
	b *bench
}

func (m fcdManager) RevertSnapshot(ds types.ManagedObjectReference, id, snapshot string) (*object.Task, error) {
	res, err := methods.RevertVStorageObject_Task(m.b.ctx, m.b.client, &types.RevertVStorageObject_Task{
		This: *m.b.client.ServiceContent.VStorageObjectManager, Id: types.ID{Id: id}, Datastore: ds, SnapshotId: types.ID{Id: snapshot},
	})
	if err != nil {
		return nil, err
	}
	return object.NewTask(m.b.client, res.Returnval), nil
}

func (m fcdManager) FromSnapshot(ds types.ManagedObjectReference, id, snapshot, name string) (*object.Task, error) {
	res, err := methods.CreateDiskFromSnapshot_Task(m.b.ctx, m.b.client, &types.CreateDiskFromSnapshot_Task{
		This: *m.b.client.ServiceContent.VStorageObjectManager, Id: types.ID{Id: id}, Datastore: ds, SnapshotId: types.ID{Id: snapshot}, Name: name,
	})
	if err != nil {
		return nil, err
	}
	return object.NewTask(m.b.client, res.Returnval), nil
}

func (m fcdManager) Relocate(ds types.ManagedObjectReference, id string, spec types.VslmRelocateSpec) (*object.Task, error) {
	res, err := methods.RelocateVStorageObject_Task(m.b.ctx, m.b.client, &types.RelocateVStorageObject_Task{
		This: *m.b.client.ServiceContent.VStorageObjectManager, Id: types.ID{Id: id}, Datastore: ds, Spec: spec,
	})
	if err != nil {
		return nil, err
	}
	return object.NewTask(m.b.client, res.Returnval), nil
}

func startFCD(t *testing.T) *fcdBench {
	b := start(t)
	f := &fcdBench{bench: b, m: fcdManager{vslm.NewObjectManager(b.client), b}, ds: b.find("/DC0/datastore/LocalDS_0")}
	f.id = f.create("one", 8)
	return f
}

func (f *fcdBench) spec(name string, mb int64) types.VslmCreateSpec {
	return types.VslmCreateSpec{Name: name, CapacityInMB: mb, BackingSpec: &types.VslmCreateSpecDiskFileBackingSpec{
		VslmCreateSpecBackingSpec: types.VslmCreateSpecBackingSpec{Datastore: f.ds}, ProvisioningType: "thin",
	}}
}

func (f *fcdBench) create(name string, mb int64) string {
	f.Helper()
	task, err := f.m.CreateDisk(f.ctx, f.spec(name, mb))
	return f.object(task, err).Config.Id.Id
}

// ended is the result of a task, which must succeed.
func (f *fcdBench) ended(task *object.Task, err error) types.AnyType {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
	info, err := task.WaitForResult(f.ctx, nil)
	if err != nil {
		f.Fatal(err)
	}
	return info.Result
}

func (f *fcdBench) object(task *object.Task, err error) types.VStorageObject {
	f.Helper()
	return f.ended(task, err).(types.VStorageObject)
}

func (f *fcdBench) snap(description string) string {
	f.Helper()
	return f.ended(f.m.CreateSnapshot(f.ctx, f.ref(), f.id, description)).(types.ID).Id
}

func (f *fcdBench) ref() object.Reference { return f.ds }

func (f *fcdBench) write(id string, offset int64, text string) {
	f.Helper()
	data := bytes.Repeat([]byte(text), vdisk.SectorSize/len(text))
	var out map[string]any
	if status := f.control("POST", "/fcds/"+id+"/writes", map[string]any{"offset": offset, "data": data}, &out); status != http.StatusOK {
		f.Fatalf("%d %v", status, out)
	}
}

func (f *fcdBench) shows(id, query string) string {
	f.Helper()
	status, text := f.raw("GET", f.sim.ControlURL()+"/fcds/"+id+"/bytes?length=1024&"+query, http.DefaultClient, nil)
	if status != http.StatusOK {
		f.Fatalf("%d %s", status, text)
	}
	var out []byte
	for sector := range slices.Chunk(text, vdisk.SectorSize) {
		out = append(out, sector[0])
	}
	return string(bytes.ReplaceAll(out, []byte{0}, []byte{'.'}))
}

// refuses fails the test unless a call or its task ends with a fault.
func (f *fcdBench) refuses(want types.BaseMethodFault) func(*object.Task, error) {
	f.Helper()
	return func(task *object.Task, err error) {
		f.Helper()
		if err != nil {
			f.wantFault(f.callFault(err), want)
			return
		}
		f.wantFault(f.taskFault(task), want)
	}
}

func TestAFirstClassDiskHasItsBytesThroughSnapshotsRevertsAndCopies(t *testing.T) {
	f := startFCD(t)
	f.write(f.id, 0, "a")
	first := f.snap("first")
	f.write(f.id, 512, "b")
	second := f.snap("second")
	f.write(f.id, 0, "c")
	if now, then, last := f.shows(f.id, ""), f.shows(f.id, "snapshot="+first), f.shows(f.id, "snapshot="+second); now != "cb" || then != "a." || last != "ab" {
		t.Fatalf("%s %s %s", now, then, last)
	}
	made := f.object(f.m.FromSnapshot(f.ds, f.id, first, "from-first"))
	clone := f.object(f.m.Clone(f.ctx, f.ref(), f.id, types.VslmCloneSpec{
		Name: "clone", Metadata: []types.KeyValue{{Key: "k", Value: "v"}}, VslmMigrateSpec: types.VslmMigrateSpec{BackingSpec: f.spec("", 0).BackingSpec},
	}))
	if a, b := f.shows(made.Config.Id.Id, ""), f.shows(clone.Config.Id.Id, ""); a != "a." || b != "cb" || len(clone.Config.Metadata) != 1 {
		t.Fatalf("%s %s %+v", a, b, clone.Config.Metadata)
	}
	f.ended(f.m.DeleteSnapshot(f.ctx, f.ref(), f.id, first))
	if now, last := f.shows(f.id, ""), f.shows(f.id, "snapshot="+second); now != "cb" || last != "ab" {
		t.Fatalf("after the first snapshot was removed: %s %s", now, last)
	}
	other := f.spec("", 0).BackingSpec.(*types.VslmCreateSpecDiskFileBackingSpec)
	other.Datastore = f.find("/DC0/datastore/LocalDS_1")
	moved := f.object(f.m.Relocate(f.ds, f.id, types.VslmRelocateSpec{VslmMigrateSpec: types.VslmMigrateSpec{BackingSpec: other}}))
	if moved.Config.Id.Id != f.id || f.shows(f.id, "") != "cb" {
		t.Fatalf("%+v", moved)
	}
	f.refuses(&types.NotFound{})(f.m.DeleteSnapshot(f.ctx, f.ref(), f.id, second)) // it is on the other datastore
	f.ds = other.Datastore
	later := f.snap("later")
	f.ended(f.m.RevertSnapshot(f.ds, f.id, second))
	info, err := f.m.RetrieveSnapshotInfo(f.ctx, f.ref(), f.id)
	if err != nil || len(info.Snapshots) != 1 || f.shows(f.id, "") != "ab" {
		t.Fatalf("%v %+v %s", err, info, f.shows(f.id, ""))
	}
	f.refuses(&types.NotFound{})(f.m.DeleteSnapshot(f.ctx, f.ref(), f.id, later))
	f.ended(f.m.Delete(f.ctx, f.ref(), f.id))
	f.noOrphans()
}

func TestWhatAFirstClassDiskRefuses(t *testing.T) {
	f := startFCD(t)
	none := "00000000-0000-0000-0000-000000000000"
	f.refuses(&types.InvalidArgument{InvalidProperty: "spec.name"})(f.m.CreateDisk(f.ctx, f.spec("", 8)))
	f.refuses(&types.InvalidArgument{InvalidProperty: "spec.capacityInMB"})(f.m.CreateDisk(f.ctx, f.spec("x", 0)))
	odd := f.spec("x", 1)
	odd.BackingSpec.(*types.VslmCreateSpecDiskFileBackingSpec).ProvisioningType = "thick"
	f.refuses(&types.InvalidArgument{InvalidProperty: "spec.backingSpec.provisioningType"})(f.m.CreateDisk(f.ctx, odd))
	f.refuses(&types.InvalidArgument{InvalidProperty: "newCapacityInMB"})(f.m.ExtendDisk(f.ctx, f.ref(), f.id, 7))
	f.ended(f.m.ExtendDisk(f.ctx, f.ref(), f.id, 8))
	f.ended(f.m.ExtendDisk(f.ctx, f.ref(), f.id, 9))
	f.refuses(&types.NotFound{})(f.m.ExtendDisk(f.ctx, f.ref(), none, 9))
	f.refuses(&types.NotFound{})(f.m.Delete(f.ctx, f.ref(), none))
	f.refuses(&types.NotFound{})(f.m.RevertSnapshot(f.ds, f.id, none))
	f.snap("one")
	f.refuses(&types.InvalidState{})(f.m.ExtendDisk(f.ctx, f.ref(), f.id, 10))
	f.refuses(&types.InvalidState{})(f.m.InflateDisk(f.ctx, f.ref(), f.id))
	flags := func(names ...string) error {
		_, err := methods.SetVStorageObjectControlFlags(f.ctx, f.client, &types.SetVStorageObjectControlFlags{
			This: *f.client.ServiceContent.VStorageObjectManager, Id: types.ID{Id: f.id}, Datastore: f.ds, ControlFlags: names,
		})
		return err
	}
	f.wantFault(f.callFault(flags("keepAfterDeleteVm", "unknown")), &types.InvalidArgument{InvalidProperty: "controlFlags"})
	if err := flags("disableRelocation"); err != nil {
		t.Fatal(err)
	}
	found, err := f.m.Retrieve(f.ctx, f.ref(), f.id)
	if err != nil || *found.Config.KeepAfterDeleteVm || !*found.Config.RelocationDisabled || found.Config.CapacityInMB != 9 {
		t.Fatalf("%v %+v", err, found)
	}
	spec := types.VslmRelocateSpec{VslmMigrateSpec: types.VslmMigrateSpec{BackingSpec: f.spec("", 0).BackingSpec}}
	f.refuses(&types.InvalidState{})(f.m.Relocate(f.ds, f.id, spec))
	someone := vslm.NewObjectManager(f.as("Datastore.AllocateSpace"))
	f.refuses(&types.NoPermission{})(someone.Delete(f.ctx, f.ref(), f.id))
	if err := f.m.Rename(f.ctx, f.ref(), f.id, ""); err == nil {
		t.Error("renamed to nothing")
	}
}

func (f *fcdBench) attach(vm *object.VirtualMachine) (*object.Task, error) {
	res, err := methods.AttachDisk_Task(f.ctx, f.client, &types.AttachDisk_Task{This: vm.Reference(), DiskId: types.ID{Id: f.id}, Datastore: f.ds})
	if err != nil {
		return nil, err
	}
	return object.NewTask(f.client, res.Returnval), nil
}

func (f *fcdBench) detach(vm *object.VirtualMachine) (*object.Task, error) {
	res, err := methods.DetachDisk_Task(f.ctx, f.client, &types.DetachDisk_Task{This: vm.Reference(), DiskId: types.ID{Id: f.id}})
	if err != nil {
		return nil, err
	}
	return object.NewTask(f.client, res.Returnval), nil
}

func TestAnAttachedFirstClassDiskIsADiskOfTheVM(t *testing.T) {
	f := startFCD(t)
	vm := object.NewVirtualMachine(f.client, f.made("box", map[string]any{"on": false}))
	f.refuses(&types.NotFound{})(f.detach(vm))
	f.ended(f.attach(vm))
	var key int32
	for _, disk := range vdisk.DisksOf(f.read(vm.Reference()).Config.Hardware.Device) {
		if disk.VDiskId != nil && disk.VDiskId.Id == f.id {
			key = disk.Key
		}
	}
	if key == 0 {
		t.Fatal("the VM has no such disk")
	}
	f.refuses(&types.InvalidState{})(f.attach(vm))
	f.refuses(&types.InvalidState{})(f.m.Delete(f.ctx, f.ref(), f.id))
	f.refuses(&types.InvalidState{})(f.m.ExtendDisk(f.ctx, f.ref(), f.id, 9))
	snapshot := f.snap("while attached")
	f.refuses(&types.InvalidState{})(f.m.RevertSnapshot(f.ds, f.id, snapshot))
	f.power("box", "on")
	f.control("POST", fmt.Sprintf("/vms/box/disks/%d/writes", key), map[string]any{"offset": 0, "data": bytes.Repeat([]byte("g"), 512)}, nil)
	f.power("box", "off")
	f.ended(f.detach(vm))
	if now, then := f.shows(f.id, ""), f.shows(f.id, "snapshot="+snapshot); now != "g." || then != ".." {
		t.Fatalf("%s %s", now, then)
	}
	f.ended(f.attach(vm))
	f.ended(vm.Destroy(f.ctx))
	ids, err := f.m.List(f.ctx, f.ref())
	if err != nil || len(ids) != 1 {
		t.Fatalf("%v %v", ids, err)
	}
	if _, err := f.m.Retrieve(f.ctx, f.ref(), f.id); err == nil {
		t.Fatal("its file went with the VM")
	}
	f.ended(f.m.ReconcileDatastoreInventory(f.ctx, f.ref()))
	if ids, err := f.m.List(f.ctx, f.ref()); err != nil || len(ids) != 0 {
		t.Fatalf("%v %v", ids, err)
	}
}

func TestAFirstClassDiskThatIsKeptOutlivesItsVM(t *testing.T) {
	f := startFCD(t)
	vm := object.NewVirtualMachine(f.client, f.made("box", map[string]any{"on": false}))
	if _, err := methods.SetVStorageObjectControlFlags(f.ctx, f.client, &types.SetVStorageObjectControlFlags{
		This: *f.client.ServiceContent.VStorageObjectManager, Id: types.ID{Id: f.id}, Datastore: f.ds, ControlFlags: []string{"keepAfterDeleteVm"},
	}); err != nil {
		t.Fatal(err)
	}
	f.write(f.id, 0, "a")
	f.ended(f.attach(vm))
	f.ended(vm.Destroy(f.ctx))
	if _, err := f.m.Retrieve(f.ctx, f.ref(), f.id); err != nil || f.shows(f.id, "") != "a." {
		t.Fatal(err)
	}
}

func TestChangedAreasOfADetachedFirstClassDisk(t *testing.T) {
	f := startFCD(t)
	manager := *f.client.ServiceContent.VStorageObjectManager
	plain := f.snap("untracked")
	query := func(snapshot, change string, offset int64) (*types.DiskChangeInfo, error) {
		res, err := methods.VstorageObjectVCenterQueryChangedDiskAreas(f.ctx, f.client, &types.VstorageObjectVCenterQueryChangedDiskAreas{
			This: manager, Id: types.ID{Id: f.id}, Datastore: f.ds, SnapshotId: types.ID{Id: snapshot}, StartOffset: offset, ChangeId: change,
		})
		if err != nil {
			return nil, err
		}
		return &res.Returnval, nil
	}
	_, err := query(plain, "*", 0)
	f.wantCBT(err, "noTrack")
	f.ended(f.m.DeleteSnapshot(f.ctx, f.ref(), f.id, plain))
	if _, err := methods.SetVStorageObjectControlFlags(f.ctx, f.client, &types.SetVStorageObjectControlFlags{
		This: manager, Id: types.ID{Id: f.id}, Datastore: f.ds, ControlFlags: []string{"enableChangedBlockTracking"},
	}); err != nil {
		t.Fatal(err)
	}
	first := f.snap("first")
	f.write(f.id, 1024, "x")
	second := f.snap("second")
	details, err := methods.RetrieveSnapshotDetails(f.ctx, f.client, &types.RetrieveSnapshotDetails{
		This: manager, Id: types.ID{Id: f.id}, Datastore: f.ds, SnapshotId: types.ID{Id: first},
	})
	if err != nil || details.Returnval.ChangedBlockTrackingId == "" {
		t.Fatalf("%v %+v", err, details)
	}
	info, err := query(second, details.Returnval.ChangedBlockTrackingId, 0)
	if err != nil || len(info.ChangedArea) != 1 || info.ChangedArea[0].Start != 1024 || info.Length != 8*fcd.MB {
		t.Fatalf("%v %+v", err, info)
	}
	_, err = query(second, "nonsense", 0)
	f.wantInvalid(f.callFault(err), "changeId")
	_, err = query(second, "*", 8*fcd.MB)
	f.wantInvalid(f.callFault(err), "startOffset")
	_, err = query("nothing", "*", 0)
	f.wantFault(f.callFault(err), &types.NotFound{})
}

func TestTheGlobalCatalogueAnswersInPages(t *testing.T) {
	f := startFCD(t)
	var made struct{ IDs []string }
	f.control("POST", "/fcds", map[string]any{"datastore": "LocalDS_0", "count": 7, "size_mb": 2}, &made)
	f.control("POST", "/vslm", map[string]any{"limit": 3}, nil)
	c, err := vslm.NewClient(f.ctx, f.client)
	if err != nil {
		t.Fatal(err)
	}
	all, err := vslm.NewGlobalObjectManager(c).List(f.ctx)
	if err != nil || len(all.Id) != 8 || len(made.IDs) != 7 {
		t.Fatalf("%v %+v", err, all)
	}
	for _, entry := range all.QueryResults {
		if entry.DiskPath == "" || entry.DatastoreUrl == "" || entry.CapacityInMB < 2 {
			t.Errorf("%+v", entry)
		}
	}
	asked := []types.ID{{Id: f.id}, {Id: "nothing"}}
	found, err := vslm.NewGlobalObjectManager(c).RetrieveObjects(f.ctx, asked)
	if err != nil || found[0].Name != "one" || found[1].Error == nil || found[1].CapacityInMB != -1 {
		t.Fatalf("%v %+v", err, found)
	}
	capacity := vslmtypes.VslmVsoVStorageObjectQuerySpec{QueryField: "capacity", QueryOperator: "greaterThan", QueryValue: []string{"2"}}
	large, err := vslm.NewGlobalObjectManager(c).List(f.ctx, capacity)
	if err != nil || len(large.Id) != 1 {
		t.Fatalf("%v %+v", err, large)
	}
	capacity.QueryValue = nil
	if _, err := vslm.NewGlobalObjectManager(c).List(f.ctx, capacity); !soap.IsSoapFault(err) {
		t.Error("a query without a value: ", err)
	}
	stranger := f.connect()
	if _, err := vslm.NewClient(f.ctx, stranger); err == nil || errors.Is(err, f.ctx.Err()) {
		t.Error("without a session: ", err)
	}
}
