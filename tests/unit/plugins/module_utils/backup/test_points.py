# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Points of a repository: whatever is written, merged and removed, each that is kept restores bit for bit."""

from __future__ import annotations

import contextlib
import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import VforgeError
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.support import KEY, Backups, Guest, soon

MIB = 2**20

_WRITES = st.tuples(st.just("write"), st.integers(0, 4 * MIB), st.integers(1, 300_000), st.integers(0, 255))
_TRIMS = st.tuples(st.just("trim"), st.integers(0, 4 * MIB), st.integers(1, 600_000))
_GROWTHS = st.tuples(st.just("grow"), st.integers(1, 900).map(lambda sectors: sectors * 512))
_BACKUPS = st.tuples(st.just("backup"), st.booleans())
_REMOVALS = st.tuples(st.just("remove"), st.integers(0, 5))
_MERGES = st.tuples(st.just("merge"), st.integers(0, 5))
_STEPS = st.one_of(_WRITES, _TRIMS, _GROWTHS, _BACKUPS, _BACKUPS, _REMOVALS, _MERGES)


def play(steps, backups, guest):
    """Carry out what hypothesis thought of."""
    for step in steps:
        match step:
            case ("write", start, length, byte):
                start %= len(guest.data)
                guest.write(start, bytes([byte]) * min(length, len(guest.data) - start))
            case ("trim", start, length):
                start %= len(guest.data)
                guest.write(start, bytes(min(length, len(guest.data) - start)))
            case ("grow", size):
                guest.grow(size)
            case ("backup", full):
                backups.take(guest, full=full)
            case (("remove" | "merge") as what, place):
                with backups.locked() as machine:
                    change(what, place, backups, machine)


def change(what, place, backups, machine):
    """Remove or merge one of the points, if there is any."""
    points = machine.points
    if not points:
        return
    point = points[place % len(points)]
    if what == "merge":
        assert machine.make_full(point, soon()).kind == "full"
    else:
        machine.remove(point.id, soon())
        del backups.kept[point.id]


@settings(max_examples=12)
@given(st.lists(_STEPS, max_size=14))
def test_each_point_that_is_kept_restores_bit_for_bit(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("backups")
    backups, guest = Backups(folder / "repository"), Guest(3 * MIB + 512)
    guest.write(0, b"boot" * 1000)
    backups.take(guest)
    play(steps, backups, guest)
    with backups.locked() as machine:
        assert {point.id for point in machine.points} == set(backups.kept)
        for point in machine.points:
            assert backups.verified(machine, point)
            assert backups.content(machine, point, folder) == backups.kept[point.id]


@settings(max_examples=10)
@given(st.lists(_STEPS, max_size=5), st.integers(0), st.integers(0), st.binary(min_size=1, max_size=5000))
def test_a_point_that_verifies_after_any_damage_restores_bit_for_bit(tmp_path_factory, steps, file, place, noise):
    folder = tmp_path_factory.mktemp("backups")
    backups, guest = Backups(folder / "repository"), Guest(2 * MIB)
    guest.write(0, b"boot" * 1000)
    play([*steps, ("backup", False), ("write", MIB, 70_000, 7), ("backup", False)], backups, guest)
    files = sorted(path for path in (folder / "repository").rglob("points/*/*") if path.is_file())
    with open(files[file % len(files)], "r+b") as damaged:
        damaged.seek(place % os.path.getsize(damaged.name))
        damaged.write(noise)
    # What stands on it later must not make it right.
    guest.write(place % MIB, b"later")
    with contextlib.suppress(VforgeError):
        backups.take(guest)
    with backups.locked() as machine:
        for point in machine.known().points:
            try:
                assert backups.verified(machine, point)
            except VforgeError:
                continue
            assert backups.content(machine, point, folder) == backups.kept[point.id]


def test_what_is_trimmed_does_not_show_what_was_there(tmp_path):
    backups, guest = Backups(tmp_path / "repository"), Guest(2 * MIB)
    guest.write(0, b"x" * 2 * MIB)
    backups.take(guest)
    guest.write(100_000, bytes(500_000))
    point = backups.take(guest)
    with backups.locked() as machine:
        content = backups.content(machine, point, tmp_path)
    assert content == bytes(guest.data)
    assert content[100_000:600_000] == bytes(500_000)


def test_an_increment_reads_only_what_changed(tmp_path):
    backups, guest = Backups(tmp_path / "repository"), Guest(8 * MIB)
    guest.write(0, b"x" * 8 * MIB)
    assert backups.take(guest).disks[0].read == 8 * MIB
    guest.write(3 * MIB, b"y" * 1000)
    point = backups.take(guest)
    assert (point.disks[0].read, point.kind) == (64 * 1024, "incremental")


def test_qemu_img_reads_a_point_without_us(tmp_path):
    backups, guest = Backups(tmp_path / "repository"), Guest(2 * MIB)
    guest.write(0, b"one" * 100_000)
    backups.take(guest)
    guest.write(MIB, b"two" * 1000)
    point = backups.take(guest)
    with backups.locked() as machine:
        image = machine.path_of(point, point.disk(KEY))
    raw = tmp_path / "disk.raw"
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, raw], check=True)
    assert raw.read_bytes() == bytes(guest.data)
    subprocess.run(["qemu-img", "check", "-f", "qcow2", image], check=True, capture_output=True)


@pytest.mark.parametrize("form", ["raw", "qcow2", "vmdk"])
def test_a_disk_is_restored_in_the_form_that_is_asked_for(tmp_path, form):
    from ansible_collections.vforge.vsphere.plugins.module_utils._backup import disk as disks

    backups, guest = Backups(tmp_path / "repository"), Guest(2 * MIB + 512)
    guest.write(MIB, b"content" * 1000)
    point = backups.take(guest)
    with backups.locked() as machine:
        disks.restore(machine, point, point.disk(KEY), str(tmp_path / "out"), form, soon())
    expected = tmp_path / "expected.raw"
    expected.write_bytes(bytes(guest.data))
    compare = ["qemu-img", "compare", "-f", form, "-F", "raw", tmp_path / "out", expected]
    subprocess.run(compare, check=True, capture_output=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expected.raw", "out", "repository"]
