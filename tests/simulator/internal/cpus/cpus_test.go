// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package cpus

import (
	"strings"
	"testing"
)

const newest = "8.0.3.0"

func TestEachProcessorIsOfTheHighestModeThatFitsIt(t *testing.T) {
	for _, c := range []struct {
		processor, api, mode    string
		family, model, stepping int16
	}{
		{"xeon-cranford", newest, "", 15, 4, 1},
		{"xeon-harpertown", newest, "intel-penryn", 6, 23, 6},
		{"xeon-sandybridge", newest, "intel-sandybridge", 6, 45, 7},
		{"xeon-haswell", newest, "intel-haswell", 6, 63, 2},
		{"xeon-broadwell", newest, "intel-broadwell", 6, 79, 1},
		{"core-kabylake", newest, "intel-broadwell", 6, 142, 9}, // has no AVX-512
		{"xeon-skylake", newest, "intel-skylake", 6, 85, 4},
		{"xeon-cascadelake", newest, "intel-cascadelake", 6, 85, 7},
		{"xeon-icelake", newest, "intel-icelake", 6, 106, 6},
		{"xeon-sapphirerapids", newest, "intel-sapphirerapids", 6, 143, 8},
		{"xeon-sapphirerapids", "7.0.3.0", "intel-icelake", 6, 143, 8},
		{"xeon-icelake", "6.0", "intel-haswell", 6, 106, 6},
		{"opteron-shanghai", newest, "amd-greyhound", 16, 4, 2},
		{"opteron-abudhabi", newest, "amd-piledriver", 21, 2, 0},
		{"epyc-naples", newest, "amd-zen", 23, 1, 2},
		{"epyc-rome", newest, "amd-zen2", 23, 49, 0},
		{"epyc-milan", newest, "amd-zen3", 25, 1, 1},
		{"epyc-genoa", newest, "amd-zen4", 25, 17, 1},
		{"epyc-genoa", "7.0.0.0", "amd-zen2", 25, 17, 1},
	} {
		p, err := Named(c.processor)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if m := Max(c.api, p.Features()); m != nil {
			got = m.Key
		}
		family, model, stepping := p.Signature()
		if got != c.mode || family != c.family || model != c.model || stepping != c.stepping {
			t.Errorf("%s on %s: %q, %d %d %d", c.processor, c.api, got, family, model, stepping)
		}
	}
	if _, err := Named("xeon-hasswell"); err == nil || !strings.Contains(err.Error(), "xeon-haswell") {
		t.Errorf("an unknown processor: %v", err)
	}
}

func TestAModeMasksWhatIsBeyondIt(t *testing.T) {
	kabylake, _ := Named("core-kabylake")
	haswell := ModeOf(newest, "intel-haswell").API(SpellingOf(newest))
	shown, err := SpellingOf(newest).Masked(kabylake.Features(), haswell.FeatureMask, true)
	if err != nil {
		t.Fatal(err)
	}
	// What an engineer saw a guest lose, by /proc/cpuinfo: rdseed, adx, smap, clflushopt, xsavec, xgetbv1, xsaves, 3dnowprefetch.
	for _, name := range []string{"rdseed", "adx", "smap", "clflushopt", "xsavec", "xgetbv_ecx1", "xsaves", "3dnprefetch"} {
		if shown[name] || !kabylake.Features()[name] {
			t.Errorf("%s is shown, or was never there", name)
		}
	}
	if least := Least(newest, shown.Guest()); least == nil || least.Key != "intel-haswell" {
		t.Errorf("a VM with the masks of Haswell needs %v", least)
	}
	values := map[string]string{}
	for _, m := range haswell.FeatureMask {
		values[m.Key] = m.Value
	}
	for key, value := range map[string]string{"cpuid.family": "Val:6", "cpuid.model": "Val:0x3f", "cpuid.stepping": "Val:0"} {
		if values[key] != value {
			t.Errorf("%s is %q", key, values[key])
		}
	}
}

func TestNamesAreSpeltAsTheReleaseDoes(t *testing.T) {
	for api, want := range map[string]string{"7.0.3.2": "cpuid.AVX2 cpuid.Intel", newest: "cpuid.avx2 cpuid.intel"} {
		n := SpellingOf(api)
		if got := n.key("avx2") + " " + n.key(Intel); got != want {
			t.Errorf("%s: %s", api, got)
		}
	}
}

func TestEachFeatureOfAModeIsKnown(t *testing.T) {
	for _, m := range Modes(newest) {
		for name := range m.Baseline() {
			if _, known := features[name]; !known && name != m.Vendor {
				t.Errorf("%s has %s", m.Key, name)
			}
		}
	}
}
