// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package cpus

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
)

// Mode is an EVC mode.
type Mode struct {
	Key, Label, Vendor string
	Tier               int32
	since              string // the API version that has it first
	family, model      int
	adds, drops        []string // beside those of the mode before it
	after              string   // that mode, where it is not the one above
	features           Set
}

// numbers are masked by value.
var numbers = []string{"family", "model", "stepping"}

// byMicrocode are features that came to processors by microcode. Every mode has them where all hosts do, and needs them
// nowhere: VMs that use them are told to need no newer mode.
var byMicrocode = map[string]Set{
	Intel: {"ibrs": true, "ibpb": true, "stibp": true, "ssbd": true, "mdclear": true, "fcmd": true},
	AMD:   {"ibpb": true},
}

// modes are those of vCenter, the least first. What each adds is what the vendor's page "EVC processor support"
// (KB 1003212) says of it, in the names of the API.
var modes = named([]Mode{
	{Key: "intel-merom", Label: `Intel® "Merom" Generation`, model: 0x0f, adds: words("intel lm nx ss sse3 ssse3 cmpxchg16b lahf64")},
	{Key: "intel-penryn", Label: `Intel® "Penryn" Generation`, model: 0x17, adds: words("sse41")},
	{Key: "intel-nehalem", Label: `Intel® "Nehalem" Generation`, model: 0x1a, adds: words("sse42 popcnt rdtscp")},
	{Key: "intel-westmere", Label: `Intel® "Westmere" Generation`, model: 0x2c, adds: words("aes pclmulqdq pcid pdpe1gb")},
	{Key: "intel-sandybridge", Label: `Intel® "Sandy Bridge" Generation`, model: 0x2d, adds: words("avx xsave xsaveopt xcr0_master_sse xcr0_master_ymm_h")},
	{Key: "intel-ivybridge", Label: `Intel® "Ivy Bridge" Generation`, model: 0x3e, adds: words("f16c rdrand fsgsbase smep enfstrg")},
	{Key: "intel-haswell", Label: `Intel® "Haswell" Generation`, model: 0x3f, adds: words("avx2 bmi1 bmi2 fma movbe invpcid abm")},
	{Key: "intel-broadwell", Label: `Intel® "Broadwell" Generation`, since: "6.5", model: 0x4f, adds: words("adx rdseed smap 3dnprefetch")},
	{Key: "intel-skylake", Label: `Intel® "Skylake" Generation`, since: "6.7", model: 0x55, adds: words("clflushopt clwb xsavec xsaves pku " +
		"avx512f avx512dq avx512cd avx512bw avx512vl xcr0_master_opmask xcr0_master_zmm_h xcr0_master_hi16_zmm xcr0_master_pkru")},
	{Key: "intel-cascadelake", Label: `Intel® "Cascade Lake" Generation`, since: "7.0.0.0", model: 0x55, adds: words("avx512vnni xgetbv_ecx1")},
	{Key: "intel-icelake", Label: `Intel® "Ice Lake" Generation`, since: "7.0.0.0", model: 0x6a, adds: words("sha vaes vpclmulqdq gfni umip rdpid " +
		"fast_short_repmov wbnoinvd avx512ifma avx512vbmi avx512vbmi2 avx512bitalg avx512vpopcntdq")},
	{Key: "intel-sapphirerapids", Label: `Intel® "Sapphire Rapids" Generation`, since: "8.0.0.0", model: 0x8f, adds: words("cet_ss avx_vnni avx512bf16 avx512fp16 " +
		"amx_bf16 amx_tile amx_int8 serialize movdiri movdir64b cldemote pks xfd xcr0_master_xtilecfg xcr0_master_xtiledata")},

	{Key: "amd-rev-e", Label: `AMD Opteron™ Generation 1`, family: 0xf, model: 0x21, adds: words("amd lm nx sse3 mmxext ffxsr 3dnow 3dnowplus")},
	{Key: "amd-rev-f", Label: `AMD Opteron™ Generation 2`, family: 0xf, model: 0x41, adds: words("cmpxchg16b rdtscp lahf64")},
	{Key: "amd-greyhound-no3dnow", Label: `AMD Opteron™ Generation 3 (no 3DNow!™)`, family: 0x10, model: 0x2, drops: words("3dnow 3dnowplus"),
		adds: words("abm popcnt sse4a misaligned_sse 3dnprefetch pdpe1gb")},
	{Key: "amd-greyhound", Label: `AMD Opteron™ Generation 3`, family: 0x10, model: 0x2, adds: words("3dnow 3dnowplus")},
	{Key: "amd-bulldozer", Label: `AMD Opteron™ Generation 4`, family: 0x15, model: 0x1, after: "amd-greyhound-no3dnow",
		adds: words("ssse3 sse41 sse42 aes pclmulqdq avx xsave xcr0_master_sse xcr0_master_ymm_h xop fma4")},
	{Key: "amd-piledriver", Label: `AMD Opteron™ "Piledriver" Generation`, family: 0x15, model: 0x2, adds: words("bmi1 f16c fma tbm")},
	{Key: "amd-steamroller", Label: `AMD Opteron™ "Steamroller" Generation`, family: 0x15, model: 0x38, adds: words("fsgsbase xsaveopt")},
	{Key: "amd-zen", Label: `AMD "Zen" Generation`, since: "6.7", family: 0x17, model: 0x1, drops: words("xop fma4 tbm"),
		adds: words("rdrand smep avx2 bmi2 movbe adx rdseed smap clflushopt xsaves xsavec sha clzero")},
	{Key: "amd-zen2", Label: `AMD "Zen 2" Generation`, since: "7.0.0.0", family: 0x17, model: 0x31, adds: words("clwb umip rdpid xgetbv_ecx1 wbnoinvd")},
	{Key: "amd-zen3", Label: `AMD "Zen 3" Generation`, since: "7.0.2.0", family: 0x19, model: 0x1, adds: words("pcid invpcid pku vaes vpclmulqdq cet_ss xcr0_master_pkru")},
	{Key: "amd-zen4", Label: `AMD "Zen 4" Generation`, since: "8.0.0.2", family: 0x19, model: 0x11, adds: words("gfni avx512f avx512dq avx512cd avx512bw avx512vl avx512ifma " +
		"avx512vbmi avx512vbmi2 avx512vnni avx512bitalg avx512vpopcntdq avx512bf16 xcr0_master_opmask xcr0_master_zmm_h xcr0_master_hi16_zmm")},
})

