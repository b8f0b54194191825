# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task about changed areas from its options to its result.

Takes plain options and a Session, so that it runs in a module as well as in an action plugin. A
question is committed with the state file alone, and no vCenter.

Changed block tracking: what changed on a disk, proved, or why that is not known.

Any module that reads disks may call it. One disk at a snapshot that the
caller has, areas as they come::

    answer = Answer(where="/DC0/vm/web-1", disk=disk, since="52 de c0 ... 7b 65 63/81")
    ask_disk(session, "vm-42", "snapshot-43", answer, sink)
    if answer.full is not None: ...  # read it whole, for the reason in answer.full

``sink`` is an ``AreaSink``, or anything with ``add``, ``finish`` and ``abandon``. ``disk`` comes
from ``read.read_snapshot_disks``, and ``changeid.judge`` says before asking whether an earlier
changeId can still be asked with.

Besides the rooms of every domain: ``changeid``, ``areas`` (coverage, merging), ``state`` (the state
file), and ``sink`` (where areas go).
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import threading
import time
import typing as t

from .._connector import names
from .._connector.pyvmomi import vim
from .._engine import Item, Missing, Part, Task, reasons
from .._errors import Fault, Interrupted, InvalidOption, NotAttempted, NotFound, PartialFailure, Reason, VforgeError
from .._temporary_snapshots import (
    UNSURE,
    Kind,
    Made,
    NotMade,
    SnapshotItem,
    SnapshotTask,
    find_leftovers,
    remove_leftovers,
    undisturbed,
    waves,
    with_snapshots,
)
from .._vsphere import tracking
from .._vsphere.areas import Area, Page, Tally, changed_areas
from .._vsphere.changeid import ChangeId, FullRequired
from .._vsphere.disks import Disk
from .._vsphere.vm import reference, start_power_off, start_power_on
from . import plan, read, report, sink, state
from .model import FAIL, NOT_TRACKED, QUERIED, AreaOptions, Target, Vm
from .plan import ACTIVATE, DEACTIVATE, QUERY, SWITCH_OFF, SWITCH_ON
from .sink import AreaFiles, AreaSink

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.find import Selector
    from .._connector.session import Session

KIND = Kind("vforge-changed-areas", "Made for a query of changed areas, and removed with it.", "vforge.cbt ")

# For writing down what was found, where the time of the task is over.
_LAST_SECONDS = 5.0


class FullRequiredError(VforgeError):
    """A disk has to be read whole, and the task is to fail then."""

    error_code = "full_required"


class NotProved(VforgeError):
    """Tracking was switched on, and yet a disk has no changeId."""

    error_code = "tracking_not_proved"


@dataclasses.dataclass(kw_only=True)
class Answer(Item):
    """What was found of one disk.

    :ivar where: the VM, for messages.
    :ivar full: why the whole disk has to be read; ``tally`` and areas are then None.
    :ivar areas: None where they are in the file ``path``.
    :ivar uncommitted: earlier questions that were asked from the same point, and when, by ID.
    """

    where: str
    disk: Disk
    since: str | None
    full: FullRequired | None = None
    tally: Tally | None = None
    areas: list[Area] | None = None
    path: str | None = None
    uncommitted: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"{self.disk.label} ({self.disk.key}) of {self.where}"


@dataclasses.dataclass(kw_only=True)
class VmItem(SnapshotItem):
    """A VM of the task.

    :ivar vm: as it was last read; ``before`` as it was found.
    :ivar decided: its plan.
    :ivar used: moid of the snapshot that was asked about; None where there was none.
    :ivar questions: as the snapshot has the disks, or before there is one, the VM.
    :ivar answers: by the keys of the disks.
    """

    vm: Vm
    before: Vm
    target: Target
    decided: plan.Plan = dataclasses.field(default_factory=plan.Switch)
    used: str | None = None
    questions: plan.Questions = dataclasses.field(default_factory=plan.Questions)
    answers: dict[int, Answer] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(kw_only=True)
