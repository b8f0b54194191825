# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks for templates against the simulator: what is made, what it costs, what is done the second time."""

from __future__ import annotations

import pytest
from pyVim.task import WaitForTask
from pyVmomi import vim

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.model import version_name
from ansible_collections.vforge.vsphere.tests.unit.plugins.deadlines import time_over
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.running import Templates
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.support import Made, content

MORE_THAN_LOGIN = ("RetrieveServiceContent", "Login", "Logout")


@pytest.fixture
def templates(make_sim, tmp_path, monkeypatch):
    """Tasks against a simulator of the test's own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return Templates(make_sim("--vms", "2"))


@pytest.fixture
def source(tmp_path):
    """An OVA of two disks."""
    return Made(disks={"a.vmdk": content(400_000), "b.vmdk": content(100_000, 2)}).ova(tmp_path)


def newer(source):
    """A package with other content."""
    folder = source.parent / "newer"
    folder.mkdir(exist_ok=True)
    return Made(disks={"a.vmdk": content(400_000, 7), "b.vmdk": content(100_000, 2)}).ova(folder)


def known(ran):
    """What the result says of the template itself, without what this run did to it."""
    return {key: value for key, value in ran.result["template"].items() if key not in ("actions", "changed", "seconds")}


def raw(templates, path="/DC0/vm/web"):
    return templates.sim.govc("vm.info", "-e", path)["virtualMachines"][0]


def linked_clone(templates, template, name):
    """As another tool makes one, with plain pyVmomi: it shares what is below the template's layer."""
    where = vim.vm.RelocateSpec(diskMoveType="moveChildMostDiskBacking")
    with Session(templates.connection) as session:
        find = session.content.searchIndex.FindByInventoryPath
        where.pool = find("DC0/host/DC0_C0/Resources")
        spec = vim.vm.CloneSpec(location=where, powerOn=False, template=False)
        WaitForTask(find(f"DC0/vm/{template}").CloneVM_Task(find("DC0/vm"), name, spec))


def test_the_first_time_it_is_made(templates, source):
    ran = templates.run(source, annotation="made by us", hardware_version="vmx-15")
    assert ran.result["changed"] is True
    assert ran.result["actions"] == ["imported"]
    assert ran.result["transfer"] | {"seconds": 0} == {"sent": 500_000, "read": 500_000, "attempts": 1, "seconds": 0}
    made = raw(templates)
    assert made["self"]["value"] == ran.result["template"]["moid"]
    assert made["config"]["template"] is True
    assert made["config"]["annotation"] == "made by us"
    assert made["config"]["version"] == "vmx-15"
    disks = [item for item in made["config"]["hardware"]["device"] if item.get("backing", {}).get("diskMode")]
    assert [bool(disk["backing"].get("parent")) for disk in disks] == [True, True]
    assert [item["bytes"] for item in templates.uploads()] in ([400_000, 100_000], [100_000, 400_000])
    assert templates.nothing_left()
    assert ran.calls == {
        "CreateFilter": 2,
        "CreateImportSpec": 1,
        "CreatePropertyCollector": 1,
        "DestroyPropertyFilter": 2,
        "FindByInventoryPath": 1,
        "FindChild": 1,
        "HasPrivilegeOnEntities": 1,
        "HttpNfcLeaseComplete": 1,
        "HttpNfcLeaseGetManifest": 1,
        "ImportVApp": 1,
        "Login": 1,
        "Logout": 1,
        "MarkAsTemplate": 1,
        "ReconfigVM_Task": 1,
        "RetrievePropertiesEx": 2,
        "RetrieveServiceContent": 1,
        "WaitForUpdatesEx": ran.calls["WaitForUpdatesEx"],
    }


