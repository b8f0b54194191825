# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules of community.vmware and vmware.vmware that do what ours do, looked at with govc."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import Govc, only

from vforge_ova import Package
from vforge_sim import Simulator

_PATIENCE = 600.0
_VM = "golden-parent"

Task = dict[str, Any]


class Player:
    """Plays tasks of other collections, with certificates verified."""

    def __init__(self, sim: Simulator, folder: Path) -> None:
        self._folder, self._peer = folder, Path(os.environ["VFORGE_PEER"])
        self._connection = {
            "hostname": sim.host,
            "port": sim.port,
            "username": sim.username,
            "password": sim.password,
            "validate_certs": True,
        }
        self._environment = {
            **os.environ,
            "HOME": str(folder),
            "ANSIBLE_HOME": str(folder / "ansible"),
            "ANSIBLE_COLLECTIONS_PATH": str(self._peer / "collections"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_NOCOLOR": "1",
            # The one file of authorities that Python's ssl and requests look at.
            "SSL_CERT_FILE": sim.ca,
            "REQUESTS_CA_BUNDLE": sim.ca,
        }

    def __call__(self, module: str, **options: Any) -> Task:
        """Run one module, which has to succeed; returns its result."""
        task = {module: {**self._connection, **options}, "register": "result"}
        keep = {
            "ansible.builtin.copy": {
                "content": "{{ result | to_json }}",
                "dest": str(self._folder / "result.json"),
                "mode": "0600",
            }
        }
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": str(self._peer / "venv" / "bin" / "python")},
            "tasks": [task, keep],
        }
        (self._folder / "play.json").write_text(json.dumps([play]), encoding="utf-8")
        done = subprocess.run(
            [self._peer / "venv" / "bin" / "ansible-playbook", "play.json"],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{module}: {done.stdout}{done.stderr}"
        result: Task = json.loads((self._folder / "result.json").read_text(encoding="utf-8"))
        return result

    def twice(self, module: str, **options: Any) -> Task:
        """Run it twice: it changes something, and then nothing. Returns the first result."""
        first = self(module, **options)
        assert first["changed"], first
        assert not self(module, **options)["changed"]
        return first


@pytest.fixture
def play(sim: Simulator, tmp_path: Path) -> Player:
    """Plays against the test's vCenter."""
    return Player(sim, tmp_path)


def _vm(govc: Govc, name: str) -> dict[str, Any]:
    found: dict[str, Any] = only(json.loads(govc("vm.info", "-json", "-e", name))["virtualMachines"])
    return found


def test_a_clone(play: Player, govc: Govc) -> None:
    # The module holds the hardware that is asked for against what a running source could be given.
    govc("vm.power", "-off", _VM)
    play.twice(
        "community.vmware.vmware_guest",
        name="web-1",
        template=_VM,
        datacenter="DC0",
        cluster="DC0_C0",
        datastore="LocalDS_0",
        folder="/DC0/vm/DC0_F0",
        state="poweredon",
        hardware={"num_cpus": 2, "memory_mb": 1024},
        advanced_settings=[{"key": "guestinfo.role", "value": "web"}],
        wait_for_ip_address=True,
    )
    made = _vm(govc, "web-1")
    assert (made["config"]["hardware"]["numCPU"], made["runtime"]["powerState"]) == (2, "poweredOn")
    play.twice("community.vmware.vmware_guest", name="web-1", datacenter="DC0", state="absent", force=True)
    govc.refused("vm.power", "-on", "web-1")


def test_a_linked_clone(play: Player, govc: Govc) -> None:
    govc("snapshot.create", "-vm", _VM, "base")
    play(
        "community.vmware.vmware_guest",
        name="linked-1",
        template=_VM,
        datacenter="DC0",
        cluster="DC0_C0",
        folder="/DC0/vm/DC0_F0",
        linked_clone=True,
        snapshot_src="base",
        state="present",
    )
    disk = only([each for each in _vm(govc, "linked-1")["config"]["hardware"]["device"] if "capacityInBytes" in each])
    assert disk["backing"]["parent"]["fileName"].startswith(f"[LocalDS_0] {_VM}/")


def test_an_instant_clone(play: Player, govc: Govc) -> None:
    play.twice(
        "community.vmware.vmware_guest_instant_clone",
        name="fast-1",
        parent_vm=_VM,
        datacenter="DC0",
        host="DC0_C0_H0",
        datastore="LocalDS_0",
        folder="DC0_F0",
        resource_pool="DC0_C0_RP1",
    )
    assert _vm(govc, "fast-1")["runtime"]["powerState"] == "poweredOn"


def test_a_template_in_a_folder(play: Player, govc: Govc) -> None:
    govc("vm.power", "-off", _VM)
    play.twice(
        "vmware.vmware.folder_template_from_vm",
        vm_name=_VM,
        template_name="image",
        template_folder="/DC0/vm/DC0_F0",
        datacenter="DC0",
    )
    assert _vm(govc, "image")["config"]["template"] is True
    play.twice(
        "vmware.vmware.deploy_folder_template",
        vm_name="of-image",
        vm_folder="/DC0/vm/DC0_F0",
        template_name="image",
        template_folder="/DC0/vm/DC0_F0",
        datacenter="DC0",
        cluster="DC0_C0",
        datastore="LocalDS_0",
    )
    assert _vm(govc, "of-image")["config"]["template"] is False


def test_an_ovf_package(play: Player, govc: Govc, package: Package) -> None:
    play.twice(
        "community.vmware.vmware_deploy_ovf",
        name="deployed",
        ovf=str(package.ova),
        datacenter="DC0",
        cluster="DC0_C0",
        datastore="LocalDS_0",
        folder="/DC0/vm/DC0_F0",
        power_on=False,
        # It does not know the thumbprint that a lease has of the host, whose certificate is self-signed.
        validate_certs=False,
    )
    assert govc("device.ls", "-vm", "deployed").count("disk-") == 2


def test_an_export(play: Player, sim: Simulator, tmp_path: Path) -> None:
    sim.create_vm("src", on=False, disks=[{"bytes": 2**21}])
    result = play("community.vmware.vmware_export_ovf", name="src", datacenter="DC0", export_dir=str(tmp_path / "out"))
    assert result["changed"]
    assert sorted(path.suffix for path in (tmp_path / "out" / "src").iterdir()) == [".mf", ".ovf", ".vmdk"]
    assert sim.open_leases() == 0


@pytest.mark.parametrize("module", ["community.vmware.vmware_guest_snapshot", "vmware.vmware.vm_snapshot"])
def test_snapshots(play: Player, govc: Govc, module: str) -> None:
    named = {"name": _VM, "datacenter": "DC0", "folder": "/DC0/vm", "snapshot_name": "before"}
    play.twice(module, **named, state="present", description="first")
    assert govc("snapshot.tree", "-C", "-vm", _VM) == "before"
    play.twice(module, **named, state="absent")
    assert govc("snapshot.tree", "-vm", _VM) == ""


def test_power(play: Player, govc: Govc) -> None:
    play.twice("vmware.vmware.vm_powerstate", name=_VM, datacenter="DC0", state="powered-off", force=True)
    assert _vm(govc, _VM)["runtime"]["powerState"] == "poweredOff"
    play.twice("vmware.vmware.vm_powerstate", name=_VM, datacenter="DC0", state="powered-on")


def test_tools(play: Player, sim: Simulator, govc: Govc) -> None:
    waited = play("community.vmware.vmware_guest_tools_wait", name=_VM, datacenter="DC0", folder="/DC0/vm", timeout=120)
    assert waited["instance"]["guest_tools_status"] == "guestToolsRunning"
    inside = {"vm_id": _VM, "vm_username": sim.guest_username, "vm_password": sim.guest_password, "datacenter": "DC0"}
    play("community.vmware.vmware_vm_shell", **inside, vm_shell="/bin/touch", vm_shell_args="/tmp/made", wait_for_process=True)
    assert sim.guest_file(_VM, "/tmp/made") == ""
    play(
        "community.vmware.vmware_guest_file_operation",
        **inside,
        directory={"path": "/tmp/folder", "operation": "create", "recurse": False},
    )
    govc("guest.ls", "-vm", _VM, "/tmp/folder")


def test_what_is_reported_of_a_vm(play: Player) -> None:
    disks = play("community.vmware.vmware_guest_disk_info", name=_VM, datacenter="DC0", folder="/DC0/vm")
    assert only(list(disks["guest_disk_info"].values()))["backing_filename"].startswith("[LocalDS_0]")


def test_evc_of_a_cluster(play: Player, govc: Govc) -> None:
    # VMs that run with more than the mode has stand in its way.
    govc("vm.power", "-off", "-force", _VM, "server-00001", "server-00002")
    mode = {"datacenter_name": "DC0", "cluster_name": "DC0_C0", "evc_mode": "intel-ivybridge"}
    play.twice("community.vmware.vmware_evc_mode", **mode, state="present")
    assert govc("collect", "-s", "host/DC0_C0", "summary.currentEVCModeKey") == "intel-ivybridge"
    play.twice("community.vmware.vmware_evc_mode", **mode, state="absent")
