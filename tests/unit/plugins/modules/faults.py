# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sweep of faults: each call of a task fails once, in each way; what then, and what does the next run make of it?

A task is one of the stories of ``endings.py`` and ``ways.py``. Its calls (SOAP, REST, and requests for files) are counted in
a run that nothing disturbs. Then it is run again for each of them with each fault that such a call can have. After each run
its result is looked at, and what is there that an undisturbed run would not have left; it is run again undisturbed, and what
is in the vCenter then is compared with what the undisturbed run has left.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
import re
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import Ended, Forked, Story
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.roles import RoleRun

# Seconds that one call may take where an answer is late; the server answers later than that. Where nothing is late a busy
# machine must not make it so.
_SHORT_SECONDS = 2
_LATE_MS = 3000
_AMPLE_SECONDS = 30

# Of transfers: after how many bytes they break, and how fast slow ones are. The files here are small.
_BYTES = 200
_RATE = 20_000

# What a disturbed task may take on a busy machine: its own timeout is 60 seconds at most where it waits for much.
_MOST_SECONDS = 110

# How long a program may go on behind the module that has started it.
_SECONDS_TO_END = 10.0

# Calls that have no more effect when they are made twice, or not at all, than the answer that they bring.
_PROPERTIES = re.compile(r"(Create|Destroy)PropertyCollector$|(Create|Destroy(Property)?)Filter$|WaitForUpdatesEx$|CancelWait")


