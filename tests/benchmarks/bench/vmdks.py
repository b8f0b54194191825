# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A large disk out of vSphere and into it, beside curl with the same bytes and the same endpoint, in turns."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.document import section
from bench.report import Promise, Report, Spread, in_turns
from bench.tables import Table
from bench.templates import Large, TemplateTools
from bench.tools import Installed, WrongResult, disk_tools
from bench.vcenter import DATACENTER, VCenter, simulated
from devtools.console import Console, Outcome
from vforge_ova import write_package

EXPORT, LEASE, IMPORT = "export over the datastore", "export by a lease", "import"

# What is promised: the rate by that of curl, MiB, and calls.
RATE, PEAK_MIB, CALLS = 0.9, 120, 20

# Of less, what is compared is the beginning of two connections.
FROM_MIB = 1024

_VM, _CURL = "big", "curl"

_TEXT = """## A disk out of vSphere and into it

A disk of {capacity:,} MiB with {mib:,} MiB of noise, in one task of `vmdk`. curl gets or sends the same bytes, from and
to the same address, into or from a file; the simulated host keeps nothing of what is sent. Both take turns. Compared
are the seconds in which the disk is on its way, as the module returns them in `timing.transfer`: what comes before and
after it is proof, and conversion. Memory is that of the module's process, calls are all but the rounds of waiting.
"""


@dataclass
class Side:
    """What the turns of one direction took."""

    ours: list[float] = field(default_factory=list)
    curl: list[float] = field(default_factory=list)
    peak_mib: float = 0.0
    calls: int = 0

    @property
    def rate(self) -> Spread:
        """Our rate by that of curl."""
        return Spread.of([other / one for one, other in zip(self.ours, self.curl, strict=True)])


class VmdkTools(TemplateTools):
    """Brings a disk out and in, by our module and by curl."""

    def moved(self, how: str, path: Path, number: int, tools: Path) -> tuple[float, float, int]:
        """Our module: seconds on the way, MiB of its process, calls."""
        variables, usage = self._metered()
        store = self._vcenter.datastore
        asked: dict[str, Any] = {
            "state": "exported",
            "vm": {"path": f"/{DATACENTER}/vm/{_VM}"},
            "path": str(path),
            "force": True,
        }
        if how == EXPORT:
            asked |= {"transport": "datastore", "format": "raw"}
        elif how == LEASE:
            asked |= {"transport": "lease"}
        else:
            name = f"in-{number}"
            asked = {"state": "imported", "path": str(path), "datastore_path": f"[{store}] {name}/{name}.vmdk"}
        task = {"vforge.vsphere.vmdk": {**asked, "timeout": 7200}}
        env = {"VFORGE_BENCH_USAGE": str(usage), "PATH": os.pathsep.join([str(tools), os.environ["PATH"]])}
        result, sample = self._task(task, [_VM], f"vmdk, {how}", "vmdks", variables, **env)
        if not result["changed"]:
            raise WrongResult(f"vmdk, {how}: {result['disks']}")
        peak = json.loads(usage.read_text(encoding="utf-8"))["peak_kib"] / 1024
        return result["timing"]["transfer"], peak, sample.calls

    def fetched(self, how: str, path: Path) -> float:
        """curl, the other way round: the seconds of curl alone."""
        program, figures = shutil.which(_CURL), self._fresh("fetch.json")
        if program is None:
            raise WrongResult("There is no curl to compare with: install it.")
        asked = {"vm": f"{DATACENTER}/vm/{_VM}", "how": "datastore" if how == EXPORT else "lease", "curl": program}
        job = {**self._vcenter.job, **asked, "file": str(path), "figures": str(figures)}
        self._measure(f"{_CURL}, {how}", [_VM], self._script("fetch.py", job))
        return float(json.loads(figures.read_text(encoding="utf-8"))["span"])


