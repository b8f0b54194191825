# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who to be in a guest. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._errors import InvalidOption


@dataclasses.dataclass(frozen=True)
class GuestCredentials:
    """A user of a guest, and the password, which is never in ``repr``."""

    username: str
    password: str = dataclasses.field(repr=False)

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> GuestCredentials | None:
        """The credentials in a module's parameters, None where there are none.

        :raises InvalidOption: when there is only one half.
        """
        username, password = params.get("guest_username") or None, params.get("guest_password") or None
        if username is None and password is None:
            return None
        for option, value in (("guest_username", username), ("guest_password", password)):
            if value is None:
                raise InvalidOption(
                    f"The option {option} is not set.", hint="A guest wants both a user and a password.", option=option
                )
        return cls(str(username), str(password))
