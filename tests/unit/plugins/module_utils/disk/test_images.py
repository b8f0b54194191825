# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images on this machine: converted, looked at and deleted; what qemu-img takes without a word is refused."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import textwrap
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vforge_disks
from ansible_collections.vforge.vsphere.plugins.module_utils._disk import local
from ansible_collections.vforge.vsphere.plugins.module_utils._disk.image import (
    SUBFORMATS,
    ImageError,
    LocalBytes,
    QemuImg,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._disk.local import HashedBytes
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, TimedOut
from ansible_collections.vforge.vsphere.plugins.module_utils._programs import MissingProgram
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.disk.running import MIB, alone, look, one, sha256

pytestmark = pytest.mark.usefixtures("tools")

KINDS = [("vmdk", kind) for kind in SUBFORMATS] + [(kind, "") for kind in ("qcow2", "raw", "vhdx", "vpc", "vdi")]
IDS = [kind or form for form, kind in KINDS]


def converted(path, target, form="vmdk", subformat="", **more):
    more = {**more, "subformat": subformat} if subformat else more
    return alone(state="converted", path=str(path), destination=str(target), format=form, **more)


# What is made


@pytest.mark.parametrize(("form", "subformat"), KINDS, ids=IDS)
def test_each_format_has_the_same_content_and_the_second_run_makes_nothing(raw, judges, tmp_path, form, subformat):
    target = tmp_path / "out" / f"a.{form}"
    target.parent.mkdir()
    entry = one(converted(raw, target, form, subformat))
    assert (entry["actions"], entry["changed"], entry["subformat"]) == (["converted"], True, subformat)
    judges.same(target, form, raw)
    assert sorted(entry["files"]) == sorted(str(each) for each in target.parent.iterdir() if not each.name.startswith("."))
    assert entry["allocated"] <= entry["capacity"]
    before = {each: each.stat().st_mtime_ns for each in target.parent.iterdir()}
    again = converted(raw, target, form, subformat)
    assert (again["changed"], one(again)["capacity"]) == (False, entry["capacity"])
    assert {each: each.stat().st_mtime_ns for each in target.parent.iterdir()} == before


@pytest.mark.parametrize("subformat", SUBFORMATS)
def test_libvmdk_reads_what_is_made(raw, judges, tmp_path, subformat):
    target = tmp_path / "a.vmdk"
    converted(raw, target, "vmdk", subformat)
    judges.run("vmdkinfo", target)
    assert judges.digest_by_libvmdk(target) == sha256(raw.read_bytes())


def test_7zip_reads_the_disks_that_it_can(raw, judges, tmp_path):
    # It wants the footer in streamOptimized ones, which those of qemu-img lack.
    for subformat in ("monolithicSparse", "monolithicFlat"):
        folder = tmp_path / subformat
        folder.mkdir()
        converted(raw, folder / "a.vmdk", "vmdk", subformat)
        judges.run("7z", "x", "-y", f"-o{folder}/out", folder / "a.vmdk")
        found = max((folder / "out").iterdir(), key=lambda path: path.stat().st_size)
        assert sha256(found.read_bytes()) == sha256(raw.read_bytes())


@pytest.mark.parametrize("size", [1, 511, 513, 65_536 - 1, 65_537, 3 * MIB + 700])
def test_a_size_that_is_no_multiple_of_a_sector_is_filled_up_with_zeros(judges, tmp_path, size):
    raw = tmp_path / "a.raw"
    raw.write_bytes(vforge_disks.noise(size))
    entry = one(converted(raw, tmp_path / "a.vmdk"))
    sectors = -(-size // 512) * 512
    assert entry["capacity"] == sectors
    assert judges.digest_by_libvmdk(tmp_path / "a.vmdk") == sha256(raw.read_bytes().ljust(sectors, b"\0"))


def test_the_adapter_and_the_hardware_version_are_in_the_descriptor(raw, tmp_path):
    entry = one(converted(raw, tmp_path / "a.vmdk", "vmdk", "monolithicFlat", adapter="buslogic", hardware_version=13))
    assert (entry["adapter"], entry["hardware_version"]) == ("buslogic", "13")


def test_a_changed_source_is_converted_again_and_another_file_is_left_alone(raw, tmp_path):
    target = tmp_path / "a.vmdk"
    converted(raw, target)
    with raw.open("r+b") as file:
        file.write(b"changed")
    assert one(converted(raw, target))["actions"] == ["converted"]
    assert look(path=str(target), digest=True)["content_sha256"] == sha256(raw.read_bytes())
    target.write_bytes(b"something else")
    with pytest.raises(InvalidOption, match="is there already"):
        converted(raw, target)
    assert target.read_bytes() == b"something else"
    assert one(converted(raw, target, force=True))["actions"] == ["converted"]


def test_what_the_earlier_form_had_besides_goes(raw, tmp_path):
    target = tmp_path / "a.vmdk"
    converted(raw, target, "vmdk", "monolithicFlat")
    assert (tmp_path / "a-flat.vmdk").exists()
    converted(raw, target, "vmdk", "streamOptimized", force=True)
    assert not (tmp_path / "a-flat.vmdk").exists()


def test_a_disk_stays_where_a_new_one_cannot_come_to_its_place(raw, tmp_path):
    target = tmp_path / "a.vmdk"
    converted(raw, target)
    old = target.read_bytes()
    (tmp_path / "a-flat.vmdk").mkdir()
    with pytest.raises(InvalidOption, match="it is a folder"):
        converted(raw, target, "vmdk", "monolithicFlat", force=True)
    assert target.read_bytes() == old
    assert not converted(raw, target)["changed"]


def test_check_mode_makes_nothing(raw, tmp_path):
    result = alone(check=True, state="converted", path=str(raw), destination=str(tmp_path / "b.vmdk"))
    assert (result["changed"], one(result)["actions"]) == (True, ["converted"])
    assert [each.name for each in tmp_path.iterdir()] == ["a.raw"]
    assert converted(raw, tmp_path / "b.vmdk")["diff"] == result["diff"]


def test_a_file_is_deleted_with_what_its_descriptor_names(raw, tmp_path):
    target = tmp_path / "a.vmdk"
    converted(raw, target, "vmdk", "twoGbMaxExtentSparse")
    assert alone(check=True, state="absent", path=str(target))["changed"]
    assert target.exists()
    assert one(alone(state="absent", path=str(target)))["actions"] == ["deleted"]
    assert [each.name for each in tmp_path.iterdir()] == ["a.raw"]
    assert not alone(state="absent", path=str(target))["changed"]


@pytest.mark.parametrize("check", [True, False])
def test_a_folder_is_no_disk_to_be_deleted_or_replaced(raw, tmp_path, check):
    (tmp_path / "a.vmdk").mkdir()
    (tmp_path / "link.vmdk").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.vmdk")
    for name, kind in (("a.vmdk", "it is a folder"), ("link.vmdk", "it is a folder"), ("pipe.vmdk", "it is a named pipe")):
        for force in (False, True):
            with pytest.raises(InvalidOption, match=kind) as refused:
                alone(check=check, state="absent", path=str(tmp_path / name), force=force)
            assert refused.value.error_code == "file_refused"
    with pytest.raises(InvalidOption, match="it is a folder"):
        alone(check=check, state="converted", path=str(raw), destination=str(tmp_path / "a.vmdk"), force=True)
    assert sorted(os.listdir(tmp_path)) == ["a.raw", "a.vmdk", "link.vmdk", "pipe.vmdk"]


@pytest.mark.parametrize("check", [True, False])
def test_a_file_that_is_no_disk_is_deleted_where_that_is_asked_for(tmp_path, check):
    letter = tmp_path / "letter.txt"
    letter.write_text("dear disk")
    with pytest.raises(InvalidOption, match="is no disk") as refused:
        alone(check=check, state="absent", path=str(letter))
    assert (refused.value.details["option"], letter.exists()) == ("path", True)
    assert alone(check=check, state="absent", path=str(letter), force=True)["changed"]
    assert letter.exists() == check


def test_what_lies_below_a_file_is_not_there(raw):
    assert not alone(state="absent", path=str(raw / "a.vmdk"))["changed"]


@pytest.mark.parametrize("data", [b"QFI\xfb", b"x" * 600 + b"conectix".ljust(512, b"\0")])
def test_a_disk_of_another_name_is_deleted_by_its_content(tmp_path, data):
    disk = tmp_path / "disk"
    disk.write_bytes(data)
    assert alone(state="absent", path=str(disk))["changed"]
    assert not disk.exists()


def test_what_was_made_here_is_deleted_whatever_its_name(raw, tmp_path):
    target = tmp_path / "disk.bin"
    converted(raw, target, "raw")
    assert alone(state="absent", path=str(target))["changed"]
    assert list(tmp_path.iterdir()) == [raw]


def test_of_a_link_the_link_is_deleted(raw, tmp_path):
    for name, leads_to in (("a.vmdk", raw), ("b.vmdk", tmp_path / "none")):
        link = tmp_path / name
        link.symlink_to(leads_to)
        assert alone(state="absent", path=str(link))["changed"]
        assert not alone(state="absent", path=str(link))["changed"]
    assert list(tmp_path.iterdir()) == [raw]


@pytest.mark.parametrize("check", [True, False])
def test_a_disk_that_names_files_elsewhere_is_not_deleted(tmp_path, check):
    path = tmp_path / "a.vmdk"
    path.write_text('# Disk DescriptorFile\ncreateType="monolithicFlat"\nRW 1 FLAT "/etc/passwd" 0\n')
    with pytest.raises(ImageError, match="not in its folder"):
        alone(check=check, state="absent", path=str(path))
    assert path.exists()


def shown(before, after, path):
    """The diff of a file on this machine."""
    return {
        "before": f"{path}: {before}\n",
        "after": f"{path}: {after}\n",
        "before_header": "this machine now",
        "after_header": "this machine after this task",
    }


def test_the_diff_says_what_is_there_and_what_is_to_be(raw, judges, tmp_path):
    vmdk, qcow2, other = tmp_path / "a.vmdk", tmp_path / "b.qcow2", tmp_path / "c.vmdk"
    stream = "vmdk (streamOptimized), 9 MiB"
    assert converted(raw, vmdk)["diff"] == shown("not there", f"{stream}, converted from {raw}", vmdk)
    assert not converted(raw, vmdk)["diff"]["before"]
    again = converted(raw, vmdk, "qcow2", force=True, check=True)["diff"]
    assert again == shown(stream, f"qcow2, 9 MiB, converted from {raw}", vmdk)
    assert alone(state="absent", path=str(vmdk), check=True)["diff"] == shown(stream, "deleted", vmdk)
    judges.make(raw, qcow2, "qcow2")
    assert re.fullmatch(
        rf"{qcow2}: qcow2, [0-9.]+ MiB on this machine\n", alone(state="absent", path=str(qcow2))["diff"]["before"]
    )
    other.write_text('# Disk DescriptorFile\nRW 1 FLAT "/a" 0\n')
    damaged = converted(raw, other, check=True, force=True)["diff"]
    assert damaged == shown("a disk that is damaged", f"{stream}, converted from {raw}", other)
    other.unlink()
    other.symlink_to(tmp_path / "none")
    assert alone(state="absent", path=str(other))["diff"] == shown("a link to nothing", "deleted", other)
    (tmp_path / ".c.vmdk.vforge-part").mkdir(mode=0o700)
    assert alone(state="absent", path=str(other))["diff"] == shown("left of a run that was interrupted", "deleted", other)
    (tmp_path / "letter").write_text("dear")
    gone = alone(state="absent", path=str(tmp_path / "letter"), force=True)
    assert gone["diff"] == shown("a file of 4 B", "deleted", tmp_path / "letter")


def test_a_note_that_is_not_to_be_trusted_hinders_no_deletion(raw, tmp_path):
    target = tmp_path / "a.vmdk"
    converted(raw, target)
    (tmp_path / ".a.vmdk.vforge").chmod(0o666)
    assert "streamOptimized" not in alone(state="absent", path=str(target))["diff"]["before"]
    assert list(tmp_path.iterdir()) == [raw]


# What is refused


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("name", ["empty.raw", "empty.vmdk", "empty"])
def test_an_empty_file_is_refused(tmp_path, name, check):
    path = tmp_path / name
    path.touch()
    with pytest.raises(ImageError) as refused:
        alone(check=check, state="converted", path=str(path), destination=str(tmp_path / "a.vmdk"))
    assert refused.value.message == f"{path} is empty (0 bytes)."
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_without_bytes_is_refused(judges, tmp_path):
    path = tmp_path / "empty.qcow2"
    judges.run("qemu-img", "create", "-f", "qcow2", path, "0")
    with pytest.raises(ImageError, match="has a disk of 0 bytes"):
        alone(check=True, state="converted", path=str(path), destination=str(tmp_path / "a.vmdk"))


def test_what_qemu_img_refuses_is_named_as_the_user_does(tmp_path):
    raw, target = tmp_path / "a.raw", tmp_path / "a b.vhd"
    with raw.open("wb") as file:
        file.truncate(3 * 2**40)
    with pytest.raises(ImageError, match=f"qemu-img convert refuses {raw}: ") as refused:
        converted(raw, target, "vpc")
    assert (str(target) in refused.value.message, "vforge-part" in str(refused.value)) == (True, False)


@pytest.mark.parametrize(
    ("target", "message", "named"),
    [
        ("/a/b c.vmdk", "x: /a/.b c.vmdk.vforge-part/b c.vmdk: no", "x: /a/b c.vmdk: no"),
        ("/a/b.vmdk", "'/a/.b.vmdk.vforge-part/content.raw' is cut", "'/a/b.vmdk' is cut"),
        ("/a/b.raw.stream", "/a/.b.raw.stream.vforge-part/import.vmdk is no stream", "/a/b.raw is no stream"),
        ("/a/b.raw", "The disk /a/.b.raw.vforge-part cannot be written", "The disk /a/.b.raw.vforge-part cannot be written"),
    ],
)
def test_files_on_their_way_are_called_as_what_they_are_to_be(target, message, named):
    error = ImageError(message, path=f"{local._part_of(target)}/x")
    local._name_target(error, local._part_of(target), target)
    assert (error.message, error.details["path"]) == (named, target.removesuffix(".stream"))


def cut(path, part=0.6):
    os.truncate(path, int(path.stat().st_size * part))


@pytest.mark.parametrize(
    ("form", "options", "file"),
    [
        ("vmdk", "subformat=streamOptimized", "a.bin"),
        ("vmdk", "subformat=monolithicSparse", "a.bin"),
        ("vmdk", "subformat=monolithicFlat", "a-flat.bin"),
        ("vmdk", "subformat=twoGbMaxExtentSparse", "a-s001.bin"),
        ("vmdk", "subformat=twoGbMaxExtentFlat", "a-f001.bin"),
        ("qcow2", "", "a.bin"),
        ("vhdx", "", "a.bin"),
        ("vpc", "", "a.bin"),
        ("vdi", "", "a.bin"),
    ],
)
def test_an_image_that_was_cut_short_is_refused(tmp_path, judges, form, options, file):
    raw = tmp_path / "a.raw"
    raw.write_bytes(vforge_disks.noise(5 * MIB))
    source = judges.make(raw, tmp_path / "a.bin", form, *(["-o", options] if options else []))
    cut(tmp_path / file)
    with pytest.raises(ImageError):
        converted(source, tmp_path / "b.vmdk", source_format=form)
    assert not (tmp_path / "b.vmdk").exists()
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]


def test_a_raw_image_is_whole_by_its_checksum_alone(raw, tmp_path):
    right = f"sha256:{sha256(raw.read_bytes())}"
    assert one(converted(raw, tmp_path / "a.vmdk", checksum=right))["actions"] == ["converted"]
    cut(raw)
    with pytest.raises(ImageError, match="is asked for"):
        converted(raw, tmp_path / "b.vmdk", checksum=right)


def test_extents_that_qemu_img_leaves_out_are_noticed(tmp_path):
    (tmp_path / "a-flat.vmdk").write_bytes(bytes(MIB))
    text = '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
    (tmp_path / "a.vmdk").write_text(f'{text}RW 2048 ZERO\nRW 2048 FLAT "a-flat.vmdk" 0\n', encoding="utf-8")
    with pytest.raises(ImageError, match="leaves out extents"):
        converted(tmp_path / "a.vmdk", tmp_path / "b.vmdk")


def test_a_descriptor_below_an_empty_line_is_no_raw_image(tmp_path):
    (tmp_path / "a.vmdk").write_text("\n# Disk DescriptorFile\n", encoding="utf-8")
    with pytest.raises(ImageError, match="is no VMDK"):
        converted(tmp_path / "a.vmdk", tmp_path / "b.vmdk", source_format="vmdk")


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "sub/secret"])
def test_an_image_reads_no_files_elsewhere(tmp_path, judges, name):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(MIB))
    text = '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
    (folder / "a.vmdk").write_text(f'{text}RW 1 FLAT "{name}" 0\n', encoding="utf-8")
    with pytest.raises(ImageError):
        converted(folder / "a.vmdk", folder / "b.raw", "raw")
    judges.run("qemu-img", "create", "-f", "qcow2", "-u", "-b", name, "-F", "raw", folder / "a.qcow2", "1M")
    with pytest.raises(ImageError, match="not in its folder"):
        converted(folder / "a.qcow2", folder / "b.raw", "raw")
    assert not (folder / "b.raw").exists()