@pytest.mark.parametrize("vms", [2, 2000])
def test_the_second_time_a_few_calls_show_that_it_is_there(make_sim, source, tmp_path, monkeypatch, vms):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    templates = Templates(make_sim("--vms", str(vms)))
    first = templates.run(source)
    again = templates.run(source)
    assert again.result["changed"] is False
    assert known(again) == known(first)
    assert (again.result["template"]["actions"], again.result["template"]["changed"]) == ([], False)
    assert again.result["transfer"]["read"] == 0
    assert again.calls == {
        "CreatePropertyCollector": 1,
        "FindByInventoryPath": 1,
        "FindChild": 1,
        "Login": 1,
        "Logout": 1,
        "RetrievePropertiesEx": 1,
        "RetrieveServiceContent": 1,
    }
    assert templates.run(source, checksum="always").result["transfer"]["read"] == 500_000
    replacing = templates.run(source, on_mismatch="replace", remove_old_versions=True)
    assert replacing.result["changed"] is False
    assert sum(count for name, count in replacing.calls.items() if name not in MORE_THAN_LOGIN) <= 10


def test_check_mode_looks_at_everything_and_makes_nothing(templates, source):
    ran = templates.run(source, check=True)
    assert ran.result["changed"] is True
    assert ran.result["actions"] == ["imported"]
    assert ran.result["diff"]["after"].startswith("web: sha256:")
    assert ran.calls["CreateImportSpec"] == 1
    assert "ImportVApp" not in ran.calls
    assert templates.vms() == []
    assert templates.attempt(source, check=True, datastore="nope").code == "not_found"
    assert templates.attempt(source, check=True, default_network=None).code == "invalid_option"
    made = templates.run(source)
    assert made.result["diff"] == ran.result["diff"]
    assert templates.run(source, check=True).result["changed"] is False


def test_an_ovf_of_the_same_content_is_the_same_template(templates, tmp_path):
    made = Made()
    first = templates.run(made.ova(tmp_path))
    again = templates.run(made.ovf(tmp_path))
    assert again.result["changed"] is False
    assert again.result["digest"] == first.result["digest"]


def test_where_it_goes(templates, source):
    templates.sim.govc("folder.create", "/DC0/vm/templates")
    ran = templates.run(source, folder="templates", cluster="DC0_C1", datastore="LocalDS_1", host="DC0_C1_H1")
    assert ran.result["template"]["path"] == "/DC0/vm/templates/web"
    assert ran.result["template"]["host"] == "DC0_C1_H1"
    assert ran.result["template"]["datastores"] == ["LocalDS_1"]
    again = templates.run(source, folder="/DC0/vm/templates", cluster=None, datacenter=None)
    assert again.result["changed"] is False
    other = templates.attempt(source, folder="templates", cluster="DC0_C0")
    assert other.code == "other_cluster"


def test_an_unmapped_network_is_refused_before_the_upload(templates, tmp_path):
    source = Made(networks=("front", "back")).ova(tmp_path)
    ran = templates.attempt(source, default_network=None, networks={"front": "VM Network"})
    assert ran.code == "invalid_option"
    assert ran.error.details["unmapped"] == ["back"]
    assert "VM Network" in ran.error.details["networks_here"]
    assert "ImportVApp" not in ran.calls
    made = templates.run(source, default_network="VM Network", networks={"front": "DC0_DVPG0"})
    assert made.result["changed"] is True


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"properties": {"nope": "x"}}, "no property nope"),
        ({"deployment_option": "nope"}, "no deployment option nope"),
    ],
)
def test_what_the_descriptor_does_not_have_is_refused(templates, source, given, message):
    ran = templates.attempt(source, **given)
    assert message in str(ran.error)
    assert "ImportVApp" not in ran.calls


def test_a_host_that_cannot_take_it_is_passed_over(templates, source):
    for host in ("DC0_C0_H0", "DC0_C0_H1"):
        templates.sim.host_state(host, maintenance=True)
    assert templates.run(source).result["template"]["host"] == "DC0_C0_H2"


def test_other_content_under_the_same_name_is_refused_by_default(templates, source):
    first = templates.run(source)
    ran = templates.attempt(newer(source))
    assert ran.code == "digest_mismatch"
    details = ran.error.details
    assert details["template_digest"] == first.result["digest"]
    assert ran.result["digest"] == details["source_digest"] != first.result["digest"]
    assert (ran.result["changed"], ran.result["diff"]["after"]) == (False, "")
    assert templates.vms() == ["/DC0/vm/web"]


