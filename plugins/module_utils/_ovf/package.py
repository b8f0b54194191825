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

from .._connector import names
from . import descriptor, manifest
from .blobs import (
    Blob,
    JoinedBlob,
    LocalBlob,
    PackageError,
    SliceBlob,
    is_archive,
    is_printable,
    printable,
    read_archive,
    whole,
)
from .descriptor import Descriptor
from .manifest import Digest
from .websource import RemoteBlob, Web, WebAccess, page_instead, parse_url

# A signature and the certificates that go with it; a certificate has two or three KiB.
_SIGNATURES_LONGEST = 64 * 2**10

# A file of a terabyte in pieces of a gigabyte.
_MOST_PIECES = 1000

_DESCRIPTOR, _MANIFEST, _SIGNATURE = ".ovf", ".mf", ".cert"

# A web server is asked for each name, so a manifest is not followed into the hundreds there.
_MOST_QUESTIONS = 20

_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"PK", b"\x28\xb5\x2f\xfd")

# A page begins with these, behind blanks, the declaration of XML and comments.
_PAGE = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b",
    re.I | re.S,
)


@dataclasses.dataclass(frozen=True)
class Package:
    """What was found.

    :ivar source: the file that was named: the OVA, or the descriptor.
    :ivar files: by their names in the descriptor.
    :ivar manifest: the digests, by the names that the descriptor uses.
    :ivar unused: names in the manifest for which there is no file at all.
    :ivar remarks: what the user should know when the package is imported.
    :ivar packed: whether it is one file, an OVA.
    :ivar certificate: what the file ``.cert`` holds; None where there is none, or nobody asked for
        it.
    :ivar seen: what was read of an OVA to know all this, as it is in the archive: where, and the
        bytes.
    """

    label: str
    source: Blob
    descriptor_name: str
    descriptor_bytes: bytes = dataclasses.field(repr=False)
    descriptor: Descriptor
    files: dict[str, Blob]
    manifest: dict[str, Digest]
    unused: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    packed: bool = False
    manifest_bytes: bytes | None = dataclasses.field(default=None, repr=False)
    certificate: bytes | None = dataclasses.field(default=None, repr=False)
    seen: tuple[tuple[int, bytes], ...] = dataclasses.field(default=(), repr=False)

    def left_out(self) -> list[str]:
        """What the manifest says nothing of, of the descriptor and its files.

        A file in pieces may be there by its pieces.
        """
        missing = []
        if self.descriptor_name not in self.manifest:
            missing.append(printable(self.descriptor_name))
        missing += [href for href, blob in self.files.items() if not _has_digest(href, blob, self.manifest)]
        return missing

    @property
    def size(self) -> int:
        """Bytes of all files that the descriptor lists."""
        return sum(blob.size for blob in self.files.values())


def open_package(
    location: str,
    access: WebAccess,
    *,
    signed: bool = False,
    system: str = "",
) -> Package:
    """Look at a package; of its disks nothing is read.

    :param location: a path, a ``file:`` or an ``http(s):`` address, of an OVA or of an OVF
        descriptor.
    :param signed: whether its signature is needed, for which a web server has to be asked.
    :param system: id of the VM that is wanted, in a vApp of several.
    :raises PackageError: whatever is wrong with it.
    :raises TimedOut: when the deadline passes.
    """
    source, base, beside = _source(location, access)
    if not _holds_archive(source):
        return _Opening(source, source, beside, access.deadline).package(
            base,
            signed=signed,
            system=system,
        )
    found = read_archive(source)
    name = _descriptor_of(source, found.members)
    inside = _Inside(source, found.members, posixpath.dirname(name))
    opening = _Opening(source, found.members[name], inside, access.deadline)
    package = opening.package(posixpath.basename(name), signed=signed, system=system)
    return dataclasses.replace(package, seen=(*found.headers, *opening.seen))


def _descriptor_of(source: Blob, members: t.Mapping[str, Blob]) -> str:
    """The one descriptor in an OVA. It may be in a folder: its files are then looked for beside it."""
    found = _with_ending(members, _DESCRIPTOR)
    if len(found) != 1:
        which = f" ({names.listing(found, most=5)})" if found else ""
        raise PackageError(
            "invalid_package",
            f"{source.label} holds {len(found)} descriptors{which}; an OVA has one.",
        )
    return found[0]


