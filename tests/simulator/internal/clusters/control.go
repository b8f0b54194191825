// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clusters

import (
	"errors"
	"net/http"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/controlhttp"
	"vforge.vsphere/simulator/internal/core"
)

// PostCluster changes a cluster's DRS.
func (s *Clusters) PostCluster(r *http.Request) (any, error) {
	e, err := s.Named("ClusterComputeResource", r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	var body struct {
		DRS string `json:"drs"`
	}
	if err := controlhttp.Decode(r, &body); err != nil {
		return nil, err
	}
	if !slices.Contains(append(types.DrsBehavior("").Strings(), core.DrsOff), body.DRS) {
		return nil, controlhttp.BadRequest(errors.New(`"drs" is fullyAutomated, partiallyAutomated, manual or off`))
	}
	s.SetDRS(e.(*simulator.ClusterComputeResource), body.DRS)
	return controlhttp.Done, nil
}

// PostClusterEVC chooses how a cluster looks at running VMs.
func (s *Clusters) PostClusterEVC(r *http.Request) (any, error) {
	e, err := s.Named("ClusterComputeResource", r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	var body struct {
		ByHost bool `json:"by_host"`
	}
	if err := controlhttp.Decode(r, &body); err != nil {
		return nil, err
	}
	s.evc.mu.Lock()
	defer s.evc.mu.Unlock()
	s.evc.byHost[e.Reference()] = body.ByHost
	return controlhttp.Done, nil
}
