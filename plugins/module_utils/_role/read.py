# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter in one call."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector.props import collect
from .._connector.pyvmomi import vim
from .model import BUILT_IN, Role

if t.TYPE_CHECKING:
    from .._connector.session import Session

_WANTED: dict[type, tuple[str, ...]] = {vim.AuthorizationManager: ("roleList", "privilegeList")}


@dataclasses.dataclass(frozen=True)
class Known:
    """What vCenter knows: its roles by name, and the names of all its privileges."""

    roles: dict[str, Role]
    privileges: frozenset[str]


def read(session: Session) -> Known:
    """All roles and privileges."""
    (row,) = collect(session, [session.manager("authorizationManager")], _WANTED)
    roles = {role.name: _role(role) for role in row.get("roleList") or ()}
    # The administrator's role has all privileges (API reference, AuthorizationManager), which helps
    # where the list is empty.
    held = {name for role in roles.values() for name in role.privileges}
    return Known(roles, frozenset({*held, *(each.privId for each in row.get("privilegeList") or ())}))


def _role(role: t.Any) -> Role:
    return Role(role.roleId, role.name, frozenset(role.privilege or ()) - BUILT_IN, bool(role.system))
