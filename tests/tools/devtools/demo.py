# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make demo`: the collection at work on a simulated vCenter, a crash in the middle included."""

from __future__ import annotations

import json
import os
import re
import subprocess
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Event, Thread

from devtools import collection, layout, processes
from devtools.console import Console
from devtools.provision import Toolbox
from devtools.runs import Run, new_run
from vforge_sim import Simulator

_CLONES = 12
_FLEET = 40
_HOSTS = 3
# Slow enough to be watched: one clone takes this long in the simulator, and it makes those of one parent one by one.
_CLONE_TIME = "50ms"
# A busy vCenter takes its time to accept a call, so the crash meets clones in every state: made, accepted, not asked for.
_BUSY_MS = 500
# Lines of a table that are shown.
_MOST = 4
_WIDTH = 80

_REAL = """\
  export VMWARE_HOST=vcenter.example.com
  export VMWARE_USER=administrator@vsphere.local
  read -rs VMWARE_PASSWORD && export VMWARE_PASSWORD
  export VFORGE_GUEST_USERNAME=root
  read -rs VFORGE_GUEST_PASSWORD && export VFORGE_GUEST_PASSWORD
  export ANSIBLE_COLLECTIONS_PATH=$PWD/.build/collections
  .build/venv/bin/ansible-playbook vforge.vsphere.demo \\
    -e demo_golden=NAME-OF-A-VM -e demo_cluster=NAME --check
  Without --check it makes the fleet; with -e demo_state=absent it removes it.
  A vCenter with a CA of your own: export VMWARE_CA_PATH=/path/to/ca.pem"""


class DemoFailed(Exception):
    """The demonstration showed something else than it says."""


@dataclass(frozen=True)
class _Playing:
    """Playbooks that run. log: what Ansible says; story: what their tasks show."""

    process: subprocess.Popen[bytes]
    log: Path
    story: Path

    @property
    def said(self) -> str:
        """Ansible's own log, as far as it is."""
        return self.log.read_text(encoding="utf-8", errors="replace").strip()


@dataclass(frozen=True)
class _Events:
    """Names that are read from a process."""

    process: subprocess.Popen[bytes]
    names: Iterator[str]

    def take(self, count: int) -> list[str]:
        """The next names; fewer when the process ends before."""
        return list(islice(self.names, count))

    def end_with(self, playing: _Playing, going_on: Event) -> None:
        """End the process when the playbooks end and nobody has said that it goes on without them."""
        playing.process.wait()
        if not going_on.is_set():
            self.process.terminate()


@dataclass(frozen=True)
class _Play:
    """What the tasks of a play have shown."""

    shown: list[list[str]]

    @property
    def plan(self) -> str:
        """The first line of the plan."""
        return self.shown[0][0]

    def table(self) -> list[str]:
        """The head of the table with the lines of most interest, and its totals."""
        head, *lines, blank, totals = next(lines for lines in self.shown if "" in lines)
        assert not blank
        # What nothing was done with is worth less room than what something was done with.
        lines.sort(key=lambda line: "  unchanged  " in line)
        hidden = len(lines) - _MOST
        return [head, *lines[:_MOST], *([f"... and {hidden} more"] if hidden > 0 else []), totals]


