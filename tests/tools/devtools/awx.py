# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make awx`: what `make test` leaves out of AWX and execution environments, since it downloads much or plays long.

The argument specs that tests hold automation/awx against are still those of awx.awx; the requirements of the execution
environment can be installed together, and bindep knows the packages of Debian; every flow runs as a job of AWX.
"""

from __future__ import annotations

import shutil
import zipfile
from functools import partial
from pathlib import Path

from devtools import ansible_tests, layout, processes
from devtools.builds import Build
from devtools.console import Console, Outcome
from devtools.processes import CommandFailed
from devtools.provision import Toolbox
from devtools.runs import Run, new_run

# The last releases of the package `ansible` that have awx.awx are 12.x, with 24.6.1.
_ANSIBLE = "12.3.0"
_EXTRA = layout.ROOT / "automation" / "execution-environment" / "requirements.txt"
_REQUIREMENTS = layout.ROOT / "requirements.txt"

# What the collection and its options import.
_IMPORTS = "pyVmomi, requests, defusedxml, cryptography, zstandard, jsonschema, kubernetes, ansible, ansible_runner"


def run(console: Console) -> int:
    """Run all of it, each step whether or not another failed; returns the exit code."""
    console.title("AWX")
    tools = Toolbox(console.part).prepare()
    with new_run() as this:
        console.step("awx.awx", partial(_specs, this, tools))
        console.step("execution environment", partial(_environment, this, tools))
        console.step("bindep", partial(_bindep, this, tools))
        console.step("flows as jobs", partial(_flows, this, tools))
    return console.summary()


def collection(tools: Toolbox) -> Build:
    """awx.awx, of the package `ansible`."""

    def make(folder: Path) -> None:
        pip: list[str | Path] = [tools.tool("python"), "-m", "pip", "download", "--quiet", "--no-deps", "-d", folder]
        processes.check([*pip, f"ansible=={_ANSIBLE}"], layout.LOGS / "awx.log")
        wheel = next(folder.glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.startswith("ansible_collections/awx/awx/")]
            archive.extractall(folder, names)
        wheel.unlink()

    return Build("awx", (_ANSIBLE,), make)


def _specs(this: Run, tools: Toolbox) -> Outcome:
    log = this.log("awx.awx")
    script = this.collection / "tests" / "tools" / "vforge_awx.py"
    found = processes.check([tools.tool("python"), script, collection(tools).ensure()], log)
    kept = layout.ROOT / "tests" / "fixtures" / "awx" / "argument_specs.json"
    if found.strip() != kept.read_text(encoding="utf-8").strip():
        raise CommandFailed([f"{kept.name} is not what vforge_awx.py prints"], 1, log)
    return Outcome(1, note=f"ansible {_ANSIBLE}")


def _environment(this: Run, tools: Toolbox) -> Outcome:
    log = this.log("execution environment")
    folder = this.folder / "environment"
    processes.check([tools.python.path, "-m", "venv", folder], log)
    pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--only-binary=:all:"]
    core = ["ansible-core>=2.19,<2.22", "ansible-runner>=2.4"]
    processes.check([*pip, *core, "-r", _REQUIREMENTS, "-r", _EXTRA], log)
    processes.check([folder / "bin" / "python", "-m", "pip", "check"], log)
    processes.check([folder / "bin" / "python", "-c", f"import {_IMPORTS}"], log)
    return Outcome(2, note="installed together, and imported")


def _bindep(this: Run, tools: Toolbox) -> Outcome:
    """What bindep finds missing here is known to apt."""
    if shutil.which("apt-cache") is None:
        return Outcome(0, skipped=1, note="needs apt")
    log = this.log("bindep")
    missing = processes.run([tools.tool("bindep"), "-b", "-f", layout.ROOT / "bindep.txt"], log).output.split()
    known = [processes.check(["apt-cache", "show", "--no-all-versions", name], log) for name in missing]
    return Outcome(1 + len(known), note=f"missing here: {', '.join(missing) or 'none'}")


def _flows(this: Run, tools: Toolbox) -> Outcome:
    log = this.log("flows as jobs")
    copy = this.copy("flows")
    ansible_tests.write_unit_settings(copy, tools)
    command, env = ansible_tests.pytest_command(copy, tools, ["-v", "-n", "2", "tests/unit/awx"])
    said = processes.check(command, log, cwd=copy.collection, env={**env, "VFORGE_AWX": "1"})
    return Outcome(said.count(" PASSED "), note="every flow, and slices")
