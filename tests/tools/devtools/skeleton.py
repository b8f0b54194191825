# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make module NAME=...`: a new module that works, in all of its rooms, to be changed into what it is to become."""

from __future__ import annotations

import re
import string
from pathlib import Path

from devtools import layout
from devtools.console import Console

_TEMPLATES = Path(__file__).parent / "skeleton"

# Where each template goes.
_FILES = {
    "module": "plugins/modules/{name}.py",
    "action": "plugins/action/{name}.py",
    "model": "plugins/module_utils/_{name}/model.py",
    "read": "plugins/module_utils/_{name}/read.py",
    "plan": "plugins/module_utils/_{name}/plan.py",
    "apply": "plugins/module_utils/_{name}/apply.py",
    "task": "plugins/module_utils/_{name}/task.py",
    "test": "tests/unit/plugins/modules/test_{name}.py",
}

_RUNTIME = "meta/runtime.yml"


class CannotWrite(Exception):
    """The name is none, or is taken."""


def write(name: str, root: Path) -> list[str]:
    """Write the files of a new module, and put it into the action group.

    :param root: of the checkout.
    :returns: the paths of the new files, from the root.
    :raises CannotWrite: nothing was written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise CannotWrite(f"{name!r} is no name of a module: lower-case words with underscores, such as vm_notes.")
    paths = {template: path.format(name=name) for template, path in _FILES.items()}
    taken = [path for path in paths.values() if (root / path).exists()]
    if taken:
        raise CannotWrite(f"{taken[0]} is there already.")
    values = {"name": name, "version": _version(root)}
    for template, path in paths.items():
        text = string.Template((_TEMPLATES / f"{template}.tmpl").read_text(encoding="utf-8"))
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text.substitute(values), encoding="utf-8")
    _add_to_group(name, root / _RUNTIME)
    return list(paths.values())


def _version(root: Path) -> str:
    found = re.search(r"^version: (\S+)$", (root / "galaxy.yml").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise CannotWrite("galaxy.yml has no version.")
    return found[1]


def _add_to_group(name: str, runtime: Path) -> None:
    head: list[str] = []
    modules: list[str] = []
    for line in runtime.read_text(encoding="utf-8").splitlines():
        (modules if line.startswith("    - ") else head).append(line)
    runtime.write_text("\n".join([*head, *sorted([*modules, f"    - {name}"])]) + "\n", encoding="utf-8")


def run(console: Console, arguments: list[str]) -> int:
    """Write a module for `make module NAME=...`; returns the exit code."""
    try:
        paths = write(arguments[0] if arguments else "", layout.ROOT)
    except CannotWrite as error:
        console.text(str(error))
        return 1
    for path in paths:
        console.text(f"wrote {path}")
    console.text(f"{_RUNTIME} has it in the action group. What comes next is in CONTRIBUTING.md, A new module in ten steps.")
    return 0
