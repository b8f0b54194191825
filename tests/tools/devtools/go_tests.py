# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The simulator's own tests."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from devtools import layout, processes
from devtools.console import Outcome, Progress
from devtools.lanes import Lane, cores
from devtools.processes import CommandFailed
from devtools.provision import Toolbox
from devtools.runs import Run

_C_PROGRAM = b"#include <stdlib.h>\nint main(void) { return 0; }\n"


@dataclass(frozen=True)
class GoTests:
    """Go's checks of the simulator; in the checkout itself, where Go's cache knows the files.

    race: whether the tests run with the race detector, where it can be had. It has all compiled again, and takes five times
    the processor time of the tests without it.
    """

    run: Run
    tools: Toolbox
    race: bool = False

    def tests(self) -> list[Lane]:
        """The tests."""
        return [Lane("go test", self.test, load=float(cores()) / 2, progress=self._progress)]

    def checks(self) -> list[Lane]:
        """What needs compiled packages alone. At the same time as the tests it would compile them a second time."""
        return [Lane("go vet", self.vet)]

    def vet(self) -> Outcome:
        """`go vet` of every package."""
        command: list[str | Path] = [self.tools.go.tool("go"), "vet", "./..."]
        processes.check(command, self.run.log("go vet"), cwd=layout.SIMULATOR, env=self.tools.go.env())
        return Outcome(1, note="./...")

    def test(self) -> Outcome:
        """`go test` of every package."""
        env = self.tools.go.env()
        race = _race_detector(env) if self.race else []
        if race:
            # It is C's.
            env["CGO_ENABLED"] = "1"
        # What `go test` vets is a part of what `go vet` does. Tests whose package has not changed since they passed are cached.
        command: list[str | Path] = [self.tools.go.tool("go"), "test", "-vet=off", "-json", "-timeout=30m", *race, "./..."]
        log = self.run.log("go test")
        result = processes.run(command, self._json, cwd=layout.SIMULATOR, env=env)
        passed, failed = _digest(result.output, log)
        if result.code or failed or not passed:
            raise CommandFailed(["go", "test", *race, "./..."], result.code or 1, log)
        without = ", no C compiler, so no -race" if self.race else ""
        return Outcome(passed, note=f"{passed} tests" + (", -race" if race else without))

    @property
    def _json(self) -> Path:
        return self.run.log("go test json")

    def _progress(self) -> Progress:
        """Tests that ended, subtests left out, of those in the sources."""
        text = self._json.read_text(encoding="utf-8", errors="replace") if self._json.exists() else ""
        done = re.findall(r'^\{.*"Action":"(?:pass|fail|skip)".*"Test":"[^/"]+"', text, re.MULTILINE)
        sources = (path.read_text(encoding="utf-8") for path in layout.SIMULATOR.rglob("*_test.go"))
        return Progress(len(done), sum(len(re.findall(r"^func Test\w*\(t ", source, re.MULTILINE)) for source in sources))


def _race_detector(env: dict[str, str]) -> list[str]:
    """The option for it, where there is the C compiler that it needs."""
    command = [env.get("CC", "cc"), "-x", "c", "-fsyntax-only", "-"]
    try:
        answer = subprocess.run(command, input=_C_PROGRAM, env=env, capture_output=True, check=False)
    except OSError:
        return []
    return [] if answer.returncode else ["-race"]


def _digest(output: str, log: Path) -> tuple[int, int]:
    """Write what a person reads of `go test -json` to the log; returns how many tests passed and failed."""
    counts = {"pass": 0, "fail": 0}
    with log.open("w", encoding="utf-8") as handle:
        for line in output.splitlines():
            if not line.startswith("{"):
                handle.write(line + "\n")
                continue
            event = json.loads(line)
            handle.write(event.get("Output", ""))
            if "Test" in event and event["Action"] in counts:
                counts[event["Action"]] += 1
    return counts["pass"], counts["fail"]
