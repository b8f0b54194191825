# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make simulator`: a simulated vCenter for a person; `make quickstart`: the commands of that page."""

from __future__ import annotations

import os
import re
import shlex
import signal
import tarfile
import textwrap
from pathlib import Path

from devtools import layout, processes
from devtools.console import Console, Outcome
from devtools.provision import Toolbox
from devtools.runs import Run, new_run
from vforge_sim import Simulator

PAGE = layout.ROOT / "docs" / "docsite" / "rst" / "guide_quickstart.rst"
_VARIABLES = layout.ROOT / ".build" / "simulator.env"

# What the commands of the page say of themselves, and how it is called here.
_SIMULATOR = "make simulator"
_SOURCE = ". .build/simulator.env"
_PLAYBOOK = "first.yml"
_FROM_CHECKOUT = "collection install . "
_DEVELOPERS = ("tests", "findings", ".build", ".ci", "Makefile", "requirements-dev", "pyproject", "docs/site")
_FIRST_RUN = re.compile(r"localhost +: ok=\d+ +changed=1 +unreachable=0 +failed=0 ")
_NEXT_RUN = re.compile(r"localhost +: ok=\d+ +changed=0 +unreachable=0 +failed=0 ")


def variables(simulator: Simulator) -> str:
    """Lines for a shell that point all modules at a simulator. The password stays in the simulator's file."""
    password = Path(simulator.ready).with_name("password")
    values = {
        "VMWARE_HOST": simulator.host,
        "VMWARE_PORT": str(simulator.port),
        "VMWARE_USER": simulator.username,
        "VMWARE_CA_PATH": simulator.ca,
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    lines.append(f"VMWARE_PASSWORD=$(cat {shlex.quote(str(password))}) && export VMWARE_PASSWORD")
    return "\n".join(lines) + "\n"


def simulate(console: Console, arguments: list[str]) -> int:
    """Start a simulated vCenter and wait for Ctrl-C or SIGTERM; returns the exit code. arguments: options of the simulator."""
    tools = Toolbox(console.part).prepare()
    with Simulator(tools.simulator, *arguments) as simulator:
        _VARIABLES.write_text(variables(simulator), encoding="utf-8")
        console.text(f"\n{simulator.url}\n\nIn another terminal: {_SOURCE}\nCtrl-C ends it.")
        try:
            signal.pause()
        finally:
            _VARIABLES.unlink(missing_ok=True)
    return 0


def blocks(text: str) -> list[tuple[str, str]]:
    """The code of a page, in its order: the language, and the text."""
    found = re.findall(r"^\.\. code-block:: (\w+)\n\n((?:(?: {3,}.*)?\n)+)", text, re.MULTILINE)
    return [(language, textwrap.dedent(code).strip() + "\n") for language, code in found]


def commands(text: str) -> list[str]:
    """What the page has a reader type, less what starts the simulator and reads its variables."""
    lines = [line for language, code in blocks(text) if language == "shell" for line in code.splitlines()]
    return [line for line in lines if line not in (_SIMULATOR, _SOURCE)]


def playbook(text: str) -> str:
    """The playbook of the page."""
    return next(code for language, code in blocks(text) if language == "yaml")


def run(console: Console, arguments: list[str]) -> int:
    """Run the page in a folder of its own, from an environment without the collection; returns the exit code.

    arguments: "tarball" has the collection built first, and installed from that.
    """
    console.title("Set up")
    tools = Toolbox(console.part).prepare()
    text = PAGE.read_text(encoding="utf-8")
    with new_run() as this, Simulator(tools.simulator, state_dir=this.simulator_state) as simulator:
        console.title("Quickstart")
        folder, log = this.collection, this.log("quickstart")
        (folder / _PLAYBOOK).write_text(playbook(text), encoding="utf-8")
        lines = commands(text)
        if "tarball" in arguments:
            console.step("tarball", lambda: tarball(this, tools))
            lines = [line.replace(_FROM_CHECKOUT, f"collection install {this.folder}/built/*.tar.gz ") for line in lines]
        script = folder / "quickstart.sh"
        script.write_text("\n".join(["set -eu", variables(simulator), *lines, ""]), encoding="utf-8")
        # A reader's environment: nothing of the tools, but pip's own settings.
        kept = ("PATH", "LANG", "LC_ALL", "TMPDIR")
        env = {name: value for name, value in os.environ.items() if name in kept or name.startswith("PIP_")}
        env |= {"HOME": str(tools.home), "ANSIBLE_NOCOLOR": "1"}
        env["PATH"] = f"{Path(tools.python.path).parent}{os.pathsep}{env['PATH']}"
        console.step("commands of the page", lambda: _follow(script, log, env))
    return console.summary()


def tarball(this: Run, tools: Toolbox) -> Outcome:
    """What is published; nothing that only developers need is in it."""
    log = this.log("tarball")
    command: list[str | Path] = [
        tools.tool("ansible-galaxy"),
        "collection",
        "build",
        "--output-path",
        this.folder / "built",
    ]
    processes.check([*command, this.collection], log, cwd=this.folder, env=tools.env())
    archive = next((this.folder / "built").glob("*.tar.gz"))
    with tarfile.open(archive) as opened:
        names = opened.getnames()
    unwanted = [name for name in names if name.startswith(_DEVELOPERS)]
    if unwanted:
        log.write_text(f"in the tarball: {', '.join(unwanted)}\n", encoding="utf-8")
        raise processes.CommandFailed(["ansible-galaxy", "collection", "build"], 1, log)
    return Outcome(1, note=f"{archive.name}, {len(names)} files")


def _follow(script: Path, log: Path, env: dict[str, str]) -> Outcome:
    """Run them; the first real run has to change something, and the second nothing."""
    output = processes.check(["bash", script], log, cwd=script.parent, env=env)
    recaps = [line for line in output.splitlines() if line.startswith("localhost ") and "ok=" in line]
    checked, first, second = [*recaps, "", "", ""][:3]
    if not (_FIRST_RUN.match(checked) and _FIRST_RUN.match(first) and _NEXT_RUN.match(second)):
        raise processes.CommandFailed(["quickstart.sh"], 1, log)
    return Outcome(1, note="a clone, and a second run that changes nothing")
