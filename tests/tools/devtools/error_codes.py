# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guide of error codes, made of the code: each ``error_code`` with what happened and what to do.

A class of errors has one code, which it names (``error_code = "..."``), or gets one where it is raised, as an argument.
What happened is the class's docstring there and the message here; what to do are the hints where it is raised. Faults that have
a code of ours, or a hint, stand in tables. A code that begins with the verb of a way to freeze is one for each of these ways.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from devtools import layout

PAGE = layout.ROOT / "docs" / "docsite" / "rst" / "guide_error_codes.rst"

# Codes that no class of errors has; and what to do about errors that are raised at so many places, or put together so
# late, that the hints there do not say it.
_OTHERS = {
    "file_unreadable": (
        "",
        "Give the user who runs the module the right to read it, and look whether its file system is mounted.",
    ),
    "ip_timeout": (
        "",
        "Check DHCP, the network of the NIC and VMware Tools in the guest. Raise timeout where the guest is slow.",
    ),
    "invalid_option": ("", "Set the option that the message names, as it says; ansible-doc has what each takes."),
    "not_found": (
        "",
        "Look at the nearest names in the message, and whether the user may see the object (Read-only on its folders).",
    ),
    "stopped": ("", "Look at the other error of the task, which says why."),
    "partial_failure": (
        "",
        "Each entry of failures has its own error_code. Mend those, then run again: what was done is not done again.",
    ),
    "internal_error": ("The collection itself is at fault.", "Report it, with the traceback that the result holds."),
    "reported_address_refused": ("A guest reported an address that cannot be its own.", "Look at the guest and its network."),
    "source_missing": ("There is no such file, or the server of the package says so.", "Check the address."),
    "host_key_refused": ("A guest reported an SSH host key that is not one.", "Look at the guest."),
    "host_name_refused": ("The name of a VM cannot be that of a host in the inventory.", "Give the VM another name."),
    "guest_program_missing": ("The guest has no such program.", "Check the path in the guest."),
}

# What all errors are made of; nobody meets its own code.
_BASE = "Reason"

# Of an error that is raised at many places, the hints of some say enough.
_HINTS = 4

# A sentence of so few words beside values says nothing: "... is ...".
_FEW_WORDS = 2

_WIDTH = 150

_HEAD = """.. _ansible_collections.vforge.vsphere.docsite.guide_error_codes:

Troubleshooting by error code
=============================

Each failure of a module has an ``error_code``, which stays the same when sentences change, a message that says what and
where, and mostly what to do. An entry of a list has it under ``error.error_code``. This page is made of the code, and has for
each code what to do; ``...`` stands for a name or a value. A fault of vSphere that is not in it has its name in small letters
as its code: ``DuplicateName`` is ``duplicate_name``, and the result has the fault's own name and message.

.. list-table::
   :header-rows: 1
   :widths: 20 45 35

   * - Code
     - What happened
     - What to do
"""


@dataclasses.dataclass
class Entry:
    """One code: what happened, and what to do, one sentence or more each, in the order of the code."""

    happened: list[str] = dataclasses.field(default_factory=list)
    hints: list[str] = dataclasses.field(default_factory=list)

    def add(self, happened: str, hint: str) -> None:
        """Note a place; what is known already is not noted again."""
        if happened and happened not in self.happened:
            self.happened.append(happened)
        if hint and hint not in self.hints:
            self.hints.append(hint)


def read(folder: Path) -> dict[str, Entry]:
    """All codes below a folder of Python files."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.py"))]
    classes = {node.name: node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    fixed = {name: code for name, node in classes.items() if name != _BASE and (code := _own_code(node))}
    found: dict[str, Entry] = {}
    for name, code in fixed.items():
        found.setdefault(code, Entry()).add(_first_sentence(ast.get_docstring(classes[name]) or ""), "")
    for code, (happened, hint) in [*_OTHERS.items(), *_of_faults(trees), *_of_guests(trees)]:
        found.setdefault(code, Entry()).add(happened, hint)
    chosen, others = _chosen(trees), dict[str, list[str]]()
    for code, happened, advice, way in _raised(trees, classes, fixed):
        found.setdefault(code, Entry()).add(happened, "")
        if code in _OTHERS:
            continue
        found[code].add("", _text(advice, way))
        others.setdefault(code, []).extend(_text(each, way) for each in _choices(advice, chosen))
    # What is chosen from several is made for one case of many, so that it counts where there is nothing else.
    for code in others.keys() & {code for code, entry in found.items() if not entry.hints}:
        for text in others[code]:
            found[code].add("", text)
    return dict(sorted(found.items()))


def _raised(
    trees: list[ast.Module], classes: dict[str, ast.ClassDef], fixed: dict[str, str]
) -> Iterator[tuple[str, str, ast.expr, Mapping[str, str]]]:
    """Each place where an error is made: its code, what happened, the hint, and what stands for values in both.

    :param fixed: the codes of classes that have one.
    """
    given = {name: place for name, node in classes.items() if (place := _place_of_code(node, classes)) is not None}
    ways = _ways(trees)
    for call in (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = _called(call)
        hint = next((word.value for word in call.keywords if word.arg == "hint"), ast.Constant(""))
        if name in fixed:
            yield fixed[name], "", hint, MappingProxyType({})
        elif name in given and len(call.args) > given[name] + 1:
            said, message = call.args[given[name] : given[name] + 2]
            yield from ((code, _text(message, way), hint, way) for code, way in _codes(said, ways))


def _chosen(trees: list[ast.Module]) -> dict[str, list[ast.expr]]:
    """Texts that are chosen from: the values of a module's dictionary, and what a function returns, by their names."""
    found: dict[str, list[ast.expr]] = {}
    for node in (node for tree in trees for node in tree.body):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            found.setdefault(ast.unparse(node.targets[0]), []).extend(node.value.values)
        elif isinstance(node, ast.FunctionDef) and ast.unparse(node.returns or ast.Constant(None)) == "str":
            ends = (line.value for line in ast.walk(node) if isinstance(line, ast.Return) and line.value)
            found.setdefault(node.name, []).extend(sorted(ends, key=lambda end: end.lineno))
    return found


