# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ansible-test's three commands on the copy of a run, and pytest without it."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from string import Template

from devtools import layout, locks, processes
from devtools.console import Outcome, Progress
from devtools.lanes import Lane, cores, counted
from devtools.processes import CommandFailed
from devtools.provision import Toolbox
from devtools.runs import Run
from vforge_ova import write_package
from vforge_python import interpreter
from vforge_sim import Simulator

# Each of these takes as long as all others together, so it runs beside them.
_LONG_SANITY_TESTS = ("validate-modules", "pylint", "import")

# More than the cores: the unit tests wait for simulated vCenters most of the time.
_WORKERS_PER_CORE = 3
_LOAD_OF_WORKER = 0.2

# Ansible works hard, but waits for tasks of the simulated vCenter now and then.
_LOAD_OF_TARGET = 0.75

# What ansible-test runs of the unit tests beside all of them by pytest: it is quick.
_SAMPLE = ("tests/unit/plugins/filter/", "tests/unit/plugins/plugin_utils/")


@dataclass(frozen=True)
class AnsibleTests:
    """ansible-test of one virtual environment, on one run.

    venv: the environment, with the version of ansible-core that is to be tested; home: its HOME; prefix: of the steps'
    names; without: sanity tests that cannot be run.
    """

    run: Run
    tools: Toolbox
    venv: Path
    home: Path
    prefix: str = ""
    without: tuple[str, ...] = ()

    def _call(self, run: Run, log: Path, *words: str) -> processes.Result:
        env = self.tools.env_of(self.venv, self.home)
        command: list[str | Path] = [self.venv / "bin" / "ansible-test", *words]
        return processes.run(command, log, cwd=run.collection, env=env)

    def sanity(self) -> list[Lane]:
        """Every sanity test, the long ones beside the others."""
        if not self._sanity_count.exists():
            # ansible-test does not expect company while it makes its virtual environments, some for many tests.
            name = f"sanity without {', '.join(self.without)}" if self.without else "sanity"
            parts: dict[str, list[str]] = {name: []}
        else:
            long = [test for test in _LONG_SANITY_TESTS if test not in self.without]
            parts = {f"sanity {test}": ["--test", test] for test in long}
            parts["sanity, the others"] = [word for test in long for word in ("--skip-test", test)]
        logs = [self.run.log(self.prefix + name) for name in parts]

        def progress() -> Progress:
            of = int(_text(self._sanity_count) or 0)
            return Progress(sum(len(_sanity_tests(_text(log))) for log in logs), of)

        return [self._sanity(name, words, progress) for name, words in parts.items()]

    @property
    def _sanity_count(self) -> Path:
        """Holds how many sanity tests there are; written when all have run in this home, so that it has their environments."""
        return self.home / "sanity-tests"

    def _sanity(self, name: str, words: list[str], progress: Callable[[], Progress]) -> Lane:
        log = self.run.log(self.prefix + name)

        def work() -> Outcome:
            run = self.run.copy(name)
            ignored = sorted((run.collection / "tests" / "sanity").glob("ignore-*"))
            if ignored:
                # An ignore file could hide a finding.
                log.write_text(f"{ignored[0].name}: findings are mended, not ignored.\n", encoding="utf-8")
                raise CommandFailed(["ansible-test", "sanity"], 1, log)
            with nullcontext() if words else locks.exclusive(layout.LOCKS / f"sanity-{self.home.name}"):
                skipped = [word for test in self.without for word in ("--skip-test", test)] if "--test" not in words else []
                result = self._call(run, log, "sanity", "--color", "no", *words, *skipped)
            ran = _sanity_tests(result.output)
            if not words and "yamllint" in ran:
                self._sanity_count.write_text(str(len(ran)), encoding="utf-8")
            failed = _failed_sanity_tests(result.output)
            return _outcome(result, ran - failed, failed, log)

        return Lane(self.prefix + name, work, progress=progress, group="sanity")

    def units(self) -> list[Lane]:
        """The unit tests by ansible-test, as many at a time as there are cores, each in a process of its own."""
        return [self._units("units", float(cores()))]

    def sample(self) -> list[Lane]:
        """Some quick unit tests by ansible-test, beside all of them by pytest: its ways of importing and forking work too."""
        return [self._units("units, ansible-test", 1.0, *_SAMPLE)]

    def _units(self, name: str, load: float, *paths: str) -> Lane:
        log = self.run.log(self.prefix + name)

        def work() -> Outcome:
            run = self.run.copy(name)
            write_unit_settings(run, self.tools)
            result = self._call(run, log, "units", "--color", "no", "--python", _version(self.venv), *paths)
            return _from_junit(result, run.collection / "tests" / "output" / "junit", log)

        return Lane(self.prefix + name, work, load, lambda: _pytest_progress(_text(log)))

    def pytest(self, *paths: str) -> list[Lane]:
        """The unit tests by pytest, many at a time. paths: those that run; all when none is named."""
        workers = max(4, int(cores() * _WORKERS_PER_CORE))
        log = self.run.log(self.prefix + "units by pytest")

        def work() -> Outcome:
            run = self.run.copy("pytest")
            write_unit_settings(run, self.tools)
            report = run.folder / "junit" / "pytest.xml"
            # Rewritten once, or each worker would: that is most of what it takes them to find the tests.
            command, env = self._pytest_command(run, ["--collect-only", "-qq", *paths])
            processes.run(command, self.run.log(self.prefix + "units, found"), cwd=run.collection, env=env)
            words = ["-v", "--numprocesses", str(workers), "--dist", "worksteal", f"--junit-xml={report}", *paths]
            command, env = self._pytest_command(run, words)
            result = processes.run(command, log, cwd=run.collection, env=env)
            return _from_junit(result, report.parent, log)

        return [Lane(self.prefix + "units", work, workers * _LOAD_OF_WORKER, lambda: _pytest_progress(_text(log)))]

    def _pytest_command(self, run: Run, words: Sequence[str]) -> tuple[list[str | Path], dict[str, str]]:
        env = self.tools.env_of(self.venv, self.home, PYTHONPATH=str(run.folder), PY_COLORS="")
        return _pytest_words(self.venv, run, words), env

    def integration(self, only: Collection[str] = ()) -> list[Lane]:
        """The integration targets, each by an ansible-test and against a simulator of its own.

        only: those that run, if any is named. Raises CommandFailed where one is named that does not exist.
        """
        folder = self.run.collection / "tests" / "integration" / "targets"
        # What takes longest has the most to read, more or less, and should begin first.
        targets = [path.name for path in sorted(folder.iterdir(), key=_size, reverse=True) if not _is_hidden(path)]
        if unknown := sorted(set(only) - set(targets)):
            log = self.run.log("integration")
            log.write_text(f"no such target: {', '.join(unknown)}; there are {', '.join(sorted(targets))}\n", encoding="utf-8")
            raise CommandFailed(["ansible-test", "integration", *unknown], 1, log)
        steps = {self.prefix + name: partial(self._integration, name) for name in targets if not only or name in only}
        return counted("integration", steps, load=_LOAD_OF_TARGET)

    def _python(self) -> str:
        """The Python for modules of targets. ansible-test sets PYTHONPATH to a folder that has nothing but Ansible."""
        return interpreter(self.run.folder, str(self.venv / "bin" / "python"), same=("LD_LIBRARY_PATH",))

    def _integration(self, target: str) -> Outcome:
        log = self.run.log(f"{self.prefix}integration {target}")
        run = self.run.copy(f"integration-{target}")
        with Simulator(self.tools.simulator, state_dir=run.simulator_state) as simulator:
            write_integration_settings(run, self.tools, simulator, self._python(), _version(self.venv))
            result = self._call(run, log, "integration", "--color", "no", target)
        ran = set(re.findall(r"^Running (\S+) integration test", result.output, re.MULTILINE))
        failed = {target} if result.code else set()
        return _outcome(result, ran - failed, failed, log)


