# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""govc's commands for VMs: clones, instant clones, snapshots, power, devices."""

from __future__ import annotations

import json
from typing import Any

from conftest import Govc, only

_VM = "golden-parent"
_PLACE = ("-pool", "DC0_C0/Resources", "-ds", "LocalDS_0")


def _info(govc: Govc, name: str) -> dict[str, Any]:
    found: dict[str, Any] = only(json.loads(govc("vm.info", "-json", "-e", name))["virtualMachines"])
    return found


def _extra(vm: dict[str, Any]) -> dict[str, str]:
    return {pair["key"]: pair["value"] for pair in vm["config"].get("extraConfig", ())}


def test_clone(govc: Govc) -> None:
    govc("vm.clone", "-vm", _VM, "-c", "3", "-m", "2048", "-annotation", "made by govc", "-waitip", *_PLACE, "web-1")
    made = _info(govc, "web-1")
    assert (made["config"]["hardware"]["numCPU"], made["config"]["hardware"]["memoryMB"]) == (3, 2048)
    assert (made["config"]["annotation"], made["runtime"]["powerState"]) == ("made by govc", "poweredOn")
    assert made["config"]["uuid"] != _info(govc, _VM)["config"]["uuid"]
    assert govc("vm.ip", "web-1")
    assert "already exists" in govc.refused("vm.clone", "-vm", _VM, *_PLACE, "web-1")
    assert "not found" in govc.refused("vm.clone", "-vm", "nobody", *_PLACE, "web-2")


def test_clone_of_a_snapshot_shares_its_disks(govc: Govc) -> None:
    govc("snapshot.create", "-vm", _VM, "base")
    govc("vm.clone", "-vm", _VM, "-on=false", "-link", "-snapshot", "base", *_PLACE, "linked-1")
    disk = only([device for device in _info(govc, "linked-1")["config"]["hardware"]["device"] if "capacityInBytes" in device])
    assert disk["backing"]["parent"]["fileName"].startswith(f"[LocalDS_0] {_VM}/")
    govc.refused("vm.clone", "-vm", _VM, "-on=false", "-link", "-snapshot", "nothing", *_PLACE, "linked-2")
    govc("vm.destroy", "linked-1")
    govc("snapshot.remove", "-vm", _VM, "base")


def test_template(govc: Govc) -> None:
    govc("vm.clone", "-vm", _VM, "-on=false", "-template", "-folder", "DC0_F0", *_PLACE, "image")
    assert _info(govc, "image")["config"]["template"] is True
    assert "virtualMachines" in govc("vm.info", "-json", "image")
    govc.refused("vm.power", "-on", "image")
    govc("vm.clone", "-vm", "image", "-on=false", *_PLACE, "of-image")
    govc("vm.markasvm", "-pool", "DC0_C0/Resources", "image")
    assert _info(govc, "image")["config"]["template"] is False
    govc("vm.markastemplate", "image")
    assert _info(govc, "image")["config"]["template"] is True
    govc("vm.destroy", "image", "of-image")
    govc.refused("vm.markastemplate", _VM)


def test_instant_clone(govc: Govc) -> None:
    govc("vm.instantclone", "-vm", _VM, "-e", "guestinfo.role=web", "-folder", "DC0_F0", *_PLACE, "fast-1")
    made = _info(govc, "fast-1")
    assert made["runtime"]["powerState"] == "poweredOn"
    assert _extra(made)["guestinfo.role"] == "web"
    assert made["runtime"]["host"] == _info(govc, _VM)["runtime"]["host"]
    assert "already exists" in govc.refused("vm.instantclone", "-vm", _VM, "-folder", "DC0_F0", *_PLACE, "fast-1")
    govc("vm.power", "-off", _VM)
    assert "state" in govc.refused("vm.instantclone", "-vm", _VM, *_PLACE, "fast-2")


