# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SSH host keys that a guest reports: taken apart, and put together again. Pure.

What comes out was made here of bytes that were looked at. No text of the guest reaches a file of
known hosts.
"""

from __future__ import annotations

import base64
import binascii
import collections
import typing as t

from .._vsphere.addresses import shown

_ED25519, _CURVES = 32, {"nistp256": 65, "nistp384": 97, "nistp521": 133}

# Bits of the modulus.
_RSA_LEAST, _RSA_MOST = 1024, 16384

# A report is at most so long, and no key is longer than an RSA key of the greatest size.
_MOST_TEXT, _MOST_KEY = 32_768, 4_096

# A machine has three, or four.
_MOST_KEYS = 8


class NoHostKey(ValueError):
    """A report that is not used; the text says what is wrong, to go on after the name of the VM."""


def parse(value: str | None) -> list[str]:
    """The keys of a report, each as ``TYPE BASE64``, as in a file of known hosts.

    The report is what the guest's files of public keys hold, with commas for line ends. A comment
    may have commas too, and so leave pieces without a key. Keys of types that OpenSSH uses no
    longer, or not yet, are left out.

    :raises NoHostKey: anything in it is not what such files hold; then none of its keys is used.
    """
    if not value:
        return []
    if len(value) > _MOST_TEXT:
        raise NoHostKey(f"reports SSH host keys of {len(value)} characters")
    if not value.replace("\t", " ").isprintable():
        raise NoHostKey("reports SSH host keys with line ends or control characters in them")
    found = [key for piece in value.split(",") if (key := _key(piece.split())) is not None]
    known = list(dict.fromkeys(f"{kind} {base64.b64encode(blob).decode()}" for kind, blob in found if kind in _KINDS))
    if not found:
        raise NoHostKey(f"reports {shown(value)} for SSH host keys, and there is none in it")
    if len(known) > _MOST_KEYS:
        raise NoHostKey(f"reports {len(known)} SSH host keys")
    twice = [kind for kind, count in collections.Counter(key.split()[0] for key in known).items() if count > 1]
    if twice:
        raise NoHostKey(f"reports more than one SSH host key of type {twice[0]}")
    return known


def _key(words: list[str]) -> tuple[str, bytes] | None:
    """Type and content of the key in a piece; None for the rest of a comment."""
    looks = [word for word in words if word in _KINDS]
    blob = _decoded(words[1]) if len(words) > 1 else None
    fields = _fields(blob) if blob is not None else None
    if not fields or fields[0] != words[0].encode():
        if looks:
            raise NoHostKey(f"reports an SSH host key that is none, or has something before its type: {shown(' '.join(words))}")
        return None
    if words[0] in _KINDS and not _KINDS[words[0]](fields[1:]):
        raise NoHostKey(f"reports an SSH host key that is no key of its type {words[0]}")
    return words[0], t.cast("bytes", blob)


def _decoded(text: str) -> bytes | None:
    if len(text) > _MOST_KEY:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _fields(blob: bytes) -> list[bytes] | None:
    """The strings that a key consists of, each behind its length (RFC 4251); None where they do not
    fill it exactly.
    """
    fields, place = [], 0
    while place < len(blob):
        end = place + 4 + int.from_bytes(blob[place : place + 4], "big")
        if end > len(blob):
            return None
        fields.append(blob[place + 4 : end])
        place = end
    return fields


def _is_ed25519(fields: list[bytes]) -> bool:
    return [len(field) for field in fields] == [_ED25519]


def _is_rsa(fields: list[bytes]) -> bool:
    if len(fields) != 2:
        return False
    exponent, modulus = (int.from_bytes(field, "big") for field in fields)
    return exponent > 1 and _RSA_LEAST <= modulus.bit_length() <= _RSA_MOST


def _is_ecdsa(curve: str) -> t.Callable[[list[bytes]], bool]:
    return lambda fields: len(fields) == 2 and fields[0] == curve.encode() and len(fields[1]) == _CURVES[curve]


_KINDS: dict[str, t.Callable[[list[bytes]], bool]] = {
    "ssh-ed25519": _is_ed25519,
    "ssh-rsa": _is_rsa,
    **{f"ecdsa-sha2-{curve}": _is_ecdsa(curve) for curve in _CURVES},
}
