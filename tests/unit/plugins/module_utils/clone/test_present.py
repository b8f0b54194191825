# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making clones and changing them, looked at from outside."""

from __future__ import annotations

import pytest


def _wanted(count, prefix="web", **more):
    return [{"name": f"{prefix}-{number}", **more} for number in range(count)]


def test_a_clone_has_all_that_was_asked_for(start):
    tasks = start()
    ran = tasks.run(
        name="web-1",
        folder="DC0_F1",
        resource_pool="DC0_C0_RP2",
        datastore="LocalDS_1",
        networks=[{"label": "Network adapter 1", "network": "VM Network", "mac": "00:50:56:01:02:03", "connected": False}],
        guestinfo={"hostname": "web-1", "count": 3, "on": True},
        extra_config={"tools.upgrade.policy": "manual"},
        bios_uuid="4220d3a4-1f5e-0b3c-9a63-25cf6a1b9a01",
    )
    vm = tasks.sim.vm("web-1")
    assert vm["path"] == "/DC0/vm/DC0_F1/web-1"
    assert vm["pool"] == "/DC0/host/DC0_C0/Resources/DC0_C0_RP2"
    assert vm["bios_uuid"] == "4220d3a4-1f5e-0b3c-9a63-25cf6a1b9a01"
    assert vm["power"] == "poweredOn"
    nic = vm["nics"][0]
    assert (nic["network"], nic["mac"], nic["connected"]) == ("VM Network", "00:50:56:01:02:03", False)
    assert all("[LocalDS_1]" in disk["files"][0] for disk in vm["disks"])
    pairs = vm["extra_config"]
    assert (pairs["guestinfo.hostname"], pairs["guestinfo.count"], pairs["guestinfo.on"]) == ("web-1", "3", "TRUE")
    assert pairs["tools.upgrade.policy"] == "manual"
    assert pairs["vforge.clone"] == f"{tasks.sim.vm('golden-parent')['instance_uuid']} web-1"
    told = ran.clones["web-1"]
    assert (told["moid"], told["path"], told["bios_uuid"]) == (vm["moid"], vm["path"], vm["bios_uuid"])
    assert told["instance_uuid"] == vm["instance_uuid"]
    assert (told["host"], told["resource_pool"]) == ("DC0_C0_H0", "DC0_C0_RP2")
    assert "LocalDS_1" in told["datastore"]
    assert told["guestinfo"] == ["guestinfo.count", "guestinfo.hostname", "guestinfo.on"]
    assert told["changed"]
    assert told["seconds"] > 0


def test_an_address_that_somebody_has_given_the_parent_by_hand_is_not_its_clones(start):
    tasks = start()
    tasks.run(name="seed", networks=[{"index": 0, "mac": "00:50:56:01:02:03"}])
    tasks.run(parent={"name": "seed"}, name="web-1")
    nics = {name: tasks.sim.vm(name)["nics"][0] for name in ("seed", "web-1")}
    assert (nics["seed"]["mac"], nics["seed"]["mac_type"]) == ("00:50:56:01:02:03", "manual")
    assert (nics["web-1"]["mac"] != nics["seed"]["mac"], nics["web-1"]["mac_type"]) == (True, "assigned")
    assert nics["web-1"]["network"] == nics["seed"]["network"]


def test_by_default_a_clone_is_beside_its_parent_with_an_identity_of_its_own(start):
    tasks = start()
    tasks.run(name="web-1")
    parent, clone = tasks.sim.vm("golden-parent"), tasks.sim.vm("web-1")
    assert (clone["host"], clone["pool"]) == (parent["host"], parent["pool"])
    assert clone["path"] == "/DC0/vm/web-1"
    assert clone["nics"][0]["network"] == parent["nics"][0]["network"]
    for identity in ("moid", "bios_uuid", "instance_uuid"):
        assert clone[identity] != parent[identity]
    assert clone["nics"][0]["mac"] != parent["nics"][0]["mac"]


def test_clones_of_one_task_go_where_each_is_to_go(start):
    tasks = start()
    ran = tasks.run(
        folder="DC0_F0",
        clones=[{"name": "a"}, {"name": "b", "folder": "/DC0/vm"}, {"name": "a", "folder": "/DC0/vm/DC0_F1/"}],
    )
    assert [clone["path"] for clone in ran.result["clones"]] == ["/DC0/vm/DC0_F0/a", "/DC0/vm/b", "/DC0/vm/DC0_F1/a"]
    assert "a" in tasks.names("/DC0/vm/DC0_F0")
    assert "a" in tasks.names("/DC0/vm/DC0_F1")
    assert "b" in tasks.names()


