# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The digests of a disk's blocks: 32 bytes of SHA-256 for each MiB, in the order of the disk.

The last block of a disk may be shorter; its digest is that of what there is of it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import typing as t

from .. import _files
from .model import BLOCK, BackupDamaged
from .storage import explained

DIGEST_BYTES = hashlib.sha256().digest_size
_ZEROS = hashlib.sha256(bytes(BLOCK)).digest()

# Blocks that one write of new zeros covers.
_MANY = 4096


class BlockMap:
    """A file of digests, open.

    It is read where it is asked for: that of a disk of 2 TiB has 64 MiB. It is not mapped, since a file system that
    fails under a mapping ends the process, and says nothing.

    :param capacity: of the disk, in bytes.
    :raises BackupDamaged: it has not as many digests as the disk has blocks.
    :raises FileUnreadable, FileUnwritable: as the system says; so do all that read and write it.
    """

    def __init__(self, path: str, capacity: int, *, write: bool = False) -> None:
        self.path = path
        self.capacity = capacity
        self.count = -(-capacity // BLOCK)
        self._write = write
        with explained(path, _files.FileUnreadable):
            self._handle = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC)
            size = os.fstat(self._handle).st_size
        if size != self.count * DIGEST_BYTES:
            os.close(self._handle)
            raise self._damaged()

    def _damaged(self) -> BackupDamaged:
        return BackupDamaged(
            f"{self.path} has not the digests of {self.count} blocks.",
            hint="Restore it from another copy of the repository, or remove its point.",
            path=self.path,
        )

    @classmethod
    def create(cls, path: str, capacity: int, earlier: str | None, earlier_capacity: int = 0) -> BlockMap:
        """A new file, for a disk that reads as an earlier one, and as zeros behind its end.

        :param earlier: the file of the earlier disk; None where there is none.
        :raises BackupDamaged: when the disk became smaller: it is then another disk.
        """
        if earlier is None:
            open(path, "xb").close()
        elif earlier_capacity > capacity:
            raise BackupDamaged(
                f"A disk of {earlier_capacity} bytes cannot have become one of {capacity}.",
                hint="Verify the repository. With mode full the next backup does not stand on it.",
            )
        else:
            shutil.copyfile(earlier, path)
        count = -(-capacity // BLOCK)
        with open(path, "r+b") as file:
            # Where the disk grew, its last block may have been a short one: it is made again, as the
            # rest is. Who copies has to look at it.
            kept = count if earlier_capacity == capacity else earlier_capacity // BLOCK
            file.truncate(kept * DIGEST_BYTES)
            file.seek(0, os.SEEK_END)
            for first in range(kept, count, _MANY):
                file.write(_ZEROS * min(_MANY, count - first))
        found = cls(path, capacity, write=True)
        last = count - 1
        if kept <= last and found.length(last) < BLOCK:
            found[last] = hashlib.sha256(bytes(found.length(last))).digest()
        return found

    def length(self, block: int) -> int:
        """Bytes of a block."""
        return min(BLOCK, self.capacity - block * BLOCK)

    def __getitem__(self, block: int) -> bytes:
        return self._read(block * DIGEST_BYTES, DIGEST_BYTES)

    def __setitem__(self, block: int, digest: bytes) -> None:
        with explained(self.path):
            os.pwrite(self._handle, digest, block * DIGEST_BYTES)

    def digest(self) -> str:
        """Of the whole file, in hexadecimal digits."""
        found, size = hashlib.sha256(), self.count * DIGEST_BYTES
        for start in range(0, size, BLOCK):
            found.update(self._read(start, min(BLOCK, size - start)))
        return found.hexdigest()

    def _read(self, start: int, length: int) -> bytes:
        with explained(self.path, _files.FileUnreadable):
            data = os.pread(self._handle, length, start)
        if len(data) != length:
            raise self._damaged()  # it was cut short meanwhile
        return data

    def close(self) -> None:
        """Have what was changed on the file system, and close it."""
        with explained(self.path):
            try:
                if self._write:
                    os.fsync(self._handle)
            finally:
                os.close(self._handle)

    def __enter__(self) -> BlockMap:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def differences(read: t.Callable[[int, int], bytes | bytearray], digests: BlockMap, blocks: t.Iterable[int]) -> t.Iterator[int]:
    """The blocks of a disk whose content is not what its digests say.

    :param read: bytes of the disk, from an offset on.
    """
    for block in blocks:
        data = read(block * BLOCK, digests.length(block))
        if hashlib.sha256(data).digest() != digests[block]:
            yield block
