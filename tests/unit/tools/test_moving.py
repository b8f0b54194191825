# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What guides say of other tools: what replaces something is there, and govc has the commands and flags that are named."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[3]
_GUIDES = _ROOT / "docs" / "docsite" / "rst"
_MOVING = (_GUIDES / "guide_moving.rst").read_text(encoding="utf-8")


def _rows(text):
    """The rows of all tables of a page: their cells, in one line each."""
    for row in re.findall(r"^   \* - (.*(?:\n     .*)*)", text, re.MULTILINE):
        yield [" ".join(cell.split()) for cell in re.split(r"\n     - ?", row)]


def _ours():
    """Names of modules, roles, inventory plugins and options of modules."""
    names = {path.name for path in (_ROOT / "roles").iterdir()}
    for path in [*_ROOT.glob("plugins/modules/[!_]*.py"), *_ROOT.glob("plugins/inventory/*.py")]:
        names.add(path.stem)
    for path in [*_ROOT.glob("plugins/modules/[!_]*.py"), *_ROOT.glob("plugins/doc_fragments/*.py")]:
        names |= set(re.findall(r"^ {2,12}([a-z_]+):$", path.read_text(encoding="utf-8"), re.MULTILINE))
    return names


_REPLACED = [(cells[0], name) for cells in _rows(_MOVING) for name in re.findall(r"``([a-z_.]+)``", cells[1])]


def test_what_replaces_something_is_there():
    ours = _ours()
    assert len(_REPLACED) > 60
    assert [row for row in _REPLACED if row[1] not in ours and not row[1].startswith("vmware.vmware.")] == []


def test_each_row_says_what_replaces_it():
    """Theirs, ours, and for collections what differs."""
    tables = re.split(r"^From .*\n-+\n", _MOVING, flags=re.MULTILINE)[1:]
    assert [{len(cells) for cells in _rows(table)} for table in tables] == [{3}, {3}, {2}, {2}]
    assert all(cells[0] and cells[1] for table in tables for cells in _rows(table))


def _commands():
    """Commands of govc in the guides, with the flags that are shown of each."""
    found = {}
    for page in _GUIDES.glob("*.rst"):
        text = page.read_text(encoding="utf-8")
        lines = [*re.findall(r"``govc ([^`]+)``", text), *re.findall(r"^ +\$ govc (.+)$", text, re.MULTILINE)]
        # A cell that begins with one names others without "govc".
        cells = [cells[0] for cells in _rows(text) if cells[0].startswith("``govc ")]
        lines += [name for cell in cells for name in re.findall(r"``([a-z]+(?:\.[a-z]+)+(?: [^`]*)?)``", cell)]
        for line in lines:
            command, *words = line.split()
            found.setdefault(command, set()).update(re.match(r"-[a-z]+", word)[0] for word in words if word.startswith("-"))
    return found


@pytest.mark.parametrize(("command", "flags"), sorted(_commands().items()))
def test_govc_has_the_commands_that_are_named(command, flags, govc_binary):
    ran = subprocess.run([govc_binary, command, "-h"], capture_output=True, text=True, check=False)
    said = ran.stdout + ran.stderr
    assert re.match(rf"Usage: \S+ {re.escape(command)} ", said), said
    assert flags <= set(re.findall(r"^ +(-[a-z.-]+)", said, re.MULTILINE))