def test_two_parents_have_clones_of_their_own(start):
    tasks = start("--parents", "2")
    tasks.run(parent={"name": "golden-parent"}, name="one")
    tasks.run(parent={"name": "golden-parent-2"}, name="two")
    ran = tasks.attempt(parent={"name": "golden-parent-2"}, clones=[{"name": "one"}, {"name": "three"}])
    assert ran.actions == {"one": "failed", "three": "created"}
    first = tasks.sim.vm("golden-parent")["instance_uuid"]
    assert f"a clone of another parent (instance UUID {first}) holds the name" in ran.clones["one"]["error"]["msg"]


def test_a_frozen_parent_is_cloned_without_growing(start):
    tasks = start()
    tasks.sim.patch_vm("golden-parent", frozen=True)
    ran = tasks.run(clones=_wanted(4), wait_for_ip_address=True)
    assert ran.result["parent"]["frozen"] is True
    assert ran.result["counts"] == {"created": 4}
    assert tasks.sim.vm("golden-parent")["disks"][0]["deltas"] == 0


def test_an_empty_list_of_clones_does_nothing(start):
    ran = start().run(clones=[], wait_for_ip_address=True)
    assert (ran.result["changed"], ran.result["clones"], ran.result["counts"]) == (False, [], {})


def test_what_differs_is_brought_about_on_the_running_clone(start):
    tasks = start()
    tasks.run(clones=_wanted(3, guestinfo={"role": "web", "site": "north"}))
    before = tasks.sim.vm("web-0")
    asked = {
        "resource_pool": "DC0_C0_RP2",
        "networks": [{"index": 0, "network": "VM Network"}],
        "clones": _wanted(3, guestinfo={"role": "db", "site": "north"}),
    }
    ran = tasks.run(**asked)
    assert ran.result["counts"] == {"updated": 3}
    assert ran.called("InstantClone_Task") == 0
    after = tasks.sim.vm("web-0")
    assert after["extra_config"]["guestinfo.role"] == "db"
    assert after["extra_config"]["guestinfo.site"] == "north"
    assert after["pool"].endswith("DC0_C0_RP2")
    assert after["nics"][0]["network"] == "VM Network"
    for kept in ("moid", "instance_uuid", "bios_uuid", "power"):
        assert after[kept] == before[kept]
    assert after["nics"][0]["mac"] == before["nics"][0]["mac"]
    told = ran.clones["web-0"]
    assert [item["what"] for item in told["differences"]] == ["guestinfo.role", "Network adapter 1 network", "resource_pool"]
    assert (told["resource_pool"], told["nics"][0]["network"]) == ("DC0_C0_RP2", "VM Network")
    again = tasks.run(**asked)
    assert again.result["counts"] == {"unchanged": 3}
    assert again.called("ReconfigVM_Task") == again.called("MoveIntoResourcePool") == 0


@pytest.mark.parametrize(
    ("change", "method"),
    [
        ({"guestinfo": {"a": "2"}}, "ReconfigVM_Task"),
        ({"extra_config": {"a": "2"}}, "ReconfigVM_Task"),
        ({"networks": [{"index": 0, "network": "DC0_DVPG1"}]}, "ReconfigVM_Task"),
        ({"networks": [{"index": 0, "connected": False}]}, "ReconfigVM_Task"),
        ({"resource_pool": "Resources"}, "MoveIntoResourcePool"),
    ],
)
def test_each_change_is_one_call_and_then_none(start, change, method):
    tasks = start()
    tasks.run(name="web-1", guestinfo={"b": "1"})
    changed = tasks.run(name="web-1", **change)
    assert changed.actions == {"web-1": "updated"}
    assert changed.result["changed"] is True
    assert changed.called(method) == 1
    assert changed.called("ReconfigVM_Task") + changed.called("MoveIntoResourcePool") == 1
    assert tasks.run(name="web-1", **change).actions == {"web-1": "unchanged"}


_VALUES = {
    "empty": "",
    "padded": " padded ",
    "lines": "line\nline",
    "line ends": "a\r\nb\rc",
    "unicode": "ä 中 😀",
    "markup": "<&>\"']]>",
    "long": "x" * 20_000,
    "number": 1,
    "truth": True,
    "fraction": 1.5,
}


def test_values_that_were_written_are_found_as_written(start):
    tasks = start()
    asked = {"clones": [{"name": name, "guestinfo": {"k": value}} for name, value in _VALUES.items()]}
    assert set(tasks.run(**asked).actions.values()) == {"created"}
    assert tasks.run(**asked).actions == dict.fromkeys(_VALUES, "unchanged")


