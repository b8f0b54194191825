# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A template of nodes for CAPV: made ready, looked at with govc, and a template again whatever happens."""

from __future__ import annotations

import itertools
import pathlib

import pytest

from ansible_collections.vforge.vsphere.plugins import modules
from ansible_collections.vforge.vsphere.plugins.module_utils._capv_template import plan, task
from ansible_collections.vforge.vsphere.plugins.module_utils._capv_template.model import NodeTemplate, Options
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.find import Selector
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.snapshots import Snapshot
from ansible_collections.vforge.vsphere.plugins.modules.capv_template import argument_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import ForkedOrStarted
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Runner, Work

_PATH = str(pathlib.Path(next(iter(modules.__path__))).parents[4])
_NUMBERS = itertools.count(1)


@pytest.fixture
def node(shared_sim):
    """The name of a template that has what somebody has tried out with it."""
    name = f"capv-node-{next(_NUMBERS)}"
    shared_sim.create_vm(
        name,
        folder="DC0_F0",
        on=False,
        template=True,
        hardware="vmx-15",
        extra_config={"guestinfo.userdata": "aGlkZGVu", "guestinfo.vendordata": "eA==", "guestinfo.mine": "stays"},
    )
    shared_sim.reset_calls()
    return name


@pytest.fixture
def run(shared_sim, tmp_path, node):
    """Runs the module on it."""
    return ForkedOrStarted(shared_sim, "capv_template", _PATH, tmp_path, template={"name": node}).run


def _seen(sim, name):
    """What govc sees."""
    [vm] = sim.govc("vm.info", "-e", name)["virtualMachines"]
    snapshot = vm.get("snapshot") or {}
    extra = {pair["key"]: pair["value"] for pair in vm["config"].get("extraConfig") or ()}
    return {
        "template": vm["config"]["template"],
        "version": vm["config"]["version"],
        "snapshots": [each["name"] for each in snapshot.get("rootSnapshotList") or ()],
        "guestinfo": sorted(key for key in extra if key.startswith("guestinfo.")),
    }


def test_a_template_is_made_ready_once(run, shared_sim, node):
    before = _seen(shared_sim, node)
    would = run(hardware_version="vmx-19", _ansible_check_mode=True)
    assert _seen(shared_sim, node) == before
    done = run(hardware_version="vmx-19")
    assert would["template"]["actions"] == done["template"]["actions"] == ["hardware_upgraded", "cleaned", "snapshot_created"]
    assert done["template"]["template"] is True
    assert _seen(shared_sim, node) == {
        "template": True,
        "version": "vmx-19",
        "snapshots": ["capv"],
        "guestinfo": ["guestinfo.mine"],
    }
    shared_sim.reset_calls()
    again = run(hardware_version="vmx-19")
    assert (again["changed"], again["template"]["actions"], again["template"]["lacked"]) == (False, [], [])
    assert "hidden" not in repr((would, done, again))


def test_a_second_run_looks_and_no_more(run, shared_sim):
    run()
    shared_sim.reset_calls()
    assert run()["calls"]["total"] <= 6
    calls = shared_sim.calls()["by_method"]
    assert [method for method in calls if method.endswith("_Task") or method.startswith("MarkAs")] == []


def test_full_clones_need_no_snapshot(run, shared_sim, node):
    done = run(clone_mode="fullClone")
    assert done["template"]["actions"] == ["cleaned"]
    assert _seen(shared_sim, node)["snapshots"] == []
    assert _seen(shared_sim, node)["template"] is True


@pytest.mark.parametrize("method", ["UpgradeVM_Task", "ReconfigVM_Task", "CreateSnapshot_Task"])
def test_it_is_a_template_again_whatever_fails(run, shared_sim, node, method):
    shared_sim.inject(method=method, do="fault", fault="InvalidState")
    failed = run(hardware_version="vmx-19")
    shared_sim.clear()
    assert failed["failed"]
    assert _seen(shared_sim, node)["template"] is True
    done = run(hardware_version="vmx-19")
    assert done["changed"]
    assert _seen(shared_sim, node)["snapshots"] == ["capv"]


