# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Back VMs up, restore into them, and look at the result from outside."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import typing as t
from pathlib import Path

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import restoring
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.restore_options import IntoOptions
from ansible_collections.vforge.vsphere.plugins.modules.vm_restore import argument_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.running import BackupTasks
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Ran, succeeded

MIB = 2**20


class Restores(BackupTasks):
    """Runs backups and restores against one simulator; both are of web-1 unless others are given."""

    def into_options(self, **given: t.Any) -> IntoOptions:
        """Typed options of a restore."""
        default = {"repository": str(self.repository), "vm": "web-1", "into": {"name": "web-1"}}
        return IntoOptions.from_params(accepted(argument_spec(), {**default, **given}))

    def try_restore(self, *, check: bool = False, **given: t.Any) -> Ran:
        """Run one restore that may fail."""
        asked = self.into_options(**given)
        return self.ran(lambda session: restoring.run(session, asked, check=check))

    def restore(self, *, check: bool = False, **given: t.Any) -> Ran:
        """Run one restore that must succeed."""
        return succeeded(self.try_restore(check=check, **given))

    def killed_at(self, method: str, nth: int, **given: t.Any) -> bool:
        """Run one restore in a process of its own that is killed (SIGKILL) when it makes a call.

        Returns whether it came to that call.
        """
        fork = multiprocessing.get_context("fork")
        go = fork.Event()

        def work() -> None:
            go.wait()
            self.counting = False
            self.restore(**given)

        process = fork.Process(target=work)
        process.start()
        rule = self.sim.inject(method=method, nth=nth, do="signal", signal="KILL", pid=process.pid)
        go.set()
        process.join(300)
        assert not process.is_alive()
        self.sim.clear(rule)
        self.sim.forget_leases()
        return process.exitcode == -signal.SIGKILL

    def off(self, name: str = "web-1") -> None:
        """Power a VM off."""
        self.sim.govc("vm.power", "-off", "-force", name)

    def on(self, name: str = "web-1") -> None:
        """Power a VM on."""
        self.sim.govc("vm.power", "-on", name)

    def write(self, offset: int, length: int = MIB, *, seed: int, name: str = "web-1", key: int = 2000) -> None:
        """The guest writes."""
        self.sim.write_disk(name, key, offset=offset, length=length, seed=seed)

    def file(self, name: str = "web-1", key: int = 2000) -> str:
        """The path of a disk of a VM."""
        (disk,) = [device for device in self.vm(name).config.hardware.device if device.key == key]
        return str(disk.backing.fileName)

    def state(self, name: str = "web-1") -> str:
        """Whether a VM is on."""
        return str(self.vm(name).runtime.powerState)

    def orphans(self) -> list[str]:
        """Files of disks that belong to no VM."""
        return [file for file in self.sim.request("GET", "/orphans")["files"] if file.endswith(".vmdk")]

    def carriers(self) -> t.Any:
        """The VMs of imports that are there."""
        return self.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")

    def assert_nothing_is_left(self) -> None:
        """No disk without a VM, no VM of an import, no open lease, no record, nothing made ready."""
        assert self.orphans() == []
        assert not self.carriers()
        assert self.sim.open_leases() == 0
        assert [path.name for path in self.repository.rglob("*restore-*")] == []


@contextlib.contextmanager
def restores(sim: t.Any, folder: Path) -> t.Iterator[Restores]:
    """The same, with its connection ended at the end."""
    with contextlib.closing(Restores(sim, folder)) as known:
        yield known
