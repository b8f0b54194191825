# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of a guest. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector.find import Selector
from .._errors import InvalidOption
from .._vsphere.guest import GuestCredentials


def _is_path(text: str) -> bool:
    """Whether a text may be the path of a program, of Linux or of Windows; vSphere wants a whole one
    (API reference, GuestProgramSpec).
    """
    return text.startswith("/") or "\\" in text or text[1:3] == ":/"


@dataclasses.dataclass(frozen=True)
class CheckOptions:
    """What a guest is asked.

    :ivar command: a program and its arguments; empty to wait for Tools alone.
    :ivar exit_codes: of a command that succeeded.
    :ivar timeout: seconds for all of it.
    """

    selector: Selector
    datacenter: str | None
    credentials: GuestCredentials | None
    command: tuple[str, ...]
    exit_codes: tuple[int, ...]
    timeout: int

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> CheckOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        command = tuple(params.get("command") or ())
        credentials = GuestCredentials.from_params(params)
        if command and not _is_path(command[0]):
            raise InvalidOption(
                f"command begins with {command[0]!r}, which is no path of a program in the guest.",
                hint="Write it as a list: the path of the program, then each of its arguments, as in "
                "[/usr/bin/systemctl, is-active, postgresql]. For a shell's line, [/bin/sh, -c, LINE].",
                option="command",
            )
        if command and credentials is None:
            raise InvalidOption(
                "command is set, and nobody who runs it in the guest.",
                hint="Set guest_username and guest_password.",
                option="guest_username",
            )
        return cls(
            selector=Selector.from_params(params["vm"], "vm"),
            datacenter=params.get("datacenter"),
            credentials=credentials if command else None,
            command=command,
            exit_codes=tuple(params["exit_codes"]),
            timeout=params["timeout"],
        )
