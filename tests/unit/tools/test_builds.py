# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is built once is whole, whatever interrupts it and however many want it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devtools import builds, layout
from devtools.builds import Build

# Builds "thing" in the folder argv[1] and notes each beginning in the file argv[2]; with argv[3] it kills itself half-way.
_BUILDER = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tools!r})
from devtools import layout
from devtools.builds import Build
layout.BUILD = Path(sys.argv[1])
layout.LOCKS = layout.BUILD / "locks"
layout.LOGS = layout.BUILD / "logs"
def make(folder):
    with open(sys.argv[2], "a") as notes:
        notes.write("begun\\n")
    assert not list(folder.iterdir())
    (folder / "half").touch()
    if len(sys.argv) > 3:
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / "whole").touch()
folder = Build("thing", ("input",), make).ensure()
assert (folder / "whole").exists()
"""


@pytest.fixture
def build_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty build folder in place of the checkout's."""
    folder = tmp_path / "build"
    monkeypatch.setattr(layout, "BUILD", folder)
    monkeypatch.setattr(layout, "LOCKS", folder / "locks")
    monkeypatch.setattr(layout, "LOGS", folder / "logs")
    return folder


def _builder(*arguments: object) -> subprocess.Popen[bytes]:
    code = _BUILDER.format(tools=str(Path(builds.__file__).parents[1]))
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)])


def test_many_at_once_build_once(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    running = [_builder(tmp_path / "build", notes) for _ordinal in range(6)]
    assert [process.wait() for process in running] == [0] * 6
    assert notes.read_text(encoding="utf-8") == "begun\n"


def test_a_killed_build_is_made_again(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    assert _builder(tmp_path / "build", notes, "die").wait() == -signal.SIGKILL
    assert _builder(tmp_path / "build", notes).wait() == 0
    assert notes.read_text(encoding="utf-8") == "begun\n" * 2


def test_an_error_leaves_nothing_that_counts(build_folder: Path) -> None:
    def fail(_folder: Path) -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        Build("thing", (), fail).ensure()
    assert not Build("thing", (), fail).is_ready
    assert not (build_folder / "thing").exists()


def test_other_inputs_make_another_and_the_link_follows(build_folder: Path) -> None:
    made: list[Path] = []
    first = Build("thing", ("a",), made.append).ensure()
    second = Build("thing", ("b",), made.append).ensure()
    again = Build("thing", ("a",), made.append).ensure()
    assert made == [first, second]
    assert again == first
    assert second.is_dir(), "a run that began with it may still need it"
    assert (build_folder / "thing").resolve() == first.resolve()


def _nothing(_folder: Path) -> None:
    """An empty folder is all that this build makes."""


def test_old_ones_go_with_the_next(build_folder: Path) -> None:
    old = Build("thing", ("a",), _nothing).ensure()
    half = build_folder / "thing-0123456789ab"
    half.mkdir()
    os.utime(old / ".complete", (0, 0))
    Build("thing", ("b",), _nothing).ensure()
    assert not old.exists()
    assert not half.exists()


def test_what_others_keep_under_a_similar_name_stays(build_folder: Path) -> None:
    kept = build_folder / "thing-measured"
    kept.mkdir(parents=True)
    Build("thing", ("a",), _nothing).ensure()
    assert kept.exists()


def test_a_file_counts_by_its_content(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("a", encoding="utf-8")
    before = builds.digest([file, "text"])
    assert builds.digest([file, "text"]) == before
    file.write_text("b", encoding="utf-8")
    assert builds.digest([file, "text"]) != before
