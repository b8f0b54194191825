# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that clones, from its options to its result.

What instant clones and linked clones have in common.

Takes plain options and a Session, so that it runs in a module as well as in an action plugin.
"""

from __future__ import annotations

import abc
import collections
import dataclasses
import time
import typing as t

from .._connector import names, tasks, versions
from .._connector.batch import vm_made
from .._connector.pyvmomi import vim
from .._connector.session import is_gone
from .._engine import Item, Task
from .._errors import (
    ConnectionLost,
    Fault,
    Interrupted,
    InvalidOption,
    NotAttempted,
    NotFound,
    NotSupported,
    StillRunning,
    VforgeError,
)
from .._vm_stages import CREATE, DESTROY, UPDATE, VmItem, fault_of, remove, spare_theirs
from .._vsphere import disks
from .._vsphere import vm as vms
from .._vsphere.addresses import warn
from .._vsphere.compute import read_names
from .._vsphere.markers import MARKER_KEY, RUN_KEY, marker
from .._vsphere.wake import new_run
from . import apply, guests, plan, read, report
from .model import ABSENT, KEEP, PRESENT, ROLLBACK, CloneOptions, Existing, Parent
from .plan import Change, Create, Gone, Plan, Refuse, Remove, Unresolved
from .read import Wanted

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.session import Session

# Removing what a failed task has made has a time of its own: the deadline may be what failed.
_ROLLBACK_SECONDS = 300.0

# A server that makes clones need not be able to check them.
_NOT_OFFERED = ("InvalidRequest", "MethodNotFound", "NotSupported", "NotImplemented")

# What the loser of a race for a name is refused with besides DuplicateName, without what has it.
_LOST_RACE = ("FileAlreadyExists", "InvalidState")

# How long a VM of a taken name, which another run is making, is waited for.
_MADE_SECONDS = 60.0

O = t.TypeVar("O", bound=CloneOptions)  # noqa: E741 (as T, for options)


@dataclasses.dataclass(kw_only=True)
class CloneItem(VmItem):
    """A clone of the task.

    :ivar twice: whether another clone of the task has the same name, in another folder.
    :ivar vm: the VM as it was last read.
    :ivar moid: of the VM that this task has made.
    :ivar rolled_back: whether it was made by this task, and removed again.
    :ivar customized: whether its guest was customized; None where that was not begun.
    :ivar ready: whether it is a template that can be cloned; None where it is to be none.
    """

    plan: Plan
    twice: bool = False
    vm: Existing | None = None
    moid: str = ""
    rolled_back: bool = False
    customized: bool | None = None
    ready: bool | None = None

    @property
    def title(self) -> str:
        """What messages call it: the name, with the folder where two have it."""
        if not self.twice:
            return self.plan.name
        return f"{self.plan.name} in {self.plan.request.folder or 'the folder of the parent'}"

    @property
    def name(self) -> str:
        """What its entry in the result calls it."""
        return self.plan.name

    @property
    def vm_moid(self) -> str:
        """The moid of its VM; empty where there is none."""
        return self.moid or (self.vm.moid if self.vm is not None else "")

    @property
    def powered_off(self) -> bool:
        """Whether its VM is known to be off."""
        return self.vm is not None and self.vm.powered_off

    @property
    def changed(self) -> bool:
        """Whether anything was done and is still there; in check mode, whether it would be."""
        return super().changed and not self.rolled_back

    @property
    def to_be_absent(self) -> bool:
        """Whether it is asked that there be no such VM."""
        return isinstance(self.plan, (Gone, Remove))

    def become(self, power_state: str) -> None:
        """Note that its VM is powered on or off now."""
        if self.vm is not None:
            self.vm = dataclasses.replace(self.vm, power_state=power_state)

    @property
    def action(self) -> str:
        """What became of it, in one word."""
        return "rolled_back" if self.rolled_back else super().action


@dataclasses.dataclass(frozen=True)
class Found:
    """What was read before anything is planned.

    :ivar parents: of the task, each once; that of the option ``parent`` first, where it is set.
    :ivar wanted: in the order of the requests.
    """

    parents: tuple[Parent, ...]
    wanted: tuple[Wanted, ...]


class Way(abc.ABC, t.Generic[O]):
    """A way of cloning, with the options of one task; all else is the same for every way.

    :cvar source: the option that names what is cloned, which is also what the result calls it.
    :cvar sources: what the result calls the list of all that are cloned; empty where it can only be
        one.
    """

    source: t.ClassVar[str]
    sources: t.ClassVar[str]

    def __init__(self, session: Session, options: O) -> None:
        self.session = session
        self.options = options
        self._run = new_run()
        # The VMs that use disks of one that is to go, by their moids: those that are not named by
        # this task, and all.
        self._used: dict[str, dict[str, str]] = {}
        self._users: dict[str, frozenset[str]] = {}

    @property
    @abc.abstractmethod
    def born(self) -> str:
        """The power state of a clone that is there in full; empty where any will do."""

    def require(self) -> None:
        """Make sure that this vCenter can do it.

        :raises NotSupported: on one that cannot.
        """
        if self.options.state != PRESENT:
            return
        customized = [request.customization for request in self.options.requests if request.customization]
        if any(each.linux.script for each in customized):
            hint = "Leave script out of customize.linux, or let the guests set themselves up by cloud-init."
            versions.require(self.session, "7.0", "runs no script when it customizes a guest", hint=hint)
        if any(each.windows and each.windows.domain_ou for each in customized):
            hint = "Leave domain_ou out of customize.windows, or make the accounts of the computers there beforehand."
            versions.require(self.session, "8.0.2", "joins no guest to an organizational unit", hint=hint)

    @abc.abstractmethod
    def read(self) -> Found:
        """Look everything up, in a number of calls that does not depend on the inventory."""

    @abc.abstractmethod
    def plan(self, wanted: Wanted) -> Plan:
        """What brings a clone to what is asked.

        :raises InvalidOption: when that cannot succeed.
        """

    @abc.abstractmethod
    def absent(self, wanted: Wanted) -> Plan:
        """What removes a clone."""

    def look_for_users(self, wanted: t.Sequence[Wanted]) -> None:
        """Which VMs use the disks of those that are to go; of most clones others hardly ever have
        one.
        """
        there = [each.existing for each in wanted if each.existing is not None]
        doomed = [each.moid for each in there if each.kind == "VirtualMachine"]
        self._used = disks.users(self.session, doomed, likely=True) if doomed else {}
        self._users = {moid: frozenset(using) for moid, using in self._used.items()}
        for using in self._used.values():
            for moid in doomed:
                using.pop(moid, None)

    def users_of(self, existing: Existing | None) -> dict[str, str]:
        """The VMs that use disks of one that is to go, and are not named by this task: names by moid."""
        return self._used.get(existing.moid, {}) if existing is not None else {}

    def spare(self, items: t.Sequence[CloneItem]) -> None:
        """Have clones stay whose disks are used by others of this task that stay, as they are not
        this source's, or could not be removed.
        """
        for _level in items:
            staying = {item.vm_moid: item.title for item in items if item.error is not None}
            due = [item for item in items if item.due(DESTROY)]
            used = {item.vm_moid: staying.keys() & self._users.get(item.vm_moid, frozenset()) for item in due}
            spared = [item for item in due if used[item.vm_moid]]
            for item in spared:
                item.fail(plan.still_used(item.title, [staying[moid] for moid in used[item.vm_moid]]))
            if not spared:
                return

    def remove(self, task: Task[CloneItem]) -> None:
        """Remove those first whose disks no other one uses: so no disk goes under one that then
        cannot be removed.

        :raises Reason: why the task ended early.
        """
        left = {item.vm_moid: item for item in task.items if item.due(DESTROY)}
        while left:
            free = [item for moid, item in left.items() if not left.keys() & self._users.get(moid, frozenset())]
            remove(task, free or left.values(), "clones")
            self.spare(task.items)
            tried = {item.vm_moid for item in free} or left.keys()
            left = {moid: item for moid, item in left.items() if moid not in tried and item.due(DESTROY)}

    def look_over(self, plans: t.Sequence[Plan]) -> tuple[Plan, ...]:
        """Judge the plans together: what each of them could have, all of them may not."""
        return tuple(plans)

    def prepare(self, task: Task[CloneItem]) -> None:
        """What is done once, before clones are made.

        :raises VforgeError: then none is made.
        """

    def would_prepare(self) -> None:
        """In check mode: note what would be done before clones are made."""

    @property
    def prepared(self) -> Item | None:
        """What is changed before clones are made; None where nothing is."""
        return None

    @abc.abstractmethod
    def start(self, planned: Create) -> t.Any:
        """The call that makes a clone; returns its task.

        A name can be taken only once in a folder: a call that is sent twice cannot make two clones.
        """

    @abc.abstractmethod
    def ask(self, planned: Create) -> t.Any:
        """The call that asks vCenter whether it would make a clone.

        Its result is a list of CheckResult.
        """

    def marks(self, planned: Create) -> dict[str, str]:
        """The pairs of extraConfig that say whose a new clone is."""
        found = {MARKER_KEY: marker(planned.parent.instance_uuid, planned.name)}
        return {**found, RUN_KEY: self._run} if self.options.on_error == ROLLBACK else found

    def may_have_made(self, vm: Existing) -> bool:
        """Whether a clone that is there can be this run's; where it might be removed, whether it is."""
        return self.options.on_error != ROLLBACK or self.has_made(vm)

    def has_made(self, vm: Existing) -> bool:
        """Whether a clone that is there is this run's for certain; only what may be removed says so."""
        return vm.extra_config.get(RUN_KEY) == self._run

    def explained(self, error: VforgeError, planned: Plan) -> VforgeError:  # noqa: ARG002 (for others)
        """An error of a call, with what this way of cloning knows of its cause."""
        return error

    @abc.abstractmethod
    def finish(self, task: Task[CloneItem]) -> None:
        """What is done with clones that are there.

        :raises Reason: why the task ended early.
        """

    @abc.abstractmethod
    def expected(self, planned: Create) -> Existing:
        """What a new clone will be, as far as that is known before it is made."""

    @abc.abstractmethod
    def entry(self, parent: Parent) -> dict[str, t.Any]:
        """What the result has of what is cloned."""


