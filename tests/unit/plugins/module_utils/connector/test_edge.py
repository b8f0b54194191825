# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The edge between Ansible and the rest: whatever happens, the user gets a result and never a traceback."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

import pytest
from ansible.module_utils import basic
from ansible.module_utils.common import warnings

from ansible_collections.vforge.vsphere.plugins.module_utils import _ansible, _argspec, _lifeline, _progress
from ansible_collections.vforge.vsphere.plugins.module_utils._connector import soap
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import (
    ConnectionLost,
    Interrupted,
    InvalidOption,
    NotFound,
    PartialFailure,
)
from vforge_module import as_shown

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ROOT = pathlib.Path(_ansible.__file__).parents[5]


@pytest.fixture
def run(shared_sim, monkeypatch, capsys):
    """A function that runs a module with this work to its end, and returns its exit code and result."""

    def run_module(work, prepare=lambda params: params["port"], **changes):
        params = {
            "hostname": shared_sim.host,
            "port": shared_sim.port,
            "username": shared_sim.username,
            "password": shared_sim.password,
            "ca_path": shared_sim.ca,
            **changes,
        }
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": params}).encode())
        # Ansible itself fails where its own log cannot have a character, in most releases on Python 3.13.
        monkeypatch.setattr(basic.AnsibleModule, "log", lambda *_args, **_more: None)
        # Modules have a process of their own: no warning of another is in their results.
        monkeypatch.setattr(warnings, "_global_warnings", type(warnings._global_warnings)())
        if hasattr(basic, "_ANSIBLE_PROFILE"):  # since ansible-core 2.19
            monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy")
            # Other tests of this process may have loaded plugins of the controller, which shows warnings by itself.
            monkeypatch.setattr("ansible.module_utils._internal.is_controller", False)
        spec = {**_argspec.connection(), "timeout": {"type": "int"}}
        module = basic.AnsibleModule(argument_spec=spec, supports_check_mode=True)
        with pytest.raises(SystemExit) as ended:
            _ansible.run(module, prepare, work)
        told = capsys.readouterr()
        assert "Traceback" not in told.out + told.err
        result = as_shown(json.loads(told.out.strip().splitlines()[-1]))
        assert shared_sim.password not in str({key: value for key, value in result.items() if key != "invocation"})
        return ended.value.code, result

    return run_module


def test_a_result_reports_its_calls_and_its_time(run, shared_sim):
    def work(session, options):
        assert options == shared_sim.port
        return {"changed": True, "found": session.content.searchIndex.FindByInventoryPath("DC0")._GetMoId()}

    code, result = run(work)
    assert code == 0
    assert result["changed"] is True
    assert result["found"].startswith("datacenter-")
    assert result["calls"]["total"] == sum(shared_sim.calls()["by_method"].values())
    assert 0 < result["timing"]["connect"] <= result["timing"]["total"]


def test_the_phases_of_the_work_stay_in_the_result(run):
    code, result = run(lambda *_: {"timing": {"clone": 1.5}})
    assert code == 0
    assert set(result["timing"]) == {"connect", "clone", "total"}


def raising(error):
    def work(*_):
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("No VM x.", hint="Look again.", nearest=["y"]), "not_found"),
        (InvalidOption("Not so.", option="port"), "invalid_option"),
        (ConnectionLost("Gone."), "connection_lost"),
    ],
)
def test_an_error_is_its_code_and_its_sentence(run, error, code):
    status, result = run(raising(error))
    assert status == 1
    assert result["failed"] is True
    assert result["error_code"] == code
    assert result["msg"] == str(error)
    assert result["calls"]["by_method"]["Login"] == 1


@pytest.mark.parametrize("message", ["No space left on device", "qemu-img failed (1)", "There is no room."])
def test_what_is_quoted_ends_before_what_to_do_begins(message):
    assert str(NotFound(message, hint="Look again.")) == f"{message.removesuffix('.')}. Look again."
    assert str(NotFound(message)) == message


