# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person sees: one line a step with its time, the log of what failed, a table at the end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from devtools import layout
from devtools.processes import CommandFailed

_GREEN, _RED, _DIM, _BOLD = "32", "31", "2", "1"


@dataclass(frozen=True)
class Outcome:
    """What a step came to: how many of its checks passed and failed, a few words about them, and what to show on failure."""

    passed: int
    failed: int = 0
    note: str = ""
    log: Path | None = None


@dataclass(frozen=True)
class _Row:
    name: str
    outcome: Outcome
    seconds: float


class Console:
    """Prints the steps of one command and remembers them."""

    def __init__(self) -> None:
        self._rows: list[_Row] = []
        self._lock = Lock()
        self._begin = time.monotonic()
        self._tty = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

    @property
    def failed(self) -> int:
        """How many checks failed so far."""
        return sum(row.outcome.failed for row in self._rows)

    @property
    def elapsed(self) -> float:
        """Seconds since the command began."""
        return time.monotonic() - self._begin

    def _paint(self, text: str, color: str) -> str:
        return f"\033[{color}m{text}\033[0m" if self._tty else text

    def _print(self, text: str) -> None:
        with self._lock:
            print(f"\r\033[K{text}" if self._tty else text, flush=True)

    def title(self, text: str) -> None:
        """Print a heading."""
        self._print(f"\n{self._paint(text, _BOLD)}")

    def text(self, text: str) -> None:
        """Print text as it is."""
        self._print(text)

    def part(self, name: str, note: str) -> None:
        """Say that a part of the set-up is there."""
        self._line("ok", _GREEN, name, note, self.elapsed)

    def skip(self, name: str, why: str) -> None:
        """Say that a step cannot run on this machine."""
        self._print(f"  {self._paint('--    ', _DIM)}  {name:22} {why}")

    def _line(self, word: str, color: str, name: str, note: str, seconds: float) -> None:
        mark = self._paint(f"{word:6}", color)
        self._print(f"  {mark}  {name:22} {note:37} {self._paint(f'{seconds:7.1f} s', _DIM)}")

    def step(self, name: str, work: Callable[[], Outcome]) -> Outcome:
        """Run one step, print its line, and on failure all that its commands wrote.

        A CommandFailed that the step raises counts as one failed check.
        """
        if self._tty:
            print(f"  {self._paint('...', _DIM)}     {name}", end="", flush=True)
        begin = time.monotonic()
        try:
            outcome = work()
        except CommandFailed as error:
            outcome = Outcome(0, 1, f"exit code {error.code}", error.log)
        seconds = time.monotonic() - begin
        with self._lock:
            self._rows.append(_Row(name, outcome, seconds))
        word, color = ("FAILED", _RED) if outcome.failed else ("ok", _GREEN)
        self._line(word, color, name, outcome.note, seconds)
        if outcome.failed and outcome.log is not None:
            self._show(name, outcome.log)
        return outcome

    def _show(self, name: str, log: Path) -> None:
        rule = "-" * 20
        self._print(f"{rule} {name}: {_shown(log)} {rule}")
        self._print(log.read_text(encoding="utf-8", errors="replace").rstrip())
        self._print("-" * (2 * len(rule) + len(name) + 2))

    def summary(self) -> int:
        """Print the table of all steps and the closing line; returns the exit code."""
        self.title("Summary")
        for row in self._rows:
            word, color = ("FAILED", _RED) if row.outcome.failed else ("ok", _GREEN)
            self._line(word, color, row.name, f"{row.outcome.passed} passed, {row.outcome.failed} failed", row.seconds)
        passed = sum(row.outcome.passed for row in self._rows)
        self._print(f"\n  all of it took {self.elapsed:.0f} s\n")
        self._print(f"{passed} passed, {self.failed} failed")
        return 1 if self.failed else 0


def _shown(path: Path) -> Path:
    return path.relative_to(layout.ROOT) if path.is_relative_to(layout.ROOT) else path
