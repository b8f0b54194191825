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


def test_check_mode_asks_vcenter_and_changes_nothing(start):
    tasks = start()
    before = tasks.names()
    ran = tasks.run(check=True, clones=[{"name": "a"}, {"name": "b"}])
    assert ran.actions == {"a": "created", "b": "created"}
    assert ran.called("CheckClone_Task") == 2
    assert ran.called("CloneVM_Task") == 0
    assert tasks.names() == before


def test_a_hundred_clones_cost_a_hundred_calls_and_twenty_in_an_inventory_of_any_size(start):
    for vms in ("10", "10000"):
        tasks = start("--vms", vms, "--clone-time", "5ms")
        asked = {
            "clones": [{"name": f"web-{number}"} for number in range(100)],
            "folder": "DC0_F0",
            "wait_for_ip_address": True,
        }
        ran = tasks.run(**asked)
        assert ran.result["counts"] == {"created": 100}
        assert ran.called("CloneVM_Task") == 100
        # A wait costs a filter, made and removed. For addresses there is none where all guests have reported by then.
        waits = ran.called("CreateFilter")
        assert waits in (1, 2)
        assert ran.total == 112 + 2 * waits, ran.calls
        again = tasks.run(**asked)
        assert again.result["counts"] == {"unchanged": 100}
        assert again.total == 12, again.calls
