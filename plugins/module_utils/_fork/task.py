# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VMFork task from its options to its result.

Children that are to go come first, then parents, then the children that are to be there.

Takes plain options and a Session, so that it runs in a module as well as in an action plugin.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from .. import _freeze_stage
from .._connector.batch import vm_made
from .._engine import Missing, Task
from .._errors import Fault, InvalidOption, NotAttempted, NotFound
from .._freeze_stage import FreezeStage
from .._vm_stages import (
    ADDRESS,
    CREATE,
    DESTROY,
    POWER_OFF,
    POWER_ON,
    UPDATE,
    WAKE,
    GuestWait,
    VmItem,
    change_power,
    no_address,
    remove,
)
from .._vsphere import disks, vm, wake
from .._vsphere.addresses import warn
from .._vsphere.compute import find_folders, read_names
from . import apply, plan, read, report
from .model import ABSENT, METHOD, Child, ChildRequest, ForkOptions, Parent
from .plan import DISABLE, ENABLE, QUIESCE, RESET, SNAPSHOT, ChildPlan, Create

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.session import Session
    from .._vsphere.freeze import Found
    from .plan import Change


ParentItem: t.TypeAlias = _freeze_stage.ParentItem[Parent]


@dataclasses.dataclass(kw_only=True)
class ChildItem(VmItem):
    """A child of the task.

    :ivar wanted: what its plan says.
    :ivar home: its parent.
    :ivar vm: the child as it was last read; None while it is not there.
    """

    wanted: ChildPlan
    home: ParentItem
    vm: Child | None = None
    moid: str = ""

    @property
    def title(self) -> str:
        """What messages call it; two children of one name are in two folders."""
        place = plan.placement_of(self.wanted)
        if place is not None and self.wanted.request.folder:
            return f"{self.wanted.name} in {place.folder_path}"
        return self.wanted.name

    def due(self, step: str) -> bool:
        """A child is worked on only where its parent is as it should be."""
        return self.home.error is None and super().due(step)

    def addresses(self, family: str) -> list[str]:
        """The addresses that others can reach."""
        return self.vm.addresses(family) if self.vm is not None else []

    @property
    def vm_moid(self) -> str:
        """The moid of the child; empty while it is not there."""
        return self.moid

    @property
    def powered_off(self) -> bool:
        """Whether it is known to be off."""
        return self.vm is not None and not self.vm.running

    @property
    def to_be_absent(self) -> bool:
        """Whether it is asked that there be no such child."""
        return self.wanted.request.state == ABSENT

    def become(self, power_state: str) -> None:
        """Note that its VM is powered on or off now."""
        if self.vm is not None:
            self.vm = dataclasses.replace(self.vm, power_state=power_state)


@dataclasses.dataclass(frozen=True)
class ForkTask:
    """A task that was read and planned.

    ``task`` has both parents and children, and ``quiescing`` is a stage of it.
    """

    session: Session
    options: ForkOptions
    parents: list[ParentItem]
    children: list[ChildItem]
    task: Task[t.Any]
    quiescing: FreezeStage


