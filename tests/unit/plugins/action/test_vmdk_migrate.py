# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role vmdk_migrate in playbooks: killed in the middle, it goes on."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import Plays

_MIB = 2**20

# Where a run is killed, one after the other: while the VM of the import has the disk, and when no VM has it.
_KILLED_AT = ("MakeDirectory", "MoveVirtualDisk_Task")


def _by_a_file(folder, **more):
    """The variables of a migration of a VM's disk by a file."""
    return {
        "vm": {"name": "old"},
        "file": str(folder / "disk.vmdk"),
        "datastore_path": "[LocalDS_0] migrated/disk.vmdk",
        "name": "new",
        **more,
    }


@pytest.mark.usefixtures("tools")
def test_a_run_that_is_killed_anywhere_is_gone_on_with_and_leaves_nothing(make_sim, tmp_path):
    sim = make_sim("--vms", "1")
    sim.create_vm("old", disks=[{"bytes": 4 * _MIB}])
    sim.write_disk("old", offset=_MIB, length=300_032)
    sim.govc("vm.power", "-off", "old")
    content = sim.read_disk("old", length=4 * _MIB)
    plays = Plays(sim, tmp_path, "vmdk_migrate", ("exported", "imported", "vm_result"))
    asked = _by_a_file(tmp_path, remove_source=True)
    for method in _KILLED_AT:
        plays.kill_at(method, 1, **asked)
        assert list(plays.vms("old")) == ["old"]
        assert not plays.vms("new")

    ran = plays.run(**asked)
    assert ran.code == 0, ran.output
    # What was proved before is not done again.
    assert not ran.left["exported"]["changed"]
    assert sorted(sim.govc("find", "/DC0/vm", "-type", "m", "-name", "*e[wl]*") or []) == ["/DC0/vm/new"]
    assert not sim.govc("find", "/DC0/vm", "-type", "m", "-name", "vforge-import-*")
    assert not [file for file in sim.orphans() if "vforge-import" in file]
    (disk,) = sim.vm("new")["disks"]
    assert sim.read_disk("new", key=disk["key"], length=4 * _MIB) == content
    again = plays.run(**asked)
    assert (again.code, again.left["vm_result"]["changed"]) == (0, False)


@pytest.mark.usefixtures("tools")
def test_a_source_that_somebody_wrote_to_while_its_disk_was_moved_stays(make_sim, tmp_path):
    sim = make_sim("--vms", "1")
    sim.create_vm("old", on=False, disks=[{"bytes": 4 * _MIB}])
    plays = Plays(sim, tmp_path, "vmdk_migrate", ("vm_result",))
    asked = _by_a_file(tmp_path, remove_source=True)
    held = sim.inject(method="CreateVM_Task", do="delay")
    with plays.start(**asked) as process:
        while not sim.called("CreateVM_Task", 1) and process.poll() is None:
            pass  # it has waited a while
        sim.govc("vm.power", "-on", "old")
        sim.write_disk("old", offset=_MIB, length=300_032)
        sim.govc("vm.power", "-off", "-force", "old")
        sim.clear(held)
        output, _none = process.communicate()
    assert process.wait() == 2, output
    assert "The source VM is left alone." in output
    assert (list(plays.vms("old")), list(plays.vms("new"))) == (["old"], ["new"])


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("written", [False, True])
def test_a_source_that_an_earlier_run_did_not_come_to_goes_if_nobody_wrote_to_it(make_sim, tmp_path, written):
    sim = make_sim("--vms", "1")
    sim.create_vm("old", on=False, disks=[{"bytes": 4 * _MIB}])
    plays = Plays(sim, tmp_path, "vmdk_migrate", ("exported", "imported", "vm_result"))
    asked = {
        "vm": {"name": "old"},
        "file": str(tmp_path / "disk.vmdk"),
        "datastore_path": "[LocalDS_0] migrated/disk.vmdk",
        "name": "new",
        "powered_on": True,
        "remove_source": True,
    }
    plays.kill_at("PowerOnVM_Task", 1, **asked)
    assert (list(plays.vms("old")), list(plays.vms("new"))) == (["old"], ["new"])
    if written:
        sim.govc("vm.power", "-on", "old")
        sim.write_disk("old", offset=_MIB, length=300_032)
        sim.govc("vm.power", "-off", "old")
    ran = plays.run(**asked)
    assert (ran.code, list(plays.vms("old"))) == ((2, ["old"]) if written else (0, []))
    assert "The source VM is left alone" in ran.output if written else ran.calls.get("ImportVApp", 0) == 0
    assert sim.vm("new")["power"] == "poweredOn"


@pytest.mark.usefixtures("tools")
def test_in_check_mode_the_file_that_is_to_go_is_still_there(make_sim, tmp_path, monkeypatch):
    monkeypatch.setenv("ANSIBLE_SHOW_CUSTOM_STATS", "true")
    sim = make_sim("--vms", "1")
    sim.create_vm("old", on=False, disks=[{"bytes": 4 * _MIB}])
    plays = Plays(sim, tmp_path, "vmdk_migrate", ("vm_result",))
    asked = _by_a_file(tmp_path, remove_file=True)
    checked, done = plays.run("--check", **asked), plays.run(**asked)
    assert (checked.code, done.code) == (0, 0), checked.output + done.output
    assert f'"file": "{tmp_path}/disk.vmdk"' in checked.output
    assert '"file": ""' in done.output
