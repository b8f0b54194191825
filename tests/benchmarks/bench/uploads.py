# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uploads beside curl, against a server that reads and throws away: how fast can it be, and at what cost?"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.environment import HERE
from bench.report import Promise, Report, Spread, in_turns
from bench.tables import Table
from bench.tools import Installed, WrongResult
from devtools.console import Console, Outcome

RATE_BY_CURL = 0.95
CPU_BY_SAME_WORK = 1.3
PEAK_MIB = 60

# A small file is over before its connection is fast.
RATIO_FROM_MIB = 512

_TITLE = "Uploads to a sink"
_TEXT = """## {title}

A file of {mib} MiB of noise goes by HTTPS to a
[server](../tests/simulator/cmd/vforge-sink/main.go) on the same machine that reads and throws
away. Both sides take turns, and each turn gives one ratio.

- *curl*: `curl -T`, which hashes nothing.
- *curl and openssl*: as many `curl -T`, each with a `openssl dgst -sha256` of the same file beside it: the
  same work by other means.
- *ours*: what `cached_ovf_template` does with `verify: stream`, every byte read once, hashed and
  sent. The start of Python and its libraries, once a task, is left out.

On {cores} cores one disk has a core for the hashing while it is sent. With several disks, and the
sink on the same cores, all cores are busy, and whoever hashes takes longer than who does not:
there the same work is the measure. So it is for the processor time: hashing alone, {hashing:.2f}
s for {mib} MiB here, takes {share:.0%} of what curl takes in all.
"""


