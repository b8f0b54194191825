// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package cpus

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25/types"
)

// registers are EAX, EBX, ECX and EDX.
type registers [4]uint32

// leaf names an answer of CPUID: EAX and ECX as it is called.
type leaf struct{ eax, ecx uint32 }

// Processor is a model of processor, as CPUID describes it.
type Processor struct {
	Name  string // in the control endpoint
	Brand string
	Hz    int64
	// Source is the file of the InstLatx64 collection with the same values.
	Source string
	leaves map[leaf]registers
	has    Set
}

const (
	basic    = 0
	version  = 1
	extended = 7
	state    = 0xd
	topBasic = 0x80000000
	more     = 0x80000001
	address  = 0x80000008
)

// genuineIntel and authenticAMD are EBX, ECX and EDX of leaf 0: "GenuineIntel", "AuthenticAMD".
var (
	genuineIntel = [3]uint32{0x756e6547, 0x6c65746e, 0x49656e69}
	authenticAMD = [3]uint32{0x68747541, 0x444d4163, 0x69746e65}
)

// Processors are the known models. Their values are those that the public collection InstLatx64 has
// of real processors: https://github.com/InstLatx64/InstLatx64, in the file that Source names.
var Processors = []Processor{
	intel("xeon-cranford", "Intel(R) Xeon(TM) CPU 3.40GHz", 3_400_000_000, "GenuineIntel0000F41_P4_Cranford_CPUID.txt", 0x5, map[leaf]registers{
		{version, 0}: {0x00000f41, 0x00020800, 0x0000649d, 0xbfebfbff},
		{more, 0}:    {0, 0, 0, 0x20000000},
		{address, 0}: {0x00003024, 0, 0, 0},
	}),
	intel("xeon-harpertown", "Intel(R) Xeon(R) CPU           E5462  @ 2.80GHz", 2_800_000_000, "GenuineIntel0010676_Harpertown_CPUID.txt", 0xa, map[leaf]registers{
		{version, 0}: {0x00010676, 0x00040800, 0x000ce3bd, 0xbfebfbff},
		{more, 0}:    {0, 0, 0x00000001, 0x20100000},
		{address, 0}: {0x00003026, 0, 0, 0},
	}),
	intel("xeon-sandybridge", "Intel(R) Core(TM) i7-3930K CPU @ 3.20GHz", 3_200_000_000, "GenuineIntel00206D7_SandyBridgeE_00_CPUID.txt", 0xd, map[leaf]registers{
		{version, 0}:  {0x000206d7, 0x00200800, 0x1fbee3bf, 0xbfebfbff},
		{extended, 0}: {0, 0, 0, 0x9c000400},
		{state, 0}:    {0x00000007, 0x00000340, 0x00000340, 0},
		{state, 1}:    {0x00000001, 0, 0, 0},
		{more, 0}:     {0, 0, 0x00000001, 0x2c100000},
		{address, 0}:  {0x0000302e, 0, 0, 0},
	}),
	intel("xeon-haswell", "Intel(R) Xeon(R) CPU E5-2699 v3 @ 2.30GHz", 2_300_000_000, "GenuineIntel00306F2_HaswellEP_04_CPUID.txt", 0xf, map[leaf]registers{
		{version, 0}:  {0x000306f2, 0x00400800, 0x7ffefbff, 0xbfebfbff},
		{extended, 0}: {0, 0x000037ab, 0, 0x9c000400},
		{state, 0}:    {0x00000007, 0x00000340, 0x00000340, 0},
		{state, 1}:    {0x00000001, 0, 0, 0},
		{more, 0}:     {0, 0, 0x00000021, 0x2c100800},
		{address, 0}:  {0x0000302e, 0, 0, 0},
	}),
	intel("xeon-broadwell", "Intel(R) Xeon(R) CPU E5-2697 v4 @ 2.30GHz", 2_300_000_000, "GenuineIntel00406F1_BroadwellE_CPUID4.txt", 0x14, map[leaf]registers{
		{version, 0}:  {0x000406f1, 0x00400800, 0x7ffefbff, 0xbfebfbff},
		{extended, 0}: {0, 0x021cbfbb, 0, 0},
		{state, 0}:    {0x00000007, 0x00000340, 0x00000340, 0},
		{state, 1}:    {0x00000001, 0, 0, 0},
		{more, 0}:     {0, 0, 0x00000121, 0x2c100000},
		{address, 0}:  {0x0000302e, 0, 0, 0},
	}),
	intel("core-kabylake", "Intel(R) Core(TM) i5-7200U CPU @ 2.50GHz", 2_500_000_000, "GenuineIntel00806E9_Kabylake_CPUID.txt", 0x16, map[leaf]registers{
		{version, 0}:  {0x000806e9, 0x00100800, 0x7ffafbbf, 0xbfebfbff},
		{extended, 0}: {0, 0x029c67af, 0, 0},
		{state, 0}:    {0x0000001f, 0x00000440, 0x00000440, 0},
		{state, 1}:    {0x0000000f, 0x000003c0, 0x00000100, 0},
		{more, 0}:     {0, 0, 0x00000121, 0x2c100000},
		{address, 0}:  {0x00003027, 0, 0, 0},
	}),
	intel("xeon-skylake", "Intel(R) Xeon(R) Gold 6154 CPU @ 3.00GHz", 3_000_000_000, "GenuineIntel0050654_SkylakeXeon_CPUID.txt", 0x16, map[leaf]registers{
		{version, 0}:  {0x00050654, 0x00400800, 0x7ffefbff, 0xbfebfbff},
		{extended, 0}: {0, 0xd39ffffb, 0x00000008, 0},
		{state, 0}:    {0x000002ff, 0x00000340, 0x00000a88, 0},
		{state, 1}:    {0x0000000f, 0x00000340, 0x00000100, 0},
		{more, 0}:     {0, 0, 0x00000121, 0x2c100800},
		{address, 0}:  {0x0000302e, 0, 0, 0},
	}),
	intel("xeon-cascadelake", "Intel(R) Xeon(R) Gold 5215 CPU @ 2.50GHz", 2_500_000_000, "GenuineIntel0050657_CascadeLakeSP_CPUID1.txt", 0x16, map[leaf]registers{
		{version, 0}:  {0x00050657, 0x00200800, 0x7ffefbff, 0xbfebfbff},
		{extended, 0}: {0, 0xd39ffffb, 0x00000808, 0xbc000400},
		{state, 0}:    {0x000002ff, 0x00000a80, 0x00000a88, 0},
		{state, 1}:    {0x0000000f, 0x00000a80, 0x00000100, 0},
		{more, 0}:     {0, 0, 0x00000121, 0x2c100000},
		{address, 0}:  {0x0000302e, 0, 0, 0},
	}),
	intel("xeon-icelake", "Intel(R) Xeon(R) Gold 6330 CPU @ 2.00GHz", 2_000_000_000, "GenuineIntel00606A6_ICX_CPUID2.txt", 0x1b, map[leaf]registers{
		{version, 0}:  {0x000606a6, 0x00800800, 0x7ffefbff, 0xbfebfbff},
		{extended, 0}: {0, 0xf3bfbfff, 0x40417f4e, 0xbc040412},
		{state, 0}:    {0x000002e7, 0x00000a80, 0x00000a88, 0},
		{state, 1}:    {0x0000000f, 0x00000a00, 0x00000100, 0},
		{more, 0}:     {0, 0, 0x00000121, 0x2c100800},
		{address, 0}:  {0x0000392e, 0x00000200, 0, 0},
	}),
	intel("xeon-sapphirerapids", "Intel(R) Xeon(R) w7-2475X", 2_600_000_000, "GenuineIntel00806F8_SapphireRapids_05_CPUID.txt", 0x20, map[leaf]registers{
		{version, 0}:  {0x000806f8, 0x00800800, 0x7ffefbff, 0xbfebfbff},
		{extended, 0}: {0x00000002, 0xf3bfbffb, 0xbb417fee, 0xffdd4430},
		{extended, 1}: {0x00001c30, 0, 0, 0},
		{state, 0}:    {0x000602e7, 0x00002b00, 0x00002b00, 0},
		{state, 1}:    {0x0000001f, 0x00002a80, 0x0000dd00, 0},
		{more, 0}:     {0, 0, 0x00000121, 0x2c100000},
		{address, 0}:  {0x0000392e, 0x00000200, 0, 0},
	}),
	amd("opteron-shanghai", "Quad-Core AMD Opteron(tm) Processor 2378", 2_400_000_000, "AuthenticAMD0100F42_K10_Shanghai_CPUID.txt", 0x5, 0x8000001b, map[leaf]registers{
		{version, 0}: {0x00100f42, 0x00040800, 0x00802009, 0x178bfbff},
		{more, 0}:    {0x00100f42, 0x00000cef, 0x000037ff, 0xefd3fbff},
		{address, 0}: {0x00003030, 0, 0x00002003, 0},
	}),
	amd("opteron-abudhabi", "AMD Opteron(tm) Processor 6376", 2_300_000_000, "AuthenticAMD0600F20_K15_AbuDhabi_CPUID0.txt", 0xd, 0x8000001e, map[leaf]registers{
		{version, 0}:  {0x00600f20, 0x00100800, 0x3e98320b, 0x178bfbff},
		{extended, 0}: {0, 0x00000008, 0, 0},
		{state, 0}:    {0x00000007, 0x00000340, 0x000003c0, 0x40000000},
		{more, 0}:     {0x00600f20, 0x30000000, 0x01ebbfff, 0x2fd3fbff},
		{address, 0}:  {0x00003030, 0, 0x0000500f, 0},
	}),
	amd("epyc-naples", "AMD EPYC 7551P 32-Core Processor", 2_000_000_000, "AuthenticAMD0800F12_K17_Zen_CPUID.txt", 0xd, 0x8000001f, map[leaf]registers{
		{version, 0}:  {0x00800f12, 0x00400800, 0x7ed8320b, 0x178bfbff},
		{extended, 0}: {0, 0x209c01a9, 0, 0},
		{state, 0}:    {0x00000007, 0x00000340, 0x00000340, 0},
		{state, 1}:    {0x0000000f, 0x00000340, 0, 0},
		{more, 0}:     {0x00800f12, 0x40000000, 0x35c233ff, 0x2fd3fbff},
		{address, 0}:  {0x00003030, 0x00000007, 0x0000603f, 0},
	}),
	amd("epyc-rome", "AMD EPYC 7742 64-Core Processor", 2_250_000_000, "AuthenticAMD0830F10_K17_Rome_CPUID.txt", 0x10, 0x80000020, map[leaf]registers{
		{version, 0}:  {0x00830f10, 0x00800800, 0x7ef8320b, 0x178bfbff},
		{extended, 0}: {0, 0x219c91a9, 0x00400004, 0},
		{state, 0}:    {0x00000207, 0x00000340, 0x00000380, 0},
		{state, 1}:    {0x0000000f, 0x00000340, 0, 0},
		{more, 0}:     {0x00830f10, 0x40000000, 0x75c237ff, 0x2fd3fbff},
		{address, 0}:  {0x00003030, 0x018ef757, 0x0000707f, 0x00010000},
	}),
	amd("epyc-milan", "AMD EPYC 7713 64-Core Processor", 2_000_000_000, "AuthenticAMD0A00F11_K19_Milan_CPUID1.txt", 0x10, 0x80000023, map[leaf]registers{
		{version, 0}:  {0x00a00f11, 0x00800800, 0x7eda320b, 0x178bfbff},
		{extended, 0}: {0, 0x219c97a9, 0x0040068c, 0x00000010},
		{state, 0}:    {0x00000207, 0x00000340, 0x00000988, 0},
		{state, 1}:    {0x0000000f, 0x00000350, 0x00001800, 0},
		{more, 0}:     {0x00a00f11, 0x40000000, 0x75c237ff, 0x2fd3fbff},
		{address, 0}:  {0x00003030, 0x91bef75f, 0x0000707f, 0x00010007},
	}),
	amd("epyc-genoa", "AMD EPYC 9654 96-Core Processor", 2_400_000_000, "AuthenticAMD0A10F11_K19_Genoa_01_CPUID.txt", 0x10, 0x80000028, map[leaf]registers{
		{version, 0}:  {0x00a10f11, 0x00c00800, 0x7efa320b, 0x178bfbff},
		{extended, 0}: {0x00000001, 0xf1bf97a9, 0x00415fce, 0x10000010},
		{extended, 1}: {0x00000020, 0, 0, 0},
		{state, 0}:    {0x000002e7, 0x00000980, 0x00000988, 0},
		{state, 1}:    {0x0000000f, 0x00000990, 0x00001800, 0},
		{more, 0}:     {0x00a10f11, 0x40000000, 0x75c237ff, 0x2fd3fbff},
		{address, 0}:  {0x00003934, 0x79bef25f, 0x000080bf, 0x00010007},
	}),
}

