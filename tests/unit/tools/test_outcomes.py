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


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("", "0"),
        ("created: 2/2 workers\n2 workers [120 items]\n", "0 of 120"),
        ("4 workers [9 items]\n\n[gw0] [ 11%] PASSED tests/a.py::one \n[gw3] [ 22%] FAILED tests/a.py::two \n", "2 of 9"),
        ("2 workers [100 items]\n" + "." * 70 + "FE [ 72%]\n...", "75 of 100"),
        # ansible-test runs the tests of modules and those of the controller one after the other.
        ("2 workers [3 items]\n... [100%]\n2 workers [5 items]\n.", "4 of 8"),
    ],
    ids=["nothing yet", "none yet", "test by test", "by letters", "two runs"],
)
def test_how_far_pytest_is(output: str, expected: str) -> None:
    assert str(ansible_tests._pytest_progress(output)) == expected


def test_skipped_tests_are_counted_and_neither_passed_nor_failed(tmp_path: Path) -> None:
    cases = '<testcase name="a"/><testcase name="b"><skipped/></testcase><testcase name="c"><error/></testcase>'
    (tmp_path / "junit.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>", encoding="utf-8")
    outcome = ansible_tests._from_junit(Result(1, ""), tmp_path, tmp_path / "log")
    assert outcome.note == "1 passed, 1 failed, 1 skipped"


def test_a_sanity_test_that_failed_is_named() -> None:
    output = (
        'Running sanity test "import" on Python 3.11\nRunning sanity test "pep8"\nRunning sanity test "yamllint"\n'
        "FATAL: The 2 sanity test(s) listed below (out of 3) failed. See error output above for details.\n"
        "import --python 3.11\npep8\n"
    )
    assert ansible_tests._sanity_tests(output) == {"import", "pep8", "yamllint"}
    assert ansible_tests._failed_sanity_tests(output) == {"import", "pep8"}


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
