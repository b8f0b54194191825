# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page docs/benchmarks.md: the text of its sections, and how it is put together of the reports of the parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile

from bench.report import Report
from bench.tables import promised
from bench.tools import PARALLEL

CHART = "benchmark-calls.svg"

_HEAD = """# Benchmarks

What the collection costs beside other ways to the same result. `make bench` measures this and writes this page; it ends with
an error when something promised is not kept. `make bench ARGS="uploads inventory"` measures some parts, `ARGS=--full` also what
takes many minutes, `ARGS=--quick` little.

Numbers of calls and bytes of memory are those of any run. Times are not: they stand here as ratios of what took turns in one
run, each as the median (the smallest to the largest, n = the number of turns). What scatters is measured again. Promises are
checked on calls, memory and such ratios alone.
"""

SIDE_BY_SIDE = """## Side by side

Each table is one simulated vCenter, on which the tools take turns; after each turn its clones are removed. It takes {ms} ms
for each clone of one parent, one after the other. Calls are SOAP calls as the server counts them, pages of long answers
included. `rounds` are those of WaitForUpdatesEx, the answers to one long question: how many there are depends on the time.

![Calls by size of the inventory](images/{chart})

- *plain pyVmomi script*: the [calls that are needed](../tests/benchmarks/scripts/plain.py) and nothing else, over {parallel}
  connections. It checks nothing and tells nothing: the yardstick.
- *vforge.vsphere*: one task of `ansible-playbook` with all clones. *The same again* finds them all made; *again, session
  kept* makes others with the session that the first task kept.
- *govc*: `govc vm.instantclone` in a shell loop, with its session kept as is its default.
- *community.vmware*: `vmware_guest_instant_clone` in a task with a loop. It reads every VM of the inventory several times
  for each clone, so it makes few here; nothing is extrapolated.
"""

LATENCY = """## Latency

Module and plain script take turns, each time on a fresh simulator that answers every call {latency} ms late. *Connect to
result* is what the module returns as `timing.total`; the script measures the same span. Starting Python and Ansible comes
on top, in *whole process*. With 0 ms for a clone, what is compared is what the script does not do: the lookup, waiting in
rounds of which there are at most four a second, and reading what was made. Real clones take about a second.
"""

MEMORY = """## Memory

The module's process, started by Ansible as always and measured from outside (`wait4`).
"""

FLEETS = """## A fleet over three hosts

One play with the role `instant_clone_fleet`. It makes a parent of a golden VM on each of three hosts, freezes them, makes all
clones in one task and waits for their addresses. Calls and logins are those of the whole play. *The same again* finds all made.
"""

LINKED = """## Linked clones

The same tools make clones of one snapshot of a VM that is off, each with one guestinfo pair, and power them on. The simulated
vCenter takes {ms} ms for each and makes eight at a time.

- *plain pyVmomi script*: as above, with `CloneVM_Task` in place of `InstantClone_Task`.
- *govc*: `govc vm.clone -link`, `vm.change` for the pair, which a clone cannot be given at once, and `vm.power`, in a loop.
- *community.vmware*: `vmware_guest` with `linked_clone` in a task with a loop.
"""

CLOUD = """## Data for cloud-init

VMs that are off are given metadata of their own and the same user data. *The same again* reads what they have and
changes nothing.

- *vforge.vsphere*: one task with `cloud_init_guestinfo`.
- *govc*: `govc vm.change` in a loop, with texts that were encoded before. It checks nothing, and a second run writes all again.
"""

AREAS = """## Changed areas of a large disk

Module and [plain script](../tests/benchmarks/scripts/areas.py) take turns to make a snapshot, to read what changed since an
earlier changeId, and to remove the snapshot; most of it is the reading of pages. The script keeps what it read in memory and
checks nothing. The module proves that the answers cover the disk, merges, counts and writes the areas into a file.
"""

TEMPLATES = """## OVF packages

Each tool brings the same package, whose first disk is {mib} MiB of noise, to the same simulated vCenter, which counts and
hashes what comes in, and keeps none of it.

- *curl*: `curl -T` of the disk to the address that an import names, and nothing else: the yardstick.
- *cached_ovf_template*: one task, with every byte compared with the manifest: with `verify: stream` on its way to the
  host, with `verify: before` in a pass over the file before anything is made. The rate is that of the upload, from its
  begin until the host has answered; seconds are those of the whole process. *The same again* finds the template there.
- *govc*: `govc import.ovf`. It makes a VM, not a template that is ready for linked clones, and compares nothing here.
- *community.vmware*: `vmware_deploy_ovf`, which does the same. It compares nothing either, and has to be told to accept
  every certificate.
"""

_LIMITS = """## What this does not prove

- The server is a simulator on the same machine. It counts calls exactly, but its seconds are not those of a vCenter: a
  real one takes about a second for a clone, and more for a login and for each read than loopback does.
- Tools and simulator share the processor, so a tool that makes many calls also waits for the simulator's work.
- The parent is frozen. With a running parent, each clone also gives the parent a delta disk, whoever makes it.
"""


def section(text: str, *after: str, **values: object) -> str:
    """A section of the page: its text with the values in it, and what comes after."""
    return "\n".join([text.format(parallel=PARALLEL, chart=CHART, **values), *after])


def write(reports: Sequence[Report], kept: Path, docs: Path) -> Path:
    """Write the page and its pictures into a folder; returns the path of the page.

    kept: the folder in whose folder images the pictures are.
    """
    for name in (name for report in reports for name in report.pictures):
        target = docs / "images" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target != kept / "images" / name:
            copyfile(kept / "images" / name, target)
    path = docs / "benchmarks.md"
    path.write_text(render(reports), encoding="utf-8")
    return path


def render(reports: Sequence[Report]) -> str:
    """The whole page."""
    promises = [promise for report in reports for promise in report.promises]
    return "\n".join(
        [_HEAD, promised(promises).as_markdown(), "", *(_marked(report) for report in reports), _measured(reports), _LIMITS]
    )


def _marked(report: Report) -> str:
    if not report.load.shared:
        return report.markdown
    return f"{report.markdown}\n*Measured while other work ran on the machine ({report.load}): its times mean little.*\n"


def _measured(reports: Sequence[Report]) -> str:
    lines = ["## Measured on", ""]
    newest = max(reports, key=lambda report: report.taken)
    lines += [f"- {name}: {text}" for name, text in newest.machine.items()]
    lines += [f"- {report.part}{', full' if report.full else ''}: {report.taken}, {report.load}" for report in reports]
    return "\n".join([*lines, ""])


def as_text(reports: Sequence[Report]) -> str:
    """The tables of what was measured, for a terminal."""
    promises = [promise for report in reports for promise in report.promises]
    texts = [report.text for report in reports if report.text]
    return "\n" + "\n\n".join([*texts, promised(promises).as_text()]) + "\n"
