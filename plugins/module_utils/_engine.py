# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One way to do a task on many items, the same for one VM and for thousands.

A domain makes an Item of each thing that is asked for, with the steps that its plan has decided on.
It then says for each step which call it is. The engine makes these calls for all items that are
due, a few at a time, waits for all of their tasks at once, and notes what became of each item::

    task = Task(session, items, "parents", deadline=session.deadline(options.timeout), parallel=8, check=check)
    with task.accounted():
        task.stage(RESET, lambda item: api.start_reset(session, item.moid), "parents reset")
        late = task.wait_until(vim.VirtualMachine, (TOOLS,), waiting, has_tools, "guests answer")
    return task.finish(entries, key="parents")

An item that fails never stops the others. A signal, the deadline or the loss of the server ends the
task; each item that did not come to its end then says so.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import threading
import time
import typing as t

from ._connector import names, tasks
from ._connector.batch import Outcome, Work, fill_in_results, run_batch
from ._connector.find import name_subjects
from ._errors import Fault, NotAttempted, PartialFailure, Reason, StillRunning, VforgeError
from ._text import one_line

if t.TYPE_CHECKING:
    from ._connector.find import Selector
    from ._connector.session import Session

# Reasons that a headline lists, each on a line of its own, and warnings; the entries of the result
# have them all.
_MOST_REASONS = 8
_MOST_WARNINGS = 10

_MOST_NAMES = 5

# The details of an error that name an object of the item alone.
_OBJECTS = ("task", "moid", "holder", "object")


# What the result calls a part whose task was still under way in vCenter when this one ended.
STARTED = "started"


class Part(t.NamedTuple):
    """What a call does of a step that takes several.

    :ivar action: what the result calls it where the step is not carried out whole.
    """

    step: str
    action: str


