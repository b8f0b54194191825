# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run exports against a simulator, and look at what they wrote with tools that are not ours."""

from __future__ import annotations

import pathlib
import subprocess
import typing as t
import uuid

from ansible_collections.vforge.vsphere.plugins.module_utils._export import task
from ansible_collections.vforge.vsphere.plugins.module_utils._export.model import ExportOptions
from ansible_collections.vforge.vsphere.plugins.modules.vm_export import argument_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Ran, Runner, Work

MIB = 2**20


class Exports(Runner):
    """Runs exports into one folder."""

    module = "vm_export"

    def __init__(self, sim: t.Any, dest: pathlib.Path) -> None:
        super().__init__(sim)
        self.dest = dest

    def work(self, given: dict[str, t.Any], check: bool) -> Work:
        """An export; ``vm`` may be a name."""
        named = {"vm": {"name": given.pop("vm")}} if isinstance(given.get("vm"), str) else {}
        params = accepted(argument_spec(), {"dest": str(self.dest), **given, **named})
        options = ExportOptions.from_params(params)
        return lambda session: task.run(session, options, check=check)

    def vm(self, *, on: bool = False, data: int = 3, **options: t.Any) -> str:
        """A new VM with some MiB of data on its first disk; its name."""
        name = f"out-{uuid.uuid4().hex[:8]}"
        self.sim.create_vm(name, on=True, **options)
        self.write(name, data)
        if not on:
            self.sim.govc("vm.power", "-off", name)
        return name

    def write(self, name: str, data: int, at: int = 0) -> None:
        """Write to its first disk as its guest does."""
        self.sim.write_disk(name, offset=at, length=data * MIB)

    def snapshots(self, name: str) -> list[str]:
        """The names of its snapshots."""
        due, found = list(self.sim.govc("snapshot.tree", "-vm", name) or ()), []
        while due:
            node = due.pop()
            found.append(node["name"])
            due.extend(node["childSnapshotList"] or ())
        return sorted(found)

    def files(self, package: str) -> list[str]:
        """What is in the folder of a package."""
        return sorted(file.name for file in (self.dest / package).iterdir())


def one(ran: Ran) -> dict[str, t.Any]:
    """The entry of the only VM."""
    assert len(ran.vms) == 1
    return ran.vms[0]


def sums(folder: pathlib.Path, manifest: str) -> str:
    """What sha256sum says of the files of a manifest."""
    lines = (folder / manifest).read_text(encoding="utf-8").splitlines()
    listing = "".join(f"{digest}  {name[7:-1]}\n" for name, digest in (line.split("= ") for line in lines))
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict"], input=listing, text=True, cwd=folder, capture_output=True, check=True
    )
    return checked.stdout
