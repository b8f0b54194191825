# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that change something, and vCenter's check; each returns its task."""

from __future__ import annotations

import typing as t

from .._connector.pyvmomi import vim
from .._vsphere.vm import reference

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .._vsphere.processors import Mode


def manager(session: Session, cluster: str) -> t.Any:
    """The EVC manager of a cluster: one call.

    :param cluster: moid.
    """
    return session.retrying(lambda: session.reference(vim.ClusterComputeResource, cluster).EvcManager())


def start_check(evc: t.Any, mode: str, graphics_mode: str | None) -> t.Any:
    """``CheckConfigureEvcMode_Task``; the task's result is a list of CheckResult."""
    return evc.CheckConfigureEvcMode_Task(mode, graphics_mode)


def start_configure(evc: t.Any, mode: str, graphics_mode: str | None) -> t.Any:
    """``ConfigureEvcMode_Task``."""
    return evc.ConfigureEvcMode_Task(mode, graphics_mode)


def start_disable(evc: t.Any) -> t.Any:
    """``DisableEvcMode_Task``."""
    return evc.DisableEvcMode_Task()


def start_apply(session: Session, moid: str, mode: Mode | None, complete: bool) -> t.Any:
    """``ApplyEvcModeVM_Task`` with the masks of a mode; None ends the VM's own mode."""
    masks = mode.written_masks if mode is not None else ()
    sent = [vim.host.FeatureMask(key=key, featureName=key, value=value) for key, value in masks]
    return reference(session, moid).ApplyEvcModeVM_Task(sent, complete)
