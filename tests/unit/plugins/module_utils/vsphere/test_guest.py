# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Work inside a guest: programs, scripts and files, and each thing that can stand in the way."""

from __future__ import annotations

import dataclasses
import socket
import time

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import web
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.find import Selector, find_vm
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.props import collect
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import ConnectionLost, GuestError
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.guest import (
    MANAGER,
    MANAGERS,
    VM_ACCESS,
    Guest,
    GuestCredentials,
    access_in,
)
from ansible_collections.vforge.vsphere.tests.unit.plugins.deadlines import time_over
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import session

VM = "golden-parent"


class _Inside:
    """A session and a guest of a simulator; ``warnings`` is what was warned of."""

    def __init__(self, sim, opened, credentials):
        self.sim = sim
        self.session = opened
        self.warnings = []
        opened.warn = self.warnings.append
        self.vm = find_vm(opened, Selector(name=VM))
        self.credentials = credentials
        self.guest = Guest(opened, self.vm, credentials)

    def know(self, **changes):
        """Go on with another idea of the way in."""
        self.guest = Guest(self.session, self.vm, self.credentials, dataclasses.replace(self.guest.access, **changes))

    def left_files(self):
        """What of ours is in the guest."""
        return [name for name in self.sim.vm(VM)["guest"]["files"] if "vforge" in name]

    def running(self):
        """Command lines of programs that run."""
        return [process["command"] for process in self.sim.vm(VM)["guest"]["processes"] if process["running"]]


def soon(seconds=300.0):
    """A deadline that nothing reaches that works."""
    return time.monotonic() + seconds


@pytest.fixture
def sim(make_sim):
    """A simulator whose guests a test may spoil."""
    return make_sim("--vms", "0")


@pytest.fixture
def inside(sim):
    """The guest of the parent, as its administrator."""
    with session(sim) as opened:
        yield _Inside(sim, opened, GuestCredentials(sim.guest_username, sim.guest_password))


def _refused(inside, do):
    with pytest.raises(GuestError) as refused:
        do(inside.guest)
    assert inside.sim.guest_password not in str(refused.value) + repr(refused.value.details)
    return refused.value


def test_a_program_reports_its_output_and_its_exit_code_and_leaves_nothing(inside):
    done = inside.guest.run("/bin/sh", ["-c", "echo out; echo err >&2; exit 3"], deadline=soon())
    assert (done.exit_code, done.text) == (3, "out\nerr\n")
    assert inside.left_files() == []
    assert inside.warnings == []


def test_arguments_arrive_as_they_are(inside):
    words = ["two words", "it's", '"$HOME"', "a;b|c>d", "\\", "*", ""]
    done = inside.guest.run("/usr/bin/printf", ["<%s>", *words], deadline=soon())
    assert done.text == "".join(f"<{word}>" for word in words)


def test_environment_and_working_directory(inside):
    done = inside.guest.run("/bin/sh", ["-c", 'pwd; echo "$WHO"'], deadline=soon(), env={"WHO": "it is me"}, cwd="/var/log")
    assert done.text == "/var/log\nit is me\n"


def test_a_script_is_uploaded_run_and_removed(inside):
    done = inside.guest.script("name=world\nif true; then\n  echo hello $name\nfi\nexit 4\n", deadline=soon())
    assert (done.exit_code, done.text) == (4, "hello world\n")
    assert inside.left_files() == []


@pytest.mark.parametrize("data", [b"", b"text\n", bytes(range(256)) * 4096])
def test_files_come_back_as_they_went(inside, data):
    inside.guest.upload("/root/data", data, mode=0o640)
    assert inside.guest.fetch("/root/data") == data


def test_an_upload_replaces_what_is_there(inside):
    inside.guest.upload("/root/data", b"first and longer")
    inside.guest.upload("/root/data", b"second")
    assert inside.sim.guest_file(VM, "/root/data") == "second"


def test_without_a_manager_of_logins_credentials_are_tried_all_the_same(inside):
    inside.know(auth=None)
    inside.guest.validate()
    inside.guest = Guest(inside.session, inside.vm, GuestCredentials("root", "wrong"), inside.guest.access)
    assert _refused(inside, lambda guest: guest.validate()).error_code == "guest_wrong_credentials"


@pytest.mark.parametrize("lacking", ["fileManager", "processManager"])
def test_without_a_manager_of_files_or_programs_there_is_no_way_in(inside, lacking):
    manager = inside.session.content.guestOperationsManager
    roots, wanted = [inside.vm, manager], {vim.VirtualMachine: VM_ACCESS, MANAGER: MANAGERS}
    rows = {row.moid: row for row in collect(inside.session, roots, wanted)}
    del rows[manager._GetMoId()].values[lacking]
    with pytest.raises(GuestError, match="does not show its guest operations"):
        access_in(inside.session, rows, inside.vm._GetMoId())


