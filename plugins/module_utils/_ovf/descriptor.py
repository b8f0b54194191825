# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an OVF descriptor says of its package: files, disks, networks, properties (DMTF DSP0243).

The XML is read here too, with its bounds. A document is read element by element, and no tree is
made of it. Names come as they are written, prefix and all: a reader that puts the address of the
namespace before each of them writes as much as the document wants it to.
"""

from __future__ import annotations

import codecs
import dataclasses
import math
import re
import time
import typing as t
import xml.sax
import xml.sax.handler

from .._connector import names
from .._errors import InvalidOption, MissingLibrary, TimedOut
from .blobs import PackageError, is_printable, printable

try:
    from defusedxml import DefusedXmlException
    from defusedxml.expatreader import DefusedExpatParser
except ImportError:
    DefusedExpatParser = None  # type: ignore[assignment, misc]

# A descriptor with the icons and texts of a whole appliance stays well below; beyond it is an
# attack or no descriptor.
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
    """A virtual disk.

    :ivar capacity: in bytes; None where a property sets it, or in a unit that is vCenter's to
        judge.
    :ivar file: the id of its file, or empty: the disk is made without content then.
    """

    id: str
    capacity: int | None
    file: str = ""


@dataclasses.dataclass(frozen=True)
class Descriptor:
    """The descriptor.

    :ivar text: as it is sent to vCenter.
    :ivar properties: keys that can be set, with class and instance where they have them
        (``class.key.instance``).
    :ivar options: ids of the deployment options.
    :ivar system: id of the VM that was chosen of several; empty where there was no choice.
    :ivar kinds: the types of the properties (``boolean``), by their keys.
    :ivar hidden: keys of the properties that their maker does not let
        users set (``userConfigurable``).
    """

    text: str = dataclasses.field(repr=False)
    files: tuple[File, ...]
    disks: tuple[Disk, ...]
    networks: tuple[str, ...]
    properties: tuple[str, ...]
    options: tuple[str, ...]
    system: str = ""
    kinds: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    hidden: frozenset[str] = frozenset()


def parse(document: bytes, what: str, deadline: float = math.inf, system: str = "") -> Descriptor:
    """Read a descriptor.

    A vApp is made of as if its VM were alone: vCenter gets a descriptor without what is around the
    VM.

    :param what: names it in messages.
    :param deadline: of ``time.monotonic()``.
    :param system: id of the VM that is wanted, where there are several.
    :raises PackageError: ``unsafe_package``, ``invalid_package``.
    :raises InvalidOption: there is no such VM.
    :raises TimedOut: when the deadline passes.
    """
    text = decoded(document, what)
    found = _found(text, what, deadline)
    several = len(found.systems) > 1
    chosen = _chosen(found, system)
    if found.collection is not None and chosen is not None and found.collection.holds(chosen):
        text = _alone(text, found.collection, chosen, found.products)
        found = _found(text, what, deadline)
    descriptor = Descriptor(
        text=text,
        files=tuple(found.files),
        disks=tuple(found.disks),
        networks=tuple(found.networks),
        properties=tuple(found.properties),
        options=tuple(found.options),
        system=system if several else "",
        kinds=found.kinds,
        hidden=frozenset(found.hidden),
    )
    _check(descriptor, what)
    return descriptor


def _found(text: str, what: str, deadline: float) -> _Found:
    found = _Found(what)
    _read(text, what, found, deadline)
    return found


def _chosen(found: _Found, system: str) -> _Element | None:
    """The VM that is wanted; None where the descriptor has none, which is vCenter's to refuse."""
    if system and system not in found.systems:
        raise InvalidOption(
            f"{found.what} has no VM {system}.",
            hint=f"It has: {names.listing(list(found.systems), most=20) or 'none'}.",
            option="virtual_system",
        )
    if len(found.systems) > 1 and not system:
        raise PackageError(
            "invalid_package",
            f"{found.what} describes a vApp of {len(found.systems)} VMs, and a template is one VM.",
            hint=f"Set virtual_system to the one that is wanted: {names.listing(list(found.systems), most=20)}.",
            virtual_systems=list(found.systems),
        )
    return found.systems.get(system) if system else next(iter(found.systems.values()), None)


