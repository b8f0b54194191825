# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make matrix`: sanity, units and integration on every supported ansible-core."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from devtools import ansible_home, lanes, layout, processes, pythons
from devtools.ansible_tests import AnsibleTests
from devtools.builds import Build
from devtools.console import Console, Outcome
from devtools.lanes import Lane
from devtools.provision import Toolbox
from devtools.pythons import Python
from devtools.runs import new_run

# The newest release of each, or its release candidate where there is none yet.
_CORES = {
    "2.17": "2.17.14",
    "2.18": "2.18.19",
    "2.19": "2.19.14",
    "2.20": "2.20.10",
    "2.21": "2.21.5",
    "2.22": "2.22.0rc1",
}
# The oldest pyVmomi that requirements.txt allows runs with the oldest ansible-core.
_OLDEST_PYVMOMI = ("2.17", "8.0.3.0.1")
# Its pylint wants a package from an archive of that package's repository, and none from PyPI.
_WITHOUT = {"2.22": ("pylint",)}
# What runs on each, in this order, unless the words say otherwise; "sample" is some quick ones of the units.
_WHOLE = ("units", "sanity", "integration")
_PARTS = (*_WHOLE, "sample")
# Those of the collection; those of the tools do not depend on ansible-core, and their packages are not in each environment.
_UNITS = ("tests/unit/plugins", "tests/unit/awx")
_TARGETS = layout.ROOT / "tests" / "integration" / "targets"
# What modules import, and what the tests do.
_PACKAGES = (
    "requests",
    "defusedxml",
    "zstandard",
    "pytest",
    "pytest-xdist",
    "hypothesis",
    "jsonschema",
    "ansible-runner",
    "awx-plugins-core",
    "awx-plugins-interfaces",
    "jq",
)


def _pins() -> dict[str, str]:
    text = (layout.ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w-]+)==([\w.]+)", text, re.MULTILINE))


def _pyvmomi(core: str) -> str:
    return _OLDEST_PYVMOMI[1] if core == _OLDEST_PYVMOMI[0] else _pins()["pyvmomi"]


def _environment(core: str, python: Python) -> Build:
    pins = _pins()
    packages = [f"ansible-core=={_CORES[core]}", f"pyvmomi=={_pyvmomi(core)}"]
    packages += [f"{name}=={pins[name]}" for name in _PACKAGES]

    def make(folder: Path) -> None:
        log = layout.LOGS / f"matrix-venv-{core}.log"
        processes.check([python.path, "-m", "venv", folder], log)
        pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--only-binary=:all:"]
        # That one has no wheel; it is pure Python all the same.
        source = ["--no-binary=pyvmomi"] if core == _OLDEST_PYVMOMI[0] else []
        processes.check([*pip, *source, *packages], log)

    return Build(f"matrix/venv-{core}", (python.path, python.full, *packages), make)


def run(console: Console, arguments: list[str]) -> int:
    """Run them on the named versions of ansible-core, on all when none is named; returns the exit code.

    arguments: versions, parts, and integration targets; where there are parts or targets, these run and nothing else.
    """
    cores = [word for word in arguments if word in _CORES]
    parts = [word for word in arguments if word in _PARTS]
    targets = [word for word in arguments if word not in (*_CORES, *_PARTS)]
    unknown = [word for word in targets if not (_TARGETS / word).is_dir()]
    if unknown:
        known = ", ".join((*_CORES, *_PARTS))
        console.text(f"{', '.join(unknown)}: neither an integration target nor one of {known}")
        return 2
    if targets and "integration" not in parts:
        parts.append("integration")
    console.title("Set up")
    tools = Toolbox(console.part).prepare()
    for core in cores or _CORES:
        python = pythons.for_core(core)
        if python is None:
            needed = " or ".join(pythons.CORE_PYTHONS[core])
            console.skip(f"ansible-core {core}", f"needs Python {needed}")
            continue
        console.title(f"ansible-core {_CORES[core]} on Python {python.full}")
        _cell(console, tools, core, python, parts or _WHOLE, targets)
    return console.summary()


def _cell(console: Console, tools: Toolbox, core: str, python: Python, parts: Sequence[str], targets: list[str]) -> None:
    """One ansible-core: its environment, then the parts, whichever fails."""
    environment = _environment(core, python)

    def make() -> Outcome:
        environment.ensure()
        ansible_home.build(environment.folder, f"matrix/home-{core}").ensure()
        return Outcome(1, note=f"pyvmomi {_pyvmomi(core)}")

    if console.step(f"{core} environment", make).failed:
        return
    venv = environment.folder
    home = ansible_home.build(venv, f"matrix/home-{core}").folder
    with new_run() as this:
        tests = AnsibleTests(this, tools, venv, home, prefix=f"{core} ", without=_WITHOUT.get(core, ()))
        lanes_of: dict[str, Callable[[], list[Lane]]] = {
            # As `make test` runs them: by pytest, and some by ansible-test as well, which takes twice as long for each.
            "units": lambda: [*tests.pytest(*_UNITS), *tests.sample()],
            "sample": tests.sample,
            "sanity": tests.sanity,
            "integration": lambda: tests.integration(targets),
        }
        with console.watched():
            lanes.run(console, [lane for part in parts for lane in lanes_of[part]()])
