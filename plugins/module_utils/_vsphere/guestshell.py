# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How programs and scripts are started in the two families of guests. Pure.

On Linux, Tools hand the arguments of a program to a shell, so output can be sent to a file; on Windows it takes ``cmd /c``
(API reference, ``GuestProgramSpec.arguments``).
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import typing as t

# PowerShell takes typographic single quotation marks for the plain one.
_QUOTES = re.compile("['\u2018\u2019\u201a\u201b]")

_CMD = r"C:\Windows\System32\cmd.exe"
_POWERSHELL = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe"


@dataclasses.dataclass(frozen=True)
class Shell:
    """A family of guests.

    :ivar name: ``linux`` or ``windows``.
    :ivar interpreter: program that runs scripts, and its arguments before the script's path.
    :ivar suffix: of script files.
    :ivar separator: between the parts of a path.
    """

    name: str
    interpreter: tuple[str, ...]
    suffix: str
    separator: str

    def command(self, program: str, arguments: t.Sequence[str], output: str) -> tuple[str, str]:
        """Program path and argument line that run a program with all of its output in a file."""
        if self.name == "linux":
            return program, f"{shlex.join(arguments)} > {shlex.quote(output)} 2>&1".lstrip()
        line = " ".join(_for_windows(word) for word in (program, *arguments))
        # With /s, cmd takes off the outer quotation marks and no others.
        return _CMD, f'/d /s /c "{line} > {_for_windows(output)} 2>&1"'

    def quote(self, word: str) -> str:
        """A word as a script of this shell can hold it."""
        if self.name == "linux":
            return shlex.quote(word)
        return "'" + _QUOTES.sub(r"\g<0>\g<0>", word) + "'"

    def path(self, folder: str, name: str) -> str:
        """The path of a file in a folder."""
        return f"{folder.rstrip(self.separator)}{self.separator}{name}"


LINUX = Shell("linux", ("/bin/sh",), ".sh", "/")
WINDOWS = Shell(
    "windows",
    (_POWERSHELL, "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File"),
    ".ps1",
    "\\",
)


def shell_of(family: str | None, guest_id: str | None) -> Shell:
    """The shell of a guest.

    :param family: ``guest.guestFamily``, which Tools report (``windowsGuest``); None while they do not run.
    :param guest_id: ``config.guestId``, which was chosen when the VM was made (``windows2019srv_64Guest``).
    """
    if family:
        return WINDOWS if family == "windowsGuest" else LINUX
    return WINDOWS if (guest_id or "").startswith("win") else LINUX


def _for_windows(word: str) -> str:
    """Always in quotation marks, for cmd's own signs; backslashes before a mark are doubled (CommandLineToArgvW)."""
    inner = re.sub(r'(\\*)"', r"\1\1\\" + '"', word)
    return '"' + re.sub(r"(\\+)$", r"\1\1", inner) + '"'
