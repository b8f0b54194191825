// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"testing"

	"github.com/vmware/govmomi/pbm"
	pbmtypes "github.com/vmware/govmomi/pbm/types"
)

// Clients that ask in 2.0, as most do, could not read what came with 9.1.0.0.
func TestPoliciesHaveNothingThatIsNewerThanTheirClients(t *testing.T) {
	b := start(t)
	client, err := pbm.NewClient(b.ctx, b.client)
	if err != nil {
		t.Fatal(err)
	}
	storage := pbmtypes.PbmProfileResourceType{ResourceType: string(pbmtypes.PbmProfileResourceTypeEnumSTORAGE)}
	ids, err := client.QueryProfile(b.ctx, storage, string(pbmtypes.PbmProfileCategoryEnumREQUIREMENT))
	if err != nil || len(ids) == 0 {
		t.Fatalf("%d policies: %v", len(ids), err)
	}
	policies, err := client.RetrieveContent(b.ctx, ids)
	if err != nil || len(policies) != len(ids) {
		t.Fatalf("%d of %d policies: %v", len(policies), len(ids), err)
	}
	for _, each := range policies {
		profile := each.(*pbmtypes.PbmCapabilityProfile)
		if profile.Name == "" || profile.K8sCompliantName != "" {
			t.Errorf("a policy %q, for Kubernetes %q", profile.Name, profile.K8sCompliantName)
		}
	}
}
