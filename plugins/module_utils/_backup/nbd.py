# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The NBD server of the option ``nbd``: whether it can serve, and what its command has to know."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import typing as t

from .._connector import certificate
from .._programs import vddk_reason

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .._vsphere.disks import Disk
    from .options import NbdServer, Vm

_VDDK = "vddk"
# Behind the descriptors that a program which is activated by systemd finds something at.
_FIRST_FREE = 10


def reason(server: NbdServer | None) -> str:
    """Why a server cannot serve any disk; empty where nothing speaks against it.

    It takes a moment where it is nbdkit's plugin for VDDK, which is asked.
    """
    if server is None:
        return "the option nbd is not set"
    if not server.command:
        return ""
    program = shutil.which(server.command[0])
    if program is None:
        return f"the program {server.command[0]} is missing where the module runs"
    if _VDDK in server.command[1:]:
        return vddk_reason(program, server.libdir or _libdir(server.command))
    return ""


def values(
    session: Session, server: NbdServer, vm: Vm, snapshot: str, disk: Disk, thumbprints: t.Mapping[str, str]
) -> dict[str, str]:
    """What the placeholders of a server stand for, all but the password's file.

    :param thumbprints: of the vCenter; empty where no placeholder asks for one.
    """
    return {
        "vm": vm.moid,
        "snapshot": snapshot,
        "file": disk.file,
        "key": str(disk.key),
        "server": session.options.hostname,
        "user": session.options.username,
        "thumbprint": thumbprints.get(certificate.SHA256, ""),
        "thumbprint_sha1": thumbprints.get(certificate.SHA1, ""),
        "libdir": server.libdir,
    }


def wants_thumbprint(server: NbdServer) -> bool:
    """Whether a server has to know the vCenter's certificate."""
    return bool(server.placeholders & {"thumbprint", "thumbprint_sha1"})


@contextlib.contextmanager
def secret(text: str) -> t.Iterator[int]:
    """A descriptor from which a program that inherits it reads a text, as often as it opens ``/dev/fd/N``.

    It is memory, and has no name: nothing of it is left on a disk, however this ends.
    """
    memory = os.memfd_create("password")
    try:
        # Where the first socket of a program is, and its standard streams, it would be in the way.
        moved = fcntl.fcntl(memory, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    finally:
        os.close(memory)
    try:
        os.write(moved, text.encode())
        yield moved
    finally:
        os.close(moved)


def _libdir(command: t.Sequence[str]) -> str:
    found = [word.removeprefix("libdir=") for word in command if word.startswith("libdir=")]
    return found[0] if found else ""
