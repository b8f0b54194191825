# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task for a cached template from its options to its result.

It is a task of one item, and of the versions that this one replaces.

Takes plain options and a Session, so that it runs in a module as well as in an action plugin.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t
import uuid

from .._connector import names
from .._connector.props import Row, collect_chosen
from .._connector.tasks import Backoff
from .._engine import Item, Part, Task
from .._errors import CallTimedOut, Fault, NotAttempted, StillRunning, TimedOut, VforgeError
from .._files import PrivateFolder
from .._progress import Meter
from .._vsphere.disks import dependents
from .._vsphere.vm import kind_of
from . import apply, descriptor, identity, importing, plan, read, report, signature, takeover
from .identity import DigestCache, Digester, Identity
from .model import (
    ABSENT,
    DIGEST_KEY,
    FAIL,
    KEEP_BOTH,
    NAME_KEY,
    OWNER_KEY,
    READY,
    SOURCE_KEY,
    UNKNOWN,
    Existing,
    OvfOptions,
    TemplateError,
    owner_mark,
    version_name,
)
from .package import Package, open_package
from .plan import COMPLETE, IMPORT, REMOVE, SWAP, WAIT
from .read import Home
from .signature import Signer

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.session import Session

# Calls at the same time that remove versions.
_REMOVALS = 4

# What is the matter with a version that the time did not suffice for.
_NOT_IN_TIME = (CallTimedOut, NotAttempted, StillRunning, TimedOut)

# So often may a name be refused although nothing is seen to have it.
_MOST_UNSEEN = 5


@dataclasses.dataclass(kw_only=True)
class TemplateItem(Item):
    """The template that the task is about.

    :ivar asked: the name that the options give it.
    :ivar made_as: the name under which it is, or would be.
    :ivar now: the template as it was last read; None while it is not there.
    :ivar old: what had its name before.
    """

    asked: str
    made_as: str
    now: Existing | None = None
    old: Existing | None = None

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.asked

    def plan(self, step: str) -> None:
        """Note what is to be done next."""
        if not self.due(step):
            self.steps = (*self.steps, step)


@dataclasses.dataclass(kw_only=True)
class VersionItem(Item):
    """A template that is to go, with the names of the VMs that depend on its disks."""

    now: Existing
    users: t.Sequence[str] = ()

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.now.path


@dataclasses.dataclass
class Account:
    """What a task for a template counts and remarks.

    :ivar sent: bytes that were sent, in so many ``attempts`` to send a file.
    :ivar lost_answers: how often the answer to ``ImportVApp`` was lost.
    :ivar refusal: why vCenter began no import, the last time that it did not.
    """

    descriptor_warnings: list[str] = dataclasses.field(default_factory=list)
    sent: int = 0
    attempts: int = 0
    transfer_seconds: float = 0.0
    lost_answers: int = 0
    refusal: Fault | None = None
    signer: Signer | None = None


