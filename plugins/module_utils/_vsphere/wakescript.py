# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The script that freezes a guest and, from there on, is what each copy of the guest does. Pure.

A process of the guest stops in one command, and goes on behind it in each copy. There it runs the
scripts of ``on_wake`` and tells vCenter how they went: see ``wakestate``.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing as t

from .._errors import InvalidOption
from . import needs, wakestate
from .guestshell import Shell

# The ready-made scripts, which the action plugin has replaced by their texts where it knows a name.
READY_MADE = ("cloud_init", "networkmanager", "netplan", "ifcfg", "windows")

# What no script for waking is: one word, which is a name.
_WORD = re.compile(r"[\w-]*")

# What is a path and no script: one line without blanks that begins as a path, is nothing but names and
# separators, or ends as the name of a file does.
_PATH = re.compile(
    r"(?:/|\.{1,2}[/\\]|~|[A-Za-z]:[/\\])\S*"
    r"|[\w.~-]+(?:[/\\][\w.~-]+)+"
    r"|\S*\.(?:sh|bash|ps1|bat|cmd|py|pl|j2|txt|ya?ml)"
)

# How much two words have in common when one is the other, misspelt.
_NEAR = 0.75

# Of the output of the script that runs before, what is fetched where it fails: bytes, or on Windows lines.
OUTPUT_BYTES = 64 * 1024
_OUTPUT_LINES = 400

# How the script ends when something fails before the guest is frozen.
SYNTAX, BEFORE, COMMAND, WAKE, NEEDS, NO_ANSWER = 70, 71, 72, 73, 74, 75


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
            SYNTAX: "a script of on_wake has a mistake in its syntax",
            BEFORE: f"the script {self.before_option} failed",
            COMMAND: f"the {self.verb} command failed",
            WAKE: "a script of on_wake failed",
            NEEDS: "programs that the scripts of on_wake need are missing in the guest",
            NO_ANSWER: "the guest could not tell vCenter which scripts it is frozen with",
        }


@dataclasses.dataclass(frozen=True)
class Scripts:
    """What a guest runs around the command.

    :ivar before: in the guest itself, before it stands still; must end with 0.
    :ivar command: a line of the guest's shell; None for the usual one.
    :ivar wake: in each copy, when it wakes, in this order.
    :ivar tell_output: whether a copy in which one fails tells the end of its output.
    The texts may hold what others should not read, so they are never in ``repr``.
    """

    before: str | None = dataclasses.field(default=None, repr=False)
    command: str | None = None
    wake: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    tell_output: bool = True

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
        before = params.get(manner.before_option) or None
        if before:
            _refuse_no_script(before.strip(), manner.before_option)
        wake = tuple(text for text in params.get("on_wake") or () if text and text.strip())
        for text in wake:
            _refuse_no_script(text.strip(), "on_wake")
        tell = params.get("wake_output")
        return cls(before, command or None, wake, True if tell is None else tell)

    def digest(self, salt: str) -> str:
        """The digest of all that decides what a frozen guest does, in ``wakestate.FreezeRecord``."""
        return wakestate.digest((self.before or "", self.command or "", *self.wake), salt)

    @property
    def needs(self) -> tuple[needs.Need, ...]:
        """What the scripts for waking say that they need in the guest."""
        return needs.declared(self.wake)

    def __bool__(self) -> bool:
        return bool(self.before or self.command or self.wake)


def _refuse_no_script(text: str, option: str) -> None:
    """A path, or a name, is not run as a script: in a clone, where nobody sees it fail.

    :raises InvalidOption: saying how a file is given, and which ready-made scripts there are.
    """
    names = ", ".join(READY_MADE[:-1]) + " and " + READY_MADE[-1]
    if _PATH.fullmatch(text):
        raise InvalidOption(
            f"The option {option} has a path, {_short(text)}, where the text of a script belongs.",
            hint="Give the text of a file on the controller by lookup('ansible.builtin.file', 'path'), or run a file "
            "that is in the guest by a line such as: sh /path/in/the/guest. "
            f"The ready-made scripts for on_wake are {names}.",
            option=option,
        )
    near = difflib.get_close_matches(text.lower().replace("-", "_"), READY_MADE, 1, _NEAR)
    if option != "on_wake" and not near:
        return
    if _WORD.fullmatch(text) or (near and not re.search(r"\s", text)):
        meant = f" Did you mean {near[0]}?" if near and option == "on_wake" else ""
        raise InvalidOption(
            f"The option {option} names {_short(text)}, which is no ready-made script.{meant}",
            hint=f"Ready-made scripts, for on_wake alone, are {names}. Anything else is the text of a script: "
            "that of a file comes by lookup('ansible.builtin.file', 'path').",
            option=option,
        )


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def files(scripts: Scripts, manner: Manner, shell: Shell, folder: str, record: wakestate.FreezeRecord) -> dict[str, str]:
    """The texts to write into a folder of the guest, by their paths; ``main_path`` is the one to run.

    :param record: what the guest tells of itself right before it freezes.
    """
    before = {shell.path(folder, f"before{shell.suffix}"): scripts.before} if scripts.before else {}
    wake = {shell.path(folder, f"wake-{n}{shell.suffix}"): text for n, text in enumerate(scripts.wake, 1)}
    parts = _Parts(
        folder=folder,
        before=tuple(before),
        wake=tuple(wake),
        own=main_path(manner, shell, folder),
        command=scripts.command or manner.commands[shell.name],
        needs=scripts.needs,
        record=str(record),
        tell_output=scripts.tell_output,
    )
    lines = _for_linux(shell, parts) if shell.name == "linux" else _for_windows(shell, parts)
    texts = {path: _ends_with_newline(text) for path, text in {**before, **wake}.items()}
    return {**texts, main_path(manner, shell, folder): "\n".join([*lines, ""])}


