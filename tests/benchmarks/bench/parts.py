# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of the benchmark, each of which can be measured by itself."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench import document, promises, scenes, tables
from bench.backups import Backups
from bench.document import CHART, section
from bench.documents import MANY as MANY_GUESTS
from bench.documents import Documents
from bench.environment import plot
from bench.figures import Sample
from bench.first_class import FirstClassDisks
from bench.inventory import MANY, Inventories
from bench.lookups import Lookups
from bench.processors import Processors
from bench.profiles import Profiles
from bench.report import Report
from bench.roles import Roles
from bench.scenes import Bench, Plan
from bench.starts import Starts
from bench.tools import Installed
from bench.uploads import Uploads
from bench.vmdks import Vmdks
from devtools.console import Console


@dataclass(frozen=True)
class Size:
    """How much is measured.

    plan: of clones, disks and packages. mib, at_once: size of a disk that is uploaded, and how many
    at once. lookups: VMs of the small and of the large inventory. inventories, peers: VMs, and where
    the plugins of other collections run, too. guests, before: VMs of the role, by this build and by
    the earlier one. profile: clones and VMs of the flame graphs. disks: first class disks that are listed.
    compared: VMs that are compared with hosts. in_roles: VMs of each role. tasks: in a play of many that have nothing to do.
    vmdk_mib: noise in a disk that is exported and imported.
    backup_mib: size of a disk that is backed up. turns, most: how often what is compared takes turns; at the most, where it
    scatters.
    """

    plan: Plan
    mib: int
    at_once: tuple[int, ...]
    inventories: tuple[int, ...]
    lookups: tuple[int, int]
    peers: tuple[int, ...]
    guests: tuple[int, ...]
    before: tuple[int, ...]
    profile: tuple[int, int]
    turns: int
    most: int
    disks: int = 10_000
    compared: int = 10_000
    in_roles: int = 1_000
    tasks: int = 10
    vmdk_mib: int = 1024
    backup_mib: int = 8192


DEFAULT = Size(
    plan=scenes.FULL,
    mib=512,
    at_once=(1, 2, 4),
    inventories=(1_000, MANY),
    lookups=(10, MANY),
    peers=(1_000,),
    guests=(30, 100, MANY_GUESTS, 600, 1_000),
    before=(30, 60),
    profile=(1_000, MANY),
    turns=5,
    most=9,
)
FULL = dataclasses.replace(DEFAULT, peers=(1_000, MANY), before=(30, 100, MANY_GUESTS))
QUICK = Size(
    plan=scenes.QUICK,
    mib=64,
    at_once=(1, 2),
    inventories=(100,),
    lookups=(10, 1_000),
    peers=(100,),
    guests=(3, 6, 9),
    before=(3,),
    profile=(20, 100),
    turns=2,
    most=2,
    disks=500,
    compared=500,
    in_roles=10,
    tasks=2,
    vmdk_mib=16,
    backup_mib=64,
)


