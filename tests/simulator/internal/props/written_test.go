// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package props

import (
	"fmt"
	"slices"
	"testing"

	"github.com/vmware/govmomi/vim25/types"
	"github.com/vmware/govmomi/vim25/xml"
)

func requirements(value string, count int) *types.ArrayOfVirtualMachineFeatureRequirement {
	out := &types.ArrayOfVirtualMachineFeatureRequirement{}
	for i := range count {
		key := fmt.Sprintf("cpuid.<%d>&", i)
		each := types.VirtualMachineFeatureRequirement{Key: key, FeatureName: key, Value: value}
		out.VirtualMachineFeatureRequirement = append(out.VirtualMachineFeatureRequirement, each)
	}
	return out
}

// encoded is a property in an answer.
func encoded(t *testing.T, value any) string {
	t.Helper()
	text, err := xml.Marshal(types.DynamicProperty{Name: "runtime.featureRequirement", Val: value})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAListThatWasWrittenBeforeReadsAsOneThatWasNot(t *testing.T) {
	var w written
	for _, list := range []*types.ArrayOfVirtualMachineFeatureRequirement{
		requirements("Bool:Min:1", 3), requirements("Bool:Min:1", 3), requirements("Bool:Min:1", 2), requirements("Bool:Min:1", 0),
	} {
		if got, want := encoded(t, w.of(list)), encoded(t, list); got != want {
			t.Errorf("%s\nis written as\n%s", want, got)
		}
	}
	if got := len(w.requirements.lists); got != 3 {
		t.Errorf("%d lists are kept of 3 that differ", got)
	}
}

func TestAListThatHasChangedIsWrittenAnew(t *testing.T) {
	var w written
	before := requirements("Bool:Min:1", 5)
	w.of(before)
	after := &types.ArrayOfVirtualMachineFeatureRequirement{
		VirtualMachineFeatureRequirement: slices.Clone(before.VirtualMachineFeatureRequirement),
	}
	after.VirtualMachineFeatureRequirement[4].Value = "Bool:Min:0"
	if got, want := encoded(t, w.of(after)), encoded(t, after); got != want {
		t.Errorf("%s\nis written as\n%s", want, got)
	}
}

func TestOnlySoManyListsAreKept(t *testing.T) {
	var w written
	for i := range 3 * mostWritten {
		list := requirements(fmt.Sprintf("Num:Min:%d", i), 1)
		if got, want := encoded(t, w.of(list)), encoded(t, list); got != want {
			t.Fatalf("%s\nis written as\n%s", want, got)
		}
	}
	if got := len(w.requirements.lists); got != mostWritten {
		t.Errorf("%d lists are kept", got)
	}
}

func TestOtherPropertiesAreLeftAlone(t *testing.T) {
	var w written
	if got := w.of("poweredOn"); got != "poweredOn" {
		t.Errorf("a text became %v", got)
	}
}
