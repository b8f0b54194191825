// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package leases

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/inject"
	"vforge.vsphere/simulator/internal/ovfmanager"
	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vmdkfile"
	"vforge.vsphere/simulator/internal/wire"
)

// exported is what a lease gives away: a VM that is off, or a snapshot of one.
type exported struct {
	vm       *simulator.VirtualMachine
	snapshot *types.ManagedObjectReference
	config   *types.VirtualMachineConfigInfo
}

// ExportVm opens a lease for the disks of a VM that is powered off.
func (sh *VMCalls) ExportVm(ctx *simulator.Context, req *types.ExportVm) soap.HasFault {
	vm := sh.S.VM(req.This)
	of := exported{vm: vm}
	var fault types.BaseMethodFault
	ctx.WithLock(vm, func() {
		of.config = vm.Config
		if vm.Runtime.PowerState != core.PoweredOff {
			fault = core.WrongPower(vm, core.PoweredOff)
		} else if vm.Runtime.ConnectionState != types.VirtualMachineConnectionStateConnected {
			fault = &types.InvalidState{}
		}
	})
	if fault != nil {
		return &methods.ExportVmBody{Fault_: faults.SOAP(fault)}
	}
	l := sh.S.startExport(ctx, of)
	return &methods.ExportVmBody{Res: &types.ExportVmResponse{Returnval: l.Self}}
}

// ExportSnapshot opens a lease for the disks as a snapshot keeps them, whatever the VM does.
func (sh *SnapshotCalls) ExportSnapshot(ctx *simulator.Context, req *types.ExportSnapshot) soap.HasFault {
	snapshot := sh.S.Snapshot(req.This)
	if snapshot == nil {
		return &methods.ExportSnapshotBody{Fault_: faults.NotFound(req.This)}
	}
	if fault := sh.S.Auth.Denied(ctx.Session.UserName, snapshot.Vm, "VApp.Export"); fault != nil {
		return &methods.ExportSnapshotBody{Fault_: faults.SOAP(fault)}
	}
	l := sh.S.startExport(ctx, exported{vm: sh.S.VM(snapshot.Vm), snapshot: &req.This, config: &snapshot.Config})
	return &methods.ExportSnapshotBody{Res: &types.ExportSnapshotResponse{Returnval: l.Self}}
}

// startExport begins the task of an export and its lease.
func (s *Leases) startExport(ctx *simulator.Context, of exported) *Lease {
	task := s.Tasks.New(ctx, of.vm.Self, "ExportVmLRO", false)
	bg := s.Background(ctx.Session.UserName)
	s.Tasks.Start(bg, task)
	l := s.newLease(ctx, task)
	l.mu.Lock()
	l.exporting, l.vm, l.snapshot = true, of.vm.Self, of.snapshot
	l.mu.Unlock()
	go s.openExport(l, of)
	return l
}

// FailingExport makes the lease of an export that fails.
func (s *Leases) FailingExport(call *wire.Call, fault types.BaseMethodFault) types.ManagedObjectReference {
	ctx := s.Background(call.Session.User)
	ctx.Session.Key = call.Session.Key
	task := s.Tasks.New(ctx, s.Tasks.Entity(call), "ExportVmLRO", false)
	s.Tasks.Start(ctx, task)
	l := s.newLease(ctx, task)
	l.mu.Lock()
	l.exporting = true
	l.mu.Unlock()
	go l.fail(fault)
	return l.Self
}

// openExport finds out what there is to export.
func (s *Leases) openExport(l *Lease, of exported) {
	select {
	case <-time.After(s.Cfg.CloneTime):
	case <-l.gone:
		return
	}
	info, err := l.offer(of)
	if err != nil {
		log.Printf("vforge-sim: export of %s: %v", of.vm.Name, err)
		l.fail(&types.SystemError{Reason: err.Error()})
		return
	}
	l.ready(info)
}

