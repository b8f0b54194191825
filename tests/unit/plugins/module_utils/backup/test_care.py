# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The care of a repository: leaks given back, points merged, and what was done noted beside them."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import care as caring
from ansible_collections.vforge.vsphere.plugins.module_utils._backup import images, local, records, removal
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.care import CareOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.repository import Machine
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, NotFound, PartialFailure
from ansible_collections.vforge.vsphere.plugins.module_utils._files import FileUnwritable
from ansible_collections.vforge.vsphere.plugins.modules import backup_repository
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.support import (
    KEY,
    UUID,
    nothing,
    soon,
    three_points,
)

MIB = 2**20
CLUSTER = 64 * 1024


@pytest.fixture
def backups(tmp_path):
    return three_points(tmp_path / "repository")


def care(backups, *, check=False, **given):
    options = accepted(backup_repository.argument_spec(), {"path": backups.repository.path, **given})
    return caring.care(CareOptions.from_params(options), nothing, check=check)


def points(backups):
    return local.info(backups.repository.path, UUID)["vms"][0]["points"]


def image(backups, number):
    machine = backups.repository.read(UUID)
    point = machine.points[number]
    return machine.path_of(point, point.disk(KEY))


def leak(path, clusters):
    """Have clusters that nothing refers to, as a writer leaves that was killed between two writes.

    A header of qcow2 says at byte 48 where the table of refcount blocks is (qcow2's specification).
    """
    with open(path, "r+b") as file:
        (table,) = struct.unpack(">Q", file.read(56)[48:])
        file.seek(table)
        (block,) = struct.unpack(">Q", file.read(8))
        first = -(-os.path.getsize(path) // CLUSTER)
        file.truncate((first + clusters) * CLUSTER)
        file.seek(block + 2 * first)
        file.write(struct.pack(">H", 1) * clusters)


# Which VMs


OTHER = "52000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(("vms", "removed"), [([UUID, OTHER], 2), ([OTHER], 0), ([], 0), (None, 2)])
def test_only_the_vms_that_are_named_are_pruned(backups, vms, removed):
    found = care(backups, state="pruned", keep_last=1, vms=vms)
    assert (found["counts"].get("removed", 0), len(found["vms"])) == (removed, 1 if removed else 0)
    assert len(points(backups)) == 3 - removed


@pytest.mark.parametrize(
    ("given", "message"), [({"vms": ["web"]}, "web, which is no instance UUID"), ({"vm": "web", "vms": []}, "are both set")]
)
def test_vms_that_cannot_be_meant_are_refused(backups, given, message):
    with pytest.raises(InvalidOption, match=message):
        care(backups, state="pruned", keep_last=1, **given)


# An end in the middle


class Ended(Exception):
    """The task ends early."""


def ended():
    raise Ended


def test_a_program_is_ended_when_its_task_is():
    begun = time.monotonic()
    with pytest.raises(Ended):
        images.run(["sleep", "60"], soon(), go_on=ended)
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize("calls", [1, 3])
def test_a_merge_that_is_broken_off_leaves_the_point_as_it_was(backups, calls):
    asked = []

    def some():
        asked.append(1)
        if len(asked) == calls:
            ended()

    with backups.repository.locked(UUID, soon(), nothing, go_on=some) as machine:
        before = machine.points
        with pytest.raises(Ended):
            machine.make_full(before[-1], soon())
        assert machine.points == before
        assert backups.verified(backups.repository.read(UUID), before[-1])
        assert [name for name in os.listdir(machine.folder_of(before[-1])) if name.endswith(".full")] == []


# Leaks


def test_leaked_clusters_are_given_back_and_are_no_damage(backups):
    path = image(backups, 1)
    leak(path, 3)
    assert subprocess.run(["qemu-img", "check", "-q", path], check=False, capture_output=True).returncode == 3
    first = care(backups, state="verified")
    assert first["counts"] == {"verified": 3}
    assert [(point["leaked"], point["mended"]) for point in first["vms"][0]["points"]] == [
        (0, False),
        (3 * CLUSTER, True),
        (0, False),
    ]
    assert first["changed"] is True
    again = care(backups, state="verified")
    assert (again["changed"], [point["leaked"] for point in again["vms"][0]["points"]]) == (False, [0, 0, 0])


def test_leaked_clusters_of_an_image_that_somebody_reads_stay_and_are_reported(backups):
    path = image(backups, 2)
    leak(path, 1)
    with images.Nbd.image(path):
        found = care(backups, state="verified")
    assert (found["changed"], found["vms"][0]["points"][2]["leaked"], found["counts"]) == (False, CLUSTER, {"verified": 3})


def test_an_image_with_leaks_and_damage_is_left_as_it_is(backups):
    path = image(backups, 2)
    leak(path, 1)
    os.truncate(path, 3 * CLUSTER)
    size = os.path.getsize(path)
    with pytest.raises(PartialFailure) as raised:
        care(backups, state="verified")
    assert raised.value.result["counts"] == {"verified": 2, "damaged": 1}
    assert os.path.getsize(path) == size


def test_leaks_of_a_merge_that_was_killed_do_not_outlive_it(backups):
    leak(image(backups, 1), 2)
    with backups.locked() as machine:
        machine.remove(machine.points[1].id, soon())
    assert images.check(image(backups, 1), soon()) == 0


# Merging


def test_a_synthetic_full_needs_no_other_point_and_later_ones_stand_on_it(backups, tmp_path):
    planned = care(backups, check=True, state="merged")
    assert [point["kind"] for point in points(backups)] == ["full", "incremental", "incremental"]
    done = care(backups, state="merged")
    assert planned["vms"] == done["vms"]
    newest = points(backups)[-1]
    assert done["vms"][0]["points"] == [{"id": newest["id"], "action": "merged", "chain": 3}]
    assert (newest["kind"], images.backing_of(image(backups, 2), soon())) == ("full", None)
    backups.guest.write(0, b"later")
    assert backups.take(backups.guest).disks[0].backing == newest["id"]
    pruned = care(backups, state="pruned", keep_last=2)
    assert [point["action"] for point in pruned["vms"][0]["points"]] == ["removed", "removed", "kept", "kept"]
    with backups.locked() as machine:
        for point in machine.points:
            assert backups.content(machine, point, tmp_path) == backups.kept[point.id]
    assert care(backups, state="verified")["counts"] == {"verified": 2}


def test_merging_again_changes_nothing(backups):
    care(backups, state="merged")
    again = care(backups, state="merged")
    assert (again["changed"], again["counts"]) == (False, {"unchanged": 1})


@pytest.mark.parametrize(("max_chain", "action"), [(2, "merged"), (3, "unchanged"), (9, "unchanged")])
def test_a_chain_that_is_short_enough_is_left_as_it_is(backups, max_chain, action):
    assert care(backups, state="merged", max_chain=max_chain)["counts"] == {action: 1}


def test_any_point_can_be_merged_and_those_over_it_read_as_before(backups):
    middle = points(backups)[1]["id"]
    care(backups, state="merged", vm="web", point=middle)
    assert [point["kind"] for point in points(backups)] == ["full", "full", "incremental"]
    assert care(backups, state="verified")["counts"] == {"verified": 3}


def test_a_merge_without_room_leaves_the_point_as_it_was(backups, monkeypatch):
    def full(*_args, **_kwargs):
        raise images.ToolFailed("qemu-img convert failed: No space left on device")

    monkeypatch.setattr(images, "convert", full)
    with pytest.raises(PartialFailure, match="No space left"):
        care(backups, state="merged")
    monkeypatch.undo()
    assert sorted(os.listdir(os.path.dirname(image(backups, 2)))) == [
        "disk-2000.qcow2",
        "disk-2000.qcow2.sha256",
        "manifest.json",
    ]


def test_a_damaged_image_is_not_merged(backups):
    flip(image(backups, 0))
    with pytest.raises(PartialFailure) as raised:
        care(backups, state="merged")
    assert raised.value.error_code == "backup_damaged"
    assert points(backups)[2]["kind"] == "incremental"


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"max_chain": 0}, "max_chain"),
        ({"point": "20261101T000000Z-00000001"}, "vm"),
        ({"state": "pruned", "keep_last": -1}, ""),
    ],
)
def test_options_that_cannot_be_right_are_refused(backups, given, option):
    with pytest.raises(InvalidOption) as raised:
        care(backups, **{"state": "merged", **given})
    assert raised.value.details.get("option") == (option or "keep_last")