def test_a_backing_file_beside_the_image_is_read(raw, judges, tmp_path):
    judges.run("qemu-img", "create", "-f", "qcow2", "-b", "a.raw", "-F", "raw", tmp_path / "top.qcow2")
    judges.run("qemu-io", "-f", "qcow2", "-c", "write -P 7 4096 4096", tmp_path / "top.qcow2")
    converted(tmp_path / "top.qcow2", tmp_path / "b.raw", "raw")
    data = raw.read_bytes()
    assert (tmp_path / "b.raw").read_bytes()[: len(data)] == data[:4096] + b"\7" * 4096 + data[8192:]


@pytest.mark.parametrize("name", ["2026-11-28T15:00.raw", "-o.raw", "nbd:x.raw", "json:{}.raw", "ä %.raw"])
def test_any_name_is_the_name_of_a_file(raw, tmp_path, judges, name):
    source = raw.rename(tmp_path / name)
    converted(source, tmp_path / f"{name}.vmdk")
    assert judges.digest_by_libvmdk(tmp_path / f"{name}.vmdk") == sha256(source.read_bytes())


@pytest.mark.parametrize("name", ["a\nRW 1 ZERO.vmdk", 'a".vmdk', "folder/"])
def test_a_name_that_would_be_more_than_a_name_in_a_descriptor_is_refused(raw, tmp_path, name):
    with pytest.raises(InvalidOption):
        converted(raw, f"{tmp_path}/{name}")