def _alone(
    text: str,
    collection: _Element,
    system: _Element,
    products: t.Sequence[_Element],
) -> str:
    """The descriptor with one VM in the place of its vApp.

    The vApp's products come along, since their properties are those of its VMs, too; and so do the
    namespaces that it declares.
    """
    lines = [0, *(end.end() for end in re.finditer("\r\n|\r|\n", text))]
    begin, close = system.start.offset(lines), system.end.offset(lines)
    name = re.compile(r"<[^\s/>]+").match(text, begin)
    inner, outer = _TAG.match(text, begin), _TAG.match(text, collection.start.offset(lines))
    if name is None or inner is None or outer is None or not text.startswith("</", close):
        return text  # an element without content, which vCenter refuses
    own = {one[1] for one in _DECLARATION.finditer(inner[0])}
    spaces = "".join(one[0] for one in _DECLARATION.finditer(outer[0]) if one[1] not in own)
    sections = "".join(_whole(text, product, lines) for product in products)
    after = text.index(">", collection.end.offset(lines)) + 1
    return "".join(
        (
            text[: collection.start.offset(lines)],
            name[0],
            spaces,
            text[name.end() : close],
            sections,
            text[close : text.index(">", close) + 1],
            text[after:],
        )
    )


def _whole(text: str, element: _Element, lines: t.Sequence[int]) -> str:
    close = element.end.offset(lines)
    return text[element.start.offset(lines) : text.index(">", close) + 1 if text.startswith("</", close) else close]


class _Place(t.NamedTuple):
    """A place in the text, as an XML parser counts: lines from 1, columns from 0."""

    line: int
    column: int

    def offset(self, lines: t.Sequence[int]) -> int:
        """The same in characters, with the offset at which each line begins."""
        return lines[self.line - 1] + self.column


@dataclasses.dataclass
class _Element:
    """Where an element is: its first tag, and its last one."""

    start: _Place
    end: _Place

    def holds(self, other: _Element) -> bool:
        """Whether another element is in this one."""
        return self.start < other.start and other.end < self.end


