# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An OVF package: its descriptor, manifest, signature and files, wherever it lies."""

from __future__ import annotations

import dataclasses
import os
import posixpath
import re
import typing as t
import urllib.parse

from . import descriptor, manifest
from .blobs import Blob, JoinedBlob, LocalBlob, SliceBlob, printable, read_archive, whole
from .descriptor import Descriptor
from .errors import PackageError
from .manifest import Digest
from .websource import RemoteBlob, Web, WebAccess, parse_url

# A signature and the certificates that go with it; a certificate has two or three KiB.
_SIGNATURES_LONGEST = 64 * 2**10

# A file of a terabyte in pieces of a gigabyte.
_MOST_PIECES = 1000

# Names the file in which a tar archive is one (POSIX.1-1988, ustar); 257 bytes into the first header.
_TAR_MAGIC = (257, b"ustar")


@dataclasses.dataclass(frozen=True)
class Package:
    """What was found.

    :ivar source: the file that was named: the OVA, or the descriptor.
    :ivar files: by their names in the descriptor.
    :ivar packed: whether it is one file, an OVA.
    :ivar certificate: what the file ``.cert`` holds, or None.
    :ivar seen: what was read of an OVA to know all this, as it is in the archive: where, and the bytes.
    """

    label: str
    source: Blob
    descriptor_name: str
    descriptor_bytes: bytes = dataclasses.field(repr=False)
    descriptor: Descriptor
    files: dict[str, Blob]
    manifest: dict[str, Digest]
    packed: bool = False
    manifest_bytes: bytes | None = dataclasses.field(default=None, repr=False)
    certificate: bytes | None = dataclasses.field(default=None, repr=False)
    seen: tuple[tuple[int, bytes], ...] = dataclasses.field(default=(), repr=False)

    def left_out(self) -> list[str]:
        """What the manifest says nothing of, of the descriptor and its files. A file in pieces may be there by its pieces."""
        missing = [] if self.descriptor_name in self.manifest else [printable(self.descriptor_name)]
        for href, blob in self.files.items():
            pieces = blob.pieces if isinstance(blob, JoinedBlob) else None
            if href not in self.manifest and not (pieces and all(name in self.manifest for name in pieces)):
                missing.append(href)
        return missing

    @property
    def size(self) -> int:
        """Bytes of all files that the descriptor lists."""
        return sum(blob.size for blob in self.files.values())


class _Finder(t.Protocol):
    """Looks for a file of a package by its name; None where there is none."""

    def __call__(self, name: str, /) -> Blob | None: ...


def open_package(location: str, access: WebAccess) -> Package:
    """Look at a package; of its disks nothing is read.

    :param location: a path, a ``file:`` or an ``http(s):`` address, of an OVA or of an OVF descriptor.
    :raises PackageError: whatever is wrong with it.
    :raises TimedOut: when the deadline passes.
    """
    source, base, beside = _source(location, access)
    if not _is_archive(source):
        return _package(source, base, source, beside, access.deadline)
    found = read_archive(source)
    descriptors = [name for name in found.members if name.lower().endswith(".ovf")]
    if len(descriptors) != 1:
        raise PackageError("invalid_package", f"{source.label} holds {len(descriptors)} descriptors; an OVA has one.")
    name = descriptors[0]
    package = _package(source, name, found.members[name], found.members.get, access.deadline)
    return dataclasses.replace(package, seen=(*found.headers, *_small_members(package, found.members)))


def _small_members(package: Package, members: t.Mapping[str, Blob]) -> t.Iterator[tuple[int, bytes]]:
    """The members of an OVA that were read whole."""
    stem = _stem(package.descriptor_name)
    for name, data in (
        (package.descriptor_name, package.descriptor_bytes),
        (f"{stem}.mf", package.manifest_bytes),
        (f"{stem}.cert", package.certificate),
    ):
        member = members.get(name)
        if data is not None and isinstance(member, SliceBlob):
            yield member.offset, data


def _source(location: str, access: WebAccess) -> tuple[Blob, str, _Finder]:
    """The file that is named, its name, and what finds the files beside it."""
    if re.match(r"https?://", location, re.IGNORECASE):
        web = Web(access)
        url = parse_url(location)
        remote = RemoteBlob(web, url)
        return remote, _base_name(remote.label), lambda name: _remote(web, url, name)
    path = _path(location)
    source, folder = LocalBlob(path, access.deadline), os.path.dirname(path)
    return source, os.path.basename(path), lambda name: _local(folder, name, access.deadline)


