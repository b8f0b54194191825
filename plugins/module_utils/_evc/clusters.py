# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mode of a cluster, with VMs that may be off while it gets it."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._engine import Item, Task, diff, note_failure
from .._errors import VforgeError
from . import apply, cycle, plan, read
from .cycle import VmItem
from .model import HIGHEST, PRESENT, ActiveVm, Cluster, EvcVm, HostCpu, Obstacle, Options, Release
from .plan import APPLY, DISABLE, POWER_ON, SET, SHUT_DOWN, ClusterPlan

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.props import Row
    from .._connector.session import Session

_ACTIONS = {SET: "mode_set", DISABLE: "mode_removed"}


@dataclasses.dataclass(kw_only=True)
class ClusterItem(Item):
    """The cluster of the task, as it was found.

    :ivar hosts: where they had to be read, as ``release`` and ``rows``.
    :ivar rows: its hosts and VMs, as ``read_in_way`` returns them.
    """

    cluster: Cluster
    decided: ClusterPlan
    release: Release = dataclasses.field(default_factory=lambda: Release(()))
    hosts: tuple[HostCpu, ...] = ()
    rows: t.Mapping[str, Row] = dataclasses.field(default_factory=dict)
    obstacles: tuple[Obstacle, ...] = ()
    interrupted: tuple[ActiveVm, ...] = ()

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.cluster.path

    @property
    def name(self) -> str:
        """Of the cluster."""
        return self.cluster.name


@dataclasses.dataclass(frozen=True)
class Named:
    """The VMs that may be off while the cluster gets its mode.

    :ivar key: of the session in vCenter; empty where this user may not read it.
    """

    vms: tuple[EvcVm, ...] = ()
    release: Release = dataclasses.field(default_factory=lambda: Release(()))
    key: str = ""

    @property
    def moids(self) -> set[str]:
        """Theirs."""
        return {vm.moid for vm in self.vms}


def run(session: Session, options: Options, *, check: bool) -> dict[str, t.Any]:
    """Bring a cluster to the mode that is asked for; parameters and errors as for ``task.run``."""
    deadline = session.deadline(options.timeout)
    noun = "clusters and VMs" if options.selectors else "clusters"
    task: Task[t.Any] = Task(session, [], noun, deadline=deadline, parallel=options.parallel, check=check)
    with task.phase("lookup"):
        named = _named(session, options)
        item = _item(session, options)
        task.items = [item]
    with task.phase("work"), task.accounted():
        _carry_out(task, item, named, options)
    _tell_of_interrupted(task, item)
    return task.finish(_result(task, item, named, options), subject=item)


def _named(session: Session, options: Options) -> Named:
    """The VMs that are named.

    :raises VforgeError: one is not there, so that nobody can say whether it is in the way.
    """
    if not options.selectors:
        return Named()
    release, key, found = read.find_vms(session, options.selectors, options.datacenter)
    vms = []
    for each in found:
        if isinstance(each, VforgeError):
            raise each
        vms.append(each)
    return Named(tuple(vms), release, key)


def _item(session: Session, options: Options) -> ClusterItem:
    cluster = read.find_cluster(session, options.cluster, options.datacenter)
    if options.mode != HIGHEST and plan.is_as_asked(cluster, options):
        item = ClusterItem(cluster=cluster, decided=ClusterPlan(()))
        if options.state == PRESENT:
            _note_left_off(item, read.read_in_way(session, cluster))
        return item
    if options.state != PRESENT:
        decided = ClusterPlan((DISABLE,))
        return ClusterItem(cluster=cluster, decided=decided, steps=decided.steps)
    release, hosts, rows = read.read_hosts(session, cluster)
    decided = plan.decide_cluster(cluster, options, release, hosts)
    item = ClusterItem(cluster=cluster, decided=decided, steps=decided.steps, release=release, hosts=hosts, rows=rows)
    if not item.steps:
        _note_left_off(item, rows)
    return item


