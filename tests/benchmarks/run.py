# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measures the collection beside other tools, on simulated vCenters, and writes docs/benchmarks.md.

`make bench` measures all parts, `make bench ARGS="uploads inventory"` some of them; the page has of the others what was
measured before. Figures that were taken while other work ran on the machine are marked, and stay out of docs/ unless --write
says that they are to go there. Ends with 1 when a promised bound is not kept, or a tool did not do its work.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tools")]

from bench import document, parts  # noqa: E402
from bench.machine import describe  # noqa: E402
from bench.report import Report, watched  # noqa: E402
from bench.tools import Installed, WrongResult  # noqa: E402

from devtools import layout, lifetime, peers  # noqa: E402
from devtools.console import Console  # noqa: E402
from devtools.processes import CommandFailed  # noqa: E402
from vforge_control import SimulatorError  # noqa: E402


def options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; `make bench` gives what it has set up in the environment."""
    given = {name: os.environ.get(f"VFORGE_{name}") for name in ("SIMULATOR", "SINK", "GOVC", "COLLECTIONS")}
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__)

    def path(option: str, default: str | None, meaning: str) -> None:
        parser.add_argument(option, type=Path, default=default, required=default is None, help=meaning)

    path("--simulator", given["SIMULATOR"], "the binary vforge-sim")
    path("--sink", given["SINK"], "the binary vforge-sink")
    path("--govc", given["GOVC"], "the binary govc")
    path("--collections", given["COLLECTIONS"], "folder with ansible_collections/vforge/vsphere")
    path("--python", sys.executable, "Python of an environment with ansible-core and pyVmomi")
    parser.add_argument("--work", type=Path, help="folder for what is written meanwhile; in that of the collections by default")
    parser.add_argument("--quick", action="store_true", help="measure little, in a minute or two, and keep nothing")
    parser.add_argument("--full", action="store_true", help="also what takes many minutes: other tools on large inventories")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md even if the machine was busy")
    parser.add_argument("parts", nargs="*", help=f"what to measure: {', '.join(parts.NAMES)}; all of it by default")
    chosen = parser.parse_args(arguments)
    unknown = sorted(set(chosen.parts) - set(parts.NAMES))
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(parts.NAMES)}")
    chosen.work = chosen.work or chosen.collections / "bench"
    return chosen


def measure(options: argparse.Namespace, console: Console) -> int:
    """Measure, print the tables, write the page; returns the exit code."""
    options.work.mkdir(parents=True, exist_ok=True, mode=0o700)
    peer = peers.environment(options.python)
    console.part("other collections", "in an environment of their own")
    installed = Installed(options.python, options.collections, peer, options.govc, options.work)
    machine = describe(installed)
    kept = options.work / "kept" if options.quick else layout.BUILD / "measured"
    size = parts.QUICK if options.quick else parts.FULL if options.full else parts.DEFAULT
    bench = parts.Parts(options.simulator, options.sink, installed, console, size, kept)
    found = []
    for name in options.parts or parts.NAMES:
        begun = time.monotonic()
        with watched() as load:
            report = bench.measure(name)
        report.load, report.seconds, report.machine = load, time.monotonic() - begun, machine
        report.taken, report.full = datetime.datetime.now(datetime.UTC).date().isoformat(), options.full
        report.save(kept)
        found.append(report)
        console.text(f"{name}: {load}")
    console.text(document.as_text(found))
    _write_page(options, kept, console)
    console.text(f"all of it took {console.elapsed:.0f} s")
    return 0 if all(promise.kept for report in found for promise in report.promises) else 1


def _write_page(options: argparse.Namespace, kept: Path, console: Console) -> None:
    """Write the page of all parts that were ever measured here, into docs/ where its figures may go there."""
    known = [Report.load_from(kept, name) for name in parts.NAMES]
    reports = [report for report in known if report is not None]
    shared = [report.part for report in reports if report.load.shared]
    missing = [name for name, report in zip(parts.NAMES, known, strict=True) if report is None]
    into_docs = not options.quick and (options.write or not (shared or missing))
    path = document.write(reports, kept, layout.ROOT / "docs" if into_docs else kept)
    console.text(f"written: {os.path.relpath(path, layout.ROOT)}")
    if shared and not options.quick:
        console.text(f"other work ran on the machine while these parts were measured: {', '.join(shared)}.")
    if missing and not options.quick:
        console.text(f"never measured here: {', '.join(missing)}.")
    if not into_docs and not options.quick:
        console.text("So docs/benchmarks.md stays as it is. Measure again, or write it all the same with ARGS=--write.")


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    given = options(arguments)
    console = Console()
    try:
        with lifetime.bound():
            return measure(given, console)
    except CommandFailed as error:
        told = error.log.read_text(encoding="utf-8", errors="replace")[-4000:]
        print(f"{error}; the end of its log:\n{told}", file=sys.stderr)
    except (WrongResult, SimulatorError) as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninterrupted; nothing of it is left running", file=sys.stderr)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
