# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make test` and its parts."""

from __future__ import annotations

from collections.abc import Callable

from devtools.ansible_tests import AnsibleTests
from devtools.console import Console
from devtools.go_tests import GoTests
from devtools.lint import Lint
from devtools.provision import Toolbox
from devtools.runs import new_run

_WITHOUT_SIMULATOR = {"lint", "go", "sanity"}


def run(console: Console, parts: list[str]) -> int:
    """Run the named parts, each whether or not one before it failed; returns the exit code."""
    console.title("Set up")
    tools = Toolbox(console.part).prepare(simulator=not _WITHOUT_SIMULATOR.issuperset(parts))
    with new_run() as this:
        console.title("Check")
        ansible = AnsibleTests(this, tools, tools.venv, tools.home)
        go = GoTests(this, tools)

        def go_steps() -> None:
            console.step("go vet", go.vet)
            console.step("go test", go.test)

        steps: dict[str, Callable[[], object]] = {
            "lint": lambda: Lint(this, tools).steps(console),
            "go": go_steps,
            "sanity": lambda: console.step("sanity", ansible.sanity),
            "units": lambda: console.step("units", ansible.units),
            "integration": lambda: console.step("integration", ansible.integration),
        }
        for part in parts:
            steps[part]()
    return console.summary()