func words(s string) []string { return strings.Fields(s) }

// named fills in what follows from the order of the modes.
func named(list []Mode) []Mode {
	for i := range list {
		m := &list[i]
		m.Vendor, _, _ = strings.Cut(m.Key, "-")
		if m.Vendor == Intel {
			m.family = 6
		}
		m.features = Set{}
		if before := slices.IndexFunc(list, func(o Mode) bool { return o.Key == m.after }); before >= 0 {
			m.features = list[before].features.Without(nil)
		} else if i > 0 && list[i-1].Vendor == m.Vendor {
			m.features = list[i-1].features.Without(nil)
		}
		if i > 0 && list[i-1].Vendor == m.Vendor {
			m.Tier = list[i-1].Tier + 1
		}
		for _, name := range m.drops {
			delete(m.features, name)
		}
		for _, name := range m.adds {
			m.features[name] = true
		}
	}
	return list
}

// Modes are the EVC modes that the vCenter of an API version has.
func Modes(api string) []*Mode {
	var out []*Mode
	for i := range modes {
		if !apiversion.Less(api, modes[i].since) {
			out = append(out, &modes[i])
		}
	}
	return out
}

// ModeOf finds the mode with a key; nil where the release has none.
func ModeOf(api, key string) *Mode {
	for _, m := range Modes(api) {
		if m.Key == key {
			return m
		}
	}
	return nil
}

// Baseline are the features that a mode guarantees, and so needs of a host.
func (m *Mode) Baseline() Set { return m.features }

// Shown are the features that a host in the mode shows: its own, as far as the mode has them.
func (m *Mode) Shown(host Set) Set { return host.And(m.Allowed()) }

// Allowed are the features that a mode does not hide.
func (m *Mode) Allowed() Set {
	out := m.features.Without(nil)
	for name := range byMicrocode[m.Vendor] {
		out[name] = true
	}
	return out
}

// Max is the most that a host can be: the highest mode whose baseline it has; nil where there is none.
func Max(api string, host Set) *Mode {
	var best *Mode
	for _, m := range Modes(api) {
		if host.Has(m.Baseline()) {
			best = m
		}
	}
	return best
}

