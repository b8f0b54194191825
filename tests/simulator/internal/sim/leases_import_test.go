// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/certs"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vmdkfile"
)

// importing is an import of a descriptor as a client makes it.
type importing struct {
	*bench
	lease types.ManagedObjectReference
	items []types.OvfFileItem
}

// importSpec asks for what ImportVApp takes.
func (b *bench) importSpec(text string, change ...func(*types.OvfCreateImportSpecParams)) types.OvfCreateImportSpecResult {
	b.Helper()
	params := types.OvfCreateImportSpecParams{EntityName: "appliance"}
	for _, f := range change {
		f(&params)
	}
	res, err := methods.CreateImportSpec(b.ctx, b.client, &types.CreateImportSpec{
		This: *b.client.ServiceContent.OvfManager, OvfDescriptor: text, Cisp: &params,
		ResourcePool: b.find("/DC0/host/DC0_C0/Resources"), Datastore: b.find("/DC0/datastore/LocalDS_0"),
	})
	if err != nil {
		b.Fatal(err)
	}
	return res.Returnval
}

// imported asks for the import of a VM and returns its lease.
func (b *bench) imported(name string, change ...func(*types.ImportVApp)) *importing {
	b.Helper()
	spec := b.importSpec(twoDisks, func(p *types.OvfCreateImportSpecParams) { p.EntityName = name })
	if len(spec.Error) > 0 {
		b.Fatalf("%+v", spec.Error)
	}
	req := types.ImportVApp{This: b.find("/DC0/host/DC0_C0/Resources"), Spec: spec.ImportSpec}
	for _, f := range change {
		f(&req)
	}
	res, err := methods.ImportVApp(b.ctx, b.client, &req)
	if err != nil {
		b.Fatal(err)
	}
	return &importing{bench: b, lease: res.Returnval, items: spec.FileItem}
}

// state waits for the lease to leave a state, and reads it.
func (im *importing) state(leave types.HttpNfcLeaseState) mo.HttpNfcLease {
	im.Helper()
	var l mo.HttpNfcLease
	pc := property.DefaultCollector(im.client)
	err := property.Wait(im.ctx, pc, im.lease, []string{"state"}, func([]types.PropertyChange) bool {
		if err := pc.RetrieveOne(im.ctx, im.lease, []string{"state", "info", "error", "transferProgress", "initializeProgress"}, &l); err != nil {
			im.Fatal(err)
		}
		return l.State != leave
	})
	if err != nil {
		im.Fatal(err)
	}
	return l
}

func (im *importing) ready() mo.HttpNfcLease {
	im.Helper()
	l := im.state(types.HttpNfcLeaseStateInitializing)
	if l.State != types.HttpNfcLeaseStateReady || l.Info == nil {
		im.Fatalf("lease %+v", l)
	}
	return l
}

// put uploads one file as a client does: to the host, whose certificate is pinned.
func (im *importing) put(l mo.HttpNfcLease, i int, body io.Reader, change ...func(*http.Request)) (*http.Response, error) {
	im.Helper()
	url := l.Info.DeviceUrl[i]
	method := http.MethodPost
	if im.items[i].Create {
		method = http.MethodPut
	}
	req, err := http.NewRequestWithContext(im.ctx, method, url.Url, body)
	if err != nil {
		im.Fatal(err)
	}
	for _, f := range change {
		f(req)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: certs.Pinned(url.SslThumbprint)}}
	res, err := client.Do(req)
	if err == nil {
		res.Body.Close()
	}
	return res, err
}

func (im *importing) mustPut(l mo.HttpNfcLease, i int, body []byte) {
	im.Helper()
	res, err := im.put(l, i, bytes.NewReader(body))
	if err != nil || res.StatusCode != http.StatusCreated {
		im.Fatalf("%v, %v", res, err)
	}
}

func (im *importing) complete() error {
	_, err := methods.HttpNfcLeaseComplete(im.ctx, im.client, &types.HttpNfcLeaseComplete{This: im.lease})
	return err
}

