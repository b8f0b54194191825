# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action plugin in a playbook of its own: what the module is given, and what the user sees."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest

from ansible_collections.vforge.vsphere.plugins.action.instant_clone import ActionModule
from ansible_collections.vforge.vsphere.plugins.modules import instant_clone
from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import PLAYBOOK, environment, kept


@pytest.fixture
def play(make_sim, tmp_path):
    """A function that runs one task against a simulator and returns its result and all of the output."""
    sim = make_sim("--clone-time", "400ms")

    def run(*words, stderr=subprocess.PIPE, no_log=False, **task):
        playbook = [
            {
                "hosts": "localhost",
                "gather_facts": False,
                "tasks": [
                    {"vforge.vsphere.instant_clone": task, "register": "done", "ignore_errors": True, "no_log": no_log},
                    kept("{{ done | to_json }}", tmp_path / "done.json"),
                ],
            }
        ]
        (tmp_path / "play.json").write_text(json.dumps(playbook), encoding="utf-8")
        ended = subprocess.run(
            [*PLAYBOOK, *words, "play.json"],
            cwd=tmp_path,
            env=environment(tmp_path, sim),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            timeout=120,
            check=False,
        )
        output = ended.stdout + (ended.stderr or "")
        assert ended.returncode == 0, output
        return json.loads((tmp_path / "done.json").read_text(encoding="utf-8")), output, sim

    return run


def test_the_secret_options_are_those_that_the_module_keeps_out_of_logs():
    spec = instant_clone.argument_spec()
    secret = {name for name, option in spec.items() if option.get("no_log") and option["type"] == "json"}
    assert {*ActionModule.SECRET} == secret
    lists = {name for name, option in spec.items() if any(inner.get("no_log") for inner in option.get("options", {}).values())}
    assert {*ActionModule.LISTS} == lists


def test_mappings_reach_the_module_and_no_word_of_them_is_starred_out(play):
    clones = [{"name": f"web-{n}", "guestinfo": {"n": n, "role": "web", "password": "hunter2"}} for n in range(8)]
    done, output, sim = play("-vvv", parent={"name": "golden-parent"}, clones=clones)
    assert done["counts"] == {"created": 8}
    assert sim.vm("web-3")["extra_config"]["guestinfo.n"] == "3"
    assert sim.vm("web-3")["extra_config"]["guestinfo.password"] == "hunter2"
    assert "hunter2" not in output
    assert [clone["name"] for clone in done["clones"]] == [clone["name"] for clone in clones]
    # Eight clones that take vCenter three seconds, one after the other: long enough for a line on the way.
    assert re.search("^<localhost> [1-8] of 8 clones made$", output, re.MULTILINE)


def test_progress_is_shown_on_a_terminal_and_not_to_a_program(play):
    reader, terminal = os.openpty()
    clones = [{"name": f"web-{n}"} for n in range(8)]
    _done, output, _sim = play(parent={"name": "golden-parent"}, clones=clones, stderr=terminal)
    os.close(terminal)
    shown = os.read(reader, 65536).decode()
    os.close(reader)
    assert "of 8 clones made" not in output
    assert re.search(r"^  \[localhost\] [1-8] of 8 clones made\r?$", shown, re.MULTILINE)


def test_without_a_terminal_progress_comes_only_when_it_is_asked_for(play):
    _done, output, _sim = play(parent={"name": "golden-parent"}, clones=[{"name": f"web-{n}"} for n in range(8)])
    assert "clones made" not in output


def test_progress_is_not_shown_of_what_is_not_to_be_logged(play):
    clones = [{"name": f"web-{n}"} for n in range(8)]
    _done, output, _sim = play("-vvv", parent={"name": "golden-parent"}, clones=clones, no_log=True)
    assert "clones made" not in output


def test_a_failure_is_the_modules_own_and_has_no_traceback(play):
    done, output, _sim = play("-vvv", parent={"name": "nobody"}, name="web-1", guestinfo={"password": "hunter2"})
    assert done["failed"] is True
    assert done["error_code"] == "not_found"
    assert "Traceback" not in output
    assert "hunter2" not in output
