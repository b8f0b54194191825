# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The identity of a package is its content: one digest of the descriptor and of every file.

A file counts by the digest that the manifest gives it, or by its SHA-256 where there is none. So
the identity of a package with a manifest is known before a byte of a disk is read.

Whether the bytes are what the identity says is another question. It is asked of the bytes that are
sent, while they are sent, and answered before an import is completed; with ``verify: before`` it is
asked before anything is made, too.

Digests are remembered for files that did not change: by size and time, as make and rsync judge.
Nobody vouches for that judgement: another file may have the same size and time, and a server may
send anything under the same ``ETag``. So what is remembered serves to find the template that is
there already, and for nothing else.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t

from .. import _files
from .._connector import names
from .._errors import InvalidOption
from .._files import PrivateFolder
from . import manifest
from .blobs import Blob, JoinedBlob, PackageError, SliceBlob, printable
from .manifest import Digest
from .package import Package

BEFORE, STREAM, NONE = "before", "stream", "none"

# The digests that a host may return of the bytes that it has fetched itself.
HASHED_BY_HOSTS = ("sha1", "sha256")


@dataclasses.dataclass(frozen=True)
class Identity:
    """What the package is.

    :ivar digest: ``sha256:...``, of all of it.
    :ivar files: the digest of each file, by its name in the descriptor.
    :ivar read: the files whose bytes this run has read, with every digest that was made of them;
        ``read_again`` adds to it.
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

    :param given: the digest that the user gave for the source, or None. It is held against what is
        read now.
    :param signed: whether a signature is to vouch for all of it: nothing comes from memory then.
    :param everything: read every file, known or not.
    :param also: algorithms of digests that are wanted besides, of files that are read.
    :raises PackageError: ``checksum_mismatch``, or what reading brings.
    """
    _check_manifest(package)
    _check_descriptor(package, given)
    expected = {href: package.manifest.get(href) for href in package.files}
    whole = given is not None and package.packed
    due = [href for href in package.files if whole or everything or expected[href] is None]
    first = {href: Want(package.files[href], (expected[href] or Digest("sha256", "")).algorithm) for href in due}
    remembered = {} if whole or everything or signed else digester.remembered(list(first.values()))
    read = _read(
        package,
        digester,
        [href for href in due if first[href] not in remembered],
        given if whole else None,
        also,
    )
    files = {
        href: digest or (remembered[first[href]] if href not in read else read[href][0]) for href, digest in expected.items()
    }
    return Identity(
        _digest(package, files),
        files,
        read,
        frozenset(due) - frozenset(read),
        tuple(_warnings(package)),
    )


def read_again(
    package: Package,
    known: Identity,
    hrefs: t.Iterable[str],
    digester: Digester,
    also: t.Sequence[str],
) -> None:
    """Hold files against their digests, by reading them, before they are sent; what was read
    already is not read again.

    :param also: as in ``identify``.
    :raises PackageError: ``checksum_mismatch``, ``source_changed``.
    """
    read = _read(package, digester, [href for href in hrefs if href not in known.read], None, also)
    for href, digests in read.items():
        if known.files[href] not in digests:
            raise wrong(package, known, href, digests[0], digester)
    known.read.update(read)


def _read(
    package: Package,
    digester: Digester,
    hrefs: t.Sequence[str],
    given: Digest | None,
    also: t.Sequence[str],
) -> dict[str, tuple[Digest, ...]]:
    """Read files, and hold them against the manifest; with ``given`` all of the source, in the same
    pass.
    """
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
        _compare(
            package.files[href].label,
            found[group[0]],
            package.manifest.get(href),
            "the manifest",
        )
    return {href: tuple(found[want] for want in group) for href, group in wants.items()}


def _pieces(package: Package, href: str) -> t.Iterator[tuple[Want, str, Digest]]:
    """The pieces of a file that the manifest names one by one."""
    blob = package.files[href]
    if isinstance(blob, JoinedBlob):
        for name, piece in blob.pieces.items():
            if name in package.manifest:
                digest = package.manifest[name]
                yield Want(piece, digest.algorithm), name, digest


def wrong(
    package: Package,
    known: Identity,
    href: str,
    found: Digest,
    digester: Digester,
) -> PackageError:
    """The error for a file whose bytes are not what the identity says; what was remembered of it is
    forgotten.
    """
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
            value = hashlib.new(
                expected.algorithm,
                package.descriptor_bytes,
                usedforsecurity=False,
            ).hexdigest()
            _compare(
                printable(package.descriptor_name),
                Digest(expected.algorithm, value),
                expected,
                where,
            )


