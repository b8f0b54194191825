# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names and folders as people write them."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import compute


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a b", "/DC0/vm/a b"),
        ("a/b", "/DC0/vm/a%2fb"),
        ("a%2fb", "/DC0/vm/a%2fb"),
        ("a%2Fb", "/DC0/vm/a%2fb"),
        ("100%", "/DC0/vm/100%25"),
        ("back\\slash", "/DC0/vm/back%5cslash"),
        ("größe 中文 😀", "/DC0/vm/größe 中文 😀"),
        ("x" * 80, "/DC0/vm/" + "x" * 80),
        ("<&>'\"", "/DC0/vm/<&>'\""),
        ("web-*", "/DC0/vm/web-*"),
    ],
)
def test_any_name_is_made_found_again_and_removed(start, name, path):
    tasks = start()
    made = tasks.run(name=name)
    (clone,) = made.result["clones"]
    assert (clone["action"], clone["path"]) == ("created", path)
    assert tasks.sim.vm(clone["moid"])["path"] == path
    assert tasks.run(name=name).result["clones"][0]["action"] == "unchanged"
    assert tasks.run(state="absent", name=name).result["clones"][0]["action"] == "removed"
    assert tasks.run(state="absent", name=name).result["clones"][0]["action"] == "absent"


@pytest.mark.parametrize("loosely", [["web-1"], ["web-1", "web-2"]])
def test_a_clone_of_nearly_the_same_name_is_another_one(start, monkeypatch, loosely):
    """vCenter may leave upper and lower case aside where it looks for a child."""
    tasks, real = start(), compute.ask_each
    tasks.run(name="WEB-1")
    clone = vim.VirtualMachine(tasks.sim.vm("WEB-1")["moid"])
    monkeypatch.setattr(
        compute, "ask_each", lambda session, questions: [clone if each is None else each for each in real(session, questions)]
    )
    asked = [{"name": name} for name in loosely]
    gone = tasks.run(state="absent", clones=asked)
    assert set(gone.actions.values()) == {"absent"}
    assert "WEB-1" in tasks.names()
    assert set(tasks.run(clones=asked).actions.values()) == {"created"}


@pytest.mark.parametrize("folder", ["my folder", "größe", "a%2fb", "deep/er"])
@pytest.mark.parametrize("whole", [False, True])
def test_a_folder_by_any_spelling(start, folder, whole):
    tasks = start()
    for part in ("my folder", "größe", "a%2fb", "deep", "deep/er"):
        tasks.sim.govc("folder.create", f"/DC0/vm/{part}")
    written = f"/DC0/vm/{folder}" if whole else folder
    ran = tasks.run(name="web-1", folder=written)
    assert ran.clones["web-1"]["path"] == f"/DC0/vm/{folder}/web-1"
    assert tasks.sim.vm("web-1")["path"] == f"/DC0/vm/{folder}/web-1"
    assert tasks.run(name="web-1", folder=f"{written}/").actions == {"web-1": "unchanged"}


@pytest.mark.parametrize(
    ("folder", "says"),
    [
        ("DC0_F9", "No folder /DC0/vm/DC0_F9 was found. Folders of this datacenter: /DC0/vm/DC0_F"),
        ("/DC0/vm/none", "No folder /DC0/vm/none was found."),
        ("/DC1/vm/DC1_F0", "No folder /DC1/vm/DC1_F0 was found."),
        ("/", "No folder / was found."),
        ("/DC0", "No folder /DC0 was found."),
        ("/DC0/host", "No folder /DC0/host was found."),
        ("..", "No folder /DC0/vm/.. was found."),
        ("golden-parent", "No folder /DC0/vm/golden-parent was found."),
        (" DC0_F0", "No folder /DC0/vm/ DC0_F0 was found."),
    ],
)
def test_a_folder_that_does_not_exist(start, folder, says):
    error = start("--datacenters", "2").refused(name="web-1", folder=folder)
    assert says in str(error)
    assert error.error_code == "not_found"


@pytest.mark.parametrize(
    "folders",
    [("DC0_F0", "/DC0/vm/DC0_F0"), ("DC0_F0", "DC0_F0/"), ("DC0_F0", "//DC0//vm/DC0_F0"), (None, "/DC0/vm"), ("/DC0/vm", None)],
)
def test_one_folder_in_two_spellings_does_not_hide_a_name_twice(start, folders):
    error = start().refused(clones=[{"name": "a", "folder": folder} for folder in folders])
    assert "clones names a twice in" in error.message
    assert error.hint == "The same folder is written in two ways."


def test_a_parent_whose_name_two_vms_have_is_told_apart(start):
    tasks = start()
    tasks.sim.create_vm("golden-parent", folder="/DC0/vm/DC0_F0")
    error = tasks.refused(name="web-1")
    assert error.error_code == "ambiguous"
    assert "/DC0/vm/DC0_F0/golden-parent" in error.message
    assert "/DC0/vm/golden-parent" in error.message
    assert tasks.run(parent={"path": "/DC0/vm/golden-parent"}, name="web-1").actions == {"web-1": "created"}
    assert tasks.run(parent={"name": "golden-parent", "folder": "/DC0/vm"}, name="web-1").actions == {"web-1": "unchanged"}


@pytest.mark.parametrize("name", ["my parent", "gold/en 100%", "größe"])
def test_a_parent_of_any_name(start, name):
    tasks = start()
    tasks.sim.create_vm(name, folder="/DC0/vm")
    assert tasks.run(parent={"name": name}, name="web-1").actions == {"web-1": "created"}


def test_a_parent_in_the_datacenter_asked_for(start):
    tasks = start("--datacenters", "2")
    assert "golden-parent" in tasks.refused(datacenter="DC1", name="web-1").message
    assert tasks.refused(datacenter="DC7", name="web-1").error_code == "not_found"
    assert tasks.run(datacenter="/DC0", name="web-1").actions == {"web-1": "created"}