def test_a_raw_image_that_looks_like_another_format_is_raw_where_that_is_said(tmp_path, judges):
    raw = tmp_path / "a.bin"
    raw.write_bytes(b"QFI\xfb" + vforge_disks.noise(MIB - 4))
    with pytest.raises(ImageError):
        converted(raw, tmp_path / "b.vmdk")
    converted(raw, tmp_path / "b.vmdk", source_format="raw")
    assert judges.digest_by_libvmdk(tmp_path / "b.vmdk") == sha256(raw.read_bytes())
    # By their names these are raw, whatever a guest has written there.
    converted(raw.rename(tmp_path / "a-flat.vmdk"), tmp_path / "c.vmdk")


def test_something_that_is_not_there(tmp_path):
    with pytest.raises(ImageError, match="is not there"):
        converted(tmp_path / "none.raw", tmp_path / "a.vmdk")
    with pytest.raises(ImageError, match="is not there"):
        look(path=str(tmp_path))


def test_a_link_or_a_pipe_in_the_place_of_the_target_is_refused(raw, tmp_path):
    (tmp_path / "b.vmdk").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidOption):
        converted(raw, tmp_path / "b.vmdk", force=True)
    os.mkfifo(tmp_path / "c.vmdk")
    with pytest.raises(InvalidOption):
        converted(raw, tmp_path / "c.vmdk", force=True)
    assert not (tmp_path / "elsewhere").exists()


