// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/vdisk"
)

// file asks for a file of a datastore as a client of the API would.
func (b *bench) file(c *vim25.Client, datastore, path string, headers map[string]string) (int, []byte) {
	b.Helper()
	address := *b.sim.URL()
	address.Path, address.RawQuery = "/folder/"+path, "dcPath=DC0&dsName="+datastore
	return b.raw(http.MethodGet, address.String(), &c.Client.Client, headers)
}

// The files of a disk can be read when no running VM has locked them, by those who may.
func TestFilesOfDatastores(t *testing.T) {
	d := start(t).disks("/DC0/vm/golden-parent")
	const flat, delta = "golden-parent/golden-parent-flat.vmdk", "golden-parent/golden-parent-000001-sesparse.vmdk"
	d.put(1, 'a')
	d.snap("first", false)
	d.put(2, 'b')
	for _, name := range []string{flat, delta} {
		if status, _ := d.file(d.client, "LocalDS_0", name, nil); status != http.StatusInternalServerError {
			t.Errorf("%s of a running VM: %d", name, status)
		}
	}
	if status, text := d.file(d.client, "LocalDS_0", "golden-parent/golden-parent.vmdk", nil); status != http.StatusOK || !bytes.Contains(text, []byte("golden-parent-flat.vmdk")) {
		t.Errorf("the descriptor: %d %s", status, text)
	}
	clone := d.bench.clone("web")
	d.power(false)
	if status, _ := d.file(d.client, "LocalDS_0", flat, nil); status != http.StatusInternalServerError {
		t.Errorf("the base of a running clone: %d", status)
	}
	d.destroy(clone)
	part := map[string]string{"Range": "bytes=508-519"}
	if status, text := d.file(d.client, "LocalDS_0", flat, part); status != http.StatusPartialContent || string(text) != "\x00\x00\x00\x00aaaaaaaa" {
		t.Errorf("a range of the base: %d %q", status, text)
	}
	for want, c := range map[int]*vim25.Client{
		http.StatusUnauthorized: d.connect(), http.StatusForbidden: d.as("Datastore.Browse"),
	} {
		if status, _ := d.file(c, "LocalDS_0", flat, part); status != want {
			t.Errorf("%d, want %d", status, want)
		}
	}
	if status, _ := d.file(d.as("Datastore.FileManagement"), "LocalDS_0", flat, part); status != http.StatusPartialContent {
		t.Errorf("with the privilege: %d", status)
	}
	if status, page := d.file(d.as("Datastore.Browse"), "LocalDS_0", "golden-parent", nil); status != http.StatusOK ||
		!bytes.Contains(page, []byte("/folder/golden-parent/golden-parent.vmdk?dcPath=DC0&amp;dsName=LocalDS_0")) {
		t.Errorf("a directory: %d %s", status, page)
	}
	for name, want := range map[string]int{"golden-parent/no.vmdk": 404, "nowhere/no.vmx": 404} {
		if status, _ := d.file(d.client, "LocalDS_0", name, nil); status != want {
			t.Errorf("%s: %d, want %d", name, status, want)
		}
	}
}

// send sends a request about a file, with a body.
func (b *bench) send(method, datastore, path string, body []byte) (int, string) {
	b.Helper()
	address := *b.sim.URL()
	address.Path, address.RawQuery = "/folder/"+path, "dcPath=DC0&dsName="+datastore
	req, err := http.NewRequestWithContext(b.ctx, method, address.String(), bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	res, err := b.client.Client.Client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	return res.StatusCode, string(text) + res.Header.Get("Content-Length")
}

// attached adds a disk that exists to a VM and returns its task.
func (b *bench) attached(vm types.ManagedObjectReference, file string) *object.Task {
	b.Helper()
	return b.reconfigured(vm, types.VirtualMachineConfigSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{
		&types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationAdd, Device: &types.VirtualDisk{
			VirtualDevice: types.VirtualDevice{ControllerKey: 1000, UnitNumber: types.NewInt32(5), Backing: &vdisk.FlatBacking{
				VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: file},
			}},
		}},
	}})
}