def run(way: Way[t.Any], *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``clones``, ``failures``, ``diff``, ``timing`` and
        the counts.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: when a clone failed; it holds the whole result.
    """
    session, options = way.session, way.options
    way.require()
    task: Task[CloneItem] = Task(
        session,
        [],
        "clones",
        deadline=session.deadline(options.timeout),
        parallel=options.parallel,
        check=check,
    )
    with task.phase("lookup"):
        found = _read(way, task.deadline)
        task.items = _items(way, found)
    if options.state == ABSENT:
        with task.phase("remove"), task.accounted():
            way.spare(task.items)
            _check(way, task) if check else way.remove(task)
    elif check:
        with task.phase("check"), task.accounted():
            _check(way, task)
    else:
        _carry_out(way, task)
    result = {**report.result(task.items, options), **_sources(way, found)}
    prepared = way.prepared
    result["changed"] = result["changed"] or (prepared is not None and prepared.changed)
    warn(session.warn, result["refusals"])
    return task.finish(result, advice=_what_is_left(task, options), subject=prepared)


def _read(way: Way[t.Any], deadline: float) -> Found:
    """What there is.

    VMs that somebody else is making are waited for: before that nobody can know whose they are.
    """
    found = way.read()
    moids = [each.existing.moid for each in found.wanted if each.existing and each.existing.half_made]
    if not moids:
        return found
    way.session.show_progress(f"waiting for {len(moids)} VMs that other runs are making")
    read.wait_until_made(way.session, moids, "", deadline)
    return way.read()


def _items(way: Way[t.Any], found: Found) -> list[CloneItem]:
    absent = way.options.state == ABSENT
    plans = tuple(_plan(way, each) for each in found.wanted)
    if plans and all(isinstance(each, Unresolved) for each in plans):
        # There is nothing to go on with: it is the task that cannot be.
        raise t.cast(Unresolved, plans[0]).error
    if not absent:
        plans = way.look_over(plans)
        _refuse_conflicts(plans, way.options)
    counts = collections.Counter(each.name for each in plans)
    return [_item(each, twice=counts[each.name] > 1) for each in plans]


def _plan(way: Way[t.Any], wanted: Wanted) -> Plan:
    """What is done for one request.

    What is wrong with it is its own failure, and the others go on.
    """
    request, parent, existing = wanted.request, wanted.parent, wanted.existing
    if wanted.error is not None:
        return Unresolved(request=request, parent=parent, error=wanted.error)
    try:
        return way.absent(wanted) if way.options.state == ABSENT else way.plan(wanted)
    except InvalidOption as error:
        return Unresolved(request=request, parent=parent, existing=existing, error=error)


def _item(planned: Plan, *, twice: bool) -> CloneItem:
    item = CloneItem(plan=planned, twice=twice, vm=planned.existing, steps=planned.steps)
    if isinstance(planned, Refuse):
        item.fail(planned.error)
    return item


def _refuse_conflicts(plans: t.Iterable[Plan], options: CloneOptions) -> None:
    """Where all or nothing is wanted, what cannot be made keeps all from being made.

    :raises InvalidOption: naming the first.
    """
    refused = [each for each in plans if isinstance(each, Refuse)]
    if refused and options.on_error == ROLLBACK:
        raise InvalidOption(
            refused[0].error.message,
            hint="Nothing was made, since on_error is rollback.",
            conflicts=[each.name for each in refused],
        )


# Check mode


def _check(way: Way[t.Any], task: Task[CloneItem]) -> None:
    """Ask vCenter whether each missing clone could be made.

    What a real run would do then counts as done.
    """
    missing = [item for item in task.items if item.due(CREATE)]
    for item in task.items:
        if item.error is None and item not in missing:
            item.done = list(item.steps)

    def note(item: CloneItem, outcome: Outcome) -> None:
        refusal = outcome.error
        if refusal is not None and _not_offered(task.session, refusal):
            item.warnings.append(f"vCenter could not be asked whether {item.title} can be made: {refusal}")
            refusal = None
        elif refusal is None:
            if outcome.result is None:
                item.warnings.append(f"vCenter was asked whether {item.title} can be made, and returned no answer.")
            refusal, warnings = apply.check_findings(outcome.result or (), item.title)
            item.warnings += warnings
        if refusal is not None:
            item.fail(way.explained(refusal, item.plan))
        elif isinstance(item.plan, Create):
            item.done = list(item.steps)
            item.vm = way.expected(item.plan)

    task.call(
        missing,
        lambda item: way.ask(_create(item)),
        "clones checked",
        note,
        repeatable=True,
        results=lambda _item: True,
    )
    if any(CREATE in item.done for item in task.items):
        way.would_prepare()


def _not_offered(session: Session, error: VforgeError) -> bool:
    """Whether a server cannot check clones, be it that it knows no such call or has nothing that
    would do it.
    """
    if not isinstance(error, Fault):
        return isinstance(error, NotSupported)
    checker = vms.moid_of(session.content.vmProvisioningChecker)
    return error.fault in _NOT_OFFERED or (is_gone(error) and error.details.get("object") == checker)


def _create(item: CloneItem) -> Create:
    return t.cast("Create", item.plan)  # no other plan has this step


# The steps


def _carry_out(way: Way[t.Any], task: Task[CloneItem]) -> None:
    """Make and change clones, finish them, and learn what they are now.

    Whatever goes wrong on the way, what was made is read again and listed.
    """
    if any(item.due(CREATE) for item in task.items):
        with task.accounted():
            way.prepare(task)
        if task.stopped is not None:
            return
    taken: dict[str, tuple[CloneItem, Outcome]] = {}
    unsure: list[tuple[CloneItem, Outcome]] = []
    with task.phase("clone"), task.accounted():
        _make(way, task, taken, unsure)
    with task.accounted():
        if unsure and (task.stopped is None or way.options.on_error == ROLLBACK):
            _look_for(way, task, unsure, taken)
    with task.accounted():
        _take_over(way, task, taken)
    if task.stopped is None:
        with task.accounted():
            way.finish(task)
    with task.phase("read"), task.accounted():
        _read_again(task)
    if task.stopped is None:
        with task.accounted():
            guests.wait(task, way.options)
    if way.options.on_error == ROLLBACK and (task.stopped or task.failed):
        with task.phase("rollback"):
            _roll_back(task)


def _make(
    way: Way[t.Any],
    task: Task[CloneItem],
    taken: dict[str, tuple[CloneItem, Outcome]],
    unsure: list[tuple[CloneItem, Outcome]],
) -> None:
    """Make what is missing and change what is there, all at once.

    :param taken: gets those whose names were taken meanwhile, by the moid of what has the name.
    :param unsure: gets the others that failed and may be there all the same.
    """

    def start(item: CloneItem) -> t.Any:
        if isinstance(item.plan, Change):
            return apply.start_update(task.session, item.plan)
        return way.start(_create(item))

    def note(item: CloneItem, outcome: Outcome) -> None:
        moid = "" if isinstance(item.plan, Change) else vm_made(task.session, outcome)
        error = outcome.error
        if error is not None:
            item.fail(way.explained(error, item.plan))
            if isinstance(error, Fault) and error.fault == "DuplicateName" and error.holder:
                taken[error.holder] = (item, outcome)
            elif not isinstance(item.plan, Change) and _may_be_there(outcome):
                unsure.append((item, outcome))
        elif isinstance(item.plan, Change):
            item.done.append(UPDATE)
        else:
            item.done.append(CREATE)
            item.moid = moid

    due = [item for item in task.items if item.due(CREATE) or item.due(UPDATE)]
    task.call(due, start, "clones made", note, repeatable=True, results=lambda item: item.due(CREATE))


def _may_be_there(outcome: Outcome) -> bool:
    """Whether a clone that failed may be there all the same.

    vCenter removes what a task that ends in error has made, except in a small window at its end. A
    task that did not end before this one goes on, and so may one whose call was not answered.
    """
    return outcome.task is not None or isinstance(outcome.error, (ConnectionLost, StillRunning))


def _look_for(
    way: Way[t.Any],
    task: Task[CloneItem],
    unsure: t.Sequence[tuple[CloneItem, Outcome]],
    taken: dict[str, tuple[CloneItem, Outcome]],
) -> None:
    """Look which clones are there although they failed: two calls, where there are such.

    What is there stands in the result beside its error, and is rolled back where that is asked and
    this run has made it.

    :param taken: gets those whose names were taken meanwhile, as ``_make`` finds most of them.
    """
    session = task.session
    try:
        if way.options.on_error == ROLLBACK and not isinstance(task.stopped, Interrupted):
            _wait_for(session, [item for item, _outcome in unsure])
        homes: dict[str, set[str]] = collections.defaultdict(set)
        for item, _outcome in unsure:
            homes[_create(item).place.folder].add(item.name)
        refs = read_names(session, homes)
        spots = [(refs.get((_create(item).place.folder, item.name)), item, outcome) for item, outcome in unsure]
        there = [(ref, item, outcome) for ref, item, outcome in spots if ref is not None]
        known = read.read_existing(session, [(ref, item.plan.parent) for ref, item, _outcome in there])
    except VforgeError as error:
        which = names.listing([item.title for item, _outcome in unsure])
        session.warn(f"Whether these are there all the same could not be looked up: {which}. {error}")
        return
    for ref, item, outcome in there:
        vm = vms.of_name(known.get(vms.moid_of(ref)), item.name)
        if vm is None:
            continue
        if fault_of(outcome.error) in _LOST_RACE and not way.has_made(vm):
            taken[vm.moid] = (item, outcome)  # which may still be in the making
        elif not plan.why_not_ours(vm, _create(item).parent.instance_uuid):
            item.vm = vm
            if way.has_made(vm):
                item.moid = vm.moid
                item.done.append(CREATE)


def _wait_for(session: Session, items: t.Sequence[CloneItem]) -> None:
    """Wait a while for tasks that are still under way in vCenter: what they make is to be removed."""
    moids = [item.error.details["task"] for item in items if isinstance(item.error, StillRunning)]
    if moids:
        refs = [session.reference(vim.Task, moid) for moid in moids]
        tasks.wait_for_tasks(session, refs, time.monotonic() + _MADE_SECONDS, lambda _moid, _end: None)


def _take_over(
    way: Way[t.Any],
    task: Task[CloneItem],
    taken: t.Mapping[str, tuple[CloneItem, Outcome]],
) -> None:
    """A name that was taken meanwhile is success where what has it is this parent's clone of that
    name.

    Its maker is another run, or this one: a call whose answer was lost is sent again, and then
    finds the name taken by what the first one made.
    """
    if not taken:
        return
    session = task.session
    owned = [(vms.reference(session, moid), item.plan.parent) for moid, (item, _outcome) in taken.items()]
    until = min(task.deadline, time.monotonic() + _MADE_SECONDS)
    read.wait_until_made(session, list(taken), way.born, until)
    for moid, vm in read.read_existing(session, owned).items():
        item, outcome = taken[moid]
        if plan.why_not_ours(vm, _create(item).parent.instance_uuid):
            continue
        item.error, item.vm, item.moid = None, vm, moid
        if not (outcome.repeated and way.may_have_made(vm)):
            item.steps = ()  # the run that has made it may be at work in it
            continue
        item.done.append(CREATE)
        if item.left and task.stopped is not None:
            what = ", ".join(item.left)
            item.fail(NotAttempted(f"{item.title} is there, and {what} was not finished.", hint="Run again."))


def _read_again(task: Task[CloneItem]) -> None:
    """What the changed VMs are now, in one call for all; one that is gone by then has failed."""
    changed = [item for item in task.items if item.done]
    owned = [(vms.reference(task.session, item.vm_moid), item.plan.parent) for item in changed]
    known = read.read_made(task.session, owned)
    for item in changed:
        gone = item.vm_moid not in known
        item.vm = known.get(item.vm_moid)
        if gone:
            item.fail(NotFound.removed_meanwhile(item.title))


def _roll_back(task: Task[CloneItem]) -> None:
    """Remove what this task made, and nothing else."""
    made = [item for item in task.items if CREATE in item.done]
    doomed = [dataclasses.replace(item, steps=(DESTROY,), done=[], parts=[], error=None) for item in made]
    removal: Task[CloneItem] = Task(
        task.session,
        doomed,
        "clones",
        deadline=time.monotonic() + _ROLLBACK_SECONDS,
        parallel=task.parallel,
    )
    with removal.accounted():
        made_as = {item.vm_moid: (_create(item).place.folder, item.name) for item in doomed}
        spare_theirs(removal, doomed, made_as)
        remove(removal, removal.items, "clones")
    for item, gone in zip(made, doomed, strict=True):
        if gone.error is None:
            item.rolled_back, item.vm = True, None
        else:
            item.warnings.append(f"{item.title} could not be rolled back: {gone.error}")


# The result


def _sources(way: Way[t.Any], found: Found) -> dict[str, t.Any]:
    entries = [way.entry(parent) for parent in found.parents]
    every = {way.sources: entries} if way.sources else {}
    return {way.source: entries[0] if len(entries) == 1 else None, **every}


def _what_is_left(task: Task[CloneItem], options: CloneOptions) -> str:
    """One sentence for the end of a failure's message: what stays, and what the next run does."""
    if options.state == ABSENT:
        return "What was removed is listed; run again to remove the rest."
    if options.on_error == KEEP:
        if len(task.items) == len(task.failed) == 1 and task.stopped is None:
            return ""  # the error itself says what to do
        return "What succeeded stays and is listed; run again to make only what is missing."
    left = [item.title for item in task.items if CREATE in item.done and not item.rolled_back]
    running = [item.title for item in task.items if isinstance(item.error, StillRunning) and CREATE not in item.done]
    if left:
        said = f"Not everything that this task had made could be removed again: {names.listing(left)}."
    else:
        said = "What this task had made was removed again."
    return f"{said} vCenter may still make {names.listing(running)}." if running else said
