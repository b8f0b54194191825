# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task from its options to its result.

Its calls need the privilege Authorization.ModifyRoles, and each privilege that a role gets (API reference,
AuthorizationManager).
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector.props import collect
from .._connector.pyvmomi import vim
from .._engine import Item, Task, diff
from .model import ABSENT, BUILT_IN, CREATE, REMOVE, UPDATE, Options, Role, RoleTaken, steps

if t.TYPE_CHECKING:
    from .._connector.session import Session

_DONE = {CREATE: "created", UPDATE: "updated", REMOVE: "removed"}

_KNOWN: dict[type, tuple[str, ...]] = {vim.AuthorizationManager: ("roleList", "privilegeList")}


@dataclasses.dataclass(kw_only=True)
class RoleItem(Item):
    """The role of the task, called ``wanted``; ``role`` is as it was found.

    :ivar number: its ``roleId``; None where it is not there, or nobody knows it.
    """

    wanted: str
    role: Role | None
    number: int | None = None

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"the role {self.wanted}"

    @property
    def name(self) -> str:
        """Of the role."""
        return self.wanted

    @property
    def had(self) -> frozenset[str]:
        """Privileges that the role had."""
        return self.role.privileges if self.role else frozenset()


def run(session: Session, options: Options, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: the call failed; it holds the whole result.
    """
    roles, privileges = _known(session)
    role = roles.get(options.name)
    item = RoleItem(wanted=options.name, role=role, steps=steps(role, options, privileges))
    item.number = role.number if role else None
    task = Task(session, [item], "roles", deadline=session.deadline(options.timeout), parallel=1, check=check)
    with task.phase("work"), task.accounted():
        _carry_out(task, item, options)
    wanted = frozenset() if options.state == ABSENT else options.privileges
    return task.finish(
        {
            "changed": bool(item.done),
            "name": options.name,
            "role_id": item.number if options.state != ABSENT else None,
            "actions": [_DONE[step] for step in item.done],
            "privileges": sorted(wanted if item.done or not item.steps else item.had),
            "added": sorted(wanted - item.had) if item.done else [],
            "removed": sorted(item.had - wanted) if item.done else [],
            "diff": diff(_lines(item.had), _lines(wanted if item.done else item.had)),
        }
    )


def _known(session: Session) -> tuple[dict[str, Role], frozenset[str]]:
    """What vCenter knows: its roles by name, and the names of all its privileges. One call."""
    (row,) = collect(session, [session.manager("authorizationManager")], _KNOWN)
    roles = {role.name: _role(role) for role in row.get("roleList") or ()}
    # The administrator's role has all privileges (API reference, AuthorizationManager), which helps
    # where the list is empty.
    held = {name for role in roles.values() for name in role.privileges}
    return roles, frozenset({*held, *(each.privId for each in row.get("privilegeList") or ())})


def _role(role: t.Any) -> Role:
    return Role(role.roleId, role.name, frozenset(role.privilege or ()) - BUILT_IN, bool(role.system))


def _carry_out(task: Task[RoleItem], item: RoleItem, options: Options) -> None:
    if task.check:
        item.foresee()
        return
    manager = task.session.manager("authorizationManager")
    privileges = sorted(options.privileges)

    def create(item: RoleItem) -> None:
        item.number = manager.AddAuthorizationRole(options.name, privileges)

    def update(item: RoleItem) -> None:
        manager.UpdateAuthorizationRole(item.number, options.name, privileges)

    def remove(item: RoleItem) -> None:
        # It fails where somebody has the role.
        manager.RemoveAuthorizationRole(item.number, True)

    task.stage(CREATE, create, "roles made", repeatable=True, done_already="AlreadyExists")
    if CREATE in item.done and item.number is None:
        _look_whose_it_is(task.session, item, options)
    task.stage(UPDATE, update, "roles changed", repeatable=True)
    task.stage(REMOVE, remove, "roles removed", repeatable=True, done_already="NotFound")


def _look_whose_it_is(session: Session, item: RoleItem, options: Options) -> None:
    """Look at a role of which vCenter says that it exists already: it may be that of a call of this
    task whose answer was lost, or somebody else's.
    """
    roles, _privileges = _known(session)
    made = roles.get(options.name)
    item.number = made.number if made else None
    if made is None or made.privileges != options.privileges:
        item.done = []
        item.fail(RoleTaken(f"Somebody else made the role {options.name} meanwhile.", hint="Run it again."))


def _lines(privileges: frozenset[str]) -> list[str]:
    return [f"{name}\n" for name in sorted(privileges)]
