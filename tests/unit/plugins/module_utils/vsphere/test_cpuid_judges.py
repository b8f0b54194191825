# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is decoded of CPUID, beside Debian's cpuid and libcpuid."""

from __future__ import annotations

import concurrent.futures
import re
import subprocess

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import cpuid
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.vsphere.test_cpuid import real_processors

_RAW = "   0x{:08x} 0x00: eax=0x{:08x} ebx=0x{:08x} ecx=0x{:08x} edx=0x{:08x}\n"
_NUMBER = r"\(%s synth\)\s*= 0x[0-9a-f]+ \((\d+)\)"


def _ours(letters, signature):
    found = cpuid.decode(cpuid.vendor_of(letters), signature)
    return found.family, found.model, found.stepping


def _registers(letters):
    """EBX, ECX and EDX of leaf 0 for twelve letters, which are in the order EBX, EDX, ECX."""
    ebx, edx, ecx = (int.from_bytes(letters[at : at + 4].encode("latin-1"), "little") for at in (0, 4, 8))
    return ebx, ecx, edx


def _by_cpuid(processors):
    """What Debian's cpuid decodes of vendors and signatures: one run for all."""
    text = "".join(
        f"CPU {number}:\n" + _RAW.format(0, 1, *_registers(letters)) + _RAW.format(1, signature, 0, 0, 0)
        for number, (letters, signature) in enumerate(processors)
    )
    command = ["cpuid", "-f", "-"]
    output = subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout
    parts = re.split(r"(?m)^CPU \d+:\n", output)[1:]
    steppings = [int(re.search(r"stepping id\s*= 0x[0-9a-f]+ \((\d+)\)", part)[1]) for part in parts]
    return [
        (*(int(re.search(_NUMBER % word, part)[1]) for word in ("family", "model")), stepping)
        for part, stepping in zip(parts, steppings, strict=True)
    ]


def _by_libcpuid(letters, signature):
    """What libcpuid's program decodes; it calls the whole numbers extfamily and extmodel."""
    leaves = {0: (1, *_registers(letters)), 1: (signature, 0, 0, 0)}
    lines = ["version=0.6.0"]
    for name, count in (("basic_cpuid", 32), ("ext_cpuid", 32), ("intel_fn4", 8), ("intel_fn11", 4), ("intel_fn12h", 4)):
        known = leaves if name == "basic_cpuid" else {}
        values = (known.get(at, (0, 0, 0, 0)) for at in range(count))
        lines += [f"{name}[{at}]=" + " ".join(f"{each:08x}" for each in four) for at, four in enumerate(values)]
    command = ["cpuid_tool", "--load=-", "--quiet", "--extfamily", "--extmodel", "--stepping"]
    text = "\n".join(lines) + "\n"
    output = subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout
    return tuple(int(word) for word in output.split())


@pytest.mark.usefixtures("tools")
def test_debians_cpuid_agrees_on_every_processor_of_the_table():
    known = [(letters, signature) for letters, signature, _numbers in real_processors()]
    assert _by_cpuid(known) == [_ours(*each) for each in known]


@pytest.mark.usefixtures("tools")
def test_libcpuid_agrees_on_every_processor_of_the_table():
    known = [(letters, signature) for letters, signature, _numbers in real_processors()]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        theirs = list(pool.map(lambda each: _by_libcpuid(*each), known))
    assert theirs == [_ours(*each) for each in known]


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize(
    ("letters", "signature", "ours", "theirs"),
    [
        # AMD, APM volume 3, appendix E.3.2: extended model for family 15 alone.
        ("AuthenticAMD", 0x000306F0, (6, 15, 0), (6, 63, 0)),
        ("HygonGenuine", 0x000306F0, (6, 15, 0), (6, 63, 0)),
        # Intel, SDM volume 2A, CPUID: extended model for families 6 and 15, extended family for 15.
        ("GenuineIntel", 0x000507B3, (7, 11, 3), (7, 91, 3)),
        ("GenuineIntel", 0x00A10576, (5, 7, 6), (15, 23, 6)),
    ],
)
def test_both_add_extended_numbers_where_the_manuals_say_not_to(letters, signature, ours, theirs):
    """No processor has such values, since there the extended bits are zero: the guide says so."""
    assert _ours(letters, signature) == ours
    assert _by_cpuid([(letters, signature)]) == [theirs]
    assert _by_libcpuid(letters, signature) == theirs
