# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs that are killed: every point that was whole before still verifies and restores, and the next run goes on."""

from __future__ import annotations

import errno
import os
import shutil
import time

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import removal, repository, synthetic
from ansible_collections.vforge.vsphere.plugins.module_utils._files import FileUnwritable
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.killing import (
    killed,
    killed_after,
    moments,
    seconds_of,
)
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.running import tasks
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.support import KEY, Backups, Guest, soon

KIB, MIB = 2**10, 2**20


class Repositories:
    """Copies of one repository, with a guest: three points, of which each has some of its own."""

    def __init__(self, folder):
        self._folder = folder
        self._made, self._guest = Backups(folder / "made"), Guest(6 * MIB)
        for number in range(3):
            self._guest.write(number * MIB, bytes([number + 1]) * 1_500_000)
            self._made.take(self._guest)
        self._seconds = {}

    def copy(self, folder):
        shutil.copytree(self._folder / "made", folder / "repository")
        backups, guest = Backups(folder / "repository"), Guest(0)
        backups.kept = dict(self._made.kept)
        guest.data[:] = self._guest.data
        return backups, guest

    def seconds(self, kind, work):
        """How long a kind of work takes here, now."""
        if kind not in self._seconds:
            self._seconds[kind] = seconds_of(work)
        return self._seconds[kind]


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    """Made by the first test that has the programs."""
    known = []

    def made():
        if not known:
            known.append(Repositories(tmp_path_factory.mktemp("killed")))
        return known[0]

    return made


def assert_whole(backups, folder=None):
    """Every point verifies, with a folder restores, too, and nothing half-made is there; returns the IDs of the points."""
    with backups.locked() as machine:
        points = machine.points
        for point in points:
            assert backups.verified(machine, point)
            assert folder is None or backups.content(machine, point, folder) == backups.kept[point.id]
        place = f"{machine.folder}/points"
        assert sorted(os.listdir(place)) == [point.id for point in points]
        files = {f"disk-{KEY}.qcow2", f"disk-{KEY}.qcow2.sha256", "manifest.json"}
        assert all(set(os.listdir(f"{place}/{point.id}")) == files for point in points)
        return [point.id for point in points]


def backing(backups, number):
    with backups.locked() as machine:
        return machine.points[number].disks[0].backing


def remove(backups, identifier):
    with backups.locked() as machine:
        machine.remove(identifier, soon())


def merge(backups):
    with backups.locked() as machine:
        machine.make_full(machine.points[-1], soon())


@pytest.mark.parametrize("moment", moments("backup"))
def test_a_backup_that_is_killed_leaves_the_points_as_they_were(repositories, tmp_path, moment):
    backups, guest = repositories().copy(tmp_path)
    guest.write(5 * MIB, b"z" * 700_000)
    (tmp_path / "try").mkdir()
    seconds = repositories().seconds("backup", lambda: repositories().copy(tmp_path / "try")[0].take(guest))
    killed(lambda: backups.take(guest), moment * seconds)
    with backups.locked() as machine:
        # What was not kept by the parent is the point that was committed just before the end.
        backups.kept |= {point.id: bytes(guest.data) for point in machine.points if point.id not in backups.kept}
    assert_whole(backups, tmp_path)
    # The parent of that process has not read the changes: it does so now, once more or for the first time.
    newest = backups.take(guest)
    assert assert_whole(backups, tmp_path)[-1] == newest.id


@pytest.mark.parametrize("moment", moments("prune"))
def test_a_removal_that_is_killed_is_finished_by_the_next_run(repositories, tmp_path, moment):
    backups, guest = repositories().copy(tmp_path)
    first, second, third = list(backups.kept)
    (tmp_path / "try").mkdir()
    seconds = repositories().seconds("prune", lambda: remove(repositories().copy(tmp_path / "try")[0], second))
    killed(lambda: remove(backups, second), moment * seconds)
    # It was begun, and is finished now; or it was not begun.
    assert assert_whole(backups, tmp_path) in ([first, third], [first, second, third])
    guest.write(0, b"next")
    newest = backups.take(guest)
    assert assert_whole(backups, tmp_path)[-1] == newest.id


@pytest.mark.parametrize("moment", moments("merge"))
def test_a_merge_that_is_killed_is_finished_or_undone_by_the_next_run(repositories, tmp_path, moment):
    backups, guest = repositories().copy(tmp_path)
    guest.write(0, b"next")
    (tmp_path / "try").mkdir()
    seconds = repositories().seconds("merge", lambda: merge(repositories().copy(tmp_path / "try")[0]))
    killed(lambda: merge(backups), moment * seconds)
    before = list(backups.kept)
    assert assert_whole(backups, tmp_path) == before
    merge(backups)
    newest = backups.take(guest)
    assert (backing(backups, 2), backing(backups, 3)) == ("", before[2])
    for identifier in before[:2]:
        remove(backups, identifier)
    assert assert_whole(backups, tmp_path) == [before[2], newest.id]


