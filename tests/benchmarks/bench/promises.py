# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the collection promises, and whether the figures keep it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from bench import templates, tools
from bench.figures import Figures

CALLS_BESIDE_CLONES = 14
RATIO = 1.3
PEAK_MIB = 150
FLEET_CALLS_BESIDE_CLONES = 60
FLEET_LOGINS = 3
LINKED_CALLS_BESIDE_CLONES = 20
CLOUD_CALLS_BESIDE_VMS = 16
AREAS_A_PAGE = 2_000
UPLOAD_BY_CURL = 0.8
REPEAT_CALLS = 10
# A small file is over before its connection is fast.
RATIO_FROM_MIB = 512
CALLS_BESIDE_PAGES = 14
# With few areas the comparison is one of connecting and looking up, which the script does not do.
RATIO_FROM_AREAS = 100_000
# Without any time for the clone itself the comparison is one of overheads; real clones take a second or so.
RATIO_FROM_CLONE_MS = 20


@dataclass(frozen=True)
class Promise:
    """One promise: what, its bound and the measured value as text, and whether it is kept."""

    what: str
    bound: str
    measured: str
    kept: bool


def check(figures: Figures) -> list[Promise]:
    """Every promise of which there are figures."""
    return [
        *_calls(figures),
        *_kept_sessions(figures),
        *_ratios(figures),
        *_memory(figures),
        *_fleets(figures),
        *_linked(figures),
        *_cloud(figures),
        *_areas(figures),
        *_templates(figures),
    ]


def _calls(figures: Figures) -> list[Promise]:
    samples = figures.of(tools.OURS)
    made = []
    for sample in samples:
        most = sample.clones + CALLS_BESIDE_CLONES
        what = f"calls for {sample.clones} clones among {sample.vms:,} VMs"
        made.append(Promise(what, f"{most:,}", f"{sample.calls:,}", sample.calls <= most))
    if memory := figures.memory:
        most = memory.clones + CALLS_BESIDE_CLONES
        what = f"calls for {memory.clones:,} clones among 10 VMs"
        made.append(Promise(what, f"{most:,}", f"{memory.calls:,}", memory.calls <= most))
    counts = {sample.calls for sample in samples}
    what = "the same number of calls in every inventory"
    return [*made, Promise(what, "yes", "yes" if len(counts) == 1 else "no", len(counts) == 1)]


def _kept_sessions(figures: Figures) -> list[Promise]:
    samples = [*figures.of(tools.KEPT), *figures.of(tools.REPEAT)]
    logins, logouts = sum(sample.logins for sample in samples), sum(sample.logouts for sample in samples)
    what = "logins and logouts of tasks with a kept session"
    return [Promise(what, "0", str(logins + logouts), logins + logouts == 0)]


def _ratios(figures: Figures) -> list[Promise]:
    return [
        Promise(
            f"{latency.clones} clones with {latency.latency_ms} ms latency, module by script",
            f"{RATIO:.2f}",
            f"{latency.ratio:.2f}",
            latency.ratio <= RATIO,
        )
        for latency in figures.latencies
        if latency.clone_ms >= RATIO_FROM_CLONE_MS
    ]


def _memory(figures: Figures) -> list[Promise]:
    if figures.memory is None:
        return []
    what = f"peak memory of the module, {figures.memory.clones:,} clones, MiB"
    return [Promise(what, str(PEAK_MIB), f"{figures.memory.peak_mib:.0f}", figures.memory.peak_mib < PEAK_MIB)]


def _fleets(figures: Figures) -> list[Promise]:
    made = []
    for sample in (each for each in figures.fleets if each.tool == tools.FLEET):
        most = sample.clones + FLEET_CALLS_BESIDE_CLONES
        what = f"{sample.clones} clones over three hosts, parents included, among {sample.vms:,} VMs"
        made.append(Promise(f"calls for {what}", f"{most:,}", f"{sample.calls:,}", sample.calls <= most))
        made.append(Promise(f"logins for {what}", str(FLEET_LOGINS), str(sample.logins), sample.logins <= FLEET_LOGINS))
    return made


def _linked(figures: Figures) -> list[Promise]:
    made = []
    for sample in (each for each in figures.linked if each.tool == tools.OURS):
        most = sample.clones + LINKED_CALLS_BESIDE_CLONES
        what = f"calls for {sample.clones} linked clones among {sample.vms:,} VMs"
        made.append(Promise(what, f"{most:,}", f"{sample.calls:,}", sample.calls <= most))
    return made


def _cloud(figures: Figures) -> list[Promise]:
    made = []
    for sample in (each for each in figures.cloud if each.tool in (tools.OURS, tools.REPEAT)):
        again = sample.tool == tools.REPEAT
        most = CLOUD_CALLS_BESIDE_VMS + (0 if again else sample.clones)
        what = f"calls for cloud-init's data of {sample.clones} among {sample.vms:,} VMs{', again' if again else ''}"
        made.append(Promise(what, f"{most:,}", f"{sample.calls:,}", sample.calls <= most))
    return made


def _areas(figures: Figures) -> list[Promise]:
    if figures.areas is None:
        return []
    areas = figures.areas
    # One more than they fill: what is behind the last area has to be covered, too.
    most = areas.areas // AREAS_A_PAGE + 1 + CALLS_BESIDE_PAGES
    what = f"{areas.areas:,} changed areas of a disk of {areas.capacity >> 40} TiB"
    made = [
        Promise(f"calls for {what}", str(most), str(areas.calls), areas.calls <= most),
        Promise(f"peak memory for {what}, MiB", str(PEAK_MIB), f"{areas.peak_mib:.0f}", areas.peak_mib < PEAK_MIB),
    ]
    if areas.areas >= RATIO_FROM_AREAS:
        what = f"seconds for {what}, module by script"
        made.append(Promise(what, f"{RATIO:.2f}", f"{areas.ratio:.2f}", areas.ratio <= RATIO))
    return made


def _templates(figures: Figures) -> list[Promise]:
    if figures.templates is None:
        return []
    found = figures.templates
    again = max(each.calls for each in found.turns if each.tool == templates.REPEAT)
    made = [Promise("calls for a template that is there", str(REPEAT_CALLS), str(again), again <= REPEAT_CALLS)]
    peak = found.large.peak_mib or 0.0
    what = f"peak memory for a disk of {found.large.mib:,} MiB, MiB"
    made.append(Promise(what, str(PEAK_MIB), f"{peak:.0f}", peak < PEAK_MIB))
    mib = found.turns[0].mib
    if mib >= RATIO_FROM_MIB:
        ratio = statistics.median(found.ratios(templates.OURS, "stream", templates.CURL))
        what = f"rate for {mib} MiB with its manifest, by that of curl (at least)"
        made.append(Promise(what, f"{UPLOAD_BY_CURL:.2f}", f"{ratio:.2f}", ratio >= UPLOAD_BY_CURL))
    return made