# The program


def test_a_missing_qemu_img_is_named_with_its_packages(raw, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgram, match="qemu-utils") as raised:
        converted(raw, tmp_path / "a.vmdk")
    assert raised.value.error_code == "missing_program"


def program(folder, text):
    path = folder / "qemu-img"
    path.write_text(f"#!{sys.executable}\n{textwrap.dedent(text)}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_one_that_is_too_old_is_refused(tmp_path, monkeypatch):
    program(tmp_path, 'print("qemu-img version 4.2.1 (Debian)")')
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingProgram, match="or later"):
        QemuImg(time.monotonic() + 60)


def test_the_deadline_ends_the_program(tmp_path, monkeypatch):
    program(tmp_path, "import time\nprint('qemu-img version 7.2.0', flush=True)\ntime.sleep(600)")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TimedOut):
        QemuImg(time.monotonic() + 0.5)


# What was made and what is noted


def test_a_run_waits_for_another_one_that_makes_the_same_disk(tmp_path):
    target, said = str(tmp_path / "a.vmdk"), []
    with (
        local.workplace(target, time.monotonic() + 60, said.append),
        pytest.raises(TimedOut, match="Another run"),
        local.workplace(target, time.monotonic() + 0.2, said.append),
    ):
        pytest.fail("two runs had one place")
    assert said[0] == f"waiting for another run that makes {target}"
    with local.workplace(target, time.monotonic(), said.append):
        pass
    assert not list(tmp_path.iterdir())


