# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a frozen guest does when a clone of it wakes: its scripts, what they need, and what is
reported of them. Pure.

A process of the guest stops in the command that freezes it, and goes on behind that command in each
clone. There it runs the scripts of ``on_wake`` and reports to vCenter how they went, in single
pairs of guestinfo, which vCenter keeps in the extraConfig of the VM:

- right before a parent freezes, which run freezes it and with which scripts (``FROZEN_KEY``). It is
  written by the script that freezes, so that it says which scripts wait in the frozen guest,
  whoever started them. It is valid only on the VM whose instance UUID it holds, since clones
  inherit it.
- in each clone, how its scripts for waking went (``STATE_KEY``), and where one failed the end of
  its output (``LOG_KEY``). They begin with the token that the clone got from the one who made it
  (``TOKEN_KEY``): what a clone inherited is not taken for its own.

Whoever has root in a guest can write these pairs. They are about that guest alone, nothing of them
reaches a command or another VM, and what does not have their form is not read.

Scripts say what they need in lines of their own, anywhere::

    # vforge: needs nmcli systemctl
    # vforge: needs ssh-keygen where /etc/ssh/ssh_host_*_key
    # vforge: needs /etc/sysconfig/network-scripts

A word is a program (on Windows a command of PowerShell) or, with a slash at its beginning, a file
or folder. What follows ``where`` is a pattern: the line is about guests in which a file fits it.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import hashlib
import re
import secrets
import typing as t

from .._errors import GuestError, InvalidOption, TimedOut
from .._text import printable
from .guest import Shell
from .vm import config_paths

# Only what is safe to be a word of any shell is taken; other lines are comments like any.
_LINE = re.compile(
    r"^[ \t]*#[ \t]*vforge:[ \t]+needs[ \t]+((?:[\w./+-]+[ \t]+)*?[\w./+-]+)"
    r"(?:[ \t]+where[ \t]+([\w./*?+-]+))?[ \t]*\r?$",
    re.MULTILINE | re.ASCII,
)

# What the check prints before the names of what is missing.
MISSING = "missing:"


@dataclasses.dataclass(frozen=True)
class Need:
    """One thing that has to be there.

    :ivar name: a program, or the path of a file or folder.
    :ivar where: a pattern; where no file fits it, it is not needed. Empty for always.
    """

    name: str
    where: str = ""


def declared(scripts: t.Iterable[str]) -> tuple[Need, ...]:
    """What scripts say that they need, each once, in the order of the scripts."""
    found: dict[Need, None] = {}
    for text in scripts:
        for line in _LINE.finditer(text):
            found.update(dict.fromkeys(Need(name, line[2] or "") for name in line[1].split()))
    return tuple(found)


def for_linux(wanted: t.Sequence[Need], code: int) -> list[str]:
    """Lines of a POSIX shell that print what is missing and end with the code."""
    if not wanted:
        return []
    return [
        "missing=''",
        # A pattern that fits nothing stays as it is, and no file has its name.
        'fits() { [ -e "$1" ]; }',
        *(_linux_line(need) for need in wanted),
        f'if [ -n "$missing" ]; then echo "{MISSING}$missing"; exit {code}; fi',
    ]


def _linux_line(need: Need) -> str:
    look = f"[ -e {need.name} ]" if need.name.startswith("/") else f"command -v {need.name} >/dev/null 2>&1"
    where = f"! fits {need.where} || " if need.where else ""
    return f'{where}{look} || missing="$missing {need.name}"'


def for_windows(wanted: t.Sequence[Need], code: int) -> list[str]:
    """The same for PowerShell."""
    if not wanted:
        return []
    return [
        "$missing = @()",
        *(_windows_line(need) for need in wanted),
        f'if ($missing) {{ "{MISSING} $missing"; exit {code} }}',
    ]


def _windows_line(need: Need) -> str:
    where = f"(Test-Path '{need.where}') -and " if need.where else ""
    look = f"Get-Command -ErrorAction SilentlyContinue '{need.name}'"
    return f"if ({where}-not ({look})) {{ $missing += '{need.name}' }}"


