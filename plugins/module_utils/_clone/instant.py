# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instant clones: they go on from the memory of a running parent."""

from __future__ import annotations

import collections
import typing as t

from .._connector.find import find_some
from .._connector.versions import require_instant_clones
from .._engine import Task
from .._errors import Fault, InvalidOption, VforgeError
from .._vsphere import disks
from .._vsphere.wake import TOKEN_KEY, new_run
from . import apply, guests, plan, read, report, task
from .model import ABSENT, PRESENT, Existing, InstantOptions, Parent
from .plan import Create, Plan, Refuse
from .read import Wanted
from .task import CloneItem, Found

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session


def run(session: Session, options: InstantOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for; see ``task.run``."""
    return task.run(InstantClones(session, options), check=check)


class InstantClones(task.Way[InstantOptions]):
    """Clones that go on from the memory of a running parent."""

    source = "parent"
    sources = "parents"

    @property
    def born(self) -> str:
        """An instant clone runs from its first moment."""
        return "poweredOn"

    def require(self) -> None:
        """Instant clones came with API 6.7, customizing their guests with 6.8.7."""
        require_instant_clones(self.session)
        customizes = any(request.customization for request in self.options.requests)
        if self.options.state == PRESENT and customizes:
            read.require_customization(self.session)
        super().require()

    def read(self) -> Found:
        """Look everything up, in at most six calls whatever the number of parents, clones and VMs;
        for clones that are to go, one more where none has a disk that others could use.
        """
        known = self._read_parents()
        asked = []
        for request in self.options.requests:
            selector = request.parent or self.options.parent
            parent = known[selector] if selector else None
            if isinstance(parent, VforgeError):
                asked.append(Wanted(request, None, parent))
            else:
                asked.append(Wanted(request, parent))
        parents = {each.moid: each for each in known.values() if isinstance(each, Parent)}
        wanted = read.read_wanted(self.session, asked)
        if self.options.state == ABSENT:
            self.look_for_users(wanted)
        return Found(tuple(parents.values()), tuple(wanted))

    def _read_parents(self) -> dict[Selector, Parent | VforgeError]:
        """The parents by what names them; in the place of one that is not there, why it is not.

        :raises VforgeError: that of the task is not there, and no clone has need of it.
        """
        selectors = self.options.parents
        refs = find_some(self.session, selectors, self.options.datacenter)
        known = dict(zip(selectors, refs, strict=True))
        named = [(each, ref) for each, ref in known.items() if not isinstance(ref, VforgeError)]
        found = read.read_parents(self.session, [(ref, str(each)) for each, ref in named], Parent)
        known.update(zip((each for each, _ref in named), found, strict=True))
        own = self.options.parent
        is_used = own is not None and any(not request.parent for request in self.options.requests)
        if own is not None and not is_used and isinstance(known[own], VforgeError):
            raise known[own]
        return known

    def plan(self, wanted: Wanted) -> Plan:
        """What brings a clone to what is asked."""
        request, parent = wanted.request, wanted.parent
        if parent is None:
            raise InvalidOption("The option parent is not set.", option="parent")
        place = plan.place(request, parent, wanted.folders)
        planned = plan.present(request, place, wanted.existing, parent)
        if isinstance(planned, Create):
            plan.check_parent(parent)
        if self.options.wait_for_ip:
            plan.check_ip_nic(parent, self.options.ip_nic)
        plan.check_customization(request, parent)
        return planned

    def absent(self, wanted: Wanted) -> Plan:
        """What removes a clone."""
        existing = wanted.existing
        return plan.absent(
            wanted.request,
            existing,
            wanted.parent,
            self.users_of(existing),
            force=self.options.force,
        )

    def look_over(self, plans: t.Sequence[Plan]) -> tuple[Plan, ...]:
        """Refuse the clones of a parent whose disks would get too deep, and warn where that is
        near.
        """
        missing = [each for each in plans if isinstance(each, Create)]
        parents = {each.parent.moid: each.parent for each in missing}
        counts = collections.Counter(each.parent.moid for each in missing)
        refusals = {}
        for moid, parent in parents.items():
            refusals[moid] = plan.too_deep(parent, counts[moid])
            warning = plan.deep_warning(parent, counts[moid])
            if warning and refusals[moid] is None:
                self.session.warn(warning)
        return tuple(_refused(each, refusals) for each in plans)

    def start(self, planned: Create) -> t.Any:
        """``InstantClone_Task``."""
        spec = self._spec(planned)
        return apply.start_instant_clone(self.session, planned.parent.moid, spec)

    def ask(self, planned: Create) -> t.Any:
        """``CheckInstantClone_Task``."""
        spec = self._spec(planned)
        return apply.start_instant_check(self.session, planned.parent.moid, spec)

    def _spec(self, planned: Create) -> t.Any:
        config = {**planned.written, **self.marks(planned)}
        if planned.parent.wake_scripts:
            # What the clone reports counts only with this token: its parent may have been a clone,
            # too.
            config[TOKEN_KEY] = new_run()
        return apply.instant_spec(self.session, planned, config)

    def explained(self, error: VforgeError, planned: Plan) -> VforgeError:
        """A chain of delta disks that is too long is no fault of its own.

        What cures it is said where it may be that.
        """
        may_be = isinstance(error, Fault) and error.fault in ("SystemError", "GenericVmConfigFault")
        parent = planned.parent
        if may_be and parent is not None and parent.delta_levels + len(self.options.requests) > 100:
            error.hint = (
                f"A chain of more than {disks.MOST_LEVELS} delta disks ends so, too. "
                f"{disks.remedy(parent.disks, frozen=parent.frozen)}"
            )
        return error

    def finish(self, task: Task[CloneItem]) -> None:
        """Customize the guests."""
        if self.options.credentials is not None:
            guests.customize(task, self.options, self.options.credentials)

    def expected(self, planned: Create) -> Existing:
        """It runs beside its parent."""
        return plan.expected(planned)

    def entry(self, parent: Parent) -> dict[str, t.Any]:
        """The parent, whether it is frozen, and how deep its disks are."""
        return {
            **report.source(parent),
            "frozen": parent.frozen,
            "delta_levels": parent.delta_levels,
        }


def _refused(planned: Plan, refusals: t.Mapping[str, InvalidOption | None]) -> Plan:
    if not isinstance(planned, Create):
        return planned
    error = refusals[planned.parent.moid]
    if error is None:
        return planned
    return Refuse(request=planned.request, parent=planned.parent, place=planned.place, error=error)