def test_the_place_of_a_killed_run_is_taken(raw, tmp_path):
    place = tmp_path / ".a.vmdk.vforge-part"
    place.mkdir(mode=0o700)
    (place / "a.vmdk").write_bytes(b"half")
    assert one(converted(raw, tmp_path / "a.vmdk"))["actions"] == ["converted"]
    assert not place.exists()


def test_a_note_counts_only_for_the_file_it_was_made_for(raw, tmp_path):
    target = tmp_path / "a.vmdk"
    converted(raw, target)
    assert local.noted(str(target))["kind"] == "converted"
    assert json.loads((tmp_path / ".a.vmdk.vforge").read_bytes())["source"] == str(raw)
    os.utime(target)
    assert local.noted(str(target)) == {}
    (tmp_path / ".a.vmdk.vforge").write_bytes(b"{")
    assert local.noted(str(target)) == {}


@pytest.mark.parametrize("subformat", ["monolithicFlat", "twoGbMaxExtentFlat"])
def test_a_note_counts_only_for_all_files_of_the_disk(raw, tmp_path, subformat):
    target = tmp_path / "a.vmdk"
    converted(raw, target, "vmdk", subformat)
    assert not converted(raw, target, "vmdk", subformat)["changed"]
    (extent,) = (file for file in tmp_path.glob("a-*.vmdk"))
    with extent.open("r+b") as file:
        file.write(b"other")
    assert local.noted(str(target)) == {}
    extent.unlink()
    assert local.noted(str(target)) == {}


