# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules of plays in tests are as if Python had been started for each, although what they import is loaded only once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from ansible_collections.vforge.vsphere.plugins import modules
from vforge_python import Python

_COLLECTIONS = Path(next(iter(modules.__path__))).parents[4]

_SEEN = """
import json, os, sys
seen = [os.environ.get("WHO"), os.getcwd(), sys.argv, sys.path[0], __name__, "pyVmomi" in sys.modules]
print(json.dumps(seen))
print("to the other", file=sys.stderr)
sys.exit(int(os.environ["CODE"]))
"""

_HELD = """
import signal, sys
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(5))
print("ready", flush=True)
while True:
    signal.pause()
"""


@pytest.fixture(scope="module")
def python():
    """The process that forks."""
    with Python(_COLLECTIONS) as forking:
        yield forking


@pytest.fixture
def start(python, tmp_path):
    """A function that starts a module."""

    def started(text, **env):
        path = tmp_path / "AnsiballZ_it.py"
        path.write_text(text, encoding="utf-8")
        known = {**os.environ, **env}
        return subprocess.Popen(
            [python.path, str(path)], cwd=tmp_path, env=known, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    return started


@pytest.mark.parametrize(("who", "code"), [("one", 0), ("other", 3)])
def test_each_module_has_its_own_environment_folder_words_and_exit_code(start, tmp_path, who, code):
    with start(_SEEN, WHO=who, CODE=str(code)) as module:
        out, err = module.communicate()
    assert json.loads(out) == [who, str(tmp_path), [str(tmp_path / "AnsiballZ_it.py")], str(tmp_path), "__main__", True]
    assert (err, module.returncode) == (b"to the other\n", code)


def test_a_module_may_come_by_standard_input(python, tmp_path):
    env = {**os.environ, "CODE": "4"}
    done = subprocess.run([python.path], cwd=tmp_path, env=env, input=_SEEN.encode(), capture_output=True, check=False)
    assert (json.loads(done.stdout), done.returncode) == ([None, str(tmp_path), [""], "", "__main__", True], 4)


def test_what_needs_other_libraries_gets_a_python_of_its_own(start, tmp_path):
    with start(_SEEN, CODE="0", LD_LIBRARY_PATH=str(tmp_path)) as module:
        out, _err = module.communicate()
    assert json.loads(out)[-1] is False


def test_an_error_is_shown_and_is_exit_code_1(start):
    with start("raise ValueError('for a reason')") as module:
        _out, err = module.communicate()
    assert (module.returncode, b"ValueError: for a reason" in err) == (1, True)


def test_signals_reach_the_module_and_are_what_ended_it(start):
    with start(_HELD) as module:
        assert module.stdout.readline() == b"ready\n"
        module.send_signal(signal.SIGTERM)
        assert module.wait() == 5
    with start("import os, signal; os.kill(os.getpid(), signal.SIGKILL)") as module:
        assert module.wait() == -signal.SIGKILL


def test_a_module_ends_with_what_asked_for_it(start):
    with start(_HELD) as module:
        assert module.stdout.readline() == b"ready\n"
        module.kill()
        # Nobody has it open any more.
        assert module.stdout.read() == b""
