# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role guest_cloud_init: how its processor time grows with the VMs, and what it was before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import metered
from bench.earlier import BEFORE, earlier_build
from bench.environment import plot
from bench.report import Promise, Report
from bench.tables import Table
from bench.tools import Installed
from bench.vcenter import DATACENTER
from devtools.console import Console, Outcome
from vforge_sim import Simulator

# For so many VMs the processor time was promised to be so little of what it was.
MANY = 300
BY_BEFORE = 1 / 20

# From the smallest number of VMs to the largest, seconds a VM may grow by so much; what a play costs in any case is left out.
GROWTH = 1.5

PICTURE = "growth.svg"

_TITLE = "The role guest_cloud_init"
_TEXT = """## {title}

One play makes so many VMs of a template, each with metadata and user data of its own, starts
them, waits until cloud-init is done, and adds them to the inventory. Processor time is that of
`ansible-playbook` with all that it starts, modules included, not the time for which VMs are waited
for. A busy machine makes it longer, all of it alike. *The same again* finds all done.
*Before* is the role at commit `{before:.10}`, which shaped the data in loops of `set_fact` and
`assert`.

![Processor time by VMs](images/{picture})
"""


@dataclass(frozen=True)
class Play:
    """One run of the role. tool: the build, as it is called; again: whether it was the second run."""

    tool: str
    vms: int
    again: bool
    used: metered.Used


@dataclass(frozen=True)
class Documents:
    """Measures the role.

    sizes: VMs; before: how many the earlier build makes, once; images: where the picture goes.
    """

    simulator: Path
    installed: Installed
    console: Console
    sizes: Sequence[int]
    before: Sequence[int]
    images: Path

    def run(self) -> Report:
        """Measure, and say what was found."""
        self.console.title(_TITLE)
        plays: list[Play] = []
        for vms in self.sizes:
            plays += self._plays("now", self.installed.collections, vms, (False, True))
        earlier = earlier_build(self.installed.work) if self.before else None
        for vms in self.before if earlier is not None else ():
            plays += self._plays("before", earlier, vms, (False,))
        if self.before and earlier is None:
            self.console.text("the earlier build is not in this checkout: its row is left out")
        rows = [
            (
                f"{play.tool}{', the same again' if play.again else ''}",
                str(play.vms),
                f"{play.used.cpu:.1f}",
                f"{play.used.cpu / play.vms:.3f}",
            )
            for play in plays
        ]
        table = Table(_TITLE, ("", "VMs", "processor seconds", "a VM"), rows)
        data = self.installed.work / "growth.json"
        points = [{"tool": play.tool, "again": play.again, "vms": play.vms, "cpu": play.used.cpu} for play in plays]
        data.write_text(json.dumps(points), encoding="utf-8")
        plot(self.installed.peer, "growth.py", data, self.images / PICTURE)
        text = _TEXT.format(title=_TITLE, before=BEFORE, picture=PICTURE)
        return Report("documents", f"{text}\n{table.as_markdown()}\n", table.as_text(), _promises(plays), [PICTURE])

    def _plays(self, tool: str, collections: Path, vms: int, runs: Sequence[bool]) -> list[Play]:
        made: list[Play] = []
        with Simulator(self.simulator, "--vms", "2", "--clone-time", "0ms", govc=str(self.installed.govc)) as sim:
            sim.create_vm("source", on=False)
            sim.govc("snapshot.create", "-vm", f"/{DATACENTER}/vm/source", "-m=false", "ready")
            sim.govc("folder.create", f"/{DATACENTER}/vm/guests")
            for again in runs:

                def work(again=again) -> Outcome:  # type: ignore[no-untyped-def]
                    used = metered.run(self._playbook(vms), self.installed.log, self._env(sim, collections))
                    made.append(Play(tool, vms, again, used))
                    return Outcome(1, note=f"{used.cpu:.1f} s of processor time")

                self.console.step(f"{tool}, {vms} VMs{', the same again' if again else ''}", work)
        return made

    def _playbook(self, vms: int) -> list[str | Path]:
        guests = [{"name": f"web-{n:04d}", "address": f"10.{n // 250}.{n % 250}.10/24"} for n in range(vms)]
        asked = {
            "source": {"path": f"/{DATACENTER}/vm/source"},
            "snapshot": {"name": "ready"},
            "folder": "guests",
            "gateway": "10.0.0.1",
            "dns_servers": ["10.0.0.2"],
            "user": "admin",
            "ssh_authorized_keys": ["ssh-ed25519 AAAAnobody admin"],
            "packages": ["nginx"],
            "guests": guests,
        }
        variables = {f"guest_cloud_init_{name}": value for name, value in asked.items()}
        role = {"ansible.builtin.include_role": {"name": "vforge.vsphere.guest_cloud_init"}}
        variables["ansible_python_interpreter"] = str(self.installed.python)
        play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables, "tasks": [role]}
        path = self.installed.work / "documents.yml"
        path.write_text(json.dumps([play]), encoding="utf-8")
        return [self.installed.python.parent / "ansible-playbook", path]

    def _env(self, sim: Simulator, collections: Path) -> dict[str, str]:
        kept = self.installed.work / "sessions" / "documents"
        kept.mkdir(parents=True, exist_ok=True, mode=0o700)
        return {
            "ANSIBLE_HOME": str(self.installed.work / "ansible"),
            "ANSIBLE_COLLECTIONS_PATH": str(collections),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "XDG_RUNTIME_DIR": str(kept),
            "VMWARE_HOST": sim.host,
            "VMWARE_PORT": str(sim.port),
            "VMWARE_USER": sim.username,
            "VMWARE_PASSWORD": sim.password,
            "VMWARE_CA_PATH": sim.ca,
        }


def _promises(plays: Sequence[Play]) -> list[Promise]:
    ours = {play.vms: play for play in plays if play.tool == "now" and not play.again}
    made = []
    if len(ours) > 2:
        # Seconds that each further VM costs, in the lower and in the upper half of the line.
        few, middle, many = min(ours), sorted(ours)[len(ours) // 2], max(ours)
        lower = (ours[middle].used.cpu - ours[few].used.cpu) / (middle - few)
        upper = (ours[many].used.cpu - ours[middle].used.cpu) / (many - middle)
        what = f"processor time of a further VM in the role, {middle} to {many} by {few} to {middle}"
        made.append(Promise(what, f"at most {GROWTH:.2f}", f"{upper / lower:.2f}", upper / lower <= GROWTH))
    for play in (each for each in plays if each.tool == "before" and each.vms == MANY and MANY in ours):
        ratio = ours[MANY].used.cpu / play.used.cpu
        what = f"processor time of the role with {MANY} VMs, by the build before"
        made.append(Promise(what, f"at most {BY_BEFORE:.3f}", f"{ratio:.3f}", ratio <= BY_BEFORE))
    return made
