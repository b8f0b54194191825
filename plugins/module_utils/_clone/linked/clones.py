# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What linked and full clones have of their own."""

from __future__ import annotations

import dataclasses
import typing as t

from ..._connector.batch import Work, run_batch
from ..._connector.find import find_vm
from ..._errors import Fault, InvalidOption, Reason
from ..._vsphere import deltas
from ..._vsphere.markers import CUSTOMIZED_KEY, MARKER_KEY, TEMPLATE_KEY, level_mark, marker
from .. import api as shared_api
from .. import flow, report
from .. import plan as shared_plan
from ..facts import Existing, Parent
from ..job import Job, Standing, by_title
from ..lookup import read_parents
from ..plan import Step
from ..request import CloneRequest
from ..survey import Item, Survey, look_up
from . import api, levels, lookup, plan
from .facts import Source
from .options import LinkedOptions

if t.TYPE_CHECKING:
    from ..._connector.session import Session


def run(session: Session, options: LinkedOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for; see ``flow.run``."""
    return flow.run(session, options, check=check, kind=LinkedClones(options))


class LinkedClones:
    """Clones of a VM, a snapshot or a template, whose disks share its layers or copy them; see ``kind.Kind``."""

    source = "source"
    sources = ""

    def __init__(self, options: LinkedOptions) -> None:
        self.options = options
        self.born = "poweredOn" if all(request.powered_on for request in options.requests) else ""
        self._snapshot = ""
        self._layering = ""
        self._used: dict[str, dict[str, str]] = {}
        self._views: dict[tuple[str | None, str], Source] = {}

    def require(self, session: Session) -> None:
        """Every release that pyVmomi speaks to can clone."""

    def survey(self, session: Session) -> Survey:
        """Look everything up, in at most nine calls whatever the number of clones and VMs."""
        parent: Parent | None = None
        if self.options.parent is not None:
            ref = find_vm(session, self.options.parent, self.options.datacenter)
            [parent] = read_parents(session, [(ref, str(self.options.parent))])
            parent = dataclasses.replace(parent, role="source", shares_memory=False)
            if self.options.state == "present":
                parent = self._look_around(session, ref, parent)
        found = look_up(session, self.options.requests, parent)
        if self.options.state == "absent":
            self._look_for_users(session, found)
        return found

    def _look_for_users(self, session: Session, found: Survey) -> None:
        """Which VMs use the disks of those that are to go; most have no layer that anybody else could use."""
        doomed = [item.existing.moid for item in found.items if item.existing and item.existing.kind == "VirtualMachine"]
        suspects = deltas.with_layers(session, doomed) if doomed else []
        self._used = deltas.users(session, suspects)
        for using in self._used.values():
            for moid in doomed:
                using.pop(moid, None)

    def _look_around(self, session: Session, ref: t.Any, parent: Parent) -> Source:
        source = lookup.read_source(session, ref, parent)
        self._snapshot = plan.find_snapshot(source, self.options.snapshot)
        computes = lookup.read_compute(session, source.datacenter)
        chosen = {_key(request): plan.choose_host(request, source, computes) for request in self.options.requests}
        sights = lookup.read_sights(session, {host.moid for _compute, host, _send in chosen.values()})
        self._views = {key: plan.around(source, where, sights[where[1].moid]) for key, where in chosen.items()}
        return source

    def step(self, item: Item, folders: dict[str, tuple[str, str]]) -> Step:
        """What brings a clone to what is asked."""
        if self.options.state == "published":
            return plan.published(item.request, item.existing, _given(item))
        view = self._views[_key(item.request)]
        placement = plan.place(item.request, view, folders)
        version = plan.made_of(item.existing, view, self.options.other_versions)
        return plan.of_version(plan.present(item.request, placement, item.existing, version, self.options), view)

    def absent(self, item: Item) -> Step:
        """What removes a clone."""
        used = self._used.get(item.existing.moid, {}) if item.existing else {}
        version = plan.made_of(item.existing, item.parent, self.options.other_versions) if item.parent else None
        return plan.absent(item.request, item.existing, version, used.values(), force=self.options.force)

    def check(self, steps: t.Sequence[Step]) -> None:
        """The source once, and what each request asks of its own."""
        for step in steps:
            if step.kind == shared_plan.CREATE and plan.needs_layer(_source(step), self.options, self._snapshot):
                self._layering = step.source.moid
            if self.options.wait_for_ip:
                shared_plan.check_ip_nic(step.source, self.options.ip_nic)
            shared_plan.check_customization(step.request, step.source)

    def prepare(self, job: Job) -> None:
        """Put a layer on the source's disks, where there is none to share."""
        if not self._layering:
            return
        devices = api.read_devices(job.session, [self._layering])
        work = Work("the source", lambda: api.start_layering(job.session, self._layering, devices[self._layering], {}))
        outcome = run_batch(job.session, [work], 1, job.deadline, "layers added").outcomes["the source"]
        if outcome.error is not None:
            raise outcome.error
        job.timer.lap("layer")

    def work(self, job: Job, title: str, step: Step) -> Work:
        """``CloneVM_Task``, or a reconfiguration."""
        session = job.session
        if step.existing is not None:
            return Work(title, lambda: shared_api.start_update(session, step), repeatable=True)
        spec = self._spec(session, step)
        # A name can be taken only once in a folder: a call that is sent twice cannot make two clones.
        return Work(title, lambda: api.start_clone(session, step, spec), repeatable=True)

    def question(self, job: Job, title: str, step: Step) -> Work:
        """``CheckClone_Task``."""
        session, spec = job.session, self._spec(job.session, step)
        return Work(title, lambda: api.start_check(session, step, spec), repeatable=True)

    def _spec(self, session: Session, step: Step) -> object:
        config = {**step.config, MARKER_KEY: marker(step.source.instance_uuid, step.name)}
        if step.request.customization is not None:
            config[CUSTOMIZED_KEY] = step.name
        if self.options.as_template:
            config[TEMPLATE_KEY] = level_mark(step.name, levels.OPEN, self.options.owner)
        how = plan.disk_source(self.options.disk_mode, self._snapshot)
        return api.clone_spec(session, step, config, how, self._snapshot, power_on=step.request.powered_on)

    def finish(self, job: Job, standings: t.Sequence[Standing]) -> Reason | None:
        """Power on the clones that were there and off; publish templates, or wait for those that other runs fill."""
        if self.options.state == "published":
            return levels.publish(job, standings)
        if self.options.as_template:
            return levels.wait_until_published(job, standings, self.options.owner)
        due = {
            title: item for title, item in by_title(standings).items() if item.step.power_on and item.error is None and item.vm
        }
        works = [Work(title, _powering(job.session, item), repeatable=True) for title, item in due.items()]
        if not works:
            return None
        done = run_batch(job.session, works, job.options.parallel, job.deadline, "clones powered on")
        for title, outcome in done.outcomes.items():
            due[title].calls += outcome.calls
            if isinstance(outcome.error, Fault) and outcome.error.fault == "InvalidPowerState":
                continue  # another run was faster
            if outcome.error is not None:
                due[title].fail(outcome.error)
            else:
                due[title].changed = True
        job.timer.lap("power_on")
        return done.stopped

    def expected(self, step: Step) -> Existing:
        """On the host that was chosen, if one was."""
        return plan.expected(step)

    def told(self, parent: Parent) -> dict[str, t.Any]:
        """The source, what of it is cloned, and how."""
        return {
            **report.parent(parent),
            "template": parent.template,
            "snapshot": self._snapshot or None,
            "disk_mode": self.options.disk_mode,
        }


def _key(request: CloneRequest) -> tuple[str | None, str]:
    """What no two requests of a task share."""
    return request.folder, request.name


def _given(item: Item) -> Parent:
    if item.parent is None:
        raise InvalidOption("The option source is not set.", option="source")
    return item.parent


def _source(step: Step) -> Source:
    if not isinstance(step.source, Source):
        raise InvalidOption(f"clone {step.name!r}: the option source is not set.", option="source")
    return step.source


def _powering(session: Session, standing: Standing) -> t.Callable[[], t.Any]:
    moid = standing.vm.moid if standing.vm else ""
    return lambda: api.start_power_on(session, moid)