def _path(location: str) -> str:
    """The path that a ``file:`` address or a path means."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", location)
    if scheme is None:
        return os.path.abspath(os.path.expanduser(location))
    if scheme[1].lower() != "file":
        raise PackageError(
            "invalid_source", f"A source cannot be read by {scheme[1]}.", hint="Use a path, file:, http: or https:."
        )
    try:
        parts = urllib.parse.urlsplit(location)
    except ValueError:
        raise PackageError("invalid_source", f"{location} is no address.", hint="Write file:///path.") from None
    if parts.netloc not in ("", "localhost"):
        raise PackageError("invalid_source", f"{location} names another machine.", hint="Write file:///path.")
    return urllib.parse.unquote(parts.path)


def _local(folder: str, name: str, deadline: float) -> Blob | None:
    try:
        return LocalBlob(name, deadline, folder)
    except PackageError as error:
        if error.error_code == "source_missing":
            return None
        raise


def _remote(web: Web, url: str, name: str) -> Blob | None:
    try:
        return RemoteBlob(web, urllib.parse.urljoin(url, urllib.parse.quote(name)))
    except PackageError as error:
        if error.error_code == "source_missing":
            return None
        raise


def _is_archive(source: Blob) -> bool:
    head = _head(source)
    if head[_TAR_MAGIC[0] :].startswith(_TAR_MAGIC[1]):
        return True
    if head.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"<"):
        return False
    what = (
        "a compressed file"
        if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"PK"))
        else "neither an OVA nor an OVF descriptor"
    )
    raise PackageError("invalid_package", f"{source.label} is {what}.", hint="Name an .ova or an .ovf file.")


def _head(source: Blob) -> bytes:
    stream = source.open()
    try:
        buffer = bytearray(512)
        read = stream.readinto(memoryview(buffer))
        return bytes(buffer[:read])
    finally:
        stream.close()


def _package(source: Blob, name: str, document: Blob, find: _Finder, deadline: float) -> Package:
    text = whole(document, descriptor.LONGEST)
    parsed = descriptor.parse(text, document.label, deadline)
    stem = _stem(name)
    listing, certificate = _small(find, f"{stem}.mf", manifest.LONGEST), _small(find, f"{stem}.cert", _SIGNATURES_LONGEST)
    return Package(
        label=_base_name(source.label),
        source=source,
        descriptor_name=name,
        descriptor_bytes=text,
        descriptor=parsed,
        files={file.href: _file(file, find, document.label) for file in parsed.files},
        manifest=manifest.parse(listing, f"the manifest of {source.label}") if listing is not None else {},
        packed=document is not source,
        manifest_bytes=listing,
        certificate=certificate,
    )


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _small(find: _Finder, name: str, longest: int) -> bytes | None:
    blob = find(name)
    return None if blob is None else whole(blob, longest)


def _file(file: descriptor.File, find: _Finder, what: str) -> Blob:
    """The file that the descriptor lists, of the size that it announces."""
    check_name(file.href, what)
    blob = _in_chunks(file, find, what) if file.chunk_size else find(file.href)
    if blob is None:
        raise PackageError("invalid_package", f"{what} lists the file {file.href}, which is not there.")
    if file.size is not None and blob.size > file.size:
        raise PackageError(
            "unsafe_package",
            f"{blob.label} has {blob.size} bytes, more than the {file.size} that the descriptor announces.",
            hint="It is not the file that the descriptor was written for.",
        )
    if file.size is not None and blob.size < file.size:
        raise PackageError(
            "invalid_package",
            f"{blob.label} has {blob.size} bytes of the {file.size} that the descriptor announces.",
            hint="It was not copied or downloaded to its end: get it again.",
        )
    return blob


def _in_chunks(file: descriptor.File, find: _Finder, what: str) -> Blob:
    """The pieces ``NAME.000000000`` and so on as one (DSP0243, section 7.1)."""
    if file.size is None:
        raise PackageError("invalid_package", f"{what}: {file.href} comes in pieces, and its size is not told.")
    count = max(1, -(-file.size // (file.chunk_size or 1)))
    if count > _MOST_PIECES:
        raise PackageError("unsafe_package", f"{what}: {file.href} comes in {count} pieces.")
    pieces: dict[str, Blob] = {}
    for number in range(count):
        name = f"{file.href}.{number:09d}"
        piece = find(name)
        if piece is None:
            raise PackageError("invalid_package", f"{what}: piece {number} of {file.href} is not there.")
        pieces[name] = piece
    return JoinedBlob(printable(file.href), pieces)


def check_name(href: str, what: str) -> None:
    """Refuse a name that leads out of the package.

    :raises PackageError: ``unsafe_package``.
    """
    parts = re.split(r"[/\\]", href)
    if posixpath.isabs(href) or href.startswith("\\") or ".." in parts or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", href):
        raise PackageError(
            "unsafe_package",
            f"{what} lists a file outside of the package ({href[:200]!r}).",
            hint="Do not trust where it comes from.",
        )


def _base_name(label: str) -> str:
    return label.rpartition("/")[2]
