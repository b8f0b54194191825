# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls of its own that change something of what VMs have for cloud-init."""

from __future__ import annotations

import typing as t

from .._connector.pyvmomi import vim
from .._vsphere.vm import reference

if t.TYPE_CHECKING:
    from .._connector.session import Session


def start_customization(session: Session, moid: str, metadata: str, userdata: str) -> t.Any:
    """``CustomizeVM_Task`` with ``CustomizationCloudinitPrep``; the network is in the metadata."""
    spec = vim.vm.customization
    wanted = spec.Specification(
        options=spec.LinuxOptions(),
        identity=spec.CloudinitPrep(metadata=metadata, userdata=userdata or None),
        globalIPSettings=spec.GlobalIPSettings(),
        nicSettingMap=[],
    )
    return reference(session, moid).CustomizeVM_Task(wanted)


def reboot(session: Session, moid: str) -> None:
    """``RebootGuest``: asks the guest, and does not wait for it."""
    reference(session, moid).RebootGuest()
