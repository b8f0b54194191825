# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done; check mode, diff and the real run all use it. Pure."""

from __future__ import annotations

import typing as t

from .model import ABSENT, Options, Role, SystemRole, UnknownPrivilege

CREATE, UPDATE, REMOVE = "create", "update", "remove"


def steps(role: Role | None, options: Options, known: t.Collection[str]) -> tuple[str, ...]:
    """What brings a role to what is asked.

    :param role: as it is; None where there is none of that name.
    :param known: the names of all privileges of this vCenter.
    :raises SystemRole: it may not be changed.
    :raises UnknownPrivilege: this vCenter does not know what is asked for.
    """
    if role is not None and role.system:
        raise SystemRole(f"{role.name} is a role of vCenter itself.", hint="Take another name.", role=role.name)
    if options.state == ABSENT:
        return () if role is None else (REMOVE,)
    if missing := sorted(options.privileges - set(known)):
        text = f"This vCenter has no privilege {', '.join(missing)}."
        raise UnknownPrivilege(text, hint="Newer releases have more privileges; leave these out.", privileges=missing)
    if role is None:
        return (CREATE,)
    return () if role.privileges == options.privileges else (UPDATE,)