def test_snapshots(govc: Govc) -> None:
    assert govc("snapshot.tree", "-vm", _VM) == ""
    govc("snapshot.remove", "-vm", _VM, "*")
    govc.refused("snapshot.revert", "-vm", _VM)

    for name in ("root", "child", "grand", "child"):
        govc("snapshot.create", "-vm", _VM, name)
    assert "root/child/grand/child" in govc("snapshot.tree", "-vm", _VM, "-f")
    govc.refused("snapshot.revert", "-vm", _VM, "nothing")
    govc("snapshot.revert", "-vm", _VM, "root")
    assert govc("snapshot.tree", "-C", "-vm", _VM) == "root"
    govc("snapshot.create", "-vm", _VM, "child")

    govc.refused("snapshot.remove", "-vm", _VM, "child")
    govc.refused("snapshot.remove", "-vm", _VM, "root/child")
    govc("snapshot.remove", "-vm", _VM, "root/child/grand/child")
    govc("snapshot.revert", "-vm", _VM, "grand")
    govc("snapshot.remove", "-vm", _VM, "grand")
    tree = govc("snapshot.tree", "-vm", _VM, "-f", "-i").splitlines()
    assert len([line for line in tree if line.endswith("root/child")]) == 2
    identity = next(line for line in tree if line.endswith("root/child")).split()[0].strip("[]")
    govc("snapshot.remove", "-vm", _VM, identity)
    govc("snapshot.remove", "-vm", _VM, "-r", "root")
    assert govc("snapshot.tree", "-vm", _VM) == ""


def test_power(govc: Govc) -> None:
    assert "current state (Powered on)" in govc.refused("vm.power", "-on", _VM)
    govc("vm.power", "-reset", _VM)
    govc("vm.power", "-suspend", _VM)
    assert _info(govc, _VM)["runtime"]["powerState"] == "suspended"
    govc("vm.power", "-on", _VM)
    govc("vm.ip", _VM)
    govc("vm.power", "-r", _VM)
    govc("collect", "-wait", "60s", f"vm/{_VM}", "-guest.toolsRunningStatus", "guestToolsRunning")
    govc("vm.power", "-s", _VM)
    govc("collect", "-wait", "60s", f"vm/{_VM}", "-runtime.powerState", "poweredOff")
    govc.refused("vm.power", "-reset", _VM)


def test_settings(govc: Govc) -> None:
    govc("vm.power", "-off", _VM)
    govc(
        "vm.change",
        "-vm",
        _VM,
        "-c",
        "4",
        "-m",
        "4096",
        "-e",
        "guestinfo.a=b",
        "-annotation",
        "changed",
        "-nested-hv-enabled=true",
    )
    changed = _info(govc, _VM)
    assert (changed["config"]["hardware"]["numCPU"], changed["config"]["hardware"]["memoryMB"]) == (4, 4096)
    assert _extra(changed)["guestinfo.a"] == "b"
    govc("vm.change", "-vm", _VM, "-e", "guestinfo.a=")
    assert "guestinfo.a" not in _extra(_info(govc, _VM))
    govc("object.rename", f"vm/{_VM}", "renamed")
    assert _info(govc, "renamed")["config"]["annotation"] == "changed"


def test_disks_of_a_vm(govc: Govc) -> None:
    govc("vm.disk.create", "-vm", _VM, "-ds", "LocalDS_0", "-name", "data/extra", "-size", "64M")
    govc("vm.disk.change", "-vm", _VM, "-disk.filePath", "[LocalDS_0] data/extra.vmdk", "-size", "128M")
    disks = [line for line in govc("device.ls", "-vm", _VM).splitlines() if line.startswith("disk-")]
    assert len(disks) == 2
    added = disks[-1].split()[0]
    assert "131,072 KB" in govc("device.info", "-vm", _VM, added)
    govc("device.remove", "-vm", _VM, "-keep", added)
    govc("vm.disk.attach", "-vm", _VM, "-ds", "LocalDS_0", "-disk", "data/extra.vmdk", "-link=false")
    govc("device.remove", "-vm", _VM, added)
    govc.refused("datastore.ls", "-ds", "LocalDS_0", "data/extra.vmdk")


def test_out_of_the_inventory_and_back(govc: Govc) -> None:
    govc("vm.power", "-off", _VM)
    path = _info(govc, _VM)["config"]["files"]["vmPathName"].split()[-1]
    govc("vm.unregister", _VM)
    govc.refused("vm.power", "-on", _VM)
    govc("vm.register", "-ds", "LocalDS_0", "-pool", "DC0_C0/Resources", path)
    govc("vm.power", "-on", _VM)
    assert _info(govc, _VM)["runtime"]["powerState"] == "poweredOn"


def test_migration(govc: Govc) -> None:
    hosts = {path.rpartition("/")[2] for path in govc("find", "/DC0/host/DC0_C0", "-type", "h").splitlines()}
    host = govc("collect", "-s", f"vm/{_VM}", "runtime.host").rpartition(":")[2]
    name = govc("collect", "-s", f"HostSystem:{host}", "name")
    other = next(iter(sorted(hosts - {name})))
    govc("vm.migrate", "-host", other, _VM)
    assert govc("collect", "-s", f"vm/{_VM}", "runtime.host").rpartition(":")[2] != host
