# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that ``disks`` had; they go with the last domain that is moved onto it."""

from __future__ import annotations

import typing as t

from .disks import delta_changes, dependents, disk_devices, users, with_own_deltas

__all__ = ["count", "dependents", "disks", "layer_changes", "users", "with_layers"]

disks, layer_changes, with_layers = disk_devices, delta_changes, with_own_deltas


def count(disk: t.Any) -> int:
    """How many disks a chain has, its base included."""
    found, backing = 0, disk.backing
    while backing is not None:
        found, backing = found + 1, getattr(backing, "parent", None)
    return found
