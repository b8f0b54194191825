# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Somebody works in the vSphere Client while a task runs: with the VMs that it makes, and with those that it is about.

The server holds one call of the task; meanwhile govc does to one of the VMs what a user of the client may do. Then the call
goes on. The task may fail for it, and says why; it may not undo what the user has done, nor remove what the user had, or has
renamed. The next run succeeds, or says why it cannot.

Or it is another controller that runs the same task: both say what they did, and leave what one of them would have left.
"""

from __future__ import annotations

import dataclasses
import json
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.vforge.vsphere.tests.unit.plugins import returned
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import Ended, Forked
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.faults import (
    ATTACHED,
    LEFTOVER,
    LIE,
    NOT_CONVERGED,
    TRACEBACK,
    UNCLEAR,
    Census,
    Sweep,
    Tally,
    failed_line,
    is_of_properties,
    some,
)
from vforge_control import SimulatorError

_THEIRS = "theirs"


@dataclasses.dataclass(frozen=True)
class Vm:
    """What is to be seen of a VM in the client; of one that is being made, not all of it."""

    moid: str
    name: str
    folder: str
    power: str
    annotation: str
    snapshots: tuple[str, ...]
    disks: int

    @property
    def reference(self) -> str:
        """As govc takes it in the place of a path."""
        return f"VirtualMachine:{self.moid}"

    @classmethod
    def all(cls, sim: Any) -> dict[str, Vm]:
        """All VMs, by their moids."""
        if not sim.govc("find", "/", "-type", "m"):
            # Then collect would wait for the first one.
            return {}
        paths = ("name", "parent", "runtime.powerState", "config.annotation", "snapshot", ATTACHED)
        found = map(cls._of, _documents(sim.govc("collect", "-type", "m", "/", *paths)))
        return {vm.moid: vm for vm in found}

    @classmethod
    def _of(cls, update: dict[str, Any]) -> Vm:
        values = {change["name"]: change.get("val") for change in update["changeSet"]}
        return cls(
            update["obj"]["value"],
            values["name"],
            (values.get("parent") or {}).get("value", ""),
            values.get("runtime.powerState") or "",
            values.get("config.annotation") or "",
            tuple(_snapshots((values.get("snapshot") or {}).get("rootSnapshotList"))),
            values.get(ATTACHED) or 0,
        )


def _documents(text: Any) -> Iterator[dict[str, Any]]:
    """The JSON documents of a text, one after the other; one alone was read already."""
    if not isinstance(text, str):
        yield text
        return
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        update, end = decoder.raw_decode(text)
        yield update
        text = text[end:]


def _snapshots(trees: Any) -> Iterator[str]:
    for tree in trees or ():
        yield tree["name"]
        yield from _snapshots(tree.get("childSnapshotList"))


@dataclasses.dataclass(frozen=True)
class Act:
    """What a user does to a VM.

    Attributes:
        do: does it.
        possible: whether the client offers it.
        stands: whether a VM still is as the user has left it.
        harmless: whether the next run of the task has to succeed all the same.
    """

    do: Callable[[Any, Vm], Any]
    possible: Callable[[Vm], bool] = lambda _vm: True
    stands: Callable[[Vm], bool] = lambda _vm: True
    harmless: bool = False


def _power(sim: Any, vm: Vm, *how: str) -> None:
    sim.govc("vm.power", *how, vm.reference)


def _destroy(sim: Any, vm: Vm) -> None:
    if vm.power != "poweredOff":
        _power(sim, vm, "-off", "-force")
    sim.govc("object.destroy", vm.reference)


def _is_on(vm: Vm) -> bool:
    return vm.power == "poweredOn"


_RENAMED, _MOVED, _SNAPSHOT, _GIVEN_A_DISK, _DELETED = "renamed", "moved", "snapshot taken", "given a disk", "deleted"

ACTS = {
    "powered off": Act(lambda sim, vm: _power(sim, vm, "-off", "-force"), _is_on),
    "suspended": Act(lambda sim, vm: _power(sim, vm, "-suspend"), _is_on),
    "powered on": Act(lambda sim, vm: _power(sim, vm, "-on"), lambda vm: not _is_on(vm)),
    _RENAMED: Act(
        lambda sim, vm: sim.govc("object.rename", vm.reference, f"{_THEIRS}-{vm.moid}"),
        stands=lambda vm: vm.name == f"{_THEIRS}-{vm.moid}",
    ),
    _MOVED: Act(lambda sim, vm: sim.govc("object.mv", vm.reference, "/DC0/vm/DC0_F1")),
    "annotated": Act(
        lambda sim, vm: sim.govc("vm.change", "-vm", vm.reference, "-annotation", _THEIRS),
        stands=lambda vm: vm.annotation == _THEIRS,
        harmless=True,
    ),
    _SNAPSHOT: Act(
        lambda sim, vm: sim.govc("snapshot.create", "-vm", vm.reference, "-m=false", _THEIRS),
        stands=lambda vm: _THEIRS in vm.snapshots,
    ),
    "all snapshots removed": Act(
        lambda sim, vm: sim.govc("snapshot.remove", "-vm", vm.reference, "*"), lambda vm: bool(vm.snapshots)
    ),
    _GIVEN_A_DISK: Act(
        lambda sim, vm: sim.govc(
            "vm.disk.create", "-vm", vm.reference, "-name", f"{vm.name}/{_THEIRS}", "-ds", "LocalDS_0", "-size", "1M"
        ),
        stands=lambda vm: vm.disks > 1,
    ),
    "reverted": Act(lambda sim, vm: sim.govc("snapshot.revert", "-vm", vm.reference), lambda vm: bool(vm.snapshots)),
    "migrated": Act(lambda sim, vm: sim.govc("vm.migrate", "-host", "DC0_C0_H1", vm.reference), harmless=True),
    _DELETED: Act(_destroy),
}

# What is there more of, besides what the task leaves: a VM that the user has taken for himself, in whose place another is made,
# with the snapshot that it was made with; his disk, in each copy of its VM; its files, where its VM has gone.
_ONE_MORE = Census(vms=1, attached=2, snapshots=1)
_MORE = {_RENAMED: _ONE_MORE, _MOVED: _ONE_MORE, _GIVEN_A_DISK: Census(attached=6, files=2)}


# The act of another controller.
TWICE = "the same task once more"


@dataclasses.dataclass(frozen=True)
class Moment:
    """What is done before a call, one of ``ACTS`` or ``TWICE``; nth: which one of the calls of this method, from 1."""

    act: str
    method: str
    nth: int

    def __str__(self) -> str:
        return f"{self.act} before {self.method} {self.nth}"


class Meanwhile(Sweep):
    """One task against one simulator, in one attempt after the other, in each of which somebody does something."""

    def moments(self, most: int = 1) -> Iterator[Moment]:
        """Each act before each call that tells or does something; most: as of ``Sweep.cases``."""
        for method, count in sorted(self._calls.items()):
            if " " in method or is_of_properties(method):
                continue
            for act in (*ACTS, TWICE):
                for nth in some(count, most, f"{method} {act}"):
                    yield Moment(act, method, nth)

    def try_moment(self, moment: Moment, tally: Tally) -> None:
        """Run the task beside somebody, look at what it says and leaves, run it again, and look at what there is."""
        if moment.act == TWICE:
            self._try_twice(moment, tally)
            return
        known = Vm.all(self._sim).keys()
        before = self._prepared()
        hand = Hand(self._sim, moment, known, Vm.all(self._sim).keys() - known)
        wrong: list[tuple[str, str]] = []
        said = ""
        try:
            ended = self._beside(hand)
            if hand.vm is None:
                tally.missed += 1
                return
            said = f"{ended.result.get('error_code', '')}: {ended.result.get('msg', '')}"[:300]
            self._count(ended, tally)
            wrong += self._about_end(ended)
            wrong += self._kept(hand)
            wrong += self._next(hand, before)
        except AssertionError as error:
            wrong.append((TRACEBACK if "Traceback" in str(error) else UNCLEAR, str(error)[:2000]))
        tally.wrong += [(what, f"{moment}: {hand.vm}: {said}: {each}") for what, each in wrong]

    def _try_twice(self, moment: Moment, tally: Tally) -> None:
        """Run the task twice, the second time from a call of the first one on."""
        before = self._prepared()
        folder = self._folder / "other"
        folder.mkdir(exist_ok=True)
        other = Other(self._sim, moment, Forked(self._sim, self._module.which, folder), self._params())
        wrong: list[tuple[str, str]] = []
        said = ""
        try:
            ended = self._beside(other)
            if other.result is None:
                tally.missed += 1
                return
            said = f"{ended.result.get('msg', '')} / {other.result.get('msg', '')}"[:600]
            self._count(ended, tally)
            wrong += self._about_end(ended)
            wrong += self._unclear(dataclasses.replace(ended, result=other.result, code=int("failed" in other.result)))
            wrong += [each for each in self._converged(before) if each[0] != LEFTOVER or not self._story.doubles]
        except AssertionError as error:
            wrong.append((TRACEBACK if "Traceback" in str(error) else UNCLEAR, str(error)[:2000]))
        tally.wrong += [(what, f"{moment}: {said}: {each}") for what, each in wrong]

    def _beside(self, other: Beside) -> Ended:
        try:
            return self._module.run(self._params(), rule=other.rule, meanwhile=other.begin)
        finally:
            other.end()

    def _about_end(self, ended: Ended) -> Iterator[tuple[str, str]]:
        if ended.code < 0:
            yield UNCLEAR, f"it was ended by signal {-ended.code}"
        yield from self._unclear(ended)
        if left := list(self._module.temporary.iterdir()):
            yield LEFTOVER, f"temporary files are left: {left}"

    def _kept(self, hand: Hand) -> Iterator[tuple[str, str]]:
        """Whether what was the user's before, or is by its name, is there as he has left it."""
        assert hand.vm is not None
        act, vm = ACTS[hand.act], Vm.all(self._sim).get(hand.vm.moid)
        if vm is None and hand.act != _DELETED and hand.is_given and not self._story.removes:
            yield LIE, "the VM is gone"
        if vm is not None and not act.stands(vm):
            yield LIE, f"what the user has done is undone: {vm}"

    def _next(self, hand: Hand, before: Census) -> Iterator[tuple[str, str]]:
        """What is wrong after an undisturbed run."""
        ended = self._run()
        yield from self._about_end(ended)
        yield from self._kept(hand)
        if ended.code == 0:
            yield from self._settled(hand)
        elif ACTS[hand.act].harmless:
            yield NOT_CONVERGED, f"the next run fails: {ended.result.get('error_code')}: {ended.result.get('msg')}"
        if ended.code != 0 and self._story.resumes and hand.act != _DELETED:
            return  # a later run goes on with what is left
        hand.tidy()
        self._sim.forget_leases(within=0.1)
        self._sim.leases_over()
        assert self._left is not None
        if more := (Census.of(self._sim) - before - _MORE.get(hand.act, Census())).beyond(self._left):
            yield LEFTOVER, f"after the next run there are {', '.join(more)}, where an undisturbed run leaves {self._left}"

    def _settled(self, hand: Hand) -> Iterator[tuple[str, str]]:
        """What is wrong after a run that has succeeded."""
        if ACTS[hand.act].harmless:
            try:
                self._story.check(self._sim, self._number)
            except AssertionError as error:
                yield NOT_CONVERGED, f"the next run does not bring it to its end: {failed_line(error)}"
        again = self._run()
        if again.code != 0:
            yield NOT_CONVERGED, f"the run after the next one fails: {again.result.get('msg')}"
        elif not self._story.repeats and again.result.get("changed"):
            yield NOT_CONVERGED, "the run after the next one changes something again"


