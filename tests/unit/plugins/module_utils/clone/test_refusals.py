# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What cannot be: refused with one sentence, before anything is made."""

from __future__ import annotations

import functools
import secrets

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.clone.running import Tasks

_NEEDED = [
    "VirtualMachine.Provisioning.Clone",
    "VirtualMachine.Interact.PowerOn",
    "VirtualMachine.Inventory.CreateFromExisting",
    "Datastore.AllocateSpace",
    "Resource.AssignVMToPool",
]
_PASSWORD = secrets.token_urlsafe()
_TO_READ = ["System.View", "System.Read", "System.Anonymous"]


@pytest.mark.parametrize(
    ("govc", "says"),
    [
        (("vm.power", "-off", "golden-parent"), "golden-parent is poweredOff. Power it on"),
        (("vm.power", "-suspend", "golden-parent"), "golden-parent is suspended. Power it on"),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_a_parent_that_does_not_run(start, govc, says, check):
    tasks = start()
    tasks.sim.govc(*govc)
    error = tasks.refused(name="web-1", check=check)
    assert says in str(error)
    assert error.details["option"] == "parent"


def test_a_template_as_parent(start):
    tasks = start()
    tasks.sim.create_vm("gold", folder="/DC0/vm", template=True)
    assert "gold is a template. An instant clone needs a running VM" in str(tasks.refused(parent={"name": "gold"}, name="a"))


def test_a_parent_whose_host_is_in_maintenance(start):
    tasks = start()
    tasks.sim.host_state("DC0_C0_H0", maintenance=True)
    assert "on the host DC0_C0_H0, which is in maintenance mode" in tasks.refused(name="web-1").message


@pytest.mark.parametrize(
    ("parent", "says"),
    [
        ({"moid": "vm-99999"}, "moid vm-99999"),
        ({"moid": "nonsense"}, "moid nonsense"),
        ({"name": "golden-parnet"}, "golden-parent"),
        ({"path": "/DC0/vm/none"}, "path /DC0/vm/none"),
        ({"path": "/DC0/vm/DC0_F0"}, "path /DC0/vm/DC0_F0"),
        ({"uuid": "42000000-0000-0000-0000-000000000001"}, "BIOS UUID 42000000"),
        ({"uuid": "42000000-0000-0000-0000-000000000001", "use_instance_uuid": True}, "instance UUID 42000000"),
        ({"uuid": "not-a-uuid"}, "not-a-uuid is not a UUID"),
    ],
)
def test_a_parent_that_is_not_there(start, parent, says):
    assert says in str(start().refused(parent=parent, name="web-1"))


@pytest.mark.parametrize("path", ["/DC0/host/DC0_C0/DC0_C0_H0", "/DC0/vm/DC0_F0"])
def test_a_moid_of_something_else_as_parent(start, path):
    tasks = start()
    beside = tasks.sim.govc("ls", path.rpartition("/")[0])["elements"]
    moid = next(element["Object"]["self"]["value"] for element in beside if element["Path"] == path)
    assert moid in tasks.refused(parent={"moid": moid}, name="web-1").message


def test_a_pool_of_another_cluster_is_refused_before_any_call_with_those_that_would_do(start):
    tasks = start()
    error = tasks.refused(clones=[{"name": "b", "resource_pool": "DC0_C1_RP1"}])
    assert error.message == (
        "clone 'b': the resource pool DC0_C1_RP1 is not one of DC0_C0, to which its host DC0_C0_H0 belongs."
    )
    assert error.details["allowed"] == ["Resources", "Resources/DC0_C0_RP1", "Resources/DC0_C0_RP2"]


_WRONG = [
    ({"resource_pool": "none"}, "invalid_option"),
    ({"datastore": "none"}, "invalid_option"),
    ({"networks": [{"index": 7}]}, "invalid_option"),
    ({"folder": "none"}, "not_found"),
]


@pytest.mark.parametrize(("wrong", "code"), _WRONG)
@pytest.mark.parametrize("check", [False, True])
def test_what_is_wrong_with_one_clone_is_its_failure_and_the_others_are_made(start, wrong, code, check):
    tasks = start()
    ran = tasks.attempt(check=check, clones=[{"name": "a"}, {"name": "b", **wrong}, {"name": "c"}])
    assert ran.actions == {"a": "created", "b": "failed", "c": "created"}
    assert ran.clones["b"]["error"]["error_code"] == code
    assert [item["name"] for item in ran.result["failures"]] == ["b"]
    if not check:
        gone = tasks.attempt(state="absent", clones=[{"name": "a"}, {"name": "b", **wrong}, {"name": "c"}])
        assert [gone.actions[name] for name in ("a", "c")] == ["removed", "removed"]


@pytest.mark.parametrize(("wrong", "_code"), _WRONG)
def test_where_all_or_nothing_is_wanted_one_wrong_clone_keeps_all_from_being_made(start, wrong, _code):
    error = start().refused(clones=[{"name": "a"}, {"name": "b", **wrong}], on_error="rollback")
    assert error.hint == "Nothing was made, since on_error is rollback."
    assert error.details["conflicts"] == ["b"]


def test_a_parent_that_does_not_run_fails_its_clones_alone(start):
    tasks = start("--parents", "2")
    tasks.sim.govc("vm.power", "-off", "golden-parent-2")
    ran = tasks.attempt(clones=[{"name": "a"}, {"name": "b", "parent": {"name": "golden-parent-2"}}])
    assert ran.actions == {"a": "created", "b": "failed"}
    assert "golden-parent-2 is poweredOff" in ran.clones["b"]["error"]["msg"]


@pytest.mark.parametrize("pool", ["/DC0/host/DC0_C0/Resources/DC0_C0_RP2", "DC0_C0/DC0_C0_RP2", "Resources/DC0_C0_RP2"])
def test_a_pool_by_its_path(start, pool):
    tasks = start()
    tasks.run(name="web-1", resource_pool=pool)
    assert tasks.sim.vm("web-1")["pool"] == "/DC0/host/DC0_C0/Resources/DC0_C0_RP2"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"datastore": "none"}, "the host DC0_C0_H0 has no accessible datastore none. It has: LocalDS_0, LocalDS_1."),
        ({"networks": [{"index": 0, "network": "none"}]}, "its host sees no network none. It sees: DC0_DVPG0"),
        ({"networks": [{"index": 1}]}, "the VM has no NIC 1. It has: Network adapter 1."),
        ({"networks": [{"label": "eth0"}]}, "the VM has no eth0."),
        ({"wait_for_ip_address": True, "ip_nic": "Network adapter 7"}, "has no Network adapter 7, so no address"),
    ],
)
def test_places_and_nics_that_are_not_there(start, asked, says):
    assert says in str(start().refused(name="web-1", **asked))


