# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The figures as tables: rows of text that both the terminal and the document show."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.figures import Figures, Latency, Sample, Upload
from bench.promises import Promise
from bench.templates import CURL, OURS


@dataclass(frozen=True)
class Table:
    """A title, a head and rows; the first column is text, the others are figures."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def as_text(self) -> str:
        """For a terminal."""
        widths = [max(len(row[at]) for row in [self.head, *self.rows]) for at in range(len(self.head))]

        def line(row: Sequence[str]) -> str:
            cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
            return "  ".join(cells).rstrip()

        return "\n".join([self.title, line(self.head), "-" * len(line(self.head)), *map(line, self.rows)])

    def as_markdown(self) -> str:
        """For a document, without the title."""
        marks = ("---", *["---:"] * (len(self.head) - 1))
        # A row that continues the one above is indented in the terminal.
        rows = (("… " + row[0].strip() if row[0].startswith(" ") else row[0], *row[1:]) for row in self.rows)
        return "\n".join(f"| {' | '.join(row)} |" for row in (self.head, marks, *rows))


def side_by_side(samples: Sequence[Sample], what: str = "") -> list[Table]:
    """One table for each size of the inventory."""
    head = ("", "clones", "calls", "a clone", "rounds", "logins", "seconds", "a clone")
    return [
        Table(f"{what}{vms:,} VMs in the inventory", head, [_row(sample) for sample in samples if sample.vms == vms])
        for vms in dict.fromkeys(sample.vms for sample in samples)
    ]


def fleets(figures: Figures) -> Table:
    """The role, in each inventory."""
    head = ("", "VMs before", "clones", "calls", "rounds", "logins", "seconds")
    rows = [
        (
            each.tool,
            f"{each.vms:,}",
            str(each.clones),
            f"{each.calls:,}",
            str(each.rounds),
            str(each.logins),
            f"{each.seconds:.1f}",
        )
        for each in figures.fleets
    ]
    return Table("A fleet over three hosts", head, rows)


def cloud(figures: Figures) -> Table:
    """Data for cloud-init, in each inventory."""
    head = ("", "VMs before", "VMs", "calls", "rounds", "logins", "seconds")
    rows = [
        (
            each.tool,
            f"{each.vms:,}",
            str(each.clones),
            f"{each.calls:,}",
            str(each.rounds),
            str(each.logins),
            f"{each.seconds:.1f}",
        )
        for each in figures.cloud
    ]
    return Table("Data for cloud-init", head, rows)


def _row(sample: Sample) -> tuple[str, ...]:
    return (
        sample.tool,
        str(sample.clones),
        f"{sample.calls:,}",
        f"{sample.calls_a_clone:,.{0 if sample.calls_a_clone >= 100 else 1}f}",
        f"{sample.rounds:,}",
        str(sample.logins),
        f"{sample.seconds:.1f}",
        f"{sample.seconds_a_clone:.2f}",
    )


def latency(figures: Figures) -> Table:
    """The module beside the plain script."""
    first = figures.latencies[0]
    head = ("seconds, median (smallest-largest)", *(f"{item.clone_ms} ms a clone" for item in figures.latencies))
    rows: dict[str, Callable[[Latency], list[float]]] = {
        "plain script, connect to result": lambda item: item.plain_spans,
        "module, connect to result": lambda item: item.module_spans,
        "ratio of these two": lambda item: item.ratios,
        "plain script, whole process": lambda item: item.plain_processes,
        "ansible-playbook, whole process": lambda item: item.module_processes,
    }
    cells = [(name, *(_spread(of(item)) for item in figures.latencies)) for name, of in rows.items()]
    title = f"{first.clones} clones, {first.latency_ms} ms latency on every call, {len(first.plain_spans)} turns each"
    return Table(title, head, cells)


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def kept(promises: Sequence[Promise]) -> Table:
    """The promises."""
    rows = [(promise.what, promise.bound, promise.measured, "yes" if promise.kept else "NO") for promise in promises]
    return Table("What is promised", ("", "at most", "measured", "kept"), rows)


def memory(figures: Figures) -> str:
    """One sentence."""
    if figures.memory is None:
        return ""
    used = figures.memory
    return (
        f"{used.clones:,} clones in one task: {used.peak_mib:.0f} MiB at most, {used.calls:,} calls, {used.cpu:.1f} s of CPU, "
        f"{used.span:.1f} s."
    )


def areas(figures: Figures) -> Table:
    """Changed areas, the module beside the plain script."""
    found = figures.areas
    assert found is not None
    head = ("seconds, median (smallest-largest)", "")
    rows = [
        ("plain script, connect to result", _spread(found.plain_spans)),
        ("module, connect to result", _spread(found.module_spans)),
        ("ratio of these two", _spread(found.ratios)),
    ]
    title = (
        f"{found.areas:,} changed areas of a disk of {found.capacity >> 40} TiB, {len(found.plain_spans)} turns each; "
        f"module: {found.calls} calls, {found.pages} of them pages, {found.peak_mib:.0f} MiB"
    )
    return Table(title, head, rows)


def templates(figures: Figures) -> Table:
    """A package with a large disk, by each tool: the median of its turns."""
    found = figures.templates
    assert found is not None
    groups: dict[tuple[str, str], list[Upload]] = {}
    for each in found.turns:
        groups.setdefault((each.tool, each.how), []).append(each)
    rows = []
    for (tool, how), turns in groups.items():
        rates = [each.rate for each in turns if each.rate is not None]
        by_curl = f"{statistics.median(found.ratios(tool, how, CURL)):.2f}" if rates else ""
        rows.append(
            (
                f"{tool}, verify: {how}" if tool == OURS else tool,
                str(max(each.calls for each in turns)),
                _spread([each.seconds for each in turns]),
                f"{statistics.median(rates):.0f}" if rates else "",
                by_curl,
            )
        )
    head = ("", "calls", "seconds, median (smallest-largest)", "MiB/s", "by curl")
    return Table(f"A package with a disk of {found.turns[0].mib} MiB", head, rows)


def large(figures: Figures) -> str:
    """One sentence."""
    if figures.templates is None:
        return ""
    used = figures.templates.large
    return f"A disk of {used.mib:,} MiB: {used.peak_mib or 0:.0f} MiB of memory at most, {used.rate or 0:.0f} MiB/s."


def render(figures: Figures, promises: Sequence[Promise]) -> str:
    """Everything, for a terminal of 80 columns."""
    parts = [table.as_text() for table in side_by_side(figures.samples)]
    parts += [table.as_text() for table in side_by_side(figures.linked, "Linked clones, ")]
    if figures.cloud:
        parts.append(cloud(figures).as_text())
    if figures.latencies:
        parts.append(latency(figures).as_text())
    if figures.fleets:
        parts.append(fleets(figures).as_text())
    if figures.areas is not None:
        parts.append(areas(figures).as_text())
    if figures.templates is not None:
        parts += [templates(figures).as_text(), large(figures)]
    parts += [memory(figures), kept(promises).as_text()]
    return "\n" + "\n\n".join(part for part in parts if part) + "\n"
