# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role changed_areas_report in playbooks: which VMs the hosts of a group are."""

from __future__ import annotations

import json

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import Plays

# A name that would change what is asked for, were it pasted into a text.
_ODD = 'web", "moid": "vm-1'


def test_a_host_is_the_vm_of_its_name_whatever_is_in_it(make_sim, tmp_path):
    sim = make_sim("--vms", "1")
    sim.create_vm(_ODD, on=True)
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(json.dumps({"tracked": {"hosts": {_ODD: {}, "server-00001": {}}}}), encoding="utf-8")
    play = Plays(sim, tmp_path, "changed_areas_report", keep=("result",))
    files = {"state_file": str(tmp_path / "state.json"), "path": str(tmp_path / "report.html")}
    ran = play.run("-i", str(inventory), group="tracked", **files)
    assert ran.code == 0, ran.output
    assert sorted(vm["name"] for vm in ran.left["result"]["vms"]) == sorted([_ODD, "server-00001"])
    assert "&#34;, &#34;moid" in (tmp_path / "report.html").read_text(encoding="utf-8")
