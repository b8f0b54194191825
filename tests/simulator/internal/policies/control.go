// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package policies

import (
	"errors"
	"net/http"

	"github.com/vmware/govmomi/pbm/methods"
	pbm "github.com/vmware/govmomi/pbm/types"

	"vforge.vsphere/simulator/internal/controlhttp"
)

// PostPolicy makes a storage policy that allows some datastores.
func (s *Policies) PostPolicy(r *http.Request) (any, error) {
	var body struct {
		Name       string   `json:"name"`
		Datastores []string `json:"datastores"`
	}
	if err := controlhttp.Decode(r, &body); err != nil {
		return nil, err
	}
	if body.Name == "" {
		return nil, controlhttp.BadRequest(errors.New(`"name" is needed`))
	}
	var allowed []string
	for _, name := range body.Datastores {
		e, err := s.Named("Datastore", name)
		if err != nil {
			return nil, err
		}
		allowed = append(allowed, e.Reference().Value)
	}
	kind := pbm.PbmProfileResourceType{ResourceType: string(pbm.PbmProfileResourceTypeEnumSTORAGE)}
	made, ok := s.table.profiles.PbmCreate(s.Background(s.Cfg.Username), &pbm.PbmCreate{CreateSpec: pbm.PbmCapabilityProfileCreateSpec{
		Name: body.Name, ResourceType: kind, Category: string(pbm.PbmProfileCategoryEnumREQUIREMENT),
		Constraints: &pbm.PbmCapabilitySubProfileConstraints{},
	}}).(*methods.PbmCreateBody)
	if !ok {
		return nil, controlhttp.BadRequest(errors.New("no policy was made"))
	}
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	if s.table.allowed == nil {
		s.table.allowed = make(map[string][]string)
	}
	id := made.Res.Returnval.UniqueId
	s.table.allowed[id] = allowed
	return map[string]string{"id": id}, nil
}
