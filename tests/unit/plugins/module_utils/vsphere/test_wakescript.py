# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The script that stops a guest, run by this machine's own shell with a freeze command that returns at once, as in a clone."""

from __future__ import annotations

import base64
import os
import pathlib
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import wake
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.guest import LINUX, WINDOWS
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.wake import (
    OUTPUT_BYTES,
    FreezeMethod,
    FreezeRecord,
    Need,
    Scripts,
    declared,
    files,
    main_path,
    missing_in,
)

METHOD = FreezeMethod(
    commands={"linux": "freeze-me", "windows": "& 'freeze me.exe'"}, shown_by="runtime.frozen", verb="freeze", state="frozen"
)
RECORD = FreezeRecord("50000000-0000-0000-0000-000000000001", "0" * 16, 1, "1" * 16, "2" * 32)
TOKEN = "0123456789abcdef"  # noqa: S105 (a token of a test)

# What an open-vm-tools guest has, as far as the script asks for it: pairs of guestinfo, a file each.
_RPCTOOL = """#!/bin/sh
set -- $1
case $1 in
info-get) cat "$INFO/$2" 2>/dev/null ;;
info-set) printf '%s' "${3+$3}${4+ $4}${5+ $5}${6+ $6}${7+ $7}" > "$INFO/$2" ;;
esac
"""


class _Guest:
    """A folder of this machine that is a guest to the script."""

    def __init__(self, tmp_path: pathlib.Path, folder: str) -> None:
        self.beside, self.info, self.bin = (tmp_path / name for name in ("beside", "info", "bin"))
        for place in (self.beside, self.info, self.bin):
            place.mkdir()
        tool = self.bin / "vmware-rpctool"
        tool.write_text(_RPCTOOL)
        tool.chmod(0o755)
        self.folder = tmp_path / folder
        self.folder.mkdir()
        (self.info / wake.TOKEN_KEY).write_text(TOKEN)

    def run(self, before=None, freeze="true", wake=(), **more):
        """Run the scripts as Tools do: the exit code."""
        scripts = Scripts(before, freeze, tuple(wake), **more)
        for path, text in files(scripts, METHOD, LINUX, str(self.folder), RECORD).items():
            pathlib.Path(path).write_text(text, encoding="utf-8")
        program, line = LINUX.command("/bin/sh", [main_path(METHOD, LINUX, str(self.folder))], str(self.beside / "out"))
        env = {"PATH": f"{self.bin}:/usr/bin:/bin", "HERE": str(self.beside), "INFO": str(self.info)}
        return subprocess.run(["/bin/sh", "-c", f"{program} {line}"], env=env, check=False).returncode

    @property
    def left(self):
        """What is in the folder beside that of the scripts, without their output."""
        return {path.name: path.read_text() for path in self.beside.iterdir() if path.name != "out"}

    @property
    def told(self):
        """What vCenter knows."""
        return {path.name: path.read_text() for path in self.info.iterdir()}

    @property
    def report(self):
        """What vCenter takes of it."""
        return wake.report_of(self.told)


@pytest.fixture
def guest(tmp_path: pathlib.Path):
    """A guest."""
    return _Guest(tmp_path, "it's a folder")


def test_a_clone_goes_on_behind_the_freeze_and_leaves_nothing_of_the_scripts(guest):
    code = guest.run(
        before='echo before > "$HERE/log"; exit 0',
        freeze='echo freeze >> "$HERE/log"',
        wake=['echo one >> "$HERE/log"\nexit 0', 'echo two >> "$HERE/log"'],
    )
    assert code == 0
    assert guest.left == {"log": "before\nfreeze\none\ntwo\n"}
    assert not guest.folder.exists()
    assert FreezeRecord.parse(guest.told[wake.FROZEN_KEY], RECORD.vm) == RECORD
    assert (guest.report.state, guest.report.log) == ("ok", "")


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"before": "exit 3"}, 71),
        ({"freeze": "no-such-command"}, 72),
        ({"freeze": "exit 0; true", "wake": ["if"]}, 70),
        ({"wake": ["exit 9"]}, 73),
        ({"wake": ["# vforge: needs sh no-such-program /no/such/folder\n"]}, 74),
    ],
)
def test_each_failure_has_an_exit_code_of_its_own_and_stops_what_follows(guest, asked, code):
    assert guest.run(**{"wake": ['touch "$HERE/woken"'], **asked}) == code
    assert "woken" not in guest.left
    assert guest.folder.exists()
    assert code in METHOD.endings


