# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tools that are compared: each makes clones of the same parent, in the same folder, with one guestinfo pair."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.environment import HERE
from bench.figures import Memory, Sample
from bench.vcenter import DATACENTER, PARENT, VCenter
from devtools import debian, processes

OURS = "vforge.vsphere"
KEPT = "  again, session kept"
REPEAT = "  the same again"
PLAIN = "plain pyVmomi script"
GOVC = "govc loop"
COMMUNITY = "community.vmware loop"
FLEET = "the role instant_clone_fleet"
FLEET_REPEAT = "  the same again"
AREAS = "cbt_changed_areas"

PARALLEL = 8
# Characters of the output of a tool that failed: a task of 1,000 clones tells much.
_SHOWN = 3000
_SCRIPTS = HERE / "scripts"


class WrongResult(Exception):
    """A tool did not make what it was asked for: its figures would mean nothing."""


@dataclass(frozen=True)
class Installed:
    """What is measured, and where.

    python: of the environment with ansible-core and pyVmomi; collections: where ours is found.
    peer: the folder of `devtools.peers`; govc: its binary; work: a folder for what is written meanwhile.
    """

    python: Path
    collections: Path
    peer: Path
    govc: Path
    work: Path

    @property
    def log(self) -> Path:
        """What the tools print."""
        return self.work / "tools.log"


@dataclass(frozen=True)
class Disk:
    """A tracked disk, the only one of its VM: its size in bytes, and the changeId of before anything was written."""

    vm: str
    key: int
    capacity: int
    change_id: str


