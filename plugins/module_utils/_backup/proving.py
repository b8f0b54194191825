# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks on datastores, read back and compared with the digests of a point."""

from __future__ import annotations

import hashlib
import time
import typing as t

from .._connector.tasks import Backoff
from .._errors import ConnectionLost, TimedOut
from .model import BLOCK

if t.TYPE_CHECKING:
    from .._vsphere.flat import Flat
    from .blockmap import BlockMap

# What is asked for at once: a request costs little beside it, and a connection that breaks no more.
_BLOCKS_A_REQUEST = 64
_ATTEMPTS = 3


def first_difference(flat: Flat, digests: BlockMap, deadline: float, progress: t.Callable[[int], None]) -> int | None:
    """Compare a disk with its digests, up to the first block that differs.

    :param deadline: of ``time.monotonic()``.
    :param progress: is called with the bytes of each block that was compared.
    :returns: the byte where that block begins; None where there is none.
    :raises TimedOut: when the deadline passes.
    :raises ConnectionLost: when it could not be read.
    """
    for begin in range(0, digests.count, _BLOCKS_A_REQUEST):
        blocks = range(begin, min(begin + _BLOCKS_A_REQUEST, digests.count))
        for block, digest in zip(blocks, _patiently(flat, digests, blocks, deadline), strict=True):
            if digest != digests[block]:
                return block * BLOCK
            progress(digests.length(block))
    return None


def _patiently(flat: Flat, digests: BlockMap, blocks: range, deadline: float) -> list[bytes]:
    """The digests of some blocks of a disk; a connection that broke is made again."""
    waits = Backoff(deadline)
    for attempt in range(1, _ATTEMPTS + 1):
        if time.monotonic() > deadline:
            break
        try:
            return list(_digests(flat, digests, blocks))
        except ConnectionLost:
            if attempt == _ATTEMPTS or not waits.begin():
                raise
    raise TimedOut("A disk could not be compared in the time allowed.", hint="Raise timeout, or set verify to manifest.")


def _digests(flat: Flat, digests: BlockMap, blocks: range) -> t.Iterator[bytes]:
    start = blocks[0] * BLOCK
    length = min(blocks[-1] * BLOCK + BLOCK, digests.capacity) - start
    buffer = memoryview(bytearray(BLOCK))
    found, left = hashlib.sha256(), digests.length(blocks[0])
    block = blocks[0]
    for piece in flat.pieces(start, length, buffer):
        part = piece
        while len(part) >= left:
            found.update(part[:left])
            yield found.digest()
            part = part[left:]
            block += 1
            if block not in blocks:
                return
            found, left = hashlib.sha256(), digests.length(block)
        found.update(part)
        left -= len(part)
