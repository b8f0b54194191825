# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups by ranges of files over the datastore, against the simulator."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import ConnectionLost
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.flat import Flat
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.running import tasks
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.running import finished

KIB, MIB = 1 << 10, 1 << 20

ASKED = {"transport": "datastore_http", "nbd": None}


@pytest.fixture
def off(make_sim, tmp_path, monkeypatch):
    """Tasks against a simulator with the tracked VM web-1, which is powered off and has data."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with tasks(make_sim("--vms", "2"), tmp_path) as known:
        known.make("web-1", size=8 * MIB)
        known.sim.write_disk("web-1", offset=MIB, length=2 * MIB, seed=1)
        finished(known.vm("web-1").PowerOffVM_Task())
        yield known


def written_while_on(off, **write):
    """The guest writes, between a start and a stop."""
    finished(off.vm("web-1").PowerOnVM_Task())
    off.sim.write_disk("web-1", **write)
    finished(off.vm("web-1").PowerOffVM_Task())


def test_full_and_increments_of_a_vm_that_is_off(off):
    contents = [off.content()]
    first = off.run(**ASKED)
    assert (first.one["transport"], first.disk["kind"], first.disk["consistency"]) == ("datastore_http", "full", "powered-off")
    assert 2 * MIB <= first.disk["read"] < 4 * MIB
    written_while_on(off, offset=5 * MIB, length=64 * KIB, seed=2)
    contents.append(off.content())
    second = off.run(mode="incremental", transport="auto", nbd=None)
    assert (second.one["transport"], second.disk["kind"], second.disk["read"]) == ("datastore_http", "incremental", 64 * KIB)
    assert [off.restored(number) for number in range(2)] == contents
    assert off.snapshots("web-1") == []


def test_a_full_backup_that_was_asked_for_does_not_trust_tracking(off):
    written_while_on(off, offset=6 * MIB, length=4 * KIB, seed=2, missed=True)
    ran = off.run(mode="full", **ASKED)
    assert (ran.disk["kind"], ran.disk["read"], ran.called("QueryChangedDiskAreas")) == ("full", 8 * MIB, 0)
    assert off.restored(0) == off.content()


def test_a_vm_that_runs_or_has_a_snapshot_is_refused_before_another_one(off):
    off.snapshot("web-1", "mine")
    ran = off.attempt(**ASKED)
    assert (ran.code, ran.called("CreateSnapshot_Task")) == ("no_transport", 0)
    assert "it is a delta disk" in str(ran.error)
    finished(off.vm("web-1").RemoveAllSnapshots_Task())
    finished(off.vm("web-1").PowerOnVM_Task())
    ran = off.attempt(**ASKED)
    assert (ran.code, ran.called("CreateSnapshot_Task")) == ("no_transport", 0)
    assert "its host has locked the file" in str(ran.error)


def test_a_user_who_may_not_have_files_learns_it_before_any_snapshot(off):
    off.log_in_with(["VirtualMachine.State.CreateSnapshot", "VirtualMachine.State.RemoveSnapshot"])
    ran = off.attempt(**ASKED)
    assert (ran.code, ran.called("CreateSnapshot_Task")) == ("no_transport", 0)
    assert "may not be read (403" in str(ran.error)


def test_a_vm_that_is_started_meanwhile_has_no_point(off, monkeypatch):
    real = Flat.read_into

    def started(flat, start, buffer):
        if off.vm("web-1").runtime.powerState != "poweredOn":
            finished(off.vm("web-1").PowerOnVM_Task())
        real(flat, start, buffer)

    monkeypatch.setattr(Flat, "read_into", started)
    ran = off.attempt(streams=1, **ASKED)
    assert ran.code == "file_locked"
    assert (off.points(), off.snapshots("web-1")) == ([], [])


def test_a_range_that_breaks_off_is_asked_for_again(off, monkeypatch):
    real, broken = Flat.read_into, []

    def breaking(flat, start, buffer):
        if start not in broken:
            broken.append(start)
            raise ConnectionLost("The connection was closed in mid-file.")
        real(flat, start, buffer)

    monkeypatch.setattr(Flat, "read_into", breaking)
    off.run(**ASKED)
    assert len(broken) >= 2
    assert off.restored(0) == off.content()