class AreaTask(SnapshotTask[VmItem]):
    """A task whose VMs were found.

    :ivar state: what the state file has; None where none is used.
    :ivar files: where the areas go.
    :ivar session_key: of the session in vCenter; None where this user may not read it.
    :ivar unwritten: whether files of areas are not where the result says.
    :ivar stop: is set when the task ends early, so that a query does so between two pages.
    :ivar run: names this run in the owner marks of its snapshots, and
        its question in the state file.
    """

    kind: Kind = KIND
    options: AreaOptions
    state: state.State | None
    files: AreaFiles
    session_key: str | None = None
    unwritten: bool = False
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)

    def end(self, why: Reason) -> None:
        """Note why the task ended early, unless that is known."""
        self.task.stopped = self.task.stopped or why

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended it: nobody reads what it has found."""
        return isinstance(self.task.stopped, Interrupted)


def prepare(options: AreaOptions) -> None:
    """Find out what would fail at the end, before anything is connected.

    With state enabled that is what the question that follows needs, where its files are named.

    :raises InvalidOption: a file that cannot be written, or that others may have changed.
    :raises MissingLibrary: a library that an option needs.
    :raises StateDamaged: a state file that cannot be understood.
    """
    files = options.files
    if files.state:
        state.check(files.state)
        state.load(files.state, time.monotonic() + options.timeout)
    sink.check(files.areas if files.with_areas else "", compress=files.compress)


def run(session: Session, options: AreaOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``vms``, ``totals``,
        ``question``, ``diff`` and so on.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: when something of it failed; it holds the whole result.
    """
    deadline = session.deadline(options.timeout)
    task: Task[VmItem] = Task(session, [], "VMs", deadline=deadline, parallel=options.parallel, check=check)
    known = state.load(options.files.state, deadline) if options.files.state else None
    with task.phase("lookup"):
        selectors = [target.selector for target in options.targets]
        found, key = read.find(session, selectors, options.datacenter)
        task.items = [_item(vm, options.targets[place], options) for place, vm in task.found("vms", found, selectors)]
    write = options.files.with_areas and not check
    folder, compress = options.files.areas, options.files.compress
    with AreaFiles(folder, compress=compress, write=write) as files:
        job = AreaTask(task=task, timeout=options.timeout, options=options, state=known, files=files, session_key=key)
        with task.accounted():
            _carry_out(job)
        _judge(job)
        close_files(job)
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        noted = note_question(job, at)
    result = {**report.result(job, at), **noted}
    if task.stopped is not None:
        result["stopped"] = task.stopped.as_result()
    for warning in report.warnings(job):
        session.warn(warning)
    left = [item.title for item in job.vms if isinstance(item.own, Made)]
    advice = f"Snapshots were left on {names.listing(left)}; the next run removes them."
    return task.finish(result, advice=advice if left else "")


# The step that an item has before its own plan is made, so that an early end is its failure.
_FIRST = {QUERIED: QUERY, "enabled": SWITCH_ON, "disabled": SWITCH_OFF, "reset": SWITCH_OFF}


def _item(vm: Vm, target: Target, options: AreaOptions) -> VmItem:
    return VmItem(vm=vm, before=vm, target=target, steps=(_FIRST[options.state],))


def _carry_out(job: AreaTask) -> None:
    find_leftovers(job)
    for item in job.vms:
        _decide(job, item)
    _check_privileges(job)
    remove_leftovers(job)
    if job.options.state == QUERIED:
        _query(job)
    elif job.task.check:
        for item in job.vms:
            item.foresee()
    else:
        _switch(job)


def _decide(job: AreaTask, item: VmItem) -> None:
    try:
        item.decided = plan.decide(item.vm, item.target, job.options, job.state)
    except VforgeError as error:
        item.steps = ()
        item.fail(error)
    else:
        item.steps, item.questions = item.decided.steps, item.decided.questions


def _check_privileges(job: AreaTask) -> None:
    """Let each VM fail on which this user lacks what its plan needs; one call for all of them."""
    wanted = {item.vm.moid: _privileges(item, job.options) for item in job.vms}
    wanted = {moid: needed for moid, needed in wanted.items() if needed}
    if not wanted or job.session_key is None:
        return
    with job.task.phase("privileges"):
        missing = read.missing_privileges(job.session, job.session_key, wanted)
    for item in job.vms:
        lacked = missing.get(item.vm.moid)
        if lacked:
            _refuse(item, lacked)


def _privileges(item: VmItem, options: AreaOptions) -> tuple[str, ...]:
    removal = plan.REMOVAL_PRIVILEGES if item.leftovers else ()
    needed = plan.privileges(item.vm, item.decided, options) if item.error is None else ()
    return tuple(dict.fromkeys((*removal, *needed)))