def missing_in(output: str, wanted: t.Iterable[Need]) -> list[str]:
    """What the check found missing, from its output: only names that were looked for."""
    lines = [line for line in output.splitlines() if line.startswith(MISSING)]
    reported = set(lines[-1].removeprefix(MISSING).split()) if lines else set()
    return [name for name in dict.fromkeys(need.name for need in wanted) if name in reported]


FROZEN_KEY = "guestinfo.vforge.frozen"
TOKEN_KEY = "guestinfo.vforge.token"  # noqa: S105 (a name, no secret)
STATE_KEY = "guestinfo.vforge.wake"
LOG_KEY = "guestinfo.vforge.wake_log"

# Keys of the collection's own among guestinfo; users set none of them.
OWN_PREFIX = "guestinfo.vforge."

# How a child of VMFork reads what it was given.
FORK_PREFIX = "guestinfo.fork."
FORK_TOKEN_KEY = FORK_PREFIX + "vforge.token"

RUNNING, OK, FAILED = "running", "ok", "failed"

# Bytes of the output of a failed script that a clone reports.
LOG_BYTES = 1024
_LONGEST_LOG = 2 * LOG_BYTES

# What a clone reports, as paths of properties: a pair each, so that not all of its configuration is
# sent.
PATHS = config_paths((TOKEN_KEY, FORK_TOKEN_KEY, STATE_KEY, LOG_KEY))

_ROUNDS = 100_000

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_RECORD = re.compile(rf"({_UUID}) ([0-9a-f]{{16}}) ([0-9]{{1,4}}) ([0-9a-f]{{16}}) ([0-9a-f]{{32}})")
_TOKEN = re.compile(r"[0-9a-f]{16}")
_STATE = re.compile(r"(?:(running)|(?:(ok)|(failed) ([0-9]{1,4}) ([0-9]{1,4})) (same|new|none))")


@dataclasses.dataclass(frozen=True)
class FreezeRecord:
    """Which run froze a VM, and with which scripts.

    :ivar vm: instance UUID of the VM.
    :ivar run: of the task that froze it.
    :ivar wakes: how many scripts its clones run when they wake.
    :ivar salt: of the digest of the scripts.
    """

    vm: str
    run: str
    wakes: int
    salt: str
    digest: str

    def __str__(self) -> str:
        return f"{self.vm} {self.run} {self.wakes} {self.salt} {self.digest}"

    @classmethod
    def parse(cls, value: str, instance_uuid: str) -> FreezeRecord | None:
        """The record that a VM shows, or None where it shows none of its own."""
        found = _RECORD.fullmatch(value.strip())
        if found is None or found[1].lower() != instance_uuid.lower():
            return None
        return cls(found[1], found[2], int(found[3]), found[4], found[5])


@dataclasses.dataclass(frozen=True)
class WakeReport:
    """How the scripts of a clone went.

    :ivar state: ``running``, ``ok`` or ``failed``.
    :ivar script: number of the script that failed, from 1.
    :ivar exit_code: how it ended.
    :ivar parents_keys: whether the clone has the SSH host keys of its parent still.
    :ivar log: the end of the output of the script that failed, fit to be shown.
    """

    state: str
    script: int | None = None
    exit_code: int | None = None
    parents_keys: bool = False
    log: str = ""


def is_own(key: str) -> bool:
    """Whether a key of extraConfig is one of these, which users do not set."""
    return key.casefold().startswith((OWN_PREFIX, FORK_PREFIX + OWN_PREFIX.removeprefix("guestinfo.")))


def new_run() -> str:
    """A name for a run, or a token for a clone: 16 hexadecimal digits that nobody guesses."""
    return secrets.token_hex(8)


@functools.lru_cache(maxsize=128)
def digest(texts: tuple[str, ...], salt: str) -> str:
    """A digest that shows later whether scripts were the same, and does not show what they were.

    It is kept where others can read it, and scripts may hold a password that is easily guessed, so
    it is made slowly (PBKDF2, which also works where FIPS forbids others). Blanks at the end of a
    text make no difference.
    """
    total = "\0".join(text.replace("\r\n", "\n").rstrip() for text in texts).encode()
    return hashlib.pbkdf2_hmac("sha256", total, salt.encode(), _ROUNDS).hex()[:32]


