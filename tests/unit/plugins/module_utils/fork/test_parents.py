# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parents from disabled to quiesced and back, in the simulator."""

from __future__ import annotations

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.fork.running import named


def test_a_running_vm_becomes_a_quiesced_parent_once(start):
    forks = start()
    ran = forks.run()
    assert (ran.one["changed"], ran.one["actions"], ran.one["state"]) == (True, ["enabled", "quiesced"], "quiesced")
    assert forks.quiesced()
    assert ran.one["fork_group_id"] == forks.fork_info()["parentForkGroupId"]
    again = forks.run()
    assert (again.result["changed"], again.one["actions"], again.one["state"]) == (False, [], "quiesced")
    assert "StartProgramInGuest" not in again.calls
    assert again.result["diff"]["before"] == again.result["diff"]["after"] == ""
    assert forks.warnings == []


def test_children_are_forked_and_set_themselves_up(start):
    forks = start()
    ran = forks.run(children=named("web-1", "web-2"), wait_for_ip_address=True)
    assert ran.actions == {"web-1": "created", "web-2": "created"}
    assert ran.listed == ["web-1", "web-2"]
    for name, child in ran.children.items():
        assert (child["power_state"], child["child_type"], child["persistent"]) == ("poweredOn", "nonpersistent", False)
        assert child["ip"] == forks.sim.vm(name)["ip"]
        assert forks.sim.guest_file(name, "/etc/hostname") == f"{name}\n"
        assert forks.left_in_guest(name) == []
        assert forks.fork_info(name)["childForkGroupId"] == ran.one["fork_group_id"]
    again = forks.run(children=named("web-1", "web-2"), wait_for_ip_address=True)
    assert again.result["changed"] is False
    assert again.actions == {"web-1": "unchanged", "web-2": "unchanged"}
