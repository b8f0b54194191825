# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest itself sees of its processor, beside what vCenter says that it should see. Pure, but
for the script that asks.

The guest is asked for the first processor of ``/proc/cpuinfo``, and for the raw leaves where
Debian's program ``cpuid`` is installed. Whatever it answers is a guest's word: it is taken apart,
bounded, and compared; nothing of it is run.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._text import printable
from .._vsphere import cpuid
from .._vsphere.cpuid import Bits, Identity, Leaf
from .._vsphere.features import Demand
from .model import CpuHost, CpuVm
from .plan import Expected, hidden

# A blank line ends the first processor of cpuinfo; the others say the same.
SCRIPT = """\
PATH=$PATH:/usr/sbin:/sbin
echo '[cpuinfo]'
while read -r line && [ -n "$line" ]; do printf '%s\\n' "$line"; done </proc/cpuinfo
echo '[cpuid]'
if command -v cpuid >/dev/null 2>&1; then cpuid -1 -r; fi
echo '[lscpu]'
if command -v lscpu >/dev/null 2>&1; then LC_ALL=C lscpu | grep 'Hypervisor vendor'; fi
exit 0
"""

_SECTION = re.compile(r"^\[(cpuinfo|cpuid|lscpu)\]$", re.MULTILINE)
_RAW = re.compile(
    r"^\s*0x([0-9a-f]{8}) 0x([0-9a-f]{2}): eax=0x([0-9a-f]{8}) ebx=0x([0-9a-f]{8}) ecx=0x([0-9a-f]{8}) edx=0x([0-9a-f]{8})\s*$",
    re.MULTILINE,
)

# The numbers of a processor in cpuinfo, and the most that the bits of leaf 1 can say.
_NUMBERS = {"cpu family": 0xF + 0xFF, "model": 0xFF, "stepping": 0xF}

_LONGEST_NAME = 80
_MOST_FLAGS = 1_000

# Flags of Linux (arch/x86/include/asm/cpufeatures.h) by vSphere's names for the same features, as
# VMs list them in their requirements. A feature without a flag of its own, such as cpuid.intel, is
# not here.
_SAME_NAME = (
    "3dnow abm adx aes amx_bf16 amx_int8 amx_tile avx avx2 avx512bw avx512cd avx512dq avx512f avx512ifma avx512vbmi "
    "avx512vl avx_vnni bmi1 bmi2 cldemote clflushopt clwb clzero f16c fma fma4 fsgsbase gfni hle ibpb ibrs invpcid lm "
    "mmxext movbe movdir64b movdiri mpx nx pclmulqdq pdpe1gb pku popcnt rdpid rdrand rdseed rdtscp rtm serialize smap "
    "smep ss ssbd sse4a ssse3 stibp svm tbm umip vaes vmx vpclmulqdq wbnoinvd xop xsave xsavec xsaveopt xsaves"
)
_FLAGS = {
    **{name: name for name in _SAME_NAME.split()},
    "3dnowplus": "3dnowext",
    "3dnprefetch": "3dnowprefetch",
    "avx512bf16": "avx512_bf16",
    "avx512bitalg": "avx512_bitalg",
    "avx512fp16": "avx512_fp16",
    "avx512vbmi2": "avx512_vbmi2",
    "avx512vnni": "avx512_vnni",
    "avx512vpopcntdq": "avx512_vpopcntdq",
    "cmpxchg16b": "cx16",
    "enfstrg": "erms",
    "fast_short_repmov": "fsrm",
    "fcmd": "flush_l1d",
    "ffxsr": "fxsr_opt",
    "lahf64": "lahf_lm",
    "mdclear": "md_clear",
    "misaligned_sse": "misalignsse",
    "mwait": "monitor",
    "sha": "sha_ni",
    "sse3": "pni",
    "sse41": "sse4_1",
    "sse42": "sse4_2",
    "xgetbv_ecx1": "xgetbv1",
}


class NoProcessor(ValueError):
    """An answer of a guest that names no x86 processor."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a guest sees.

    :ivar model_name: the name of the model, which no EVC mode changes.
    :ivar hypervisor: whose hypervisor it runs on; empty where it cannot tell.
    :ivar leaf_identity: by its leaves; None without the program ``cpuid``.
    """

    identity: Identity
    model_name: str
    flags: frozenset[str]
    hypervisor: str
    leaf_identity: Identity | None = None


@dataclasses.dataclass(frozen=True)
class Difference:
    """Something that is another in the guest than vCenter says.

    :ivar code: stable: ``identity``, ``masked_feature``, ``missing_feature``,
        ``hypervisor``, ``guest_disagrees``.
    :ivar features: vSphere's names of the features that it is about.
    """

    code: str
    msg: str
    features: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, t.Any]:
        """As results have it."""
        return {"code": self.code, "msg": self.msg, "features": list(self.features)}


