# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The identity of a package is its content: one digest of the descriptor and of every file.

A file counts by the digest that the manifest gives it, or by its SHA-256 where there is none. So the identity of a package
with a manifest is known before a byte of a disk is read.

Whether the bytes are what the identity says is another question. It is asked of the bytes that are sent, while they are sent,
and answered before an import is completed; with ``verify: before`` it is asked before anything is made, too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

from .._connector import names
from .blobs import JoinedBlob, printable
from .digests import Digester, Want, Witness
from .errors import PackageError
from .manifest import Digest
from .package import Package

BEFORE, STREAM, NONE = "before", "stream", "none"

# What a host may tell of the bytes that it has fetched itself.
TOLD_BY_HOSTS = ("sha1", "sha256")


@dataclasses.dataclass(frozen=True)
class Identity:
    """What the package is.

    :ivar digest: ``sha256:...``, of all of it.
    :ivar files: the digest of each file, by its name in the descriptor.
    :ivar read: the files whose bytes this run has read, with every digest that was made of them; ``read_again`` adds to it.
    :ivar remembered: the files whose digest an earlier run had made.
    """

    digest: str
    files: dict[str, Digest]
    read: dict[str, tuple[Digest, ...]] = dataclasses.field(default_factory=dict)
    remembered: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()


def identify(
    package: Package,
    digester: Digester,
    *,
    given: Digest | None = None,
    signed: bool = False,
    everything: bool = False,
    also: t.Sequence[str] = (),
) -> Identity:
    """Find out what a package is, by the manifest, by memory, or by reading.

    :param given: the digest that the user gave for the source, or None. It is held against what is read now.
    :param signed: whether a signature is to vouch for all of it: nothing comes from memory then.
    :param everything: read every file, known or not.
    :param also: algorithms of digests that are wanted besides, of files that are read.
    :raises PackageError: ``checksum_mismatch``, or what reading brings.
    """
    _check_descriptor(package, given)
    expected = {href: package.manifest.get(href) for href in package.files}
    whole = given is not None and package.packed
    due = [href for href in package.files if whole or everything or expected[href] is None]
    first = {href: Want(package.files[href], (expected[href] or Digest("sha256", "")).algorithm) for href in due}
    remembered = {} if whole or everything or signed else digester.remembered(list(first.values()))
    read = _read(package, digester, [href for href in due if first[href] not in remembered], given if whole else None, also)
    files = {
        href: digest or (remembered[first[href]] if href not in read else read[href][0]) for href, digest in expected.items()
    }
    return Identity(_digest(package, files), files, read, frozenset(due) - frozenset(read), tuple(_warnings(package)))


def read_again(package: Package, known: Identity, hrefs: t.Iterable[str], digester: Digester, also: t.Sequence[str]) -> None:
    """Hold files against their digests, by reading them, before they are sent; what was read already is not read again.

    :param also: as in ``identify``.
    :raises PackageError: ``checksum_mismatch``, ``source_changed``.
    """
    read = _read(package, digester, [href for href in hrefs if href not in known.read], None, also)
    for href, digests in read.items():
        if known.files[href] not in digests:
            raise wrong(package, known, href, digests[0], digester)
    known.read.update(read)


def _read(
    package: Package, digester: Digester, hrefs: t.Sequence[str], given: Digest | None, also: t.Sequence[str]
) -> dict[str, tuple[Digest, ...]]:
    """Read files, and hold them against the manifest; with ``given`` all of the source, in the same pass."""
    wants: dict[str, list[Want]] = {}
    for href in hrefs:
        expected = package.manifest.get(href)
        algorithms = dict.fromkeys((expected.algorithm if expected else "sha256", *also))
        wants[href] = [Want(package.files[href], algorithm) for algorithm in algorithms]
    pieces = {want: (name, digest) for href in hrefs for want, name, digest in _pieces(package, href)}
    source = [Want(package.source, given.algorithm)] if given else []
    witness = Witness(package.source, package.seen) if given else None
    found = digester.fresh([*(want for group in wants.values() for want in group), *pieces, *source], witness)
    if given:
        _compare(package.source.label, found[source[0]], given, "the option checksum")
    for want, (name, digest) in pieces.items():
        _compare(name, found[want], digest, "the manifest")
    for href, group in wants.items():
        _compare(package.files[href].label, found[group[0]], package.manifest.get(href), "the manifest")
    return {href: tuple(found[want] for want in group) for href, group in wants.items()}


def _pieces(package: Package, href: str) -> t.Iterator[tuple[Want, str, Digest]]:
    """The pieces of a file that the manifest names one by one."""
    blob = package.files[href]
    if isinstance(blob, JoinedBlob):
        for name, piece in blob.pieces.items():
            if name in package.manifest:
                digest = package.manifest[name]
                yield Want(piece, digest.algorithm), name, digest


def wrong(package: Package, known: Identity, href: str, found: Digest, digester: Digester) -> PackageError:
    """The error for a file whose bytes are not what the identity says; what was remembered of it is forgotten."""
    label = package.files[href].label
    if href in known.remembered and href not in known.read:
        digester.forget(package.files[href])
        return PackageError(
            "source_changed",
            f"{label} has other bytes than when its digest was remembered, and yet the same "
            "time of last change, or the same ETag.",
            hint="What was remembered is forgotten: run again.",
        )
    where = "the manifest" if href in package.manifest else "what was read of it before"
    return mismatch(label, found, known.files[href], where)


def mismatch(label: str, found: Digest, expected: Digest, where: str) -> PackageError:
    """The error for bytes that are not what they should be."""
    return PackageError(
        "checksum_mismatch",
        f"{label} has {found}, and {where} says {expected.value}.",
        hint="It was damaged or changed on its way: get it again from where it comes from.",
        expected=str(expected),
        found=str(found),
    )


def _compare(label: str, found: Digest, expected: Digest | None, where: str) -> None:
    if expected is not None and found != expected:
        raise mismatch(label, found, expected, where)


def _check_descriptor(package: Package, given: Digest | None) -> None:
    """The descriptor is in memory, as it is sent."""
    for expected, where in (
        (package.manifest.get(package.descriptor_name), "the manifest"),
        (None if package.packed else given, "the option checksum"),
    ):
        if expected is not None:
            value = hashlib.new(expected.algorithm, package.descriptor_bytes, usedforsecurity=False).hexdigest()
            _compare(printable(package.descriptor_name), Digest(expected.algorithm, value), expected, where)


def _digest(package: Package, files: t.Mapping[str, Digest]) -> str:
    lines = ["vforge ovf 1", f"descriptor sha256:{hashlib.sha256(package.descriptor_bytes).hexdigest()}"]
    lines += [f"file {href} {package.files[href].size} {digest}" for href, digest in files.items()]
    return "sha256:" + hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _warnings(package: Package) -> t.Iterator[str]:
    if package.manifest_bytes is None:
        yield f"{package.label} has no manifest, so whether its files are what their maker made cannot be told."
        return
    left_out = package.left_out()
    if left_out:
        yield f"The manifest of {package.label} leaves out {names.listing(left_out, most=5)}."
