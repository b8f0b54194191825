# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest: which digest each file of a package has (DMTF DSP0243, section 6.2). Pure.

Tools write it in more ways than the standard has: ``SHA2-256(`` is OpenSSL 3, ``SHA-256(`` are some
build systems, lines of a digest and a name are ``sha256sum``, and some give several digests for one
file. All of that proves as much as the standard's own form, so it is understood. The strongest
digest of a file is the one that counts.
"""

from __future__ import annotations

import dataclasses
import posixpath
import typing as t
import unicodedata
import urllib.parse

from .blobs import PackageError, printable

# A line has a digest of at most 128 digits and a name, and a package at most 1000 files.
LONGEST = 256 * 2**10
_LONGEST_LINE = 4 * 2**10

# Hexadecimal digits of each algorithm, from the weakest to the strongest.
_LENGTHS = {"sha1": 40, "sha256": 64, "sha384": 96, "sha512": 128}
_STRENGTH = tuple(_LENGTHS)

_ALGORITHMS = {"sha1": "sha1", "sha-1": "sha1"} | {
    f"{prefix}{bits}": f"sha{bits}" for prefix in ("sha", "sha-", "sha2-") for bits in (256, 384, 512)
}

# What vCenter's own wizard reads: these words before the bracket, in any case.
_TAKEN_BY_THE_WIZARD = ("sha1", "sha256", "sha512")


class Digest(t.NamedTuple):
    """``sha256``, and the digest in lower-case hexadecimal digits."""

    algorithm: str
    value: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A manifest.

    :ivar digests: the strongest digest of each file, by its name as ``canonical`` writes it.
    :ivar oddities: what of its form vCenter's own wizard does not take.
    """

    digests: dict[str, Digest]
    oddities: tuple[str, ...] = ()


class _Line(t.NamedTuple):
    """One line; ``word`` is the algorithm as it is written, empty in sha256sum's format."""

    name: str
    word: str
    algorithm: str
    value: str


def canonical(name: str) -> str:
    """A file's name without ``./`` and doubled slashes, so that two ways to write it are one."""
    return posixpath.normpath(name.strip())


def decoded(name: str) -> str:
    """The same, with percent-encoded characters as themselves."""
    return canonical(urllib.parse.unquote(name))


def folded(name: str) -> str:
    """The same, in whichever case and Unicode form the machine that packed it writes names."""
    return unicodedata.normalize("NFC", decoded(name)).casefold()


def parse(document: bytes, what: str) -> Manifest:
    """Read a manifest.

    :param what: names it in messages.
    :raises PackageError: ``invalid_package``, for any line that is none of a manifest, and for a
        file with digests that are not understood, or with two that differ: half of one proves
        nothing.
    """
    found: dict[str, dict[str, str]] = {}
    unknown: dict[str, PackageError] = {}
    oddities: dict[str, None] = {}
    for number, raw in enumerate(_lines(document), 1):
        if not raw.strip():
            continue
        where = f"{what}: line {number}"
        line = _line(raw.strip(), where)
        known = found.setdefault(line.name, {})
        if line.algorithm not in _LENGTHS:
            unknown.setdefault(line.name, _not_understood(line.algorithm, where))
            continue
        _check(Digest(line.algorithm, line.value), where)
        if known.setdefault(line.algorithm, line.value) != line.value:
            raise PackageError(
                "invalid_package",
                f"{what} gives two digests for {printable(line.name)[:200]}.",
            )
        for oddity in _oddities(line, known):
            oddities[oddity] = None
    return Manifest({name: _strongest(found[name], unknown.get(name)) for name in found}, tuple(oddities))


def _lines(document: bytes) -> list[str]:
    return document.decode("utf-8", errors="replace").lstrip("\ufeff").split("\n")


def _strongest(values: t.Mapping[str, str], unknown: PackageError | None) -> Digest:
    if not values and unknown is not None:
        raise unknown
    algorithm = max(values, key=_STRENGTH.index)
    return Digest(algorithm, values[algorithm])


def _oddities(line: _Line, known: t.Mapping[str, str]) -> t.Iterator[str]:
    if not line.word:
        yield "lines as sha256sum writes them"
    elif line.word not in _TAKEN_BY_THE_WIZARD:
        yield f"{line.word.upper()} for the algorithm"
    if len(known) > 1:
        yield "several digests for one file"


def _line(line: str, where: str) -> _Line:
    """``SHA256(web.ovf)= 0123...``, or ``0123...  web.ovf``.

    :raises PackageError: it is neither.
    """
    if len(line) <= _LONGEST_LINE:
        found = _in_brackets(line) or _of_sums(line)
        if found is not None:
            return found
    raise PackageError("invalid_package", f"{where} is none of a manifest.")


def _in_brackets(line: str) -> _Line | None:
    head, sign, value = line.rpartition("=")
    word, bracket, name = head.rstrip().partition("(")
    if not sign or not bracket or not name.endswith(")") or not name[:-1].strip():
        return None
    word = word.strip().lower()
    return _Line(canonical(name[:-1]), word, algorithm(word), value.strip().lower())


def _of_sums(line: str) -> _Line | None:
    """A line of sha256sum: the digest, a blank, a blank or an asterisk, the name."""
    value, _blank, name = line.partition(" ")
    name = name.strip().removeprefix("*")
    kind = next((kind for kind, length in _LENGTHS.items() if length == len(value)), None)
    if kind is None or not name or not _is_hexadecimal(value.lower()):
        return None
    return _Line(canonical(name), "", kind, value.lower())


def algorithm(word: str) -> str:
    """The algorithm that a word means, as hashlib names it; the word itself where none is known."""
    return _ALGORITHMS.get(word.strip().lower(), word.strip().lower())


def given(text: str) -> Digest:
    """A digest that a user wrote: ``sha256:...``.

    :raises PackageError: when it is none.
    """
    word, _colon, value = text.strip().lower().partition(":")
    digest = Digest(algorithm(word), value.strip())
    _check(digest, "checksum")
    return digest


def _check(digest: Digest, where: str) -> None:
    length = _LENGTHS.get(digest.algorithm)
    if length is None:
        raise _not_understood(digest.algorithm, where)
    if len(digest.value) != length or not _is_hexadecimal(digest.value):
        raise PackageError(
            "invalid_package",
            f"{where} has no {digest.algorithm} of {length} hexadecimal digits.",
        )


def _is_hexadecimal(value: str) -> bool:
    return not value.strip("0123456789abcdef")


def _not_understood(word: str, where: str) -> PackageError:
    *others, last = _LENGTHS
    return PackageError(
        "invalid_package",
        f"{where} uses {printable(word)[:40]!r}.",
        hint=f"{', '.join(others)} and {last} are understood.",
    )


# --- whose digests they are ---


@dataclasses.dataclass(frozen=True)
class Assigned:
    """The digests of a manifest, by the names that the package itself uses.

    :ivar unused: the names in the manifest that are none of the package's.
    """

    digests: dict[str, Digest]
    unused: tuple[str, ...]


def assign(listing: Manifest, descriptor: str, own: t.Iterable[str], folder: str = "") -> Assigned:
    """Find out which file each digest is of.

    The name as it is written comes first, then with percent-encoded characters decoded, then in
    whichever case. A digest that a file gets by mistake is one that it does not have, so the worst
    that a mistake can do is an error.

    :param descriptor: name of the descriptor. It may have been renamed since the manifest was
        written: a manifest's only name of a descriptor is taken for it.
    :param own: names of the package's files, and of their pieces.
    :param folder: in which the descriptor is, where names in the manifest begin with it.
    """
    left = {_below(folder, name): digest for name, digest in listing.digests.items()}
    found: dict[str, Digest] = {}
    due = [descriptor, *own]
    for form in (canonical, decoded, folded):
        by_form: dict[str, list[str]] = {}
        for name in left:
            by_form.setdefault(form(name), []).append(name)
        for name in due:
            same = by_form.get(form(name), [])
            if name not in found and len(same) == 1 and same[0] in left:
                found[name] = left.pop(same[0])
    descriptors = [name for name in left if folded(name).endswith(".ovf")]
    if descriptor not in found and len(descriptors) == 1:
        found[descriptor] = left.pop(descriptors[0])
    return Assigned(found, tuple(left))


def _below(folder: str, name: str) -> str:
    return name.removeprefix(f"{folder}/") if folder else name
