# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is measured, in which order, and how much of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import templates, tools
from bench.cloud import CloudTools
from bench.figures import Areas, Latency, Memory, Sample, Templates, Upload
from bench.linked import LinkedTools
from bench.report import in_turns
from bench.templates import Large, TemplateTools
from bench.tools import Installed, Tools
from bench.vcenter import VCenter, simulated
from devtools.console import Console, Outcome

CAPACITY = 2 << 40
SECTOR = 512


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    inventories: VMs there are before -> clones that govc and community.vmware make, whose time grows with the inventory.
    clones: how many the other tools make; clone_ms: how long the server takes for each.
    latency_...: the comparison with latency on every call: its clones, the server's time for a clone.
    turns, most: how often what is compared by time takes turns, and how often at the most, where it scatters.
    memory_clones: in one task, the fewest first.
    fleets: VMs there are before -> clones of a fleet over the three hosts of a cluster.
    linked: VMs there are before -> linked clones that govc and community.vmware make; linked_clones: how many the others make.
    cloud: VMs there are before -> VMs that are given data for cloud-init by us, and by govc.
    areas: changed areas of one disk; many_areas: of one for the memory.
    upload_mib: size of a disk that is uploaded; large_mib: of one for the memory.
    """

    inventories: dict[int, tuple[int, int]]
    clones: int
    clone_ms: int
    latency_ms: int
    latency_clones: int
    latency_clone_ms: tuple[int, ...]
    memory_clones: tuple[int, ...]
    fleets: dict[int, int]
    linked: dict[int, tuple[int, int]]
    linked_clones: int
    cloud: dict[int, tuple[int, int]]
    areas: int
    many_areas: int
    upload_mib: int
    large_mib: int
    turns: int
    most: int


FULL = Plan(
    inventories={10: (50, 3), 1_000: (50, 3), 10_000: (10, 1)},
    clones=50,
    clone_ms=20,
    latency_ms=10,
    latency_clones=200,
    latency_clone_ms=(0, 20),
    memory_clones=(1_000, 5_000),
    fleets={10: 300, 10_000: 300},
    linked={10: (50, 3), 10_000: (10, 1)},
    linked_clones=100,
    cloud={10: (100, 100), 10_000: (100, 10)},
    areas=100_000,
    many_areas=1_000_000,
    upload_mib=512,
    large_mib=8 << 10,
    turns=5,
    most=10,
)
QUICK = Plan(
    inventories={10: (10, 1), 100: (10, 1)},
    clones=10,
    clone_ms=20,
    latency_ms=10,
    latency_clones=50,
    latency_clone_ms=(0,),
    memory_clones=(50, 100),
    fleets={10: 30},
    linked={10: (5, 1)},
    linked_clones=10,
    cloud={10: (10, 5)},
    areas=10_000,
    many_areas=20_000,
    upload_mib=64,
    large_mib=256,
    turns=2,
    most=2,
)


def names(prefix: str, count: int) -> list[str]:
    """Names for clones."""
    return [f"{prefix}-{number:04d}" for number in range(count)]


@dataclass(frozen=True)
class Bench:
    """Measures flows of clones, fleets, disks and packages; each method is one part, and returns what it found.

    Each raises CommandFailed or WrongResult when a tool did not do its work, SimulatorError when the simulator did not.
    """

    simulator: Path
    installed: Installed
    plan: Plan
    console: Console

    def _vcenter(self, vms: int, clone_ms: int, latency_ms: int = 0) -> AbstractContextManager[VCenter]:
        return simulated(self.simulator, self.installed.govc, vms, clone_ms, latency_ms)

    def _step(self, name: str, make: Callable[[], Sample]) -> Sample:
        taken: list[Sample] = []

        def work() -> Outcome:
            taken.append(make())
            return Outcome(1, note=f"{taken[0].clones} clones, {taken[0].calls} calls, {taken[0].seconds:.2f} s")

        self.console.step(name, work)
        return taken[0]

    def warm_up(self) -> None:
        """Run each tool once."""
        self.console.title("Warm up, so that nobody pays for byte-code")
        with self._vcenter(10, 0) as vcenter:
            using = Tools(self.installed, vcenter)
            for name, make in {
                tools.PLAIN: using.plain,
                tools.OURS: using.ours,
                tools.GOVC: using.govc,
                tools.COMMUNITY: using.community,
            }.items():
                self._step(name, lambda make=make: make(["warm-up"]))  # type: ignore[misc]
                using.sweep()

    def clones(self) -> list[Sample]:
        """Instant clones by each tool, in inventories of several sizes."""
        found: list[Sample] = []
        for vms, (some, few) in self.plan.inventories.items():
            self._side_by_side(vms, some, few, found)
        return found

    def _side_by_side(self, vms: int, some: int, few: int, found: list[Sample]) -> None:
        clones = self.plan.clones
        self.console.title(f"Side by side, {vms:,} VMs in the inventory")
        with self._vcenter(vms, self.plan.clone_ms) as vcenter:
            using = Tools(self.installed, vcenter)
            kept = f"side-by-side-{vms}"

            def take(name: str, make: Callable[[], Sample], *, sweep: bool = True) -> None:
                found.append(self._step(name, make))
                if sweep:
                    using.sweep()

            take(tools.PLAIN, lambda: using.plain(names("plain", clones)))
            take(tools.OURS, lambda: using.ours(names("ours", clones), session=kept), sweep=False)
            take(
                tools.REPEAT,
                lambda: using.ours(names("ours", clones), tool=tools.REPEAT, session=kept, changed=False),
            )
            take(tools.KEPT, lambda: using.ours(names("more", clones), tool=tools.KEPT, session=kept))
            take(tools.GOVC, lambda: using.govc(names("govc", some)))
            take(tools.COMMUNITY, lambda: using.community(names("community", few)), sweep=False)

    def fleets(self) -> list[Sample]:
        """The role for a fleet, in inventories of several sizes."""
        return [sample for vms, count in self.plan.fleets.items() for sample in self._fleet(vms, count)]

    def _fleet(self, vms: int, count: int) -> list[Sample]:
        found = []
        self.console.title(f"A fleet of {count} over three hosts, {vms:,} VMs in the inventory")
        with self._vcenter(vms, self.plan.clone_ms) as vcenter:
            using, golden, clusters, kept = Tools(self.installed, vcenter), vcenter.golden(), ["DC0_C0"], f"fleet-{vms}"
            for tool in (tools.FLEET, tools.FLEET_REPEAT):
                sample = self._step(tool, lambda tool=tool: using.fleet(count, golden, clusters, tool=tool, session=kept))  # type: ignore[misc]
                found.append(sample)
        return found

    def linked(self) -> list[Sample]:
        """Linked clones by each tool, in inventories of several sizes."""
        return [sample for vms, (some, few) in self.plan.linked.items() for sample in self._linked(vms, some, few)]

    def _linked(self, vms: int, some: int, few: int) -> list[Sample]:
        found = []
        clones, kept = self.plan.linked_clones, f"linked-{vms}"
        self.console.title(f"Linked clones, {vms:,} VMs in the inventory")
        with self._vcenter(vms, self.plan.clone_ms) as vcenter:
            using, mine = LinkedTools(self.installed, vcenter), names("ours", clones)
            turns: list[tuple[str, Callable[[], Sample], bool]] = [
                (tools.PLAIN, lambda: using.linked_plain(names("plain", clones)), True),
                (tools.OURS, lambda: using.linked(mine, session=kept), False),
                (tools.REPEAT, lambda: using.linked(mine, tool=tools.REPEAT, session=kept, changed=False), True),
                (tools.GOVC, lambda: using.linked_govc(names("govc", some)), True),
                (tools.COMMUNITY, lambda: using.linked_community(names("community", few)), False),
            ]
            for name, make, sweep in turns:
                found.append(self._step(name, make))
                if sweep:
                    using.sweep()
        return found

    def cloud(self) -> list[Sample]:
        """Data for cloud-init by each tool, in inventories of several sizes."""
        return [sample for vms, (ours, others) in self.plan.cloud.items() for sample in self._cloud(vms, ours, others)]

    def _cloud(self, vms: int, ours: int, others: int) -> list[Sample]:
        kept, mine, theirs = f"cloud-{vms}", names("ours", ours), names("govc", others)
        self.console.title(f"Data for cloud-init, {vms:,} VMs in the inventory")
        with self._vcenter(vms, 0) as vcenter:
            using = CloudTools(self.installed, vcenter, mine, theirs)
            turns: list[tuple[str, Callable[[], Sample]]] = [
                (tools.OURS, lambda: using.cloud(mine, session=kept)),
                (tools.REPEAT, lambda: using.cloud(mine, tool=tools.REPEAT, session=kept, changed=False)),
                (tools.GOVC, lambda: using.cloud_govc(theirs)),
            ]
            return [self._step(name, make) for name, make in turns]

    def latency(self) -> list[Latency]:
        """The module and the plain script in turns, with latency on every call."""
        return [self._latency(clone_ms) for clone_ms in self.plan.latency_clone_ms]

    def _latency(self, clone_ms: int) -> Latency:
        plan = self.plan
        self.console.title(f"{plan.latency_ms} ms latency on every call, {clone_ms} ms for a clone")
        figures = Latency(plan.latency_clones, plan.latency_ms, clone_ms)

        def turn(number: int) -> float:
            # A simulator for each turn, so that all turns begin alike; who comes first takes turns too.
            with self._vcenter(10, clone_ms, plan.latency_ms) as vcenter:
                using = Tools(self.installed, vcenter)
                for first in (number % 2 == 0, number % 2 != 0):
                    self._latency_turn(using, figures, number, plain=first)
            self.console.text(f"          ratio {figures.ratios[-1]:.2f}")
            return figures.ratios[-1]

        in_turns(turn, plan.turns, plan.most)
        return figures

    def _latency_turn(self, using: Tools, figures: Latency, turn: int, *, plain: bool) -> None:
        if plain:
            sample = self._step(f"plain script, turn {turn + 1}", lambda: using.plain(names("plain", figures.clones)))
        else:
            clones, session = names("ours", figures.clones), f"latency-{figures.clone_ms}-{turn}"
            sample = self._step(f"module, turn {turn + 1}", lambda: using.ours(clones, session=session))
        spans, processes = (
            (figures.plain_spans, figures.plain_processes) if plain else (figures.module_spans, figures.module_processes)
        )
        spans.append(sample.span or 0.0)
        processes.append(sample.seconds)

    def memory(self) -> list[Memory]:
        """Many clones in one task, and more of them in another."""
        taken: list[Memory] = []
        self.console.title("Memory of the module's process, many clones in one task")

        def work(count: int) -> Outcome:
            with self._vcenter(10, 0) as vcenter:
                memory = Tools(self.installed, vcenter).memory(names("memory", count))
            taken.append(memory)
            return Outcome(1, note=f"{memory.peak_mib:.0f} MiB, {memory.calls} calls, {memory.cpu:.1f} s of processor time")

        for count in self.plan.memory_clones:
            self.console.step(f"{tools.OURS}, {count:,} clones", partial(work, count))
        return taken

    def areas(self) -> Areas:
        """The changed areas of a disk, by the module and the plain script in turns."""
        count, kept = self.plan.areas, self.installed.work / "areas"
        self.console.title(f"{count:,} changed areas of a disk of 2 TiB")
        with self._vcenter(10, 0) as vcenter:
            using = Tools(self.installed, vcenter)
            disk = using.tracked("areas", CAPACITY)
            # Sectors, apart from each other, all over the disk.
            stride = CAPACITY // count // SECTOR * SECTOR
            vcenter.sim.write_disk(disk.vm, offset=0, length=SECTOR, count=count, stride=stride, seed=1)
            asked = {"change_id": disk.change_id, "areas_directory": str(kept)}
            results: list[dict[str, Any]] = []
            spans: list[float] = []

            def ours() -> Outcome:
                results.append(using.areas(disk.vm, **asked))
                return Outcome(1, note=f"{results[-1]['calls']['total']} calls, {results[-1]['timing']['total']:.2f} s")

            def plain() -> Outcome:
                spans.append(using.areas_plain(disk, count))
                return Outcome(1, note=f"{spans[-1]:.2f} s")

            def turn(number: int) -> float:
                steps = [(f"plain script, turn {number + 1}", plain), (f"module, turn {number + 1}", ours)]
                for name, step in steps if number % 2 == 0 else reversed(steps):
                    self.console.step(name, step)
                return float(results[-1]["timing"]["total"]) / spans[-1]

            in_turns(turn, self.plan.turns, self.plan.most)
        return Areas.of(disk.capacity, results, spans, self._many_areas())

    def _many_areas(self) -> dict[str, Any]:
        """The result for so many that they would not fit into memory unnoticed."""
        count, results = self.plan.many_areas, list[dict[str, Any]]()
        with self._vcenter(10, 0) as vcenter:
            using = Tools(self.installed, vcenter)
            disk = using.tracked("many", CAPACITY)
            stride = CAPACITY // count // SECTOR * SECTOR
            vcenter.sim.write_disk(disk.vm, offset=0, length=SECTOR, count=count, stride=stride, seed=1)

            def work() -> Outcome:
                kept = self.installed.work / "many-areas"
                results.append(using.areas(disk.vm, change_id=disk.change_id, areas_directory=str(kept)))
                return Outcome(1, note=f"{results[0]['peak_mib']:.0f} MiB, {results[0]['calls']['total']} calls")

            self.console.step(f"module, {count:,} areas", work)
        return results[0]

    def packages(self) -> Templates:
        """A package with a large disk by each tool, and a very large one for the memory."""
        plan, turns, work = self.plan, list[Upload](), self.installed.work
        self.console.title(f"A package with a disk of {plan.upload_mib} MiB, and one of {plan.large_mib:,} MiB")
        with Large.made(work / "package", plan.upload_mib) as package:
            # Its figures are no promise: three turns show what is to be expected.
            for turn in range(min(plan.turns, 3)):
                with self._discarding() as vcenter:
                    turns += self._uploads(TemplateTools(self.installed, vcenter), package, turn + 1)
        with Large.made(work / "large", plan.large_mib, sparse=True) as package, self._discarding() as vcenter:
            using = TemplateTools(self.installed, vcenter)
            large = self._upload(templates.OURS, lambda: using.template(package, "large", "stream"))
        return Templates(turns, large)

    def _discarding(self) -> AbstractContextManager[VCenter]:
        return simulated(self.simulator, self.installed.govc, 10, 0, 0, "--discard-uploads")

    def _uploads(self, using: TemplateTools, package: Large, turn: int) -> list[Upload]:
        steps: dict[str, Callable[[], Upload]] = {
            templates.CURL: lambda: using.curl(package, "curl"),
            f"{templates.OURS}, stream": lambda: using.template(package, "streamed", "stream"),
            f"{templates.OURS}, before": lambda: using.template(package, "read", "before"),
            templates.REPEAT: lambda: using.template(package, "read", "before", tool=templates.REPEAT),
            templates.GOVC: lambda: using.import_ovf(package, "govc"),
            templates.COMMUNITY: lambda: using.deploy_ovf(package, "community"),
        }
        return [self._upload(f"{name}, turn {turn}", make) for name, make in steps.items()]

    def _upload(self, name: str, make: Callable[[], Upload]) -> Upload:
        taken: list[Upload] = []

        def work() -> Outcome:
            taken.append(make())
            rate = f"{taken[0].rate:.0f} MiB/s, " if taken[0].rate else ""
            return Outcome(1, note=f"{taken[0].calls} calls, {rate}{taken[0].seconds:.1f} s")

        self.console.step(name, work)
        return taken[0]
