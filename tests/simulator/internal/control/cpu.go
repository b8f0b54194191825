// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package control

import (
	"net/http"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/controlhttp"
)

// postHostCPU has a host tell less of its processors than it should, or nonsense, until it gets another processor.
func (s *Control) postHostCPU(r *http.Request) (any, error) {
	e, err := s.Named("HostSystem", r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	var body struct {
		Silent bool   `json:"silent"`
		EAX    string `json:"eax"`
	}
	if err := controlhttp.Decode(r, &body); err != nil {
		return nil, err
	}
	host := e.(*simulator.HostSystem)
	hardware := *host.Hardware
	if body.EAX != "" {
		hardware.CpuFeature = slices.Clone(hardware.CpuFeature)
		for i := range hardware.CpuFeature {
			if hardware.CpuFeature[i].Level == 1 {
				hardware.CpuFeature[i].Eax = body.EAX
			}
		}
	}
	changes := []types.PropertyChange{}
	if body.Silent {
		hardware.CpuFeature, hardware.CpuPkg = nil, nil
		changes = append(changes, types.PropertyChange{Name: "config.featureCapability", Val: []types.HostFeatureCapability(nil)},
			types.PropertyChange{Name: "config.maskedFeatureCapability", Val: []types.HostFeatureCapability(nil)})
	}
	s.Reg.AtomicUpdate(s.Background(""), host, append(changes, types.PropertyChange{Name: "hardware", Val: hardware}))
	return controlhttp.Done, nil
}

// postVMCPU has a VM tell of no feature requirements until it is powered on or off, as one of old hardware.
func (s *Control) postVMCPU(r *http.Request) (any, error) {
	vm, err := s.FindVM(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	none := []types.VirtualMachineFeatureRequirement(nil)
	s.Reg.AtomicUpdate(s.Background(""), vm, []types.PropertyChange{
		{Name: "runtime.featureRequirement", Val: none}, {Name: "runtime.offlineFeatureRequirement", Val: none},
		{Name: "runtime.minRequiredEVCModeKey", Val: ""},
	})
	return controlhttp.Done, nil
}
