# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that change something of what VMs have for cloud-init; each but the reboot returns its task."""

from __future__ import annotations

import typing as t

from .._connector.pyvmomi import vim
from . import read

if t.TYPE_CHECKING:
    from .._connector.session import Session


def start_write(session: Session, moid: str, config: t.Mapping[str, str]) -> t.Any:
    """``ReconfigVM_Task`` with nothing but pairs of extraConfig; a pair with an empty value is taken away."""
    pairs = [vim.option.OptionValue(key=key, value=value) for key, value in sorted(config.items())]
    return read.vm(session, moid).ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=pairs))


def start_customization(session: Session, moid: str, metadata: str, userdata: str) -> t.Any:
    """``CustomizeVM_Task`` with ``CustomizationCloudinitPrep``; the network is in the metadata."""
    spec = vim.vm.customization
    wanted = spec.Specification(
        options=spec.LinuxOptions(),
        identity=spec.CloudinitPrep(metadata=metadata, userdata=userdata or None),
        globalIPSettings=spec.GlobalIPSettings(),
        nicSettingMap=[],
    )
    return read.vm(session, moid).CustomizeVM_Task(wanted)


def start_power_on(session: Session, moid: str) -> t.Any:
    """``PowerOnVM_Task``."""
    return read.vm(session, moid).PowerOnVM_Task()


def reboot(session: Session, moid: str) -> None:
    """``RebootGuest``: asks the guest, and does not wait for it."""
    read.vm(session, moid).RebootGuest()