func (im *importing) abort() error {
	_, err := methods.HttpNfcLeaseAbort(im.ctx, im.client, &types.HttpNfcLeaseAbort{This: im.lease})
	return err
}

func (im *importing) progress(percent int32) error {
	_, err := methods.HttpNfcLeaseProgress(im.ctx, im.client, &types.HttpNfcLeaseProgress{This: im.lease, Percent: percent})
	return err
}

// nothingOf fails the test when anything of a VM is left: in the inventory or on disk.
func (b *bench) nothingOf(name string) {
	b.Helper()
	if ref, err := object.NewSearchIndex(b.client).FindByInventoryPath(b.ctx, "/DC0/vm/"+name); err != nil || ref != nil {
		b.Errorf("%s is still there: %v %v", name, ref, err)
	}
	if _, err := os.Stat(b.local(name)); !os.IsNotExist(err) {
		b.Errorf("files of %s are still there: %v", name, err)
	}
	b.noOrphans()
}

func (b *bench) noOrphans() {
	b.Helper()
	var answer struct{ Files []string }
	if b.control("GET", "/orphans", nil, &answer); len(answer.Files) > 0 {
		b.Errorf("files that no VM knows: %v", answer.Files)
	}
}

// content is a disk of 1 MiB whose file has a size, 1,536 bytes at least.
func content(size int, seed byte) []byte {
	p := append(diskHeader(), make([]byte, size-vdisk.SectorSize)...)
	for i := 3 * vdisk.SectorSize; i < size; i++ { // behind an empty grain directory
		p[i] = seed + byte(i*7)
	}
	return p
}

// packedDisk is a disk of 1 MiB with something in every other grain, and its file.
func packedDisk(seed byte, form vmdkfile.Form) (raw, file []byte) {
	raw = make([]byte, 1<<20)
	for i := range raw {
		if i>>16%2 == int(seed)%2 {
			raw[i] = seed + byte(i%251)
		}
	}
	var out bytes.Buffer
	disk := vmdkfile.Content{
		ReaderAt: bytes.NewReader(raw), Capacity: 1 << 20, Allocated: vdisk.Spans{{Start: 0, End: 1 << 20}}, Descriptor: "# Disk",
	}
	if _, err := vmdkfile.Write(&out, disk, form); err != nil {
		panic(err)
	}
	return raw, out.Bytes()
}

// hasDisk fails the test unless the extent of a disk begins with what was in the file sent, and
// has nothing behind it.
func (b *bench) hasDisk(extent string, raw []byte) {
	b.Helper()
	got, err := os.ReadFile(b.local(extent))
	if err != nil || len(got) < len(raw) || !bytes.Equal(got[:len(raw)], raw) || len(bytes.Trim(got[len(raw):], "\x00")) > 0 {
		b.Errorf("%s is not what was sent: %d bytes, %v", extent, len(got), err)
	}
}

