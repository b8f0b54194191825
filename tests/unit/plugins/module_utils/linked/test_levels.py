# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Templates that are linked clones themselves: filled once, published, and cloned in turn."""

from __future__ import annotations

import concurrent.futures

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import vm
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.clone.running import Tasks as Instant

_LEVEL = {"name": "level", "as_template": True}

# One whose guest can be shut down: its Tools run when it reports an address.
_RUNNING_LEVEL = {**_LEVEL, "wait_for_ip_address": True}
_OF_LEVEL = {"source": {"name": "level"}, "snapshot": None}


def _publish(tasks):
    return tasks.run(state="published", name="level", snapshot=None)


def _files(tasks, name):
    """The chain of a VM's first disk, the base first."""
    return tasks.sim.vm(name)["disks"][0]["files"][::-1]


def test_a_level_is_made_filled_published_and_cloned(start):
    tasks = start()
    made = tasks.run(**_RUNNING_LEVEL)
    assert (made.actions, made.clones["level"]["ready"]) == ({"level": "created"}, False)
    published = _publish(tasks)
    assert published.actions == {"level": "updated"}
    assert published.clones["level"]["ready"]
    assert tasks.sim.vm("level")["template"]
    assert _publish(tasks).actions == {"level": "unchanged"}
    again = tasks.run(**_LEVEL)
    assert (again.actions, again.clones["level"]["ready"], again.result["changed"]) == ({"level": "unchanged"}, True, False)
    leaf = tasks.run(**_OF_LEVEL, clones=[{"name": "leaf-1"}, {"name": "leaf-2"}], wait_for_ip_address=True)
    assert leaf.result["counts"] == {"created": 2}
    # All but the empty top of the level's disk is shared.
    shared = _files(tasks, "level")[:-1]
    assert [name.split("] ")[1].split("/")[0] for name in shared] == ["golden", "level"]
    for name in ("leaf-1", "leaf-2"):
        assert _files(tasks, name)[:-1] == shared


def test_a_level_on_a_level_reuses_both(start):
    tasks = start()
    tasks.run(**_RUNNING_LEVEL)
    _publish(tasks)
    tasks.run(**_OF_LEVEL, name="second", as_template=True, wait_for_ip_address=True)
    tasks.run(**_OF_LEVEL, name="second", state="published")
    leaf = tasks.run(source={"name": "second"}, snapshot=None, name="leaf")
    assert leaf.actions == {"leaf": "created"}
    chain = [name.split("] ")[1].split("/")[0] for name in _files(tasks, "leaf")]
    assert chain == ["golden", "level", "second", "leaf"]


def test_others_wait_for_the_run_that_fills_it(start):
    tasks = start(cache=True)
    tasks.run(**_LEVEL)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: tasks.attempt(**_LEVEL, timeout=60))
        while not tasks.sim.called("CreateFilter", 1) and not waiting.done():
            pass  # it has waited a while
        assert not waiting.done()
        tasks.sim.govc("vm.power", "-off", "-force", "/DC0/vm/level")
        tasks.sim.govc("vm.markastemplate", "/DC0/vm/level")
        ran = waiting.result()
    assert (ran.actions, ran.clones["level"]["ready"], ran.result["changed"]) == ({"level": "unchanged"}, True, False)


def test_who_comes_while_it_is_cloned_waits_too(start):
    tasks = start("--clone-time", "3s")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        # Its guest is up before it is shut down again, by Tools, to be published.
        making = pool.submit(lambda: tasks.attempt(**_LEVEL, wait_for_ip_address=True, timeout=60))
        assert tasks.sim.called("CloneVM_Task", 1, within=120)
        while "level" not in tasks.names() and not making.done():
            pass
        waiting = pool.submit(lambda: tasks.attempt(**_LEVEL, timeout=60))
        assert not making.result().clones["level"]["ready"]
        published = tasks.attempt(state="published", name="level", snapshot=None)
        ran = waiting.result()
    assert published.actions == {"level": "updated"}
    assert (ran.actions, ran.clones["level"]["ready"]) == ({"level": "unchanged"}, True)


def test_who_waits_too_long_learns_what_to_do(start):
    tasks = start()
    tasks.run(**_LEVEL, owner="pipeline 7")
    ran = tasks.late("WaitForUpdatesEx", **_LEVEL)
    told = ran.clones["level"]["error"]
    assert (told["error_code"], told["owner"]) == ("template_not_ready", "pipeline 7")
    mine = tasks.run(**_LEVEL, owner="pipeline 7")
    assert (mine.actions, mine.clones["level"]["ready"]) == ({"level": "unchanged"}, False)


def test_a_run_that_died_between_delta_disk_and_mark_is_gone_on_with(start):
    tasks = start()
    tasks.run(**_RUNNING_LEVEL)
    tasks.sim.inject(method="MarkAsTemplate", do="fault", fault="SystemError")
    broken = tasks.attempt(state="published", name="level", snapshot=None)
    assert broken.actions == {"level": "failed"}
    assert broken.clones["level"]["actions"] == ["shut_down", "delta_disks_added"]
    assert (broken.result["changed"], broken.clones["level"]["changed"]) == (True, True)
    assert broken.error.error_code == "system_error"
    chain = len(_files(tasks, "level"))
    assert _publish(tasks).clones["level"]["ready"]
    assert len(_files(tasks, "level")) == chain


def test_a_guest_that_does_not_shut_down_is_not_switched_off(start):
    tasks = start()
    tasks.run(**_LEVEL, wait_for_ip_address=True)
    tasks.sim.patch_vm("level", tools="notRunning")
    ran = tasks.attempt(state="published", name="level", snapshot=None)
    assert ran.actions == {"level": "failed"}
    assert ran.clones["level"]["error"]["fault"] == "ToolsUnavailable"
    assert tasks.sim.vm("level")["power"] == "poweredOn"


