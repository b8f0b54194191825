# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The roles vm_restore and restore_drill in playbooks: a new VM of a backup, and backups that are tried."""

from __future__ import annotations

import json

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.policies import find_policy, policies_of
from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import Plays
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.restores import MIB, restores
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import session


@pytest.fixture(name="web")
def _web(programs, make_sim, tmp_path, monkeypatch):
    """The VM web-1 with a disk of 2 MiB, and a backup of it."""
    assert programs is None
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with restores(make_sim("--vms", "1", "--clusters", "1"), tmp_path) as known:
        known.make("web-1", size=2 * MIB)
        known.write(0, seed=1)
        known.run()
        (tmp_path / "packages").mkdir(mode=0o700)
        yield known


def vms(web):
    return sorted(path.rpartition("/")[2] for path in web.sim.govc("find", "/DC0/vm", "-type", "m") or ())


def test_a_new_vm_has_what_the_backup_has_and_what_is_to_be_kept(web, tmp_path):
    plays = Plays(web.sim, tmp_path, "vm_restore", ("result", "compared", "guest", "started"))
    asked = {
        "repository": str(web.repository),
        "vm": "web-1",
        "name": "again",
        "dest": str(tmp_path / "packages"),
        "default_network": "VM Network",
        "keep_mac_addresses": True,
        "keep_bios_uuid": True,
        "powered_on": True,
        "wait_for_tools": True,
    }
    # A run that ends when the VM is there and not yet proved: the next one proves it.
    plays.kill_at("CloneVM_Task", 1, **asked)
    assert [path.name for path in (tmp_path / "packages").glob("*.not-proved")]
    # Another VM of the same package is proved for itself.
    other = plays.run(**{**asked, "name": "other", "powered_on": False, "wait_for_tools": False, "keep_bios_uuid": False})
    assert (other.code, [disk["action"] for disk in other.left["compared"]["disks"]]) == (0, ["unchanged"]), other.output
    ran = plays.run(**asked)
    assert ran.code == 0, ran.output
    assert [disk["action"] for disk in ran.left["compared"]["disks"]] == ["unchanged"]
    assert not list((tmp_path / "packages").glob("*.not-proved"))
    assert ran.left["guest"]["vm"]["tools_answer"] is True
    old, new = web.vm("web-1").config, web.vm("again").config
    assert (new.uuid, new.instanceUuid != old.instanceUuid) == (old.uuid, True)
    macs = [[card.macAddress for card in config.hardware.device if hasattr(card, "macAddress")] for config in (old, new)]
    assert macs[0] == macs[1] != []
    (disk,) = web.sim.vm("again")["disks"]
    assert web.sim.read_disk("again", key=disk["key"], length=2 * MIB) == web.content()


def test_what_could_not_be_compared_is_said_until_the_vm_runs(web, tmp_path):
    web.sim.request("POST", "/datastores/LocalDS_0", {"type": "vsan"})
    plays = Plays(web.sim, tmp_path, "vm_restore", ("compared",))
    asked = {
        "repository": str(web.repository),
        "vm": "web-1",
        "name": "again",
        "dest": str(tmp_path / "packages"),
        "default_network": "VM Network",
        "datastore": "LocalDS_0",
    }
    marks = []
    for power_on in (False, True):
        if power_on:
            web.sim.govc("vm.power", "-on", "again")
        ran = plays.run(**asked)
        assert ran.code == 0, ran.output
        assert "It is not known whether these disks of again came as they are in the backup" in ran.output
        marks.append(len(list((tmp_path / "packages").glob("*.not-proved"))))
    assert marks == [1, 0]


def test_a_new_vm_gets_the_tags_and_the_policies_that_the_backup_has(web, tmp_path):
    web.sim.request("POST", "/policies", {"name": "gold", "datastores": ["LocalDS_0"]})
    web.govc("tags.category.create", "-m", "tier")
    web.govc("tags.create", "-c", "tier", "first")
    web.govc("tags.attach", "first", "/DC0/vm/web-1")
    with session(web.sim) as opened:
        gold = find_policy(opened, "gold").profile
        web.restore(power_off=True, content=False, storage_policy="gold")
        web.run()
        plays = Plays(web.sim, tmp_path, "vm_restore", ("put_back",))
        asked = {
            "repository": str(web.repository),
            "vm": "web-1",
            "name": "again",
            "dest": str(tmp_path / "packages"),
            "default_network": "VM Network",
            "datastore": "LocalDS_0",
            "settings": ["tags", "storage_policies"],
        }
        for would in (plays.run("--check", **asked), plays.run(check_mode=True, **asked)):
            assert (would.code, "again" in vms(web)) == (0, False)
        done = []
        for _run in range(2):
            ran = plays.run(**asked)
            assert ran.code == 0, ran.output
            done.append(ran.left["put_back"]["into"]["actions"])
        assert done == [["storage_policies_set", "tags_attached"], []]
        (disk,) = web.sim.vm("again")["disks"]
        assert policies_of(opened, web.vm("again")._GetMoId(), [disk["key"]]) == {disk["key"]: (gold,)}
    assert web.sim.govc("tags.attached.ls", "-r", "/DC0/vm/again") == ["first"]


