# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the collection promises, and whether the figures keep it."""

from __future__ import annotations

from collections.abc import Sequence

from bench import templates, tools
from bench.figures import Areas, Latency, Memory, Sample, Templates
from bench.report import Promise, Spread

CALLS_BESIDE_CLONES = 14
RATIO = 1.3
PEAK_MIB = 150
FEW_CLONES, MANY_MIB = 1_000, 250
# Of VMs that were made so many are read in one answer; those of the first thousand are among the calls above.
PAGE = 500
LINEAR = 1.2
UPLOAD_PEAK_MIB = 60
FLEET_CALLS_BESIDE_CLONES = 60
FLEET_LOGINS = 3
LINKED_CALLS_BESIDE_CLONES = 20
CLOUD_CALLS_BESIDE_VMS = 16
AREAS_A_PAGE = 2_000
REPEAT_CALLS = 10
CALLS_BESIDE_PAGES = 14
# With few areas the comparison is one of connecting and looking up, which the script does not do.
RATIO_FROM_AREAS = 100_000


def _calls(what: str, sample: Sample | Memory | Areas, most: int) -> Promise:
    return Promise(f"calls for {what}", f"at most {most:,}", f"{sample.calls:,}", sample.calls <= most)


def _peak(what: str, mib: float, most: int) -> Promise:
    return Promise(f"peak memory {what}, MiB", f"below {most}", f"{mib:.0f}", mib < most)


def clones(samples: Sequence[Sample]) -> list[Promise]:
    """Side by side, in several inventories."""
    ours = sorted((each for each in samples if each.tool == tools.OURS), key=lambda each: each.vms)
    made = [_calls(f"{each.clones} clones among {each.vms:,} VMs", each, each.clones + CALLS_BESIDE_CLONES) for each in ours]
    same = len({each.calls for each in ours}) == 1
    made.append(Promise("the same number of calls in every inventory", "yes", "yes" if same else "no", same))
    kept = [each for each in samples if each.tool in (tools.KEPT, tools.REPEAT)]
    count = sum(each.logins + each.logouts for each in kept)
    return [*made, Promise("logins and logouts of tasks with a kept session", "0", str(count), count == 0)]


def latency(latencies: Sequence[Latency]) -> list[Promise]:
    """Beside the plain script."""
    return [
        Spread.of(each.ratios).at_most(
            f"{each.clones} clones of {each.clone_ms} ms with {each.latency_ms} ms latency, module by script",
            RATIO,
        )
        for each in latencies
    ]


def memory(found: Sequence[Memory]) -> list[Promise]:
    """Many clones in one task, and that more of them cost as much more."""
    made = []
    for used in found:
        pages = max(0, used.clones - FEW_CLONES) // PAGE
        made += [
            _calls(f"{used.clones:,} clones among 10 VMs", used, used.clones + CALLS_BESIDE_CLONES + pages),
            _peak(f"of the module, {used.clones:,} clones", used.peak_mib, PEAK_MIB if used.clones <= FEW_CLONES else MANY_MIB),
        ]
    few, many = found[0], found[-1]
    ratio = many.cpu / many.clones * few.clones / few.cpu
    what = f"processor time of a clone, {many.clones:,} by {few.clones:,} in one task"
    return [*made, Promise(what, f"at most {LINEAR}", f"{ratio:.2f}", ratio <= LINEAR)]


def fleets(samples: Sequence[Sample]) -> list[Promise]:
    """A fleet's first run."""
    made = []
    for each in (each for each in samples if each.tool == tools.FLEET):
        what = f"{each.clones} clones over three hosts, parents included, among {each.vms:,} VMs"
        made.append(_calls(what, each, each.clones + FLEET_CALLS_BESIDE_CLONES))
        logins = Promise(f"logins for {what}", f"at most {FLEET_LOGINS}", str(each.logins), each.logins <= FLEET_LOGINS)
        made.append(logins)
    return made


def linked(samples: Sequence[Sample]) -> list[Promise]:
    """Linked clones."""
    return [
        _calls(f"{each.clones} linked clones among {each.vms:,} VMs", each, each.clones + LINKED_CALLS_BESIDE_CLONES)
        for each in samples
        if each.tool == tools.OURS
    ]


def cloud(samples: Sequence[Sample]) -> list[Promise]:
    """Data for cloud-init."""
    made = []
    for each in (each for each in samples if each.tool in (tools.OURS, tools.REPEAT)):
        again = each.tool == tools.REPEAT
        what = f"cloud-init's data of {each.clones} among {each.vms:,} VMs{', again' if again else ''}"
        made.append(_calls(what, each, CLOUD_CALLS_BESIDE_VMS + (0 if again else each.clones)))
    return made


def areas(found: Areas) -> list[Promise]:
    """Changed areas."""
    # One more than they fill: what is behind the last area has to be covered, too.
    most = found.areas // AREAS_A_PAGE + 1 + CALLS_BESIDE_PAGES
    what = f"{found.areas:,} changed areas of a disk of {found.capacity >> 40} TiB"
    made = [
        _calls(what, found, most),
        _peak(f"for {what}", found.peak_mib, PEAK_MIB),
        _peak(f"for {found.many:,} of them", found.many_peak_mib, PEAK_MIB),
    ]
    if found.areas >= RATIO_FROM_AREAS:
        made.append(Spread.of(found.ratios).at_most(f"seconds for {what}, module by script", RATIO))
    return made


def packages(found: Templates) -> list[Promise]:
    """OVF packages."""
    again = max(each.calls for each in found.turns if each.tool == templates.REPEAT)
    made = [Promise("calls for a template that is there", f"at most {REPEAT_CALLS}", str(again), again <= REPEAT_CALLS)]
    return [*made, _peak(f"for a disk of {found.large.mib:,} MiB", found.large.peak_mib or 0.0, UPLOAD_PEAK_MIB)]