def test_of_the_output_of_the_script_before_no_more_than_its_end_is_there_to_be_fetched(guest):
    assert guest.run(before="yes 0123456789 | head -n 100000\necho why >&2\nexit 1") == 71
    output = (guest.beside / "out").read_bytes()
    assert len(output) == OUTPUT_BYTES
    assert output.endswith(b"0123456789\nwhy\n")


def test_a_guest_that_cannot_say_who_freezes_it_is_not_frozen(guest):
    (guest.bin / "vmware-rpctool").write_text("#!/bin/sh\nexit 1\n")
    assert guest.run(freeze='touch "$HERE/frozen"') == 75
    assert guest.left == {}


def test_what_is_missing_is_reported_by_its_name_before_the_freeze(guest):
    needed = (
        "# vforge: needs cat no-such-1\n# vforge: needs no-such-2 where /etc/passwd*\n# vforge: needs no-such-3 where /no/*\n"
    )
    assert guest.run(freeze='touch "$HERE/frozen"', wake=[needed]) == 74
    assert guest.left == {}
    output = (guest.beside / "out").read_text()
    assert missing_in(output, declared([needed])) == ["no-such-1", "no-such-2"]


def test_needs_are_read_from_their_own_lines_and_nothing_but_plain_words():
    taken = "# vforge: needs a b\n  #vforge: needs /x/y where /z/*\n# vforge: needs a\n"
    text = f"{taken}echo # vforge: needs c\n# vforge: needs d;e $f\n"
    assert declared([text]) == (Need("a"), Need("b"), Need("/x/y", "/z/*"))
    assert missing_in("missing: a\nmissing: x b\n", declared([text])) == ["b"]


def test_a_script_that_fails_in_a_clone_is_reported_with_the_end_of_its_output(guest):
    long = "yes 0123456789 | head -n 1000\nprintf 'the \\033[31mreason\\n' >&2\nexit 9"
    assert guest.run(wake=["true", long, 'touch "$HERE/third"']) == 73
    report = guest.report
    assert (report.state, report.script, report.exit_code) == ("failed", 2, 9)
    assert report.log.endswith("0123456789\nthe \\x1b[31mreason")
    assert len(report.log) <= wake.LOG_BYTES
    assert "third" not in guest.left


def test_where_output_is_not_to_be_reported_it_is_not(guest):
    guest.run(wake=["echo hidden-word; exit 4"], tell_output=False)
    assert (guest.report.script, guest.report.exit_code, guest.report.log) == (1, 4, "")
    assert wake.LOG_KEY not in guest.told


def test_of_a_script_that_failed_only_output_stays_in_the_clone(guest):
    guest.run(before="true", wake=["echo said; exit 1", "echo hidden-word"])
    assert sorted(path.name for path in guest.folder.iterdir()) == ["wake.log"]
    assert (guest.folder / "wake.log").read_text() == "said\n"


@pytest.mark.parametrize("token", ["", "not hexadecimal", "$(touch x)", "0123456789ABCDEF"])
def test_a_clone_without_a_token_of_ours_reports_nothing(guest, token):
    (guest.info / wake.TOKEN_KEY).write_text(token)
    assert guest.run(wake=['touch "$HERE/woken"']) == 0
    assert wake.STATE_KEY not in guest.told
    assert guest.report is None
    assert "woken" in guest.left


def test_a_child_of_vmfork_finds_its_token_below_fork(guest):
    (guest.info / wake.TOKEN_KEY).rename(guest.info / wake.FORK_TOKEN_KEY)
    guest.run(wake=["true"])
    assert guest.report.state == "ok"


def test_what_a_clone_inherited_is_not_its_own():
    told = {wake.TOKEN_KEY: "f" * 16, wake.STATE_KEY: f"{TOKEN} ok new"}
    assert wake.report_of(told) is None
    assert FreezeRecord.parse(str(RECORD), "50000000-0000-0000-0000-00000000000f") is None


@given(st.text(max_size=200))
def test_what_a_guest_writes_is_read_only_where_it_has_the_form(text):
    config = {wake.TOKEN_KEY: TOKEN, wake.STATE_KEY: f"{TOKEN} {text}", wake.LOG_KEY: f"{TOKEN} {text}"}
    report = wake.report_of(config)
    assert report is None or report.state in ("running", "ok", "failed")
    assert FreezeRecord.parse(text, RECORD.vm) is None


