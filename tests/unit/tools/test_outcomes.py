# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A step counts as passed only when something ran and nothing failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from devtools import ansible_tests, go_tests
from devtools.console import Console, Outcome
from devtools.processes import CommandFailed, Result


@pytest.mark.parametrize(
    ("code", "passed", "failed", "expected"),
    [
        (0, ["a", "b"], [], (2, 0)),
        (1, ["a"], ["b"], (1, 1)),
        (1, ["a", "b"], [], (2, 1)),
        (0, [], [], (0, 1)),
    ],
    ids=["good", "one failed", "failed without a name", "nothing ran"],
)
def test_outcome_of_ansible_test(code: int, passed: list[str], failed: list[str], expected: tuple[int, int]) -> None:
    outcome = ansible_tests._outcome(Result(code, ""), passed, failed, Path("log"))
    assert (outcome.passed, outcome.failed) == expected


def test_go_test_json_becomes_counts_and_a_readable_log(tmp_path: Path) -> None:
    output = "\n".join(
        [
            "not json",
            '{"Action":"output","Package":"p","Test":"TestA","Output":"--- PASS: TestA\\n"}',
            '{"Action":"pass","Package":"p","Test":"TestA"}',
            '{"Action":"fail","Package":"p","Test":"TestB"}',
            '{"Action":"pass","Package":"p"}',
        ]
    )
    assert go_tests._digest(output, tmp_path / "log") == (1, 1)
    assert (tmp_path / "log").read_text(encoding="utf-8") == "not json\n--- PASS: TestA\n"


def test_the_closing_line_counts_every_step(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def fail() -> Outcome:
        raise CommandFailed(["false"], 1, log)

    console = Console()
    log = tmp_path / "log"
    log.write_text("what went wrong\n", encoding="utf-8")
    console.step("good", lambda: Outcome(3))
    console.step("bad", fail)
    assert console.summary() == 1
    shown = capsys.readouterr().out
    assert "what went wrong" in shown
    assert shown.endswith("\n3 passed, 1 failed\n")
