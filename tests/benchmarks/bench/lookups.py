# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One clone among few VMs and among many: what it costs to find the parent, the folder and the name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.report import Promise, Report, Spread, in_turns
from bench.tables import Table
from bench.tools import Installed, Tools, WrongResult
from bench.vcenter import DATACENTER, PARENT, VCenter, simulated
from devtools.console import Console, Outcome

BY_PATH = "by path"
BY_NAME = "by name"

# A span among many VMs, by that among few; and calls and bytes that are more among many.
RATIOS = {BY_PATH: 1.5, BY_NAME: 3.0}
CALLS_MORE = {BY_PATH: 0, BY_NAME: 6}
KIB_MORE = {BY_PATH: 8, BY_NAME: 256}

_PARENTS = {BY_PATH: {"path": f"/{DATACENTER}/vm/{PARENT}"}, BY_NAME: {"name": PARENT}}

# A folder with a third of all VMs.
_FOLDER = "DC0_F0"

_TITLE = "One clone among many VMs"
_TEXT = """## {title}

One task of `instant_clone` with one clone, in a folder with a third of all VMs, in a session that was
kept. Both inventories take turns, and each turn gives one ratio of the module's own spans. Calls are all
SOAP calls but the rounds of waiting; bytes are those of all answers, as the module returns them.
"""


@dataclass
class Side:
    """One way to name the parent, in one inventory: what each turn took."""

    spans: list[float] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    received: list[int] = field(default_factory=list)

    def cells(self, how: str, vms: int) -> tuple[str, ...]:
        """For a table."""
        kib = max(self.received) / 1024
        return (f"parent {how}", f"{vms:,}", str(max(self.calls)), f"{kib:,.0f}", Spread.of(self.spans).text())


@dataclass(frozen=True)
class Lookups:
    """Measures lookups.

    sizes: VMs in the small and in the large inventory. turns, most: how often they take turns.
    """

    simulator: Path
    installed: Installed
    console: Console
    sizes: tuple[int, int]
    turns: int
    most: int

    def run(self) -> Report:
        """Measure, and say what was found."""
        self.console.title(f"{_TITLE}: {self.sizes[1]:,}, and {self.sizes[0]}")
        sides = {(how, vms): Side() for how in RATIOS for vms in self.sizes}
        with ExitStack() as stack:
            using = {vms: stack.enter_context(simulated(self.simulator, self.installed.govc, vms, 0)) for vms in self.sizes}
            ratios = {how: self._compared(how, using, sides) for how in RATIOS}
        head = ("", "VMs", "calls", "KiB", "seconds of the module")
        table = Table(_TITLE, head, [side.cells(how, vms) for (how, vms), side in sides.items()])
        text = "\n".join([_TEXT.format(title=_TITLE), table.as_markdown(), ""])
        return Report("lookups", text, table.as_text(), list(self._promises(sides, ratios)))

    def _compared(self, how: str, using: dict[int, VCenter], sides: dict[tuple[str, int], Side]) -> Spread:
        """The ratios of the spans in the large inventory by those in the small one."""
        small, large = self.sizes
        for vms in self.sizes:
            self._clone(how, using[vms], f"{vms}-warm", Side())

        def turn(number: int) -> float:
            for vms in (small, large) if number % 2 == 0 else (large, small):
                self._clone(how, using[vms], f"{vms}-{number}", sides[how, vms])
            return sides[how, large].spans[-1] / sides[how, small].spans[-1]

        return in_turns(turn, self.turns, self.most)

    def _clone(self, how: str, vcenter: VCenter, turn: str, side: Side) -> None:
        name = f"{how.replace(' ', '-')}-{turn}"

        def work() -> Outcome:
            result = Tools(self.installed, vcenter).one_clone(name, _PARENTS[how], f"/{DATACENTER}/vm/{_FOLDER}")
            if result["counts"] != {"created": 1}:
                raise WrongResult(f"{name} was to be made, and the module says {result['counts']}.")
            calls = result["calls"]
            side.spans.append(result["timing"]["total"])
            side.calls.append(calls["total"])
            side.received.append(calls["bytes_received"])
            return Outcome(1, note=f"{calls['total']} calls, {calls['bytes_received']:,} bytes, {side.spans[-1]:.3f} s")

        self.console.step(f"parent {how}, {vcenter.vms:,} VMs, {turn}", work)

    def _promises(self, sides: dict[tuple[str, int], Side], ratios: dict[str, Spread]) -> Iterator[Promise]:
        small, large = self.sizes
        for how in RATIOS:
            here, there = sides[how, small], sides[how, large]
            what = f"one clone, its parent {how}, among {large:,} VMs by that among {small}"
            yield ratios[how].at_most(f"seconds of {what}", RATIOS[how])
            yield _more(f"calls of {what}", here.calls, there.calls, CALLS_MORE[how])
            kib = [[count / 1024 for count in side.received] for side in (here, there)]
            yield _more(f"KiB of {what}", kib[0], kib[1], KIB_MORE[how])


def _more(what: str, here: Sequence[float], there: Sequence[float], most: int) -> Promise:
    more = max(there) - max(here)
    return Promise(what, f"at most {most} more", f"{max(more, 0):,.0f} more", more <= most)