def _refuse(item: VmItem, lacked: t.Sequence[str]) -> None:
    if item.leftovers and set(plan.REMOVAL_PRIVILEGES) & set(lacked):
        moids = ", ".join(snapshot.moid for snapshot in item.leftovers)
        item.warnings.append(f"{item.title} has the left-over {moids} of an earlier run, which this user may not remove.")
        item.leftovers = []
    item.steps = ()
    item.fail(plan.refusal(item.vm, lacked))


# Switch tracking on, make it active, and prove that it is; or switch it off


def _switch(job: AreaTask) -> None:
    with job.task.phase("reconfigure"):
        _reconfigure(job, SWITCH_OFF, on=False)
    _deactivate(job, [item for item in job.vms if item.due(DEACTIVATE)])
    with job.task.phase("reconfigure"):
        _reconfigure(job, SWITCH_ON, on=True)
    due = [item for item in job.vms if item.due(ACTIVATE)]
    cycled = [item for item in due if plan.cycles_power(item.vm, job.options)]
    others = [item for item in due if not plan.cycles_power(item.vm, job.options)]
    with job.task.phase("power_cycle"):
        _cycle_power(job, cycled)
    with_snapshots(job, others, lambda _ready: None)
    with job.task.phase("proof"):
        _prove(job, [item for item in due if item.error is None])


def _deactivate(job: AreaTask, items: t.Sequence[VmItem]) -> None:
    """Make and remove a snapshot of VMs whose tracking was switched off: only then it has stopped."""
    with_snapshots(job, items, lambda _ready: None)
    for item in items:
        if item.error is None:
            item.done.append(DEACTIVATE)
            # There is another one to come.
            item.own = NotMade()


def _reconfigure(job: AreaTask, step: str, *, on: bool) -> None:
    """Switch tracking on or off, and nothing else."""

    def start(item: VmItem) -> t.Any:
        return reference(job.session, item.vm.moid).ReconfigVM_Task(vim.vm.ConfigSpec(changeTrackingEnabled=on))

    def then(item: VmItem, _outcome: Outcome) -> None:
        item.vm = dataclasses.replace(item.vm, tracking=on)

    job.task.stage(step, start, "VMs reconfigured", then=then)


def _noting_off(off: list[VmItem]) -> t.Callable[[VmItem, Outcome], None]:
    """Notes each VM that was powered off, or may have been, in a list."""

    def note(item: VmItem, outcome: Outcome) -> None:
        if outcome.error is None or isinstance(outcome.error, UNSURE):
            off.append(item)
        if outcome.error is not None:
            item.fail(outcome.error)

    return note


def _cycle_power(job: AreaTask, items: t.Sequence[VmItem]) -> None:
    """Power VMs off and on again; what was powered off is powered on in every ending."""

    def start(item: VmItem) -> t.Any:
        return start_power_off(job.session, item.vm.moid)

    for wave in waves(items, job.options.parallel):
        off: list[VmItem] = []
        try:
            off_part = Part(ACTIVATE, "powered_off")
            job.task.call(wave, start, "VMs powered off", _noting_off(off), part=off_part)
        finally:
            _power_on(job, off)
        if job.task.stopped is not None:
            raise job.task.stopped


def _power_on(job: AreaTask, off: list[VmItem]) -> None:
    """Power these VMs on; of one that cannot be it is said that it is still off."""
    errors: dict[str, VforgeError] = {}

    def start(item: VmItem) -> t.Any:
        return start_power_on(job.session, item.vm.moid)

    def note(item: VmItem, outcome: Outcome) -> None:
        # The fault says that it is on: it was never off.
        on = isinstance(outcome.error, Fault) and outcome.error.fault == "InvalidPowerState"
        if outcome.error is None or on:
            off.remove(item)
        else:
            errors[item.vm.moid] = outcome.error

    def power_on() -> None:
        deadline = time.monotonic() + job.options.timeout
        on_part = Part(ACTIVATE, "powered_on")
        job.task.call(list(off), start, "VMs powered on", note, deadline=deadline, part=on_part)

    try:
        undisturbed(job, power_on)
    finally:
        for item in off:
            error = errors.get(item.vm.moid) or NotAttempted(f"{item.title} was not powered on.")
            item.warnings.append(f"{item.title} is still powered off: {error}")
            item.fail(error)


