# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each role that takes a list, with many of them: what Ansible itself works on it, besides the modules."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import metered
from bench.document import section
from bench.environment import HERE
from bench.report import Promise, Report
from bench.tables import Table
from bench.tools import Installed, disk_tools
from bench.vcenter import DATACENTER
from devtools import debian
from devtools.console import Console, Outcome
from vforge_ova import write_package
from vforge_sim import Simulator

# For so many the processor time of the controller was promised to be no more, in seconds.
MANY, SECONDS = 1_000, 10.0

_CLUSTER, _FOLDER = "DC0_C0", "many"

_TEXT = """## Roles with {many:,} VMs

One play of each role that takes a list, with {many:,} of what it is about, on a simulated vCenter that does all at
once. *Controller* is the processor time of `ansible-playbook` with all that it starts, less that of the modules: what
Ansible works on variables, tasks, results and hosts. Roles that are about one VM have no row (`vm_restore`,
`vmdk_migrate`, `capv_cluster`, `capv_node_template`), nor has `restore_drill`, whose drills take minutes each.
`cbt_backup` is played in check mode: what it reads of disks is not Ansible's.
"""


@dataclass(frozen=True)
class Scene:
    """One role.

    flags: of the simulator. prepare: makes what it needs there, and returns its variables. more: of the command.
    """

    role: str
    flags: Callable[[int], tuple[str, ...]]
    prepare: Callable[[Simulator, int, Path], dict[str, Any]]
    more: tuple[str, ...] = ()


def _few(_vms: int) -> tuple[str, ...]:
    return ("--vms", "2")


def _golden(sim: Simulator, _vms: int, _folder: Path) -> None:
    sim.create_vm("golden", on=False)
    sim.govc("folder.create", f"/{DATACENTER}/vm/{_FOLDER}")


def _fleet(sim: Simulator, vms: int, folder: Path) -> dict[str, Any]:
    _golden(sim, vms, folder)
    return {
        "name": "fleet-####",
        "count": vms,
        "golden": {"name": "golden"},
        "clusters": [_CLUSTER],
        "folder": _FOLDER,
    }


def _guests(sim: Simulator, vms: int, folder: Path) -> dict[str, Any]:
    _golden(sim, vms, folder)
    sim.govc("snapshot.create", "-vm", f"/{DATACENTER}/vm/golden", "-m=false", "ready")
    return {
        "source": {"path": f"/{DATACENTER}/vm/golden"},
        "snapshot": {"name": "ready"},
        "folder": _FOLDER,
        "gateway": "10.0.0.1",
        "dns_servers": ["10.0.0.2"],
        "user": "admin",
        "ssh_authorized_keys": ["ssh-ed25519 AAAAnobody admin"],
        "guests": [{"name": f"web-{n:04d}", "address": f"10.{n // 250}.{n % 250}.10/24"} for n in range(vms)],
    }


def _packaged(sim: Simulator, vms: int, folder: Path) -> dict[str, Any]:
    sim.govc("folder.create", f"/{DATACENTER}/vm/{_FOLDER}")
    return {
        "template": "tiny",
        "source": str(write_package(folder / "package").ovf),
        "template_folder": _FOLDER,
        "cluster": _CLUSTER,
        "ovf_networks": {"front": "VM Network"},
        "folder": _FOLDER,
        "clones": [{"name": f"clone-{n:04d}"} for n in range(vms)],
    }


def _made(sim: Simulator, vms: int, **options: Any) -> list[dict[str, str]]:
    """Make so many VMs; returns how tasks name them."""
    sim.govc("folder.create", f"/{DATACENTER}/vm/{_FOLDER}")
    path = f"/{DATACENTER}/vm/{_FOLDER}"
    names = [f"vm-{n:04d}" for n in range(vms)]
    for name in names:
        sim.create_vm(name, folder=path, **options)
    return [{"path": f"{path}/{name}"} for name in names]


def _tracked(sim: Simulator, vms: int, folder: Path) -> dict[str, Any]:
    found = _made(sim, vms, disks=[{"bytes": 1 << 20}])
    return {"vms": found, "path": str(folder / "page.html"), "state_file": str(folder / "state.json")}


def _copied(sim: Simulator, vms: int, _folder: Path) -> dict[str, Any]:
    found = _made(sim, vms, disks=[{"bytes": 1 << 20}])
    return {"vms": found, "folder": f"/{DATACENTER}/vm/{_FOLDER}", "datacenter": DATACENTER}


def _backed_up(sim: Simulator, vms: int, folder: Path) -> dict[str, Any]:
    found = _made(sim, vms, disks=[{"bytes": 1 << 20}])
    repository = folder / "repository"
    repository.mkdir(mode=0o700)
    return {"vms": found, "repository": str(repository), "transport": "export"}


def _in_the_way(sim: Simulator, vms: int, _folder: Path) -> dict[str, Any]:
    _made(sim, vms, host=f"{_CLUSTER}_H0")
    return {"cluster": _CLUSTER, "mode": "intel-haswell", "apply": True, "batch_size": vms}


def _disks(sim: Simulator, vms: int, folder: Path) -> dict[str, Any]:
    (datastore,) = sim.govc("find", f"/{DATACENTER}/datastore", "-type", "s", "-name", "LocalDS_0")
    sim.request("POST", "/fcds", {"datastore": datastore.rsplit("/", 1)[-1], "count": vms})
    return {"path": str(folder / "page.html")}


