# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage that freezes parents, and the item that it works on: the same for instant clones and
for VMFork.

All guests are prepared at once, and one wait sees all of them frozen.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ._engine import Item, Part, Task, note_failure
from ._errors import GuestError, Reason
from ._vsphere import freeze, wake
from ._vsphere.freeze import Found, Freezing, ParentVm
from ._vsphere.guest import GONE, OFF, Guest, taken_away, wait_for_tools
from ._vsphere.vm import reference

if t.TYPE_CHECKING:
    from ._vsphere.guest import GuestCredentials
    from ._vsphere.wake import FreezeMethod, Scripts

P = t.TypeVar("P", bound=ParentVm)


@dataclasses.dataclass(kw_only=True)
class ParentItem(Item, t.Generic[P]):
    """A parent of a task.

    :ivar found: as it was found; ``now`` is the parent as it was last known.
    """

    found: Found[P]
    now: P

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.now.path or self.now.moid

    @property
    def name(self) -> str:
        """Of the VM."""
        return self.now.name

    def become(self, **changes: t.Any) -> None:
        """Note what a step has made of it."""
        self.now = dataclasses.replace(self.now, **changes)


I = t.TypeVar("I", bound=ParentItem[t.Any])  # noqa: E741 (as T, for items)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FreezeStage:
    """What freezes the parents of one task.

    :ivar task: may have other items, too.
    :ivar step: of the parents' plans.
    :ivar credentials: None where the user gave none.
    :ivar timeout: seconds, as the user knows the deadline of the task.
    :ivar makes: what the step makes of a parent, besides that its Tools answer no more.
    """

    task: Task[t.Any]
    step: str
    method: FreezeMethod
    scripts: Scripts
    credentials: GuestCredentials | None
    timeout: int
    makes: t.Mapping[str, t.Any]

    def reachable(self, items: t.Iterable[I]) -> list[tuple[I, Guest]]:
        """The parents to freeze whose guests this user may work in, with their guests.

        The others fail.
        """
        found = []
        for item in items:
            if not item.due(self.step):
                continue
            way = item.found.way
            if isinstance(way, GuestError):
                item.fail(way)
            elif self.credentials is None:
                item.fail(freeze.no_credentials(item.title, self.method))
            else:
                vm = reference(self.task.session, item.now.moid)
                found.append((item, Guest(self.task.session, vm, self.credentials, way)))
        return found

    def check(self, reachable: t.Sequence[tuple[I, Guest]]) -> None:
        """In check mode: make sure that these guests take the credentials.

        A guest whose Tools do not answer yet is one that a real run waits for.

        :param reachable: of ``reachable``, those that a real run would not reset first.
        :raises Reason: why the task ended early.
        """
        for item, _guest in reachable:
            if not item.now.tools_installed:
                item.fail(self._no_tools(item))
            elif not item.now.tools:
                item.warnings.append(
                    f"{item.title}: VMware Tools do not answer in it yet. A real run waits for "
                    "them, until the timeout; "
                    "whether its guest takes the credentials was not checked."
                )
        guests = {item.now.moid: guest for item, guest in reachable}
        ready = [item for item, _guest in reachable if item.error is None and item.now.tools]
        self.task.call(ready, lambda item: guests[item.now.moid].validate(), "parents checked", note_failure)

    def wait_for_tools(self, items: t.Iterable[I]) -> None:
        """Wait until the guests of these parents can be worked in; one without Tools fails at once."""
        waiting = {item.now.moid: item for item in items if item.error is None and not item.now.tools}
        for item in waiting.values():
            if not item.now.tools_installed:
                item.fail(self._no_tools(item))
        left = [item for item in waiting.values() if item.error is None]
        refs = [reference(self.task.session, item.now.moid) for item in left]
        unready = wait_for_tools(self.task.session, refs, self.task.deadline, "guests answer")
        for moid, item in waiting.items():
            if unready.get(moid) in (GONE, OFF):
                item.fail(taken_away(item.title, unready[moid]))
            elif moid in unready:
                item.fail(self._no_tools(item))
            elif item.error is None:
                item.now = dataclasses.replace(item.now, tools=True)

    def run(self, items: t.Sequence[I]) -> None:
        """Freeze the parents that are due; nothing of one that cannot be stays in its guest.

        :raises Reason: why the task ended early; of each parent it is known then whether it is
            frozen.
        """
        self.wait_for_tools([item for item, _guest in self.reachable(items)])
        reachable = self.reachable(items)
        parents = {item.now.moid: item for item, _guest in reachable}
        salt = wake.new_run()
        begun = {item.now.moid: self._freezing(item, guest, salt) for item, guest in reachable}

        def frozen(seen: Freezing) -> None:
            item = parents[seen.moid]
            item.error = None
            item.done.append(self.step)
            item.become(**self.makes, tools=False, record=seen.shown)

        try:
            self.task.call(
                parents.values(),
                lambda item: freeze.begin(begun[item.now.moid], self.scripts, self.method),
                "parents prepared",
                note_failure,
            )
            waiting = [begun[moid] for moid, item in parents.items() if item.error is None]
            freeze.wait(
                self.task.session,
                waiting,
                self.method,
                self.scripts,
                self.task.deadline,
                self.timeout,
                frozen,
            )
        except Reason:
            freeze.clean_up(begun.values(), self.method)
            freeze.settle(self.task.session, begun.values(), self.method, frozen)
            raise
        finally:
            for moid, seen in begun.items():
                parents[moid].error = seen.error or parents[moid].error
            freeze.clean_up(begun.values(), self.method)
            for moid, seen in begun.items():
                if seen.left_behind:
                    parents[moid].parts.append(Part(self.step, "scripts_left"))

    def _freezing(self, item: ParentItem[t.Any], guest: Guest, salt: str) -> Freezing:
        record = freeze.new_record(item.now.instance_uuid, self.scripts, salt)
        return Freezing(item.now.moid, item.now.path, guest, record)

    def _no_tools(self, item: ParentItem[t.Any]) -> GuestError:
        return freeze.no_tools(item.now.path, self.method, installed=item.now.tools_installed)