@given(st.binary(max_size=wake.LOG_BYTES))
def test_output_that_a_clone_reports_is_fit_to_be_shown(data):
    config = {
        wake.TOKEN_KEY: TOKEN,
        wake.STATE_KEY: f"{TOKEN} failed 1 2 none",
        wake.LOG_KEY: f"{TOKEN} {base64.b64encode(data).decode()}",
    }
    report = wake.report_of(config)
    assert all(letter >= " " or letter in "\n\t" for letter in report.log)
    assert len(report.log) <= wake.LOG_BYTES


def test_the_digest_distinguishes_other_scripts_and_reveals_nothing_of_them():
    digests = {
        Scripts(*texts).digest("salt")
        for texts in [("a", None, ("b",)), ("a", "b", ()), (None, None, ("a", "b")), (None, None, ("b", "a")), ()]
    }
    assert len(digests) == 5
    assert Scripts("a", None, ("b\r\n",)).digest("salt") == Scripts("a\n", None, ("b",)).digest("salt")
    assert Scripts("a").digest("salt") != Scripts("a").digest("other")


# Names as nobody should choose them, and somebody will.
_ODD = st.text(st.sampled_from("a b'\"$`\\;|&<>(){}[]*?!#~=%^\n\t-"), min_size=1, max_size=30).filter(
    lambda name: name not in (".", "..") and "\0" not in name
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=_ODD)
def test_a_folder_whose_name_is_full_of_shell_characters_is_one_folder(tmp_path_factory, name):
    place = tmp_path_factory.mktemp("guest")
    guest = _Guest(place, f"vforge-{name}")
    bystander = place / "bystander"
    bystander.write_text("stays")
    before = sorted(path.name for path in place.iterdir())
    assert guest.run(before='echo b > "$HERE/b"', wake=['echo w > "$HERE/w"']) == 0
    assert guest.left == {"b": "b\n", "w": "w\n"}
    assert guest.report.state == "ok"
    assert sorted(path.name for path in place.iterdir()) == [each for each in before if each != guest.folder.name]


@given(_ODD)
def test_a_word_is_one_argument_for_the_shell_as_for_powershell(word):
    done = subprocess.run(
        ["/bin/sh", "-c", f"printf %s {LINUX.quote(word)}"], capture_output=True, check=True, env={"PATH": os.defpath}
    )
    assert done.stdout.decode() == word
    quoted = WINDOWS.quote(word + "\u2019")
    inner = quoted[1:-1]
    for mark in "'\u2019":
        assert inner.count(mark) % 2 == 0
    assert inner.replace("''", "'").replace("\u2019\u2019", "\u2019") == word + "\u2019"


def test_a_mistake_in_the_syntax_of_a_wake_script_is_found_before_anything_is_run(guest):
    code = guest.run(before='touch "$HERE/before"', freeze='touch "$HERE/frozen"', wake=["echo fine", "while"])
    assert (code, guest.left) == (70, {})


def test_a_file_ends_with_a_line_end():
    written = files(Scripts("a", None, ("b\n", "c")), METHOD, LINUX, "/x", RECORD)
    assert {path: text for path, text in written.items() if "freeze" not in path} == {
        "/x/before.sh": "a\n",
        "/x/wake-1.sh": "b\n",
        "/x/wake-2.sh": "c\n",
    }


def test_the_usual_command_is_the_manners_own():
    assert "freeze-me || exit 72" in files(Scripts(), METHOD, LINUX, "/x", RECORD)["/x/freeze.sh"]
    scripts = Scripts("a", None, ("# vforge: needs Get-Thing\nb",))
    text = files(scripts, METHOD, WINDOWS, "C:\\x", RECORD)["C:\\x\\freeze.ps1"]
    assert "& 'freeze me.exe'; if ($LASTEXITCODE) { exit 72 }" in text
    lines = text.split("$_; exit 70", 1)[1].splitlines()
    order = [next(at for at, line in enumerate(lines) if mark in line) for mark in ("exit 71", "exit 74", "exit 75", "exit 72")]
    assert order == sorted(order)
    assert next(at for at, line in enumerate(lines) if "Stop-Failed 1" in line) > order[-1]