def test_a_point_that_is_not_there_is_named(backups):
    with pytest.raises(PartialFailure, match="no backup 20200101T000000Z-00000001"):
        care(backups, state="merged", vm="web", point="20200101T000000Z-00000001")
    with pytest.raises(NotFound):
        care(backups, state="merged", vm="db")


# Some of it is damaged

SPOILT = "not what was written"


def spoil(backups, number):
    """Have a manifest that is damaged; returns the ID of its point."""
    path = os.path.join(os.path.dirname(image(backups, number)), "manifest.json")
    identifier = os.path.basename(os.path.dirname(path))
    with open(path, "w", encoding="utf-8") as file:
        file.write(SPOILT)
    return identifier


def second_chain(backups):
    """Three points more, which stand on none of the first three; returns the IDs of all of them."""
    backups.take(backups.guest, full=True)
    for number in range(2):
        backups.guest.write(number * MIB, bytes([number + 7]) * 100_000)
        backups.take(backups.guest)
    return list(backups.kept)


def flip(path):
    """Have other bytes than those that were written in an image."""
    with open(path, "r+b") as file:
        file.seek(-1000, os.SEEK_END)
        file.write(b"?" * 100)


def failed(backups, **given):
    with pytest.raises(PartialFailure) as raised:
        care(backups, **given)
    return raised.value


