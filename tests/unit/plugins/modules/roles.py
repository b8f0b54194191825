# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The main flow of each role, for the sweep of faults: a playbook in the place of a module."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import PLAYBOOK, environment
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import Ended, Story

# What a role may take on a busy machine: a run of one takes some seconds.
_PATIENCE = 300.0

# What each of its tasks may take, as in the sweep of the modules: an upload that stalls ends then, not after an hour.
_SECONDS = 40

_ROLES = Path(__file__).parents[4] / "roles"

_MIB = 2**20


class RoleRun:
    """Runs a role as ``Forked`` runs a module. Signals have tests of their own: the one process is many here.

    Args:
        sim: what its modules connect to.
        role: its name.
        folder: for its play, its sessions and its temporary files.
    """

    def __init__(self, sim: Any, role: str, folder: Path) -> None:
        self._sim, self._role, self._folder = sim, role, folder
        defaults = yaml.safe_load((_ROLES / role / "defaults" / "main.yml").read_text(encoding="utf-8"))
        self._limits = {name: _SECONDS for name in defaults if name.endswith("_timeout")}
        self.temporary = folder / "tmp"
        self.temporary.mkdir(exist_ok=True)

    def run(
        self,
        params: dict[str, Any],
        *,
        rule: dict[str, Any] | None = None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Ended:
        """Play it to its end.

        Args:
            params: the role's variables without its prefix, and ``connection_timeout`` of its modules.
            rule: a failure to inject.
            meanwhile: called when that is injected, and the play begins.
        """
        self._write(dict(params))
        # Of the run before, however it ended, nobody is left.
        self._sim.forget_leases()
        self._sim.reset_calls()
        begun = time.monotonic()
        if rule is not None:
            self._sim.inject(**rule)
        meanwhile()
        done = subprocess.run(
            [*PLAYBOOK, "play.json"],
            cwd=self._folder,
            env={**environment(self._folder, self._sim), "TMPDIR": str(self.temporary), "ANSIBLE_NOCOLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        return self._ended(done.returncode, done.stdout, time.monotonic() - begun)

    def _write(self, params: dict[str, Any]) -> None:
        defaults = {
            "group/vforge.vsphere.all": {"connection_timeout": params.pop("connection_timeout")},
            "vforge.vsphere.cached_ovf_template": {"takeover_after": 1},
        }
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "module_defaults": defaults,
            "vars": {**self._limits, **{f"{self._role}_{name}": value for name, value in params.items()}},
            "tasks": [{"ansible.builtin.include_role": {"name": f"vforge.vsphere.{self._role}"}}],
        }
        (self._folder / "play.json").write_text(json.dumps([play]), encoding="utf-8")

    def _ended(self, code: int, output: str, seconds: float) -> Ended:
        calls = self._sim.calls()
        struck = sum(known["hits"] for known in self._sim.injections())
        self._sim.clear()
        assert "Traceback (most recent call last)" not in output, output
        changed = re.search(r"^localhost .* changed=(\d+)", output, re.MULTILINE)
        # A role that sums up what failed says it in a message of its own, which has no code.
        said = re.search(r'"error_code": "(\w+)"', output) or re.search(
            r'^fatal: .*"msg": "(\w)', output, re.MULTILINE | re.DOTALL
        )
        result = {
            "changed": bool(changed and int(changed[1])),
            "error_code": said[1] if said else "",
            "msg": output[-1500:],
        }
        return Ended(result, code, calls["by_method"], calls["files"], seconds, struck, len(output.splitlines()))


def _fleet(sim: Any, number: int, _folder: Path) -> dict[str, Any]:
    return {
        "name": f"web{number}-##",
        "count": 2,
        "golden": {"path": f"/DC0/vm/golden-{number}"},
        "golden_version": "1",
        "clusters": ["DC0_C0"],
        "folder": "DC0_F0",
        "guest_username": sim.guest_username,
        "guest_password": sim.guest_password,
    }


def _golden(sim: Any, number: int, _folder: Path) -> None:
    sim.create_vm(f"golden-{number}", on=False)


def _fleet_there(sim: Any, number: int) -> None:
    assert sorted(sim.govc("find", "/DC0/vm/DC0_F0", "-type", "m", "-name", f"web{number}-0*")) == [
        f"/DC0/vm/DC0_F0/web{number}-0{item}" for item in (1, 2)
    ]


def _source(sim: Any, number: int, _folder: Path) -> None:
    sim.create_vm(f"src-{number}", disks=[{"bytes": _MIB}])


def _no_snapshot(sim: Any, number: int) -> None:
    assert not sim.govc("snapshot.tree", "-vm", f"src-{number}")


def _off_with_disk(sim: Any, number: int, _folder: Path) -> None:
    sim.create_vm(f"src-{number}", on=False, disks=[{"bytes": _MIB}])


def _migrated(sim: Any, number: int) -> None:
    assert sim.govc("find", "/DC0/vm", "-type", "m", "-name", f"new-{number}") == [f"/DC0/vm/new-{number}"]
    assert not sim.govc("find", "/DC0/vm", "-type", "m", "-name", "vforge-import-*")
    assert sim.open_leases() == 0


def _to_be_cloned(sim: Any, number: int, _folder: Path) -> None:
    sim.create_vm(f"src-{number}", on=False)
    sim.govc("snapshot.create", "-vm", f"src-{number}", "-m=false", "ready")


def _to_be_backed_up(sim: Any, number: int, folder: Path) -> None:
    (folder / "repository").mkdir(mode=0o700, exist_ok=True)
    _source(sim, number, folder)


def _backed_up(sim: Any, number: int, folder: Path) -> None:
    """A VM with a backup in a repository of its own."""
    from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.running import tasks

    _off_with_disk(sim, number, folder)
    own = folder / str(number)
    own.mkdir(mode=0o700)
    (own / "packages").mkdir(mode=0o700)
    with tasks(sim, own) as known:
        done = known.attempt(vms=[{"name": f"src-{number}"}], transport="export")
    assert done.error is None, done.error


def _of_backups(number: int, folder: Path) -> dict[str, Any]:
    return {
        "repository": str(folder / str(number) / "repository"),
        "dest": str(folder / str(number) / "packages"),
        "datacenter": "DC0",
        "cluster": "DC0_C0",
        "folder": "DC0_F0",
    }


def _restored(sim: Any, number: int) -> None:
    assert sim.govc("find", "/DC0/vm", "-type", "m", "-name", f"new-{number}") == [f"/DC0/vm/DC0_F0/new-{number}"]
    assert sim.open_leases() == 0


def _no_drill(sim: Any, _number: int) -> None:
    assert not sim.govc("find", "/DC0/vm", "-type", "m", "-name", "drill-*")
    assert sim.open_leases() == 0


def _orphans(sim: Any, number: int, _folder: Path) -> None:
    sim.request("POST", "/fcds", {"datastore": "LocalDS_0", "prefix": f"orphan-{number}-", "count": 2})


def _of_orphans(sim: Any, number: int) -> list[str]:
    """The IDs of the disks of an attempt that are there."""
    listed = sim.govc("disk.ls", "-ds", "LocalDS_0")["objects"] or ()
    return [disk["config"]["id"]["id"] for disk in listed if disk["config"]["name"].startswith(f"orphan-{number}-")]


def _no_orphans(sim: Any, number: int) -> None:
    assert not _of_orphans(sim, number)


def _node_template(sim: Any, number: int) -> None:
    assert sim.govc("find", "/DC0/vm/DC0_F0", "-type", "m", "-name", f"node-{number}*")
    assert sim.open_leases() == 0


# A role whose main flow asks no vCenter: it writes manifests.
WITHOUT_CALLS = {"capv_cluster"}

ROLES = {
    "guest_cloud_init": Story(
        lambda _sim, number, _folder: {
            "source": {"path": f"/DC0/vm/src-{number}"},
            "snapshot": {"name": "ready"},
            "folder": "DC0_F0",
            "gateway": "192.0.2.1",
            "dns_servers": ["192.0.2.2"],
            "user": "admin",
            "ssh_authorized_keys": ["ssh-ed25519 AAAAnobody admin"],
            "guests": [{"name": f"web{number}-0{item}", "address": f"192.0.2.1{item}/24"} for item in (1, 2)],
        },
        flags=("--vms", "2", "--clone-time", "1ms"),
        prepare=_to_be_cloned,
        check=_fleet_there,
    ),
    "evc_baseline": Story(
        # Each attempt finds the mode of the one before.
        lambda _sim, number, _folder: {
            "cluster": "DC0_C0",
            "mode": ("intel-haswell", "intel-ivybridge")[number % 2],
            "apply": True,
        },
        flags=("--vms", "0", "--parents", "0"),
    ),
    "fcd_audit": Story(
        lambda sim, number, _folder: {
            "datastores": ["LocalDS_0"],
            "delete_disks": [{"id": disk, "datastore": "LocalDS_0"} for disk in _of_orphans(sim, number)],
        },
        flags=("--vms", "2"),
        prepare=_orphans,
        check=_no_orphans,
    ),
    "capv_node_template": Story(
        lambda _sim, number, folder: {
            "name": f"node-{number}",
            "source": str(folder / "ova" / "tiny.ova"),
            "datacenter": "DC0",
            "folder": "/DC0/vm/DC0_F0",
            "cluster": "DC0_C0",
            "datastore": "LocalDS_0",
            "networks": {"front": "VM Network"},
        },
        flags=("--vms", "2", "--clone-time", "1ms", "--lease-timeout", "10s"),
        check=_node_template,
        imports=True,
    ),
    "cbt_backup": Story(
        lambda _sim, number, folder: {
            "vms": [{"name": f"src-{number}"}],
            "repository": str(folder / "repository"),
            "transport": "export",
            "keep_last": 2,
            "verify": True,
        },
        flags=("--vms", "2", "--lease-timeout", "10s"),
        prepare=_to_be_backed_up,
        check=_no_snapshot,
        files=True,
        imports=True,
        images=True,
        repeats=True,
    ),
    "vm_restore": Story(
        lambda _sim, number, folder: {
            **_of_backups(number, folder),
            "vm": f"src-{number}",
            "name": f"new-{number}",
            "default_network": "VM Network",
        },
        flags=("--vms", "2", "--clone-time", "1ms", "--lease-timeout", "10s"),
        prepare=_backed_up,
        check=_restored,
        files=True,
        imports=True,
        images=True,
    ),
    "restore_drill": Story(
        lambda sim, number, folder: {
            **_of_backups(number, folder),
            "vms": [f"src-{number}"],
            "network": "VM Network",
            "guest_username": sim.guest_username,
            "guest_password": sim.guest_password,
            "command": ["/bin/true"],
        },
        flags=("--vms", "2", "--clone-time", "1ms", "--lease-timeout", "10s"),
        prepare=_backed_up,
        check=_no_drill,
        files=True,
        imports=True,
        images=True,
        repeats=True,
    ),
    "instant_clone_fleet": Story(_fleet, flags=("--vms", "2", "--clone-time", "1ms"), prepare=_golden, check=_fleet_there),
    "vmfork_fleet": Story(
        _fleet,
        flags=("--vms", "2", "--clone-time", "1ms", "--api-version", "6.5"),
        prepare=_golden,
        check=_fleet_there,
    ),
    "ovf_linked_clones": Story(
        lambda _sim, number, folder: {
            "template": f"tpl-{number}",
            "source": str(folder / "ova" / "tiny.ova"),
            "datacenter": "DC0",
            "cluster": "DC0_C0",
            "default_network": "VM Network",
            "folder": "DC0_F0",
            "clones": [{"name": f"web{number}-0{item}", "guestinfo": {"role": "web"}} for item in (1, 2)],
        },
        flags=("--vms", "2", "--clone-time", "1ms", "--lease-timeout", "10s"),
        check=_fleet_there,
        imports=True,
    ),
    "vm_clone_backup": Story(
        lambda _sim, number, _folder: {
            "vms": [{"name": f"src-{number}"}],
            "folder": "/DC0/vm/DC0_F0",
            "datacenter": "DC0",
            "fresh_hours": 12,
            "keep_last": 2,
        },
        flags=("--vms", "2", "--clone-time", "1ms"),
        prepare=_source,
        check=_no_snapshot,
    ),
    "changed_areas_report": Story(
        lambda _sim, number, folder: {
            "vms": [{"name": f"src-{number}"}],
            "state_file": str(folder / f"state-{number}.json"),
            "path": str(folder / f"report-{number}.html"),
        },
        flags=("--vms", "2"),
        prepare=_source,
        check=_no_snapshot,
        repeats=True,
    ),
    "vmdk_migrate": Story(
        lambda _sim, number, folder: {
            "vm": {"name": f"src-{number}"},
            "file": str(folder / f"disk-{number}.vmdk"),
            "datastore_path": f"[LocalDS_0] migrated-{number}/disk.vmdk",
            "name": f"new-{number}",
            "remove_source": True,
        },
        flags=("--vms", "2", "--clone-time", "1ms", "--lease-timeout", "10s"),
        prepare=_off_with_disk,
        check=_migrated,
        images=True,
        imports=True,
        # Between the making of the new VM and the removal of the source both are there.
        resumes=True,
    ),
}