@dataclasses.dataclass(kw_only=True)
class Item:
    """One thing that a task works on; a domain's own kind of item adds what it knows of it.

    :ivar steps: what the plan has decided on, in the order in which it is done.
    :ivar done: the steps that were carried out, or in check mode would be.
    :ivar parts: what calls have done of its steps, whether these were then carried out or not.
    :ivar error: why it could not be brought to what was asked for; the first reason counts.
    :ivar seconds: that vCenter has worked on it; None where it did not.
    :ivar calls: that were made to change it.
    """

    steps: tuple[str, ...] = ()
    done: list[str] = dataclasses.field(default_factory=list)
    parts: list[Part] = dataclasses.field(default_factory=list)
    error: VforgeError | None = None
    warnings: list[str] = dataclasses.field(default_factory=list)
    seconds: float | None = None
    calls: int = 0

    @property
    def title(self) -> str:
        """What messages call it; no two items of a task have the same."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """What its entry in the result calls it."""
        return self.title

    @property
    def left(self) -> list[str]:
        """The steps that were not carried out."""
        return [step for step in self.steps if step not in self.done]

    @property
    def changed(self) -> bool:
        """Whether anything was done to it, a part of a step included; in check mode, would be."""
        return bool(self.done or self.parts)

    def actions(self, words: t.Mapping[str, str]) -> list[str]:
        """What was done to it, as the result calls it.

        :param words: what the result calls each step that is an action.
        :returns: the steps that were carried out, and the parts of those that were not.
        """
        whole = [words[step] for step in self.done if step in words]
        return [*whole, *(part.action for part in self.parts if part.step not in self.done)]

    def due(self, step: str) -> bool:
        """Whether a step is still to be carried out."""
        return self.error is None and step in self.left

    def fail(self, error: VforgeError) -> None:
        """Note why it could not be brought to what was asked for."""
        self.error = self.error or error

    def foresee(self) -> None:
        """Note, in check mode, that a real run would carry out the steps that it has left."""
        if self.error is None:
            # Not what else is left, such as a wait: that is no change.
            self.done += [step for step in self.steps if step not in self.done]

    def with_error(self, entry: dict[str, t.Any]) -> dict[str, t.Any]:
        """Its entry in the result, with its error where it failed."""
        return {**entry, "error": self.error.as_result()} if self.error is not None else entry

    def count(self, outcome: Outcome) -> None:
        """Add what one call has cost."""
        self.calls += outcome.calls
        if outcome.seconds is not None:
            self.seconds = round((self.seconds or 0.0) + outcome.seconds, 3)


@dataclasses.dataclass(kw_only=True)
class ItemOfVm(Item):
    """A VM that is there.

    :ivar vm: a domain's own type of it, with ``name``, ``path`` and ``moid``.
    """

    vm: t.Any

    @property
    def title(self) -> str:
        """What messages call it; a user who may not see the folders above it knows no path."""
        return str(self.vm.path or self.vm.moid)

    @property
    def name(self) -> str:
        """What its entry in the result calls it."""
        return str(self.vm.name)


@dataclasses.dataclass(kw_only=True)
class Missing(Item):
    """One of a list that could not be found, or whose parent could not: it fails, and the others go
    on.

    :ivar called: its title.
    :ivar entry: what its entry in the result says of it: its name, moid and path, as far as what
        names it says so.
    """

    called: str
    entry: dict[str, t.Any]

    @classmethod
    def of(cls, selector: Selector, error: VforgeError) -> Missing:
        """What a selector does not name, or does not name alone."""
        path = names.split(selector.path or "")
        name = selector.name or (path[-1] if path else "") or selector.moid or selector.uuid or ""
        entry = {"name": name, "moid": selector.moid or "", "path": selector.path or ""}
        return cls(called=str(selector), entry=entry, error=error)

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.called

    @property
    def name(self) -> str:
        """What its entry in the result calls it."""
        return str(self.entry["name"])


# What the entry of a missing one has in the result of a task that changes things.
UNTOUCHED: dict[str, t.Any] = {"actions": [], "changed": False, "seconds": None}

X = t.TypeVar("X")
I = t.TypeVar("I", bound=Item)  # noqa: E741 (as T, for items)


class Task(t.Generic[I]):
    """What is done with the items of one task.

    :param noun: what messages call the items, in the plural: "clones".
    :param deadline: of ``time.monotonic()``, for all of the work.
    :param parallel: calls at the same time.
    :param check: check mode; a domain then begins no stage.

    ``stopped`` is why the task ended early, or None; ``timing`` has the seconds of each phase.
    """

    def __init__(
        self,
        session: Session,
        items: t.Sequence[I],
        noun: str,
        *,
        deadline: float,
        parallel: int,
        check: bool = False,
    ) -> None:
        self.session = session
        self.items = list(items)
        self.noun = noun
        self.deadline = deadline
        self.parallel = parallel
        self.check = check
        self.stopped: Reason | None = None
        self.missing: dict[str, dict[int, Missing]] = {}
        self.timing: dict[str, float] = {}
        self._timing = threading.Lock()

    @property
    def failed(self) -> list[Item]:
        """The items that could not be brought to what was asked for, and those that could not be
        found.
        """
        return [item for item in self._all if item.error is not None]

    @property
    def _all(self) -> list[Item]:
        return [
            *self.items,
            *(each for places in self.missing.values() for each in places.values()),
        ]

    def miss(self, key: str, place: int, missing: Missing) -> None:
        """Note that there is no item at a place of a list.

        :param key: the list's name in the result.
        """
        self.missing.setdefault(key, {})[place] = missing

    def found(self, key: str, found: t.Sequence[X | VforgeError], selectors: t.Sequence[Selector]) -> list[tuple[int, X]]:
        """Those of a list that were found, with their places in it.

        The others are failures from now on.

        :param key: the list's name in the result.
        :param found: for each selector what it names, or why it does not.
        """
        there: list[tuple[int, X]] = []
        for place, (each, selector) in enumerate(zip(found, selectors, strict=True)):
            if isinstance(each, VforgeError):
                self.miss(key, place, Missing.of(selector, each))
            else:
                there.append((place, each))
        return there

    def with_missing(self, key: str, entries: t.Iterable[dict[str, t.Any]], **more: t.Any) -> list[dict[str, t.Any]]:
        """The entries of a list, with those of what is missing in their places.

        :param entries: of those that were found, in their order.
        :param more: what the entry of a missing one has besides, as if nothing were known.
        """
        whole = list(entries)
        for place, missing in sorted(self.missing.get(key, {}).items()):
            whole.insert(place, {**missing.entry, **more, "error": _as_result(missing.error)})
        return whole

    @contextlib.contextmanager
    def phase(self, name: str) -> t.Iterator[None]:
        """Add the time that the block takes to a phase of the result's ``timing``, and the bytes
        that come in it to that of its ``calls``.

        In other threads than the main one, which work beside each other, their times add up, and
        nobody knows whose the bytes are.
        """
        begun = time.monotonic()
        alone = threading.current_thread() is threading.main_thread()
        try:
            with self.session.stats.phase(name) if alone else contextlib.nullcontext():
                yield
        finally:
            with self._timing:
                self.timing[name] = round(self.timing.get(name, 0.0) + time.monotonic() - begun, 3)

    @contextlib.contextmanager
    def accounted(self) -> t.Iterator[None]:
        """Whatever ends the work in the block early is noted, and the items that have steps left
        say so.
        """
        try:
            yield
        except Reason as error:
            self.stopped = self.stopped or error
            for item in self.items:
                if item.left and item.error is None:
                    what = ", ".join(item.left)
                    item.fail(NotAttempted(f"{item.title}: {what} was not finished.", hint="Run again."))

    @contextlib.contextmanager
    def working_on(self, item: I) -> t.Iterator[None]:
        """For work of many calls on one item: the error that ends the block is why this item
        failed.
        """
        try:
            yield
        except VforgeError as error:
            name_subjects(self.session, [error])
            item.fail(error)

    def stage(
        self,
        step: str,
        start: t.Callable[[I], t.Any],
        doing: str,
        *,
        then: t.Callable[[I, Outcome], None] | None = None,
        results: bool = False,
        repeatable: bool = False,
        done_already: str = "",
        power_state: str = "",
        deadline: float | None = None,
    ) -> None:
        """Carry one step out for every item that it is due for.

        :param start: makes the call of one item; returns its task, or None where the call itself
            did the work.
        :param doing: for the progress: "12 of 40 " and this.
        :param then: is called with each item whose step succeeded.
        :param results: whether it needs the results of the tasks; see ``call``.
        :param repeatable: whether a call whose answer was lost may be made again, since twice has
            the effect of once.
        :param done_already: name of the fault that says that there was nothing to do any more.
        :param power_state: that a power operation brings about: one that is refused because the VM
            is in it had nothing to do any more.
        :param deadline: for what has a time of its own, such as cleaning up.
        :raises Reason: why the task ended early, after each item has its outcome.
        """

        def is_done(error: VforgeError) -> bool:
            if not isinstance(error, Fault):
                return False
            return bool(done_already and error.fault == done_already) or bool(power_state and error.found(power_state))

        def note(item: I, outcome: Outcome) -> None:
            if isinstance(outcome.error, StillRunning):
                item.parts.append(Part(step, STARTED))
            if outcome.error is not None and not is_done(outcome.error):
                item.fail(outcome.error)
                return
            item.done.append(step)
            if then is not None:
                then(item, outcome)

        due = [item for item in self.items if item.due(step)]
        self.call(due, start, doing, note, repeatable=repeatable, deadline=deadline, results=lambda _item: results)

    def call(
        self,
        items: t.Iterable[I],
        start: t.Callable[[I], t.Any],
        doing: str,
        note: t.Callable[[I, Outcome], None],
        *,
        repeatable: bool = False,
        deadline: float | None = None,
        stop: threading.Event | None = None,
        part: Part | None = None,
        results: t.Callable[[I], bool] = lambda _item: False,
    ) -> None:
        """One call for each of these items.

        For what is no step of a plan, or whose errors mean something of their own.

        :param note: is called with each item and what became of its call.
        :param stop: is set when the task ends early, so that an item of many calls can look at it
            between two of them.
        :param part: what the call does of a step; it is noted of each item whose call succeeded.
        :param results: whether the task of an item has a result that is needed; those that did not
            come with the ends of their tasks are read together.

        Other parameters and errors as for ``stage``.
        """
        by_title = _by_title(items)
        if not by_title:
            return
        works = [Work(title, _calling(start, item), repeatable) for title, item in by_title.items()]
        done = run_batch(self.session, works, self.parallel, deadline or self.deadline, doing, stop)
        fill_in_results(self.session, [done.outcomes[title] for title, item in by_title.items() if results(item)])
        for title, outcome in done.outcomes.items():
            by_title[title].count(outcome)
            if part is not None and isinstance(outcome.error, StillRunning):
                by_title[title].parts.append(Part(part.step, STARTED))
            elif part is not None and outcome.error is None:
                by_title[title].parts.append(part)
            note(by_title[title], outcome)
        name_subjects(self.session, [item.error for item in by_title.values()])
        if done.stopped is not None:
            raise done.stopped

    def call_one(
        self,
        item: I,
        start: t.Callable[[], t.Any],
        doing: str,
        *,
        repeatable: bool = False,
        deadline: float | None = None,
    ) -> None:
        """One call for one item, and the task that it may begin.

        Parameters and errors as for ``call``.

        :raises VforgeError: why it failed.
        """
        errors: list[VforgeError] = []

        def note(_item: I, outcome: Outcome) -> None:
            if outcome.error is not None:
                errors.append(outcome.error)

        self.call([item], lambda _item: start(), doing, note, repeatable=repeatable, deadline=deadline)
        if errors:
            raise errors[0]

    def wait_until(
        self,
        kind: type,
        paths: t.Sequence[str],
        waiting: t.Mapping[str, I],
        holds: t.Callable[[I, tasks.Update], bool],
        doing: str,
        *,
        deadline: float | None = None,
        rounds: t.Iterator[int] | None = None,
        between: t.Callable[[], bool] | None = None,
    ) -> list[I]:
        """Wait until something holds for each of these items, by updates of their properties, with
        one filter for all.

        :param waiting: the items by the moids of their objects, which are of ``kind``.
        :param holds: is called with each item and update, whose ``state`` has all values as they
            are now; True ends the wait for this item.
        :param doing: for the progress; empty where ``between`` says how far it is.
        :param rounds: the most seconds of each round, for a wait that has something to ask between
            them.
        :param between: is called after each round, also one that brought nothing; True ends the
            whole wait.
        :returns: the items for which it does not hold at the deadline, or at the end of the wait.
        """

        def after_round(left: set[str], _changed: bool) -> bool:
            if doing:
                self.session.show_progress(f"{len(waiting) - len(left)} of {len(waiting)} {doing}")
            return between is not None and between()

        late = tasks.wait_until(
            self.session,
            [self.session.reference(kind, moid) for moid in sorted(waiting)],
            kind,
            paths,
            deadline or self.deadline,
            lambda update: holds(waiting[update.moid], update),
            rounds=rounds,
            after_round=after_round,
        )
        return [item for moid, item in waiting.items() if moid in late]

    def finish(
        self,
        result: dict[str, t.Any],
        *,
        advice: str = "",
        subject: Item | None = None,
    ) -> dict[str, t.Any]:
        """The result of the task: what the domain returns, with ``failures``, ``timing`` and the
        warnings of the items.

        :param advice: one sentence for the end of a failure's message: what stays, and what the
            next run does.
        :param subject: the one item that the task is about, where there is one. Why it failed is
            why the task did: the failure has its ``error_code`` and its details.
        :raises PartialFailure: where an item failed or the task ended early; it holds the result.
            Where there is only one item, it has the ``error_code`` of that.
        """
        whole = {
            **result,
            # Not "failed": to Ansible that key of a result says whether the task has.
            "failures": [{"name": item.name, **_as_result(item.error)} for item in self.failed],
            "timing": {**self.timing, **result.get("timing", {})},
        }
        for warning in warnings_of(self.items):
            self.session.warn(warning)
        if subject is not None and subject.error is not None:
            raise _failure(self.stopped or subject.error, whole)
        if self.failed or self.stopped is not None:
            after = "Nothing was changed: this was check mode." if self.check else advice
            alone = self._all[0].error if len(self._all) == 1 and self.stopped is None else None
            if alone is not None:
                failure = PartialFailure(alone.message, whole, hint=f"{alone.hint} {after}".strip())
            else:
                failure = PartialFailure(self._headline(after), whole)
            if len(self._all) == 1:
                # Of one there is no part: why it failed is why the task did.
                cause = self.stopped or self._all[0].error or failure
                failure.error_code = cause.error_code
                failure.details = {"fault": cause.fault} if isinstance(cause, Fault) else {}
            raise failure
        return whole

    def _headline(self, after: str) -> str:
        parts = [str(self.stopped)] if self.stopped is not None else []
        failed = self.failed
        if failed:
            parts.append(f"{len(failed)} of {len(self._all)} {self.noun} failed: {_listed(reasons(failed))}")
        # Behind a list a new line has begun already.
        return " ".join(part for part in (*parts, after) if part).replace(": \n", ":\n").replace("\n ", "\n").strip()


def _failure(cause: Reason, whole: dict[str, t.Any]) -> PartialFailure:
    """The failure of a task with the code and the details of what caused it."""
    failure = PartialFailure(cause.message, whole, hint=cause.hint)
    failure.error_code, failure.details = cause.error_code, cause.details
    return failure


def note_failure(item: Item, outcome: Outcome) -> None:
    """For ``Task.call``, where of a call that succeeded nothing is to be noted."""
    if outcome.error is not None:
        item.fail(outcome.error)


def reasons(failed: t.Sequence[Item]) -> list[str]:
    """Why items failed, each reason once and in one line, the most frequent first, with the items
    that it holds for.

    Of "web-1: no space." and "web-2: no space." it makes one reason: what differs is the name.
    Where they differ in more, as the nearest names of what was not found, each is listed.
    """
    groups: dict[tuple[str, str], list[Item]] = collections.defaultdict(list)
    for item in failed:
        if item.error is not None:
            groups[(item.error.error_code, _pattern(str(item.error), item))].append(item)
    ordered = sorted(groups.values(), key=len, reverse=True)
    lines = [f"{_whose(group)}: {one_line(str(group[0].error))}" for group in ordered[:_MOST_REASONS]]
    rest = sum(len(group) for group in ordered[_MOST_REASONS:])
    return [*lines, *([f"{rest} more, for other reasons."] if rest else [])]


def _listed(lines: t.Sequence[str]) -> str:
    """A reason that is the only one, or a list of them."""
    return lines[0] if len(lines) == 1 else "".join(["\n", *(f"- {line}\n" for line in lines)])


def warnings_of(items: t.Sequence[Item]) -> list[str]:
    """What items warn of, each once: one line for each of hundreds of them would hide everything
    else.
    """
    groups: dict[str, list[tuple[Item, str]]] = collections.defaultdict(list)
    for item in items:
        for text in item.warnings:
            groups[_pattern(text, item)].append((item, text))
    lines = []
    for group in list(groups.values())[:_MOST_WARNINGS]:
        text = group[0][1]
        which = names.listing([item.title for item, _text in group], most=_MOST_NAMES)
        lines.append(text if len(group) == 1 else f"{text} The same of {len(group)} in all ({which}).")
    rest = sum(len(group) for group in list(groups.values())[_MOST_WARNINGS:])
    return [*lines, *([f"{rest} more warnings are in the entries of the result."] if rest else [])]


def _pattern(text: str, item: Item) -> str:
    """A text without what only this item has: its names, and the objects that its error is about,
    such as the moid of a task.
    """
    details = item.error.details if item.error is not None else {}
    own = [details[key] for key in _OBJECTS if isinstance(details.get(key), str)]
    for part in sorted({item.title, item.name, *own}, key=len, reverse=True):
        text = text.replace(part, "")
    return text


def _whose(group: t.Sequence[Item]) -> str:
    which = names.listing([item.title for item in group], most=_MOST_NAMES)
    return which if len(group) == 1 else f"{len(group)} ({which}), such as"


def _by_title(items: t.Iterable[I]) -> dict[str, I]:
    """The items by their titles.

    Two of the same one, such as VMs in folders that the user may not see, both count.
    """
    named: dict[str, I] = {}
    for item in items:
        title, number = item.title, 1
        while title in named:
            number += 1
            title = f"{item.title} ({number})"
        named[title] = item
    return named


def _calling(start: t.Callable[[I], t.Any], item: I) -> t.Callable[[], t.Any]:
    return lambda: start(item)


def _as_result(error: VforgeError | None) -> dict[str, t.Any]:
    return error.as_result() if error is not None else {}


@dataclasses.dataclass(frozen=True)
class Difference:
    """Something in which what is there is not as asked.

    ``why_not`` says why it cannot be changed, or is empty.
    """

    what: str
    actual: str
    wanted: str
    why_not: str = ""

    def as_result(self) -> dict[str, t.Any]:
        """As an entry of ``differences`` in a result."""
        entry = {
            "what": self.what,
            "actual": self.actual,
            "wanted": self.wanted,
            "can_change": not self.why_not,
        }
        return {**entry, "why_not": self.why_not} if self.why_not else entry


def changes(head: str, differences: t.Iterable[Difference]) -> tuple[list[str], list[str]]:
    """The lines of a diff, before and after, for those that can be changed.

    None where there are none.

    :param head: the line above them.
    """
    changing = [item for item in differences if not item.why_not]
    if not changing:
        return [], []
    old = [head, *(f"  {item.what}: {item.actual}\n" for item in changing)]
    return old, [head, *(f"  {item.what}: {item.wanted}\n" for item in changing)]


def diff(before: t.Iterable[str], after: t.Iterable[str], where: str = "vCenter") -> dict[str, str]:
    """Ansible's ``diff`` of two lists of lines, each with its line end.

    :param where: that is.
    """
    return {
        "before": "".join(before),
        "after": "".join(after),
        "before_header": f"{where} now",
        "after_header": f"{where} after this task",
    }
