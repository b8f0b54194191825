# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a VM was last powered on, which its guest needs to write to its disks."""

from __future__ import annotations

import typing as t

from .._connector.props import moment
from .._connector.pyvmomi import vim
from .vm import reference

if t.TYPE_CHECKING:
    from .._connector.session import Session

# Events match by their own type, and by none that it extends (API reference, EventFilterSpec).
_STARTS = [
    "VmPoweredOnEvent",
    "DrsVmPoweredOnEvent",
    "VmResumingEvent",
    "VmRestartedOnAlternateHostEvent",
    "com.vmware.vc.ha.VmRestartedByHAEvent",
]


def last_start(session: Session, vm: str) -> str:
    """When a VM was last powered on, as vCenter's events have it;
    empty where they say nothing of it.

    :param vm: moid.
    """
    spec = vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(entity=reference(session, vm), recursion="self"),
        eventTypeId=_STARTS,
    )
    found = session.retrying(lambda: session.manager("eventManager").QueryEvents(spec))
    return max((moment(event.createdTime) for event in found or ()), default="")
