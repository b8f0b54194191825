# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands that the Makefile calls."""

from __future__ import annotations

import argparse
import os
import shutil
import sys

from devtools import layout, lifetime
from devtools.console import Console
from devtools.processes import CommandFailed
from devtools.provision import provision
from devtools.pythons import NoPython


def _setup(console: Console, _options: argparse.Namespace) -> int:
    console.title("Set up")
    provision(console.part)
    return 0


def _clean(console: Console, _options: argparse.Namespace) -> int:
    shutil.rmtree(layout.BUILD, ignore_errors=True)
    console.text(f"removed {layout.BUILD.name}/")
    return 0


_COMMANDS = {"setup": _setup, "clean": _clean}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="dev.py", description="Developer tools; `make help` lists what they do.")
    parser.add_argument("command", choices=_COMMANDS)
    options = parser.parse_args(arguments)
    console = Console()
    try:
        with lifetime.bound():
            return _COMMANDS[options.command](console, options)
    except NoPython as error:
        print(error, file=sys.stderr)
    except CommandFailed as error:
        print(f"{error}; its output:\n", file=sys.stderr)
        print(error.log.read_text(encoding="utf-8", errors="replace"), file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninterrupted; nothing of it is left running", file=sys.stderr)
        return 130
    return 1
