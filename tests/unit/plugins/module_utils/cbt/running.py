# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run tasks about changed areas against a simulator, and look at it by plain pyVmomi."""

from __future__ import annotations

import dataclasses
import ssl
import typing as t
import uuid

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim, vmodl

from ansible_collections.vforge.vsphere.plugins.module_utils._cbt import task
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.support import MIB, options
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Ran, Runner, Work


class Areas(Runner):
    """Runs tasks against one simulator; the VM is web-1 unless others are given."""

    module = "cbt_changed_areas"

    def __init__(self, sim: t.Any) -> None:
        super().__init__(sim)
        self._raw = SmartConnect(
            host=sim.host,
            port=sim.port,
            user=sim.username,
            pwd=sim.password,
            sslContext=ssl.create_default_context(cafile=sim.ca),
        )

    def log_in_with(self, privileges: t.Sequence[str]) -> None:
        """Run tasks as a user who has these privileges and no other; looking stays as it is."""
        name, password = f"user-{uuid.uuid4().hex[:8]}@vsphere.local", uuid.uuid4().hex
        self.sim.add_user(name, password, list(privileges))
        self.connection = dataclasses.replace(self.connection, username=name, password=password)

    def close(self) -> None:
        """End the connection for looking."""
        Disconnect(self._raw)

    def work(self, given: dict[str, t.Any], check: bool) -> Work:
        """A task of cbt_changed_areas."""
        asked = options(**given)
        return lambda session: task.run(session, asked, check=check)

    def night(self, **given: t.Any) -> Ran:
        """Ask, and commit the question, as a backup does that succeeded."""
        ran = self.run(**given)
        self.commit(ran, given["state_file"])
        return ran

    def commit(self, ran: Ran, state_file: str, *, check: bool = False, **given: t.Any) -> dict[str, t.Any]:
        """Commit the question of a task."""
        how = {"state": "committed", "question": ran.result["question"]["id"], "state_file": state_file}
        asked = options(vms=given.pop("vms", None), **how, **given)
        task.prepare(asked)
        return task.commit(asked, self.warnings.append, check=check)

    def attempt(self, *, check: bool = False, **given: t.Any) -> Ran:
        """Run one task that may fail."""
        return self.documented(self.ran(self.work(given, check), before=lambda: task.prepare(options(**given))))

    # Looking, and making what is looked at, by plain pyVmomi

    def vm(self, name: str) -> t.Any:
        """A VM by its name, or by its path below the VM folder."""
        return self._raw.content.searchIndex.FindByInventoryPath(f"DC0/vm/{name}")

    def make(
        self, name: str, disks: int = 1, size: int = 64 * MIB, *, on: bool = True, tracked: bool = True, **how: t.Any
    ) -> t.Any:
        """A VM with so many disks, tracked and counting unless that is not wanted."""
        self.sim.create_vm(name, on=False, disks=[{"bytes": size}] * disks, **how)
        vm = self.vm(name)
        if tracked:
            self._reconfigure(vm, changeTrackingEnabled=True)
        if tracked and not on:
            self.snapshot(name, "begin")
            finished(vm.RemoveAllSnapshots_Task())
        if on:
            finished(vm.PowerOnVM_Task())
        return vm

    def snapshot(self, name: str, called: str) -> t.Any:
        """A snapshot of the user's own."""
        return finished(self.vm(name).CreateSnapshot_Task(called, "mine", False, False))

    def snapshots(self, name: str) -> list[str]:
        """The names of the snapshots of a VM, every branch."""
        info, found = self.read(name, "snapshot"), []
        due = list(info.rootSnapshotList) if info else []
        while due:
            node = due.pop()
            found.append(node.name)
            due.extend(node.childSnapshotList)
        return sorted(found)

    def read(self, name: str, path: str) -> t.Any:
        """A property of a VM, None where it is unset."""
        collector = vmodl.query.PropertyCollector
        vm = self.vm(name)
        spec = collector.FilterSpec(
            objectSet=[collector.ObjectSpec(obj=vm)], propSet=[collector.PropertySpec(type=type(vm), pathSet=[path])]
        )
        found = self._raw.content.propertyCollector.RetrieveContents([spec])[0].propSet
        return found[0].val if found else None

    def change_ids(self, name: str) -> list[str | None]:
        """The changeIds of the disks of a VM."""
        devices = self.vm(name).config.hardware.device
        return [disk.backing.changeId for disk in devices if isinstance(disk, vim.vm.device.VirtualDisk)]

    def reconfigure(self, name: str, **spec: t.Any) -> None:
        """Change a VM."""
        self._reconfigure(self.vm(name), **spec)

    def add_4kn_disk(self, name: str) -> None:
        """Add a disk with sectors of 4096 bytes, which API 9.0 has."""
        device = vim.vm.device
        backing = device.VirtualDisk.FlatVer2BackingInfo(fileName="", diskMode="persistent", thinProvisioned=True)
        disk = device.VirtualDisk(
            key=-1, controllerKey=1000, unitNumber=1, capacityInKB=1024, backing=backing, virtualDiskFormat="native_4k"
        )
        self.reconfigure(name, deviceChange=[device.VirtualDeviceSpec(operation="add", fileOperation="create", device=disk)])

    @staticmethod
    def _reconfigure(vm: t.Any, **spec: t.Any) -> None:
        finished(vm.ReconfigVM_Task(vim.vm.ConfigSpec(**spec)))


def finished(task: t.Any) -> t.Any:
    """Wait for a task by plain pyVmomi, and return its result."""
    info = task.info
    while info.state in ("queued", "running"):
        info = task.info
    if info.error is not None:
        raise info.error
    return info.result