def test_both_can_be_kept(templates, source):
    first = templates.run(source)
    second = templates.run(newer(source), on_mismatch="keep_both")
    name = version_name("web", second.result["digest"])
    assert second.result["template"]["name"] == name
    assert templates.vms() == ["/DC0/vm/web", f"/DC0/vm/{name}"]
    again = templates.run(source, on_mismatch="keep_both")
    assert (again.result["changed"], known(again)) == (False, known(first))
    again = templates.run(newer(source), on_mismatch="keep_both")
    assert (again.result["changed"], known(again)) == (False, known(second))


def test_a_new_version_takes_the_name_and_the_old_one_goes_when_nothing_depends_on_it(templates, source):
    first = templates.run(source)
    aside = version_name("web", first.result["digest"])
    linked_clone(templates, "web", "clone-1")
    asked = {"on_mismatch": "replace", "remove_old_versions": True}
    would = templates.run(newer(source), check=True, **asked)
    second = templates.run(newer(source), **asked)
    assert would.result["template"]["name"] == "web"
    for key in ("actions", "changed", "diff", "kept_versions", "removed_versions"):
        assert would.result[key] == second.result[key], key
    digests = [first.result["digest"], second.result["digest"]]
    assert second.result["diff"]["before"] == f"web: {digests[0]}\n"
    assert second.result["diff"]["after"] == f"web: {digests[1]}\n{aside}: {digests[0]}\n"
    assert second.result["actions"] == ["imported", "swapped"]
    assert second.result["template"]["name"] == "web"
    assert second.result["template"]["moid"] != first.result["template"]["moid"]
    assert second.result["kept_versions"] == [
        {"path": f"/DC0/vm/{aside}", "moid": first.result["template"]["moid"], "used_by": ["clone-1"]}
    ]
    assert templates.vms() == ["/DC0/vm/web", f"/DC0/vm/{aside}"]
    told = templates.info(name="web", used_by=True).result["templates"]
    assert [(item["name"], item["used_by"]) for item in told] == [("web", []), (aside, ["clone-1"])]
    templates.sim.govc("vm.destroy", "clone-1")
    checked = templates.run(newer(source), on_mismatch="replace", remove_old_versions=True, check=True)
    assert checked.result["removed_versions"] == [f"/DC0/vm/{aside}"]
    third = templates.run(newer(source), on_mismatch="replace", remove_old_versions=True)
    assert (third.result["changed"], third.result["actions"]) == (True, ["removed"])
    assert templates.vms() == ["/DC0/vm/web"]
    again = templates.run(newer(source), on_mismatch="replace", remove_old_versions=True)
    assert (again.result["changed"], again.result["diff"]["after"]) == (False, "")
    assert templates.nothing_left()


def test_a_version_that_somebody_has_renamed_is_not_removed(templates, source):
    first = templates.run(source)
    templates.run(newer(source), on_mismatch="replace")
    templates.sim.govc("object.rename", f"/DC0/vm/{version_name('web', first.result['digest'])}", "ours")
    asked = {"on_mismatch": "replace", "remove_old_versions": True}
    for check in (True, False):
        ran = templates.run(newer(source), check=check, **asked)
        assert (ran.result["changed"], ran.result["removed_versions"]) == (False, [])
    assert "renamed by somebody since, so they stay: /DC0/vm/ours." in templates.warnings[-1]
    gone = templates.run(None, state="absent", remove_old_versions=True)
    assert gone.result["changed"]
    assert (templates.vms(), templates.vms("our*")) == ([], ["/DC0/vm/ours"])


def test_a_template_that_is_ready_stays_so_when_the_time_is_over_before_old_versions_are_gone(templates, source):
    templates.run(source)
    templates.sim.inject(method="Destroy_Task", do="delay", times=0)
    # When the names are swapped, three seconds are left.
    with time_over("WaitForUpdatesEx", since=("Rename_Task", 2), saying="success", seconds=597):
        ran = templates.run(newer(source), on_mismatch="replace", remove_old_versions=True, timeout=600)
    assert (ran.result["actions"], ran.result["template"]["state"]) == (["imported", "swapped"], "ready")
    assert ran.result["removed_versions"] == []
    assert "not every other version of it was removed in the time allowed" in "".join(templates.warnings)