// Least is the lowest mode in which VMs with these features could run; nil where there is none.
func Least(api string, needed Set) *Mode {
	for _, m := range Modes(api) {
		if m.Allowed().Has(needed) {
			return m
		}
	}
	return nil
}

// API is a mode as the API describes it.
func (m *Mode) API(n Spelling) types.EVCMode {
	out := types.EVCMode{
		Vendor: m.Vendor, VendorTier: m.Tier, Track: m.track(),
		FeatureCapability: n.Capabilities(m.Baseline()), FeatureRequirement: n.Requirements(m.Baseline()), FeatureMask: m.masks(n),
		GuaranteedCPUFeatures: m.guaranteed(),
	}
	out.Key, out.Label = m.Key, m.Label
	out.Summary = "Applies the baseline feature set of " + m.Label + " processors to all hosts in the cluster."
	return out
}

// track names the groups of features that are in a mode, so that one mode has more than another where its track and
// its tier are more. Only AMD has modes that lose features.
func (m *Mode) track() []string {
	out := []string{m.Vendor}
	for _, name := range []string{"3dnow", "xop"} {
		if m.features[name] {
			out = append(out, m.Vendor+"-"+name)
		}
	}
	return out
}

// masks is what makes a host, or a VM, show no more than a mode.
func (m *Mode) masks(n Spelling) []types.HostFeatureMask {
	values := map[string]string{"family": hex(m.family), "model": hex(m.model), "stepping": "0"}
	for _, name := range featureNames {
		switch {
		case m.features[name]:
			values[name] = "1"
		case byMicrocode[m.Vendor][name]: // as the host has it
		default:
			values[name] = "0"
		}
	}
	var out []types.HostFeatureMask
	for _, name := range sorted(append(slices.Clone(featureNames), numbers...)) {
		if value, ok := values[name]; ok {
			out = append(out, types.HostFeatureMask{Key: n.key(name), FeatureName: n.key(name), Value: "Val:" + value})
		} else {
			out = append(out, types.HostFeatureMask{Key: n.key(name), FeatureName: n.key(name), Value: "Max:1"})
		}
	}
	return out
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// hex writes small numbers as they are, others as 0x3f: "cpuid.FAMILY Val:6", "cpuid.MODEL Val:0x3f".
func hex(n int) string {
	if n < 10 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%#x", n)
}

// guaranteed is the baseline in registers, as it was described before 5.1; '-' is what a mode does not speak of.
func (m *Mode) guaranteed() []types.HostCpuIdInfo {
	var out []types.HostCpuIdInfo
	for _, level := range []uint32{version, more} {
		info := types.HostCpuIdInfo{Level: int32(level)}
		for register, text := range map[int]*string{eax: &info.Eax, ebx: &info.Ebx, ecx: &info.Ecx, edx: &info.Edx} {
			*text = m.register(leaf{level, 0}, register)
		}
		out = append(out, info)
	}
	return out
}

func (m *Mode) register(l leaf, register int) string {
	text := []byte("----:----:----:----:----:----:----:----")
	for name, places := range features {
		for _, p := range places {
			if p.leaf != l || p.register != register {
				continue
			}
			digit := byte('0')
			if m.features[name] {
				digit = '1'
			}
			i := 31 - int(p.bit)
			text[i+i/4] = digit
		}
	}
	return string(text)
}

// Masked is what masks leave of a host's features. Where the masks are complete, what they do not name is hidden.
// An error names a mask that makes no sense.
func (n Spelling) Masked(host Set, masks []types.HostFeatureMask, complete bool) (shown Set, err error) {
	shown = Set{}
	if !complete {
		shown = host.Without(nil)
	}
	for _, mask := range masks {
		name, ok := n.feature(mask.Key)
		how, value, cut := strings.Cut(mask.Value, ":")
		if !ok || !cut || !slices.Contains([]string{"Val", "Max", "Min"}, how) {
			return nil, fmt.Errorf("mask %s=%s", mask.Key, mask.Value)
		}
		if slices.Contains(numbers, name) {
			continue
		}
		delete(shown, name)
		switch {
		case how == "Val" && value == "1", how == "Min" && value == "1", how == "Max" && value == "1" && host[name]:
			shown[name] = true
		}
	}
	return shown, nil
}
