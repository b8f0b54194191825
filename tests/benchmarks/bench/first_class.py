# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All first class disks of one datastore, listed with their details by our module and by govc, in turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.document import section
from bench.figures import Sample
from bench.report import Promise, Report, Spread, in_turns
from bench.tables import Table
from bench.tools import Installed, Tools, WrongResult
from bench.vcenter import simulated
from devtools.console import Console, Outcome

OURS = "first_class_disk_info"
GOVC = "govc disk.ls -l"

# What is promised of many disks: by govc's.
CALLS, SECONDS = 1 / 10, 1 / 3

# Of each call, as between two machines of a data centre. Over loopback alone neither tool would wait: what is compared
# then is how fast Go and Python read XML.
LATENCY_MS = 2

# With fewer, what is compared is the start of two programs.
FROM_DISKS = 10_000

_TEXT = """## First class disks

All first class disks of one datastore with name, size, path and the VMs that have them, in turns. govc asks for each disk by
itself, and does not tell which VM has it. The module asks the global catalogue for a thousand at once. Each call takes
{latency} ms more than over loopback.
"""


class DiskTools(Tools):
    """Runs the tools against one vCenter with many disks on one datastore."""

    def listed(self, count: int) -> Sample:
        """Our module: one task."""
        task = {"vforge.vsphere.first_class_disk_info": {"datastores": [self._vcenter.datastore]}}
        result, sample = self._task(task, ["disks"], OURS, "first-class", None)
        if len(result["disks"]) != count:
            raise WrongResult(f"{OURS} lists {len(result['disks']):,} of {count:,} disks.")
        return sample

    def listed_govc(self) -> Sample:
        """The command govc, once."""
        command = [str(self._at.govc), "disk.ls", "-l", "-ds", self._vcenter.datastore]
        return self._measure(GOVC, ["disks"], command, self._vcenter.sim.govc_environment())


@dataclass(frozen=True)
class FirstClassDisks:
    """Lists so many disks; turns, most: how often, and at the most where it scatters."""

    simulator: Path
    installed: Installed
    console: Console
    disks: int
    turns: int
    most: int

    def run(self) -> Report:
        """Measure.

        Raises CommandFailed or WrongResult when a tool did not do its work, SimulatorError when the simulator did not.
        """
        self.console.title(f"{self.disks:,} first class disks of one datastore")
        samples: list[Sample] = []
        with simulated(self.simulator, self.installed.govc, 10, 0, LATENCY_MS) as vcenter:
            body = {"datastore": vcenter.datastore, "count": self.disks}
            vcenter.sim.request("POST", "/fcds", body)
            using = DiskTools(self.installed, vcenter)

            def turn(number: int) -> float:
                pair = self._turn(using, number)
                samples.extend(pair)
                ours, govc = (next(each for each in pair if each.tool == tool) for tool in (OURS, GOVC))
                return ours.seconds / govc.seconds

            ratios = in_turns(turn, self.turns, self.most)
        table = _table(self.disks, samples, ratios)
        text = section(_TEXT, f"{table.title}:\n\n{table.as_markdown()}\n", latency=LATENCY_MS)
        return Report("first_class_disks", text, table.as_text(), promises(self.disks, samples, ratios))

    def _turn(self, using: DiskTools, number: int) -> list[Sample]:
        taken: list[Sample] = []

        def ours() -> Outcome:
            return noted(using.listed(self.disks))

        def govc() -> Outcome:
            return noted(using.listed_govc())

        def noted(sample: Sample) -> Outcome:
            taken.append(sample)
            return Outcome(1, note=f"{sample.calls:,} calls, {sample.seconds:.2f} s")

        steps = [(GOVC, govc), (OURS, ours)]
        for name, step in steps if number % 2 == 0 else reversed(steps):
            self.console.step(f"{name}, turn {number + 1}", step)
        return taken


def _of(samples: Sequence[Sample], tool: str) -> list[Sample]:
    return [each for each in samples if each.tool == tool]


def _table(disks: int, samples: Sequence[Sample], ratios: Spread) -> Table:
    rows = [
        (
            tool,
            f"{_of(samples, tool)[0].calls:,}",
            Spread.of([each.seconds for each in _of(samples, tool)]).text(),
        )
        for tool in (OURS, GOVC)
    ]
    rows.append(("module by govc", "", ratios.text()))
    title = f"{disks:,} first class disks of one datastore, with details"
    return Table(title, ("", "calls", "seconds of the whole process"), rows)


def promises(disks: int, samples: Sequence[Sample], ratios: Spread) -> list[Promise]:
    """At most a tenth of the calls of govc and, of very many disks, a third of its time."""
    ours, govc = (max(each.calls for each in _of(samples, tool)) for tool in (OURS, GOVC))
    most = int(govc * CALLS)
    made = [Promise(f"calls to list {disks:,} first class disks", f"at most {most:,}", f"{ours:,}", ours <= most)]
    if disks >= FROM_DISKS:
        made.append(ratios.at_most(f"{disks:,} first class disks, module by govc", SECONDS))
    return made