class TemplateTask(Task[Item]):
    """A task whose package is known.

    ``template`` is its first item, the versions that go are the others. ``owner`` names this run in
    the owner mark of what it makes.
    """

    def __init__(
        self,
        session: Session,
        options: OvfOptions,
        package: Package,
        known: Identity,
        digester: Digester,
        account: Account,
        deadline: float,
        *,
        check: bool,
    ) -> None:
        self.template = TemplateItem(asked=options.name, made_as=options.name)
        super().__init__(
            session,
            [self.template],
            "templates",
            deadline=deadline,
            parallel=options.parallel,
            check=check,
        )
        self.options = options
        self.package = package
        self.identity = known
        self.digester = digester
        self.account = account
        self.home = Home("", "")
        self.owner = owner_mark(str(uuid.uuid4()))

    def marks(self) -> dict[str, str]:
        """What a VM carries from the moment on in which it has its name."""
        return {
            DIGEST_KEY: self.identity.digest,
            OWNER_KEY: self.owner,
            NAME_KEY: self.options.name,
            SOURCE_KEY: self.package.source.label,
        }

    def change(
        self,
        start: t.Callable[[], t.Any],
        harmless: t.Collection[str] = (),
        *,
        done_already: t.Collection[str] = (),
        deadline: float | None = None,
        part: Part | None = None,
    ) -> bool:
        """One change of the template, to its end. Its call is made twice where an answer was lost.

        :param harmless: names of faults on which somebody else has changed it, or works on it.
        :param done_already: names of faults that, of a call made twice, say that the first one has
            done it.
        :param part: what it does of a step.
        :returns: False after one of the ``harmless`` faults.
        :raises VforgeError: any other failure.
        """
        outcomes: list[Outcome] = []
        self.call(
            [self.template],
            lambda _item: start(),
            "",
            lambda _item, outcome: outcomes.append(outcome),
            repeatable=True,
            deadline=deadline,
            part=part,
        )
        error = outcomes[0].error
        if isinstance(error, Fault) and error.fault in harmless:
            return outcomes[0].repeated and error.fault in done_already
        if error is not None:
            raise error
        return True


