# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The XML reader for descriptors, in one place, with its bounds.

A document is read element by element, and no tree is made of it. Names come as they are written, prefix and all: a reader that
puts the address of the namespace before each of them writes as much as the document tells it to.
"""

from __future__ import annotations

import codecs
import math
import re
import sys
import time
import typing as t
import xml.sax
import xml.sax.handler

from .._errors import MissingLibrary, TimedOut
from .errors import PackageError

try:
    from defusedxml import DefusedXmlException
    from defusedxml.expatreader import DefusedExpatParser
except ImportError:
    DefusedExpatParser = None  # type: ignore[assignment, misc]

# Descriptors of the largest appliances, in all of their languages, stay below a tenth of these.
_MOST_ELEMENTS = 100_000
_MOST_ATTRIBUTES = 200_000
_DEEPEST = 64

# Counted before anything is parsed: tags, comments and the like, and the length of each. Between two of them there is text.
_MOST_MARKS = 3 * _MOST_ELEMENTS
_LONGEST_TAG = 16 * 2**10
_LONGEST_TEXT = 512 * 2**10

# A tag, quotes and all. Each of its parts is taken for good, so a tag without an end is read once, too.
_TAG = re.compile(r"""(?:[^"'>]++|"[^"]*+"|'[^']*+')*+>""")

# What XML is written in. Python knows many more, some of which take long.
_ENCODINGS = ("utf-8", "utf-16", "ascii", "iso8859-1", "iso8859-15", "cp1252")
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}

_ELEMENTS_BETWEEN_LOOKS = 1000

_DO_NOT_TRUST = "Do not trust where it comes from."

Start = t.Callable[[int, str, t.Mapping[str, str]], None]


def require() -> None:
    """Make sure that defusedxml is there.

    :raises MissingLibrary: naming the Python that runs.
    """
    if DefusedExpatParser is None:
        raise MissingLibrary(
            f"The Python library defusedxml, which reads OVF descriptors, is missing. The module runs with {sys.executable}.",
            hint="Install it (pip install defusedxml), or set ansible_python_interpreter to a Python that has it.",
        )


def text(document: bytes, what: str) -> str:
    """A document as text, which declares no encoding but UTF-8; so whoever reads it reads the same.

    :param what: names the document in messages.
    :raises PackageError: ``invalid_package``.
    """
    mark = next((mark for mark in _BYTE_ORDER_MARKS if document.startswith(mark)), b"")
    declaration = re.match(rb"\s{0,100}+<\?xml[^>]{0,200}", document)
    told = re.search(rb"encoding\s{0,9}+=\s{0,9}+[\"']([\w.-]{1,40})[\"']", declaration[0]) if declaration else None
    name = _BYTE_ORDER_MARKS.get(mark) or (told[1].decode() if told else "utf-8")
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


def read(document: str, what: str, start: Start, deadline: float = math.inf) -> None:
    """Go through the elements of a document from elsewhere: no document type, no entities, nothing fetched.

    :param document: as ``text`` gives it.
    :param what: names the document in messages.
    :param start: is called for each element, in the document's order, with its depth, its name and its attributes. Both without
        their prefix, which differs between the versions of the format.
    :param deadline: of ``time.monotonic()``.
    :raises PackageError: ``unsafe_package``, ``invalid_package``.
    :raises TimedOut: when the deadline passes.
    """
    require()
    _check_marks(document, what)
    make: t.Any = DefusedExpatParser  # it has no annotations
    parser = make(forbid_dtd=True)
    parser.setContentHandler(_Elements(what, start, deadline))
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
    """Refuse tags without number or end before a parser has them: it reads each to its end before it tells of it."""
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

    def __init__(self, what: str, start: Start, deadline: float) -> None:
        super().__init__()
        self._what = what
        self._start = start
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
        self._start(self._depth, local(name), self._without_prefix(attrs))
        self._depth += 1

    def endElement(self, name: str) -> None:  # noqa: N802, ARG002 (SAX calls it so)
        """Called by the parser."""
        self._depth -= 1

    def _without_prefix(self, attrs: t.Any) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, value in attrs.items():
            if name == "xmlns" or name.startswith("xmlns:"):
                continue
            if found.setdefault(local(name), value) != value:
                # Who reads one of them must not have checked the other.
                raise PackageError("invalid_package", f"{self._what} has an element with two attributes {local(name)[:100]!r}.")
        return found


def local(name: str) -> str:
    """A name without its prefix."""
    return name.rpartition(":")[2]


def _unsafe(what: str, why: str) -> PackageError:
    return PackageError("unsafe_package", f"{what} {why}.", hint=_DO_NOT_TRUST)