func TestAnImport(t *testing.T) {
	b := start(t)
	im := b.imported("appliance")
	l := im.ready()
	if len(l.Info.DeviceUrl) != 2 || l.Info.LeaseTimeout != 300 || l.Info.TotalDiskCapacityInKB != (3<<20)/1024 || l.InitializeProgress != 100 {
		t.Fatalf("info %+v", l.Info)
	}
	vm := b.read(l.Info.Entity)
	if vm.Name != "appliance" || vm.Config.Template || vm.Runtime.PowerState != core.PoweredOff || vm.Config.Hardware.NumCPU != 2 || vm.Config.Hardware.MemoryMB != 512 ||
		vm.Config.Version != "vmx-13" || len(vdisk.DisksOf(vm.Config.Hardware.Device)) != 2 || len(vm.Network) != 1 {
		t.Errorf("config %+v", vm.Config)
	}
	for i, item := range im.items {
		if l.Info.DeviceUrl[i].ImportKey != item.DeviceId || l.Info.DeviceUrl[i].SslThumbprint == "" || strings.Contains(l.Info.DeviceUrl[i].Url, "*") {
			t.Errorf("%+v for %+v", l.Info.DeviceUrl[i], item)
		}
	}
	// What an import works on is not to be had for anything else.
	_, err := object.NewVirtualMachine(b.client, vm.Self).PowerOn(b.ctx)
	b.wantFault(b.callFault(err), &types.TaskInProgress{})
	b.wantFault(b.callFault(object.NewVirtualMachine(b.client, vm.Self).MarkAsTemplate(b.ctx)), &types.TaskInProgress{})
	if len(vm.RecentTask) == 0 {
		t.Error("the VM does not show the import's task")
	}

	rawFirst, first := packedDisk(1, vmdkfile.Stream)
	rawSecond, second := packedDisk(2, vmdkfile.QEMU)
	im.mustPut(l, 0, first)
	b.wantFault(b.callFault(im.complete()), &types.InvalidState{}) // a disk is missing
	im.mustPut(l, 1, second)
	if err := im.progress(99); err != nil {
		t.Fatal(err)
	}
	manifest, err := methods.HttpNfcLeaseGetManifest(b.ctx, b.client, &types.HttpNfcLeaseGetManifest{This: im.lease})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum(second)
	if m := manifest.Returnval; len(m) != 2 || m[1].Size != int64(len(second)) || m[1].Sha1 != hex.EncodeToString(sum[:]) || m[1].Key != l.Info.DeviceUrl[1].Key || !m[1].Disk {
		t.Errorf("manifest %+v", m)
	}
	if err := im.complete(); err != nil {
		t.Fatal(err)
	}
	if l := im.state(types.HttpNfcLeaseStateReady); l.State != types.HttpNfcLeaseStateDone || l.Info != nil || l.Error != nil {
		t.Errorf("lease %+v", l)
	}
	b.wantFault(b.callFault(im.complete()), &types.InvalidState{})
	b.wantFault(b.callFault(im.abort()), &types.InvalidState{})
	b.wantFault(b.callFault(im.progress(100)), &types.InvalidState{})
	b.hasDisk("appliance/appliance-flat.vmdk", rawFirst)
	b.hasDisk("appliance/appliance_1-flat.vmdk", rawSecond)
	var uploads struct{ Count, Done, Bytes int }
	if b.control("GET", "/uploads", nil, &uploads); uploads.Count != 2 || uploads.Done != 2 || uploads.Bytes != len(first)+len(second) {
		t.Errorf("uploads %+v", uploads)
	}
	b.noOrphans()
	b.power("appliance", "on")
	b.ready(vm.Self)
}

func TestNothingIsLeftOfAnImportThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*importing)
		want types.BaseMethodFault
	}{
		"aborted": {func(im *importing) {
			if err := im.abort(); err != nil {
				im.Fatal(err)
			}
		}, &types.RequestCanceled{}},
		"aborted with a reason": {func(im *importing) {
			_, err := methods.HttpNfcLeaseAbort(im.ctx, im.client, &types.HttpNfcLeaseAbort{
				This: im.lease, Fault: &types.LocalizedMethodFault{Fault: &types.FileNotFound{}},
			})
			if err != nil {
				im.Fatal(err)
			}
		}, &types.FileNotFound{}},
		"forgotten": {func(im *importing) { im.control("POST", "/leases", map[string]any{"fail": "Timedout"}, nil) }, &types.Timedout{}},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			im := b.imported("appliance")
			l := im.ready()
			im.mustPut(l, 0, content(2000, 1))
			c.end(im)
			over := im.state(types.HttpNfcLeaseStateReady)
			if over.State != types.HttpNfcLeaseStateError || over.Error == nil || over.Info != nil {
				t.Fatalf("lease %+v", over)
			}
			b.wantFault(over.Error.Fault, c.want)
			b.nothingOf("appliance")
			if res, err := im.put(l, 1, bytes.NewReader(content(2000, 1))); err != nil || res.StatusCode != http.StatusNotFound {
				t.Errorf("an upload to a lease that is over: %v, %v", res, err)
			}
			if name == "forgotten" {
				b.wantFault(b.callFault(im.progress(5)), &types.Timedout{})
				b.wantFault(b.callFault(im.complete()), &types.Timedout{})
			}
			b.imported("appliance").ready() // the name is free again
		})
	}
}