@dataclass(frozen=True)
class Vmdks:
    """Measures a disk with so many MiB of noise, and four times the capacity. turns, most: how often, and at the most."""

    simulator: Path
    installed: Installed
    console: Console
    mib: int
    turns: int
    most: int

    def run(self) -> Report:
        """Measure.

        Raises CommandFailed or WrongResult when a tool did not do its work, SimulatorError when the simulator did not.
        """
        capacity = 4 * self.mib
        self.console.title(f"A disk of {capacity:,} MiB with {self.mib:,} MiB of noise")
        tools = disk_tools()
        folder = self.installed.work / "vmdks"
        sides = {how: Side() for how in (EXPORT, LEASE, IMPORT)}
        try:
            with simulated(self.simulator, self.installed.govc, 2, 0, 0, "--discard-uploads") as vcenter:
                vcenter.sim.create_vm(_VM, disks=[{"bytes": capacity << 20}])
                vcenter.sim.write_disk(_VM, offset=0, length=1 << 20, count=self.mib, stride=4 << 20, seed=1)
                vcenter.sim.govc("vm.power", "-off", f"/{DATACENTER}/vm/{_VM}")
                self._measured(vcenter, folder, tools, sides)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        table = _table(sides)
        text = section(_TEXT, f"{table.as_markdown()}\n", capacity=capacity, mib=self.mib)
        return Report("vmdks", text, table.as_text(), promises(self.mib, sides))

    def _measured(self, vcenter: VCenter, folder: Path, tools: Path, sides: dict[str, Side]) -> None:
        using = VmdkTools(self.installed, vcenter)
        folder.mkdir(parents=True, exist_ok=True)
        stream = folder / "disk.vmdk"
        for how, side in sides.items():

            def turn(number: int, how: str = how, side: Side = side) -> float:
                steps: list[tuple[str, Callable[[], Outcome]]] = [
                    (f"curl, {how}", lambda: self._curl(using, how, folder, side, number)),
                    (f"vmdk, {how}", lambda: self._ours(using, how, folder, tools, side, number)),
                ]
                for name, step in steps if number % 2 == 0 else reversed(steps):
                    self.console.step(f"{name}, turn {number + 1}", step)
                return side.rate.values[-1]

            in_turns(turn, self.turns, self.most)
            if how == EXPORT:
                (folder / "disk.raw").unlink()
            if not stream.exists() and how == LEASE:
                raise WrongResult(f"vmdk made no file by {LEASE}.")

    def _ours(self, using: VmdkTools, how: str, folder: Path, tools: Path, side: Side, number: int) -> Outcome:
        path = folder / ("disk.raw" if how == EXPORT else "disk.vmdk")
        seconds, peak, calls = using.moved(how, path, number, tools)
        side.ours.append(seconds)
        side.peak_mib, side.calls = max(side.peak_mib, peak), max(side.calls, calls)
        return Outcome(1, note=f"{seconds:.2f} s on the way, {peak:.0f} MiB, {calls} calls")

    def _curl(self, using: VmdkTools, how: str, folder: Path, side: Side, number: int) -> Outcome:
        if how == IMPORT:
            seconds = using.curl(_package(folder, self.mib), f"curl-{number}").span or 0.0
        else:
            fetched = folder / "curl"
            seconds = using.fetched(how, fetched)
            fetched.unlink()
        side.curl.append(seconds)
        return Outcome(1, note=f"{seconds:.2f} s")


def _package(folder: Path, mib: int) -> Large:
    """A descriptor for the disk that was exported, so that curl finds somebody who takes it."""
    disk, package = folder / "disk.vmdk", write_package(folder / "package")
    small = package.disks[0].stat().st_size
    text = package.ovf.read_text(encoding="utf-8").replace(f'ovf:size="{small}"', f'ovf:size="{disk.stat().st_size}"')
    package.ovf.write_text(re.sub(r'ovf:capacity="8"', f'ovf:capacity="{4 * mib}"', text), encoding="utf-8")
    return Large(package.ovf, disk, mib)


def _table(sides: dict[str, Side]) -> Table:
    rows = [
        (
            how,
            side.rate.text(),
            Spread.of(side.ours).text(1),
            Spread.of(side.curl).text(1),
            f"{side.peak_mib:.0f}",
            str(side.calls),
        )
        for how, side in sides.items()
    ]
    head = ("", "rate by curl", "seconds", "seconds of curl", "MiB", "calls")
    return Table("A disk out of vSphere and into it", head, rows)


def promises(mib: int, sides: dict[str, Side]) -> list[Promise]:
    """Rate, memory and calls in each direction."""
    made = []
    for how, side in sides.items():
        what = f"{how}, {4 * mib:,} MiB with {mib:,} MiB of data"
        if mib >= FROM_MIB:
            made.append(side.rate.at_least(f"rate by curl, {what}", RATE))
        made.append(Promise(f"memory, {what}, MiB", f"below {PEAK_MIB}", f"{side.peak_mib:.0f}", side.peak_mib < PEAK_MIB))
        made.append(Promise(f"calls, {what}", f"at most {CALLS}", str(side.calls), side.calls <= CALLS))
    return made