@dataclass(frozen=True)
class _Stage:
    """What the acts share. verbose: whether Ansible's own log is shown as well."""

    console: Console
    run: Run
    tools: Toolbox
    simulator: Simulator
    collections: Path
    verbose: bool

    def env(self, story: Path) -> dict[str, str]:
        """What Ansible gets: the vCenter by environment, as AWX's credential gives it."""
        runtime = self.run.folder / "runtime"
        runtime.mkdir(mode=0o700, exist_ok=True)
        return self.tools.env(
            ANSIBLE_COLLECTIONS_PATH=str(self.collections),
            ANSIBLE_CALLBACK_PLUGINS=str(layout.TOOLS / "callback"),
            ANSIBLE_CALLBACKS_ENABLED="demo_story",
            ANSIBLE_CALLBACK_RESULT_FORMAT="yaml",
            ANSIBLE_DISPLAY_SKIPPED_HOSTS="0",
            ANSIBLE_INVENTORY_UNPARSED_WARNING="0",
            ANSIBLE_RETRY_FILES_ENABLED="0",
            VFORGE_DEMO_STORY=str(story),
            VMWARE_HOST=self.simulator.host,
            VMWARE_PORT=str(self.simulator.port),
            VMWARE_USER=self.simulator.username,
            VMWARE_PASSWORD=self.simulator.password,
            VMWARE_CA_PATH=self.simulator.ca,
            VFORGE_GUEST_USERNAME=self.simulator.guest_username,
            VFORGE_GUEST_PASSWORD=self.simulator.guest_password,
            # Kept sessions of this simulator are of no use after it, nor is what a killed Ansible leaves behind.
            XDG_RUNTIME_DIR=str(runtime),
            TMPDIR=str(runtime),
            ANSIBLE_LOCAL_TEMP=str(runtime),
            ANSIBLE_REMOTE_TEMP=str(runtime),
        )

    def start(self, name: str, playbooks: list[str], variables: dict[str, object]) -> _Playing:
        """Start playbooks of the collection, one after the other in one Ansible. name: of their log."""
        log, story = self.run.log(name), self.run.folder / f"{name}.json"
        story.touch()
        names = [f"vforge.vsphere.{playbook}" for playbook in playbooks]
        command: list[str | Path] = [self.tools.tool("ansible-playbook"), *names, "-e", json.dumps(variables)]
        with log.open("wb") as handle:
            process = processes.start(command, cwd=self.run.folder, env=self.env(story), output=handle)
        return _Playing(process, log, story)

    def to_its_end(self, playing: _Playing) -> list[_Play]:
        """Wait for playbooks; returns their plays. Raises DemoFailed, with Ansible's own log."""
        try:
            code = playing.process.wait()
        finally:
            processes.finish(playing.process)
        if code:
            raise DemoFailed(f"Ansible ended with exit code {code}; what it said:\n\n{playing.said}")
        if self.verbose:
            self.console.text(playing.said)
        plays: list[_Play] = []
        for line in map(json.loads, playing.story.read_text(encoding="utf-8").splitlines()):
            if "play" in line:
                plays.append(_Play([]))
            else:
                plays[-1].shown.append(line["shown"])
        return plays

    def show(self, lines: list[str]) -> None:
        """Print lines, indented; what is too long for a terminal goes on in the next line, after its colon if it has one."""
        for line in lines:
            for part in _folded(line):
                self.console.text(f"  {part}")

    def requested(self) -> int:
        """How many instant clones the simulator has been asked for so far."""
        return int(self.simulator.calls()["by_method"].get("InstantClone_Task", 0))

    def hosts(self) -> set[str]:
        """The hosts on which govc finds the clones, by their names."""
        found = self.simulator.govc("find", "/DC0/vm", "-type", "m", "-name", "demo-[0-9]*")
        seen = self.simulator.govc("vm.info", *found)["virtualMachines"] if found else []
        return {vm["runtime"]["host"]["value"] for vm in seen}

    @contextmanager
    def clones_made(self) -> Iterator[_Events]:
        """The names of clones as they come up, and of those that are there, as govc reads them from the simulator's events."""
        command: list[str | Path] = [self.tools.govc, "events", "-f", "-n", "500", "/DC0"]
        env = {**os.environ, **self.simulator.govc_environment()}
        process = processes.start(command, env=env, output=subprocess.PIPE)
        if process.stdout is None:
            raise AssertionError("a pipe was asked for")
        try:
            found = (re.search(rb"\] (\S+) on \S+ in \S+ is powered on", line) for line in process.stdout)
            names = (match[1].decode() for match in found if match)
            # The parents of the fleet begin with its prefix too, but have no number behind it.
            yield _Events(process, (name for name in names if re.fullmatch("demo-[0-9]+", name)))
        finally:
            processes.finish(process)
            process.stdout.close()


def _folded(line: str) -> list[str]:
    """A line in parts that fit into a terminal, with their indent."""
    room = _WIDTH - 2
    head, colon, rest = line.partition(": ")
    if len(line) <= room:
        return [line]
    if colon and len(head) < room:
        return [f"{head}:", *textwrap.wrap(rest, room, initial_indent="  ", subsequent_indent="  ")]
    return textwrap.wrap(line, room, subsequent_indent="  ")


def _expect(what: str, wanted: int, found: int) -> None:
    if wanted != found:
        raise DemoFailed(f"{what}: {wanted} were expected, {found} found.")


def _first_and_again(stage: _Stage) -> None:
    """A fleet, and the same again: two playbooks in one Ansible, so that the second costs no second start."""
    console = stage.console
    console.title(f"1. A parent frozen on each of {_HOSTS} hosts, and {_CLONES} instant clones of them")
    first, again = stage.to_its_end(stage.start("fleet", ["demo", "demo"], {"demo_count": _CLONES}))
    stage.show([first.plan, *first.table()])
    console.title("2. The same playbook again: nothing changes")
    stage.show([again.plan, again.table()[-1]])
    _expect("Clones made by both runs", _CLONES, stage.requested())
    _expect("Hosts with clones", _HOSTS, len(stage.hosts()))


