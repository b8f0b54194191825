# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The nodes that Automation Platform counts, by the programs in jq of extensions/audit, run on what the modules return."""

from __future__ import annotations

import jq
import pytest
import yaml

from ansible_collections.vforge.vsphere.tests.unit.awx.stand_in import ROOT
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import STORIES, InFork
from vforge_ova import write_package

_FILE = ROOT / "extensions" / "audit" / "event_query.yml"
_QUERIES = {
    name.removeprefix("vforge.vsphere."): jq.compile(item["query"])
    for name, item in yaml.safe_load(_FILE.read_text(encoding="utf-8")).items()
}

# Modules that change no VM: they read, write files, run something in a guest, or are about what is no VM. Of a first class disk
# that is attached the result names the VM by its moid alone.
_CHANGE_NO_VM = {
    "cached_ovf_template_info",
    "cloud_init_guestinfo_info",
    "cpu_features_info",
    "disk_tool_info",
    "first_class_disk",
    "first_class_disk_info",
    "first_class_disk_snapshot",
    "fleet_plan",
    "instant_clone_parent_info",
    "vcenter_role",
    "vm_guest_check",
    "vmdk_info",
}


def counted(name, result):
    """The nodes that a result comes to, as Automation Platform finds them."""
    return _QUERIES[name].input_value(result).all()


def test_each_module_that_changes_vms_has_a_query():
    assert set(_QUERIES) == set(STORIES) - _CHANGE_NO_VM


@pytest.mark.parametrize("name", sorted(_QUERIES))
def test_what_a_module_has_worked_on_is_counted_once_by_its_instance_uuid(name, make_sim, tmp_path, request):
    story = STORIES[name]
    if story.images:
        request.getfixturevalue("libnbd")
    write_package(tmp_path / "ova")
    sim = make_sim(*story.flags)
    story.prepare(sim, 1, tmp_path)
    params = story.params(sim, 1, tmp_path)
    result = InFork(sim, name, tmp_path).run(**params)
    assert not result.get("failed"), result
    nodes = counted(name, result)
    assert nodes
    there = {vm["config"]["instanceUuid"] for vm in sim.govc("vm.info", "/DC0/vm/...")["virtualMachines"]}
    identities = [node["canonical_facts"]["instance_uuid"] for node in nodes]
    assert set(identities) <= there
    assert len(set(identities)) == len(identities)
    for node in nodes:
        assert set(node) == {"name", "canonical_facts", "facts"}
        assert set(node["canonical_facts"]) == {"instance_uuid"}
        assert node["name"] == node["canonical_facts"]["instance_uuid"]
        assert node["facts"]["device_type"] == "VM"
    # What is as asked already counts as well.
    again = counted(name, InFork(sim, name, tmp_path).run(**params))
    assert {node["name"] for node in again} == set(identities)


@pytest.mark.parametrize("name", sorted(_QUERIES))
@pytest.mark.parametrize(
    "result",
    [
        {},
        {"skipped": True},
        {"failed": True, "msg": "unreachable", "error_code": "unreachable"},
        {"results": [{"changed": True}]},
        dict.fromkeys(("vms", "clones", "parents", "children", "disks", "template", "into")),
        {key: [None, {}, {"name": "a"}, {"instance_uuid": None}] for key in ("vms", "clones", "parents", "children", "disks")},
        {"template": {"name": "a", "instance_uuid": None}, "into": {"instance_uuid": ""}},
    ],
    ids=["nothing", "skipped", "failed", "loop", "nulls", "entries without", "made by nobody"],
)
def test_a_result_without_vms_is_no_node_and_no_error(name, result):
    assert counted(name, result) == []


def test_what_failed_is_counted_where_it_was_changed_and_not_where_it_was_not():
    vms = [
        {"instance_uuid": "a", "changed": True, "error": {"error_code": "x"}},
        {"instance_uuid": "b", "changed": False, "error": {"error_code": "x"}},
        {"instance_uuid": "c", "changed": False},
    ]
    assert [node["name"] for node in counted("vm_backup", {"vms": vms})] == ["a", "c"]


def test_a_vm_is_the_same_node_whichever_module_has_worked_on_it():
    vm = {"name": "web-1", "moid": "vm-7", "instance_uuid": "50c2", "host": "esx-1"}
    keys = {"vms": [vm], "clones": [vm], "parents": [vm], "disks": [vm], "template": vm, "into": vm}
    found = {str(node["canonical_facts"]) for name in _QUERIES for node in counted(name, keys)}
    assert len(found) == 1
