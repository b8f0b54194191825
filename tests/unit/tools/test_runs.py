# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each run has a copy of its own, and leaves none behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from devtools import layout, locks, runs


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small repository in place of the checkout: one file committed, one not, one ignored, one deleted."""
    root = tmp_path / "checkout"
    root.mkdir()
    for name, value in {"ROOT": root, "BUILD": root / ".build"}.items():
        monkeypatch.setattr(layout, name, value)
    for name in ("RUNS", "LOCKS", "LOGS"):
        monkeypatch.setattr(layout, name, root / ".build" / name.lower())
    git = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run([*git[:3], "init", "--quiet"], check=True)
    (root / ".gitignore").write_text("/.build/\n/ignored\n", encoding="utf-8")
    for name in ("committed", "deleted", "ignored"):
        (root / name).touch()
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "first"], check=True)
    (root / "deleted").unlink()
    (root / "ä new/one").parent.mkdir()
    (root / "ä new/one").write_text("text", encoding="utf-8")
    return root


def test_the_copy_has_what_git_would_commit(checkout: Path) -> None:
    with runs.new_run() as run:
        names = {str(path.relative_to(run.collection)) for path in run.collection.rglob("*") if path.is_file()}
        assert {name for name in names if not name.startswith(".git/")} == {".gitignore", "committed", "ä new/one"}
        assert run.folder.is_relative_to(checkout / ".build")
    assert not run.folder.exists()


def test_two_runs_do_not_meet(checkout: Path) -> None:
    with runs.new_run() as first, runs.new_run() as second:
        assert first.folder != second.folder
        assert (first.collection / "committed").exists()
    assert list((checkout / ".build" / "runs").iterdir()) == []


def test_what_a_killed_run_left_goes_and_a_live_one_stays(checkout: Path) -> None:
    dead, live = (checkout / ".build" / "runs" / name for name in ("20200101-000000-1", "20200101-000000-2"))
    for folder in (dead, live):
        folder.mkdir(parents=True)
    with locks.exclusive(layout.LOCKS / f"run-{live.name}"), runs.new_run():
        assert not dead.exists()
        assert live.exists()


def test_only_the_newest_logs_stay_and_those_of_a_live_run(checkout: Path) -> None:
    logs = [checkout / ".build" / "logs" / f"20200101-0000{number:02}-a" for number in range(14)]
    for folder in logs:
        folder.mkdir(parents=True)
    with locks.exclusive(layout.LOCKS / f"run-{logs[0].name}"), runs.new_run():
        assert [folder.exists() for folder in logs] == [True] + [False] * 3 + [True] * 10
    assert not list((checkout / ".build" / "locks").glob("run-20200101-000001-*"))


def test_an_error_in_the_run_removes_the_copy(checkout: Path) -> None:
    def fail() -> None:
        with runs.new_run():
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert list((checkout / ".build" / "runs").iterdir()) == []
