# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The script that stops a guest, run by this machine's own shell with a freeze command that returns at once, as in a clone."""

from __future__ import annotations

import pathlib
import subprocess

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.guestshell import LINUX, WINDOWS
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.wakescript import Manner, Scripts, files, main_path

MANNER = Manner(
    commands={"linux": "freeze-me", "windows": "& 'freeze me.exe'"}, shown_by="runtime.frozen", verb="freeze", state="frozen"
)


@pytest.fixture
def run(tmp_path: pathlib.Path):
    """A function that runs the scripts; returns the exit code and what the folder beside them holds then."""
    beside = tmp_path / "beside"
    beside.mkdir()

    def _run(before=None, freeze="true", wake=()):
        folder = tmp_path / "it's a folder"
        folder.mkdir()
        place = {"HERE": str(beside)}
        for path, text in files(Scripts(before, freeze, tuple(wake)), MANNER, LINUX, str(folder)).items():
            pathlib.Path(path).write_text(text, encoding="utf-8")
        script = main_path(MANNER, LINUX, str(folder))
        done = subprocess.run(["/bin/sh", script], env={"PATH": "/usr/bin:/bin", **place}, capture_output=True, check=False)
        return done.returncode, {path.name: path.read_text() for path in beside.iterdir()}, folder

    return _run


def test_a_clone_goes_on_behind_the_freeze_and_leaves_nothing_of_the_scripts(run):
    code, left, folder = run(
        before='echo before > "$HERE/log"; exit 0',
        freeze='echo freeze >> "$HERE/log"',
        wake=['echo one >> "$HERE/log"\nexit 0', 'echo two >> "$HERE/log"'],
    )
    assert code == 0
    assert left == {"log": "before\nfreeze\none\ntwo\n"}
    assert not folder.exists()


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"before": "exit 3"}, 71),
        ({"freeze": "no-such-command"}, 72),
        ({"freeze": "exit 0; true", "wake": ["if"]}, 70),
        ({"wake": ["exit 9"]}, 73),
    ],
)
def test_each_failure_has_an_exit_code_of_its_own_and_stops_what_follows(run, asked, code):
    found, left, folder = run(**{"wake": ['touch "$HERE/woken"'], **asked})
    assert found == code
    assert ("woken" in left) is False
    assert folder.exists()
    assert code in MANNER.endings


def test_a_mistake_in_the_syntax_of_a_wake_script_is_found_before_anything_is_run(run):
    code, left, _folder = run(before='touch "$HERE/before"', freeze='touch "$HERE/frozen"', wake=["echo fine", "while"])
    assert (code, left) == (70, {})


def test_a_file_ends_with_a_line_end():
    written = files(Scripts("a", None, ("b\n", "c")), MANNER, LINUX, "/x")
    assert {path: text for path, text in written.items() if "freeze" not in path} == {
        "/x/before.sh": "a\n",
        "/x/wake-1.sh": "b\n",
        "/x/wake-2.sh": "c\n",
    }


def test_the_usual_command_is_the_manners_own():
    assert "freeze-me || exit 72" in files(Scripts(), MANNER, LINUX, "/x")["/x/freeze.sh"]
    text = files(Scripts("a", None, ("b",)), MANNER, WINDOWS, "C:\\x")["C:\\x\\freeze.ps1"]
    assert "& 'freeze me.exe'; if ($LASTEXITCODE) { exit 72 }" in text
    lines = text.splitlines()
    order = [next(at for at, line in enumerate(lines) if mark in line) for mark in ("exit 70", "exit 71", "exit 72", "exit 73")]
    assert order == sorted(order)
