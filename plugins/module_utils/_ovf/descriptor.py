# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an OVF descriptor says of its package: files, disks, networks, properties (DMTF DSP0243). Pure."""

from __future__ import annotations

import dataclasses
import math
import re
import typing as t

from .._connector import names
from . import xml
from .blobs import is_printable, printable
from .errors import PackageError

# A descriptor with the icons and texts of a whole appliance stays well below; beyond it is an attack or no descriptor.
LONGEST = 4 * 2**20

# So many files, disks, networks and deployment options may one have, each; and so many properties.
_MOST = 1000
_MOST_PROPERTIES = 10_000
_LONGEST_NAME = 1024

# In bytes, of a disk: what vSphere's interface can say.
_LARGEST = 2**63 - 1

_UNITS = {
    "byte": 1,
    "bytes": 1,
    "kilobytes": 2**10,
    "kb": 2**10,
    "megabytes": 2**20,
    "mb": 2**20,
    "gigabytes": 2**30,
    "gb": 2**30,
}


@dataclasses.dataclass(frozen=True)
class File:
    """A file of the package.

    :ivar size: in bytes, as the descriptor announces it; None where it does not.
    :ivar chunk_size: where the file comes in pieces ``NAME.000000000``, ``NAME.000000001``...
    """

    id: str
    href: str
    size: int | None = None
    chunk_size: int | None = None
    compression: str = ""


@dataclasses.dataclass(frozen=True)
class Disk:
    """A virtual disk; ``capacity`` in bytes, None where a property sets it; ``file`` is the id of its file, or empty."""

    id: str
    capacity: int | None
    file: str = ""


@dataclasses.dataclass(frozen=True)
class Descriptor:
    """The descriptor.

    :ivar text: as it is sent to vCenter.
    :ivar properties: keys that can be set, with class and instance where they have them (``class.key.instance``).
    :ivar options: ids of the deployment options.
    :ivar collection: whether it describes a vApp of several VMs.
    """

    text: str = dataclasses.field(repr=False)
    files: tuple[File, ...]
    disks: tuple[Disk, ...]
    networks: tuple[str, ...]
    properties: tuple[str, ...]
    options: tuple[str, ...]
    collection: bool = False


def parse(document: bytes, what: str, deadline: float = math.inf) -> Descriptor:
    """Read a descriptor.

    :param what: names it in messages.
    :param deadline: of ``time.monotonic()``.
    :raises PackageError: ``unsafe_package``, ``invalid_package``.
    :raises TimedOut: when the deadline passes.
    """
    found = _Found(what)
    text = xml.text(document, what)
    xml.read(text, what, found.start, deadline)
    descriptor = Descriptor(
        text=text,
        files=tuple(found.files),
        disks=tuple(found.disks),
        networks=tuple(found.networks),
        properties=tuple(found.properties),
        options=tuple(found.options),
        collection=found.collection,
    )
    _check(descriptor, what)
    return descriptor


