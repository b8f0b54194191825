// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"vforge.vsphere/simulator/internal/vdisk"
)

// raw sends a request to the control endpoint, or with a client to the SDK's, and
// returns the answer as it is.
func (b *bench) raw(method, address string, client *http.Client, headers map[string]string) (int, []byte) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.ctx, method, address, nil)
	if err != nil {
		b.Fatal(err)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	return res.StatusCode, text
}

// diskBytes reads a part of a disk through the control endpoint.
func (b *bench) diskBytes(vm, query string) []byte {
	b.Helper()
	status, text := b.raw("GET", b.sim.ControlURL()+"/vms/"+vm+"/disks/2000/bytes?"+query, http.DefaultClient, nil)
	if status != http.StatusOK {
		b.Fatalf("%d %s", status, text)
	}
	return text
}

// guestWrites has a guest write through the control endpoint.
func (b *bench) guestWrites(vm string, body map[string]any) {
	b.Helper()
	var told map[string]any
	if status := b.control("POST", "/vms/"+vm+"/disks/2000/writes", body, &told); status != http.StatusOK {
		b.Fatalf("%d %v", status, told)
	}
}

func TestAGuestWritesToItsDisk(t *testing.T) {
	d := start(t).disks("/DC0/vm/golden-parent")
	data := bytes.Repeat([]byte("sector  "), 64)
	d.guestWrites("golden-parent", map[string]any{"offset": 1024, "data": base64.StdEncoding.EncodeToString(data)})
	snapshot := d.snap("before", false)
	d.guestWrites("golden-parent", map[string]any{"offset": 512, "length": 1024, "seed": 7})
	d.guestWrites("golden-parent", map[string]any{"writes": []map[string]any{
		{"offset": 4096, "length": 512, "count": 3, "stride": 1024, "seed": 8}, {"offset": 5632, "length": 512, "seed": 9},
	}})
	kept := d.diskBytes("golden-parent", "offset=512&length=1536&snapshot="+snapshot.Value)
	if want := append(append(make([]byte, 512), data...), make([]byte, 512)...); !bytes.Equal(kept, want) {
		t.Errorf("the snapshot reads %q", kept)
	}
	live := d.diskBytes("golden-parent", "offset=512&length=1536")
	if bytes.Contains(live[:1024], []byte("sector")) || !bytes.Equal(live[1024:], make([]byte, 512)) || bytes.Equal(live[:512], live[512:1024]) {
		t.Errorf("the disk reads %q", live)
	}
	d.guestWrites("golden-parent", map[string]any{"offset": 512, "length": 512, "seed": 7})
	if !bytes.Equal(d.diskBytes("golden-parent", "offset=512&length=512"), live[:512]) {
		t.Error("the same seed wrote something else")
	}
	var told struct {
		Bytes   int64
		Written [][2]int64
		Layers  []struct {
			File, Extent string
			Written      [][2]int64
		}
	}
	d.control("GET", "/vms/golden-parent/disks/2000", nil, &told)
	if got := fmt.Sprint(told.Written); got != "[[512 1024] [4096 512] [5120 1024] [6144 512]]" && got != "[[512 1024] [4096 512] [5120 1536]]" {
		t.Errorf("written: %s", got)
	}
	if told.Bytes != 10<<30 || len(told.Layers) != 2 || fmt.Sprint(told.Layers[1].Written) != "[[1024 512]]" {
		t.Errorf("told %+v", told)
	}
}

func TestAWriteThatTrackingMisses(t *testing.T) {
	d := start(t).disks("/DC0/vm/golden-parent").tracked()
	since := d.changeID(nil)
	d.guestWrites("golden-parent", map[string]any{"offset": 512, "length": 512, "seed": 1})
	d.guestWrites("golden-parent", map[string]any{"offset": 8192, "length": 512, "seed": 2, "missed": true})
	snapshot := d.snap("asked", false)
	if got := d.changes(&snapshot, since); got != "1+1" {
		t.Errorf("tracking tells of %s", got)
	}
	if bytes.Equal(d.diskBytes("golden-parent", "offset=8192&length=512"), make([]byte, 512)) {
		t.Error("it was not written")
	}
}

