// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/wire"
)

func ovfItem(id, kind int, more string) string {
	return fmt.Sprintf(`<Item><rasd:ElementName>item %d</rasd:ElementName><rasd:InstanceID>%d</rasd:InstanceID><rasd:ResourceType>%d</rasd:ResourceType>%s</Item>
`, id, id, kind, more)
}

// twoDisks is a descriptor with all that is common: two disks with files and one without,
// a card, options and properties.
var twoDisks = `<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
 xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
<References><File ovf:id="f1" ovf:href="a.vmdk" ovf:size="100000"/><File ovf:id="f2" ovf:href="b.vmdk" ovf:size="3000" ovf:chunkSize="2000"/></References>
<DiskSection><Info>disks</Info>
<Disk ovf:diskId="d1" ovf:fileRef="f1" ovf:capacity="2" ovf:capacityAllocationUnits="byte * 2^20" ovf:populatedSize="90000"/>
<Disk ovf:diskId="d2" ovf:fileRef="f2" ovf:capacity="1048576"/></DiskSection>
<NetworkSection><Info>networks</Info><Network ovf:name="inside"><Description>the inside</Description></Network></NetworkSection>
<DeploymentOptionSection><Info>sizes</Info>
<Configuration ovf:id="small"><Label>Small</Label><Description>one CPU</Description></Configuration>
<Configuration ovf:id="big" ovf:default="true"><Label>Big</Label><Description>two CPUs</Description></Configuration></DeploymentOptionSection>
<VirtualSystem ovf:id="vs"><Info>a VM</Info><Name>box</Name>
<AnnotationSection><Info>note</Info><Annotation>a small box</Annotation></AnnotationSection>
<ProductSection ovf:class="app"><Info>p</Info><Product>Box</Product><Vendor>Nobody</Vendor><Version>1</Version>
<Property ovf:key="hostname" ovf:type="string" ovf:userConfigurable="true" ovf:value="box"><Label>Host name</Label></Property>
<Property ovf:key="count" ovf:type="uint8" ovf:userConfigurable="true"/><Property ovf:key="fixed" ovf:type="string" ovf:value="f"/></ProductSection>
<OperatingSystemSection ovf:id="96" xmlns:vmw="http://www.vmware.com/schema/ovf" vmw:osType="debian12_64Guest"><Info>os</Info></OperatingSystemSection>
<VirtualHardwareSection><Info>hardware</Info>
<System><vssd:ElementName>family</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID><vssd:VirtualSystemType>vmx-11 vmx-13 vmx-99</vssd:VirtualSystemType></System>
` + strings.Replace(ovfItem(1, 3, "<rasd:VirtualQuantity>1</rasd:VirtualQuantity>"), "<Item>", `<Item ovf:configuration="small">`, 1) +
	strings.Replace(ovfItem(2, 3, "<rasd:VirtualQuantity>2</rasd:VirtualQuantity>"), "<Item>", `<Item ovf:configuration="big">`, 1) +
	ovfItem(3, 4, "<rasd:VirtualQuantity>512</rasd:VirtualQuantity><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>") +
	ovfItem(5, 17, "<rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/d1</rasd:HostResource><rasd:Parent>4</rasd:Parent>") +
	ovfItem(6, 17, "<rasd:AddressOnParent>1</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/d2</rasd:HostResource><rasd:Parent>4</rasd:Parent>") +
	ovfItem(4, 6, "<rasd:Address>0</rasd:Address><rasd:ResourceSubType>lsilogic</rasd:ResourceSubType>") +
	ovfItem(7, 10, "<rasd:Connection>inside</rasd:Connection><rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType>") + `
</VirtualHardwareSection></VirtualSystem></Envelope>`

func (b *bench) parsed(text string) types.OvfParseDescriptorResult {
	b.Helper()
	res, err := methods.ParseDescriptor(b.ctx, b.client, &types.ParseDescriptor{This: *b.client.ServiceContent.OvfManager, OvfDescriptor: text})
	if err != nil {
		b.Fatal(err)
	}
	return res.Returnval
}