class _Found:
    """What the elements of a descriptor tell, as they come.

    :ivar what: names the descriptor in messages.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.files: list[File] = []
        self.disks: list[Disk] = []
        self.networks: list[str] = []
        self.properties: list[str] = []
        self.options: list[str] = []
        self.collection = False
        # From the outermost element to the one above.
        self._above: list[tuple[str, t.Mapping[str, str]]] = []

    def start(self, depth: int, kind: str, attributes: t.Mapping[str, str]) -> None:
        """Take one element."""
        if depth == 0 and kind != "Envelope":
            raise PackageError(
                "invalid_package", f"{self.what} is no OVF descriptor: its outermost element is {printable(kind[:100])}."
            )
        del self._above[depth:]
        section, outer = self._above[-1] if self._above else ("", {})
        if kind == "VirtualSystemCollection":
            self.collection = True
        elif kind == "File":
            self._add(self.files, _file(attributes, self.what), _MOST, "files")
        elif kind == "Configuration":
            self._add(self.options, self._name(attributes, "id"), _MOST, "deployment options")
        elif kind == "Disk" and section == "DiskSection":
            self._add(self.disks, _disk(attributes, self.what), _MOST, "disks")
        elif kind == "Network" and section == "NetworkSection":
            self._add(self.networks, self._name(attributes, "name"), _MOST, "networks")
        elif kind == "Property" and section == "ProductSection":
            parts = (self._name(outer, "class"), self._name(attributes, "key"), self._name(outer, "instance"))
            self._add(self.properties, ".".join(part for part in parts if part), _MOST_PROPERTIES, "properties")
        self._above.append((kind, attributes))

    def _add(self, known: list[t.Any], one: t.Any, most: int, kind: str) -> None:
        if len(known) >= most:
            raise PackageError(
                "unsafe_package", f"{self.what} has more than {most} {kind}.", hint="Do not trust where it comes from."
            )
        known.append(one)

    def _name(self, attributes: t.Mapping[str, str], attribute: str) -> str:
        return _name(attributes, attribute, self.what)


def _check(descriptor: Descriptor, what: str) -> None:
    if descriptor.collection:
        raise PackageError(
            "invalid_package",
            f"{what} describes a vApp of several VMs, and a template is one VM.",
            hint="Use a package with one VirtualSystem.",
        )
    ids = {file.id for file in descriptor.files}
    if len(ids) != len(descriptor.files) or len({file.href for file in descriptor.files}) != len(descriptor.files):
        raise PackageError("invalid_package", f"{what} lists a file twice.")
    lost = [disk.id for disk in descriptor.disks if disk.file and disk.file not in ids]
    if lost:
        raise PackageError(
            "invalid_package", f"{what} has disks without a file in its References: {names.listing(lost, most=5)}."
        )


def _file(attributes: t.Mapping[str, str], what: str) -> File:
    href, compression = _name(attributes, "href", what), attributes.get("compression", "")
    if not href:
        raise PackageError("invalid_package", f"{what} lists a file without a name.")
    if compression not in ("", "identity"):
        raise PackageError(
            "invalid_package",
            f"{what}: the file {href} is compressed ({compression[:40]!r}), which vSphere's hosts do not take.",
            hint="Repack it: ovftool writes disks that are compressed in themselves.",
        )
    size, chunk = (_number(attributes, name, what) for name in ("size", "chunkSize"))
    return File(_name(attributes, "id", what), href, size, chunk or None)


def _disk(attributes: t.Mapping[str, str], what: str) -> Disk:
    text = attributes.get("capacity", "")
    capacity = None
    if not re.fullmatch(r"\$\{[^}]{1,200}\}", text):
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise PackageError("invalid_package", f"{what} has a disk of the capacity {text[:40]!r}.")
        capacity = int(text) * _unit(attributes.get("capacityAllocationUnits", ""), what)
        if capacity > _LARGEST:
            raise PackageError("invalid_package", f"{what} has a disk of {capacity} bytes.")
    return Disk(_name(attributes, "diskId", what), capacity, _name(attributes, "fileRef", what))


def _unit(text: str, what: str) -> int:
    """Bytes of a unit: ``byte * 2^30``, or a word of version 0.9 of the format."""
    words = text.strip().lower()
    if not words:
        return 1
    power = re.fullmatch(r"byte\s{0,9}\*\s{0,9}(2|10)\s{0,9}\^\s{0,9}([0-9]{1,2})", words)
    if power:
        return int(int(power[1]) ** int(power[2]))
    if words not in _UNITS:
        raise PackageError("invalid_package", f"{what} counts disks in {text[:40]!r}.")
    return _UNITS[words]


def _number(attributes: t.Mapping[str, str], name: str, what: str) -> int | None:
    text = attributes.get(name, "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 20):
        raise PackageError("invalid_package", f"{what}: {name} of a file is {text[:40]!r}.")
    return int(text) if text else None


def _name(attributes: t.Mapping[str, str], attribute: str, what: str) -> str:
    """A name or an id, which is shown to people and sent to vCenter."""
    text = attributes.get(attribute, "")
    if len(text) > _LONGEST_NAME or not is_printable(text):
        raise PackageError(
            "invalid_package",
            f"{what} has a name or an id that is too long, or has a control character ({attribute}: {text[:100]!r}).",
            hint="Ask the maker of the package.",
        )
    return text
