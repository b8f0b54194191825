# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""First class disks from their making to their end, against the simulator."""

from __future__ import annotations

import uuid

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.fcd.running import (
    Disks,
    actions,
    entry,
)
from ansible_collections.vforge.vsphere.tests.unit.plugins.unreturned import late_results, no_results


def test_a_disk_is_made_once(disks):
    wanted = {
        "name": "data-1",
        "size": "10 GiB",
        "keep_after_delete_vm": True,
        "metadata": {"owner": "payroll"},
    }
    dry = disks.one(check=True, **wanted)
    assert (actions(dry), entry(dry)["id"]) == (["created"], None)
    assert disks.info().result["disks"] == []
    made = disks.one(**wanted)
    assert actions(made) == ["created"]
    assert entry(made)["capacity_mb"] == 10240
    assert entry(made)["flags"]["keep_after_delete_vm"] is True
    assert entry(made)["metadata"] == {"owner": "payroll"}
    assert entry(made)["path"].startswith("[LocalDS_0] fcd/")
    assert "+" not in made.result["diff"]["before"]
    assert "size: 10240 MiB" in made.result["diff"]["after"]
    again = disks.one(**wanted)
    assert (actions(again), again.result["changed"]) == ([], False)
    assert disks.sim.govc("disk.ls", "-ds", "LocalDS_0", entry(made)["id"])


@pytest.mark.parametrize("check", [True, False])
def test_a_disk_that_two_items_name_in_two_ways_is_refused(disks, check):
    new = [{"name": "d", "size": "8 MiB"}, {"name": "d", "size": "8 MiB", "datastore": "/DC0/datastore/LocalDS_0"}]
    there = entry(disks.one(name="there", size="8 MiB"))["id"]
    for twice in (new, [{"name": "there"}, {"id": there, "state": "absent"}]):
        refused = disks.attempt(disks=twice, check=check)
        assert "disks has one disk twice" in str(refused.error)
    assert [disk["name"] for disk in disks.info().result["disks"]] == ["there"]


def test_what_is_not_named_is_left_alone(disks):
    disks.one(
        name="d",
        size="8 MiB",
        keep_after_delete_vm=True,
        relocation_disabled=True,
        metadata={"a": "1", "b": "2"},
    )
    ran = disks.one(name="d", relocation_disabled=False, metadata={"b": None, "c": "3"})
    assert actions(ran) == ["flags_cleared", "metadata_changed"]
    assert entry(ran)["flags"] == {
        "keep_after_delete_vm": True,
        "relocation_disabled": False,
        "change_tracking": False,
    }
    assert entry(ran)["metadata"] == {"a": "1", "c": "3"}
    assert "relocation_disabled: true" in ran.result["diff"]["before"]
    assert disks.one(name="d", relocation_disabled=False, metadata={"b": None}).result["changed"] is False


@pytest.mark.parametrize("check", [True, False])
def test_metadata_that_a_release_would_pass_over_is_refused(start, check):
    """pyVmomi leaves out of a call what the vCenter does not know: the disk would be made without it."""
    old = start("--vms", "1", "--api-version", "6.7.1")
    refused = old.attempt(check=check, disks=[{"name": "d", "size": "8 MiB", "metadata": {"owner": "payroll"}}])
    assert refused.code == "not_supported"
    assert "makes no first class disk with metadata: its API version is 6.7.1" in str(refused.error)
    assert old.info().result["disks"] == []
    assert actions(old.one(name="d", size="8 MiB")) == ["created"]


@pytest.mark.parametrize("check", [True, False])
def test_metadata_of_a_disk_that_is_there_needs_a_later_release(start, check):
    old = start("--vms", "1", "--api-version", "6.7.2")
    made = entry(old.one(name="d", size="8 MiB", metadata={"owner": "payroll"}))
    assert made["metadata"] == {"owner": "payroll"}
    refused = old.attempt(check=check, disks=[{"name": "d", "metadata": {"owner": "sales"}}])
    assert refused.code == "not_supported"
    assert "cannot change the metadata of a first class disk" in str(refused.error)
    assert old.one(name="d", size="8 MiB", metadata={"owner": "payroll"}).result["changed"] is False


