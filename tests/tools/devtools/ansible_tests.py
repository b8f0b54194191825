# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ansible-test's three commands on the copy of a run, and pytest without it."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from devtools import layout, locks, processes
from devtools.console import Outcome
from devtools.processes import CommandFailed
from devtools.provision import Toolbox
from devtools.runs import Run
from vforge_ova import write_package
from vforge_sim import Simulator


@dataclass(frozen=True)
class AnsibleTests:
    """ansible-test of one virtual environment, on one run.

    venv: the environment, with the version of ansible-core that is to be tested; home: its HOME.
    """

    run: Run
    tools: Toolbox
    venv: Path
    home: Path

    def _call(self, log: Path, *words: str) -> processes.Result:
        env = self.tools.env_of(self.venv, self.home)
        return processes.run([self.venv / "bin" / "ansible-test", *words], log, cwd=self.run.collection, env=env)

    def sanity(self) -> Outcome:
        """Every sanity test; an ignore file, which could hide a finding, is a failure itself."""
        log = self.run.log("sanity")
        ignored = sorted((self.run.collection / "tests" / "sanity").glob("ignore-*"))
        if ignored:
            log.write_text(f"{ignored[0].name}: findings are mended, not ignored.\n", encoding="utf-8")
            raise CommandFailed(["ansible-test", "sanity"], 1, log)
        # ansible-test does not expect company while it makes its virtual environments.
        with locks.exclusive(layout.LOCKS / f"sanity-{self.home.name}"):
            result = self._call(log, "sanity", "--color", "no")
        tests = set(re.findall(r'^Running sanity test "([\w-]+)"', result.output, re.MULTILINE))
        listed = re.search(r"^FATAL: The \d+ sanity test\(s\) listed below.*\n((?:[\w-]+.*\n?)+)", result.output, re.MULTILINE)
        failed = {line.split()[0] for line in listed[1].splitlines()} if listed else set()
        return _outcome(result, tests - failed, failed, log)

    def units(self) -> Outcome:
        """The unit tests, two at a time, each in a process of its own."""
        write_unit_settings(self.run, self.tools)
        log = self.run.log("units")
        result = self._call(log, "units", "--color", "no", "--python", _version(self.venv))
        passed, failed = _from_junit(self.run.collection / "tests" / "output" / "junit")
        return _outcome(result, passed, failed, log)

    def integration(self) -> Outcome:
        """The integration targets, against one simulator that lives as long as they run."""
        log = self.run.log("integration")
        with Simulator(self.tools.simulator, state_dir=self.run.simulator_state) as simulator:
            write_integration_settings(self.run, self.tools, simulator)
            result = self._call(log, "integration", "--color", "no", "--continue-on-error")
        targets = set(re.findall(r"^Running (\S+) integration test", result.output, re.MULTILINE))
        listed = re.search(r"^FATAL: The \d+ integration test\(s\) listed below.*\n((?:\S+\n?)+)", result.output, re.MULTILINE)
        failed = set(listed[1].split()) if listed else set()
        return _outcome(result, targets - failed, failed, log)


def _version(venv: Path) -> str:
    """The Python of a virtual environment, such as "3.11"."""
    return next((venv / "lib").glob("python3.*")).name.removeprefix("python")


def _outcome(result: processes.Result, passed: Collection[str], failed: Collection[str], log: Path) -> Outcome:
    """What ansible-test came to. One that fails without naming a test, or passes without running one, failed."""
    unnamed = not failed and (result.code != 0 or not passed)
    note = f"{len(passed)} passed" + (f", {len(failed)} failed" if failed else "")
    return Outcome(len(passed), len(failed) + unnamed, note, log)


def _from_junit(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the tests that passed and of those that did not, from the reports that pytest wrote."""
    passed, failed = [], []
    for report in folder.glob("*.xml"):
        for case in ET.parse(report).getroot().iter("testcase"):
            kinds = {child.tag for child in case}
            name = case.get("name", "?")
            if kinds & {"failure", "error"}:
                failed.append(name)
            elif "skipped" not in kinds:
                passed.append(name)
    return passed, failed


def write_unit_settings(run: Run, tools: Toolbox) -> None:
    """Tell `tests/unit/conftest.py` where the binaries are; ansible-test passes no environment on."""
    debian, reason = tools.debian
    settings = {"binary": str(tools.simulator), "govc": str(tools.govc), "debian": str(debian or ""), "no_debian": reason}
    path = run.collection / "tests" / "unit" / "simulator.json"
    path.write_text(json.dumps(settings), encoding="utf-8")


def write_integration_settings(run: Run, tools: Toolbox, simulator: Simulator) -> None:
    """Fill in the template of the variables that every integration target gets."""
    folder = run.collection / "tests" / "integration"
    template = Template((folder / "integration_config.yml.template").read_text(encoding="utf-8"))
    package = write_package(run.collection / "tests" / "output" / "ova")
    settings = template.substitute(
        hostname=simulator.host,
        port=simulator.port,
        username=simulator.username,
        # JSON strings are YAML strings.
        password=json.dumps(simulator.password),
        guest_username=simulator.guest_username,
        guest_password=json.dumps(simulator.guest_password),
        ca_path=simulator.ca,
        thumbprint=simulator.thumbprint,
        control=simulator.control,
        simulator=tools.simulator,
        govc=tools.govc,
        ova=package.ova,
        ovf=package.ovf,
    )
    (folder / "integration_config.yml").write_text(settings, encoding="utf-8")


def pytest(run: Run, tools: Toolbox, arguments: Sequence[str]) -> int:
    """Run pytest, its output going where ours goes; returns its exit code.

    arguments: pytest's own; all unit tests run when there is no path among them.
    """
    write_unit_settings(run, tools)
    env = tools.env(PYTHONPATH=str(run.folder), PY_COLORS="")
    command: list[str | Path] = [tools.tool("python"), "-m", "pytest", "-p", "no:cacheprovider", "--import-mode=importlib"]
    if not any((run.collection / word.partition("::")[0]).exists() for word in arguments if not word.startswith("-")):
        command.append("tests/unit")
    process = processes.start([*command, *arguments], cwd=run.collection, env=env)
    try:
        return process.wait()
    finally:
        processes.finish(process)
