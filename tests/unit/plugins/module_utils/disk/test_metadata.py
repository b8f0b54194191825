# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk database of a VMDK on this machine: what is written to it, and what is refused."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._disk import metadata
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, NotFound
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import vmdk
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.disk.running import alone, one

TEXT = b'# Disk DescriptorFile\nCID=fffffffe\n\nRW 20480 FLAT "a-flat.vmdk" 0\n\nddb.adapterType = "lsilogic"\n'

names = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)
values = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"], exclude_characters='"'), max_size=9)
pairs = st.dictionaries(names, values, max_size=5)


@pytest.fixture
def flat(raw, judges, tmp_path):
    """A VMDK in two files."""
    return judges.make(raw, tmp_path / "a.vmdk", "vmdk", "-o", "subformat=monolithicFlat")


def describe(path, *, check=False, **entries):
    """The only entry of a task."""
    return one(alone(state="described", path=str(path), metadata=entries, check=check))


@given(pairs, pairs, st.sampled_from([b"\n", b"\r\n"]), st.booleans())
def test_what_is_asked_for_is_there_and_all_else_stays(before, asked, end, ended):
    lines = TEXT.splitlines() + [f'ddb.{name} = "{value}"'.encode() for name, value in before.items()]
    old = end.join(lines) + (end if ended else b"")
    new = metadata.changed(old, asked)
    want = {"adaptertype": "lsilogic", **before, **asked}
    for name, value in asked.items():
        if not value:
            del want[name]
    assert metadata.entries(vmdk.descriptor(new, "a")) == want
    assert new.splitlines()[: len(TEXT.splitlines()) - 1] == lines[: len(TEXT.splitlines()) - 1]
    assert metadata.changed(new, asked) == new


def test_what_is_added_goes_before_the_zeros_at_the_end():
    long = {"comment": "x" * 600}
    new = metadata.changed(TEXT.ljust(512, b"\0"), long)
    assert (len(new), metadata.entries(vmdk.descriptor(new, "a"))["comment"]) == (1024, "x" * 600)
    assert metadata.changed(new, {"comment": ""}) == TEXT.ljust(512, b"\0")


def test_an_entry_keeps_the_case_of_its_name_and_is_there_once():
    twice = TEXT + b'ddb.ADAPTERTYPE = "ide"\n'
    assert metadata.changed(twice, {"adaptertype": "buslogic"}) == TEXT.replace(b"lsilogic", b"buslogic")


@pytest.mark.parametrize(
    "asked",
    [
        {"a b": "x"},
        {"": "x"},
        {"a": "x", "ddb.A": "y"},
        {"a": 'x"y'},
        {"a": "x\ny"},
        {"a": "ü"},
        {"a": "x" * 1025},
        {"a": True},
        {"a": ["x"]},
        {"a": None},
        {"geometry.heads": 1},
        {"ddb.longContentID": "0"},
        {"thinProvisioned": "1"},
    ],
)
def test_what_cannot_be_in_a_descriptor_is_refused(asked):
    with pytest.raises(InvalidOption) as refused:
        metadata.wanted(asked)
    assert refused.value.details["option"] == "metadata"


def test_metadata_is_written_and_read_by_others(flat, raw, judges):
    os.chmod(flat, 0o640)
    before = flat.read_bytes()
    assert describe(flat, check=True, comment="built")["changed"]
    assert flat.read_bytes() == before
    first = describe(flat, comment="built", toolsVersion=12345)
    assert (first["actions"], first["metadata"]["comment"]) == (["described"], "built")
    assert first["metadata"]["toolsversion"] == "12345"
    again = describe(flat, comment="built", toolsVersion=12345)
    assert (again["changed"], again["metadata"]) == (False, first["metadata"])
    assert flat.stat().st_mode & 0o777 == 0o640
    judges.same(flat, "vmdk", raw)
    assert judges.digest_by_libvmdk(flat)
    assert "comment" not in describe(flat, comment="")["metadata"]
    assert sorted(os.listdir(flat.parent)) == ["a-flat.vmdk", "a.raw", "a.vmdk"]


def test_a_conversion_is_not_made_again_after_its_metadata_was_written(raw, judges, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{judges.tools}:{os.environ['PATH']}")
    asked = {"state": "converted", "path": str(raw), "destination": str(tmp_path / "b.vmdk"), "subformat": "monolithicFlat"}
    assert one(alone(**asked))["changed"]
    assert describe(tmp_path / "b.vmdk", comment="built")["changed"]
    assert not one(alone(**asked))["changed"]


@pytest.mark.parametrize("form", ["monolithicSparse", "streamOptimized"])
def test_a_descriptor_inside_of_a_sparse_file_is_not_written(raw, judges, tmp_path, form):
    made = judges.make(raw, tmp_path / "a.vmdk", "vmdk", "-o", f"subformat={form}")
    before = made.read_bytes()
    with pytest.raises(metadata.NotWritable, match="sparse"):
        describe(made, comment="x")
    assert made.read_bytes() == before


def test_other_files_and_missing_ones_are_refused(raw, tmp_path):
    with pytest.raises(metadata.NotWritable, match="no descriptor"):
        describe(raw, comment="x")
    with pytest.raises(NotFound):
        describe(tmp_path / "none.vmdk", comment="x")


def test_a_link_is_not_written_through(flat, tmp_path):
    before = flat.read_bytes()
    (tmp_path / "link.vmdk").symlink_to(flat)
    with pytest.raises(InvalidOption):
        describe(tmp_path / "link.vmdk", comment="x")
    assert flat.read_bytes() == before


def test_metadata_goes_with_its_state_alone():
    with pytest.raises(InvalidOption) as refused:
        alone(state="absent", path="/a.vmdk", metadata={"a": "b"})
    assert refused.value.details["option"] == "metadata"
