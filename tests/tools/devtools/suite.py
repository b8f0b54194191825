# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make test` and its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from devtools import lanes
from devtools.ansible_tests import AnsibleTests
from devtools.console import Console
from devtools.go_tests import GoTests
from devtools.lanes import Lane
from devtools.lint import Lint
from devtools.provision import Toolbox
from devtools.runs import new_run

_WITHOUT_SIMULATOR = {"lint", "go", "vet", "race", "sanity"}

# What `make test` runs. In this order they begin: what takes longest first.
PARTS = ["pytest", "go", "lint", "sample", "sanity", "vet", "integration"]


def run(console: Console, parts: list[str], targets: Sequence[str] = ()) -> int:
    """Run the named parts beside each other, each whether or not another failed; returns the exit code.

    targets: those of the integration that run; all when none is named.
    """
    console.title("Set up")
    tools = Toolbox(console.part).prepare(simulator=not _WITHOUT_SIMULATOR.issuperset(parts))
    with new_run() as this:
        console.title("Check")
        ansible = AnsibleTests(this, tools, tools.venv, tools.home)
        lanes_of: dict[str, Callable[[], list[Lane]]] = {
            "lint": Lint(this, tools).lanes,
            "go": GoTests(this, tools).tests,
            "vet": GoTests(this, tools).checks,
            "race": GoTests(this, tools, race=True).tests,
            "sanity": ansible.sanity,
            "pytest": ansible.pytest,
            "sample": ansible.sample,
            "units": ansible.units,
            "integration": lambda: ansible.integration(targets),
        }
        with console.watched():
            lanes.run(console, [lane for part in parts for lane in lanes_of[part]()])
    return console.summary()
