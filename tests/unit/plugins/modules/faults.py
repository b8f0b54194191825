# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sweep of faults: each call of a task fails once, in each way; what then, and what does the next run make of it?

A task is one of the stories of ``endings.py`` and ``ways.py``. Its calls are counted in a run that nothing disturbs. Then it
is run again for each of them with each fault that such a call can have. After each run its result is looked at, it is run
again undisturbed, and what is in the vCenter then is compared with what the undisturbed run has left.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import Ended, Forked, Story

# Seconds that one call may take; the server answers later than that where an answer is late.
_CALL_SECONDS = 1
_LATE_MS = 1500

# What a disturbed task may take on a busy machine: its own timeout is 40 seconds at most.
_MOST_SECONDS = 55

# Calls that have no more effect when they are made twice, or not at all, than the answer that they bring.
_PROPERTIES = re.compile(r"(Create|Destroy)PropertyCollector$|(Create|Destroy(Property)?)Filter$|WaitForUpdatesEx$|CancelWait")

# The calls that a task of vCenter follows.
_TASKS = re.compile(r"(?!Check|Retrieve).*_Task$|ImportVApp$|Export(Vm|Snapshot)$")

# Errors of items of which nobody knows whether they were done.
UNKNOWN = frozenset(
    {"still_running", "connection_lost", "call_timeout", "connection_timeout", "unreachable", "vcenter_unavailable"}
)

# No user can do anything with these.
_NO_ERROR_CODES = frozenset({"", "error", "internal_error"})


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        rule: what the simulator is asked for, besides the call.
        calls: which calls can have it.
    """

    rule: dict[str, Any]
    calls: re.Pattern[str] = re.compile("")


def _but(pattern: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(f"(?!{pattern.pattern})")


KINDS = {
    "dropped before it was done": Kind({"do": "drop"}),
    "done, and the answer lost": Kind({"do": "drop-after"}),
    "done, and half of the answer": Kind({"do": "half", "delay_ms": 10}),
    "answered too late": Kind({"do": "delay", "delay_ms": _LATE_MS}, _but(re.compile("WaitForUpdatesEx"))),
    "HTTP 503": Kind({"do": "http-status", "status": 503}),
    "session ended": Kind({"do": "expire"}),
    "NoPermission": Kind({"do": "fault", "fault": "NoPermission"}, _but(_PROPERTIES)),
    "TaskInProgress": Kind({"do": "fault", "fault": "TaskInProgress"}, _TASKS),
    "task failed": Kind({"do": "task-fault", "fault": "SystemError"}, _TASKS),
    "SIGTERM": Kind({"do": "signal", "signal": "TERM", "delay_ms": 20}),
    "SIGKILL": Kind({"do": "signal", "signal": "KILL", "delay_ms": 20}),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One call and what happens to it. nth: which one of the calls of this method, from 1."""

    method: str
    nth: int
    kind: str

    def __str__(self) -> str:
        return f"{self.method} {self.nth}: {self.kind}"

    @property
    def rule(self) -> dict[str, Any]:
        """For the simulator."""
        return {"method": self.method, "nth": self.nth, **KINDS[self.kind].rule}


@dataclasses.dataclass
class Tally:
    """What came of the cases of one kind.

    Attributes:
        runs: how many there were.
        recovered: the task succeeded all the same.
        failed: it ended with an error that says what to do.
        wrong: what must not be, one sentence each.
    """

    runs: int = 0
    recovered: int = 0
    failed: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Census:
    """What is in a vCenter: numbers, so that attempts with other names can be compared."""

    vms: int
    snapshots: int
    disks: int
    files: int
    leases: int

    @classmethod
    def of(cls, sim: Any) -> Census:
        """Taken by govc and by the simulator's own books, not by the collection."""
        paths = sim.govc("find", "/DC0/vm", "-type", "m") or []
        known = sim.govc("vm.info", "-json", *paths)["virtualMachines"] if paths else []
        return cls(
            vms=len(paths),
            snapshots=sum(_count(vm.get("snapshot")) for vm in known),
            disks=len(sim.govc("disk.ls", "-ds", "LocalDS_0")["objects"] or ()),
            files=len(sim.orphans()),
            leases=sim.open_leases(),
        )

    def __sub__(self, other: Census) -> Census:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Census(*(here - there for here, there in pairs))


def _count(tree: Any) -> int:
    """How many snapshots a VM has."""
    if not tree:
        return 0
    roots = tree.get("rootSnapshotList") or tree.get("childSnapshotList") or []
    return sum(1 + _count({"childSnapshotList": each.get("childSnapshotList")}) for each in roots)


