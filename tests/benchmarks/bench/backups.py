# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups of one disk beside qemu-img and a bare reader of ranges, from the same NBD server, in turns."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.document import section
from bench.environment import HERE
from bench.report import Promise, Report, Spread
from bench.tables import Table
from bench.tools import Installed, WrongResult
from devtools import debian
from devtools.console import Console, Outcome

MIB = 1 << 20

# What is promised. Memory in MiB.
READ, INCREMENT, BARE, FULL, MEMORY = 1.6, 0.35, 1.3, 0.8, 200

# Below this the start of a few programs is all that is measured.
FROM_MIB = 8192

# As between two machines of a data centre, for each request.
DELAY_MS = 5

_TEXT = """## Backups

A disk of {mib} MiB of noise is served by nbdkit. It is backed up whole, and then again after 1 % of it was changed, in blocks
of 64 KiB at random. In turns with it:

- *qemu-img convert* makes a qcow2 image from the same server, and the SHA-256 of each MiB is taken. It reads nothing back.
- *bare reader*: as many threads and connections read the same merged ranges, and write nothing.

*Read and written* is as long as a snapshot lives, *processor* the processor time of it, without the server's. *Read back*
proves the image after that. In the lower half each request takes {delay} ms more than over loopback.
"""


@dataclass(frozen=True)
class Backups:
    """Measures backups of a disk of so many MiB; turns: how often."""

    installed: Installed
    console: Console
    mib: int
    turns: int

    def run(self) -> Report:
        """Measure, and say what was found.

        Raises WrongResult where the tools of disks cannot be had, or fail.
        """
        self.console.title(f"Backups of a disk of {self.mib:,} MiB")
        why = debian.why_not()
        if why:
            raise WrongResult(f"There is nothing to measure backups with: {why}")
        root = debian.disk_tools().ensure()
        whole = self._measured(root, 0, "at once")
        slow = self._measured(root, DELAY_MS, f"{DELAY_MS} ms a request")
        table = _table(whole["turns"], slow["turns"])
        text = section(_TEXT, f"{table.as_markdown()}\n", mib=self.mib, delay=DELAY_MS)
        memory = max(whole["memory"], slow["memory"]) / MIB
        found = promises(whole["turns"], slow["turns"], memory) if self.mib >= FROM_MIB else []
        return Report("backups", text, table.as_text(), found)

    def _measured(self, root: Path, delay: int, name: str) -> dict[str, Any]:
        command: list[str | Path] = [self.installed.python, HERE / "scripts" / "backups.py", "--libraries", root]
        sizes = ["--mib", str(self.mib), "--turns", str(self.turns), "--delay-ms", str(delay)]
        modules = [str(self.installed.collections), str(root / "usr/lib/python3/dist-packages")]
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(root / "tools"), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join(modules),
            "TMPDIR": str(self.installed.work),
        }
        found: dict[str, Any] = {}

        def measure() -> Outcome:
            done = subprocess.run([*command, *sizes], env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise WrongResult(f"Backups could not be measured: {done.stderr[-2000:]}")
            found.update(json.loads(done.stdout))
            return Outcome(1, note=f"{self.turns} turns")

        self.console.step(f"backups, {name}", measure)
        return found


def promises(whole: Sequence[Mapping[str, Any]], slow: Sequence[Mapping[str, Any]], memory: float) -> list[Promise]:
    """What a backup is to cost."""
    read = max(turn["increment"]["read"] / turn["changed"] for turn in (*whole, *slow))
    full = Spread.of([turn["convert"] / turn["full"]["copy"] for turn in whole])
    increment = Spread.of([_seconds(turn["increment"]) / _seconds(turn["full"]) for turn in slow])
    bare = Spread.of([turn["increment"]["copy"] / turn["bare"] for turn in slow])
    return [
        Promise("backups, 1 % changed: bytes read by those changed", f"at most {READ}", f"{read:.2f}", read <= READ),
        increment.at_most("backups, 1 % changed: time by that of a full one", INCREMENT),
        bare.at_most("backups, 1 % changed: time by that of a bare reader of the same ranges", BARE),
        full.at_least("backups, a full one: rate by that of qemu-img convert with digests", FULL),
        Promise("backups: memory", f"below {MEMORY} MiB", f"{memory:.0f} MiB", memory < MEMORY),
    ]


def _seconds(taken: Mapping[str, float]) -> float:
    return taken["copy"] + taken["proof"]


def _table(whole: Sequence[Mapping[str, Any]], slow: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[tuple[str, ...]] = []
    for title, found in (("at once", whole), (f"{DELAY_MS} ms a request", slow)):
        rows += [
            (f"full, {title}", *_points(found, "full")),
            (f"  qemu-img convert, {title}", *_others(found, "convert")),
            (f"1 % changed, {title}", *_points(found, "increment")),
            (f"  bare reader, {title}", *_others(found, "bare")),
        ]
    return Table("Backups of one disk, seconds", ("", "read and written", "processor", "read back"), rows)


def _points(found: Sequence[Mapping[str, Any]], what: str) -> tuple[str, str, str]:
    copy, processor, proof = (_median([turn[what][part] for turn in found]) for part in ("copy", "processor", "proof"))
    return copy, processor, proof


def _others(found: Sequence[Mapping[str, Any]], what: str) -> tuple[str, str, str]:
    return _median([turn[what] for turn in found]), _median([turn["processor"][what] for turn in found]), ""


def _median(values: Sequence[float]) -> str:
    return Spread.of(values).text()
