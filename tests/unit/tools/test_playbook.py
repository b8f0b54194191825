# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plays of tests are as if ansible-playbook had been started for each, although it is loaded only once."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import environment, kept
from vforge_playbook import Playbook, run_playbook


@pytest.fixture
def folder(tmp_path):
    """A function that makes a folder with a playbook of these tasks."""

    def make(name, *tasks):
        path = tmp_path / name
        path.mkdir()
        (path / "play.json").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
        return path

    return make


def test_each_play_has_its_own_environment_settings_folder_and_words(folder, tmp_path):
    asked = (
        "lookup('env', 'HOME')",
        "lookup('config', 'DEFAULT_FORKS')",
        "lookup('config', 'ANSIBLE_HOME')",
        "playbook_dir",
        "x",
    )
    for forks in (3, 7):
        seen = tmp_path / f"seen-{forks}.json"
        there = folder(f"of {forks}", kept(f"{{{{ [{', '.join(asked)}] | to_json }}}}", seen))
        env = {**environment(there), "ANSIBLE_FORKS": str(forks)}
        code, output = run_playbook("-e", json.dumps({"x": forks}), "play.json", cwd=there, env=env)
        assert code == 0, output
        expected = [str(there), forks, str(there / "ansible"), str(there), forks]
        assert json.loads(seen.read_text(encoding="utf-8")) == expected


def test_a_play_that_fails_says_why_and_has_its_exit_code(folder):
    there = folder("failing", {"fail": {"msg": "for a reason"}})
    code, output = run_playbook("play.json", cwd=there, env=environment(there))
    assert (code, "for a reason" in output) == (2, True)


def test_a_play_is_a_process_in_a_session_of_its_own_that_can_be_killed(tmp_path):
    # It waits for somebody to write the playbook.
    os.mkfifo(tmp_path / "play.json")
    with Playbook("play.json", cwd=tmp_path, env=environment(tmp_path)) as playbook:
        assert playbook.poll() is None
        assert os.getsid(playbook.pid) == playbook.pid
        os.killpg(playbook.pid, signal.SIGKILL)
        playbook.communicate()
    assert playbook.poll() == -signal.SIGKILL


def test_each_play_has_the_plugins_that_its_environment_names(folder, tmp_path):
    for word in ("one", "two"):
        plugins = tmp_path / f"plugins-{word}"
        plugins.mkdir()
        filters = f'class FilterModule:\n    def filters(self):\n        return {{"named": lambda _value: "{word}"}}\n'
        (plugins / "named.py").write_text(filters, encoding="utf-8")
        there = folder(word, {"assert": {"that": [f"(1 | named) == '{word}'"]}})
        code, output = run_playbook("play.json", cwd=there, env={**environment(there), "ANSIBLE_FILTER_PLUGINS": str(plugins)})
        assert code == 0, output


def test_ctrl_c_ends_a_play_and_the_test(tmp_path):
    os.mkfifo(tmp_path / "play.json")
    playbook = Playbook("play.json", cwd=tmp_path, env=environment(tmp_path))
    # Who waits for the play to end gets the signal as well.
    waiting = int(Path(f"/proc/{playbook.pid}/stat").read_text(encoding="utf-8").split()[3])

    def ctrl_c():
        with playbook:
            os.kill(waiting, signal.SIGINT)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ctrl_c()
    assert playbook.poll() == -signal.SIGKILL