@pytest.mark.parametrize(
    ("module", "name", "calls"),
    [
        (removal, "write", 1),
        (removal.images, "commit", 1),
        (removal, "prove", 2),
        (removal, "sync", 3),
        (repository, "write", 1),
        (removal, "sync", 4),
    ],
    ids=["begun", "commit", "prove", "renamed", "manifest", "gone"],
)
def test_a_removal_that_ends_between_two_steps_is_finished(repositories, tmp_path, monkeypatch, module, name, calls):
    backups, _guest = repositories().copy(tmp_path)
    first, second, third = list(backups.kept)
    killed_after(lambda: remove(backups, second), monkeypatch, module, name, calls)
    assert assert_whole(backups) == [first, third]


@pytest.mark.parametrize(
    ("module", "name", "calls", "full"),
    [
        (synthetic.images, "convert", 1, False),
        (synthetic, "prove", 1, False),
        (synthetic, "write", 1, True),
        (synthetic, "sync", 3, True),
        (repository, "write", 1, True),
        (synthetic, "sync", 4, True),
    ],
    ids=["convert", "prove", "begun", "renamed", "manifest", "done"],
)
def test_a_merge_that_ends_between_two_steps_is_finished_or_undone(
    repositories, tmp_path, monkeypatch, module, name, calls, full
):
    backups, _guest = repositories().copy(tmp_path)
    killed_after(lambda: merge(backups), monkeypatch, module, name, calls)
    assert assert_whole(backups) == list(backups.kept)
    assert (backing(backups, 2) == "") is full


@pytest.mark.parametrize("calls", [1, 2], ids=["draft", "mark"])
def test_a_merge_that_cannot_sync_is_undone(repositories, tmp_path, monkeypatch, calls):
    backups, _guest = repositories().copy(tmp_path)
    real, seen = synthetic.sync, []

    def fail(path):
        seen.append(path)
        if len(seen) == calls:
            raise OSError(errno.EIO, "Input/output error", path)
        real(path)

    with monkeypatch.context() as patched:
        patched.setattr(synthetic, "sync", fail)
        with pytest.raises(FileUnwritable):
            merge(backups)
    before = list(backups.kept)
    assert backing(backups, 2) == before[1]
    remove(backups, before[1])
    assert assert_whole(backups, tmp_path) == [before[0], before[2]]


def test_a_merge_whose_new_image_is_lost_leaves_a_point_that_says_what_it_stands_on(repositories, tmp_path, monkeypatch):
    backups, _guest = repositories().copy(tmp_path)
    killed_after(lambda: merge(backups), monkeypatch, synthetic, "write")
    (draft,) = (tmp_path / "repository").rglob("*.full")
    draft.unlink()
    before = list(backups.kept)
    assert backing(backups, 2) == before[1]
    remove(backups, before[1])
    assert assert_whole(backups, tmp_path) == [before[0], before[2]]


def options(backups, folder, transport):
    """What a task is asked for by a transport; for attached disks there is a proxy, whose disks show in a folder."""
    if transport != "hotadd":
        return {"transport": transport}
    devices = folder / "by-id"
    devices.mkdir()
    backups.sim.create_vm("proxy", on=True, extra_config={"disk.EnableUUID": "TRUE"})
    backups.sim.patch_vm("proxy", devices=str(devices))
    return {"transport": transport, "nbd": None, "hotadd": {"proxy": {"name": "proxy"}, "device_folder": str(devices)}}


def attached(backups):
    """The files of other VMs' disks that any VM has, and the marks of disks that are attached for a moment."""
    seen = [backups.sim.vm(name) for name in ("web-1", "proxy") if backups.vm(name) is not None]
    files = [disk["files"][0] for vm in seen for disk in vm["disks"] if vm["name"] not in disk["files"][0]]
    return files + [key for vm in seen for key, value in vm["extra_config"].items() if "vforge.attached." in key and value]


@pytest.mark.parametrize(("number", "moment"), list(enumerate(moments("task"))))
def test_a_task_that_is_killed_leaves_no_snapshot_and_no_disk_after_the_next_one(
    make_sim, tmp_path, monkeypatch, number, moment
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with tasks(make_sim("--vms", "1", "--guest-time", "10ms"), tmp_path) as backups:
        asked = options(backups, tmp_path, ("nbd", "hotadd")[number % 2])
        backups.make("web-1", size=4 * MIB)
        backups.sim.write_disk("web-1", offset=0, length=2 * MIB, seed=1)
        begin = time.monotonic()
        backups.run(**asked)
        seconds = time.monotonic() - begin
        before = [backups.content()]
        backups.sim.write_disk("web-1", offset=MIB, length=64 * KIB, seed=2)
        code = killed(lambda: backups.attempt(**asked), moment * seconds)
        assert backups.made_whole(before) in (1, 2)
        assert code == 0 or backups.snapshots("web-1") in ([], ["vforge-backup"])
        backups.sim.write_disk("web-1", offset=3 * MIB, length=64 * KIB, seed=3)
        backups.run(mode="incremental", **asked)
        assert backups.restored(-1) == backups.content()
        assert backups.made_whole(before) >= 2
        assert backups.snapshots("web-1") == []
        assert attached(backups) == []
        assert backups.left() == []
