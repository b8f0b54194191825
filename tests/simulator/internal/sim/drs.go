// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"errors"
	"net/http"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// drsOff is a cluster's setting in the control endpoint; the others are the API's.
const drsOff = "off"

// setDRS says whether a cluster places VMs by itself, where it is told of it today and where
// it was told of it before API 2.5.
func (s *Sim) setDRS(cluster *simulator.ClusterComputeResource, behavior string) {
	drs := types.ClusterDrsConfigInfo{Enabled: types.NewBool(behavior != drsOff)}
	if behavior != drsOff {
		drs.DefaultVmBehavior = types.DrsBehavior(behavior)
	}
	config := *cluster.ConfigurationEx.(*types.ClusterConfigInfoEx)
	config.DrsConfig = drs
	s.reg.AtomicUpdate(s.background(""), cluster, []types.PropertyChange{
		{Name: "configurationEx", Val: &config}, {Name: "configuration.drsConfig", Val: drs},
	})
}

// placedByDRS tells if vCenter chooses the host for a VM of a pool. On a cluster without DRS
// the caller has to.
func (s *Sim) placedByDRS(pool types.ManagedObjectReference) bool {
	cr, _ := s.ComputeOf(pool)
	cluster, ok := s.reg.Get(cr).(*simulator.ClusterComputeResource)
	if !ok {
		return true // a host of its own is the only one
	}
	enabled := cluster.ConfigurationEx.(*types.ClusterConfigInfoEx).DrsConfig.Enabled
	return enabled != nil && *enabled
}

// postCluster changes a cluster's DRS.
func (s *Sim) postCluster(r *http.Request) (any, error) {
	e, err := s.named("ClusterComputeResource", r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	var body struct {
		DRS string `json:"drs"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if !slices.Contains(append(types.DrsBehavior("").Strings(), drsOff), body.DRS) {
		return nil, badRequest(errors.New(`"drs" is fullyAutomated, partiallyAutomated, manual or off`))
	}
	s.setDRS(e.(*simulator.ClusterComputeResource), body.DRS)
	return done, nil
}
