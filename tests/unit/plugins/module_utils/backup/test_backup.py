# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups of VMs, against a simulator whose disks have real bytes."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.running import tasks

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def backups(make_sim, tmp_path, monkeypatch):
    """Tasks against a simulator with the tracked VM web-1, whose disk has 8 MiB."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with tasks(make_sim("--vms", "2"), tmp_path) as known:
        known.make("web-1", size=8 * MIB)
        yield known


def test_full_then_what_changed_and_each_restores(backups):
    backups.sim.write_disk("web-1", offset=0, length=3 * MIB, seed=1)
    contents = [backups.content()]
    first = backups.run()
    assert (first.one["disks"][0]["kind"], first.one["disks"][0]["reason"]["code"]) == ("full", "no_earlier_backup")
    backups.sim.write_disk("web-1", offset=5 * MIB, length=64 * KIB, seed=2)
    contents.append(backups.content())
    second = backups.run(mode="incremental")
    assert (second.one["point"]["kind"], second.one["disks"][0]["read"]) == ("incremental", 64 * KIB)
    backups.sim.write_disk("web-1", offset=0, length=4 * KIB, seed=3)
    contents.append(backups.content())
    third = backups.run()
    assert third.one["disks"][0]["read"] == 4 * KIB
    assert [backups.restored(number) for number in range(3)] == contents
    assert backups.snapshots("web-1") == []


def test_by_an_export_lease_each_is_whole(backups):
    backups.sim.write_disk("web-1", offset=MIB, length=2 * MIB, seed=1)
    ran = backups.run(transport="export")
    assert (ran.one["disks"][0]["kind"], ran.one["disks"][0]["reason"]["code"]) == ("full", "whole_disks_only")
    assert backups.restored(0) == backups.content()
    assert backups.snapshots("web-1") == []


def test_a_server_that_offers_less_than_the_disk_has_makes_no_point(backups):
    small = {"command": ["nbdkit", "--foreground", "memory", "1M"]}
    assert backups.attempt(nbd=small).code == "wrong_disk"
    backups.run()
    backups.sim.write_disk("web-1", offset=5 * MIB, length=64 * KIB, seed=2)
    # What is behind the server's end would read as zeros.
    ran = backups.attempt(nbd=small, mode="incremental")
    assert (ran.code, len(backups.points())) == ("wrong_disk", 1)
    assert backups.snapshots("web-1") == []


def test_what_was_staged_goes_when_the_time_is_over(backups):
    backups.sim.write_disk("web-1", offset=0, length=MIB, seed=1)
    backups.sim.latency(1500, "RemoveSnapshot_Task")
    ran = backups.attempt(timeout=1)
    assert ran.error is not None
    assert backups.points() == []
    assert [path for path in backups.repository.rglob("*") if path.name.startswith(".staging")] == []
    assert backups.snapshots("web-1") == []


def test_fifty_with_one_in_ten_failing_and_the_second_run_takes_exactly_the_missing(backups):
    names = [f"app-{number:02}" for number in range(50)]
    for name in names:
        backups.sim.create_vm(name, on=False, disks=[{"bytes": MIB}])
    asked = {"vms": [{"name": name} for name in names], "transport": "export", "fresh_hours": 12}
    backups.sim.inject(method="CreateSnapshot_Task", every=10, times=0, do="task-fault", fault="InsufficientResourcesFault")
    first = backups.attempt(**asked)
    assert first.result["counts"] == {"backed_up": 45, "failed": 5}
    failed = {entry["name"] for entry in first.result["failures"]}
    assert len(failed) == 5
    assert {name for name in names if not backups.points(name)} == failed
    backups.sim.clear()
    checked = backups.run(check=True, **asked)
    assert {entry["name"] for entry in checked.result["vms"] if entry["changed"]} == failed
    second = backups.run(**asked)
    assert second.result["counts"] == {"unchanged": 45, "backed_up": 5}
    assert {entry["name"] for entry in second.result["vms"] if entry["actions"] == ["backed_up"]} == failed
    assert second.called("CreateSnapshot_Task") == 5
    assert [len(backups.points(name)) for name in names] == [1] * 50
    third = backups.run(**asked)
    assert (third.result["changed"], third.called("CreateSnapshot_Task")) == (False, 0)
    assert third.total <= 10
