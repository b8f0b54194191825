# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk database of a VMDK: what is written to it, here and on a datastore, and what is refused."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._disk import describing, metadata, task
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, NotFound
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import vmdk
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.datastore_files import DatastoreFiles
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.disk.running import MIB, alone, one

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


def test_the_diff_shows_each_entry_that_changes(flat):
    asked = {"state": "described", "path": str(flat)}
    first = {**asked, "metadata": {"comment": "built", "toolsVersion": 1}}
    check, real = (alone(check=check, **first)["diff"] for check in (True, False))
    assert check == real
    assert real["after"] == f'{flat}\n  comment: "built"\n  toolsversion: "1"\n'
    assert real["before"].startswith(f"{flat}\n  comment: not there\n  toolsversion: ")
    assert (real["before_header"], real["after_header"]) == ("this machine now", "this machine after this task")
    assert alone(**first)["diff"]["before"] == ""
    other = alone(**asked, metadata={"comment": "", "toolsVersion": 2})["diff"]
    assert (other["before"], other["after"]) == (
        f'{flat}\n  comment: "built"\n  toolsversion: "1"\n',
        f'{flat}\n  comment: not there\n  toolsversion: "2"\n',
    )


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


# On a datastore

PATH = "[LocalDS_0] meta-1/meta-1.vmdk"


@pytest.fixture
def there(disks):
    """A VM that is off, and what govc and the simulator say of its disk."""
    disks.sim.create_vm("meta-1", datastore="LocalDS_0", on=False, disks=[{"bytes": 4 * MIB}])
    return disks


def text_of(disks, name="meta-1.vmdk", folder="meta-1"):
    """A file of the datastore, as an unmodified govc downloads it."""
    with tempfile.TemporaryDirectory() as scratch:
        disks.sim.govc("datastore.download", "-ds", "LocalDS_0", f"{folder}/{name}", f"{scratch}/a")
        return (Path(scratch) / "a").read_bytes()


def listed(disks, folder="meta-1"):
    """The files of a folder of the datastore."""
    found = disks.sim.govc("datastore.ls", "-ds", "LocalDS_0", folder)
    return sorted(each["path"] for each in found[0]["file"])


@pytest.mark.parametrize("named", [{"datastore_path": PATH}, {"vm": {"name": "meta-1"}}])
def test_metadata_of_a_disk_on_a_datastore_is_written(there, named):
    before, files = text_of(there), listed(there)
    asked = {"state": "described", "metadata": {"comment": "built", "toolsVersion": 12345}, **named}
    check = there.run(check=True, **asked)
    assert (one(check.result)["actions"], one(check.result)["metadata"]["comment"]) == (["described"], "built")
    assert text_of(there) == before
    ran = there.run(**asked)
    assert ran.result["diff"] == check.result["diff"]
    assert ran.result["diff"]["after"] == f'{PATH}\n  comment: "built"\n  toolsversion: "12345"\n'
    assert (f"{PATH}\n  comment: not there\n" in ran.result["diff"]["before"], ran.result["diff"]["before_header"]) == (
        True,
        "vCenter now",
    )
    assert (one(ran.result)["datastore_path"], ran.total <= 20) == (PATH, True)
    text = text_of(there)
    assert b'ddb.comment = "built"\n' in text
    # All else is as it was, line by line, the CID among it.
    assert [line for line in text.splitlines() if b"comment" not in line and b"toolsVersion" not in line] == [
        line for line in before.splitlines() if b"toolsVersion" not in line
    ]
    assert listed(there) == files
    again = there.run(**asked)
    assert (again.result["changed"], again.total <= 10, again.result["diff"]["before"]) == (False, True, "")
    there.sim.govc("vm.power", "-on", "meta-1")
    assert there.sim.read_disk("meta-1", length=MIB) == bytes(MIB)