func TestParseDescriptor(t *testing.T) {
	b := start(t)
	d := b.parsed(twoDisks)
	if len(d.Error)+len(d.Warning) > 0 || d.VirtualApp || d.DefaultEntityName != "box" || d.Annotation != "a small box" ||
		d.ApproximateDownloadSize != 103_000 || d.ApproximateFlatDeploymentSize != 3<<20 || d.ApproximateSparseDeploymentSize != 90_000 {
		t.Errorf("%+v", d)
	}
	if len(d.Network) != 1 || d.Network[0].Name != "inside" || d.Network[0].Description != "the inside" {
		t.Errorf("networks %+v", d.Network)
	}
	if len(d.DeploymentOption) != 2 || d.DefaultDeploymentOption != "big" || d.ProductInfo.Name != "Box" {
		t.Errorf("options %+v", d.DeploymentOption)
	}
	if p := d.Property; len(p) != 3 || p[0].Id != "hostname" || p[0].ClassId != "app" || p[0].DefaultValue != "box" || !*p[0].UserConfigurable || *p[2].UserConfigurable {
		t.Errorf("properties %+v", d.Property)
	}
}

func TestImportSpec(t *testing.T) {
	b := start(t)
	res := b.importSpec(twoDisks, func(p *types.OvfCreateImportSpecParams) {
		p.DeploymentOption, p.DiskProvisioning = "small", "eagerZeroedThick"
		p.NetworkMapping = []types.OvfNetworkMapping{{Name: "inside", Network: b.find("/DC0/network/DC0_DVPG1")}}
		p.PropertyMapping = []types.KeyValue{{Key: "app.hostname", Value: "web"}, {Key: "app.count", Value: "7"}}
	})
	if len(res.Error)+len(res.Warning) > 0 {
		t.Fatalf("%+v", res)
	}
	spec := res.ImportSpec.(*types.VirtualMachineImportSpec).ConfigSpec
	if spec.Name != "appliance" || spec.NumCPUs != 1 || spec.MemoryMB != 512 || spec.Version != "vmx-13" || spec.GuestId != "debian12_64Guest" || spec.Annotation != "a small box" {
		t.Errorf("spec %+v", spec)
	}
	if f := res.FileItem; len(f) != 2 || f[0].Path != "a.vmdk" || f[0].Size != 100_000 || f[0].Create || f[1].ChunkSize != 2_000 || f[0].DeviceId != "/appliance/VirtualLsiLogicController0:0" {
		t.Errorf("files %+v", res.FileItem)
	}
	vapp := spec.VAppConfig.GetVmConfigSpec()
	if len(vapp.Property) != 3 || vapp.Property[0].Info.Value != "web" {
		t.Errorf("properties %+v", vapp.Property)
	}
	for _, c := range spec.DeviceChange {
		switch d := c.GetVirtualDeviceConfigSpec().Device.(type) {
		case types.BaseVirtualEthernetCard:
			port, ok := d.GetVirtualEthernetCard().Backing.(*types.VirtualEthernetCardDistributedVirtualPortBackingInfo)
			if !ok || port.Port.PortgroupKey != b.find("/DC0/network/DC0_DVPG1").Value {
				t.Errorf("card %+v", d)
			}
		case *types.VirtualDisk:
			if backing := d.Backing.(*vdisk.FlatBacking); *backing.ThinProvisioned || !*backing.EagerlyScrub {
				t.Errorf("disk %+v", backing)
			}
		}
	}
}

