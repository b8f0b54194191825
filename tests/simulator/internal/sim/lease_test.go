// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
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
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: pullTLS(url.SslThumbprint)}}
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

func content(size int, seed byte) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = seed + byte(i*7)
	}
	return p
}

func TestAnImport(t *testing.T) {
	b := start(t)
	im := b.imported("appliance")
	l := im.ready()
	if len(l.Info.DeviceUrl) != 2 || l.Info.LeaseTimeout != 300 || l.Info.TotalDiskCapacityInKB != (3<<20)/1024 || l.InitializeProgress != 100 {
		t.Fatalf("info %+v", l.Info)
	}
	vm := b.read(l.Info.Entity)
	if vm.Name != "appliance" || vm.Config.Template || vm.Runtime.PowerState != poweredOff || vm.Config.Hardware.NumCPU != 2 || vm.Config.Hardware.MemoryMB != 512 ||
		vm.Config.Version != "vmx-13" || len(disksOf(vm.Config.Hardware.Device)) != 2 || len(vm.Network) != 1 {
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

	first, second := content(100_000, 1), content(3_000, 2)
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
	if m := manifest.Returnval; len(m) != 2 || m[1].Size != 3_000 || m[1].Sha1 != hex.EncodeToString(sum[:]) || m[1].Key != l.Info.DeviceUrl[1].Key || !m[1].Disk {
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
	for i, want := range [][]byte{first, second} {
		got, err := os.ReadFile(b.local([]string{"appliance/appliance-flat.vmdk", "appliance/appliance_1-flat.vmdk"}[i]))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("disk %d is not what was sent: %d bytes, %v", i, len(got), err)
		}
	}
	var uploads struct{ Count, Done, Bytes int }
	if b.control("GET", "/uploads", nil, &uploads); uploads.Count != 2 || uploads.Done != 2 || uploads.Bytes != 103_000 {
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
		"forgotten": {func(*importing) {}, &types.Timedout{}},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, func(c *Config) {
				if name == "forgotten" {
					c.LeaseTimeout = 300 * time.Millisecond
				}
			})
			im := b.imported("appliance")
			l := im.ready()
			im.mustPut(l, 0, content(1000, 1))
			c.end(im)
			over := im.state(types.HttpNfcLeaseStateReady)
			if over.State != types.HttpNfcLeaseStateError || over.Error == nil || over.Info != nil {
				t.Fatalf("lease %+v", over)
			}
			b.wantFault(over.Error.Fault, c.want)
			b.nothingOf("appliance")
			if res, err := im.put(l, 1, bytes.NewReader(content(1000, 1))); err != nil || res.StatusCode != http.StatusNotFound {
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

// A lease ends an upload that is still running, however slow, and removes what has come in.
func TestAnAbortEndsUploads(t *testing.T) {
	b := start(t)
	b.control("POST", "/uploads", map[string]any{"rate": 1000, "times": 0}, nil)
	im := b.imported("appliance")
	l := im.ready()
	ended := make(chan error, 1)
	go func() {
		_, err := im.put(l, 0, bytes.NewReader(content(2<<20, 1)))
		ended <- err
	}()
	for {
		var uploads struct{ Bytes int }
		if b.control("GET", "/uploads", nil, &uploads); uploads.Bytes > 0 {
			break
		}
	}
	if err := im.abort(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the upload went well")
	}
	b.nothingOf("appliance")
}

func TestADroppedUploadIsDoneAgain(t *testing.T) {
	b := start(t)
	b.control("POST", "/uploads", map[string]any{"drop_after": 50_000, "file": "disk-0.vmdk"}, nil)
	im := b.imported("appliance")
	l := im.ready()
	if _, err := im.put(l, 0, bytes.NewReader(content(2<<20, 1))); err == nil {
		t.Error("the connection was to be dropped")
	}
	im.mustPut(l, 1, content(3_000, 2))
	b.wantFault(b.callFault(im.complete()), &types.InvalidState{})
	want := content(100_000, 3)
	im.mustPut(l, 0, want)
	if err := im.complete(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(b.local("appliance/appliance-flat.vmdk")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	b.noOrphans()
}

// Sending what the descriptor says of a file's size, and not the size that the file has,
// cuts disks short; nothing but the size tells.
func TestAShortContentLengthTruncates(t *testing.T) {
	b := start(t)
	im := b.imported("appliance")
	l := im.ready()
	res, err := im.put(l, 0, io.LimitReader(bytes.NewReader(content(10_000, 1)), 4_000), func(r *http.Request) { r.ContentLength = 4_000 })
	if err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("%v, %v", res, err)
	}
	im.mustPut(l, 1, content(10, 1))
	if err := im.complete(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(b.local("appliance/appliance-flat.vmdk")); err != nil || info.Size() != 4_000 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestUploadsThatAreRefused(t *testing.T) {
	b := start(t)
	b.control("POST", "/uploads", map[string]any{"status": 503, "file": "disk-1.vmdk"}, nil)
	im := b.imported("appliance")
	l := im.ready()
	for name, c := range map[string]struct {
		i      int
		change func(*http.Request)
		want   int
	}{
		"PUT for a disk that is there": {0, func(r *http.Request) { r.Method = http.MethodPut }, http.StatusMethodNotAllowed},
		"GET":                          {0, func(r *http.Request) { r.Method = http.MethodGet }, http.StatusMethodNotAllowed},
		"another disk":                 {0, func(r *http.Request) { r.URL.Path += "x" }, http.StatusNotFound},
		"another lease":                {0, func(r *http.Request) { r.URL.Path = "/nfc/0123/disk-0.vmdk" }, http.StatusNotFound},
		"a test's wish":                {1, func(*http.Request) {}, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := im.put(l, c.i, nil, c.change)
			if err != nil || res.StatusCode != c.want {
				t.Errorf("%v, %v; want %d", res, err, c.want)
			}
		})
	}
	// The host's certificate is its own: whoever trusts the vCenter's CA does not trust it.
	url := l.Info.DeviceUrl[0].Url
	if _, err := (&http.Client{}).Post(url, "", nil); err == nil {
		t.Error("the host has a certificate that others trust")
	}
}

// Data that moves keeps a lease from stalling, the client's word alone does not.
func TestALeaseThroughWhichNothingMoves(t *testing.T) {
	b := start(t, func(c *Config) { c.LeaseTimeout = 400 * time.Millisecond })
	im := b.imported("appliance")
	im.ready()
	var err error
	for begun := time.Now(); err == nil && time.Since(begun) < deadline; time.Sleep(50 * time.Millisecond) {
		err = im.progress(1)
	}
	b.wantFault(b.callFault(err), &types.Timedout{})
	b.nothingOf("appliance")
}

func TestImportsOfATakenName(t *testing.T) {
	b := start(t, func(c *Config) { c.CloneTime = 20 * time.Millisecond })
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
		"host elsewhere": {func(r *types.ImportVApp) { r.Host = b.ref("/DC0/host/DC0_C1/DC0_C1_H0") }, &types.InvalidArgument{}},
		"folder":         {func(r *types.ImportVApp) { r.Folder = b.ref("/DC0/host") }, &types.InvalidArgument{}},
		"vApp":           {func(r *types.ImportVApp) { r.Spec = &types.VirtualAppImportSpec{Name: "x"} }, &types.NotSupported{}},
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
	all := []string{"VApp.Import", "VirtualMachine.Inventory.Create", "Datastore.AllocateSpace", "Resource.AssignVMToPool"}
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

func TestPull(t *testing.T) {
	b := start(t)
	disk := content(70_000, 5)
	serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/a.vmdk" || r.Header.Get("X-Token") != "yes" {
			http.NotFound(w, r)
			return
		}
		if _, err := w.Write(disk); err != nil {
			t.Error(err)
		}
	})
	plain, secure := httptest.NewServer(serve), httptest.NewUnstartedServer(serve)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // that it is refused is the point
	secure.StartTLS()
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	thumb := sha1Thumbprint(secure.Certificate().Raw)
	im := b.imported("appliance")
	l := im.ready()
	pull := func(i int, url, thumb string) (*object.Task, error) {
		res, err := methods.HttpNfcLeasePullFromUrls_Task(b.ctx, b.client, &types.HttpNfcLeasePullFromUrls_Task{
			This: im.lease, Files: []types.HttpNfcLeaseSourceFile{{
				TargetDeviceId: im.items[i].DeviceId, Url: url, SslThumbprint: thumb, HttpHeaders: []types.KeyValue{{Key: "X-Token", Value: "yes"}},
			}},
		})
		if err != nil {
			return nil, err
		}
		return object.NewTask(b.client, res.Returnval), nil
	}
	for name, c := range map[string]struct {
		url, thumb string
		want       types.BaseMethodFault
	}{
		"not there":        {plain.URL + "/b.vmdk", "", &types.HttpFault{}},
		"other server":     {secure.URL + "/a.vmdk", strings.Repeat("00:", 19) + "00", &types.SSLVerifyFault{}},
		"unknown server":   {secure.URL + "/a.vmdk", "", &types.HttpFault{}},
		"no URL of theirs": {"ftp://localhost/a.vmdk", "", &types.InvalidArgument{}},
	} {
		t.Run(name, func(t *testing.T) {
			task, err := pull(0, c.url, c.thumb)
			if err != nil {
				t.Fatal(err)
			}
			b.wantFault(b.taskFault(task), c.want)
		})
	}
	for i, url := range []string{plain.URL + "/a.vmdk", secure.URL + "/a.vmdk"} {
		task, err := pull(i, url, thumb)
		if err != nil {
			t.Fatal(err)
		}
		b.result(task)
	}
	if err := im.complete(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(b.local("appliance/appliance_1-flat.vmdk")); err != nil || !bytes.Equal(got, disk) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if l.Info == nil {
		t.Error("no info")
	}
}

func TestUploadsThroughTheServerThatWasAsked(t *testing.T) {
	b := start(t, func(c *Config) { c.DiscardUploads = true })
	b.control("POST", "/leases", map[string]any{"relayed": true}, nil)
	im := b.imported("appliance")
	l := im.ready()
	for i := range l.Info.DeviceUrl {
		url := &l.Info.DeviceUrl[i]
		if !strings.HasPrefix(url.Url, "https://*/nfc/") {
			t.Fatalf("URL %s", url.Url)
		}
		url.Url = strings.Replace(url.Url, "*", b.sim.sdkAddr.String(), 1)
		im.mustPut(l, i, content(5_000_000, 1))
	}
	if err := im.complete(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(b.local("appliance/appliance-flat.vmdk")); err != nil || info.Size() != 5_000_000 {
		t.Errorf("%v, %v", info, err)
	}
}

// Connections to a host show the host's own certificate, and each host has another.
func TestHostsHaveCertificatesOfTheirOwn(t *testing.T) {
	b := start(t)
	l := b.imported("appliance").ready()
	address := strings.Split(strings.TrimPrefix(l.Info.DeviceUrl[0].Url, "https://"), "/")[0]
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := sha1Thumbprint(conn.ConnectionState().PeerCertificates[0].Raw); got != l.Info.DeviceUrl[0].SslThumbprint {
		t.Errorf("%s, announced was %s", got, l.Info.DeviceUrl[0].SslThumbprint)
	}
	if errors.Is(b.ctx.Err(), context.DeadlineExceeded) {
		t.Error("too late")
	}
}

func TestFailuresOfImportsThatATestAsksFor(t *testing.T) {
	b := start(t)
	b.control("POST", "/inject", map[string]any{"method": "ImportVApp", "name": "appliance", "do": "task-fault", "fault": "FileFault"}, nil)
	l := b.imported("appliance").state(types.HttpNfcLeaseStateInitializing)
	if l.State != types.HttpNfcLeaseStateError {
		t.Fatalf("lease %+v", l)
	}
	b.wantFault(l.Error.Fault, &types.FileFault{})
	b.nothingOf("appliance")
	im := b.imported("appliance")
	im.ready()
	b.control("POST", "/leases", map[string]any{"fail": "HostNotReachable"}, nil)
	if l := im.state(types.HttpNfcLeaseStateReady); l.Error == nil {
		t.Errorf("lease %+v", l)
	}
	b.nothingOf("appliance")
	if status := b.control("POST", "/leases", map[string]any{"fail": "Nonsense"}, nil); status != http.StatusBadRequest {
		t.Errorf("a fault that is none: %d", status)
	}
	for _, body := range []map[string]any{{}, {"rate": -1}, {"status": 200}, {"drop_after": 1, "file": "["}} {
		if status := b.control("POST", "/uploads", body, nil); status != http.StatusBadRequest {
			t.Errorf("%v is taken: %d", body, status)
		}
	}
}
