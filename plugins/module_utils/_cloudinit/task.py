# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that delivers data for cloud-init, from its options to its result: the steps of its VMs,
then what guests report.

Takes plain options and a Session, so that it runs in a module as well as in an action plugin.

What VMs are given for cloud-init's VMware data source, brought to what is asked and read back.

``encoding``, ``multipart``, ``payload``, ``networks``, ``documents`` and ``report_script`` make and
judge the data, and know nothing of vSphere; the filters use them too. ``task`` and ``info`` are the
tasks.
"""

from __future__ import annotations

import collections
import dataclasses
import time
import typing as t

from .._connector.pyvmomi import vim
from .._engine import Item, Task
from .._errors import GuestError, TimedOut
from .._vsphere import vm
from .._vsphere.addresses import ReportedAddresses, unconfirmed, warn
from .._vsphere.guest import GONE, OFF, taken_away
from .._vsphere.vm import reference
from . import keys, plan, read, report, report_script
from .model import CUSTOMIZATION, FINISHED, NETWORK, NOTHING, PRESENT, READ, CloudOptions, Machine, Request
from .networks import NOTHING_FIXED, Fixed
from .plan import CUSTOMIZE, POWER_ON, REBOOT, SETTLE, WRITE, Plan

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .._connector.tasks import Update


@dataclasses.dataclass(kw_only=True)
class VmItem(Item):
    """A VM of the task.

    :ivar called: its title: its name, or its path and moid where two
        VMs of the task have that name.
    :ivar config: its pairs of extraConfig as they were last known; never in ``repr``.
    :ivar fixed: the addresses that the user gives it.
    :ivar addresses: that VMware Tools report for its own cards, as they were last known.
    :ivar reached: whether what was waited for came; None where nothing was.
    """

    plan: Plan
    called: str
    config: dict[str, str] = dataclasses.field(repr=False)
    power_state: str
    fixed: Fixed = NOTHING_FIXED
    addresses: tuple[str, ...] = ()
    reached: bool | None = None

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.called

    @property
    def name(self) -> str:
        """Of the VM."""
        return self.machine.name

    @property
    def machine(self) -> Machine:
        """The VM as it was found."""
        return self.plan.machine

    @property
    def left(self) -> list[str]:
        """The steps that were not carried out, and the wait that has not come to its end."""
        waits = self.plan.wait != NOTHING and self.reached is None
        return [*super().left, *(["waiting"] if waits else [])]

    @property
    def reported(self) -> ReportedAddresses:
        """What is said of its addresses."""
        return ReportedAddresses(
            self.name,
            reported=keys.reported_addresses(self.config) if self.power_state == "poweredOn" else (),
            given=self.fixed.addresses,
            firm=self.fixed.firm,
            tools=self.addresses,
        )


def run(session: Session, options: CloudOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``vms``, ``failures``,
        ``refusals``, ``diff`` and ``timing``.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: when a VM could not be brought to the state; it holds the whole result.
    """
    if options.transport == CUSTOMIZATION and options.state == PRESENT:
        read.require_customization(session)
    deadline = session.deadline(options.timeout)
    task: Task[VmItem] = Task(session, [], "VMs", deadline=deadline, parallel=options.parallel, check=check)
    with task.phase("lookup"):
        task.items = _planned(task, options)
    with task.phase("work"), task.accounted():
        _carry_out(task, options)
    result = report.result(task, options)
    warn(session.warn, result["refusals"])
    return task.finish(result)


def _planned(task: Task[VmItem], options: CloudOptions) -> list[VmItem]:
    selectors = [request.selector for request in options.requests]
    found = read.find_machines(
        task.session,
        selectors,
        options.datacenter,
        [options.finished_key],
        cards=options.needs_cards,
    )
    there = task.found("vms", found, selectors)
    titles = _titles([machine for _place, machine in there])
    return [_item(machine, options.requests[place], options, titles[machine.moid]) for place, machine in there]


def _titles(found: t.Sequence[Machine]) -> dict[str, str]:
    """What messages call each VM, by moid. A path alone may be cut: of folders that the user may
    not see.
    """
    counts = collections.Counter(machine.name for machine in found)
    return {
        machine.moid: machine.name if counts[machine.name] == 1 else f"{machine.path} ({machine.moid})" for machine in found
    }


