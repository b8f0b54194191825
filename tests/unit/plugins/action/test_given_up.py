# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tasks that are given up in the middle of their work: no module of theirs goes on beside what comes next."""

from __future__ import annotations

import os
import select
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from ansible_collections.vforge.vsphere.plugins import modules
from ansible_collections.vforge.vsphere.tests.unit.plugins.action.given_up import Plays, Work, alarm
from vforge_module import PATIENCE

_FILES = sorted(Path(next(iter(modules.__path__))).glob("[!_]*.py"))

# All that work with a vCenter.
_NAMES = [file.stem for file in _FILES if "vforge.vsphere.connection" in file.read_text(encoding="utf-8")]

_SIX = range(1, 7)
_GUEST = {"guest_username": "root", "guest_password": ""}
_VM = {"name": "server-00001"}


def _six(prefix):
    return [{"name": f"{prefix}-{number}"} for number in _SIX]


def _reads(**args):
    """The work of a module that only reads."""
    return Work("RetrievePropertiesEx", "", args, nth=1)


def _works(tiny_ova):
    """What each module is doing when it is given up; a module that is not here fails the test."""
    place = {"cluster": "DC0_C0", "default_network": "VM Network"}
    return {
        "backup_clone": _reads(vm=_VM),
        "capv_template": _reads(template=_VM),
        "cpu_features_info": _reads(compare=True),
        "disk_tool_info": _reads(question="info", vm=_VM),
        "evc": _reads(cluster="DC0_C0", mode="intel-haswell"),
        "first_class_disk": _reads(datastore="LocalDS_0", disks=[{"name": "data-1", "size": "8 MiB"}]),
        "first_class_disk_info": _reads(),
        "first_class_disk_snapshot": _reads(
            datastore="LocalDS_0", snapshots=[{"disk": {"name": "data-1"}, "description": "before"}]
        ),
        "vcenter_role": _reads(name="role-1", flows=["instant_clone"]),
        "vm_backup": _reads(vm=_VM, repository="/nowhere/backups"),
        "vm_export": _reads(vm=_VM, dest=str(tiny_ova.ova.parent / "exports")),
        "vm_from_disks": _reads(name="web-1", disks=["[LocalDS_0] web-1/web-1.vmdk"]),
        "vm_guest_check": _reads(vm=_VM),
        "vm_restore": _reads(repository=str(tiny_ova.ova.parent), vm="web", into=_VM),
        "vmdk": _reads(state="exported", vm=_VM, path=str(tiny_ova.ova.parent / "a.vmdk")),
        "vmdk_info": _reads(vm=_VM),
        "cached_ovf_template": Work("CreateImportSpec", "", {"name": "tiny", "source": str(tiny_ova.ova), **place}, nth=1),
        "cached_ovf_template_info": _reads(),
        "cbt_changed_areas": Work("ReconfigVM_Task", "cbt-*", {"vms": _six("cbt"), "state": "enabled", "parallel": 2}),
        "cloud_init_guestinfo": Work(
            "ReconfigVM_Task", "init-*", {"vms": _six("init"), "metadata": {"local_hostname": "web"}, "parallel": 2}
        ),
        "cloud_init_guestinfo_info": _reads(vm=_VM),
        "fleet_plan": _reads(name="web-##", golden=_VM, clusters=["DC0_C0"]),
        "fork_parent": Work(
            "CreateForkChild_Task", "*", {"parent": {"name": "golden-parent"}, "children": _six("child"), "state": "quiesced"}
        ),
        "instant_clone": Work(
            "InstantClone_Task", "instant-*", {"parent": {"name": "golden-parent"}, "clones": _six("instant"), "parallel": 2}
        ),
        "instant_clone_parent": Work(
            "StartProgramInGuest", "golden-parent-*", {"parents": [{"name": f"golden-parent-{n + 1}"} for n in _SIX]}
        ),
        "instant_clone_parent_info": _reads(parent={"name": "golden-parent"}),
        "linked_clone": Work(
            "CloneVM_Task", "linked-*", {"source": _VM, "clones": _six("linked"), "disk_mode": "full", "parallel": 2}
        ),
    }


@pytest.fixture
def folder():
    """A folder with a path that is short enough for sockets."""
    made = tempfile.mkdtemp(prefix="given-up-")
    yield Path(made)
    shutil.rmtree(made)