def drill(web, tmp_path, *names):
    """The variables of a drill of these VMs."""
    return {
        "repository": str(web.repository),
        "vms": list(names),
        "network": "VM Network",
        "dest": str(tmp_path / "packages"),
    }


@pytest.mark.parametrize("by", ["--check", "check_mode"])
def test_in_check_mode_a_drill_makes_nothing_and_says_what_it_would_try(web, tmp_path, by):
    before, plays = vms(web), Plays(web.sim, tmp_path, "restore_drill", ("results",))
    asked = {**drill(web, tmp_path, "web-1", "nobody"), "command": ["/bin/true"], "report": str(tmp_path / "drill.json")}
    ran = plays.run("--check", **asked) if by == "--check" else plays.run(check_mode=True, **asked)
    assert ran.code == 2, ran.output
    web_1, nobody = ran.left["results"]
    assert (web_1["state"], web_1["why"], web_1["point"]) == ("would_be_tried", "", web.points()[0].id)
    assert (nobody["state"], "There are no backups of nobody" in nobody["why"]) == ("failed", True)
    made = {"ImportVApp", "CloneVM_Task", "PowerOnVM_Task", "Destroy_Task", "ReconfigVM_Task", "StartProgramInGuest"}
    assert made.isdisjoint(ran.calls)
    assert (vms(web), list((tmp_path / "packages").iterdir()), (tmp_path / "drill.json").exists()) == (before, [], False)


def test_a_drill_of_a_vm_whose_name_looks_like_a_path_removes_its_own_files_alone(web, tmp_path):
    name = "x/../../outside"
    (outside := tmp_path / "outside").mkdir()
    (outside / "mine").write_text("stays", encoding="utf-8")
    moid = web.sim.vm("web-1")["moid"]
    web.sim.govc("vm.change", "-vm", "web-1", "-name", name)
    web.run(vms=[{"moid": moid}])
    before, plays = vms(web), Plays(web.sim, tmp_path, "restore_drill", ("results",))
    ran = plays.run(**drill(web, tmp_path, name))
    assert ran.code == 0, ran.output
    assert [(each["vm"], each["state"]) for each in ran.left["results"]] == [(name, "passed")]
    assert (outside / "mine").read_text(encoding="utf-8") == "stays"
    assert (vms(web), list((tmp_path / "packages").iterdir())) == (before, [])
    assert sorted(path.name for path in tmp_path.glob("**/drill-*")) == []


def test_a_drill_is_in_its_own_network_whatever_the_command_line_says_of_restores(web, tmp_path):
    before, plays = vms(web), Plays(web.sim, tmp_path, "restore_drill", ("results",))
    ran = plays.run("-e", "vm_restore_default_network=DC0_DVPG0", **drill(web, tmp_path, "web-1"))
    assert ran.code == 2, ran.output
    (refused,) = ran.left["results"]
    assert (refused["state"], "vm_restore_default_network would win" in refused["why"]) == ("failed", True)
    assert ({"ImportVApp", "CloneVM_Task"}.isdisjoint(ran.calls), vms(web)) == (True, before)
    # Where it cannot be looked for what an earlier drill has left, this one has made nothing.
    ran = plays.run(**drill(web, tmp_path, "web-1"), datacenter="DC9")
    assert ran.code == 2, ran.output
    (refused,) = ran.left["results"]
    assert refused["why"].startswith("No datacenter DC9 was found.")
    assert "What it has made" not in refused["why"]


def test_drills_that_are_killed_fail_or_pass_leave_nothing(web, tmp_path):
    before = vms(web)
    plays = Plays(web.sim, tmp_path, "restore_drill", ("results",))
    asked = {
        **drill(web, tmp_path, "nobody", "web-1"),
        "guest_username": web.sim.guest_username,
        "guest_password": web.sim.guest_password,
        # What a guest writes is no template, whatever it looks like: printf makes braces of these numbers.
        "command": ["/bin/sh", "-c", r"printf '\173\173 7 * 6 \175\175'"],
        "datastore": "LocalDS_0",
        "report": str(tmp_path / "drill.json"),
    }
    plays.kill_at("PowerOnVM_Task", 1, **{**asked, "vms": ["web-1"]})
    assert "drill-web-1" in vms(web)

    # A minute of the day in which nothing begins.
    shut = plays.run(**{**asked, "vms": ["web-1"]}, window_from="00:00", window_until="00:00")
    assert (shut.code, shut.left["results"][0]["state"]) == (2, "not_begun")

    # Disks on vSAN cannot be read, and the drill says so.
    web.sim.request("POST", "/datastores/LocalDS_0", {"type": "vsan"})
    ran = plays.run(**asked)
    # One of them has no backup, which does not keep the other from its drill.
    assert ran.code == 2, ran.output
    nobody, proved = ran.left["results"]
    assert (nobody["state"], "There are no backups of nobody" in nobody["why"]) == ("failed", True)
    assert (proved["state"], proved["output"], proved["why"]) == ("passed", "{{ 7 * 6 }}", "")
    assert (proved["not_compared"], nobody["not_compared"]) == (["Hard disk 1"], [])
    assert proved["point"] == web.points()[0].id
    assert json.loads((tmp_path / "drill.json").read_text(encoding="utf-8"))["results"] == [nobody, proved]
    assert web.sim.guest_password not in ran.output
    assert (vms(web), list((tmp_path / "packages").iterdir())) == (before, [])