def _item(machine: Machine, request: Request, options: CloudOptions, called: str) -> VmItem:
    decided = plan.decide(machine, request, options)
    return VmItem(
        plan=decided,
        called=called,
        steps=decided.steps,
        error=decided.refusal,
        warnings=list(decided.warnings),
        config=dict(machine.config),
        power_state=machine.power_state,
        fixed=request.data.fixed,
        addresses=machine.addresses,
    )


# The steps


def _carry_out(task: Task[VmItem], options: CloudOptions) -> None:
    if task.check:
        for item in task.items:
            item.foresee()
        return
    _deliver(task)
    _start(task)
    if options.wait != NOTHING:
        _wait_for_guests(task, options)


def _deliver(task: Task[VmItem]) -> None:
    task.stage(
        CUSTOMIZE,
        lambda item: _start_customization(task.session, item.machine.moid, *item.plan.customization),
        "VMs customized",
        repeatable=True,
    )
    task.stage(
        WRITE,
        lambda item: vm.start_config_change(task.session, item.machine.moid, item.plan.config),
        "VMs have their data",
        then=lambda item, _outcome: item.config.update(item.plan.config),
        repeatable=True,
    )


def _start_customization(session: Session, moid: str, metadata: str, userdata: str) -> t.Any:
    """``CustomizeVM_Task`` with ``CustomizationCloudinitPrep``; the network is in the metadata."""
    spec = vim.vm.customization
    wanted = spec.Specification(
        options=spec.LinuxOptions(),
        identity=spec.CloudinitPrep(metadata=metadata, userdata=userdata or None),
        globalIPSettings=spec.GlobalIPSettings(),
        nicSettingMap=[],
    )
    return reference(session, moid).CustomizeVM_Task(wanted)


def _start(task: Task[VmItem]) -> None:
    """Let cloud-init read what was delivered: power on what is off, and reboot what may be."""

    def is_on(item: VmItem, _outcome: t.Any) -> None:
        item.power_state = "poweredOn"

    task.stage(
        POWER_ON,
        lambda item: vm.start_power_on(task.session, item.machine.moid),
        "VMs powered on",
        then=is_on,
        repeatable=True,
        power_state="poweredOn",  # somebody else was faster, or this call was sent twice
    )
    # It asks the guest, and does not wait for it.
    task.stage(REBOOT, lambda item: reference(task.session, item.machine.moid).RebootGuest(), "VMs asked to reboot")
    # Only now, so that a task which ended before leaves the reboot to the next one.
    task.stage(
        SETTLE,
        lambda item: vm.start_config_change(task.session, item.machine.moid, {keys.PENDING: ""}),
        "VMs booting",
        repeatable=True,
    )


# What guests report

_DOING = {
    READ: "VMs have read their data",
    NETWORK: "VMs have reported their address",
    FINISHED: "VMs have finished",
}

_WHY_LATE = {
    READ: "cloud-init has not overwritten its data, so it seems not to have read them",
    NETWORK: "cloud-init has reported no address",
    FINISHED: "cloud-init has not reported its end",
}

_LOOK_AT = {
    READ: "Check that cloud-init is in the guest and finds its VMware data source (ds-identify, vmware-rpctool).",
    NETWORK: "Check that cloud-init is in the guest, its network, and wait_on_network in the metadata.",
    FINISHED: "Look in the guest: cloud-init status --long. Users of the template may have switched vendor data off.",
}

# What a guest has reported may be seen after its VM went off, which a user's cloud-config may ask for.
_LAST_WORDS_SECONDS = 10.0

# VMware Tools look at the guest's network every thirty seconds, unless they are set otherwise.
_TOOLS_SECONDS = 60.0


