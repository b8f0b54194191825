# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Thousands of VMs compared with 64 hosts, and a plain pyVmomi script that reads the same, in turns."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from bench.document import section
from bench.report import Promise, Report, Spread, in_turns
from bench.tables import Table
from bench.tools import Installed, Tools, WrongResult
from bench.vcenter import simulated
from devtools.console import Console, Outcome
from vforge_sim import Simulator

OURS = "cpu_features_info, all compared"
PLAIN = "plain pyVmomi script, only read"

HOSTS = 64
_INVENTORY = ("--clusters", "8", "--hosts", "8", "--processors", "xeon-haswell,xeon-broadwell,xeon-skylake,epyc-rome")

# What is promised. Of few VMs, what is compared is the start of two programs.
CALLS, SECONDS, PEAK_MIB, RATIO = 12, 5.0, 150, 0.5
FROM_VMS = 10_000

_PAGES = "ContinueRetrievePropertiesEx"

_TEXT = """## VMs compared with hosts

Which of all VMs could move to which of {hosts} hosts and 8 clusters, in one task. Beside it, pyVmomi reads the same
properties and compares nothing. Processor time is that of the whole process, the start of Python included. *Connect to
result* is what the module returns as `timing.total`: most of it is the module's own work, and the simulator's on the
same cores, which writes down once what thousands of VMs have in common.
"""


@dataclass
class Side:
    """What the turns of one tool took."""

    cpu: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)
    calls: int = 0
    pages: int = 0
    spans: list[float] = field(default_factory=list)

    def cells(self, tool: str) -> tuple[str, ...]:
        """For a table."""
        spans = Spread.of(self.spans).text()
        return (tool, str(self.calls), str(self.pages), spans, Spread.of(self.cpu).text(), f"{max(self.peak_mib):.0f}")


class Comparing(Tools):
    """Runs both against one vCenter."""

    def compared(self, vms: int) -> tuple[float, float, float]:
        """Our module: one task. Returns seconds from connecting to the result, processor seconds and MiB of its process."""
        variables, usage = self._metered()
        task = {"vforge.vsphere.cpu_features_info": {"compare": True}}
        result, _sample = self._task(task, ["all"], OURS, "processors", variables, VFORGE_BENCH_USAGE=str(usage))
        comparison = result["comparison"]
        there = sum(len(group["vms"]) for group in comparison["groups"])
        if there < vms or len(comparison["hosts"]) != HOSTS:
            raise WrongResult(f"{OURS} compares {there:,} VMs with {len(comparison['hosts'])} hosts.")
        used = json.loads(usage.read_text(encoding="utf-8"))
        return result["timing"]["total"], used["cpu"], used["peak_kib"] / 1024

    def read(self, vms: int) -> tuple[float, float, float]:
        """The yardstick, likewise."""
        figures = self._fresh("processors.json")
        self._measure(PLAIN, ["all"], self._script("processors.py", {**self._vcenter.job, "figures": str(figures)}))
        told = json.loads(figures.read_text(encoding="utf-8"))
        found = told["objects"]
        if found["vim.VirtualMachine"] < vms or found["vim.HostSystem"] != HOSTS:
            raise WrongResult(f"The plain script reads {found}.")
        return told["span"], told["cpu"], told["peak_kib"] / 1024


@dataclass(frozen=True)
class Processors:
    """Compares so many VMs; turns, most: how often, and at the most where it scatters."""

    simulator: Path
    installed: Installed
    console: Console
    vms: int
    turns: int
    most: int

    def run(self) -> Report:
        """Measure.

        Raises CommandFailed or WrongResult when a tool did not do its work, SimulatorError when the simulator did not.
        """
        self.console.title(f"{self.vms:,} VMs compared with {HOSTS} hosts")
        sides = {OURS: Side(), PLAIN: Side()}
        with simulated(self.simulator, self.installed.govc, self.vms, 0, 0, *_INVENTORY) as vcenter:
            using = Comparing(self.installed, vcenter)

            def turn(number: int) -> float:
                for tool in (OURS, PLAIN) if number % 2 == 0 else (PLAIN, OURS):
                    self._once(using, vcenter.sim, tool, sides[tool], number)
                return sides[OURS].cpu[-1] / sides[PLAIN].cpu[-1]

            ratios = in_turns(turn, self.turns, self.most)
        table = _table(self.vms, sides, ratios)
        text = section(_TEXT, f"{table.title}:\n\n{table.as_markdown()}\n", hosts=HOSTS)
        return Report("processors", text, table.as_text(), promises(self.vms, sides[OURS], ratios))

    def _once(self, using: Comparing, sim: Simulator, tool: str, side: Side, number: int) -> None:
        def work() -> Outcome:
            span, cpu, peak = using.compared(self.vms) if tool == OURS else using.read(self.vms)
            by_method = sim.calls()["by_method"]
            side.pages = by_method.get(_PAGES, 0)
            side.calls = sum(by_method.values()) - side.pages
            side.spans.append(span)
            side.cpu.append(cpu)
            side.peak_mib.append(peak)
            return Outcome(
                1, note=f"{side.calls} calls, {side.pages} pages, {span:.2f} s, {cpu:.2f} s of processor, {peak:.0f} MiB"
            )

        self.console.step(f"{tool}, turn {number + 1}", work)


def _table(vms: int, sides: dict[str, Side], ratios: Spread) -> Table:
    rows = [side.cells(tool) for tool, side in sides.items()]
    rows.append(("module by script", "", "", "", ratios.text(), ""))
    head = ("", "calls", "further pages", "connect to result, seconds", "processor seconds", "peak MiB")
    return Table(f"{vms:,} VMs and {HOSTS} hosts", head, rows)


def promises(vms: int, ours: Side, ratios: Spread) -> list[Promise]:
    """Calls, memory, and the time of the module."""
    what = f"{vms:,} VMs compared with {HOSTS} hosts"
    peak = max(ours.peak_mib)
    made = [
        Promise(f"calls, less pages, for {what}", f"at most {CALLS}", str(ours.calls), ours.calls <= CALLS),
        Promise(f"peak memory for {what}, MiB", f"below {PEAK_MIB}", f"{peak:.0f}", peak < PEAK_MIB),
    ]
    if vms >= FROM_VMS:
        made.append(Spread.of(ours.spans).at_most(f"seconds of {what}, connect to result", SECONDS))
        made.append(ratios.at_most(f"processor time of {what}, by reading alone with pyVmomi", RATIO))
    return made
