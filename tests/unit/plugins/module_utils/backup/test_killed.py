# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs that are killed: every point that was whole before still restores, and the next run goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import images
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.support import Backups, Guest, soon

MIB = 2**20
_FORK = multiprocessing.get_context("fork")

# Spread evenly over the time that the work takes; more of them are tried where this is set.
_MOMENTS = int(os.environ.get("VFORGE_KILLS", "8"))


def killed(work, seconds):
    """Run something in a process of its own that is killed after so many seconds."""
    process = _FORK.Process(target=work)
    process.start()
    process.join(seconds)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert process.exitcode in (0, -signal.SIGKILL)


def make(tmp_path):
    """Backups of a guest: three points, of which each has some of its own."""
    backups, guest = Backups(tmp_path / "repository"), Guest(6 * MIB)
    for number in range(3):
        guest.write(number * MIB, bytes([number + 1]) * 1_500_000)
        backups.take(guest)
    return backups, guest


def assert_all_restore(backups, tmp_path, kept):
    with backups.locked() as machine:
        for point in machine.points:
            assert backups.content(machine, point, tmp_path) == kept[point.id]
        return [point.id for point in machine.points]


@pytest.mark.parametrize("moment", range(_MOMENTS))
def test_a_backup_that_is_killed_leaves_the_points_as_they_were(tmp_path, moment):
    backups, guest = make(tmp_path)
    guest.write(5 * MIB, b"z" * 700_000)
    killed(lambda: backups.take(guest), moment / _MOMENTS * 0.5)
    with backups.locked() as machine:
        for point in machine.points:
            expected = backups.kept.get(point.id, bytes(guest.data))
            assert backups.content(machine, point, tmp_path) == expected
            backups.kept[point.id] = expected
        assert not [name for name in os.listdir(f"{machine.folder}/points") if name.startswith(".staging")]
    # The parent of that process has not read the changes: it does so now, once more or for the first time.
    newest = backups.take(guest)
    assert assert_all_restore(backups, tmp_path, backups.kept)[-1] == newest.id


@pytest.mark.parametrize("moment", range(_MOMENTS))
def test_a_removal_that_is_killed_is_finished_by_the_next_run(tmp_path, moment):
    backups, _guest = make(tmp_path)
    first, second, third = list(backups.kept)

    def remove():
        with backups.locked() as machine:
            machine.remove(second, soon())

    killed(remove, moment / _MOMENTS * 0.4)
    left = assert_all_restore(backups, tmp_path, backups.kept)
    # It was begun, and is finished now; or it was not begun.
    assert left in ([first, third], [first, second, third])


@pytest.mark.parametrize("last", ["commit", "prove", "rename", "manifest"])
def test_a_removal_that_ends_between_two_steps_is_finished(tmp_path, monkeypatch, last):
    from ansible_collections.vforge.vsphere.plugins.module_utils._backup import repository

    places = {
        "commit": (images, "commit"),
        "prove": (repository, "prove"),
        "rename": (repository.os, "rename"),
        "manifest": (repository, "_write"),
    }
    backups, _guest = make(tmp_path)
    first, second, third = list(backups.kept)

    def remove():
        with backups.locked() as machine:
            module, name = places[last]
            real = getattr(module, name)
            calls = []

            def end_after(*args, **kwargs):
                real(*args, **kwargs)
                calls.append(args)
                # The first file that is written says that the removal has begun.
                if len(calls) > (last == "manifest"):
                    os.kill(os.getpid(), signal.SIGKILL)

            monkeypatch.setattr(module, name, end_after)
            machine.remove(second, soon())

    killed(remove, 30)
    assert assert_all_restore(backups, tmp_path, backups.kept) == [first, third]