def test_a_release_without_most_of_it_is_refused_before_anything_is_made(start):
    old = start("--vms", "1", "--api-version", "6.5")
    refused = old.attempt(disks=[{"name": "d", "size": "8 MiB"}])
    assert refused.code == "not_supported"
    assert "6.7 or later" in refused.error.hint
    assert old.attempt_snapshots({"disk": {"name": "d"}, "description": "s"}).code == "not_supported"


def test_results_that_come_late_are_asked_for(disks, monkeypatch):
    late_results(monkeypatch)
    made = disks.one(name="d", size="8 MiB", inflated=True)
    assert actions(made) == ["created", "inflated"]
    copy = disks.one(name="copy", clone_of={"name": "d"})
    snapshot = entry(disks.snapshots({"disk": {"name": "d"}, "description": "s", "new_disk": "of-s"}))
    assert snapshot["id"]
    ids = {entry(made)["id"], entry(copy)["id"], snapshot["new_disk"]}
    assert ids == {disk["id"] for disk in disks.info().result["disks"]}


def test_a_disk_that_vcenter_does_not_return_is_found_by_the_next_run(disks, monkeypatch):
    wanted = {"name": "d", "size": "8 MiB", "inflated": True}
    with monkeypatch.context() as patch:
        no_results(patch)
        unreturned = disks.attempt(disks=[wanted])
    assert unreturned.code == "task_gone"
    assert (entry(unreturned)["changed"], actions(unreturned)) == (True, ["created"])
    assert actions(disks.one(**wanted)) == ["inflated"]


def test_a_disk_that_was_moved_and_is_not_returned_is_looked_at_where_it_went(disks, monkeypatch):
    made = entry(disks.one(name="d", size="8 MiB"))
    no_results(monkeypatch)
    moved = entry(disks.one(name="d", relocate_to="LocalDS_1"))
    assert (moved["id"], moved["datastore"], moved["actions"]) == (made["id"], "LocalDS_1", ["relocated"])
    assert moved["path"].startswith("[LocalDS_1] ")


def test_a_disk_grows_and_never_shrinks(disks):
    disks.one(name="d", size="8 MiB")
    assert entry(disks.one(name="d", size="9 MiB"))["capacity_mb"] == 9
    refused = disks.attempt(disks=[{"name": "d", "size": "8 MiB"}])
    assert refused.code == "invalid_option"
    error = entry(refused)["error"]
    assert (error["error_code"], error["actual_mb"], error["wanted_mb"]) == ("invalid_option", 9, 8)
    assert "9 MiB" in error["msg"]
    assert "8 MiB" in error["msg"]
    assert "ExtendDisk_Task" not in refused.calls


def test_names_that_repeat_are_listed_by_their_ids(disks):
    ids = disks.many(2, prefix="same-")
    for text in ids:
        disks.one(id=text, name=None, new_name="twin")
    refused = disks.attempt(disks=[{"name": "twin", "state": "absent"}])
    assert refused.code == "ambiguous"
    assert all(text in str(refused.error) for text in ids)
    assert actions(disks.one(id=ids[0], state="absent")) == ["deleted"]
    assert actions(disks.one(name="twin", state="absent")) == ["deleted"]
    assert disks.one(name="twin", state="absent").result["changed"] is False


def test_a_disk_is_renamed_once(disks):
    made = entry(disks.one(name="old", size="8 MiB"))
    assert actions(disks.one(name="old", new_name="new")) == ["renamed"]
    again = disks.one(name="old", new_name="new")
    assert (actions(again), entry(again)["id"]) == ([], made["id"])