def test_a_version_that_made_room_in_vain_is_changed(templates, source):
    templates.run(source)
    templates.run(newer(source), on_mismatch="keep_both")
    templates.sim.inject(method="Rename_Task", nth=2, do="task-fault", fault="SystemError", message="no")
    ran = templates.attempt(newer(source), on_mismatch="replace")
    assert (ran.code, ran.result["actions"], ran.result["changed"]) == ("system_error", ["renamed"], True)
    assert templates.run(newer(source), on_mismatch="replace").result["actions"] == ["swapped"]


def test_an_old_version_that_cannot_be_removed_is_a_failure_with_the_whole_account(templates, source):
    first = templates.run(source)
    templates.sim.inject(method="Destroy_Task", do="task-fault", fault="SystemError", message="no")
    ran = templates.attempt(newer(source), on_mismatch="replace", remove_old_versions=True)
    assert ran.code == "partial_failure"
    aside = version_name("web", first.result["digest"])
    assert f"1 of 2 templates failed: /DC0/vm/{aside}: no (SystemError)." in str(ran.error)
    assert "The template web is ready." in str(ran.error)
    assert [(each["name"], each["error_code"]) for each in ran.error.result["failures"]] == [
        (f"/DC0/vm/{aside}", "system_error")
    ]
    assert (ran.error.result["actions"], ran.error.result["changed"]) == (["imported", "swapped"], True)
    assert ran.error.result["template"]["name"] == "web"
    again = templates.run(newer(source), on_mismatch="replace", remove_old_versions=True)
    assert (again.result["actions"], templates.vms()) == (["removed"], ["/DC0/vm/web"])


def test_what_cannot_be_removed_is_there_and_reported(templates, source):
    templates.run(source)
    templates.sim.inject(method="Destroy_Task", do="task-fault", fault="SystemError", message="no")
    ran = templates.attempt(None, state="absent")
    assert (ran.code, ran.error.result["changed"]) == ("system_error", False)
    assert templates.run(None, state="absent").result["changed"] is True


def test_a_death_between_the_two_names_is_mended(templates, source):
    first = templates.run(source)
    second = templates.run(newer(source), on_mismatch="keep_both")
    templates.sim.govc("object.rename", "/DC0/vm/web", version_name("web", first.result["digest"]))
    ran = templates.run(newer(source), on_mismatch="replace")
    assert ran.result["actions"] == ["swapped"]
    assert ran.result["template"]["moid"] == second.result["template"]["moid"]
    assert ran.result["template"]["name"] == "web"


def test_a_clone_of_a_template_is_none(templates, source):
    templates.run(source)
    linked_clone(templates, "web", "web-2")
    assert templates.attempt(source, name="web-2").code == "name_taken"
    assert templates.attempt(None, name="web-2", state="absent").code == "name_taken"
    assert [item["name"] for item in templates.info().result["templates"]] == ["web"]


def test_vms_of_others_are_left_alone(templates, source):
    templates.sim.create_vm("web")
    for given in ({}, {"on_mismatch": "replace"}, {"state": "absent"}):
        ran = templates.attempt(source, **given)
        assert ran.code == "name_taken"
    templates.sim.govc("folder.create", "/DC0/vm/things")
    assert templates.attempt(source, name="things").code == "name_taken"


@pytest.mark.parametrize("given", [{}, {"on_mismatch": "replace"}, {"check": True}, {"state": "absent"}])
def test_a_vm_that_vcenter_does_not_reach_is_not_waited_for(templates, source, given):
    templates.sim.create_vm("web", folder="/DC0/vm", connection="inaccessible")
    ran = templates.attempt(source, timeout=3600, **given)
    assert ran.code == "name_taken"
    assert "taken by a VM that is inaccessible" in str(ran.error)


@pytest.mark.parametrize("given", [{}, {"on_mismatch": "replace"}, {"state": "absent"}])
def test_a_template_that_somebody_has_made_a_vm_and_works_in_is_left_alone(templates, source, given):
    templates.run(source)
    templates.sim.govc("vm.markasvm", "-pool", "/DC0/host/DC0_C0/Resources", "/DC0/vm/web")
    templates.sim.govc("vm.power", "-on", "/DC0/vm/web")
    ran = templates.attempt(source, takeover_after=1, **given)
    assert ran.code == "name_taken"
    assert "taken by a VM that is poweredOn" in str(ran.error)


