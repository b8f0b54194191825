# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Somebody works in the vSphere Client while clones are made: with the clone that a task waits for, and with its parent."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._clone import read

_THREE = [{"name": "web-1"}, {"name": "web-2"}, {"name": "web-3"}]
_PLACE = "/DC0/vm/DC0_F0"


def _destroyed(sim):
    sim.govc("vm.destroy", "/DC0/vm/web-2")


def _powered_off(sim):
    sim.govc("vm.power", "-off", "-force", "/DC0/vm/web-2")


def _renamed(sim):
    sim.govc("object.rename", "/DC0/vm/web-2", "web-two")


def _moved(sim):
    sim.govc("object.mv", "/DC0/vm/web-2", _PLACE)


@pytest.fixture(name="disturbed")
def _disturbed(start):
    """A function that has clones made and waited for, and the guests report when somebody has done something."""
    tasks = start("--guest-time", "1ms")
    tasks.sim.patch_vm("golden-parent", guest={"hang": True})

    def run(do):
        def meanwhile():
            names = {tasks.sim.vm(name)["moid"]: name for name in ("web-1", "web-2", "web-3")}
            do(tasks.sim)
            for moid, name in names.items():
                if name != "web-2" or do in (_renamed, _moved):
                    tasks.sim.patch_vm(moid, guest={"hang": False})

        # The second filter is that of the wait for addresses.
        return tasks.meanwhile("CreateFilter", 2, meanwhile, clones=_THREE, wait_for_ip_address=True, timeout=600)

    return tasks, run


@pytest.mark.parametrize(
    ("do", "code", "then"), [(_destroyed, "not_found", "created"), (_powered_off, "guest_powered_off", "unchanged")]
)
def test_a_clone_that_is_taken_away_is_named_at_once_and_the_others_are_there(disturbed, do, code, then):
    tasks, run = disturbed
    ran = run(do)
    assert ran.actions == {"web-1": "created", "web-2": "failed", "web-3": "created"}
    assert [each["name"] for each in ran.result["failures"]] == ["web-2"]
    assert ran.clones["web-2"]["error"]["error_code"] == code
    tasks.sim.patch_vm("golden-parent", guest={"hang": False})
    again = tasks.run(clones=_THREE)
    assert again.actions == {"web-1": "unchanged", "web-2": then, "web-3": "unchanged"}


@pytest.mark.parametrize("do", [_renamed, _moved])
def test_a_clone_that_is_renamed_or_moved_is_made_and_the_next_run_makes_one_in_its_place(disturbed, do):
    tasks, run = disturbed
    ran = run(do)
    assert ran.actions == {"web-1": "created", "web-2": "created", "web-3": "created"}
    moid = ran.clones["web-2"]["moid"]
    tasks.sim.patch_vm("golden-parent", guest={"hang": False})
    again = tasks.run(clones=_THREE)
    assert again.actions == {"web-1": "unchanged", "web-2": "created", "web-3": "unchanged"}
    # What somebody has renamed or moved is theirs: it is still there.
    assert again.clones["web-2"]["moid"] != moid
    assert tasks.sim.vm(moid)["moid"] == moid


@pytest.mark.parametrize(("do", "why"), [(_renamed, "renamed to web-two"), (_moved, "moved to another folder")])
def test_rollback_leaves_a_clone_that_somebody_has_made_their_own(start, do, why):
    tasks = start("--guest-time", "1ms")
    tasks.sim.patch_vm("golden-parent", guest={"hang": True})
    moids = []

    def meanwhile():
        moids.extend(tasks.sim.vm(name)["moid"] for name in ("web-2", "web-3"))
        do(tasks.sim)
        tasks.sim.govc("vm.power", "-off", "-force", "/DC0/vm/web-1")
        for moid in moids:
            tasks.sim.patch_vm(moid, guest={"hang": False})

    asked = {"clones": _THREE, "wait_for_ip_address": True, "timeout": 600, "on_error": "rollback"}
    ran = tasks.meanwhile("CreateFilter", 2, meanwhile, **asked)
    assert ran.actions == {"web-1": "rolled_back", "web-2": "created", "web-3": "rolled_back"}
    assert tasks.sim.vm(moids[0])["moid"] == moids[0]
    assert f"web-2 could not be rolled back: web-2 was {why} meanwhile, and so it stays." in ran.clones["web-2"]["warnings"][0]
    assert "could be removed again: web-2." in str(ran.error)
    left = [name for folder in ("/DC0/vm", _PLACE) for name in tasks.names(folder) if name.startswith("web-")]
    assert left == (["web-two"] if do is _renamed else ["web-2"])


@pytest.mark.parametrize("do", [_renamed, _moved])
def test_a_clone_that_somebody_renames_or_moves_while_others_are_powered_off_is_not_removed(start, do):
    tasks = start()
    tasks.run(clones=_THREE)
    moid = tasks.sim.vm("web-2")["moid"]
    asked = {"clones": _THREE, "state": "absent"}
    ran = tasks.meanwhile("PowerOffVM_Task", 3, lambda: do(tasks.sim), about="web-3", **asked)
    assert ran.actions == {"web-1": "removed", "web-2": "failed", "web-3": "removed"}
    assert ran.clones["web-2"]["actions"] == ["powered_off"]
    assert "meanwhile, and so it stays" in ran.clones["web-2"]["error"]["msg"]
    assert tasks.sim.vm(moid)["power"] == "poweredOff"
    assert tasks.run(**asked).actions == dict.fromkeys(("web-1", "web-2", "web-3"), "absent")


@pytest.mark.parametrize("state", ["created", "updated"])
def test_a_clone_that_is_gone_before_it_is_read_again_is_no_success(start, monkeypatch, state):
    tasks = start()
    if state == "updated":
        tasks.run(clones=_THREE)
    real = read.read_made

    def gone_by_then(session, owned):
        _destroyed(tasks.sim)
        return real(session, owned)

    monkeypatch.setattr(read, "read_made", gone_by_then)
    ran = tasks.attempt(clones=_THREE, guestinfo={"role": "web"})
    assert ran.actions == {"web-1": state, "web-2": "failed", "web-3": state}
    assert (ran.clones["web-2"]["actions"], ran.clones["web-2"]["error"]["error_code"]) == ([state], "not_found")
    assert "web-2 is not there any more: somebody has removed it meanwhile." in str(ran.error)
    monkeypatch.undo()
    assert tasks.run(clones=_THREE, guestinfo={"role": "web"}).actions["web-2"] == "created"