// Default is the processor of a host for which nothing else is said.
const Default = "xeon-haswell"

func intel(name, brand string, hz int64, source string, top uint32, leaves map[leaf]registers) Processor {
	return made(name, brand, hz, source, leaves, registers{top, genuineIntel[0], genuineIntel[1], genuineIntel[2]}, registers{0x80000008})
}

func amd(name, brand string, hz int64, source string, top, topExtended uint32, leaves map[leaf]registers) Processor {
	words := [3]uint32{authenticAMD[0], authenticAMD[1], authenticAMD[2]}
	return made(name, brand, hz, source, leaves,
		registers{top, words[0], words[1], words[2]}, registers{topExtended, words[0], words[1], words[2]})
}

func made(name, brand string, hz int64, source string, leaves map[leaf]registers, first, firstExtended registers) Processor {
	leaves[leaf{basic, 0}], leaves[leaf{topBasic, 0}] = first, firstExtended
	p := Processor{Name: name, Brand: brand, Hz: hz, Source: source, leaves: leaves}
	p.has = p.decode()
	return p
}

// Names lists the known processors.
func Names() []string {
	var out []string
	for i := range Processors {
		out = append(out, Processors[i].Name)
	}
	return out
}

// Named finds a processor.
func Named(name string) (*Processor, error) {
	i := slices.Index(Names(), name)
	if i < 0 {
		return nil, fmt.Errorf("there is no processor %q: %s are known", name, strings.Join(Names(), ", "))
	}
	return &Processors[i], nil
}