def test_what_a_clone_keeps_for_life_is_shown_and_left(start):
    tasks = start()
    tasks.run(name="web-1")
    before = tasks.sim.vm("web-1")
    ran = tasks.run(
        name="web-1",
        datastore="LocalDS_1",
        bios_uuid="4220d3a4-1f5e-0b3c-9a63-25cf6a1b9a01",
        networks=[{"index": 0, "mac": "00:50:56:01:02:03"}],
    )
    assert ran.actions == {"web-1": "unchanged"}
    assert ran.called("ReconfigVM_Task") == 0
    told = {item["what"]: item for item in ran.clones["web-1"]["differences"]}
    assert told.keys() == {"Network adapter 1 MAC", "datastore", "bios_uuid"}
    assert all(item["why_not"] and not item["can_change"] for item in told.values())
    assert told["datastore"]["actual"] == "LocalDS_0"
    assert told["bios_uuid"]["actual"] == before["bios_uuid"]
    after = tasks.sim.vm("web-1")
    assert (after["bios_uuid"], after["nics"], after["disks"]) == (before["bios_uuid"], before["nics"], before["disks"])


def test_the_mac_of_a_clone_that_is_off_is_changed(start):
    tasks = start()
    tasks.run(name="web-1")
    tasks.sim.govc("vm.power", "-off", "web-1")
    asked = {"name": "web-1", "networks": [{"index": 0, "mac": "00:50:56:01:02:03", "connected": True}]}
    assert tasks.run(**asked).actions == {"web-1": "updated"}
    assert tasks.sim.vm("web-1")["nics"][0]["mac"] == "00:50:56:01:02:03"
    again = tasks.run(**asked)
    assert again.actions == {"web-1": "unchanged"}
    assert again.clones["web-1"]["power_state"] == "poweredOff"


def test_a_vm_of_somebody_else_of_the_name_is_a_conflict_and_the_others_are_made(start):
    tasks = start()
    tasks.sim.create_vm("web-1", folder="/DC0/vm")
    stranger = tasks.sim.vm("web-1")
    ran = tasks.attempt(clones=_wanted(3), guestinfo={"a": "1"})
    assert ran.actions == {"web-0": "created", "web-1": "failed", "web-2": "created"}
    assert ran.error.as_result()["error_code"] == "partial_failure"
    assert "1 of 3 clones failed" in ran.error.message
    assert "a VM that this collection did not clone holds the name" in ran.error.message
    assert [item["name"] for item in ran.result["failures"]] == ["web-1"]
    assert tasks.sim.vm("web-1") == stranger


def test_a_folder_of_the_name_is_a_conflict(start):
    ran = start().attempt(name="DC0_F0")
    assert "a Folder holds the name" in ran.clones["DC0_F0"]["error"]["msg"]
    assert ran.called("InstantClone_Task") == 0


def test_the_parents_own_name_is_a_conflict(start):
    ran = start().attempt(name="golden-parent")
    assert ran.actions == {"golden-parent": "failed"}
    assert ran.called("InstantClone_Task") == 0


def test_a_vm_that_inherited_the_mark_of_another_is_a_vm_of_somebody_else(start):
    tasks = start()
    tasks.run(name="web-1", guestinfo={"a": "1"})
    mark = tasks.sim.vm("web-1")["extra_config"]["vforge.clone"]
    tasks.sim.create_vm("web-2", folder="/DC0/vm", extra_config={"vforge.clone": mark})
    assert tasks.attempt(name="web-2").actions == {"web-2": "failed"}
    assert tasks.attempt(name="web-2", state="absent").actions == {"web-2": "failed"}
    assert "web-2" in tasks.names()


@pytest.mark.parametrize("frozen", [True, False])
def test_a_clone_can_be_a_parent(start, frozen):
    tasks = start()
    tasks.run(name="web-1", guestinfo={"a": "1"})
    tasks.sim.patch_vm("web-1", frozen=frozen)
    ran = tasks.run(parent={"name": "web-1"}, name="web-1-1")
    assert ran.actions == {"web-1-1": "created"}
    clone = tasks.sim.vm("web-1-1")
    assert clone["extra_config"]["vforge.clone"] == f"{tasks.sim.vm('web-1')['instance_uuid']} web-1-1"
    assert tasks.attempt(state="absent", name="web-1-1").actions == {"web-1-1": "failed"}


def test_with_nothing_to_make_the_parent_need_not_run(start):
    tasks = start()
    tasks.run(clones=_wanted(2))
    tasks.sim.govc("vm.power", "-off", "golden-parent")
    assert tasks.run(clones=_wanted(2)).result["counts"] == {"unchanged": 2}
    ran = tasks.attempt(clones=_wanted(3))
    assert ran.result["counts"] == {"unchanged": 2, "failed": 1}
    assert "golden-parent is poweredOff" in ran.clones["web-2"]["error"]["msg"]
    assert ran.called("InstantClone_Task") == 0
