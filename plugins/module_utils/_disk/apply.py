# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that only ``vmdk`` makes; those that bring disks in are in ``_disk_import``."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from .._connector.session import Session


def start_copy(session: Session, datacenter: t.Any, source: str, target: str) -> t.Any:
    """``CopyVirtualDisk_Task``, within one datacenter, to a place where nothing is; the copy has the
    format of its source.

    The parameter destSpec is for hosts alone, and force is ignored (API reference).
    """
    manager = session.manager("virtualDiskManager")
    return manager.CopyVirtualDisk_Task(source, datacenter, target, datacenter, None, False)


def start_delete_file(session: Session, datacenter: t.Any, path: str) -> t.Any:
    """``DeleteDatastoreFile_Task``, for a file that is no disk."""
    return session.manager("fileManager").DeleteDatastoreFile_Task(path, datacenter)
