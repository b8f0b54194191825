# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that brings a guest to a stand and, from there on, is what each copy of the guest does. Pure.

A process of the guest stands still in one command, and goes on behind it in each copy.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._errors import InvalidOption
from .guestshell import Shell

# What no script is: the name of a ready-made one, which the action plugin has replaced where it knows it.
_NAME = re.compile(r"[\w-]*")


@dataclasses.dataclass(frozen=True)
class Manner:
    """How guests are brought to a stand, and what that is called.

    :ivar commands: the command by the name of the shell.
    :ivar shown_by: the property of a VM that becomes true when its guest stands still.
    :ivar verb: ``freeze``; the script and its options are called by it, and error codes begin with it.
    :ivar state: ``frozen``.
    """

    commands: t.Mapping[str, str]
    shown_by: str
    verb: str
    state: str

    @property
    def before_option(self) -> str:
        """The option for the script that runs before."""
        return f"before_{self.verb}"

    @property
    def command_option(self) -> str:
        """The option for another command than the usual one."""
        return f"{self.verb}_command"

    @property
    def endings(self) -> dict[int, str]:
        """How the script ends when something fails. In the guest itself it ends at all only then."""
        return {
            70: "a script of on_wake has a mistake in its syntax",
            71: f"the script {self.before_option} failed",
            72: f"the {self.verb} command failed",
            73: "a script of on_wake failed",
        }


@dataclasses.dataclass(frozen=True)
class Scripts:
    """What a guest runs around the command.

    :ivar before: in the guest itself, before it stands still; must end with 0.
    :ivar command: a line of the guest's shell; None for the usual one.
    :ivar wake: in each copy, when it wakes, in this order.
    The texts may hold what others should not read, so they are never in ``repr``.
    """

    before: str | None = dataclasses.field(default=None, repr=False)
    command: str | None = None
    wake: tuple[str, ...] = dataclasses.field(default=(), repr=False)

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any], manner: Manner) -> Scripts:
        """The scripts in a module's parameters.

        :raises InvalidOption: naming the option.
        """
        command = (params.get(manner.command_option) or "").strip()
        if "\n" in command:
            raise InvalidOption(
                f"The option {manner.command_option} has more than one line.",
                hint=f"Put the others into {manner.before_option}.",
                option=manner.command_option,
            )
        wake = tuple(text for text in params.get("on_wake") or () if text and text.strip())
        for text in wake:
            if _NAME.fullmatch(text.strip()):
                raise InvalidOption(
                    f"The option on_wake names {text.strip()!r}, which is no ready-made script.",
                    hint="Use one of cloud_init, networkmanager, netplan, ifcfg and windows, or the text of a script.",
                    option="on_wake",
                )
        return cls(params.get(manner.before_option) or None, command or None, wake)


def files(scripts: Scripts, manner: Manner, shell: Shell, folder: str) -> dict[str, str]:
    """The texts to write into a folder of the guest, by their paths; ``main_path`` is the one to run."""
    before = {shell.path(folder, f"before{shell.suffix}"): scripts.before} if scripts.before else {}
    wake = {shell.path(folder, f"wake-{n}{shell.suffix}"): text for n, text in enumerate(scripts.wake, 1)}
    command = scripts.command or manner.commands[shell.name]
    build = _for_linux if shell.name == "linux" else _for_windows
    main = "\n".join([*build(shell, folder, list(before), list(wake), command), ""])
    texts = {path: _ends_with_newline(text) for path, text in {**before, **wake}.items()}
    return {**texts, main_path(manner, shell, folder): main}


def main_path(manner: Manner, shell: Shell, folder: str) -> str:
    """The path of the script to run."""
    return shell.path(folder, f"{manner.verb}{shell.suffix}")


def log_path(manner: Manner, shell: Shell, folder: str) -> str:
    """The path of the file with its output."""
    return shell.path(folder, f"{manner.verb}.log")


def _for_linux(shell: Shell, folder: str, before: t.Sequence[str], wake: t.Sequence[str], command: str) -> list[str]:
    return [
        "#!/bin/sh",
        "cd /",
        # A mistake in syntax would else show in the copies only, when it is too late.
        *(f"/bin/sh -n {shell.quote(path)} || exit 70" for path in wake),
        *(f"/bin/sh {shell.quote(path)} || exit 71" for path in before),
        f"{command} || exit 72",
        *(f"/bin/sh {shell.quote(path)} || exit 73" for path in wake),
        f"rm -rf {shell.quote(folder)}",
    ]


def _for_windows(shell: Shell, folder: str, before: t.Sequence[str], wake: t.Sequence[str], command: str) -> list[str]:
    program, *options = shell.interpreter
    run = " ".join(["&", *(shell.quote(word) for word in (program, *options))])
    parse = "[void][scriptblock]::Create((Get-Content -Raw -LiteralPath {}))"
    return [
        "Set-Location -LiteralPath $env:SystemRoot",
        *(f"try {{ {parse.format(shell.quote(path))} }} catch {{ $_; exit 70 }}" for path in wake),
        *(f"{run} {shell.quote(path)}; if ($LASTEXITCODE) {{ exit 71 }}" for path in before),
        f"{command}; if ($LASTEXITCODE) {{ exit 72 }}",
        *(f"{run} {shell.quote(path)}; if ($LASTEXITCODE) {{ exit 73 }}" for path in wake),
        f"Remove-Item -Recurse -Force -LiteralPath {shell.quote(folder)}",
    ]


def _ends_with_newline(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"
