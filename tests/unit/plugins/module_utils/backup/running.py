# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run tasks of vm_backup against a simulator whose snapshots nbdkit serves."""

from __future__ import annotations

import contextlib
import os
import subprocess
import typing as t
from pathlib import Path

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import disk as disks
from ansible_collections.vforge.vsphere.plugins.module_utils._backup import task
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.options import BackupOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.repository import Repository
from ansible_collections.vforge.vsphere.plugins.modules.vm_backup import argument_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.support import nothing, soon
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.running import Areas
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Ran, Work

# Serves the disk of a snapshot as the simulator has it. One starts for each disk of each backup, and Python's modules for HTTP
# would take most of its time.
_PLUGIN = """\
import json
import socket

import nbdkit

API_VERSION = 2
url = None

def config(key, value):
    global url
    url = value

def thread_model():
    return nbdkit.THREAD_MODEL_PARALLEL

def ask(address):
    place, _slash, path = address.removeprefix("http://").partition("/")
    host, port = place.split(":")
    with socket.create_connection((host, int(port))) as connection, connection.makefile("rb") as answer:
        connection.sendall(f"GET /{path} HTTP/1.0\\r\\n\\r\\n".encode())
        status = answer.readline().decode()
        while answer.readline().strip():
            pass  # headers
        body = answer.read()
    if status.split()[1] != "200":
        raise OSError(f"{address}: {status}{body.decode()}")
    return body

def open(readonly):
    return json.loads(ask(url.replace("/bytes", "", 1)))["bytes"]

def get_size(size):
    return size

def pread(size, buffer, offset, flags):
    buffer[:] = ask(f"{url}&offset={offset}&length={len(buffer)}")
"""


class BackupTasks(Areas):
    """Runs tasks against one simulator; the VM is web-1 unless others are given."""

    module = "vm_backup"

    def __init__(self, sim: t.Any, folder: Path) -> None:
        super().__init__(sim)
        self.folder = folder
        self.repository = folder / "repository"
        self.repository.mkdir(mode=0o700)
        self._plugin = folder / "served.py"
        self._plugin.write_text(_PLUGIN, encoding="utf-8")

    def options(self, **given: t.Any) -> BackupOptions:
        """Typed options of a task."""
        vm = {} if "vms" in given else {"vm": {"name": "web-1"}}
        url = f"{self.sim.control}/vms/{{vm}}/disks/{{key}}/bytes?snapshot={{snapshot}}"
        nbd = {"command": ["nbdkit", "--foreground", "python", str(self._plugin), f"url={url}"]}
        default = {"repository": str(self.repository), "nbd": nbd, "transport": "nbd", "streams": 2}
        return BackupOptions.from_params(accepted(argument_spec(), {**vm, **default, **given}))

    def work(self, given: dict[str, t.Any], check: bool) -> Work:
        """A task of vm_backup."""
        asked = self.options(**given)
        return lambda session: task.run(session, asked, check=check)

    def attempt(self, *, check: bool = False, **given: t.Any) -> Ran:
        """Run one task that may fail."""
        return self.ran(self.work(given, check))

    def points(self, name: str = "web-1") -> list[t.Any]:
        """The points of a VM."""
        return Repository(str(self.repository)).read(self.vm(name).config.instanceUuid).points

    def restored(self, number: int, name: str = "web-1", key: int = 2000) -> bytes:
        """What a disk of a point restores to."""
        repository = Repository(str(self.repository))
        with repository.locked(self.vm(name).config.instanceUuid, soon(), nothing) as machine:
            point = machine.points[number]
            target = self.folder / "restored.raw"
            disks.restore(machine, point, point.disk(key), str(target), "raw", soon())
        return target.read_bytes()

    def made_whole(self, contents: t.Sequence[bytes], name: str = "web-1") -> int:
        """How many points there are, each of which verifies; the first ones restore to these contents."""
        repository = Repository(str(self.repository))
        with repository.locked(self.vm(name).config.instanceUuid, soon(), nothing) as machine:
            points = machine.points
            for point in points:
                for disk in point.disks:
                    disks.verify(machine, point, disk, soon())
        assert [self.restored(number) for number in range(len(contents))] == list(contents)
        return len(points)

    def left(self) -> list[str]:
        """What is in the repository and belongs to no point."""
        known = (path.name for path in self.repository.glob("vm-*/points/*"))
        return [name for name in known if name.startswith(".")]

    def govc(self, *words: str) -> None:
        """Run a command of govc that has no JSON."""
        environment = {**os.environ, **self.sim.govc_environment()}
        subprocess.run([self.sim.govc_binary, *words], env=environment, check=True, capture_output=True)

    def content(self, name: str = "web-1", key: int = 2000) -> bytes:
        """What a disk has now."""
        return self.sim.read_disk(name, key)


@contextlib.contextmanager
def tasks(sim: t.Any, folder: Path) -> t.Iterator[BackupTasks]:
    """The same, with its connection ended at the end."""
    with contextlib.closing(BackupTasks(sim, folder)) as known:
        yield known
