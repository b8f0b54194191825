# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Of many, what cannot be found is a failure of its own: the others are worked on, and reported with it."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import Forked

# In this order in every list: one that is there, none, two of one name, another that is there, a moid of nothing.
_CODES = [None, "not_found", "ambiguous", None, "not_found"]


def _listed(first, second, **more):
    names = [{"name": first}, {"name": "gone"}, {"name": "twin"}, {"name": second}, {"moid": "vm-999999"}]
    return [{**name, **more} for name in names]


@pytest.fixture
def sim(make_sim):
    """Two VMs, two parents, and two VMs of one name in two folders."""
    known = make_sim("--vms", "0", "--parents", "2", "--api-version", "6.5")
    for name in ("web-1", "web-2"):
        known.create_vm(name, on=False)
    for number in (1, 2):
        known.govc("folder.create", f"/DC0/vm/folder-{number}")
        known.create_vm("twin", on=False, folder=f"/DC0/vm/folder-{number}")
    return known


@pytest.fixture
def newer(make_sim):
    """The same of a release with instant clones."""
    known = make_sim("--vms", "0", "--parents", "2")
    for number in (1, 2):
        known.govc("folder.create", f"/DC0/vm/folder-{number}")
        known.create_vm("twin", on=False, folder=f"/DC0/vm/folder-{number}")
    return known


_VMS = _listed("web-1", "web-2")
_PARENTS = _listed("golden-parent", "golden-parent-2")


@pytest.mark.parametrize(
    ("name", "entries", "params"),
    [
        ("backup_clone", "vms", {"vms": _VMS}),
        ("cbt_changed_areas", "vms", {"vms": _VMS, "state": "enabled"}),
        ("cbt_changed_areas", "vms", {"vms": _VMS}),
        ("cbt_changed_areas", "vms", {"vms": _VMS, "state": "disabled"}),
        ("cloud_init_guestinfo", "vms", {"vms": _VMS, "userdata": "#cloud-config\n{}\n"}),
        ("cloud_init_guestinfo_info", "vms", {"vms": _VMS}),
        ("fork_parent", "parents", {"parents": _VMS, "state": "enabled"}),
        ("vm_export", "vms", {"vms": _VMS, "refresh": "missing"}),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_vms_that_cannot_be_found_fail_alone(sim, tmp_path, name, entries, params, check):
    if name == "vm_export":
        params = {**params, "dest": str(tmp_path / "exports")}
    _hold(_run(sim, tmp_path, name, params, check), name, entries)


@pytest.mark.parametrize("name", ["instant_clone_parent", "instant_clone_parent_info"])
@pytest.mark.parametrize("check", [True, False])
def test_parents_that_cannot_be_found_fail_alone(newer, tmp_path, name, check):
    guest = {"guest_username": newer.guest_username, "guest_password": newer.guest_password}
    params = {"parents": _PARENTS, **({} if name.endswith("_info") else guest)}
    _hold(_run(newer, tmp_path, name, params, check), name, "parents")


@pytest.mark.parametrize("check", [True, False])
def test_vms_whose_modes_are_taken_away_and_that_cannot_be_found_fail_alone(newer, tmp_path, check):
    _hold(_run(newer, tmp_path, "evc", {"vms": _PARENTS, "state": "absent"}, check), "evc", "vms")


def _run(sim, tmp_path, name, params, check):
    return Forked(sim, name, tmp_path).result(_ansible_check_mode=check, **params)


def _hold(result, name, entries):
    """Each has its entry in its place; those that are there have no error."""
    assert (result["failed"], result["error_code"]) == (True, "partial_failure"), result
    codes = [entry.get("error", {}).get("error_code") for entry in result[entries]]
    assert codes == _CODES
    assert [item["error_code"] for item in result["failures"]] == [code for code in _CODES if code]
    assert [entry["name"] for entry in result[entries]][1:3] == ["gone", "twin"]
    assert result[entries][4]["moid"] == "vm-999999"
    assert result["msg"].startswith("3 of 5 ")
    if not name.endswith("_info"):
        changed = [entry["changed"] for entry in result[entries]]
        assert [changed[place] for place in (1, 2, 4)] == [False] * 3


def test_a_child_of_a_parent_that_cannot_be_found_fails_and_the_others_are_made(sim, tmp_path):
    guest = {"guest_username": sim.guest_username, "guest_password": sim.guest_password}
    parents = [{"name": "golden-parent"}, {"name": "gone"}]
    children = [{"name": f"{number}-of-{parent['name']}", "parent": parent} for number in (1, 2) for parent in parents]
    result = _run(sim, tmp_path, "fork_parent", {"parents": parents, "children": children, "state": "quiesced", **guest}, False)
    assert result["error_code"] == "partial_failure"
    assert [child["name"] for child in result["children"]] == [child["name"] for child in children]
    assert [child["action"] for child in result["children"]] == ["created", "failed"] * 2
    assert [failure["name"] for failure in result["failures"]] == ["gone", "1-of-gone", "2-of-gone"]


def test_a_child_with_nowhere_to_be_fails_and_the_others_are_made(sim, tmp_path):
    guest = {"guest_username": sim.guest_username, "guest_password": sim.guest_password}
    children = [
        {"name": "a"},
        {"name": "b", "folder": "nowhere"},
        {"name": "c", "resource_pool": "none"},
        {"name": "d", "datastore": "none"},
        {"name": "e", "folder": "folder-1"},
    ]
    params = {"parent": {"name": "golden-parent"}, "children": children, "state": "quiesced", **guest}
    for check in (True, False):
        result = _run(sim, tmp_path, "fork_parent", params, check)
        assert [child["action"] for child in result["children"]] == ["created", "failed", "failed", "failed", "created"]
        assert [child["name"] for child in result["children"]] == ["a", "b", "c", "d", "e"]
        assert result["error_code"] == "partial_failure"


def test_what_names_many_that_are_missing_costs_no_more_than_one(sim, tmp_path):
    """What an error says of them comes from what was read of all."""

    def total(vms):
        result = _run(sim, tmp_path, "cloud_init_guestinfo_info", {"vms": vms}, False)
        assert result["failed"]
        return result["calls"]["total"]

    total([{"name": "web-1"}, {"name": "web"}])  # logs in
    few = total([{"name": "web-1"}, {"name": "web"}])
    many = total([{"name": "web-1"}, *({"name": f"web-0{number}"} for number in range(20)), {"name": "twin"}])
    assert few == many