def became(failure):
    return [point["action"] for point in failure.result["vms"][0]["points"]]


@pytest.mark.parametrize("check", [True, False])
def test_one_damaged_manifest_keeps_none_of_the_others_from_being_pruned(backups, check, tmp_path):
    ids = second_chain(backups)
    damaged = spoil(backups, 1)
    failure = failed(backups, state="pruned", keep_last=1, check=check)
    # The first is what the damaged one stands on, and the third stands on that.
    assert became(failure) == ["kept", "damaged", "damaged", "removed", "removed", "kept"]
    assert failure.error_code == "backup_damaged"
    assert failure.result["changed"] is True
    entries = failure.result["vms"][0]["points"]
    assert [entry["id"] for entry in entries] == ids
    assert all(damaged in entry["error"]["msg"] and entry["error"]["error_code"] == "backup_damaged" for entry in entries[:3])
    assert failure.result["counts"] == {"kept": 2, "damaged": 2, "removed": 2}
    left = sorted(os.listdir(backups.repository.read(UUID).place))
    assert left == sorted(ids if check else [*ids[:3], ids[-1]])
    with backups.locked() as machine:
        for identifier in (ids[0], ids[-1]):
            assert backups.content(machine, machine.point(identifier), tmp_path) == backups.kept[identifier]


def test_a_damaged_point_does_not_stand_for_one_that_is_kept(backups, tmp_path):
    """Of the newest two none can be restored, so the one before stays."""
    first = points(backups)[0]["id"]
    spoil(backups, 1)
    assert became(failed(backups, state="pruned", keep_last=1)) == ["kept", "damaged", "damaged"]
    with backups.locked() as machine:
        assert backups.content(machine, machine.point(first), tmp_path) == backups.kept[first]


