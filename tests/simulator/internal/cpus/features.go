// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package cpus

import (
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
)

// Intel and AMD are the vendors, as the API names them; vcsim's hosts have them in lower case, too.
const (
	Intel = "intel"
	AMD   = "amd"
)

// The registers, by their place.
const (
	eax = iota
	ebx
	ecx
	edx
)

// place is where CPUID tells of a feature.
type place struct {
	leaf     leaf
	register int
	bit      uint
}

func at(eax, ecx uint32, register int, bit uint) place { return place{leaf{eax, ecx}, register, bit} }

// features are the features of hosts, by the names that vSphere 8 gives them: the list of William Lam's
// Get-VMCPUFeatures, as of 8.0 Update 1. Their bits are those of the manuals of Intel and AMD.
var features = map[string][]place{
	"sse3": {at(version, 0, ecx, 0)}, "pclmulqdq": {at(version, 0, ecx, 1)}, "mwait": {at(version, 0, ecx, 3)},
	"vmx": {at(version, 0, ecx, 5)}, "ssse3": {at(version, 0, ecx, 9)}, "fma": {at(version, 0, ecx, 12)},
	"cmpxchg16b": {at(version, 0, ecx, 13)}, "pcid": {at(version, 0, ecx, 17)}, "sse41": {at(version, 0, ecx, 19)},
	"sse42": {at(version, 0, ecx, 20)}, "movbe": {at(version, 0, ecx, 22)}, "popcnt": {at(version, 0, ecx, 23)},
	"aes": {at(version, 0, ecx, 25)}, "xsave": {at(version, 0, ecx, 26)}, "avx": {at(version, 0, ecx, 28)},
	"f16c": {at(version, 0, ecx, 29)}, "rdrand": {at(version, 0, ecx, 30)},
	"psn": {at(version, 0, edx, 18)}, "ds": {at(version, 0, edx, 21)}, "ss": {at(version, 0, edx, 27)},

	"fsgsbase": {at(extended, 0, ebx, 0)}, "bmi1": {at(extended, 0, ebx, 3)}, "hle": {at(extended, 0, ebx, 4)},
	"avx2": {at(extended, 0, ebx, 5)}, "smep": {at(extended, 0, ebx, 7)}, "bmi2": {at(extended, 0, ebx, 8)},
	"enfstrg": {at(extended, 0, ebx, 9)}, "invpcid": {at(extended, 0, ebx, 10)}, "rtm": {at(extended, 0, ebx, 11)},
	"fp_segment_zero": {at(extended, 0, ebx, 13)}, "mpx": {at(extended, 0, ebx, 14)}, "avx512f": {at(extended, 0, ebx, 16)},
	"avx512dq": {at(extended, 0, ebx, 17)}, "rdseed": {at(extended, 0, ebx, 18)}, "adx": {at(extended, 0, ebx, 19)},
	"smap": {at(extended, 0, ebx, 20)}, "avx512ifma": {at(extended, 0, ebx, 21)}, "clflushopt": {at(extended, 0, ebx, 23)},
	"clwb": {at(extended, 0, ebx, 24)}, "avx512cd": {at(extended, 0, ebx, 28)}, "sha": {at(extended, 0, ebx, 29)},
	"avx512bw": {at(extended, 0, ebx, 30)}, "avx512vl": {at(extended, 0, ebx, 31)},
	"avx512vbmi": {at(extended, 0, ecx, 1)}, "umip": {at(extended, 0, ecx, 2)}, "pku": {at(extended, 0, ecx, 3)},
	"avx512vbmi2": {at(extended, 0, ecx, 6)}, "cet_ss": {at(extended, 0, ecx, 7)}, "gfni": {at(extended, 0, ecx, 8)},
	"vaes": {at(extended, 0, ecx, 9)}, "vpclmulqdq": {at(extended, 0, ecx, 10)}, "avx512vnni": {at(extended, 0, ecx, 11)},
	"avx512bitalg": {at(extended, 0, ecx, 12)}, "avx512vpopcntdq": {at(extended, 0, ecx, 14)}, "rdpid": {at(extended, 0, ecx, 22)},
	"cldemote": {at(extended, 0, ecx, 25)}, "movdiri": {at(extended, 0, ecx, 27)}, "movdir64b": {at(extended, 0, ecx, 28)},
	"pks": {at(extended, 0, ecx, 31)}, "fast_short_repmov": {at(extended, 0, edx, 4)}, "mdclear": {at(extended, 0, edx, 10)},
	"serialize": {at(extended, 0, edx, 14)}, "amx_bf16": {at(extended, 0, edx, 22)}, "avx512fp16": {at(extended, 0, edx, 23)},
	"amx_tile": {at(extended, 0, edx, 24)}, "amx_int8": {at(extended, 0, edx, 25)}, "ibrs": {at(extended, 0, edx, 26)},
	"ibpb": {at(extended, 0, edx, 26), at(address, 0, ebx, 12)}, "stibp": {at(extended, 0, edx, 27)},
	"fcmd": {at(extended, 0, edx, 28)}, "ssbd": {at(extended, 0, edx, 31)},
	"avx_vnni": {at(extended, 1, eax, 4)}, "avx512bf16": {at(extended, 1, eax, 5)},

	"xcr0_master_sse": {at(state, 0, eax, 1)}, "xcr0_master_ymm_h": {at(state, 0, eax, 2)}, "xcr0_master_bndregs": {at(state, 0, eax, 3)},
	"xcr0_master_bndcsr": {at(state, 0, eax, 4)}, "xcr0_master_opmask": {at(state, 0, eax, 5)}, "xcr0_master_zmm_h": {at(state, 0, eax, 6)},
	"xcr0_master_hi16_zmm": {at(state, 0, eax, 7)}, "xcr0_master_pkru": {at(state, 0, eax, 9)},
	"xcr0_master_xtilecfg": {at(state, 0, eax, 17)}, "xcr0_master_xtiledata": {at(state, 0, eax, 18)},
	"xsaveopt": {at(state, 1, eax, 0)}, "xsavec": {at(state, 1, eax, 1)}, "xgetbv_ecx1": {at(state, 1, eax, 2)},
	"xsaves": {at(state, 1, eax, 3)}, "xfd": {at(state, 1, eax, 4)},

	"lahf64": {at(more, 0, ecx, 0)}, "svm": {at(more, 0, ecx, 2)}, "extapicspc": {at(more, 0, ecx, 3)}, "cr8avail": {at(more, 0, ecx, 4)},
	"abm": {at(more, 0, ecx, 5)}, "sse4a": {at(more, 0, ecx, 6)}, "misaligned_sse": {at(more, 0, ecx, 7)}, "3dnprefetch": {at(more, 0, ecx, 8)},
	"xop": {at(more, 0, ecx, 11)}, "fma4": {at(more, 0, ecx, 16)}, "tbm": {at(more, 0, ecx, 21)},
	"nx": {at(more, 0, edx, 20)}, "mmxext": {at(more, 0, edx, 22)}, "ffxsr": {at(more, 0, edx, 25)}, "pdpe1gb": {at(more, 0, edx, 26)},
	"rdtscp": {at(more, 0, edx, 27)}, "lm": {at(more, 0, edx, 29)}, "3dnowplus": {at(more, 0, edx, 30)}, "3dnow": {at(more, 0, edx, 31)},
	"clzero": {at(address, 0, ebx, 0)}, "wbnoinvd": {at(address, 0, ebx, 9)},
}