def run(session: Session, options: OvfOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: the template is not there, or an old version could not be removed; it
        holds the whole result. Of the template itself it has the error code.
    """
    deadline = session.deadline(options.timeout)
    if options.state == ABSENT:
        return _absent(session, options, deadline, check=check)
    return _present(_opened(session, options, deadline, check=check))


def _opened(session: Session, options: OvfOptions, deadline: float, *, check: bool) -> TemplateTask:
    """Read what the package is."""
    begun = time.monotonic()
    descriptor.require()
    if options.certificate_ca:
        signature.require()
    account = Account()
    access = dataclasses.replace(options.access, deadline=deadline)
    package = open_package(
        options.source or "",
        access,
        signed=options.certificate_ca is not None,
        system=options.deployment.system,
    )
    if options.certificate_ca:
        account.signer = signature.verify(package, options.certificate_ca)
    digester = _digester(session, options, package)
    known = identity.identify(
        package,
        digester,
        given=options.checksum,
        signed=options.certificate_ca is not None,
        everything=options.always_read and options.verify == identity.BEFORE,
        also=options.hashed_by_hosts,
    )
    task = TemplateTask(session, options, package, known, digester, account, deadline, check=check)
    task.timing["source"] = round(time.monotonic() - begun, 3)
    return task


def _digester(session: Session, options: OvfOptions, package: Package) -> Digester:
    folder = PrivateFolder.find(session.warn, "digests", "the source is read again")
    meter = Meter(f"reading {package.label}", package.size, session.show_progress)
    cache = DigestCache(folder, session.warn)
    return Digester(cache, always=options.always_read, show=meter.reach)


# Present


def _present(task: TemplateTask) -> dict[str, t.Any]:
    item = task.template
    with task.phase("work"):
        task.home = read.find_home(task.session, task.options.place)
        with task.accounted(), task.working_on(item):
            _look(task) if task.check else _make_sure(task)
        if item.error is None and task.stopped is None:
            # It is ready, whoever has made it so.
            item.steps = tuple(item.done)
            if task.options.remove_old:
                with task.accounted():
                    _remove_old(task)
    if IMPORT in item.done:
        # What the bytes cannot prove matters to the run that brings them.
        item.warnings[:0] = task.identity.warnings
    versions = [version for version in task.items if isinstance(version, VersionItem)]
    _warn_of_kept(item, versions)
    return task.finish(
        report.present(task, versions),
        advice=f"The template {item.made_as} is ready. Run again to remove the rest.",
        subject=item,
    )


def _look(task: TemplateTask) -> None:
    """What would be done, for check mode; the place and the descriptor are really checked."""
    item, step = task.template, _next_step(task)
    match step:
        case plan.Import(name, old):
            importing.prepare(task, name)
            item.made_as = name
            item.plan(IMPORT)
            if old is not None:
                item.made_as, item.old = task.options.name, old
                item.plan(SWAP)
        case plan.Swap(name, existing, old):
            path = names.join([*names.split(task.home.path), name])
            now = dataclasses.replace(existing, name=name, path=path)
            item.made_as, item.now, item.old = name, now, old
            item.plan(SWAP)
        case plan.Wait(existing):
            item.made_as, item.now = existing.name, existing
            item.plan(WAIT)
        case plan.Keep(existing):
            item.made_as, item.now = existing.name, existing
    item.done = list(item.steps)


def _make_sure(task: TemplateTask) -> None:
    """Bring the template about, whoever else does at the same time.

    :raises VforgeError: it is not there; what this run had made is gone again, or left for the
        next.
    """
    item, options = task.template, task.options
    prepared: dict[str, importing.Prepared] = {}
    unseen, idle, waits = 0, 0, Backoff(task.deadline)
    while time.monotonic() < task.deadline:
        step = _next_step(task)
        found: Existing | None = None
        match step:
            case plan.Keep(existing):
                item.now, item.made_as = existing, existing.name
                return
            case plan.Import(name, _old):
                item.made_as = name
                if name not in prepared:
                    prepared[name] = importing.prepare(task, name)
                found = _imported(task, prepared[name])
                unseen = idle = unseen + 1 if found is None else 0
            case plan.Wait(existing):
                item.made_as = existing.name
                found, unseen, idle = _waited(task, existing), 0, 0
            case plan.Swap(name, existing, old):
                idle = 0 if _swap(task, name, existing, old) else idle + 1
        if found is not None and not _is_to_be_swapped(found, options):
            item.now, item.made_as = found, found.name
            return
        if unseen >= _MOST_UNSEEN:
            raise _taken_unseen(task, item.made_as)
        if idle > 1 and not waits.begin():
            break
    raise TimedOut(
        f"The template {options.name} was not ready in the time allowed.",
        hint="Raise timeout.",
    )


def _next_step(task: TemplateTask) -> plan.Step:
    """Look at who has the names, and decide."""
    digest, options = task.identity.digest, task.options
    wanted = [options.name]
    if options.on_mismatch != FAIL:
        wanted.append(version_name(options.name, digest))
    known = read.read_named(task.session, task.home, wanted)
    version = known.get(wanted[-1]) if len(wanted) > 1 else None
    step = plan.decide(options, digest, known.get(options.name), version)
    if isinstance(step, (plan.Import, plan.Swap)) and step.old is not None:
        _refuse_taken_aside(task, step.old)
    return step


def _refuse_taken_aside(task: TemplateTask, old: Existing) -> None:
    """Make sure that a version which is to make room can have the name of its version.

    :raises TemplateError: ``name_taken``.
    """
    aside = version_name(old.name, old.digest)
    holder = read.read_named(task.session, task.home, [aside]).get(aside)
    if holder is not None and holder.moid != old.moid:
        raise TemplateError(
            "name_taken",
            f"The template {old.path or old.name} cannot make room for the new one: {holder.moid} has {aside}, the name "
            "that it would get.",
            hint="Rename or remove that, and run again.",
            holder=holder.moid,
        )


def _imported(task: TemplateTask, prepared: importing.Prepared) -> Existing | None:
    task.template.plan(IMPORT)
    imported = importing.bring_in(task, prepared)
    done = importing.finish(task, imported.moid, imported) if imported is not None else None
    return done.template if done is not None else None


def _waited(task: TemplateTask, existing: Existing) -> Existing | None:
    item = task.template
    # What this run has begun itself is no wait for another.
    begun = existing.state == UNKNOWN and task.account.lost_answers > 0
    own = existing.owner == task.owner or begun
    if not own and WAIT not in item.steps:
        item.steps = (*item.steps, WAIT)
        item.done.append(WAIT)
    if not takeover.wait_for(task, existing):
        return None
    item.plan(COMPLETE)
    done = importing.finish(task, existing.moid, None)
    if done is not None and done.published:
        item.done.append(COMPLETE)
    return done.template if done is not None else None


def _swap(task: TemplateTask, name: str, new: Existing, old: Existing | None) -> bool:
    """Give the name to another version; where another run was faster, nothing is done.

    The one that has it now gets the name of its version first, so between the two calls nothing has
    the name. A run that dies there leaves what the next run finds by the version's name.

    :returns: whether it has the name now.
    """
    task.template.plan(SWAP)
    task.template.old = task.template.old or old
    harmless = ("DuplicateName", "ManagedObjectNotFound", "TaskInProgress")
    if old is not None:
        aside = version_name(name, old.digest)
        moid = old.moid
        making_room = Part(SWAP, "renamed")
        if not task.change(lambda: apply.start_rename(task.session, moid, aside), harmless, part=making_room):
            return False
    swapped = task.change(lambda: apply.start_rename(task.session, new.moid, name), harmless)
    if swapped:
        task.template.done.append(SWAP)
    return swapped


def _is_to_be_swapped(found: Existing, options: OvfOptions) -> bool:
    """Whether it is ready by the name of its version, and is to have the name itself."""
    return found.name != options.name and options.on_mismatch != KEEP_BOTH


def _taken_unseen(task: TemplateTask, name: str) -> VforgeError:
    """Why an import is not tried once more, though nothing is seen to have the name."""
    refusal = task.account.refusal
    if refusal is not None and refusal.fault == "InvalidState":
        # Of a name that is taken it is said for a moment only.
        return refusal
    return TemplateError(
        "name_taken",
        f"vCenter refuses the name {name} in {task.home.path}, but nothing is seen to have it.",
        hint="It may be held by something that this user may not see: choose another name or folder.",
    )


# Absent, and versions that go


def _remove_old(task: TemplateTask) -> None:
    """Remove the other versions of a template that is ready.

    It stays ready where the time is over: then what was not removed is a warning.

    :raises Reason: anything else that ended the task early.
    """
    item = task.template
    late = False
    try:
        but = [item.now.moid] if item.now is not None else []
        others = _others(task.session, task.home, task.options.name, but)
        task.items += _versions(task.session, [_as_renamed(item, each) for each in others])
        _remove(task)
    except TimedOut:
        late = time.monotonic() >= task.deadline
        if not late:
            raise
    if time.monotonic() < task.deadline:
        return
    task.items, unremoved = _given_up(task.items)
    if late or unremoved:
        which = f" ({names.listing(unremoved, most=5)})" if unremoved else ""
        item.warnings.append(
            f"{item.made_as} is ready, but not every other version of it was removed in the time "
            f"allowed{which}. Run again to remove the rest."
        )


def _as_renamed(item: TemplateItem, version: Existing) -> Existing:
    """A version as it is called once it has made room, which in check mode it has not."""
    if item.old is None or version.moid != item.old.moid or version.name != item.asked:
        return version
    name = version_name(version.name, version.digest)
    path = names.join([*names.split(version.path)[:-1], name])
    return dataclasses.replace(version, name=name, path=path)


def _given_up(items: t.Sequence[Item]) -> tuple[list[Item], list[str]]:
    """The items without the versions that were not removed in time, and the titles of these."""
    kept: list[Item] = []
    late: list[str] = []
    for item in items:
        if isinstance(item, VersionItem) and isinstance(item.error, _NOT_IN_TIME):
            late.append(item.title)
        else:
            kept.append(item)
    return kept, late


def _absent(
    session: Session,
    options: OvfOptions,
    deadline: float,
    *,
    check: bool,
) -> dict[str, t.Any]:
    """Remove the template, and other versions where that is asked for; never what a VM depends on.

    :raises TemplateError: ``name_taken``, ``busy``, ``in_use``.
    :raises PartialFailure: something could not be removed; it holds the whole result.
    """
    task: Task[VersionItem] = Task(
        session,
        [],
        "templates",
        deadline=deadline,
        parallel=_REMOVALS,
        check=check,
    )
    with task.phase("work"):
        home = read.find_home(session, options.place)
        existing = read.read_named(session, home, [options.name]).get(options.name)
        due = [existing] if existing is not None else []
        if existing is not None:
            _refuse_removal(existing)
        if options.remove_old:
            but = [existing.moid] if existing is not None else []
            due += _others(session, home, options.name, but)
        task.items = _versions(session, due)
        _refuse_used(task.items, existing)
        with task.accounted():
            _remove(task)
    for item in task.items:
        _warn_of_kept(item, [item])
    return task.finish(
        report.absent(options.name, existing, task.items),
        advice="Run again to remove the rest.",
    )


def _refuse_removal(existing: Existing) -> None:
    plan.refuse_foreign(existing)
    if existing.is_being_made:
        raise TemplateError(
            "busy",
            f"The template {existing.path} is being made by another run, or one was killed while it did.",
            hint="Let it be finished first: run with state present.",
            owner=existing.owner,
        )


def _refuse_used(items: t.Iterable[VersionItem], existing: Existing | None) -> None:
    for item in items:
        if existing is not None and item.now.moid == existing.moid and item.users:
            raise TemplateError(
                "in_use",
                f"The template {item.now.path} stays, since its disks are used by {names.listing(item.users, most=5)}.",
                hint="Remove these first, or move them to disks of their own.",
                used_by=list(item.users),
            )


def _others(session: Session, home: Home, name: str, but: t.Collection[str]) -> list[Existing]:
    """The other finished versions of a template in its folder: one call, or two in a large folder.
    One that somebody has renamed is theirs, with a warning.
    """

    def is_version(row: Row) -> bool:
        return read.marks_of(row.values).get(NAME_KEY) == name

    folder = read.folder(session, home.moid)
    found = collect_chosen(session, [folder], read.VERSIONS, read.TO_CHILDREN, read.NAMED, is_version)
    known = [read.existing_of(row.moid, row.values, kind_of(row.ref)) for row in found]
    made = [each for each in known if each.moid not in but and each.state == READY and each.marks.get(NAME_KEY) == name]
    versions = [dataclasses.replace(each, path=names.join([*names.split(home.path), each.name])) for each in made]
    renamed = [each.path for each in versions if each.name not in (name, version_name(name, each.digest))]
    if renamed:
        which = names.listing(sorted(renamed), most=5)
        session.warn(f"Made as versions of {name}, and renamed by somebody since, so they stay: {which}.")
    return [each for each in versions if each.path not in renamed]


def _versions(session: Session, due: t.Sequence[Existing]) -> list[VersionItem]:
    """Templates that are to go; those that VMs depend on stay."""
    used = dependents(session, [each.moid for each in due])
    items = []
    for each in due:
        users = used.get(each.moid, [])
        items.append(VersionItem(now=each, users=users, steps=() if users else (REMOVE,)))
    return items


def _remove(task: Task[t.Any]) -> None:
    """Remove the versions that are to go; one that is gone by then is no failure."""
    if task.check:
        for item in task.items:
            item.done += [REMOVE] if item.due(REMOVE) else []
        return

    def note(item: VersionItem, outcome: Outcome) -> None:
        gone = isinstance(outcome.error, Fault) and outcome.error.fault == "ManagedObjectNotFound"
        if gone and not outcome.repeated:
            item.steps = ()  # another run was faster
        elif outcome.error is not None and not gone:
            item.fail(outcome.error)
        else:
            item.done.append(REMOVE)

    task.call(
        [item for item in task.items if item.due(REMOVE)],
        lambda version: apply.start_destroy(task.session, version.now.moid),
        "templates removed",
        note,
        repeatable=True,
    )


def _warn_of_kept(item: Item, versions: t.Iterable[VersionItem]) -> None:
    for version in versions:
        if version.users:
            users = names.listing(version.users, most=5)
            item.warnings.append(f"{version.now.path} stays, since its disks are used by {users}.")
