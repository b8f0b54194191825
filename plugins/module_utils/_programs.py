# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that the collection starts, where the module runs: found on PATH, or named when they are
missing; and whether nbdkit has its plugin for VDDK.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import typing as t

from ._errors import VforgeError

# What has a program that is no package of its own name.
_PACKAGES = "qemu-utils (Debian, Ubuntu) or qemu-img (RHEL, Fedora, SUSE)"


class MissingProgram(VforgeError):
    """A program is missing where the module runs, or is too old."""

    error_code = "missing_program"


def find(name: str, packages: str = _PACKAGES) -> str:
    """The path of a program.

    :param name: such as ``qemu-img``.
    :param packages: what has it, for the message.
    :raises MissingProgram: there is none on PATH.
    """
    path = shutil.which(name)
    if path is None:
        raise MissingProgram(
            f"The program {name} is missing where the module runs.", hint=f"Install {packages} there.", program=name
        )
    return path


def environment(**more: str) -> dict[str, str]:
    """The environment for a program whose words are read: they are English.

    :param more: variables that it gets besides.
    """
    return {**os.environ, "LC_ALL": "C", **more}


def start(command: t.Sequence[str], **options: t.Any) -> subprocess.Popen[t.Any]:
    """A program that goes on beside us.

    Ansible's own ``run_command`` would wait for its end, with all that it writes in memory, and
    would know no deadline.

    :param options: of ``subprocess.Popen``.
    :raises OSError: it cannot be started.
    """
    return subprocess.Popen(command, **options)  # pylint: disable=ansible-bad-function


def run(
    command: t.Sequence[str], seconds: float, env: t.Mapping[str, str], given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """A program that was run to its end.

    :param seconds: that it may take.
    :param given: its standard input; without it that is empty.
    :raises OSError: it cannot be started.
    :raises subprocess.TimeoutExpired: it took longer, and was killed.
    """
    source = subprocess.DEVNULL if given is None else subprocess.PIPE
    pipe = subprocess.PIPE
    with start(command, stdin=source, stdout=pipe, stderr=pipe, text=True, errors="replace", env=dict(env)) as process:
        try:
            output, said = process.communicate(given, seconds)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, said)


# For nbdkit to say what it has.
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
        done = run([program, "vddk", *wanted, "--dump-plugin"], _SECONDS, environment())
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
