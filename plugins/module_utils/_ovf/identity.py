# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The identity of a package is its content: one digest of the descriptor and of every file.

A file counts by the digest that the manifest gives it, or by its SHA-256 where there is none. So the identity of a package
with a manifest is known before a byte of a disk is read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

from .digests import Digester, Want
from .errors import PackageError
from .manifest import Digest
from .package import Package

BEFORE, STREAM, NONE = "before", "stream", "none"


@dataclasses.dataclass(frozen=True)
class Identity:
    """What the package is.

    :ivar digest: ``sha256:...``, of all of it.
    :ivar files: the digest of each file, by its name in the descriptor.
    :ivar verified: the files whose bytes are known to have their digest; the others are looked at while they are sent.
    """

    digest: str
    files: dict[str, Digest]
    verified: frozenset[str]
    warnings: tuple[str, ...] = ()


def identify(package: Package, verify: str, given: Digest | None, digester: Digester) -> Identity:
    """Find out what a package is, and check it as far as it is to be checked before anything is sent.

    :param verify: ``before`` reads every file whose digest is not remembered; ``stream`` only what the manifest leaves out.
    :param given: the digest that the user gave for the source, or None.
    :raises PackageError: ``checksum_mismatch``, or what reading brings.
    """
    _check_descriptor(package)
    expected = {href: package.manifest.get(href) for href in package.files}
    wants = {
        href: Want(blob, (expected[href] or Digest("sha256", "")).algorithm)
        for href, blob in package.files.items()
        if verify == BEFORE or expected[href] is None
    }
    source = [Want(package.source, given.algorithm)] if given else []
    if given and package.packed:
        # All of it has to be read for that: then every file is looked at in the same pass.
        wants = {href: Want(blob, (expected[href] or Digest("sha256", "")).algorithm) for href, blob in package.files.items()}
    found = digester.digests([*wants.values(), *source])
    if given:
        _compare(package.source.label, found[source[0]], given, "the option checksum")
    for href, want in wants.items():
        _compare(want.blob.label, found[want], expected[href], "the manifest")
    files = {href: found[wants[href]] if href in wants else t.cast(Digest, expected[href]) for href in package.files}
    return Identity(_digest(package, files), files, frozenset(wants), tuple(_warnings(package)))


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


def _check_descriptor(package: Package) -> None:
    expected = package.manifest.get(package.descriptor_name)
    if expected is not None:
        value = hashlib.new(expected.algorithm, package.descriptor_bytes, usedforsecurity=False).hexdigest()
        _compare(package.descriptor_name, Digest(expected.algorithm, value), expected, "the manifest")


def _digest(package: Package, files: t.Mapping[str, Digest]) -> str:
    lines = ["vforge ovf 1", f"descriptor sha256:{hashlib.sha256(package.descriptor_bytes).hexdigest()}"]
    lines += [f"file {href} {package.files[href].size} {digest}" for href, digest in files.items()]
    return "sha256:" + hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def _warnings(package: Package) -> t.Iterator[str]:
    if package.manifest_bytes is None:
        yield f"{package.label} has no manifest, so whether its files are what their maker made cannot be told."
        return
    left_out = [name for name in (package.descriptor_name, *package.files) if name not in package.manifest]
    if left_out:
        yield f"The manifest of {package.label} leaves out {', '.join(left_out)}."
