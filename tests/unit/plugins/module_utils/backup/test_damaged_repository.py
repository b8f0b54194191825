# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each file of a repository shortened, swapped, removed or made of something else: whoever uses the repository then says
which point it is and what to do, and no error is one of Python.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import care as caring
from ansible_collections.vforge.vsphere.plugins.module_utils._backup import local, model
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.care import CareOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.local import RestoreOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.model import BackupDamaged, Point
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.repository import Known
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import PartialFailure, VforgeError
from ansible_collections.vforge.vsphere.plugins.modules import backup_repository, vm_restore
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.support import UUID, Backups, Guest, nothing

MIB = 2**20

# What can be done.
HELP = re.compile(r"another copy of the repository|its own name|this user's own|Choose another path|Look whether")

FILES = ("manifest.json", "disk-2000.qcow2", "disk-2000.qcow2.sha256")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A repository of three points, made by the first test that has the programs."""
    known = []

    def once():
        if not known:
            backups, guest = Backups(tmp_path_factory.mktemp("made") / "repository"), Guest(2 * MIB)
            for number in range(3):
                guest.write(number * 600_000, os.urandom(300_000))
                backups.take(guest)
            known.append(backups)
        return known[0]

    return once


@pytest.fixture
def backups(made, tmp_path):
    """A copy of it."""
    shutil.copytree(made().repository.path, tmp_path / "repository")
    copy = Backups(tmp_path / "repository")
    copy.kept = made().kept
    return copy


def halve(path, _other):
    os.truncate(path, os.path.getsize(path) // 2)


def empty(path, _other):
    os.truncate(path, 0)


def swap(path, other):
    os.rename(path, f"{path}.aside")
    os.rename(other, path)
    os.rename(f"{path}.aside", other)


def remove(path, _other):
    os.unlink(path)


def noise(path, _other):
    with open(path, "r+b") as file:
        file.write(b"\xff\x00[{" * 16)


def folder(path, _other):
    os.unlink(path)
    os.mkdir(path)


def link(path, other):
    os.unlink(path)
    os.symlink(other, path)


DAMAGES = (halve, empty, swap, remove, noise, folder, link)


def care(backups, **given_options):
    options = accepted(backup_repository.argument_spec(), {"path": backups.repository.path, **given_options})
    return caring.care(CareOptions.from_params(options), nothing, check=False)


def restore(backups, point, target):
    target.mkdir(mode=0o700)
    asked = {"repository": backups.repository.path, "vm": UUID, "dest": str(target), "format": "raw", "point": point}
    return local.restore(RestoreOptions.from_params(accepted(vm_restore.argument_spec(), asked)), nothing, check=False)


def failure(work):
    """The error that something ends with; any other than one of ours fails the test."""
    with pytest.raises(VforgeError) as raised:
        work()
    return raised.value


def paths(backups, number, name):
    """A file of a point, and the same of another point."""
    ids = list(backups.kept)
    place = os.path.join(backups.repository.folder(UUID), "points")
    return ids[number], os.path.join(place, ids[number], name), os.path.join(place, ids[number - 1], name)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_verifying_names_the_points_and_goes_on_with_the_others(backups, name, damage):
    identifier, path, other = paths(backups, 1, name)
    damage(path, other)
    error = failure(lambda: care(backups, state="verified"))
    assert isinstance(error, PartialFailure)
    found = {point["id"]: point["action"] for point in error.result["vms"][0]["points"]}
    assert found.keys() == backups.kept.keys()
    assert found[identifier] == "damaged"
    wrong = [point["error"] for point in error.result["vms"][0]["points"] if point["action"] == "damaged"]
    assert all(any(key in each["msg"] for key in backups.kept) and HELP.search(each["msg"]) for each in wrong)
    # The first one needs no other, and is whole unless its file was swapped.
    assert found[next(iter(backups.kept))] == ("damaged" if damage is swap else "verified")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_restoring_a_damaged_point_leaves_nothing_and_another_one_restores(backups, tmp_path, name, damage):
    identifier, path, other = paths(backups, 2, name)
    damage(path, other)
    # One byte more or less of the newest point is its whole content, or an error that names it.
    error = failure(lambda: restore(backups, identifier, tmp_path / "bad"))
    assert identifier in str(error)
    assert HELP.search(str(error))
    assert os.listdir(tmp_path / "bad") == []
    first = next(iter(backups.kept))
    restore(backups, first, tmp_path / "good")
    assert (tmp_path / "good" / "disk-2000.raw").read_bytes() == backups.kept[first]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_pruning_changes_nothing_where_what_it_would_merge_is_damaged(backups, name, damage):
    identifier, path, other = paths(backups, 1, name)
    damage(path, other)
    place = os.path.dirname(os.path.dirname(path))
    before = {each: os.listdir(os.path.join(place, each)) for each in os.listdir(place)}
    # The first is to go, and the damaged one stands on it.
    error = failure(lambda: care(backups, state="pruned", keep_last=2))
    assert any(each in str(error) for each in (identifier, next(iter(backups.kept))))
    assert HELP.search(str(error))
    assert {each: os.listdir(os.path.join(place, each)) for each in os.listdir(place)} == before


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_what_there_is_names_a_damaged_manifest_and_lists_the_others(backups, damage):
    identifier, path, other = paths(backups, 1, "manifest.json")
    damage(path, other)
    (vm,) = local.info(backups.repository.path, None)["vms"]
    assert identifier in [each["id"] for each in vm["damaged"]]
    assert HELP.search(vm["error"]["msg"])
    assert len(vm["points"]) + len(vm["damaged"]) == 3
    assert vm["name"] == "web"


@pytest.mark.parametrize("mark", [b"../../x", b"\xff", b"20200101T000000Z-00000001", b"x" * 9999])
def test_a_removal_whose_mark_is_damaged_is_named(backups, mark):
    identifier, path, _other = paths(backups, 0, "removing")
    with open(path, "wb") as file:
        file.write(mark)
    os.chmod(path, 0o600)
    error = failure(lambda: care(backups, state="pruned", keep_last=1))
    assert identifier in str(error)
    assert os.path.exists(path)


def test_a_repository_whose_folders_are_files_is_named(backups):
    place = os.path.join(backups.repository.folder(UUID), "points")
    shutil.rmtree(place)
    with open(place, "wb"):
        pass
    assert place in str(failure(lambda: care(backups, state="verified")))
    assert place in local.info(backups.repository.path, None)["vms"][0]["error"]["msg"]


# Manifests with other types, whose digests are right

_DISK = model.DiskBackup(
    key=2000,
    label="Hard disk 1",
    unit="scsi0:0",
    capacity=MIB,
    file="disk-2000.qcow2",
    backing="",
    digests="0" * 64,
    change_id=None,
    identity="disk",
    transport="nbd",
    read=0,
    written=0,
)
_POINT = Point(
    id="20261101T000000Z-00000001",
    number=1,
    created="2026-11-01T00:00:00+00:00",
    instance_uuid=UUID,
    vm_name="web",
    consistency="crash-consistent",
    disks=(_DISK,),
)


def sealed(content):
    """A manifest of this content, with its own digest."""
    return json.dumps({**content, "digest": model._digest(content)}).encode()


def plain():
    content = json.loads(_POINT.as_json())
    del content["digest"]
    return content


def test_a_manifest_is_what_was_written():
    assert Point.from_json(_POINT.as_json(), "here") == _POINT
    assert Point.from_json(sealed(plain()), "here") == _POINT


def test_a_manifest_of_an_earlier_release_is_read():
    content = plain()
    del content["snapshot"]
    for name in ("tracking", "reason"):
        del content["disks"][0][name]
    assert Point.from_json(sealed(content), "here") == _POINT


# Fields of the manifests of a format, in the order of the alphabet. A released reader calls a manifest damaged that has
# a field which it does not know, so with another field there is another format.
_FIELDS = {
    1: (
        "consistency created disks id instance_uuid machine number nvram snapshot vm_name",
        "backing capacity change_id delta digests file identity key label read reason tracking transport unit written",
    )
}


def test_a_format_has_the_fields_that_its_readers_know():
    named = tuple(" ".join(sorted(each.name for each in dataclasses.fields(kind))) for kind in (Point, model.DiskBackup))
    assert named == _FIELDS[model.FORMAT]


def test_a_manifest_of_a_later_release_says_so():
    with pytest.raises(BackupDamaged, match="newer release"):
        Point.from_json(sealed({**plain(), "format": 2, "more": True}), "here")


_WRONG = st.sampled_from([None, True, 0, -1, 10**30, "", "x", "../x", "2026-13-01", [], {}, [[]], [None], {"a": 1}])
_NAMES = st.sampled_from([field.name for field in dataclasses.fields(Point)] + ["format", "more"])
_DISK_NAMES = st.sampled_from([field.name for field in dataclasses.fields(model.DiskBackup)] + ["more"])


@settings(max_examples=200)
@given(_NAMES, _WRONG, st.none() | st.tuples(_DISK_NAMES, _WRONG))
def test_a_manifest_with_other_types_is_a_point_or_damaged(name, value, disk):
    content = plain()
    if disk is None:
        content[name] = value
    else:
        content["disks"][0][disk[0]] = disk[1]
    # Any other error fails the test.
    with contextlib.suppress(BackupDamaged):
        point = Point.from_json(sealed(content), "here")
        assert Point.from_json(point.as_json(), "here") == point


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"1", b'"x"', b"{}", b"\xff", b"[" * 100_000, b'{"digest": NaN}'])
def test_what_is_no_manifest_is_damaged(data):
    with pytest.raises(BackupDamaged, match="here is no manifest"):
        Point.from_json(data, "here")


@pytest.mark.parametrize(("second", "stands"), [("01:59:59", True), ("02:00:00", False), ("02:00:01", False)])
def test_nothing_stands_on_a_point_than_which_a_damaged_one_may_be_newer(second, stands):
    """Names tell by seconds; in one second either may have been first."""
    newest = Point(
        id="20260301T020000Z-bbbbbbbb",
        number=3,
        created="2026-03-01T02:00:00+00:00",
        instance_uuid=UUID,
        vm_name="web",
        consistency="crash-consistent",
        disks=(),
    )
    damaged = f"20260301T{second.replace(':', '')}Z-aaaaaaaa"
    known = Known((newest,), {damaged: BackupDamaged("It has no manifest.")})
    assert (known.base() is newest) is stands
    assert known.next_number() == (4 if stands else 5)
