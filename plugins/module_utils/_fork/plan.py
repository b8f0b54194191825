# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done: options and what there is become one plan a parent, and one a child. Pure.

Check mode, diff and the real run all consume the same plan.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._engine import Difference
from .._errors import InvalidOption, VforgeError
from .._vm_stages import CREATE, DESTROY, POWER_OFF, POWER_ON, UPDATE
from .._vsphere import freeze
from .._vsphere.compute import Place, Pool, choose_datastore, choose_pool
from .model import (
    DISABLED,
    ENABLED,
    METHOD,
    NONE,
    NONPERSISTENT,
    PERSISTENT,
    QUIESCED,
    Child,
    ChildRequest,
    ForkOptions,
    Parent,
)

# Steps of a parent.
ENABLE, SNAPSHOT, QUIESCE, DISABLE, RESET = "enable", "snapshot", "quiesce", "disable", "reset"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will be done to one parent.

    :ivar steps: in the order in which they are done.
    :ivar refusal: why nothing is done although something is asked for, or None.
    """

    parent: Parent
    steps: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    refusal: VforgeError | None = None


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a child goes, as moids.

    :ivar pool_asked: False where the pool is the parent's own because none was asked for.
    :ivar datastore: None means the parent's.
    """

    folder: str
    folder_path: str
    pool: Pool
    pool_asked: bool
    datastore: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChildPlan:
    """What will be done for one request. Each kind of plan is a class, which says what it needs."""

    request: ChildRequest
    parent: Parent

    @property
    def name(self) -> str:
        """The child's name."""
        return self.request.name

    @property
    def steps(self) -> tuple[str, ...]:
        """What is done for the child, in this order."""
        return ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Create(ChildPlan):
    """Make a child."""

    placement: Placement

    @property
    def steps(self) -> tuple[str, ...]:
        """It is made powered off, so powering it on is a step of its own."""
        return (CREATE, POWER_ON) if self.request.powered_on else (CREATE,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change(ChildPlan):
    """Bring a child that is there to what is asked; nothing is done where it is already.

    :ivar differences: those, too, that cannot be changed.
    :ivar config: pairs of extraConfig to write.
    :ivar power: ``POWER_ON`` or ``POWER_OFF`` where its power state is to change, or empty.
    """

    placement: Placement
    existing: Child
    differences: tuple[Difference, ...] = ()
    config: t.Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    power: str = ""

    @property
    def steps(self) -> tuple[str, ...]:
        """Its power state changes last."""
        return tuple(step for step in (UPDATE if self.config else "", self.power) if step)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Remove(ChildPlan):
    """Power a child off, and remove it."""

    existing: Child

    @property
    def steps(self) -> tuple[str, ...]:
        """One step, whether it has to be powered off first or not."""
        return (DESTROY,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gone(ChildPlan):
    """There is nothing that could be removed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conflict(ChildPlan):
    """Something else has the name, and is left alone.

    :ivar placement: where the child was to go; None for one that was to be removed.
    """

    existing: Child
    reason: str
    hint: str = "Choose another name or folder, or remove by hand what holds the name."
    placement: Placement | None = None


def placement_of(plan: ChildPlan) -> Placement | None:
    """Where a child goes, or is; None for one that is to be removed."""
    return plan.placement if isinstance(plan, (Create, Change, Conflict)) else None


def existing_of(plan: ChildPlan) -> Child | None:
    """What has the child's name now, if anything."""
    return plan.existing if isinstance(plan, (Change, Remove, Conflict)) else None


def present(request: ChildRequest, placement: Placement, existing: Child | None, parent: Parent) -> ChildPlan:
    """The plan that brings a child to what is asked."""
    if existing is None:
        return Create(request=request, parent=parent, placement=placement)
    reason = why_not_ours(existing, parent)
    if reason:
        return Conflict(request=request, parent=parent, existing=existing, reason=reason, placement=placement)
    differences, config, power = [], {}, ""
    for key, value in sorted(request.config.items()):
        if existing.config.get(key, "") != value:
            config[key] = value
            differences.append(Difference(key, "another value", "the value asked for"))
    if request.powered_on != existing.powered_on:
        power = POWER_ON if request.powered_on else POWER_OFF
        wanted = "poweredOn" if request.powered_on else "poweredOff"
        differences.append(Difference("power_state", existing.power_state, wanted))
    return Change(
        request=request,
        parent=parent,
        placement=placement,
        existing=existing,
        differences=(*differences, *_fixed_at_birth(request, placement, existing)),
        config=config,
        power=power,
    )


def absent(request: ChildRequest, existing: Child | None, parent: Parent, used: t.Collection[str] = ()) -> ChildPlan:
    """The plan that removes a child, and nothing but a child of this parent; never one whose disks
    others use.

    :param used: the names of VMs that use its disks.
    """
    if existing is None:
        return Gone(request=request, parent=parent)
    is_parent = existing.moid == parent.moid
    reason = "it is the parent itself" if is_parent else why_not_ours(existing, parent)
    if reason:
        return Conflict(request=request, parent=parent, existing=existing, reason=reason)
    if used:
        reason = f"its disks are used by {names.listing(sorted(used), most=5)}"
        return Conflict(request=request, parent=parent, existing=existing, reason=reason, hint="Remove those first.")
    return Remove(request=request, parent=parent, existing=existing)


def why_not_ours(existing: Child, parent: Parent) -> str:
    """Why an existing object is not this parent's child, or an empty text when it is."""
    if existing.kind != "VirtualMachine":
        return f"a {existing.kind} holds the name"
    if not parent.has(existing):
        return f"a VM that is no child of {parent.name} holds the name"
    return ""


def check_plans(plans: t.Sequence[ChildPlan], options: ForkOptions) -> None:
    """Refuse, before anything is done, what the state asked for does not allow.

    :raises InvalidOption: naming the option and the child; also where the parent's host is away.
    """
    for plan in plans:
        parent = plan.parent
        if isinstance(plan, Create) and not parent.host_available:
            raise InvalidOption(
                f"The parent {parent.path} is on the host {parent.host_name}, which is in maintenance mode or not connected.",
                hint="A child is made on its parent's host: bring the host back, or use a parent on another host.",
                option="parent",
            )
        refusal = too_early(plan, options.state) if options.state is not None else None
        if refusal is not None:
            raise refusal


def too_early(plan: ChildPlan, state: str | None) -> VforgeError | None:
    """Why a plan cannot be carried out with its parent in a state, or None.

    :param state: that the task brings parents to; None where it leaves them as they are.
    """
    found = state or plan.parent.state
    if found == QUIESCED:
        return None
    if isinstance(plan, Create) and found == DISABLED:
        return InvalidOption(
            f"child {plan.name!r}: VMFork is not enabled on its parent.",
            hint="Use state quiesced.",
            option="state",
        )
    if isinstance(plan, Create) and plan.request.persistent:
        return InvalidOption(
            f"child {plan.name!r}: a persistent child is made only while its parent is quiesced.",
            hint="Use state quiesced.",
            option="persistent",
        )
    if POWER_ON in plan.steps and _lives_on_memory(plan):
        return InvalidOption(
            f"child {plan.name!r}: a non-persistent child can be powered on only while its parent is quiesced.",
            hint="Use state quiesced, or set powered_on to false.",
            option="powered_on",
        )
    return None


def _lives_on_memory(plan: ChildPlan) -> bool:
    """Whether the child is, or will be, one that uses its parent's memory."""
    existing = existing_of(plan)
    return existing is None or existing.child_type == NONPERSISTENT


def decide(parent: Parent, options: ForkOptions, plans: t.Sequence[ChildPlan]) -> Plan:
    """The plan that brings a parent to the state asked for.

    :param plans: those of its children.
    """
    doomed = {plan.existing.moid for plan in plans if isinstance(plan, Remove)}
    depending = [child for child in parent.children if _depends(child) and child.moid not in doomed]
    if parent.template:
        return Plan(parent, refusal=_refusal(parent, "is a template", "A parent of VMFork is a VM."))
    if options.state is None:
        return _as_it_is(parent, options, plans)
    if options.state == DISABLED:
        return _to_disabled(parent, options, depending)
    if not parent.enabled and parent.child_type in (PERSISTENT, NONPERSISTENT):
        return Plan(
            parent,
            refusal=_refusal(parent, "is a child itself", "vSphere forks no children of children."),
        )
    if options.state == ENABLED:
        return _to_enabled(parent, options, depending)
    return _to_quiesced(parent, options, plans, depending)


def _as_it_is(parent: Parent, options: ForkOptions, plans: t.Sequence[ChildPlan]) -> Plan:
    """Only what its children need of it."""
    if not _wants_snapshot(parent, plans):
        return Plan(parent)
    return Plan(parent, (SNAPSHOT,)) if options.create_snapshot else Plan(parent, refusal=_no_snapshot(parent))


def _wants_snapshot(parent: Parent, plans: t.Sequence[ChildPlan]) -> bool:
    return not parent.snapshots and any(isinstance(plan, Create) and plan.request.persistent for plan in plans)


def _to_disabled(parent: Parent, options: ForkOptions, depending: t.Sequence[Child]) -> Plan:
    steps = [DISABLE] if parent.enabled else []
    steps += [RESET] if parent.quiesced and options.allow_reset else []
    running = [child for child in depending if child.running]
    if steps and running:
        return Plan(parent, refusal=_still_running(parent, running, "disabled"))
    warnings = []
    if parent.enabled and depending:
        listing = names.listing([child.name for child in depending], most=5)
        warnings.append(f"{parent.name}: non-persistent children can never be powered on again without it: {listing}.")
    if parent.quiesced and not options.allow_reset:
        warnings.append(f"{parent.name} is still quiesced, and only a reset makes its guest run again (allow_reset).")
    return Plan(parent, tuple(steps), tuple(warnings))


def _to_enabled(parent: Parent, options: ForkOptions, depending: t.Sequence[Child]) -> Plan:
    if not parent.quiesced:
        return Plan(parent, () if parent.enabled else (ENABLE,))
    running = [child for child in depending if child.running]
    if running:
        return Plan(parent, refusal=_still_running(parent, running, "reset"))
    if not options.allow_reset:
        refusal = InvalidOption(
            f"{parent.path} is quiesced, and only a reset makes a quiesced VM run again.",
            hint="Set allow_reset if its guest may be reset. What its memory holds is lost then.",
            option="allow_reset",
        )
        return Plan(parent, refusal=refusal)
    return Plan(parent, (RESET,) if parent.enabled else (RESET, ENABLE))


def _to_quiesced(parent: Parent, options: ForkOptions, plans: t.Sequence[ChildPlan], depending: t.Sequence[Child]) -> Plan:
    if not parent.powered_on:
        refusal = _refusal(
            parent,
            f"is {parent.power_state or 'in an unknown state'}",
            "Power it on and let its guest start: quiescing works in the guest.",
        )
        return Plan(parent, refusal=refusal)
    stays_quiesced = parent.quiesced and freeze.is_up_to_date(parent.record, options.scripts)
    due = []
    if parent.quiesced and not stays_quiesced:
        running = [child for child in depending if child.running]
        if not options.allow_reset:
            return Plan(parent, refusal=freeze.out_of_date(parent.path, METHOD, parent.record))
        if running:
            return Plan(parent, refusal=_still_running(parent, running, "reset"))
        due.append(RESET)
    due += [] if parent.enabled else [ENABLE]
    if _wants_snapshot(parent, plans):
        if not options.create_snapshot:
            return Plan(parent, refusal=_no_snapshot(parent))
        due.append(SNAPSHOT)
    if not stays_quiesced:
        if options.credentials is None:
            return Plan(parent, refusal=freeze.no_credentials(parent.path, METHOD))
        due.append(QUIESCE)
    return Plan(parent, tuple(due))


def in_the_way(parent: Parent, steps: t.Collection[str]) -> VforgeError | None:
    """Why these steps are not carried out on a parent as it is now, or None."""
    running = [child for child in parent.children if _depends(child) and child.running]
    return _still_running(parent, running, "disabled" if DISABLE in steps else "reset") if running else None


def expected(plan: Create) -> Child:
    """What a new child will be, as far as that is known before it is made: for check mode."""
    datastore, parent = plan.request.datastore, plan.parent
    return Child(
        moid="",
        name=plan.name,
        power_state="poweredOn" if plan.request.powered_on else "poweredOff",
        place=Place(
            host_name=parent.host_name,
            pool_name=plan.placement.pool.name,
            datastore_names=(datastore,) if datastore else parent.place.datastore_names,
        ),
        child_type=type_after(plan),
        group_id=parent.group_id,
    )


def type_after(plan: Create) -> str:
    """The ``childType`` of a child that was made.

    A persistent one that was started is a VM like every other.
    """
    if not plan.request.persistent:
        return NONPERSISTENT
    return NONE if plan.request.powered_on else PERSISTENT


def _depends(child: Child) -> bool:
    return child.child_type == NONPERSISTENT


def _fixed_at_birth(request: ChildRequest, placement: Placement, existing: Child) -> list[Difference]:
    """What a child gets when it is made and keeps."""
    found = []
    wanted, actual = (
        PERSISTENT if wish else NONPERSISTENT for wish in (request.persistent, existing.child_type != NONPERSISTENT)
    )
    if wanted != actual:
        found.append(Difference("persistent", actual, wanted, "a child stays of the kind that it was made"))
    if request.resource_pool and existing.place.pool != placement.pool.moid:
        why_not = "an existing child is left where it is"
        found.append(Difference("resource_pool", existing.place.pool_name, placement.pool.path, why_not))
    if placement.datastore and placement.datastore not in existing.place.datastores:
        why_not = "it takes a migration, which is not this module's"
        found.append(
            Difference(
                "datastore",
                ", ".join(existing.place.datastore_names),
                request.datastore or "",
                why_not,
            )
        )
    return found


def _refusal(parent: Parent, what: str, hint: str) -> VforgeError:
    return InvalidOption(f"{parent.path} {what}.", hint=hint, option="parent")


def _still_running(parent: Parent, running: t.Sequence[Child], what: str) -> VforgeError:
    return InvalidOption(
        f"{parent.path} is not {what} while non-persistent children of it run, which live on its "
        f"memory: {names.listing([child.name for child in running], most=5)}.",
        hint="Let them be absent in children, or power them off first.",
        option="state",
        running=[child.name for child in running],
    )


def _no_snapshot(parent: Parent) -> VforgeError:
    return InvalidOption(
        f"{parent.path} has no snapshot, and a persistent child rests on one.",
        hint="Set create_snapshot to have one made, or make one yourself.",
        option="create_snapshot",
    )


# Of which parent a child is, and where it goes: what the names of a request mean.


def owner(request: ChildRequest, parents: t.Sequence[Parent]) -> Parent:
    """The parent of a child among those of the task.

    :raises InvalidOption: when none, or more than one, is meant.
    """
    wanted = request.parent
    if wanted is None:
        return parents[0]
    fits = [
        parent
        for parent in parents
        if wanted.fits(
            name=parent.name,
            path=parent.path,
            moid=parent.moid,
            uuid=parent.instance_uuid if wanted.use_instance_uuid else parent.bios_uuid,
        )
    ]
    if len(fits) == 1:
        return fits[0]
    raise InvalidOption(
        f"child {request.name!r}: {'none' if not fits else 'more than one'} of this task's parents has the {wanted}.",
        hint=f"Its parents are: {names.listing([parent.path for parent in parents])}.",
        option="children",
    )


def own_folder(request: ChildRequest, parent: Parent) -> str:
    """The moid of the folder of a child that names none.

    :raises InvalidOption: its parent is in none.
    """
    if not parent.folder:
        raise InvalidOption(
            f"child {request.name!r}: no folder of the parent is known: it is in a vApp, or this user may not see it.",
            hint="Set folder.",
            option="folder",
        )
    return parent.folder


def place(request: ChildRequest, parent: Parent, folders: t.Mapping[str, tuple[str, str]]) -> Placement:
    """Turn the names of a request into what they mean around its parent.

    :param folders: the folder option as written -> (moid, path).
    :raises InvalidOption: when a name means nothing there; the hint lists what would do.
    """
    folder, path = folders[request.folder] if request.folder else (parent.folder, parent.folder_path)
    who = f"child {request.name!r}"
    return Placement(
        folder=folder,
        folder_path=path,
        pool=choose_pool(parent.around, request.resource_pool, parent.place.pool, who),
        pool_asked=bool(request.resource_pool),
        datastore=choose_datastore(parent.around, request.datastore, who),
    )