// A disk that is sent as its two files can be used, and taken away again; what running VMs need is
// not written over.
func TestFilesAreSentAndRemoved(t *testing.T) {
	b := start(t)
	off := b.made("off", map[string]any{"on": false, "datastore": "LocalDS_0"})
	status, descriptor := b.send(http.MethodGet, "LocalDS_0", "off/off.vmdk", nil)
	for _, part := range []string{`createType="vmfs"`, `RW 20971520 VMFS "off-flat.vmdk"`, "ddb.uuid = \"60 ", "parentCID=ffffffff"} {
		if status != http.StatusOK || !strings.Contains(descriptor, part) {
			t.Errorf("no %s in %s", part, descriptor)
		}
	}
	text := []byte("# Disk DescriptorFile\nversion=1\ncreateType=\"vmfs\"\nRW 16 VMFS \"new-flat.vmdk\"\n")
	flat := bytes.Repeat([]byte("12345678"), 1024)
	for _, c := range []struct {
		method, path string
		body         []byte
		want         int
	}{
		{http.MethodPut, "off/new.vmdk", text, http.StatusCreated},
		{http.MethodPut, "off/new.vmdk", text, http.StatusOK},
		{http.MethodPut, "off/new-flat.vmdk", flat, http.StatusCreated},
		{http.MethodPut, "nowhere/new.vmdk", text, http.StatusNotFound},
		{http.MethodPut, "golden-parent/golden-parent-flat.vmdk", flat, http.StatusInternalServerError},
		{http.MethodPut, "golden-parent/golden-parent.vmdk", text, http.StatusInternalServerError},
		{http.MethodDelete, "golden-parent/golden-parent.vmdk", nil, http.StatusInternalServerError},
		{http.MethodDelete, "golden-parent", nil, http.StatusInternalServerError},
		{http.MethodDelete, "off/no.vmdk", nil, http.StatusNotFound},
		{http.MethodPatch, "off/new.vmdk", nil, http.StatusMethodNotAllowed},
	} {
		if got, _ := b.send(c.method, "LocalDS_0", c.path, c.body); got != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, got, c.want)
		}
	}
	if status, length := b.send(http.MethodHead, "LocalDS_0", "off/new-flat.vmdk", nil); status != http.StatusOK || length != "8192" {
		t.Errorf("HEAD: %d %s", status, length)
	}
	b.result(b.attached(off, "[LocalDS_0] off/new.vmdk"))
	status, got := b.raw("GET", b.sim.ControlURL()+"/vms/off/disks/2001/bytes", http.DefaultClient, nil)
	if status != http.StatusOK || !bytes.Equal(got, flat) {
		t.Errorf("%d, %d bytes", status, len(got))
	}
	if status, _ := b.send(http.MethodDelete, "LocalDS_0", "off/off-flat.vmdk", nil); status != http.StatusNoContent {
		t.Errorf("DELETE: %d", status)
	}
}

// vSAN has no files of disks: none is read, and what is sent there makes no disk.
func TestDisksOnVsanAreNoFiles(t *testing.T) {
	b := start(t)
	b.control("POST", "/datastores/LocalDS_0", map[string]any{"type": "vsan"}, nil)
	off := b.made("off", map[string]any{"on": false, "datastore": "LocalDS_0"})
	if status, _ := b.send(http.MethodGet, "LocalDS_0", "off/off-flat.vmdk", nil); status != http.StatusNotFound {
		t.Errorf("an extent: %d", status)
	}
	if status, _ := b.send(http.MethodGet, "LocalDS_0", "off/off.vmdk", nil); status != http.StatusOK {
		t.Errorf("a descriptor: %d", status)
	}
	b.send(http.MethodPut, "LocalDS_0", "off/new.vmdk", []byte("# Disk DescriptorFile\nRW 16 VMFS \"new-flat.vmdk\"\n"))
	if status, _ := b.send(http.MethodPut, "LocalDS_0", "off/new-flat.vmdk", make([]byte, 8192)); status != http.StatusCreated {
		t.Errorf("PUT: %d", status) // nothing says yet that it was in vain
	}
	b.wantFault(b.taskFault(b.attached(off, "[LocalDS_0] off/new.vmdk")), &types.InvalidDeviceBacking{})
}

// The descriptor of a delta names the layer below, which has the identity that it names.
func TestADeltaNamesItsParent(t *testing.T) {
	d := start(t).disks("/DC0/vm/golden-parent")
	d.snap("first", false)
	_, base := d.send(http.MethodGet, "LocalDS_0", "golden-parent/golden-parent.vmdk", nil)
	_, delta := d.send(http.MethodGet, "LocalDS_0", "golden-parent/golden-parent-000001.vmdk", nil)
	id := strings.SplitN(strings.SplitN(base, "\nCID=", 2)[1], "\n", 2)[0]
	for _, part := range []string{
		"parentCID=" + id + "\n", `createType="seSparse"`, `parentFileNameHint="golden-parent.vmdk"`, `SESPARSE "golden-parent-000001-sesparse.vmdk"`,
	} {
		if !strings.Contains(delta, part) {
			t.Errorf("no %s in %s", part, delta)
		}
	}
}

// The files of a large inventory are made when somebody asks for them.
func TestListedFilesAreMade(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.VMs = 500 + 2 })
	part := map[string]string{"Range": "bytes=0-3"}
	status, text := b.file(b.client, "LocalDS_1", "server-00002/server-00002-flat.vmdk", part)
	if status != http.StatusPartialContent || string(text) != "\x00\x00\x00\x00" {
		t.Errorf("%d %q", status, text)
	}
	if status, _ := b.file(b.client, "LocalDS_1", "server-00002/server-00002_1-flat.vmdk", part); status != http.StatusNotFound {
		t.Errorf("a disk that it has not: %d", status)
	}
}