def _version(venv: Path) -> str:
    """The Python of a virtual environment, such as "3.11"."""
    return next((venv / "lib").glob("python3.*")).name.removeprefix("python")


def _outcome(
    result: processes.Result, passed: Collection[str], failed: Collection[str], log: Path, skipped: Collection[str] = ()
) -> Outcome:
    """What ansible-test came to. One that fails without naming a test, or passes without running one, failed."""
    unnamed = not failed and (result.code != 0 or not passed)
    outcome = Outcome(len(passed), len(failed) + unnamed, log=log, skipped=len(skipped))
    return replace(outcome, note=outcome.counts)


def _from_junit(result: processes.Result, folder: Path, log: Path) -> Outcome:
    """What pytest came to, by the reports that it wrote."""
    passed: list[str] = []
    failed: list[str] = []
    skipped: list[str] = []
    for report in folder.glob("*.xml"):
        for case in ET.parse(report).getroot().iter("testcase"):
            kinds = {child.tag for child in case}
            name = case.get("name", "?")
            if kinds & {"failure", "error"}:
                failed.append(name)
            else:
                (skipped if "skipped" in kinds else passed).append(name)
    return _outcome(result, passed, failed, log, skipped)


def _text(path: Path) -> str:
    """What a file holds; nothing when it is not there."""
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _sanity_tests(output: str) -> set[str]:
    """The tests that `ansible-test sanity` has begun."""
    return set(re.findall(r'^Running sanity test "([\w-]+)"', output, re.MULTILINE))