def test_a_parent_without_nics(start):
    tasks = start()
    tasks.sim.create_vm("bare", folder="/DC0/vm", networks=[])
    assert (
        "has no NIC, so no address can be waited for"
        in tasks.refused(parent={"name": "bare"}, name="web-1", wait_for_ip_address=True).message
    )
    ran = tasks.run(parent={"name": "bare"}, name="web-1")
    assert ran.clones["web-1"]["nics"] == []
    assert ran.clones["web-1"]["ip"] is None


def test_a_vcenter_that_is_too_old(start):
    error = start("--api-version", "6.5").refused(name="web-1")
    assert error.error_code == "not_supported"
    assert "cannot make instant clones: its API version is 6.5" in error.message
    assert "vforge.vsphere.fork_parent" in error.hint


@pytest.mark.parametrize("version", ["6.7", "7.0.3.0", "8.0.3.0"])
def test_a_vcenter_that_is_new_enough(start, version):
    assert start("--api-version", version).run(name="web-1", wait_for_ip_address=True).actions == {"web-1": "created"}


@pytest.mark.parametrize("missing", _NEEDED)
@pytest.mark.parametrize("check", [False, True])
def test_a_user_without_a_privilege_learns_which_one_and_where(start, missing, check):
    tasks = start()
    privileges = [*_TO_READ, *(privilege for privilege in _NEEDED if privilege != missing)]
    tasks.sim.add_user("cloner", _PASSWORD, privileges)
    ran = Tasks(tasks.sim, username="cloner", password=_PASSWORD).attempt(check=check, name="web-1", datastore="LocalDS_0")
    error = ran.clones["web-1"]["error"]
    assert error["error_code"] == "no_permission"
    assert error["object"].startswith("/DC0/")
    assert f"the privilege {missing} is missing on {error['object']} (NoPermission)" in error["msg"]
    assert error["moid"] not in error["msg"]
    assert error in [{key: value for key, value in each.items() if key != "name"} for each in ran.result["failures"]]
    assert "web-1" not in tasks.names()


def test_objects_are_named_in_one_call_however_many_clones_were_denied(start):
    tasks = start()
    tasks.sim.add_user("cloner", _PASSWORD, [*_TO_READ, *_NEEDED[1:]])
    user = Tasks(tasks.sim, username="cloner", password=_PASSWORD)
    reads = [
        user.attempt(clones=[{"name": f"web-{number}"} for number in range(count)]).called("RetrievePropertiesEx")
        for count in (2, 20)
    ]
    assert reads[0] == reads[1]


def test_a_denial_that_names_no_object_is_reported_all_the_same(start):
    tasks = start()
    tasks.sim.inject(method="InstantClone_Task", do="fault", fault="NoPermission")
    ran = tasks.attempt(name="web-1")
    assert "is missing on" in ran.clones["web-1"]["error"]["msg"]


def test_a_user_with_the_documented_privileges_can_make_clones(start):
    tasks = start()
    tasks.sim.add_user("cloner", _PASSWORD, [*_TO_READ, *_NEEDED])
    user = Tasks(tasks.sim, username="cloner", password=_PASSWORD)
    assert user.run(name="web-1", datastore="LocalDS_0", wait_for_ip_address=True).actions == {"web-1": "created"}
    gone = user.attempt(state="absent", name="web-1")
    assert "VirtualMachine.Interact.PowerOff" in gone.clones["web-1"]["error"]["msg"]