@dataclass(frozen=True)
class Parts:
    """Measures parts. kept: the folder for their reports and pictures."""

    simulator: Path
    sink: Path
    installed: Installed
    console: Console
    size: Size
    kept: Path

    def measure(self, name: str) -> Report:
        """Measure one part.

        Raises CommandFailed or WrongResult when a tool did not do its work, SimulatorError when the simulator did not.
        """
        return _PARTS[name](self)

    @cached_property
    def bench(self) -> Bench:
        """What measures clones, fleets, disks and packages, warmed up."""
        bench = Bench(self.simulator, self.installed, self.size.plan, self.console)
        bench.warm_up()
        return bench

    @property
    def images(self) -> Path:
        """Where pictures go."""
        return self.kept / "images"

    def clones(self) -> Report:
        """Instant clones, side by side."""
        found = self.bench.clones()
        data = self.installed.work / "samples.json"
        data.write_text(json.dumps([dataclasses.asdict(each) for each in found]), encoding="utf-8")
        plot(self.installed.peer, "chart.py", data, self.images / CHART)
        text = section(document.SIDE_BY_SIDE, *_markdown(tables.side_by_side(found)), ms=self.size.plan.clone_ms)
        return Report("clones", text, _texts(tables.side_by_side(found)), promises.clones(found), [CHART])

    def latency(self) -> Report:
        """Instant clones with latency on every call."""
        found = self.bench.latency()
        table = tables.latency(found)
        text = section(document.LATENCY, f"{table.title}:\n\n{table.as_markdown()}\n", latency=self.size.plan.latency_ms)
        return Report("latency", text, table.as_text(), promises.latency(found))

    def memory(self) -> Report:
        """Many clones in one task."""
        found = self.bench.memory()
        table = tables.memory(found)
        return Report("memory", section(document.MEMORY, f"{table.as_markdown()}\n"), table.as_text(), promises.memory(found))

    def fleets(self) -> Report:
        """Fleets."""
        return self._flow("fleets", document.FLEETS, "A fleet over three hosts", "clones", self.bench.fleets(), promises.fleets)

    def cloud(self) -> Report:
        """Data for cloud-init."""
        return self._flow("cloud", document.CLOUD, "Data for cloud-init", "VMs", self.bench.cloud(), promises.cloud)

    def _flow(
        self,
        part: str,
        text: str,
        title: str,
        column: str,
        found: Sequence[Sample],
        check: Callable[[Sequence[Sample]], list[promises.Promise]],
    ) -> Report:
        table = tables.in_inventories(title, column, found)
        return Report(part, section(text, f"{table.as_markdown()}\n"), table.as_text(), check(found))

    def linked(self) -> Report:
        """Linked clones, side by side."""
        found = self.bench.linked()
        shown = tables.side_by_side(found, "Linked clones, ")
        text = section(document.LINKED, *_markdown(shown), ms=self.size.plan.clone_ms)
        return Report("linked", text, _texts(shown), promises.linked(found))

    def areas(self) -> Report:
        """Changed areas of a disk."""
        found = self.bench.areas()
        table = tables.areas(found)
        text = section(document.AREAS, f"{table.title}:\n\n{table.as_markdown()}\n")
        return Report("areas", text, table.as_text(), promises.areas(found))

    def first_class_disks(self) -> Report:
        """First class disks, listed with their details."""
        size = self.size
        turns, most = min(size.turns, 3), min(size.most, 6)
        return FirstClassDisks(self.simulator, self.installed, self.console, size.disks, turns, most).run()

    def backups(self) -> Report:
        """Backups of a disk."""
        return Backups(self.installed, self.console, self.size.backup_mib, min(self.size.turns, 3)).run()

    def packages(self) -> Report:
        """OVF packages."""
        found = self.bench.packages()
        table, said = tables.templates(found), tables.large(found.large)
        text = section(document.TEMPLATES, f"{table.as_markdown()}\n", f"{said}\n", mib=self.size.plan.upload_mib)
        return Report("packages", text, f"{table.as_text()}\n{said}", promises.packages(found))

    def uploads(self) -> Report:
        """Uploads to a sink."""
        size = self.size
        return Uploads(self.installed, self.sink, self.console, size.mib, size.at_once, size.turns, size.most).run()

    def inventory(self) -> Report:
        """The inventory plugin."""
        size = self.size
        turns, most = min(size.turns, 3), min(size.most, 6)
        return Inventories(self.simulator, self.installed, self.console, size.inventories, size.peers, turns, most).run()

    def lookups(self) -> Report:
        """One clone among few VMs and among many."""
        size = self.size
        return Lookups(self.simulator, self.installed, self.console, size.lookups, size.turns, size.most).run()

    def processors(self) -> Report:
        """VMs compared with hosts."""
        size = self.size
        turns, most = min(size.turns, 3), min(size.most, 6)
        return Processors(self.simulator, self.installed, self.console, size.compared, turns, most).run()

    def starts(self) -> Report:
        """The start of a module."""
        size = self.size
        return Starts(self.simulator, self.installed, self.console, size.tasks, size.turns, size.most).run()

    def roles(self) -> Report:
        """Roles with many VMs."""
        return Roles(self.simulator, self.installed, self.console, self.size.in_roles).run()

    def vmdks(self) -> Report:
        """A disk out of vSphere and into it."""
        size = self.size
        return Vmdks(self.simulator, self.installed, self.console, size.vmdk_mib, min(size.turns, 3), min(size.most, 6)).run()

    def documents(self) -> Report:
        """The role guest_cloud_init."""
        size = self.size
        return Documents(self.simulator, self.installed, self.console, size.guests, size.before, self.images).run()

    def profiles(self) -> Report:
        """Flame graphs."""
        clones, vms = self.size.profile
        return Profiles(self.simulator, self.installed, self.console, clones, vms, self.images).run()


_PARTS: dict[str, Callable[[Parts], Report]] = {
    "clones": Parts.clones,
    "latency": Parts.latency,
    "memory": Parts.memory,
    "fleets": Parts.fleets,
    "linked": Parts.linked,
    "cloud": Parts.cloud,
    "areas": Parts.areas,
    "first_class_disks": Parts.first_class_disks,
    "backups": Parts.backups,
    "packages": Parts.packages,
    "uploads": Parts.uploads,
    "vmdks": Parts.vmdks,
    "inventory": Parts.inventory,
    "lookups": Parts.lookups,
    "processors": Parts.processors,
    "starts": Parts.starts,
    "roles": Parts.roles,
    "documents": Parts.documents,
    "profiles": Parts.profiles,
}

NAMES = tuple(_PARTS)


def _markdown(shown: Sequence[tables.Table]) -> list[str]:
    return [f"### {table.title}\n\n{table.as_markdown()}\n" for table in shown]


def _texts(shown: Sequence[tables.Table]) -> str:
    return "\n\n".join(table.as_text() for table in shown)
