# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many processes at once against one vCenter in which some calls fail: each does its rounds, and holds what it is told to what
there is.

A round makes things by one module, with names that nobody else has, and runs it again until it succeeds, as a user does. Then
it removes them. All rounds change one disk that they share, each its own key: none may lose what another has written.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import time
import traceback
from pathlib import Path
from typing import Any

from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import Forked
from vforge_control import SimulatorError

# One call in a hundred fails, each of these ways for a quarter of them. Logins do not, so that they can be counted.
_EVERY = 400
_FAILURES: tuple[dict[str, Any], ...] = (
    {"do": "drop"},
    {"do": "drop-after"},
    {"do": "http-status", "status": 503},
    {"do": "delay", "delay_ms": 200},
)

# How often a user runs a task again that fails.
_TIMES = 25

# A run takes a fraction of a second alone, and waits for many others here.
_PATIENCE = 600.0

_STORE = "LocalDS_0"
SHARED = "soak-shared-1"


@dataclasses.dataclass
class Account:
    """What one process saw.

    Attributes:
        rounds: that came to their end.
        runs: of modules.
        failed: runs that failed, with a clear error.
        memory: the most that each run had, in KiB, in their order.
        wrong: what must not be, one sentence each.
        written: the value that it wrote last to its key of the shared disk.
    """

    rounds: int = 0
    runs: int = 0
    failed: int = 0
    memory: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    wrong: list[str] = dataclasses.field(default_factory=list)
    written: str = ""


class Worker:
    """One process of many.

    Args:
        sim: all of them work with it.
        number: which one it is.
        folder: the sessions in it are shared by all.
    """

    def __init__(self, sim: Any, number: int, folder: Path) -> None:
        self._sim, self._number, self._folder = sim, number, folder
        self._modules: dict[str, Forked] = {}
        self.account = Account()

    def work(self, until: float) -> Account:
        """Do rounds until a time of ``time.monotonic()``, one at least."""
        kinds = (self._instant_clones, self._linked_clones, self._first_class_disks, self._user_data)
        while not self.account.rounds or time.monotonic() < until:
            kinds[(self._number + self.account.rounds) % len(kinds)](f"soak-{self._number}-{self.account.rounds}")
            self._share(str(self.account.rounds))
            self.account.rounds += 1
        return self.account

    def _run(self, which: str, params: dict[str, Any]) -> dict[str, Any]:
        """Run a module until it succeeds, and return its result."""
        module = self._modules.setdefault(which, Forked(self._sim, which, self._folder))
        where = {
            "hostname": self._sim.host,
            "port": self._sim.port,
            "username": self._sim.username,
            "password": self._sim.password,
            "ca_path": self._sim.ca,
            "timeout": int(_PATIENCE),
        }
        for _time in range(_TIMES):
            text, code, memory = module.played({**where, **params}, lambda _pid: None, lambda: None, _PATIENCE)
            self.account.runs += 1
            self.account.memory.setdefault(which, []).append(memory)
            result: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
            if code == 0:
                return result
            self.account.failed += 1
            if result.get("error_code", "") in ("", "error", "internal_error"):
                self._say(f"{which}: no error code: {result.get('msg')} {result.get('trace')}")
            self._hold(which, result)
        self._say(f"{which} does not converge: {result.get('error_code')}: {result.get('msg')}")
        return result

    def _hold(self, which: str, result: dict[str, Any]) -> None:
        """What a run that failed says of its clones is so."""
        for entry in result.get("clones") or ():
            if "error" not in entry and entry["action"] in ("created", "unchanged") and not self._there(entry["name"]):
                self._say(f"{which}: {entry['name']} is reported and is not there")

    def _say(self, sentence: str) -> None:
        self.account.wrong.append(f"process {self._number}: {sentence}")

    def _there(self, name: str) -> bool:
        try:
            self._sim.vm(name)
        except SimulatorError:
            return False
        return True

    def _clones(self, which: str, asked: dict[str, Any], names: list[str]) -> None:
        """Make clones, look at them, make them again, remove them, look again."""
        result = self._run(which, {**asked, "clones": [{"name": name} for name in names]})
        if sorted(entry["name"] for entry in result["clones"]) != names or not all(map(self._there, names)):
            self._say(f"{which}: {names} are not what it reports: {result['clones']}")
        if self._run(which, {**asked, "clones": [{"name": name} for name in names]})["changed"]:
            self._say(f"{which}: the second run has changed {names}")
        self._run(which, {**asked, "state": "absent", "clones": [{"name": name} for name in names]})
        if any(map(self._there, names)):
            self._say(f"{which}: {names} are not removed")

    def _instant_clones(self, name: str) -> None:
        names = [f"{name}-{item}" for item in range(3)]
        self._clones("instant_clone", {"parent": {"name": f"golden-parent-{2 + self._number % 4}"}}, names)

    def _linked_clones(self, name: str) -> None:
        asked = {"source": {"name": "server-00001"}, "disk_mode": "full", "powered_on": False}
        self._clones("linked_clone", asked, [f"{name}-{item}" for item in range(2)])

    def _first_class_disks(self, name: str) -> None:
        names = [f"{name}-{item}" for item in range(2)]
        for state, many in (("present", 2), ("absent", 0)):
            disks = [{"name": each, "size": "1 MiB", "state": state} for each in names]
            self._run("first_class_disk", {"datastore": _STORE, "disks": disks})
            found = self._run("first_class_disk_info", {"datastores": [_STORE]})["disks"]
            if sum(disk["name"] in names for disk in found) != many:
                self._say(f"first_class_disk: {many} of {names} were to be there")

    def _user_data(self, name: str) -> None:
        vm = f"soak-vm-{self._number}"
        asked = {"vm": {"name": vm}, "metadata": {"local_hostname": name}}
        self._run("cloud_init_guestinfo", asked)
        if self._run("cloud_init_guestinfo", asked)["changed"]:
            self._say(f"cloud_init_guestinfo: the second run has changed {vm}")

    def _share(self, value: str) -> None:
        """Write to the disk that all have."""
        disk = {"name": SHARED, "metadata": {f"key-{self._number}": value}}
        self._run("first_class_disk", {"datastore": _STORE, "disks": [disk]})
        self.account.written = value


