# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processors decoded from CPUID: the rules of the architecture, a public table, and texts that are no bits."""

from __future__ import annotations

import csv
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import cpuid
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.cpuid import BadBits, Bits, Leaf

_TABLE = pathlib.Path(__file__).parents[5] / "tests" / "fixtures" / "processors" / "leaf1.csv"

WORDS = st.integers(0, 0xFFFFFFFF)


def real_processors():
    """The lines of the table, as vendor, signature and the numbers that belong to it."""
    lines = (line for line in _TABLE.read_text().splitlines() if not line.startswith("#"))
    return [
        (row["vendor"], int(row["signature"], 16), tuple(int(row[name]) for name in ("family", "model", "stepping")))
        for row in csv.DictReader(lines)
    ]


def colons(value: int) -> str:
    """A register as vSphere writes it."""
    digits = f"{value:032b}"
    return ":".join(digits[start : start + 4] for start in range(0, 32, 4))


@pytest.mark.parametrize(
    ("vendor", "signature", "numbers", "name"),
    [
        # The two of a host without EVC and in the mode of Haswell, as an engineer published them.
        ("intel", 0x000806E9, (6, 142, 9), "Kaby Lake"),
        ("intel", 0x000306F0, (6, 63, 0), "Haswell"),
        # Extended family for 15 alone, extended model for 6 and 15.
        ("intel", 0x00000F4A, (15, 4, 10), "NetBurst"),
        ("intel", 0x00100F65, (16, 6, 5), ""),
        ("intel", 0x00A10576, (5, 7, 6), ""),
        # AMD: both for 15 alone.
        ("amd", 0x00800F12, (23, 1, 2), "Zen"),
        ("amd", 0x00A20F10, (25, 33, 0), "Zen 3"),
        ("amd", 0x00A10F11, (25, 17, 1), "Zen 4"),
        ("amd", 0x00B00F21, (26, 2, 1), "Zen 5"),
        ("amd", 0x00B50F00, (26, 80, 0), "Zen 6"),
        ("amd", 0x00B30F00, (26, 48, 0), ""),
        ("amd", 0x000306F0, (6, 15, 0), ""),
        ("hygon", 0x00900F01, (24, 0, 1), "Dhyana"),
        # Zhaoxin's family 7 has an extended model.
        ("zhaoxin", 0x000307B0, (7, 59, 0), "LuJiaZui"),
        ("via", 0x000507B3, (7, 91, 3), "YongFeng"),
        ("intel", 0x000507B3, (7, 11, 3), ""),
        # One model, several microarchitectures.
        ("intel", 0x00050654, (6, 85, 4), "Skylake"),
        ("intel", 0x00050657, (6, 85, 7), "Cascade Lake"),
        ("intel", 0x0005065B, (6, 85, 11), "Cooper Lake"),
        # Intel's families after 15.
        ("intel", 0x00300F10, (18, 1, 0), "Nova Lake"),
        ("intel", 0x00400F10, (19, 1, 0), "Diamond Rapids"),
        ("intel", 0x000D06D0, (6, 221, 0), "Clearwater Forest"),
        # Nobody's name is guessed.
        ("intel", 0x000FF6F0, (6, 255, 0), ""),
        ("", 0x000806E9, (6, 142, 9), ""),
    ],
)
def test_family_model_and_stepping_follow_the_rules_of_the_vendor(vendor, signature, numbers, name):
    found = cpuid.decode(vendor, signature)
    assert (found.family, found.model, found.stepping) == numbers
    assert found.microarchitecture == name


@pytest.mark.parametrize(("letters", "signature", "numbers"), real_processors())
def test_every_real_processor_of_the_public_table(letters, signature, numbers):
    found = cpuid.decode(cpuid.vendor_of(letters), signature)
    assert (found.family, found.model, found.stepping) == numbers


def test_the_table_has_the_vendors_that_hosts_may_have():
    vendors = {cpuid.vendor_of(letters) for letters, _signature, _numbers in real_processors()}
    assert vendors == {"intel", "amd", "hygon", "via"}
    assert len(real_processors()) > 200


