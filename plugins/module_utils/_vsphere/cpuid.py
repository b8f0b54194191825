# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processors by what the CPUID instruction says of them. Pure.

vSphere keeps the answers of the instruction as texts of 32 bits,
``0000:0000:0000:1000:0000:0110:1110:1001``, with the highest bit first. Which bits say what is the
architecture's matter:

* Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2A, CPUID, "Version
  Information Returned by CPUID in EAX": the extended family is added for family 15 alone, the
  extended model belongs to families 6 and 15.
* AMD64 Architecture Programmer's Manual, volume 3, appendix E.3.2, "Family, Model, Stepping": both
  are added for family 15 alone. Hygon's processors are of AMD's kind. Zhaoxin's, and VIA's before
  them, follow Intel's rule, as Linux reads them (``arch/x86/lib/cpu.c``).
"""

from __future__ import annotations

import dataclasses
import typing as t

BASIC, FEATURES, HYPERVISOR = 0, 1, 0x40000000

REGISTERS = ("eax", "ebx", "ecx", "edx")

_BITS = 32

# What vSphere writes for a bit that it does not know or that is not the same on all processors of a
# host, and what a mask asks for (API reference, HostCpuIdInfo).
_UNKNOWN = frozenset("-xXHRTF")

_INTEL, _AMD, _HYGON, _ZHAOXIN, _VIA = "intel", "amd", "hygon", "zhaoxin", "via"

# The twelve letters of leaf 0, without the spaces around Zhaoxin's.
_VENDORS = {
    "GenuineIntel": _INTEL,
    "AuthenticAMD": _AMD,
    "HygonGenuine": _HYGON,
    "Shanghai": _ZHAOXIN,
    "CentaurHauls": _VIA,
}

# The twelve letters of leaf 0x40000000, which only hypervisors have (KVM's end with zeros).
_HYPERVISORS = {
    "VMwareVMware": "VMware",
    "Microsoft Hv": "Microsoft Hyper-V",
    "KVMKVMKVM": "KVM",
    "XenVMMXenVMM": "Xen",
    "TCGTCGTCGTCG": "QEMU",
    "bhyve bhyve ": "bhyve",
}


class BadBits(ValueError):
    """A text that is no register of 32 bits.

    :ivar text: as it came, cut.
    """

    def __init__(self, text: str, why: str) -> None:
        super().__init__(f"{text[:60]!r} {why}")
        self.text = text[:60]


@dataclasses.dataclass(frozen=True)
class Bits:
    """The bits of one register.

    :ivar value: of the bits that are known; 0 in the places of the others.
    :ivar known: 1 for each bit that is 0 or 1, rather than unknown.
    """

    value: int = 0
    known: int = 0

    @classmethod
    def parse(cls, text: str) -> Bits:
        """The bits of a text as vSphere writes it; an empty one has none that is known, as the
        API's default says.

        :raises BadBits: it has not 32 bits, or other characters than those of the API.
        """
        plain = text.replace(":", "").strip()
        if not plain:
            return cls()
        if len(plain) != _BITS:
            raise BadBits(text, f"has {len(plain)} bits, and a register has {_BITS}")
        strange = sorted(set(plain) - _UNKNOWN - {"0", "1"})
        if strange:
            raise BadBits(text, f"has {''.join(strange)!r}, which is no bit")
        return cls(
            int("".join("1" if bit == "1" else "0" for bit in plain), 2),
            int("".join("1" if bit in "01" else "0" for bit in plain), 2),
        )

    @classmethod
    def of(cls, value: int) -> Bits:
        """All 32 bits of a number."""
        return cls(value & 0xFFFFFFFF, 0xFFFFFFFF)

    @property
    def whole(self) -> bool:
        """Whether each bit is known."""
        return self.known == 0xFFFFFFFF

    def field(self, low: int, high: int) -> int | None:
        """The number in bits ``low`` to ``high``; None where one of them is not known."""
        mask = (1 << (high - low + 1)) - 1
        return (self.value >> low) & mask if (self.known >> low) & mask == mask else None


@dataclasses.dataclass(frozen=True)
class Leaf:
    """What the instruction answers for one value of EAX.

    :ivar level: that value, without a sign: vSphere writes 0x80000001 as -2147483647.
    """

    level: int
    eax: Bits = Bits()
    ebx: Bits = Bits()
    ecx: Bits = Bits()
    edx: Bits = Bits()

    @classmethod
    def parse(cls, level: int, registers: t.Mapping[str, str | None]) -> Leaf:
        """A leaf of what vSphere has of it.

        :param registers: texts by ``eax`` and so on; one that is missing has no known bits.
        :raises BadBits: naming the leaf and the register.
        """
        found = {}
        for name in REGISTERS:
            try:
                found[name] = Bits.parse(registers.get(name) or "")
            except BadBits as error:
                raise BadBits(error.text, f"is no {name} of leaf {level & 0xFFFFFFFF:#x}: it {_rest(error)}") from error
        return cls(level & 0xFFFFFFFF, **found)

    def letters(self, *order: str) -> str | None:
        """The text that registers hold, four letters each with the first in the lowest bits;
        None where a bit is unknown.
        """
        parts = [getattr(self, name) for name in order]
        if not all(part.whole for part in parts):
            return None
        return b"".join(part.value.to_bytes(4, "little") for part in parts).decode("latin-1")


def _rest(error: BadBits) -> str:
    return str(error).removeprefix(f"{error.text!r} ")


Leaves: t.TypeAlias = "t.Mapping[int, Leaf]"


@dataclasses.dataclass(frozen=True)
class Identity:
    """Which processor it is.

    :ivar vendor: ``intel``, ``amd``, ``hygon``, ``zhaoxin``, ``via``; the letters themselves where
        they are others, empty where they are not known.
    :ivar signature: EAX of leaf 1.
    """

    vendor: str
    family: int
    model: int
    stepping: int
    signature: int

    @property
    def microarchitecture(self) -> str:
        """The name of its kind, or empty for one that the table does not have."""
        return microarchitecture(self.vendor, self.family, self.model, self.stepping)

    @property
    def title(self) -> str:
        """As people write it: ``Intel family 6 model 142 stepping 9 (Kaby Lake)``."""
        name = self.microarchitecture
        return (
            f"{vendor_title(self.vendor)} family {self.family} model {self.model} stepping {self.stepping}"
            f"{f' ({name})' if name else ''}"
        )


def vendor_in(leaves: Leaves) -> str:
    """The vendor, by leaf 0; empty where it is not known."""
    leaf = leaves.get(BASIC)
    letters = leaf.letters("ebx", "edx", "ecx") if leaf is not None else None
    return vendor_of(letters) if letters is not None else ""


def vendor_of(letters: str) -> str:
    """The vendor of the twelve letters of leaf 0, which Linux shows as ``vendor_id``."""
    plain = letters.strip("\0 ")
    return _VENDORS.get(plain, plain)


def hypervisor_in(leaves: Leaves) -> str:
    """Whose hypervisor it runs on, by leaf 0x40000000; empty where there is none, or none that says
    so.
    """
    leaf = leaves.get(HYPERVISOR)
    letters = leaf.letters("ebx", "ecx", "edx") if leaf is not None else None
    plain = letters.rstrip("\0") if letters is not None else ""
    return _HYPERVISORS.get(plain, plain)


def identity_in(leaves: Leaves) -> Identity | None:
    """Which processor it is, by leaves 0 and 1.

    None where leaf 1 is not known whole: a number that is half known is no number.
    """
    leaf = leaves.get(FEATURES)
    if leaf is None or not leaf.eax.whole:
        return None
    return decode(vendor_in(leaves), leaf.eax.value)


def decode(vendor: str, signature: int) -> Identity:
    """Family, model and stepping in EAX of leaf 1, by the rules of its vendor.

    :param vendor: as in ``Identity``; one that is not known is read
        by Intel's rules, as Linux does.
    """
    base, extended = (signature >> 8) & 0xF, (signature >> 20) & 0xFF
    low, high = (signature >> 4) & 0xF, (signature >> 16) & 0xF
    family = base + extended if base == 0xF else base
    extends = base == 0xF if vendor in (_AMD, _HYGON) else base == 0xF or base == 6 or _is_late_zhaoxin(vendor, base)
    model = low + (high << 4) if extends else low
    return Identity(vendor, family, model, signature & 0xF, signature)


def _is_late_zhaoxin(vendor: str, base: int) -> bool:
    # Family 7 of Zhaoxin has extended models (0x1b, 0x3b, 0x5b), which Intel never had.
    return vendor in (_ZHAOXIN, _VIA) and base > 6


def encode(family: int, model: int, stepping: int) -> int:
    """EAX of leaf 1 for a processor: the other way round. The rules of all vendors agree on it."""
    base, extended = (family, 0) if family < 0xF else (0xF, family - 0xF)
    return extended << 20 | (model >> 4) << 16 | base << 8 | (model & 0xF) << 4 | stepping


def vendor_title(vendor: str) -> str:
    """A vendor as people write it."""
    known = {_INTEL: "Intel", _AMD: "AMD", _HYGON: "Hygon", _ZHAOXIN: "Zhaoxin", _VIA: "VIA"}
    return known.get(vendor, vendor or "unknown")


# Names of microarchitectures. Intel's by family and model: Linux (of 2026),
# arch/x86/include/asm/intel-family.h, beside the list of processors in the release notes of Intel's
# microcode. AMD's and Hygon's by family and range of models: Linux, arch/x86/kernel/cpu/amd.c and
# Documentation/arch/x86/amd_hsmp.rst, AMD's "Revision Guides".
_MODELS_OF_6 = {
    "Yonah": (0x0E,),
    "Merom": (0x0F, 0x16),
    "Penryn": (0x17, 0x1D),
    "Nehalem": (0x1A, 0x1E, 0x1F, 0x2E),
    "Westmere": (0x25, 0x2C, 0x2F),
    "Sandy Bridge": (0x2A, 0x2D),
    "Ivy Bridge": (0x3A, 0x3E),
    "Haswell": (0x3C, 0x3F, 0x45, 0x46),
    "Broadwell": (0x3D, 0x47, 0x4F, 0x56),
    "Skylake": (0x4E, 0x55, 0x5E),
    "Kaby Lake": (0x8E, 0x9E),
    "Comet Lake": (0xA5, 0xA6),
    "Cannon Lake": (0x66,),
    "Ice Lake": (0x6A, 0x6C, 0x7D, 0x7E, 0x9D),
    "Tiger Lake": (0x8C, 0x8D),
    "Rocket Lake": (0xA7,),
    "Alder Lake": (0x97, 0x9A),
    "Raptor Lake": (0xB7, 0xBA, 0xBF),
    "Sapphire Rapids": (0x8F,),
    "Emerald Rapids": (0xCF,),
    "Granite Rapids": (0xAD, 0xAE),
    "Sierra Forest": (0xAF,),
    "Meteor Lake": (0xAA, 0xAC),
    "Arrow Lake": (0xB5, 0xC5, 0xC6),
    "Lunar Lake": (0xBD,),
    "Panther Lake": (0xCC, 0xE5),
    "Wildcat Lake": (0xD5,),
    "Bartlett Lake": (0xD7,),
    "Lakefield": (0x8A,),
    "Bonnell": (0x1C, 0x26),
    "Saltwell": (0x27, 0x35, 0x36),
    "Silvermont": (0x37, 0x4A, 0x4D, 0x5A),
    "Airmont": (0x4C, 0x75),
    "Goldmont": (0x5C, 0x5F),
    "Goldmont Plus": (0x7A,),
    "Tremont": (0x86, 0x96, 0x9C),
    "Gracemont": (0xBE,),
    "Grand Ridge": (0xB6,),
    "Clearwater Forest": (0xDD,),
    "Knights Landing": (0x57,),
    "Knights Mill": (0x85,),
}
_BY_MODEL = {model: name for name, models in _MODELS_OF_6.items() for model in models}

# Of the families after 15, by family and model.
_LATER_FAMILIES = {(18, 0x01): "Nova Lake", (18, 0x03): "Nova Lake", (19, 0x01): "Diamond Rapids"}

# Where one model is several microarchitectures, the stepping from which on it is the later one.
_BY_STEPPING = {
    0x55: ((10, "Cooper Lake"), (5, "Cascade Lake")),
    0x9E: ((10, "Coffee Lake"),),
}

# Family, first and last model, name. The first row that fits counts.
_OF_AMD = (
    (0x0F, 0x00, 0xFF, "K8"),
    (0x10, 0x00, 0xFF, "K10"),
    (0x11, 0x00, 0xFF, "K8"),
    (0x12, 0x00, 0xFF, "K10"),
    (0x14, 0x00, 0x0F, "Bobcat"),
    (0x15, 0x00, 0x01, "Bulldozer"),
    (0x15, 0x02, 0x1F, "Piledriver"),
    (0x15, 0x30, 0x3F, "Steamroller"),
    (0x15, 0x60, 0x7F, "Excavator"),
    (0x16, 0x00, 0x0F, "Jaguar"),
    (0x16, 0x30, 0x3F, "Puma"),
    (0x17, 0x00, 0x07, "Zen"),
    (0x17, 0x08, 0x0F, "Zen+"),
    (0x17, 0x10, 0x17, "Zen"),
    (0x17, 0x18, 0x1F, "Zen+"),
    (0x17, 0x20, 0x2F, "Zen"),
    (0x17, 0x30, 0xAF, "Zen 2"),
    (0x19, 0x00, 0x0F, "Zen 3"),
    (0x19, 0x10, 0x1F, "Zen 4"),
    (0x19, 0x20, 0x3F, "Zen 3"),
    (0x19, 0x40, 0x4F, "Zen 3+"),
    (0x19, 0x50, 0x5F, "Zen 3"),
    (0x19, 0x60, 0xAF, "Zen 4"),
    (0x1A, 0x00, 0x2F, "Zen 5"),
    (0x1A, 0x40, 0x4F, "Zen 5"),
    (0x1A, 0x50, 0x5F, "Zen 6"),
    (0x1A, 0x60, 0x7F, "Zen 5"),
    (0x1A, 0x80, 0xAF, "Zen 6"),
    (0x1A, 0xC0, 0xCF, "Zen 6"),
)
_OF_HYGON = ((0x18, 0x00, 0xFF, "Dhyana"),)
_OF_ZHAOXIN = (
    (0x07, 0x1B, 0x1B, "WuDaoKou"),
    (0x07, 0x3B, 0x3B, "LuJiaZui"),
    (0x07, 0x5B, 0x5B, "YongFeng"),
)
_RANGES = {_AMD: _OF_AMD, _HYGON: _OF_HYGON, _ZHAOXIN: _OF_ZHAOXIN, _VIA: _OF_ZHAOXIN}


def microarchitecture(vendor: str, family: int, model: int, stepping: int) -> str:
    """The name of a microarchitecture, or empty for one that the table does not have."""
    if vendor == _INTEL:
        if family == 15:
            return "NetBurst"
        if family != 6:
            return _LATER_FAMILIES.get((family, model), "")
        later = (name for first, name in _BY_STEPPING.get(model, ()) if stepping >= first)
        return next(later, _BY_MODEL.get(model, ""))
    rows = _RANGES.get(vendor, ())
    return next((name for row, first, last, name in rows if row == family and first <= model <= last), "")
