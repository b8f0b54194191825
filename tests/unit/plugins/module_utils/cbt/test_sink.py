# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Few areas go into the result, many into a file; never a part of one."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import stat
import subprocess
import sys

import pytest
import zstandard

from ansible_collections.vforge.vsphere import plugins
from ansible_collections.vforge.vsphere.plugins.module_utils import _files
from ansible_collections.vforge.vsphere.plugins.module_utils._cbt import sink as sinks
from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.sink import AreaFiles, AreaSink
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, MissingLibrary
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.areas import Area

_AREAS = [Area(10 * number, 5) for number in range(50)]


@pytest.fixture
def sink():
    """A function that makes a sink in a folder, empty for a new one; ``files`` are those of the last one."""
    with contextlib.ExitStack() as stack:

        def make(folder, name="disk", most=1, **how):
            files = stack.enter_context(AreaFiles(str(folder), **how))
            made = AreaSink(files, name, most)
            made.files = files
            return made

        yield make


def fill(sink, areas=_AREAS):
    for area in areas:
        sink.add(area)
    sink.finish()
    return sink


def lines(data):
    return [Area(**json.loads(line)) for line in data.decode().splitlines()]


def test_few_stay_in_the_result(tmp_path, sink):
    made = fill(sink(tmp_path, most=50))
    assert (made.areas, made.path, os.listdir(tmp_path)) == (_AREAS, None, [])


@pytest.mark.parametrize("most", [0, 1, 49])
def test_many_go_into_a_file_all_of_them(tmp_path, sink, most):
    made = fill(sink(tmp_path / "new" / "er", most=most))
    assert made.areas is None
    assert os.listdir(tmp_path / "new" / "er") == ["disk.jsonl"]
    with open(made.path, "rb") as file:
        assert lines(file.read()) == _AREAS
    assert stat.S_IMODE(os.stat(made.path).st_mode) == 0o600


def test_a_file_can_be_compressed(tmp_path, sink):
    made = fill(sink(tmp_path, compress=True))
    assert made.path.endswith("disk.jsonl.zst")
    with open(made.path, "rb") as file:
        assert lines(zstandard.ZstdDecompressor().stream_reader(file).read()) == _AREAS


def test_the_result_holds_so_many_areas_of_all_disks_together(tmp_path, sink):
    first = fill(sink(tmp_path, most=60, room=2000))
    files = first.files
    rest = [fill(AreaSink(files, f"disk-{number}", 60)) for number in range(60)]
    inside = [made for made in rest if made.areas is not None]
    assert len(inside) == 39
    assert all(os.path.exists(made.path) for made in rest if made.areas is None)
    # What was given up, or went into a file, took no room.
    fill(AreaSink(files, "huge", 10), _AREAS)
    given_up = AreaSink(files, "given-up", 60)
    given_up.add(_AREAS[0])
    given_up.abandon()
    assert files.take(1) == 0