def _crash_and_rerun(stage: _Stage) -> None:
    console = stage.console
    new = _FLEET - _CLONES
    console.title(f"3. {new} more, and the machine that runs Ansible dies in the middle")
    before = stage.requested()
    with stage.clones_made() as made:
        stage.simulator.latency(_BUSY_MS, "InstantClone_Task")
        playing = stage.start("crash", ["demo"], {"demo_count": _FLEET})
        killed = Event()
        watch = Thread(target=made.end_with, args=(playing, killed), daemon=True)
        watch.start()
        try:
            alive = made.take(_CLONES + new // 2)
            killed.set()
        finally:
            processes.kill(playing.process)
        if len(alive) < _CLONES + new // 2:
            raise DemoFailed(f"Ansible ended before it was killed; what it said:\n\n{playing.said}")
        stage.show([f"Killed with SIGKILL when {len(alive) - _CLONES} of {new} new clones were up."])
        accepted = stage.requested() - before
        alive += made.take(_CLONES + accepted - len(alive))
    stage.simulator.latency(0, "InstantClone_Task")
    missing = _FLEET - len(alive)
    stage.show([f"vCenter finished what it had accepted: {len(alive)} are there, {missing} are missing."])
    console.title(f"4. The same again: it makes the {missing} that are missing, and no other")
    before = stage.requested()
    (rerun,) = stage.to_its_end(stage.start("rerun", ["demo"], {"demo_count": _FLEET}))
    _expect("Clones made by the run after the crash", missing, stage.requested() - before)
    stage.show([rerun.plan, *rerun.table()])
    stage.show([f"{missing} calls of InstantClone_Task, by the simulator's own count."])


def _night(stage: _Stage, number: int) -> _Playing:
    """Start one night's report."""
    variables: dict[str, object] = {
        "changed_areas_report_vms": [{"name": name} for name in _clones()],
        "changed_areas_report_state_file": str(stage.run.folder / "changed-areas.json"),
        "changed_areas_report_path": str(layout.BUILD / "changed-areas.html"),
    }
    return stage.start(f"night-{number}", ["changed_areas_report"], variables)


def _clones() -> list[str]:
    return [f"demo-{number:02}" for number in range(1, _CLONES + 1)]


def _second_night(stage: _Stage, first: _Playing) -> None:
    """What the guests wrote since the first night, which began to track it."""
    stage.console.title("5. What changed on the disks of the clones between two nights")
    stage.to_its_end(first)
    for place, name in enumerate(_clones()):
        # Some write much, some little, at places of their own.
        stage.simulator.write_disk(
            name, offset=place << 28, length=256 << 10, count=4 << place % 4, stride=48 << 20, seed=place
        )
    (night,) = stage.to_its_end(_night(stage, 2))
    left = [name for name in _clones() if stage.simulator.govc("snapshot.tree", "-vm", name)]
    _expect("Snapshots left behind", 0, len(left))
    stage.show([*night.table(), "The report, one file that needs no network: .build/changed-areas.html"])


def _acts(stage: _Stage) -> None:
    _first_and_again(stage)
    with ExitStack() as beside:
        # The first night is a backup's: it runs beside what happens to the fleet.
        first = _night(stage, 1)
        beside.callback(processes.finish, first.process)
        _crash_and_rerun(stage)
        _second_night(stage, first)


def run(console: Console) -> int:
    """Show it all; returns the exit code."""
    console.title("Set up")
    tools = Toolbox(console.part).prepare()
    flags = ("--vms", "100", "--hosts", str(_HOSTS), "--clone-time", _CLONE_TIME)
    with new_run() as this, ExitStack() as stack:
        simulator = Simulator(tools.simulator, *flags, state_dir=this.simulator_state)
        with ThreadPoolExecutor(1) as pool:
            started = pool.submit(stack.enter_context, simulator)
            collections = collection.install(this, tools)
            started.result()
        console.part("collection", "built and installed")
        console.part("simulated vCenter", f"port {simulator.port}, 100 VMs, {_HOSTS} hosts")
        try:
            _acts(_Stage(console, this, tools, simulator, collections, verbose=bool(os.environ.get("VERBOSE"))))
        except DemoFailed as error:
            console.text(f"\nThe demo failed. {error}")
            return 1
    console.title("On a real vCenter")
    console.text(_REAL)
    console.text(f"\nAll of it took {console.elapsed:.0f} s.")
    console.text(f"Ansible's own log: make demo VERBOSE=1, or .build/logs/{this.logs.name}/")
    return 0