def test_a_disk_is_attached_detached_and_deleted(disks):
    disks.sim.create_vm("box", on=False)
    disks.one(name="d", size="8 MiB")
    ran = disks.one(name="d", attached_to={"name": "box"})
    assert actions(ran) == ["attached"]
    (holder,) = entry(ran)["attached_to"]
    assert disks.sim.disk("box", key=holder["key"])["bytes"] == 8 << 20
    assert disks.one(name="d", attached_to={"name": "box"}).result["changed"] is False
    for asked, code in (
        ({"size": "9 MiB"}, "cannot grow"),
        ({"inflated": True}, "cannot be inflated"),
        ({"relocate_to": "LocalDS_1"}, "cannot be relocated"),
        ({"attached_to": {"name": "server-00001"}}, "is not attached to"),
        ({"state": "absent"}, "is not deleted"),
    ):
        refused = disks.attempt(disks=[{"name": "d", **asked}])
        assert code in entry(refused)["error"]["msg"], asked
        assert holder["vm"] in entry(refused)["error"]["vms"]
    assert actions(disks.one(name="d", detached=True, size="9 MiB")) == ["detached", "grown"]
    assert disks.one(name="d", detached=True).result["changed"] is False
    disks.one(name="d", attached_to={"name": "box", "controller_key": 1000, "unit_number": 5})
    assert actions(disks.one(name="d", detached=True, state="absent")) == ["detached", "deleted"]
    assert disks.sim.orphans() == []


def test_two_disks_go_to_one_vm_in_one_task(disks):
    disks.sim.create_vm("box", on=False)
    wanted = [{"name": name, "size": "8 MiB", "attached_to": {"name": "box"}} for name in ("a", "b")]
    ran = disks.run(disks=wanted)
    assert [each["actions"] for each in ran.result["disks"]] == [["created", "attached"]] * 2
    assert len({each["attached_to"][0]["key"] for each in ran.result["disks"]}) == 2


def test_a_vm_without_a_free_place_says_so(disks):
    disks.sim.create_vm("box", on=False)
    disks.one(name="d", size="8 MiB")
    ran = disks.attempt(disks=[{"name": "d", "attached_to": {"name": "box", "controller_key": 1999}}])
    assert entry(ran)["error"]["error_code"] == "invalid_controller"
    assert actions(ran) == []


def test_a_clone_has_the_bytes_of_its_source(disks):
    source = entry(disks.one(name="d", size="8 MiB"))["id"]
    disks.write(source, 4096)
    wanted = {"name": "copy", "clone_of": {"name": "d"}, "metadata": {"k": "v"}, "size": "9 MiB"}
    ran = disks.one(**wanted)
    assert actions(ran) == ["cloned", "grown"]
    assert entry(ran)["metadata"] == {"k": "v"}
    assert disks.written(entry(ran)["id"]) == [[4096, 512]]
    assert disks.one(**wanted).result["changed"] is False
    smaller = disks.attempt(disks=[{"name": "tiny", "clone_of": {"id": source}, "size": "4 MiB"}])
    assert "8 MiB" in entry(smaller)["error"]["msg"]


def test_a_disk_moves_with_its_snapshots(disks):
    made = entry(disks.one(name="d", size="8 MiB"))
    disks.write(made["id"], 0)
    disks.snapshots({"disk": {"name": "d"}, "description": "s"})
    ran = disks.one(name="d", relocate_to="LocalDS_1")
    assert (actions(ran), entry(ran)["datastore"], entry(ran)["id"]) == (
        ["relocated"],
        "LocalDS_1",
        made["id"],
    )
    assert disks.one(name="d", relocate_to="LocalDS_1").result["changed"] is False
    assert disks.one(id=made["id"], relocate_to="LocalDS_1").result["changed"] is False
    assert disks.written(made["id"]) == [[0, 512]]
    assert disks.seen(made["id"])["snapshots"] == 1


def test_a_disk_that_must_stay_moves_once_its_flag_is_cleared(disks):
    disks.one(name="d", size="8 MiB", relocation_disabled=True)
    refused = disks.attempt(disks=[{"name": "d", "relocate_to": "LocalDS_1"}])
    assert entry(refused)["error"]["option"] == "relocation_disabled"
    ran = disks.one(name="d", relocate_to="LocalDS_1", relocation_disabled=False)
    assert actions(ran) == ["flags_cleared", "relocated"]


