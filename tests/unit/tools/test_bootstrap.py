# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a machine lacks is told in one sentence; what it has is found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from devtools import golang, pythons

_LAUNCHER = Path(pythons.__file__).parents[1] / "python.sh"


def _launch(path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(path), "HOME": str(path), **more}
    shell = shutil.which("sh")
    assert shell is not None
    command = [shell, str(_LAUNCHER), "-c", "import sys; print(sys.version_info >= (3, 11))"]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def _script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """A PATH with a git that is never called."""
    _script(tmp_path / "git", "exit 1")
    return tmp_path


def test_no_git(tmp_path: Path) -> None:
    answer = _launch(tmp_path)
    assert (answer.returncode, answer.stderr) == (1, "git is needed and is not on PATH.\n")


def test_no_python(bin_folder: Path) -> None:
    answer = _launch(bin_folder)
    assert answer.returncode == 1
    assert answer.stderr.startswith("Python 3.11 or later with its venv module is needed and was not found")
    assert answer.stderr.count("\n") == 1


def test_a_python_that_does_not_start_is_passed_over(bin_folder: Path) -> None:
    _script(bin_folder / "python3.11", "echo 'python3.11: command not found' >&2; exit 127")
    (bin_folder / "python3").symlink_to(sys.executable)
    answer = _launch(bin_folder)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "True\n", "")


def test_the_users_choice_counts_and_is_checked(bin_folder: Path) -> None:
    assert _launch(bin_folder, PYTHON=sys.executable).stdout == "True\n"
    old = str(_script(bin_folder / "old", "exit 1"))
    answer = _launch(bin_folder, PYTHON=old)
    assert answer.stderr == f"PYTHON={old} is not a Python 3.11 or later with the venv and ensurepip modules.\n"


def test_the_environment_is_made_with_the_users_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON", sys.executable)
    assert pythons.for_development().full == ".".join(map(str, sys.version_info[:3]))
    monkeypatch.setenv("PYTHON", str(tmp_path / "none"))
    with pytest.raises(pythons.NoPython, match=r"is not a Python 3\.11 or later"):
        pythons.for_development()


@pytest.mark.parametrize(
    ("version", "found"),
    [("go1.23.9", False), ("go1.24.9", False), ("go1.25.0", True), ("go1.26.8", True), ("devel go1.99", False), ("", False)],
)
def test_go_counts_when_it_is_new_enough(bin_folder: Path, monkeypatch: pytest.MonkeyPatch, version: str, found: bool) -> None:
    _script(bin_folder / "go", f"echo '{version}'; echo /opt/go")
    monkeypatch.setenv("PATH", str(bin_folder))
    assert (golang.on_path() is not None) == found


def test_no_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert golang.on_path() is None
