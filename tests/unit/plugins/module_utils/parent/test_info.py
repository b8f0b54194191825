# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is told of parents: their state, their deltas, their children, and what would refuse a clone."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import batch, tasks
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import PartialFailure
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.clone.running import Tasks


def test_a_parent_that_is_ready(start):
    ran = start().info()
    told = ran.one
    assert (told["name"], told["path"], told["state"], told["frozen"]) == (
        "golden-parent",
        "/DC0/vm/golden-parent",
        "running",
        False,
    )
    assert (told["can_clone"], told["refusals"], told["children"], told["snapshots"]) == (True, [], [], [])
    assert (told["delta_levels"], told["clones_left"], told["tools_running"]) == (0, 255, True)
    assert ran.result["changed"] is False


def test_a_dry_run_without_a_result_is_no_yes(start, monkeypatch):
    real = tasks._task_end
    monkeypatch.setattr(tasks, "_task_end", lambda moid, info, gone: real(moid, {**info, "info.result": None}, gone))
    parents = start()
    assert parents.info().one["can_clone"] is True
    monkeypatch.setattr(batch, "read", lambda *_args: {})
    told = parents.info().one
    assert (told["can_clone"], told["not_asked"]["error_code"]) == (None, "task_gone")


@pytest.mark.parametrize("lacking", ["vmProvisioningChecker", "guestOperationsManager"])
def test_a_server_that_lacks_a_manager_is_reported_all_the_same(start, monkeypatch, lacking):
    real = Session._adopt

    def adopt(self, kept):
        real(self, kept)
        setattr(self.content, lacking, None)

    monkeypatch.setattr(Session, "_adopt", adopt)
    told = start().info().one
    checker = lacking == "vmProvisioningChecker"
    assert told["can_clone"] is (None if checker else True)
    assert (told["not_asked"] or {}).get("error_code") == ("not_supported" if checker else None)


def test_what_it_costs_does_not_depend_on_the_inventory(start):
    """But for the pages of the one mark of each VM that says whether it is a clone, 2,500 VMs in each."""
    small, large = (parents.info(parent={"path": "/DC0/vm/golden-parent"}) for parents in (start(), start("--vms", "3000")))
    for ran in (small, large):
        ran.calls.pop("WaitForUpdatesEx", None)
    assert large.calls == {**small.calls, "ContinueRetrievePropertiesEx": 1}
    assert small.calls["RetrievePropertiesEx"] == 2
    assert large.received < small.received + 3000 * 200


def test_nothing_but_the_vm_is_read_when_nothing_else_is_asked_for(start):
    ran = start().info(children=False, ask_vcenter=False, parent={"path": "/DC0/vm/golden-parent"})
    assert ran.calls["RetrievePropertiesEx"] == 1
    assert "CheckInstantClone_Task" not in ran.calls


def test_children_are_the_clones_that_are_marked(start):
    parents = start("--parents", "2")
    clones = Tasks(parents.sim)
    clones.run(clones=[{"name": "web-1"}, {"name": "web-2", "folder": "DC0_F0"}])
    clones.run(parent={"name": "golden-parent-2"}, name="db-1")
    parents.sim.patch_vm("web-1", frozen=True)
    clones.run(parent={"name": "web-1"}, name="grandchild")
    ran = parents.info(parents=[{"name": "golden-parent"}, {"name": "golden-parent-2"}, {"name": "web-1"}])
    assert [[child["path"] for child in entry["children"]] for entry in ran.parents] == [
        ["/DC0/vm/DC0_F0/web-2", "/DC0/vm/web-1"],
        ["/DC0/vm/db-1"],
        ["/DC0/vm/grandchild"],
    ]
    assert {child["host"] for child in ran.parents[0]["children"]} == {ran.parents[0]["host"]}
    assert all(child["power_state"] == "poweredOn" for child in ran.parents[0]["children"])


def test_deltas_of_a_running_parent_are_counted(start):
    parents = start()
    Tasks(parents.sim).run(clones=[{"name": f"web-{number}"} for number in range(3)])
    told = parents.info().one
    assert (told["delta_levels"], told["collapsible_levels"], told["clones_left"]) == (3, 3, 252)
    assert told["disks"][0]["delta_levels"] == 3


@pytest.mark.parametrize(
    ("spoil", "codes"),
    [
        (lambda sim: sim.patch_vm("golden-parent", passthrough=True), ["disallowed_migration_device_attached"]),
        (lambda sim: sim.govc("vm.power", "-off", "golden-parent"), ["not_powered_on"]),
        (lambda sim: sim.patch_vm("golden-parent", delta_levels=255), ["delta_levels"]),
    ],
)
def test_what_would_refuse_a_clone_is_reported_with_its_reason(start, spoil, codes):
    parents = start()
    spoil(parents.sim)
    told = parents.info().one
    assert told["can_clone"] is False
    assert set(codes) <= {item["code"] for item in told["refusals"]}
    assert all(item["reason"] for item in told["refusals"])


def test_a_host_in_maintenance_refuses(start):
    parents = start()
    parents.sim.host_state(parents.info().one["host"], maintenance=True)
    assert "host_unavailable" in {item["code"] for item in parents.info(ask_vcenter=False).one["refusals"]}


# Where vCenter cannot be asked


def test_what_vcenter_refuses_to_say_is_not_known(start):
    parents = start()
    parents.sim.inject(method="CheckInstantClone_Task", do="fault", fault="NoPermission")
    ran = parents.info()
    assert (ran.one["can_clone"], ran.one["refusals"]) == (None, [])
    assert ran.one["not_asked"]["error_code"] == "no_permission"
    assert "could not be asked" in parents.warnings[0]


def test_what_would_refuse_a_clone_anyway_is_reported_without_vcenter(start):
    parents = start()
    parents.sim.patch_vm("golden-parent", delta_levels=255)
    parents.sim.inject(method="CheckInstantClone_Task", do="fault", fault="NoPermission")
    assert parents.info().one["can_clone"] is False


@pytest.mark.parametrize("do", ["drop", "half"])
def test_a_question_that_was_lost_is_asked_again(start, do):
    parents = start()
    parents.sim.inject(method="CheckInstantClone_Task", do=do)
    assert parents.info().one["can_clone"] is True


@pytest.mark.parametrize("do", ["gone", "silence", "freeze"])
def test_a_server_that_is_lost_is_a_failure_and_nothing_is_known(start, do):
    parents = start("--parents", "3")
    names = [f"golden-parent{end}" for end in ("", "-2", "-3")]
    parents.sim.inject(method="CheckInstantClone_Task", nth=2, do=do)
    parents.connection = dataclasses.replace(parents.connection, connection_timeout=3)
    ran = parents.attempt_info(parents=[{"name": name} for name in names])
    assert isinstance(ran.error, PartialFailure)
    assert "It is not known whether vCenter would clone" in str(ran.error)
    for entry in ran.parents:
        assert (entry["can_clone"], entry["refusals"]) == (None, [])
        assert entry["not_asked"]["error_code"] in (
            "still_running",
            "connection_lost",
            "call_timeout",
            "connection_timeout",
            "unreachable",
            "not_attempted",
        )
