# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands that the Makefile calls."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable

from devtools import layout, lifetime
from devtools.console import Console
from devtools.processes import CommandFailed
from devtools.pythons import NoPython
from vforge_control import SimulatorError


def _setup(console: Console, _arguments: list[str]) -> int:
    from devtools.provision import Toolbox

    console.title("Set up")
    Toolbox(console.part).prepare()
    return 0


def _test(console: Console, arguments: list[str]) -> int:
    from devtools import suite

    if arguments[:1] == ["integration"]:
        return suite.run(console, ["integration"], targets=arguments[1:])
    return suite.run(console, arguments or suite.PARTS)


def _pytest(_console: Console, arguments: list[str]) -> int:
    from devtools import ansible_tests
    from devtools.provision import Toolbox
    from devtools.runs import new_run

    tools = Toolbox(_quiet).prepare()
    with new_run() as run:
        return ansible_tests.pytest(run, tools, arguments)


def _matrix(console: Console, arguments: list[str]) -> int:
    from devtools import matrix

    return matrix.run(console, arguments)


def _demo(console: Console, _arguments: list[str]) -> int:
    from devtools import demo

    return demo.run(console)


def _bench(console: Console, arguments: list[str]) -> int:
    from devtools import bench

    return bench.run(console, arguments)


def _faults(console: Console, arguments: list[str]) -> int:
    from devtools import faults

    return faults.run(console, arguments)


def _foreign(console: Console, arguments: list[str]) -> int:
    from devtools import foreign

    return foreign.run(console, arguments)


def _mutation(console: Console, arguments: list[str]) -> int:
    from devtools import mutation

    return mutation.run(console, arguments)


def _docs(console: Console, _arguments: list[str]) -> int:
    from devtools import reference

    return reference.run(console)


def _diagrams(console: Console, _arguments: list[str]) -> int:
    from devtools import reference

    return reference.draw(console)


def _simulator(console: Console, arguments: list[str]) -> int:
    from devtools import quickstart

    return quickstart.simulate(console, arguments)


def _quickstart(console: Console, arguments: list[str]) -> int:
    from devtools import quickstart

    return quickstart.run(console, arguments)


def _pages(console: Console, _arguments: list[str]) -> int:
    from devtools import error_codes, privileges, proved

    for each in (error_codes, privileges, proved):
        each.write()
        console.text(f"written: {each.PAGE.relative_to(layout.ROOT)}")
    return 0


def _module(console: Console, arguments: list[str]) -> int:
    from devtools import skeleton

    return skeleton.run(console, arguments)


def _error_codes(console: Console, _arguments: list[str]) -> int:
    from devtools import error_codes

    error_codes.write()
    console.text(f"written: {error_codes.PAGE.relative_to(layout.ROOT)}")
    return 0


def _surveys(console: Console, _arguments: list[str]) -> int:
    from devtools import processes
    from devtools.provision import Toolbox

    script = layout.TOOLS / "vforge_surveys.py"
    console.text(processes.check([Toolbox(_quiet).tool("python"), script], layout.LOGS / "surveys.log").strip())
    return 0


def _capv(console: Console, _arguments: list[str]) -> int:
    from devtools import manifests

    return manifests.run(console)


def _gate_k8s(console: Console, arguments: list[str]) -> int:
    from devtools import gate_k8s

    return gate_k8s.run(console, arguments)


def _awx(console: Console, _arguments: list[str]) -> int:
    from devtools import awx

    return awx.run(console)


def _importer(console: Console, _arguments: list[str]) -> int:
    from devtools import importer

    return importer.run(console)


def _pin(console: Console, _arguments: list[str]) -> int:
    from devtools import pinning

    return pinning.run(console)


def _quiet(_name: str, _note: str) -> None:
    """What is set up needs no line when pytest's own output follows."""


def _clean(console: Console, _arguments: list[str]) -> int:
    shutil.rmtree(layout.BUILD, ignore_errors=True)
    console.text(f"removed {layout.BUILD.name}/")
    return 0


_COMMANDS: dict[str, Callable[[Console, list[str]], int]] = {
    "setup": _setup,
    "test": _test,
    "pytest": _pytest,
    "matrix": _matrix,
    "demo": _demo,
    "bench": _bench,
    "faults": _faults,
    "foreign": _foreign,
    "mutation": _mutation,
    "docs": _docs,
    "diagrams": _diagrams,
    "pages": _pages,
    "simulator": _simulator,
    "quickstart": _quickstart,
    "capv": _capv,
    "gate-k8s": _gate_k8s,
    "awx": _awx,
    "importer": _importer,
    "error-codes": _error_codes,
    "surveys": _surveys,
    "module": _module,
    "lock": _pin,
    "clean": _clean,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="dev.py", description="Developer tools; `make` lists what they do.")
    parser.add_argument("command", choices=_COMMANDS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    try:
        with lifetime.bound():
            return _COMMANDS[options.command](Console(), options.arguments)
    except NoPython as error:
        print(error, file=sys.stderr)
    except SimulatorError as error:
        print(f"The simulator failed. {error}", file=sys.stderr)
    except CommandFailed as error:
        print(f"{error}; its output:\n", file=sys.stderr)
        print(error.log.read_text(encoding="utf-8", errors="replace"), file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninterrupted; nothing of it is left running", file=sys.stderr)
        return 130
    return 1