def token_of(config: t.Mapping[str, str]) -> str:
    """The token that a clone was given; empty where it was given none."""
    value = config.get(TOKEN_KEY) or config.get(FORK_TOKEN_KEY) or ""
    return value if _TOKEN.fullmatch(value) else ""


def report_of(config: t.Mapping[str, str]) -> WakeReport | None:
    """What a clone reports, from pairs of its extraConfig; None where it has reported nothing yet."""
    token = token_of(config)
    own, _blank, rest = config.get(STATE_KEY, "").strip().partition(" ")
    found = _STATE.fullmatch(rest)
    if not token or own != token or found is None:
        return None
    return WakeReport(
        state=found[1] or found[2] or found[3],
        script=int(found[4]) if found[4] else None,
        exit_code=int(found[5]) if found[5] else None,
        parents_keys=found[6] == "same",
        log=_log(config.get(LOG_KEY, ""), token) if found[3] else "",
    )


def failure(name: str, report: WakeReport) -> GuestError:
    """The error for a clone in which a script has failed; the last line of its output says why."""
    last = report.log.splitlines()[-1] if report.log else "it reported no output"
    keys = " It has the SSH host keys of its parent still." if report.parents_keys else ""
    return GuestError(
        "wake_failed",
        f"{name} is there, but script {report.script} of on_wake failed in it with exit code "
        f"{report.exit_code} "
        f"({last}).{keys}",
        hint="It may have the name and addresses of its parent, too: remove it. Then mend what the "
        "clone was given, or mend "
        "the script and freeze the parent with it (allow_reset), and run again.",
        script=report.script,
        exit_code=report.exit_code,
        output=report.log,
    )


class WakeTimedOut(TimedOut):
    """The script that wakes a clone did not end in time."""

    error_code = "wake_timeout"


def lateness(name: str, state: str | None, timeout: int) -> TimedOut:
    """The error for a clone that has not reported the end of its scripts.

    ``state`` is what it reported last.
    """
    how = "is still running" if state == RUNNING else "has not reported that it began"
    return WakeTimedOut(
        f"{name} is there, but after {timeout} s its script for waking {how}.",
        hint="Look in its guest, by its console: in the folder of temporary files "
        "vforge-*/wake.log. Raise timeout where "
        "the scripts take longer, or do not wait for them (wait_for_wake).",
    )


def keys_warning(which: str) -> str:
    """The warning for clones whose scripts went well and left the parent's SSH host keys."""
    return (
        f"{which}: the SSH host keys are still those of the parent. Have a script of on_wake make "
        "new ones "
        "(the ready-made scripts do; cloud-init needs an instance-id of each clone's own)."
    )


def _log(value: str, token: str) -> str:
    own, _blank, encoded = value.strip().partition(" ")
    if own != token or len(encoded) > _LONGEST_LOG:
        return ""
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return printable(data.decode(errors="replace"), LOG_BYTES).strip()


# The ready-made scripts, which the action plugin has replaced by their texts where it knows a name.
READY_MADE = ("cloud_init", "networkmanager", "netplan", "ifcfg", "windows")

# What no script for waking is: one word, which is a name.
_WORD = re.compile(r"[\w-]*")

# What is a path and no script: one line without blanks that begins as a path, is nothing but names
# and separators, or ends as the name of a file does.
_PATH = re.compile(
    r"(?:/|\.{1,2}[/\\]|~|[A-Za-z]:[/\\])\S*"
    r"|[\w.~-]+(?:[/\\][\w.~-]+)+"
    r"|\S*\.(?:sh|bash|ps1|bat|cmd|py|pl|j2|txt|ya?ml)"
)

# How much two words have in common when one is the other, misspelt.
_NEAR = 0.75

# Of the output of the script that runs before, what is fetched where it fails: bytes, or on Windows
# lines.
OUTPUT_BYTES = 64 * 1024
_OUTPUT_LINES = 400

# How the script ends when something fails before the guest is frozen.
SYNTAX, BEFORE, COMMAND, WAKE, NEEDS, NO_ANSWER = 70, 71, 72, 73, 74, 75


