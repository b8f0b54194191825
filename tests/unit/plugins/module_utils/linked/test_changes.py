# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is cloned, and what becomes of clones that are there."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._clone import read
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.linked.running import options
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import succeeded


def test_each_disk_mode_makes_the_disks_that_it_says(start):
    tasks = start()
    tasks.run(name="linked")
    tasks.run(name="full", disk_mode="full")
    below = [name for name in tasks.sim.vm("linked")["disks"][0]["files"] if "/golden" in name]
    assert below
    assert all(name.startswith("[LocalDS_0] full/") for name in tasks.sim.vm("full")["disks"][0]["files"])


@pytest.mark.parametrize("snapshot", [{"current": True}, {"path": "base/patched"}, {"name": "patched"}])
def test_a_snapshot_is_named_in_any_way(start, snapshot):
    tasks = start()
    tasks.sim.govc("snapshot.create", "-vm", "/DC0/vm/golden", "-m=false", "patched")
    ran = tasks.run(name="a", snapshot=snapshot)
    by_moid = tasks.run(name="b", snapshot={"moid": ran.result["source"]["snapshot"]})
    assert by_moid.result["source"]["snapshot"] == ran.result["source"]["snapshot"]
    assert tasks.sim.vm("a")["disks"][0]["files"][1:] == tasks.sim.vm("b")["disks"][0]["files"][1:]


def test_of_two_snapshots_of_one_name_the_path_says_which(start):
    tasks = start()
    tasks.sim.govc("snapshot.create", "-vm", "/DC0/vm/golden", "-m=false", "base")
    tasks.sim.govc("snapshot.create", "-vm", "/DC0/vm/golden", "-m=false", "patched")
    tasks.sim.govc("snapshot.create", "-vm", "/DC0/vm/golden", "-m=false", "patched")
    vague = tasks.attempt(name="a", snapshot={"name": "patched"})
    assert "2 snapshots of /DC0/vm/golden fit the snapshot with the name patched" in str(vague.error)
    ran = tasks.run(name="a", snapshot={"path": "base"})
    below = tasks.run(name="b", snapshot={"path": "base/base"})
    assert below.result["source"]["snapshot"] != ran.result["source"]["snapshot"]


def test_without_a_snapshot_there_must_be_a_delta_disk(start):
    tasks = start()
    tasks.sim.create_vm("plain", on=False)
    asked = {"source": {"name": "plain"}, "snapshot": None, "name": "a"}
    refused = tasks.attempt(**asked)
    assert "has nothing that linked clones could share: no delta disk on its" in str(refused.error)
    assert "set add_delta_disks" in str(refused.error)
    assert tasks.run(**asked, add_delta_disks=True).actions == {"a": "created"}
    assert tasks.sim.vm("plain")["disks"][0]["deltas"] == 1
    # It has one now, and gets no second.
    tasks.run(**{**asked, "name": "b"}, add_delta_disks=True)
    assert tasks.sim.vm("plain")["disks"][0]["deltas"] == 1
    assert tasks.sim.vm("a")["disks"][0]["files"][1:] == tasks.sim.vm("b")["disks"][0]["files"][1:]


def test_a_source_that_got_delta_disks_is_changed_whatever_becomes_of_the_clones(start):
    tasks = start()
    tasks.sim.create_vm("plain", on=False)
    asked = {"source": {"name": "plain"}, "snapshot": None, "add_delta_disks": True}
    tasks.sim.inject(method="ReconfigVM_Task", do="task-fault", fault="SystemError", message="no")
    refused = tasks.attempt(**asked, clones=[{"name": "a"}, {"name": "b"}])
    assert (refused.error.error_code, refused.result["changed"]) == ("system_error", False)
    assert refused.actions == {"a": "failed", "b": "failed"}
    checked = tasks.run(**asked, name="a", check=True)
    tasks.sim.inject(method="CloneVM_Task", do="task-fault", fault="SystemError", message="no")
    failed = tasks.attempt(**asked, name="a")
    for ran in (checked, failed):
        assert ran.result["changed"] is True
        assert (ran.result["source"]["changed"], ran.result["source"]["actions"]) == (True, ["delta_disks_added"])
    assert failed.clones["a"]["changed"] is False
    assert tasks.run(**asked, name="a").result["source"]["changed"] is False


