# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each module is given, and what is to be there afterwards, for the tests that end it in mid-work."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ansible.module_utils import basic

from ansible_collections.vforge.vsphere.tests.unit.plugins import returned
from vforge_module import INVOCATION, ModuleProcess, as_shown

_MODULES = "ansible_collections.vforge.vsphere.plugins.modules"

# What a module may take here at the most, on a busy machine; nothing comes near it.
PATIENCE = 300.0


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a module ended.

    Attributes:
        result: what it returned; empty when it was killed.
        code: its exit code, negative for a signal.
        calls: what the server counted by method.
        files: requests for files that it counted, by method and the first part of the path.
        seconds: that it took.
        struck: how many calls the rule has struck.
        lines: of its output.
    """

    result: dict[str, Any]
    code: int
    calls: dict[str, int]
    files: dict[str, int]
    seconds: float
    struck: int
    lines: int

    @property
    def total(self) -> int:
        """All calls."""
        return sum(self.calls.values())


class Forked:
    """Runs a module in a fork of this process, which spares it the start of Python and the import of pyVmomi.

    Whatever it returns has to be as it is documented.

    Args:
        sim: what it connects to.
        which: the name of the module.
        folder: for its sessions and its temporary files.
    """

    def __init__(self, sim: Any, which: str, folder: Path) -> None:
        self.sim = sim
        self.which = which
        self._module = importlib.import_module(f"{_MODULES}.{which}")
        self.sessions, self.temporary = folder / "run", folder / "tmp"
        for each in (self.sessions, self.temporary):
            each.mkdir(exist_ok=True)

    def result(self, **params: Any) -> dict[str, Any]:
        """Run it as a playbook does that has its connection from the environment; it must say nothing but its result."""
        variables = {
            "VMWARE_HOST": self.sim.host,
            "VMWARE_PORT": str(self.sim.port),
            "VMWARE_USER": self.sim.username,
            "VMWARE_PASSWORD": self.sim.password,
            "VMWARE_CA_PATH": self.sim.ca,
        }
        ended = self._ended(params, lambda _pid: None, lambda: os.environ.update(variables))
        assert ended.code == (1 if ended.result.get("failed") else 0)
        assert ended.lines == 1
        return ended.result

    def run(
        self,
        params: dict[str, Any],
        *,
        full_disk: bool = False,
        rule: dict[str, Any] | None = None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Ended:
        """Run it to its end.

        Args:
            params: of the module.
            full_disk: whether no file can grow.
            rule: a failure to inject; one that sends a signal sends it to the module.
            meanwhile: called when that is injected, and the module begins.
        """
        known = {
            "hostname": self.sim.host,
            "port": self.sim.port,
            "username": self.sim.username,
            "password": self.sim.password,
            "ca_path": self.sim.ca,
        }

        def begin(pid: int) -> None:
            if rule is not None:
                self.sim.inject(**rule, **({"pid": pid} if rule["do"] == "signal" else {}))
            meanwhile()

        return self._ended({**known, **params}, begin, _fill_disk if full_disk else lambda: None)

    def _ended(self, params: dict[str, Any], begin: Callable[[int], None], ready: Callable[[], None]) -> Ended:
        """Run it to its end, with all that the server counts meanwhile.

        Args:
            begin: called with the module's process before the module begins.
            ready: called in that process.
        """
        # Of the run before, however it ended, nobody is left.
        self.sim.forget_leases()
        self.sim.reset_calls()
        begun = time.monotonic()
        text, code, _memory = self.played(params, begin, ready)
        seconds = time.monotonic() - begun
        calls = self.sim.calls()
        struck = sum(known["hits"] for known in self.sim.injections())
        self.sim.clear()
        lines = text.strip().splitlines()
        result = as_shown(json.loads(lines[-1])) if lines else {}
        if result:
            returned.check(self.which, result)
        return Ended(result, code, calls["by_method"], calls["files"], seconds, struck, len(lines))

    def played(
        self,
        params: dict[str, Any],
        begin: Callable[[int], None],
        ready: Callable[[], None],
        patience: float = PATIENCE,
    ) -> tuple[bytes, int, int]:
        """Run it to its end; returns its output, its exit code, and the most memory that it had, in KiB."""
        go_read, go_write = os.pipe()
        out_read, out_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(go_write)
            os.close(out_read)
            self._child(go_read, out_write, params, ready)
        os.close(go_read)
        os.close(out_write)
        begin(pid)
        os.close(go_write)
        text = _read(out_read, pid, patience)
        _pid, status, used = os.wait4(pid, 0)
        assert b"Traceback" not in text, text.decode()
        return text, os.waitstatus_to_exitcode(status), used.ru_maxrss

    def _child(self, go: int, out: int, params: dict[str, Any], ready: Callable[[], None]) -> None:
        code = 70
        try:
            os.read(go, 1)
            os.dup2(out, 1)
            os.dup2(out, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            ready()
            os.environ.update(XDG_RUNTIME_DIR=str(self.sessions), TMPDIR=str(self.temporary))
            tempfile.tempdir = None
            basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": {**params, **INVOCATION}}).encode()
            basic._ANSIBLE_PROFILE = "legacy"  # since ansible-core 2.19
            # This is a module, whatever of the controller other tests of the parent process have loaded.
            if (ansibles_own := sys.modules.get("ansible.module_utils._internal")) is not None:
                ansibles_own.is_controller = False
            self._module.main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(code)


class ForkedOrStarted(ModuleProcess):
    """A module that is run in a fork of this process, and started as a process of its own where a test sends it a signal."""

    def __init__(self, sim: Any, which: str, path: str, folder: Path, /, **common: Any) -> None:
        self._forked = Forked(sim, which, folder)
        super().__init__(sim, which, path, self._forked.sessions, **common)

    def run(self, **params: Any) -> dict[str, Any]:
        """Run it to its end; rules that were injected stay."""
        self.sim.reset_calls()
        if folder := self.environment.get("TMPDIR"):
            self._forked.temporary = Path(folder)
        text, code, _memory = self._forked.played(
            {**self.common, **params}, lambda _pid: None, lambda: os.environ.update(self.environment)
        )
        result: dict[str, Any] = json.loads(text)
        assert code == (1 if result.get("failed") else 0)
        return as_shown(result)


class InFork:
    """A module as vforge_module.ModuleProcess runs it, for results that do not depend on what a process loads.

    Args:
        sim, which, folder: as of Forked.
        common: parameters of each run that are not given otherwise.
    """

    def __init__(self, sim: Any, which: str, folder: Path, /, **common: Any) -> None:
        self._forked = Forked(sim, which, folder)
        self._common = common

    def run(self, **params: Any) -> dict[str, Any]:
        """Run the module to its end; returns what it returned."""
        return self._forked.result(**{**self._common, **params})


def _fill_disk() -> None:
    """Let no file grow."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _read(source: int, pid: int, patience: float) -> bytes:
    """All that a process writes; one that does not end fails the test."""
    text, end = b"", time.monotonic() + patience
    with os.fdopen(source, "rb", buffering=0) as stream:
        while True:
            ready = select.select([stream], [], [], max(0.0, end - time.monotonic()))[0]
            if not ready:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                raise AssertionError(f"the module did not end in {patience} seconds")
            part = stream.read(65536)
            if not part:
                return text
            text += part


