# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that change something.

They need the privilege Authorization.ModifyRoles, and each privilege that a role gets (API reference,
AuthorizationManager).
"""

from __future__ import annotations

import typing as t

from .model import Options, Role

if t.TYPE_CHECKING:
    from .._connector.session import Session


def create(session: Session, options: Options) -> int:
    """``AddAuthorizationRole``; returns the ``roleId``."""
    manager = session.manager("authorizationManager")
    return t.cast("int", manager.AddAuthorizationRole(options.name, sorted(options.privileges)))


def update(session: Session, role: Role, options: Options) -> None:
    """``UpdateAuthorizationRole``."""
    session.manager("authorizationManager").UpdateAuthorizationRole(role.number, role.name, sorted(options.privileges))


def remove(session: Session, role: Role) -> None:
    """``RemoveAuthorizationRole``; it fails where somebody has the role."""
    session.manager("authorizationManager").RemoveAuthorizationRole(role.number, True)