def test_a_raw_device_gets_no_delta_disk_and_is_named_before_anything_is_changed(start):
    tasks = start()
    tasks.sim.create_vm("raw", on=False, disks=[{"bytes": 1048576}, {"bytes": 1048576, "rdm": "virtualMode"}])
    asked = {"source": {"name": "raw"}, "snapshot": None, "name": "a", "add_delta_disks": True}
    for check in (True, False):
        refused = tasks.attempt(**asked, check=check)
        assert "No delta disk can be put on Hard disk 2 of /DC0/vm/raw" in str(refused.error)
        assert refused.error.details["option"] == "add_delta_disks"
        assert refused.called("ReconfigVM_Task") == refused.called("CloneVM_Task") == 0


def test_a_source_that_is_removed_while_it_is_looked_at_is_reported_as_such(start, monkeypatch):
    tasks = start()
    tasks.sim.create_vm("plain", on=False)
    monkeypatch.setattr(read, "read_disks", lambda *_args: {})
    ran = tasks.attempt(source={"name": "plain"}, snapshot=None, name="a", add_delta_disks=True)
    assert "The source is not there any more: somebody has removed it meanwhile." in str(ran.error)
    assert ran.called("CloneVM_Task") == 0


def test_a_running_vm_and_a_template_get_no_delta_disk(start):
    tasks = start()
    tasks.sim.create_vm("running")
    tasks.sim.create_vm("template", template=True, on=False)
    for name, advice in (("running", "only while it is off"), ("template", "make it a template again")):
        refused = tasks.attempt(source={"name": name}, snapshot=None, name="a", add_delta_disks=True)
        assert advice in str(refused.error)
        assert refused.called("ReconfigVM_Task") == 0


def test_of_powering_on_twice_the_first_call_has_done_it(start):
    tasks = start()
    tasks.run(name="a", powered_on=False)
    tasks.sim.inject(method="PowerOnVM_Task", name="a", do="drop-after")
    ran = tasks.run(name="a")
    assert (ran.actions, ran.result["changed"], ran.clones["a"]["power_state"]) == ({"a": "updated"}, True, "poweredOn")


def test_a_clone_that_somebody_powers_on_meanwhile_is_waited_for(start):
    tasks = start()
    tasks.run(name="a", powered_on=False)
    asked = {"name": "a", "wait_for_ip_address": True, "timeout": 600}
    ran = succeeded(tasks.meanwhile("PowerOnVM_Task", 1, lambda: tasks.sim.govc("vm.power", "-on", "a"), **asked))
    clone = ran.clones["a"]
    assert (ran.actions, clone["power_state"], clone["ip"] is not None) == ({"a": "unchanged"}, "poweredOn", True)


def test_a_clone_that_is_off_is_powered_on_and_one_that_runs_is_left_on(start):
    tasks = start()
    tasks.run(name="a", powered_on=False)
    assert tasks.sim.vm("a")["power"] == "poweredOff"
    assert tasks.run(name="a", powered_on=False).actions == {"a": "unchanged"}
    ran = tasks.run(name="a", wait_for_ip_address=True)
    assert ran.actions == {"a": "updated"}
    assert ran.clones["a"]["ip"]
    assert tasks.run(name="a", powered_on=False).actions == {"a": "unchanged"}
    assert tasks.sim.vm("a")["power"] == "poweredOn"


def test_each_clone_has_the_power_state_that_is_asked_for(start):
    tasks = start()
    asked = {"clones": [{"name": "on", "powered_on": True}, {"name": "off"}], "powered_on": False}
    would = tasks.run(check=True, **asked)
    assert {name: clone["power_state"] for name, clone in would.clones.items()} == {"on": "poweredOn", "off": "poweredOff"}
    ran = tasks.run(**asked, wait_for_ip_address=True)
    assert {name: tasks.sim.vm(name)["power"] for name in ("on", "off")} == {"on": "poweredOn", "off": "poweredOff"}
    assert (bool(ran.clones["on"]["ip"]), ran.clones["off"]["warnings"]) == (True, [])
    assert tasks.run(**asked).actions == {"on": "unchanged", "off": "unchanged"}