class Tools:
    """Runs the tools against one vCenter and counts what they do there."""

    def __init__(self, installed: Installed, vcenter: VCenter) -> None:
        self._at = installed
        self._vcenter = vcenter

    def plain(self, names: Sequence[str]) -> Sample:
        """The yardstick."""
        return self._plain(PLAIN, names, {})

    def _plain(self, tool: str, names: Sequence[str], more: dict[str, Any]) -> Sample:
        figures = self._fresh("plain.json")
        job = {**self._vcenter.job, "names": list(names), "parallel": PARALLEL, "figures": str(figures), **more}
        sample = self._measure(tool, names, self._script("plain.py", job))
        told = json.loads(figures.read_text(encoding="utf-8"))
        if told["made"] != len(names):
            raise WrongResult(f"The plain script made {told['made']} of {len(names)} clones.")
        return self._with_span(sample, told["span"])

    def ours(self, names: Sequence[str], *, tool: str = OURS, session: str = "fresh", changed: bool = True) -> Sample:
        """Our module: one task. session: the name of the folder for kept sessions; a name that is new has none."""
        result, sample = self._ours(names, tool, session)
        if result["changed"] is not changed or len(result["clones"]) != len(names):
            raise WrongResult(f"{tool} was to make {len(names)} clones and says {result['counts']}.")
        return self._with_span(sample, result["timing"]["total"])

    def memory(self, names: Sequence[str]) -> Memory:
        """Our module with the usage of its own process, which Ansible starts as it always does."""
        variables, usage = self._metered()
        result, sample = self._ours(names, OURS, "memory", variables, VFORGE_BENCH_USAGE=str(usage))
        if result["counts"] != {"created": len(names)}:
            raise WrongResult(f"{OURS} was to make {len(names)} clones and says {result['counts']}.")
        used = json.loads(usage.read_text(encoding="utf-8"))
        return Memory(len(names), sample.calls, used["peak_kib"] / 1024, used["cpu"], result["timing"]["total"])

    def profiled(self, names: Sequence[str], wrapper: Path) -> None:
        """Our module, started by a program that takes the place of its Python."""
        result, _sample = self._ours(names, OURS, "profiled", {"ansible_python_interpreter": str(wrapper)})
        if result["counts"] != {"created": len(names)}:
            raise WrongResult(f"{OURS} was to make {len(names)} clones and says {result['counts']}.")

    def tracked(self, name: str, capacity: int) -> Disk:
        """Make a VM with one disk of which vCenter tracks the changes from now on."""
        self._vcenter.sim.create_vm(name, disks=[{"bytes": capacity}])
        self.areas(name, state="enabled")
        (disk,) = self.areas(name)["vms"][0]["disks"]
        return Disk(name, disk["key"], capacity, disk["change_id"])

    def areas(self, name: str, **options: Any) -> dict[str, Any]:
        """Our module about one VM: its result, with the largest resident set of its process as ``peak_mib``."""
        variables, usage = self._metered()
        asked = {"vm": {"path": f"/{DATACENTER}/vm/{name}"}, **options}
        task = {"vforge.vsphere.cbt_changed_areas": asked}
        result, _sample = self._task(task, [name], AREAS, "areas", variables, VFORGE_BENCH_USAGE=str(usage))
        return {**result, "peak_mib": json.loads(usage.read_text(encoding="utf-8"))["peak_kib"] / 1024}

    def areas_plain(self, disk: Disk, count: int) -> float:
        """The yardstick: the seconds that it takes to read so many areas."""
        figures = self._fresh("areas.json")
        asked = {"vm": f"{DATACENTER}/vm/{disk.vm}", "key": disk.key, "capacity": disk.capacity, "change_id": disk.change_id}
        self._measure(PLAIN, [disk.vm], self._script("areas.py", {**self._vcenter.job, **asked, "figures": str(figures)}))
        told = json.loads(figures.read_text(encoding="utf-8"))
        if told["areas"] != count:
            raise WrongResult(f"The plain script found {told['areas']:,} of {count:,} areas.")
        return float(told["span"])

    def fleet(self, count: int, golden: str, clusters: Sequence[str], *, tool: str = FLEET, session: str = "fresh") -> Sample:
        """Our role: parents made of a golden VM, frozen and cloned, one on each host of the clusters."""
        asked = {
            "name": "fleet-####",
            "count": count,
            "golden": {"name": golden},
            "golden_version": "1",
            "clusters": list(clusters),
        }
        asked |= {"folder": self._vcenter.folder, "parallel": PARALLEL, "wait_for_ip_address": True}
        login = {"VFORGE_GUEST_USERNAME": self._vcenter.sim.guest_username}
        login |= {"VFORGE_GUEST_PASSWORD": self._vcenter.sim.guest_password}
        env = {**self._kept(session), **login, **self._ansible(self._at.collections), **self._vcenter.environment}
        variables = {f"instant_clone_fleet_{name}": value for name, value in asked.items()}
        role = {"ansible.builtin.include_role": {"name": "vforge.vsphere.instant_clone_fleet"}}
        names = [f"fleet-{number:04d}" for number in range(1, count + 1)]
        sample = self._measure(tool, names, self._playbook(self._at.python.parent, role, variables), env)
        there = self._vcenter.sim.govc("ls", f"{self._vcenter.folder}/fleet-[0-9]*")["elements"] or []
        if len(there) != count:
            raise WrongResult(f"{tool.strip()} was to make {count} clones, and there are {len(there)}.")
        return sample

    def govc(self, names: Sequence[str]) -> Sample:
        """The command govc in a shell loop. It keeps its session between commands, as it does by default."""
        where = self._vcenter
        options = ["-vm", PARENT, "-pool", where.pool, "-ds", where.datastore, "-folder", where.folder]
        clone = shlex.join([str(self._at.govc), "vm.instantclone", *options])
        return self._govc_loop(names, f'set -e; for name; do {clone} -e "guestinfo.hostname=$name" "$name"; done')

    def _govc_loop(self, names: Sequence[str], loop: str) -> Sample:
        env = self._vcenter.sim.govc_environment()
        # Where it keeps its session: a folder that is new, so that the first command has none.
        env |= {"GOVC_PERSIST_SESSION": "true", "GOVMOMI_HOME": tempfile.mkdtemp(prefix="govmomi-", dir=self._at.work)}
        return self._measure(GOVC, names, ["sh", "-c", loop, "loop", *names], env)

    def community(self, names: Sequence[str]) -> Sample:
        """The module of community.vmware as a task with a loop. guestinfo is left out: there it means a reboot."""
        where = self._vcenter
        options = {"parent_vm": PARENT, "name": "{{ item }}", "folder": where.folder, "datacenter": DATACENTER}
        options |= {"host": where.host, "datastore": where.datastore}
        return self._community_loop(names, {"community.vmware.vmware_guest_instant_clone": options, "loop": list(names)})

    def _community_loop(self, names: Sequence[str], task: dict[str, Any], *, tool: str = COMMUNITY) -> Sample:
        peer = self._at.peer
        env = {**self._ansible(peer / "collections"), **self._vcenter.environment}
        return self._measure(tool, names, self._playbook(peer / "venv" / "bin", task), env)

    def sweep(self) -> None:
        """Remove all clones, so that the next tool starts from the same inventory."""
        done = processes.run(self._script("sweep.py", self._vcenter.job), self._at.log)
        if done.code:
            raise WrongResult(f"The clones could not be removed:\n{done.output[-_SHOWN:]}")

    def one_clone(self, name: str, parent: dict[str, str], folder: str) -> dict[str, Any]:
        """Our module makes one clone in a session that is kept: its result."""
        options = {"parent": parent, "folder": folder, "name": name}
        result, _sample = self._task({"vforge.vsphere.instant_clone": options}, [name], OURS, f"one-{self._vcenter.vms}", None)
        return result

    def _ours(
        self, names: Sequence[str], tool: str, session: str, variables: dict[str, Any] | None = None, **env: str
    ) -> tuple[dict[str, Any], Sample]:
        clones = [{"name": name, "guestinfo": {"hostname": name}} for name in names]
        options = {
            "parent": {"path": self._vcenter.parent},
            "folder": self._vcenter.folder,
            "clones": clones,
            "parallel": PARALLEL,
        }
        return self._task({"vforge.vsphere.instant_clone": options}, names, tool, session, variables, **env)

    def _task(
        self, task: dict[str, Any], names: Sequence[str], tool: str, session: str, variables: dict[str, Any] | None, **env: str
    ) -> tuple[dict[str, Any], Sample]:
        """One task of ours: what it returned, and what it cost."""
        told = self._fresh("result.json")
        env |= {**self._kept(session), "VFORGE_BENCH_RESULT": str(told)}
        env |= {"ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"), "ANSIBLE_CALLBACKS_ENABLED": "bench_result"}
        env |= {**self._ansible(self._at.collections), **self._vcenter.environment}
        playbook = self._playbook(self._at.python.parent, task, variables)
        sample = self._measure(tool, names, playbook, env)
        return json.loads(told.read_text(encoding="utf-8")), sample

    def _metered(self) -> tuple[dict[str, Any], Path]:
        """Variables that have Ansible start modules with their usage written down, and the file of that."""
        usage, wrapper = self._fresh("usage.json"), self._fresh("python")
        command = shlex.join([str(self._at.python), str(_SCRIPTS / "measured.py")])
        wrapper.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        wrapper.chmod(0o700)
        return {"ansible_python_interpreter": str(wrapper)}, usage

    def _kept(self, session: str) -> dict[str, str]:
        """Where our modules keep their session; a name that is new has none."""
        kept = self._at.work / "sessions" / session
        kept.mkdir(parents=True, exist_ok=True, mode=0o700)
        return {"XDG_RUNTIME_DIR": str(kept)}

    def _measure(
        self, tool: str, names: Sequence[str], command: processes.Command, env: dict[str, str] | None = None
    ) -> Sample:
        self._vcenter.sim.reset_calls()
        begun = time.monotonic()
        done = processes.run(command, self._at.log, env={**neutral(), **(env or {})})
        seconds = time.monotonic() - begun
        if done.code:
            raise WrongResult(f"{tool.strip()} ended with exit code {done.code}:\n{done.output[-_SHOWN:]}")
        counted = self._vcenter.counted()
        return Sample(
            tool=tool,
            vms=self._vcenter.vms,
            clones=len(names),
            calls=counted.calls,
            rounds=counted.rounds,
            logins=counted.logins,
            logouts=counted.logouts,
            seconds=seconds,
        )

    def _with_span(self, sample: Sample, span: float) -> Sample:
        return Sample(**{**vars(sample), "span": span})

    def _script(self, name: str, job: dict[str, object]) -> processes.Command:
        path = self._fresh(f"{name}.json")
        path.touch(0o600)
        path.write_text(json.dumps(job), encoding="utf-8")
        return ["sh", "-c", 'exec "$0" "$1" < "$2"', self._at.python, _SCRIPTS / name, path]

    def _playbook(self, programs: Path, task: dict[str, Any], variables: dict[str, Any] | None = None) -> processes.Command:
        python = {"ansible_python_interpreter": str(programs / "python"), **(variables or {})}
        play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": python, "tasks": [task]}
        path = self._fresh("playbook.yml")
        # JSON is YAML too.
        path.write_text(json.dumps([play]), encoding="utf-8")
        return [programs / "ansible-playbook", path]

    def _ansible(self, collections: Path) -> dict[str, str]:
        home = self._at.work / "ansible"
        return {
            "ANSIBLE_HOME": str(home),
            "ANSIBLE_REMOTE_TEMP": str(home / "tmp"),
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        }

    def _fresh(self, name: str) -> Path:
        path = self._at.work / name
        path.unlink(missing_ok=True)
        return path


def neutral() -> dict[str, str]:
    """Our environment less what would change how a tool works."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "GOVC_", "VMWARE_", "PYTHON"))
    }


def disk_tools() -> Path:
    """The folder with qemu-img and its like, which are unpacked where the machine has none.

    Raises WrongResult where they cannot be had.
    """
    why = debian.why_not()
    if why:
        raise WrongResult(f"There are no tools of disks to measure with: {why}")
    return debian.disk_tools().ensure() / "tools"
