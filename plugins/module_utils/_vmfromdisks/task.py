# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task for a VM that is made around disks, from its options to its result."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from .._connector import versions
from .._connector.batch import vm_made
from .._connector.pyvmomi import vim
from .._engine import UNTOUCHED, Item, Task, diff
from .._errors import TimedOut
from .._vm_stages import POWER_STATE, was_taken_away
from .._vsphere import hardware_version, vm
from .._vsphere.vm import reference
from . import apply, plan, read
from .model import ABSENT, MadeVm, VmOptions
from .plan import CREATE, POWER_ON, REMOVE

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.session import Session
    from .._connector.tasks import Update

_TOOLS = "guest.toolsRunningStatus"


@dataclasses.dataclass(kw_only=True)
class VmItem(Item):
    """The VM of the task.

    :ivar now: what it is; None while it is not there.
    :ivar missing: files of its disks that are not there.
    """

    called: str
    now: MadeVm | None = None
    missing: tuple[str, ...] = ()
    moid: str = ""

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.called


def run(session: Session, options: VmOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``vms`` with one entry, ``failures``, ``diff`` and
        ``timing``.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: it did not succeed; it holds the whole result.
    """
    item = VmItem(called=options.name)
    deadline = session.deadline(options.timeout)
    task: Task[VmItem] = Task(session, [item], "VMs", deadline=deadline, parallel=1, check=check)
    if options.state != ABSENT:
        _require(session, options)
    with task.phase("lookup"):
        home = read.home(session, options)
        item.now = read.named(session, home.folder, options.name)
        item.moid = item.now.moid if item.now is not None else ""
        if options.state == ABSENT:
            item.steps = plan.absent(options, item.now)
            if REMOVE in item.steps:
                plan.check_unused(item.title, read.dependents(session, item.moid))
        else:
            now = read.by_asked_paths(session, home, options, item.now) if item.now is not None else None
            item.steps = plan.present(options, now)
        spot = read.spot(home, options) if CREATE in item.steps else None
        if spot is not None:
            plan.check_free(read.users(session, home, options))
            item.missing = read.missing(session, home, options, deadline)
            if not check:
                plan.check_there(item.missing)
    with task.phase("work"), task.accounted(), task.working_on(item):
        if check:
            item.foresee()
        else:
            _carry_out(task, item, options, home, spot)
    return task.finish(_result(item, options), subject=item)


def _require(session: Session, options: VmOptions) -> None:
    """Make sure that this vCenter knows what the VM is to have.

    :raises NotSupported: it is older.
    """
    hardware_version.require(session, options.hardware.version)
    if options.hardware.secure_boot:
        versions.require_secure_boot(session)
    if options.hardware.controller == "nvme":
        hint = "It needs vCenter 6.5 or later. Choose another controller."
        versions.require(session, "6.5", "has no NVMe controllers for VMs", hint=hint)


def _carry_out(task: Task[VmItem], item: VmItem, options: VmOptions, home: read.Home, spot: read.Spot | None) -> None:
    session = task.session
    task.stage(REMOVE, lambda item: vm.start_destroy(session, item.moid), "VMs removed", done_already="ManagedObjectNotFound")
    if REMOVE in item.done:
        item.now = None
    if spot is not None:
        made = functools.partial(_made, session)
        task.stage(CREATE, lambda _item: apply.start_create(home.folder, spot, options), "VMs made", then=made)
        if item.error is not None and CREATE not in item.done:
            plan.explain(item.error, item.title)
        if CREATE in item.done:
            # Now, so that whatever ends the task later, its result says which VM it was.
            item.now = read.made(session, reference(session, item.moid))
    task.stage(
        POWER_ON,
        lambda item: vm.start_power_on(session, item.moid),
        "VMs powered on",
        repeatable=True,
        power_state="poweredOn",
    )
    waits = options.state != ABSENT and options.wait_for_tools and options.powered_on
    waits = waits and not (item.now is not None and item.now.tools)
    if waits and item.error is None:
        _wait_for_tools(task, item, options)
    if item.error is None and (waits or POWER_ON in item.done):
        item.now = read.made(session, reference(session, item.moid))


def _made(session: Session, item: VmItem, outcome: Outcome) -> None:
    item.moid = vm_made(session, outcome)
    if outcome.error is not None:
        item.fail(outcome.error)


def _wait_for_tools(task: Task[VmItem], item: VmItem, options: VmOptions) -> None:
    def runs(item: VmItem, update: Update) -> bool:
        return was_taken_away(item, update) or str(update.state.get(_TOOLS)) == "guestToolsRunning"

    if task.wait_until(vim.VirtualMachine, (_TOOLS, POWER_STATE), {item.moid: item}, runs, "guests answer"):
        item.fail(
            TimedOut(
                f"VMware Tools in {item.title} did not run after {options.timeout} s.",
                hint="Look at its console: the guest may not find its disk by this controller or firmware.",
            )
        )


def _result(item: VmItem, options: VmOptions) -> dict[str, t.Any]:
    now = item.now
    name = f"{options.name}\n"
    error = {"error": item.error.as_result()} if item.error is not None else {}
    before = [name] if now is not None and CREATE not in item.done else []
    lines = (f"  {disk}{' (not there yet)' if disk in item.missing else ''}\n" for disk in map(str, options.disks))
    after = [] if options.state == ABSENT else [name, *lines]
    changed = bool(item.done)
    return {
        "changed": changed,
        "vms": [
            {
                **UNTOUCHED,
                "name": options.name,
                "moid": item.moid,
                "path": now.path if now is not None else "",
                "instance_uuid": now.instance_uuid if now is not None else "",
                "power_state": now.power_state if now is not None else "",
                "tools_running": now.tools if now is not None else False,
                "disks": [files[0] for files in now.disks] if now is not None else [],
                "missing_disks": list(item.missing),
                "actions": list(item.done),
                "changed": changed,
                "seconds": item.seconds,
                **error,
            }
        ],
        "diff": diff(before, after) if changed else diff([], []),
    }
