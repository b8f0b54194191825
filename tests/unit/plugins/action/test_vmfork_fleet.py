# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role vmfork_fleet in playbooks, on vSphere 6.5: the same as instant_clone_fleet, by VMFork."""

from __future__ import annotations

import collections

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.fleets import Fleet, Played

_HOSTS = ("DC0_C0_H0", "DC0_C0_H1", "DC0_C0_H2")


@pytest.fixture
def fleet(make_sim, tmp_path):
    """A simulator of vSphere 6.5 with a golden VM in it."""
    return Fleet(make_sim("--vms", "2", "--api-version", "6.5", "--clone-time", "1ms"), tmp_path, "vmfork_fleet")


def _assert_relations(fleet: Fleet, ran: Played) -> None:
    """Module, fork groups and disks tell of the same parents, and each child is on the host of its own."""
    groups = {vm["config"]["forkConfigInfo"]["parentForkGroupId"]: vm for vm in fleet.vms("web-parent-*").values()}
    seen = fleet.vms("web-[0-9]*")
    assert sorted(seen) == sorted(child["name"] for child in ran.clones)
    for child in ran.clones:
        vm = seen[child["name"]]
        parent = groups[vm["config"]["forkConfigInfo"]["childForkGroupId"]]
        assert child["parent"] == parent["name"]
        assert vm["runtime"]["host"] == parent["runtime"]["host"]
        assert parent["runtime"]["quiescedForkParent"] is True


def _assert_nothing_done(ran: Played) -> None:
    """Not one task of vCenter was begun, but to ask."""
    assert ran.code == 0, ran.output
    assert [method for method in ran.calls if method.endswith("_Task") and not method.startswith("RetrieveFork")] == []


def test_a_fleet_of_seven_over_three_hosts_and_what_it_costs(fleet):
    made = fleet.run(count=7)
    assert made.code == 0, made.output
    assert made.counts == {"created": 7}
    assert (made.calls["Login"], made.calls["CloneVM_Task"]) == (1, 3)
    assert (made.calls["CreateForkChild_Task"], made.calls["PowerOnVM_Task"]) == (7, 7)
    # One call a parent is a look for what killed runs have left in its guest.
    assert made.total <= 2 * 7 + 80 + 3
    assert sorted(collections.Counter(child["host"] for child in made.clones).values()) == [2, 2, 3]
    assert made.left["groups"]["web"] == [f"web-00{n}" for n in range(1, 8)]
    assert {fleet.sim.vm(name)["host_name"] for name in ("web-001", "web-007")} == {"web-001", "web-007"}
    _assert_relations(fleet, made)
    again = fleet.run(count=7)
    _assert_nothing_done(again)
    assert again.counts == {"unchanged": 7}
    assert "Login" not in again.calls
    assert again.total <= 25


def test_a_run_that_is_killed_then_one_where_children_fail_then_one_that_makes_what_is_missing(fleet):
    fleet.kill_at("CreateTemporaryDirectoryInGuest", 3, count=15)
    fleet.sim.inject(method="CreateForkChild_Task", every=5, times=0, do="task-fault", fault="InsufficientResourcesFault")
    first = fleet.run(count=15)
    assert first.code == 2
    assert first.left["plan"]["counts"]["seeds"] == 3
    assert "CloneVM_Task" not in first.calls
    assert first.counts == {"created": 12, "failed": 3}
    assert {each["fault"] for each in first.left["result"]["failures"]} == {"InsufficientResourcesFault"}
    assert len(fleet.vms("web-[0-9]*")) == 12
    fleet.sim.clear()
    second = fleet.run(count=15)
    assert second.code == 0, second.output
    assert second.counts == {"created": 3, "unchanged": 12}
    assert second.calls["CreateForkChild_Task"] == 3
    assert collections.Counter(child["host"] for child in second.clones) == dict.fromkeys(_HOSTS, 5)
    _assert_relations(fleet, second)


def test_persistent_children_beside_a_host_in_maintenance(fleet):
    asked = {"count": 2, "persistent": True, "addresses": ["10.9.8.31/24", "10.9.8.21/24"], "guestinfo": {"token": "hidden"}}
    fleet.sim.host_state("DC0_C0_H2", maintenance=True)
    ran = fleet.run("-vvv", **asked)
    assert ran.code == 0, ran.output
    assert ran.left["plan"]["skipped_hosts"] == [{"name": "DC0_C0_H2", "reason": "it is in maintenance mode"}]
    assert ran.calls["CloneVM_Task"] == 2
    assert [child["ip"] for child in ran.clones] == ["10.9.8.31", "10.9.8.21"]
    assert [(child["persistent"], child["child_type"]) for child in ran.clones] == [(True, "none")] * 2
    for secret in ("hidden", fleet.sim.guest_password):
        assert secret not in ran.output
    assert fleet.sim.vm("web-001")["extra_config"]["guestinfo.fork.token"] == "hidden"
    _assert_relations(fleet, ran)
    _assert_nothing_done(fleet.run(**asked))


def test_a_release_without_vmfork_is_pointed_to_another_way(make_sim, tmp_path):
    fleet = Fleet(make_sim("--vms", "2"), tmp_path, "vmfork_fleet")
    ran = fleet.run(count=2)
    assert ran.code == 2
    assert "vforge.vsphere.instant_clone" in ran.output
    assert [method for method in ran.calls if method.endswith("_Task")] == []


def test_what_is_wrong_with_the_clones_shows_before_a_parent_is_made(fleet):
    ran = fleet.run(count=3, guestinfo={"role": "web", "guestinfo.fork.role": "db"})
    assert ran.code != 0
    assert "config_params has a key twice" in ran.output
    assert [method for method in ran.calls if method.endswith("_Task")] == []


def test_check_mode_counts_the_parents_that_go_with_their_last_children(fleet):
    assert fleet.run(count=1).code == 0
    (old,) = fleet.vms("web-parent-*")
    for asked in ({"count": 1, "golden_version": "2"}, {"state": "absent"}):
        would = fleet.run("--check", **asked)
        assert would.code == 0, would.output
        assert f"{old} would be removed." in would.output
        assert "is not removed" not in would.output
