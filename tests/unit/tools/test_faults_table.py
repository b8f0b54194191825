# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of the sweep of faults."""

from __future__ import annotations

from devtools.faults import rows, table


def test_what_came_of_each_task_is_added_up() -> None:
    tally = {"runs": 3, "recovered": 2, "failed": 1, "wrong": []}
    reports = [
        {"task": "vmdk", "kinds": {"SIGTERM": tally, "SIGKILL": {**tally, "wrong": ["CloneVM_Task 1: it is left"]}}},
        {"task": "evc", "kinds": {"SIGTERM": tally}},
        {"task": "vmdk", "kinds": {"HTTP 503": tally}},
    ]
    found = rows(reports)
    assert [(name, row.runs, row.recovered, row.failed, len(row.wrong)) for name, row in found.items()] == [
        ("evc", 3, 2, 1, 0),
        ("vmdk", 9, 6, 3, 1),
        ("all of them", 12, 8, 4, 1),
    ]
    assert table(found).splitlines()[-1].split() == ["all", "of", "them", "12", "8", "4", "1"]