def test_a_thin_disk_is_inflated_once(disks):
    disks.one(name="d", size="8 MiB")
    ran = disks.one(name="d", inflated=True)
    assert (actions(ran), entry(ran)["provisioning"]) == (["inflated"], "eagerZeroedThick")
    assert disks.one(name="d", inflated=True).result["changed"] is False
    told = disks.one(name="d", provisioning="thin")
    assert told.result["changed"] is False
    assert entry(told)["differences"][0]["can_change"] is False


def test_a_vmdk_is_registered_once(disks):
    disks.govc("datastore.disk.create", "-ds", "LocalDS_0", "-size", "16M", "loose.vmdk")
    wanted = {"name": "loose", "register": "[LocalDS_0] loose.vmdk"}
    ran = disks.one(**wanted)
    assert (actions(ran), entry(ran)["capacity_mb"]) == (["registered"], 16)
    assert disks.one(**wanted).result["changed"] is False
    assert actions(disks.one(name="other", register="[LocalDS_0] loose.vmdk")) == ["renamed"]
    missing = disks.attempt(disks=[{"name": "x", "register": "[LocalDS_0] no/such.vmdk"}])
    assert entry(missing)["error"]["error_code"] == "file_not_found"


def test_a_vmdk_of_another_datastore_is_not_that_of_this_one(disks):
    """There is one of this path on both, and vCenter looks on one."""
    disks.govc("datastore.disk.create", "-ds", "LocalDS_0", "-size", "16M", "loose.vmdk")
    for check in (True, False):
        refused = disks.attempt(check=check, disks=[{"name": "x", "register": "[elsewhere] loose.vmdk"}])
        assert (refused.code, refused.error.details["option"]) == ("invalid_option", "register")
        assert refused.called("RegisterDisk") == 0


def test_tags_are_attached_and_detached(disks):
    disks.govc("tags.category.create", "environment")
    for name in ("production", "test"):
        disks.govc("tags.create", "-c", "environment", name)
    tag = {"category": "environment", "name": "production"}
    made = disks.one(name="d", size="8 MiB", tags=[tag])
    assert actions(made) == ["created", "tags_attached"]
    assert disks.one(name="d", tags=[tag]).result["changed"] is False
    other = [{**tag, "state": "absent"}, {**tag, "name": "test"}]
    assert actions(disks.one(name="d", tags=other)) == ["tags_attached", "tags_detached"]
    (listed,) = disks.info(tags=True).result["disks"]
    assert listed["tags"] == ["environment:test"]


def test_a_tag_that_is_not_there_is_named_and_those_before_it_count(disks):
    disks.govc("tags.category.create", "environment")
    disks.govc("tags.create", "-c", "environment", "production")
    disks.one(name="d", size="8 MiB")
    tags = [{"category": "environment", "name": name} for name in ("production", "prodction")]
    refused = disks.attempt(disks=[{"name": "d", "tags": tags}])
    assert refused.code == "not_found"
    assert "There is no tag prodction in a category environment" in str(refused.error)
    (entry,) = refused.result["disks"]
    assert (refused.result["changed"], entry["actions"], entry["changed"]) == (True, ["some_tags_attached"], True)
    again = disks.attempt(disks=[{"name": "d", "tags": tags}])
    assert (again.code, again.result["changed"]) == ("not_found", False)


def test_a_datastore_that_is_not_there_is_reconciled_by_no_part(disks):
    refused = disks.attempt(reconcile=["elsewhere"], disks=[])
    assert (refused.code, refused.result) == ("not_found", {})
    assert str(refused.error).startswith("No datastore elsewhere was found.")


def test_one_that_fails_does_not_stop_the_others(disks):
    disks.one(name="d", size="8 MiB")
    disks.sim.inject(method="ExtendDisk_Task", do="task-fault", fault="NoDiskSpace")
    ran = disks.attempt(
        disks=[
            {"name": "d", "size": "9 MiB"},
            {"name": "e", "size": "8 MiB"},
            {"name": "f"},
            {"id": "00000000-0000-0000-0000-000000000000", "datastore": "Nowhere"},
        ]
    )
    first, second, third, fourth = ran.result["disks"]
    assert first["error"]["error_code"] == "no_disk_space"
    assert first["actions"] == []
    assert second["actions"] == ["created"]
    assert "error" not in second
    assert third["error"]["option"] == "size"
    assert fourth["error"]["error_code"] == "not_found"
    assert ran.result["counts"] == {"changed": 1, "unchanged": 0, "failed": 2}
    assert len(ran.result["failures"]) == 3


