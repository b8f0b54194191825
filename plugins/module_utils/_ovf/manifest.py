# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest: which digest each file of a package has (DMTF DSP0243, section 6.2). Pure."""

from __future__ import annotations

import re
import typing as t

from .errors import PackageError

LONGEST = 2**20

_LENGTHS = {"sha1": 40, "sha256": 64, "sha512": 128}
_LINE = re.compile(r"\s*(\w+)\s*\((.+)\)\s*=\s*([0-9a-fA-F]+)\s*")


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
    for number, line in enumerate(document.decode("utf-8", errors="replace").lstrip("\ufeff").splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise PackageError("invalid_package", f"{what}: line {number} is none of a manifest.")
        name, digest = match[2].strip(), Digest(match[1].lower(), match[3].lower())
        _check(digest, f"{what}: line {number}")
        if found.setdefault(name, digest) != digest:
            raise PackageError("invalid_package", f"{what} gives two digests for {name}.")
    return found


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
            "invalid_package", f"{where} uses {digest.algorithm!r}.", hint="sha1, sha256 and sha512 are understood."
        )
    if not re.fullmatch(rf"[0-9a-f]{{{length}}}", digest.value):
        raise PackageError("invalid_package", f"{where} has no {digest.algorithm} of {length} hexadecimal digits.")
