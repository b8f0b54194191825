# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Wait for a guest and run a command in it: the module vm_guest_check as a process."""

from __future__ import annotations

import concurrent.futures
import pathlib
import threading
import uuid

import pytest

from ansible_collections.vforge.vsphere.plugins import modules
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import PartialFailure
from ansible_collections.vforge.vsphere.plugins.module_utils._guest_check import CheckOptions, run
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import guest as guests
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import session
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import ForkedOrStarted

_PATH = str(pathlib.Path(next(iter(modules.__path__))).parents[4])


@pytest.fixture
def guest(shared_sim, tmp_path):
    """Runs the module on a VM of its own, which is on and whose Tools run."""
    name = f"guest-check-{uuid.uuid4().hex[:8]}"
    shared_sim.create_vm(name)
    process = ForkedOrStarted(
        shared_sim,
        "vm_guest_check",
        _PATH,
        tmp_path,
        vm={"name": name},
        guest_username=shared_sim.guest_username,
        guest_password=shared_sim.guest_password,
    )
    process.name = name
    return process


def test_a_command_reports_its_output_and_nothing_is_changed(guest):
    said = guest.run(command=["/bin/sh", "-c", "echo the shop is open"])
    assert (said["changed"], said["vm"]["tools_answer"], said["vm"]["exit_code"]) == (False, True, 0)
    assert said["vm"]["output"] == "the shop is open\n"


def test_an_exit_code_that_is_not_expected_is_a_failure_with_the_output(guest):
    failed = guest.run(command=["/bin/sh", "-c", "echo closed; exit 3"])
    assert (failed["error_code"], failed["vm"]["exit_code"], failed["vm"]["output"]) == ("guest_check_failed", 3, "closed\n")
    assert not guest.run(command=["/bin/sh", "-c", "exit 3"], exit_codes=[0, 3]).get("failed")


def test_a_guest_that_starts_late_is_waited_for_and_one_that_does_not_is_reported(guest, shared_sim):
    shared_sim.patch_vm(guest.name, tools="notRunning")
    late = guest.run(timeout=5)
    assert (late["error_code"], late["vm"]["tools_answer"]) == ("timeout", False)
    assert guest.run(_ansible_check_mode=True)["vm"]["tools_answer"] is False
    shared_sim.govc("vm.power", "-off", "-force", guest.name)
    assert guest.run()["error_code"] == "guest_powered_off"
    shared_sim.patch_vm(guest.name, tools="running")
    shared_sim.govc("vm.power", "-on", guest.name)
    assert guest.run()["vm"]["tools_answer"] is True


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["vm.destroy"], "not_found", "is not there any more"),
        (["vm.power", "-off", "-force"], "guest_powered_off", "was powered off or suspended while its guest was waited for"),
    ],
)
def test_a_vm_that_is_taken_away_while_it_is_waited_for_is_not_called_late(guest, shared_sim, words, code, said):
    shared_sim.patch_vm(guest.name, tools="notRunning")
    held = shared_sim.inject(method="CreateFilter", do="delay")
    over = threading.Event()

    def take_away():
        while not shared_sim.called("CreateFilter", 1) and not over.is_set():
            pass  # it has waited a while
        shared_sim.govc(*words, guest.name)
        shared_sim.clear(held)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        taken = pool.submit(take_away)
        try:
            told = guest.run()
        finally:
            over.set()
        taken.result()
    assert (told["error_code"], told["vm"]["tools_answer"]) == (code, False)
    assert f"{guest.name} {said}" in told["msg"]


def test_a_wait_that_ends_before_the_deadline_is_late_all_the_same(guest, shared_sim, monkeypatch):
    """It ends where no round may begin any more, which is up to a quarter of a second before."""
    shared_sim.patch_vm(guest.name, tools="notRunning")
    monkeypatch.setattr(guests, "wait_until", lambda _session, refs, *_args, **_more: {ref._GetMoId() for ref in refs})
    options = CheckOptions.from_params({"vm": {"name": guest.name}, "exit_codes": [0], "timeout": 600})
    with session(shared_sim) as opened, pytest.raises(PartialFailure) as caught:
        run(opened, options, check=False)
    assert caught.value.error_code == "timeout"


@pytest.mark.parametrize("program", ["/bin/true", "C:\\Windows\\System32\\whoami.exe", "C:/Windows/System32/whoami.exe"])
def test_paths_of_linux_and_of_windows_are_paths(program):
    given = {"vm": {"name": "web"}, "guest_username": "root", "guest_password": "of-a-guest"}
    options = CheckOptions.from_params({**given, "command": [program], "exit_codes": [0], "timeout": 1})
    assert options.command == (program,)


@pytest.mark.parametrize("command", [["ls -l /srv"], ["ls", "/srv"], [""]])
def test_a_program_without_its_path_is_refused_with_the_way_to_write_it(guest, command):
    said = guest.run(command=command)
    assert (said["error_code"], said["option"]) == ("invalid_option", "command")
    assert "[/bin/sh, -c, LINE]" in said["msg"]


def test_what_cannot_be_right_is_refused(guest):
    wrong = guest.run(command=["/bin/true"], guest_password=uuid.uuid4().hex)
    assert wrong["error_code"] == "guest_wrong_credentials"
    nobody = guest.run(command=["/bin/true"], guest_username="", guest_password="")
    assert (nobody["error_code"], nobody["option"]) == ("invalid_option", "guest_username")
    missing = guest.run(vm={"name": "nobody"})
    assert (missing["error_code"], "nobody" in missing["msg"]) == ("not_found", True)
