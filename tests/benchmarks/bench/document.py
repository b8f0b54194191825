# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench import tables
from bench.environment import CHART
from bench.figures import Figures
from bench.promises import Promise
from bench.scenes import FULL
from bench.tools import PARALLEL

_HEAD = """# Benchmarks

What `instant_clone` and `linked_clone` cost beside other ways to the same clones, and `cbt_changed_areas` beside a bare
loop. `make bench` measures this and writes this page; it ends with an error when something promised is not kept. `make
bench ARGS=--quick` measures less and writes nothing.
"""

_SIDE_BY_SIDE = """## Side by side

Each table is one simulated vCenter, on which the tools take turns; after each turn its clones are removed. It takes {ms} ms
for each clone of one parent, one after the other. Calls are SOAP calls as the server counts them, besides `rounds`:
WaitForUpdatesEx and ContinueRetrievePropertiesEx, the answers to one long question. Seconds are those of the
whole process, its start included.

- *plain pyVmomi script*: the [calls that are needed](../tests/benchmarks/scripts/plain.py) and nothing else, over {parallel}
  connections. It checks nothing and tells nothing: the yardstick.
- *vforge.vsphere*: one task of `ansible-playbook` with all clones. *The same again* finds them all made; *again, session
  kept* makes others with the session that the first task kept.
- *govc*: `govc vm.instantclone` in a shell loop, with its session kept as is its default.
- *community.vmware*: `vmware_guest_instant_clone` in a task with a loop. It reads every VM of the inventory several times
  for each clone, so it makes few here; nothing is extrapolated.
"""

_LATENCY = """## Latency

Module and plain script take turns, each time on a fresh simulator that answers every call {latency} ms late. *Connect to
result* is what the module returns as `timing.total`; the script measures the same span. Starting Python and Ansible comes
on top, in *whole process*. The bound is for clones that take time, as all real ones do. With 0 ms for a clone, what is left
to compare is what the script does not do: the lookup, waiting in rounds of which there are at most four a second, and
reading what was made.
"""

_MEMORY = """## Memory

The module's process, started by Ansible as always and measured from outside (`wait4`).
"""

_FLEETS = """## A fleet over three hosts

One play with the role `instant_clone_fleet`. It makes a parent of a golden VM on each of three hosts, freezes them, makes all
clones in one task and waits for their addresses. Calls and logins are those of the whole play. *The same again* finds all made.
"""

_LINKED = """## Linked clones

The same tools make clones of one snapshot of a VM that is off, each with one guestinfo pair, and power them on. The simulated
vCenter takes {ms} ms for each and makes eight at a time.

- *plain pyVmomi script*: as above, with `CloneVM_Task` in place of `InstantClone_Task`.
- *govc*: `govc vm.clone -link`, `vm.change` for the pair, which a clone cannot be given at once, and `vm.power`, in a loop.
- *community.vmware*: `vmware_guest` with `linked_clone` in a task with a loop.
"""

_CLOUD = """## Data for cloud-init

VMs that are off are given metadata of their own and the same user data. *The same again* reads what they have and
changes nothing.

- *vforge.vsphere*: one task with `cloud_init_guestinfo`.
- *govc*: `govc vm.change` in a loop, with texts that were encoded before. It checks nothing, and a second run writes all again.
"""

_AREAS = """## Changed areas of a large disk

Module and [plain script](../tests/benchmarks/scripts/areas.py) take turns to make a snapshot, to read what changed since an
earlier changeId, and to remove the snapshot; most of it is the reading of pages. The script keeps what it read in memory and
checks nothing. The module proves that the answers cover the disk, merges, counts and writes the areas into a file.
"""

_TEMPLATES = """## OVF packages

Each tool brings the same package, whose first disk is {mib} MiB of noise, to the same simulated vCenter, which counts and
hashes what comes in, and keeps none of it.

- *curl*: `curl -T` of the disk to the address that an import names, and nothing else: the yardstick.
- *cached_ovf_template*: one task, with every byte compared with the manifest: with `verify: stream` on its way to the
  host, with `verify: before` in a pass over the file before anything is made. MiB/s are those of the upload, from its
  begin until the host has answered; seconds those of the whole process. *The same again* finds the template there.
- *govc*: `govc import.ovf`. It makes a VM, not a template that is ready for linked clones, and compares nothing here.
- *community.vmware*: `vmware_deploy_ovf`, which does the same. It compares nothing either, and has to be told to accept
  every certificate.
"""

_LIMITS = """## What this does not prove

- The server is a simulator on the same machine. It counts calls exactly, but its seconds are not those of a vCenter: a
  real one takes about a second for a clone, and more for a login and for each read than loopback does.
- Tools and simulator share the processor, so a tool that makes many calls also waits for the simulator's work.
- Seconds vary from run to run; the counts of calls do not. The tests assert the counts, never seconds.
- The parent is frozen. With a running parent, each clone also gives the parent a delta disk, whoever makes it.
"""


def write(figures: Figures, promises: Sequence[Promise], docs: Path) -> Path:
    """Write the page into the folder docs; returns its path."""
    path = docs / "benchmarks.md"
    path.write_text(render(figures, promises), encoding="utf-8")
    return path


def render(figures: Figures, promises: Sequence[Promise]) -> str:
    """The whole page."""
    timed, read = tables.latency(figures), tables.areas(figures)
    parts = [
        _HEAD,
        tables.kept(promises).as_markdown(),
        f"\n![Calls and seconds by size of the inventory](images/{CHART})\n",
        _SIDE_BY_SIDE.format(ms=FULL.clone_ms, parallel=PARALLEL),
        *(f"### {table.title}\n\n{table.as_markdown()}\n" for table in tables.side_by_side(figures.samples)),
        _LATENCY.format(latency=FULL.latency_ms),
        f"{timed.title}:\n\n{timed.as_markdown()}\n",
        f"{_MEMORY}{tables.memory(figures)}\n",
        _FLEETS,
        f"{tables.fleets(figures).as_markdown()}\n",
        _LINKED.format(ms=FULL.clone_ms),
        *(f"### {table.title}\n\n{table.as_markdown()}\n" for table in tables.side_by_side(figures.linked, "Linked clones, ")),
        _CLOUD,
        f"{tables.cloud(figures).as_markdown()}\n",
        f"{_AREAS}{read.title}:\n\n{read.as_markdown()}\n",
        _TEMPLATES.format(mib=FULL.upload_mib),
        f"{tables.templates(figures).as_markdown()}\n",
        f"{tables.large(figures)}\n",
        "## Measured on\n",
        "\n".join(f"- {name}: {text}" for name, text in figures.machine.items()) + "\n",
        _LIMITS,
    ]
    return "\n".join(parts)