// offer lists what there is to download.
func (l *Lease) offer(of exported) (*types.HttpNfcLeaseInfo, error) {
	s := l.s
	host := s.HostOf(of.vm)
	address, thumb, err := s.transferAddress(host)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.host = host.Self
	devices := of.config.Hardware.Device
	for _, disk := range vdisk.DisksOf(devices) {
		top, ok := disk.Backing.(*vdisk.FlatBacking)
		if !ok {
			continue // the content of a raw device stays where it is
		}
		f, err := l.diskFile(of, disk, top)
		if err != nil {
			return nil, err
		}
		l.add(f)
	}
	if of.config.Firmware == string(types.GuestOsDescriptorFirmwareTypeEfi) && !apiversion.Less(s.Cfg.APIVersion, ovfmanager.NVRAMSince) {
		l.add(l.nvramFile(of))
	}
	info := &types.HttpNfcLeaseInfo{Lease: l.Self, Entity: l.vm, LeaseTimeout: int32(max(1, s.Cfg.LeaseTimeout.Seconds()))}
	for _, f := range l.order {
		url := types.HttpNfcLeaseDeviceUrl{
			Key: f.key, Url: "https://" + address + "/nfc/" + l.token + "/" + f.name,
			SslThumbprint: thumb, Disk: types.NewBool(f.disk), TargetId: f.name,
		}
		if !f.disk {
			url.FileSize = f.size // the size of a disk's file shows when it has been written
		}
		info.DeviceUrl = append(info.DeviceUrl, url)
		info.TotalDiskCapacityInKB += f.capacity / 1024
	}
	return info, nil
}

func (l *Lease) add(f *File) {
	l.files[f.name] = f
	l.order = append(l.order, f)
}

// diskFile is a disk that is written when somebody asks for it.
func (l *Lease) diskFile(of exported, disk *types.VirtualDisk, top *vdisk.FlatBacking) (*File, error) {
	image, err := l.s.DiskLayers.Image(top, disk.CapacityInBytes)
	if err != nil {
		return nil, err
	}
	key := ovfmanager.ImportKey(of.vm.Name, of.config.Hardware.Device, disk)
	text := dsfiles.Layer{Name: top.FileName, Capacity: disk.CapacityInBytes, UUID: top.Uuid, Adapter: adapterOf(key)}
	form := l.s.table.formOfDisks()
	return &File{
		name: fmt.Sprintf("disk-%d.vmdk", len(l.order)), key: "/" + of.vm.Self.Value + key[strings.LastIndex(key, "/"):],
		disk: true, capacity: disk.CapacityInBytes,
		send: func(to io.Writer) (int64, error) {
			return vmdkfile.Write(to, vmdkfile.Content{
				ReaderAt: image, Capacity: disk.CapacityInBytes, Allocated: image.Allocated(), Descriptor: text.StreamText(),
			}, form)
		},
	}, nil
}

// adapterOf is how a descriptor calls the controller of a device: it knows three of them.
func adapterOf(key string) string {
	switch {
	case strings.Contains(key, "IDE"):
		return "ide"
	case strings.Contains(key, "BusLogic"):
		return "buslogic"
	}
	return "lsilogic"
}

// nvramFile is the settings of a VM's firmware.
func (l *Lease) nvramFile(of exported) *File {
	dsName, file := dsfiles.Split(strings.TrimSuffix(of.vm.Config.Files.VmPathName, ".vmx") + ".nvram")
	var text []byte
	if ds, ok := l.s.DatastoreOf(of.vm, dsName); ok {
		text, _ = os.ReadFile(dsfiles.Local(ds, file)) // a VM that never ran has none
	}
	if len(text) == 0 {
		text = append([]byte("MRVN"), bytes.Repeat([]byte(of.config.Uuid), 8)...)
	}
	return &File{
		name: path.Base(file), key: "/" + of.vm.Self.Value + "/nvram", size: int64(len(text)),
		send: func(to io.Writer) (int64, error) {
			n, err := to.Write(text)
			return int64(n), err
		},
	}
}