def _prove(job: AreaTask, items: t.Sequence[VmItem]) -> None:
    """Read the changeIds: what has one is tracked from now on."""
    if not items:
        return
    known = read.read_tracking(job.session, [item.vm.moid for item in items])
    for item in items:
        tracking, disks = known.get(item.vm.moid, (False, ()))
        item.vm = dataclasses.replace(item.vm, tracking=tracking, disks=disks)
        if DEACTIVATE in item.done and (same := _going_on(item)):
            item.fail(_not_reset(item, same))
        elif item.vm.active and disks:
            item.done.append(ACTIVATE)
        else:
            item.fail(_not_proved(item))


def _going_on(item: VmItem) -> list[str]:
    """The disks whose tracking has not begun again: the first half of their changeIds is the same."""
    before = {disk.key: _tracking(disk) for disk in item.before.disks}
    return [disk.label for disk in item.vm.disks if _tracking(disk) and _tracking(disk) == before.get(disk.key)]


def _tracking(disk: Disk) -> str:
    parsed = ChangeId.parse(disk.change_id or "")
    return parsed.tracking if parsed is not None else ""


def _not_reset(item: VmItem, disks: t.Sequence[str]) -> NotProved:
    return NotProved(
        f"Tracking of {item.title} was switched off and on, but it went on as before: {', '.join(disks)}.",
        hint="Switch it off (state: disabled), power the VM off and on, and switch it on again.",
        disks=list(disks),
    )


def _not_proved(item: VmItem) -> NotProved:
    without = [disk.label for disk in item.vm.trackable if not disk.change_id]
    why = f"{', '.join(without)} has no changeId." if without else "it is off again."
    return NotProved(
        f"Tracking was switched on for {item.title}, but it is not active: {why}",
        hint="Look at the events of the VM, or make it active by a power cycle (activation: power_cycle).",
        disks=without,
    )


# Ask what changed: of many disks at once, each proved to be covered whole


def _query(job: AreaTask) -> None:
    """Ask about every VM: first those that need no snapshot of their own, then the others."""
    due = [item for item in job.vms if item.due(QUERY)]
    new = [item for item in due if isinstance(item.decided, plan.AskNewSnapshot)]
    for item in due:
        if isinstance(item.decided, plan.AskSnapshot):
            item.used = item.decided.snapshot.moid
    _ask_all(job, [item for item in due if not isinstance(item.decided, plan.AskNewSnapshot)])
    if job.task.check:
        for item in new:
            item.answers = {each.disk.key: answer_of(item, each) for each in item.questions.asked}
            item.done.append(QUERY)
        return
    for item in new:
        item.quiesced = job.options.quiesce
    with_snapshots(job, new, lambda ready: _ask_new(job, ready), memory=job.options.memory)


def _ask_new(job: AreaTask, ready: t.Sequence[VmItem]) -> None:
    for item in ready:
        item.used = item.own.moid if isinstance(item.own, Made) else None
    _ask_all(job, ready)


def _ask_all(job: AreaTask, items: t.Sequence[VmItem]) -> None:
    """Ask about all disks of these VMs, as their snapshots have them where there are snapshots."""
    with job.task.phase("query"):
        used = [item.used for item in items if item.used]
        disks = read.read_snapshot_disks(job.session, used)
        for item in items:
            _prepare_answers(job, item, disks)
        asked = [(item, answer) for item in items for answer in item.answers.values() if answer.full is None]
        try:
            _ask(job, asked)
        finally:
            for item in items:
                answered = all(answer.error is None for answer in item.answers.values())
                if item.error is None and answered:
                    item.done.append(QUERY)


def _prepare_answers(job: AreaTask, item: VmItem, disks: t.Mapping[str, tuple[Disk, ...]]) -> None:
    """Work out what to ask of each disk as its snapshot has it; what is not asked yet says so."""
    try:
        item.questions = _questions(job, item, disks)
    except VforgeError as error:
        item.fail(error)
        return
    for question in item.questions.asked:
        answer = answer_of(item, question)
        if answer.full is None:
            answer.error = NotAttempted(f"{answer.title} was not begun.", hint="Run again.")
        item.answers[question.disk.key] = answer


def answer_of(item: VmItem, question: plan.Question) -> Answer:
    """What is known of a disk before it is asked about."""
    return Answer(
        where=item.title,
        disk=question.disk,
        since=question.since,
        full=question.full,
        uncommitted=question.uncommitted,
    )


def _questions(job: AreaTask, item: VmItem, disks: t.Mapping[str, tuple[Disk, ...]]) -> plan.Questions:
    if item.used is None:
        return item.decided.questions
    if item.used not in disks:
        raise NotFound(f"The snapshot {item.used} of {item.title} is not there any more.", hint="Run again.")
    questions = plan.ask(item.vm, disks[item.used], item.target, job.state)
    plan.check_excluded(questions, job.options, item.vm)
    return questions


