# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VMs as an inventory: our plugin beside those of other collections, and beside one that does nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import metered
from bench.environment import HERE
from bench.report import Promise, Report, Spread, in_turns
from bench.tables import Table
from bench.tools import Installed, WrongResult
from bench.vcenter import VCenter, simulated
from devtools.console import Console, Outcome

BARE = "a bare plugin"
OURS = "vforge.vsphere.vms"
WARM = "  with its cache warm"
COMMUNITY = "community.vmware.vmware_vm_inventory"
VMWARE = "vmware.vmware.vms"

CALLS = 12
PEAK_MIB = 320
CPU_BY_BARE = 1.2
BY_COMMUNITY = 1 / 12
BY_VMWARE = 1 / 25

# The promises are for so many VMs.
MANY = 10_000

# What the other plugins may take in all; what takes longer is ended, and its row says so.
LIMIT = 480

_TITLE = "An inventory"
_TEXT = """## {title}

`ansible-inventory --list` of all VMs of one simulated vCenter, with the properties that
`vforge.vsphere.vms` reads by default, which are also those of `vmware.vmware.vms`. Calls are all
SOAP calls, pages included. Each number is of the whole process, its start and the writing of the
hosts included.

- *a bare plugin*: one [traversal by pyVmomi](../tests/benchmarks/inventory/bare.py), a host of
  each VM, two groups, and nothing else: what such an inventory costs at the least. It and ours
  take turns; their ratio is that of their processor time.
- *with its cache warm*: the same again, with Ansible's `jsonfile` cache.
"""


@dataclass(frozen=True)
class Row:
    """One plugin in one inventory. Of several turns each list has one figure; calls is that of the worst."""

    tool: str
    vms: int
    calls: int
    used: tuple[metered.Used, ...]

    @property
    def seconds(self) -> Spread:
        """Of the whole process."""
        return Spread.of([each.seconds for each in self.used])

    @property
    def stopped(self) -> bool:
        """Whether it was ended at its limit."""
        return any(each.stopped for each in self.used)

    def cells(self) -> tuple[str, ...]:
        """For a table."""
        peak = max(each.peak_mib for each in self.used)
        cpu = Spread.of([each.cpu for each in self.used]).text(1)
        if self.stopped:
            return (self.tool, f"{self.vms:,}", f"{self.calls:,} until it was stopped", f"{LIMIT} and more", "", f"{peak:.0f}")
        return (self.tool, f"{self.vms:,}", f"{self.calls:,}", self.seconds.text(1), cpu, f"{peak:.0f}")


@dataclass(frozen=True)
class Inventories:
    """Measures inventories.

    sizes: VMs there are; peers: in which of these sizes the plugins of other collections run, too. turns, most: how often
    ours and the bare one take turns.
    """

    simulator: Path
    installed: Installed
    console: Console
    sizes: Sequence[int]
    peers: Sequence[int]
    turns: int
    most: int

    def run(self) -> Report:
        """Measure, and say what was found."""
        rows: list[Row] = []
        by_bare: dict[int, Spread] = {}
        for vms in self.sizes:
            self.console.title(f"{_TITLE} of {vms:,} VMs")
            with simulated(self.simulator, self.installed.govc, vms, 0) as vcenter:
                by_bare[vms] = self._with_bare(vcenter, rows)
                rows.append(Row(WARM, vms, *self._warm(vcenter)))
                if vms in self.peers:
                    rows += [self._peer(vcenter, tool) for tool in (COMMUNITY, VMWARE)]
        head = ("", "VMs", "calls", "seconds", "processor seconds", "MiB")
        table = Table(_TITLE, head, [row.cells() for row in rows])
        said = [f"Processor time with {vms:,} VMs, by the bare plugin: {ratio.text()}." for vms, ratio in by_bare.items()]
        text = "\n".join([_TEXT.format(title=_TITLE), table.as_markdown(), "", *said, ""])
        return Report("inventory", text, "\n".join([table.as_text(), *said]), list(_promises(rows, by_bare)))

    def _with_bare(self, vcenter: VCenter, rows: list[Row]) -> Spread:
        taken: dict[str, list[tuple[int, metered.Used]]] = {BARE: [], OURS: []}

        def turn(number: int) -> float:
            for tool in (BARE, OURS) if number % 2 == 0 else (OURS, BARE):
                taken[tool].append(self._list(vcenter, tool, f"{tool}, turn {number + 1}"))
            return taken[OURS][-1][1].cpu / taken[BARE][-1][1].cpu

        ratio = in_turns(turn, self.turns, self.most)
        for tool, found in taken.items():
            rows.append(Row(tool, vcenter.vms, max(calls for calls, _used in found), tuple(used for _calls, used in found)))
        return ratio

    def _warm(self, vcenter: VCenter) -> tuple[int, tuple[metered.Used, ...]]:
        kept = self.installed.work / "inventory-cache"
        cache = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(kept)}
        self._list(vcenter, OURS, "filling its cache", **cache)
        calls, used = self._list(vcenter, OURS, "with its cache warm", **cache)
        for path in kept.iterdir():
            path.unlink()
        return calls, (used,)

    def _peer(self, vcenter: VCenter, tool: str) -> Row:
        calls, used = self._list(vcenter, tool, tool)
        return Row(tool, vcenter.vms, calls, (used,))

    def _list(self, vcenter: VCenter, tool: str, title: str, **options: object) -> tuple[int, metered.Used]:
        """List the inventory by one plugin: its calls, and what it used."""
        taken: list[tuple[int, metered.Used]] = []

        def work() -> Outcome:
            vcenter.sim.reset_calls()
            listed = self.installed.work / "inventory.json"
            listed.unlink(missing_ok=True)
            source, programs, env = source_of(self.installed, tool, options)
            command = [programs / "ansible-inventory", "-i", source, "--list", "--output", listed]
            limit = LIMIT if tool in (COMMUNITY, VMWARE) else None
            used = metered.run(command, self.installed.log, {**env, **vcenter.environment}, limit)
            calls = sum(vcenter.sim.calls()["by_method"].values())
            hosts = 0 if used.stopped else len(json.loads(listed.read_text(encoding="utf-8"))["_meta"]["hostvars"])
            # The VMs, and the parent that every simulator has.
            if hosts != vcenter.vms + 1 and not used.stopped:
                raise WrongResult(f"{tool} lists {hosts} of {vcenter.vms + 1} VMs.")
            taken.append((calls, used))
            return Outcome(1, note=f"{calls:,} calls, {used.seconds:.1f} s, {used.peak_mib:.0f} MiB")

        self.console.step(title, work)
        return taken[0]


