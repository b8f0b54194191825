# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mode of a cluster."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._engine import Item, Task, diff, note_failure
from . import apply, plan, read
from .model import HIGHEST, PRESENT, ActiveVm, Cluster, HostCpu, Obstacle, Options, Release
from .plan import DISABLE, SET, ClusterPlan

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.props import Row
    from .._connector.session import Session
    from .._vsphere.processors import Mode

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


def run(session: Session, options: Options, *, check: bool) -> dict[str, t.Any]:
    """Bring a cluster to the mode that is asked for; parameters and errors as for ``task.run``."""
    deadline = session.deadline(options.timeout)
    task: Task[ClusterItem] = Task(session, [], "clusters", deadline=deadline, parallel=1, check=check)
    with task.phase("lookup"):
        item = _item(session, options)
        task.items = [item]
    with task.phase("work"), task.accounted():
        _carry_out(task, item, options)
    return task.finish(_result(item, options), subject=item)


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


def _carry_out(task: Task[ClusterItem], item: ClusterItem, options: Options) -> None:
    if not item.steps:
        return
    if task.check and options.state != PRESENT:  # EVC may be ended at any time (API reference)
        item.done = list(item.steps)
        return
    evc = apply.manager(task.session, item.cluster.moid)
    if options.state != PRESENT:
        task.stage(DISABLE, lambda _item: apply.start_disable(evc), "clusters without EVC", repeatable=True)
        return
    mode, graphics = item.decided.mode, item.decided.graphics_mode
    if mode is None:
        return
    _ask(task, item, evc, mode)
    if item.error is not None:
        return
    if task.check:
        item.done = list(item.steps)
        return
    task.stage(SET, lambda _item: apply.start_configure(evc, mode.key, graphics), "clusters have their mode", repeatable=True)


def _ask(task: Task[ClusterItem], item: ClusterItem, evc: t.Any, mode: Mode) -> None:
    """Have vCenter check the mode; what it finds in the way is the item's error."""
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
    )
    rows = item.rows if read.are_known(item.rows, found) else read.read_in_way(task.session, item.cluster)
    _note_interrupted(item, read.interrupted(rows))
    item.obstacles = read.obstacles(rows, found, lambda vm: plan.is_within(vm, mode, item.release))
    if item.obstacles:
        item.fail(plan.blocked(item.cluster, mode, item.release, item.obstacles, plan.common(item.release, item.hosts)))


def _note_left_off(item: ClusterItem, rows: t.Mapping[str, Row]) -> None:
    """Of a cluster with which nothing is to be done, the VMs that a run left off
    are all that is of interest.
    """
    _note_interrupted(item, [vm for vm in read.interrupted(rows) if vm.power_state == "poweredOff"])


def _note_interrupted(item: ClusterItem, found: t.Sequence[ActiveVm]) -> None:
    """Tell of the VMs that a run has shut down and not brought back, whatever
    is to be done with the cluster.
    """
    item.interrupted = tuple(found)
    off = [vm.name for vm in found if vm.power_state == "poweredOff"]
    if off:
        item.warnings.append(
            f"A run that was ended has shut VMs of {item.title} down and not started them again: {names.listing(off)}. "
            "Run evc with vms and power_cycle, or the role evc_baseline."
        )


def _result(item: ClusterItem, options: Options) -> dict[str, t.Any]:
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
    return {"changed": item.changed, "cluster": entry, "diff": diff(before if done else [], after if done else [])}


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
