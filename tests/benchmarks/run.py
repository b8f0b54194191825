# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measures the collection beside other tools, on simulated vCenters, and writes docs/benchmarks.md.

`make bench` calls it. Ends with 1 when a promised bound is not kept, or a tool did not do its work.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tools")]

from bench import document, promises, tables  # noqa: E402
from bench.environment import draw, peer_environment  # noqa: E402
from bench.figures import Figures  # noqa: E402
from bench.machine import describe  # noqa: E402
from bench.scenes import FULL, QUICK, Bench  # noqa: E402
from bench.tools import Installed, WrongResult  # noqa: E402

from devtools import layout, lifetime  # noqa: E402
from devtools.console import Console  # noqa: E402
from devtools.processes import CommandFailed  # noqa: E402
from vforge_control import SimulatorError  # noqa: E402


def options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; `make bench` gives what it has set up in the environment."""
    given = {name: os.environ.get(f"VFORGE_{name}") for name in ("SIMULATOR", "GOVC", "COLLECTIONS")}
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__)

    def path(option: str, default: str | None, meaning: str) -> None:
        parser.add_argument(option, type=Path, default=default, required=default is None, help=meaning)

    path("--simulator", given["SIMULATOR"], "the binary vforge-sim")
    path("--govc", given["GOVC"], "the binary govc")
    path("--collections", given["COLLECTIONS"], "folder with ansible_collections/vforge/vsphere")
    path("--python", sys.executable, "Python of an environment with ansible-core and pyVmomi")
    parser.add_argument("--work", type=Path, help="folder for what is written meanwhile; in that of the collections by default")
    parser.add_argument("--quick", action="store_true", help="measure little, in half a minute, and write no documents")
    chosen = parser.parse_args(arguments)
    chosen.work = chosen.work or chosen.collections / "bench"
    return chosen


def measure(options: argparse.Namespace, console: Console) -> int:
    """Measure, print the tables, write the documents; returns the exit code."""
    options.work.mkdir(parents=True, exist_ok=True, mode=0o700)
    peer = peer_environment(options.python)
    console.part("community.vmware", "in an environment of its own")
    installed = Installed(options.python, options.collections, peer, options.govc, options.work)
    figures = Figures(describe(installed), quick=options.quick)
    Bench(options.simulator, installed, QUICK if options.quick else FULL, console, figures).run()
    kept = promises.check(figures)
    console.text(tables.render(figures, kept))
    if not options.quick:
        data = options.work / "figures.json"
        data.write_text(json.dumps(figures.as_data()), encoding="utf-8")
        docs = layout.ROOT / "docs"
        for path in (document.write(figures, kept, docs), draw(peer, data, docs / "images")):
            console.text(f"written: {path.relative_to(layout.ROOT)}")
    console.text(f"all of it took {console.elapsed:.0f} s")
    return 0 if all(promise.kept for promise in kept) else 1


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    given = options(arguments)
    console = Console()
    try:
        with lifetime.bound():
            return measure(given, console)
    except CommandFailed as error:
        print(
            f"{error}; the end of its log:\n{error.log.read_text(encoding='utf-8', errors='replace')[-4000:]}", file=sys.stderr
        )
    except (WrongResult, SimulatorError) as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninterrupted; nothing of it is left running", file=sys.stderr)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
