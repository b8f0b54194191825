# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The digests of a disk's blocks: 32 bytes of SHA-256 for each MiB, in the order of the disk.

The last block of a disk may be shorter; its digest is that of what there is of it.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import shutil
import typing as t

from .._errors import VforgeError
from .model import BLOCK, BackupDamaged

DIGEST_BYTES = hashlib.sha256().digest_size
_ZEROS = hashlib.sha256(bytes(BLOCK)).digest()

# Blocks that one write of new zeros covers.
_MANY = 4096


class BlockMap:
    """A file of digests, open.

    It is mapped and not read: that of a disk of 2 TiB has 64 MiB.

    :param capacity: of the disk, in bytes.
    """

    def __init__(self, path: str, capacity: int, *, write: bool = False) -> None:
        self.path = path
        self.capacity = capacity
        self.count = -(-capacity // BLOCK)
        self._write = write
        with open(path, "r+b" if write else "rb") as file:
            if os.fstat(file.fileno()).st_size != self.count * DIGEST_BYTES:
                raise BackupDamaged(
                    f"{path} has not the digests of {self.count} blocks.",
                    hint="Restore it from another copy of the repository, or remove its point.",
                    path=path,
                )
            access = mmap.ACCESS_WRITE if write else mmap.ACCESS_READ
            self._digests = mmap.mmap(file.fileno(), 0, access=access)

    @classmethod
    def create(cls, path: str, capacity: int, earlier: str | None, earlier_capacity: int = 0) -> BlockMap:
        """A new file, for a disk that reads as an earlier one, and as zeros behind its end.

        :param earlier: the file of the earlier disk; None where there is none.
        :raises VforgeError: when the disk became smaller: it is then another disk.
        """
        if earlier is None:
            open(path, "xb").close()
        elif earlier_capacity > capacity:
            raise VforgeError(f"A disk of {earlier_capacity} bytes cannot have become one of {capacity}.")
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
        return self._digests[block * DIGEST_BYTES : (block + 1) * DIGEST_BYTES]

    def __setitem__(self, block: int, digest: bytes) -> None:
        self._digests[block * DIGEST_BYTES : (block + 1) * DIGEST_BYTES] = digest

    def digest(self) -> str:
        """Of the whole file, in hexadecimal digits."""
        return hashlib.sha256(self._digests).hexdigest()

    def close(self) -> None:
        """Write what was changed, and close it."""
        if self._write:
            self._digests.flush()
        self._digests.close()

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
