# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task about processors on the engine: options in, result out. It changes nothing."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._engine import ItemOfVm, Task
from .._errors import GuestError
from .._vsphere.guest import Guest, GuestCredentials
from .._vsphere.vm import reference
from . import guests, plan, read, report
from .guests import NoProcessor, Seen
from .model import CpuHost, CpuVm, Options, Places, choose_places

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.session import Session

# What the guest of a VM may take to answer, in seconds.
_GUEST_SECONDS = 60.0


@dataclasses.dataclass(kw_only=True)
class VmItem(ItemOfVm):
    """A VM that a task names.

    :ivar seen: what its guest sees; None where it was not asked.
    """

    vm: CpuVm
    seen: Seen | None = None


def run(session: Session, options: Options) -> dict[str, t.Any]:
    """The module's result: ``hosts``, ``clusters``, ``vms`` and, where it is asked for, ``comparison``.

    Two calls and their pages, and those that it takes to find the datacenter and the VMs that are
    named; in guests more.

    :raises VforgeError: a host, a cluster or the only VM is not there.
    :raises PartialFailure: one of several VMs is not there, a guest does not answer, or the task
        ended early; it holds the rest.
    """
    deadline = session.deadline(options.timeout)
    task: Task[VmItem] = Task(session, [], "VMs", deadline=deadline, parallel=options.parallel)
    with task.phase("places"):
        every = read.read_places(session, options.datacenter)
        places = choose_places(every, options)
    with task.phase("vms"):
        found = read.read_vms(session, options.vms, options.datacenter) if options.vms else []
        there = task.found("vms", found, options.vms)
        task.items = [VmItem(vm=vm) for _place, vm in there]
        vms = [item.vm for item in task.items]
        if options.compare and not options.vms:
            vms = read.read_every_vm(session, options.datacenter)
    result: dict[str, t.Any] = {"changed": False, **_of_places(session, places, every)}
    with task.phase("compare"):
        if options.compare:
            comparison = plan.Comparison(places)
            result["comparison"] = report.of_comparison(plan.groups_of(vms, every.hosts), comparison, places)
    with task.phase("guests"), task.accounted():
        if options.in_guest is not None:
            _ask_guests(task, options.in_guest)
    result["vms"] = task.with_missing("vms", [_entry(item, every) for item in task.items])
    return task.finish(result)


def _of_places(session: Session, places: Places, every: Places) -> dict[str, t.Any]:
    of_host = {host.moid: cluster for cluster in every.clusters for host in cluster.hosts}
    for host in places.hosts:
        for why in (*(f"{host.name}: {each}." for each in host.processor.bad), plan.disagreement(host)):
            if why:
                session.warn(why)
    return {
        "hosts": [report.of_host(host, every, of_host.get(host.moid)) for host in places.hosts],
        "clusters": [report.of_cluster(cluster, every) for cluster in places.clusters],
    }


def _ask_guests(task: Task[VmItem], credentials: GuestCredentials) -> None:
    """Ask the guests of all VMs what they see, some at a time."""
    session = task.session

    def ask(item: VmItem) -> None:
        guest = Guest(session, reference(session, item.vm.moid), credentials)
        if guest.shell.name != "linux":
            raise GuestError(
                "guest_not_linux",
                f"The guest of {item.title} is no Linux, whose /proc/cpuinfo is asked for.",
                hint="Leave it out of the VMs of a task that has in_guest set.",
            )
        completed = guest.script(guests.SCRIPT, deadline=min(task.deadline, time.monotonic() + _GUEST_SECONDS))
        try:
            item.seen = guests.seen_in(completed.output)
        except NoProcessor as error:
            raise GuestError(
                "guest_no_processor",
                f"The guest of {item.title} does not say which processor it sees: {error}.",
                hint="Look at /proc/cpuinfo in the guest.",
            ) from error

    def note(item: VmItem, outcome: Outcome) -> None:
        if outcome.error is not None:
            item.fail(outcome.error)

    task.call(task.items, ask, "guests asked", note)


def _entry(item: VmItem, places: Places) -> dict[str, t.Any]:
    host = _host_of(item.vm, places)
    expected = plan.expected_of(item.vm, host, places)
    entry = report.of_vm(item.vm, host, places, expected)
    if item.seen is not None:
        entry["guest"] = report.of_guest(item.seen, guests.differences(item.seen, item.vm, host, expected))
    return item.with_error(entry)


def _host_of(vm: CpuVm, places: Places) -> CpuHost | None:
    return next((host for host in places.hosts if host.moid == vm.host), None)
