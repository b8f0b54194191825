# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is damaged is found, and named."""

from __future__ import annotations

import os
import shutil

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import disk as disks
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.model import BackupDamaged
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import NotFound, VforgeError
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.support import KEY, Backups, Guest, soon

MIB = 2**20


@pytest.fixture
def backups(tmp_path):
    made, guest = Backups(tmp_path / "repository"), Guest(4 * MIB)
    guest.write(0, os.urandom(3 * MIB))
    made.take(guest)
    guest.write(MIB, os.urandom(200_000))
    made.take(guest)
    return made


def verify(backups, number):
    with backups.locked() as machine:
        point = machine.points[number]
        return disks.verify(machine, point, point.disk(KEY), soon()).read


def image(backups, number):
    with backups.locked() as machine:
        point = machine.points[number]
        return machine.path_of(point, point.disk(KEY))


def test_what_is_whole_is_read_whole(backups):
    assert [verify(backups, number) for number in (0, 1)] == [4 * MIB, 4 * MIB]


@pytest.mark.parametrize("number", [0, 1])
def test_an_image_that_was_cut_short_is_found_in_all_points_that_need_it(backups, number):
    path = image(backups, number)
    os.truncate(path, os.path.getsize(path) - 3 * 65536)
    for point in range(number, 2):
        with pytest.raises(VforgeError) as raised:
            verify(backups, point)
        assert raised.value.error_code in ("backup_damaged", "image_tool_failed")


def test_other_bytes_in_an_image_are_found(backups):
    path = image(backups, 0)
    with open(path, "r+b") as file:
        file.seek(-1000, os.SEEK_END)
        file.write(b"?" * 100)
    with pytest.raises(BackupDamaged, match="blocks of 1 MiB differ") as raised:
        verify(backups, 0)
    assert raised.value.details["path"] == path


def test_digests_that_were_changed_are_not_used(backups):
    with open(f"{image(backups, 1)}.sha256", "r+b") as file:
        file.write(b"0" * 32)
    with pytest.raises(BackupDamaged, match="was changed since"):
        verify(backups, 1)


def test_a_manifest_that_was_changed_is_not_used(backups):
    path = os.path.join(os.path.dirname(image(backups, 1)), "manifest.json")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace('"scsi0:0"', '"scsi0:1"'))
    with pytest.raises(BackupDamaged, match="its digest is another one"):
        verify(backups, 1)


def test_an_image_that_is_gone_is_named(backups):
    path = image(backups, 0)
    os.unlink(path)
    with pytest.raises(VforgeError, match=r"disk-2000\.qcow2"):
        verify(backups, 1)


def test_a_point_whose_image_is_gone_is_not_merged(backups):
    path = image(backups, 0)
    os.unlink(path)
    with backups.locked() as machine, pytest.raises(BackupDamaged, match="is not there"):
        machine.remove(machine.points[0].id, soon())
    # What is left is as it was.
    assert os.path.exists(os.path.join(os.path.dirname(path), "manifest.json"))


def test_another_image_of_the_same_size_in_its_place_is_found(backups):
    shutil.copy(image(backups, 0), image(backups, 1))
    with pytest.raises(BackupDamaged, match="has the backing file none"):
        verify(backups, 1)


def test_a_point_that_is_not_there(backups):
    with backups.locked() as machine, pytest.raises(NotFound) as raised:
        machine.point("20261101T000000Z-00000000")
    assert machine.points[-1].id in raised.value.hint