def test_hardware_is_changed_where_that_takes_no_restart_and_else_reported(start):
    tasks = start()
    tasks.run(name="off", powered_on=False)
    asked = {"cpu": {"cores": 4}, "memory": {"size_mb": 4096}, "annotation": "new"}
    changed = tasks.run(name="off", powered_on=False, **asked)
    assert changed.actions == {"off": "updated"}
    assert [item["what"] for item in changed.clones["off"]["differences"]] == ["cpu.cores", "memory.size_mb", "annotation"]
    assert tasks.run(name="off", powered_on=False, **asked).actions == {"off": "unchanged"}
    tasks.run(name="on")
    told = tasks.run(name="on", **asked)
    differences = {item["what"]: item for item in told.clones["on"]["differences"]}
    assert not differences["cpu.cores"]["can_change"]
    assert "power it off first" in differences["memory.size_mb"]["why_not"]
    assert differences["annotation"]["can_change"]
    again = tasks.run(name="on", **asked)
    assert again.actions == {"on": "unchanged"}
    assert len(again.clones["on"]["differences"]) == 2


def test_a_vm_of_somebody_else_is_a_conflict_and_stays(start):
    tasks = start()
    tasks.sim.create_vm("a")
    ran = tasks.attempt(clones=[{"name": "a"}, {"name": "b"}])
    assert ran.actions == {"a": "failed", "b": "created"}
    gone = tasks.attempt(state="absent", clones=[{"name": "a"}, {"name": "b"}, {"name": "golden"}])
    assert gone.actions == {"a": "failed", "b": "removed", "golden": "failed"}
    assert "it is the source itself" in gone.clones["golden"]["error"]["msg"]


def test_one_that_fails_leaves_the_others_and_the_next_run_makes_it(start):
    tasks = start()
    wanted = {"clones": [{"name": f"web-{number}"} for number in range(5)]}
    tasks.sim.inject(method="CloneVM_Task", name="web-3", do="task-fault", fault="NoDiskSpace")
    ran = tasks.attempt(**wanted)
    assert ran.result["counts"] == {"created": 4, "failed": 1}
    assert ran.clones["web-3"]["error"]["error_code"] == "no_disk_space"
    again = tasks.run(**wanted)
    assert again.result["counts"] == {"created": 1, "unchanged": 4}


def test_rollback_removes_what_the_task_made(start):
    tasks = start()
    before = tasks.names()
    tasks.sim.inject(method="CloneVM_Task", name="web-3", do="task-fault", fault="NoDiskSpace")
    ran = tasks.attempt(clones=[{"name": f"web-{number}"} for number in range(5)], on_error="rollback")
    assert ran.result["counts"] == {"failed": 1, "rolled_back": 4}
    assert tasks.names() == before


def test_an_answer_that_was_lost_makes_no_second_clone(start):
    tasks = start()
    tasks.sim.inject(method="CloneVM_Task", do="drop-after")
    ran = tasks.run(clones=[{"name": "a"}, {"name": "b"}])
    assert ran.actions == {"a": "created", "b": "created"}
    assert ran.called("CloneVM_Task") == 3


@pytest.mark.parametrize("check", [True, False])
def test_a_script_that_a_release_would_pass_over_is_refused(start, check):
    """pyVmomi leaves out of a call what the vCenter does not know: the clone would be made, and its script never run."""
    tasks = start("--api-version", "6.7.3")
    asked = {"name": "a", "powered_on": False, "customize": {"hostname": "web-a", "linux": {"timezone": "UTC"}}}
    refused = tasks.attempt(**{**asked, "customize": {"linux": {"script": "#!/bin/sh"}}}, check=check)
    assert refused.error.error_code == "not_supported"
    assert "runs no script when it customizes a guest: its API version is 6.7.3" in str(refused.error)
    assert refused.called("CloneVM_Task") == 0
    assert tasks.run(**asked).actions == {"a": "created"}


@pytest.mark.parametrize("check", [True, False])
def test_an_organizational_unit_that_a_release_would_pass_over_is_refused(start, check):
    joins = {"domain": "a.b", "domain_ou": "OU=web", "domain_admin": "joiner", "domain_admin_password": "secret"}
    windows = {"full_name": "Owner", "organization": "Example", **joins}
    refused = start("--api-version", "8.0.1.0").attempt(name="a", customize={"windows": windows}, check=check)
    assert refused.error.error_code == "not_supported"
    assert "joins no guest to an organizational unit: its API version is 8.0.1.0" in str(refused.error)
    assert refused.called("CloneVM_Task") == 0


