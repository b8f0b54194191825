# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage policies: their names and the datastores that they allow, from the service beside vCenter that knows them (SPBM)."""

from __future__ import annotations

import typing as t

from .._errors import NotSupported
from .finishing import Policy

if t.TYPE_CHECKING:
    from .._connector.session import Session


def find_policy(session: Session, name: str) -> Policy:
    """The policy of this name."""
    raise NotSupported(f"The storage policy {name} cannot be looked up on {session.options.endpoint}.")
