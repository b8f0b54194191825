# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repositories on file systems that fail, go away, or answer as servers do: nothing damaged is called good, nothing good
damaged, and what is not there is never taken for none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import os
import pathlib
import shutil
import stat
import subprocess
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils import _files, _mounts
from ansible_collections.vforge.vsphere.plugins.module_utils._backup import (
    blockmap,
    images,
    local,
    records,
    removal,
    storage,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._backup import care as caring
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.blockmap import BlockMap
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.care import CareOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.model import (
    BackupDamaged,
    DiskBackup,
    Point,
    ToolFailed,
    ToolNotRun,
    point_id,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.repository import Repository, RepositoryChanged
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import NotFound, PartialFailure, VforgeError
from ansible_collections.vforge.vsphere.plugins.module_utils._files import FileUnreadable, FileUnwritable
from ansible_collections.vforge.vsphere.plugins.modules import backup_repository
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.support import (
    KEY,
    UUID,
    Backups,
    nothing,
    soon,
    three_points,
    why_nothing_can_be_mounted,
)
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.test_care import care

MIB = 2**20


@pytest.fixture
def backups(tmp_path):
    return three_points(tmp_path / "repository")


@pytest.fixture
def place(tmp_path):
    """A repository without a backup."""
    folder = tmp_path / "repository"
    folder.mkdir(mode=0o700)
    return folder


def failing(error):
    """A call that the system refuses."""

    def call(*_args, **_kwargs):
        raise OSError(error, os.strerror(error))

    return call


def point(number, backing=""):
    """What a manifest says; its images are nowhere."""
    disk = DiskBackup(
        key=KEY,
        label="Hard disk 1",
        unit="scsi0:0",
        capacity=MIB,
        file="disk-2000.qcow2",
        backing=backing,
        digests="",
        change_id=None,
        identity="disk",
        transport="memory",
        read=0,
        written=0,
    )
    when = datetime.datetime(2026, 11, 1, number, tzinfo=datetime.UTC)
    return Point(
        id=point_id(when, f"{number:08x}"),
        number=number,
        created=when.isoformat(),
        instance_uuid=UUID,
        vm_name="web",
        consistency="crash-consistent",
        disks=(disk,),
    )


def staged(machine, number):
    """A folder for a point, with files in it that are none."""
    folder = machine.stage(f"{number:08x}")
    for name in ("disk-2000.qcow2", "disk-2000.qcow2.sha256"):
        pathlib.Path(folder, name).write_bytes(b"")
    return folder


def committed(machine, number, backing=""):
    """A point that is there."""
    made = point(number, backing)
    machine.commit(staged(machine, number), made)
    return made


# Folders, and who may write into them


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077])
def test_the_folders_of_a_vm_are_its_users_alone_whatever_the_mask(place, mask):
    before = os.umask(mask)
    try:
        committed(Repository(str(place)).read(UUID), 1)
    finally:
        os.umask(before)
    folders = [path for path in place.rglob("*") if path.is_dir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    assert [each.number for each in Repository(str(place)).read(UUID).points] == [1]


# File systems that go away


def unmounted(place):
    """The folder below is there now, and nothing is in it."""
    place.rename(place.with_name("elsewhere"))
    place.mkdir(mode=0o700)


@pytest.mark.parametrize("away", [unmounted, lambda place: place.rename(place.with_name("elsewhere"))])
def test_a_repository_that_goes_away_is_not_one_without_backups(place, away):
    there = Repository(str(place))
    machine = there.read(UUID)
    committed(machine, 1)
    ours = staged(machine, 2)
    away(place)
    asked = (
        lambda: there.vms,
        machine.known,
        lambda: machine.points,
        lambda: machine.stage("cafe0bad"),
        lambda: machine.commit(ours, point(2)),
        lambda: there.locked(UUID, soon(), nothing).__enter__(),
    )
    for ask in asked:
        with pytest.raises(VforgeError) as caught:
            ask()
        assert caught.value.error_code in ("repository_changed", "file_unwritable"), ask
    left = list(place.rglob("points")) if place.exists() else []
    assert (left, len(list(place.with_name("elsewhere").rglob("manifest.json")))) == ([], 1)


def test_a_file_system_that_is_unmounted_leaves_no_repository_without_backups(place, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    if why := why_nothing_can_be_mounted(place):
        pytest.skip(why)
    subprocess.run(["mount", "--bind", tmp_path / "elsewhere", place], check=True)
    try:
        there = Repository(str(place))
        machine = there.read(UUID)
        committed(machine, 1)
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
    for ask in (lambda: there.vms, machine.known, lambda: machine.stage("0badcafe")):
        with pytest.raises(RepositoryChanged, match="another folder is in its place"):
            ask()
    assert list(place.iterdir()) == []


def test_a_repository_whose_file_system_should_be_mounted_is_refused(place, tmp_path, monkeypatch):
    (tmp_path / "fstab").write_text(f"server:/backups {place} nfs4 defaults 0 0\n", encoding="utf-8")
    monkeypatch.setattr(_mounts, "TABLE", str(tmp_path / "fstab"))
    for ask in (lambda: Repository(str(place)), lambda: local.info(str(place), None)):
        with pytest.raises(_mounts.NotMounted, match="not mounted"):
            ask()


def test_a_repository_without_any_backup_is_reported(place):
    said = f"{place} has no backup of any VM. If it should have some, look whether its file system is mounted."
    # What is left where the first backup of a VM has failed.
    (place / f"vm-{UUID}" / "points").mkdir(mode=0o700, parents=True)
    found = local.info(str(place), None)
    assert (found["warnings"], found["vms"]) == ([said], [])
    with pytest.raises(NotFound) as caught:
        local.info(str(place), "web")
    assert caught.value.message == f"There are no backups of web in {place}. {said}"
    assert care(Backups(place), state="pruned", keep_last=1)["warnings"] == [said]
    committed(Repository(str(place)).read(UUID), 1)
    assert local.info(str(place), None)["warnings"] == []


# Locks that do not hold


def test_no_point_is_made_over_one_that_has_another_one_over_it(place):
    """Two machines that do not see each other's locks have both begun with the same newest point."""
    machine = Repository(str(place)).read(UUID)
    below = committed(machine, 1)
    ours = staged(machine, 3)
    committed(Repository(str(place)).read(UUID), 2, below.id)
    with pytest.raises(RepositoryChanged) as caught:
        machine.commit(ours, point(3, below.id))
    assert f"on which {point(2).id} stands by now" in caught.value.message
    assert [each.number for each in machine.points] == [1, 2]


def test_no_point_is_made_over_one_that_is_gone_or_damaged(place):
    machine = Repository(str(place)).read(UUID)
    below = committed(machine, 1)
    ours = staged(machine, 2)
    manifest = pathlib.Path(machine.at(below.id), "manifest.json")
    text = manifest.read_bytes()
    manifest.write_bytes(text.replace(b"web", b"bew"))
    with pytest.raises(BackupDamaged):
        machine.commit(ours, point(2, below.id))
    manifest.write_bytes(text)
    shutil.rmtree(machine.at(below.id))
    with pytest.raises(RepositoryChanged, match="which is not there any more"):
        machine.commit(ours, point(2, below.id))
    assert machine.points == []


def test_nobody_waits_with_a_vm_that_another_run_has(place, monkeypatch):
    """It may be a lock that a server still keeps for a machine that has crashed."""
    other = UUID.replace("5029", "6029")
    there = Repository(str(place))
    for uuid in (UUID, other):
        machine = there.read(uuid)
        machine.commit(staged(machine, 1), dataclasses.replace(point(1), instance_uuid=uuid))
    seen, real = [], caring.kept

    def kept(points, *rest):
        seen.append(points[0].instance_uuid)
        return real(points, *rest)

    monkeypatch.setattr(caring, "kept", kept)
    with contextlib.ExitStack() as held:
        held.enter_context(there.locked(UUID, soon(), nothing))

        def waits(line):
            seen.append(line.partition(" up to")[0])
            held.close()

        asked = accepted(backup_repository.argument_spec(), {"path": str(place), "state": "pruned", "keep_last": 1})
        found = caring.care(CareOptions.from_params(asked), waits, check=False)
    assert seen == [other, "Waiting", UUID]
    assert [each["instance_uuid"] for each in found["vms"]] == [UUID, other]


# What the system does not say


def test_what_cannot_be_asked_for_is_not_taken_for_absent(place, monkeypatch):
    machine = Repository(str(place)).read(UUID)
    made = committed(machine, 1)
    with monkeypatch.context() as patched:
        patched.setattr(storage.os, "lstat", failing(errno.EIO))
        for ask in (
            lambda: removal.is_begun(machine, made.id),
            lambda: machine.image_of(made, made.disks[0]),
            lambda: machine.digests_of(made, made.disks[0]),
        ):
            with pytest.raises(FileUnreadable):
                ask()
        found = machine.known()
        assert ([*found.damaged], found.points, found.base()) == ([made.id], (), None)
    for path in pathlib.Path(machine.folder_of(made)).glob("disk-2000.*"):
        data = path.read_bytes()
        path.unlink()
        found = machine.known()
        assert "is not there" in str(found.damaged[made.id])
        assert (found.points, found.base()) == ((), None)
        path.write_bytes(data)
    assert machine.known().base() == made


# Digests


@pytest.fixture
def digests(tmp_path):
    """The digests of a disk of three blocks."""
    path = str(tmp_path / "digests")
    BlockMap.create(path, 3 * MIB, None).close()
    return path


def test_digests_that_are_cut_short_while_they_are_read_are_damaged(digests):
    """Bytes of a mapped file that are not there any more would end the process."""
    with BlockMap(digests, 3 * MIB) as found:
        os.truncate(digests, 32)
        assert found[0] == blockmap._ZEROS
        for ask in (lambda: found[2], found.digest):
            with pytest.raises(BackupDamaged, match="has not the digests of 3 blocks"):
                ask()


def test_digests_that_cannot_be_read_or_written_say_why(digests, monkeypatch):
    with BlockMap(digests, 3 * MIB, write=True) as found:
        for name, error, code, do in (
            ("pread", errno.ESTALE, FileUnreadable, lambda: found[0]),
            ("pread", errno.EIO, FileUnreadable, found.digest),
            ("pwrite", errno.ENOSPC, FileUnwritable, lambda: found.__setitem__(0, bytes(32))),
        ):
            with monkeypatch.context() as patched:
                patched.setattr(blockmap.os, name, failing(error))
                with pytest.raises(code, match=os.strerror(error)):
                    do()


def test_digests_that_never_came_to_the_disk_are_reported_when_they_are_closed(digests, monkeypatch):
    found = BlockMap(digests, 3 * MIB, write=True)
    monkeypatch.setattr(blockmap.os, "fsync", failing(errno.EDQUOT))
    with pytest.raises(FileUnwritable, match=os.strerror(errno.EDQUOT)):
        found.close()


# Programs


@pytest.mark.parametrize(
    ("command", "error", "said"),
    [
        (["sh", "-c", "kill -9 $$"], ToolNotRun, "was ended by the signal 9"),
        (
            ["sh", "-c", "echo 'Is another process using the image [disk]?' >&2; exit 1"],
            ToolNotRun,
            "may not have the image now",
        ),
        (["sh", "-c", "echo broken >&2; exit 1"], ToolFailed, "failed: broken"),
    ],
)
def test_a_program_that_was_not_run_to_its_end_says_nothing_of_an_image(command, error, said):
    with pytest.raises(error, match=said):
        images.run(command, soon())


def test_a_program_that_cannot_be_started_says_nothing_of_an_image(backups, monkeypatch):
    monkeypatch.setattr(images.subprocess, "Popen", failing(errno.EMFILE))
    with pytest.raises(PartialFailure) as caught:
        care(backups, state="verified")
    (entry,) = caught.value.result["vms"]
    assert (entry["error"]["error_code"], entry["points"]) == ("image_tool_not_run", [])
    assert "could not be started: Too many open files" in entry["error"]["msg"]


def test_an_image_that_somebody_has_locked_is_not_damaged(backups):
    machine = backups.repository.read(UUID)
    newest = machine.points[-1]
    path = machine.path_of(newest, newest.disk(KEY))
    with images.Nbd.image(path, write=True), pytest.raises(PartialFailure) as caught:
        care(backups, state="verified", points="newest")
    assert caught.value.result["vms"][0]["error"]["error_code"] == "image_tool_not_run"
    assert care(backups, state="verified")["counts"] == {"verified": 3}


# No room, and answers that got lost


def _random_areas():
    gaps = st.tuples(st.integers(1, 5), st.integers(1, 5))

    def placed(pairs):
        found, at = [], 0
        for gap, length in pairs:
            found.append((at + gap, length))
            at += gap + length
        return found

    return st.lists(gaps, max_size=8).map(placed)


@given(_random_areas(), _random_areas())
def test_what_is_in_none_of_other_areas_is_counted(own, there):
    def units(areas):
        return {place for start, length in areas for place in range(start, start + length)}

    assert removal._more(own, there) == len(units(own) - units(there))


@pytest.mark.parametrize(("free", "blocks", "removed"), [(0, 1000, 0), (1, 1000, 0), (10**9, 1000, 2), (0, 0, 2)])
def test_no_merge_is_begun_that_has_no_room_to_be_ended(backups, monkeypatch, free, blocks, removed):
    """One that is begun and cannot be ended keeps new backups from standing on others. Some file systems say no size."""
    room = SimpleNamespace(f_bavail=free, f_frsize=1, f_blocks=blocks)
    monkeypatch.setattr(removal.os, "statvfs", lambda _path: room)
    machine = backups.repository.read(UUID)
    try:
        result = care(backups, state="pruned", keep_last=1)
    except PartialFailure as error:
        result = error.result
        (entry,) = result["vms"]
        assert (entry["error"]["error_code"], entry["points"][0]["action"]) == ("file_unwritable", "kept")
        assert "bytes have to be free in" in entry["error"]["msg"]
    assert result["counts"].get("removed", 0) == removed
    assert (len(machine.points), backups.verified(machine, machine.points[-1])) == (3 - removed, True)


def test_points_are_verified_where_there_is_no_room_to_note_it(backups, monkeypatch):
    real = _files.replace

    def full(path, *rest, **how):
        if path.endswith("verified.json"):
            raise FileUnwritable(f"{path}: {os.strerror(errno.ENOSPC)}") from OSError(errno.ENOSPC, "")
        real(path, *rest, **how)

    monkeypatch.setattr(records, "write", lambda path, data: full(path, data, what="note"))
    with pytest.raises(PartialFailure) as caught:
        care(backups, state="verified")
    (entry,) = caught.value.result["vms"]
    assert [each["action"] for each in entry["points"]] == ["verified"] * 3
    assert entry["error"]["error_code"] == "file_unwritable"


class _Nfs:
    """``os`` of a client that asks again, since the answer of the server got lost, and cannot sync folders."""

    def __getattr__(self, name):
        return getattr(os, name)

    def rename(self, *args, **how):
        os.rename(*args, **how)
        os.rename(*args, **how)

    def mkdir(self, *args, **how):
        os.mkdir(*args, **how)
        os.mkdir(*args, **how)

    def unlink(self, *args, **how):
        os.unlink(*args, **how)
        os.unlink(*args, **how)

    def fsync(self, handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        os.fsync(handle)


def test_what_was_done_is_done_whatever_is_answered(backups, tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "os", _Nfs())
    monkeypatch.setattr(storage, "os", _Nfs())
    backups.guest.write(MIB, b"later" * 1000)
    backups.take(backups.guest)
    oldest = min(backups.kept)
    with backups.locked() as machine:
        machine.remove(oldest, soon())
        machine.make_full(machine.points[-1], soon())
    del backups.kept[oldest]
    with backups.locked() as machine:
        assert [each.id for each in machine.points] == list(backups.kept)
        for each in machine.points:
            assert backups.content(machine, each, tmp_path) == backups.kept[each.id]


def test_a_point_whose_folder_lies_elsewhere_is_left_and_no_other_one_suffers(backups, tmp_path):
    """It was moved since there was no room, and a link was put into its place: none of its files can take another's place."""
    machine = backups.repository.read(UUID)
    first, second, third = backups.kept
    shutil.move(machine.at(first), tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", machine.at(first))
    for check in (True, False):
        with pytest.raises(PartialFailure, match="is a link, or on another file system"):
            care(backups, check=check, state="pruned", keep_last=1)
    assert [each.id for each in machine.points] == [first, third]
    assert care(backups, state="verified")["counts"] == {"verified": 2}
    os.unlink(machine.at(first))
    shutil.move(tmp_path / "elsewhere", machine.at(first))
    assert care(backups, state="pruned", keep_last=1)["counts"] == {"removed": 1, "kept": 1}
    assert backups.content(machine, machine.points[0], tmp_path) == backups.kept[third]
    assert second not in os.listdir(machine.place)


def test_what_an_image_takes_is_not_known_where_the_system_does_not_say_it(place, monkeypatch):
    committed(Repository(str(place)).read(UUID), 1)
    real = os.lstat

    def stale(path):
        if path.endswith(".qcow2"):
            failing(errno.ESTALE)()
        return real(path)

    monkeypatch.setattr(storage.os, "lstat", stale)
    (found,) = local.info(str(place), None)["vms"]
    assert found["error"]["error_code"] == "file_unreadable"


def test_what_is_listed_and_gone_leaves_nothing_else_behind(place, monkeypatch):
    folder = place / "gone"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / name).write_bytes(b"")
    real, due = shutil.rmtree, ["one", "two"]

    def stale(path):
        if due:
            (folder / due.pop()).unlink()
            failing(errno.ENOENT)()
        real(path)

    monkeypatch.setattr(storage.shutil, "rmtree", stale)
    storage.discard(str(folder))
    storage.discard(str(folder))
    assert not folder.exists()