def test_a_disk_that_somebody_uses_is_not_written(there):
    asked = {"state": "described", "datastore_path": PATH, "metadata": {"comment": "built"}}
    there.sim.govc("vm.power", "-on", "meta-1")
    before = text_of(there)
    refused = there.attempt(**asked)
    assert (refused.error.error_code, "meta-1" in str(refused.error)) == ("in_use", True)
    there.sim.govc("vm.power", "-off", "meta-1")
    there.sim.govc("snapshot.create", "-vm", "meta-1", "-m=false", "first")
    assert there.attempt(**asked, check=True).error.error_code == "in_use"
    top = there.attempt(state="described", vm={"name": "meta-1"}, metadata={"comment": "built"})
    assert top.error.error_code == "metadata_not_writable"
    there.sim.request("POST", "/datastores/LocalDS_0", {"type": "vsan"})
    assert "no files of disks" in str(there.attempt(**asked).error)
    assert text_of(there) == before


def test_a_vm_that_starts_between_the_look_and_the_write_is_left_alone(there, monkeypatch):
    asked = {"state": "described", "datastore_path": PATH, "metadata": {"comment": "built"}}
    before, real = text_of(there), describing.write

    def late(*args):
        there.sim.govc("vm.power", "-on", "meta-1")
        real(*args)

    monkeypatch.setattr(describing, "write", late)
    assert there.attempt(**asked).error.error_code == "file_locked"
    assert text_of(there) == before
    # What was kept of the descriptor is gone with the failure.
    assert f"meta-1.vmdk{describing._KEPT}" not in listed(there)
    monkeypatch.undo()
    there.sim.govc("vm.power", "-off", "meta-1")
    assert there.run(**asked).result["changed"]


@pytest.mark.parametrize("came", [0, 40, 300])
def test_a_descriptor_that_a_killed_run_has_half_written_is_mended_by_the_next(there, monkeypatch, came):
    before, real = text_of(there), DatastoreFiles.write

    def broken(self, path, data):
        if path.name == "meta-1.vmdk":
            real(self, path, data[:came])
            raise KeyboardInterrupt
        real(self, path, data)

    with monkeypatch.context() as killed:
        killed.setattr(DatastoreFiles, "write", broken)
        # What a run that is killed does not come to.
        killed.setattr(describing, "_put_back", lambda *_args: None)
        killed.setattr(task, "_forget", lambda *_args: None)
        with pytest.raises(KeyboardInterrupt):
            there.run(state="described", datastore_path=PATH, metadata={"comment": "first"})
    assert len(text_of(there)) == came
    assert there.run(state="described", datastore_path=PATH, metadata={"other": "second"}).result["changed"]
    assert text_of(there) == before + b'ddb.other = "second"\n'
    assert f"meta-1.vmdk{describing._KEPT}" not in listed(there)


def test_one_disk_is_named():
    for named in ({}, {"path": "/a.vmdk", "datastore_path": PATH}, {"datastore_path": PATH, "vm": {"name": "a"}}):
        with pytest.raises(InvalidOption):
            alone(state="described", metadata={"a": "b"}, **named)


def test_a_text_that_did_not_come_through_is_taken_back(there, monkeypatch):
    before, real, writes = text_of(there), DatastoreFiles.write, []

    def mangled(self, path, data):
        writes.append(path.name)
        real(self, path, data[:99] if len(writes) == 2 else data)

    monkeypatch.setattr(DatastoreFiles, "write", mangled)
    failed = there.attempt(state="described", datastore_path=PATH, metadata={"comment": "built"})
    assert (failed.error.error_code, failed.result["changed"]) == ("descriptor_not_written", False)
    assert text_of(there) == before
    assert f"meta-1.vmdk{describing._KEPT}" not in listed(there)


def test_what_an_import_noted_follows_the_metadata(disks, tmp_path):
    raw, path = tmp_path / "a.raw", "[LocalDS_0] meta-2/a.vmdk"
    raw.write_bytes(bytes(MIB))
    asked = {"state": "imported", "path": str(raw), "datastore_path": path}
    disks.run(**asked)
    disks.run(state="described", datastore_path=path, metadata={"adapterType": "buslogic"})
    again = disks.run(**asked)
    assert (again.result["changed"], one(again.result)["adapter"]) == (False, "buslogic")