def _failed_sanity_tests(output: str) -> set[str]:
    """Those that it lists at its end."""
    listed = re.search(r"^FATAL: The \d+ sanity test\(s\) listed below.*\n((?:[\w-]+.*\n?)+)", output, re.MULTILINE)
    return {line.split()[0] for line in listed[1].splitlines()} if listed else set()


def _pytest_progress(output: str) -> Progress:
    """How far pytest is that runs tests in workers, whether it says so test by test or by one letter for each."""
    counts = re.findall(r"^\d+ workers? \[(\d+) items?\]", output, re.MULTILINE)
    lines = re.findall(r"^\[gw\d+\] \[ *\d+%\] ", output, re.MULTILINE)
    letters = re.findall(r"^([.FEsxX]+)(?: *\[ *\d+%\])?$", output, re.MULTILINE)
    return Progress(len(lines) + len("".join(letters)), sum(map(int, counts)))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _is_hidden(target: Path) -> bool:
    """Whether a target is only what others depend on."""
    return "hidden" in _text(target / "aliases").split()


def write_unit_settings(run: Run, tools: Toolbox) -> None:
    """Tell `tests/unit/conftest.py` where the binaries are; ansible-test passes no environment on."""
    debian, no_debian = tools.debian
    disk_tools, no_disk_tools = tools.disk_tools
    boot_tools, no_boot_tools = tools.boot_tools
    settings = {
        "binary": str(tools.simulator),
        "govc": str(tools.govc),
        "debian": str(debian or ""),
        "no_debian": no_debian,
        "disk_tools": str(disk_tools or ""),
        "no_disk_tools": no_disk_tools,
        "boot_tools": str(boot_tools or ""),
        "no_boot_tools": no_boot_tools,
    }
    path = run.collection / "tests" / "unit" / "simulator.json"
    path.write_text(json.dumps(settings), encoding="utf-8")


def write_integration_settings(run: Run, tools: Toolbox, simulator: Simulator, python: str, version: str) -> None:
    """Fill in the template of the variables that every integration target gets.

    python: which Python modules start with; version: its own, such as "3.11".
    """
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
        python=python,
        ca_path=simulator.ca,
        thumbprint=simulator.thumbprint,
        control=simulator.control,
        simulator=tools.simulator,
        govc=tools.govc,
        # Empty where they cannot be had: the targets that want them are skipped then.
        disk_tools=tools.disk_tools[0] or "",
        libnbd=_libnbd(tools, version) or "",
        ova=package.ova,
        ovf=package.ovf,
    )
    (folder / "integration_config.yml").write_text(settings, encoding="utf-8")


def _libnbd(tools: Toolbox, version: str) -> Path | None:
    """The folder with Debian's Python module of libnbd, which is for the Python of that Debian alone."""
    disk_tools, _reason = tools.disk_tools
    modules = disk_tools and disk_tools.parent / "usr" / "lib" / "python3" / "dist-packages"
    made_for = f"libnbdmod.cpython-{version.replace('.', '')}-*.so"
    return modules if modules and any(modules.glob(made_for)) else None


def pytest_command(run: Run, tools: Toolbox, words: Sequence[str]) -> tuple[list[str | Path], dict[str, str]]:
    """The command that runs pytest on a run's copy, and its environment.

    words: pytest's own; all unit tests run when there is no path among them.
    """
    return _pytest_words(tools.venv, run, words), tools.env(PYTHONPATH=str(run.folder), PY_COLORS="")


def _pytest_words(venv: Path, run: Run, words: Sequence[str]) -> list[str | Path]:
    command: list[str | Path] = [venv / "bin" / "python", "-m", "pytest", "-p", "no:cacheprovider", "--import-mode=importlib"]
    if not any((run.collection / word.partition("::")[0]).exists() for word in words if not word.startswith("-")):
        command.append("tests/unit")
    return [*command, *words]


def pytest(run: Run, tools: Toolbox, arguments: Sequence[str]) -> int:
    """Run pytest, its output going where ours goes; returns its exit code. arguments: as for `pytest_command`."""
    write_unit_settings(run, tools)
    command, env = pytest_command(run, tools, arguments)
    process = processes.start(command, cwd=run.collection, env=env)
    try:
        return process.wait()
    finally:
        processes.finish(process)
