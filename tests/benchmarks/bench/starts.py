# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task costs that has nothing to do: a module of ours, beside ping and beside an earlier build, in turns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import metered
from bench.document import section
from bench.earlier import BEFORE, earlier_build
from bench.report import Promise, Report, Spread, in_turns
from bench.tables import Table
from bench.tools import Installed, Tools
from bench.vcenter import DATACENTER, PARENT, VCenter, simulated
from devtools.console import Console, Outcome

PING = "ping"
NOW = "instant_clone"
EARLIER = "instant_clone, before"

# Of what a task costs more than ping, by what it was.
BY_BEFORE = 0.75

_CLONE = "started"

_TEXT = """## The start of a module

Processor time of `ansible-playbook` with all that it starts. One task of `instant_clone` whose clone is there already,
in a session that is kept, beside `ansible.builtin.ping`; and so many such tasks in one play. *On top* is what it costs
more than `ping` in the same turn. *Before* is the build at commit `{before:.10}`, which sent each module as Ansible's
file.
"""


@dataclass
class Side:
    """What the turns of one task took, in seconds: the first of a play, and each more."""

    first: list[float] = field(default_factory=list)
    more: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Starts:
    """Measures starts. tasks: in a play of many; turns, most: how often, and at the most where it scatters."""

    simulator: Path
    installed: Installed
    console: Console
    tasks: int
    turns: int
    most: int

    def run(self) -> Report:
        """Measure.

        Raises CommandFailed or WrongResult when a tool did not do its work, SimulatorError when the simulator did not.
        """
        self.console.title("The start of a module")
        earlier = earlier_build(self.installed.work)
        builds = {PING: self.installed.collections, NOW: self.installed.collections}
        if earlier is not None:
            builds[EARLIER] = earlier
        else:
            self.console.text("the earlier build is not in this checkout: its row is left out")
        sides = {tool: Side() for tool in builds}
        with simulated(self.simulator, self.installed.govc, 10, 0) as vcenter:
            Tools(self.installed, vcenter).ours([_CLONE], session="starts")
            for tool, collections in builds.items():
                self._play(vcenter, tool, collections, 1)

            def turn(number: int) -> float:
                order = list(builds.items())
                for tool, collections in order if number % 2 == 0 else reversed(order):
                    self._turn(vcenter, tool, collections, sides[tool], number)
                return on_top(sides[NOW].first, sides[PING].first)[-1]

            in_turns(turn, self.turns, self.most)
        table = _table(sides)
        text = section(_TEXT, f"{table.as_markdown()}\n", before=BEFORE)
        return Report("starts", text, table.as_text(), promises(sides))

    def _turn(self, vcenter: VCenter, tool: str, collections: Path, side: Side, number: int) -> None:
        def work() -> Outcome:
            first = self._play(vcenter, tool, collections, 1)
            all_of_them = self._play(vcenter, tool, collections, 1 + self.tasks)
            side.first.append(first)
            side.more.append((all_of_them - first) / self.tasks)
            return Outcome(1, note=f"{first:.2f} s, each more {side.more[-1]:.3f} s")

        self.console.step(f"{tool}, turn {number + 1}", work)

    def _play(self, vcenter: VCenter, tool: str, collections: Path, tasks: int) -> float:
        """Processor seconds of a play with so many tasks."""
        where = {"parent": {"path": f"/{DATACENTER}/vm/{PARENT}"}, "folder": vcenter.folder}
        task: dict[str, Any] = {"ansible.builtin.ping": {}}
        if tool != PING:
            task = {"vforge.vsphere.instant_clone": {**where, "name": _CLONE, "guestinfo": {"hostname": _CLONE}}}
        variables = {"ansible_python_interpreter": str(self.installed.python)}
        play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables, "tasks": [task] * tasks}
        path = self.installed.work / "starts.yml"
        path.write_text(json.dumps([play]), encoding="utf-8")
        kept = self.installed.work / "sessions" / f"starts-{tool == EARLIER}"
        kept.mkdir(parents=True, exist_ok=True, mode=0o700)
        environment = {
            "ANSIBLE_HOME": str(self.installed.work / "ansible"),
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "XDG_RUNTIME_DIR": str(kept),
            **vcenter.environment,
        }
        command = [self.installed.python.parent / "ansible-playbook", path]
        return metered.run(command, self.installed.log, environment).cpu


def on_top(some: Sequence[float], ping: Sequence[float]) -> list[float]:
    """What tasks cost more than ping, turn by turn."""
    return [one - other for one, other in zip(some, ping, strict=True)]


def _share(sides: dict[str, Side], tool: str) -> tuple[Spread, Spread]:
    """Milliseconds on top of ping: of the first task of a play, and of each more."""
    side, ping = sides[tool], sides[PING]
    of_all = (on_top(side.first, ping.first), on_top(side.more, ping.more))
    first, more = (Spread.of([1000 * seconds for seconds in each]) for each in of_all)
    return first, more


def _table(sides: dict[str, Side]) -> Table:
    ping = [Spread.of([1000 * each for each in of]).text(0) for of in (sides[PING].first, sides[PING].more)]
    others = (tool for tool in sides if tool != PING)
    rows = [("ping alone", *ping)]
    rows += [(f"{tool}, on top", *(each.text(0) for each in _share(sides, tool))) for tool in others]
    return Table("The start of a module, milliseconds of processor time", ("", "first task of a play", "each more"), rows)


def promises(sides: dict[str, Side]) -> list[Promise]:
    """The share that is ours, by what it was."""
    if EARLIER not in sides:
        return []
    made = []
    for what, of in (("the first task of a play", "first"), ("each more", "more")):
        now, before = (on_top(getattr(sides[tool], of), getattr(sides[PING], of)) for tool in (NOW, EARLIER))
        ratios = Spread.of([one / other for one, other in zip(now, before, strict=True)])
        made.append(ratios.at_most(f"start of a module beside ping, {what}, by the build before", BY_BEFORE))
    return made