@dataclass
class Side:
    """One side of the comparison: seconds and processor seconds, turn by turn."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, seconds: float, cpu: float) -> None:
        """Note a turn."""
        self.seconds.append(seconds)
        self.cpu.append(cpu)


@dataclass
class AtOnce:
    """What so many disks at once came to. rate: ours by that of curl, and by that of the same work."""

    disks: int
    curl: Side = field(default_factory=Side)
    same: Side = field(default_factory=Side)
    ours: Side = field(default_factory=Side)
    peak_mib: float = 0.0

    @property
    def by_curl(self) -> Spread:
        """Our rate by that of curl."""
        return Spread.of([one / two for one, two in zip(self.curl.seconds, self.ours.seconds, strict=True)])

    @property
    def by_same(self) -> Spread:
        """Our rate by that of curl and openssl."""
        return Spread.of([one / two for one, two in zip(self.same.seconds, self.ours.seconds, strict=True)])

    @property
    def cpu_by_curl(self) -> Spread:
        """Our processor time by that of curl."""
        return Spread.of([one / two for one, two in zip(self.ours.cpu, self.curl.cpu, strict=True)])

    @property
    def cpu_by_same(self) -> Spread:
        """Our processor time by that of curl and openssl."""
        return Spread.of([one / two for one, two in zip(self.ours.cpu, self.same.cpu, strict=True)])


@dataclass(frozen=True)
class Sink:
    """The far end. port: where it listens; pin: of its certificate."""

    port: int
    pin: str

    def url(self, name: str) -> str:
        """Where a file goes."""
        return f"https://127.0.0.1:{self.port}/{name}"


@contextmanager
def listening(binary: Path) -> Iterator[Sink]:
    """A sink for as long as the block runs."""
    process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port, pin = process.stdout.readline().split()
        yield Sink(int(port), pin)
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


@dataclass(frozen=True)
class Uploads:
    """Measures uploads. binary: of the sink; mib: the size of a disk; at_once: how many; turns, most: how often."""

    installed: Installed
    binary: Path
    console: Console
    mib: int
    at_once: tuple[int, ...]
    turns: int
    most: int

    def run(self) -> Report:
        """Measure, and say what was found."""
        programs = {name: shutil.which(name) for name in ("curl", "openssl")}
        if None in programs.values():
            raise WrongResult("There is no curl or no openssl to compare with: install them.")
        disk, digest = self._noise()
        try:
            with listening(self.binary) as sink:
                found = [self._side_by_side(sink, disk, digest, disks) for disks in self.at_once]
                hashing = min(self._timed([_hash(disk)])[1] for _turn in range(3))
        finally:
            disk.unlink()
        return self._report(found, hashing)

    def _noise(self) -> tuple[Path, str]:
        path, total = self.installed.work / "noise", hashlib.sha256()
        with path.open("wb") as file:
            for _part in range(self.mib):
                part = os.urandom(1 << 20)
                total.update(part)
                file.write(part)
        return path, total.hexdigest()

    def _side_by_side(self, sink: Sink, disk: Path, digest: str, disks: int) -> AtOnce:
        self.console.title(f"{_TITLE}, {disks} at once")
        found = AtOnce(disks)

        def turn(number: int) -> float:
            steps = [("curl", self._curl), ("curl and openssl", self._same), ("ours", self._ours)]
            for name, step in steps if number % 2 == 0 else reversed(steps):

                def work(step=step) -> Outcome:  # type: ignore[no-untyped-def]
                    seconds, cpu = step(sink, disk, digest, found)
                    return Outcome(1, note=f"{disks * self.mib / seconds:.0f} MiB/s, {cpu:.2f} s of processor time")

                self.console.step(f"{name}, turn {number + 1}", work)
            return found.by_curl.values[-1]

        in_turns(turn, self.turns, self.most)
        return found

    def _curl(self, sink: Sink, disk: Path, _digest: str, found: AtOnce) -> tuple[float, float]:
        took = self._timed([_send(sink, disk, number) for number in range(found.disks)])
        found.curl.add(*took)
        return took

    def _same(self, sink: Sink, disk: Path, _digest: str, found: AtOnce) -> tuple[float, float]:
        sending = [_send(sink, disk, number) for number in range(found.disks)]
        took = self._timed([*sending, *[_hash(disk)] * found.disks])
        found.same.add(*took)
        return took

    def _ours(self, sink: Sink, disk: Path, digest: str, found: AtOnce) -> tuple[float, float]:
        figures = self.installed.work / "upload.json"
        figures.unlink(missing_ok=True)
        job = {"port": sink.port, "pin": sink.pin, "file": str(disk), "sha256": digest}
        job |= {"at_once": found.disks, "figures": str(figures)}
        environment = {**os.environ, "PYTHONPATH": str(self.installed.collections)}
        script = [self.installed.python, HERE / "scripts" / "upload.py"]
        done = subprocess.run(script, input=json.dumps(job), text=True, env=environment, check=False)
        if done.returncode:
            raise WrongResult(f"The upload ended with exit code {done.returncode}.")
        told = json.loads(figures.read_text(encoding="utf-8"))
        found.peak_mib = max(found.peak_mib, told["peak_mib"])
        took = (told["seconds"], told["cpu"])
        found.ours.add(*took)
        return took

    def _timed(self, commands: list[list[str]]) -> tuple[float, float]:
        """Run commands beside each other: the seconds, and the processor seconds of all."""
        begun, cpu = time.monotonic(), 0.0
        running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
        for process in running:
            _pid, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            cpu += used.ru_utime + used.ru_stime
        if any(process.returncode for process in running):
            raise WrongResult(f"{' '.join(commands[0])} failed.")
        return time.monotonic() - begun, cpu

    def _report(self, found: list[AtOnce], hashing: float) -> Report:
        head = ("disks at once", *(f"{each.disks}" for each in found))
        rows = [
            ("rate, ours by curl", *(each.by_curl.text() for each in found)),
            ("rate, ours by curl and openssl", *(each.by_same.text() for each in found)),
            ("processor time, ours by curl", *(each.cpu_by_curl.text() for each in found)),
            ("processor time, ours by curl and openssl", *(each.cpu_by_same.text() for each in found)),
            ("memory of the process, MiB", *(f"{each.peak_mib:.0f}" for each in found)),
        ]
        table = Table(_TITLE, head, rows)
        one = found[0]
        text = _TEXT.format(
            title=_TITLE,
            mib=self.mib,
            cores=os.cpu_count(),
            hashing=hashing,
            share=hashing / Spread.of(one.curl.cpu).median,
        )
        return Report("uploads", f"{text}\n{table.as_markdown()}\n", table.as_text(), self._promises(found))

    def _promises(self, found: list[AtOnce]) -> list[Promise]:
        made = []
        for each in found if self.mib >= RATIO_FROM_MIB else []:
            what = f"rate of {each.disks} uploads at once" if each.disks > 1 else "rate of an upload"
            if each.disks == 1:
                made.append(each.by_curl.at_least(f"{what}, every byte hashed, by curl", RATE_BY_CURL))
            made.append(each.by_same.at_least(f"{what}, every byte hashed, by curl and openssl", RATE_BY_CURL))
            if each.disks == 1:
                what = "processor time of an upload, by curl and openssl"
                made.append(each.cpu_by_same.at_most(what, CPU_BY_SAME_WORK))
        peak = max(each.peak_mib for each in found)
        made.append(Promise("memory of an upload, MiB", f"below {PEAK_MIB}", f"{peak:.0f}", peak < PEAK_MIB))
        return made


def _hash(disk: Path) -> list[str]:
    # The same library hashes in Python; the sha256sum of some systems is several times slower.
    return ["openssl", "dgst", "-sha256", str(disk)]


def _send(sink: Sink, disk: Path, number: int) -> list[str]:
    # The sink's certificate is its own: curl looks at none, which costs it nothing.
    words = ["curl", "--silent", "--show-error", "--fail", "--insecure", "--upload-file", str(disk)]
    return [*words, sink.url(f"curl-{number}")]