def _choices(node: ast.expr, chosen: Mapping[str, list[ast.expr]]) -> list[ast.expr]:
    """What an expression chooses its text from."""
    if isinstance(node, ast.Subscript):
        return chosen.get(ast.unparse(node.value), [])
    return chosen.get(_called(node), []) if isinstance(node, ast.Call) else []


def _codes(node: ast.expr, ways: Iterable[Mapping[str, str]]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The codes that an argument of an error names, each with the values that its texts have then.

    None where the code is that of another error.
    """
    if isinstance(node, ast.Constant):
        yield str(node.value), {}
    elif isinstance(node, ast.JoinedStr):
        yield from ((_text(node, way), way) for way in ways)


def _ways(trees: list[ast.Module]) -> list[dict[str, str]]:
    """The ways to freeze: what stands in a message for ``method.verb`` and, as far as it is written out, ``method.state``."""
    told = {}
    for call in (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if _called(call) == "FreezeMethod":
            words = {word.arg: _text(word.value) for word in call.keywords}
            told[words["verb"]] = {f"method.{key}": words[key] for key in ("verb", "state") if words[key]}
    return list(told.values())


def _tables(trees: list[ast.Module], name: str) -> Iterator[tuple[str, Any]]:
    """The rows of the dictionaries that have this name in their modules."""
    for node in (node for tree in trees for node in tree.body if isinstance(node, ast.Assign)):
        if ast.unparse(node.targets[0]) == name and isinstance(node.value, ast.Dict):
            yield from ast.literal_eval(node.value).items()


def _of_faults(trees: list[ast.Module]) -> Iterator[tuple[str, tuple[str, str]]]:
    """The codes of vSphere's faults for which there is a hint: ``_HINTS`` of the connector."""
    for name, hint in _tables(trees, "_HINTS"):
        code = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
        yield code, (f"vSphere's fault {name}; the message is its own.", hint)


def _of_guests(trees: list[ast.Module]) -> Iterator[tuple[str, tuple[str, str]]]:
    """The codes of faults that stand in the way inside a guest: ``_FAULTS`` of guest operations."""
    for _name, (code, sentence, hint) in _tables(trees, "_FAULTS"):
        happened = re.sub(r"\{\w+\}", "...", sentence)
        yield code, (f"{happened[0].upper()}{happened[1:]}.", hint)


def _own_code(node: ast.ClassDef) -> str:
    for line in node.body:
        if (
            isinstance(line, ast.Assign)
            and ast.unparse(line.targets[0]) == "error_code"
            and isinstance(line.value, ast.Constant)
        ):
            return str(line.value.value)
    return ""


def _place_of_code(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> int | None:
    """Which argument of a class of errors is the code, which comes before the message; None where it is given none."""
    inits = [line for line in node.body if isinstance(line, ast.FunctionDef) and line.name == "__init__"]
    if not inits:
        above = (classes[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in classes)
        return next((place for each in above if (place := _place_of_code(each, classes)) is not None), None)
    names = [arg.arg for init in inits for arg in init.args.args[1:]]
    return names.index("error_code") if "error_code" in names else None


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else call.func.attr if isinstance(call.func, ast.Attribute) else ""


def _text(node: ast.expr, values: Mapping[str, str] = MappingProxyType({})) -> str:
    """What an expression says, as far as it says it by itself; ``...`` for values that are not known."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.FormattedValue):
        return values.get(ast.unparse(node.value), "...")
    if isinstance(node, ast.JoinedStr):
        # Of a value that is made of several, one mark is enough.
        return re.sub(r"\.\.\.(?:\.?\.\.\.)+", "...", "".join(_text(part, values) for part in node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left, values) + _text(node.right, values)
    return ""


def _first_sentence(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split()).replace("``", "")


def _telling(sentences: list[str]) -> list[str]:
    """Without those that are the beginning of another one, and those that are hardly more than values."""
    whole = [each for each in sentences if not any(other != each and other.startswith(each.rstrip(".")) for other in sentences)]
    return [each for each in whole if "..." not in each or len(re.findall(r"[A-Za-z]{2,}", each)) > _FEW_WORDS] or whole


def _lines(words: list[str]) -> Iterator[str]:
    """A cell of the table."""
    text = " ".join(word if word.endswith((".", "?", ":")) else f"{word}." for word in words)
    escaped = re.sub(r"([*`|\\])", r"\\\1", text)
    escaped = re.sub(r"_(?=\W|$)", r"\\_", escaped)
    yield from textwrap.wrap(escaped, _WIDTH, break_long_words=False, break_on_hyphens=False)


def page(entries: dict[str, Entry]) -> str:
    """The guide."""
    rows = []
    for code, entry in entries.items():
        rows.append(f"   * - ``{code}``")
        for words in (_telling(entry.happened), _telling(entry.hints)[:_HINTS]):
            first, *more = _lines(words)
            rows += [f"     - {first}", *(f"       {line}" for line in more)]
    return _HEAD + "\n".join(rows) + "\n"


def write() -> None:
    """Write the guide."""
    PAGE.write_text(page(read(layout.ROOT / "plugins" / "module_utils")), encoding="utf-8")