def test_a_call_that_makes_a_disk_is_not_sent_twice(disks):
    disks.sim.inject(method="CreateDisk_Task", do="drop-after")
    ran = disks.attempt(disks=[{"name": "d", "size": "8 MiB"}])
    assert entry(ran)["error"]["error_code"] == "connection_lost"
    assert ran.calls["CreateDisk_Task"] == 1
    assert [disk["name"] for disk in disks.info().result["disks"]] == ["d"]
    assert disks.one(name="d", size="8 MiB").result["changed"] is False


def test_a_list_is_reconciled(disks):
    lost, kept = disks.many(2)
    disks.lose_files(lost)
    ran = disks.run(reconcile=["LocalDS_0"])
    (told,) = ran.result["reconciled"]
    assert (told["removed"], told["listed"], ran.result["changed"]) == ([lost], 2, True)
    again = disks.run(reconcile=["LocalDS_0"])
    assert again.result["changed"] is False
    assert [disk["id"] for disk in disks.info().result["disks"]] == [kept]


def test_a_list_that_was_reconciled_is_in_the_result_whatever_the_disks_are(disks):
    lost, _kept = disks.many(2)
    disks.lose_files(lost)
    ran = disks.attempt(reconcile=["LocalDS_0"], disks=[{"id": "no-such-disk", "size": "16 MiB"}])
    (told,) = ran.result["reconciled"]
    assert (told["removed"], ran.result["changed"]) == ([lost], True)
    assert "no-such-disk" in str(ran.error)


def test_a_policy_is_that_of_a_new_disk(disks):
    policy = disks.sim.request("POST", "/policies", {"name": "gold", "datastores": ["LocalDS_0"]})
    made = disks.one(name="d", size="8 MiB", storage_policy="gold")
    assert disks.seen(entry(made)["id"])["profile"] == policy["id"]
    refused = disks.attempt(disks=[{"name": "x", "size": "8 MiB", "storage_policy": "gold", "datastore": "LocalDS_1"}])
    assert refused.error.details["option"] == "storage_policy"
    both = [
        {"name": store, "size": "8 MiB", "storage_policy": "gold", "datastore": store} for store in ("LocalDS_0", "LocalDS_1")
    ]
    failed = disks.attempt(disks=both)
    assert [each.get("error", {}) and each["error"]["error_code"] for each in failed.result["disks"]] == [{}, "invalid_option"]


def test_who_may_not_changes_nothing(disks):
    disks.one(name="d", size="8 MiB")
    word = uuid.uuid4().hex
    disks.sim.add_user("someone@vsphere.local", word, ["Datastore.Browse"])
    someone = Disks(disks.sim, username="someone@vsphere.local", password=word)
    refused = someone.attempt(disks=[{"name": "d", "state": "absent"}])
    assert entry(refused)["error"]["privilege"] == "Datastore.FileManagement"
    assert len(someone.info().result["disks"]) == 1


@pytest.mark.parametrize("count", [1, 3])
def test_calls_of_disks_that_are_as_they_should_be(disks, count):
    """The datastores, the list, the catalogue (two), each disk, the VMs of all: nothing else."""
    disks.many(count)
    names = [{"name": f"disk-{number + 1}", "size": "1 MiB"} for number in range(count)]
    ran = disks.run(disks=names)
    assert ran.result["changed"] is False
    expected = {
        "ListVStorageObject": 1,
        "RetrieveContent": 1,
        "VslmRetrieveVStorageObjects": 1,
        "RetrieveVStorageObject": count,
        "RetrieveVStorageObjectAssociations": 1,
    }
    assert {name: ran.called(name) for name in expected} == expected
    assert ran.total == count + 9