func TestALeaseEndsWithoutSignsOfLife(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.LeaseTimeout = 50 * time.Millisecond })
	im := b.imported("appliance")
	l := im.state(types.HttpNfcLeaseStateInitializing)
	if l.State == types.HttpNfcLeaseStateReady {
		l = im.state(types.HttpNfcLeaseStateReady)
	}
	b.wantFault(l.Error.Fault, &types.Timedout{})
	b.nothingOf("appliance")
}

// Data that moves keeps a lease from stalling, the client's word alone does not.
func TestALeaseThroughWhichNothingMoves(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.LeaseTimeout = 400 * time.Millisecond })
	im := b.imported("appliance")
	im.state(types.HttpNfcLeaseStateInitializing)
	var err error
	for begun := time.Now(); err == nil && time.Since(begun) < deadline; time.Sleep(50 * time.Millisecond) {
		err = im.progress(1)
	}
	b.wantFault(b.callFault(err), &types.Timedout{})
	b.nothingOf("appliance")
}

func TestImportsOfATakenName(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.CloneTime = 20 * time.Millisecond })
	const many = 20
	var mu sync.Mutex
	var winners []types.ManagedObjectReference
	holders := make(map[types.ManagedObjectReference]int)
	var all sync.WaitGroup
	for range many {
		all.Add(1)
		go func() {
			defer all.Done()
			l := b.imported("appliance").state(types.HttpNfcLeaseStateInitializing)
			mu.Lock()
			defer mu.Unlock()
			if l.State == types.HttpNfcLeaseStateReady {
				winners = append(winners, l.Info.Entity)
			} else if fault, ok := l.Error.Fault.(*types.DuplicateName); ok {
				holders[fault.Object]++
			} else {
				t.Errorf("lease %+v", l.Error)
			}
		}()
	}
	all.Wait()
	if len(winners) != 1 || holders[winners[0]] != many-1 {
		t.Errorf("winners %v, losers were told of %v", winners, holders)
	}
}

func TestAnImportGoesWhereItIsAskedTo(t *testing.T) {
	b := start(t)
	there := func(r *types.ImportVApp) {
		r.Spec.(*types.VirtualMachineImportSpec).ConfigSpec.Files.VmPathName = "[LocalDS_0] images/of/base.vmx"
	}
	b.imported("appliance", there).ready()
	for _, name := range []string{"base.vmx", "base.vmdk"} {
		if !dsfiles.Exists(b.local("images/of/" + name)) {
			t.Errorf("%s is not there", name)
		}
	}
	l := b.imported("another", there).state(types.HttpNfcLeaseStateInitializing)
	b.wantFault(l.Error.Fault, &types.FileAlreadyExists{})
}