def _ask(job: AreaTask, asked: t.Sequence[tuple[VmItem, Answer]]) -> None:
    # Not by title: two VMs may have one, where this user may not see the folders above them.
    owners = {id(answer): item for item, answer in asked}
    files = job.options.files

    def start(answer: Answer) -> None:
        item = owners[id(answer)]
        name = f"{item.vm.instance_uuid}-{answer.disk.key}"
        area_sink = AreaSink(job.files, name, files.most_areas if files.with_areas else 0)
        ask_disk(job.session, item.vm.moid, item.used, answer, area_sink, job.stop)

    def note(answer: Answer, outcome: Outcome) -> None:
        answer.error = outcome.error
        if outcome.error is not None:
            owners[id(answer)].fail(outcome.error)

    answers = [answer for _item, answer in asked]
    job.task.call(answers, start, "disks read", note, repeatable=True, stop=job.stop)


def ask_disk(
    session: Session,
    vm: str,
    snapshot: str | None,
    answer: Answer,
    sink: AreaSink,
    stop: threading.Event | None = None,
) -> None:
    """Ask about one disk, and fill its answer in.

    :param vm: moid of the VM.
    :param snapshot: that of the snapshot, None for a VM that is powered off.
    :param answer: with the disk as the snapshot has it, and in
        ``since`` the changeId to compare with.
    :param sink: is given the areas, as they come.
    :param stop: breaks off between two pages.
    :raises InconsistentAreas: an answer that cannot be trusted.
    :raises Fault: as vCenter does, but for those that mean that the whole disk has to be
        read: these are in the answer.
    """
    ask = tracking.pages(session, vm, snapshot, answer.disk.key, answer.since or "")
    read_areas(ask, answer, sink, stop)


def read_areas(
    ask: t.Callable[[int], Page],
    answer: Answer,
    sink: AreaSink,
    stop: threading.Event | None = None,
) -> None:
    """Ask page by page, and fill an answer in: the one way for disks of VMs and first class disks.

    :param ask: for the page that begins at an offset.
    :raises InconsistentAreas, Fault: as ``ask_disk``.
    """
    disk = answer.disk
    tally = Tally(disk.capacity)

    def page(offset: int) -> Page:
        if stop is not None and stop.is_set():
            raise NotAttempted(
                f"{disk.label} was not read to its end, since the task ended early.",
                hint="Run again.",
            )
        return ask(offset)

    try:
        for area in changed_areas(page, disk.capacity):
            tally.add(area)
            sink.add(area)
        sink.finish()
    except Fault as fault:
        answer.full = tracking.full_required(fault)
        if answer.full is None:
            raise
    else:
        answer.tally, answer.areas, answer.path = tally, sink.areas, sink.path
    finally:
        sink.abandon()
    answer.error = None


# What was found: judged, and written down


def _judge(job: AreaTask) -> None:
    """Make failures of what the options call failures, and warnings of what nobody should overlook."""
    for item in job.vms if job.options.state == QUERIED else ():
        full = [answer for answer in item.answers.values() if answer.full is not None]
        if full and job.options.on_full_required == FAIL:
            item.fail(_full_required(item, full))
        excluded = item.questions.excluded
        untracked = [disk.label for disk, why in excluded if why == NOT_TRACKED]
        if untracked and item.error is None:
            item.warnings.append(
                f"{item.title}: nothing is known of {names.listing(untracked)}, since tracking is "
                "off or not active yet. Run with state enabled first."
            )


def _full_required(item: VmItem, full: t.Sequence[Answer]) -> FullRequiredError:
    first = full[0]
    why = first.full.reason if first.full else ""
    return FullRequiredError(
        f"{len(full)} disks of {item.title} have to be read whole. {first.disk.label}: {why}",
        hint="Do so with on_full_required set to report, and commit that question: the next one starts from there.",
        disks=[answer.disk.label for answer in full],
    )


def close_files(job: AreaTask) -> None:
    """Put the files of areas where the result says; of a run that was broken off nobody reads them."""
    keep = not job.interrupted
    gone = job.files.temporary and not keep
    try:
        job.files.close(keep=keep)
    except (VforgeError, Interrupted) as error:
        job.end(error)
        job.unwritten = True
    for answer in (answer for item in job.vms for answer in item.answers.values() if gone):
        answer.path = None


