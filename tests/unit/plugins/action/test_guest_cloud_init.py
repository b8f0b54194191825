# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role guest_cloud_init in playbooks: killed in the middle, and with secrets at the highest verbosity."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import Plays

_HIDDEN = "hunter2-and-more"


@pytest.fixture
def web(make_sim, tmp_path):
    """The role against a simulator of its own, with a source that has a snapshot."""
    sim = make_sim("--vms", "2", "--clone-time", "1ms")
    sim.create_vm("source", on=False)
    sim.govc("snapshot.create", "-vm", "/DC0/vm/source", "-m=false", "ready")
    return Plays(sim, tmp_path, "guest_cloud_init", keep=("result", "cloned"))


_ASKED = {
    "source": {"path": "/DC0/vm/source"},
    "snapshot": {"name": "ready"},
    "folder": "DC0_F0",
    "guests": [{"name": f"web-{number}", "userdata": {"password": _HIDDEN}} for number in (1, 2, 3)],
}


def test_a_run_after_kills_goes_on_where_they_struck_and_no_secret_is_shown(web):
    web.kill_at("CloneVM_Task", 2, nth=2, **_ASKED)
    web.kill_at("PowerOnVM_Task", 2, nth=2, **_ASKED)
    ran = web.run("-vvvv", **_ASKED)
    assert ran.code == 0, ran.output
    assert ran.left["cloned"]["changed"] is False
    assert [vm["finished"] for vm in ran.left["result"]["vms"]] == ["done"] * 3
    assert len(web.vms("/DC0/vm/DC0_F0/web-*")) == 3
    assert _HIDDEN not in ran.output
    again = web.run(**_ASKED)
    assert (again.code, [method for method in again.calls if method.endswith("_Task")]) == (0, [])
