# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What guests answer, taken apart and held against what vCenter says: without a guest."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._cpu.guests import NoProcessor, differences, seen_in
from ansible_collections.vforge.vsphere.plugins.module_utils._cpu.model import CpuHost, CpuVm
from ansible_collections.vforge.vsphere.plugins.module_utils._cpu.plan import Expected
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.cpuid import decode
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.processors import Needs, Processor

# Flags that guests have, as far as vCenter knows them by another name or by the same: on a Haswell, and on a Kaby Lake.
FLAGS = (
    "fpu lm nx pni ssse3 sse4_1 sse4_2 popcnt aes avx avx2 f16c fma bmi1 bmi2 movbe rdrand smep erms invpcid abm cx16 lahf_lm "
    "rdtscp pdpe1gb pclmulqdq fsgsbase ss xsave xsaveopt md_clear flush_l1d ibrs ibpb stibp ssbd hypervisor"
)
KABY_FLAGS = f"{FLAGS} rdseed adx smap clflushopt xsavec xgetbv1 xsaves 3dnowprefetch"

LEAVES = """\
CPU:
   0x00000000 0x00: eax=0x00000016 ebx=0x756e6547 ecx=0x6c65746e edx=0x49656e69
   0x00000001 0x00: eax={eax} ebx=0x00010800 ecx=0xfffa3203 edx=0x0f8bfbff
   0x00000004 0x00: eax=0x00000121 ebx=0x01c0003f ecx=0x0000003f edx=0x00000000
   0x00000004 0x01: eax=0x00000122 ebx=0x01c0003f ecx=0x0000003f edx=0x00000000
   0x40000000 0x00: eax=0x40000010 ebx={ebx} ecx=0x4d566572 edx=0x65726177
"""
VMWARE, OTHER = "0x61774d56", "0x20202020"


def cpuinfo(model=63, stepping=2, flags=FLAGS, **more):
    """/proc/cpuinfo of a guest with two processors."""
    facts = {
        "processor": 0,
        "vendor_id": "GenuineIntel",
        "cpu family": 6,
        "model": model,
        "model name": "Intel(R) Xeon(R)  CPU E5-2699 v3 @ 2.30GHz",
        "stepping": stepping,
        "flags": flags,
        **more,
    }
    one = "".join(f"{key}\t: {value}\n" for key, value in facts.items())
    return f"{one}\n{one.replace(': 0', ': 1')}\n"


HASWELL = decode("intel", 0x000306F2)
KABY = decode("intel", 0x000806E9)
NEEDS = {
    "cpuid.smep": "Bool:Min:1",
    "cpuid.sse3": "Bool:Min:1",
    "cpuid.intel": "Bool:Min:1",
    "cpuid.xcr0_master_sse": "Bool:Min:1",
}


def output(info, cpuid="", lscpu=""):
    """What the script prints in a guest."""
    return f"[cpuinfo]\n{info}[cpuid]\n{cpuid}[lscpu]\n{lscpu}".encode()


def told(info, cpuid="", lscpu="", *, expected=HASWELL, source="host", masked=()):
    """The codes of the differences, and the differences."""
    seen = seen_in(output(info, cpuid, lscpu))
    vm = CpuVm(moid="vm-1", name="w", needs=Needs(requirements=NEEDS))
    before = dict.fromkeys(masked, "1")
    host = CpuHost("host-1", "h", processor=Processor(capabilities=before, masked=dict.fromkeys(masked, "0")))
    found = differences(seen, vm, host, Expected(expected, source))
    return [each.code for each in found], found


def test_what_a_guest_sees_is_taken_apart():
    seen = seen_in(output(cpuinfo(), LEAVES.format(eax="0x000306f2", ebx=VMWARE)))
    assert seen.identity == seen.leaf_identity == HASWELL
    assert (seen.model_name, seen.hypervisor) == ("Intel(R) Xeon(R) CPU E5-2699 v3 @ 2.30GHz", "VMware")
    assert seen.flags == set(FLAGS.split())


def test_lscpu_reports_the_hypervisor_where_cpuid_does_not():
    seen = seen_in(output(cpuinfo(), lscpu="Hypervisor vendor:   VMware\n"))
    assert (seen.hypervisor, seen.leaf_identity) == ("VMware", None)


def test_where_both_say_the_same_there_is_no_difference():
    assert told(cpuinfo(), LEAVES.format(eax="0x000306f2", ebx=VMWARE))[0] == []
    # Nobody in the guest can tell whose hypervisor it is: that is none, either.
    assert told(cpuinfo())[0] == []


@pytest.mark.parametrize("source", ["host", "evc_mode", "vm_masks"])
def test_another_processor_is_named_with_what_may_be_the_reason(source):
    codes, found = told(cpuinfo(142, 9), expected=decode("intel", 0x000306F0), source=source)
    assert codes == ["identity"]
    assert "sees Intel family 6 model 142 stepping 9 (Kaby Lake), and would see Intel family 6 model 63" in found[0].msg


def test_features_that_the_mode_hides_and_the_guest_sees_are_named():
    masked = ("cpuid.rdseed", "cpuid.xgetbv_ecx1", "cpuid.avx512f", "cpuid.unheard")
    codes, found = told(cpuinfo(flags=KABY_FLAGS), masked=masked)
    assert (codes, found[0].features) == (["masked_feature"], ("cpuid.rdseed", "cpuid.xgetbv_ecx1"))


def test_features_that_the_kernel_does_not_list_are_named():
    codes, found = told(cpuinfo(flags=FLAGS.replace(" smep", "").replace(" pni", "")))
    assert (codes, found[0].features) == (["missing_feature"], ("cpuid.smep", "cpuid.sse3"))


def test_a_hidden_and_a_nested_hypervisor_are_named():
    assert told(cpuinfo(flags=FLAGS.replace(" hypervisor", "")))[0] == ["hypervisor"]
    codes, found = told(cpuinfo(), LEAVES.format(eax="0x000306f2", ebx=OTHER))
    assert codes == ["hypervisor"]
    assert "it is nested in another" in found[0].msg


def test_a_guest_that_contradicts_itself_is_named():
    assert told(cpuinfo(), LEAVES.format(eax="0x000806e9", ebx=VMWARE))[0] == ["guest_disagrees"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "processor: 0\nmodel: 142\n",
        cpuinfo(model="$(reboot)"),
        cpuinfo(model=10**30),
        cpuinfo(stepping=-1),
        cpuinfo(model="\u0661\u0662"),
        cpuinfo(stepping=99),
        "\0\0\x1b[31m" * 100,
    ],
)
def test_a_guest_that_says_nonsense_names_no_processor(text):
    with pytest.raises(NoProcessor, match="has no line"):
        seen_in(output(text))


def test_an_answer_without_our_words_names_no_processor():
    with pytest.raises(NoProcessor):
        seen_in(b"\xff\xfe sh: not found")


def test_words_of_a_guest_are_cut_and_shown_as_text():
    seen = seen_in(output(cpuinfo(**{"model name": "A\x1b[31m" + "x" * 500, "vendor_id": "\x07Evil"})))
    assert "\x1b" not in seen.model_name
    assert len(seen.model_name) <= 80
    assert "\x07" not in seen.identity.vendor
    many = " ".join(f"f{number}" for number in range(5_000))
    assert len(seen_in(output(cpuinfo(flags=many))).flags) == 1_000
