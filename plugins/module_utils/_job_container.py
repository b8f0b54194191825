# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a file that is written here outlives the job that writes it.

AWX and ansible-runner play a job in a container that is removed with it. What is to be kept has to
lie in a folder that is mounted into the container.
"""

from __future__ import annotations

import os
import re
import typing as t

from ._errors import InvalidOption

MOUNTS = "/proc/self/mountinfo"

# Where ansible-runner has the private data directory in a container.
_PRIVATE = "/runner"

# The kinds of file system that a container's own files lie on.
_CONTAINERS = ("overlay", "fuse.fuse-overlayfs")

# A blank, and whatever else would break a line, is written as three octal digits.
_QUOTED = re.compile(r"\\([0-7]{3})")


class NotKept(InvalidOption):
    """What was to be kept would be gone when the job ends, since it plays in a container that is
    removed.
    """

    error_code = "not_kept"


def require_kept(path: str, option: str) -> None:
    """Refuse what would be lost with this job.

    :raises NotKept: it would.
    """
    if reason := why_not_kept(path):
        raise NotKept(
            f"{reason} Nothing was backed up.",
            hint="Mount a folder on each execution node and expose it to jobs: in AWX by Settings > Jobs > Paths to expose to "
            "isolated jobs, in Kubernetes by a volume in the pod spec of the container group, with ansible-runner by "
            "container_volume_mounts.",
            option=option,
        )


def why_not_kept(path: str, environment: t.Mapping[str, str] | None = None) -> str:
    """Why a file or a folder is gone when this job ends; empty where it stays, or where this is no
    job in a container.

    :param path: that is there, or that is still to be made.
    :param environment: of the job; that of this process where it is not given.
    """
    environment = os.environ if environment is None else environment
    by_awx = bool(environment.get("AWX_PRIVATE_DATA_DIR"))
    if not by_awx and not environment.get("AWX_ISOLATED_DATA_DIR", "").startswith(f"{_PRIVATE}/"):
        return ""
    mounts = _mounts()
    if mounts.get("/") not in _CONTAINERS:
        return ""
    whole = os.path.realpath(os.path.expanduser(os.path.expandvars(path)))
    mount = max((each for each in mounts if _is_below(whole, each)), key=len)
    if mount == "/":
        return f"{path} lies in the container of this job, which is removed with all that is in it when the job ends."
    if mount == _PRIVATE and by_awx:
        return f"{path} lies in the private data directory of this job, which AWX removes when the job ends."
    return ""


def _mounts() -> dict[str, str]:
    """What is mounted: the kind of file system by its place. Of several at one place, the last one
    is seen. Empty where the system does not say.
    """
    try:
        with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return {}
    parts = [line.partition(" - ") for line in lines]
    return {_plain(before.split(" ")[4]): after.split(" ")[0] for before, _dash, after in parts}


def _plain(text: str) -> str:
    return _QUOTED.sub(lambda found: chr(int(found[1], 8)), text)


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")
