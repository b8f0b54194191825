# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the benchmark says of its figures: their spread, when they are taken again, and when they stay out of the docs."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._cpu import read as cpu

_TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_TESTS / "benchmarks"), str(_TESTS / "tools")]

from bench import document, processors, profiles, report, roles, starts, vmdks  # noqa: E402
from bench.report import Load, Promise, Report, Spread, in_turns  # noqa: E402


def test_a_figure_has_its_median_its_ends_and_its_number():
    assert Spread.of([1.0, 0.9, 1.25]).text() == "1.00 (0.90 to 1.25, n = 3)"


@pytest.mark.parametrize(("ratios", "taken"), [((1.0, 1.1, 1.05), 3), ((1.0, 3.0, 1.0, 1.0, 1.0), 5), ((1.0, 3.0), 6)])
def test_what_scatters_is_measured_again_up_to_a_number(ratios, taken):
    asked = []

    def turn(number):
        asked.append(number)
        return ratios[number % len(ratios)]

    found = in_turns(turn, 3, 6 if ratios == (1.0, 3.0) else 5)
    assert asked == list(range(taken))
    assert len(found.values) == taken


@pytest.mark.parametrize(
    ("promise", "kept"),
    [
        (Spread.of([1.2, 1.3, 9.0]).at_most("", 1.3), True),
        (Spread.of([1.2, 1.31, 9.0]).at_most("", 1.3), False),
        (Spread.of([0.1, 0.95, 0.95]).at_least("", 0.95), True),
        (Spread.of([0.94]).at_least("", 0.95), False),
    ],
)
def test_a_promise_is_about_the_median(promise, kept):
    assert promise.kept is kept


@pytest.mark.parametrize(
    ("load", "shared"),
    [
        (Load(begin=9.0, end=9.0, others=0.02), False),
        (Load(begin=0.0, end=2.0, others=0.5), True),
        # Where the system does not say what others took, the load before our own work is all there is.
        (Load(begin=9.0, end=9.0), True),
        (Load(begin=0.0, end=9.0), False),
    ],
)
def test_a_machine_is_shared_when_others_take_its_processors(load, shared):
    assert load.shared is shared


@pytest.mark.parametrize(("busy", "others"), [((100.0, 100.0), 0.0), ((100.0, 103.0), 0.75)])
def test_other_work_is_what_the_processors_did_besides_ours(monkeypatch, busy, others):
    clock, counter = iter([10.0, 12.0]), iter(busy)
    monkeypatch.setattr(report.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(report.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(report, "_busy", lambda: next(counter))
    monkeypatch.setattr(report, "_own", lambda: 0.0)
    with report.watched() as load:
        pass
    assert load.others == pytest.approx(others)


def found(part, others, picture=None):
    """A report of a part."""
    promise = Promise(f"calls of {part}", "at most 1", "1", kept=True)
    pictures = [picture] if picture else []
    load = Load(begin=0.1, end=0.2, others=others)
    machine = {"machine": "2 cores"}
    return Report(part, f"## {part}\n", "", [promise], pictures, load, 1.0, "2026-11-29", machine=machine)


def test_a_part_is_kept_for_the_page_as_it_was(tmp_path):
    kept = found("uploads", 0.5, "growth.svg")
    kept.save(tmp_path)
    assert Report.load_from(tmp_path, "uploads") == kept
    assert Report.load_from(tmp_path, "inventory") is None


def test_the_page_marks_what_was_measured_while_others_worked(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "growth.svg").write_text("<svg/>", encoding="utf-8")
    docs = tmp_path / "docs"
    page = document.write([found("uploads", 0.0), found("documents", 0.5, "growth.svg")], tmp_path, docs)
    text = page.read_text(encoding="utf-8")
    quiet, busy = text.partition("## uploads")[2].split("## documents")
    assert "other work ran" not in quiet
    assert "other work ran on the machine (load 0.1 at the start and 0.2 at the end, other work took 50 %" in busy
    assert "| calls of uploads | at most 1 | 1 | yes |" in text
    assert (docs / "images" / "growth.svg").read_text(encoding="utf-8") == "<svg/>"


def test_a_flame_graph_names_no_folder_of_the_machine(tmp_path):
    picture = tmp_path / "profile.svg"
    picture.write_text(
        '<svg><text id="title" x="1">py-spy record -- /home/somebody/module</text><text>main</text></svg>', encoding="utf-8"
    )
    profiles.entitle(picture, "1,000 clones")
    assert picture.read_text(encoding="utf-8") == '<svg><text id="title" x="1">1,000 clones</text><text>main</text></svg>'


def test_the_script_beside_cpu_features_info_reads_the_same_properties():
    script = runpy.run_path(str(_TESTS / "benchmarks" / "scripts" / "processors.py"))
    for ours, theirs in ((cpu._PLACES, script["PLACES"]), (cpu._EVERY, script["VMS"])):
        assert {kind: sorted(paths) for kind, paths in ours.items()} == {kind: sorted(paths) for kind, paths in theirs.items()}


@pytest.mark.parametrize(
    ("side", "ratio", "kept"),
    [
        (processors.Side([3.0], [149.0], 12, 20, [4.9]), 0.5, [True, True, True, True]),
        (processors.Side([3.0], [150.0], 13, 0, [5.1]), 0.51, [False, False, False, False]),
    ],
)
def test_what_is_promised_of_a_comparison_are_calls_memory_and_time(side, ratio, kept):
    made = processors.promises(10_000, side, Spread.of([ratio]))
    assert [promise.kept for promise in made] == kept
    # Of few VMs, what would be compared is the start of Python.
    assert len(processors.promises(500, side, Spread.of([ratio]))) == 2


def test_what_a_module_costs_is_compared_beside_ping():
    sides = {
        starts.PING: starts.Side([0.4, 0.4], [0.25, 0.25]),
        starts.NOW: starts.Side([0.7, 0.8], [0.5, 0.5]),
        starts.EARLIER: starts.Side([1.2, 1.2], [0.55, 0.55]),
    }
    first, more = starts.promises(sides)
    assert (first.measured.partition(" ")[0], first.kept) == ("0.44", True)
    assert (more.measured.partition(" ")[0], more.kept) == ("0.83", False)
    # Without the history of the checkout there is nothing to compare with.
    assert starts.promises({tool: side for tool, side in sides.items() if tool != starts.EARLIER}) == []


def test_ten_seconds_of_the_controller_are_promised_of_many_vms_alone():
    rows = [roles.Row("evc_baseline", 9.9, 40.0, 7), roles.Row("cbt_backup", 10.1, 1.0, 3)]
    assert [promise.kept for promise in roles.promises(1_000, rows)] == [True, False]
    assert roles.promises(10, rows) == []


def test_every_role_has_a_row_or_a_reason():
    there = {path.name for path in (_TESTS.parent / "roles").iterdir()}
    said = {each.role for each in roles.SCENES} | {name for name in there if f"`{name}`" in roles._TEXT}
    assert there == said


@pytest.mark.parametrize(
    ("side", "kept"),
    [
        (vmdks.Side([10.0], [9.1], 119.0, 20), [True, True, True]),
        (vmdks.Side([10.0], [8.9], 120.0, 21), [False, False, False]),
    ],
)
def test_what_is_promised_of_a_disk_are_rate_memory_and_calls(side, kept):
    assert [promise.kept for promise in vmdks.promises(1_024, {vmdks.EXPORT: side})] == kept
    assert len(vmdks.promises(64, {vmdks.EXPORT: side})) == 2
