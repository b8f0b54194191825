# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The simulated vCenter of a measurement."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from bench.figures import ROUNDS
from vforge_sim import Simulator

PARENT = "golden-parent"
DATACENTER = "DC0"

# A file system in memory, where there is one.
_MEMORY = Path("/dev/shm")  # noqa: S108 (a folder of its own is made in it)


@dataclass(frozen=True)
class Calls:
    """What the server counted: all calls but the rounds, the rounds, and who came and went."""

    calls: int
    rounds: int
    logins: int
    logouts: int


@dataclass(frozen=True)
class VCenter:
    """A simulator with a frozen parent, and where the clones go.

    vms: how many VMs it began with; folder: inventory path of the folder for the clones, in which there is no other VM.
    host, pool, datastore: those of the parent, since other tools ask for them; the pool by its path.
    """

    sim: Simulator
    vms: int
    folder: str
    host: str
    pool: str
    datastore: str

    @property
    def parent(self) -> str:
        """Inventory path of the parent."""
        return f"/{DATACENTER}/vm/{PARENT}"

    @property
    def job(self) -> dict[str, object]:
        """What the scripts need to know."""
        sim = self.sim
        where = {"host": sim.host, "port": sim.port, "username": sim.username, "password": sim.password, "ca": sim.ca}
        return {**where, "parent": self.parent, "folder": self.folder}

    @property
    def environment(self) -> dict[str, str]:
        """What both collections read from the environment; the CA also for tools that know only Python's own variable."""
        sim = self.sim
        return {
            "VMWARE_HOST": sim.host,
            "VMWARE_PORT": str(sim.port),
            "VMWARE_USER": sim.username,
            "VMWARE_PASSWORD": sim.password,
            "VMWARE_CA_PATH": sim.ca,
            "SSL_CERT_FILE": sim.ca,
        }

    def golden(self) -> str:
        """Make a VM that is off, for parents to be made of; returns its name."""
        self.sim.create_vm("golden", on=False)
        return "golden"

    def counted(self) -> Calls:
        """The calls since the last reset."""
        by_method: dict[str, int] = self.sim.calls()["by_method"]
        rounds = sum(count for method, count in by_method.items() if method in ROUNDS)
        return Calls(sum(by_method.values()) - rounds, rounds, by_method.get("Login", 0), by_method.get("Logout", 0))


@contextmanager
def simulated(simulator: Path, govc: Path, vms: int, clone_ms: int, latency_ms: int = 0, *more: str) -> Iterator[VCenter]:
    """A vCenter with this many VMs, for as long as the block runs; clone_ms: its time for a clone; latency_ms: for any call.

    more: options of the simulator.

    The parent is frozen, as one does for many clones of it: a running one gets a delta disk with each.
    """
    options = ("--vms", str(vms), "--clone-time", f"{clone_ms}ms", "--latency", f"{latency_ms}ms", *more)
    with _state(more) as state, Simulator(simulator, *options, govc=str(govc), state_dir=state) as sim:
        sim.patch_vm(PARENT, frozen=True)
        folder = f"/{DATACENTER}/vm/bench"
        sim.govc("folder.create", folder)
        (vm,) = sim.govc("vm.info", PARENT)["virtualMachines"]
        (name,) = sim.govc("object.collect", f"HostSystem:{vm['summary']['runtime']['host']['value']}", "name")
        (pool,) = sim.govc("ls", "-L", f"ResourcePool:{vm['resourcePool']['value']}")["elements"]
        datastore = vm["summary"]["config"]["vmPathName"].partition("]")[0].lstrip("[")
        yield VCenter(sim, vms, folder, name["val"], pool["Path"], datastore)


def _state(options: tuple[str, ...]) -> AbstractContextManager[str | None]:
    """A folder for the files of a simulator: in memory, but for one that has large disks; None for one of its own.

    To make files soon after many were removed, as the files of the simulator before were, costs some file systems (ext4)
    milliseconds each: a clone then takes four times as long, or does not, as it comes.
    """
    if "--discard-uploads" in options or not os.access(_MEMORY, os.W_OK | os.X_OK):
        return nullcontext()
    return tempfile.TemporaryDirectory(prefix="vforge-bench-", dir=_MEMORY)
