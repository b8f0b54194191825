# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that change something; each returns its task."""

from __future__ import annotations

import typing as t

from .._connector import names
from .._connector.pyvmomi import vim
from .._vsphere import snapshots
from .._vsphere.vm import option_values, reference
from .model import LINKED, MARK_KEY, Mark, Vm

if t.TYPE_CHECKING:
    from .._connector.session import Session

# How the disks of a clone come about (API reference, VirtualMachineRelocateDiskMoveOptions).
_COPY, _CHILD = "moveAllDiskBackingsAndDisallowSharing", "createNewChildDiskBacking"


def start_clone(
    session: Session,
    vm: Vm,
    mark: Mark,
    *,
    mode: str,
    folder: str,
    datastore: str | None,
    snapshot: str | None,
) -> t.Any:
    """``CloneVM_Task``; the task's result is the backup, powered off, with its mark.

    :param folder: moid.
    :param datastore: moid; None for the source's own.
    :param snapshot: moid; None for the VM as it is.
    """
    location = vim.vm.RelocateSpec(
        diskMoveType=_CHILD if mode == LINKED else _COPY,
        # Without a pool that of the source; with one a cluster without DRS needs a host, too (API reference, RelocateSpec).
        pool=None if vm.in_pool else session.reference(vim.ResourcePool, vm.root_pool),
        host=None if vm.in_pool else session.reference(vim.HostSystem, vm.host),
        datastore=session.reference(vim.Datastore, datastore) if datastore else None,
    )
    spec = vim.vm.CloneSpec(
        location=location,
        powerOn=False,
        template=False,
        snapshot=snapshots.reference(session, snapshot) if snapshot else None,
        config=vim.vm.ConfigSpec(extraConfig=option_values({MARK_KEY: str(mark)})),
    )
    home = session.reference(vim.Folder, folder)
    return reference(session, vm.moid).CloneVM_Task(home, names.escape(mark.name), spec)