def test_a_guest_that_somebody_suspends_while_it_shuts_down_is_reported_at_once(start, monkeypatch):
    tasks = start()
    tasks.run(**_RUNNING_LEVEL)
    monkeypatch.setattr(vm, "shut_down_guest", lambda _session, _moid: None)
    asked = {"state": "published", "name": "level", "snapshot": None, "timeout": 6000}
    ran = tasks.meanwhile("CreateFilter", 1, lambda: tasks.sim.govc("vm.power", "-suspend", "level"), **asked)
    assert ran.clones["level"]["error"]["error_code"] == "guest_powered_off"
    assert (tasks.sim.vm("level")["power"], tasks.sim.vm("level")["template"]) == ("suspended", False)


def test_a_name_that_is_no_level_is_a_conflict(start):
    tasks = start()
    tasks.run(name="level")
    ran = tasks.attempt(**_LEVEL)
    assert "a clone that is not to become a template holds the name" in ran.clones["level"]["error"]["msg"]
    missing = tasks.attempt(state="published", name="other", snapshot=None)
    assert "it is not there" in missing.clones["other"]["error"]["msg"]


def test_a_level_is_removed_only_when_nobody_uses_its_disks(start):
    tasks = start()
    tasks.run(**_RUNNING_LEVEL)
    _publish(tasks)
    tasks.run(**_OF_LEVEL, name="leaf")
    for force in (False, True):
        kept = tasks.attempt(state="absent", name="level", force=force)
        told = kept.clones["level"]["error"]["msg"]
        assert "used by leaf. Remove those first, or in the same task." in told
    assert tasks.run(**_OF_LEVEL, name="leaf", state="absent").actions == {"leaf": "removed"}
    assert tasks.run(state="absent", name="level").actions == {"level": "removed"}
    assert tasks.run(**_LEVEL).actions == {"level": "created"}


def test_removing_a_level_with_all_that_uses_it_is_one_task(start):
    tasks = start()
    tasks.run(**_RUNNING_LEVEL)
    _publish(tasks)
    tasks.run(**_OF_LEVEL, name="leaf")
    ran = tasks.run(
        state="absent",
        source=None,
        snapshot=None,
        clones=[{"name": "level", "folder": "/DC0/vm"}, {"name": "leaf", "folder": "/DC0/vm"}],
    )
    assert ran.actions == {"level": "removed", "leaf": "removed"}


_LEVEL_AND_LEAF = {
    "state": "absent",
    "source": None,
    "snapshot": None,
    "clones": [{"name": "level", "folder": "/DC0/vm"}, {"name": "leaf", "folder": "/DC0/vm"}],
}


def test_a_level_stays_with_what_uses_it_and_could_not_be_removed(start):
    tasks = start()
    tasks.run(**_RUNNING_LEVEL)
    _publish(tasks)
    tasks.run(**_OF_LEVEL, name="leaf")
    tasks.sim.inject(method="Destroy_Task", name="leaf", do="task-fault", fault="NoPermission")
    ran = tasks.attempt(**_LEVEL_AND_LEAF)
    assert ran.actions == {"level": "failed", "leaf": "failed"}
    assert "level is not removed: its disks are used by leaf, which stays." in ran.clones["level"]["error"]["msg"]
    assert {"level", "leaf"} <= set(tasks.names())
    assert tasks.run(**_LEVEL_AND_LEAF).actions == {"level": "removed", "leaf": "removed"}


@pytest.mark.parametrize("check", [True, False])
def test_a_level_stays_with_what_uses_it_and_is_no_clone_of_this_collection(start, check):
    """It is named by the same task, and so was taken for one that goes."""
    tasks = start()
    tasks.run(**_RUNNING_LEVEL)
    _publish(tasks)
    tasks.run(**_OF_LEVEL, name="leaf")
    tasks.sim.govc("vm.change", "-vm", "leaf", "-e", "vforge.clone=somebody else's")
    ran = tasks.attempt(check=check, **_LEVEL_AND_LEAF)
    assert ran.actions == {"level": "failed", "leaf": "failed"}
    assert "its disks are used by leaf" in ran.clones["level"]["error"]["msg"]
    assert {"level", "leaf"} <= set(tasks.names())


def test_a_template_that_is_no_level_of_this_source_stays_even_when_forced(start):
    tasks = start()
    tasks.sim.create_vm("other", template=True, on=False)
    for force in (False, True):
        kept = tasks.attempt(state="absent", name="other", force=force)
        assert "it is a template, not a clone" in kept.clones["other"]["error"]["msg"]


@pytest.mark.parametrize(("disk_mode", "is_reset"), [("linked", False), ("full", False), ("full", True)])
def test_a_parent_of_instant_clones_is_removed_only_when_these_are_gone(start, disk_mode, is_reset):
    """A frozen parent writes to none of its disks: its clones have the topmost ones."""
    tasks = start()
    asked = {"name": "parent", "disk_mode": disk_mode}
    tasks.run(**asked)
    tasks.sim.patch_vm("parent", frozen=True)
    Instant(tasks.sim).run(parent={"name": "parent"}, name="leaf")
    if is_reset:
        tasks.sim.patch_vm("parent", frozen=False)
    for force in (False, True):
        kept = tasks.attempt(state="absent", force=force, **asked)
        assert "its disks are used by leaf." in kept.clones["parent"]["error"]["msg"]
    tasks.sim.govc("vm.destroy", "leaf")
    assert tasks.run(state="absent", **asked).actions == {"parent": "removed"}
