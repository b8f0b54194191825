# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each module works as a user who has what the table of privileges says, where it says so, and no more; notes and roles agree
with the table."""

from __future__ import annotations

import pathlib
import re
import uuid

import pytest

from ansible_collections.vforge.vsphere.plugins import modules
from ansible_collections.vforge.vsphere.plugins.module_utils._role.needs import FLOWS, MODULES, needs_of, privileges_of
from ansible_collections.vforge.vsphere.plugins.modules import vcenter_role
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import STORIES, Forked
from devtools import privileges
from vforge_ova import write_package

_MODULES = pathlib.Path(next(iter(modules.__path__)))
_ROLES = _MODULES.parents[1] / "roles"
_PRIVILEGE = re.compile(
    r"\b(?:VirtualMachine|Datastore|Resource|Network|VApp|StorageProfile|Host|InventoryService)\.[A-Za-z.]*[A-Za-z]\b"
)

# Whose story takes images, qemu-img and libnbd; the privileges of these are those of the snapshots and transports, which
# test_privileges.py of cbt and the tests of the transports have.
_WITH_IMAGES = {name for name, story in STORIES.items() if story.images}
# Makes or changes roles, which no flow does.
_OTHERS = {"vcenter_role"}
_NAMES = sorted(set(STORIES) - _WITH_IMAGES - _OTHERS)

# Of these each privilege is missing once.
_EXAMPLES = ("instant_clone", "cached_ovf_template", "first_class_disk")

# What is asked of a module when its story has been told: what only later runs do.
_CHANGED = {"guestinfo": {"role": "db"}, "networks": [{"index": 0, "connected": False}]}
_LEVEL = {"source": {"name": "server-00002"}, "disk_mode": "linked", "as_template": True, "clones": [{"name": "level"}]}
_LATER = {
    "cached_ovf_template": [{"state": "absent", "source": None}],
    "first_class_disk": [{"disks": [{"name": "later", "size": "1 MiB", "storage_policy": "gold"}]}],
    "instant_clone": [_CHANGED, {"state": "absent"}],
    "linked_clone": [
        {**_CHANGED, "cpu": {"cores": 2}, "memory": {"size_mb": 64}, "annotation": "changed"},
        {"cpu": {"cores_per_socket": 2}},
        {"state": "absent"},
        {**_LEVEL, "add_delta_disks": True, "powered_on": True, "wait_for_ip_address": True},
        {**_LEVEL, "state": "published"},
    ],
}


# Where a role is given for what is needed on each kind of object. What is needed on VMs and on their folder is told apart by
# the VMs that the stories find, whose folder is the datacenter's.
_PLACES = {
    "VM": ("/DC0/vm",),
    "VM that the module runs in": ("/DC0/vm",),
    "VM folder": ("/DC0/vm",),
    "resource pool": ("/DC0/host/DC0_C0/Resources", "/DC0/host/DC0_C1/Resources"),
    "cluster": ("/DC0/host/DC0_C0", "/DC0/host/DC0_C1"),
    "datastore": ("/DC0/datastore",),
    "network": ("/DC0/network",),
    "vCenter": ("/",),
    "tags (global permission)": ("/",),
}


def _roles(needs):
    """A role on each kind of object, and Read-only on all else."""
    roles = {"/": set()}
    for need in needs:
        for place in _PLACES[need.on]:
            roles.setdefault(place, set()).add(need.name)
    return roles


def _user(sim, needs):
    """A user who has these privileges where the table says that they are needed."""
    name, password = f"pv-{uuid.uuid4().hex[:8]}@vsphere.local", uuid.uuid4().hex
    sim.add_user_with_roles(name, password, _roles(needs))
    return {"username": name, "password": password}


def _run(sim, name, number, folder, needs):
    """The story of a module, as a user with these privileges."""
    STORIES[name].prepare(sim, number, folder)
    params = STORIES[name].params(sim, number, folder)
    return Forked(sim, name, folder).run({**params, **_user(sim, needs)})


@pytest.mark.parametrize("name", _NAMES)
def test_a_module_needs_no_more_than_the_table_says_and_where_it_says(make_sim, tmp_path, name):
    write_package(tmp_path / "ova")
    sim = make_sim(*STORIES[name].flags)
    ended = _run(sim, name, 1, tmp_path, needs_of(name) if name in MODULES else ())
    assert ended.code == 0, ended.result
    STORIES[name].check(sim, 1)


@pytest.mark.parametrize("name", _EXAMPLES)
def test_without_one_that_is_always_needed_it_fails_and_names_it(make_sim, tmp_path, name):
    write_package(tmp_path / "ova")
    sim = make_sim(*STORIES[name].flags)
    least = privileges_of([name], least=True)
    # A disk that is made and never removed needs no privilege to remove disks, which is asked for before.
    for number, missing in enumerate(least, 1):
        left = [need for need in MODULES[name] if need.name in least and need.name != missing]
        ended = _run(sim, name, number, tmp_path, left)
        assert ended.code != 0, missing
        assert "no_permission" in str(ended.result), ended.result
        assert missing in str(ended.result), ended.result


@pytest.mark.parametrize("name", sorted(_LATER))
def test_later_runs_need_no_more_than_the_table_says(make_sim, tmp_path, name):
    write_package(tmp_path / "ova")
    sim = make_sim(*STORIES[name].flags)
    sim.request("POST", "/policies", {"name": "gold", "datastores": ["LocalDS_0"]})
    assert _run(sim, name, 1, tmp_path, needs_of(name)).code == 0
    params = {**STORIES[name].params(sim, 1, tmp_path), **_user(sim, needs_of(name))}
    for later in _LATER[name]:
        ended = Forked(sim, name, tmp_path).run({**params, **later})
        assert (ended.code, ended.result.get("changed")) == (0, True), ended.result.get("msg")


# What a user may see who has a role on VMs and on nothing else: neither their hosts and pools, nor the datacenter above them.
_VMS_ALONE = {"/DC0/vm": ["*"]}


@pytest.mark.parametrize("name", _NAMES)
def test_who_sees_nothing_but_vms_learns_that(make_sim, tmp_path, name):
    """Not by a traceback, which a module never shows, and by an error that has a code where it fails."""
    write_package(tmp_path / "ova")
    sim = make_sim(*STORIES[name].flags)
    STORIES[name].prepare(sim, 1, tmp_path)
    username, password = f"pv-{uuid.uuid4().hex[:8]}@vsphere.local", uuid.uuid4().hex
    sim.add_user_with_roles(username, password, _VMS_ALONE)
    params = {**STORIES[name].params(sim, 1, tmp_path), "username": username, "password": password}
    ended = Forked(sim, name, tmp_path).run(params)
    if ended.code:
        assert (ended.code, ended.result["error_code"] != "internal_error") == (1, True), ended.result


def _of_notes(name):
    """The privileges that a module's notes name."""
    text = (_MODULES / f"{name}.py").read_text(encoding="utf-8").partition("\nnotes:\n")[2]
    notes = text.partition("\nseealso:\n")[0].partition('"""')[0]
    found = set(_PRIVILEGE.findall(notes))
    if "VirtualMachine.GuestOperations" in found:
        found |= {f"VirtualMachine.GuestOperations.{each}" for each in ("Execute", "Modify", "Query")}
    return {each for each in found if not each.endswith("GuestOperations")}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_the_notes_of_a_module_name_what_the_table_has(name):
    assert _of_notes(name) == {need.name for need in MODULES[name]}