def note_question(job: AreaTask, at: str) -> dict[str, t.Any]:
    """Note the question in the state file, as one that was asked.

    Until it is committed the next one asks from the same point, so that nothing is lost whatever
    becomes of this answer.
    """
    options = job.options
    noted: dict[str, t.Any] = {"state_saved": False, "question": None}
    skipped = job.task.check or job.unwritten or job.interrupted
    if options.state != QUERIED or not options.files.state or skipped:
        return noted
    try:
        with state.locked(options.files.state, _deadline(job), job.session.show_progress) as known:
            records = _records(job, known, at)
            if records or not job.task.failed:
                state.save(options.files.state, known.asked(job.run, at, records))
                question = {"id": job.run, "at": at, "disks": len(records)}
                noted |= {"state_saved": True, "question": question}
    except (VforgeError, Interrupted) as error:
        job.end(error)
    return noted


def _deadline(job: AreaTask) -> float:
    """Of writing: a task that has used its time up has a moment for it."""
    now = time.monotonic()
    return job.task.deadline if job.task.deadline > now else now + _LAST_SECONDS


def _records(job: AreaTask, known: state.State, at: str) -> list[state.Record]:
    """What the state file is to have of each disk of which something was found."""
    records = []
    for item in job.vms:
        for answer in item.answers.values():
            if report.is_found(job, answer):
                found = report.run_of(answer, at)
                records.append(known.noted(item.vm, answer.disk, found, job.run))
    return records


# Commit a question


def commit(options: AreaOptions, show: t.Callable[[str], None], *, check: bool) -> dict[str, t.Any]:
    """Commit the question of the options; of some VMs where these are named, else of all its disks.

    :param show: called with one sentence when another task has to be waited for.
    :param check: only find out what it would do.
    :returns: the module's result: ``changed``, ``question``, ``vms``, ``state_saved`` and ``diff``.
    :raises QuestionUnknown: when the state file does not know it.
    :raises NotFound: when the state file does not know the only VM that is named.
    :raises PartialFailure: when it does not know one of several; the others are committed.
    :raises VforgeError: as reading and writing the state file does.
    """
    path, deadline = options.files.state, time.monotonic() + options.timeout
    with _known(options, deadline, show, check=check) as known:
        wanted = [_named(known, target.selector, options.datacenter) for target in options.targets]
        missing = [each for each in wanted if isinstance(each, Missing)]
        if missing and len(wanted) == 1:
            raise missing[0].error or NotFound(missing[0].title)
        uuids = [uuid for each in wanted if not isinstance(each, Missing) for uuid in each]
        every = not options.targets
        moves = known.moves(options.question, lambda record: every or record.vm_uuid in uuids, path=path)
        if moves and not check:
            state.save(path, known.moved(moves))
    at = known.questions[options.question].at
    result = {
        **report.committed(moves, missing, path),
        "question": {"id": options.question, "at": at, "disks": len(moves)},
        "state_saved": bool(moves) and not check,
    }
    if missing:
        failed = f"{len(missing)} of {len(wanted)} VMs failed: {' '.join(reasons(missing))}"
        raise PartialFailure(failed, result)
    return result


@contextlib.contextmanager
def _known(options: AreaOptions, deadline: float, show: t.Callable[[str], None], *, check: bool) -> t.Iterator[state.State]:
    """What the state file has; under its lock where it is going to be written."""
    if check:
        yield state.load(options.files.state, deadline)
        return
    with state.locked(options.files.state, deadline, show) as known:
        yield known


def _named(known: state.State, selector: Selector, datacenter: str | None) -> set[str] | Missing:
    """The instance UUIDs of the VMs of a state file that a selector fits."""
    if selector.uuid and not selector.use_instance_uuid:
        by_bios = InvalidOption(
            "The state file does not know VMs by their BIOS UUIDs.",
            hint="Set use_instance_uuid and give the instance_uuid of the result, or name it in another way.",
        )
        return Missing.of(selector, by_bios)
    fitting = {
        each.vm_uuid
        for each in known.records.values()
        if selector.fits(name=each.vm_name, path=each.vm_path, moid=each.vm_moid, uuid=each.vm_uuid, datacenter=datacenter)
    }
    unknown = NotFound(
        f"The state file knows no VM with the {selector}.",
        hint="Name it as it was when it was asked about, or by its moid or instance UUID.",
    )
    return fitting or Missing.of(selector, unknown)