def test_what_a_program_costs(inside):
    inside.guest.validate()
    inside.sim.reset_calls()
    inside.guest.run("/bin/true", deadline=soon())
    calls = inside.sim.calls()["by_method"]
    asked = calls.pop("ListProcessesInGuest")
    assert calls == {
        "CreateTemporaryFileInGuest": 1,
        "StartProgramInGuest": 1,
        "InitiateFileTransferFromGuest": 1,
        "DeleteFileInGuest": 1,
    }
    assert 1 <= asked <= 3


def test_the_way_in_is_read_once_in_one_call(inside):
    inside.sim.reset_calls()
    inside.guest.validate()
    inside.guest.validate()
    assert inside.sim.calls()["by_method"] == {"RetrievePropertiesEx": 1, "ValidateCredentialsInGuest": 2}


def test_a_program_that_does_not_end_is_terminated(inside):
    with time_over("ListProcessesInGuest", 3):
        error = _refused(inside, lambda guest: guest.run("/bin/sh", ["-c", "echo so far; sleep 3600"], deadline=soon()))
    assert (error.error_code, error.details["output"]) == ("guest_timeout", "so far\n")
    assert inside.running() == []
    assert inside.left_files() == []
    assert inside.warnings == []


def test_a_program_that_hangs_is_terminated(inside):
    inside.sim.patch_guest(VM, hang="true")
    assert _refused(inside, lambda guest: guest.run("/bin/true", deadline=soon(0.5))).error_code == "guest_timeout"
    assert inside.running() == []


def test_how_long_it_is_waited_costs_few_questions(inside):
    inside.guest.validate()
    inside.sim.reset_calls()
    assert inside.guest.run("/bin/sleep", ["3"], deadline=soon()).exit_code == 0
    assert inside.sim.calls()["by_method"]["ListProcessesInGuest"] <= 9


@pytest.mark.parametrize("do", ["run", "upload", "fetch", "validate", "script"])
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda sim: sim.patch_vm(VM, tools="notRunning"), "guest_tools_not_running"),
        (lambda sim: sim.patch_vm(VM, frozen=True), "guest_tools_not_running"),
        (lambda sim: sim.govc("vm.power", "-off", VM), "guest_powered_off"),
        (lambda sim: sim.patch_guest(VM, users={"root": "another"}), "guest_wrong_credentials"),
    ],
)
def test_what_stands_in_the_way_has_a_code_of_its_own(inside, do, spoil, code):
    work = {
        "run": lambda guest: guest.run("/bin/true", deadline=soon()),
        "upload": lambda guest: guest.upload("/root/x", b"x"),
        "fetch": lambda guest: guest.fetch("/etc/hosts"),
        "validate": lambda guest: guest.validate(),
        "script": lambda guest: guest.script("true", deadline=soon()),
    }[do]
    spoil(inside.sim)
    error = _refused(inside, work)
    assert error.error_code == code
    assert VM in error.message
    assert error.hint


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("GuestComponentsOutOfDate", "guest_not_supported", "too old"),
        ("CannotAccessFile", "guest_permission_denied", "may not use this program"),
    ],
)
def test_what_the_tools_cannot_or_may_not_is_reported(inside, fault, code, said):
    inside.sim.inject(method="StartProgramInGuest", do="fault", fault=fault)
    error = _refused(inside, lambda guest: guest.run("/bin/true", deadline=soon()))
    assert (error.error_code, error.hint != "") == (code, True)
    assert said in error.message


def test_another_task_is_waited_for(inside, monkeypatch):
    inside.sim.inject(method="StartProgramInGuest", do="fault", fault="TaskInProgress", times=2)
    assert inside.guest.run("/bin/true", deadline=soon()).exit_code == 0
    assert inside.sim.calls()["by_method"]["StartProgramInGuest"] == 3
    monkeypatch.setattr("ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.guest._SECONDS_BUSY", 0)
    inside.sim.inject(method="StartProgramInGuest", do="fault", fault="TaskInProgress")
    error = _refused(inside, lambda guest: guest.run("/bin/true", deadline=soon()))
    assert error.error_code == "guest_unavailable"
    assert "another task works on" in error.message


def test_a_missing_program_and_a_missing_file_are_told_apart(inside):
    assert _refused(inside, lambda guest: guest.run("/no/such", deadline=soon())).error_code == "guest_program_missing"
    assert _refused(inside, lambda guest: guest.fetch("/no/such")).error_code == "guest_file_missing"
    assert inside.left_files() == []