class Sweep:
    """One task against one simulator, in one attempt after the other, each with names of its own."""

    def __init__(self, sim: Any, which: str, story: Story, folder: Path) -> None:
        self._sim, self._story, self._folder = sim, story, folder
        self._module = Forked(sim, which, folder)
        self._number = 0
        self._left: Census | None = None
        self._calls: dict[str, int] = {}

    def measure(self) -> None:
        """Run it undisturbed, in a session that is kept, and note its calls and what it leaves."""
        assert self._attempt().code == 0
        self._attempt()
        before = self._prepared()
        ended = self._run()
        assert ended.code == 0, ended.result
        self._story.check(self._sim, self._number)
        self._calls = ended.calls
        self._left = Census.of(self._sim) - before

    def cases(self) -> Iterator[Case]:
        """Each call with each fault that it can have."""
        for method, count in sorted(self._calls.items()):
            for kind, about in KINDS.items():
                if about.calls.match(method):
                    for nth in range(1, count + 1):
                        yield Case(method, nth, kind)

    def try_case(self, case: Case, tally: Tally) -> None:
        """Run the task with a fault, look at what it says, run it again, and look at what there is."""
        before = self._prepared()
        tally.runs += 1
        wrong: list[str] = []
        try:
            ended = self._run(rule=case.rule)
            if ended.code == 0:
                tally.recovered += 1
            elif case.kind != "SIGKILL":
                tally.failed += 1
            wrong += self._about(ended, case)
            wrong += self._converged(before)
        except AssertionError as error:
            wrong.append(str(error)[:2000])
        tally.wrong += [f"{case}: {each}" for each in wrong]

    def _attempt(self) -> Ended:
        self._prepared()
        return self._run()

    def _prepared(self) -> Census:
        """A new attempt: what is there before it."""
        self._sim.clear()
        self._number += 1
        self._story.prepare(self._sim, self._number, self._folder)
        return Census.of(self._sim)

    def _run(self, **how: Any) -> Ended:
        params = self._story.params(self._sim, self._number, self._folder)
        return self._module.run({"connection_timeout": _CALL_SECONDS, **params}, **how)

    def _about(self, ended: Ended, case: Case) -> Iterator[str]:
        """What is wrong about how a disturbed task has ended."""
        if ended.seconds > _MOST_SECONDS:
            yield f"it took {ended.seconds:.0f} s"
        if ended.code < 0 and case.kind != "SIGKILL":
            yield f"it was ended by signal {-ended.code}"
        if ended.code > 0:
            code = ended.result.get("error_code", "")
            if code in _NO_ERROR_CODES:
                yield f"error_code is {code!r}: {ended.result.get('msg')}"
            if case.kind == "SIGTERM" and code != "interrupted":
                yield f"after SIGTERM, error_code is {code}: {ended.result.get('msg')} {ended.result.get('failures')}"
        yield from self._untrue(ended)
        if ended.code >= 0 and (left := list(self._module.temporary.iterdir())):
            yield f"temporary files are left: {left}"

    def _untrue(self, ended: Ended) -> Iterator[str]:
        """What is reported as done and is not there, and the other way round."""
        if self._story.made is None or self._story.entries not in ended.result:
            return
        there = self._story.made(self._sim, self._number)
        for entry in ended.result[self._story.entries]:
            code = entry.get("error", {}).get("error_code")
            if code is None and entry["name"] not in there:
                yield f"{entry['name']} is reported and is not there"
            elif code is not None and code not in UNKNOWN and entry["name"] in there:
                yield f"{entry['name']} is there, and reported as {code}"

    def _converged(self, before: Census) -> Iterator[str]:
        """What is wrong after an undisturbed run."""
        ended = self._run()
        if ended.code != 0:
            yield f"the next run fails: {ended.result.get('error_code')}: {ended.result.get('msg')}"
            return
        try:
            self._story.check(self._sim, self._number)
        except AssertionError as error:
            yield f"the next run does not bring it to its end: {error}"
        if not self._story.repeats and self._run().result.get("changed"):
            yield "the run after the next one changes something again"
        left = Census.of(self._sim) - before
        if not self._story.repeats and left != self._left:
            yield f"after the next run there is {left}, where an undisturbed run leaves {self._left}"
        if files := list(self._module.temporary.iterdir()):
            yield f"temporary files are left after the next run: {files}"
