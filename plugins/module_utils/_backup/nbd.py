# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The NBD server of the option ``nbd``: whether it can serve, and what its command has to know."""

from __future__ import annotations

import shutil
import subprocess
import typing as t

from .._programs import environment

if t.TYPE_CHECKING:
    from .options import NbdServer

_VDDK = "vddk"
_SECONDS = 20

# What `nbdkit vddk --dump-plugin` prints once the library was loaded (nbdkit-vddk-plugin(1)).
_LOADED = "vddk_dll="

NO_PLUGIN = (
    "nbdkit has no plugin vddk, which Debian does not build: it is in nbdkit of Fedora and RHEL (package nbdkit-vddk-plugin), "
    "and in nbdkit's source"
)


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


def vddk_reason(program: str, libdir: str) -> str:
    """Why nbdkit's plugin for VDDK cannot be used; empty where it can.

    :param program: path of nbdkit.
    :param libdir: folder of VDDK, or of what takes its place; empty for nbdkit's own.
    """
    wanted = [f"libdir={libdir}"] if libdir else []
    try:
        done = subprocess.run(
            [program, _VDDK, *wanted, "--dump-plugin"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_SECONDS,
            env=environment(),
        )
    except subprocess.TimeoutExpired:
        return f"nbdkit has not said in {_SECONDS} s whether it has the plugin vddk"
    if done.returncode:
        return NO_PLUGIN
    if _LOADED not in done.stdout:
        where = libdir or "its own folder"
        return (
            f"nbdkit has the plugin vddk, and no VDDK in {where}: set nbd.libdir to the folder of VDDK, "
            "or of OpenVDDK, which takes its place"
        )
    return ""


def _libdir(command: t.Sequence[str]) -> str:
    found = [word.removeprefix("libdir=") for word in command if word.startswith("libdir=")]
    return found[0] if found else ""