func TestDescriptorsThatAreWrong(t *testing.T) {
	b := start(t)
	change := func(old, new string) string {
		if !strings.Contains(twoDisks, old) {
			t.Fatalf("no %q in the descriptor", old)
		}
		return strings.Replace(twoDisks, old, new, 1)
	}
	nothing := func(*types.OvfCreateImportSpecParams) {}
	vApp := strings.NewReplacer("<VirtualSystem ", "<VirtualSystemCollection ", "</VirtualSystem>", "</VirtualSystemCollection>")
	for name, c := range map[string]struct {
		text   string
		params func(*types.OvfCreateImportSpecParams)
		want   types.BaseMethodFault
		warns  bool
	}{
		"no XML":                 {"what is this", nothing, &types.OvfXmlFormat{}, false},
		"cut short":              {twoDisks[:len(twoDisks)-40], nothing, &types.OvfXmlFormat{}, false},
		"other document":         {"<html/>", nothing, &types.OvfWrongElement{}, false},
		"other namespace":        {`<Envelope xmlns="http://example.test/"/>`, nothing, &types.OvfWrongNamespace{}, false},
		"empty":                  {`<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1"/>`, nothing, &types.OvfMissingElement{}, false},
		"file that is not":       {change(`ovf:fileRef="f1"`, `ovf:fileRef="f9"`), nothing, &types.OvfInvalidValueReference{}, false},
		"disk that is not":       {change("ovf:/disk/d1", "ovf:/disk/d9"), nothing, &types.OvfInvalidValueReference{}, false},
		"controller that is not": {change("<rasd:Parent>4<", "<rasd:Parent>44<"), nothing, &types.OvfInvalidValueReference{}, false},
		"network that is not":    {change("<rasd:Connection>inside<", "<rasd:Connection>outside<"), nothing, &types.OvfInvalidValueReference{}, false},
		"no capacity":            {change(`ovf:capacity="2"`, `ovf:capacity=""`), nothing, &types.OvfMissingAttribute{}, false},
		"odd capacity":           {change(`ovf:capacity="2"`, `ovf:capacity="much"`), nothing, &types.OvfInvalidValue{}, false},
		"two of one name":        {change(`ovf:diskId="d2"`, `ovf:diskId="d1"`), nothing, &types.OvfDuplicateElement{}, false},
		"a vApp":                 {vApp.Replace(twoDisks), nothing, &types.OvfUnsupportedElement{}, false},
		"new hardware":           {change("vmx-11 vmx-13 vmx-99", "vmx-99"), nothing, &types.OvfNoSupportedHardwareFamily{}, false},
		"odd card":               {change("VmxNet3", "Token Ring"), nothing, &types.OvfUnsupportedSubType{}, false},
		"no memory":              {change("<rasd:ResourceType>4<", "<rasd:ResourceType>24<"), nothing, &types.OvfMissingHardware{}, false},
		"many CPUs":              {change("<rasd:VirtualQuantity>2<", "<rasd:VirtualQuantity>999<"), nothing, &types.OvfHardwareCheck{}, false},
		"needed section":         {change("<NetworkSection>", "<OddSection><Info>x</Info></OddSection><NetworkSection>"), nothing, &types.OvfUnsupportedSection{}, false},
		"other section":          {change("<NetworkSection>", `<OddSection ovf:required="false"/><NetworkSection>`), nothing, &types.OvfUnsupportedSection{}, true},
		"unknown system":         {change("debian12_64Guest", "plan9Guest"), nothing, &types.OvfMappedOsId{}, true},
		"option that is not":     {twoDisks, func(p *types.OvfCreateImportSpecParams) { p.DeploymentOption = "huge" }, &types.OvfInvalidValueConfiguration{}, false},
		"odd provisioning":       {twoDisks, func(p *types.OvfCreateImportSpecParams) { p.DiskProvisioning = "twoGbMaxExtentSparse" }, &types.OvfUnsupportedDiskProvisioning{}, false},
		"property that is not":   {twoDisks, func(p *types.OvfCreateImportSpecParams) { p.PropertyMapping = []types.KeyValue{{Key: "x", Value: "y"}} }, &types.OvfPropertyValue{}, false},
		"odd value": {twoDisks, func(p *types.OvfCreateImportSpecParams) {
			p.PropertyMapping = []types.KeyValue{{Key: "app.count", Value: "-1"}}
		}, &types.OvfPropertyValue{}, false},
		"fixed property": {twoDisks, func(p *types.OvfCreateImportSpecParams) {
			p.PropertyMapping = []types.KeyValue{{Key: "app.fixed", Value: "y"}}
		}, &types.OvfPropertyQualifier{}, false},
		"network not of hosts": {twoDisks, func(p *types.OvfCreateImportSpecParams) {
			p.NetworkMapping = []types.OvfNetworkMapping{{Name: "inside", Network: types.ManagedObjectReference{Type: "Network", Value: "network-999"}}}
		}, &types.OvfNetworkMappingNotSupported{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			res := b.importSpec(c.text, c.params)
			found := res.Error
			if c.warns {
				found = res.Warning
			}
			if len(found) == 0 {
				t.Fatalf("nothing is found: %+v", res)
			}
			b.wantFault(found[0].Fault, c.want)
			if c.warns != (len(res.Error) == 0) || c.warns != (res.ImportSpec != nil) {
				t.Errorf("%d errors, spec %v", len(res.Error), res.ImportSpec != nil)
			}
		})
	}
}

