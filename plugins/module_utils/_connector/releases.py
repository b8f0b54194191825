# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which release can do what; each check is made of what the session knows already, so nothing is sent."""

from __future__ import annotations

import typing as t

from .._errors import NotSupported
from . import versions

if t.TYPE_CHECKING:
    from .session import Session


def require_instant_clones(session: Session) -> None:
    """Make sure that this vCenter knows instant clones, and so freezing, which came with API 6.7.

    :raises NotSupported: on an older one.
    """
    version = session.about.get("apiVersion", "")
    if not versions.at_least(version, "6.7"):
        raise NotSupported(
            f"{session.options.endpoint} cannot make instant clones: its API version is {version}.",
            hint="Instant clones need vCenter 6.7 or later. On 6.0 and 6.5, vforge.vsphere.fork_parent does the same.",
            api_version=version,
        )


def require_vmfork(session: Session) -> None:
    """Make sure that this vCenter has VMFork, which were the releases 6.0 and 6.5.

    :raises NotSupported: on any other.
    """
    version = session.about.get("apiVersion", "")
    if versions.at_least(version, "6.6"):
        raise NotSupported(
            f"{session.options.endpoint} has no VMFork, which ended with API 6.5 (its own is {version}): "
            "vforge.vsphere.instant_clone is the way to do it there.",
            api_version=version,
        )
    if not versions.at_least(version, "6.0"):
        raise NotSupported(
            f"{session.options.endpoint} has no VMFork, which came with API 6.0: its own is {version or 'unknown'}.",
            api_version=version,
        )