class TestTheTemporaryFolder:
    """Where no folder is given."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        """The temporary folder."""
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        return tmp_path

    def test_it_is_for_this_user_alone_and_has_its_name_at_the_end(self, folder, sink):
        made = fill(sink(""))
        assert not os.path.exists(made.path)
        made.files.close(keep=True)
        assert stat.S_IMODE(os.stat(os.path.dirname(made.path)).st_mode) == 0o700
        assert os.path.dirname(os.path.dirname(made.path)) == str(folder)
        with open(made.path, "rb") as file:
            assert lines(file.read()) == _AREAS

    def test_all_files_of_a_task_are_in_one(self, folder, sink):
        made = fill(sink(""))
        fill(AreaSink(made.files, "other", 1))
        made.files.close(keep=True)
        (found,) = folder.iterdir()
        assert sorted(os.listdir(found)) == ["disk.jsonl", "other.jsonl"]

    def test_it_goes_where_nothing_is_to_be_kept(self, folder, sink):
        fill(sink("")).files.close(keep=False)
        assert list(folder.iterdir()) == []

    def test_it_goes_where_nothing_could_be_written(self, folder, sink, monkeypatch):
        made = sink("")
        monkeypatch.setattr(_files, "os", Full())
        with pytest.raises(InvalidOption, match="No space left"):
            fill(made)
        made.abandon()
        made.files.close(keep=True)
        assert list(folder.iterdir()) == []

    def test_it_goes_when_an_error_ends_the_task(self, folder):
        def work():
            with AreaFiles("") as files:
                fill(AreaSink(files, "disk", 1))
                raise KeyError

        with pytest.raises(KeyError):
            work()
        assert list(folder.iterdir()) == []

    def test_that_of_a_killed_run_goes_with_the_next_and_that_of_one_at_work_stays(self, folder, sink):
        child = os.fork()
        if child == 0:
            fill(AreaSink(AreaFiles(""), "disk", 1))
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        (left,) = folder.iterdir()
        at_work = fill(sink(""))
        assert not left.exists()
        fill(sink("")).files.close(keep=True)
        at_work.files.close(keep=True)
        assert os.path.exists(at_work.path)


class Full:
    """The system, on a disk that is full."""

    def __getattr__(self, name):
        return getattr(os, name)

    def write(self, *_args):
        """As on a full disk."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_is_given_up_leaves_nothing_and_the_last_file_stays(tmp_path, sink):
    fill(sink(tmp_path))
    before = (tmp_path / "disk.jsonl").read_bytes()
    made = sink(tmp_path)
    for area in _AREAS[:10]:
        made.add(area)
    made.abandon()
    assert os.listdir(tmp_path) == ["disk.jsonl"]
    assert (tmp_path / "disk.jsonl").read_bytes() == before


def test_the_file_of_an_earlier_run_goes_where_there_is_none_now(tmp_path, sink):
    fill(sink(tmp_path))
    (tmp_path / "other.jsonl").write_text("")
    assert fill(sink(tmp_path, most=50)).path is None
    assert os.listdir(tmp_path) == ["other.jsonl"]
    fill(sink(tmp_path, "other", most=50, write=False))
    assert os.listdir(tmp_path) == ["other.jsonl"]


def test_where_nothing_may_be_written_nothing_is(tmp_path, sink):
    made = fill(sink(tmp_path, most=10, write=False))
    assert (made.areas, made.path, os.listdir(tmp_path)) == (None, None, [])


def test_a_folder_that_cannot_be_is_reported_at_the_beginning_and_at_the_end(tmp_path, sink):
    (tmp_path / "file").write_text("")
    for act in (lambda path: fill(sink(path)), lambda path: sinks.check(str(path), compress=False)):
        with pytest.raises(InvalidOption, match="The file of areas"):
            act(tmp_path / "file" / "folder")
    sinks.check(str(tmp_path / "new" / "folder"), compress=False)
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path, sink):
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "areas").mkdir()
    (tmp_path / "areas" / "disk.jsonl").symlink_to(target)
    with pytest.raises(InvalidOption, match="it is a symbolic link"):
        fill(sink(tmp_path / "areas"))
    assert target.read_text() == "mine"


def test_a_missing_library_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingLibrary, match=r"-m pip install .zstandard"):
        sinks.check("", compress=True)
    sinks.check("", compress=False)


_MILLION_AREAS = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.areas import Area
from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.sink import MOST_IN_RESULT, AreaFiles, AreaSink

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with AreaFiles(sys.argv[2]) as files:
    made = [AreaSink(files, f"disk-{number}", MOST_IN_RESULT) for number in range(20)]
    for each in made:
        for number in range(0, 100_000, 2):
            each.add(Area(number, 1))
        each.finish()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(sum(len(each.areas or ()) for each in made), peak)
"""


def test_a_result_as_large_as_it_may_be_takes_bounded_memory(tmp_path):
    """A million areas, of which the result holds what it may: the rest is in files."""
    # A process of its own: its largest size costs nothing to measure, where a trace of each object costs half a minute.
    root = next(iter(plugins.__path__)).rpartition("/ansible_collections/")[0]
    command = [sys.executable, "-c", _MILLION_AREAS, root, str(tmp_path / "areas")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    in_result, peak = map(int, told.split())
    assert in_result == sinks.MOST_IN_RESULT
    # As areas they take 15 MiB, as what Ansible is told five times as much.
    assert peak << 10 < 64 << 20
