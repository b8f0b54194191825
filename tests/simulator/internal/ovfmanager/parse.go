// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package ovfmanager

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/ovfdoc"
	"vforge.vsphere/simulator/internal/shim"
)

// ovfShim reads OVF descriptors.
type ovfShim struct{ shim.Of[*OvfManager] }

// ParseDescriptor tells what a descriptor holds, without any place to put it.
func (sh *ovfShim) ParseDescriptor(_ *simulator.Context, req *types.ParseDescriptor) soap.HasFault {
	d := ovfdoc.Read(req.OvfDescriptor)
	res := types.OvfParseDescriptorResult{
		DefaultEntityName: d.EntityName(), DefaultDeploymentOption: d.DefaultOption(),
		VirtualApp: d.VirtualSystemCollection != nil, Error: faults.LocalizedAll(d.Errors), Warning: faults.LocalizedAll(d.Warnings),
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
			res.ApproximateFlatDeploymentSize += ovfdoc.DiskCapacity(&disk)
			if disk.PopulatedSize != nil {
				res.ApproximateSparseDeploymentSize += int64(*disk.PopulatedSize)
			}
		}
	}
	if d.System != nil {
		d.Describe(&res)
	}
	return &methods.ParseDescriptorBody{Res: &types.ParseDescriptorResponse{Returnval: res}}
}