def _carry_out(task: Task[t.Any], item: ClusterItem, named: Named, options: Options) -> None:
    if options.state != PRESENT:
        _disable(task, item)
        return
    evc: t.Any = None
    if item.steps:
        evc = apply.manager(task.session, item.cluster.moid)
        rows, item.obstacles = _ask(task, item, evc)
        item.interrupted = read.interrupted(rows)
        _block(item, plan.without(item.obstacles, named.moids))
    vms = _vms(task, item, named, options)
    if item.error is not None:
        return
    if task.check:
        for each in task.items:
            each.foresee()
        return
    try:
        _set(task, item, vms, evc, options)
    finally:
        cycle.bring_back(task, vms)


def _disable(task: Task[t.Any], item: ClusterItem) -> None:
    if not item.steps:
        return
    if task.check:  # EVC may be ended at any time (API reference)
        item.foresee()
        return
    evc = apply.manager(task.session, item.cluster.moid)
    task.stage(DISABLE, lambda _item: apply.start_disable(evc), "clusters without EVC", repeatable=True)


def _vms(task: Task[t.Any], item: ClusterItem, named: Named, options: Options) -> list[VmItem]:
    """The VMs with what is to be done with each; where one is in the way and cannot be shut
    down, the cluster fails before anything is changed.
    """
    in_way = plan.in_way(item.obstacles)
    vms = []
    for vm in named.vms:
        decided = plan.decide_restart(vm, options, vm.moid in in_way)
        vms.append(VmItem(vm=vm, now=vm, mode=item.decided.mode, own=False, steps=decided.steps, error=decided.refusal))
    task.items = [item, *vms]
    if item.error is None:
        cycle.check_privileges(task, vms, named.key)
        _refuse(item, vms)
    return vms


def _refuse(item: ClusterItem, vms: t.Sequence[VmItem]) -> None:
    """Let the cluster fail where VMs in its way are not off, and will not be."""
    refused = [each.vm for each in vms if each.error is not None]
    if refused and item.decided.mode is not None and item.steps:
        item.fail(plan.not_restarted(item.cluster, item.decided.mode, refused))


def _set(task: Task[t.Any], item: ClusterItem, vms: t.Sequence[VmItem], evc: t.Any, options: Options) -> None:
    mode, graphics = item.decided.mode, item.decided.graphics_mode
    cycle.mark_all(task)
    _refuse(item, vms)
    if item.error is not None:
        return
    cycle.shut_down(task, vms, options)
    _refuse(item, vms)
    if item.error is None and any(SHUT_DOWN in each.done for each in vms):
        # Another may have been started meanwhile.
        _rows, found = _ask(task, item, evc)
        _block(item, found)
    if mode is not None:
        task.stage(
            SET, lambda _item: apply.start_configure(evc, mode.key, graphics), "clusters have their mode", repeatable=True
        )
    if item.error is not None:
        return
    for each in vms:
        if each.due(APPLY):
            each.done.append(APPLY)
    cycle.start_all(task, vms, options)
    changed = [each for each in vms if each.changed]
    known = read.read_again(task.session, [each.vm.moid for each in changed]) if changed else {}
    for each in changed:
        each.now = known.get(each.vm.moid, each.now)
    cycle.unmark_all(task)


def _ask(task: Task[t.Any], item: ClusterItem, evc: t.Any) -> tuple[t.Mapping[str, Row], tuple[Obstacle, ...]]:
    """Have vCenter check the mode: the VMs and hosts that there are, and what of them is in the way."""
    mode = item.decided.mode
    if mode is None:
        return {}, ()
    found: list[t.Any] = []

    def note(item: ClusterItem, outcome: Outcome) -> None:
        note_failure(item, outcome)
        found.extend(outcome.result or ())

    task.call(
        [item],
        lambda _item: apply.start_check(evc, mode.key, item.decided.graphics_mode),
        "modes checked",
        note,
        repeatable=True,
        results=lambda _item: True,
    )
    rows = item.rows if read.are_known(item.rows, found) else read.read_in_way(task.session, item.cluster)
    return rows, read.obstacles(rows, found, lambda vm: plan.is_within(vm, mode, item.release))


