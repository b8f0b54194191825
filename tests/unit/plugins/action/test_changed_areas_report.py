# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role changed_areas_report in playbooks: which VMs the hosts of a group are."""

from __future__ import annotations

import json
import os

import pytest

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


def test_what_fails_fails_the_role_and_the_next_night_reports_the_change(make_sim, tmp_path):
    sim = make_sim("--vms", "1")
    sim.create_vm("web-1", disks=[{"bytes": 1 << 20}], on=True)
    backup = tmp_path / "backup.yml"
    backup.write_text("- name: Back up\n  ansible.builtin.assert:\n    that: backup_succeeds\n", encoding="utf-8")
    report = tmp_path / "report.html"
    play = Plays(sim, tmp_path, "changed_areas_report", keep=("result", "committed"))
    asked = {
        "vms": [{"name": "web-1"}],
        "state_file": str(tmp_path / "state.json"),
        "path": str(report),
        "areas_directory": str(tmp_path / "areas"),
        "backup_tasks": str(backup),
    }

    def night(*, succeeds=True):
        return play.run("-e", json.dumps({"backup_succeeds": succeeds}), **asked)

    first = night()
    assert first.code == 0, first.output
    assert first.left["committed"]["changed"]
    sim.write_disk("web-1", offset=0, length=4096, seed=1)
    # The backup fails: nothing is committed.
    assert night(succeeds=False).code != 0
    # The page cannot be written: the role says so, and does not go on.
    report.unlink()
    os.mkfifo(report)
    sim.reset_calls()
    refused = night()
    assert refused.code != 0
    assert "it is a named pipe" in refused.output
    assert sim.calls()["by_method"] == {}
    report.unlink()
    told = night()
    assert told.code == 0, told.output
    (disk,) = told.left["result"]["vms"][0]["disks"]
    assert (disk["changed_bytes"], len(disk["uncommitted"])) == (4096, 1)
    (left,) = night().left["result"]["vms"][0]["disks"]
    assert (left["changed_bytes"], left["uncommitted"]) == (0, [])


def test_areas_that_nothing_in_the_role_has_used_are_reported_again(make_sim, tmp_path):
    """As after a slip in the name of the variable for the user's backup."""
    sim = make_sim("--vms", "0")
    sim.create_vm("web-1", on=True)
    play = Plays(sim, tmp_path, "changed_areas_report", keep=("result",))
    files = {
        "state_file": str(tmp_path / "state.json"),
        "path": str(tmp_path / "r.html"),
        "areas_directory": str(tmp_path / "a"),
    }
    first = play.run(vms=[{"name": "web-1"}], **files)
    assert first.code == 0, first.output
    (disk,) = play.run(vms=[{"name": "web-1"}], **files).left["result"]["vms"][0]["disks"]
    assert len(disk["uncommitted"]) == 1


@pytest.mark.parametrize(
    ("missing", "check"), [("state_file", False), ("path", False), ("areas_directory", False), ("path", True)]
)
def test_a_file_that_cannot_be_written_fails_the_role_before_anything_is_changed(make_sim, tmp_path, missing, check):
    sim = make_sim("--vms", "0")
    sim.create_vm("web-1", on=True)
    play = Plays(sim, tmp_path, "changed_areas_report", keep=("result",))
    files = {name: str(tmp_path / name) for name in ("state_file", "path", "areas_directory")}
    (tmp_path / "file").write_text("", encoding="utf-8")
    files[missing] = str(tmp_path / "file" / "below")
    ran = play.run(*(["--check"] if check else []), vms=[{"name": "web-1"}], **files)
    assert ran.code != 0
    assert str(tmp_path / "file") in ran.output
    assert sim.calls()["by_method"] == {}


def test_vms_that_cannot_be_found_fail_alone_and_the_others_are_reported(make_sim, tmp_path):
    sim = make_sim("--vms", "0")
    sim.create_vm("web-1", disks=[{"bytes": 1 << 20}], on=True)
    for number in (1, 2):
        sim.govc("folder.create", f"/DC0/vm/folder-{number}")
        sim.create_vm("twin", folder=f"/DC0/vm/folder-{number}")
    play = Plays(sim, tmp_path, "changed_areas_report", keep=("result", "not_tracked", "committed"))
    asked = {
        "vms": [{"name": "gone"}, {"name": "web-1"}, {"name": "twin"}, {"moid": "vm-999999"}],
        "state_file": str(tmp_path / "state.json"),
        "path": str(tmp_path / "page.html"),
    }
    ran = play.run(**asked)
    # It fails at its very end, when all is done.
    assert ran.code != 0
    result = ran.left["result"]
    codes = [vm.get("error", {}).get("error_code") for vm in result["vms"]]
    assert codes == ["not_found", None, "ambiguous", "not_found"]
    assert [vm["name"] for vm in result["failures"]] == ["gone", "twin", "vm-999999"]
    assert [vm["name"] for vm in ran.left["not_tracked"]] == ["gone", "twin", "vm-999999"]
    assert ran.left["committed"]["changed"]
    assert "3 of 4 VMs failed" in ran.output
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "No VM with the name gone was found" in page
    assert play.run(fail=False, **asked).code == 0