@dataclasses.dataclass(frozen=True)
class Story:
    """A task of one module that takes some calls.

    Attributes:
        params: the parameters of attempt number N, in which nothing of the attempts before is in the way.
        flags: of the simulator.
        prepare: readies the simulator for an attempt.
        entries: the key of the result that has the items; each of them has a name.
        made: which of these names are there, as the simulator tells; None where there is nothing to be made.
        check: looks whether all is as it should be when the task has come to its end, and nothing else is left.
        files: whether the task writes files of its own, without which it fails.
        imports: whether the task holds a lease, which ends with its session.
        images: whether it needs qemu-img, qemu-nbd and libnbd.
        repeats: whether each run makes something new, by its nature.
        resumes: whether a run that fails leaves something that the next one goes on with, by its nature.
        removes: whether the task removes VMs that were there before.
        doubles: whether two runs at the same time make two of what one makes, by its nature.
    """

    params: Callable[[Any, int, Path], dict[str, Any]]
    flags: tuple[str, ...] = ("--vms", "4", "--clone-time", "30ms")
    prepare: Callable[[Any, int, Path], None] = lambda _sim, _number, _folder: None
    entries: str = ""
    made: Callable[[Any, int], set[str]] | None = None
    check: Callable[[Any, int], None] = lambda _sim, _number: None
    files: bool = False
    imports: bool = False
    images: bool = False
    repeats: bool = False
    resumes: bool = False
    removes: bool = False
    doubles: bool = False


_GOLDEN = {"name": "golden-parent"}


def _names(number: int, many: int = 5) -> list[str]:
    return [f"vm-{number}-{item}" for item in range(many)]


def _there(sim: Any, names: Iterable[str]) -> set[str]:
    """Which of these VMs there are."""
    known = {path.rpartition("/")[2] for path in sim.govc("find", "/DC0/vm", "-type", "m") or ()}
    return known & set(names)