def test_a_partial_failure_has_the_whole_account(run):
    account = {"changed": True, "clones": [{"name": "a"}], "timing": {"clone": 1.0}}
    status, result = run(raising(PartialFailure("1 of 2 failed.", account)))
    assert status == 1
    assert result["failed"] is True
    assert result["changed"] is True
    assert result["error_code"] == "partial_failure"
    assert result["msg"] == "1 of 2 failed."
    assert result["clones"] == [{"name": "a"}]
    assert "clone" in result["timing"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_diff_is_returned_in_diff_mode_alone(run, fails):
    account = {"changed": True, "diff": {"before": "", "after": "web-1\n"}}
    work = raising(PartialFailure("1 of 2 failed.", account)) if fails else lambda _session, _options: account
    assert "diff" not in run(work)[1]
    assert run(work, _ansible_diff=True)[1]["diff"] == account["diff"]


@pytest.mark.parametrize("fails", [False, True])
def test_warnings_of_a_result_are_warnings_of_the_task(run, fails):
    """ansible-core has deprecated a list of them in a result, and tells the user so."""
    account = {"changed": False, "warnings": ["There is no backup of any VM."]}
    _status, result = run(raising(PartialFailure("1 of 2 failed.", account)) if fails else lambda *_: account)
    assert "There is no backup of any VM." in _texts(result["warnings"])
    assert "deprecations" not in result


@pytest.mark.parametrize("way", ["result", "error", "partial"])
def test_nothing_that_is_shown_has_what_a_terminal_obeys(run, monkeypatch, way):
    rude = "\x1b]0;title\x07 \x9b2J \u202exe\r\x7f"
    reader, line = socket.socketpair()
    monkeypatch.setattr(_lifeline, "_connect", lambda _address: line)
    monkeypatch.setattr(_progress, "SECONDS_BETWEEN_LINES", 0.01)
    lines = []

    def work(session, _options):
        session.warn(f"warned of {rude}")
        session.show_progress(f"3 of {rude}")
        lines.append(reader.recv(10_000).decode())
        entry = {"name": f"web{rude}", "error": {"msg": f"failed {rude}", "output": f"one\ntwo{rude}\n"}}
        if way == "error":
            raise NotFound(f"No VM {rude}.", nearest=[rude])
        if way == "partial":
            raise PartialFailure(f"1 of 1 failed: {rude}", {"clones": [entry]})
        return {"clones": [entry]}

    _status, result = run(work)
    told = lines[0].partition("\n")[0]
    reader.close()
    assert "3 of \\x1b]0;title\\x07" in told
    if way != "error":
        assert result["clones"][0]["error"]["output"].startswith("one\ntwo\\x1b")
    shown = [told, *_texts({key: value for key, value in result.items() if key != "invocation"})]
    assert any("warned of \\x1b" in text for text in shown)
    assert not [text for text in shown if set(text) & set("\x1b\x07\x9b\u202e\r\x7f")]


def _texts(value):
    """All texts in plain data."""
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def test_what_cannot_be_prepared_is_reported_before_anything_is_connected(run, shared_sim):
    def prepare(_params):
        raise InvalidOption("Not so.", option="clones")

    status, result = run(pytest.fail, prepare)
    assert (status, result["error_code"], result["option"]) == (1, "invalid_option", "clones")
    assert shared_sim.calls()["total"] == 0


def test_who_cannot_connect_learns_why(run):
    status, result = run(pytest.fail, password="of-nobody")  # noqa: S106
    assert (status, result["error_code"]) == (1, "wrong_credentials")


def test_a_ca_file_that_cannot_be_used_is_reported(run):
    status, result = run(pytest.fail, ca_path="/nonexistent")
    assert (status, result["error_code"]) == (1, "tls_ca_file")


@pytest.mark.parametrize("way", ["option", "environment"])
def test_a_vcenter_that_is_not_verified_is_warned_of_whoever_wanted_that(run, monkeypatch, way):
    if way == "environment":
        monkeypatch.setenv("VMWARE_VALIDATE_CERTS", "False")
    changes = {"validate_certs": False} if way == "option" else {}
    status, result = run(lambda _session, _options: {}, **changes, ca_path=None)
    assert status == 0
    (warning,) = [text for text in _texts(result["warnings"]) if "is not verified" in text]
    assert "VMWARE_VALIDATE_CERTS" in warning


def test_a_call_that_the_end_of_the_task_cuts_short_is_not_blamed_on_the_connection(run, shared_sim):
    def change(session, _options):
        # No question, which would be asked again for as long as the task may take. Of a folder that there is not.
        vim.Folder("group-v0", session.stub).CreateFolder("of-nobody")

    rules = [shared_sim.inject(method=name, do="delay", times=0) for name in ("CreatePropertyCollector", "CreateFolder")]
    try:
        _status, by_task = run(pytest.fail, timeout=3)
        shared_sim.clear(rules.pop(0))
        _status, by_call = run(change, timeout=300, connection_timeout=3)
    finally:
        for rule in rules:
            shared_sim.clear(rule)
    assert "Raise timeout " in by_task["msg"]
    assert "Raise connection_timeout " in by_call["msg"]


SECRET = "hunter2-and-more"  # noqa: S105


@pytest.mark.parametrize("error", [ValueError(SECRET), KeyError(SECRET), RecursionError(SECRET), Exception(SECRET)])
@pytest.mark.parametrize("early", [False, True])
def test_a_defect_is_reported_without_what_it_says(run, error, early):
    def fails(*_):
        raise error

    status, result = run(pytest.fail, fails) if early else run(fails)
    assert status == 1
    assert result["error_code"] == "internal_error"
    assert type(error).__name__ in result["msg"]
    assert "report it" in result["msg"]
    assert "test_edge.py" in result["msg"]
    assert any("fails" in line for line in result["trace"])
    assert SECRET not in json.dumps(result)


@pytest.mark.parametrize("early", [False, True])
def test_a_limit_of_threads_is_no_defect(run, monkeypatch, early):
    """The lifeline's is the first thread of a module."""

    def refuse(*_):
        raise RuntimeError("can't start new thread")

    if early:
        monkeypatch.setattr(threading.Thread, "start", refuse)
    status, result = run(pytest.fail if early else refuse)
    assert (status, result["error_code"]) == (1, "no_thread")
    assert "Raise the limit of processes" in result["msg"]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "system_refused", "No space left on device"),
        (OSError(errno.EMFILE, "Too many open files"), "system_refused", "Too many open files"),
        (OSError(errno.EIO, "Input/output error", "/srv/disk"), "system_refused", "/srv/disk: Input/output error"),
        (PermissionError(errno.EACCES, "Permission denied", "/srv"), "system_refused", "/srv: Permission denied"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/srv"), "internal_error", "FileNotFoundError"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "internal_error", "ConnectionResetError"),
        (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), "internal_error", "TimeoutError"),
    ],
)
def test_what_the_system_refuses_is_no_defect(run, error, code, said):
    def fails(*_):
        raise error

    status, result = run(fails)
    assert (status, result["error_code"]) == (1, code)
    assert said in result["msg"]
    assert ("report it" in result["msg"]) == (code == "internal_error")


