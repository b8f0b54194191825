# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of guestinfo as cloud-init's VMware data source reads them. Pure.

What is read how is the data source's own code (``cloudinit/sources/DataSourceVMware.py``): an
encoding is compared letter by letter, anything unknown means plain text, and ``---`` and blank mean
that there is nothing.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import gzip
import hashlib
import hmac
import typing as t
import zlib

from .._vsphere.markers import OVERWRITTEN

AUTO, PLAIN, BASE64, GZIP = "auto", "plain", "base64", "gzip+base64"
ENCODINGS = (AUTO, PLAIN, BASE64, GZIP)

# An empty value would take the key away; cloud-init itself writes this for an encoding that is to
# be none.
NO_ENCODING = " "

# One message of the guest's channel to its host carries so much; above it old releases of Tools
# have failed.
COMFORTABLE = 64 * 1024
# What a VMX file may hold, and what a guest can read back of one value.
LARGEST = 1024 * 1024

_BASE64_NAMES = ("base64", "b64")
_GZIP_NAMES = ("gzip+base64", "gz+b64")
KNOWN = (*_BASE64_NAMES, *_GZIP_NAMES)

# Far more than cloud-init could be given, so that a small value which unpacks without end fills no
# memory.
_LARGEST_UNPACKED = 16 * LARGEST


class Undecodable(Exception):
    """A value that is not what its encoding says."""


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A value as it is written. It may hold secrets and is never in ``repr``."""

    value: str = dataclasses.field(repr=False)
    encoding: str

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return len(self.value.encode())


def encode(text: str, encoding: str = AUTO) -> Encoded:
    """A text in an encoding; ``auto`` takes base64, and packs what would be uncomfortably large.

    The same text gives the same value, always: nothing of the time or the machine is in it.
    """
    data = text.encode()
    if encoding == PLAIN:
        return Encoded(text, NO_ENCODING)
    plain = base64.b64encode(data).decode()
    if encoding == BASE64 or (encoding == AUTO and len(plain) <= COMFORTABLE):
        return Encoded(plain, BASE64)
    # The header of gzip would tell the time otherwise.
    return Encoded(base64.b64encode(gzip.compress(data, 9, mtime=0)).decode(), GZIP)


def is_absent(value: str | None) -> bool:
    """Whether cloud-init reads a value as nothing."""
    return value is None or value.rstrip() in ("", OVERWRITTEN)


def decode(value: str | None, encoding: str | None) -> str | None:
    """What cloud-init reads, or None for nothing.

    :raises Undecodable: where it would fail.
    """
    if value is None or is_absent(value):
        return None
    name = (encoding or "").rstrip()
    value = value.rstrip()
    try:
        if name in _GZIP_NAMES:
            return _unpacked(base64.b64decode(value)).decode()
        if name in _BASE64_NAMES:
            return base64.b64decode(value).decode()
    except (binascii.Error, zlib.error, UnicodeDecodeError, ValueError) as error:
        raise Undecodable(f"it is no {name}") from error
    return value


def _unpacked(data: bytes) -> bytes:
    packed = zlib.decompressobj(wbits=31)
    done = packed.decompress(data, _LARGEST_UNPACKED)
    if not packed.eof:
        raise Undecodable("it is cut off, or unpacks to more than anybody meant")
    return done


def same_text(left: str | None, right: str | None) -> bool:
    """Whether cloud-init would read the same: line ends and what is blank at the end are not used."""
    return (left is None) == (right is None) and _normal(left) == _normal(right)


def _normal(text: str | None) -> str:
    return (text or "").replace("\r\n", "\n").replace("\r", "\n").rstrip()


# What was derived of texts in this process, by a digest of them that leaves it never.
_DERIVED: dict[bytes, bytes] = {}
_MOST_DERIVED = 10_000


def fingerprint(salt: str, texts: t.Iterable[str]) -> str:
    """What tells later whether texts were the same, and does not say what they were.

    It is kept where others can read it, and user data may hold a password that is easily guessed,
    so a key is derived of the texts, slowly. That is done once for the same texts: the salt, which
    is a VM's own, comes in afterwards, so that nobody sees which VMs have the same. Each guess
    costs the slow step.
    """
    total = "\0".join(_normal(text) for text in texts).encode()
    known = hashlib.sha256(total).digest()
    if known not in _DERIVED:
        if len(_DERIVED) >= _MOST_DERIVED:
            _DERIVED.clear()
        _DERIVED[known] = hashlib.scrypt(total, salt=b"vforge.cloudinit", n=2**12, r=8, p=1, dklen=32)
    return hmac.digest(_DERIVED[known], salt.encode(), "sha256")[:16].hex()