func TestImportsThatAreRefused(t *testing.T) {
	b := start(t)
	spec := func(change func(*types.VirtualMachineConfigSpec)) func(*types.ImportVApp) {
		return func(r *types.ImportVApp) { change(&r.Spec.(*types.VirtualMachineImportSpec).ConfigSpec) }
	}
	for name, c := range map[string]struct {
		change func(*types.ImportVApp)
		want   types.BaseMethodFault
	}{
		"no name":        {spec(func(s *types.VirtualMachineConfigSpec) { s.Name = "" }), &types.InvalidArgument{}},
		"no files":       {spec(func(s *types.VirtualMachineConfigSpec) { s.Files = nil }), &types.InvalidArgument{}},
		"datastore":      {spec(func(s *types.VirtualMachineConfigSpec) { s.Files.VmPathName = "[nowhere]" }), &types.InvalidDatastorePath{}},
		"no vmx":         {spec(func(s *types.VirtualMachineConfigSpec) { s.Files.VmPathName = "[LocalDS_0] a/b" }), &types.InvalidDatastorePath{}},
		"no directory":   {spec(func(s *types.VirtualMachineConfigSpec) { s.Files.VmPathName = "[LocalDS_0] a.vmx" }), &types.InvalidDatastorePath{}},
		"a way out":      {spec(func(s *types.VirtualMachineConfigSpec) { s.Files.VmPathName = "[LocalDS_0] ../a/a.vmx" }), &types.InvalidDatastorePath{}},
		"host elsewhere": {func(r *types.ImportVApp) { r.Host = b.ref("/DC0/host/DC0_C1/DC0_C1_H0") }, &types.InvalidArgument{}},
		"folder":         {func(r *types.ImportVApp) { r.Folder = b.ref("/DC0/host") }, &types.InvalidArgument{}},
		"vApp":           {func(r *types.ImportVApp) { r.Spec = &types.VirtualAppImportSpec{Name: "x"} }, &types.NotSupported{}},
		"no such policy": {spec(func(s *types.VirtualMachineConfigSpec) {
			s.DeviceChange[1].GetVirtualDeviceConfigSpec().Profile = []types.BaseVirtualMachineProfileSpec{
				&types.VirtualMachineDefinedProfileSpec{ProfileId: "nobody's"},
			}
		}), &types.InvalidArgument{}},
	} {
		t.Run(name, func(t *testing.T) {
			res := b.importSpec(twoDisks)
			req := types.ImportVApp{This: b.find("/DC0/host/DC0_C0/Resources"), Spec: res.ImportSpec}
			c.change(&req)
			_, err := methods.ImportVApp(b.ctx, b.client, &req)
			b.wantFault(b.callFault(err), c.want)
		})
	}
	im := b.imported("appliance", spec(func(s *types.VirtualMachineConfigSpec) {
		s.DeviceChange[1].GetVirtualDeviceConfigSpec().Device.GetVirtualDevice().ControllerKey = -7
	}))
	l := im.state(types.HttpNfcLeaseStateInitializing)
	b.wantFault(l.Error.Fault, &types.InvalidDeviceSpec{})
	b.nothingOf("appliance")
}

func TestPrivilegesOfAnImport(t *testing.T) {
	b := start(t)
	all := []string{"VApp.Import", "VirtualMachine.Inventory.Create", "Datastore.AllocateSpace", "Resource.AssignVMToPool", "Network.Assign"}
	req := types.ImportVApp{This: b.find("/DC0/host/DC0_C0/Resources"), Spec: b.importSpec(twoDisks).ImportSpec}
	for i, lacks := range all {
		have := append(append([]string{}, all[:i]...), all[i+1:]...)
		_, err := methods.ImportVApp(b.ctx, b.as(have...), &req)
		if fault, ok := b.callFault(err).(types.NoPermission); !ok || fault.PrivilegeId != lacks {
			t.Errorf("fault %+v, want one for %s", fault, lacks)
		}
	}
	someone := b.as(all...)
	res, err := methods.ImportVApp(b.ctx, someone, &req)
	if err != nil {
		t.Fatal(err)
	}
	// A lease is its session's alone.
	_, err = methods.HttpNfcLeaseAbort(b.ctx, b.client, &types.HttpNfcLeaseAbort{This: res.Returnval})
	b.wantFault(b.callFault(err), &types.ManagedObjectNotFound{})
	im := &importing{bench: b, lease: res.Returnval}
	im.ready()
	if _, err = methods.HttpNfcLeaseAbort(b.ctx, someone, &types.HttpNfcLeaseAbort{This: res.Returnval}); err != nil {
		t.Error(err)
	}
}

func TestNoFileOfAVMIsAnOrphanWhateverItsName(t *testing.T) {
	b := start(t)
	b.clone(" blanks  around ")
	b.noOrphans()
}

