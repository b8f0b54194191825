# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clones of several parents in one task."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.clone.support import options

_PARENTS = ("golden-parent", "golden-parent-2", "golden-parent-3")


@pytest.fixture
def tasks(start):
    """Tasks in a vCenter with three parents, which run on three hosts."""
    return start("--parents", "3", "--guest-time", "700ms", cache=True)


def _spread(count, parents=_PARENTS, **more):
    return [{"name": f"web-{n}", "parent": {"name": parents[n % len(parents)]}, **more} for n in range(count)]


def test_clones_of_three_parents_are_one_batch(tasks):
    ran = tasks.run(parent=None, clones=_spread(9), folder="DC0_F0", wait_for_ip_address=True)
    assert ran.result["counts"] == {"created": 9}
    assert ran.total <= 9 + 14
    hosts = {name: tasks.sim.vm(name)["host"] for name in _PARENTS}
    for number in range(9):
        parent = _PARENTS[number % 3]
        assert ran.clones[f"web-{number}"]["parent"] == f"/DC0/vm/{parent}"
        assert tasks.sim.vm(f"web-{number}")["host"] == hosts[parent]
    assert ran.result["parent"] is None
    assert [parent["name"] for parent in ran.result["parents"]] == list(_PARENTS)
    again = tasks.run(parent=None, clones=_spread(9), folder="DC0_F0", wait_for_ip_address=True)
    assert again.result["counts"] == {"unchanged": 9}


def test_more_parents_are_not_more_calls(start):
    tasks = start("--parents", "6")
    two, six = ([f"golden-parent{end}" for end in ends] for ends in (("-4", "-5"), ("", "-2", "-3", "-4", "-5", "-6")))
    few = tasks.run(parent=None, clones=_spread(12, two), folder="DC0_F0")
    many = tasks.run(parent=None, clones=_spread(12, six), folder="DC0_F1")
    assert many.total == few.total


def test_a_clone_without_a_parent_of_its_own_has_that_of_the_task(tasks):
    ran = tasks.run(clones=[{"name": "a"}, {"name": "b", "parent": {"name": "golden-parent-2"}}])
    assert {name: clone["parent"] for name, clone in ran.clones.items()} == {
        "a": "/DC0/vm/golden-parent",
        "b": "/DC0/vm/golden-parent-2",
    }


def test_a_clone_of_another_parent_is_a_vm_of_somebody_else(tasks):
    tasks.run(parent=None, clones=_spread(3))
    moved = [{"name": "web-0", "parent": {"name": "golden-parent-2"}}, {"name": "web-1", "parent": {"name": "golden-parent-2"}}]
    ran = tasks.attempt(parent=None, clones=moved)
    assert ran.actions == {"web-0": "failed", "web-1": "unchanged"}
    gone = tasks.attempt(parent=None, state="absent", clones=moved)
    assert gone.actions == {"web-0": "failed", "web-1": "removed"}


def test_removing_clones_of_three_parents(tasks):
    tasks.run(parent=None, clones=_spread(6))
    gone = tasks.run(parent=None, state="absent", clones=_spread(6))
    assert gone.result["counts"] == {"removed": 6}
    assert gone.total <= 2 * 6 + 14


def test_pools_are_those_around_each_parent(start):
    """The hosts of the parents are in two clusters, which have pools of their own and the same datastores."""
    tasks = start("--parents", "2", "--clusters", "2", "--hosts", "1")
    assert [tasks.sim.vm(name)["host"][-9:] for name in _PARENTS[:2]] == ["DC0_C0_H0", "DC0_C1_H0"]
    pools = ("DC0_C0_RP1", "DC0_C1_RP1")
    clones = [
        {"name": f"web-{n}", "parent": {"name": parent}, "resource_pool": pool}
        for n, (parent, pool) in enumerate(zip(_PARENTS[:2], pools, strict=True))
    ]
    ran = tasks.run(parent=None, clones=clones, datastore="LocalDS_0")
    assert [clone["resource_pool"] for clone in ran.result["clones"]] == list(pools)
    mixed = [{**clone, "name": f"db-{n}"} for n, clone in enumerate(_spread(2, _PARENTS[:2]))]
    ran = tasks.attempt(parent=None, clones=mixed, resource_pool=pools[0])
    assert ran.actions == {"db-0": "created", "db-1": "failed"}
    assert ran.clones["db-1"]["error"]["allowed"] == ["Resources", "Resources/DC0_C1_RP1", "Resources/DC0_C1_RP2"]


@pytest.mark.parametrize("check", [False, True])
def test_a_parent_that_is_not_there_fails_its_clones_alone(tasks, check):
    missing = [{"name": "x", "parent": {"name": "golden-parnet"}}, {"name": "y", "parent": {"moid": "vm-99999"}}]
    ran = tasks.attempt(check=check, parent=None, clones=[*_spread(2), *missing])
    assert ran.actions == {"web-0": "created", "web-1": "created", "x": "failed", "y": "failed"}
    assert {ran.clones[name]["error"]["error_code"] for name in ("x", "y")} == {"not_found"}
    assert "golden-parent" in ran.clones["x"]["error"]["msg"]


def test_a_parent_of_the_task_that_is_not_there_is_an_error_though_no_clone_has_need_of_it(tasks):
    assert tasks.refused(parent={"name": "none"}, clones=_spread(2)).error_code == "not_found"


def test_each_clone_must_have_a_parent():
    with pytest.raises(InvalidOption, match="The option parent is not set"):
        options(parent=None, clones=[{"name": "a", "parent": {"name": "x"}}, {"name": "b"}])
    with pytest.raises(InvalidOption, match="clone 'a': parent is given by name and moid"):
        options(parent=None, clones=[{"name": "a", "parent": {"name": "x", "moid": "vm-1"}}])
    assert options(parent=None, clones=[]).parents == []