@dataclasses.dataclass(frozen=True)
class FreezeMethod:
    """One of the two ways to freeze guests: instant clone's, or VMFork's, which quiesces them.

    :ivar commands: the command by the name of the shell.
    :ivar shown_by: the property of a VM that becomes true when its guest is frozen.
    :ivar verb: ``freeze``; the script and its options are called by it, and error codes begin with
        it.
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
            NO_ANSWER: "the guest could not report to vCenter which scripts it is frozen with",
        }


@dataclasses.dataclass(frozen=True)
class Scripts:
    """What a guest runs around the command.

    :ivar before: in the guest itself, before it is frozen; must end with 0.
    :ivar command: a line of the guest's shell; None for the usual one.
    :ivar wake: in each clone, when it wakes, in this order.
    :ivar tell_output: whether a clone in which one fails reports the end of its output.
    The texts may hold what others should not read, so they are never in ``repr``.
    """

    before: str | None = dataclasses.field(default=None, repr=False)
    command: str | None = None
    wake: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    tell_output: bool = True

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any], method: FreezeMethod) -> Scripts:
        """The scripts in a module's parameters.

        :raises InvalidOption: naming the option.
        """
        command = (params.get(method.command_option) or "").strip()
        if "\n" in command:
            raise InvalidOption(
                f"The option {method.command_option} has more than one line.",
                hint=f"Put the others into {method.before_option}.",
                option=method.command_option,
            )
        before = params.get(method.before_option) or None
        if before:
            refuse_no_script(before.strip(), method.before_option)
        wake = tuple(text for text in params.get("on_wake") or () if text and text.strip())
        for text in wake:
            refuse_no_script(text.strip(), "on_wake")
        tell = params.get("wake_output")
        return cls(before, command or None, wake, True if tell is None else tell)

    def digest(self, salt: str) -> str:
        """The digest of all that decides what a frozen guest does, in ``FreezeRecord``."""
        return digest((self.before or "", self.command or "", *self.wake), salt)

    @property
    def needs(self) -> tuple[Need, ...]:
        """What the scripts for waking say that they need in the guest."""
        return declared(self.wake)

    def __bool__(self) -> bool:
        return bool(self.before or self.command or self.wake)


def refuse_no_script(text: str, option: str) -> None:
    """A path, or a name, is not run as a script: in a clone, where nobody sees it fail.

    :raises InvalidOption: saying how a file is given, and which ready-made scripts there are.
    """
    names = ", ".join(READY_MADE[:-1]) + " and " + READY_MADE[-1]
    if _PATH.fullmatch(text):
        raise InvalidOption(
            f"The option {option} has a path, {_short(text)}, where the text of a script belongs.",
            hint="Give the text of a file on the controller by lookup('ansible.builtin.file', "
            "'path'), or run a file "
            "that is in the guest by a line such as: sh /path/in/the/guest."
            + (f" The ready-made scripts for on_wake are {names}." if option == "on_wake" else ""),
            option=option,
        )
    import difflib

    near = difflib.get_close_matches(text.lower().replace("-", "_"), READY_MADE, 1, _NEAR)
    if option != "on_wake" and not near:
        return
    if _WORD.fullmatch(text) or (near and not re.search(r"\s", text)):
        meant = f" Did you mean {near[0]}?" if near and option == "on_wake" else ""
        raise InvalidOption(
            f"The option {option} names {_short(text)}, which is no ready-made script.{meant}",
            hint=f"Ready-made scripts, for on_wake alone, are {names}. Anything else is the text "
            "of a script: "
            "that of a file comes by lookup('ansible.builtin.file', 'path').",
            option=option,
        )


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def files(scripts: Scripts, method: FreezeMethod, shell: Shell, folder: str, record: FreezeRecord) -> dict[str, str]:
    """The texts to write into a folder of the guest, by their paths.

    ``main_path`` is the one to run.

    :param record: what the guest reports right before it freezes.
    """
    before = {shell.path(folder, f"before{shell.suffix}"): scripts.before} if scripts.before else {}
    wake = {shell.path(folder, f"wake-{n}{shell.suffix}"): text for n, text in enumerate(scripts.wake, 1)}
    parts = _Parts(
        folder=folder,
        before=tuple(before),
        wake=tuple(wake),
        own=main_path(method, shell, folder),
        command=scripts.command or method.commands[shell.name],
        needs=scripts.needs,
        record=str(record),
        tell_output=scripts.tell_output,
    )
    lines = _for_linux(shell, parts) if shell.name == "linux" else _for_windows(shell, parts)
    texts = {path: _ends_with_newline(text) for path, text in {**before, **wake}.items()}
    return {**texts, main_path(method, shell, folder): "\n".join([*lines, ""])}


def main_path(method: FreezeMethod, shell: Shell, folder: str) -> str:
    """The path of the script to run."""
    return shell.path(folder, f"{method.verb}{shell.suffix}")


def log_path(method: FreezeMethod, shell: Shell, folder: str) -> str:
    """The path of the file with its output."""
    return shell.path(folder, f"{method.verb}.log")


@dataclasses.dataclass(frozen=True)
class _Parts:
    """What the script is made of: paths in the guest, and what is run between them."""

    folder: str
    before: tuple[str, ...]
    wake: tuple[str, ...]
    own: str
    command: str
    needs: tuple[Need, ...]
    record: str
    tell_output: bool


# Functions of the script. The key and the value have no blanks of their own, so they are one
# argument.
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
        tell {STATE_KEY} "$token $1"
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
        # A mistake in syntax would else show in the clones only, when it is too late.
        *(f"/bin/sh -n {q(path)} || exit {SYNTAX}" for path in parts.wake),
        # Of its output the end is enough, however much there is: that goes to whoever started this.
        *(f"/bin/sh {q(path)} > {said} 2>&1 || {{ tail -c {OUTPUT_BYTES} {said}; exit {BEFORE}; }}" for path in parts.before),
        *([f"rm -f {said}"] if parts.before else []),
        *for_linux(parts.needs, NEEDS),
        "parents_keys=$(host_keys)",
        f"tell {FROZEN_KEY} {q(parts.record)} || exit {NO_ANSWER}",
        f"{parts.command} || exit {COMMAND}",
    ]
    # From here on it is a clone that runs this.
    wake = [
        f"token=$(ask {TOKEN_KEY} || ask {FORK_TOKEN_KEY}) || token=''",
        "case $token in *[!0-9a-f]*) token='' ;; esac",
        f"say {RUNNING}",
        *(f"/bin/sh {q(path)} > {log} 2>&1 || failed {n} $?" for n, path in enumerate(parts.wake, 1)),
        f'say "{OK} $(compared)"',
    ]
    return [*head, *(wake if parts.wake else []), f"rm -rf {q(parts.folder)}"]


def _tell_log(log: str) -> str:
    encoded = f"$(tail -c {LOG_BYTES} {log} | base64 | tr -d '\\n')"
    return f"""\
    output={encoded}
    if [ -n "$token" ] && [ -n "$output" ]; then
        tell {LOG_KEY} "$token $output"
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
function Say([string] $What) {{ if ($token) {{ Tell '{STATE_KEY}' "$token $What" }} }}
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
    $from = [Math]::Max(0, $bytes.Length - {LOG_BYTES})
    $output = [Convert]::ToBase64String($bytes, $from, $bytes.Length - $from)
    if ($token -and $text) {{ Tell '{LOG_KEY}' "$token $output" }}"""
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
        *for_windows(parts.needs, NEEDS),
        "$parentsKeys = Get-HostKeys",
        f"Tell '{FROZEN_KEY}' {q(parts.record)}; if ($LASTEXITCODE) {{ exit {NO_ANSWER} }}",
        f"{parts.command}; if ($LASTEXITCODE) {{ exit {COMMAND} }}",
    ]
    wake = [
        f"$token = Ask '{TOKEN_KEY}'",
        f"if (-not $token) {{ $token = Ask '{FORK_TOKEN_KEY}' }}",
        "if ($token -cnotmatch '^[0-9a-f]+$') { $token = '' }",
        f"Say '{RUNNING}'",
        *(
            f"{run} {q(path)} *> {log}; if ($LASTEXITCODE) {{ Stop-Failed {n} $LASTEXITCODE }}"
            for n, path in enumerate(parts.wake, 1)
        ),
        f'Say "{OK} $(Compare-HostKeys)"',
    ]
    end = f"Remove-Item -Recurse -Force -LiteralPath {q(parts.folder)}"
    return [*head, *(wake if parts.wake else []), end]


def _ends_with_newline(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"