def _digest(package: Package, files: t.Mapping[str, Digest]) -> str:
    lines = [
        "vforge ovf 1",
        f"descriptor sha256:{hashlib.sha256(package.descriptor_bytes).hexdigest()}",
    ]
    lines += [f"file {href} {package.files[href].size} {digest}" for href, digest in files.items()]
    if package.descriptor.system:
        lines.append(f"system {package.descriptor.system}")
    return "sha256:" + hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _check_manifest(package: Package) -> None:
    """Refuse a manifest that is of other files: what it says was meant for something that is not
    here.
    """
    if package.unused:
        raise PackageError(
            "invalid_package",
            f"The manifest of {package.label} has digests of files that are not there "
            f"({names.listing([printable(name) for name in package.unused], most=5)}).",
            hint="A file was renamed or left out, or the manifest is of another package: get all of it again.",
        )


def _warnings(package: Package) -> t.Iterator[str]:
    yield from package.remarks
    if package.manifest_bytes is None:
        yield f"{package.label} has no manifest, so whether its files are what their maker made is not known."
        return
    left_out = package.left_out()
    if left_out:
        yield f"The manifest of {package.label} leaves out {names.listing(left_out, most=5)}."


# --- digests ---

_FORMAT = 1
_PARTS = {"format", "key", "stamp", "digests"}
_BUFFER = 2**20


@dataclasses.dataclass(frozen=True)
class Want:
    """A digest that is asked for."""

    blob: Blob
    algorithm: str

    @property
    def place(self) -> tuple[int, int]:
        """First byte and length, in the file that holds it."""
        return (self.blob.offset if isinstance(self.blob, SliceBlob) else 0, self.blob.size)

    @property
    def holder(self) -> Blob:
        """The file that holds it."""
        return self.blob.whole if isinstance(self.blob, SliceBlob) else self.blob

    @property
    def name(self) -> str:
        """In the cache."""
        return f"{self.place[0]}:{self.place[1]}:{self.algorithm}"


class DigestCache:
    """Digests by file and place in it, in files of this user alone.

    :param folder: None remembers nothing.
    :param warn: called with one sentence when something cannot be kept.
    """

    def __init__(self, folder: PrivateFolder | None, warn: t.Callable[[str], None]) -> None:
        self._folder = folder
        self._warn = warn

    def load(self, blob: Blob) -> dict[str, str]:
        """What is known of the file as it is now."""
        text = self._folder.read(_file_name(blob)) if self._folder and blob.stamp else None
        if text is None:
            return {}
        try:
            return _remembered(text, blob)
        except (ValueError, KeyError, TypeError, AttributeError, PackageError):
            self._warn("A file of remembered digests is damaged; the source is read again.")
        return {}

    def forget(self, blob: Blob) -> None:
        """Remember nothing of a file any more."""
        self._write(blob, {})

    def save(self, blob: Blob, digests: t.Mapping[str, str]) -> None:
        """Remember digests, beside those that are known of the same state of the file."""
        self._write(blob, {**self.load(blob), **digests})

    def _write(self, blob: Blob, digests: t.Mapping[str, str]) -> None:
        if self._folder is None or not blob.stamp:
            return
        known = {"format": _FORMAT, "key": blob.key, "stamp": blob.stamp, "digests": dict(digests)}
        try:
            self._folder.write(_file_name(blob), json.dumps(known).encode())
        except InvalidOption as error:
            self._warn(f"The digests of the source cannot be remembered. {error}")


def _file_name(blob: Blob) -> str:
    return f"ovf-{hashlib.sha256(blob.key.encode(errors='surrogatepass')).hexdigest()[:32]}.json"


def _remembered(text: bytes, blob: Blob) -> dict[str, str]:
    """The digests in a file of them; none where they are of another file, or of another state of it.

    :raises ValueError, KeyError, TypeError, AttributeError, PackageError: it is damaged.
    """
    known = _files.parsed(text)
    if known["format"] != _FORMAT or known["key"] != blob.key or known["stamp"] != blob.stamp:
        return {}
    # What stands beside is not of this collection: how deep JSON may be nested depends on the Python.
    if set(known) != _PARTS:
        raise ValueError("it has other parts")
    found: dict[str, str] = {}
    for name, value in known["digests"].items():
        found[name] = manifest.given(f"{name.rpartition(':')[2]}:{value}").value
    return found


