# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of the PropertyCollector as plain texts, for reads of very much.

pyVmomi makes an object of each element of an answer, by functions of Python: some 20 microseconds
for each pair of a name and a value. The feature requirements of 10,000 VMs are half a million of
these, which is ten seconds; the standard library's own parser, in C, takes less than a tenth of
that. So a read of long lists of pairs may ask for texts instead. Everything else is as of any call:
how it is written, sent, bounded, repeated and counted, and what faults become.
"""

from __future__ import annotations

import contextlib
import gc
import typing as t
from xml.etree import ElementTree

from .._errors import StrangeAnswer
from . import faults
from .pyvmomi import vmodl

if t.TYPE_CHECKING:
    from .soap import Stub

# A property as text: numbers, truth values and names of enumerations as XML has them, a reference
# as its moid, and an array of data objects as the texts of their fields, in the order that the API
# gives them. What is nested deeper is left out.
Items: t.TypeAlias = "tuple[tuple[str, ...], ...]"
Plain: t.TypeAlias = "str | Items"


class PlainRow(t.NamedTuple):
    """What was read of one object.

    :ivar kind: vSphere's name of its type, such as ``VirtualMachine``.
    :ivar values: by property path; what is unset or could not be read is not in it.
    """

    kind: str
    moid: str
    values: dict[str, Plain]

    def text(self, path: str) -> str:
        """A property that is one text; empty where it is unset."""
        value = self.values.get(path, "")
        return value if isinstance(value, str) else ""

    def items(self, path: str) -> Items:
        """A property that is an array of data objects; empty where it is unset."""
        value = self.values.get(path, ())
        return value if isinstance(value, tuple) else ()


def retrieve(stub: Stub, collector: t.Any, method: str, *args: t.Any) -> tuple[list[PlainRow], str]:
    """A page of an answer, and the token of the next; empty for the last.

    :param method: ``RetrievePropertiesEx`` or ``ContinueRetrievePropertiesEx``.
    :raises SessionExpired: properties could not be read for want of a session.
    :raises VforgeError: as the stub does.
    """
    info = getattr(vmodl.query.PropertyCollector, method).info
    return parse(stub.ask_plainly(collector, info, args), method)


def parse(document: bytes, method: str = "RetrievePropertiesEx") -> tuple[list[PlainRow], str]:
    """A page of an answer, of its SOAP envelope.

    :raises StrangeAnswer: it is no such envelope, or has the answer to another call.
    """
    try:
        with _no_collecting():
            root = ElementTree.fromstring(document)
    except ElementTree.ParseError as error:
        raise StrangeAnswer(f"An answer of the PropertyCollector is no XML ({error}).", hint="Run again.") from error
    answer = next((each for each in root.iter() if _name(each) == f"{method}Response"), None)
    if answer is None:
        raise StrangeAnswer("An answer of the PropertyCollector is none.", hint="Run again.")
    found = next((each for each in answer if _name(each) == "returnval"), None)
    if found is None:
        return [], ""
    token = next((each.text or "" for each in found if _name(each) == "token"), "")
    return [_row(each) for each in found if _name(each) == "objects"], token


@contextlib.contextmanager
def _no_collecting() -> t.Iterator[None]:
    """A tree of a hundred thousand elements has no circles: to look for some again and again
    takes as long as to make it.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _row(content: ElementTree.Element) -> PlainRow:
    kind = moid = ""
    values: dict[str, Plain] = {}
    for part in content:
        name = _name(part)
        if name == "obj":
            kind, moid = part.get("type", ""), part.text or ""
        elif name == "propSet" and len(part) == 2:
            values[part[0].text or ""] = _value(part[1])
        elif name == "missingSet":
            _check(part)
    return PlainRow(kind, moid, values)


def _value(element: ElementTree.Element) -> Plain:
    if not len(element):
        return element.text or ""
    return tuple([tuple([field.text or "" for field in item]) for item in element])


def _check(missing: ElementTree.Element) -> None:
    """An expired session may show in what could not be read, rather than as a fault of the call."""
    for each in missing.iter():
        for key, value in each.attrib.items():
            if key.endswith("}type") and value.rpartition(":")[2] == "NotAuthenticated":
                raise faults.session_expired()


def _name(element: ElementTree.Element) -> str:
    """The name of an element without its namespace."""
    return element.tag.rpartition("}")[2]
