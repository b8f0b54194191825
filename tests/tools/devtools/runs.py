# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies of the checkout, one a run.

ansible-test wants the collection at `.../ansible_collections/vforge/vsphere` and writes into it, so each run works
on a copy of its own: uncommitted files included, ignored ones left out. A copy goes when its run ends; what a run that
was killed left behind goes with the next run, which sees that nobody holds its lock.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devtools import layout, locks

_LOGS_KEPT = 10


@dataclass(frozen=True)
class Run:
    """One run. folder: its own, removed at its end; logs: where its logs stay."""

    folder: Path
    logs: Path

    @property
    def collection(self) -> Path:
        """The copy of the checkout."""
        return self.folder / "ansible_collections" / layout.NAMESPACE / layout.NAME

    @property
    def simulator_state(self) -> Path:
        """Where the run's simulator keeps its files."""
        return self.folder / "simulator"

    def copy(self, name: str) -> Run:
        """A part of this run with a copy of its own, for what must not meet what others write into theirs."""
        part = Run(self.folder / name, self.logs)
        _fill(part)
        return part

    def log(self, name: str) -> Path:
        """The log file of one step."""
        return self.logs / f"{name.replace(' ', '-').replace('/', '-')}.log"


def copy_checkout(target: Path) -> None:
    """Copy what git would commit, and what it would if it were added, into the folder target."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=layout.ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in listing.decode().split("\0"):
        source, copy = layout.ROOT / name, target / name
        # A file may be in the index and deleted in the work tree.
        if not name or not os.path.lexists(source) or source.is_dir():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, copy, follow_symlinks=False)


def _fill(run: Run) -> None:
    copy_checkout(run.collection)
    # Or ansible-test would find the checkout's repository, which ignores this folder, and in it not one file.
    subprocess.run(["git", "init", "--quiet", "--template="], cwd=run.collection, check=True)


def _remove_stale() -> None:
    for folder in layout.RUNS.glob("*-*"):
        if not folder.is_dir():
            continue
        lock = layout.LOCKS / f"run-{folder.name}"
        if not locks.is_held(lock):
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
    logs = sorted(layout.LOGS.glob("20*-*"), key=lambda path: path.name)
    for old in logs[:-_LOGS_KEPT]:
        lock = layout.LOCKS / f"run-{old.name}"
        # However many runs began after a long one: it still writes there.
        if not (lock.exists() and locks.is_held(lock)):
            shutil.rmtree(old, ignore_errors=True)


@contextmanager
def new_run() -> Iterator[Run]:
    """A run with its copy of the checkout; removed when the block is left."""
    _remove_stale()
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
    lock = layout.LOCKS / f"run-{name}"
    # The lock is there before the folder, so nobody takes the folder for a stale one.
    with locks.exclusive(lock):
        run = Run(layout.RUNS / name, layout.LOGS / name)
        run.logs.mkdir(parents=True)
        try:
            _fill(run)
            yield run
        finally:
            shutil.rmtree(run.folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
