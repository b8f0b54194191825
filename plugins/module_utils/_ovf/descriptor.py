# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an OVF descriptor says of its package: files, disks, networks, properties (DMTF DSP0243). Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from . import xml
from .errors import PackageError

# A descriptor with the icons and texts of a whole appliance stays well below; beyond it is an attack or no descriptor.
LONGEST = 10 * 2**20

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


def parse(document: bytes, what: str) -> Descriptor:
    """Read a descriptor.

    :param what: names it in messages.
    :raises PackageError: ``unsafe_package``, ``invalid_package``.
    """
    root = xml.parse(document, what)
    if _local(root.tag) != "Envelope":
        raise PackageError("invalid_package", f"{what} is no OVF descriptor: its outermost element is {_local(root.tag)}.")
    every = [(_local(element.tag), element) for element in root.iter() if isinstance(element.tag, str)]
    descriptor = Descriptor(
        text=_text(document, what),
        files=tuple(_file(item, what) for kind, item in every if kind == "File"),
        disks=tuple(_disk(item, what) for kind, item in _in_section(root, "DiskSection", "Disk")),
        networks=tuple(_attribute(item, "name") for _kind, item in _in_section(root, "NetworkSection", "Network")),
        properties=tuple(_properties(root)),
        options=tuple(_attribute(item, "id") for kind, item in every if kind == "Configuration"),
        collection=any(kind == "VirtualSystemCollection" for kind, _item in every),
    )
    _check(descriptor, what)
    return descriptor


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
        raise PackageError("invalid_package", f"{what} has disks without a file in its References: {', '.join(lost)}.")


def _file(element: t.Any, what: str) -> File:
    href, compression = _attribute(element, "href"), _attribute(element, "compression")
    if not href:
        raise PackageError("invalid_package", f"{what} lists a file without a name.")
    if compression not in ("", "identity"):
        raise PackageError(
            "invalid_package",
            f"{what}: the file {href} is compressed ({compression}), which vSphere's hosts do not take.",
            hint="Repack it: ovftool writes disks that are compressed in themselves.",
        )
    size, chunk = (_number(element, name, what) for name in ("size", "chunkSize"))
    return File(_attribute(element, "id"), href, size, chunk or None)


def _disk(element: t.Any, what: str) -> Disk:
    capacity = _attribute(element, "capacity")
    number = int(capacity) if capacity.isascii() and capacity.isdigit() else None
    if number is None and not re.fullmatch(r"\$\{[^}]+\}", capacity):
        raise PackageError("invalid_package", f"{what} has a disk of the capacity {capacity!r}.")
    unit = _unit(_attribute(element, "capacityAllocationUnits"), what)
    reference = _attribute(element, "fileRef")
    return Disk(_attribute(element, "diskId"), None if number is None else number * unit, reference)


def _unit(text: str, what: str) -> int:
    """Bytes of a unit: ``byte * 2^30``, or a word of version 0.9 of the format."""
    words = text.strip().lower()
    if not words:
        return 1
    power = re.fullmatch(r"byte\s*\*\s*(2|10)\s*\^\s*(\d{1,2})", words)
    if power:
        return int(int(power[1]) ** int(power[2]))
    if words not in _UNITS:
        raise PackageError("invalid_package", f"{what} counts disks in {text!r}.")
    return _UNITS[words]


def _properties(root: t.Any) -> t.Iterator[str]:
    for section in root.iter():
        if _local(section.tag) != "ProductSection":
            continue
        family, instance = _attribute(section, "class"), _attribute(section, "instance")
        for element in section:
            if _local(element.tag) == "Property":
                yield ".".join(part for part in (family, _attribute(element, "key"), instance) if part)


def _in_section(root: t.Any, section: str, kind: str) -> t.Iterator[tuple[str, t.Any]]:
    for outer in root.iter():
        if _local(outer.tag) == section:
            yield from ((kind, element) for element in outer if _local(element.tag) == kind)


def _number(element: t.Any, name: str, what: str) -> int | None:
    text = _attribute(element, name)
    if text and not (text.isascii() and text.isdigit() and len(text) < 20):
        raise PackageError("invalid_package", f"{what}: {name} of a file is {text!r}.")
    return int(text) if text else None


def _text(document: bytes, what: str) -> str:
    """As text for the call, which has an encoding of its own: the declaration of another one goes."""
    head = re.match(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([\w.-]+)[\"']", document)
    marks = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    encoding = next((name for mark, name in marks.items() if document.startswith(mark)), None)
    try:
        text = document.decode(encoding or (head[1].decode() if head else "utf-8"))
    except (UnicodeDecodeError, LookupError) as error:
        raise PackageError("invalid_package", f"{what} is not in the encoding that it declares.") from error
    return re.sub(r"^\s*<\?xml[^>]*\?>\s*", '<?xml version="1.0" encoding="UTF-8"?>\n', text, count=1)


def _attribute(element: t.Any, name: str) -> str:
    for key, value in element.attrib.items():
        if _local(key) == name:
            return t.cast(str, value)
    return ""


def _local(tag: t.Any) -> str:
    """A name without its namespace, which differs between the versions of the format."""
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
