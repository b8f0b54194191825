# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Audits: what changed block tracking has missed is found, named, and in the new point."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._backup.audit import Missed, Tracked, differing
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.model import BackupDamaged, ShortRead
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.running import tasks
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.support import Backups, Guest, Memory

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def backups(make_sim, tmp_path, monkeypatch):
    """Tasks against a simulator with the tracked VM web-1, of whose disk of 8 MiB there is a backup."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with tasks(make_sim("--vms", "1"), tmp_path) as known:
        known.make("web-1", size=8 * MIB)
        known.sim.write_disk("web-1", offset=0, length=3 * MIB, seed=1)
        known.run()
        yield known


def missed(ran):
    return ran.one["disks"][0]["missed"]


@pytest.mark.parametrize("transport", ["nbd", "export"])
def test_what_tracking_has_missed_is_named_and_in_the_new_point(backups, transport):
    backups.sim.write_disk("web-1", offset=5 * MIB, length=64 * KIB, seed=2)
    backups.sim.write_disk("web-1", offset=2 * MIB, length=4 * KIB, seed=3, missed=True)
    # In the block of a change that is told, beside it.
    backups.sim.write_disk("web-1", offset=5 * MIB + 100 * KIB, length=1 * KIB, seed=4, missed=True)
    ran = backups.run(mode="audit", transport=transport)
    disk = ran.one["disks"][0]
    assert (disk["kind"], disk["read"], ran.one["point"]["kind"]) == ("audit", 8 * MIB, "incremental")
    assert missed(ran) == {
        "bytes": 5 * KIB,
        "areas": [{"start": 2 * MIB, "length": 4 * KIB}, {"start": 5 * MIB + 100 * KIB, "length": KIB}],
    }
    assert "has missed 5120 bytes of Hard disk 1" in ran.one["warnings"][0]
    assert ran.result["missed"] == [{"moid": ran.one["moid"]}]
    assert backups.restored(1) == backups.content()
    assert backups.snapshots("web-1") == []


def test_an_increment_alone_would_not_have_it(backups):
    backups.sim.write_disk("web-1", offset=2 * MIB, length=4 * KIB, seed=3, missed=True)
    backups.run(mode="incremental")
    assert backups.restored(1) != backups.content()
    assert missed(backups.run(mode="audit"))["bytes"] == 4 * KIB
    assert backups.restored(2) == backups.content()


def test_where_nothing_was_missed_nothing_is_written_but_what_changed(backups):
    backups.sim.write_disk("web-1", offset=5 * MIB, length=64 * KIB, seed=2)
    ran = backups.run(mode="audit")
    assert (missed(ran), ran.one["warnings"], ran.result["missed"]) == ({"bytes": 0, "areas": []}, [], [])
    assert ran.one["disks"][0]["written"] == 64 * KIB
    assert backups.run(mode="audit").one["disks"][0]["written"] == 0
    assert [backups.restored(number) for number in (1, 2)] == [backups.content()] * 2


def test_what_was_trimmed_and_missed_does_not_show_what_was_there(backups):
    backups.sim.write_disk("web-1", offset=MIB, data="AAAA" * 128 * 1024, missed=True)
    assert missed(backups.run(mode="audit"))["bytes"] == 384 * KIB
    assert backups.restored(1) == backups.content()


def test_an_audit_without_an_earlier_backup_is_a_full_one(backups):
    backups.make("web-2", size=MIB)
    disk = backups.run(mode="audit", vms=[{"name": "web-2"}]).one["disks"][0]
    assert (disk["kind"], disk["reason"]["code"], disk["missed"]) == ("full", "no_earlier_backup", None)


def test_an_audit_over_a_damaged_backup_fails_and_makes_no_point(backups):
    backups.sim.write_disk("web-1", offset=2 * MIB, length=4 * KIB, seed=3)
    (image,) = backups.repository.rglob("*.qcow2")
    with open(image, "r+b") as file:
        # All of the data: what stands before is a header and tables, a cluster each.
        file.seek(6 * 64 * KIB)
        file.write(b"?" * (os.path.getsize(image) - 6 * 64 * KIB))
    assert backups.attempt(mode="audit").code == "backup_damaged"
    assert len(backups.points()) == 1
    assert backups.snapshots("web-1") == []


def test_a_chain_is_cut_before_it_is_too_long(backups):
    ids = [backups.points()[0].id]
    for number in range(4):
        backups.sim.write_disk("web-1", offset=4 * MIB, length=4 * KIB, seed=10 + number)
        ran = backups.run(max_chain=3, mode="incremental")
        ids.append(ran.one["point"]["id"])
        assert ran.one["merged"] == (ids[2] if number == 2 else None)
    assert [point.kind for point in backups.points()] == ["full", "incremental", "full", "incremental", "incremental"]
    assert backups.restored(4) == backups.content()


@pytest.mark.parametrize("max_chain", [1, 501])
def test_a_limit_of_a_chain_that_cannot_be_right_is_refused(backups, max_chain):
    from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption

    with pytest.raises(InvalidOption, match="max_chain"):
        backups.options(max_chain=max_chain)


# A disk that grew


@pytest.mark.parametrize(
    ("before", "after", "writes"),
    [
        (MIB + 512 * KIB, MIB + 700 * KIB, False),
        (MIB + 512, 3 * MIB + 4 * KIB, True),
        (MIB + 512, 3 * MIB, False),
        (2 * MIB, 3 * MIB + 4 * KIB, False),
    ],
)
def test_a_disk_that_grew_from_any_capacity_is_audited(tmp_path, before, after, writes):
    made, guest = Backups(tmp_path / "repository"), Guest(before)
    guest.write(0, b"\x5a" * before)
    made.take(guest)
    guest.grow(after - before)
    if writes:
        guest.write(before - 512, b"\xa5" * 100 * KIB)
    point = made.take(guest, audit=True)
    with made.locked() as machine:
        assert (made.verified(machine, point), point.disks[0].backing) == (True, machine.points[0].id)
        assert made.content(machine, point, tmp_path) == guest.data


@pytest.mark.parametrize("audit", [False, True])
def test_a_disk_that_ends_within_a_block_keeps_the_digest_of_it(tmp_path, audit):
    made, guest = Backups(tmp_path / "repository"), Guest(2 * MIB + 192 * KIB)
    guest.write(0, b"\x5a" * len(guest.data))
    made.take(guest)
    # Elsewhere, in a part of its last block, and nothing at all.
    for offset in (0, 2 * MIB + 64 * KIB, None):
        if offset is not None:
            guest.write(offset, b"\xa5" * 4 * KIB)
        point = made.take(guest, audit=audit)
        with made.locked() as machine:
            assert made.verified(machine, point)
            assert made.content(machine, point, tmp_path) == guest.data


@pytest.mark.parametrize("audit", [False, True])
def test_the_last_block_of_a_disk_that_grew_is_compared_before_more_stands_on_it(tmp_path, audit):
    made, guest = Backups(tmp_path / "repository"), Guest(512 * KIB)
    guest.write(0, b"\x5a" * len(guest.data))
    made.take(guest)
    (image,) = (tmp_path / "repository").rglob("*.qcow2")
    image.write_bytes(image.read_bytes().replace(b"\x5a" * 4096, b"\x5b" * 4096, 1))
    guest.grow(MIB)
    with pytest.raises(BackupDamaged, match="its block of 1 MiB at byte 0 differs"):
        made.take(guest, audit=audit)


@pytest.mark.parametrize("audit", [False, True])
def test_a_disk_of_which_less_comes_than_was_asked_for_makes_no_point(tmp_path, monkeypatch, audit):
    made, guest = Backups(tmp_path / "repository"), Guest(2 * MIB)
    made.take(guest)
    monkeypatch.setattr(Memory, "read", lambda _self, _offset, length: bytes(length - 512))
    with pytest.raises(ShortRead, match=r"bytes were asked for at byte \d+, and \d+ came\. Run again") as caught:
        made.take(guest, full=not audit, audit=audit)
    assert caught.value.error_code == "short_read"
    with made.locked() as machine:
        assert len(machine.points) == 1


@pytest.mark.parametrize("place", [0, 96 * KIB, MIB - 4 * KIB])
def test_what_an_earlier_image_has_lost_gets_no_digest_that_says_it_is_right(tmp_path, place):
    made, guest = Backups(tmp_path / "repository"), Guest(2 * MIB)
    guest.write(0, os.urandom(len(guest.data)))
    made.take(guest)
    (image,) = (tmp_path / "repository").rglob("*.qcow2")
    lost = bytes(guest.data[place : place + 4 * KIB])
    image.write_bytes(image.read_bytes().replace(lost, bytes(4 * KIB), 1))
    # Of the same block of 1 MiB another part changed, which is all that the increment reads.
    guest.write(500 * KIB, b"\xa5" * 4 * KIB)
    with pytest.raises(BackupDamaged, match="its block of 1 MiB at byte 0 differs"):
        made.take(guest)
    with made.locked() as machine:
        assert len(machine.points) == 1
    point = made.take(guest, full=True)
    with made.locked() as machine:
        assert made.verified(machine, point)
        assert made.content(machine, point, tmp_path) == guest.data


# Pure

_AREAS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), max_size=6)


@given(_AREAS, st.integers(0, 50), st.integers(1, 8))
def test_tracked_areas_are_found_as_by_looking_at_each_byte(areas, start, length):
    told = sorted({place for begin, size in areas for place in range(begin, begin + size)})
    joined = [(place, 1) for place in told]
    expected = any(start <= place < start + length for place in told)
    assert Tracked(joined).touches(start, start + length) is expected


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(1, 9))
def test_differing_pieces_hold_each_byte_that_differs_and_whole_pieces_only(first, second, size):
    length = min(len(first), len(second))
    first, second = first[:length], second[:length]
    found = list(differing(first, second, size))
    told = {place for start, count in found for place in range(start, start + count)}
    assert {place for place in range(length) if first[place] != second[place]} <= told
    assert all(start % size == 0 for start, _count in found)
    assert all(first[start : start + count] != second[start : start + count] for start, count in found)


def test_of_very_many_missed_areas_the_first_ones_are_named():
    found = Missed()
    # Readers come to them in any order.
    for number in reversed(range(300)):
        found.add(number * 4096, 512)
    found.in_order()
    assert (found.bytes, found.areas) == (300 * 512, [(number * 4096, 512) for number in range(100)])
    touching = Missed()
    for start in (512, 0, 1024, 4096):
        touching.add(start, 512)
    touching.in_order()
    assert touching.areas == [(0, 1536), (4096, 512)]
