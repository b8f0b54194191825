// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/vmware/govmomi/vim25"

	"vforge.vsphere/simulator/internal/settings"
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
	for name, want := range map[string]int{"golden-parent/no.vmdk": 404, "nowhere/no.vmx": 404} {
		if status, _ := d.file(d.client, "LocalDS_0", name, nil); status != want {
			t.Errorf("%s: %d, want %d", name, status, want)
		}
	}
}

// The files of a large inventory are made when somebody asks for them.
func TestListedFilesAreMade(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.VMs = maxRealFiles + 2 })
	part := map[string]string{"Range": "bytes=0-3"}
	status, text := b.file(b.client, "LocalDS_1", "server-00002/server-00002-flat.vmdk", part)
	if status != http.StatusPartialContent || string(text) != "\x00\x00\x00\x00" {
		t.Errorf("%d %q", status, text)
	}
	if status, _ := b.file(b.client, "LocalDS_1", "server-00002/server-00002_1-flat.vmdk", part); status != http.StatusNotFound {
		t.Errorf("a disk that it has not: %d", status)
	}
}
