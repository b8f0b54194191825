// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/certs"
	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vmdkfile"
)

const testDisk = 3 << 20

// box is a VM that is off, with a small disk whose second grain has something in it.
func (b *bench) box() types.ManagedObjectReference {
	b.Helper()
	ref := b.made("box", map[string]any{"disks": []map[string]any{{"bytes": testDisk}, {"bytes": 1 << 20}}})
	b.guestWrites("box", map[string]any{"offset": 1 << 16, "length": 512, "seed": 7})
	return ref
}

// exports asks for an export of a VM or a snapshot.
func (b *bench) exports(c *vim25.Client, of types.ManagedObjectReference) (*importing, error) {
	if of.Type == "VirtualMachine" {
		res, err := methods.ExportVm(b.ctx, c, &types.ExportVm{This: of})
		if err != nil {
			return nil, err
		}
		return &importing{bench: b, lease: res.Returnval}, nil
	}
	res, err := methods.ExportSnapshot(b.ctx, c, &types.ExportSnapshot{This: of})
	if err != nil {
		return nil, err
	}
	return &importing{bench: b, lease: res.Returnval}, nil
}

// opened is a lease that is ready.
func (b *bench) opened(of types.ManagedObjectReference) (*importing, mo.HttpNfcLease) {
	b.Helper()
	ex, err := b.exports(b.client, of)
	if err != nil {
		b.Fatal(err)
	}
	return ex, ex.ready()
}

// get asks for a file of an export.
func (b *bench) get(url types.HttpNfcLeaseDeviceUrl, change ...func(*http.Request)) (*http.Response, []byte, error) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, url.Url, nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range change {
		f(req)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: certs.Pinned(url.SslThumbprint)}}
	res, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res, text, err
}

// mustGet downloads a file.
func (b *bench) mustGet(url types.HttpNfcLeaseDeviceUrl) []byte {
	b.Helper()
	res, text, err := b.get(url)
	if err != nil || res.StatusCode != http.StatusOK {
		b.Fatalf("%v, %v", res, err)
	}
	return text
}

// content unpacks a disk's file.
func (b *bench) content(file []byte, capacity int64) []byte {
	b.Helper()
	path := filepath.Join(b.TempDir(), "disk.vmdk")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		b.Fatal(err)
	}
	got := make([]byte, capacity)
	if err := vmdkfile.Unpack(path, func(p []byte, off int64) error { copy(got[off:], p); return nil }); err != nil {
		b.Fatal(err)
	}
	return got
}