// Vendor is "intel" or "amd", as hosts and EVC modes name it.
func (p *Processor) Vendor() string {
	if p.leaves[leaf{basic, 0}][1] == genuineIntel[0] {
		return Intel
	}
	return AMD
}

// Signature takes family, model and stepping from leaf 1. The extended family is added where the family is 15;
// the extended model belongs to the model there and, on Intel, for family 6: Intel's Software Developer's Manual, CPUID,
// and AMD's CPUID Specification 25481. No AMD processor of family 6 has an extended model.
func (p *Processor) Signature() (family, model, stepping int16) {
	eax := p.leaves[leaf{version, 0}][0]
	family, model, stepping = int16(eax>>8&0xf), int16(eax>>4&0xf), int16(eax&0xf)
	if family == 0xf || family == 6 {
		model |= int16(eax >> 16 & 0xf << 4)
	}
	if family == 0xf {
		family += int16(eax >> 20 & 0xff)
	}
	return family, model, stepping
}

// shownLeaves are those that a host tells of: the dump of an ESXi host that vcsim is made of has these.
var shownLeaves = []uint32{basic, version, topBasic, more, address}

// CPUID is what a host holds in hardware.cpuFeature.
func (p *Processor) CPUID() []types.HostCpuIdInfo {
	var out []types.HostCpuIdInfo
	for _, eax := range shownLeaves {
		r := p.leaves[leaf{eax, 0}]
		out = append(out, types.HostCpuIdInfo{
			Level: int32(eax), Eax: bits(r[0]), Ebx: bits(r[1]), Ecx: bits(r[2]), Edx: bits(r[3]),
		})
	}
	return out
}

// bits writes a register as the API does: nibbles of zeros and ones, the highest first.
func bits(v uint32) string {
	text := fmt.Sprintf("%032b", v)
	var groups []string
	for i := 0; i < len(text); i += 4 {
		groups = append(groups, text[i:i+4])
	}
	return strings.Join(groups, ":")
}
