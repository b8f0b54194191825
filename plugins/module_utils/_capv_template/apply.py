# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that change something; each returns its task, or None where it did the work."""

from __future__ import annotations

import typing as t

from .._connector import props
from .._connector.pyvmomi import vim
from .._errors import Fault
from .._vsphere import snapshots
from .._vsphere.vm import option_values, reference

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .model import NodeTemplate

TEMPLATE = "config.template"

# What vCenter answers where a VM is a template already, or a template is a VM; and for other reasons, too.
_REFUSALS = ("InvalidState", "NotSupported")

_ABOUT = "What Cluster API Provider vSphere makes linked clones of. Their disks build on it."


def open_template(session: Session, template: NodeTemplate) -> None:
    """``MarkAsVirtualMachine``, where it is registered; done when it returns."""
    pool = session.reference(vim.ResourcePool, template.pool)
    host = session.reference(vim.HostSystem, template.host)
    reference(session, template.moid).MarkAsVirtualMachine(pool, host)


def is_vm_already(session: Session, moid: str, error: Exception) -> bool:
    """Whether ``MarkAsVirtualMachine`` was refused because an earlier call has made it a VM."""
    return isinstance(error, Fault) and error.fault in _REFUSALS and _is(session, moid, template=False)


def close_template(session: Session, moid: str) -> None:
    """``MarkAsTemplate``, done when it returns; also where an earlier call has done it, whose
    answer was lost.
    """
    try:
        reference(session, moid).MarkAsTemplate()
    except Fault as fault:
        if fault.fault not in _REFUSALS or not _is(session, moid, template=True):
            raise


def _is(session: Session, moid: str, *, template: bool) -> bool:
    row = props.read(session, [reference(session, moid)], vim.VirtualMachine, (TEMPLATE,)).get(moid)
    return row is not None and row.get(TEMPLATE) is template


def start_upgrade(session: Session, moid: str, hardware: int) -> t.Any:
    """``UpgradeVM_Task``."""
    return reference(session, moid).UpgradeVM_Task(f"vmx-{hardware}")


def start_clean(session: Session, template: NodeTemplate) -> t.Any:
    """``ReconfigVM_Task`` that removes vApp properties and pairs of guestinfo; a pair without a
    value is removed.
    """
    spec = vim.vm.ConfigSpec(extraConfig=option_values(dict.fromkeys(template.guest_keys, "")))
    if template.vapp:
        spec.vAppConfigRemoved = True
    return reference(session, template.moid).ReconfigVM_Task(spec)


def start_snapshot(session: Session, moid: str, name: str) -> t.Any:
    """``CreateSnapshot_Task``, of a VM that is off."""
    return snapshots.start_create(session, moid, name, _ABOUT)
