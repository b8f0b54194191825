// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"testing"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/ovfdoc"
	"vforge.vsphere/simulator/internal/vdisk"
)

func (b *bench) described(ref types.ManagedObjectReference, params types.OvfCreateDescriptorParams) string {
	b.Helper()
	res, err := methods.CreateDescriptor(b.ctx, b.client, &types.CreateDescriptor{
		This: *b.client.ServiceContent.OvfManager, Obj: ref, Cdp: params,
	})
	if err != nil {
		b.Fatal(err)
	}
	if len(res.Returnval.Error) > 0 {
		b.Fatalf("%+v", res.Returnval.Error)
	}
	return res.Returnval.OvfDescriptor
}

// What vCenter writes of a VM it also reads: the descriptor and the disks make the same VM again.
func TestADescriptorIsThatOfItsVM(t *testing.T) {
	b := start(t)
	ref := b.made("a <box>", map[string]any{"disks": []map[string]any{{"bytes": 2 << 20}, {"bytes": 1 << 20}}, "networks": []string{"VM Network"}})
	b.result(b.reconfigured(ref, types.VirtualMachineConfigSpec{Annotation: "for <tests> & more"}))
	b.power("a <box>", "off")
	b.result(b.reconfigured(ref, types.VirtualMachineConfigSpec{
		Firmware: "efi", NumCPUs: 2, MemoryMB: 512, BootOptions: &types.VirtualMachineBootOptions{EfiSecureBootEnabled: types.NewBool(true)},
	}))
	before := b.read(ref)
	ex, l := b.opened(ref)
	var files []types.OvfFile
	var texts [][]byte
	for _, url := range l.Info.DeviceUrl {
		texts = append(texts, b.mustGet(url))
		files = append(files, types.OvfFile{DeviceId: url.Key, Path: url.TargetId, Size: int64(len(texts[len(texts)-1]))})
	}
	if err := ex.complete(); err != nil {
		t.Fatal(err)
	}
	text := b.described(ref, types.OvfCreateDescriptorParams{OvfFiles: files})
	parsed := ovfdoc.Read(text)
	if len(parsed.Errors) > 0 || len(parsed.References) != 3 || int(parsed.References[0].Size) != len(texts[0]) || parsed.System.ID != "a <box>" {
		t.Fatalf("%+v in %s", parsed.Errors, text)
	}
	spec := b.importSpec(text, func(p *types.OvfCreateImportSpecParams) { p.EntityName = "again" })
	if len(spec.Error) > 0 || len(spec.Warning) > 0 || len(spec.FileItem) != 3 {
		t.Fatalf("%+v in %s", spec, text)
	}
	res, err := methods.ImportVApp(b.ctx, b.client, &types.ImportVApp{This: b.find("/DC0/host/DC0_C0/Resources"), Spec: spec.ImportSpec})
	if err != nil {
		t.Fatal(err)
	}
	im := &importing{bench: b, lease: res.Returnval, items: spec.FileItem}
	in := im.ready()
	for i := range texts {
		im.mustPut(in, i, texts[i])
	}
	if err := im.complete(); err != nil {
		t.Fatal(err)
	}
	after := b.read(in.Info.Entity)
	if after.Config.Firmware != "efi" || after.Config.Annotation != "for <tests> & more" || after.Config.Hardware.NumCPU != 2 ||
		after.Config.Hardware.MemoryMB != 512 || !*after.Config.BootOptions.EfiSecureBootEnabled || after.Config.GuestId != before.Config.GuestId ||
		after.Config.Version != before.Config.Version || len(after.Network) != 1 || after.Network[0] != before.Network[0] {
		t.Errorf("%+v", after.Config)
	}
	for i, disk := range vdisk.DisksOf(after.Config.Hardware.Device) {
		if was := vdisk.DisksOf(before.Config.Hardware.Device)[i]; disk.CapacityInBytes != was.CapacityInBytes || *disk.UnitNumber != *was.UnitNumber {
			t.Errorf("disk %+v, was %+v", disk, was)
		}
	}
}

func TestDescriptorsOfPartsAndOfSnapshots(t *testing.T) {
	b := start(t)
	ref := b.box()
	snapshot := b.snapshot(ref, "kept")
	b.power("box", "off")
	b.result(b.reconfigured(ref, types.VirtualMachineConfigSpec{NumCPUs: 4}))
	old := ovfdoc.Read(b.described(ref, types.OvfCreateDescriptorParams{Name: "other", Description: "told", Snapshot: &snapshot}))
	if old.System.ID != "other" || old.System.Annotation.Annotation != "told" || len(old.References) != 0 || len(old.Disk.Disks) != 2 {
		t.Errorf("%+v", old)
	}
	now := []byte(b.described(ref, types.OvfCreateDescriptorParams{
		OvfFiles: []types.OvfFile{{DeviceId: "/" + ref.Value + "/ParaVirtualSCSIController0:1", Path: "second.vmdk", Size: 5, PopulatedSize: 3}},
	}))
	if !bytes.Contains(now, []byte("4 virtual CPU(s)")) || !bytes.Contains(now, []byte(`diskId="vmdisk2" ovf:fileRef="file1"`)) ||
		bytes.Contains(now, []byte(`diskId="vmdisk1" ovf:fileRef`)) || !bytes.Contains(now, []byte(`populatedSize="3"`)) {
		t.Errorf("%s", now)
	}
	other := b.snapshot(b.parent().Reference(), "another VM's")
	_, err := methods.CreateDescriptor(b.ctx, b.client, &types.CreateDescriptor{
		This: *b.client.ServiceContent.OvfManager, Obj: ref, Cdp: types.OvfCreateDescriptorParams{Snapshot: &other},
	})
	b.wantFault(b.callFault(err), &types.InvalidArgument{})
	_, err = methods.CreateDescriptor(b.ctx, b.as("VApp.Import"), &types.CreateDescriptor{
		This: *b.client.ServiceContent.OvfManager, Obj: ref,
	})
	b.wantFault(b.callFault(err), &types.NoPermission{})
}