// serveExport sends a file of a lease: whole, and of unknown length, as it is made on the way.
func (s *Leases) serveExport(w http.ResponseWriter, r *http.Request, l *Lease, f *File) {
	up := s.Uploads.begin(l, f, r)
	if up.trouble.status != 0 {
		l.end(f, up, errors.New("refused"))
		http.Error(w, http.StatusText(up.trouble.status), up.trouble.status)
		return
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() { // a lease that ends takes its transfers with it
		select {
		case <-l.gone:
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now()) // a connection that is gone already
		case <-ended:
		}
	}()
	kind := "application/octet-stream"
	if f.disk {
		kind = "application/x-vnd.vmware-streamVmdk"
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(http.StatusOK)
	one, other := sha1.New(), sha256.New()
	counted := &counter{to: io.MultiWriter(up, w, one, other)}
	populated, err := f.send(counted)
	if err == nil {
		l.mu.Lock()
		f.size, f.populated = counted.n, populated
		f.sha1, f.sha256 = hex.EncodeToString(one.Sum(nil)), hex.EncodeToString(other.Sum(nil))
		l.mu.Unlock()
	}
	l.end(f, up, err)
	if err != nil {
		inject.HangUp(w)
	}
}

// counter counts what is written.
type counter struct {
	to io.Writer
	n  int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += int64(n)
	return n, err
}

// HttpNfcLeaseSetManifestChecksumType chooses the algorithm of a file's checksum.
func (sh *leaseShim) HttpNfcLeaseSetManifestChecksumType(ctx *simulator.Context, req *types.HttpNfcLeaseSetManifestChecksumType) soap.HasFault {
	body := &methods.HttpNfcLeaseSetManifestChecksumTypeBody{}
	l, fault := sh.open(ctx, req.This)
	if fault == nil {
		fault = l.chooseChecksums(req.DeviceUrlsToChecksumTypes)
	}
	if fault != nil {
		body.Fault_ = faults.SOAP(fault)
		return body
	}
	body.Res = &types.HttpNfcLeaseSetManifestChecksumTypeResponse{}
	return body
}

func (l *Lease) chooseChecksums(chosen []types.KeyValue) types.BaseMethodFault {
	l.mu.Lock()
	defer l.mu.Unlock()
	byKey := make(map[string]*File)
	for _, f := range l.order {
		byKey[f.key] = f
	}
	for _, pair := range chosen {
		known := pair.Value == string(types.HttpNfcLeaseManifestEntryChecksumTypeSha1) ||
			pair.Value == string(types.HttpNfcLeaseManifestEntryChecksumTypeSha256)
		if byKey[pair.Key] == nil || !known {
			return faults.Invalid("deviceUrlsToChecksumTypes")
		}
	}
	for _, pair := range chosen {
		byKey[pair.Key].algorithm = pair.Value
	}
	return nil
}

// manifestEntry tells of a file that came in or went out.
func (f *File) manifestEntry() types.HttpNfcLeaseManifestEntry {
	e := types.HttpNfcLeaseManifestEntry{
		Key: f.key, Sha1: f.sha1, Size: f.size, Disk: f.disk, Capacity: f.capacity, PopulatedSize: f.populated,
	}
	switch f.algorithm {
	case string(types.HttpNfcLeaseManifestEntryChecksumTypeSha256):
		e.Checksum, e.ChecksumType = f.sha256, f.algorithm
	case string(types.HttpNfcLeaseManifestEntryChecksumTypeSha1):
		e.Checksum, e.ChecksumType = f.sha1, f.algorithm
	}
	return e
}

// ExportedFrom refuses what would change the disks that an export of a snapshot reads.
func (s *Leases) ExportedFrom(call *wire.Call) types.BaseMethodFault {
	vm := call.This
	switch call.Method {
	case "RemoveSnapshot_Task", "RevertToSnapshot_Task":
		snapshot := s.Snapshot(call.This)
		if snapshot == nil {
			return nil
		}
		vm = snapshot.Vm
	case "RemoveAllSnapshots_Task", "ConsolidateVMDisks_Task", "RevertToCurrentSnapshot_Task", "Destroy_Task", "UnregisterVM":
	default:
		return nil
	}
	for _, l := range s.table.list() {
		l.mu.Lock()
		reads := !l.over && l.exporting && l.vm == vm && l.snapshot != nil
		l.mu.Unlock()
		if reads {
			return &types.TaskInProgress{Task: l.task.Self}
		}
	}
	return nil
}