def main_path(manner: Manner, shell: Shell, folder: str) -> str:
    """The path of the script to run."""
    return shell.path(folder, f"{manner.verb}{shell.suffix}")


def log_path(manner: Manner, shell: Shell, folder: str) -> str:
    """The path of the file with its output."""
    return shell.path(folder, f"{manner.verb}.log")


@dataclasses.dataclass(frozen=True)
class _Parts:
    """What the script is made of: paths in the guest, and what is run between them."""

    folder: str
    before: tuple[str, ...]
    wake: tuple[str, ...]
    own: str
    command: str
    needs: tuple[needs.Need, ...]
    record: str
    tell_output: bool


# Functions of the script. The key and the value have no blanks of their own, so they are one argument.
_LINUX_FUNCTIONS = f"""\
ask() {{
    vmware-rpctool "info-get $1" 2>/dev/null || vmtoolsd --cmd "info-get $1" 2>/dev/null
}}
tell() {{
    vmware-rpctool "info-set $1 $2" >/dev/null 2>&1 || vmtoolsd --cmd "info-set $1 $2" >/dev/null 2>&1
}}
host_keys() {{
    cat /etc/ssh/ssh_host_*_key.pub 2>/dev/null
}}
compared() {{
    now=$(host_keys)
    if [ -z "$now" ]; then
        echo none
    elif [ "$now" = "$parents_keys" ]; then
        echo same
    else
        echo new
    fi
}}
say() {{
    if [ -n "$token" ]; then
        tell {wakestate.STATE_KEY} "$token $1"
    fi
}}
failed() {{
    say_output
    say "failed $1 $2 $(compared)"
    exit {WAKE}
}}"""


def _for_linux(shell: Shell, parts: _Parts) -> list[str]:
    q = shell.quote
    log, said = (q(shell.path(parts.folder, name)) for name in ("wake.log", "before.log"))
    every = " ".join(q(path) for path in (*parts.before, *parts.wake, parts.own))
    head = [
        "#!/bin/sh",
        "cd /",
        _LINUX_FUNCTIONS,
        "say_output() {",
        # The scripts may hold secrets; what stays in a clone in which one failed is their output.
        f"    rm -f {every}",
        *([_tell_log(log)] if parts.tell_output and parts.wake else []),
        "}",
        # A mistake in syntax would else show in the copies only, when it is too late.
        *(f"/bin/sh -n {q(path)} || exit {SYNTAX}" for path in parts.wake),
        # Of its output the end is enough, however much there is: that goes to whoever started this.
        *(f"/bin/sh {q(path)} > {said} 2>&1 || {{ tail -c {OUTPUT_BYTES} {said}; exit {BEFORE}; }}" for path in parts.before),
        *([f"rm -f {said}"] if parts.before else []),
        *needs.for_linux(parts.needs, NEEDS),
        "parents_keys=$(host_keys)",
        f"tell {wakestate.FROZEN_KEY} {q(parts.record)} || exit {NO_ANSWER}",
        f"{parts.command} || exit {COMMAND}",
    ]
    # From here on it is a copy that runs this.
    wake = [
        f"token=$(ask {wakestate.TOKEN_KEY} || ask {wakestate.FORK_TOKEN_KEY}) || token=''",
        "case $token in *[!0-9a-f]*) token='' ;; esac",
        f"say {wakestate.RUNNING}",
        *(f"/bin/sh {q(path)} > {log} 2>&1 || failed {n} $?" for n, path in enumerate(parts.wake, 1)),
        f'say "{wakestate.OK} $(compared)"',
    ]
    return [*head, *(wake if parts.wake else []), f"rm -rf {q(parts.folder)}"]


