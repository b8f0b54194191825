# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table and the page of first class disks that nobody seems to use."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vforge.vsphere.plugins.filter.first_class_disk_table import FilterModule
from ansible_collections.vforge.vsphere.plugins.plugin_utils.first_class_disk_page import render

table = FilterModule().filters()["first_class_disk_table"]


def _disk(name, *reasons, **cns):
    return {
        "id": f"id-{name}",
        "name": name,
        "datastore": "ds",
        "capacity_mb": 1024,
        "reasons": list(reasons),
        "cns": cns,
    }


RESULT = {
    "disks": [{}, {}, {}],
    "orphans": [
        {**_disk("", "not_found"), "capacity_mb": None},
        _disk(
            "pvc",
            "not_attached",
            **{"cns.k8s.pvc.name": "data", "cns.k8s.pvc.namespace": "shop"},
        ),
    ],
    "orphan_snapshots": [
        {
            "id": "s-1",
            "description": "old",
            "disk": "id-pvc",
            "disk_name": "pvc",
            "datastore": "ds",
            "reasons": ["unreferenced"],
        }
    ],
    "datastores": [{}],
    "calls": {"total": 12},
    "timing": {"total": 1.5},
}


def test_there_is_a_line_for_each_and_the_reasons():
    assert table(RESULT).splitlines() == [
        "WHAT      ID      NAME        DATASTORE  SIZE   WHY           KUBERNETES",
        "disk      id-     -           ds         -      not_found     -",
        "disk      id-pvc  pvc         ds         1 GiB  not_attached  shop/data",
        "snapshot  s-1     old of pvc  ds         -      unreferenced  -",
        "",
        "2 of 4 disks and 1 snapshots on 1 datastores: 12 SOAP calls, 1.5 s",
    ]


def test_a_long_list_is_cut():
    assert "and 2 more" in table(RESULT, most=1)


def test_another_result_is_refused():
    with pytest.raises(AnsibleFilterError, match="orphans"):
        table({"disks": []})


def test_the_page_escapes_what_tenants_write_and_is_the_same_each_time():
    result = {**RESULT, "orphans": [_disk("<script>alert(1)</script>", "not_attached")]}
    page = render(result, "vc.example")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "default-src 'none'" in page
    assert "shop/data" in render(RESULT, "")
    assert render({**result, "timing": {"total": 9}}, "vc.example") == page


def test_a_page_of_nothing_says_so():
    assert "Nothing." in render({**RESULT, "orphans": [], "orphan_snapshots": []}, "")
