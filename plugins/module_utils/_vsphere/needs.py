# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What scripts for waking need in the guest, and the lines that look for it before it is frozen. Pure.

A script says it in lines of its own, anywhere::

    # vforge: needs nmcli systemctl
    # vforge: needs ssh-keygen where /etc/ssh/ssh_host_*_key
    # vforge: needs /etc/sysconfig/network-scripts

A word is a program (on Windows a command of PowerShell) or, with a slash at its beginning, a file or
folder. What stands behind ``where`` is a pattern: only where a file fits it is the line meant.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

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
    :ivar where: a pattern; where no file fits it, the need does not count. Empty for always.
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
    told = set(lines[-1].removeprefix(MISSING).split()) if lines else set()
    return [name for name in dict.fromkeys(need.name for need in wanted) if name in told]
