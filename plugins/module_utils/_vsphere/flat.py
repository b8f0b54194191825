# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of a disk as one file of a datastore, read over its path."""

from __future__ import annotations

import typing as t

from .._errors import ConnectionLost, VforgeError
from . import vmdk

if t.TYPE_CHECKING:
    from .datastore_files import DatastoreFiles, DatastorePath, FileState

# On these a disk is files, which can be had by their paths.
_WITH_FILES = ("VMFS", "NFS", "NFS41", "OTHER", "CIFS", "")


class NotWhole(VforgeError):
    """What came is not what the disk has."""

    error_code = "export_incomplete"


class SeveralFiles(NotWhole):
    """The content of a disk is not in one file, so it does not come over its path."""


def without_files(kind: str) -> str:
    """Why no disk can be read over the path of a datastore of this kind; empty where one can."""
    return "" if kind in _WITH_FILES else f"a datastore of the kind {kind} has no files of disks"


def extent(descriptor: vmdk.Descriptor, label: str) -> tuple[str, int]:
    """The one file with the content of a disk, and its size in bytes; an empty name where it is not
    such a disk.
    """
    if len(descriptor.extents) != 1 or descriptor.parent:
        return "", 0
    only = descriptor.extents[0]
    # A file that is not in the disk's own folder is not followed.
    plain = only.kind in ("VMFS", "FLAT") and not only.offset and "/" not in only.file
    return (only.file, descriptor.capacity) if plain and label else ("", 0)


class Flat:
    """The file with the content of a disk on a datastore.

    :param path: of the disk's descriptor.
    :ivar extent: path of the file; None where the content is not in one file.
    :ivar text: the descriptor.
    """

    def __init__(self, files: DatastoreFiles, path: DatastorePath) -> None:
        self.text = vmdk.descriptor(files.read(path, vmdk.MOST_DESCRIPTOR), str(path))
        name, self.capacity = extent(self.text, str(path))
        self.extent = path.beside(name) if name else None
        self._files = files

    def state(self) -> FileState:
        """What the file is now.

        :raises NotWhole: it is shorter than the disk.
        """
        extent = self._known()
        found = self._files.state(extent)
        if found.size < self.capacity:
            raise NotWhole(
                f"{extent} has {found.size} bytes, and its disk {self.capacity}.",
                hint="Look at the disk in vSphere: its descriptor does not fit its file.",
            )
        return found

    def _known(self) -> DatastorePath:
        if self.extent is None:
            raise SeveralFiles("The content of this disk is not in one file.", hint="It comes by an export lease.")
        return self.extent

    def read_into(self, start: int, buffer: memoryview) -> None:
        """Fill a buffer with the bytes from there.

        :raises ConnectionLost: the connection broke, or too few came.
        """
        came = 0
        with self._files.part(self._known(), start, len(buffer)) as answer:
            while came < len(buffer):
                count = answer.readinto(buffer[came:])
                if not count:
                    raise ConnectionLost("The connection was closed in mid-file.", hint="Run again.")
                came += count

    def pieces(self, start: int, length: int, buffer: memoryview) -> t.Iterator[memoryview]:
        """The bytes from there, as they come; each is valid until the next.

        :raises ConnectionLost: the connection broke, or too few came.
        """
        came = 0
        with self._files.part(self._known(), start, length) as answer:
            while came < length:
                count = answer.readinto(buffer[: min(len(buffer), length - came)])
                if not count:
                    raise ConnectionLost("The connection was closed in mid-file.", hint="Run again.")
                came += count
                yield buffer[:count]
