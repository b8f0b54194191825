# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make demo`: the collection at work on a simulated vCenter, a crash in the middle included."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from devtools import collection, layout, processes
from devtools.console import Console
from devtools.provision import Toolbox
from devtools.runs import Run, new_run
from vforge_sim import Simulator

_CLONES = 12
_FLEET = 40
_CLUSTER = "DC0_C0"
_HOSTS = 3
# Slow enough to be watched: one clone takes this long in the simulator, and it makes those of one parent one by one.
_CLONE_TIME = "50ms"
# A busy vCenter takes its time to accept a call, so the crash meets clones in every state: made, accepted, not asked for.
_BUSY_MS = 800

_REAL = """\
  export VMWARE_HOST=vcenter.example.com
  export VMWARE_USER=administrator@vsphere.local
  read -rs VMWARE_PASSWORD && export VMWARE_PASSWORD
  export VFORGE_GUEST_USERNAME=root
  read -rs VFORGE_GUEST_PASSWORD && export VFORGE_GUEST_PASSWORD
  export ANSIBLE_COLLECTIONS_PATH={collections}
  {playbook} \\
    vforge.vsphere.demo -e demo_golden=NAME-OF-A-VM -e demo_cluster=NAME --check

Without --check it makes the fleet; with -e demo_state=absent it removes it
again. Where the vCenter's certificate comes from a CA of your own:
  export VMWARE_CA_PATH=/path/to/ca.pem"""


class DemoFailed(Exception):
    """The demonstration showed something else than it says."""