func TestPlacesOfADescriptor(t *testing.T) {
	b := start(t)
	create := func(change func(*types.CreateImportSpec)) error {
		req := types.CreateImportSpec{
			This: *b.client.ServiceContent.OvfManager, OvfDescriptor: twoDisks, Cisp: &types.OvfCreateImportSpecParams{},
			ResourcePool: b.find("/DC0/host/DC0_C0/Resources"), Datastore: b.find("/DC0/datastore/LocalDS_0"),
		}
		change(&req)
		_, err := methods.CreateImportSpec(b.ctx, b.client, &req)
		return err
	}
	host := func(path string) func(*types.CreateImportSpec) {
		return func(r *types.CreateImportSpec) { r.Cisp.GetOvfCreateImportSpecParams().HostSystem = b.ref(path) }
	}
	b.wantFault(b.callFault(create(host("/DC0/host/DC0_C1/DC0_C1_H0"))), &types.InvalidArgument{})
	b.wantFault(b.callFault(create(func(r *types.CreateImportSpec) { r.Datastore.Value = "datastore-999" })), &types.ManagedObjectNotFound{})
	b.control("POST", "/hosts/DC0_C0_H0", map[string]any{"maintenance": true}, nil)
	b.wantFault(b.callFault(create(host("/DC0/host/DC0_C0/DC0_C0_H0"))), &types.InvalidHostState{})
	b.wantFault(b.callFault(create(func(*types.CreateImportSpec) {})), &types.InvalidDatastore{})
}

// Parameters that are required are sent, be they empty.
func TestParametersThatMustBeSent(t *testing.T) {
	b := start(t)
	for _, left := range wire.OVFParams {
		body := `<ParseDescriptor xmlns="urn:vim25"><_this type="OvfManager">OvfManager</_this><ovfDescriptor/><pdp><locale/><deploymentOption/></pdp></ParseDescriptor>`
		envelope := "<Envelope><Body>" + strings.Replace(body, "<"+left+"/>", "", 1) + "</Body></Envelope>"
		res, err := b.client.Client.Client.Post(b.sim.URL().String(), "text/xml", strings.NewReader(envelope))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(answer, []byte("Required property "+left+" is missing")) {
			t.Errorf("without %s: %s", left, answer)
		}
	}
}