def _with_ending(found: t.Iterable[str], ending: str) -> list[str]:
    """The names with an ending, in whichever case, without what archivers add for themselves."""
    return [name for name in found if name.casefold().endswith(ending) and not _is_added(name)]


def _is_added(name: str) -> bool:
    """Whether a program that packs files has added this one: macOS, Synology, Solaris' and GNU's
    tar.
    """
    return any(part.startswith((".", "PaxHeader")) or part in ("__MACOSX", "@eaDir") for part in name.split("/"))


# Where the other files of a package are looked for, by their names relative to the descriptor: ``find`` looks for one,
# ``companion`` for the manifest (``.mf``) or the signature (``.cert``) of the descriptor.


class _Inside:
    """An OVA."""

    def __init__(self, source: Blob, members: t.Mapping[str, Blob], folder: str) -> None:
        self._source = source
        self._members = members
        self.folder = folder

    def find(self, name: str, /) -> Blob | None:
        return self._members.get(posixpath.normpath(posixpath.join(self.folder, name)))

    def companion(self, stem: str, ending: str, /) -> Blob | None:
        """The only one that there is; of several the one with the descriptor's own name."""
        found = _with_ending(self._members, ending)
        own = posixpath.join(self.folder, stem + ending)
        named = [name for name in found if manifest.folded(name) == manifest.folded(own)]
        if len(found) > 1 and len(named) != 1:
            raise PackageError(
                "invalid_package",
                f"{self._source.label} holds {len(found)} files {ending} ({names.listing(found, most=5)}), "
                f"and which one is of {stem}{_DESCRIPTOR} cannot be known.",
                hint="Pack it with one.",
            )
        chosen = named or found
        return self._members[chosen[0]] if chosen else None


class _Folder:
    """A folder of this machine."""

    folder = ""

    def __init__(self, path: str, deadline: float) -> None:
        self._path = path
        self._deadline = deadline

    def find(self, name: str, /) -> Blob | None:
        try:
            return LocalBlob(name, self._deadline, self._path)
        except PackageError as error:
            if error.error_code == "source_missing":
                return None
            raise

    def companion(self, stem: str, ending: str, /) -> Blob | None:
        """The one of the descriptor's name, in whichever case; or the only one, beside the only
        descriptor.
        """
        exact = self.find(stem + ending)
        if exact is not None:
            return exact
        listed = self._listed()
        found = _with_ending(listed, ending)
        named = [name for name in found if manifest.folded(name) == manifest.folded(stem + ending)]
        if not named and len(_with_ending(listed, _DESCRIPTOR)) == 1:
            named = found
        return self.find(named[0]) if len(named) == 1 else None

    def _listed(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._path) if is_printable(name))
        except PermissionError:
            return []  # a folder may let one in without showing what it has


class _Site:
    """A web server."""

    folder = ""

    def __init__(self, web: Web, url: str) -> None:
        self._web = web
        self._url = url

    def find(self, name: str, /) -> Blob | None:
        try:
            return RemoteBlob(self._web, self._address(name))
        except PackageError as error:
            if error.error_code == "source_missing":
                return None
            raise

    def companion(self, stem: str, ending: str, /) -> Blob | None:
        """The one of the descriptor's name. Object stores answer 403 for a file that is not there."""
        for name in (stem + ending, stem + ending.upper()):
            try:
                found = self.find(name)
            except PackageError as error:
                if error.details.get("status") != 403:
                    raise
                continue
            if found is not None:
                return found
        return None

    def _address(self, name: str) -> str:
        """Of a file beside the descriptor. The query goes along: it may be a token for the whole
        folder.
        """
        address = urllib.parse.urljoin(self._url, urllib.parse.quote(name))
        query = urllib.parse.urlsplit(self._url).query
        return f"{address}?{query}" if query else address


def _source(location: str, access: WebAccess) -> tuple[Blob, str, _Folder | _Site]:
    """The file that is named, its name, and what finds the files beside it."""
    if re.match(r"https?://", location, re.IGNORECASE):
        web = Web(access)
        url = parse_url(location)
        remote = RemoteBlob(web, url)
        return remote, urllib.parse.unquote(_base_name(remote.label)), _Site(web, url)
    path = _path(location)
    source = LocalBlob(path, access.deadline)
    return source, os.path.basename(path), _Folder(os.path.dirname(path), access.deadline)