class _Found:
    """What the elements of a descriptor say, as they come.

    :ivar what: names the descriptor in messages.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.files: list[File] = []
        self.disks: list[Disk] = []
        self.networks: list[str] = []
        self.properties: list[str] = []
        self.options: list[str] = []
        self.collection: _Element | None = None
        self.systems: dict[str, _Element] = {}
        self.products: list[_Element] = []
        self.kinds: dict[str, str] = {}
        self.hidden: set[str] = set()
        # From the outermost element to the one above.
        self._above: list[tuple[str, t.Mapping[str, str]]] = []
        # Those whose end is to be known, by their depth.
        self._open: dict[int, _Element] = {}

    def end(self, depth: int, place: _Place) -> None:
        """An element of a depth ends."""
        element = self._open.pop(depth, None)
        if element is not None:
            element.end = place

    def start(self, depth: int, kind: str, attributes: t.Mapping[str, str], place: _Place) -> None:
        """Take one element."""
        if depth == 0 and kind != "Envelope":
            raise PackageError(
                "invalid_package",
                f"{self.what} is no OVF descriptor: its outermost element is {printable(kind[:100])}.",
            )
        del self._above[depth:]
        section, outer = self._above[-1] if self._above else ("", {})
        self._note(
            depth,
            kind,
            section,
            self._name(attributes, "id") if kind == "VirtualSystem" else "",
            place,
        )
        if kind == "File":
            self._add(self.files, _file(attributes, self.what), _MOST, "files")
        elif kind == "Configuration" and section == "DeploymentOptionSection":
            self._add(self.options, self._name(attributes, "id"), _MOST, "deployment options")
        elif kind == "Disk" and section == "DiskSection":
            self._add(self.disks, _disk(attributes, self.what), _MOST, "disks")
        elif kind == "Network" and section == "NetworkSection":
            self._add(self.networks, self._name(attributes, "name"), _MOST, "networks")
        elif kind == "Property" and section == "ProductSection":
            parts = (
                self._name(outer, "class"),
                self._name(attributes, "key"),
                self._name(outer, "instance"),
            )
            self._property(".".join(part for part in parts if part), attributes)
        self._above.append((kind, attributes))

    def _note(self, depth: int, kind: str, section: str, name: str, place: _Place) -> None:
        """Note where a VM is, and what a vApp has around its VMs."""
        element = _Element(place, place)
        if kind == "VirtualSystemCollection" and self.collection is None:
            self.collection = element
        elif kind == "VirtualSystem" and section in ("Envelope", "VirtualSystemCollection"):
            if len(self.systems) >= _MOST:
                raise _unsafe(self.what, f"has more than {_MOST} VMs")
            if name in self.systems:
                raise PackageError(
                    "invalid_package",
                    f"{self.what} has two VMs of one id ({name}).",
                )
            self.systems[name] = element
        elif kind == "ProductSection" and section == "VirtualSystemCollection" and depth == 2:
            self.products.append(element)
        else:
            return
        self._open[depth] = element

    def _property(self, key: str, attributes: t.Mapping[str, str]) -> None:
        self._add(self.properties, key, _MOST_PROPERTIES, "properties")
        self.kinds[key] = attributes.get("type", "")
        if attributes.get("userConfigurable", "").strip().lower() not in ("true", "1"):
            self.hidden.add(key)

    def _add(self, known: list[t.Any], one: t.Any, most: int, kind: str) -> None:
        if len(known) >= most:
            raise PackageError(
                "unsafe_package",
                f"{self.what} has more than {most} {kind}.",
                hint="Do not trust where it comes from.",
            )
        known.append(one)

    def _name(self, attributes: t.Mapping[str, str], attribute: str) -> str:
        return _name(attributes, attribute, self.what)


def _check(descriptor: Descriptor, what: str) -> None:
    ids = {file.id for file in descriptor.files}
    if len(ids) != len(descriptor.files) or len({file.href for file in descriptor.files}) != len(
        descriptor.files,
    ):
        raise PackageError("invalid_package", f"{what} lists a file twice.")
    lost = [disk.id for disk in descriptor.disks if disk.file and disk.file not in ids]
    if lost:
        raise PackageError(
            "invalid_package",
            f"{what} has disks without a file in its References: {names.listing(lost, most=5)}.",
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
            raise PackageError(
                "invalid_package",
                f"{what} has a disk of the capacity {text[:40]!r}.",
            )
        unit = _unit(attributes.get("capacityAllocationUnits", ""))
        capacity = None if unit is None else int(text) * unit
        if capacity is not None and capacity > _LARGEST:
            raise PackageError("invalid_package", f"{what} has a disk of {capacity} bytes.")
    return Disk(_name(attributes, "diskId", what), capacity, _name(attributes, "fileRef", what))


def _unit(text: str) -> int | None:
    """Bytes of a unit: ``byte * 2^30``, or a word of version 0.9 of the format; None for any other.

    Which others there are is for vCenter to know, which makes the disk.
    """
    words = text.strip().lower()
    if not words:
        return 1
    power = re.fullmatch(r"byte\s{0,9}\*\s{0,9}(2|10)\s{0,9}\^\s{0,9}([0-9]{1,2})", words)
    if power:
        return int(int(power[1]) ** int(power[2]))
    return _UNITS.get(words)


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


# --- the XML ---

# Descriptors of the largest appliances, in all of their languages, stay below a tenth of these.
_MOST_ELEMENTS = 100_000
_MOST_ATTRIBUTES = 200_000
_DEEPEST = 64

# Counted before anything is parsed: tags, comments and the like, and the length of each. Between
# two of them there is text.
_MOST_MARKS = 3 * _MOST_ELEMENTS
# An appliance of VMware's own has a default of 105 KiB, which is an attribute.
_LONGEST_TAG = 256 * 2**10
_LONGEST_TEXT = 512 * 2**10

# A tag, quotes and all. Each of its parts is taken for good, so a tag without an end is read once,
# too.
_TAG = re.compile(r"""(?:[^"'>]++|"[^"]*+"|'[^']*+')*+>""")

# In the declaration of a document.
_ENCODING = re.compile(rb"encoding\s{0,9}+=\s{0,9}+[\"']([\w.-]{1,40})[\"']")

# What XML is written in. Python knows many more, some of which take long.
_ENCODINGS = ("utf-8", "utf-16", "ascii", "iso8859-1", "iso8859-15", "cp1252")
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}

_ELEMENTS_BETWEEN_LOOKS = 1000

# The attributes that are read. Any other may be there twice, of two namespaces: properties have
# qualifiers of the format's and of VMware's.
_READ = frozenset(
    (
        *("id", "href", "size", "chunkSize", "compression"),
        *("diskId", "fileRef", "capacity", "capacityAllocationUnits"),
        *("name", "class", "instance", "key", "type", "userConfigurable"),
    )
)

_DO_NOT_TRUST = "Do not trust where it comes from."

# What a tag declares of namespaces.
_DECLARATION = re.compile(r"""\s+(xmlns(?::[^\s=]+)?)\s*=\s*(?:"[^"]*"|'[^']*')""")


def require() -> None:
    """Make sure that defusedxml is there.

    :raises MissingLibrary: naming the Python that runs.
    """
    if DefusedExpatParser is None:
        raise MissingLibrary.of_python(
            "The Python library defusedxml, which reads OVF descriptors, is missing.",
            "defusedxml>=0.7.1",
        )


def decoded(document: bytes, what: str) -> str:
    """A document as text, which declares no encoding but UTF-8; so whoever reads it reads the same.

    :param what: names the document in messages.
    :raises PackageError: ``invalid_package``.
    """
    mark = next((mark for mark in _BYTE_ORDER_MARKS if document.startswith(mark)), b"")
    declaration = re.match(rb"\s{0,100}+<\?xml[^>]{0,200}", document)
    declared = _ENCODING.search(declaration[0]) if declaration else None
    name = _BYTE_ORDER_MARKS.get(mark) or (declared[1].decode() if declared else "utf-8")
    try:
        found = _decode(document, name)
    except (UnicodeError, LookupError) as error:
        raise PackageError(
            "invalid_package",
            f"{what} is not in the encoding that it declares, or in one that is not read.",
            hint=f"Descriptors are read in {', '.join(_ENCODINGS)}.",
        ) from error
    found = found.lstrip()
    if found.startswith("<?xml") and not found.startswith("<?xml-"):
        found = found.partition("?>")[2].lstrip()
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{found}'


def _decode(document: bytes, name: str) -> str:
    if codecs.lookup(name).name not in (*_ENCODINGS, "utf-8-sig"):
        raise LookupError(name)
    return document.decode(name)


def _read(document: str, what: str, found: _Found, deadline: float = math.inf) -> None:
    """Go through the elements of a document from elsewhere: no document type, no entities, nothing fetched.

    :param document: as ``decoded`` gives it.
    :param what: names the document in messages.
    :param found: gets each element, in the document's order, with its name and its attributes. Both
        without their prefix, which differs between the versions of the format.
    :param deadline: of ``time.monotonic()``.
    :raises PackageError: ``unsafe_package``, ``invalid_package``.
    :raises TimedOut: when the deadline passes.
    """
    require()
    _check_marks(document, what)
    make: t.Any = DefusedExpatParser  # it has no annotations
    parser = make(forbid_dtd=True)
    parser.setContentHandler(_Elements(what, found, deadline, parser))
    try:
        parser.feed(document.encode())
        parser.close()
    except DefusedXmlException as error:
        raise PackageError(
            "unsafe_package",
            f"{what} defines a document type or entities ({type(error).__name__}), which no OVF descriptor needs.",
            hint=_DO_NOT_TRUST,
        ) from error
    except (xml.sax.SAXException, ValueError) as error:
        why = error.getMessage() if isinstance(error, xml.sax.SAXException) else "it has half a character"
        raise PackageError("invalid_package", f"{what} is no well-formed XML: {why}.") from error


def _check_marks(document: str, what: str) -> None:
    """Refuse tags without number or end before a parser has them: it reads each to its end."""
    if document.count("<") > _MOST_MARKS:
        raise _unsafe(what, f"has more than {_MOST_MARKS} tags")
    at = document.find("<")
    while at >= 0:
        following = document.find("<", at + 1)
        end = following if following >= 0 else len(document)
        if end - at > _LONGEST_TEXT:
            raise _unsafe(what, f"has a tag or a text of more than {_LONGEST_TEXT} characters")
        if end - at > _LONGEST_TAG and document[at + 1] not in "!?":
            tag = _TAG.match(document, at, end)
            if tag is None or tag.end() - at > _LONGEST_TAG:
                raise _unsafe(what, f"has a tag of more than {_LONGEST_TAG} characters")
        at = following


class _Elements(xml.sax.handler.ContentHandler):
    """Counts what comes, and passes it on."""

    def __init__(self, what: str, found: _Found, deadline: float, parser: t.Any) -> None:
        super().__init__()
        self._what = what
        self._found = found
        self._parser = parser
        self._deadline = deadline
        self._depth = self._elements = self._attributes = 0

    def startElement(self, name: str, attrs: t.Any) -> None:  # noqa: N802 (SAX calls it so)
        """Called by the parser."""
        self._elements += 1
        self._attributes += len(attrs)
        for count, most, kind in (
            (self._elements, _MOST_ELEMENTS, "elements"),
            (self._attributes, _MOST_ATTRIBUTES, "attributes"),
            (self._depth, _DEEPEST, "elements in one another"),
        ):
            if count > most:
                raise _unsafe(self._what, f"has more than {most} {kind}")
        if self._elements % _ELEMENTS_BETWEEN_LOOKS == 0 and time.monotonic() > self._deadline:
            raise TimedOut(f"{self._what} was not read in the time allowed.", hint="Raise timeout.")
        self._found.start(self._depth, local(name), self._without_prefix(attrs), self._place())
        self._depth += 1

    def endElement(self, name: str) -> None:  # noqa: N802, ARG002 (SAX calls it so)
        """Called by the parser."""
        self._depth -= 1
        self._found.end(self._depth, self._place())

    def _place(self) -> _Place:
        return _Place(self._parser.getLineNumber(), self._parser.getColumnNumber())

    def _without_prefix(self, attrs: t.Any) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, value in attrs.items():
            if name == "xmlns" or name.startswith("xmlns:"):
                continue
            if found.setdefault(local(name), value) != value and local(name) in _READ:
                # Who reads one of them must not have checked the other.
                raise PackageError(
                    "invalid_package",
                    f"{self._what} has an element with two attributes {local(name)[:100]!r}.",
                )
        return found


def local(name: str) -> str:
    """A name without its prefix."""
    return name.rpartition(":")[2]


def _unsafe(what: str, why: str) -> PackageError:
    return PackageError("unsafe_package", f"{what} {why}.", hint=_DO_NOT_TRUST)