// featureNames are the features, and the vendors, in the order in which hosts list them.
var featureNames = func() []string {
	out := []string{AMD, Intel}
	for name := range features {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}()

// Set is a set of features.
type Set map[string]bool

// Has tells if all of some features are in a set.
func (s Set) Has(all Set) bool { return len(all.Without(s)) == 0 }

// Without are the features of a set that another has not.
func (s Set) Without(other Set) Set {
	out := Set{}
	for name := range s {
		if !other[name] {
			out[name] = true
		}
	}
	return out
}

// And are the features that both sets have.
func (s Set) And(other Set) Set { return s.Without(s.Without(other)) }

// Features are what a processor can do. The set is shared: nobody changes it.
func (p *Processor) Features() Set { return p.has }

func (p *Processor) decode() Set {
	out := Set{p.Vendor(): true}
	for name, places := range features {
		for _, at := range places {
			if p.leaves[at.leaf][at.register]>>at.bit&1 == 1 {
				out[name] = true
			}
		}
	}
	return out
}

// notForGuests are features that a virtual machine does not get, or does not need to move: those of nested virtualization,
// which is off; MPX and TSX, which ESXi and microcode have taken from guests.
var notForGuests = func() Set {
	out := Set{}
	for _, name := range words("vmx svm mwait ds psn extapicspc cr8avail fp_segment_zero hle rtm mpx xcr0_master_bndregs xcr0_master_bndcsr") {
		out[name] = true
	}
	return out
}()

// Guest are the features that a VM gets of what its host shows.
func (s Set) Guest() Set { return s.Without(notForGuests) }

// Spelling writes the names of features as a release does. Hosts before 8.0 have capitals, but in the vendors' names:
// "cpuid.AVX2" and "cpuid.Intel"; 8.0 has "cpuid.avx2" and "cpuid.intel".
type Spelling struct{ capitals bool }

// SpellingOf is how the release of an API version writes them.
func SpellingOf(api string) Spelling { return Spelling{apiversion.Less(api, "8.0.0.0")} }

func (n Spelling) key(feature string) string {
	switch {
	case !n.capitals:
		return "cpuid." + feature
	case feature == Intel:
		return "cpuid.Intel"
	}
	return "cpuid." + strings.ToUpper(feature)
}

// feature is the name behind a key; ok is false for one that nobody knows.
func (n Spelling) feature(key string) (name string, ok bool) {
	prefix, name, found := strings.Cut(key, ".")
	name = strings.ToLower(name)
	return name, found && prefix == "cpuid" && (slices.Contains(featureNames, name) || slices.Contains(numbers, name))
}

// Capabilities is what a host says of each feature.
func (n Spelling) Capabilities(has Set) []types.HostFeatureCapability {
	var out []types.HostFeatureCapability
	for _, name := range featureNames {
		value := "0"
		if has[name] {
			value = "1"
		}
		out = append(out, types.HostFeatureCapability{Key: n.key(name), FeatureName: n.key(name), Value: value})
	}
	return out
}

// Requirements are what a VM, or a mode, needs of a host.
func (n Spelling) Requirements(needed Set) []types.VirtualMachineFeatureRequirement {
	var out []types.VirtualMachineFeatureRequirement
	for _, name := range featureNames {
		if needed[name] {
			out = append(out, types.VirtualMachineFeatureRequirement{Key: n.key(name), FeatureName: n.key(name), Value: "Bool:Min:1"})
		}
	}
	return out
}