def _all_there(sim: Any, number: int) -> None:
    assert _there(sim, _names(number)) == set(_names(number))


def _role_there(sim: Any, number: int) -> None:
    assert "VirtualMachine.Provisioning.Clone" in sim.govc("role.ls", f"role-{number}")["privilege"]


def _guest(sim: Any) -> dict[str, str]:
    return {"guest_username": sim.guest_username, "guest_password": sim.guest_password}


_PARENTS = [f"golden-parent-{item}" for item in range(2, 6)]


def _running(sim: Any, _number: int, _folder: Path) -> None:
    for name in _PARENTS:
        if sim.vm(name)["frozen"]:
            sim.govc("vm.power", "-reset", name)


def _frozen(sim: Any, _number: int) -> set[str]:
    return {name for name in _PARENTS if sim.vm(name)["frozen"]}


def _all_frozen(sim: Any, number: int) -> None:
    assert _frozen(sim, number) == set(_PARENTS)


def _tracked(sim: Any, number: int, _folder: Path) -> None:
    for name in _names(number, 3):
        sim.create_vm(name, disks=[{"bytes": 2**22}])


_STORE = "LocalDS_0"


def _disks(sim: Any, number: int) -> list[str]:
    """The names of the first class disks of an attempt, each as often as there are disks of it."""
    ids = sim.govc("disk.ls", "-ds", _STORE)["objects"] or ()
    names = [disk["config"]["name"] for disk in ids]
    return sorted(name for name in names if name in _names(number))


def _each_disk_once(sim: Any, number: int) -> None:
    assert _disks(sim, number) == _names(number)


def _with_disks(sim: Any, number: int, _folder: Path) -> None:
    for name in _names(number, 3):
        sim.request("POST", "/fcds", {"datastore": _STORE, "prefix": f"{name}-"})


def _no_snapshots(sim: Any, number: int) -> None:
    for name in _names(number, 3):
        assert not sim.govc("snapshot.tree", "-vm", name), name


def _exported(sim: Any, number: int) -> None:
    _no_snapshots(sim, number)
    assert sim.open_leases() == 0


def _to_be_backed_up(sim: Any, number: int, folder: Path) -> None:
    (folder / "repository").mkdir(mode=0o700, exist_ok=True)
    _tracked(sim, number, folder)


_CONTENT = bytes(range(256)) * 4096


def _repository(folder: Path, number: int) -> Path:
    return folder / f"repository-{number}"


def _to_be_restored(sim: Any, number: int, folder: Path) -> None:
    """A point of one disk, and a VM whose disk has something else."""
    from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.support import Backups, Guest

    guest = Guest(2**21)
    guest.write(0, _CONTENT)
    Backups(_repository(folder, number)).take(guest)
    sim.create_vm(_names(number, 1)[0], on=False, disks=[{"bytes": 2**21}])


def _restored(sim: Any, number: int) -> None:
    assert sim.read_disk(_names(number, 1)[0], 2000, length=2**20) == _CONTENT
    assert sim.open_leases() == 0
    assert not sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
    # An earlier attempt may have left some that its next run would go on with: see ``Story.resumes``.
    assert [file for file in sim.orphans() if f"/{_names(number, 1)[0]}/" in file and file.endswith(".vmdk")] == []


def _off(sim: Any, number: int, _folder: Path) -> None:
    for name in _names(number, 3):
        sim.create_vm(name, on=False)


def _on(sim: Any, number: int, _folder: Path) -> None:
    for name in _names(number, 3):
        sim.create_vm(name)


def _back_with_their_mode(sim: Any, number: int) -> None:
    for name in _names(number, 3):
        vm = sim.govc("vm.info", "-e", name)["virtualMachines"][0]
        assert (vm["runtime"]["powerState"], vm["runtime"]["minRequiredEVCModeKey"]) == ("poweredOn", "intel-ivybridge")
        assert "vforge.evc" not in {pair["key"] for pair in vm["config"].get("extraConfig") or ()}


def _one_with_a_disk(sim: Any, number: int, _folder: Path) -> None:
    sim.create_vm(_names(number, 1)[0], disks=[{"bytes": 2**22}])


def _one_exported(sim: Any, number: int) -> None:
    assert not sim.govc("snapshot.tree", "-vm", _names(number, 1)[0])
    assert sim.open_leases() == 0


def _loose_disk(sim: Any, number: int, _folder: Path) -> None:
    """A disk that no VM has."""
    sim.create_vm(f"src-{number}", on=False, disks=[{"bytes": 2**22}])
    sim.govc("vm.unregister", f"src-{number}")
    sim.govc("datastore.rm", "-ds", "LocalDS_0", f"src-{number}/vmware.log")