def run(session: Session, options: ForkOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``parents``, ``children``, ``failures``, ``diff``,
        ``timing`` and the counts.
    :raises NotSupported: on a release without VMFork; nothing was asked of it by then.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: when a parent or a child failed; it holds the whole result.
    """
    read.require_vmfork(session)
    deadline = session.deadline(options.timeout)
    task: Task[t.Any] = Task(
        session,
        [],
        "parents and children",
        deadline=deadline,
        parallel=options.parallel,
        check=check,
    )
    with task.phase("lookup"):
        job = _planned(session, options, task)
    with task.phase("work"):
        with task.accounted():
            _check(job) if check else _carry_out(job)
        if not check:
            with task.accounted():
                _look_again(job)
    result = report.result(task, job.parents, job.children, options)
    warn(session.warn, result["refusals"])
    return task.finish(
        result,
        advice="" if len(task.failed) == 1 and task.stopped is None else _ADVICE,
    )


_ADVICE = "What succeeded stays and is listed; run again to do only what is missing."


def _planned(session: Session, options: ForkOptions, task: Task[t.Any]) -> ForkTask:
    every = read.find_parents(session, options.selectors, options.datacenter, task.deadline)
    found = [each for _place, each in task.found("parents", every, options.selectors)]
    known = [each.parent for each in found]
    plans = _plans(task, options, known)
    plan.check_plans(plans, options)
    parents = [_parent(item, options, plans) for item in found]
    homes = {item.now.moid: item for item in parents}
    children = [_child(each, homes[each.parent.moid], options.state) for each in plans]
    task.items = [*parents, *children]
    quiescing = FreezeStage(
        task=task,
        step=QUIESCE,
        method=METHOD,
        scripts=options.scripts,
        credentials=options.credentials,
        timeout=options.timeout,
        makes={"quiesced": True},
    )
    return ForkTask(session, options, parents, children, task, quiescing)


@dataclasses.dataclass(frozen=True)
class _Asked:
    """A child that is asked for.

    :ivar place: in the list of the options.
    :ivar folder: its moid.
    """

    place: int
    request: ChildRequest
    parent: Parent
    folder: str


# What find_folders finds of the folders that children name, by datacenter.
_Folders: t.TypeAlias = dict[str, dict[str, tuple[str, str] | NotFound]]


def _plans(task: Task[t.Any], options: ForkOptions, known: t.Sequence[Parent]) -> list[ChildPlan]:
    """What is asked for of children, beside what there is: at most three calls for each datacenter,
    and one for the disks of children that are to go.

    A child whose parent, folder, pool or datastore is not there is a failure of its own.

    :raises InvalidOption: it is the only child, or two have one name in one folder.
    """
    owned = []
    for place, request in enumerate(options.children):
        with _or_missing(task, options, place):
            owned.append((place, request, plan.owner(request, known)))
    folders = _folders(task.session, [(request, parent) for _place, request, parent in owned])
    asked = []
    for place, request, parent in owned:
        with _or_missing(task, options, place):
            asked.append(_Asked(place, request, parent, _folder(folders, request, parent)))
    wanted: dict[str, set[str]] = {}
    for each in asked:
        name = each.request.name
        if name in wanted.setdefault(each.folder, set()):
            raise InvalidOption(f"children names {name} twice in one folder.", option="children")
        wanted[each.folder].add(name)
    if not wanted:
        return []
    taken = read_names(task.session, wanted)
    existing = read.read_wanted(task.session, list(taken.values()))
    found = [
        vm.of_name(existing.get(vm.moid_of(taken.get((each.folder, each.request.name)))), each.request.name) for each in asked
    ]
    used = _users(task.session, asked, found)
    plans = []
    for each, child in zip(asked, found, strict=True):
        with _or_missing(task, options, each.place):
            plans.append(_child_plan(each, child, folders, used))
    return plans


def _users(session: Session, asked: t.Sequence[_Asked], found: t.Sequence[Child | None]) -> dict[str, dict[str, str]]:
    """The VMs that use disks of children that are to go, by the moids of these: one call, where none
    has a disk that others could use.
    """
    there = [(each, child) for each, child in zip(asked, found, strict=True) if child is not None]
    doomed = [child for each, child in there if each.request.state == ABSENT]
    moids = [child.moid for child in doomed if child.kind == "VirtualMachine"]
    return disks.users(session, moids, likely=True) if moids else {}


@contextlib.contextmanager
def _or_missing(task: Task[t.Any], options: ForkOptions, place: int) -> t.Iterator[None]:
    """Make an error of one of several children a failure of that child."""
    try:
        yield
    except (InvalidOption, NotFound) as error:
        if len(options.children) == 1 and not task.missing:
            raise
        name = options.children[place].name
        entry = {"name": name, "moid": None, "path": "", "action": "failed"}
        task.miss("children", place, Missing(called=name, entry=entry, error=error))


def _child_plan(
    asked: _Asked,
    found: Child | None,
    folders: _Folders,
    used: t.Mapping[str, t.Mapping[str, str]],
) -> ChildPlan:
    if asked.request.state == ABSENT:
        users = used.get(found.moid, {}) if found is not None else {}
        return plan.absent(asked.request, found, asked.parent, users.values())
    there = folders.get(asked.parent.datacenter, {})
    known = {text: folder for text, folder in there.items() if not isinstance(folder, NotFound)}
    placement = plan.place(asked.request, asked.parent, known)
    return plan.present(asked.request, placement, found, asked.parent)


def _folder(folders: _Folders, request: ChildRequest, parent: Parent) -> str:
    """The moid of the folder of a child.

    :raises NotFound: the folder that it names is not there.
    :raises InvalidOption: it names none, and its parent is in none.
    """
    if not request.folder:
        return plan.own_folder(request, parent)
    folder = folders[parent.datacenter][request.folder]
    if isinstance(folder, NotFound):
        raise folder
    return folder[0]


def _folders(session: Session, owned: t.Sequence[tuple[ChildRequest, Parent]]) -> _Folders:
    texts: dict[str, list[str]] = {}
    for request, parent in owned:
        if request.folder:
            texts.setdefault(parent.datacenter, []).append(request.folder)
    return {moid: find_folders(session, moid, dict.fromkeys(wanted)) for moid, wanted in texts.items()}


def _parent(
    found: Found[Parent],
    options: ForkOptions,
    plans: t.Sequence[ChildPlan],
) -> ParentItem:
    own = [each for each in plans if each.parent.moid == found.parent.moid]
    decided = plan.decide(found.parent, options, own)
    return ParentItem(
        found=found,
        now=found.parent,
        steps=decided.steps,
        error=decided.refusal,
        warnings=list(decided.warnings),
    )


def _child(wanted: ChildPlan, home: ParentItem, state: str | None) -> ChildItem:
    """The item of a child.

    :param state: that the task brings parents to; None where it leaves them as they are.
    """
    known = plan.existing_of(wanted)
    moid = known.moid if known else ""
    item = ChildItem(wanted=wanted, home=home, vm=known, moid=moid, steps=wanted.steps)
    if isinstance(wanted, plan.Conflict):
        item.fail(
            InvalidOption(
                f"{wanted.name} is not touched: {wanted.reason}.",
                hint=wanted.hint,
                conflict=True,
            )
        )
    elif home.error is not None and not isinstance(wanted, plan.Gone):
        why = f"nothing was done, since its parent {home.title} is not as it should be."
        item.fail(NotAttempted(f"{wanted.name}: {why}"))
    elif (refusal := plan.too_early(wanted, state)) is not None:
        item.fail(refusal)
    return item


# Check mode


def _check(job: ForkTask) -> None:
    """Make sure that the guests take the credentials; what a real run would do then counts as done."""
    # A quiesced one answers only after the reset that check mode leaves out.
    reachable = job.quiescing.reachable(job.parents)
    job.quiescing.check([(item, guest) for item, guest in reachable if not item.now.quiesced])
    _give_up(job)
    for item in job.task.items:
        item.foresee()
    for child in job.children:
        if isinstance(child.wanted, Create) and CREATE in child.done:
            child.vm = plan.expected(child.wanted)


# The steps


def _carry_out(job: ForkTask) -> None:
    remove(job.task, job.children, "children")
    _bring_parents(job)
    job.quiescing.run(job.parents)
    _give_up(job)
    _make(job)
    _update(job)
    _power(job)
    _read_children(job)
    _wait_for_guests(job)


# What a step of a parent calls, and what it makes of the parent.
_PARENT_STEPS: tuple[tuple[str, t.Callable[[Session, str], t.Any], str, dict[str, t.Any]], ...] = (
    (DISABLE, apply.start_disable, "parents disabled", {"enabled": False, "group_id": ""}),
    (RESET, vm.start_reset, "parents reset", {"quiesced": False, "tools": False}),
    (ENABLE, apply.start_enable, "parents enabled", {"enabled": True}),
    (SNAPSHOT, apply.start_snapshot, "parents have a snapshot", {"snapshots": ("",)}),
)


def _bring_parents(job: ForkTask) -> None:
    _spare_children(job)
    for step, start, doing, makes in _PARENT_STEPS:
        job.task.stage(
            step,
            lambda parent, start=start: start(job.session, parent.now.moid),  # type: ignore[misc]
            doing,
            then=lambda parent, _outcome, makes=makes: parent.become(**makes),  # type: ignore[misc]
        )


def _spare_children(job: ForkTask) -> None:
    """Leave parents as they are on whose memory children run now, after all.

    Somebody has made them since the parents were read, or they could not be removed.
    """
    due = [parent for parent in job.parents if parent.due(DISABLE) or parent.due(RESET)]
    families = read.read_families(job.session, [parent.now for parent in due], job.task.deadline)
    for parent in due:
        refusal = plan.in_the_way(families[parent.now.moid], parent.left)
        if refusal is not None:
            parent.fail(refusal)


def _give_up(job: ForkTask) -> None:
    """Leave the children alone whose parents could not be brought to the state asked for."""
    for child in job.children:
        if child.home.error is not None and child.left and not child.to_be_absent:
            why = f"{child.title} was not begun: its parent {child.home.title} is not ready."
            child.fail(NotAttempted(why, hint="Run again."))


def _make(job: ForkTask) -> None:
    taken: dict[str, tuple[ChildItem, Outcome]] = {}

    def start(child: ChildItem) -> t.Any:
        # What the child reports of its scripts is used only with this token.
        own = {wake.FORK_TOKEN_KEY: wake.new_run()} if child.home.now.wake_scripts else {}
        wanted = t.cast("Create", child.wanted)  # no other plan has this step
        return apply.start_child(
            job.session,
            child.home.now.moid,
            wanted.request,
            wanted.placement,
            own,
        )

    def note(child: ChildItem, outcome: Outcome) -> None:
        moid = vm_made(job.session, outcome)
        if outcome.error is None:
            child.done.append(CREATE)
            child.moid = moid
            return
        child.fail(outcome.error)
        if isinstance(outcome.error, Fault) and outcome.error.fault == "DuplicateName" and outcome.error.holder:
            taken[outcome.error.holder] = (child, outcome)

    missing = [child for child in job.children if child.due(CREATE)]
    try:
        # A name can be taken only once in a folder: a call that is sent twice cannot make two children.
        job.task.call(missing, start, "children made", note, repeatable=True, results=lambda _child: True)
    finally:
        _take_over(job, taken)


def _take_over(job: ForkTask, taken: t.Mapping[str, tuple[ChildItem, Outcome]]) -> None:
    """A name that was taken meanwhile is success where vCenter lists what has it among the children
    of this parent.

    Its maker is another run, or this one: a call whose answer was lost is sent again, and then
    finds the name taken by what the first one made.
    """
    homes = {child.home.now.moid: child.home.now for child, _outcome in taken.values()}
    asked = [dataclasses.replace(home, known=True) for home in homes.values()]
    families = read.read_families(job.session, asked, job.task.deadline)
    ours = {}
    for moid, (child, outcome) in taken.items():
        family = families[child.home.now.moid]
        if moid in {each.moid for each in family.children}:
            ours[moid] = (child, outcome)
    known = read.read_wanted(job.session, [vm.reference(job.session, moid) for moid in ours])
    for moid, (child, outcome) in ours.items():
        if moid not in known:
            continue
        child.error, child.vm, child.moid = None, known[moid], moid
        if outcome.repeated:
            child.done.append(CREATE)
        else:
            child.skip(CREATE)
        if known[moid].powered_on:
            child.skip(POWER_ON)


def _update(job: ForkTask) -> None:
    def start(child: ChildItem) -> t.Any:
        wanted = t.cast("Change", child.wanted)  # no other plan has this step
        return vm.start_config_change(job.session, child.moid, wanted.config)

    job.task.stage(
        UPDATE,
        start,
        "children changed",
        repeatable=True,
    )


def _power(job: ForkTask) -> None:
    for step in (POWER_ON, POWER_OFF):
        change_power(job.task, job.children, step, "children")


def _read_children(job: ForkTask) -> None:
    """What the changed children are now, in one call for all; one that is gone by then has failed."""
    changed = [child for child in job.children if child.changed and DESTROY not in child.done]
    known = read.read_wanted(job.session, [vm.reference(job.session, child.moid) for child in changed])
    for child in changed:
        child.vm = known.get(child.moid)
        if child.vm is None:
            child.fail(NotFound.removed_meanwhile(child.title))


def _wait_for_guests(job: ForkTask) -> None:
    """Wait for what the options ask for of every child that is on; the children themselves stay.

    That is an address that others can reach, and the end of the scripts that a child runs when it
    wakes.
    """
    asked = [child for child in job.children if child.error is None and child.vm and child.wanted.request.powered_on]
    on = {child.moid: child for child in asked if child.vm and child.vm.power_state == "poweredOn"}
    due = {moid: _due_of(job, child) for moid, child in on.items()}
    hint = (
        "Check that a script of on_wake binds the network cards again, and DHCP and the network of the NIC. "
        "Link-local addresses are not used, nor are those of cards with the parent's MAC."
    )
    family, timeout = job.options.ip_family, job.options.timeout

    def hear(child: ChildItem, net: t.Any) -> bool:
        if child.vm is not None:
            child.vm = dataclasses.replace(child.vm, guest=read.guest_of(net))
        return bool(child.addresses(family))

    GuestWait(
        task=job.task,
        noun="children",
        timeout=timeout,
        hear=hear,
        no_address=lambda child: no_address(child.title, family, timeout, hint=hint),
    ).run(on, due)


def _due_of(job: ForkTask, child: ChildItem) -> set[str]:
    """What is still to come from a child; what one of an earlier run has reported is taken."""
    due = {ADDRESS} if job.options.wait_for_ip and not child.addresses(job.options.ip_family) else set()
    config = child.vm.config if child.vm is not None and job.options.wait_for_wake else {}
    report = wake.report_of(config)
    if report is not None:
        due |= {WAKE} if not child.judge(report) else set()
    elif wake.token_of(config) and POWER_ON in child.done:
        due.add(WAKE)
    elif wake.token_of(config):
        child.wake = "unknown"  # what a guest has reported may be gone with its last start
    return due if child.error is None else set()


def _look_again(job: ForkTask) -> None:
    """What children and parents are now, and what children vCenter lists, where this task has
    changed any of it.
    """
    if job.task.stopped is not None:
        _read_children(job)
    touched = {child.home.now.moid for child in job.children if child.changed}
    due = [home for home in job.parents if home.done or home.now.moid in touched]
    known = read.read_parents(job.session, [home.now.moid for home in due], job.task.deadline)
    for home in due:
        home.now = known.get(home.now.moid, home.now)