@pytest.mark.parametrize("method", ["MarkAsVirtualMachine", "MarkAsTemplate"])
def test_a_step_whose_answer_was_lost_is_done(run, shared_sim, node, method):
    shared_sim.inject(method=method, do="drop-after")
    done = run(hardware_version="vmx-19")
    calls = shared_sim.calls()["by_method"]
    shared_sim.clear()
    assert done["template"]["actions"] == ["hardware_upgraded", "cleaned", "snapshot_created"]
    assert _seen(shared_sim, node)["template"] is True
    assert calls[method] == 2


@pytest.mark.parametrize("fault", ["InvalidState", "NotSupported"])
def test_a_refusal_is_not_taken_for_what_was_done_before(run, shared_sim, node, fault):
    shared_sim.inject(method="MarkAsTemplate", do="fault", fault=fault, times=0)
    failed = run()
    shared_sim.clear()
    assert fault in failed["failures"][0]["msg"]
    assert "could not be made a template again" in str(failed["warnings"])
    assert _seen(shared_sim, node)["template"] is False
    assert run()["template"]["template"] is True
    assert _seen(shared_sim, node)["template"] is True


def test_a_percent_sign_in_the_name_of_a_snapshot_is_escaped(run, shared_sim, node):
    done = run(snapshot="50%")
    assert done["template"]["actions"] == ["cleaned", "snapshot_created"]
    assert _seen(shared_sim, node)["snapshots"] == ["50%25"]
    assert run(snapshot="50%")["changed"] is False


def test_a_task_that_goes_on_in_vcenter_is_a_change(run, shared_sim, node):
    shared_sim.inject(method="WaitForUpdatesEx", times=0, do="http-status")
    failed = run(clone_mode="fullClone", hardware_version="vmx-19", timeout=8)
    shared_sim.clear()
    assert (failed["failed"], failed["failures"][0]["error_code"]) == (True, "still_running")
    assert (failed["changed"], failed["template"]["actions"]) == (True, ["started"])
    assert _seen(shared_sim, node)["template"] is True


def test_a_vm_that_is_off_becomes_a_template_and_a_running_one_is_refused(run, shared_sim):
    name = f"capv-vm-{next(_NUMBERS)}"
    shared_sim.create_vm(name, folder="DC0_F0", on=False)
    done = run(template={"name": name})
    assert done["template"]["actions"] == ["snapshot_created", "made_template"]
    assert _seen(shared_sim, name)["template"] is True
    failed = run(template={"name": "golden-parent"})
    assert failed["error_code"] == "invalid_option"
    assert "Power it off" in failed["msg"]


def test_a_template_that_is_not_there_is_named(run):
    failed = run(template={"name": "nobody"})
    assert failed["error_code"] == "not_found"
    assert "nobody" in failed["msg"]


def test_a_hardware_version_that_is_none_is_refused(run):
    assert "Write it as vmx-19" in run(hardware_version="19")["msg"]


def test_hardware_that_no_host_of_the_vcenter_has_is_refused_in_check_mode_too(run):
    for check in (True, False):
        failed = run(hardware_version="vmx-99", _ansible_check_mode=check)
        assert (failed["error_code"], "Set hardware_version to vmx-21" in failed["msg"]) == ("not_supported", True)


def _template(**changes):
    known = {
        "moid": "vm-1",
        "name": "node",
        "path": "/DC0/vm/node",
        "power_state": "poweredOff",
        "template": True,
        "snapshots": (),
        "hardware": 19,
        "vapp": False,
        "guest_keys": (),
        "host": "host-1",
        "pool": "resgroup-1",
        "disks": 1,
    }
    return NodeTemplate(**{**known, **changes})


def _snapshot(name, *, current=True):
    return Snapshot(moid=f"snapshot-{name}", name=name, path=name, current=current)