@dataclass(frozen=True)
class _Stage:
    """What the acts share."""

    console: Console
    run: Run
    tools: Toolbox
    simulator: Simulator
    collections: Path

    def env(self) -> dict[str, str]:
        """What Ansible gets: the vCenter by environment, as AWX's credential gives it."""
        runtime = self.run.folder / "runtime"
        runtime.mkdir(mode=0o700, exist_ok=True)
        env = self.tools.env(
            ANSIBLE_COLLECTIONS_PATH=str(self.collections),
            ANSIBLE_CALLBACK_RESULT_FORMAT="yaml",
            # What a run does not need would only push what it does out of sight.
            ANSIBLE_DISPLAY_SKIPPED_HOSTS="0",
            ANSIBLE_INVENTORY_UNPARSED_WARNING="0",
            ANSIBLE_RETRY_FILES_ENABLED="0",
            VMWARE_HOST=self.simulator.host,
            VMWARE_PORT=str(self.simulator.port),
            VMWARE_USER=self.simulator.username,
            VMWARE_PASSWORD=self.simulator.password,
            VMWARE_CA_PATH=self.simulator.ca,
            VFORGE_GUEST_USERNAME=self.simulator.guest_username,
            VFORGE_GUEST_PASSWORD=self.simulator.guest_password,
            # Kept sessions of this simulator are of no use after it, nor is what a killed Ansible leaves behind.
            XDG_RUNTIME_DIR=str(runtime),
            ANSIBLE_LOCAL_TEMP=str(runtime),
            ANSIBLE_REMOTE_TEMP=str(runtime),
        )
        if sys.stdout.isatty():
            env.pop("ANSIBLE_NOCOLOR")
            env["ANSIBLE_FORCE_COLOR"] = "1"
        return env

    def start(self, **variables: object) -> subprocess.Popen[bytes]:
        """Start the playbook of the fleet."""
        return self.start_playbook("demo", *(f"{name}={value}" for name, value in variables.items()))

    def start_playbook(self, name: str, *variables: str) -> subprocess.Popen[bytes]:
        """Start a playbook of the collection."""
        extra = [word for variable in variables for word in ("-e", variable)]
        command: list[str | Path] = [self.tools.tool("ansible-playbook"), f"vforge.vsphere.{name}", *extra]
        return processes.start(command, cwd=self.run.folder, env=self.env())

    def play(self, **variables: object) -> int:
        """Run the playbook to its end; returns how many clones the simulator was asked for. Raises DemoFailed."""
        before = self.requested()
        self.to_its_end(self.start(**variables))
        return self.requested() - before

    def to_its_end(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for a playbook. Raises DemoFailed."""
        try:
            code = process.wait()
        finally:
            processes.finish(process)
        if code:
            raise DemoFailed(f"The playbook ended with exit code {code}.")

    def requested(self) -> int:
        """How many instant clones the simulator has been asked for so far."""
        return int(self.simulator.calls()["by_method"].get("InstantClone_Task", 0))

    def hosts(self, prefix: str) -> set[str]:
        """The hosts on which govc finds the clones, by their names."""
        found = self.simulator.govc("find", "/DC0/vm", "-type", "m", "-name", f"{prefix}[0-9]*")
        seen = self.simulator.govc("vm.info", *found)["virtualMachines"] if found else []
        return {vm["runtime"]["host"]["value"] for vm in seen}

    @contextmanager
    def clones_made(self, prefix: str) -> Iterator[Iterator[str]]:
        """The names of clones as they come up, as govc reads them from the simulator's events."""
        command: list[str | Path] = [self.tools.govc, "events", "-f", "-n", "500", "/DC0"]
        env = {**os.environ, **self.simulator.govc_environment()}
        process = processes.start(command, env=env, output=subprocess.PIPE)
        if process.stdout is None:
            raise AssertionError("a pipe was asked for")
        try:
            found = (re.search(rb"\] (\S+) on \S+ in \S+ is powered on", line) for line in process.stdout)
            names = (match[1].decode() for match in found if match)
            # The parents of the fleet begin with its prefix too, but have no number behind it.
            yield (name for name in names if re.fullmatch(rf"{prefix}[0-9]+", name))
        finally:
            processes.finish(process)
            process.stdout.close()


def _expect(what: str, wanted: int, found: int) -> None:
    if wanted != found:
        raise DemoFailed(f"{what}: {wanted} were expected, {found} found.")


def _first_and_again(stage: _Stage) -> None:
    stage.console.title(f"1. A parent frozen on each of {_HOSTS} hosts, and {_CLONES} instant clones of them")
    _expect("Clones made", _CLONES, stage.play(demo_count=_CLONES))
    _expect("Hosts with clones", _HOSTS, len(stage.hosts("demo-")))
    stage.console.title("2. The same playbook again: nothing changes")
    _expect("Clones made by the second run", 0, stage.play(demo_count=_CLONES))


def _crash_and_rerun(stage: _Stage) -> None:
    console = stage.console
    console.title(f"3. {_FLEET} clones, and the machine that runs Ansible dies in the middle")
    before = stage.requested()
    with stage.clones_made("crash-") as made:
        stage.simulator.latency(_BUSY_MS, "InstantClone_Task")
        process = stage.start(demo_prefix="crash", demo_count=_FLEET)
        try:
            alive = [next(made) for _ordinal in range(_FLEET // 2)]
        finally:
            processes.kill(process)
        console.text(f"\nKilled with SIGKILL when {len(alive)} of {_FLEET} clones were up.")
        accepted = stage.requested() - before
        alive += [next(made) for _ordinal in range(accepted - len(alive))]
    stage.simulator.latency(0, "InstantClone_Task")
    missing = _FLEET - len(alive)
    console.text(f"vCenter finished what it had accepted: {len(alive)} are there, {missing} are missing.")
    console.title(f"4. The same again: it makes the {missing} that are missing, and no other")
    _expect("Clones made by the run after the crash", missing, stage.play(demo_prefix="crash", demo_count=_FLEET))
    console.text(f"\n{missing} calls of InstantClone_Task, by the simulator's own count; {len(alive)} clones were left alone.")


def _changed_areas(stage: _Stage) -> None:
    """Two nights of a report: the first one begins to track, the second one tells what the guests wrote in between."""
    stage.console.title("5. What changed on the disks of the clones, in two nights")
    clones = [f"demo-{number:02}" for number in range(1, _CLONES + 1)]
    report = layout.BUILD / "changed-areas.html"
    variables = json.dumps(
        {
            "changed_areas_report_vms": [{"name": name} for name in clones],
            "changed_areas_report_state_file": str(stage.run.folder / "changed-areas.json"),
            "changed_areas_report_path": str(report),
        }
    )
    for night in range(2):
        for place, name in enumerate(clones if night else []):
            # Some write much, some little, at places of their own.
            stage.simulator.write_disk(
                name, offset=place << 28, length=256 << 10, count=4 << place % 4, stride=48 << 20, seed=place
            )
        stage.to_its_end(stage.start_playbook("changed_areas_report", variables))
    left = [name for name in clones if stage.simulator.govc("snapshot.tree", "-vm", name)]
    _expect("Snapshots left behind", 0, len(left))
    stage.console.text(f"\nThe report, one file that needs no network: {report}")


def run(console: Console) -> int:
    """Show it all; returns the exit code."""
    console.title("Set up")
    tools = Toolbox(console.part).prepare()
    with new_run() as this:
        collections = collection.install(this, tools)
        console.part("collection", "built and installed")
        flags = ("--vms", "100", "--hosts", str(_HOSTS), "--clone-time", _CLONE_TIME)
        with Simulator(tools.simulator, *flags, state_dir=this.simulator_state) as simulator:
            console.part("simulated vCenter", f"port {simulator.port}, 100 VMs, {_HOSTS} hosts")
            stage = _Stage(console, this, tools, simulator, collections)
            try:
                _first_and_again(stage)
                _crash_and_rerun(stage)
                _changed_areas(stage)
            except DemoFailed as error:
                console.text(f"\nThe demo failed. {error}")
                return 1
    console.title("On a real vCenter")
    link = layout.BUILD / "collections"
    console.text(_REAL.format(collections=link, playbook=(layout.BUILD / "venv" / "bin" / "ansible-playbook")))
    console.text(f"\nAll of it took {console.elapsed:.0f} s.")
    return 0
