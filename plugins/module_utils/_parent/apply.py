# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The call of its own that changes a parent."""

from __future__ import annotations

import typing as t

from .._vsphere import snapshots
from .model import SNAPSHOT_NAME

if t.TYPE_CHECKING:
    from .._connector.session import Session


def start_snapshot(session: Session, moid: str) -> t.Any:
    """``CreateSnapshot_Task`` for the snapshot that is thrown away.

    Without memory, and without asking the guest.
    """
    about = "Collapses the deltas of an instant clone parent; safe to remove."
    return snapshots.start_create(session, moid, SNAPSHOT_NAME, about)
