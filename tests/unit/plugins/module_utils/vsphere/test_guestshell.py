# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How programs are started: what a guest's shell makes of the line is what was meant."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.guest import LINUX, WINDOWS, shell_of

WORDS = st.lists(st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",))), max_size=5)


@given(WORDS, st.text("abc/ '\"$;", min_size=1))
def test_a_posix_shell_takes_the_words_apart_as_they_were(words, output):
    program, line = LINUX.command("/usr/bin/tool", words, output)
    assert program == "/usr/bin/tool"
    # Redirections are no words of the command; the shell sees them before and takes them off.
    assert shlex.split(line) == [*words, ">", output, "2>&1"]


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("plain", '"plain"'),
        ("two words", '"two words"'),
        ('say "hi"', r'"say \"hi\""'),
        ("C:\\folder\\", '"C:\\folder\\\\"'),
        ('back\\"quoted', r'"back\\\"quoted"'),
        ("a&b|c>d", '"a&b|c>d"'),
    ],
)
def test_words_for_windows_are_quoted(word, quoted):
    program, line = WINDOWS.command("C:\\tool.exe", [word], "C:\\Temp\\out")
    assert program.endswith("cmd.exe")
    assert line == f'/d /s /c ""C:\\tool.exe" {quoted} > "C:\\Temp\\out" 2>&1"'


@pytest.mark.parametrize(
    ("family", "guest_id", "shell"),
    [
        ("linuxGuest", "windows2019srv_64Guest", LINUX),
        ("windowsGuest", "debian12_64Guest", WINDOWS),
        (None, "windows2019srv_64Guest", WINDOWS),
        (None, "debian12_64Guest", LINUX),
        ("", None, LINUX),
        ("solarisGuest", "", LINUX),
    ],
)
def test_the_shell_is_that_of_the_family_which_tools_report_first(family, guest_id, shell):
    assert shell_of(family, guest_id) is shell


def test_paths_and_words_of_scripts():
    assert LINUX.path("/tmp/x", "a.sh") == LINUX.path("/tmp/x/", "a.sh") == "/tmp/x/a.sh"  # noqa: S108 (of a guest)
    assert WINDOWS.path("C:\\Temp\\", "a.ps1") == "C:\\Temp\\a.ps1"
    assert LINUX.quote("it's") == "'it'\"'\"'s'"
    assert WINDOWS.quote("it's $x") == "'it''s $x'"
