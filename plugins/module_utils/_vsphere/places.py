# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that ``compute`` had; they go with the last domain that is moved onto it."""

from __future__ import annotations

import typing as t

from .compute import Pool, fitting_pools, host_in, pools_in, read_folders, read_names

if t.TYPE_CHECKING:
    from .._connector.props import Row

__all__ = ["Pool", "fitting_pools", "is_available", "pools_in", "read_folders", "read_names"]


def is_available(host: Row | None) -> bool:
    """Whether VMs can run on a host, by its ``runtime.inMaintenanceMode`` and
    ``runtime.connectionState``.
    """
    return host is not None and host_in(host).available
