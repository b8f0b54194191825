# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls of VMFork that change something; each returns its task."""

from __future__ import annotations

import typing as t

from .._connector import names
from .._connector.pyvmomi import vim
from .._vsphere import snapshots
from .._vsphere.vm import reference
from . import read
from .model import PARAMETER_PREFIX, SNAPSHOT_NAME

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .model import ChildRequest
    from .plan import Placement


def start_enable(session: Session, moid: str) -> t.Any:
    """``EnableForkParent_Task``."""
    return reference(session, moid).EnableForkParent_Task()


def start_disable(session: Session, moid: str) -> t.Any:
    """``DisableForkParent_Task``."""
    return reference(session, moid).DisableForkParent_Task()


def start_snapshot(session: Session, moid: str) -> t.Any:
    """``CreateSnapshot_Task`` for persistent children.

    Without memory, and without asking the guest.
    """
    about = "Persistent children of VMFork rest on it."
    return snapshots.start_create(session, moid, SNAPSHOT_NAME, about)


def start_child(session: Session, parent: str, request: ChildRequest, place: Placement, own: t.Mapping[str, str]) -> t.Any:
    """``CreateForkChild_Task``; the task's result is the new VM, powered off.

    :param own: further parameters, which are the collection's own.
    """
    location = vim.vm.RelocateSpec(folder=session.reference(vim.Folder, place.folder))
    if place.pool_asked:
        location.pool = session.reference(vim.ResourcePool, place.pool.moid)
    if place.datastore:
        location.datastore = session.reference(vim.Datastore, place.datastore)
    parameters = _parameters({**request.config, **own})
    spec = read.child_spec()(location=location, persistent=request.persistent, configParams=parameters)
    return reference(session, parent).CreateForkChild_Task(names.escape(request.name), spec)


def _parameters(config: t.Mapping[str, str]) -> list[t.Any]:
    """Whole keys of extraConfig as parameters of a child, whose keys vSphere puts the prefix to."""
    return [
        vim.option.OptionValue(key=key.removeprefix(PARAMETER_PREFIX), value=value) for key, value in sorted(config.items())
    ]
