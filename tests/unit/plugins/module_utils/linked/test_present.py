# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making linked and full clones, looked at from outside."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("disk_mode", ["linked", "full"])
def test_a_clone_is_made_kept_and_removed(start, disk_mode):
    tasks = start()
    asked = {"clones": [{"name": "a"}, {"name": "b"}], "disk_mode": disk_mode}
    made = tasks.run(**asked)
    assert made.actions == {"a": "created", "b": "created"}
    assert made.called("CloneVM_Task") == 2
    vm = tasks.sim.vm("a")
    assert vm["extra_config"]["vforge.clone"] == f"{tasks.sim.vm('golden')['instance_uuid']} a"
    assert made.clones["a"]["moid"] == vm["moid"]
    again = tasks.run(**asked)
    assert again.result["counts"] == {"unchanged": 2}
    gone = tasks.run(**asked, state="absent")
    assert gone.result["counts"] == {"removed": 2}
    assert tasks.run(**asked, state="absent").result["counts"] == {"absent": 2}