def test_a_state_that_lets_no_import_begin_is_reported_as_vcenter_does(templates, source):
    templates.sim.inject(method="ImportVApp", do="fault", fault="InvalidState", message="The host is shutting down.", times=0)
    ran = templates.attempt(source)
    assert ran.code == "invalid_state"
    assert "The host is shutting down (InvalidState)." in str(ran.error)


def test_it_is_removed_but_not_from_under_its_clones(templates, source):
    templates.run(source)
    linked_clone(templates, "web", "clone-1")
    ran = templates.attempt(None, state="absent")
    assert ran.code == "in_use"
    assert ran.error.details["used_by"] == ["clone-1"]
    templates.sim.govc("vm.destroy", "clone-1")
    checked = templates.run(None, state="absent", check=True)
    assert (checked.result["changed"], templates.vms()) == (True, ["/DC0/vm/web"])
    assert templates.run(None, state="absent").result["changed"] is True
    assert templates.vms() == []
    assert templates.nothing_left()
    assert templates.run(None, state="absent").result["changed"] is False


def test_names_as_people_write_them(templates, source):
    name = "Büro 100% / web"
    ran = templates.run(source, name=name)
    assert ran.result["template"]["name"] == name
    assert templates.run(source, name=name).result["changed"] is False
    assert templates.run(None, name=name, state="absent").result["changed"] is True


@pytest.mark.parametrize("do", ["drop", "drop-after"])
def test_an_answer_that_was_lost_while_removing_is_no_failure(templates, source, do):
    templates.run(source)
    templates.sim.inject(method="Destroy_Task", do=do)
    ran = templates.run(None, state="absent")
    assert (ran.result["changed"], templates.vms()) == (True, [])


@pytest.mark.parametrize("old", [False, True])
def test_a_template_that_another_run_removes_meanwhile_is_absent(templates, source, old):
    """As a version that is to go, too."""
    first = templates.run(source)
    asked = {"source": None, "state": "absent"}
    name = "web"
    if old:
        templates.run(newer(source), on_mismatch="replace")
        name = version_name("web", first.result["digest"])
        asked = {"source": newer(source), "on_mismatch": "replace", "remove_old_versions": True}
    ran = templates.meanwhile("Destroy_Task", 1, lambda: templates.sim.govc("vm.destroy", name), **asked)
    assert ran.error is None
    assert ran.result["changed"] is False
    assert f"/DC0/vm/{name}" not in templates.vms()


@pytest.mark.parametrize("check", [True, False])
def test_a_name_that_the_old_version_cannot_get_is_refused_before_anything_is_sent(templates, source, check):
    first = templates.run(source)
    aside = version_name("web", first.result["digest"])
    templates.sim.create_vm(aside, folder="/DC0/vm", on=False)
    ran = templates.attempt(newer(source), on_mismatch="replace", check=check)
    assert (ran.code, aside in str(ran.error)) == ("name_taken", True)
    assert ran.called("ImportVApp") == ran.called("Rename_Task") == 0
    templates.sim.govc("vm.destroy", aside)
    assert templates.run(newer(source), on_mismatch="replace", check=check).result["changed"] is True


def test_one_folder_alone_is_looked_in_where_that_is_asked_for(templates, source):
    made = templates.run(source)
    templates.sim.govc("folder.create", "/DC0/vm/below")
    below = templates.run(source, folder="below")
    found = templates.info(name="web").result["templates"]
    assert {each["moid"] for each in found} == {each.result["template"]["moid"] for each in (made, below)}
    for place in ({}, {"datacenter": "DC0"}, {"folder": "/DC0/vm"}):
        alone = templates.info(name="web", recurse=False, **place).result["templates"]
        assert [each["path"] for each in alone] == ["/DC0/vm/web"]


def test_who_depends_on_a_template_is_named_by_moid_too(templates, source):
    templates.run(source)
    linked_clone(templates, "web", "clone-1")
    (told,) = templates.info(name="web", used_by=True).result["templates"]
    assert told["users"] == [{"name": "clone-1", "moid": templates.sim.vm("clone-1")["moid"]}]
