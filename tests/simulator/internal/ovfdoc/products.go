// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package ovfdoc

import (
	"github.com/vmware/govmomi/ovf"
	"github.com/vmware/govmomi/vim25/types"
)

// Describe fills in what the descriptor says of its VM.
func (d *Descriptor) Describe(res *types.OvfParseDescriptorResult) {
	for _, e := range d.System.Eula {
		res.Eula = append(res.Eula, e.License)
	}
	if d.System.Annotation != nil {
		res.Annotation = d.System.Annotation.Annotation
	}
	products, properties := d.Products(nil)
	if len(products) > 0 {
		res.ProductInfo = &products[0]
	}
	res.Property = properties
}

// Products lists the products of a VM and its properties, with the values that are given by
// the properties' full names.
func (d *Descriptor) Products(values map[string]string) (products []types.VAppProductInfo, properties []types.VAppPropertyInfo) {
	for i, p := range d.System.Product {
		products = append(products, types.VAppProductInfo{
			Key: int32(i), ClassId: Text(p.Class), InstanceId: Text(p.Instance), Name: p.Product, Vendor: p.Vendor, Version: p.Version,
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
	return types.VAppPropertyInfo{
		Key: key, ClassId: Text(p.Class), InstanceId: Text(p.Instance), Id: prop.Key, Category: category,
		Label: Text(prop.Label), Type: PropertyType(&prop), UserConfigurable: types.NewBool(configurable),
		DefaultValue: Text(prop.Default), Value: values[p.Key(prop)], Description: Text(prop.Description),
	}
}
