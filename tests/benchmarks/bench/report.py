# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one part of the benchmark found: figures with their spread, promises, and how busy the machine was meanwhile.

A part is kept in a file when it is done, so that the parts of a page may be measured one by one.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

# A figure whose largest value is so much more than its smallest, by its median, says little.
SCATTER = 0.25

# Other work than ours may take so much of the processors.
OTHERS = 0.10


@dataclass(frozen=True)
class Promise:
    """One promise: what, its bound and the measured value as text, and whether it is kept."""

    what: str
    bound: str
    measured: str
    kept: bool


@dataclass(frozen=True)
class Spread:
    """A figure that was measured several times."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of what was measured."""
        return cls(tuple(values))

    @property
    def median(self) -> float:
        """The value that counts."""
        return statistics.median(self.values)

    @property
    def scatters(self) -> bool:
        """Whether there is little in it."""
        return max(self.values) - min(self.values) > SCATTER * self.median

    def text(self, digits: int = 2) -> str:
        """``0.96 (0.91 to 1.02, n = 5)``: the median, the smallest, the largest, and how many there are."""
        low, middle, high = (f"{each:,.{digits}f}" for each in (min(self.values), self.median, max(self.values)))
        return f"{middle} ({low} to {high}, n = {len(self.values)})"

    def at_most(self, what: str, bound: float) -> Promise:
        """The promise that the median is no more."""
        return Promise(what, f"at most {bound:.2f}", self.text(), self.median <= bound)

    def at_least(self, what: str, bound: float) -> Promise:
        """The promise that the median is no less."""
        return Promise(what, f"at least {bound:.2f}", self.text(), self.median >= bound)


def in_turns(turn: Callable[[int], float], turns: int, most: int) -> Spread:
    """A ratio, taken in turns; again where it scatters, as it does on a machine that others use.

    turn: measures both sides, one after the other, and returns their ratio. turns: how many there are; most: at the most.
    """
    ratios: list[float] = []
    while len(ratios) < turns or (Spread.of(ratios).scatters and len(ratios) < most):
        ratios.append(turn(len(ratios)))
    return Spread.of(ratios)


@dataclass
class Load:
    """How busy the machine was while a part was measured.

    begin, end: the load average of one minute. others: what other work than ours took of the processors, from 0 to 1;
    None where the system does not say.
    """

    begin: float = 0.0
    end: float = 0.0
    others: float | None = None

    @property
    def shared(self) -> bool:
        """Whether other work ran meanwhile, so that times mean little."""
        if self.others is not None:
            return self.others > OTHERS
        return self.begin > (os.cpu_count() or 1) / 4

    def __str__(self) -> str:
        others = "" if self.others is None else f", other work took {100 * self.others:.0f} % of the processors"
        return f"load {self.begin:.1f} at the start and {self.end:.1f} at the end{others}"


@contextmanager
def watched() -> Iterator[Load]:
    """How busy the machine is while the block runs; complete when it is over, and all that it started has ended."""
    load = Load(begin=os.getloadavg()[0])
    begun, busy, own = time.monotonic(), _busy(), _own()
    yield load
    load.end = os.getloadavg()[0]
    now = _busy()
    if busy is not None and now is not None:
        capacity = (time.monotonic() - begun) * (os.cpu_count() or 1)
        load.others = min(1.0, max(0.0, (now - busy) - (_own() - own)) / max(capacity, 0.001))


def _busy() -> float | None:
    """Seconds that the processors have worked since the system began; None where it does not say (Linux does)."""
    try:
        words = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    except OSError:
        return None
    user, nice, system, _idle, _waiting, irq, softirq, steal = (int(word) for word in words[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    """Seconds of them that were ours, and of what we have started and waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


@dataclass
class Report:
    """What one part found.

    markdown: its sections of the page; text: the same for a terminal. taken: when, as a date; full: with the rows of --full.
    pictures: names of files beside it.
    """

    part: str
    markdown: str
    text: str
    promises: list[Promise]
    pictures: list[str] = field(default_factory=list)
    load: Load = field(default_factory=Load)
    seconds: float = 0.0
    taken: str = ""
    full: bool = False
    machine: dict[str, str] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Keep it for the page."""
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f".{self.part}.json"
        fresh.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        fresh.replace(folder / f"{self.part}.json")

    @classmethod
    def load_from(cls, folder: Path, part: str) -> Report | None:
        """What was kept of a part."""
        path = folder / f"{part}.json"
        if not path.exists():
            return None
        known = json.loads(path.read_text(encoding="utf-8"))
        known["promises"] = [Promise(**each) for each in known["promises"]]
        known["load"] = Load(**known["load"])
        return cls(**known)
