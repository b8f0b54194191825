# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Are the disks of a package such as an ESXi host takes? Looked at before anything is made.

Only what shows the kind of a file, and whether its end is there, is read: nothing is unpacked.
"""

from __future__ import annotations

import typing as t

from .._vsphere import vmdk
from .blobs import Blob, PackageError, Seeker, SliceBlob
from .package import Package
from .websource import page_instead

# More than is read at once of the tables of the largest disk.
_MOST_READ = 8 * 2**20

_PAGES = (b"<!doctype html", b"<html")


class _Blob:
    """A file of a package, as the reader of disks takes it."""

    def __init__(self, blob: Blob, seeker: Seeker) -> None:
        self.label = blob.label
        self.size = blob.size
        self._seeker = seeker
        # Looked at several times; a web server would be asked each time.
        self._head = seeker.read(0, vmdk.SECTOR)

    def read(self, at: int, size: int) -> bytes:
        """As many bytes from there."""
        if at == 0 and size <= vmdk.SECTOR:
            return self._head[:size]
        return self._seeker.read(at, size)


def check_disks(package: Package, wanted: t.Collection[str]) -> None:
    """Make sure that a host takes the disks that are to be sent.

    :param wanted: names of files, as the descriptor has them. Those that are no disk are left
        alone.
    :raises PackageError: ``invalid_package``, naming the disk, what it is, and how to convert it.
    """
    by_id = {file.id: file.href for file in package.descriptor.files}
    for disk in package.descriptor.disks:
        href = by_id.get(disk.file, "")
        if href in wanted and href in package.files:
            check(package.files[href], disk.capacity)


def check(blob: Blob, capacity: int | None) -> None:
    """Make sure that a host takes a disk.

    A web server that cannot send a part of a file would send all of it once more for its end. What
    its headers do not show, the host finds then.

    :param capacity: bytes of the disk in the descriptor; None where it is not known.
    :raises PackageError: as ``check_disks``.
    """
    if not blob.seekable and isinstance(blob, SliceBlob):
        return
    seeker = Seeker(blob, _MOST_READ)
    try:
        source = _Blob(blob, seeker)
        if source.read(0, vmdk.SECTOR).lstrip()[:15].lower().startswith(_PAGES):
            raise page_instead(blob.label)
        _check_capacity(blob, vmdk.look(source, to_the_end=False), capacity)
        if blob.seekable:
            vmdk.look(source)
    except vmdk.NotStreamOptimized as error:
        raise PackageError("invalid_package", error.message, hint=error.hint) from error
    finally:
        seeker.close()


def _check_capacity(blob: Blob, header: vmdk.Header, capacity: int | None) -> None:
    """A disk may be made larger than what is written to it, and never smaller."""
    size = header.capacity * vmdk.SECTOR
    if capacity is not None and size > -(-capacity // vmdk.SECTOR) * vmdk.SECTOR:
        raise PackageError(
            "invalid_package",
            f"{blob.label} is a disk of {size} bytes, and the descriptor makes one of {capacity} for it. "
            "Hosts take streamOptimized VMDKs.",
            hint="The disk was exchanged, or the descriptor was changed: correct the disk's ovf:capacity.",
        )