def test_what_a_damaged_point_needs_is_known_from_its_images_or_stays(backups):
    ids = second_chain(backups)
    place = os.path.dirname(image(backups, 5))
    spoil(backups, 5)
    # Its images say that it stands on the one before: the first three may go.
    failure = failed(backups, state="pruned", keep_last=1, check=True)
    assert became(failure) == ["removed", "removed", "removed", "removed", "kept", "damaged"]
    os.truncate(os.path.join(place, "disk-2000.qcow2"), 0)
    # Now nobody says it: the last of each chain stays.
    failure = failed(backups, state="pruned", keep_last=1)
    assert became(failure) == ["removed", "removed", "kept", "removed", "kept", "damaged"]
    assert f"{ids[5]} may stand on {ids[2]}" in failure.result["vms"][0]["points"][2]["error"]["msg"]
    # Where it was removed, all is as ever.
    shutil.rmtree(place)
    assert care(backups, state="pruned", keep_last=1)["counts"] == {"removed": 1, "kept": 1}
    assert care(backups, state="verified")["counts"] == {"verified": 1}


def test_what_a_point_without_its_image_needs_is_known_from_its_manifest(backups):
    """It may come back from another copy of the repository."""
    second_chain(backups)
    path = image(backups, 5)
    os.rename(path, f"{path}.aside")
    failure = failed(backups, state="pruned", keep_last=1)
    assert became(failure) == ["removed", "removed", "removed", "removed", "kept", "damaged"]
    os.rename(f"{path}.aside", path)
    assert care(backups, state="verified")["counts"] == {"verified": 2}


@pytest.mark.parametrize("check", [True, False])
def test_what_a_point_that_is_not_there_may_have_needed_stays(backups, check, tmp_path):
    """It comes back from another copy of the repository, and has to stand on what it stood on."""
    ids = second_chain(backups)
    place = os.path.dirname(os.path.dirname(image(backups, 1)))
    os.rename(os.path.join(place, ids[1]), tmp_path / ids[1])
    failure = failed(backups, state="pruned", keep_last=1, check=check)
    assert became(failure) == ["kept", "damaged", "removed", "removed", "kept"]
    assert f"{ids[1]} may stand on {ids[0]}, and is not there" in failure.result["vms"][0]["points"][0]["error"]["msg"]
    os.rename(tmp_path / ids[1], os.path.join(place, ids[1]))
    assert care(backups, state="verified")["counts"] == {"verified": 6 if check else 4}


def test_an_image_that_is_damaged_keeps_its_point_and_no_other(backups):
    second_chain(backups)
    flip(image(backups, 1))
    failure = failed(backups, state="pruned", keep_last=1)
    # What the second has goes into the image of the first with its removal, and is proved before that.
    assert became(failure) == ["kept", "removed", "removed", "removed", "removed", "kept"]
    assert "is not what was backed up" in failure.result["vms"][0]["points"][0]["error"]["msg"]


