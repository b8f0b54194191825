# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A play that runs many modules at once, each on a host of its own, and is given up in the middle of their work."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import PLAYBOOK, environment, kept
from vforge_module import PATIENCE, catches

# Runs a playbook as AWX does. The job is cancelled, or its time passes, when the test says so: by a file.
_RUNNER = """
import pathlib, sys, time, types
import ansible_runner
from ansible_runner import runner

folder, how = sys.argv[1:]
due = lambda: (pathlib.Path(folder) / "due").exists()
runner.time = types.SimpleNamespace(time=lambda: time.time() + 3600 * (how == "timeout" and due()), sleep=time.sleep)
ran = ansible_runner.run(
    private_data_dir=f"{folder}/runner", playbook=f"{folder}/play.json", inventory=f"{folder}/hosts", quiet=True,
    settings={"job_timeout": 1800}, cancel_callback=lambda: how == "cancel" and due(),
)
print(ran.status)
"""


@dataclasses.dataclass(frozen=True)
class Work:
    """What a module does when it is given up.

    method: the call in which it is caught; names: a glob for the VMs that the call makes or is about.
    args: of the module. nth: which of the calls is the first that is held up.
    """

    method: str
    names: str
    args: dict[str, Any]
    nth: int = 2


class Plays:
    """Plays some modules, and gives them up.

    Args:
        works: simulator and work of each module, by the module's name.
        folder: for the play and what it leaves; its path is short, as sockets need it.
        variables: of the environment, besides the usual ones.
    """

    def __init__(self, works: dict[str, tuple[Any, Work]], folder: Path, **variables: str) -> None:
        self.works = works
        self.folder = folder
        self._counting: dict[str, int] = {}
        self._holding: dict[str, int] = {}
        self._environment = {
            **environment(folder),
            "TMPDIR": str(folder),
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "ANSIBLE_REMOTE_TMP": str(folder / "ansible" / "tmp"),
            "ANSIBLE_FORKS": str(len(works)),
            **variables,
        }
        # ansible-runner looks for it on PATH.
        command = folder / "ansible-playbook"
        command.write_text(f"#!{sys.executable}\n{PLAYBOOK[-1]}\n", encoding="utf-8")
        command.chmod(0o700)
        self._write_play()

    def _write_play(self) -> None:
        told = "{{ dict(groups['all'] | zip(groups['all'] | map('extract', hostvars))) | to_json }}"
        plays = [
            {
                "hosts": "all",
                "gather_facts": False,
                "strategy": "free",
                "tasks": [{"include_tasks": "{{ inventory_hostname }}.json"}],
            },
            {
                "hosts": next(iter(self.works)),
                "gather_facts": False,
                "tasks": [kept(told, self.folder / "told.json")],
            },
        ]
        (self.folder / "runner").mkdir()
        (self.folder / "play.json").write_text(json.dumps(plays), encoding="utf-8")
        hosts = "".join(f"{name} ansible_connection=local\n" for name in self.works)
        (self.folder / "hosts").write_text(hosts, encoding="utf-8")
        for name, (sim, work) in self.works.items():
            where = {
                "hostname": sim.host,
                "port": sim.port,
                "username": sim.username,
                "password": sim.password,
                "ca_path": sim.ca,
            }
            counts = f"{{{{ lookup('ansible.builtin.url', '{sim.control}/inject', split_lines=false) | from_json }}}}"
            task = {f"vforge.vsphere.{name}": {**where, **work.args}, "timeout": 600}
            rescue = [{"set_fact": {"failed": "{{ ansible_failed_result }}", "counts": counts}}]
            steps = [{"block": [task], "rescue": rescue}]
            (self.folder / f"{name}.json").write_text(json.dumps(steps), encoding="utf-8")

    def hold(self) -> None:
        """Let the simulators hold the modules up in the middle of their work, until ``let_go``."""
        for name, (sim, work) in self.works.items():
            rule = {"method": work.method, "name": work.names, "times": 0, "do": "delay"}
            self._counting[name] = sim.inject(**rule, nth=1_000_000)
            self._holding[name] = sim.inject(**rule, nth=work.nth)

    def let_go(self) -> None:
        """Let the calls go on that are held up."""
        for name, (sim, _work) in self.works.items():
            sim.clear(self._holding[name])

    def seen(self) -> dict[str, int]:
        """How many of the calls in which it is caught each module has made."""
        return {name: self._rule(name, sim.injections())["seen"] for name, (sim, _work) in self.works.items()}

    def _rule(self, name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
        return next(rule for rule in rules if rule["id"] == self._counting[name])

    def start(self) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
        """Start ansible-playbook; the context begins when every module is in the middle of its work, and leaves no process."""
        return self._started([*PLAYBOOK, "-i", "hosts", "play.json"])

    def start_runner(self, how: str) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
        """Start it by ansible-runner, as ``start`` does.

        how: ``cancel`` or ``timeout``, which is what comes when ``due`` is called.
        """
        return self._started([sys.executable, "-c", _RUNNER, str(self.folder), how])

    def due(self) -> None:
        """Let ansible-runner end its job."""
        (self.folder / "due").touch()

    @contextlib.contextmanager
    def _started(self, command: list[str]) -> Iterator[subprocess.Popen[str]]:
        self.hold()
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            self.until(self._all_are_at_it, process)
            yield process
        finally:
            # Of a test that failed, some may be there still.
            for left in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(left, signal.SIGKILL)
            process.wait()

    def _all_are_at_it(self) -> bool:
        """Whether each module is in the middle of its work.

        Modules that are caught in the same call of one simulator are counted together: each is held up in its first.
        """
        wanted = collections.Counter[tuple[str, str, str]]()
        for sim, work in self.works.values():
            wanted[sim.control, work.method, work.names] += work.nth
        seen = self.seen()
        came = all(seen[name] >= wanted[sim.control, work.method, work.names] for name, (sim, work) in self.works.items())
        return came and self._to_be_told() == len(self.works)

    def until(self, enough: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
        """Watch until something is so, which must be before the process ends."""
        end = time.monotonic() + PATIENCE
        while not enough():
            assert process is None or process.poll() is None, process.communicate()[0]
            assert time.monotonic() < end, f"it is not so: {self.seen()}, {self.processes()}"
            # Only to leave the processor to those who are waited for.
            select.select([], [], [], 0.05)

    def processes(self) -> dict[int, str]:
        """The processes that belong to this play, whoever started them: their command lines."""
        mark = f"TMPDIR={self.folder}".encode()
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            # Those of others cannot be read, and some are gone by now.
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def told_to_end(self) -> bool:
        """Whether each module that is under way knows that it is to end."""
        return self._to_be_told() == 0

    def _to_be_told(self) -> int:
        """How many modules wait for the signal that says that they are to end."""
        waiting = 0
        for process in self.processes():
            with contextlib.suppress(OSError):  # it is gone
                waiting += catches(process, signal.SIGURG)
        return waiting

    def workers(self, playbook: int) -> list[int]:
        """The processes of ansible-playbook that have a module under way."""
        return _children(playbook)

    def told(self) -> dict[str, dict[str, Any]]:
        """What the play has kept of each host."""
        return dict(json.loads((self.folder / "told.json").read_text(encoding="utf-8")))

    def seen_at_rescue(self, name: str, told: dict[str, Any]) -> int:
        """How many of its calls a module had made when ``rescue`` began."""
        return int(self._rule(name, told["counts"]["rules"])["seen"])

    def left(self) -> list[str]:
        """What the collection's own files in the folder for temporary ones are, but for kept sessions."""
        return sorted(path.name for path in self.folder.glob("vforge-*") if not path.name.startswith("vforge-vsphere-"))


def _children(process: int) -> list[int]:
    lists = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for each in lists for child in each.read_text().split()]


def alarm(processes: list[int]) -> None:
    """Let the ``timeout`` of the tasks pass that these processes work on."""
    for process in processes:
        os.kill(process, signal.SIGALRM)
