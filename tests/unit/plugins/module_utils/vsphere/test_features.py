# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Feature requirements held against capabilities."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.features import Demand, Obstacle, obstacles, values_of


@pytest.mark.parametrize(
    ("requirement", "capability", "met"),
    [
        ("Bool:Min:1", "1", True),
        ("Bool:Min:1", "0", False),
        ("Bool:Min:1", None, False),
        ("Bool:Min:0", None, True),
        ("Num:Min:1", "1", True),
        ("Min:0xd", "13", True),
        ("Min:14", "0xd", False),
        ("Max:3", "3", True),
        ("Max:3", "4", False),
        ("Max:0", None, True),
        ("Match:0x3f", "63", True),
        ("Match:1", "2", False),
        ("Val:2", "2", True),
        ("Val:intel", "intel", True),
        ("Val:intel", "amd", False),
        # What nobody can judge is never a yes.
        ("Bool:Near:1", "1", None),
        ("1", "1", None),
        ("Bool:Min:many", "1", None),
        ("Bool:Min:1", "plenty", None),
        ("", "1", None),
    ],
)
def test_requirements(requirement, capability, met):
    assert Demand.parse("cpuid.x", requirement).met_by(capability) is met


def test_names_are_one_in_large_and_small_letters():
    needs = values_of([("cpuid.SSE3", "Bool:Min:1"), ("cpuid.avx", "Bool:Min:1")])
    assert obstacles(needs, values_of([("cpuid.sse3", "1"), ("cpuid.AVX", "0")])) == (Obstacle("cpuid.avx", "Bool:Min:1", "0"),)


def test_what_a_host_does_not_know_and_what_nobody_can_judge_stand_in_the_way():
    found = obstacles({"cpuid.new": "Bool:Min:1", "cpuid.odd": "Bool:Near:1"}, {"cpuid.odd": "1"})
    assert [(each.feature, each.has, each.certain) for each in found] == [("cpuid.new", None, True), ("cpuid.odd", "1", False)]


FEATURES = st.dictionaries(st.sampled_from([f"cpuid.f{n}" for n in range(8)]), st.integers(0, 3))


@given(FEATURES, FEATURES)
def test_a_vm_fits_where_every_feature_does(needs, has):
    found = obstacles({key: f"Num:Min:{n}" for key, n in needs.items()}, {key: str(n) for key, n in has.items()})
    assert {each.feature for each in found} == {key for key, n in needs.items() if has.get(key, 0) < n}
    assert all(each.certain for each in found)


@given(st.text(), st.one_of(st.none(), st.text()))
def test_any_text_is_judged_or_not_and_never_breaks(requirement, capability):
    assert Demand.parse("cpuid.x", requirement).met_by(capability) in (True, False, None)
