# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table and the page that say which VM could move where."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vforge.vsphere.plugins.filter.cpu_compatibility_table import FilterModule
from ansible_collections.vforge.vsphere.plugins.plugin_utils.cpu_compatibility_page import render

table = FilterModule().filters()["cpu_compatibility_table"]


def _host(name, cluster, cpu="Intel family 6 model 85 stepping 4 (Skylake)"):
    return {"name": name, "cluster": cluster, "cpu": cpu}


def _group(names, fits, *obstacles, basis="running", unknown=(), modes=("intel-skylake",), why=""):
    return {
        "vms": [{"name": name, "moid": f"vm-{name}"} for name in names],
        "basis": basis,
        "why_unknown": why,
        "min_evc_modes": list(modes),
        "hosts": list(fits),
        "unknown_hosts": list(unknown),
        "obstacles": [{"feature": feature, "hosts": hosts} for feature, hosts in obstacles],
    }


RESULT = {
    "comparison": {
        "hosts": [_host("a1", "/DC/host/A"), _host("a2", "/DC/host/A"), _host("b1", "/DC/host/B", ""), _host("alone", "")],
        "clusters": [{"name": "A", "path": "/DC/host/A"}, {"name": "B", "path": "/DC/host/B"}],
        "groups": [
            _group(["w1", "w2", "w3", "w4"], ["a1"], ("cpuid.adx", ["a2", "alone"]), ("vendor", ["alone"]), unknown=["b1"]),
            _group(["off"], ["a1", "a2", "alone"], basis="powered_off", unknown=["b1"], modes=()),
            _group(["old"], [], basis="unknown", unknown=["a1", "a2", "b1", "alone"], modes=(), why="it is <old>"),
        ],
    },
    "calls": {"total": 7},
    "timing": {"total": 1.5},
}


def test_there_is_a_line_for_each_group_and_place():
    assert table(RESULT).splitlines() == [
        "VMS                    NEED           TO          FIT           IN THE WAY",
        "w1, w2, w3 and 1 more  intel-skylake  /DC/host/A  1 of 2 hosts  adx",
        "w1, w2, w3 and 1 more  intel-skylake  /DC/host/B  unknown       -",
        "w1, w2, w3 and 1 more  intel-skylake  alone       no            adx, vendor",
        "off                    off            /DC/host/A  yes           -",
        "off                    off            /DC/host/B  unknown       -",
        "off                    off            alone       yes           -",
        "old                    unknown        /DC/host/A  unknown       -",
        "old                    unknown        /DC/host/B  unknown       -",
        "old                    unknown        alone       unknown       -",
        "",
        "6 VMs in 3 groups, 4 hosts: 7 SOAP calls, 1.5 s",
    ]


def test_hosts_that_are_not_known_are_counted_beside_the_others():
    groups = [_group(["w"], ["a1"], unknown=["a2"])]
    assert "yes, 1 unknown" in table({**RESULT, "comparison": {**RESULT["comparison"], "groups": groups}})


def test_a_long_list_is_cut():
    assert "and 8 more" in table(RESULT, most=1)


@pytest.mark.parametrize("given", [{}, {"comparison": None}, {"comparison": {"hosts": []}}, [], None])
def test_another_result_is_refused(given):
    with pytest.raises(AnsibleFilterError, match="compare"):
        table(given)
    with pytest.raises(AnsibleFilterError, match="compare"):
        render(given, "")


def test_the_page_escapes_what_tenants_write_and_is_the_same_each_time():
    groups = [_group(["<script>alert(1)</script>"], ["a1"], ("cpuid.<b>", ["a2"]))]
    result = {**RESULT, "comparison": {**RESULT["comparison"], "groups": groups}}
    page = render(result, "vc.example")
    assert "<script>" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page
    assert page == render({**result, "calls": {"total": 99}, "timing": {"total": 9}}, "vc.example")


def test_the_page_is_a_matrix():
    page = render(RESULT, "")
    assert page.count("<th>") == 2 + 3
    assert page.count('<td class="') == 3 * 3
    assert '<td class="some">1 of 2 hosts<br>' in page
    assert '<td class="unknown">unknown</td>' in page
    assert "it is &lt;old&gt;" in page
    assert "No VM was compared" in render({"comparison": {"hosts": [], "clusters": [], "groups": []}}, "")