def test_a_guest_is_customized_by_the_call_that_makes_the_clone(start):
    tasks = start()
    asked = {"name": "a", "customize": {"hostname": "web-a", "nics": [{"ip": "10.1.2.3/24"}]}, "wait_for_ip_address": True}
    ran = tasks.run(**asked)
    assert ran.called("CustomizeGuest_Task") == 0
    assert ran.clones["a"]["ip"] == "10.1.2.3"
    assert tasks.run(**asked).actions == {"a": "unchanged"}
    tasks.run(name="b")
    told = tasks.run(name="b", customize={})
    assert told.clones["b"]["differences"][0]["why_not"] == "it is done when a clone is made"


def test_a_user_with_the_documented_privileges_can_make_and_remove_clones(start):
    tasks = start()
    provisioning = ("VirtualMachine.Provisioning.Clone", "VirtualMachine.Inventory.CreateFromExisting")
    living = ("VirtualMachine.Interact.PowerOn", "VirtualMachine.Interact.PowerOff", "VirtualMachine.Inventory.Delete")
    places = ("Datastore.AllocateSpace", "Resource.AssignVMToPool", "VirtualMachine.Config.AdvancedConfig")
    tasks.sim.add_user("cloner", "secret", [*provisioning, *living, *places])
    other = tasks.as_user("cloner", "secret")
    assert other.run(name="a").actions == {"a": "created"}
    assert other.run(name="a", state="absent").actions == {"a": "removed"}
    tasks.sim.add_user("looker", "secret", [])
    denied = tasks.as_user("looker", "secret").attempt(check=True, name="a")
    error = denied.clones["a"]["error"]
    assert error["error_code"] == "no_permission"
    assert "the privilege VirtualMachine.Provisioning.Clone is missing on /DC0/vm/golden" in error["msg"]


@pytest.mark.parametrize("version", ["6.5", "6.7"])
def test_older_releases_clone_too(start, version):
    tasks = start("--api-version", version)
    assert tasks.run(name="a", wait_for_ip_address=True).actions == {"a": "created"}


def test_removing_costs_two_calls_a_clone_and_two_looks_at_disks(start):
    tasks = start(cache=True)
    wanted = {"clones": [{"name": f"web-{number}"} for number in range(10)]}
    tasks.run(**wanted)
    gone = tasks.run(state="absent", **wanted)
    assert gone.result["counts"] == {"removed": 10}
    assert (gone.called("PowerOffVM_Task"), gone.called("Destroy_Task")) == (10, 10)
    assert gone.total <= 2 * 10 + 14


def test_clones_of_another_version_count_where_that_is_asked_for(start):
    tasks = start()
    tasks.run(name="a", powered_on=False)
    tasks.sim.govc("vm.change", "-vm", "/DC0/vm/golden", "-name", "golden-1")
    tasks.prepare()
    older = tasks.sim.vm("golden-1")["instance_uuid"]
    refused = tasks.attempt(name="a")
    assert f"a clone of another parent (instance UUID {older}) holds the name" in str(refused.error)
    ran = tasks.run(
        clones=[{"name": "a", "guestinfo": {"hostname": "a"}}, {"name": "b"}], other_versions=[f" {older.upper()} "]
    )
    assert ran.actions == {"a": "updated", "b": "created"}
    told = {difference["what"]: difference for difference in ran.clones["a"]["differences"]}
    assert (told["source"]["wanted"], told["source"]["can_change"]) == ("/DC0/vm/golden", False)
    assert older in told["source"]["actual"]
    assert [item["what"] for item in ran.clones["b"]["differences"]] == []
    vm = tasks.sim.vm("a")
    assert (vm["power"], vm["extra_config"]["guestinfo.hostname"]) == ("poweredOn", "a")
    assert vm["extra_config"]["vforge.clone"] == f"{older} a"
    assert "a clone of another parent" in str(tasks.attempt(state="absent", name="a").error)
    gone = tasks.run(state="absent", clones=[{"name": "a"}, {"name": "b"}], other_versions=[older])
    assert gone.actions == {"a": "removed", "b": "removed"}


@pytest.mark.parametrize("folder", [None, "web"])
def test_a_clone_of_no_source_is_removed_from_a_whole_folder_alone(folder):
    with pytest.raises(InvalidOption, match="without a source, folder must be a whole path") as raised:
        options(state="absent", name="a", folder=folder)
    assert raised.value.hint == "Write it as /Datacenter/vm/folder, or set source."
