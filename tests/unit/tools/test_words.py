# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plugins, roles and guides use the words of vSphere and Ansible: the glossary of CONTRIBUTING says which."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[3]
_SUFFIXES = {".py", ".md", ".rst", ".yml", ".yaml", ".j2", ".sh", ".ps1"}
_FILES = sorted(
    path
    for folder in ("plugins", "roles", "docs", "playbooks")
    for path in (_ROOT / folder).rglob("*")
    if path.suffix in _SUFFIXES and "__pycache__" not in path.parts
)

# What is not written, and what is written in its place.
_WORDS = {
    r"\b[Tt]old\b": "returned, reported, listed",
    r"\b[Aa]new\b": "again",
    r"\bdo(es)? not count\b": "is not active, is not used",
    r"\bstands? still\b": "is frozen",
    r"\bbegin of\b": "the beginning of, the first of",
    r"\bwho to be\b": "guest OS credentials",
    r"\bStandings?\b": "item",
    r"\bJob\b": "task",
    r"\bSurvey\b": "what was read",
    r"\b[Ss]trangers?\b": "a VM that is no clone of this parent",
    r"\bManner\b": "method",
    r"\bHolder\b": "what has the name",
    r"\bWord\b": "reported addresses",
    r"\bVerdict\b": "used addresses",
    r"\b(session|progress)\.tell\b": "session.show_progress, progress.show",
    r"\b[Pp]atience\b": "deadline",
    r"\b[Aa]dopt(s|ed|ion)?\b": "take over",
    r"\b(and|the|version|further|its) facts\b": "what is known",
}


@pytest.mark.parametrize("word", _WORDS)
def test_a_word_that_nobody_else_uses_is_not_used(word):
    pattern = re.compile(word)
    found = [
        f"{path.relative_to(_ROOT)}:{number}: {line.strip()}"
        for path in _FILES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, f"Write {_WORDS[word]}.\n" + "\n".join(found)


def test_there_are_files_to_look_at():
    assert len(_FILES) > 150