class Beside:
    """Does something beside a task, from the moment on in which one of its calls is held."""

    def __init__(self, sim: Any, moment: Moment) -> None:
        self._sim, self._moment = sim, moment
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._wait)
        self._failure: Exception | None = None

    @property
    def rule(self) -> dict[str, Any]:
        """Holds the call."""
        return {"method": self._moment.method, "nth": self._moment.nth, "do": "delay"}

    def begin(self) -> None:
        """The rule is in force."""
        self._thread.start()

    def end(self) -> None:
        """The task has ended."""
        self._over.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _wait(self) -> None:
        while not self._sim.called(self._moment.method, self._moment.nth):
            if self._over.is_set():
                return
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 (it is raised where the task has ended)
            self._failure = error
        finally:
            self._sim.clear()

    def _work(self) -> None:
        raise NotImplementedError


class Other(Beside):
    """Another controller that runs the same task; the call goes on when that has begun.

    Attributes:
        result: of the other run; None where it was not begun.
    """

    def __init__(self, sim: Any, moment: Moment, module: Forked, params: dict[str, Any]) -> None:
        super().__init__(sim, moment)
        self._module, self._params = module, params
        self.result: dict[str, Any] | None = None

    def _work(self) -> None:
        connection = {"hostname": self._sim.host, "port": self._sim.port, "ca_path": self._sim.ca}
        login = {"username": self._sim.username, "password": self._sim.password}
        params = {**connection, **login, **self._params}
        text, _code, _memory = self._module.played(params, lambda _pid: self._sim.clear(), lambda: None)
        result: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
        returned.check(self._module.which, result)
        self.result = result


