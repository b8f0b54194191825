# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that the collection starts, where the module runs: found on PATH, or named when they are
missing.
"""

from __future__ import annotations

import os
import shutil

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
