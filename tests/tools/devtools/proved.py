# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guide that says what is proved on what: README's section of that name, for the site."""

from __future__ import annotations

import re

from devtools import layout

PAGE = layout.ROOT / "docs" / "docsite" / "rst" / "guide_proved.rst"
_README = layout.ROOT / "README.md"
_SECTION = "## What is proved, and on what\n"
_REPOSITORY = "https://github.com/vforge/vforge.vsphere/blob/main"

_HEAD = """.. _ansible_collections.vforge.vsphere.docsite.guide_proved:

What is proved, and on what
===========================

This page is made of README's section of the same name.

"""


def page(readme: str) -> str:
    """The guide, of the text of README."""
    section = readme.partition(_SECTION)[2].partition("\n## ")[0].strip()
    prose = [line for line in section.splitlines() if not line.startswith("|")]
    rows = [_cells(line) for line in section.splitlines() if line.startswith("|")]
    table = [".. list-table::", "   :header-rows: 1", "   :widths: 40 60", ""]
    # The second row of a table in Markdown is its line.
    for first, second in [rows[0], *rows[2:]]:
        table += [f"   * - {_rst(first)}", f"     - {_rst(second)}"]
    return _HEAD + _rst("\n".join(prose).strip()) + "\n\n" + "\n".join(table) + "\n"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def _rst(text: str) -> str:
    """Markdown as reStructuredText, as far as that section has any that differs: links and code."""
    text = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", text)
    return re.sub(r"\[([^\]]+)\]\(([^)]+)\)", lambda found: f"`{found[1]} <{_REPOSITORY}/{found[2]}>`__", text)


def write() -> None:
    """Write the guide."""
    PAGE.write_text(page(_README.read_text(encoding="utf-8")), encoding="utf-8")
