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

from ._connector.pyvmomi import vim
from ._engine import Item, Task, note_failure
from ._errors import GuestError, Reason
from ._vsphere import freeze, wake
from ._vsphere.freeze import Found, Freezing, ParentVm
from ._vsphere.guest import Guest, wait_for_tools

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
    :ivar credentials: None only where no plan has the step.
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

    def reachable(self, items: t.Iterable[I]) -> list[I]:
        """The parents to freeze whose guests vCenter lets this user into; the others fail."""
        due = [item for item in items if item.due(self.step)]
        for item in due:
            if item.found.no_access is not None:
                item.fail(item.found.no_access)
        return [item for item in due if item.error is None]

    def check(self, items: t.Sequence[I]) -> None:
        """In check mode: make sure that these guests take the credentials.

        A guest whose Tools do not answer yet is one that a real run waits for.

        :raises Reason: why the task ended early.
        """
        for item in items:
            if not item.now.tools_installed:
                item.fail(self._no_tools(item))
            elif not item.now.tools:
                item.warnings.append(
                    f"{item.title}: VMware Tools do not answer in it yet. A real run waits for them, until the timeout; "
                    "whether its guest takes the credentials was not checked."
                )
        ready = [item for item in items if item.error is None and item.now.tools]
        self.task.call(ready, lambda item: self._guest(item).validate(), "parents checked", note_failure)

    def wait_for_tools(self, items: t.Iterable[I]) -> None:
        """Wait until the guests of these parents can be worked in; one without Tools fails at once."""
        waiting = {item.now.moid: item for item in items if item.error is None and not item.now.tools}
        for item in waiting.values():
            if not item.now.tools_installed:
                item.fail(self._no_tools(item))
        refs = [self._vm(item) for item in waiting.values() if item.error is None]
        late = wait_for_tools(self.task.session, refs, self.task.deadline, "guests answer")
        for moid, item in waiting.items():
            if moid in late:
                item.fail(self._no_tools(item))
            elif item.error is None:
                item.now = dataclasses.replace(item.now, tools=True)

    def run(self, items: t.Sequence[I]) -> None:
        """Freeze the parents that are due; nothing of one that cannot be stays in its guest.

        :raises Reason: why the task ended early; of each parent it is known then whether it is
            frozen.
        """
        self.wait_for_tools(self.reachable(items))
        parents = {item.now.moid: item for item in self.reachable(items)}
        salt = wake.new_run()
        begun = {moid: self._freezing(item, salt) for moid, item in parents.items()}

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

    def _freezing(self, item: ParentItem[t.Any], salt: str) -> Freezing:
        record = freeze.new_record(item.now.instance_uuid, self.scripts, salt)
        return Freezing(item.now.moid, item.now.path, self._guest(item), record)

    def _guest(self, item: ParentItem[t.Any]) -> Guest:
        if self.credentials is None or item.found.access is None:
            raise ValueError(f"{self.step} was planned without a way into the guest")
        return Guest(self.task.session, self._vm(item), self.credentials, item.found.access)

    def _vm(self, item: ParentItem[t.Any]) -> t.Any:
        return self.task.session.reference(vim.VirtualMachine, item.now.moid)

    def _no_tools(self, item: ParentItem[t.Any]) -> GuestError:
        return freeze.no_tools(item.now.path, self.method, installed=item.now.tools_installed)