@given(WORDS)
def test_bits_are_read_as_they_are_written(value):
    assert Bits.parse(colons(value)) == Bits.of(value)
    assert Bits.parse(colons(value).replace(":", "")) == Bits.of(value)
    assert Bits.of(value).field(0, 31) == value


@given(st.text(alphabet="01-xXHRTF", min_size=32, max_size=32))
def test_only_known_bits_count(text):
    bits = Bits.parse(text)
    assert bits.known == int("".join("1" if bit in "01" else "0" for bit in text), 2)
    assert bits.value & ~bits.known == 0
    assert (bits.field(0, 31) is None) == (bits.known != 0xFFFFFFFF)


@given(st.text())
def test_any_other_text_is_refused_or_empty(text):
    plain = text.replace(":", "").strip()
    if not plain:
        assert Bits.parse(text) == Bits()
    elif len(plain) != 32 or set(plain) - set("01-xXHRTF"):
        with pytest.raises(BadBits):
            Bits.parse(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0000", "has 4 bits"),
        ("0" * 33, "has 33 bits"),
        ("0" * 31 + "2", "has '2', which is no bit"),
        ("\u0660" * 32, "which is no bit"),
    ],
)
def test_a_bad_text_says_what_is_wrong(text, why):
    with pytest.raises(BadBits, match=why):
        Bits.parse(text)


def test_a_bad_register_is_named_with_its_leaf():
    with pytest.raises(BadBits, match="is no ecx of leaf 0x80000001: it has 3 bits"):
        Leaf.parse(-2147483647, {"eax": "", "ecx": "101"})


def test_levels_have_no_sign():
    assert Leaf.parse(-2147483648, {}).level == 0x80000000


def _leaf(level, text):
    """A leaf whose letters are in the order of leaf 0: EBX, EDX, ECX."""
    first, second, third = (Bits.of(int.from_bytes(text[at : at + 4].encode("latin-1"), "little")) for at in (0, 4, 8))
    return Leaf(level, Bits.of(1), ebx=first, edx=second, ecx=third)


@pytest.mark.parametrize(
    ("letters", "vendor"),
    [
        ("GenuineIntel", "intel"),
        ("AuthenticAMD", "amd"),
        ("HygonGenuine", "hygon"),
        ("  Shanghai  ", "zhaoxin"),
        ("CentaurHauls", "via"),
        ("SomebodyElse", "SomebodyElse"),
    ],
)
def test_the_vendor_is_in_leaf_0(letters, vendor):
    assert cpuid.vendor_in({0: _leaf(0, letters)}) == vendor


@pytest.mark.parametrize(
    ("letters", "hypervisor"), [("VMwareVMware", "VMware"), ("KVMKVMKVM\0\0\0", "KVM"), ("Unheard-of..", "Unheard-of..")]
)
def test_the_hypervisor_is_in_leaf_0x40000000(letters, hypervisor):
    leaf = _leaf(0x40000000, letters)
    turned = Leaf(leaf.level, leaf.eax, ebx=leaf.ebx, ecx=leaf.edx, edx=leaf.ecx)  # EBX, ECX, EDX there
    assert cpuid.hypervisor_in({0x40000000: turned}) == hypervisor


def test_what_is_half_known_is_not_known():
    whole = {0: _leaf(0, "GenuineIntel"), 1: Leaf(1, Bits.of(0x000806E9))}
    assert cpuid.identity_in(whole).title == "Intel family 6 model 142 stepping 9 (Kaby Lake)"
    assert cpuid.identity_in({**whole, 1: Leaf(1, Bits(0x000806E9, 0xFFFFFFF0))}) is None
    assert cpuid.identity_in({0: whole[0]}) is None
    assert cpuid.identity_in({1: whole[1]}).vendor == ""
    assert cpuid.hypervisor_in(whole) == ""


@given(st.sampled_from(["intel", "amd", "hygon"]), st.integers(0, 0x10E), st.integers(0, 0xFF), st.integers(0, 15))
def test_encoding_is_decoding_turned_round(vendor, family, model, stepping):
    if family not in (6, *range(15, 0x10F)) or (vendor != "intel" and family == 6):
        model &= 0xF
    found = cpuid.decode(vendor, cpuid.encode(family, model, stepping))
    assert (found.family, found.model, found.stepping) == (family, model, stepping)