@pytest.fixture
def sims(make_sim):
    """A simulator for those that change something, one with VMFork, and one for those that only read."""
    changing = make_sim("--clone-time", "400ms", "--parents", "7", "--vms", "2")
    for vm in _six("cbt") + _six("init"):
        changing.create_vm(vm["name"], on=False)
    return {"changing": changing, "forking": make_sim("--vms", "0", "--api-version", "6.5"), "reading": make_sim("--vms", "2")}


@pytest.fixture
def plays(sims, folder, tiny_ova):
    """A function that makes the play of some modules."""

    def made(*names, **variables):
        works = _works(tiny_ova)
        chosen = {}
        for name in names:
            work = works[name]
            sim = sims[
                "forking" if name == "fork_parent" else "reading" if work.method == "RetrievePropertiesEx" else "changing"
            ]
            if name in ("fork_parent", "instant_clone_parent"):
                work.args.update(guest_username=sim.guest_username, guest_password=sim.guest_password)
            chosen[name] = (sim, work)
        return Plays(chosen, folder, **variables)

    return made


def _nothing_goes_on(play):
    """No process is left, nothing is left on disk, and nothing more is begun."""
    assert play.processes() == {}
    assert play.left() == []
    before = (play.seen(), _made(play))
    # As long as a round of calls took: nothing can be seen not to come without waiting for it.
    select.select([], [], [], 1.0)
    assert (play.seen(), _made(play)) == before


def _made(play):
    """The clones that there are."""
    sim = play.works["instant_clone"][0]
    names = [element["Path"].rpartition("/")[2] for element in sim.govc("ls", "/DC0/vm")["elements"]]
    return sorted(name for name in names if name.startswith(("instant-", "linked-")))


def _end(play, playbook):
    """Wait until a play that was given up has ended, and all that it has started."""
    play.until(play.told_to_end)
    play.let_go()
    output, _none = playbook.communicate(timeout=PATIENCE)
    play.until(lambda: not play.processes())
    return output


@pytest.mark.parametrize("pipelining", ["true", "false"])
def test_after_a_timeout_nothing_goes_on_beside_rescue(plays, pipelining):
    """Of all modules at once, each on a host of its own; with pipelining of one, as its way is the same for all."""
    names = _NAMES if pipelining == "false" else ["instant_clone"]
    play = plays(*names, ANSIBLE_PIPELINING=pipelining)
    with play.start() as playbook:
        alarm(play.workers(playbook.pid))
        output = _end(play, playbook)
    assert playbook.returncode == 0, output
    _nothing_goes_on(play)
    seen, told = play.seen(), play.told()
    for name in names:
        failed = told[name]["failed"]
        assert failed["timedout"]["period"] == 600, name
        assert failed["msg"].startswith("The task's timeout of 600 s has passed. "), name
        assert "Ansible no longer waits for it" in failed["msg"], name
        assert failed["error_code"] in ("abandoned", "partial_failure"), name
        assert play.seen_at_rescue(name, told[name]) == seen[name], name
    # What was made is in the account of the task that failed.
    listed = [clone for each in told.values() for clone in each["failed"].get("clones") or ()]
    assert sorted(clone["name"] for clone in listed if clone["action"] == "created") == _made(play)


def test_after_a_kill_of_ansible_playbook_nothing_goes_on(plays):
    play = plays("instant_clone", "linked_clone", "fleet_plan")
    with play.start() as playbook:
        os.kill(playbook.pid, signal.SIGKILL)
        _end(play, playbook)
        _nothing_goes_on(play)
    assert len(_made(play)) < len(_SIX)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_after_a_signal_to_ansible_playbook_nothing_goes_on(plays, number):
    play = plays("instant_clone")
    with play.start() as playbook:
        os.kill(playbook.pid, number)
        _end(play, playbook)
        _nothing_goes_on(play)
    assert len(_made(play)) < len(_SIX)


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_after_the_end_of_a_runners_job_nothing_goes_on(plays, how):
    play = plays("instant_clone")
    with play.start_runner(how) as runner:
        play.due()
        output = _end(play, runner)
        _nothing_goes_on(play)
    assert output.splitlines()[-1] == {"cancel": "canceled", "timeout": "timeout"}[how]
    assert len(_made(play)) < len(_SIX)