SCENES = (
    Scene("instant_clone_fleet", _few, _fleet),
    Scene("vmfork_fleet", lambda _vms: ("--vms", "2", "--api-version", "6.5", "--parents", "0"), _fleet),
    Scene("guest_cloud_init", _few, _guests),
    Scene("ovf_linked_clones", _few, _packaged),
    Scene("changed_areas_report", _few, _tracked),
    Scene("cbt_backup", _few, _backed_up, ("--check",)),
    Scene("vm_clone_backup", _few, _copied),
    Scene(
        "evc_baseline",
        lambda _vms: ("--vms", "0", "--parents", "0", "--processors", "xeon-broadwell", "--guest-time", "10ms"),
        _in_the_way,
    ),
    Scene("fcd_audit", _few, _disks),
)


@dataclass(frozen=True)
class Row:
    """One play. controller, modules: their processor seconds."""

    role: str
    controller: float
    modules: float
    started: int


@dataclass(frozen=True)
class Roles:
    """Plays each role once with so many VMs."""

    simulator: Path
    installed: Installed
    console: Console
    vms: int

    def run(self) -> Report:
        """Measure.

        Raises CommandFailed or WrongResult when a role fails, SimulatorError when the simulator does.
        """
        self.console.title(f"Roles with {self.vms:,} VMs")
        rows = [self._play(scene) for scene in SCENES]
        cells = [
            (
                row.role,
                f"{row.controller:.1f}",
                f"{1000 * row.controller / self.vms:.1f}",
                f"{row.modules:.1f}",
                str(row.started),
            )
            for row in rows
        ]
        head = ("", "controller, seconds", "ms a VM", "modules, seconds", "modules started")
        table = Table(f"Processor time of roles with {self.vms:,} VMs", head, cells)
        text = section(_TEXT, f"{table.as_markdown()}\n", many=self.vms)
        return Report("roles", text, table.as_text(), promises(self.vms, rows))

    def _play(self, scene: Scene) -> Row:
        folder = self.installed.work / "roles"
        shutil.rmtree(folder, ignore_errors=True)
        usages = folder / "usages"
        usages.mkdir(parents=True, mode=0o700)
        rows: list[Row] = []
        options = (*scene.flags(self.vms), "--clone-time", "0ms")
        with Simulator(self.simulator, *options, govc=str(self.installed.govc)) as sim:
            asked = scene.prepare(sim, self.vms, folder)

            def work() -> Outcome:
                command = [*self._command(scene, asked, folder), *scene.more]
                used = metered.run(command, self.installed.log, self._environment(sim, folder, usages))
                found = [json.loads(path.read_text(encoding="utf-8"))["all"] for path in usages.iterdir()]
                rows.append(Row(scene.role, used.cpu - sum(found), sum(found), len(found)))
                return Outcome(
                    1, note=f"controller {rows[0].controller:.1f} s, modules {rows[0].modules:.1f} s of processor time"
                )

            self.console.step(scene.role, work)
        return rows[0]

    def _command(self, scene: Scene, asked: dict[str, Any], folder: Path) -> list[str | Path]:
        wrapper = folder / "python"
        words = shlex.join([str(self.installed.python), str(HERE / "scripts" / "measured.py")])
        wrapper.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
        wrapper.chmod(0o700)
        variables = {f"{scene.role}_{name}": value for name, value in asked.items()}
        variables["ansible_python_interpreter"] = str(wrapper)
        role = {"ansible.builtin.include_role": {"name": f"vforge.vsphere.{scene.role}"}}
        play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables, "tasks": [role]}
        path = folder / "play.yml"
        path.write_text(json.dumps([play]), encoding="utf-8")
        return [self.installed.python.parent / "ansible-playbook", path]

    def _environment(self, sim: Simulator, folder: Path, usages: Path) -> dict[str, str]:
        kept, tools = folder / "sessions", disk_tools()
        kept.mkdir(mode=0o700)
        return {
            "ANSIBLE_HOME": str(self.installed.work / "ansible"),
            "ANSIBLE_COLLECTIONS_PATH": str(self.installed.collections),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "XDG_RUNTIME_DIR": str(kept),
            "PATH": os.pathsep.join([str(tools), os.environ["PATH"]]),
            **debian.with_libnbd(tools.parent, folder / "libraries"),
            "VFORGE_BENCH_USAGES": str(usages),
            "VFORGE_GUEST_USERNAME": sim.guest_username,
            "VFORGE_GUEST_PASSWORD": sim.guest_password,
            "VMWARE_HOST": sim.host,
            "VMWARE_PORT": str(sim.port),
            "VMWARE_USER": sim.username,
            "VMWARE_PASSWORD": sim.password,
            "VMWARE_CA_PATH": sim.ca,
        }


def promises(vms: int, rows: list[Row]) -> list[Promise]:
    """Of so many VMs, at most ten seconds of the controller in each role."""
    if vms < MANY:
        return []
    return [
        Promise(
            f"processor seconds of the controller, {row.role} with {vms:,}",
            f"at most {SECONDS:.0f}",
            f"{row.controller:.1f}",
            row.controller <= SECONDS,
        )
        for row in rows
    ]