// The sizes in layoutEx are those from before the upload until somebody has them read again.
func TestSizesAreReadAgainOnRequest(t *testing.T) {
	b := start(t)
	im := b.imported("late")
	l := im.ready()
	_, file := packedDisk(1, vmdkfile.Stream)
	im.mustPut(l, 0, file)
	im.mustPut(l, 1, content(3000, 2)) // which holds nothing
	if err := im.complete(); err != nil {
		t.Fatal(err)
	}
	sizes := func() (out []int64) {
		var vm mo.VirtualMachine
		if err := property.DefaultCollector(im.client).RetrieveOne(im.ctx, l.Info.Entity, []string{"layoutEx"}, &vm); err != nil {
			t.Fatal(err)
		}
		for _, f := range vm.LayoutEx.File {
			if f.Type == string(types.VirtualMachineFileLayoutExFileTypeDiskExtent) {
				out = append(out, f.Size)
			}
		}
		return out
	}
	if got := sizes(); len(got) != 2 || got[0] != 0 || got[1] != 0 {
		t.Errorf("before: %v", got)
	}
	if _, err := methods.RefreshStorageInfo(im.ctx, im.client, &types.RefreshStorageInfo{This: l.Info.Entity}); err != nil {
		t.Fatal(err)
	}
	if got := sizes(); got[0] != 1<<19 || got[1] != 0 {
		t.Errorf("after: %v", got)
	}
}

// The task of an import is cancelled where vCenter lets it be, and takes the VM with it.
func TestImportsThatAreCancelled(t *testing.T) {
	b := start(t)
	cancel := func(im *importing, l mo.HttpNfcLease) error {
		var vm mo.VirtualMachine
		if err := property.DefaultCollector(im.client).RetrieveOne(im.ctx, l.Info.Entity, []string{"recentTask"}, &vm); err != nil {
			t.Fatal(err)
		}
		_, err := methods.CancelTask(im.ctx, im.client, &types.CancelTask{This: vm.RecentTask[0]})
		return err
	}
	im := b.imported("kept")
	im.wantFault(im.callFault(cancel(im, im.ready())), &types.NotSupported{})
	if err := im.abort(); err != nil {
		t.Fatal(err)
	}
	b.control("POST", "/leases", map[string]any{"cancelable": true}, nil)
	im = b.imported("gone")
	if err := cancel(im, im.ready()); err != nil {
		t.Fatal(err)
	}
	if l := im.state(types.HttpNfcLeaseStateReady); l.State != types.HttpNfcLeaseStateError {
		t.Errorf("%+v", l)
	}
	im.nothingOf("gone")
}

// A disk with parent references is whole when a file of each link has come in.
func TestEveryLinkOfADiskIsWaitedFor(t *testing.T) {
	b := start(t)
	text := strings.Replace(twoDisks, `ovf:fileRef="f1"`, `ovf:fileRef="f1" ovf:parentRef="d2"`, 1)
	spec := b.importSpec(text, func(p *types.OvfCreateImportSpecParams) { p.EntityName = "chain" })
	res, err := methods.ImportVApp(b.ctx, b.client, &types.ImportVApp{This: b.find("/DC0/host/DC0_C0/Resources"), Spec: spec.ImportSpec})
	if err != nil {
		t.Fatal(err)
	}
	im := &importing{bench: b, lease: res.Returnval, items: spec.FileItem}
	l := im.ready()
	below, base := packedDisk(1, vmdkfile.Stream)
	above, top := packedDisk(2, vmdkfile.Stream)
	im.mustPut(l, 0, base)
	im.mustPut(l, 1, content(3000, 2))
	im.wantFault(im.callFault(im.complete()), &types.InvalidState{})
	im.mustPut(l, 0, top)
	if err := im.complete(); err != nil {
		t.Fatal(err)
	}
	for i := range below {
		below[i] |= above[i] // they have different grains
	}
	b.hasDisk("chain/chain-flat.vmdk", below)
}
