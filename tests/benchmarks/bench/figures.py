# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# Answers to one long question: budgets of calls leave them out, and the tables show them apart.
ROUNDS = frozenset(("WaitForUpdatesEx",))


@dataclass(frozen=True)
class Sample:
    """One run of one tool.

    calls: SOAP calls as the server counted them, less the rounds.
    rounds: calls of WaitForUpdatesEx.
    seconds: the whole process, its start included.
    span: seconds from connecting to the result, where the tool tells.
    """

    tool: str
    vms: int
    clones: int
    calls: int
    rounds: int
    logins: int
    logouts: int
    seconds: float
    span: float | None = None

    @property
    def calls_a_clone(self) -> float:
        """Calls for each clone."""
        return self.calls / self.clones


@dataclass(frozen=True)
class Latency:
    """The module and the plain script in turns, on the same work.

    clones, latency_ms, clone_ms: the work, what each call costs, and how long the server takes for one clone.
    Each list has one figure a repetition: the own spans, and the whole processes.
    """

    clones: int
    latency_ms: int
    clone_ms: int
    module_spans: list[float] = field(default_factory=list)
    plain_spans: list[float] = field(default_factory=list)
    module_processes: list[float] = field(default_factory=list)
    plain_processes: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Module by plain script, pair by pair."""
        return [module / plain for module, plain in zip(self.module_spans, self.plain_spans, strict=True)]


@dataclass(frozen=True)
class Memory:
    """The module's process: its largest resident set, and what it did meanwhile."""

    clones: int
    calls: int
    peak_mib: float
    cpu: float
    span: float


@dataclass(frozen=True)
class Areas:
    """Changed areas of one disk, the module and the plain script in turns.

    areas, capacity: how many there are, on a disk of how many bytes; calls, pages: of the module, pages among the calls.
    peak_mib: the largest resident set of the module's process. many, many_peak_mib: of one disk with many more.
    The lists have one span a turn.
    """

    areas: int
    capacity: int
    calls: int
    pages: int
    peak_mib: float
    many: int
    many_peak_mib: float
    module_spans: list[float]
    plain_spans: list[float]

    @classmethod
    def of(cls, capacity: int, results: list[dict[str, Any]], plain_spans: list[float], many: dict[str, Any]) -> Areas:
        """From the results of the module; where they differ, the worst counts."""
        return cls(
            areas=min(result["totals"]["areas"] for result in results),
            capacity=capacity,
            calls=max(result["calls"]["total"] for result in results),
            pages=max(result["calls"]["by_method"]["QueryChangedDiskAreas"] for result in results),
            peak_mib=max(result["peak_mib"] for result in results),
            many=many["totals"]["areas"],
            many_peak_mib=many["peak_mib"],
            module_spans=[result["timing"]["total"] for result in results],
            plain_spans=plain_spans,
        )

    @property
    def ratios(self) -> list[float]:
        """Module by plain script, pair by pair."""
        return [module / plain for module, plain in zip(self.module_spans, self.plain_spans, strict=True)]


@dataclass(frozen=True)
class Upload:
    """One run of one tool that brings a package with a large disk.

    how: verify, of our module. seconds: the whole process, its start included; span: the way of the bytes, where it is told.
    peak_mib: the largest resident set of our module's process.
    """

    tool: str
    mib: int
    how: str
    calls: int
    rounds: int
    seconds: float
    span: float | None = None
    peak_mib: float | None = None

    @property
    def rate(self) -> float | None:
        """MiB a second on their way."""
        return self.mib / self.span if self.span else None


@dataclass(frozen=True)
class Templates:
    """Packages to templates: the tools on the same one, in turns; and a much larger one for the memory."""

    turns: list[Upload]
    large: Upload

    def ratios(self, tool: str, how: str, other: str) -> list[float]:
        """The rate of one tool by that of another, turn by turn."""
        mine = [each.rate for each in self.turns if (each.tool, each.how) == (tool, how) and each.rate]
        others = [each.rate for each in self.turns if each.tool == other and each.rate]
        return [one / two for one, two in zip(mine, others, strict=True)]
