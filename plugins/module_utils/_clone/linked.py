# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Linked and full clones of a VM, a snapshot or a template, and those of them that become templates
themselves.

A clone becomes a template in two phases. One run wins the name, fills the VM, and publishes it; the
others wait until it is a template. One that is not published is never changed by anybody else's
run: its maker may be at work in it.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import tasks
from .._connector.find import find_vm
from .._engine import Item, Part, Task, note_failure
from .._errors import Fault, InvalidOption, NotFound, TimedOut, VforgeError
from .._vm_stages import POWER_ON, POWER_STATE, change_power, went_off
from .._vsphere import snapshots
from .._vsphere import vm as vms
from .._vsphere.markers import CUSTOMIZED_KEY, TEMPLATE_KEY, level_mark
from . import apply, linked_plan, plan, read, report, task
from .model import (
    ABSENT,
    DELTAS_ADDED,
    OPEN,
    PRESENT,
    PUBLISHED,
    CloneRequest,
    Existing,
    LinkedOptions,
    Parent,
    Source,
)
from .plan import PUBLISH, Create, Plan
from .read import Wanted
from .task import CloneItem, Found

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.find import Selector
    from .._connector.session import Session


def run(session: Session, options: LinkedOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for; see ``task.run``."""
    return task.run(LinkedClones(session, options), check=check)


# The step of the source.
ADD_DELTAS = "add_deltas"

_SOURCE_ACTIONS = {ADD_DELTAS: "delta_disks_added"}


@dataclasses.dataclass(kw_only=True)
class SourceItem(Item):
    """The source, where delta disks are put on its disks."""

    moid: str
    steps: tuple[str, ...] = (ADD_DELTAS,)

    @property
    def title(self) -> str:
        """What messages call it."""
        return "the source"


# What no two requests of a task share: the folder as it is written, and the name.
_Key = t.Tuple[t.Optional[str], str]  # noqa: UP006, UP045 (evaluated where modules run)


class LinkedClones(task.Way[LinkedOptions]):
    """Clones whose disks share those of their source, or copy them."""

    source = "source"
    sources = ""

    def __init__(self, session: Session, options: LinkedOptions) -> None:
        super().__init__(session, options)
        self._snapshot = ""
        self._changing: SourceItem | None = None
        self._around: dict[_Key, Source | InvalidOption] = {}

    @property
    def born(self) -> str:
        """A clone is powered on by the call that makes it, where that is asked for."""
        running = all(request.powered_on for request in self.options.requests)
        return "poweredOn" if running else ""

    def read(self) -> Found:
        """Look everything up, in at most eight calls whatever the number of clones and VMs."""
        source: Source | None = None
        if self.options.parent is not None:
            source = self._read_source(self.options.parent)
            if self.options.state == PRESENT:
                self._look_around(source)
        asked = [Wanted(request, source) for request in self.options.requests]
        wanted = read.read_wanted(self.session, asked)
        if self.options.state == ABSENT:
            self.look_for_users(wanted)
        return Found((source,) if source is not None else (), tuple(wanted))

    def _read_source(self, selector: Selector) -> Source:
        """What is cloned, in at most two calls.

        :raises NotFound: there is no such VM.
        """
        ref = find_vm(self.session, selector, self.options.datacenter)
        (found,) = read.read_parents(self.session, [(ref, str(selector))], Source)
        if isinstance(found, VforgeError):
            raise found
        return found

    def _look_around(self, source: Source) -> None:
        """Where each clone may go, and what there is."""
        if self.options.snapshot is not None:
            self._snapshot = snapshots.choose(
                source.snapshots,
                self.options.snapshot,
                source.path,
            ).moid
        computes = read.read_compute(self.session, source.datacenter)
        chosen: dict[_Key, linked_plan.Choice] = {}
        for request in self.options.requests:
            try:
                chosen[_key(request)] = linked_plan.choose_host(request, source, computes)
            except InvalidOption as error:
                self._around[_key(request)] = error
        hosts = {choice.host.moid for choice in chosen.values()}
        reach = read.read_reach(self.session, hosts)
        for key, choice in chosen.items():
            self._around[key] = linked_plan.around(source, choice, reach[choice.host.moid])

    def plan(self, wanted: Wanted) -> Plan:
        """What brings a clone to what is asked."""
        request = wanted.request
        if self.options.state == PUBLISHED:
            planned = linked_plan.published(request, wanted.existing, _given(wanted))
        else:
            source = self._around[_key(request)]
            if isinstance(source, InvalidOption):
                raise source
            place = linked_plan.place(request, source, wanted.folders)
            version = linked_plan.made_of(wanted.existing, source, self.options.other_versions)
            planned = linked_plan.of_version(
                linked_plan.present(request, place, wanted.existing, version, self.options),
                source,
            )
            if isinstance(planned, Create) and linked_plan.needs_deltas(
                source,
                self.options,
                self._snapshot,
            ):
                self._changing = self._changing or SourceItem(moid=source.moid)
        if self.options.wait_for_ip:
            plan.check_ip_nic(_given(wanted), self.options.ip_nic)
        plan.check_customization(request, _given(wanted))
        return planned

    def absent(self, wanted: Wanted) -> Plan:
        """What removes a clone."""
        existing, source = wanted.existing, wanted.parent
        if source is not None:
            source = linked_plan.made_of(existing, source, self.options.other_versions)
        return plan.absent(
            wanted.request,
            existing,
            source,
            self.users_of(existing),
            force=self.options.force,
            templates=True,
        )

    def prepare(self, task: Task[CloneItem]) -> None:
        """Put delta disks on the source's disks, where there are none to share."""
        item = self._changing
        if item is None:
            return
        work = Task(self.session, [item], "sources", deadline=task.deadline, parallel=1)
        with task.phase("delta_disks"):
            known = read.read_disks(self.session, [item.moid])
            if item.moid not in known:
                raise NotFound.removed_meanwhile("The source")
            work.stage(
                ADD_DELTAS,
                lambda item: apply.start_adding_deltas(self.session, item.moid, known[item.moid], {}),
                "delta disks added",
            )
        if item.error is not None:
            raise item.error

    def would_prepare(self) -> None:
        """Delta disks would be put on the source's disks."""
        if self._changing is not None:
            self._changing.done = list(self._changing.steps)

    @property
    def prepared(self) -> Item | None:
        """The source, where delta disks are put on its disks."""
        return self._changing

    def start(self, planned: Create) -> t.Any:
        """``CloneVM_Task``."""
        return apply.start_clone(self.session, planned, self._spec(planned))

    def ask(self, planned: Create) -> t.Any:
        """``CheckClone_Task``."""
        return apply.start_check(self.session, planned, self._spec(planned))

    def _spec(self, planned: Create) -> t.Any:
        config = {**planned.written, **self.marks(planned)}
        if planned.request.customization is not None:
            config[CUSTOMIZED_KEY] = planned.name
        if self.options.as_template:
            config[TEMPLATE_KEY] = level_mark(planned.name, OPEN, self.options.owner)
        disks = linked_plan.disks_from(self.options.disk_mode, self._snapshot)
        return apply.clone_spec(self.session, planned, config, disks, self._snapshot)

    def finish(self, task: Task[CloneItem]) -> None:
        """Power on the clones that were there and off.

        Publish templates, or wait for those that other runs fill.
        """
        if self.options.state == PUBLISHED:
            _publish(task, self.options.timeout)
        elif self.options.as_template:
            _wait_until_published(task, self.options)
        elif any(item.due(POWER_ON) for item in task.items):
            with task.phase("power_on"):
                change_power(task, task.items, POWER_ON, "clones")

    def expected(self, planned: Create) -> Existing:
        """On the host that was chosen, if one was."""
        return linked_plan.expected(planned)

    def entry(self, parent: Parent) -> dict[str, t.Any]:
        """The source, what of it is cloned, and how."""
        return {
            **report.source(parent),
            "template": parent.template,
            "snapshot": self._snapshot or None,
            "disk_mode": self.options.disk_mode,
            "actions": self._changing.actions(_SOURCE_ACTIONS) if self._changing else [],
            "changed": self._changing is not None and self._changing.changed,
        }


def _key(request: CloneRequest) -> _Key:
    """What no two requests of a task share."""
    return request.folder, request.name


def _given(wanted: Wanted) -> Parent:
    if wanted.parent is None:
        raise InvalidOption("The option source is not set.", option="source")
    return wanted.parent


# Clones that become templates


def _wait_until_published(task: Task[CloneItem], options: LinkedOptions) -> None:
    """Wait for the templates that other runs fill, with one filter for all.

    What this run made is its own to fill.
    """
    theirs: dict[str, CloneItem] = {}
    for item in task.items:
        vm = item.vm
        item.ready = bool(vm and vm.template) and item.error is None
        if item.error is None and vm is not None and not item.ready and not _is_ours(item, vm, options):
            theirs[vm.moid] = item
    if not theirs:
        return
    with task.phase("wait_for_template"):
        late = task.wait_until(
            vms.VIRTUAL_MACHINE,
            ("config.template",),
            theirs,
            _is_settled,
            "templates of other runs are published",
        )
        for item in late:
            item.fail(_never_published(item, options.timeout))


def _is_ours(item: CloneItem, vm: Existing, options: LinkedOptions) -> bool:
    return bool(item.done) or bool(options.owner and vm.filled_by == options.owner)


def _is_settled(item: CloneItem, update: tasks.Update) -> bool:
    if update.gone:
        why = f"{item.title} was removed by the run that filled it."
        item.fail(TimedOut(why, hint="Run again to make it."))
        return True
    if not update.values.get("config.template") or item.vm is None:
        return False
    item.ready = True
    item.vm = dataclasses.replace(item.vm, template=True, power_state="poweredOff")
    return True


class NotPublished(TimedOut):
    """A level of a template that another run fills was not published in time."""

    error_code = "template_not_ready"


def _never_published(item: CloneItem, timeout: int) -> TimedOut:
    return NotPublished(
        f"{item.title} is there, but the run that fills it did not publish it in {timeout} s.",
        hint="If that run is dead, go on in its place by setting owner to its own, or remove the VM with state absent.",
        owner=item.vm.filled_by if item.vm else None,
    )


def _publish(task: Task[CloneItem], timeout: int) -> None:
    """Shut the guests down, put delta disks on the disks, and make templates.

    The last step is what others wait for.
    """
    due = [item for item in task.items if item.due(PUBLISH)]
    if not due:
        _note_ready(task)
        return
    try:
        with task.phase("publish"):
            _shut_down(task, due, timeout)
            _add_deltas(task, [item for item in due if item.error is None])
            task.stage(
                PUBLISH,
                lambda item: apply.mark_as_template(task.session, item.vm_moid),
                "templates published",
            )
    finally:
        _note_ready(task)


def _note_ready(task: Task[CloneItem]) -> None:
    for item in task.items:
        if PUBLISH in item.steps:
            item.ready = PUBLISH in item.done


def _add_deltas(task: Task[CloneItem], items: t.Sequence[CloneItem]) -> None:
    """Put an empty delta disk on each disk, where a run that died has not done it."""
    bare = [item for item in items if item.vm is not None and not item.vm.has_new_deltas]
    known = read.read_disks(task.session, [item.vm_moid for item in bare])

    def start(item: CloneItem) -> t.Any:
        mark = {TEMPLATE_KEY: level_mark(item.name, DELTAS_ADDED, "")}
        return apply.start_adding_deltas(task.session, item.vm_moid, known[item.vm_moid], mark)

    for item in bare:
        if item.vm_moid not in known:
            item.fail(NotFound.removed_meanwhile(item.title))
    task.call(
        [item for item in bare if item.error is None],
        start,
        "delta disks added",
        note_failure,
        part=Part(PUBLISH, "delta_disks_added"),
    )


def _shut_down(task: Task[CloneItem], items: t.Sequence[CloneItem], timeout: int) -> None:
    """Let the guests shut down, and wait for it: what they hold in memory belongs on the disks."""

    def note(item: CloneItem, outcome: Outcome) -> None:
        went_down = isinstance(outcome.error, Fault) and outcome.error.found("poweredOff")  # by itself, meanwhile
        if outcome.error is not None and not went_down:
            item.fail(outcome.error)

    running = [item for item in items if item.vm is not None and item.vm.powered_on]
    task.call(
        running,
        lambda item: vms.shut_down_guest(task.session, item.vm_moid),
        "guests asked to shut down",
        note,
        part=Part(PUBLISH, "shut_down"),
    )
    late = task.wait_until(
        vms.VIRTUAL_MACHINE,
        (POWER_STATE,),
        {item.vm_moid: item for item in running if item.error is None},
        went_off,
        "guests are shut down",
    )
    for item in late:
        why = f"The guest of {item.title} did not shut down in {timeout} s."
        item.fail(TimedOut(why, hint="Shut it down, then run again."))