def seen_in(output: bytes) -> Seen:
    """What a guest sees, of the output of ``SCRIPT``.

    :raises NoProcessor: it does not say so.
    """
    parts = _SECTION.split(output.decode(errors="replace"))
    texts = dict(zip(parts[1::2], parts[2::2], strict=True))
    leaves = leaves_in(texts.get("cpuid", ""))
    facts = _facts(texts.get("cpuinfo", ""))
    family, model, stepping = (_number(facts, key, most) for key, most in _NUMBERS.items())
    signature = cpuid.encode(family, model, stepping)
    vendor = cpuid.vendor_of(printable(facts.get("vendor_id", ""), _LONGEST_NAME))
    return Seen(
        identity=Identity(vendor, family, model, stepping, signature),
        model_name=printable(" ".join(facts.get("model name", "").split()), _LONGEST_NAME),
        flags=frozenset(facts.get("flags", "").split()[:_MOST_FLAGS]),
        hypervisor=cpuid.hypervisor_in(leaves) or _named_by_lscpu(texts.get("lscpu", "")),
        leaf_identity=cpuid.identity_in(leaves),
    )


def _number(facts: t.Mapping[str, str], key: str, most: int) -> int:
    text = facts.get(key, "")
    if not re.fullmatch("[0-9]{1,3}", text) or int(text) > most:
        raise NoProcessor(f"/proc/cpuinfo has no line {key!r} of an x86 processor")
    return int(text)


def _facts(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def _named_by_lscpu(text: str) -> str:
    return printable(_facts(text).get("Hypervisor vendor", ""), _LONGEST_NAME)


def leaves_in(text: str) -> dict[int, Leaf]:
    """The leaves in what ``cpuid -r`` prints, of each its first subleaf."""
    found: dict[int, Leaf] = {}
    for level, subleaf, *registers in _RAW.findall(text):
        if int(subleaf, 16) == 0:
            found.setdefault(int(level, 16), Leaf(int(level, 16), *(Bits.of(int(each, 16)) for each in registers)))
    return found


def differences(seen: Seen, vm: CpuVm, host: CpuHost | None, expected: Expected | None) -> list[Difference]:
    """What is another in the guest than vCenter says.

    The name of the model is not compared: no EVC mode changes it.
    """
    found = [*_of_identity(seen, expected), *_of_leaves(seen)]
    masked = _shown(seen, hidden(host)) if host is not None else ()
    if masked:
        found.append(
            Difference(
                "masked_feature",
                "The guest sees features that its host's EVC mode hides: it has been running since before the mode was set. "
                "Power it off and on.",
                masked,
            )
        )
    missing = tuple(key for key in _required(vm) if _flag(key) not in seen.flags)
    if missing:
        found.append(
            Difference(
                "missing_feature",
                "vCenter says that the guest uses features that its kernel does not list: the kernel is too old to "
                "know them, or has an option to leave them alone.",
                missing,
            )
        )
    return [*found, *_of_hypervisor(seen)]


def _of_identity(seen: Seen, expected: Expected | None) -> list[Difference]:
    if expected is None or _numbers(seen.identity) == _numbers(expected.identity):
        return []
    why = {
        "host": "It was powered on on another host or in another EVC mode, or its configuration has masks of its own",
        "evc_mode": "It has been running since before the EVC mode was set",
        "vm_masks": "It has been running since before its own EVC mode was set",
    }[expected.source]
    text = f"The guest sees {seen.identity.title}, and would see {expected.identity.title} if it were powered on now. {why}."
    return [Difference("identity", text)]


def _of_leaves(seen: Seen) -> list[Difference]:
    if seen.leaf_identity is None or _numbers(seen.leaf_identity) == _numbers(seen.identity):
        return []
    text = f"/proc/cpuinfo says {seen.identity.title}, and the instruction itself {seen.leaf_identity.title}."
    return [Difference("guest_disagrees", text)]


def _of_hypervisor(seen: Seen) -> list[Difference]:
    if seen.hypervisor == "VMware":
        return []
    if seen.hypervisor:
        text = f"The guest finds the hypervisor {seen.hypervisor}, and runs on VMware's: it is nested in another."
        return [Difference("hypervisor", text)]
    if "hypervisor" in seen.flags:
        return []  # it finds one, and has no program that tells whose
    return [Difference("hypervisor", "The guest finds no hypervisor: its configuration hides it (hypervisor.cpuid.v0).")]


def _numbers(identity: Identity) -> tuple[int, int, int]:
    return identity.family, identity.model, identity.stepping


def _flag(key: str) -> str:
    """Linux's name for a feature; empty where it has none."""
    return _FLAGS.get(key.removeprefix("cpuid."), "")


def _shown(seen: Seen, masks: t.Mapping[str, str]) -> tuple[str, ...]:
    return tuple(key for key, value in masks.items() if value == "0" and _flag(key) in seen.flags)


def _required(vm: CpuVm) -> list[str]:
    demands = (Demand.parse(key, text) for key, text in vm.needs.requirements.items())
    return [each.key for each in demands if _flag(each.key) and each.operation == "min" and each.met_by("0") is False]
