# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of VMs that change, as people see it."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vforge.vsphere.plugins.filter.changed_areas_table import FilterModule

table = FilterModule().filters()["changed_areas_table"]

GIB = 1 << 30


def _vm(name, *disks, **more):
    known = [{"capacity": 10 * GIB, "full_required": changed is None, "changed_bytes": changed} for changed in disks]
    return {"name": name, "disks": known, "excluded": [], **more}


RESULT = {
    "vms": [
        _vm("quiet", 512),
        _vm("busy", 3 * GIB, GIB),
        _vm("new", None, excluded=[{}]),
        _vm("broken", error={"error_code": "timeout"}),
    ],
    "totals": {"bytes_to_read": 14 * GIB + 512, "capacity": 40 * GIB, "disks": 4, "vms": 4},
    "calls": {"total": 21},
    "timing": {"total": 1.5},
}


def test_the_one_with_most_to_read_comes_first():
    assert table(RESULT).splitlines() == [
        "VM      TO READ  CHANGED  CAPACITY  REMARKS",
        "new      10 GiB  unknown    10 GiB  1 to read whole, 1 left out",
        "busy      4 GiB    4 GiB    20 GiB  -",
        "quiet     512 B    512 B    10 GiB  -",
        "broken        -  unknown         -  failed: timeout",
        "",
        "14 GiB to read of 40 GiB on 4 disks of 4 VMs: 21 SOAP calls, 1.5 s",
    ]


def test_a_long_list_is_cut():
    lines = table(RESULT, most=1).splitlines()
    assert lines[1].startswith("new")
    assert lines[2] == "and 3 more"


@pytest.mark.parametrize("wrong", [None, [], {}, {"vms": []}, {"vms": {}, "totals": {}}])
def test_anything_else_is_refused(wrong):
    with pytest.raises(AnsibleFilterError, match="cbt_changed_areas"):
        table(wrong)


def test_what_comes_from_outside_stays_in_its_cell():
    told = table({**RESULT, "vms": [_vm("web\x1b[2J\n1", 512)]})
    assert [line for line in told.splitlines() if not line.isprintable()] == []
    assert len(told.splitlines()) == 4