def run(sim: Any, folder: Path, processes: int, seconds: float) -> list[Account]:
    """Have so many processes work for so long; returns what each saw.

    Raises:
        AssertionError: one did not end, or ended in an exception.
    """
    sim.request("POST", "/fcds", {"datastore": _STORE, "prefix": SHARED[:-1], "count": 1})
    for number in range(processes):
        sim.create_vm(f"soak-vm-{number}", on=False)
    for place, failure in enumerate(_FAILURES):
        sim.inject(method="*", nth=40 + place * _EVERY // len(_FAILURES), every=_EVERY, times=0, **failure)
    context = multiprocessing.get_context("fork")
    until = time.monotonic() + seconds
    with context.Manager() as manager:
        told = manager.dict()
        workers = [context.Process(target=_work, args=(sim, number, folder, until, told)) for number in range(processes)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(seconds + 2 * _PATIENCE)
        stuck = [number for number, worker in enumerate(workers) if worker.is_alive()]
        for number in stuck:
            workers[number].kill()
        found = dict(told)
    sim.clear()
    assert not stuck, f"the processes {stuck} did not end"
    broken = {number: text for number, text in found.items() if isinstance(text, str)}
    assert not broken, "\n".join(broken.values())
    return [found[number] for number in range(processes)]


def _work(sim: Any, number: int, folder: Path, until: float, told: Any) -> None:
    """The body of one process."""
    try:
        told[number] = Worker(sim, number, folder).work(until)
    except BaseException:  # pylint: disable=broad-except
        told[number] = traceback.format_exc()
        raise