def _tell_log(log: str) -> str:
    encoded = f"$(tail -c {wakestate.LOG_BYTES} {log} | base64 | tr -d '\\n')"
    return f"""\
    output={encoded}
    if [ -n "$token" ] && [ -n "$output" ]; then
        tell {wakestate.LOG_KEY} "$token $output"
    fi"""


_WINDOWS_FUNCTIONS = f"""\
$rpctool = Join-Path $env:ProgramFiles 'VMware\\VMware Tools\\rpctool.exe'
function Ask([string] $Key) {{
    $value = & $rpctool "info-get $Key" 2>$null
    if ($LASTEXITCODE -eq 0) {{ "$value".Trim() }} else {{ '' }}
}}
function Tell([string] $Key, [string] $Value) {{ & $rpctool "info-set $Key $Value" *>$null }}
function Get-HostKeys {{
    $files = Join-Path $env:ProgramData 'ssh\\ssh_host_*_key.pub'
    "$(Get-Content -Path $files -ErrorAction SilentlyContinue)"
}}
function Compare-HostKeys {{
    $now = Get-HostKeys
    if (-not $now) {{ 'none' }} elseif ($now -eq $parentsKeys) {{ 'same' }} else {{ 'new' }}
}}
function Say([string] $What) {{ if ($token) {{ Tell '{wakestate.STATE_KEY}' "$token $What" }} }}
function Stop-Failed([int] $Number, [int] $Code) {{
    Say-Output
    Say "failed $Number $([Math]::Abs($Code) % 10000) $(Compare-HostKeys)"
    exit {WAKE}
}}"""


def _for_windows(shell: Shell, parts: _Parts) -> list[str]:
    q = shell.quote
    program, *options = shell.interpreter
    run = " ".join(["&", *(q(word) for word in (program, *options))])
    parse = "[void][scriptblock]::Create((Get-Content -Raw -LiteralPath {}))"
    log, said = (q(shell.path(parts.folder, name)) for name in ("wake.log", "before.log"))
    every = ", ".join(q(path) for path in (*parts.before, *parts.wake, parts.own))
    tell_log = f"""\
    $text = "$(Get-Content -Raw -LiteralPath {log} -ErrorAction SilentlyContinue)"
    $bytes = [Text.Encoding]::UTF8.GetBytes($text)
    $from = [Math]::Max(0, $bytes.Length - {wakestate.LOG_BYTES})
    $output = [Convert]::ToBase64String($bytes, $from, $bytes.Length - $from)
    if ($token -and $text) {{ Tell '{wakestate.LOG_KEY}' "$token $output" }}"""
    head = [
        "Set-Location -LiteralPath $env:SystemRoot",
        _WINDOWS_FUNCTIONS,
        "function Say-Output {",
        f"    Remove-Item -Force -ErrorAction SilentlyContinue -LiteralPath {every}",
        *([tell_log] if parts.tell_output and parts.wake else []),
        "}",
        *(f"try {{ {parse.format(q(path))} }} catch {{ $_; exit {SYNTAX} }}" for path in parts.wake),
        *(
            f"{run} {q(path)} *> {said}; "
            f"if ($LASTEXITCODE) {{ Get-Content -Tail {_OUTPUT_LINES} -LiteralPath {said}; exit {BEFORE} }}"
            for path in parts.before
        ),
        *([f"Remove-Item -Force -LiteralPath {said}"] if parts.before else []),
        *needs.for_windows(parts.needs, NEEDS),
        "$parentsKeys = Get-HostKeys",
        f"Tell '{wakestate.FROZEN_KEY}' {q(parts.record)}; if ($LASTEXITCODE) {{ exit {NO_ANSWER} }}",
        f"{parts.command}; if ($LASTEXITCODE) {{ exit {COMMAND} }}",
    ]
    wake = [
        f"$token = Ask '{wakestate.TOKEN_KEY}'",
        f"if (-not $token) {{ $token = Ask '{wakestate.FORK_TOKEN_KEY}' }}",
        "if ($token -cnotmatch '^[0-9a-f]+$') { $token = '' }",
        f"Say '{wakestate.RUNNING}'",
        *(
            f"{run} {q(path)} *> {log}; if ($LASTEXITCODE) {{ Stop-Failed {n} $LASTEXITCODE }}"
            for n, path in enumerate(parts.wake, 1)
        ),
        f'Say "{wakestate.OK} $(Compare-HostKeys)"',
    ]
    end = f"Remove-Item -Recurse -Force -LiteralPath {q(parts.folder)}"
    return [*head, *(wake if parts.wake else []), end]


def _ends_with_newline(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"