class Hand(Beside):
    """The user's: it does one thing to one VM while a call is held.

    Args:
        known: VMs that the task has nothing to do with.
        given: those that it is about.

    Attributes:
        vm: as it was before; None where nothing was done.
    """

    def __init__(self, sim: Any, moment: Moment, known: Any, given: Any) -> None:
        super().__init__(sim, moment)
        self._known, self._given = set(known), set(given)
        self.act = moment.act
        self.vm: Vm | None = None

    @property
    def is_given(self) -> bool:
        """Whether the VM was there before the task."""
        return self.vm is not None and self.vm.moid in self._given

    def tidy(self) -> None:
        """Remove the snapshot that was taken, if it is there."""
        vm = Vm.all(self._sim).get(self.vm.moid) if self.vm is not None else None
        if vm is not None and _THEIRS in vm.snapshots:
            self._sim.govc("snapshot.remove", "-vm", vm.reference, _THEIRS)

    def _work(self) -> None:
        self.vm = self._done()

    def _done(self) -> Vm | None:
        """The VM that something was done to; vCenter may refuse it, as where a lease has the VM."""
        there = [vm for moid, vm in Vm.all(self._sim).items() if moid not in self._known and ACTS[self.act].possible(vm)]
        # Nobody adds to a VM whose name says that it is gone in a moment.
        vms = [vm for vm in there if self.act not in (_SNAPSHOT, _GIVEN_A_DISK) or not vm.name.startswith("vforge-")]
        if not vms:
            return None
        vm = random.Random(str(self._moment)).choice(sorted(vms, key=lambda each: each.name))  # noqa: S311
        try:
            ACTS[self.act].do(self._sim, vm)
        except SimulatorError:
            return None
        return vm
