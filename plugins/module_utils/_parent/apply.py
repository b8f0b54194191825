# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that change a parent; each returns its task."""

from __future__ import annotations

import typing as t

from . import read
from .model import SNAPSHOT_NAME

if t.TYPE_CHECKING:
    from .._connector.session import Session


def start_reset(session: Session, moid: str) -> t.Any:
    """``ResetVM_Task``."""
    return read.vm(session, moid).ResetVM_Task()


def start_snapshot(session: Session, moid: str) -> t.Any:
    """``CreateSnapshot_Task`` for the snapshot that is thrown away; without memory, and without asking the guest."""
    return read.vm(session, moid).CreateSnapshot_Task(
        SNAPSHOT_NAME, "Collapses the deltas of an instant clone parent; safe to remove.", False, False
    )


def start_remove_snapshots(session: Session, moid: str) -> t.Any:
    """``RemoveAllSnapshots_Task``, which writes the deltas into their bases."""
    return read.vm(session, moid).RemoveAllSnapshots_Task(True)
