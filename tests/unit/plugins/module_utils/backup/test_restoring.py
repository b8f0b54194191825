# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores into a VM that is there, against a simulator whose disks have real bytes."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.restores import MIB, restores


@pytest.fixture(name="web")
def _web(make_sim, tmp_path, monkeypatch):
    """The tracked VM web-1, which is on, with a disk of 4 MiB and a backup of it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with restores(make_sim("--vms", "2"), tmp_path) as known:
        known.make("web-1", size=4 * MIB)
        known.write(0, seed=1)
        known.run()
        yield known


def test_a_disk_is_as_it_was_and_the_old_one_is_gone(web):
    kept, old = web.content(), web.file()
    web.write(MIB, seed=2)
    assert web.content() != kept
    web.off()
    ran = web.restore()
    assert ran.result["changed"]
    assert ran.result["into"]["actions"] == ["disks_brought_in", "disks_replaced", "replaced_disks_deleted"]
    (disk,) = ran.result["disks"]
    assert (disk["action"], disk["compared"], disk["not_read"]) == ("restored", "content", "")
    assert disk["replaced"] == {"path": old, "deleted": True, "reason": ""}
    assert web.content() == kept
    assert (web.file(), web.file() != old) == (disk["path"], True)
    web.assert_nothing_is_left()
