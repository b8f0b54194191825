# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of clones, as people see it."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vforge.vsphere.plugins.filter.clone_table import FilterModule

clone_table = FilterModule().filters()["clone_table"]

RESULT = {
    "clones": [
        {
            "name": "web-1",
            "action": "created",
            "host": "esx1.example.com",
            "resource_pool": "web",
            "ip": "10.0.0.7",
            "seconds": 0.4,
            "calls": 1,
        },
        {
            "name": "web-10",
            "action": "unchanged",
            "host": "192.0.2.4",
            "resource_pool": "web",
            "ip": None,
            "seconds": None,
            "calls": 0,
        },
    ],
    "counts": {"unchanged": 1, "created": 1},
    "calls": {"total": 13, "by_method": {"Login": 1}},
    "timing": {"total": 1.25},
}


def test_each_clone_has_a_line_and_all_have_a_total() -> None:
    assert clone_table(RESULT).splitlines() == [
        "NAME    ACTION     HOST       POOL  IP        SECONDS  CALLS",
        "web-1   created    esx1       web   10.0.0.7     0.40      1",
        "web-10  unchanged  192.0.2.4  web   -               -      -",
        "",
        "1 created, 1 unchanged: 13 SOAP calls, 1 login, 1.2 s",
    ]


def test_failures_are_reported_once_for_each_kind() -> None:
    def failed(number: int, code: str) -> dict[str, object]:
        error = {"error_code": code, "msg": f"web-{number} cannot be made."}
        return {"name": f"web-{number}", "action": "failed", "error": error}

    clones = [*(failed(number, "no_room") for number in range(1, 8)), failed(8, "conflict")]
    assert clone_table({"clones": clones, "counts": {"failed": 8}}).splitlines()[9:] == [
        "",
        "web-1, web-2, web-3, web-4, web-5 and 2 more: no_room. web-1 cannot be made.",
        "web-8: conflict. web-8 cannot be made.",
        "8 failed: 0 SOAP calls, 0 logins, 0.00 s",
    ]


def test_failures_that_differ_in_more_than_the_name_have_a_line_each() -> None:
    def failed(name: str, folder: str) -> dict[str, object]:
        error = {"error_code": "not_found", "msg": f"{name}: no folder {folder} was found."}
        return {"name": name, "action": "failed", "error": error}

    clones = [failed("web-1", "db"), failed("web-2", "web"), failed("web-3", "web")]
    assert clone_table({"clones": clones, "counts": {"failed": 3}}).splitlines()[5:-1] == [
        "web-1: not_found. web-1: no folder db was found.",
        "web-2, web-3: not_found. web-2: no folder web was found.",
    ]


def test_the_totals_of_check_mode_say_that_nothing_was_done() -> None:
    *lines, last = clone_table(RESULT).splitlines()
    checked = clone_table(RESULT, check_mode=True).splitlines()
    assert checked == [*lines, f"check mode, nothing was done. It would be {last}"]


def test_children_of_vmfork_are_shown_alike() -> None:
    children = {**RESULT, "children": RESULT["clones"]}
    del children["clones"]
    assert clone_table(children) == clone_table(RESULT)


def test_no_clones_are_an_empty_table() -> None:
    assert clone_table({"clones": []}).splitlines()[-1] == "no clones: 0 SOAP calls, 0 logins, 0.00 s"


@pytest.mark.parametrize("wrong", [None, "text", {}, {"clones": "no list"}, [1]])
def test_what_is_no_result_is_refused(wrong: object) -> None:
    with pytest.raises(AnsibleFilterError, match="registered result of a clone task"):
        clone_table(wrong)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"results": [RESULT], "changed": True}, "This is that of a loop: give each of its results"),
        ({"changed": False, "skipped": True}, "The task was skipped."),
        ({"failed": True, "msg": "No VM golden."}, "The task failed: No VM golden."),
        ({"ansible_job_id": "j1.2", "started": True}, "give what async_status returns"),
    ],
)
def test_a_result_without_clones_says_why_it_has_none(given: object, why: str) -> None:
    with pytest.raises(AnsibleFilterError, match="registered result of a clone task.*" + why):
        clone_table(given)


def test_what_comes_from_outside_stays_in_its_cell() -> None:
    odd = "web\x1b[2J\n1"
    clones = [{"name": odd, "action": "failed", "host": odd, "error": {"error_code": "no_room", "msg": f"{odd} failed."}}]
    told = clone_table({"clones": clones})
    assert [line for line in told.splitlines() if not line.isprintable()] == []
    assert len(told.splitlines()) == 5
