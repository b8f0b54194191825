# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs that were killed have left in a guest: scripts that go on, and folders with scripts in them.

A script that goes on would freeze the guest with the scripts of that run. A folder would be copied into each
clone, with the secrets that scripts hold. Both are known by the names that this collection alone gives.
"""

from __future__ import annotations

import re
import time

from .._errors import GuestError
from .guest import PREFIX, Guest

# A script of ours in a command line, in a folder of ours; its number tells in which order they are ended.
_SCRIPT = re.compile(rf"[/\\]{PREFIX}[\w.-]+[/\\](?:(?P<main>freeze|quiesce)|before|wake-\d+)\.(?:sh|ps1)\b")

# How long a program may take to end that was terminated.
_SECONDS_TO_END = 20.0


def clear(guest: Guest, own: str) -> list[str]:
    """End and remove what earlier runs of this user have left.

    A script that goes on has its folder, which is removed only when the script has ended: where there is no folder, nothing
    is asked of the guest but that.

    :param own: the folder of this run, which stays; it tells where to look, and whose files are ours.
    :returns: the paths of what was there.
    :raises GuestError: ``guest_script_left`` when a script cannot be ended; the guest must not be frozen beside it.
    """
    separator = guest.shell.separator
    place, _separator, name = own.rstrip(separator).rpartition(separator)
    entries = guest.entries(place or separator, re.escape(PREFIX) + ".*")
    owners = {entry.owner for entry in entries if entry.name == name}
    left = [entry for entry in entries if entry.name != name and entry.name.startswith(PREFIX) and entry.owner in owners]
    if left:
        _end_scripts(guest)
    paths = {guest.shell.path(place, entry.name): entry.kind for entry in left}
    for path, kind in paths.items():
        if kind == "directory":
            guest.remove_directory(path)
        else:
            guest.remove_file(path)
    return list(paths)


def _end_scripts(guest: Guest) -> None:
    """End the scripts of earlier runs, those first that would go on to freeze the guest.

    :raises GuestError: ``guest_script_left`` when one cannot be ended; the guest must not be frozen beside it.
    """
    found = [(process, _SCRIPT.search(process.command)) for process in guest.processes()]
    ours = [(match["main"] is None, process) for process, match in found if match is not None]
    deadline = time.monotonic() + _SECONDS_TO_END
    for _second, process in sorted(ours, key=lambda item: item[0]):
        if not guest.end(process.pid, "a script of an earlier run", deadline):
            raise GuestError(
                "guest_script_left",
                f"A script of an earlier run goes on in {guest.access.name} (process {process.pid}), and cannot be ended.",
                hint="End it in the guest: it could freeze the guest with the scripts of that run.",
            )
