# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What instant clones have of their own."""

from __future__ import annotations

import typing as t

from .._connector.batch import Work
from .._connector.find import find_vms
from .._connector.versions import require_instant_clones
from .._errors import InvalidOption, Reason
from .._vsphere.markers import MARKER_KEY, marker
from .._vsphere.wake import TOKEN_KEY, new_run
from . import api, lookup, plan, report
from .customizing import customize
from .facts import Existing, Parent
from .job import Job, Standing
from .options import CloneOptions
from .plan import Step
from .survey import Item, Survey, look_up

if t.TYPE_CHECKING:
    from .._connector.session import Session


class InstantClones:
    """Clones that go on from the memory of a running parent; see ``kind.Kind``."""

    source = "parent"
    sources = "parents"
    born = "poweredOn"

    def __init__(self, options: CloneOptions) -> None:
        self.options = options

    def require(self, session: Session) -> None:
        """Instant clones came with API 6.7, customizing their guests with 6.8.7."""
        require_instant_clones(session)
        if self.options.state == "present" and any(request.customization for request in self.options.requests):
            api.require_customization(session)

    def survey(self, session: Session) -> Survey:
        """Look everything up, in at most six calls whatever the number of parents, clones and VMs."""
        selectors = self.options.parents
        refs = find_vms(session, selectors, self.options.datacenter)
        named = [(ref, str(selector)) for ref, selector in zip(refs, selectors, strict=True)]
        parents = dict(zip(selectors, lookup.read_parents(session, named), strict=True))
        common = parents[self.options.parent] if self.options.parent else None
        return look_up(session, self.options.requests, common, parents)

    def step(self, item: Item, folders: dict[str, tuple[str, str]]) -> Step:
        """What brings a clone to what is asked."""
        if item.parent is None:
            raise InvalidOption("The option parent is not set.", option="parent")
        return plan.present(item.request, plan.place(item.request, item.parent, folders), item.existing, item.parent)

    def absent(self, item: Item) -> Step:
        """What removes a clone."""
        return plan.absent(item.request, item.existing, item.parent, self.options.force)

    def check(self, steps: t.Sequence[Step]) -> None:
        """Each parent once, and what each request asks of its own."""
        for parent in {step.source.moid: step.source for step in steps if step.kind == plan.CREATE}.values():
            plan.check_parent(parent)
        for parent in {step.source.moid: step.source for step in steps if self.options.wait_for_ip}.values():
            plan.check_ip_nic(parent, self.options.ip_nic)
        for step in steps:
            plan.check_customization(step.request, step.source)

    def prepare(self, job: Job) -> None:
        """A parent is cloned as it is."""

    def work(self, job: Job, title: str, step: Step) -> Work:
        """``InstantClone_Task``, or a reconfiguration."""
        session = job.session
        if step.existing is not None:
            return Work(title, lambda: api.start_update(session, step), repeatable=True)
        spec = _spec(job, step)
        # A name can be taken only once in a folder: a call that is sent twice cannot make two clones.
        return Work(title, lambda: api.start_clone(session, step.source.moid, spec), repeatable=True)

    def question(self, job: Job, title: str, step: Step) -> Work:
        """``CheckInstantClone_Task``."""
        session, spec = job.session, _spec(job, step)
        return Work(title, lambda: api.start_check(session, step.source.moid, spec), repeatable=True)

    def finish(self, job: Job, standings: t.Sequence[Standing]) -> Reason | None:
        """Customize the guests."""
        return customize(job, standings)

    def expected(self, step: Step) -> Existing:
        """It runs beside its parent."""
        return plan.expected(step)

    def told(self, parent: Parent) -> dict[str, t.Any]:
        """The parent, and whether it is frozen."""
        return {**report.parent(parent), "frozen": parent.frozen}


def _spec(job: Job, step: Step) -> object:
    place = step.target
    config = {**step.config, MARKER_KEY: marker(step.source.instance_uuid, step.name)}
    if step.source.wake_scripts:
        # What the clone tells counts only with this token: its parent may have been a clone, too.
        config[TOKEN_KEY] = new_run()
    return api.clone_spec(job.session, step.name, config, place, step.request.bios_uuid)