def _block(item: ClusterItem, found: t.Sequence[Obstacle]) -> None:
    """Let the cluster fail where anything stands in the way of its mode."""
    mode = item.decided.mode
    if found and mode is not None:
        item.fail(plan.blocked(item.cluster, mode, item.release, found, plan.common(item.release, item.hosts)))


def _note_left_off(item: ClusterItem, rows: t.Mapping[str, Row]) -> None:
    """Of a cluster with which nothing is to be done, the VMs that a run left off are all that is of
    interest.
    """
    item.interrupted = tuple(vm for vm in read.interrupted(rows) if vm.power_state == "poweredOff")


def _tell_of_interrupted(task: Task[t.Any], item: ClusterItem) -> None:
    """Warn of the VMs that a run has shut down and not brought back, whatever became of the cluster.
    This one starts those that it names, unless it fails before, and what failed of one is in its entry.
    """
    vms = [each for each in task.items if isinstance(each, VmItem)]
    reported = {each.vm.moid for each in vms if POWER_ON in each.done or each.error is not None}
    off = [vm.name for vm in item.interrupted if vm.power_state == "poweredOff" and vm.moid not in reported]
    if off:
        item.warnings.append(
            f"A run that was ended has shut VMs of {item.title} down and not started them again: {names.listing(off)}. "
            "Run evc with vms and power_cycle, or the role evc_baseline."
        )


def _result(task: Task[t.Any], item: ClusterItem, named: Named, options: Options) -> dict[str, t.Any]:
    cluster, decided = item.cluster, item.decided
    done = bool(item.done)
    mode = cluster.mode
    graphics = cluster.graphics_mode
    if done:
        mode = decided.mode.key if decided.mode is not None else None
        graphics = decided.graphics_mode
    best = plan.common(item.release, item.hosts)
    before, after = [_line(cluster, cluster.mode, cluster.graphics_mode)], [_line(cluster, mode, graphics)]
    entry: dict[str, t.Any] = {
        "name": cluster.name,
        "moid": cluster.moid,
        "path": cluster.path,
        "mode": mode,
        "previous_mode": cluster.mode,
        "requested_mode": decided.mode.key if decided.mode is not None else options.mode or None,
        "graphics_mode": graphics,
        "highest_mode": best.key if best is not None else None,
        "hosts": [_host(host) for host in item.hosts],
        "obstacles": [_obstacle(obstacle, item) for obstacle in item.obstacles],
        "interrupted": [vm.as_result() for vm in item.interrupted],
        "actions": item.actions(_ACTIONS),
        "changed": item.changed,
        "seconds": item.seconds,
    }
    if item.error is not None:
        entry["error"] = item.error.as_result()
    result: dict[str, t.Any] = {
        "changed": any(each.changed for each in task.items),
        "cluster": entry,
        "diff": diff(before if done else [], after if done else []),
    }
    if named.vms:
        vms = [each for each in task.items if isinstance(each, VmItem)]
        result["vms"] = [cycle.entry(each, named.release) for each in vms]
    return result


def _host(host: HostCpu) -> dict[str, t.Any]:
    return {"name": host.name, "processor": host.processor.description, "max_mode": host.max_mode}


def _obstacle(obstacle: Obstacle, item: ClusterItem) -> dict[str, t.Any]:
    mode = item.decided.mode
    return {
        "code": obstacle.code,
        "msg": plan.words(obstacle, mode, item.release) if mode is not None else "",
        "hosts": list(obstacle.hosts),
        "vms": [vm.as_result() for vm in obstacle.vms],
        "vms_within_mode": [vm.as_result() for vm in obstacle.within],
        "hosts_without_named_vms": list(obstacle.unnamed),
    }


def _line(cluster: Cluster, mode: str | None, graphics: str | None) -> str:
    return f"{cluster.path}: EVC mode {mode or 'none'}{f', graphics mode {graphics}' if graphics else ''}\n"
