# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores that end in the middle: the VM has its old disks or the restored ones, and the next run goes on."""

from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.restores import MIB, restores


@pytest.fixture(name="web")
def _web(make_sim, tmp_path, monkeypatch):
    """The tracked VM web-1, which is off, with two disks of 2 MiB and a backup of them that differs from them."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with restores(make_sim("--vms", "2"), tmp_path) as known:
        known.make("web-1", disks=2, size=2 * MIB)
        known.write(0, seed=1)
        known.write(0, seed=2, key=2001)
        known.run()
        known.write(MIB, seed=3)
        known.write(MIB, seed=4, key=2001)
        yield known


def contents(web):
    return web.content(), web.content(key=2001)


# Where most is at stake: a disk has come and is not noted, one is on its way, all are to be exchanged, none is deleted.
_FEW = [
    ("HttpNfcLeaseComplete", 1),
    ("MoveVirtualDisk_Task", 2),
    ("ReconfigVM_Task", 3),
    ("DeleteVirtualDisk_Task", 1),
]

# Every call that changes something, as often as a restore of two disks makes it; all are tried where VFORGE_KILLS is set.
_ALL = [
    *_FEW,
    ("ImportVApp", 1),
    ("ReconfigVM_Task", 1),
    ("MoveVirtualDisk_Task", 1),
    ("Destroy_Task", 1),
    ("ImportVApp", 2),
    ("HttpNfcLeaseComplete", 2),
    ("ReconfigVM_Task", 2),
    ("Destroy_Task", 2),
    ("PowerOffVM_Task", 1),
    ("DeleteVirtualDisk_Task", 2),
    ("PowerOnVM_Task", 1),
]
_CALLS = _ALL if "VFORGE_KILLS" in os.environ else _FEW


@pytest.mark.parametrize(("method", "nth"), _CALLS)
def test_a_restore_that_is_killed_at_a_call_is_gone_on_with(web, method, nth):
    before = contents(web)
    (point,) = web.points()
    wanted = (web.restored(0), web.restored(0, key=2001))
    asked = {"point": point.id, "power_off": True, "powered_on": True}
    assert web.killed_at(method, nth, **asked)
    assert contents(web) in (before, wanted)
    ran = web.restore(**asked)
    assert contents(web) == wanted
    assert web.state() == "poweredOn"
    assert ran.result["into"]["warnings"] == []
    web.assert_nothing_is_left()


def test_what_has_come_is_not_sent_again(web):
    # A call that only reads: one that changes something may be carried out after the death of who made it.
    assert web.killed_at("HttpNfcLeaseGetManifest", 2, power_off=True)
    ran = web.restore(power_off=True)
    assert (ran.called("ImportVApp"), ran.result["into"]["actions"][:2]) == (1, ["leftover_removed", "disks_brought_in"])
    web.assert_nothing_is_left()


@pytest.mark.parametrize("method", ["MoveVirtualDisk_Task", "Destroy_Task"])
def test_what_is_left_goes_also_where_nothing_else_is_to_be_done(web, method):
    before = contents(web)
    assert web.killed_at(method, 1, power_off=True)
    web.off()
    web.run()
    ran = web.restore(point="latest")
    assert (ran.result["into"]["actions"], contents(web)) == (["leftover_removed"], before)
    web.assert_nothing_is_left()


def test_a_disk_that_came_and_was_changed_since_is_brought_in_again(web):
    assert web.killed_at("PowerOffVM_Task", 1, power_off=True)
    wanted = (web.restored(0), web.restored(0, key=2001))
    folder = pathlib.Path(web.sim.disk("web-1")["layers"][0]["extent"]).parent
    (extent,) = folder.glob("restored-*-scsi0-0-flat.vmdk")
    with extent.open("r+b") as file:
        file.write(b"somebody's own")
    ran = web.restore(power_off=True)
    assert ran.called("ImportVApp") == 1
    assert contents(web) == wanted
    web.assert_nothing_is_left()
