# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether nbdkit can serve disks of snapshots by its plugin for VDDK."""

from __future__ import annotations

import subprocess

from ._programs import environment

_SECONDS = 20

# What `nbdkit vddk --dump-plugin` prints once the library was loaded (nbdkit-vddk-plugin(1)).
_LOADED = "vddk_dll="

NO_PLUGIN = (
    "nbdkit has no plugin vddk, which Debian does not build: it is in nbdkit of Fedora and RHEL (package nbdkit-vddk-plugin), "
    "and in nbdkit's source"
)


def vddk_reason(program: str, libdir: str) -> str:
    """Why nbdkit's plugin for VDDK cannot be used; empty where it can.

    :param program: path of nbdkit.
    :param libdir: folder of VDDK, or of what takes its place; empty for nbdkit's own.
    """
    wanted = [f"libdir={libdir}"] if libdir else []
    try:
        done = subprocess.run(
            [program, "vddk", *wanted, "--dump-plugin"],
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
