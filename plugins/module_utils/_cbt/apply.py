# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The call that only this domain makes; snapshots and power are those of ``_vsphere``."""

from __future__ import annotations

import typing as t

from .._connector.pyvmomi import vim
from .._vsphere.vm import reference

if t.TYPE_CHECKING:
    from .._connector.session import Session


def start_tracking(session: Session, moid: str, *, on: bool) -> t.Any:
    """``ReconfigVM_Task`` that switches tracking on or off, and nothing else."""
    return reference(session, moid).ReconfigVM_Task(vim.vm.ConfigSpec(changeTrackingEnabled=on))
