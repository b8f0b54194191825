# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done: options and facts become steps for each parent and one for each child. Pure.

Check mode, diff and the real run all consume the same plan.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._engine import Difference
from .._errors import InvalidOption, VforgeError
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

# What is done for a child.
CREATE, UPDATE, KEEP, DESTROY, NOTHING, CONFLICT = (
    "create",
    "update",
    "keep",
    "destroy",
    "nothing",
    "conflict",
)

# Steps of a child besides: what is left to do once it is there.
POWER_ON, POWER_OFF = "power_on", "power_off"


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


@dataclasses.dataclass(frozen=True)
class Step:
    """What will be done for one request.

    :ivar kind: create, update, keep, destroy, nothing or conflict.
    :ivar config: pairs of extraConfig to write to an existing child.
    :ivar power: ``on`` or ``off`` where the power state is to change, as the last thing.
    :ivar reason: why it is a conflict.
    """

    request: ChildRequest
    parent: Parent
    kind: str
    placement: Placement | None = None
    existing: Child | None = None
    differences: tuple[Difference, ...] = ()
    config: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    power: str = ""
    reason: str = ""

    @property
    def name(self) -> str:
        """The child's name."""
        return self.request.name

    @property
    def target(self) -> Placement:
        """Where the child goes.

        :raises ValueError: where nothing is to be made.
        """
        if self.placement is None:
            raise ValueError(f"the step for {self.name} has no placement")
        return self.placement

    @property
    def steps(self) -> tuple[str, ...]:
        """What is done for the child, in this order."""
        own = [self.kind] if self.kind in (CREATE, DESTROY) else []
        own += [UPDATE] if self.kind == UPDATE and self.config else []
        power = {"on": POWER_ON, "off": POWER_OFF}.get(self.power)
        return (*own, power) if power else tuple(own)


def present(request: ChildRequest, placement: Placement, existing: Child | None, parent: Parent) -> Step:
    """The step that brings a child to what is asked."""
    if existing is None:
        return Step(request, parent, CREATE, placement, power="on" if request.powered_on else "")
    stranger = why_stranger(existing, parent)
    if stranger:
        return Step(request, parent, CONFLICT, placement, existing, reason=stranger)
    config = {key: value for key, value in request.config.items() if existing.config.get(key, "") != value}
    differences = [Difference(key, "another value", "the value asked for") for key in sorted(config)]
    power = ""
    if request.powered_on != existing.powered_on:
        power = "on" if request.powered_on else "off"
        differences.append(
            Difference(
                "power_state",
                existing.power_state,
                "poweredOn" if request.powered_on else "poweredOff",
            )
        )
    differences += _fixed_at_birth(request, placement, existing)
    kind = UPDATE if config or power else KEEP
    return Step(request, parent, kind, placement, existing, tuple(differences), config, power)


def absent(request: ChildRequest, existing: Child | None, parent: Parent) -> Step:
    """The step that removes a child, and nothing but a child of this parent."""
    if existing is None:
        return Step(request, parent, NOTHING)
    if existing.moid == parent.moid:
        return Step(request, parent, CONFLICT, existing=existing, reason="it is the parent itself")
    stranger = why_stranger(existing, parent)
    if stranger:
        return Step(request, parent, CONFLICT, existing=existing, reason=stranger)
    return Step(request, parent, DESTROY, existing=existing)


def why_stranger(existing: Child, parent: Parent) -> str:
    """Why an existing entity does not count as this parent's child, or an empty text when it does."""
    if existing.kind != "VirtualMachine":
        return f"a {existing.kind} holds the name"
    if not parent.has(existing):
        return f"a VM that is no child of {parent.name} holds the name"
    return ""


def check_steps(steps: t.Sequence[Step], options: ForkOptions) -> None:
    """Refuse, before anything is done, what the state asked for does not allow, and children on a
    host that is away.

    :raises InvalidOption: naming the option and the child.
    """
    for step in steps:
        if step.kind == CREATE and not step.parent.host_available:
            raise InvalidOption(
                f"The parent {step.parent.path} is on the host {step.parent.host_name}, which is "
                "in maintenance mode "
                "or not connected.",
                hint="A child is made on its parent's host: bring the host back, or use a parent on another host.",
                option="parent",
            )
        refusal = too_early(step, options.state) if options.state is not None else None
        if refusal is not None:
            raise refusal


def too_early(step: Step, state: str | None) -> VforgeError | None:
    """Why a step cannot be done with its parent in a state, or None.

    :param state: that the task brings parents to; None where it leaves them as they are.
    """
    found = state or step.parent.state
    if found == QUIESCED or step.kind not in (CREATE, UPDATE):
        return None
    hint = "Use state quiesced."
    if step.kind == CREATE and found == DISABLED:
        return InvalidOption(f"child {step.name!r}: VMFork is not enabled on its parent.", hint=hint, option="state")
    if step.kind == CREATE and step.request.persistent:
        return InvalidOption(
            f"child {step.name!r}: a persistent child is made only while its parent is quiesced.",
            hint=hint,
            option="persistent",
        )
    if step.power == "on" and (step.existing is None or step.existing.child_type == NONPERSISTENT):
        return InvalidOption(
            f"child {step.name!r}: a non-persistent child can be powered on only while its parent is quiesced.",
            hint="Use state quiesced, or set powered_on to false.",
            option="powered_on",
        )
    return None