// What a descriptor lists and the chosen hardware does not use is not asked for; a disk with
// parent references takes one file after the other; settings are named, and kept from 6.7 on.
func TestFilesThatAreAskedFor(t *testing.T) {
	b := start(t)
	paths := func(text string) []string {
		res := b.importSpec(text)
		if len(res.Error) > 0 {
			t.Fatalf("%+v", res.Error)
		}
		var out []string
		for _, f := range res.FileItem {
			out = append(out, f.Path+" "+f.DeviceId[strings.LastIndex(f.DeviceId, "/")+1:])
		}
		return out
	}
	change := func(old, new string) string { return strings.Replace(twoDisks, old, new, 1) }
	second := ovfItem(6, 17, "<rasd:AddressOnParent>1</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/d2</rasd:HostResource><rasd:Parent>4</rasd:Parent>")
	small := strings.Replace(second, "<Item>", `<Item ovf:configuration="small">`, 1)
	settings := `<ExtraConfig ovf:required="false" ovf:key="nvram" ovf:value="ovf:/file/f2"/></VirtualHardwareSection>`
	const first, other = "a.vmdk VirtualLsiLogicController0:0", "b.vmdk VirtualLsiLogicController0:1"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"all":               {twoDisks, []string{first, other}},
		"of another option": {change(second, small), []string{first}},
		"named by no item":  {change(second, ""), []string{first}},
		"parent references": {
			strings.Replace(change(second, ""), `ovf:fileRef="f1"`, `ovf:fileRef="f1" ovf:parentRef="d2"`, 1),
			[]string{"b.vmdk VirtualLsiLogicController0:0", first},
		},
		"settings": {strings.Replace(change(second, ""), "</VirtualHardwareSection>", settings, 1), []string{first, "b.vmdk nvram"}},
	} {
		if got := paths(c.text); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %q, not %q", name, got, c.want)
		}
	}
	wrong := b.importSpec(change(`ovf:fileRef="f1"`, `ovf:fileRef="f1" ovf:parentRef="d9"`))
	if len(wrong.Error) != 1 {
		t.Errorf("%+v", wrong)
	}
}

// What a property takes goes by its type, of OVF's, and by its qualifiers.
func TestValuesOfProperties(t *testing.T) {
	b := start(t)
	for kind, x := range map[string]struct {
		told         string
		right, wrong []string
	}{
		`uint8"`:   {"int(0..255)", []string{"0", "255"}, []string{"-1", "256", "x", "1.5"}},
		`sint16"`:  {"int(-32768..32767)", []string{"-32768", "32767"}, []string{"32768"}},
		`uint32"`:  {"int", []string{"4294967295"}, []string{"4294967296", "-1"}},
		`real32"`:  {"real", []string{"1.5", "-2"}, []string{"much"}},
		`boolean"`: {"boolean", []string{"True", "False"}, []string{"TRUE", "true", "1"}},
		`string"`:  {"string", []string{"anything"}, nil},
		`string" ovf:qualifiers="MinLen(2) MaxLen(3)"`:                     {"string(2..3)", []string{"ab", "abc", "äää"}, []string{"a", "abcd"}},
		`string" ovf:qualifiers="MaxLen(3)"`:                               {"string(..3)", []string{"a"}, []string{"abcd"}},
		`string" ovf:qualifiers="ValueMap{&quot;a&quot;,&quot;b c&quot;}"`: {`string["a", "b c"]`, []string{"a", "b c"}, []string{"b"}},
		`string" ovf:password="true" ovf:qualifiers="MinLen(8)"`:           {"password(8..)", []string{"long enough"}, []string{"short"}},
	} {
		text := strings.Replace(twoDisks, `ovf:key="count" ovf:type="uint8"`, `ovf:key="count" ovf:type="`+kind, 1)
		for right, values := range map[bool][]string{true: x.right, false: x.wrong} {
			for _, value := range values {
				res := b.importSpec(text, func(p *types.OvfCreateImportSpecParams) {
					p.PropertyMapping = []types.KeyValue{{Key: "app.count", Value: value}}
				})
				if (len(res.Error) == 0) != right {
					t.Errorf("%s of %s: %+v", value, kind, res.Error)
				}
				if right && res.ImportSpec.(*types.VirtualMachineImportSpec).ConfigSpec.VAppConfig.GetVmConfigSpec().Property[1].Info.Type != x.told {
					t.Errorf("%s is told as %s", kind, res.ImportSpec.(*types.VirtualMachineImportSpec).ConfigSpec.VAppConfig.GetVmConfigSpec().Property[1].Info.Type)
				}
			}
		}
	}
}
