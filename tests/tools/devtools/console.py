# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a person sees: a line for each step, how far the running ones are, the log of what failed, a table at the end."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, RLock, Thread

from devtools import layout, processes
from devtools.processes import CommandFailed

_GREEN, _RED, _DIM, _BOLD = "32", "31", "2", "1"
# How often running steps say how far they are: in place on a terminal, a line each time elsewhere.
_TICK_SECONDS = 0.5
_LINE_SECONDS = 15.0


@dataclass(frozen=True)
class Outcome:
    """What a step came to: how many of its checks passed, failed and were skipped, a few words, and what to show on failure."""

    passed: int
    failed: int = 0
    note: str = ""
    log: Path | None = None
    skipped: int = 0

    @property
    def counts(self) -> str:
        """The counts in words, such as "3 passed, 0 failed"."""
        return f"{self.passed} passed, {self.failed} failed" + (f", {self.skipped} skipped" if self.skipped else "")


@dataclass(frozen=True)
class Progress:
    """How far a step is. of: how many there are in all; 0 where that is not known."""

    done: int
    of: int = 0

    def __str__(self) -> str:
        return f"{self.done} of {max(self.of, self.done)}" if self.of else str(self.done)


@dataclass(frozen=True)
class _Row:
    """A step that has ended. seconds: of wall time; spent: of processor time, as far as its commands tell."""

    name: str
    outcome: Outcome
    seconds: float
    spent: float


@dataclass(frozen=True)
class _Running:
    """A step that runs. group: what it is called together with others that do the same."""

    group: str
    begin: float
    progress: Callable[[], Progress] | None


class Console:
    """Prints the steps of one command, from any thread, and remembers them."""

    def __init__(self) -> None:
        self._rows: list[_Row] = []
        self._running: dict[str, _Running] = {}
        self._lock = RLock()
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

    def step(
        self,
        name: str,
        work: Callable[[], Outcome],
        progress: Callable[[], Progress] | None = None,
        group: str = "",
    ) -> Outcome:
        """Run one step, print its line, and on failure all that its commands wrote.

        A CommandFailed that the step raises counts as one failed check. progress: says how far it is, called from
        another thread; group: under which name, where several steps do one thing, and say together how far it is.
        """
        begin, spent = time.monotonic(), processes.spent()
        with self._lock:
            self._running[name] = _Running(group or name, begin, progress)
        try:
            outcome = work()
        except CommandFailed as error:
            outcome = Outcome(0, 1, f"exit code {error.code}", error.log)
        finally:
            with self._lock:
                del self._running[name]
        if processes.stopped():
            # The whole run is being given up, and with it what this step came to.
            raise processes.Stopped
        row = _Row(name, outcome, time.monotonic() - begin, processes.spent() - spent)
        word, color = ("FAILED", _RED) if outcome.failed else ("ok", _GREEN)
        with self._lock:
            self._rows.append(row)
            self._line(word, color, name, outcome.note, row.seconds)
            if outcome.failed and outcome.log is not None:
                self._show(name, outcome.log)
        return outcome

    def _show(self, name: str, log: Path) -> None:
        rule = "-" * 20
        self._print(f"{rule} {name}: {_shown(log)} {rule}")
        self._print(log.read_text(encoding="utf-8", errors="replace").rstrip())
        self._print("-" * (2 * len(rule) + len(name) + 2))

    @contextmanager
    def watched(self, every: float | None = None) -> Iterator[None]:
        """While the block runs, say again and again how far the running steps are. every: seconds between two times."""
        ended = Event()
        seconds = every or (_TICK_SECONDS if self._tty else _LINE_SECONDS)

        def watch() -> None:
            while not ended.wait(seconds):
                self._say_how_far()

        thread = Thread(target=watch, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            if self._tty:
                print("\r\033[K", end="", flush=True)

    def _say_how_far(self) -> None:
        with self._lock:
            if not self._running:
                return
            text = f"{self.elapsed:5.0f} s  {self._how_far()}"
            if self._tty:
                width = shutil.get_terminal_size().columns
                print(f"\r\033[K{self._paint(f'  ... {text}'[: width - 1], _DIM)}", end="", flush=True)
            else:
                print(f"  ...   {text}", flush=True)

    def _how_far(self) -> str:
        """Such as "units 812 of 2182, integration 5 of 16, mypy"."""
        groups = {step.group: step.progress for step in self._running.values()}
        return ", ".join(f"{name} {progress()}" if progress else name for name, progress in groups.items())

    def summary(self) -> int:
        """Print the table of all steps and the closing line; returns the exit code."""
        self.title("Summary")
        cost = f"{'wall':>9}{'processor':>13}"
        self._print(f"  {'':6}  {'':22} {'':31}{cost}")
        for row in self._rows:
            word, color = ("FAILED", _RED) if row.outcome.failed else ("ok", _GREEN)
            mark = self._paint(f"{word:6}", color)
            spent = f"{row.spent:9.1f} s" if row.spent else ""
            self._print(f"  {mark}  {row.name:22} {row.outcome.counts:31}{row.seconds:7.1f} s{spent:>13}".rstrip())
        total = Outcome(0)
        for row in self._rows:
            outcome = row.outcome
            total = replace(
                total,
                passed=total.passed + outcome.passed,
                failed=total.failed + outcome.failed,
                skipped=total.skipped + outcome.skipped,
            )
        self._print(f"\n  all of it took {self.elapsed:.0f} s\n")
        self._print(total.counts)
        return 1 if self.failed else 0


def _shown(path: Path) -> Path:
    return path.relative_to(layout.ROOT) if path.is_relative_to(layout.ROOT) else path
