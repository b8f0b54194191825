# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What CONTRIBUTING lists of guards and tests is there, so that the list is not the only place where they are."""

from __future__ import annotations

import pathlib
import re

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[3]


def _rows():
    """What comes from outside: the cells of each row."""
    text = (_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## What comes from outside")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if line.startswith("| ")]
    return rows[2:]


def test_each_value_from_outside_has_a_guard_and_a_test_that_are_there():
    code = {str(path) for folder in ("plugins", "roles") for path in (_ROOT / folder).rglob("*.py")}
    tests = {path.name for path in (_ROOT / "tests" / "unit").rglob("test_*.py")}
    rows = _rows()
    assert len(rows) > 20
    for row in rows:
        assert len(row) == 4, row
        named = re.findall(r"`(test_\w+\.py)`", row[3])
        assert named, row
        assert set(named) <= tests, row
        for part in re.findall(r"`([\w/]+\.py)`", row[2]):
            assert any(path.endswith(f"/{part}") for path in code), row


def test_the_map_has_each_file_that_all_domains_share():
    text = (_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b\w+\b", text.partition("## The map")[2].partition("\n## ")[0]))
    utils = _ROOT / "plugins" / "module_utils"
    files = [file.stem for folder in (utils, utils / "_connector", utils / "_vsphere") for file in folder.glob("*.py")]
    assert len(files) > 50
    assert sorted(set(files) - named) == []


def test_each_integration_target_is_in_the_table():
    text = (_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition("## The integration targets")[2].partition("\n## ")[0]
    listed = {
        name for line in section.splitlines() if line.startswith("| `") for name in re.findall(r"`(\w+)`", line.split(" | ")[0])
    }
    assert listed == {path.name for path in (_ROOT / "tests" / "integration" / "targets").iterdir() if path.is_dir()}


_FILES = (
    "plugins/modules/instant_clone.py",
    "plugins/modules/linked_clone.py",
    "plugins/module_utils/_argspec.py",
    "plugins/module_utils/_clone",
)

# As options are written, and as the fields of requests and settings are that are made of them.
_OPTIONS = {
    "bios_uuid": r'"bios_uuid"|^ +bios_uuid:|BIOS_UUID|\.bios_uuid\b',
    "annotation": r'"annotation"|^ +annotation:|ANNOTATION|\.annotation\b',
    "cpu": r'"cpu"|^ +cpu:|CPU_CORES|CORES_PER_SOCKET',
    "memory": r'"memory"|^ +memory:|MEMORY_MB',
    "networks": r'"networks"|^ +networks:|NicRequest|request\.networks\b',
}


def _sources():
    for name in _FILES:
        path = _ROOT / name
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


@pytest.mark.parametrize("option", sorted(_OPTIONS))
def test_an_option_of_a_clone_is_in_few_files(option):
    pattern = re.compile(_OPTIONS[option], re.MULTILINE)
    files = [path.name for path in _sources() if pattern.search(path.read_text(encoding="utf-8"))]
    assert "model.py" in files
    assert len(files) <= 6, files


def test_few_lines_are_long():
    """Under three of a hundred have more than a hundred characters: ruff's limit is for those that would be worse broken."""
    sources = [path for path in sorted((_ROOT / "plugins").rglob("*.py")) if "__pycache__" not in path.parts]
    lines = [line for path in sources for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) > 10_000
    assert sum(len(line) > 100 for line in lines) < 0.03 * len(lines)


# What is made, and comes and goes.
_MADE = {".build", ".git", ".hypothesis", ".mypy_cache", "__pycache__", "output"}


def test_no_file_is_a_binary_by_mistake():
    """What a measurement or a build leaves in the checkout would stay in its history for good."""
    files = [path for path in _ROOT.glob("*/**/*") if _MADE.isdisjoint(path.relative_to(_ROOT).parts) and path.is_file()]
    assert len(files) > 1_000
    assert [str(path) for path in files if path.stat().st_size > 2**20] == []
