# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The figures as tables: rows of text that both the terminal and the document show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.figures import Areas, Latency, Memory, Sample, Templates, Upload
from bench.report import Promise, Spread
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
    """One table for each size of the inventory: what the server counted, which is the same in every run."""
    head = ("", "clones", "calls", "a clone", "rounds", "logins")
    return [
        Table(f"{what}{vms:,} VMs in the inventory", head, [_row(sample) for sample in samples if sample.vms == vms])
        for vms in dict.fromkeys(sample.vms for sample in samples)
    ]


def _row(sample: Sample) -> tuple[str, ...]:
    digits = 0 if sample.calls_a_clone >= 100 else 1
    calls, each = f"{sample.calls:,}", f"{sample.calls_a_clone:,.{digits}f}"
    return (sample.tool, str(sample.clones), calls, each, f"{sample.rounds:,}", str(sample.logins))


def in_inventories(title: str, column: str, samples: Sequence[Sample]) -> Table:
    """What one flow cost, in each inventory. column: what there is so much of."""
    head = ("", "VMs before", column, "calls", "rounds", "logins")
    rows = [
        (each.tool, f"{each.vms:,}", str(each.clones), f"{each.calls:,}", str(each.rounds), str(each.logins))
        for each in samples
    ]
    return Table(title, head, rows)


def latency(latencies: Sequence[Latency]) -> Table:
    """The module beside the plain script."""
    first = latencies[0]
    head = ("median (smallest to largest, turns)", *(f"{item.clone_ms} ms a clone" for item in latencies))
    rows: dict[str, Callable[[Latency], list[float]]] = {
        "module by plain script, connect to result": lambda item: item.ratios,
        "seconds of the plain script": lambda item: item.plain_spans,
        "seconds of the module": lambda item: item.module_spans,
        "seconds of the script, whole process": lambda item: item.plain_processes,
        "seconds of ansible-playbook, whole process": lambda item: item.module_processes,
    }
    cells = [(name, *(Spread.of(of(item)).text() for item in latencies)) for name, of in rows.items()]
    return Table(f"{first.clones} clones, {first.latency_ms} ms latency on every call", head, cells)


def promised(promises: Sequence[Promise]) -> Table:
    """The promises."""
    rows = [(promise.what, promise.bound, promise.measured, "yes" if promise.kept else "NO") for promise in promises]
    return Table("What is promised", ("", "bound", "measured", "kept"), rows)


def memory(found: Sequence[Memory]) -> Table:
    """Many clones in one task."""
    rows = [
        (
            f"{used.clones:,}",
            f"{used.peak_mib:.0f}",
            f"{used.calls:,}",
            f"{used.cpu:.1f}",
            f"{1000 * used.cpu / used.clones:.1f}",
        )
        for used in found
    ]
    head = ("clones in one task", "MiB at most", "calls", "processor seconds", "ms a clone")
    return Table("Memory of the module's process", head, rows)


def areas(found: Areas) -> Table:
    """Changed areas, the module beside the plain script."""
    head = ("median (smallest to largest, turns)", "")
    rows = [
        ("module by plain script, connect to result", Spread.of(found.ratios).text()),
        ("seconds of the plain script", Spread.of(found.plain_spans).text()),
        ("seconds of the module", Spread.of(found.module_spans).text()),
    ]
    title = (
        f"{found.areas:,} changed areas of a disk of {found.capacity >> 40} TiB; "
        f"module: {found.calls} calls, {found.pages} of them pages, {found.peak_mib:.0f} MiB; "
        f"{found.many:,} areas: {found.many_peak_mib:.0f} MiB"
    )
    return Table(title, head, rows)


def templates(found: Templates) -> Table:
    """A package with a large disk, by each tool."""
    groups: dict[tuple[str, str], list[Upload]] = {}
    for each in found.turns:
        groups.setdefault((each.tool, each.how), []).append(each)
    rows = []
    for (tool, how), turns in groups.items():
        measured = any(each.rate is not None for each in turns)
        rows.append(
            (
                f"{tool}, verify: {how}" if tool == OURS else tool,
                str(max(each.calls for each in turns)),
                Spread.of([each.seconds for each in turns]).text(1),
                Spread.of(found.ratios(tool, how, CURL)).text() if measured else "",
            )
        )
    return Table(f"A package with a disk of {found.turns[0].mib} MiB", ("", "calls", "seconds", "rate by curl"), rows)


def large(used: Upload) -> str:
    """One sentence."""
    return f"A disk of {used.mib:,} MiB: {used.peak_mib or 0:.0f} MiB of memory at most."