@pytest.mark.parametrize("given", [{"ca_path": "a\0b"}, {"hostname": "a\0b"}])
def test_no_option_can_hold_the_character_nul(run, given):
    status, result = run(pytest.fail, pytest.fail, **given)
    assert status == 1
    assert (result["error_code"], result["option"]) == ("invalid_option", next(iter(given)))


# Signals


def test_an_answer_that_a_signal_ends_while_it_is_made_goes_without_a_word(monkeypatch):
    """Python 3.13 and later print what fails at its close."""
    printed = []
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    answer = soap._CountedAnswer.__new__(soap._CountedAnswer)
    del answer
    assert printed == []


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_run_with_a_result(run, number):
    def work(session, _options):
        os.kill(os.getpid(), number)
        session.content.searchIndex.FindByInventoryPath("DC0")
        return {}

    status, result = run(work)
    assert status == 1
    assert result["error_code"] == "interrupted"
    assert number.name in result["msg"]
    # The session was left as at any other end.
    assert result["calls"]["by_method"]["DestroyPropertyCollector"] == 1


def test_a_second_signal_ends_the_process_at_once(run):
    def work(*_):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Interrupted:
            os.kill(os.getpid(), signal.SIGTERM)

    child = os.fork()
    if child == 0:
        run(work)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGTERM


def test_a_signal_after_the_work_does_not_change_its_result(run, monkeypatch):
    original = basic.AnsibleModule.exit_json

    def exit_json(module, **result):
        os.kill(os.getpid(), signal.SIGTERM)
        original(module, **result)

    monkeypatch.setattr(basic.AnsibleModule, "exit_json", exit_json)
    status, result = run(lambda *_: {"changed": True})
    assert (status, result["changed"]) == (0, True)


def test_a_signal_that_is_switched_off_stays_so(run):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def work(*_):
        os.kill(os.getpid(), signal.SIGHUP)
        return {"changed": True}

    status, result = run(work)
    assert (status, result["changed"]) == (0, True)


# Libraries that are missing

PREPARE = """
import sys
from ansible.module_utils import basic
from ansible.module_utils.common import warnings
basic._ANSIBLE_ARGS = b'{"ANSIBLE_MODULE_ARGS": {"name": "a", "parent": {"name": "p"}}}'
basic._ANSIBLE_PROFILE = "legacy"
"""
FINISH = """
from ansible_collections.vforge.vsphere.plugins.modules import instant_clone
instant_clone.main()
"""


def run_without_library(hide, folder=""):
    done = subprocess.run(
        [sys.executable, "-c", PREPARE + hide + FINISH],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), str(ROOT), *sys.path]))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    result = json.loads(done.stdout.strip().splitlines()[-1])
    assert result["failed"] is True
    assert result["error_code"] == "missing_library"
    assert sys.executable in result["msg"]
    assert "pip install" in result["msg"]
    return result["msg"]


def test_without_pyvmomi_the_module_says_so():
    assert "pyvmomi cannot be imported" in run_without_library("sys.modules['pyVmomi'] = None")


def fake_library(folder, content):
    (folder / "pyVmomi").mkdir()
    (folder / "pyVmomi" / "__init__.py").write_text(content, encoding="utf-8")


def test_a_pyvmomi_that_refuses_this_python_is_named_with_its_reason(tmp_path):
    fake_library(tmp_path, "raise Exception('pyVmomi requires another Python')")
    assert "(pyVmomi requires another Python)" in run_without_library("", tmp_path)


def test_a_pyvmomi_that_is_too_old_is_called_that(tmp_path):
    fake_library(tmp_path, "class SoapStubAdapter: pass\nVmomiSupport = vim = vmodl = None\n")
    assert "pyvmomi is older than" in run_without_library("", tmp_path)


def test_a_python_that_is_too_old_is_called_that():
    message = run_without_library("sys.version_info = (3, 9, 18, 'final', 0)\nsys.modules['pyVmomi'] = None")
    assert "Python 3.11 or later is needed" in message
    assert "which is Python 3.9.18. Set ansible_python_interpreter" in message
