# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles of vCenter, what a task is asked to do with one, and what that takes. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._errors import InvalidOption, VforgeError
from .needs import privileges_of

PRESENT, ABSENT = "present", "absent"

# What has to be done; check mode, diff and the real run all use it.
CREATE, UPDATE, REMOVE = "create", "update", "remove"

# Every role of vCenter has these; nobody adds or removes them.
BUILT_IN = frozenset(("System.Anonymous", "System.Read", "System.View"))


class SystemRole(VforgeError):
    """The role is one of vCenter's own, which nobody may change."""

    error_code = "system_role"


class UnknownPrivilege(VforgeError):
    """This vCenter has no privilege of that name; details name all of them."""

    error_code = "unknown_privilege"


class RoleTaken(VforgeError):
    """Somebody else made a role of this name while the task ran."""

    error_code = "duplicate_name"


@dataclasses.dataclass(frozen=True)
class Role:
    """A role as vCenter has it.

    :ivar number: its ``roleId``, which may be 0.
    :ivar privileges: without those that every role has.
    """

    number: int
    name: str
    privileges: frozenset[str]
    system: bool


@dataclasses.dataclass(frozen=True)
class Options:
    """What one task is asked to do.

    :ivar privileges: all that the role is to have.
    :ivar timeout: seconds for all of it.
    """

    name: str
    state: str
    privileges: frozenset[str]
    timeout: int

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Options:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        name = params["name"].strip()
        if not name:
            raise InvalidOption("name is empty.", hint="Name the role.", option="name")
        flows = params.get("flows") or ()
        wanted = {
            *privileges_of(flows, least=params["least"]),
            *(params.get("privileges") or ()),
        } - BUILT_IN
        if params["state"] == PRESENT and not wanted:
            raise InvalidOption(
                "The role would have no privileges.",
                hint="Name flows or privileges.",
                option="flows",
            )
        return cls(name, params["state"], frozenset(wanted), params["timeout"])


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