def is_of_properties(method: str) -> bool:
    """Whether a call has no effect but the answer that it brings."""
    return bool(_PROPERTIES.match(method))


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
        rules: what the simulator is asked for, besides the call; of several, one for each call, always the same one.
        calls: which calls can have it.
        late: whether an answer is late, so that the task is to wait for one no longer than a moment.
        done: whether vCenter says that something failed which it did.
    """

    rules: dict[str, Any] | tuple[dict[str, Any], ...]
    calls: re.Pattern[str] = re.compile("")
    late: bool = False
    done: bool = False

    def rule(self, call: str) -> dict[str, Any]:
        """What a call gets."""
        if isinstance(self.rules, dict):
            return self.rules
        return random.Random(call).choice(self.rules)  # noqa: S311


# Names of SOAP calls have no space; those of requests for files begin as "GET /".
_SOAP = re.compile(r"\S+$")
_FILES = re.compile(r"[A-Z]+ /")
_NOT_WAITING = re.compile(r"(?!WaitForUpdatesEx)")
_NOT_REST = re.compile(r"(?!REST )")
_FAIL_AFTERWARDS = re.compile(r"(?!Check|Retrieve).*_Task$")
_LEASES = re.compile(r"HttpNfcLease|[A-Z]+ /nfc")

_PAGE = "<html><body><h1>The page cannot be shown</h1></body></html>"


def _envelope(body: str) -> str:
    return f'<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>{body}</Body></Envelope>'


# What a gateway says for a vCenter that it has asked nothing.
_OF_GATEWAYS = tuple({"do": "http-status", "status": status, "message": _PAGE} for status in (302, 429, 500, 502, 503, 504))

# What no vCenter of a release that is known says: the answer of another call, one without its end, a fault of a new type.
_STRANGE = (
    {
        "do": "http-status",
        "status": 200,
        "message": _envelope(
            '<CurrentTimeResponse xmlns="urn:vim25"><returnval>2026-01-01T00:00:00Z</returnval></CurrentTimeResponse>'
        ),
    },
    {"do": "http-status", "status": 200, "message": _envelope("").removesuffix("</Envelope>")},
    {
        "do": "http-status",
        "status": 500,
        "message": _envelope(
            "<Fault><faultcode>ServerFaultCode</faultcode><faultstring>Not today.</faultstring>"
            '<detail><NotTodayFault xmlns="urn:vim25" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="NotToday"/>'
            "</detail></Fault>"
        ),
    },
)


KINDS = {
    "dropped before it was done": Kind({"do": "drop"}),
    "done, and the answer lost": Kind({"do": "drop-after"}),
    "done, and half of the answer": Kind({"do": "half", "delay_ms": 10}, _SOAP),
    "answered too late": Kind({"do": "late", "delay_ms": _LATE_MS}, _NOT_WAITING, late=True),
    "answered by a gateway": Kind(_OF_GATEWAYS),
    "done, and a gateway's time-out": Kind({"do": "status-after"}),
    "strange answer": Kind(_STRANGE, _SOAP),
    "session ended": Kind({"do": "expire"}, _NOT_REST),
    "NoPermission": Kind({"do": "fault", "fault": "NoPermission"}, re.compile(rf"(?!{_PROPERTIES.pattern})\S+$")),
    "TaskInProgress": Kind({"do": "fault", "fault": "TaskInProgress"}, _TASKS),
    "task failed": Kind({"do": "task-fault", "fault": "SystemError"}, _TASKS),
    "task did its work and failed": Kind({"do": "task-fault-after", "fault": "SystemError"}, _FAIL_AFTERWARDS, done=True),
    "lease timed out": Kind({"do": "lease-timeout"}, _LEASES),
    "transfer cut": Kind({"do": "cut", "bytes": _BYTES}, _FILES),
    "transfer stalled": Kind({"do": "stall", "bytes": _BYTES}, _FILES, late=True),
    "transfer slow": Kind({"do": "slow", "rate": _RATE}, _FILES),
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
    def is_signal(self) -> bool:
        """Whether the process is sent a signal."""
        return self.rule["do"] == "signal"

    @property
    def rule(self) -> dict[str, Any]:
        """For the simulator."""
        chosen = KINDS[self.kind].rule(f"{self.method} {self.nth}")
        return {"method": self.method, "nth": self.nth, **chosen}


# What may be wrong about a case, by the columns of the table.
UNCLEAR, TRACEBACK, LIE, LEFTOVER, NOT_CONVERGED = WRONG = "unclear", "traceback", "lie", "leftover", "not converged"


@dataclasses.dataclass
class Tally:
    """What came of the cases of one kind.

    Attributes:
        runs: how many there were in which the fault struck.
        recovered: the task succeeded all the same.
        failed: it ended with an error that says what to do.
        killed: it was ended by SIGKILL, and said nothing.
        missed: how many there were besides, in which the call was not made: how often a task asks for updates is not always the
            same.
        wrong: what must not be: which of ``WRONG`` it is, and a sentence.
    """

    runs: int = 0
    recovered: int = 0
    failed: int = 0
    killed: int = 0
    missed: int = 0
    wrong: list[tuple[str, str]] = dataclasses.field(default_factory=list)


# How many disks a VM has.
ATTACHED = "summary.config.numVirtualDisks"


@dataclasses.dataclass(frozen=True)
class Census:
    """What is in a vCenter: numbers, so that attempts with other names can be compared.

    Attributes:
        attached: disks that VMs have.
        disks: first class disks.
    """

    vms: int = 0
    attached: int = 0
    snapshots: int = 0
    disks: int = 0
    files: int = 0
    leases: int = 0

    @classmethod
    def of(cls, sim: Any) -> Census:
        """Taken by govc and by the simulator's own books, not by the collection; all at once, since each is mostly waiting."""
        with ThreadPoolExecutor(3) as pool:
            known = pool.submit(_vms, sim)
            disks = pool.submit(sim.govc, "disk.ls", "-ds", "LocalDS_0")
            files = pool.submit(sim.orphans)
            vms = known.result()
            return cls(
                vms=len(vms),
                attached=sum(vm.get(ATTACHED) or 0 for vm in vms),
                snapshots=sum(_count(vm.get("snapshot")) for vm in vms),
                disks=len(disks.result()["objects"] or ()),
                files=len(files.result()),
                leases=sim.open_leases(),
            )

    def beyond(self, other: Census) -> list[str]:
        """What there is more of than between nothing and another one."""
        names = [field.name for field in dataclasses.fields(self)]
        pairs = zip(names, dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return [f"{here} {name}" for name, here, there in pairs if here > max(0, there)]

    def __sub__(self, other: Census) -> Census:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Census(*(here - there for here, there in pairs))


def _vms(sim: Any) -> list[dict[str, Any]]:
    """A few properties of all VMs: not by vm.info, which brings all that is known of each VM of all attempts."""
    if not sim.govc("find", "/", "-type", "m"):
        # Then collect would wait for the first one.
        return []
    text = sim.govc("collect", "-type", "m", "/", "name", "snapshot", ATTACHED)
    if not isinstance(text, str):
        return [_properties(text)]
    # One JSON document after the other.
    decoder = json.JSONDecoder()
    found = []
    while text := text.lstrip():
        update, end = decoder.raw_decode(text)
        found.append(_properties(update))
        text = text[end:]
    return found


def _properties(update: Any) -> dict[str, Any]:
    return {change["name"]: change.get("val") for change in update["changeSet"]}


def _count(tree: Any) -> int:
    """How many snapshots a VM has."""
    if not tree:
        return 0
    roots = tree.get("rootSnapshotList") or tree.get("childSnapshotList") or []
    return sum(1 + _count({"childSnapshotList": each.get("childSnapshotList")}) for each in roots)


class Sweep:
    """One task against one simulator, in one attempt after the other, each with names of its own."""

    def __init__(self, sim: Any, story: Story, module: Forked | RoleRun, folder: Path) -> None:
        self._sim, self._story, self._folder = sim, story, folder
        self._module = module
        self._number = 0
        self._left: Census | None = None
        self._calls: dict[str, int] = {}

    def measure(self) -> None:
        """Run it undisturbed, in a session that is kept, and note its calls and what it leaves."""
        self._prepared()
        ended = self._run()
        assert ended.code == 0, ended.result
        before = self._prepared()
        ended = self._run()
        assert ended.code == 0, ended.result
        self._story.check(self._sim, self._number)
        self._calls = {**ended.calls, **ended.files}
        self._left = Census.of(self._sim) - before

    def cases(self, most: int = 0) -> Iterator[Case]:
        """Each call with each fault that it can have.

        Args:
            most: how many of the calls of one method have the same fault: the first, the last, and those between them that
                are chosen by the names; of 1, any one. All of them where it is 0.
        """
        for method, count in sorted(self._calls.items()):
            for kind, about in KINDS.items():
                if about.calls.match(method):
                    for nth in some(count, most, f"{method} {kind}"):
                        yield Case(method, nth, kind)

    def try_case(self, case: Case, tally: Tally) -> None:
        """Run the task with a fault, look at what it says and leaves, run it again, and look at what there is."""
        before = self._prepared()
        wrong: list[tuple[str, str]] = []
        try:
            ended = self._run(case)
            if not ended.struck:
                tally.missed += 1
                return
            self._count(ended, tally)
            wrong += self._about(ended, case)
            if ended.code > 0 and not self._story.resumes:
                wrong += self._left_behind(before)
            wrong += self._converged(before)
        except AssertionError as error:
            what = TRACEBACK if "Traceback" in str(error) else UNCLEAR
            wrong.append((what, str(error)[:2000]))
        tally.wrong += [(what, f"{case}: {each}") for what, each in wrong]

    @staticmethod
    def _count(ended: Ended, tally: Tally) -> None:
        tally.runs += 1
        tally.recovered += ended.code == 0
        tally.failed += ended.code > 0
        tally.killed += ended.code < 0

    def _prepared(self) -> Census:
        """A new attempt: what is there before it."""
        self._sim.clear()
        self._number += 1
        self._story.prepare(self._sim, self._number, self._folder)
        return Census.of(self._sim)

    def _run(self, case: Case | None = None) -> Ended:
        seconds = _SHORT_SECONDS if case and KINDS[case.kind].late else _AMPLE_SECONDS
        return self._module.run(self._params(seconds), rule=case.rule if case else None)

    def _params(self, seconds: int = _AMPLE_SECONDS) -> dict[str, Any]:
        """Of this attempt; seconds: that one call may take."""
        return {"connection_timeout": seconds, **self._story.params(self._sim, self._number, self._folder)}

    def _about(self, ended: Ended, case: Case) -> Iterator[tuple[str, str]]:
        """What is wrong about how a disturbed task has ended."""
        if ended.seconds > _MOST_SECONDS:
            yield UNCLEAR, f"it took {ended.seconds:.0f} s"
        if ended.code < 0 and case.kind != "SIGKILL":
            yield UNCLEAR, f"it was ended by signal {-ended.code}"
        yield from self._unclear(ended)
        code = ended.result.get("error_code", "")
        if ended.code > 0 and case.kind == "SIGTERM" and code != "interrupted":
            yield LIE, f"after SIGTERM, error_code is {code}: {ended.result.get('msg')} {ended.result.get('failures')}"
        for each in self._untrue(ended, KINDS[case.kind]):
            yield LIE, each
        if ended.code >= 0 and (left := list(self._module.temporary.iterdir())):
            yield LEFTOVER, f"temporary files are left: {left}"
        if programs := still_running(self._module.temporary):
            yield LEFTOVER, f"programs go on: {programs}"

    @staticmethod
    def _unclear(ended: Ended) -> Iterator[tuple[str, str]]:
        """An error with which no user can do anything."""
        code = ended.result.get("error_code", "")
        if ended.code > 0 and code in _NO_ERROR_CODES:
            yield UNCLEAR, f"error_code is {code!r}: {ended.result.get('msg')} {ended.result.get('trace')}"

    def _untrue(self, ended: Ended, kind: Kind) -> Iterator[str]:
        """What is reported as done and is not there, and the other way round."""
        if self._story.made is None or self._story.entries not in ended.result:
            return
        there = self._story.made(self._sim, self._number)
        for entry in ended.result[self._story.entries]:
            code = entry.get("error", {}).get("error_code")
            if code is None and entry["name"] not in there:
                yield f"{entry['name']} is reported and is not there"
            elif code is not None and code not in UNKNOWN and entry["name"] in there and not kind.done:
                yield f"{entry['name']} is there, and reported as {code}"

    def _left_behind(self, before: Census) -> Iterator[tuple[str, str]]:
        """What a task that failed leaves, and one that succeeds does not.

        A lease of which a task does not know, since the answer was lost, ends by itself, with its VM.
        """
        assert self._left is not None
        self._sim.forget_leases(within=0.1)
        self._sim.leases_over()
        if more := (Census.of(self._sim) - before).beyond(self._left):
            yield LEFTOVER, f"it leaves {', '.join(more)}, where an undisturbed run leaves {self._left}"

    def _converged(self, before: Census) -> Iterator[tuple[str, str]]:
        """What is wrong after an undisturbed run."""
        ended = self._run()
        if ended.code != 0:
            yield NOT_CONVERGED, f"the next run fails: {ended.result.get('error_code')}: {ended.result.get('msg')}"
            return
        try:
            self._story.check(self._sim, self._number)
        except AssertionError as error:
            yield NOT_CONVERGED, f"the next run does not bring it to its end: {failed_line(error)}"
        if not self._story.repeats and self._run().result.get("changed"):
            yield NOT_CONVERGED, "the run after the next one changes something again"
        left = Census.of(self._sim) - before
        if not self._story.repeats and left != self._left:
            yield LEFTOVER, f"after the next run there is {left}, where an undisturbed run leaves {self._left}"
        if files := list(self._module.temporary.iterdir()):
            yield LEFTOVER, f"temporary files are left after the next run: {files}"


def failed_line(error: AssertionError) -> str:
    """What an assertion says, and what it asserts: pytest tells that of test files alone."""
    return f"{traceback.extract_tb(error.__traceback__)[-1].line} {error}".strip()


def still_running(temporary: Path) -> list[str]:
    """The programs that a module has started, and that have not ended a while after it: they inherit the place of its temporary
    files.
    """
    until = time.monotonic() + _SECONDS_TO_END
    pause = threading.Event()
    while (found := _running(f"TMPDIR={temporary}")) and time.monotonic() < until:
        pause.wait(0.05)
    return found


def _running(variable: str) -> list[str]:
    """The command lines of the processes that have a variable in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            if variable.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip())
    return found


def some(count: int, most: int, seed: str) -> list[int]:
    """Some of the numbers from 1 to count, chosen by the seed; of more than one the first and the last are among them."""
    if not most or count <= most:
        return list(range(1, count + 1))
    if most == 1:
        return [random.Random(seed).randint(1, count)]  # noqa: S311
    between = random.Random(seed).sample(range(2, count), most - 2)  # noqa: S311
    return sorted([1, *between, count])