func TestAnExport(t *testing.T) {
	b := start(t)
	ref := b.box()
	b.power("box", "off")
	want := b.diskBytes("box", "")
	ex, l := b.opened(ref)
	urls := l.Info.DeviceUrl
	if len(urls) != 2 || l.Info.Entity != ref || l.Info.TotalDiskCapacityInKB != (4<<20)/1024 || l.Info.LeaseTimeout != 300 {
		t.Fatalf("info %+v", l.Info)
	}
	first := urls[0]
	if !*first.Disk || first.ImportKey != "" || first.FileSize != 0 || first.TargetId != "disk-0.vmdk" || first.SslThumbprint == "" ||
		first.Key != "/"+ref.Value+"/ParaVirtualSCSIController0:0" || urls[1].Key != "/"+ref.Value+"/ParaVirtualSCSIController0:1" {
		t.Errorf("URL %+v", first)
	}
	// While its disks go out, the VM is not to be had for anything else.
	_, err := object.NewVirtualMachine(b.client, ref).PowerOn(b.ctx)
	b.wantFault(b.callFault(err), &types.TaskInProgress{})

	_, err = methods.HttpNfcLeaseSetManifestChecksumType(b.ctx, b.client, &types.HttpNfcLeaseSetManifestChecksumType{
		This: ex.lease, DeviceUrlsToChecksumTypes: []types.KeyValue{{Key: first.Key, Value: "sha256"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []types.KeyValue{{Key: first.Key, Value: "md5"}, {Key: "/vm-0/disk", Value: "sha1"}} {
		_, err = methods.HttpNfcLeaseSetManifestChecksumType(b.ctx, b.client, &types.HttpNfcLeaseSetManifestChecksumType{
			This: ex.lease, DeviceUrlsToChecksumTypes: []types.KeyValue{wrong},
		})
		b.wantFault(b.callFault(err), &types.InvalidArgument{})
	}
	file, empty := b.mustGet(first), b.mustGet(urls[1])
	if got := b.content(file, testDisk); !bytes.Equal(got, want) {
		t.Error("another disk than that of the VM")
	}
	if got := b.content(empty, 1<<20); len(bytes.Trim(got, "\x00")) > 0 {
		t.Error("something in an empty disk")
	}
	text := string(file[512:4096])
	for _, part := range []string{`createType="streamOptimized"`, "RDONLY 6144 SPARSE", `ddb.adapterType = "lsilogic"`} {
		if !strings.Contains(text, part) {
			t.Errorf("no %s in %q", part, text)
		}
	}
	manifest, err := methods.HttpNfcLeaseGetManifest(b.ctx, b.client, &types.HttpNfcLeaseGetManifest{This: ex.lease})
	if err != nil {
		t.Fatal(err)
	}
	one, other := sha1.Sum(file), sha256.Sum256(file)
	entry := types.HttpNfcLeaseManifestEntry{
		Key: first.Key, Sha1: hex.EncodeToString(one[:]), Checksum: hex.EncodeToString(other[:]), ChecksumType: "sha256",
		Size: int64(len(file)), Disk: true, Capacity: testDisk, PopulatedSize: 1 << 16,
	}
	if m := manifest.Returnval; len(m) != 2 || m[0] != entry || m[1].PopulatedSize != 0 || m[1].Checksum != "" {
		t.Errorf("manifest %+v, want %+v", m, entry)
	}
	if err := ex.progress(50); err != nil {
		t.Fatal(err)
	}
	if err := ex.complete(); err != nil {
		t.Fatal(err)
	}
	if over := ex.state(types.HttpNfcLeaseStateReady); over.State != types.HttpNfcLeaseStateDone || over.Info != nil {
		t.Errorf("lease %+v", over)
	}
	if res, _, err := b.get(first); err != nil || res.StatusCode != http.StatusNotFound {
		t.Errorf("after the end: %v, %v", res, err)
	}
	b.power("box", "on")
}

// A snapshot is exported whatever its VM does; while it is, it stays.
func TestAnExportOfASnapshot(t *testing.T) {
	b := start(t)
	ref := b.box()
	snapshot := b.snapshot(ref, "kept")
	want := b.diskBytes("box", "snapshot="+snapshot.Value)
	b.guestWrites("box", map[string]any{"offset": 0, "length": 4096, "seed": 9})
	ex, l := b.opened(snapshot)
	file := b.mustGet(l.Info.DeviceUrl[0])
	if !bytes.Equal(b.content(file, testDisk), want) {
		t.Error("another disk than that of the snapshot")
	}
	res, whole, err := b.get(l.Info.DeviceUrl[0], func(r *http.Request) { r.Header.Set("Range", "bytes=100-199") })
	if err != nil || res.StatusCode != http.StatusOK || !bytes.Equal(whole, file) || res.ContentLength != -1 {
		t.Errorf("a range: %v, %v", res, err)
	}
	vm := object.NewVirtualMachine(b.client, ref)
	no := false
	_, err = vm.RemoveSnapshot(b.ctx, "kept", false, &no)
	b.wantFault(b.callFault(err), &types.TaskInProgress{})
	_, err = vm.RemoveAllSnapshot(b.ctx, nil)
	b.wantFault(b.callFault(err), &types.TaskInProgress{})
	b.power("box", "off") // the VM itself is free
	if err := ex.abort(); err != nil {
		t.Fatal(err)
	}
	if over := ex.state(types.HttpNfcLeaseStateReady); over.State != types.HttpNfcLeaseStateError {
		t.Errorf("lease %+v", over)
	}
	if b.read(ref).Snapshot == nil {
		t.Error("the snapshot went with the lease")
	}
	gone, err := vm.RemoveAllSnapshot(b.ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.result(gone)
}

func TestExportsThatAreRefused(t *testing.T) {
	b := start(t)
	ref := b.box()
	_, err := b.exports(b.client, ref)
	b.wantFault(b.callFault(err), &types.InvalidPowerState{})
	snapshot := b.snapshot(ref, "kept")
	b.power("box", "suspend")
	_, err = b.exports(b.client, ref)
	b.wantFault(b.callFault(err), &types.InvalidPowerState{})
	b.power("box", "on")
	b.power("box", "off")
	someone := b.as("VirtualMachine.State.CreateSnapshot")
	for _, of := range []types.ManagedObjectReference{ref, snapshot} {
		_, err = b.exports(someone, of)
		b.wantFault(b.callFault(err), &types.NoPermission{})
	}
	_, l := b.opened(ref)
	_, err = b.exports(b.client, ref)
	b.wantFault(b.callFault(err), &types.TaskInProgress{})
	for _, method := range []string{http.MethodPut, http.MethodPost, http.MethodHead} {
		res, _, err := b.get(l.Info.DeviceUrl[0], func(r *http.Request) { r.Method = method })
		if err != nil || res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %v, %v", method, res, err)
		}
	}
}

// A lease that nobody renews ends; one that a test ends takes its downloads with it; and a download
// that breaks off is begun again from the start.
func TestExportsThatBreakOff(t *testing.T) {
	b := start(t)
	ref := b.box()
	b.power("box", "off")
	b.inject(map[string]any{"method": "ExportVm", "do": "task-fault", "fault": "FileFault"})
	ex, err := b.exports(b.client, ref)
	if err != nil {
		t.Fatal(err)
	}
	if l := ex.state(types.HttpNfcLeaseStateInitializing); l.State != types.HttpNfcLeaseStateError {
		t.Fatalf("lease %+v", l)
	}
	ex, l := b.opened(ref)
	b.control("POST", "/uploads", map[string]any{"drop_after": 60_000}, nil)
	if _, _, err := b.get(l.Info.DeviceUrl[0]); err == nil {
		t.Error("the connection was to be dropped")
	}
	b.mustGet(l.Info.DeviceUrl[0])
	b.control("POST", "/leases", map[string]any{"fail": "HostNotReachable"}, nil)
	if l := ex.state(types.HttpNfcLeaseStateReady); l.Error == nil {
		t.Errorf("lease %+v", l)
	}
	ex, _ = b.opened(ref)
	b.control("POST", "/leases", map[string]any{"fail": "Timedout"}, nil)
	b.wantFault(ex.state(types.HttpNfcLeaseStateReady).Error.Fault, &types.Timedout{})
	b.wantFault(b.callFault(ex.complete()), &types.Timedout{})
}

// The VM's firmware settings go with a VM that has EFI, in releases that know of them.
func TestTheSettingsOfFirmwareAreExported(t *testing.T) {
	for release, want := range map[string]int{"6.5": 1, "8.0.3.0": 2} {
		t.Run(release, func(t *testing.T) {
			b := start(t, func(c *settings.Config) { c.APIVersion = release })
			ref := b.made("efi", map[string]any{"on": false, "disks": []map[string]any{{"bytes": 1 << 20}}})
			b.result(b.reconfigured(ref, types.VirtualMachineConfigSpec{Firmware: "efi"}))
			_, l := b.opened(ref)
			if len(l.Info.DeviceUrl) != want {
				t.Fatalf("%+v", l.Info.DeviceUrl)
			}
			if want == 1 {
				return
			}
			nvram := l.Info.DeviceUrl[1]
			text := b.mustGet(nvram)
			if *nvram.Disk || nvram.Key != "/"+ref.Value+"/nvram" || nvram.TargetId != "efi.nvram" || nvram.FileSize != int64(len(text)) || len(text) == 0 {
				t.Errorf("%+v, %d bytes", nvram, len(text))
			}
		})
	}
}

// What goes out comes in again, bit for bit, in either form.
func TestADiskGoesOutAndComesIn(t *testing.T) {
	for _, form := range []vmdkfile.Form{vmdkfile.Stream, vmdkfile.QEMU} {
		t.Run(string(form), func(t *testing.T) {
			b := start(t)
			if status := b.control("POST", "/leases", map[string]any{"form": form}, nil); status != http.StatusOK {
				t.Fatal(status)
			}
			ref := b.made("box", map[string]any{"disks": []map[string]any{{"bytes": 2 << 20}}})
			b.guestWrites("box", map[string]any{"offset": 4096, "length": 512, "count": 12, "stride": 150 * vdisk.SectorSize, "seed": 3})
			b.power("box", "off")
			want := b.diskBytes("box", "")
			ex, l := b.opened(ref)
			file := b.mustGet(l.Info.DeviceUrl[0])
			if err := ex.complete(); err != nil {
				t.Fatal(err)
			}
			im := b.imported("again")
			in := im.ready()
			im.mustPut(in, 0, file)
			im.mustPut(in, 1, content(2000, 1))
			if err := im.complete(); err != nil {
				t.Fatal(err)
			}
			if got := b.diskBytes("again", ""); !bytes.Equal(got, want) {
				t.Error("another disk came in")
			}
		})
	}
}
