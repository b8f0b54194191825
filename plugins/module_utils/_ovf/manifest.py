# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest: which digest each file of a package has (DMTF DSP0243, section 6.2). Pure."""

from __future__ import annotations

import typing as t

from .blobs import printable
from .errors import PackageError

# A line has a digest of at most 128 digits and a name, and a package at most 1000 files.
LONGEST = 256 * 2**10
_LONGEST_LINE = 4 * 2**10

_LENGTHS = {"sha1": 40, "sha256": 64, "sha512": 128}


class Digest(t.NamedTuple):
    """``sha256``, and the digest in lower-case hexadecimal digits."""

    algorithm: str
    value: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"


def parse(document: bytes, what: str) -> dict[str, Digest]:
    """The digests by the name of the file.

    :raises PackageError: ``invalid_package``, for any line that is none of a manifest: half of one proves nothing.
    """
    found: dict[str, Digest] = {}
    for number, line in enumerate(document.decode("utf-8", errors="replace").lstrip("\ufeff").split("\n"), 1):
        if not line.strip():
            continue
        name, digest = _line(line.strip(), f"{what}: line {number}")
        if found.setdefault(name, digest) != digest:
            raise PackageError("invalid_package", f"{what} gives two digests for {printable(name)[:200]}.")
    return found


def _line(line: str, where: str) -> tuple[str, Digest]:
    """``SHA256(web.ovf)= 0123...``"""
    head, sign, value = line.rpartition("=")
    algorithm, bracket, name = head.rstrip().partition("(")
    if len(line) > _LONGEST_LINE or not sign or not bracket or not name.endswith(")") or not name[:-1].strip():
        raise PackageError("invalid_package", f"{where} is none of a manifest.")
    digest = Digest(algorithm.strip().lower(), value.strip().lower())
    _check(digest, where)
    return name[:-1].strip(), digest


def given(text: str) -> Digest:
    """A digest that a user wrote: ``sha256:...``.

    :raises PackageError: when it is none.
    """
    algorithm, _colon, value = text.strip().lower().partition(":")
    digest = Digest(algorithm, value.strip())
    _check(digest, "checksum")
    return digest


def _check(digest: Digest, where: str) -> None:
    length = _LENGTHS.get(digest.algorithm)
    if length is None:
        raise PackageError(
            "invalid_package", f"{where} uses {digest.algorithm[:40]!r}.", hint="sha1, sha256 and sha512 are understood."
        )
    if len(digest.value) != length or digest.value.strip("0123456789abcdef"):
        raise PackageError("invalid_package", f"{where} has no {digest.algorithm} of {length} hexadecimal digits.")
