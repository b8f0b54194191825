// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"

	"github.com/vmware/govmomi/ovf"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

// ovfShim reads OVF descriptors.
type ovfShim struct{ shimBase }

// ovfParams are what a descriptor's parameters must hold, be it empty.
var ovfParams = []string{"locale", "deploymentOption"}

// missingParam names a parameter that a call about a descriptor lacks. Decoded, one that is
// not there looks like an empty one.
func missingParam(call *sdkCall) string {
	if call.method != "CreateImportSpec" && call.method != "ParseDescriptor" {
		return ""
	}
	found := make(map[string]bool)
	dec := xml.NewDecoder(bytes.NewReader(call.body))
	for {
		tok, err := dec.Token()
		if err != nil {
			break // the end, or what vcsim will refuse
		}
		if start, ok := tok.(xml.StartElement); ok {
			found[start.Name.Local] = true
		}
	}
	for _, name := range ovfParams {
		if !found[name] {
			return name
		}
	}
	return ""
}

func localizedAll(faults []types.BaseMethodFault) []types.LocalizedMethodFault {
	var out []types.LocalizedMethodFault
	for _, f := range faults {
		out = append(out, *localized(f))
	}
	return out
}

// ParseDescriptor tells what a descriptor holds, without any place to put it.
func (sh *ovfShim) ParseDescriptor(_ *simulator.Context, req *types.ParseDescriptor) soap.HasFault {
	d := readDescriptor(req.OvfDescriptor)
	res := types.OvfParseDescriptorResult{
		DefaultEntityName: d.entityName(), DefaultDeploymentOption: d.defaultOption(),
		VirtualApp: d.VirtualSystemCollection != nil, Error: localizedAll(d.errors), Warning: localizedAll(d.warnings),
	}
	if d.Network != nil {
		for _, n := range d.Network.Networks {
			res.Network = append(res.Network, types.OvfNetworkInfo{Name: n.Name, Description: n.Description})
		}
	}
	if d.DeploymentOption != nil {
		for _, c := range d.DeploymentOption.Configuration {
			res.DeploymentOption = append(res.DeploymentOption, types.OvfDeploymentOption{Key: c.ID, Label: c.Label, Description: c.Description})
		}
	}
	for _, f := range d.References {
		res.ApproximateDownloadSize += int64(f.Size)
	}
	if d.Disk != nil {
		for _, disk := range d.Disk.Disks {
			res.ApproximateFlatDeploymentSize += diskCapacity(&disk)
			if disk.PopulatedSize != nil {
				res.ApproximateSparseDeploymentSize += int64(*disk.PopulatedSize)
			}
		}
	}
	if d.system != nil {
		d.describe(&res)
	}
	return &methods.ParseDescriptorBody{Res: &types.ParseDescriptorResponse{Returnval: res}}
}

func (d *descriptor) describe(res *types.OvfParseDescriptorResult) {
	for _, e := range d.system.Eula {
		res.Eula = append(res.Eula, e.License)
	}
	if d.system.Annotation != nil {
		res.Annotation = d.system.Annotation.Annotation
	}
	products, properties := d.products(nil)
	if len(products) > 0 {
		res.ProductInfo = &products[0]
	}
	res.Property = properties
}

// products lists the products of a VM and its properties, with the values that are given by
// the properties' full names.
func (d *descriptor) products(values map[string]string) (products []types.VAppProductInfo, properties []types.VAppPropertyInfo) {
	for i, p := range d.system.Product {
		products = append(products, types.VAppProductInfo{
			Key: int32(i), ClassId: text(p.Class), InstanceId: text(p.Instance), Name: p.Product, Vendor: p.Vendor, Version: p.Version,
			FullVersion: p.FullVersion, ProductUrl: p.ProductURL, VendorUrl: p.VendorURL, AppUrl: p.AppURL,
		})
		for _, item := range p.PropertiesWithCategory() {
			properties = append(properties, propertyInfo(&p, item.Category, item.Property, int32(len(properties)), values))
		}
	}
	return products, properties
}

func propertyInfo(p *ovf.ProductSection, category string, prop ovf.Property, key int32, values map[string]string) types.VAppPropertyInfo {
	configurable := prop.UserConfigurable != nil && *prop.UserConfigurable
	kind := prop.Type
	if kind == "" {
		kind = "string"
	}
	if prop.Password != nil && *prop.Password {
		kind = "password"
	}
	return types.VAppPropertyInfo{
		Key: key, ClassId: text(p.Class), InstanceId: text(p.Instance), Id: prop.Key, Category: category,
		Label: text(prop.Label), Type: kind, UserConfigurable: types.NewBool(configurable),
		DefaultValue: text(prop.Default), Value: values[p.Key(prop)], Description: text(prop.Description),
	}
}
