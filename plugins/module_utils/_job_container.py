# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a file that is written here outlives the job that writes it.

AWX and ansible-runner play a job in a container that is removed with it. What is to be kept has to
lie in a folder that is mounted into the container.
"""

from __future__ import annotations

import os
import typing as t

from . import _mounts
from ._errors import InvalidOption

# Where ansible-runner has the private data directory in a container.
_PRIVATE = "/runner"

# What tells a container whose root is not of a kind that only containers have: podman's file, and
# the variable that each container of Kubernetes has.
_PODMANS_FILE = "/run/.containerenv"
_KUBERNETES = "KUBERNETES_SERVICE_HOST"

# What is written to such a file system goes with what has mounted it: a container's own files, and
# folders that podman mounts by ":O".
_OVERLAYS = ("overlay", "fuse.fuse-overlayfs")

_IN_MEMORY = ("tmpfs", "ramfs")

# Part of the path on the node at which an emptyDir of a pod lies.
_EMPTY_DIR = "/kubernetes.io~empty-dir/"


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
    mounts = _mounts.mounted()
    if "/" not in mounts or not _is_in_container(mounts["/"], environment):
        return ""
    whole = os.path.realpath(os.path.expanduser(os.path.expandvars(path)))
    place = max((each for each in mounts if _mounts.is_below(whole, each)), key=len)
    mount = mounts[place]
    if place == "/":
        return f"{path} lies in the container of this job, which is removed with all that is in it when the job ends."
    if mount.is_whole and mount.kind in _IN_MEMORY:
        return f"{path} lies in {place}, which this job has in memory alone: all that is in it is gone when the job ends."
    if mount.is_whole and mount.kind in _OVERLAYS:
        return f"{path} lies in {place}, which is mounted as an overlay: what is written there is gone when the job ends."
    if _EMPTY_DIR in mount.root:
        return f"{path} lies in {place}, an emptyDir of the pod of this job, which is removed when the job ends."
    if place == _PRIVATE and by_awx:
        return f"{path} lies in the private data directory of this job, which AWX removes when the job ends."
    return ""


def _is_in_container(root: _mounts.Mount, environment: t.Mapping[str, str]) -> bool:
    return root.kind in _OVERLAYS or bool(environment.get(_KUBERNETES)) or os.path.exists(_PODMANS_FILE)