class Witness:
    """Looks, while a file is read again, whether it still has what was read of it before.

    :param seen: where in the file, and the bytes.
    """

    def __init__(self, holder: Blob, seen: t.Iterable[tuple[int, bytes]]) -> None:
        self._holder = holder
        self._due = sorted(seen)

    def look(self, at: int, part: memoryview) -> None:
        """Compare the next part of the file, which begins at a byte.

        :raises PackageError: ``source_changed``.
        """
        rest: list[tuple[int, bytes]] = []
        while self._due and self._due[0][0] < at + len(part):
            start, expected = self._due.pop(0)
            here = part[start - at : start - at + len(expected)]
            if here != expected[: len(here)]:
                raise changed(self._holder)
            if len(here) < len(expected):
                rest.append((start + len(here), expected[len(here) :]))
        self._due[:0] = rest


class Digester:
    """Answers for digests, and reads only what the cache does not know.

    :param always: read even what the cache knows.
    :param show: called with bytes done and bytes in all, very often.
    :ivar read: bytes that were read.
    """

    def __init__(
        self,
        cache: DigestCache,
        *,
        always: bool,
        show: t.Callable[[int, int], None],
    ) -> None:
        self._cache = cache
        self._always = always
        self._show = show
        self.read = self._begun = 0

    def remembered(self, wants: t.Sequence[Want]) -> dict[Want, Digest]:
        """The digests that are known without reading."""
        if self._always:
            return {}
        known = {want.holder.key: self._cache.load(want.holder) for want in wants}
        values = {want: known[want.holder.key].get(want.name) for want in wants}
        return {want: Digest(want.algorithm, value) for want, value in values.items() if value is not None}

    def fresh(self, wants: t.Sequence[Want], witness: Witness | None = None) -> dict[Want, Digest]:
        """The digest for each want, of the bytes as they are now.

        :param witness: sees all that is read, which is one file then.
        :raises PackageError: ``source_unreadable``, ``source_changed``.
        """
        found: dict[Want, Digest] = {}
        self._begun, total = self.read, _bytes_to_read(wants)
        for holder, group in _by_holder(wants):
            for want, value in self._passes(holder, group, total, witness).items():
                found[want] = Digest(want.algorithm, value)
            if not holder.unchanged():
                raise changed(holder)
            self._cache.save(holder, {want.name: found[want].value for want in group})
        return found

    def forget(self, blob: Blob) -> None:
        """Remember nothing of a file, or of the one that it is a part of."""
        self._cache.forget(Want(blob, "").holder)

    def _passes(
        self,
        holder: Blob,
        group: t.Sequence[Want],
        total: int,
        witness: Witness | None,
    ) -> dict[Want, str]:
        """One pass over the whole file where all of it is wanted anyway, else one over each part."""
        if any(want.place == (0, holder.size) for want in group):
            return self._one_pass(holder, (0, holder.size), group, total, witness)
        found: dict[Want, str] = {}
        for place in dict.fromkeys(want.place for want in group):
            found |= self._one_pass(holder, place, [want for want in group if want.place == place], total, witness)
        return found

    def _one_pass(
        self,
        holder: Blob,
        place: tuple[int, int],
        group: t.Sequence[Want],
        total: int,
        witness: Witness | None,
    ) -> dict[Want, str]:
        hashes = {want: hashlib.new(want.algorithm, usedforsecurity=False) for want in group}
        buffer = memoryview(bytearray(_BUFFER))
        stream = holder.open(place[0])
        at, end = place[0], sum(place)
        try:
            while at < end:
                read = stream.readinto(buffer[: end - at])
                if not read:
                    raise PackageError(
                        "source_changed",
                        f"{holder.label} has become shorter while it was read.",
                        hint="Run again.",
                    )
                if witness is not None:
                    witness.look(at, buffer[:read])
                for want, value in hashes.items():
                    first, last = max(want.place[0], at), min(sum(want.place), at + read)
                    if first < last:
                        value.update(buffer[first - at : last - at])
                at += read
                self.read += read
                self._show(self.read - self._begun, total)
        finally:
            stream.close()
        return {want: value.hexdigest() for want, value in hashes.items()}


def changed(holder: Blob) -> PackageError:
    """The error for a file that is another than a moment ago."""
    return PackageError(
        "source_changed",
        f"{holder.label} was changed while it was read.",
        hint="Run again.",
    )


def _by_holder(wants: t.Sequence[Want]) -> list[tuple[Blob, list[Want]]]:
    groups: dict[str, list[Want]] = {}
    for want in wants:
        groups.setdefault(want.holder.key, []).append(want)
    return [(group[0].holder, group) for group in groups.values()]


def _bytes_to_read(wants: t.Sequence[Want]) -> int:
    total = 0
    for holder, group in _by_holder(wants):
        places = {want.place for want in group}
        total += holder.size if (0, holder.size) in places else sum(size for _start, size in places)
    return total