def _vm_around_it(sim: Any, number: int) -> None:
    assert _there(sim, [f"new-{number}"]) == {f"new-{number}"}


def _old_template(sim: Any, number: int, _folder: Path) -> None:
    extra = {"guestinfo.userdata": "eA=="}
    sim.create_vm(_names(number, 1)[0], on=False, template=True, hardware="vmx-15", extra_config=extra)


def _template_again(sim: Any, number: int) -> None:
    name = _names(number, 1)[0]
    [vm] = sim.govc("vm.info", "-e", name)["virtualMachines"]
    assert vm["config"]["template"]
    assert [each["name"] for each in vm["snapshot"]["rootSnapshotList"]] == ["capv"]


def _ova(folder: Path) -> str:
    return str(folder / "ova" / "tiny.ova")


def _one_template(sim: Any, number: int) -> None:
    assert _there(sim, [f"tpl-{number}"]) == {f"tpl-{number}"}
    assert sim.open_leases() == 0
    assert sim.orphans() == []


STORIES = {
    "backup_clone": Story(
        lambda _sim, number, _folder: {
            "vms": [{"name": name} for name in _names(number, 3)],
            "fresh_hours": 24,
            "parallel": 2,
        },
        prepare=_tracked,
        check=_no_snapshots,
        # Neither is there when the other looks.
        doubles=True,
    ),
    "capv_template": Story(
        lambda _sim, number, _folder: {
            "template": {"name": _names(number, 1)[0]},
            "hardware_version": "vmx-19",
            "timeout": 40,
        },
        prepare=_old_template,
        check=_template_again,
    ),
    "cached_ovf_template": Story(
        lambda _sim, number, folder: {
            "name": f"tpl-{number}",
            "datacenter": "DC0",
            "cluster": "DC0_C0",
            "default_network": "VM Network",
            "source": _ova(folder),
            "takeover_after": 1,
            "timeout": 40,
        },
        flags=("--vms", "0", "--lease-timeout", "10s"),
        imports=True,
        check=_one_template,
    ),
    "cached_ovf_template_info": Story(lambda _sim, _number, _folder: {"used_by": True}),
    "cbt_changed_areas": Story(
        lambda _sim, number, _folder: {
            "vms": [{"name": name} for name in _names(number, 3)],
            "state": "enabled",
            "parallel": 2,
        },
        prepare=_tracked,
        check=_no_snapshots,
    ),
    "cloud_init_guestinfo": Story(
        lambda _sim, number, _folder: {
            "vms": [{"name": name, "metadata": {"local_hostname": name}} for name in _names(number, 3)],
            "power_on": True,
            "parallel": 2,
        },
        prepare=_off,
    ),
    "cloud_init_guestinfo_info": Story(lambda _sim, _number, _folder: {"vm": _GOLDEN}),
    "cpu_features_info": Story(lambda _sim, _number, _folder: {"compare": True}),
    "disk_tool_info": Story(lambda _sim, _number, _folder: {"question": "info", "vm": _GOLDEN}, images=True),
    "evc": Story(
        lambda _sim, number, _folder: {
            "vms": [{"name": name} for name in _names(number, 3)],
            "mode": "intel-ivybridge",
            "power_cycle": True,
            "parallel": 2,
            "timeout": 60,
            "shutdown_timeout": 40,
            "tools_timeout": 40,
        },
        flags=("--vms", "0", "--guest-time", "30ms"),
        prepare=_on,
        check=_back_with_their_mode,
    ),
    "first_class_disk": Story(
        lambda _sim, number, _folder: {
            "datastore": _STORE,
            "disks": [{"name": name, "size": "1 MiB"} for name in _names(number)],
            "parallel": 2,
        },
        entries="disks",
        made=lambda sim, number: set(_disks(sim, number)),
        check=_each_disk_once,
    ),
    "first_class_disk_info": Story(lambda _sim, _number, _folder: {"orphans": True}),
    "first_class_disk_snapshot": Story(
        lambda _sim, number, _folder: {
            "datastore": _STORE,
            "snapshots": [{"disk": {"name": f"{name}-1"}, "description": "s"} for name in _names(number, 3)],
            "parallel": 2,
        },
        prepare=_with_disks,
    ),
    "fleet_plan": Story(
        lambda _sim, _number, _folder: {
            "name": "web-##",
            "count": 3,
            "golden": _GOLDEN,
            "clusters": ["DC0_C0"],
            "folder": "/DC0/vm",
        }
    ),
    "fork_parent": Story(
        lambda sim, number, _folder: {
            "parent": _GOLDEN,
            "state": "quiesced",
            "children": [{"name": name} for name in _names(number, 3)],
            "parallel": 2,
            **_guest(sim),
        },
        flags=("--vms", "0", "--api-version", "6.5"),
    ),
    "instant_clone": Story(
        lambda _sim, number, _folder: {
            "parent": _GOLDEN,
            "clones": [{"name": name} for name in _names(number)],
            "parallel": 2,
        },
        entries="clones",
        made=lambda sim, number: _there(sim, _names(number)),
        check=_all_there,
    ),
    "instant_clone_parent": Story(
        lambda sim, _number, _folder: {"parents": [{"name": name} for name in _PARENTS], **_guest(sim)},
        flags=("--vms", "0", "--parents", "5"),
        prepare=_running,
        entries="parents",
        made=_frozen,
        check=_all_frozen,
    ),
    "instant_clone_parent_info": Story(
        lambda _sim, _number, _folder: {"parents": [{"name": "golden-parent"}, {"name": "golden-parent-2"}]},
        flags=("--vms", "4", "--parents", "2"),
    ),
    "linked_clone": Story(
        lambda _sim, number, _folder: {
            "source": {"name": "server-00001"},
            "disk_mode": "full",
            "powered_on": False,
            "clones": [{"name": name} for name in _names(number)],
            "parallel": 2,
        },
        entries="clones",
        made=lambda sim, number: _there(sim, _names(number)),
        check=_all_there,
    ),
    "vcenter_role": Story(
        lambda _sim, number, _folder: {"name": f"role-{number}", "flows": ["instant_clone"]},
        check=_role_there,
    ),
    "vm_backup": Story(
        lambda _sim, number, folder: {
            "vms": [{"name": name} for name in _names(number, 3)],
            "repository": str(folder / "repository"),
            # Two would take each other the calls that a session has here for a lease.
            "parallel": 1,
            "streams": 1,
            "timeout": 40,
        },
        # A run that is killed leaves a lease, and nothing of its VM can be removed while that lives.
        flags=("--vms", "4", "--clone-time", "30ms", "--lease-timeout", "10s"),
        prepare=_to_be_backed_up,
        check=_exported,
        files=True,
        imports=True,
        images=True,
        repeats=True,
    ),
    "vm_export": Story(
        # Of a VM that runs nobody knows whether its disks were written; these are to be exported once.
        lambda _sim, number, folder: {
            "vms": [{"name": name} for name in _names(number, 3)],
            "dest": str(folder / "exports"),
            "refresh": "missing",
            # Two would take each other the calls that a session has here for a lease.
            "parallel": 1,
            "timeout": 40,
        },
        # A run that is killed leaves a lease, and nothing of its VM can be removed while that lives.
        flags=("--vms", "4", "--clone-time", "30ms", "--lease-timeout", "10s"),
        prepare=_tracked,
        check=_exported,
        files=True,
        imports=True,
    ),
    "vm_from_disks": Story(
        lambda _sim, number, _folder: {
            "name": f"new-{number}",
            "disks": [f"[LocalDS_0] src-{number}/src-{number}.vmdk"],
            "powered_on": True,
            "timeout": 40,
        },
        prepare=_loose_disk,
        check=_vm_around_it,
    ),
    "vm_guest_check": Story(
        lambda sim, _number, _folder: {"vm": _GOLDEN, "command": ["/bin/true"], **_guest(sim), "timeout": 40},
    ),
    "vm_restore": Story(
        lambda _sim, number, folder: {
            "repository": str(_repository(folder, number)),
            "vm": "web",
            "into": {"name": _names(number, 1)[0]},
            "timeout": 40,
        },
        # As of vm_export.
        flags=("--vms", "4", "--clone-time", "30ms", "--lease-timeout", "10s"),
        prepare=_to_be_restored,
        check=_restored,
        files=True,
        imports=True,
        images=True,
        # A record says which disks were exchanged, and the next run goes on with them.
        resumes=True,
    ),
    "vmdk": Story(
        lambda _sim, number, folder: {
            "state": "exported",
            "vm": {"name": _names(number, 1)[0]},
            "path": str(folder / f"disk-{number}.vmdk"),
            "transport": "lease",
            "timeout": 40,
        },
        # As of vm_export.
        flags=("--vms", "4", "--clone-time", "30ms", "--lease-timeout", "10s"),
        prepare=_one_with_a_disk,
        check=_one_exported,
        files=True,
        imports=True,
    ),
    "vmdk_info": Story(lambda _sim, _number, _folder: {"vm": _GOLDEN}),
}
