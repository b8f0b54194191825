# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Both ends of a lifeline: a module that nobody waits for ends, one that does not is killed, and nothing is left of either."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import types
from pathlib import Path

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils import _lifeline
from ansible_collections.vforge.vsphere.plugins.plugin_utils import lifeline, module_action
from ansible_collections.vforge.vsphere.plugins.plugin_utils.lifeline import Lifeline

_PATH = str(Path(lifeline.__file__).parents[5])

# A module that works until it is ended: what it says goes to standard error, as its result would to standard output.
_WORKING = """
import sys, threading
from ansible_collections.vforge.vsphere.plugins.module_utils import _lifeline, _signals
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import Interrupted
from ansible_collections.vforge.vsphere.plugins.module_utils._progress import Progress

shown = threading.Event()
pauses = []

def pause(over, seconds):
    pauses.append(seconds)
    if len(pauses) == 1:
        return False
    shown.set()
    return over.wait()

try:
    with _lifeline.held() as line, _signals.as_interrupts():
        progress = Progress(line, pause)
        progress.show("half done")
        with progress:
            line is None or shown.wait()
        sys.stderr.write("working\\n")
        threading.Event().wait(600)
except Interrupted as error:
    sys.stderr.write(f"{error.error_code}: {error}\\n")
"""

# One that does not listen.
_DEAF = """
import os, socket, sys, threading
line = socket.socket(socket.AF_UNIX)
line.connect(os.environ["VFORGE_LIFELINE"])
sys.stderr.write("working\\n")
threading.Event().wait(600)
"""

# Makes a lifeline to which nobody comes, and dies.
_DYING = """
import os, signal
from ansible_collections.vforge.vsphere.plugins.plugin_utils.lifeline import Lifeline
line = Lifeline(print)
with line.nothing_left():
    os.kill(os.getpid(), signal.{name})
"""


@pytest.fixture(autouse=True)
def folder(monkeypatch):
    """A folder for temporary files, with a path that is short enough for sockets."""
    made = tempfile.mkdtemp(prefix="lifeline-")
    monkeypatch.setenv("TMPDIR", made)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([_PATH, *sys.path]))
    monkeypatch.setattr(tempfile, "tempdir", made)
    yield Path(made)
    shutil.rmtree(made)


@pytest.fixture
def start():
    """A function that starts a program; all are gone when the test ends."""
    started = []

    def begin(program, **environment):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen([sys.executable, "-c", program], text=True, env={**os.environ, **environment}, **pipes))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_a_module_whose_line_is_cut_ends_and_is_waited_for(start, folder):
    shown, came = [], threading.Event()

    def show(text):
        shown.append(text)
        came.set()

    line = Lifeline(show)
    module = start(_WORKING, **{_lifeline.VARIABLE: line.path})
    assert module.stderr.readline() == "working\n"
    # What the module says comes in when its end of the line is open, and the folder gone.
    assert came.wait(600)
    assert line.opened
    assert list(folder.iterdir()) == []
    line.close()
    assert shown == ["half done"]
    assert not line.killed
    assert module.stderr.read().startswith("abandoned: The run was ended, since Ansible no longer waits for it.")


def test_nothing_is_left_where_no_thread_can_be_started(monkeypatch, folder):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    handles = len(os.listdir("/proc/self/fd"))
    with pytest.raises(RuntimeError):
        Lifeline(print)
    assert (list(folder.iterdir()), len(os.listdir("/proc/self/fd"))) == ([], handles)


def test_a_module_that_leads_a_session_has_a_line_too(start):
    """As with ``become_method: su``, which begins a session for what it starts."""
    line = Lifeline(lambda _text: None)
    module = start(f"import os\nos.setsid()\n{_WORKING}", **{_lifeline.VARIABLE: line.path})
    assert module.stderr.readline() == "working\n"
    line.close()
    assert module.stderr.read().startswith("abandoned: ")


def test_a_module_whose_plugin_is_killed_ends(start):
    plugin = start(f"""
import os, subprocess, sys, threading
from ansible_collections.vforge.vsphere.plugins.plugin_utils.lifeline import Lifeline
line = Lifeline(print)
environment = {{**os.environ, "{_lifeline.VARIABLE}": line.path}}
subprocess.Popen([sys.executable, "-c", {_WORKING!r}], env=environment, stdout=subprocess.DEVNULL)
threading.Event().wait(600)
""")
    assert plugin.stderr.readline() == "working\n"
    plugin.kill()
    # The pipe is the module's, too: it is at its end when both are gone.
    assert plugin.stderr.read().startswith("abandoned: ")


def test_a_module_whose_output_nobody_reads_ends(start):
    module = start(_WORKING)
    assert module.stderr.readline() == "working\n"
    module.stdout.close()
    assert module.stderr.read().startswith("abandoned: ")


def test_a_module_that_comes_too_late_does_not_begin(start, folder):
    line = Lifeline(print)
    line.close()
    assert list(folder.iterdir()) == []
    module = start(_WORKING, **{_lifeline.VARIABLE: line.path})
    assert module.stderr.read().startswith("abandoned: ")


def test_a_module_that_does_not_end_is_killed(start, monkeypatch):
    monkeypatch.setattr(lifeline, "SECONDS_TO_END", 0.2)
    line = Lifeline(print)
    module = start(_DEAF, **{_lifeline.VARIABLE: line.path})
    assert module.stderr.readline() == "working\n"
    line.close()
    assert line.killed
    assert module.wait() == -signal.SIGKILL


@pytest.mark.parametrize(("no_log", "shown"), [(False, ["web-1: half done"]), (True, [])])
def test_of_a_task_whose_log_is_off_no_progress_is_shown(monkeypatch, no_log, shown):
    told = []
    monkeypatch.setattr(module_action, "shown_for", lambda _host: told.append)
    monkeypatch.setattr(module_action, "Lifeline", lambda show: show("web-1: half done") or Lifeline(show))
    action = object.__new__(module_action.ModuleAction)
    action._task = types.SimpleNamespace(no_log=no_log, async_val=0, environment=[])
    action._connection = types.SimpleNamespace(transport="local")
    with action._lifeline({}) as line:
        assert line is not None
    assert told == shown


def test_a_file_system_without_locks_has_lines_too(folder, monkeypatch):
    def refuse(_handle, _operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    (folder / f"{lifeline._PREFIX}left").mkdir()
    monkeypatch.setattr(fcntl, "flock", refuse)
    line = Lifeline(print)
    assert os.path.exists(line.path)
    line.close()
    # Nobody knows whether that one is in use.
    assert [path.name for path in folder.iterdir()] == [f"{lifeline._PREFIX}left"]


def test_a_line_outside_of_a_task_waits_for_nobody():
    begun = time.monotonic()
    line = Lifeline(print)
    line.close()
    assert time.monotonic() - begun < lifeline.SECONDS_TO_END
    assert not line.opened


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_before_the_module_has_come_leaves_nothing(start, folder, name):
    assert start(_DYING.format(name=name)).wait() != 0
    assert list(folder.iterdir()) == []


def test_what_a_kill_has_left_is_removed_by_the_next_and_only_that(start, folder):
    alive = Lifeline(print)
    assert start(_DYING.format(name="SIGKILL")).wait() == -signal.SIGKILL
    assert len(list(folder.iterdir())) == 2
    Lifeline(print).close()
    assert [str(path) for path in folder.iterdir()] == [os.path.dirname(alive.path)]
    alive.close()
    assert list(folder.iterdir()) == []
