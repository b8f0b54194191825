# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that change something; each returns its task, or None where it did the work."""

from __future__ import annotations

import contextlib
import typing as t

from .._connector import props
from .._connector.pyvmomi import vim
from .._errors import Fault
from .._vsphere import snapshots
from .._vsphere.vm import option_values, reference

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .model import NodeTemplate

_TEMPLATE = "config.template"

# What vCenter answers where a VM is a template already, or a template is a VM; and for other reasons, too.
_REFUSALS = ("InvalidState", "NotSupported")

_ABOUT = "What Cluster API Provider vSphere makes linked clones of. Their disks build on it."


def open_template(session: Session, template: NodeTemplate) -> None:
    """``MarkAsVirtualMachine``, where it is registered; done when it returns."""
    pool = session.reference(vim.ResourcePool, template.pool)
    host = session.reference(vim.HostSystem, template.host)
    with _done_twice(session, template.moid, template=False):
        reference(session, template.moid).MarkAsVirtualMachine(pool, host)


def close_template(session: Session, moid: str) -> None:
    """``MarkAsTemplate``, done when it returns."""
    with _done_twice(session, moid, template=True):
        reference(session, moid).MarkAsTemplate()


@contextlib.contextmanager
def _done_twice(session: Session, moid: str, *, template: bool) -> t.Iterator[None]:
    """A call that is refused has nothing to do where an earlier one has done it, whose answer was lost.

    :param template: what the call makes of it: a template, or a VM.
    """
    try:
        yield
    except Fault as fault:
        if fault.fault not in _REFUSALS or not _is(session, moid, template):
            raise


def _is(session: Session, moid: str, template: bool) -> bool:
    row = props.read(session, [reference(session, moid)], vim.VirtualMachine, (_TEMPLATE,)).get(moid)
    return row is not None and row.get(_TEMPLATE) is template


def start_upgrade(session: Session, moid: str, hardware: int) -> t.Any:
    """``UpgradeVM_Task``."""
    return reference(session, moid).UpgradeVM_Task(f"vmx-{hardware}")


def start_clean(session: Session, template: NodeTemplate) -> t.Any:
    """``ReconfigVM_Task`` that removes vApp properties and pairs of guestinfo; a pair
    without a value is removed.
    """
    spec = vim.vm.ConfigSpec(extraConfig=option_values(dict.fromkeys(template.guest_keys, "")))
    if template.vapp:
        spec.vAppConfigRemoved = True
    return reference(session, template.moid).ReconfigVM_Task(spec)


def start_snapshot(session: Session, moid: str, name: str) -> t.Any:
    """``CreateSnapshot_Task``, of a VM that is off."""
    return snapshots.start_create(session, moid, name, _ABOUT)
