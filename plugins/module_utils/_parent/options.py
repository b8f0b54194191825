# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of an instant clone parent task, checked and typed. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._connector.credentials import GuestCredentials
from .._connector.find import Selector
from .._errors import InvalidOption

FROZEN, RUNNING = "frozen", "running"

# What no script is: the name of a ready-made one, which the action plugin has replaced where it knows it.
_NAME = re.compile(r"[\w-]*")


@dataclasses.dataclass(frozen=True)
class Scripts:
    """What the guest runs around the freeze.

    :ivar before: in the parent, before it freezes; must end with 0.
    :ivar freeze: the command that freezes, a line of the guest's shell; None for the usual one.
    :ivar wake: in each clone, when it wakes, in this order.
    The texts may hold what others should not read, so they are never in ``repr``.
    """

    before: str | None = dataclasses.field(default=None, repr=False)
    freeze: str | None = None
    wake: tuple[str, ...] = dataclasses.field(default=(), repr=False)


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
            scripts=_scripts(params),
            allow_reset=params["allow_reset"],
            collapse=params["collapse_deltas"],
            timeout=params["timeout"],
        )


def selectors(params: t.Mapping[str, t.Any]) -> tuple[Selector, ...]:
    """The VMs that a module's parameters name: ``parent``, or the list ``parents``.

    :raises InvalidOption: when neither is given, or both, or one of them names no VM.
    """
    listed = params.get("parents")
    if bool(params.get("parent")) == (listed is not None):
        raise InvalidOption("Set either parent, for one VM, or parents, for a list of them.", option="parent")
    if listed is None:
        return (Selector.from_params(params["parent"], "parent"),)
    return tuple(Selector.from_params(item, "parents") for item in listed)


def _scripts(params: t.Mapping[str, t.Any]) -> Scripts:
    freeze = (params.get("freeze_command") or "").strip()
    if "\n" in freeze:
        raise InvalidOption(
            "The option freeze_command has more than one line.",
            hint="Put the others into before_freeze.",
            option="freeze_command",
        )
    wake = tuple(text for text in params.get("on_wake") or () if text and text.strip())
    for text in wake:
        if _NAME.fullmatch(text.strip()):
            raise InvalidOption(
                f"The option on_wake names {text.strip()!r}, which is no ready-made script.",
                hint="Use one of cloud_init, networkmanager, netplan, ifcfg and windows, or the text of a script.",
                option="on_wake",
            )
    return Scripts(params.get("before_freeze") or None, freeze or None, wake)
