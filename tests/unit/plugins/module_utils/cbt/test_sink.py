# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Few areas go into the result, many into a file; never a part of one."""

from __future__ import annotations

import json
import os
import stat
import sys

import pytest
import zstandard

from ansible_collections.vforge.vsphere.plugins.module_utils._cbt import sink as sinks
from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.areas import Area
from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.sink import AreaSink
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, MissingLibrary

_AREAS = [Area(10 * number, 5) for number in range(50)]


def fill(sink, areas=_AREAS):
    for area in areas:
        sink.add(area)
    sink.finish()
    return sink


def lines(data):
    return [Area(**json.loads(line)) for line in data.decode().splitlines()]


def test_few_stay_in_the_result(tmp_path):
    sink = fill(AreaSink(str(tmp_path), "disk", 50))
    assert (sink.areas, sink.path, os.listdir(tmp_path)) == (_AREAS, None, [])


@pytest.mark.parametrize("most", [0, 1, 49])
def test_many_go_into_a_file_all_of_them(tmp_path, most):
    sink = fill(AreaSink(str(tmp_path / "new"), "disk", most))
    assert sink.areas is None
    assert os.listdir(tmp_path / "new") == ["disk.jsonl"]
    with open(sink.path, "rb") as file:
        assert lines(file.read()) == _AREAS
    assert stat.S_IMODE(os.stat(sink.path).st_mode) == 0o600


def test_a_file_can_be_compressed(tmp_path):
    sink = fill(AreaSink(str(tmp_path), "disk", 1, compress=True))
    assert sink.path.endswith("disk.jsonl.zst")
    with open(sink.path, "rb") as file:
        assert lines(zstandard.ZstdDecompressor().stream_reader(file).read()) == _AREAS


def test_without_a_folder_a_new_one_is_made_for_this_user_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    sink = fill(AreaSink("", "disk", 1))
    assert stat.S_IMODE(os.stat(os.path.dirname(sink.path)).st_mode) == 0o700
    assert os.path.dirname(os.path.dirname(sink.path)) == str(tmp_path)


def test_what_is_given_up_leaves_nothing_and_the_last_file_stays(tmp_path):
    fill(AreaSink(str(tmp_path), "disk", 1))
    before = (tmp_path / "disk.jsonl").read_bytes()
    sink = AreaSink(str(tmp_path), "disk", 1)
    for area in _AREAS[:10]:
        sink.add(area)
    sink.abandon()
    assert os.listdir(tmp_path) == ["disk.jsonl"]
    assert (tmp_path / "disk.jsonl").read_bytes() == before


def test_the_file_of_an_earlier_run_goes_where_there_is_none_now(tmp_path):
    fill(AreaSink(str(tmp_path), "disk", 1))
    (tmp_path / "other.jsonl").write_text("")
    assert fill(AreaSink(str(tmp_path), "disk", 50)).path is None
    assert os.listdir(tmp_path) == ["other.jsonl"]
    fill(AreaSink(str(tmp_path), "other", 50, write=False))
    assert os.listdir(tmp_path) == ["other.jsonl"]


def test_where_nothing_may_be_written_nothing_is(tmp_path):
    sink = fill(AreaSink(str(tmp_path), "disk", 10, write=False))
    assert (sink.areas, sink.path, os.listdir(tmp_path)) == (None, None, [])


def test_a_folder_that_cannot_be_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidOption, match="areas_directory"):
        fill(AreaSink(str(tmp_path / "file" / "folder"), "disk", 1))


def test_a_missing_library_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingLibrary, match="pip install zstandard"):
        sinks.require(compress=True)
    sinks.require(compress=False)
