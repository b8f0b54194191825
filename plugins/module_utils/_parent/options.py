# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of an instant clone parent task, checked and typed. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector.find import Selector, selectors
from .._errors import InvalidOption
from .._vsphere.credentials import GuestCredentials
from .._vsphere.wakescript import Manner, Scripts

FROZEN, RUNNING = "frozen", "running"

MANNER = Manner(
    commands={
        "linux": 'vmware-rpctool "instantclone.freeze"',
        "windows": "& (Join-Path $env:ProgramFiles 'VMware\\VMware Tools\\rpctool.exe') 'instantclone.freeze'",
    },
    shown_by="runtime.instantCloneFrozen",
    verb="freeze",
    state="frozen",
)


@dataclasses.dataclass(frozen=True)
class ParentOptions:
    """What one task is asked to do.

    :ivar selectors: of the parents.
    :ivar credentials: None only where nothing is done in a guest.
    :ivar timeout: seconds for all of the work after the lookup.
    """

    state: str
    selectors: tuple[Selector, ...]
    datacenter: str | None
    credentials: GuestCredentials | None
    scripts: Scripts
    allow_reset: bool
    collapse: bool
    timeout: int

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> ParentOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        if params["timeout"] < 1:
            raise InvalidOption("The option timeout must be at least 1.", option="timeout")
        credentials = GuestCredentials.from_params(params)
        if params["state"] == FROZEN and credentials is None:
            raise InvalidOption(
                "The option guest_username is not set.",
                hint="Freezing runs a command in the guest: set guest_username and guest_password.",
                option="guest_username",
            )
        return cls(
            state=params["state"],
            selectors=selectors(params),
            datacenter=params.get("datacenter"),
            credentials=credentials,
            scripts=Scripts.from_params(params, MANNER),
            allow_reset=params["allow_reset"],
            collapse=params["collapse_deltas"],
            timeout=params["timeout"],
        )