def test_a_passthrough_device(start):
    tasks = start()
    tasks.sim.patch_vm("golden-parent", passthrough=True)
    ran = tasks.attempt(name="web-1")
    assert ran.clones["web-1"]["error"]["fault"] == "DisallowedMigrationDeviceAttached"
    assert "Detach the device" in ran.clones["web-1"]["error"]["msg"]


@pytest.mark.parametrize("check", [False, True])
def test_clones_that_would_make_a_running_parent_too_deep_are_refused_before_any_is_made(start, check):
    tasks = start("--parents", "2")
    tasks.sim.patch_vm("golden-parent", delta_levels=250)
    deep = [{"name": f"web-{number}"} for number in range(6)]
    other = {"name": "db-1", "parent": {"name": "golden-parent-2"}}
    ran = tasks.attempt(check=check, clones=[*deep, other])
    assert ran.result["counts"] == {"failed": 6, "created": 1}
    error = ran.clones["web-0"]["error"]
    assert (error["error_code"], error["delta_levels"], error["clones_left"]) == ("delta_levels", 250, 5)
    assert "has 250 delta levels of at most 255 and is not frozen: it can have 5 more clones, not 6" in error["msg"]
    assert "Set collapse_deltas of instant_clone_parent. Freeze it" in error["msg"]
    assert str(ran.error).count("Set collapse_deltas") == 1
    assert ran.called("InstantClone_Task") == (0 if check else 1)
    assert ran.called("CheckInstantClone_Task") == (1 if check else 0)


@pytest.mark.parametrize("check", [False, True])
def test_as_many_clones_as_there_are_levels_left_are_made_with_a_warning(start, check):
    tasks = start()
    tasks.sim.patch_vm("golden-parent", delta_levels=250)
    tasks.run(check=check, clones=[{"name": f"web-{number}"} for number in range(5)])
    (warning,) = [text for text in tasks.warnings if "delta levels" in text]
    assert warning.startswith("golden-parent has 255 delta levels of at most 255 after this task, which leaves 0.")
    assert "collapse_deltas" in warning
    if not check:
        assert tasks.sim.vm("golden-parent")["disks"][0]["deltas"] == 255


def test_three_hundred_clones_of_a_running_parent_are_refused_in_check_mode(start):
    tasks = start()
    asked = {"check": True, "clones": [{"name": f"web-{number}"} for number in range(300)]}
    refused = tasks.attempt(**asked)
    assert refused.result["counts"] == {"failed": 300}
    assert refused.called("CheckInstantClone_Task") == 0
    lines = str(refused.error).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("300 of 300 clones failed: 300 (web-0, web-1, web-2, web-3, web-4 and 295 more)")
    assert "a frozen parent gets no more deltas" in lines[0]
    tasks.sim.patch_vm("golden-parent", frozen=True)
    assert tasks.run(**asked).result["counts"] == {"created": 300}


def test_a_frozen_parent_with_too_many_deltas_can_have_no_clone(start):
    tasks = start()
    tasks.sim.patch_vm("golden-parent", delta_levels=255)
    tasks.sim.patch_vm("golden-parent", frozen=True)
    ran = tasks.attempt(name="web-1")
    error = ran.clones["web-1"]["error"]
    assert (error["error_code"], error.get("clones_left")) == ("delta_levels", 0)
    assert "Bring it to state running, set collapse_deltas" in error["msg"]
    assert ran.called("InstantClone_Task") == 0


def test_a_chain_that_gets_too_deep_meanwhile_is_reported_with_its_cure(start):
    tasks = start()
    tasks.sim.patch_vm("golden-parent", delta_levels=254)
    deepen = functools.partial(tasks.sim.patch_vm, "golden-parent", delta_levels=255)
    ran = tasks.meanwhile("InstantClone_Task", 1, deepen, name="web-1")
    error = ran.clones["web-1"]["error"]
    assert error["error_code"] == "system_error"
    assert "Set collapse_deltas of instant_clone_parent." in error["msg"]


def test_a_vcenter_that_allows_no_datastore_says_so(start):
    tasks = start("--strict-datastore")
    assert tasks.run(name="web-1").actions == {"web-1": "created"}
    ran = tasks.attempt(name="web-2", datastore="LocalDS_0")
    assert "spec.location" in ran.clones["web-2"]["error"]["msg"]


@pytest.mark.parametrize("fault", ["MethodNotFound", "NotSupported"])
def test_where_vcenter_cannot_check_a_clone_check_mode_says_so_and_expects_it(start, fault):
    tasks = start()
    tasks.sim.inject(method="CheckInstantClone_Task", do="fault", fault=fault, times=0)
    ran = tasks.run(name="web-1", check=True)
    assert (ran.result["changed"], tasks.run(name="web-1").result["changed"]) == (True, True)
    assert any("could not be asked" in warning for warning in tasks.warnings)