@pytest.mark.parametrize("subformat", ["streamOptimized", "twoGbMaxExtentFlat"])
def test_a_run_that_ends_while_a_disk_comes_to_its_place_is_followed_by_one_that_knows_it(
    raw, judges, tmp_path, monkeypatch, subformat
):
    target = tmp_path / "a.vmdk"
    converted(raw, target, "vmdk", subformat)
    old = target.read_bytes()
    raw.write_bytes(raw.read_bytes()[:-MIB])
    replace, moved = os.replace, []

    def killed_at(place):
        def move(source, name, **where):
            if os.fspath(source).endswith((".vmdk", ".vmdk.vforge-part/a.vmdk")) and len(moved) == place:
                raise KeyboardInterrupt
            moved.append(name)
            replace(source, name, **where)

        return move

    for place in (0, 1, 2):
        moved.clear()
        monkeypatch.setattr(local.os, "replace", killed_at(place))
        with contextlib.suppress(KeyboardInterrupt):
            converted(raw, target, "vmdk", subformat)
        monkeypatch.setattr(local.os, "replace", replace)
        # Never is the old disk's own file there with parts of the new one.
        assert not target.exists() or subformat == "streamOptimized" or target.read_bytes() != old
    entry = one(converted(raw, target, "vmdk", subformat))
    assert entry["capacity"] == raw.stat().st_size
    judges.same(target, "vmdk", raw)


