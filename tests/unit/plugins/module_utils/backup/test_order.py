# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""In which order a VM is backed up, what is refused before anything is made, and how consistent a backup is."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import disk
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.copying import Copying
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.repository import Machine, Repository
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.task import KIND
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.soap import CallStats
from ansible_collections.vforge.vsphere.plugins.module_utils._temporary_snapshots import Owner, OwnerMark
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.running import tasks
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.running import finished

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def backups(make_sim, tmp_path, monkeypatch):
    """Tasks against a simulator with the tracked, running VM web-1."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with tasks(make_sim("--vms", "0"), tmp_path) as known:
        known.make("web-1", size=2 * MIB)
        known.sim.patch_vm("web-1", tools="running")
        yield known


@pytest.fixture
def events(monkeypatch):
    """What happens, in its order: SOAP calls by their names, and what is done on this machine."""
    seen = []

    def also(owner, name, word):
        real = getattr(owner, name)

        def noted(*args, **kwargs):
            seen.append(word or args[1])
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, noted)

    also(CallStats, "add", "")
    also(Repository, "locked", "lock")
    also(Copying, "copy", "read")
    also(disk, "finish", "read back")
    also(Machine, "commit", "commit")
    return seen


def leave_snapshot(backups):
    """What a run that was killed has left."""
    this = Owner.this()
    mark = OwnerMark(backups.vm("web-1").config.instanceUuid, "run", Owner(this.place, this.pid, "1"), 60)
    backups.sim.govc("snapshot.create", "-vm", "web-1", "-m=false", "-d", mark.description(KIND), KIND.name)


_WAITING = ("CreateFilter", "WaitForUpdatesEx", "DestroyPropertyFilter", "CreatePropertyCollector")


def test_the_order_of_a_backup(backups, events):
    backups.run()
    leave_snapshot(backups)
    backups.sim.write_disk("web-1", offset=MIB, length=64 * KIB, seed=1)
    events.clear()
    ran = backups.run(mode="incremental")
    assert ran.one["actions"] == ["leftover_removed", "backed_up"]
    begun = events.index("lock")
    assert [event for event in events[begun:] if event not in _WAITING] == [
        "lock",
        "RemoveSnapshot_Task",
        # Without that snapshot its disks are others.
        "RetrievePropertiesEx",
        "CreateSnapshot_Task",
        # Whether it is quiesced.
        "RetrievePropertiesEx",
        "RetrievePropertiesEx",
        "QueryChangedDiskAreas",
        "read",
        "RemoveSnapshot_Task",
        "read back",
        "commit",
        "Logout",
    ]
    # The removal is over before anything is read back: it was waited for.
    assert events.index("read back") > len(events) - events[::-1].index("WaitForUpdatesEx") - 1


def test_a_vm_that_needs_consolidation_is_refused_and_its_left_over_goes_all_the_same(backups):
    snapshot = backups.snapshot("web-1", "mine")
    finished(snapshot.RemoveSnapshot_Task(removeChildren=False, consolidate=False))
    for check in (True, False):
        ran = backups.attempt(check=check)
        assert (ran.code, ran.called("CreateSnapshot_Task"), backups.points()) == ("consolidation_needed", 0, [])
    assert "Consolidate" in ran.one["error"]["msg"]
    leave_snapshot(backups)
    again = backups.attempt()
    assert (again.one["actions"], backups.snapshots("web-1")) == (["leftover_removed"], [])
    finished(backups.vm("web-1").ConsolidateVMDisks_Task())
    backups.run()
    assert len(backups.points()) == 1


_FAULTS = ["ApplicationQuiesceFault", "FilesystemQuiesceFault"]


@pytest.mark.parametrize("fault", _FAULTS)
def test_quiescing_that_fails_is_a_warning_or_the_end_as_chosen(backups, fault):
    backups.sim.inject(method="CreateSnapshot_Task", do="task-fault", fault=fault, message="the guest says no")
    ran = backups.run()
    assert ran.one["point"]["consistency"] == "crash-consistent"
    assert "the guest says no" in ran.one["warnings"][0]
    assert ran.called("CreateSnapshot_Task") == 2
    backups.sim.inject(method="CreateSnapshot_Task", do="task-fault", fault=fault, message="the guest says no")
    required = backups.attempt(quiesce="require")
    assert (required.error is not None, required.called("CreateSnapshot_Task")) == (True, 1)
    assert (len(backups.points()), backups.snapshots("web-1")) == (1, [])


def test_quiescing_that_is_slow_is_waited_for_as_long_as_the_task_may_take(backups):
    backups.sim.inject(method="CreateSnapshot_Task", do="delay", delay_ms=700)
    assert backups.run().one["point"]["consistency"] == "file-system-consistent"
    backups.sim.inject(method="CreateSnapshot_Task", do="delay", delay_ms=2500)
    late = backups.attempt(timeout=1)
    assert late.error is not None
    assert (len(backups.points()), backups.snapshots("web-1")) == (1, [])


@pytest.mark.parametrize(
    ("quiesce", "state", "consistency"),
    [
        ("try", "running", "file-system-consistent"),
        ("require", "running", "file-system-consistent"),
        ("no", "running", "crash-consistent"),
        ("try", "notRunning", "crash-consistent"),
        ("require", "notRunning", "tools_not_running"),
    ],
)
def test_how_consistent_a_backup_is(backups, quiesce, state, consistency):
    backups.sim.patch_vm("web-1", tools=state)
    ran = backups.attempt(quiesce=quiesce)
    if ran.error is not None:
        assert (ran.code, ran.called("CreateSnapshot_Task")) == (consistency, 0)
    else:
        assert ran.one["point"]["consistency"] == consistency
        assert backups.points()[-1].consistency == consistency
