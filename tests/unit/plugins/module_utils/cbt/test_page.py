# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page for people: whole HTML that asks for nothing from elsewhere, and says in words what it draws."""

from __future__ import annotations

import html.parser
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._cbt import report
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.plugin_utils import changed_areas_page as page
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.support import MIB

_VOID = {"meta", "rect", "path", "br"}


class Reader(html.parser.HTMLParser):
    """Checks that elements nest, and collects texts, elements and attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.elements, self.attributes, self.text = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read(text):
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture
def nights(areas, tmp_path):
    """What three nights make of a report."""
    asked = {"state_file": str(tmp_path / "state.json"), "runs": 14}
    ran = areas.night(**asked)
    for night in range(2):
        areas.sim.write_disk("web-1", offset=night * 32 * MIB, length=MIB, seed=1)
        ran = areas.night(**asked)
    return shown(ran)


def shown(ran):
    question = {"at": "2026-05-01T02:00:00.000+00:00"}
    return read(page.render({**ran.result, "question": question}, "vcenter.example.com"))


def test_it_shows_the_disk_run_by_run_in_pictures_and_in_words(nights):
    assert nights.elements.count("svg") == 1 + 3 + 3  # a bar for the VM and for each run, and a strip for each run
    labels = [value for name, value in nights.attributes if name == "aria-label"]
    assert [label.rpartition(": ")[2] for label in labels] == ["1 MiB", "1 MiB", "all of it"]
    assert "no_change_id" in nights.text
    assert re.search(r"32 MiB\s*33 MiB\s*1 MiB\s*100 %", nights.text)


def test_it_shows_all_disks_together_run_by_run(nights):
    words = " ".join(nights.text.split())
    assert "1 MiB changed (1.56 %), in 1 area." in words
    assert re.search(r"Run by run .* 1 MiB 1 disk \S+ \S+ 1 MiB 1 disk \S+ \S+ 0 B 1 disk, 1 to read whole \(64 MiB\)", words)


def test_of_very_many_disks_fewer_runs_are_drawn(areas, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "MOST_RUNS", 2)
    ran = None
    for _night in range(4):
        ran = areas.night(state_file=str(tmp_path / "state.json"), runs=14)
    assert shown(ran).attributes.count(("class", "strip")) == 2


def test_it_asks_for_nothing_from_elsewhere(nights):
    assert not {"script", "link", "img", "iframe"} & set(nights.elements)
    assert not {"src", "href"} & {name for name, _value in nights.attributes}
    assert ("http-equiv", "Content-Security-Policy") in nights.attributes


def test_names_are_text_whatever_they_hold(start):
    areas = start()
    areas.make("<b>&amp;<script>alert(1)<%2fscript>")
    moid = next(iter(areas.vm("<b>&amp;<script>alert(1)<%2fscript>")._moId.splitlines()))
    reader = shown(areas.run(vm={"moid": moid}, runs=1))
    assert "script" not in reader.elements
    assert "<b>&amp;<script>alert(1)</script>" in reader.text


def test_what_failed_and_what_is_left_out_is_said(start):
    areas = start()
    for name in ("web-1", "web-2"):
        areas.sim.create_vm(name, on=False, disks=[{"bytes": MIB}, {"bytes": MIB, "mode": "independent_persistent"}])
        areas.run(vm={"name": name}, state="enabled")
    areas.sim.inject(method="QueryChangedDiskAreas", name="web-2", do="fault", fault="SystemError", message="a disk on fire")
    ran = areas.attempt(vms=[{"name": "web-1"}, {"name": "web-2"}, {"path": "/DC0/vm/<i>gone"}], runs=1)
    text = shown(ran).text
    assert "No VM with the path /DC0/vm/<i>gone was found" in text
    assert "a disk on fire" in text
    assert "snapshots leave independent disks out" in text


@given(st.lists(st.integers(0, 1000), max_size=64))
def test_cells_draw_every_region_that_changed_and_no_other(regions):
    drawn = {place: level for first, count, level in page.cells(regions, 1000) for place in range(first, first + count)}
    assert drawn == {place: page.level_of(changed, 1000) for place, changed in enumerate(regions) if changed}


def test_a_little_is_drawn_too():
    assert [page.level_of(changed, 1 << 30) for changed in (0, 1, 1 << 27, 1 << 30)] == [0, 1, 3, 5]


def test_the_runs_before_are_asked_for_and_only_then_a_page_can_be_made(areas):
    for result in (areas.run().result, {}, {"vms": None, "totals": {}}):
        with pytest.raises(InvalidOption, match="The option result"):
            page.render(result)


def test_a_page_of_what_was_not_noted_has_the_time_of_its_newest_run(areas):
    result = areas.run(runs=2).result
    (disk,) = result["vms"][0]["disks"]
    assert result["question"] is None
    disk["runs"][-1]["at"] = "2026-05-01T02:00:00.000+00:00"
    assert "2026-05-01 02:00 UTC" in page.render(result)
    disk["runs"] = []
    assert "<title>Changed areas</title>" in page.render(result)


def test_the_first_and_the_last_runs_are_in_the_result(areas, tmp_path):
    """One that was never committed is asked once more: the last one has what it found."""
    asked = {"state_file": str(tmp_path / "state.json"), "runs": 2}
    areas.night(**asked)
    areas.run(**asked)
    areas.sim.write_disk("web-1", offset=0, length=MIB, seed=1)
    first, last = areas.run(**asked).disk["runs"]
    assert (first["full_required"], last["full_required"]) == ("no_change_id", None)
    assert (last["changed_bytes"], last["regions"][:2]) == (MIB, [MIB, 0])
    assert "runs" not in areas.run(state_file=asked["state_file"]).disk
    # Check mode has not asked: it has what is known.
    assert areas.run(check=True, **asked).disk["runs"][0]["at"] == first["at"]
