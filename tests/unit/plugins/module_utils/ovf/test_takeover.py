# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No upload is thrown away for a trifle: what is asked again, what is left for the next run, and how that goes on."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import ConnectionLost
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import carry, importing
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import lease
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.running import Templates
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.support import Made, content

A, B = content(400_000), content(100_000, 2)

_WORD = "word"

# What the whole way needs, by the API reference.
_NEEDED = (
    "VApp.Import",
    "Resource.AssignVMToPool",
    "Datastore.AllocateSpace",
    "Network.Assign",
    "VirtualMachine.Inventory.Create",
    "VirtualMachine.Inventory.Delete",
    "VirtualMachine.Config.AdvancedConfig",
    "VirtualMachine.Config.AddNewDisk",
    "VirtualMachine.Config.RemoveDisk",
    "VirtualMachine.Provisioning.MarkAsTemplate",
)


@pytest.fixture
def templates(make_sim, tmp_path, monkeypatch):
    """Tasks against a simulator of the test's own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return Templates(make_sim("--vms", "2"))


@pytest.fixture
def source(tmp_path):
    """A package of two disks."""
    return Made(disks={"a.vmdk": A, "b.vmdk": B}).ova(tmp_path)


def sent(templates):
    """The bytes of every upload so far."""
    return sorted(upload["bytes"] for upload in templates.uploads())


def one_template(templates):
    """Make sure that there is one template, and nothing else."""
    assert templates.vms() == ["/DC0/vm/web"]
    assert templates.nothing_left()
    machine = templates.sim.govc("vm.info", "/DC0/vm/web")["virtualMachines"][0]
    assert machine["config"]["template"] is True
    disks = [item for item in machine["config"]["hardware"]["device"] if item.get("backing", {}).get("diskMode")]
    assert [bool(disk["backing"]["parent"].get("parent")) for disk in disks] == [False, False]


# What is asked again


@pytest.mark.parametrize(
    "trouble",
    [
        {"do": "drop"},
        {"do": "drop-after"},
        {"do": "http-status", "status": 503},
    ],
    ids=lambda trouble: trouble["do"],
)
@pytest.mark.parametrize("method", ["HttpNfcLeaseGetManifest", "HttpNfcLeaseComplete", "ReconfigVM_Task", "MarkAsTemplate"])
def test_after_the_last_byte_one_lost_answer_costs_nothing(templates, source, method, trouble):
    templates.sim.inject(method=method, **trouble)
    ran = templates.run(source)
    assert ran.result["actions"] == ["imported"]
    # The task of the call whose answer was lost may be in the way of the second for a moment.
    in_the_way = method == "ReconfigVM_Task" and trouble["do"] == "drop-after"
    assert ran.called(method) in ((2, 3) if in_the_way else (2,))
    assert sent(templates) == [len(B), len(A)]
    one_template(templates)


@pytest.mark.parametrize(
    "trouble",
    [
        {"method": "ReconfigVM_Task", "do": "fault"},
        {"method": "ReconfigVM_Task", "do": "task-fault"},
        {"method": "MarkAsTemplate", "do": "fault"},
        {"method": "HttpNfcLeaseComplete", "do": "fault"},
    ],
    ids=lambda trouble: f"{trouble['method']} {trouble['do']}",
)
def test_a_vm_that_is_worked_on_is_waited_for(templates, source, trouble):
    templates.sim.inject(fault="TaskInProgress", times=3, **trouble)
    assert templates.run(source).result["actions"] == ["imported"]
    assert sent(templates) == [len(B), len(A)]
    one_template(templates)


# The strongest witness


@pytest.mark.parametrize("fault", ["NotSupported", "InvalidState"])
def test_sizes_that_vcenter_keeps_are_read_again_where_the_host_reports_none(templates, tmp_path, fault):
    source = Made(disks={"a.vmdk": content(3_000_000), "b.vmdk": B}).ova(tmp_path)
    templates.sim.inject(method="HttpNfcLeaseGetManifest", do="fault", fault=fault)
    ran = templates.run(source)
    assert (ran.result["actions"], ran.called("RefreshStorageInfo")) == (["imported"], 1)
    one_template(templates)


def test_a_size_of_0_is_no_report(templates, tmp_path, monkeypatch):
    source = Made(disks={"a.vmdk": content(3_000_000), "b.vmdk": B}).ova(tmp_path)
    real = lease.Lease.received

    def received(of):
        return {key: dataclasses.replace(each, size=0) for key, each in real(of).items()}

    monkeypatch.setattr(lease.Lease, "received", received)
    ran = templates.run(source)
    assert (ran.result["actions"], ran.called("RefreshStorageInfo")) == (["imported"], 1)
    one_template(templates)


def test_what_the_host_reports_is_believed_and_nothing_else_is_asked(templates, source):
    assert templates.run(source).called("RefreshStorageInfo") == 0


def test_a_disk_that_is_short_by_every_witness_is_removed(templates, source, monkeypatch):
    templates.sim.inject(method="HttpNfcLeaseGetManifest", do="fault", fault="NotSupported")
    monkeypatch.setattr(importing, "_sizes_mark", lambda _task, _files: "ParaVirtualSCSIController0:0=9000000")
    ran = templates.attempt(source)
    assert ran.code == "incomplete_upload"
    assert "for the disk ParaVirtualSCSIController0:0 9000000 bytes were sent, and" in str(ran.error)
    assert ran.called("RefreshStorageInfo") == 1
    assert (templates.vms(), templates.nothing_left()) == ([], True)


# What is left for the next run


@pytest.mark.parametrize("fault", ["NoPermission", "SystemError"])
@pytest.mark.parametrize("method", ["ReconfigVM_Task", "MarkAsTemplate"])
def test_what_stops_behind_the_upload_is_left_and_finished_by_the_next_run(templates, source, method, fault):
    templates.sim.inject(method=method, do="fault", fault=fault, times=1)
    ran = templates.attempt(source)
    assert ran.code in ("no_permission", "system_error")
    assert sent(templates) == [len(B), len(A)]
    assert "All was sent, and stays as /DC0/vm/web: the next run finishes it" in str(ran.error)
    assert ran.result["template"]["actions"] == ["imported"]
    assert ran.result["changed"] is True
    [told] = templates.info().result["templates"]
    assert told["state"] == ("importing" if method == "ReconfigVM_Task" else "unpublished")
    assert told["owner"].startswith("left ")
    # It does not wait for a run that has said that it ended.
    again = templates.run(source, takeover_after=3600, timeout=60)
    assert again.result["actions"] == ["waited", "completed"]
    assert (again.result["transfer"]["sent"], sent(templates)) == (0, [])
    one_template(templates)


def test_what_is_left_can_be_removed(templates, source):
    templates.sim.inject(method="MarkAsTemplate", do="fault", fault="SystemError")
    assert templates.attempt(source).code == "system_error"
    assert templates.run(None, state="absent").result["actions"] == ["removed"]
    assert (templates.vms(), templates.nothing_left()) == ([], True)


def test_where_the_mark_cannot_be_set_the_next_run_waits_as_for_one_that_was_killed(templates, source):
    templates.sim.inject(method="ReconfigVM_Task", do="fault", fault="NoPermission", times=0)
    assert templates.attempt(source).code == "no_permission"
    assert [line for line in templates.warnings if "could not be marked" in line]
    templates.sim.clear()
    again = templates.run(source, takeover_after=1, timeout=60)
    assert (again.result["actions"], again.result["transfer"]["sent"]) == (["waited", "completed"], 0)
    one_template(templates)


def test_the_time_that_is_over_behind_the_upload_leaves_it_too(templates, source):
    templates.sim.inject(method="ReconfigVM_Task", do="fault", fault="TaskInProgress", times=0)
    ran = templates.late("ReconfigVM_Task", source=source)
    assert ran.code == "timeout"
    assert "All was sent" in str(ran.error)
    templates.sim.clear()
    again = templates.run(source, takeover_after=1, timeout=60)
    assert (again.result["actions"][-1], again.result["transfer"]["sent"]) == ("completed", 0)


# What is asked before the first byte


@pytest.mark.parametrize("lacking", _NEEDED)
def test_a_privilege_that_is_missing_for_a_later_step_is_missed_before_anything_is_made(
    shared_sim, source, tmp_path, monkeypatch, lacking
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    name = "lacks-" + lacking.rpartition(".")[2].lower()
    shared_sim.add_user(name, _WORD, [each for each in _NEEDED if each != lacking])
    templates = Templates(shared_sim, username=name, password=_WORD)
    for check in (True, False):
        ran = templates.attempt(source, name="nobodys", check=check)
        assert (ran.code, ran.error.details["privileges"]) == ("no_permission", [lacking])
        assert "ImportVApp" not in ran.calls
        assert any(f"on the {kind}" in str(ran.error) for kind in ("folder /DC0/vm", "resource pool", "datastore", "network"))


def test_the_privileges_that_are_asked_for_are_enough(templates, source):
    templates.sim.add_user("builder", _WORD, list(_NEEDED))
    builder = Templates(templates.sim, username="builder", password=_WORD)
    assert builder.run(source).result["actions"] == ["imported"]
    one_template(templates)


# An import whose answer was lost


def test_an_import_that_never_arrived_is_begun_again(templates, source):
    templates.sim.inject(method="ImportVApp", do="drop")
    ran = templates.run(source)
    assert (ran.result["actions"], ran.called("ImportVApp")) == (["imported"], 2)
    one_template(templates)


def test_an_import_whose_answer_was_lost_is_found_and_ended(templates, source):
    templates.sim.request("POST", "/leases", {"cancelable": True})
    templates.sim.inject(method="ImportVApp", do="drop-after")
    ran = templates.run(source, timeout=60)
    assert ran.result["actions"] == ["imported"]
    assert ran.called("CancelTask") == 1
    assert sent(templates) == [len(B), len(A)]
    one_template(templates)


def test_where_it_cannot_be_ended_its_lease_is_waited_for_by_name(templates, source):
    ended = []

    def end(line):
        if not ended and line.startswith("waiting until vCenter removes web, whose lease is not known"):
            ended.append(templates.sim.fail_leases("Timedout"))

    templates.tell = end
    templates.sim.inject(method="ImportVApp", do="drop-after")
    assert templates.run(source).result["actions"] == ["imported"]
    assert ended == [1]
    one_template(templates)


# A run that was killed


_FORK = multiprocessing.get_context("fork")


def die(*_args, **_kwargs):
    """As a power cut does: nothing of this process can clean up."""
    os.kill(os.getpid(), signal.SIGKILL)


def killed(sim, source, *, cache):
    """Let a task be killed with its lease ready and nothing sent."""

    def work():
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(carry, "_push", die)
            Templates(sim, counting=False, cache=cache).attempt(source)

    process = _FORK.Process(target=work)
    process.start()
    process.join(300)
    assert process.exitcode == -signal.SIGKILL
    assert sim.open_leases() == 1


@pytest.mark.parametrize("cancelable", [False, True])
def test_the_lease_of_a_killed_run_is_ended_by_the_next_one(templates, source, cancelable):
    # By its own session, which the next run shares; or by the task of the import, where vCenter lets it be cancelled.
    templates.sim.request("POST", "/leases", {"cancelable": cancelable})
    killed(templates.sim, source, cache=not cancelable)
    after = Templates(templates.sim, cache=not cancelable)
    # Leases live for 300 seconds here.
    ran = after.run(source, takeover_after=3600, timeout=60)
    assert ran.result["actions"] == ["waited", "imported"]
    assert [line for line in after.lines if "whose maker has ended" in line]
    one_template(templates)


def test_a_killed_run_whose_lease_cannot_be_ended_is_waited_for_and_the_timeout_is_named(templates, source):
    killed(templates.sim, source, cache=False)
    ran = templates.late("WaitForUpdatesEx", source=source, takeover_after=3600, timeout=200)
    assert ran.code == "timeout"
    assert "after 300 s at the most: timeout is 200, which is less" in str(ran.error)
    assert [line for line in templates.lines if line.startswith("waiting until vCenter removes web, whose maker has ended")]


def test_a_run_that_lives_is_not_ended_by_others(templates, source, monkeypatch):
    real = lease.Lease.complete
    others = Templates(templates.sim, counting=False)
    found = []

    def complete(self, deadline):
        found.append(others.attempt(source, takeover_after=3600, timeout=2).code)
        real(self, deadline)

    monkeypatch.setattr(lease.Lease, "complete", complete)
    assert templates.run(source).result["actions"] == ["imported"]
    assert found == ["timeout"]


def test_a_record_of_somebody_elses_making_is_no_path(templates, source, tmp_path):
    # The owner mark is what whoever may configure the VM has written.
    killed(templates.sim, source, cache=False)
    folder = next(tmp_path.glob("vforge-vsphere-*"))
    [record] = folder.glob("import-*")
    assert json.loads(record.read_text())["lease"].startswith("session[")
    record.write_text("[]")
    ran = templates.late("WaitForUpdatesEx", source=source, takeover_after=3600)
    assert ran.code == "timeout"


def test_a_lease_that_was_completed_though_its_answers_are_lost_is_left_to_the_next_run(templates, source, monkeypatch):
    real = lease.Lease.complete

    def complete(self, deadline):
        real(self, deadline)
        raise ConnectionLost("The answers are lost.")

    monkeypatch.setattr(lease.Lease, "complete", complete)
    ran = templates.attempt(source)
    assert ran.code == "connection_lost"
    assert "All was sent, and stays as /DC0/vm/web" in str(ran.error)
    monkeypatch.setattr(lease.Lease, "complete", real)
    again = templates.run(source, takeover_after=3600, timeout=60)
    assert (again.result["actions"], again.result["transfer"]["sent"]) == (["waited", "completed"], 0)
    one_template(templates)
