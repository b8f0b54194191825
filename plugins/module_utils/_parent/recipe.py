# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that freezes a guest and, from the freeze on, is what each clone does. Pure.

A process of the parent stands still in the freeze command, and goes on behind it in each clone.
"""

from __future__ import annotations

import typing as t

from .._connector.guestshell import Shell
from .options import Scripts

MAIN = "freeze"
LOG = "freeze.log"

_COMMANDS = {
    "linux": 'vmware-rpctool "instantclone.freeze"',
    "windows": "& (Join-Path $env:ProgramFiles 'VMware\\VMware Tools\\rpctool.exe') 'instantclone.freeze'",
}

# How the script ends when something fails. In the parent it ends at all only then.
ENDINGS = {
    70: "a script of on_wake has a mistake in its syntax",
    71: "the script before_freeze failed",
    72: "the freeze command failed",
    73: "a script of on_wake failed",
}


def files(scripts: Scripts, shell: Shell, folder: str) -> dict[str, str]:
    """The texts to write into a folder of the guest, by their paths; ``main_path`` is the one to run."""
    before = {shell.path(folder, f"before{shell.suffix}"): scripts.before} if scripts.before else {}
    wake = {shell.path(folder, f"wake-{n}{shell.suffix}"): text for n, text in enumerate(scripts.wake, 1)}
    command = scripts.freeze or _COMMANDS[shell.name]
    build = _for_linux if shell.name == "linux" else _for_windows
    main = "\n".join([*build(shell, folder, list(before), list(wake), command), ""])
    return {**{path: _ends_with_newline(text) for path, text in {**before, **wake}.items()}, main_path(shell, folder): main}


def main_path(shell: Shell, folder: str) -> str:
    """The path of the script that freezes."""
    return shell.path(folder, f"{MAIN}{shell.suffix}")


def log_path(shell: Shell, folder: str) -> str:
    """The path of the file with its output."""
    return shell.path(folder, LOG)


def _for_linux(shell: Shell, folder: str, before: t.Sequence[str], wake: t.Sequence[str], command: str) -> list[str]:
    return [
        "#!/bin/sh",
        "cd /",
        # A mistake in syntax would else show in the clones only, when it is too late.
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
