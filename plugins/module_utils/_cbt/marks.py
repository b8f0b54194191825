# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The snapshots that this collection makes for a query, and how one that was left over is known.

A snapshot counts as ours by its name and by a mark in its description, which names the VM, the run, and the process that
made it. A run that was killed leaves its snapshot behind. It is removed as soon as it is certain that its run is over: when
the process is gone from this machine, or, for a run on another machine, when the time that this run had allowed itself is over.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
import pathlib

from .facts import Snapshot

SNAPSHOT_NAME = "vforge-changed-areas"

_WORDS = "Made for a query of changed areas, and removed with it."
_MARK = "vforge.cbt "


@dataclasses.dataclass(frozen=True)
class Owner:
    """A process.

    :ivar place: the machine since its start, the user and the space of process IDs in it; empty where it cannot be told.
    :ivar began: when the process was started, as the kernel counts.
    """

    place: str
    pid: int
    began: str

    @classmethod
    def this(cls) -> Owner:
        """This process."""
        pid = os.getpid()
        return cls(_place(), pid, _began(pid) or "")

    def is_gone(self) -> bool:
        """Whether it is certain that the process has ended; False for one of another machine."""
        return bool(self.place) and self.place == _place() and _began(self.pid) != self.began


@dataclasses.dataclass(frozen=True)
class Mark:
    """What a description tells.

    :ivar vm: instance UUID of the VM that the snapshot was made of.
    :ivar run: random, one for each task.
    :ivar seconds: after which the run has ended in any case.
    """

    vm: str
    run: str
    owner: Owner
    seconds: int

    def description(self) -> str:
        """The text for the snapshot."""
        data = {"vm": self.vm, "run": self.run, "seconds": self.seconds, **dataclasses.asdict(self.owner)}
        return f"{_WORDS}\n{_MARK}{json.dumps(data)}"

    @classmethod
    def of(cls, snapshot: Snapshot, vm: str) -> Mark | None:
        """The mark of a snapshot of this VM, or None where it is none of ours."""
        _words, found, text = snapshot.description.rpartition(f"\n{_MARK}")
        if snapshot.name != SNAPSHOT_NAME or not found:
            return None
        try:
            data = json.loads(text)
            owner = Owner(str(data["place"]), int(data["pid"]), str(data["began"]))
            mark = cls(str(data["vm"]), str(data["run"]), owner, int(data["seconds"]))
        except (ValueError, KeyError, TypeError):
            return None
        return mark if mark.vm == vm else None

    def is_over(self, created: datetime.datetime | None, now: datetime.datetime) -> bool:
        """Whether the run that made the snapshot is certain to have ended.

        :param created: by vCenter's clock.
        :param now: by vCenter's clock.
        """
        if self.owner.is_gone():
            return True
        return created is not None and now - created > datetime.timedelta(seconds=self.seconds)


def _place() -> str:
    """Where process IDs are comparable: one boot, one user, one space of process IDs."""
    try:
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return ""
    return hashlib.sha256(f"{boot}{space}/{os.geteuid()}".encode()).hexdigest()[:16]


def _began(pid: int) -> str | None:
    """When a process was started, or None where there is none (proc(5): field 22; the second one may hold anything)."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None