def decide(parent: Parent, options: ForkOptions, steps: t.Sequence[Step]) -> Plan:
    """The plan that brings a parent to the state asked for.

    :param steps: those of its children.
    """
    doomed = {step.existing.moid for step in steps if step.kind == DESTROY and step.existing is not None}
    depending = [child for child in parent.children if _depends(child) and child.moid not in doomed]
    if parent.template:
        return Plan(parent, refusal=_refusal(parent, "is a template", "A parent of VMFork is a VM."))
    if options.state is None:
        return _as_it_is(parent, options, steps)
    if options.state == DISABLED:
        return _to_disabled(parent, options, depending)
    if not parent.enabled and parent.child_type in (PERSISTENT, NONPERSISTENT):
        return Plan(
            parent,
            refusal=_refusal(parent, "is a child itself", "vSphere forks no children of children."),
        )
    if options.state == ENABLED:
        return _to_enabled(parent, options, depending)
    return _to_quiesced(parent, options, steps, depending)


def _as_it_is(parent: Parent, options: ForkOptions, steps: t.Sequence[Step]) -> Plan:
    """Only what its children need of it."""
    if not _wants_snapshot(parent, steps):
        return Plan(parent)
    return Plan(parent, (SNAPSHOT,)) if options.create_snapshot else Plan(parent, refusal=_no_snapshot(parent))


def _wants_snapshot(parent: Parent, steps: t.Sequence[Step]) -> bool:
    return not parent.snapshots and any(step.kind == CREATE and step.request.persistent for step in steps)


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
        warnings.append(f"{parent.name} still stands still, and only a reset makes its guest run again (allow_reset).")
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


def _to_quiesced(parent: Parent, options: ForkOptions, steps: t.Sequence[Step], depending: t.Sequence[Child]) -> Plan:
    if not parent.powered_on:
        refusal = _refusal(
            parent,
            f"is {parent.power_state}",
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
    if _wants_snapshot(parent, steps):
        if not options.create_snapshot:
            return Plan(parent, refusal=_no_snapshot(parent))
        due.append(SNAPSHOT)
    if not stays_quiesced:
        if options.credentials is None:
            return Plan(parent, refusal=_no_credentials(parent))
        due.append(QUIESCE)
    return Plan(parent, tuple(due))


def expected(step: Step) -> Child:
    """What a new child will be, as far as that is known before it is made: for check mode."""
    place_of, parent = step.placement, step.parent
    return Child(
        moid="",
        name=step.name,
        power_state="poweredOn" if step.power == "on" else "poweredOff",
        place=Place(
            host_name=parent.host_name,
            pool_name=place_of.pool.name if place_of else "",
            datastore_names=(step.request.datastore,) if step.request.datastore else parent.place.datastore_names,
        ),
        child_type=kind_after(step),
        group_id=parent.group_id,
    )


def kind_after(step: Step) -> str:
    """The ``childType`` of a child that was made: a persistent one that was started stands for
    itself.
    """
    if not step.request.persistent:
        return NONPERSISTENT
    return NONE if step.power == "on" else PERSISTENT


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
        "memory: "
        f"{names.listing([child.name for child in running], most=5)}.",
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


def _no_credentials(parent: Parent) -> VforgeError:
    return InvalidOption(
        f"{parent.path} is not quiesced yet, and the option guest_username is not set.",
        hint="Quiescing runs a command in the guest: set guest_username and guest_password.",
        option="guest_username",
    )


# Of which parent a child is, and where it goes: what the names of a request mean.


def owner(request: ChildRequest, parents: t.Sequence[Parent]) -> Parent:
    """The parent of a child among those of the task.

    :raises InvalidOption: when none, or more than one, is meant.
    """
    wanted = request.parent
    if wanted is None:
        return parents[0]
    fits = [parent for parent in parents if _is(parent, wanted)]
    if len(fits) == 1:
        return fits[0]
    raise InvalidOption(
        f"child {request.name!r}: {'none' if not fits else 'more than one'} of this task's parents has the {wanted}.",
        hint=f"Its parents are: {names.listing([parent.path for parent in parents])}.",
        option="children",
    )


def _is(parent: Parent, wanted: t.Any) -> bool:
    if wanted.moid:
        return bool(parent.moid == wanted.moid)
    if wanted.uuid:
        uuid = parent.instance_uuid if wanted.use_instance_uuid else parent.bios_uuid
        return bool(uuid.lower() == wanted.uuid.strip().lower())
    if wanted.path:
        parts = names.split(wanted.path)
        whole = names.split(parent.path)
        return parts in (whole, whole[2:]) if not wanted.path.startswith("/") else parts == whole
    in_folder = not wanted.folder or names.split(wanted.folder) in (
        names.split(parent.folder_path),
        names.split(parent.folder_path)[2:],
    )
    return names.same(parent.name, wanted.name or "") and in_folder


def place(request: ChildRequest, parent: Parent, folders: t.Mapping[str, tuple[str, str]]) -> Placement:
    """Turn the names of a request into what they mean around its parent.

    :param folders: the folder option as written -> (moid, path).
    :raises InvalidOption: when a name means nothing there; the hint lists what would do.
    """
    if not request.folder and not parent.folder:
        raise InvalidOption(
            f"child {request.name!r}: the parent is in a vApp, which is no folder.",
            hint="Set folder.",
            option="folder",
        )
    folder, path = folders[request.folder] if request.folder else (parent.folder, parent.folder_path)
    who = f"child {request.name!r}"
    return Placement(
        folder=folder,
        folder_path=path,
        pool=choose_pool(parent.around, request.resource_pool, parent.place.pool, who),
        pool_asked=bool(request.resource_pool),
        datastore=choose_datastore(parent.around, request.datastore, who),
    )
