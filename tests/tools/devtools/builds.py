# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Things built once for each state of their inputs.

A build lies in a folder named after the digest of its inputs, `.build/venv-3f2a...`, and counts only when
its stamp is there, which is written last: one that was interrupted is thrown away and made again. A
symbolic link, `.build/venv`, follows the newest. So a run goes on with the build that it started with while
another run makes the next one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from devtools import layout, locks

_STAMP = ".complete"
_KEEP_SECONDS = 6 * 3600
_DIGITS = 12


def digest(parts: Iterable[str | Path]) -> str:
    """Digest of texts and of files (their path in the checkout and their content), in hexadecimal."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            total.update(os.path.relpath(part, layout.ROOT).encode() + b"\0")
            total.update(hashlib.sha256(part.read_bytes()).digest())
        else:
            total.update(part.encode() + b"\0")
    return total.hexdigest()[:_DIGITS]


@dataclass(frozen=True)
class Build:
    """One thing to build.

    name: the link's name in the build folder.
    inputs: what it depends on, as `digest` takes it.
    make: fills the empty folder that it is given, or raises.
    """

    name: str
    inputs: tuple[str | Path, ...]
    make: Callable[[Path], None]

    @property
    def folder(self) -> Path:
        """The folder of this state of the inputs, whether it is there yet or not."""
        # The path is an input too: scripts in a virtual environment name their interpreter in full.
        return layout.BUILD / f"{self.name}-{digest((str(layout.BUILD), *self.inputs))}"

    @property
    def log(self) -> Path:
        """Where `make` is to log what it does."""
        return layout.LOGS / f"{self.name.replace('/', '-')}.log"

    @property
    def is_ready(self) -> bool:
        """Whether the folder is there and complete."""
        return (self.folder / _STAMP).exists()

    def ensure(self) -> Path:
        """Build it unless it is there, point the link at it, and return its folder.

        Safe from many processes at once: one builds, the others wait for it.
        """
        folder = self.folder
        if not (folder / _STAMP).exists():
            with locks.exclusive(layout.LOCKS / self.name):
                if not (folder / _STAMP).exists():
                    shutil.rmtree(folder, ignore_errors=True)
                    folder.mkdir(parents=True)
                    self.log.unlink(missing_ok=True)
                    self.make(folder)
                    (folder / _STAMP).touch()
        os.utime(folder / _STAMP)
        self._link(folder)
        self._prune(folder)
        return folder

    def _link(self, folder: Path) -> None:
        link = layout.BUILD / self.name
        if link.is_symlink() and os.readlink(link) == folder.name:
            return
        if link.is_dir() and not link.is_symlink():
            shutil.rmtree(link)
        fresh = link.with_name(f".{link.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(folder.name)
        fresh.replace(link)

    def _prune(self, current: Path) -> None:
        """Remove half-made builds, and those of earlier inputs that no run has asked for in hours."""
        with locks.exclusive(layout.LOCKS / self.name):
            # Not what others keep under a similar name.
            for folder in layout.BUILD.glob(f"{self.name}-{_DIGITS * '[0-9a-f]'}"):
                stamp = folder / _STAMP
                # Nobody is making one now: who does holds the lock.
                unused = not stamp.exists() or time.time() - stamp.stat().st_mtime > _KEEP_SECONDS
                if unused and folder != current:
                    shutil.rmtree(folder, ignore_errors=True)