def test_no_other_module_names_privileges():
    others = {path.stem for path in _MODULES.glob("[!_]*.py")} - set(MODULES)
    assert {name for name in others if _of_notes(name)} == set()


def _called(role):
    """The modules that a role's tasks call, and those of the roles that it includes."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (_ROLES / role / "tasks").glob("*.yml"))
    found = set(re.findall(r"\bvforge\.vsphere\.(\w+):$", text, re.MULTILINE))
    for included in re.findall(r"_role:\n +name: vforge\.vsphere\.(\w+)$", text, re.MULTILINE):
        found |= _called(included)
    return found


@pytest.mark.parametrize("role", sorted(path.name for path in _ROLES.iterdir()))
def test_a_flow_has_the_modules_that_its_tasks_call(role):
    assert set(FLOWS.get(role, ())) == _called(role) & set(MODULES)


def test_the_flows_that_can_be_chosen_are_those_of_the_table():
    assert vcenter_role.argument_spec()["flows"]["choices"] == sorted({*MODULES, *FLOWS})


def test_the_guide_says_where_to_give_the_role_for_each_kind_of_object():
    recipe = (
        privileges.PAGE.read_text(encoding="utf-8").partition("\nThe playbook gives the role")[2].partition("\nHow it was")[0]
    )
    kinds = {need.on.partition(" (")[0] for needs in MODULES.values() for need in needs}
    assert {kind for kind in kinds if kind not in recipe} == set()
    assert "Read-only on the vCenter itself, with propagation" in recipe