def source_of(installed: Installed, tool: str, options: dict[str, object]) -> tuple[Path, Path, dict[str, str]]:
    """The file of an inventory, the folder of the programs, and the environment, for one plugin."""
    name, plugin = _FILES[tool]
    source, sessions = installed.work / name, installed.work / "sessions" / "inventory"
    more = {"properties": _properties(), "with_nested_properties": True} if tool == COMMUNITY else {}
    source.write_text(json.dumps({"plugin": plugin, **more, **options}), encoding="utf-8")
    sessions.mkdir(parents=True, exist_ok=True, mode=0o700)
    theirs = tool in (COMMUNITY, VMWARE)
    programs = installed.peer / "venv" / "bin" if theirs else installed.python.parent
    env = {
        "ANSIBLE_HOME": str(installed.work / "ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(installed.peer / "collections" if theirs else installed.collections),
        "ANSIBLE_INVENTORY_ENABLED": plugin,
        "XDG_RUNTIME_DIR": str(sessions),
    }
    if tool == BARE:
        env["ANSIBLE_INVENTORY_PLUGINS"] = str(HERE / "inventory")
    return source, programs, env


_FILES = {
    BARE: ("bare.yml", "bare"),
    OURS: ("bench.vms.yml", "vforge.vsphere.vms"),
    COMMUNITY: ("bench.vmware.yml", "community.vmware.vmware_vm_inventory"),
    VMWARE: ("bench.vmware_vms.yml", "vmware.vmware.vms"),
}


def _properties() -> list[str]:
    """What the bare plugin reads, which is the default of ours and of vmware.vmware's."""
    text = (HERE / "inventory" / "bare.py").read_text(encoding="utf-8")
    names = text.partition("PROPERTIES = [")[2].partition("]")[0]
    return [line.strip(' ",') for line in names.strip().splitlines()]


def _promises(rows: Sequence[Row], by_bare: dict[int, Spread]) -> list[Promise]:
    made = []
    for row in rows:
        if row.tool == OURS:
            most, what = CALLS, f"calls for an inventory of {row.vms:,} VMs"
            made.append(Promise(what, f"at most {most}", str(row.calls), row.calls <= most))
        if row.tool == WARM:
            what = f"calls for an inventory of {row.vms:,} VMs, cache warm"
            made.append(Promise(what, "0", str(row.calls), row.calls == 0))
    if MANY in by_bare:
        peak = max(used.peak_mib for row in rows if row.vms == MANY and row.tool == OURS for used in row.used)
        what = f"of an inventory of {MANY:,} VMs"
        made.append(by_bare[MANY].at_most(f"processor time {what}, by a bare plugin", CPU_BY_BARE))
        made.append(Promise(f"memory {what}, MiB", f"below {PEAK_MIB}", f"{peak:.0f}", peak < PEAK_MIB))
    ours = {row.vms: row for row in rows if row.tool == OURS}
    for tool, bound in ((COMMUNITY, BY_COMMUNITY), (VMWARE, BY_VMWARE)):
        for row in (each for each in rows if each.tool == tool and each.vms == MANY):
            # One that was stopped had taken the limit, and was not done.
            ratio = ours[MANY].seconds.median / row.seconds.median
            measured = f"{'less than ' if row.stopped else ''}{ratio:.3f}"
            made.append(
                Promise(f"seconds of an inventory of {MANY:,} VMs, by {tool}", f"at most {bound:.3f}", measured, ratio <= bound)
            )
    return made