def test_what_was_noted_holds_until_the_new_disk_is_in_its_place(raw, tmp_path):
    target = tmp_path / "a.vmdk"
    converted(raw, target)
    before = local.noted(str(target))
    local._note(str(target), {"kind": "new"}, {"a.vmdk": {"size": 1, "mtime": 2}})
    assert local.noted(str(target)) == before
    target.write_bytes(b"x")
    os.utime(target, ns=(2, 2))
    assert local.noted(str(target)) == {"kind": "new"}


def test_what_releases_before_have_noted_counts(raw, tmp_path):
    target = tmp_path / "a.vmdk"
    converted(raw, target)
    note = tmp_path / ".a.vmdk.vforge"
    known = json.loads(note.read_bytes())
    own = known.pop("files")["a.vmdk"]
    note.write_text(json.dumps({**known, "file": own}))
    assert not converted(raw, target)["changed"]


def test_what_a_killed_run_has_left_goes_with_the_disk(raw, tmp_path):
    target = tmp_path / "a.vmdk"
    converted(raw, target)
    for name in (".a.vmdk.vforge-part", ".a.vmdk.stream.vforge-part"):
        (tmp_path / name).mkdir(mode=0o700)
        (tmp_path / name / "half").write_bytes(b"half")
    assert alone(state="absent", path=str(target), check=True)["changed"]
    assert alone(state="absent", path=str(target))["changed"]
    assert list(tmp_path.iterdir()) == [raw]
    assert not alone(state="absent", path=str(target))["changed"]
    (tmp_path / ".a.vmdk.vforge-part").mkdir(mode=0o700)
    assert alone(state="absent", path=str(target))["changed"]
    assert list(tmp_path.iterdir()) == [raw]


def test_the_digest_is_that_of_the_content_in_every_format(raw, tmp_path):
    digests = set()
    for form, subformat in KINDS:
        if form != "vpc":  # rounds the size up to what a CHS geometry can say
            target = tmp_path / f"{subformat}x.{form}"
            converted(raw, target, form, subformat)
            digests.add(look(path=str(target), digest=True)["content_sha256"])
    assert digests == {sha256(raw.read_bytes())}


@given(
    size=st.integers(0, 5000),
    reads=st.lists(st.tuples(st.integers(0, 5200), st.integers(0, 900)), max_size=12),
    farthest=st.integers(0, 2000),
)
def test_a_file_is_hashed_on_the_way_in_whatever_order_it_is_read(size, reads, farthest, tmp_path_factory):
    data = vforge_disks.noise(size)
    path = tmp_path_factory.mktemp("hashed") / "file"
    path.write_bytes(data)
    with LocalBytes(str(path)) as source:
        hashed = HashedBytes(source, "sha1")
        hashed._FARTHEST = farthest
        for at, length in reads:
            assert hashed.read(at, length) == data[at : at + length]
        assert hashed.hexdigest() == hashlib.sha1(data, usedforsecurity=False).hexdigest()


def test_memory_stays_small_whatever_the_size(tmp_path):
    raw = tmp_path / "a.raw"
    with raw.open("wb") as file:
        for at in range(0, 256, 8):
            file.seek(at * MIB)
            file.write(vforge_disks.noise(MIB, at))
        file.truncate(256 * MIB)
    # Not ru_maxrss, which a new program inherits from the process that has started it.
    code = (
        "import re\n"
        "from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.disk.running import alone, look\n"
        f"alone(state='converted', path={str(raw)!r}, destination={str(tmp_path / 'a.vmdk')!r})\n"
        f"look(path={str(tmp_path / 'a.vmdk')!r}, digest=True)\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) * 1024 < 120 * MIB