def test_a_removal_that_fails_when_it_was_begun_ends_the_pruning_and_the_next_run_finishes_it(backups, monkeypatch, tmp_path):
    last = points(backups)[2]["id"]

    def full(*_args, **_kwargs):
        raise images.ToolFailed("qemu-img commit failed: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(images, "commit", full)
        failure = failed(backups, state="pruned", keep_last=1)
    assert (became(failure), failure.result["changed"]) == (["removal_begun"], True)
    planned = care(backups, state="pruned", keep_last=1, check=True)
    assert planned["counts"] == {"removed": 1, "kept": 1}
    done = care(backups, state="pruned", keep_last=1)
    assert (len(done["vms"][0]["put_right"]), done["counts"]) == (1, {"removed": 1, "kept": 1})
    with backups.locked() as machine:
        assert backups.content(machine, machine.point(last), tmp_path) == backups.kept[last]


def test_a_point_that_went_and_whose_folder_did_not_is_not_called_kept(backups, monkeypatch):
    ids = [point["id"] for point in points(backups)]

    def full(folder):
        raise FileUnwritable(f"{folder} cannot be written.")

    with monkeypatch.context() as patch:
        patch.setattr(removal, "discard", full)
        failure = failed(backups, state="pruned", keep_last=1)
    assert (became(failure), failure.result["changed"]) == (["removed"], True)
    assert [point["id"] for point in points(backups)] == ids[1:]
    done = care(backups, state="pruned", keep_last=1)
    assert done["vms"][0]["put_right"] == [f"removed .removed-{ids[0]}"]
    assert done["counts"] == {"removed": 1, "kept": 1}


@pytest.mark.parametrize("check", [True, False])
def test_what_there_is_is_read_once_however_many_points_go(backups, monkeypatch, check):
    for number in range(5):
        backups.guest.write(number * CLUSTER, bytes([number + 9]) * 100)
        backups.take(backups.guest)
    read, seen = Machine.read, []
    monkeypatch.setattr(Machine, "read", lambda machine, name: seen.append(name) or read(machine, name))
    assert care(backups, state="pruned", keep_last=1, check=check)["counts"] == {"removed": 7, "kept": 1}
    # The newest once more, for the name of its VM.
    assert sorted(seen) == sorted([*backups.kept, max(backups.kept)])


def test_the_newest_point_that_can_be_read_is_merged(backups):
    second_chain(backups)
    damaged = spoil(backups, 1)
    failure = failed(backups, state="merged")
    assert became(failure) == ["damaged", "damaged", "merged"]
    assert damaged in str(failure)
    assert care(backups, state="merged", vm="web", point=list(backups.kept)[-1])["counts"] == {"unchanged": 1}
    assert points(backups)[-1]["kind"] == "full"


def test_damage_of_one_vm_is_none_of_another(backups):
    folder = backups.repository.folder(OTHER)
    shutil.copytree(backups.repository.folder(UUID), folder)
    # Its manifests name the VM that they were made of, so none of them is one of this VM.
    failure = failed(backups, state="pruned", keep_last=1)
    assert failure.result["counts"] == {"damaged": 3, "removed": 2, "kept": 1}
    assert [each["instance_uuid"] for each in failure.result["failures"]] == [OTHER]


# What was done is noted


def test_when_a_point_was_verified_and_restored_is_known(backups):
    machine = backups.repository.read(UUID)
    point = machine.points[0]
    assert (records.verified(machine, point), records.restored(machine, point)) == (None, [])
    records.note_verified(machine, point)
    for number in range(25):
        assert records.note_restored(machine, point, f"/srv/{number}", ["Hard disk 1"]) == ""
    found = points(backups)[0]
    assert found["verified"].endswith("+00:00")
    assert [each["to"] for each in found["restored"]] == [f"/srv/{number}" for number in range(5, 25)]
    # The one that stands on it gets its image, which nobody has verified whole.
    with backups.locked() as locked:
        records.note_verified(locked, locked.points[1])
        locked.remove(point.id, soon())
    assert points(backups)[0]["verified"] is None


@pytest.mark.parametrize("data", [b"", b"[1]", b"{}", b'{"at": 1}', b'[{"at": "x", "disks": []}]', b"\xff\xfe", b"[" * 9999])
def test_notes_that_are_damaged_are_no_notes(backups, data):
    folder = os.path.dirname(image(backups, 0))
    for name in ("verified.json", "restored.json"):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
        os.chmod(os.path.join(folder, name), 0o600)
    found = points(backups)[0]
    assert (found["verified"], found["restored"]) == (None, [])


def test_a_restore_whose_note_cannot_be_written_is_a_warning(backups):
    machine = backups.repository.read(UUID)
    point = machine.points[0]
    os.mkdir(os.path.join(machine.folder_of(point), "restored.json"))
    assert "could not be noted" in records.note_restored(machine, point, "/srv", [])
