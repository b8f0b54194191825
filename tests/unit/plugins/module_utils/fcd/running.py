# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run tasks about first class disks against a simulator, and look at it from outside."""

from __future__ import annotations

import os
import pathlib
import subprocess
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._fcd import info, snapshots, task
from ansible_collections.vforge.vsphere.plugins.module_utils._fcd.model import (
    DiskOptions,
    InfoOptions,
    SnapshotOptions,
)
from ansible_collections.vforge.vsphere.plugins.modules import (
    first_class_disk,
    first_class_disk_info,
    first_class_disk_snapshot,
)
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import (
    Ran,
    Runner,
    Work,
    succeeded,
)

STORE = "LocalDS_0"


class Disks(Runner):
    """Runs tasks against one simulator; the datastore is LocalDS_0 unless another is given."""

    module = "first_class_disk"

    def work(self, given: dict[str, t.Any], check: bool) -> Work:
        """A task of first_class_disk."""
        params = accepted(first_class_disk.argument_spec(), {"datastore": STORE, **given})
        options = DiskOptions.from_params(params)
        return lambda session: task.run(session, options, check=check)

    def one(self, *, check: bool = False, **disk: t.Any) -> Ran:
        """Run a task about one disk that must succeed."""
        return self.run(check=check, disks=[disk])

    def attempt_snapshots(self, *asked: dict[str, t.Any], check: bool = False) -> Ran:
        """Run a task of first_class_disk_snapshot that may fail."""
        given = {"datastore": STORE, "snapshots": list(asked)}
        options = SnapshotOptions.from_params(accepted(first_class_disk_snapshot.argument_spec(), given))
        ran = self.ran(lambda session: snapshots.run(session, options, check=check))
        return self.documented(ran, "first_class_disk_snapshot")

    def snapshots(self, *snapshots: dict[str, t.Any], check: bool = False) -> Ran:
        """Run a task of first_class_disk_snapshot that must succeed."""
        return succeeded(self.attempt_snapshots(*snapshots, check=check))

    def info(self, **given: t.Any) -> Ran:
        """Run a task of first_class_disk_info that must succeed."""
        return succeeded(self.attempt_info(**given))

    def attempt_info(self, **given: t.Any) -> Ran:
        """Run a task of first_class_disk_info that may fail."""
        options = InfoOptions.from_params(accepted(first_class_disk_info.argument_spec(), given))
        return self.documented(self.ran(lambda session: info.run(session, options)), "first_class_disk_info")

    # From outside

    def seen(self, disk: str) -> dict[str, t.Any]:
        """A disk as the simulator has it."""
        return self.sim.request("GET", f"/fcds/{disk}")

    def write(self, disk: str, offset: int, length: int = 512) -> None:
        """Write to a disk that no VM has."""
        self.sim.request("POST", f"/fcds/{disk}/writes", {"offset": offset, "length": length, "seed": 1})

    def written(self, disk: str) -> list[list[int]]:
        """Which areas of a disk were ever written."""
        return self.seen(disk)["written"]

    def many(self, count: int, **more: t.Any) -> list[str]:
        """Make disks directly; their IDs."""
        body = {"datastore": STORE, "count": count, **more}
        return self.sim.request("POST", "/fcds", body)["ids"]

    def govc(self, *words: str) -> str:
        """Run an unmodified govc; what it prints."""
        environment = {**os.environ, **self.sim.govc_environment()}
        command = [self.sim.govc_binary, *words]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    def lose_files(self, disk: str) -> None:
        """Remove the files of a disk, as somebody does on a host."""
        for layer in self.seen(disk)["layers"]:
            extent = pathlib.Path(layer["extent"])
            extent.unlink(missing_ok=True)
            name = layer["file"].rpartition("/")[2]
            extent.with_name(name).unlink()


def entry(ran: Ran) -> dict[str, t.Any]:
    """The entry of the only disk or snapshot."""
    entries = ran.result["disks"] if "disks" in ran.result else ran.result["snapshots"]
    assert len(entries) == 1
    return entries[0]


def actions(ran: Ran) -> list[str]:
    """What was done with the only disk or snapshot."""
    return entry(ran)["actions"]