def _wait_for_guests(task: Task[VmItem], options: CloudOptions) -> None:
    """Wait until what is asked for has come from every VM; those where it has not at the
    deadline fail, and stay there.
    """
    asked = [item for item in task.items if item.error is None and item.plan.wait != NOTHING]
    waiting = {item.machine.moid: item for item in asked if not _settled(item, options)}
    paths = (
        read.POWER_STATE,
        read.GUEST_NET,
        *vm.config_paths(_watched(waiting.values(), options)),
    )

    def came(item: VmItem, update: Update) -> bool:
        return _note(item, update, options)

    def came_or_off(item: VmItem, update: Update) -> bool:
        return came(item, update) or item.power_state != "poweredOn"

    for item in task.wait_until(read.VIRTUAL_MACHINE, paths, waiting, came_or_off, _DOING[options.wait]):
        item.reached = False
        item.fail(_late(item, options))
    off = {moid: item for moid, item in waiting.items() if item.error is None and not item.reached}
    last = min(task.deadline, time.monotonic() + _LAST_WORDS_SECONDS)
    for item in task.wait_until(read.VIRTUAL_MACHINE, paths, off, came, _DOING[options.wait], deadline=last):
        item.reached = False
        item.fail(taken_away(item.title, OFF))
    if options.wait in (NETWORK, FINISHED):
        _wait_for_tools(task, asked)


def _wait_for_tools(task: Task[VmItem], asked: t.Iterable[VmItem]) -> None:
    """Give VMware Tools a little time to report the addresses that cloud-init has reported:
    they look only twice a minute.

    Where they do not, the address is refused, and nothing else becomes of it.
    """

    def came(item: VmItem, update: Update) -> bool:
        _note_tools(item, update)
        return update.gone or not unconfirmed(item.reported)

    waiting = {item.machine.moid: item for item in asked if item.error is None and unconfirmed(item.reported)}
    deadline = min(task.deadline, time.monotonic() + _TOOLS_SECONDS)
    doing = "VMs have an address that VMware Tools report"
    task.wait_until(read.VIRTUAL_MACHINE, (read.GUEST_NET,), waiting, came, doing, deadline=deadline)


def _watched(items: t.Iterable[VmItem], options: CloudOptions) -> tuple[str, ...]:
    if options.wait == READ:
        return tuple(sorted({keys.value(kind) for item in items for kind in item.plan.redacting}))
    addresses = (keys.LOCAL_IPV4, keys.LOCAL_IPV6)
    return addresses if options.wait == NETWORK else (*addresses, keys.HOST_KEYS, options.finished_key)


def _note(item: VmItem, update: Update, options: CloudOptions) -> bool:
    """Keep what is reported of a VM; True when there is nothing more to wait for."""
    if update.gone:
        item.reached = False
        item.fail(taken_away(item.title, GONE))
        return True
    _note_tools(item, update)
    item.config.update(vm.config_in(update.values))
    item.power_state = str(update.values.get(read.POWER_STATE, item.power_state))
    return _settled(item, options)


def _note_tools(item: VmItem, update: Update) -> None:
    if read.GUEST_NET in update.values:
        item.addresses = read.tools_addresses(update.values[read.GUEST_NET])


def _settled(item: VmItem, options: CloudOptions) -> bool:
    if not plan.reached(item.plan, options, item.config):
        return False
    item.reached = True
    if options.wait == FINISHED and options.own_report:
        _judge(item, plan.finished(item.plan, options, item.config))
    return True


def _judge(item: VmItem, how: str | None) -> None:
    """cloud-init may have finished badly."""
    if how == report_script.ERROR:
        item.fail(
            GuestError(
                "cloud_init_failed",
                f"cloud-init has finished in {item.title}, and failed.",
                hint="Look in the guest: cloud-init status --long, /var/log/cloud-init.log.",
            )
        )
    elif how == report_script.DEGRADED:
        item.warnings.append(
            f"cloud-init has finished in {item.title} with errors that it could go on after: cloud-init status --long."
        )


class CloudInitTimedOut(TimedOut):
    """cloud-init did not come as far as was asked for in time."""

    error_code = "cloud_init_timeout"


def _late(item: VmItem, options: CloudOptions) -> TimedOut:
    why = _WHY_LATE[item.plan.wait]
    return CloudInitTimedOut(
        f"{item.title} is {item.power_state}, but in {options.timeout} s {why}.",
        hint=_LOOK_AT[item.plan.wait],
    )
