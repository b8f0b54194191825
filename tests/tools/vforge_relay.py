# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server before another that says the same in other words: what vCenter may answer, and the simulator does not.

The reference of the API leaves open in which order properties, objects and devices come, into how many pages and rounds an
answer is divided, how many states of a task are seen, and whether what is empty is there; XML and HTTP leave open how it
is written. Each of these liberties is a kind (``KINDS``), and is taken by chance, which a seed decides.

    with Relay(sim.port, sim.ca, folder, kinds=("order", "pages"), seed=7) as relay:
        ...  # connect to relay.port with relay.ca
"""

from __future__ import annotations

import collections
import gzip
import hashlib
import http.client
import http.server
import itertools
import random
import re
import ssl
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeAlias
from xml.parsers import expat
from xml.sax import saxutils

from pyVmomi import VmomiSupport

from vforge_sim import Simulator

_VIM = "urn:vim25"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"

# Liberties that change how an answer is written, and those that change which answers there are; results are the same with all.
OF_WRITING = ("prefixes", "attributes", "spaces", "references", "declaration", "times", "booleans", "http")
OF_ANSWERS = (
    "faults",
    "order",
    "empties",
    "blanks",
    "unset",
    "pages",
    "truncated",
    "repeated",
    "steps",
    "late",
    "timeless",
    "moids",
    "capitals",
)
KINDS = (*OF_WRITING, *OF_ANSWERS)

# And those that leave something out which is there: what the API calls optional, and what a user may not read.
OF_GAPS = ("optional", "refused")

# Lists of which the API reference gives no order. (VirtualHardware.device: "This list is unordered.")
_UNORDERED = frozenset(
    ("device", "extraConfig", "childSnapshotList", "rootSnapshotList", "file", "deviceUrl", "privAvailability", "processInfo")
)
_UNORDERED_ARRAYS = frozenset(
    (
        "ArrayOfManagedObjectReference",
        "ArrayOfOptionValue",
        "ArrayOfVirtualDevice",
        "ArrayOfVirtualMachineSnapshotTree",
        "ArrayOfHostFeatureCapability",
        "ArrayOfVirtualMachineFeatureRequirement",
    )
)
_UNORDERED_ANSWERS = frozenset(
    (
        "FindAllByUuid",
        "HasPrivilegeOnEntities",
        "HttpNfcLeaseGetManifest",
        "ListProcessesInGuest",
        "ListTagsAttachedToVStorageObject",
        "ListVStorageObject",
        "PbmQueryAssociatedProfiles",
        "PbmQueryProfile",
        "QueryEvents",
        "RetrieveRolePermissions",
        "RetrieveVStorageObjectAssociations",
        "VslmRetrieveVStorageObjects",
    )
)

# How often something is left out.
_OFTEN = 0.08

_TIMES_OF_TASKS = ("info.queueTime", "info.completeTime")

_ENDS = ("success", "error")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT)(\d\d)(:\d\d:\d\d)(\.\d+)?Z")
_MOID = re.compile(r"([a-z-]+)(\d+)")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# What names an object by its moid without saying that it is one.
_OF_MOIDS = frozenset(("hubId", "key", "id", "portgroupKey", "val"))
_KINDS_OF_OBJECTS = frozenset(("vm-", "task-", "host-", "datastore-", "dvportgroup-"))
_HOP = frozenset(("connection", "transfer-encoding", "content-length", "accept-encoding", "host", "expect", "date", "server"))


# Status, headers and body.
_Answer: TypeAlias = "tuple[int, list[tuple[str, str]], bytes]"


class Node:
    """An element as it was written, with its prefix."""

    def __init__(self, tag: str, attributes: dict[str, str] | None = None, *children: Node, text: str = "") -> None:
        self.tag = tag
        self.attributes = dict(attributes or {})
        self.children = list(children)
        self.text = text

    @property
    def name(self) -> str:
        """Without the prefix."""
        return self.tag.rpartition(":")[2]

    @property
    def type(self) -> str:
        """The ``xsi:type``, without its prefix; empty where there is none."""
        found = [value for key, value in self.attributes.items() if key.endswith(":type")]
        return found[0].rpartition(":")[2] if found else ""

    def each(self, name: str) -> list[Node]:
        """The children of a name."""
        return [child for child in self.children if child.name == name]

    def one(self, name: str) -> Node | None:
        """The first child of a name."""
        return next(iter(self.each(name)), None)

    def said(self, name: str) -> str:
        """The text of the first child of a name; empty where there is none."""
        found = self.one(name)
        return found.text if found is not None else ""

    def every(self) -> Iterator[Node]:
        """This one, and all below it."""
        yield self
        for child in self.children:
            yield from child.every()

    def copy(self) -> Node:
        """All of it once more."""
        return Node(self.tag, self.attributes, *[child.copy() for child in self.children], text=self.text)


def parse(document: bytes) -> Node:
    """The root of a document."""
    top = Node("")
    stack = [top]

    def begin(tag: str, attributes: dict[str, str]) -> None:
        stack[-1].children.append(Node(tag, attributes))
        stack.append(stack[-1].children[-1])

    def end(_tag: str) -> None:
        node = stack.pop()
        if node.children:
            node.text = ""

    def text(data: str) -> None:
        stack[-1].text += data

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, end, text
    parser.Parse(document, True)
    return top.children[0]


def written(root: Node, kinds: frozenset[str], chance: random.Random) -> bytes:
    """A document, with the liberties that its writer takes."""
    if "prefixes" in kinds:
        _rename(root)
    parts = [] if "declaration" in kinds else ['<?xml version="1.0" encoding="UTF-8"?>\n']
    _write(root, parts, kinds, chance)
    return "".join(parts).encode()


def _write(node: Node, parts: list[str], kinds: frozenset[str], chance: random.Random) -> None:
    attributes = list(node.attributes.items())
    if "attributes" in kinds:
        chance.shuffle(attributes)
    quote = chance.choice("'\"") if "attributes" in kinds else '"'
    escaped = {quote: "&quot;" if quote == '"' else "&apos;", "\n": "&#10;", "\t": "&#9;", "\r": "&#13;"}
    parts.append(f"<{node.tag}")
    parts += [f" {key}={quote}{saxutils.escape(value, escaped)}{quote}" for key, value in attributes]
    if "spaces" in kinds and not node.children and not node.text and chance.random() < 0.5:
        parts.append(" />")
        return
    parts.append(">")
    parts.append(_text(node.text, kinds, chance))
    for child in node.children:
        if "spaces" in kinds:
            parts.append(chance.choice(("", " ", "\n    ", "\n\t")))
        _write(child, parts, kinds, chance)
    if "spaces" in kinds and node.children:
        parts.append("\n")
    parts.append(f"</{node.tag}>")


def _text(text: str, kinds: frozenset[str], chance: random.Random) -> str:
    if "references" not in kinds or not text:
        return saxutils.escape(text, {"\r": "&#13;"})
    at = chance.randrange(len(text))
    before, after = (saxutils.escape(part, {"\r": "&#13;"}) for part in (text[:at], text[at + 1 :]))
    return f"{before}&#{chance.choice((str(ord(text[at])), f'x{ord(text[at]):X}'))};{after}"


def _rename(root: Node) -> None:
    """Other prefixes for the namespaces of the envelope, one for that of the answer, and no default."""
    others = {"soapenv": "S", "xsd": "xs", "xsi": "instance", "_XMLSchema-instance": "i", "soapenc": "enc"}

    def other(name: str) -> str:
        prefix, colon, rest = name.rpartition(":")
        return f"{others.get(prefix, prefix)}{colon}{rest}"

    for node in root.every():
        node.tag = other(node.tag)
        changed = {}
        for key, value in node.attributes.items():
            named = f"xmlns:{others.get(key[6:], key[6:])}" if key.startswith("xmlns:") else other(key)
            changed[named] = other(value) if key.endswith(":type") else value
        node.attributes = changed
    for part in root.every():
        if part.attributes.get("xmlns") == _VIM:
            part.attributes["xmlns:vim25"] = part.attributes.pop("xmlns")
            for node in part.every():
                node.tag = f"vim25:{node.tag}"
                for key, value in node.attributes.items():
                    if key.endswith(":type") and ":" not in value:
                        node.attributes[key] = f"vim25:{value}"


class Relay:
    """Listens on a free port of this machine, and passes on what it is asked.

    Args:
        port: of the other server, on this machine.
        trusted: path of the CA file of the other server.
        identity: path of a key and its certificate for 127.0.0.1.
        kinds: the liberties that are taken.
        seed: of the chance.

    Attributes:
        port: where it listens.
        taken: how often a liberty was taken, by its kind.
    """

    def __init__(self, port: int, trusted: str, identity: Path, kinds: tuple[str, ...] = KINDS, seed: int = 1) -> None:
        self.kinds, self.seed = frozenset(kinds), seed
        assert self.kinds <= {*KINDS, *OF_GAPS}, kinds
        self.taken: collections.Counter[str] = collections.Counter()
        self._asked_for: collections.Counter[str] = collections.Counter()
        self._behind = port
        self._trusted = ssl.create_default_context(cafile=trusted)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        # What is still to be said, by the token of a page, or by the version of a round.
        self._pages: dict[str, tuple[Node, list[Node], str]] = {}
        self._rounds: dict[str, list[Node]] = {}
        self._asked: dict[str, dict[str, set[str]]] = {}
        self._moids: dict[str, str] = {}
        own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own.load_cert_chain(identity)
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"relay": self}))
        self._server.socket = own.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Relay:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def connection(self) -> http.client.HTTPSConnection:
        """A connection to the other server."""
        return http.client.HTTPSConnection("127.0.0.1", self._behind, context=self._trusted)

    def chance(self, about: str) -> random.Random:
        """What decides, the same in each run for the same call of the same name."""
        with self._lock:
            self._asked_for[about] += 1
            number = self._asked_for[about]
        return random.Random(f"{self.seed}:{about}:{number}")  # noqa: S311 (nothing is kept secret by it)

    def takes(self, kind: str, count: int = 1) -> bool:
        """Whether a liberty is taken, which is counted."""
        if kind not in self.kinds or not count:
            return False
        with self._lock:
            self.taken[kind] += count
        return True

    def answer(self, request: bytes, ask: Callable[[bytes], tuple[int, bytes]]) -> tuple[int, bytes]:
        """Status and body of the answer to a call.

        Args:
            request: its body.
            ask: has the other server answer a body.
        """
        asked = parse(request)
        body = next(node for node in asked.children if node.name == "Body")
        call = body.children[0]
        chance = self.chance(call.name)
        kept = self._kept(call, chance)
        if kept is not None:
            self._forwards(kept)
            return 200, written(kept, self.kinds, chance)
        status, document = ask(self._backwards(asked, request))
        root = parse(document)
        answer = next(node for node in root.children if node.name == "Body").children[0]
        if status == http.client.OK:
            self._about_filters(call, answer)
            root = self._told(call, root, answer, chance)
        elif "faults" in self.kinds:
            self._of_fault(answer)
        self._forwards(root)
        return status, written(root, self.kinds, chance)

    # What was asked

    def _about_filters(self, call: Node, answer: Node) -> None:
        """Remember what a filter asks for."""
        if call.name == "CreateFilter":
            self._asked[answer.said("returnval")] = _paths(call.each("spec"))

    def _kept(self, call: Node, chance: random.Random) -> Node | None:
        """The next part of an answer that was divided."""
        if call.name == "ContinueRetrievePropertiesEx" and call.said("token") in self._pages:
            root, rest, token = self._pages.pop(call.said("token"))
            answer = next(node for node in root.children if node.name == "Body").children[0]
            answer.tag = _beside(answer, f"{call.name}Response")
            return self._page(root, rest, token, chance)
        if call.name == "WaitForUpdatesEx" and call.said("version") in self._rounds:
            return self._round(self._rounds.pop(call.said("version")))
        return None

    # What is told

    def _told(self, call: Node, root: Node, answer: Node, chance: random.Random) -> Node:
        if call.name in ("RetrievePropertiesEx", "ContinueRetrievePropertiesEx"):
            return self._of_read(call, root, answer, chance)
        if call.name == "WaitForUpdatesEx":
            return self._of_wait(root, answer, chance)
        if call.name in _UNORDERED_ANSWERS and self.takes("order", len(answer.children) > 1):
            chance.shuffle(answer.children)
        self._values(answer, chance)
        return root

    def _of_fault(self, answer: Node) -> None:
        """The type of a fault is that of its element; what it says to people is optional, below the top."""
        for detail in answer.each("detail"):
            for fault in detail.children:
                if fault.type and fault.name == f"{fault.type}Fault":
                    fault.attributes = {key: value for key, value in fault.attributes.items() if not key.endswith(":type")}
                    self.takes("faults")

    def _of_read(self, call: Node, root: Node, answer: Node, chance: random.Random) -> Node:
        returned = answer.one("returnval")
        if returned is None:
            return root
        objects = returned.each("objects")
        for content in objects:
            if self.kinds & {*OF_GAPS}:
                self._leave_out(content, "propSet", chance)
            if call.name == "RetrievePropertiesEx":
                self._properties(content, "propSet", _paths(call.each("specSet")))
            self._values(content, chance)
            if self.takes("order"):
                _shuffle(content.children, "propSet", chance)
        if self.takes("order"):
            chance.shuffle(objects)
        token = returned.said("token")
        if "pages" not in self.kinds:
            returned.children = [*returned.each("token"), *objects]
            return root
        return self._page(root, objects, token, chance)

    def _page(self, root: Node, objects: list[Node], token: str, chance: random.Random) -> Node:
        """An answer with some of these objects, and a token for the others."""
        many = chance.randint(max(1, len(objects) // 3), max(1, len(objects)))
        now, later = objects[:many], objects[many:]
        page = root.copy()
        answer = next(node for node in page.children if node.name == "Body").children[0]
        if later:
            self.takes("pages")
            own = f"relay-{next(self._numbers)}"
            self._pages[own] = (root, later, token)
            token = own
        tokens = [Node(_beside(answer, "token"), text=token)] if token else []
        [returned] = answer.children
        returned.children = [*tokens, *now]
        return page

    def _of_wait(self, root: Node, answer: Node, chance: random.Random) -> Node:
        returned = answer.one("returnval")
        if returned is None:
            return root
        for part in returned.each("filterSet"):
            asked = self._asked.get(part.said("filter"), {})
            for update in part.each("objectSet"):
                if "optional" in self.kinds and update.one("obj").attributes["type"] != "Task":  # type: ignore[union-attr]
                    self._leave_out(update, "changeSet", chance)
                if update.said("kind") == "enter":
                    self._properties(update, "changeSet", asked)
                if "timeless" in self.kinds:
                    kept = [each for each in update.children if each.said("name") not in _TIMES_OF_TASKS]
                    self.takes("timeless", len(update.children) - len(kept))
                    update.children = kept
                self._values(update, chance)
                if self.takes("order"):
                    _shuffle(update.children, "changeSet", chance)
            if self.takes("order"):
                _shuffle(part.children, "objectSet", chance)
            if self.takes("repeated"):
                self._repeat(part, chance)
        return self._round(self._in_rounds(root, chance))

    def _repeat(self, part: Node, chance: random.Random) -> None:
        """What an update says, it says twice, if that is not that something is gone."""
        every = []
        for child in part.children:
            every.append(child)
            if child.name == "objectSet" and child.said("kind") != "leave" and chance.random() < 0.5:
                every.append(child.copy())
        part.children = every

    def _in_rounds(self, root: Node, chance: random.Random) -> list[Node]:
        """An answer as several, of which the last has all of its version."""
        rounds = [root]
        if "truncated" in self.kinds and chance.random() < 0.7:
            rounds = _halves(root)
            self.takes("truncated", len(rounds) > 1)
        if "late" in self.kinds:
            rounds = [each for last in rounds for each in _late(last)]
            self.takes("late", len(rounds) > 1)
        if "steps" in self.kinds and chance.random() < 0.7:
            steps = _steps(rounds[0])
            self.takes("steps", len(steps) > 1)
            rounds = [*steps, *rounds[1:]]
        return rounds

    def _round(self, rounds: list[Node]) -> Node:
        now, later = rounds[0], rounds[1:]
        if later:
            own = f"relay-{next(self._numbers)}"
            self._rounds[own] = later
            for node in now.every():
                if node.name == "version":
                    node.text = own
        return now

    def _properties(self, content: Node, name: str, asked: Mapping[str, set[str]]) -> None:
        """Name what is empty, and leave out what is."""
        told = content.each(name)
        obj = content.one("obj")
        assert obj is not None
        if "unset" in self.kinds:
            empty = [each for each in told if _is_empty(each)]
            self.takes("unset", len(empty))
            content.children = [each for each in content.children if each not in empty]
        for kind, empty_of in (("empties", _array), ("blanks", _text_of)):
            if kind in self.kinds:
                lacking = [path for path in _lacking(obj, told, asked) if empty_of(obj.attributes["type"], path)]
                self.takes(kind, len(lacking))
                at = content.children.index(told[-1]) + 1 if told and told[-1] in content.children else len(content.children)
                content.children[at:at] = [_nothing(obj, name, path, empty_of) for path in sorted(lacking)]

    def _values(self, told: Node, chance: random.Random) -> None:
        for node in list(told.every()):
            if "order" in self.kinds:
                if node.type in _UNORDERED_ARRAYS:
                    chance.shuffle(node.children)
                for name in {child.name for child in node.children} & _UNORDERED:
                    _shuffle(node.children, name, chance)
            if "times" in self.kinds and (found := _TIME.fullmatch(node.text)):
                node.text = _elsewhere(found, chance)
                self.takes("times")
            truth = node.type == "boolean" or (not node.type and node.name not in ("value", "key", "name"))
            if "booleans" in self.kinds and truth and node.text in ("true", "false"):
                node.text = "1" if node.text == "true" else "0"
                self.takes("booleans")
            if "capitals" in self.kinds and node.name in ("instanceUuid", "uuid", "val") and _UUID.fullmatch(node.text):
                node.text = node.text.upper()
                self.takes("capitals")

    def _leave_out(self, content: Node, name: str, chance: random.Random) -> None:
        """Take away what is optional, and refuse some properties."""
        obj = content.one("obj")
        assert obj is not None
        told = content.each(name)
        for each in told:
            value, path = each.one("val"), each.said("name")
            if "optional" in self.kinds and value is not None:
                self.takes("optional", _thin(value, chance))
                if _may_be_unset(obj.attributes["type"], path) and chance.random() < _OFTEN:
                    content.children.remove(each)
                    self.takes("optional")
                    continue
            if "refused" in self.kinds and path != "name" and chance.random() < _OFTEN and self.takes("refused"):
                content.children.remove(each)
                content.children.append(_refusal(path, obj))

    # Names of objects

    def _forwards(self, root: Node) -> None:
        """Other names for objects."""
        if "moids" not in self.kinds:
            return
        for node in root.every():
            found = _MOID.fullmatch(node.text)
            if found and ("type" in node.attributes or (node.name in _OF_MOIDS and found[1] in _KINDS_OF_OBJECTS)):
                self.takes("moids")
                other = f"{found[1]}{int(found[2]) + 5000}x"
                self._moids[other] = node.text
                node.text = other

    def _backwards(self, asked: Node, request: bytes) -> bytes:
        if not self.kinds & {"moids", "capitals"}:
            return request
        for node in asked.every():
            node.text = self._moids.get(node.text, node.text)
            if "capitals" in self.kinds and node.name == "uuid":
                node.text = node.text.lower()
        return written(asked, frozenset(), random.Random(0))  # noqa: S311

    def of_rest(self, text: bytes, *, asked: bool) -> bytes:
        """The names of objects in JSON, or in an address."""
        if "moids" not in self.kinds:
            return text
        pairs = self._moids.items() if asked else [(own, other) for other, own in self._moids.items()]
        known = {own.encode(): other.encode() for own, other in pairs}
        return re.sub(rb"[a-z-]+\d+x?\b", lambda found: known.get(found[0], found[0]), text)


def _paths(specs: list[Node]) -> dict[str, set[str]]:
    """The paths that are asked for, by type."""
    found: dict[str, set[str]] = {}
    for spec in specs:
        for each in spec.each("propSet"):
            found.setdefault(each.said("type"), set()).update(path.text for path in each.each("pathSet"))
    return found


def _shuffle(children: list[Node], name: str, chance: random.Random) -> None:
    """Another order of the children of a name, where these are."""
    places = [at for at, child in enumerate(children) if child.name == name]
    moved = [children[at] for at in places]
    chance.shuffle(moved)
    for at, child in zip(places, moved, strict=True):
        children[at] = child


def _beside(node: Node, name: str) -> str:
    """A name with the prefix of another element."""
    prefix, colon, _name = node.tag.rpartition(":")
    return f"{prefix}{colon}{name}"


def _is_empty(each: Node) -> bool:
    """Whether its value is an array without items, or a text without characters."""
    value = each.one("val")
    return value is not None and not value.children and not value.text


def _lacking(obj: Node, told: list[Node], asked: Mapping[str, set[str]]) -> set[str]:
    """The paths that are asked for and unset, of objects that have their parent."""
    kind = VmomiSupport.GetWsdlType(_VIM, obj.attributes["type"])
    wanted = {path for name, paths in asked.items() if issubclass(kind, VmomiSupport.GetWsdlType(_VIM, name)) for path in paths}
    known = {each.said("name") for each in told}
    begun = {path.partition(".")[0] for path in known}
    return {path for path in wanted - known if "[" not in path and ("." not in path or path.partition(".")[0] in begun)}


def _type_of(kind: str, path: str) -> Any:
    """The type of a property; None where it is one of a type below those that are declared."""
    here = VmomiSupport.GetWsdlType(_VIM, kind)
    for part in path.split("."):
        try:
            here = here._GetPropertyInfo(part).type
        except AttributeError:
            return None
    return here


def _array(kind: str, path: str) -> str:
    """How the type of a property is written that is an array; empty where it is none."""
    found = _type_of(kind, path)
    return str(VmomiSupport.GetWsdlName(found)) if found is not None and issubclass(found, list) else ""


def _text_of(kind: str, path: str) -> str:
    """The same of one that is a text."""
    return "xsd:string" if _type_of(kind, path) is str else ""


def _nothing(obj: Node, name: str, path: str, empty_of: Callable[[str, str], str]) -> Node:
    """An array without items, or a text without characters."""
    value = Node("val", {"xmlns:x": _XSI, "x:type": empty_of(obj.attributes["type"], path)})
    children = [Node("name", text=path), value]
    return Node(name, None, *children) if name == "propSet" else Node(name, None, children[0], Node("op", text="assign"), value)


def _is_data(value: Node) -> bool:
    """Whether a value is a data object, or an array of these."""
    try:
        kind = VmomiSupport.GetWsdlType(_VIM, value.type)
    except KeyError:
        return False
    kind = kind.Item if issubclass(kind, list) else kind
    return issubclass(kind, VmomiSupport.DataObject)


def _thin(value: Node, chance: random.Random, kind: Any = None) -> int:
    """Leave out some of what is optional in a data object, and in those below it; returns how much.

    kind: the type that it has where it names none.
    """
    kind = VmomiSupport.GetWsdlType(_VIM, value.type) if value.type and _is_data(value) else kind
    if kind is None or not issubclass(kind, (list, VmomiSupport.DataObject)):
        return 0
    gone = 0
    for child in list(value.children):
        info = None if issubclass(kind, list) else kind._GetPropertyInfo(child.name)
        below = kind.Item if info is None else info.type
        if info is not None and info.flags & VmomiSupport.F_OPTIONAL and chance.random() < _OFTEN:
            value.children.remove(child)
            gone += 1
        else:
            gone += _thin(child, chance, below.Item if issubclass(below, list) else below)
    return gone


def _may_be_unset(kind: str, path: str) -> bool:
    here = VmomiSupport.GetWsdlType(_VIM, kind)
    for part in path.partition("[")[0].split("."):
        if not hasattr(here, "_GetPropertyInfo"):
            return False
        info = here._GetPropertyInfo(part)
        if info.flags & VmomiSupport.F_OPTIONAL:
            return True
        here = info.type
    return False


def _refusal(path: str, obj: Node) -> Node:
    """That a property of an object may not be read."""
    fault = Node(
        "fault",
        {"xmlns:x": _XSI, "x:type": "NoPermission"},
        Node("object", dict(obj.attributes), text=obj.text),
        Node("privilegeId", text="System.Read"),
    )
    return Node("missingSet", None, Node("path", text=path), Node("fault", None, fault, Node("localizedMessage", text="")))


def _elsewhere(found: re.Match[str], chance: random.Random) -> str:
    """The same moment in another zone, with as many digits as vCenter has."""
    hours = int(found[2]) + 1
    fraction = (found[4] or ".")[:7].ljust(7, "0")
    if hours > 23 or chance.random() < 0.3:
        return f"{found[1]}{found[2]}{found[3]}{fraction}+00:00"
    return f"{found[1]}{hours:02}{found[3]}{fraction}+01:00"


def _updates(root: Node) -> list[tuple[Node, Node]]:
    """The updates of an answer, with the parts that they are in."""
    parts = [node for node in root.every() if node.name == "filterSet"]
    return [(part, update) for part in parts for update in part.each("objectSet")]


def _halves(root: Node) -> list[Node]:
    """Two answers, the first of which says that it is not all."""
    count = len(_updates(root))
    if count < 2:
        return [root]
    first, second = root.copy(), root.copy()
    for half, keep in ((first, range(count // 2)), (second, range(count // 2, count))):
        for number, (part, update) in enumerate(_updates(half)):
            if number not in keep:
                part.children = [each for each in part.children if each is not update]
    for part in [node for node in first.every() if node.name == "filterSet"]:
        part.children = [each for each in part.children if each.name != "missingSet"]
    returned = next(node for node in first.every() if node.name == "returnval")
    returned.children = [each for each in returned.children if each.name != "truncated"]
    returned.children.append(Node("truncated", text="true"))
    return [first, second]


def _state(update: Node) -> Node | None:
    """The new state of a task, where an update has one."""
    found = next((each for each in update.each("changeSet") if each.said("name") == "info.state"), None)
    return found.one("val") if found is not None else None


def _only(root: Node, keep: Callable[[Node], bool]) -> Node:
    """The answer with these updates alone."""
    other = root.copy()
    for part, update in _updates(other):
        if not keep(update):
            part.children = [each for each in part.children if each is not update]
    return other


def _steps(root: Node) -> list[Node]:
    """A task that has ended is seen while it waits, and while it runs, before."""
    ended = [update for _part, update in _updates(root) if (state := _state(update)) is not None and state.text in _ENDS]
    if not ended:
        return [root]

    def has_ended(update: Node) -> bool:
        state = _state(update)
        return state is not None and state.text in _ENDS

    rounds = []
    for number, seen in enumerate(("queued", "running")):
        step = root.copy() if number == 0 else _only(root, has_ended)
        for _part, update in _updates(step):
            state = _state(update)
            if state is not None and state.text in _ENDS:
                state.text = seen
                begun = ("info.state", "info.queueTime")
                update.children = [each for each in update.children if each.name != "changeSet" or each.said("name") in begun]
        rounds.append(step)
    return [*rounds, _only(root, has_ended)]


def _late(root: Node) -> list[Node]:
    """That a task has ended is told before what came of it."""
    first = root.copy()
    later = ("info.result", "info.error", "info.completeTime")
    divided = False
    for _part, update in _updates(first):
        state = _state(update)
        if state is not None and state.text in _ENDS:
            kept = [each for each in update.children if each.said("name") not in later]
            divided = divided or len(kept) < len(update.children)
            update.children = kept
    return [first, root] if divided else [root]


class Relayed(Simulator):
    """A simulator that is reached through a relay, with everything else as ever.

    Args:
        identity: as of Relay.
        kinds, seed: as of Relay.
    """

    def __init__(self, binary: Path, *flags: str, identity: Path, kinds: tuple[str, ...], seed: int, **how: Any) -> None:
        super().__init__(binary, *flags, **how)
        self._identity, self._kinds, self._seed = identity, kinds, seed
        self._relay: Relay | None = None

    def start(self) -> None:
        """Start the simulator, and then the relay."""
        super().start()
        self._relay = Relay(self.port, self.ca, self._identity, self._kinds, self._seed).__enter__()
        self.port, self.ca = self._relay.port, trusting(Path(self.ca), self._identity)
        self.thumbprint = thumbprint(self._identity)

    def stop(self) -> None:
        """End both."""
        relay, self._relay = self._relay, None
        if relay is not None:
            relay.__exit__()
        super().stop()


def trusting(trusted: Path, identity: Path) -> str:
    """Path of a new CA file beside another, for that server and for the relay."""
    both = trusted.with_name("both.pem")
    certificate = identity.read_text(encoding="ascii").partition("-----BEGIN CERTIFICATE")
    both.write_text(trusted.read_text(encoding="ascii") + "".join(certificate[1:]), encoding="ascii")
    return str(both)


def thumbprint(identity: Path) -> str:
    """SHA-256 of a certificate."""
    pem = identity.read_text(encoding="ascii")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERT") :])).hexdigest()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_of: Any) -> None:
        """A client that breaks off is no error here."""
        if not isinstance(sys.exc_info()[1], OSError):
            traceback.print_exc()


class _Handler(http.server.BaseHTTPRequestHandler):
    """Carries requests, and answers, of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    relay: ClassVar[Relay]

    def setup(self) -> None:
        """Have a connection to the other server."""
        super().setup()
        self._behind = self.relay.connection()

    def finish(self) -> None:
        """Close it."""
        self._behind.close()
        super().finish()

    def log_message(self, *_args: Any) -> None:
        """Not in the output of the tests."""

    def carry(self) -> None:
        """Ask the other server, and answer."""
        body = self._body()
        is_soap = self.command == "POST" and b"Envelope" in body[:4000] and "xml" in self.headers.get("Content-Type", "")
        try:
            answer = self._of_soap(body) if is_soap else self._of_rest(body)
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            return
        self._say(*answer)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do_PATCH = carry  # noqa: N815 (http.server's names)

    def _of_soap(self, body: bytes) -> _Answer:
        headers: list[tuple[str, str]] = []

        def ask(request: bytes) -> tuple[int, bytes]:
            status, own, document = self._ask(self.path, request)
            headers.extend(own)
            return status, document

        status, document = self.relay.answer(body, ask)
        return status, headers or [("Content-Type", "text/xml; charset=utf-8")], document

    def _of_rest(self, body: bytes) -> _Answer:
        if not self.path.startswith(("/rest", "/api")):
            return self._ask(self.path, body)
        path = self.relay.of_rest(self.path.encode(), asked=True).decode()
        status, headers, document = self._ask(path, self.relay.of_rest(body, asked=True))
        return status, headers, self.relay.of_rest(document, asked=False)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _ask(self, path: str, body: bytes) -> _Answer:
        headers = {key: value for key, value in self.headers.items() if key.lower() not in _HOP}
        self._behind.request(self.command, path, body or None, headers)
        answer = self._behind.getresponse()
        return answer.status, [(key, value) for key, value in answer.getheaders() if self._is_wanted(key)], answer.read()

    def _is_wanted(self, key: str) -> bool:
        return key.lower() not in _HOP or (self.command == "HEAD" and key.lower() == "content-length")

    def _say(self, status: int, headers: list[tuple[str, str]], document: bytes) -> None:
        chance = self.relay.chance(self.path)
        free = self.relay.takes("http")
        spelt: Callable[[str], str] = chance.choice((str.lower, str.upper, str.title)) if free else str
        may_be_packed = free and self.command == "POST"
        if may_be_packed and "gzip" in self.headers.get("Accept-Encoding", "") and chance.random() < 0.5:
            document = gzip.compress(document, 1)
            headers = [*headers, ("Content-Encoding", "gzip")]
        in_chunks = may_be_packed and chance.random() < 0.5
        self.close_connection = self.close_connection or (free and chance.random() < 0.3)
        if self.close_connection:
            headers = [*headers, ("Connection", "close")]
        if in_chunks:
            headers = [*headers, ("Transfer-Encoding", "chunked")]
        elif self.command != "HEAD":
            headers = [*headers, ("Content-Length", str(len(document)))]
        self.send_response(status)
        for key, value in headers:
            self.send_header(spelt(key), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(_chunked(document, chance) if in_chunks else document)


def _chunked(document: bytes, chance: random.Random) -> bytes:
    parts, at = [], 0
    while at < len(document):
        size = chance.randint(1, 4000)
        part = document[at : at + size]
        parts.append(b"%x\r\n%s\r\n" % (len(part), part))
        at += size
    return b"".join([*parts, b"0\r\n\r\n"])