def _path(location: str) -> str:
    """The path that a ``file:`` address or a path means."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", location)
    if scheme is None:
        return os.path.abspath(os.path.expanduser(location))
    if scheme[1].lower() != "file":
        raise PackageError(
            "invalid_source",
            f"A source cannot be read by {scheme[1]}.",
            hint="Use a path, file:, http: or https:.",
        )
    try:
        parts = urllib.parse.urlsplit(location)
    except ValueError:
        raise PackageError(
            "invalid_source",
            f"{location} is no address.",
            hint="Write file:///path.",
        ) from None
    if parts.netloc not in ("", "localhost"):
        raise PackageError(
            "invalid_source",
            f"{location} names another machine.",
            hint="Write file:///path.",
        )
    return urllib.parse.unquote(parts.path)


def _holds_archive(source: Blob) -> bool:
    """Whether a source is an OVA; else it is a descriptor.

    :raises PackageError: it is neither.
    """
    head = _head(source)
    if is_archive(head):
        return True
    if _PAGE.match(head):
        raise page_instead(source.label)
    if head.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n").startswith(b"<"):
        return False
    what = "a compressed file" if head.startswith(_COMPRESSED) else "neither an OVA nor an OVF descriptor"
    raise PackageError(
        "invalid_package",
        f"{source.label} is {what}.",
        hint="Name an .ova or an .ovf file.",
    )


def _head(source: Blob) -> bytes:
    stream = source.open()
    try:
        buffer = bytearray(512)
        read = stream.readinto(memoryview(buffer))
        return bytes(buffer[:read])
    finally:
        stream.close()


# --- reading it ---


class _Opening:
    """Opens a package.

    :ivar seen: the small files in an OVA that were read whole: where each begins, and its bytes.
    """

    def __init__(
        self,
        source: Blob,
        document: Blob,
        files: _Inside | _Folder | _Site,
        deadline: float,
    ) -> None:
        self._source = source
        self._document = document
        self._what = document.label
        self._files = files
        self._deadline = deadline
        self.seen: list[tuple[int, bytes]] = []

    def package(self, name: str, *, signed: bool, system: str) -> Package:
        """The package of the descriptor of this name."""
        text = self._read(self._document, descriptor.LONGEST)
        parsed = descriptor.parse(text, self._what, self._deadline, system)
        stem = name.rpartition(".")[0] or name
        files = {file.href: self._file(file) for file in parsed.files}
        document = self._companion(stem, _MANIFEST, manifest.LONGEST)
        listing = manifest.Manifest({})
        if document is not None:
            listing = manifest.parse(document, f"the manifest of {self._source.label}")
        assigned = manifest.assign(listing, name, _all_names(files), self._files.folder)
        label = _base_name(self._source.label)
        return Package(
            label=label,
            source=self._source,
            descriptor_name=name,
            descriptor_bytes=text,
            descriptor=parsed,
            files=files,
            manifest=assigned.digests,
            unused=self._lost(assigned.unused),
            remarks=(
                *_oddities(listing, label),
                *_sizes(parsed.files, files, assigned.digests),
            ),
            packed=self._document is not self._source,
            manifest_bytes=document,
            certificate=self._companion(stem, _SIGNATURE, _SIGNATURES_LONGEST) if signed else None,
        )

    def _read(self, blob: Blob, longest: int) -> bytes:
        data = whole(blob, longest)
        if isinstance(blob, SliceBlob):
            self.seen.append((blob.offset, data))
        return data

    def _companion(self, stem: str, ending: str, longest: int) -> bytes | None:
        blob = self._files.companion(stem, ending)
        if blob is None:
            return None
        data = self._read(blob, longest)
        if _PAGE.match(data[:512]):
            raise page_instead(blob.label)
        return data

    def _lost(self, named: t.Sequence[str]) -> tuple[str, ...]:
        """The names, of those that the descriptor does not have, for which there is no file."""
        if isinstance(self._files, _Site):
            named = named[:_MOST_QUESTIONS]
        return tuple(name for name in named if not self._is_there(name))

    def _is_there(self, name: str) -> bool:
        """Whether a file that the manifest names, and the descriptor does not, exists."""
        if _leads_out(name):
            return False
        try:
            return self._find(name) is not None
        except PackageError as error:
            if error.details.get("status") != 403:
                raise
            return False

    def _file(self, file: descriptor.File) -> Blob:
        """The file that the descriptor lists."""
        check_name(file.href, self._what)
        blob = self._in_chunks(file) if file.chunk_size else self._find(file.href)
        if blob is None:
            raise PackageError(
                "invalid_package",
                f"{self._what} lists the file {file.href}, which is not there.",
            )
        return blob

    def _find(self, href: str) -> Blob | None:
        """A file by its name as it is written, else with percent-encoded characters decoded."""
        refused: PackageError | None = None
        for name in dict.fromkeys((manifest.canonical(href), manifest.decoded(href))):
            check_name(name, self._what)
            try:
                found = self._files.find(name)
            except PackageError as error:
                if error.details.get("status") != 403:
                    raise
                # An object store says so of a name that it does not have; the other one may be
                # right.
                refused = refused or error
                continue
            if found is not None:
                return found
        if refused is not None:
            raise refused
        return None

    def _in_chunks(self, file: descriptor.File) -> Blob | None:
        """The pieces ``NAME.000000000`` and so on as one (DSP0243, section 7.1)."""
        due = None if file.size is None else max(1, -(-file.size // (file.chunk_size or 1)))
        if due is not None and due > _MOST_PIECES:
            raise PackageError(
                "unsafe_package",
                f"{self._what}: {file.href} comes in {due} pieces.",
            )
        pieces: dict[str, Blob] = {}
        while due is None or len(pieces) < due:
            name = f"{file.href}.{len(pieces):09d}"
            piece = self._find(name)
            if piece is None and (due is not None or not pieces):
                raise PackageError(
                    "invalid_package",
                    f"{self._what}: piece {len(pieces)} of {file.href} is not there.",
                )
            if piece is None:
                break  # the descriptor does not say how many there are
            if len(pieces) == _MOST_PIECES:
                raise PackageError(
                    "unsafe_package",
                    f"{self._what}: {file.href} comes in more than {_MOST_PIECES} pieces.",
                )
            pieces[name] = piece
        return JoinedBlob(printable(file.href), pieces)


def _all_names(files: t.Mapping[str, Blob]) -> list[str]:
    """The names of all files, and of the pieces of those that come in some."""
    found = list(files)
    for blob in files.values():
        if isinstance(blob, JoinedBlob):
            found += blob.pieces
    return found


def _has_digest(href: str, blob: Blob, digests: t.Mapping[str, Digest]) -> bool:
    """Whether a manifest has a digest of a file, or of each of its pieces."""
    if href in digests:
        return True
    return isinstance(blob, JoinedBlob) and all(name in digests for name in blob.pieces)


def _oddities(listing: manifest.Manifest, label: str) -> t.Iterator[str]:
    if listing.oddities:
        yield (
            f"The manifest of {label} has {names.listing(listing.oddities, most=5)}. "
            "It is understood and used here; vCenter's own wizard refuses it."
        )


def _sizes(
    listed: t.Iterable[descriptor.File],
    files: t.Mapping[str, Blob],
    digests: t.Mapping[str, Digest],
) -> t.Iterator[str]:
    """What is to be said of sizes that the descriptor has wrong.

    :raises PackageError: no digest shows whether the file is the right one all the same.
    """
    for file in listed:
        blob = files[file.href]
        if file.size is None or file.size == blob.size:
            continue
        if _has_digest(file.href, blob, digests):
            yield (
                f"{blob.label} has {blob.size} bytes, and the descriptor says {file.size}. "
                "Its digest in the manifest decides whether it is the right file."
            )
        elif blob.size > file.size:
            raise PackageError(
                "unsafe_package",
                f"{blob.label} has {blob.size} bytes, more than the {file.size} that the descriptor announces.",
                hint="It is not the file that the descriptor was written for.",
            )
        else:
            raise PackageError(
                "invalid_package",
                f"{blob.label} has {blob.size} bytes of the {file.size} that the descriptor announces.",
                hint="It was not copied or downloaded to its end: get it again.",
            )


def check_name(href: str, what: str) -> None:
    """Refuse a name that leads out of the package.

    :raises PackageError: ``unsafe_package``.
    """
    if _leads_out(href):
        raise PackageError(
            "unsafe_package",
            f"{what} lists a file outside of the package ({href[:200]!r}).",
            hint="Do not trust where it comes from.",
        )


def _leads_out(name: str) -> bool:
    parts = re.split(r"[/\\]", name)
    if posixpath.isabs(name) or name.startswith("\\") or ".." in parts:
        return True
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", name) is not None


def _base_name(label: str) -> str:
    return label.rpartition("/")[2]