def test_a_user_who_is_no_administrator_learns_that(inside):
    inside.sim.patch_guest(VM, users={"alice": "secret-of-alice"})
    alice = Guest(inside.session, inside.vm, GuestCredentials("alice", "secret-of-alice"))
    assert alice.run("/bin/true", deadline=soon()).exit_code == 0
    with pytest.raises(GuestError) as refused:
        alice.upload("/root/x", b"x")
    assert refused.value.error_code == "guest_permission_denied"
    assert "alice" in refused.value.message
    assert "secret-of-alice" not in str(refused.value)


def test_a_guest_that_is_booted_again_has_lost_its_programs(inside):
    pid = inside.guest.start("/bin/sleep", ["3600"], output="/dev/null")
    assert inside.guest.exit_code(pid, "sleep") is None
    inside.sim.govc("vm.power", "-reset", VM)
    deadline = soon()
    code = ""
    while code != "guest_process_lost" and time.monotonic() < deadline:
        code = _refused(inside, lambda guest: guest.exit_code(pid, "sleep")).error_code
        assert code in ("guest_process_lost", "guest_tools_not_running")
    assert code == "guest_process_lost"


def test_a_transfer_goes_to_the_host_and_nowhere_else(inside):
    """The certificate of the host is pinned: another one gets no byte."""
    assert inside.guest.access.pin is not None
    inside.know(pin="00" * 32)
    error = _refused(inside, lambda guest: guest.upload("/root/secret", b"secret"))
    assert (error.error_code, error.details["cause"]) == ("guest_transfer_failed", "tls_wrong_thumbprint")
    assert "vCenter knows another certificate" in error.hint
    assert "/root/secret" not in inside.sim.vm(VM)["guest"]["files"]


def test_a_host_that_cannot_be_reached_is_reported_as_that(inside, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nowhere = f"https://127.0.0.1:{listener.getsockname()[1]}/file"
    real = web.put
    monkeypatch.setattr(web, "put", lambda options, _url, data, pin: real(options, nowhere, data, pin))
    error = _refused(inside, lambda guest: guest.upload("/root/x", b"x"))
    assert (error.error_code, error.details["cause"]) == ("guest_transfer_failed", "unreachable")
    assert "443" in error.hint


@pytest.mark.parametrize("method", ["InitiateFileTransferToGuest", "InitiateFileTransferFromGuest"])
def test_a_vcenter_that_does_not_answer_is_no_host_that_does_not(inside, method):
    inside.guest.upload("/root/x", b"x")
    inside.sim.inject(method=method, do="drop")  # one answer that is lost is asked for again
    inside.guest.upload("/root/x", b"y")
    assert inside.guest.fetch("/root/x") == b"y"
    inside.sim.inject(method=method, do="drop", times=0)
    with pytest.raises(ConnectionLost) as lost:
        inside.guest.upload("/root/x", b"z") if method.endswith("ToGuest") else inside.guest.fetch("/root/x")
    assert lost.value.error_code == "connection_lost"
    assert method in lost.value.message


def test_without_a_certificate_to_pin_the_host_is_verified_as_the_vcenter_is(inside):
    inside.know(pin=None)
    error = _refused(inside, lambda guest: guest.upload("/root/secret", b"secret"))
    assert error.details["cause"] == "tls_untrusted_ca"
    assert "/root/secret" not in inside.sim.vm(VM)["guest"]["files"]


def test_a_transfer_through_the_vcenter_is_checked_as_the_vcenter_is(inside):
    inside.sim.patch_guest(VM, transfer="vcenter")
    inside.know(pin=None)
    inside.guest.upload("/root/x", b"through vcenter")
    assert inside.guest.fetch("/root/x") == b"through vcenter"


def test_a_dead_session_is_replaced_in_the_midst_of_it(inside):
    inside.guest.validate()
    inside.sim.expire_sessions()
    assert inside.guest.run("/bin/true", deadline=soon()).exit_code == 0


def test_the_password_is_shown_nowhere(inside):
    inside.guest.run("/bin/true", deadline=soon())
    shown = repr(inside.guest.access) + repr(inside.credentials) + repr(inside.sim.vm(VM)["guest"]["processes"])
    assert inside.sim.guest_password not in shown


def test_what_cannot_be_cleaned_up_is_warned_of(inside):
    inside.sim.inject(method="DeleteFileInGuest", do="fault", fault="SystemError", message="no")
    assert inside.guest.run("/bin/true", deadline=soon()).exit_code == 0
    assert len(inside.warnings) == 1
    assert "was left in golden-parent" in inside.warnings[0]
