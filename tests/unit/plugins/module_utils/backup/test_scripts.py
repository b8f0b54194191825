# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scripts in a guest around its snapshot: the one after runs in every ending, and consistency is said as it is."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import scripts, task
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.options import BackupOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, NotFound
from ansible_collections.vforge.vsphere.plugins.module_utils._files import FileUnwritable
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.guest import Guest, GuestCredentials
from ansible_collections.vforge.vsphere.plugins.modules.vm_backup import argument_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.deadlines import time_over
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.running import tasks
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.running import finished
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import succeeded

MIB = 1 << 20
_LOG = "/srv/order"
_SECRET = "hunter2-in-a-script"  # noqa: S105 (it is none)
_FORK = multiprocessing.get_context("fork")

# Each says in the guest that it has run.
BEFORE = f"# {_SECRET}\necho before >> {_LOG}\n"
AFTER = f"# {_SECRET}\necho after >> {_LOG}\n"


@pytest.fixture
def backups(make_sim, tmp_path, monkeypatch):
    """Tasks against a simulator with the running VM web-1, which has a guest that can be worked in."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with tasks(make_sim("--vms", "0"), tmp_path) as known:
        known.make("web-1", size=2 * MIB)
        known.sim.patch_vm("web-1", tools="running")
        known.sim.patch_guest("web-1", files={_LOG: ""})
        yield known


def asked(sim, **scripts):
    """Options with these scripts, and with ``before`` and ``after`` that succeed."""
    return {
        "scripts": {"before": BEFORE, "after": AFTER, **scripts},
        "guest_username": sim.guest_username,
        "guest_password": sim.guest_password,
    }


def ran_in_guest(backups):
    """Which scripts have run, in their order."""
    return backups.sim.guest_file("web-1", _LOG).split()


def left_in_guest(backups):
    """What of ours is still in the guest: files, and programs that run."""
    guest = backups.sim.vm("web-1")["guest"]
    running = [process["command"] for process in guest["processes"] if process["running"] and "vforge" in process["command"]]
    return [name for name in guest["files"] if "vforge" in name] + running


def mark(backups):
    """The files that say that a run is between two scripts."""
    return list(backups.repository.rglob("between-scripts.json"))


def test_a_backup_between_both_scripts_is_application_consistent(backups):
    ran = backups.run(**asked(backups.sim))
    assert ran.one["scripts"] == {"before": "succeeded", "after": "succeeded"}
    assert ran.one["point"]["consistency"] == "application-consistent"
    assert ran_in_guest(backups) == ["before", "after"]
    assert (left_in_guest(backups), mark(backups), backups.snapshots("web-1")) == ([], [], [])
    assert _SECRET not in json.dumps(ran.result) + "".join(backups.lines + backups.warnings)
    assert not [path for path in backups.repository.rglob("*.json") if _SECRET in path.read_text(encoding="utf-8")]


def test_the_script_after_runs_before_the_first_byte_is_read(backups):
    backups.sim.inject(method="CreateSnapshot_Task", do="delay", delay_ms=300)
    ends = {"nbd": {"command": ["false"]}}
    ran = backups.attempt(**asked(backups.sim), **ends)
    assert ran.error is not None
    assert ran_in_guest(backups) == ["before", "after"]


@pytest.mark.parametrize(
    ("quiesce", "fault", "consistency"),
    [
        ("try", "ApplicationQuiesceFault", "crash-consistent"),
        ("no", "", "application-consistent"),
        ("require", "", "application-consistent"),
    ],
)
def test_what_could_not_be_quiesced_is_not_called_application_consistent(backups, quiesce, fault, consistency):
    if fault:
        backups.sim.inject(method="CreateSnapshot_Task", do="task-fault", fault=fault, message="VSS says no")
    ran = backups.run(quiesce=quiesce, **asked(backups.sim))
    assert ran.one["point"]["consistency"] == consistency
    assert bool(ran.one["warnings"]) == bool(fault)
    assert ran_in_guest(backups) == ["before", "after"]


@pytest.mark.parametrize(
    ("before", "code"),
    [
        (f"echo before >> {_LOG}\necho no room >&2\nexit 3\n", "script_failed"),
        (f"echo before >> {_LOG}\nsleep 600\n", "script_timeout"),
    ],
)
def test_a_script_before_that_fails_or_hangs_ends_the_backup_or_the_quiescing_as_chosen(backups, before, code):
    ends = _late(backups, code, before=before)
    assert (ends.code, ends.called("CreateSnapshot_Task"), backups.points()) == (code, 0, [])
    assert ends.one["scripts"] == {"before": "failed", "after": "succeeded"}
    goes_on = succeeded(_late(backups, code, before=before, on_failure="continue"))
    assert goes_on.one["point"]["consistency"] == "file-system-consistent"
    assert "without scripts" in goes_on.one["warnings"][0]
    assert ran_in_guest(backups) == ["before", "after"] * 2
    assert (left_in_guest(backups), mark(backups)) == ([], [])


def _late(backups, code, **scripts):
    """A backup whose script before is late, where that is the code: its time alone is over."""
    given = asked(backups.sim, timeout=100, **scripts)
    if code != "script_timeout":
        return backups.attempt(**given)
    with time_over("ListProcessesInGuest", seconds=101):
        return backups.attempt(**given)


def test_a_script_after_that_fails_is_reported_and_the_next_run_begins_with_it(backups):
    failing = f"echo after >> {_LOG}\nexit 1\n"
    ran = backups.attempt(**asked(backups.sim, after=failing))
    assert (ran.code, ran.one["scripts"]["after"]) == ("script_failed", "failed")
    # The snapshot was taken at rest, and what was read of it is whole.
    assert ran.one["point"]["consistency"] == "application-consistent"
    assert len(mark(backups)) == 1
    next_one = backups.run(fresh_hours=12, **asked(backups.sim))
    assert next_one.one["actions"] == ["after_script_run"]
    assert ran_in_guest(backups) == ["before", "after", "after"]
    assert mark(backups) == []
    warned = backups.run(**asked(backups.sim, after=failing, on_failure="continue"))
    assert "Look after the guest" in warned.one["warnings"][0]


def test_a_script_after_that_ran_is_no_failure_where_that_cannot_be_noted(backups, monkeypatch):
    def refuse(folder):
        raise FileUnwritable(f"{folder} cannot be written: Read-only file system.")

    with monkeypatch.context() as patched:
        patched.setattr(scripts, "_remove_mark", refuse)
        ran = backups.run(**asked(backups.sim))
    assert ran.one["scripts"] == {"before": "succeeded", "after": "succeeded"}
    assert "runs the script after it once more" in ran.one["warnings"][0]
    assert backups.run(fresh_hours=12, **asked(backups.sim)).one["actions"] == ["after_script_run"]
    assert mark(backups) == []


@pytest.mark.parametrize("do", ["task-fault", "fault", "drop-after"])
def test_it_runs_where_the_snapshot_fails(backups, do):
    backups.sim.inject(method="CreateSnapshot_Task", do=do, **({} if do == "drop-after" else {"fault": "SystemError"}))
    ran = backups.attempt(quiesce="no", **asked(backups.sim))
    assert ran.error is not None
    assert ran_in_guest(backups) == ["before", "after"]
    assert (backups.snapshots("web-1"), mark(backups)) == ([], [])


def test_it_runs_when_the_time_is_over(backups):
    ran = backups.late("CreateSnapshot_Task", **asked(backups.sim))
    assert ran.error is not None
    assert ran_in_guest(backups) == ["before", "after"]
    assert (backups.snapshots("web-1"), mark(backups)) == ([], [])


@pytest.mark.parametrize(
    ("method", "count", "answered"),
    [
        ("StartProgramInGuest", 1, True),
        ("CreateSnapshot_Task", 1, True),
        # Longer than a call is waited for after a signal: it is broken off, and the script is run again.
        ("StartProgramInGuest", 2, False),
        ("QueryChangedDiskAreas", 1, True),
        ("RemoveSnapshot_Task", 1, True),
    ],
)
def test_it_runs_after_a_signal(backups, method, count, answered):
    backups.run()
    ran = backups.ended_at(method, count, answered=answered, **asked(backups.sim))
    assert ran_in_guest(backups)[-1] == "after"
    # What was read to its end may become a point, and then the result says so.
    made = ran.one["actions"] == ["backed_up"]
    assert (backups.snapshots("web-1"), mark(backups), len(backups.points())) == ([], [], 1 + made)


def test_a_script_before_that_goes_on_after_a_signal_is_ended_first(backups):
    given = asked(backups.sim, before=f"echo before >> {_LOG}\nsleep 600\n")
    backups.ended_at("ListProcessesInGuest", ready=lambda: ran_in_guest(backups) == ["before"], **given)
    assert ran_in_guest(backups) == ["before", "after"]
    assert (left_in_guest(backups), mark(backups), backups.snapshots("web-1")) == ([], [], [])


def test_a_script_after_that_a_signal_breaks_off_is_ended_before_it_runs_again(backups):
    given = asked(backups.sim, before="", after=f"echo after >> {_LOG}\nsleep 600\n", timeout=3)
    backups.ended_at("ListProcessesInGuest", ready=lambda: ran_in_guest(backups) == ["after"], **given)
    assert ran_in_guest(backups) == ["after", "after"]
    assert left_in_guest(backups) == []


def test_a_script_before_whose_start_was_not_answered_is_ended_first(backups):
    backups.sim.inject(method="StartProgramInGuest", do="drop-after")
    ran = backups.attempt(**asked(backups.sim, before=f"echo before >> {_LOG}\nsleep 600\n"))
    assert (ran.code, ran.one["scripts"]) == ("connection_lost", {"before": "failed", "after": "succeeded"})
    assert (left_in_guest(backups), mark(backups), backups.snapshots("web-1")) == ([], [], [])


def test_a_script_before_that_cannot_be_ended_keeps_the_one_after_from_nothing(backups):
    backups.sim.inject(method="StartProgramInGuest", do="drop-after")
    backups.sim.inject(method="TerminateProcessInGuest", do="fault", fault="SystemError", times=0)
    ran = backups.attempt(**asked(backups.sim, before=f"echo before >> {_LOG}\nsleep 600\n"))
    assert ran.one["scripts"] == {"before": "failed", "after": "succeeded"}
    assert "may go on in its guest, in /tmp/vforge-" in ran.one["warnings"][0]
    assert (ran_in_guest(backups)[-1], mark(backups)) == ("after", [])
    assert any("before.sh" in each for each in left_in_guest(backups))


@pytest.mark.parametrize(("before", "code"), [("exit 1\n", "script_failed"), ("sleep 600\n", "script_timeout")])
def test_a_script_before_that_fails_ends_none_of_another_run(backups, before, code):
    known = _started_by_another_run(backups)
    assert len(known) == 2
    ran = _late(backups, code, before=before)
    assert ran.one["scripts"] == {"before": "failed", "after": "succeeded"}
    assert left_in_guest(backups) == known


def test_what_a_run_that_was_killed_has_left_goes_without_what_is_of_others(backups):
    _killed_at(backups, "ListProcessesInGuest", asked(backups.sim, before=f"echo before >> {_LOG}\nsleep 600\n"))
    dead = left_in_guest(backups)
    of_both = _started_by_another_run(backups)
    backups.run(**asked(backups.sim))
    assert left_in_guest(backups) == [each for each in of_both if each not in dead]


def _started_by_another_run(backups):
    """Have the script before of another run go on in the guest; what there is of ours then."""

    def work(session):
        guest = Guest(session, backups.vm("web-1"), GuestCredentials(backups.sim.guest_username, backups.sim.guest_password))
        path = f"{guest.make_directory()}/before.sh"
        guest.upload(path, b"sleep 600\n# of the other run\n")
        guest.start("/bin/sh", [path], output="/dev/null")
        return {}

    assert backups.ran(work).error is None
    return left_in_guest(backups)


def _killed_at(backups, method, given):
    """Run a backup in a process of its own that is killed as soon as it has called this method."""
    backups.sim.reset_calls()
    rule = backups.sim.inject(method=method, do="delay")
    process = _FORK.Process(target=lambda: backups.attempt(**given))
    backups.counting = False
    process.start()
    while not backups.sim.called(method, 1, within=1.0):
        pass  # it has waited a while
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    backups.sim.settle()
    backups.sim.clear(rule)


def test_after_a_kill_between_the_two_the_next_run_begins_with_the_script_after(backups):
    given = asked(backups.sim)
    _killed_at(backups, "CreateSnapshot_Task", given)
    assert (ran_in_guest(backups), len(mark(backups))) == (["before"], 1)
    # A run without scripts cannot do it, and says so.
    told = backups.run()
    assert "A run that was killed has begun the script before a backup in /DC0/vm/web-1" in told.one["warnings"][0]
    assert backups.run(check=True, **given).one["actions"] == ["after_script_run", "backed_up"]
    ran = backups.run(**given)
    assert ran.one["actions"][-2:] == ["after_script_run", "backed_up"]
    assert ran_in_guest(backups) == ["before", "after", "before", "after"]
    assert (left_in_guest(backups), mark(backups), backups.snapshots("web-1")) == ([], [], [])


def test_a_script_before_that_goes_on_after_a_kill_is_ended_by_the_next_run(backups):
    hanging = asked(backups.sim, before=f"echo before >> {_LOG}\nsleep 600\n")
    _killed_at(backups, "ListProcessesInGuest", hanging)
    assert left_in_guest(backups)
    ran = backups.run(**asked(backups.sim))
    assert ran.one["actions"][-2:] == ["after_script_run", "backed_up"]
    assert left_in_guest(backups) == []


def _needs_consolidation(backups):
    snapshot = backups.snapshot("web-1", "mine")
    finished(snapshot.RemoveSnapshot_Task(removeChildren=False, consolidate=False))
    return {}


@pytest.mark.parametrize(
    ("refuse", "code"),
    [
        (_needs_consolidation, "consolidation_needed"),
        (lambda _backups: {"transport": "hotadd"}, "no_transport"),
    ],
    ids=["consolidation", "transport"],
)
def test_after_a_kill_between_the_two_the_script_after_runs_also_where_the_vm_is_refused(backups, refuse, code):
    backups.run()
    given = asked(backups.sim)
    _killed_at(backups, "CreateSnapshot_Task", given)
    given |= refuse(backups)
    if code == "consolidation_needed":  # what is known in check mode
        assert "after_script_run" in backups.attempt(check=True, **given).one["actions"]
        assert "after_script_run" not in backups.attempt(check=True).one["actions"]
    ran = backups.attempt(**given)
    assert ran.code == code
    assert "after_script_run" in ran.one["actions"]
    assert (ran_in_guest(backups), mark(backups)) == (["before", "after"], [])


def test_after_a_kill_between_the_two_a_vm_that_is_refused_without_scripts_says_so(backups):
    _killed_at(backups, "CreateSnapshot_Task", asked(backups.sim))
    _needs_consolidation(backups)
    ran = backups.attempt()
    assert ran.code == "consolidation_needed"
    assert "A run that was killed has begun the script before a backup in /DC0/vm/web-1" in ran.one["warnings"][0]


def test_after_a_kill_between_the_two_a_vm_that_cannot_be_read_again_says_so(backups, monkeypatch):
    given = asked(backups.sim)
    _killed_at(backups, "CreateSnapshot_Task", given)

    def gone(_job, item):
        raise NotFound(f"{item.title} is not there.")

    monkeypatch.setattr(task, "_read_again", gone)
    ran = backups.attempt(**given)
    assert ran.code == "not_found"
    assert "A run that was killed has begun the script before a backup in /DC0/vm/web-1" in ran.one["warnings"][0]


def test_a_vm_that_is_off_has_no_scripts(backups):
    backups.sim.govc("vm.power", "-off", "web-1")
    ran = backups.run(**asked(backups.sim))
    assert (ran.one["scripts"], ran.one["point"]["consistency"]) == (None, "powered-off")


@pytest.mark.parametrize(
    ("state", "code"),
    [({"tools": "notRunning"}, "guest_tools_not_running"), ({}, "guest_wrong_credentials")],
)
def test_a_guest_that_cannot_be_worked_in_is_found_in_check_mode_too(backups, state, code):
    given = asked(backups.sim)
    if state:
        backups.sim.patch_vm("web-1", **state)
    else:
        given |= {"guest_password": "wrong-password"}
    for check in (True, False):
        ran = backups.attempt(check=check, quiesce="no", **given)
        assert (ran.code, ran.called("CreateSnapshot_Task")) == (code, 0)
        assert given["guest_password"] not in str(ran.error)


@pytest.mark.parametrize(
    ("scripts", "words"),
    [
        ({"before": "/usr/local/bin/freeze.sh"}, "has a path"),
        ({"before": " ", "after": ""}, "has no script"),
        ({"before": "true", "timeout": 0}, "scripts.timeout is 0"),
    ],
)
def test_what_cannot_be_right_is_refused(scripts, words):
    given = {"vm": {"name": "a"}, "repository": "/x", "guest_username": "root", "guest_password": "x" * 9, "scripts": scripts}
    with pytest.raises(InvalidOption, match=words):
        BackupOptions.from_params(accepted(argument_spec(), given))


def test_scripts_need_somebody_to_run_them(monkeypatch):
    with contextlib.suppress(KeyError):
        monkeypatch.delenv("VFORGE_GUEST_USERNAME")
    given = {"vm": {"name": "a"}, "repository": "/x", "scripts": {"before": "true"}}
    with pytest.raises(InvalidOption, match="guest OS credentials"):
        BackupOptions.from_params(accepted(argument_spec(), given))