func TestWhatAGuestCannotWrite(t *testing.T) {
	b := start(t)
	off := map[string]any{"length": 512}
	for name, c := range map[string]struct {
		path   string
		body   map[string]any
		status int
	}{
		"no such VM":        {"/vms/nobody/disks/2000/writes", off, 404},
		"no such disk":      {"/vms/golden-parent/disks/2001/writes", off, 404},
		"a disk's name":     {"/vms/golden-parent/disks/sda/writes", off, 404},
		"half a sector":     {"/vms/golden-parent/disks/2000/writes", map[string]any{"length": 100}, 400},
		"nothing":           {"/vms/golden-parent/disks/2000/writes", map[string]any{}, 400},
		"behind the end":    {"/vms/golden-parent/disks/2000/writes", map[string]any{"offset": 10 << 30, "length": 512}, 400},
		"over each other":   {"/vms/golden-parent/disks/2000/writes", map[string]any{"length": 1024, "count": 2, "stride": 512}, 400},
		"bytes and length":  {"/vms/golden-parent/disks/2000/writes", map[string]any{"length": 512, "data": "AAAA"}, 400},
		"a VM that is off":  {"/vms/server-00002/disks/2000/writes", off, 409},
		"unknown snapshots": {"/vms/golden-parent/disks/2000?snapshot=snapshot-0", nil, 404},
	} {
		method := "POST"
		if c.body == nil {
			method = "GET"
		}
		var told map[string]string
		if status := b.control(method, c.path, c.body, &told); status != c.status || told["error"] == "" {
			t.Errorf("%s: %d %v, want %d", name, status, told, c.status)
		}
	}
	b.patch("golden-parent", map[string]any{"frozen": true})
	if status := b.control("POST", "/vms/golden-parent/disks/2000/writes", off, nil); status != 409 {
		t.Errorf("a frozen guest writes: %d", status)
	}
}

// A workload writes what follows from its seed until it is stopped.
func TestAWorkload(t *testing.T) {
	b := start(t)
	path := "/vms/golden-parent/disks/2000/workload"
	options := map[string]any{"seed": 5, "rate": 5000, "within": 1 << 20, "max_length": 4096}
	if status := b.control("POST", path, options, nil); status != http.StatusOK {
		t.Fatal(status)
	}
	if status := b.control("POST", path, options, nil); status != http.StatusConflict {
		t.Errorf("a second one: %d", status)
	}
	var told struct{ Writes, Bytes int64 }
	for end := time.Now().Add(deadline); told.Writes < 20; {
		if time.Now().After(end) {
			t.Fatal("it writes nothing")
		}
		b.control("GET", path, nil, &told)
	}
	b.control("DELETE", path, nil, &told)
	if told.Writes < 20 || told.Bytes < 20*vdisk.SectorSize {
		t.Errorf("told %+v", told)
	}
	var disk struct{ Written [][2]int64 }
	b.control("GET", "/vms/golden-parent/disks/2000", nil, &disk)
	total := int64(0)
	for _, a := range disk.Written {
		total += a[1]
		if a[0]+a[1] > 1<<20 {
			t.Errorf("it wrote at %d", a[0])
		}
	}
	if total == 0 || total > told.Bytes {
		t.Errorf("%d bytes are on the disk of %d", total, told.Bytes)
	}
	if status := b.control("DELETE", path, nil, nil); status != http.StatusNotFound {
		t.Errorf("stopped twice: %d", status)
	}
}

// A hundred thousand areas on a disk of two tebibytes are one request.
func TestManyAreasOnALargeDisk(t *testing.T) {
	b := start(t)
	const count, size = 20_000, int64(2) << 40 // ten times what one answer lists
	var made map[string]any
	if status := b.control("POST", "/vms", map[string]any{"name": "large", "disks": []map[string]any{{"bytes": size}}}, &made); status != http.StatusOK {
		t.Fatal(made)
	}
	b.guestWrites("large", map[string]any{"length": 512, "count": count, "stride": size / count / 512 * 512, "seed": 1})
	var disk struct{ Written [][2]int64 }
	b.control("GET", "/vms/large/disks/2000", nil, &disk)
	if len(disk.Written) != count {
		t.Errorf("%d areas", len(disk.Written))
	}
}