_ASKED = Options(selector=Selector(name="node"), datacenter=None, snapshot="capv", hardware=19, timeout=60)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"snapshots": (_snapshot("capv"),)}, ()),
        ({}, (plan.OPEN, plan.SNAPSHOT, plan.CLOSE)),
        ({"snapshots": (_snapshot("root"),)}, (plan.OPEN, plan.SNAPSHOT, plan.CLOSE)),
        ({"vapp": True}, (plan.OPEN, plan.CLEAN, plan.SNAPSHOT, plan.CLOSE)),
        ({"hardware": 15}, (plan.OPEN, plan.UPGRADE, plan.SNAPSHOT, plan.CLOSE)),
        ({"hardware": 21, "snapshots": (_snapshot("capv"),)}, ()),
        ({"snapshots": (_snapshot("capv"),), "pool": ""}, ()),
        ({"template": False, "pool": ""}, (plan.SNAPSHOT, plan.CLOSE)),
        ({"template": False, "snapshots": (_snapshot("capv"),)}, (plan.CLOSE,)),
    ],
)
def test_only_what_is_missing_is_done(changes, steps):
    assert plan.steps(_template(**changes), _ASKED) == steps


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"disks": 0}, "has no disk"),
        ({"pool": ""}, "does not see the resource pool of its host"),
        ({"template": False, "power_state": "suspended"}, "is suspended"),
        ({"snapshots": (_snapshot("capv", current=False), _snapshot("later"))}, "has a snapshot capv already"),
        ({"snapshots": (_snapshot("capv"),), "hardware": 15}, "has a snapshot capv already"),
    ],
)
def test_what_cannot_be_made_ready_is_refused(changes, said):
    with pytest.raises(InvalidOption, match=said):
        plan.steps(_template(**changes), _ASKED)


# Two runs at once


class _Tasks(Runner):
    """Runs the task in this process, and can do something while it waits."""

    module = "capv_template"

    def work(self, given: dict, check: bool) -> Work:
        options = Options.from_params(accepted(argument_spec(), given))
        return lambda session: task.run(session, options, check=check)


def _opened(sim, name):
    sim.govc("vm.markasvm", "-pool", "/DC0/host/DC0_C0/Resources", name)


def _finished(sim, name):
    sim.govc("vm.change", "-vm", name, "-e", "guestinfo.userdata=", "-e", "guestinfo.vendordata=")
    sim.govc("snapshot.create", "-vm", name, "-m=false", "capv")
    sim.govc("vm.markastemplate", name)


def test_a_template_that_another_run_works_on_is_waited_for(shared_sim, node):
    tasks = _Tasks(shared_sim)

    def finish_when_waited_for(line):
        if "another run works on" in line and not _seen(shared_sim, node)["template"]:
            _finished(shared_sim, node)

    tasks.tell = finish_when_waited_for
    ran = tasks.meanwhile("MarkAsVirtualMachine", 1, lambda: _opened(shared_sim, node), template={"name": node})
    assert ran.error is None
    assert (ran.result["changed"], ran.result["template"]["actions"], ran.called("CreateSnapshot_Task")) == (False, [], 1)
    assert (_seen(shared_sim, node)["template"], _seen(shared_sim, node)["snapshots"]) == (True, ["capv"])


def test_a_template_that_another_run_does_not_finish_is_reported_and_left_to_it(shared_sim, node):
    tasks = _Tasks(shared_sim)
    given = {"template": {"name": node}, "timeout": 2}
    ran = tasks.meanwhile("MarkAsVirtualMachine", 1, lambda: _opened(shared_sim, node), **given)
    assert ran.error.error_code == "timeout"
    assert "another run works on it" in str(ran.error)
    assert (_seen(shared_sim, node)["template"], ran.result["changed"]) == (False, False)
    done = tasks.run(template={"name": node})
    assert done.result["template"]["actions"] == ["cleaned", "snapshot_created", "made_template"]


def test_no_second_snapshot_is_made_of_the_name(shared_sim, node):
    tasks = _Tasks(shared_sim)

    def both():
        _opened(shared_sim, node)
        _finished(shared_sim, node)

    ran = tasks.meanwhile("MarkAsVirtualMachine", 1, both, template={"name": node})
    assert ran.error is None
    assert (_seen(shared_sim, node)["template"], _seen(shared_sim, node)["snapshots"]) == (True, ["capv"])
