# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which disks a host takes, as their heads and ends show; ``test_packages`` has them in packages."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vforge_disks
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import vmdk
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.blobs import LocalBlob, PackageError

MIB = 2**20
_DIRECTORY_AT, _GRAIN_AT, _ENTRIES_AT, _CAPACITY_AT = 56, 20, 44, 12


def check(folder, data, capacity=64 * MIB):
    """Look at a disk of these bytes."""
    path = folder / "a.vmdk"
    path.write_bytes(data)
    vmdk.check(LocalBlob(str(path)), capacity)


def refused(folder, data, capacity=64 * MIB):
    with pytest.raises(PackageError) as raised:
        check(folder, data, capacity)
    assert raised.value.error_code == "invalid_package"
    return str(raised.value)


def changed(data, at, form, value):
    """A disk with another number in it."""
    made = bytearray(data)
    struct.pack_into(form, made, at, value)
    return bytes(made)


@pytest.mark.parametrize("capacity", [1, 64, 64 + 1, 40_000])
def test_both_forms_are_taken_whatever_the_size_of_the_disk(tmp_path, capacity):
    size = 16 * 2**10 + capacity // 32 * 2100
    check(tmp_path, vforge_disks.qemu(size, capacity=capacity * MIB), capacity * MIB)
    check(tmp_path, vforge_disks.stream(3, capacity=capacity * MIB), capacity * MIB)


def test_the_disks_of_qemu_itself_are_taken(tiny_ova, tmp_path):
    for path, capacity in zip(tiny_ova.disks, (8, 4), strict=True):
        check(tmp_path, path.read_bytes(), capacity * MIB)


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"# Disk DescriptorFile\n", "the text part"),
        (b"COWD", "of an ESXi datastore"),
        (b"QFI\xfb", "a qcow2 image"),
        (b"vhdxfile", "a VHDX image"),
        (b"conectix", "a VHD image"),
        (b"<<< Oracle VM VirtualBox Disk Image >>>", "a VDI image"),
        (b"\x1f\x8b", "compressed by gzip"),
        (b"PK\3\4", "a zip archive"),
        (b"\xeb\x63\x90", "a raw image"),
        (b"\n<HTML>", "an HTML page"),
    ],
)
def test_what_else_a_file_can_be_is_named(tmp_path, head, what):
    assert what in refused(tmp_path, head.ljust(4096, b"\1"))


@pytest.mark.parametrize("size", [0, 4, 511])
def test_a_file_that_is_nearly_nothing(tmp_path, size):
    assert "too few for a disk" in refused(tmp_path, vforge_disks.header()[:size])


@pytest.mark.parametrize("data", [vforge_disks.qemu(30_000), vforge_disks.stream(2)], ids=["qemu", "vmware"])
def test_a_disk_that_was_cut_anywhere_is_not_whole(tmp_path, data):
    whole = data.rstrip(b"\0") if data == vforge_disks.qemu(30_000) else data
    for size in range(512, len(whole) - 512, 512):
        assert "get it again" in refused(tmp_path, data[:size])


def test_a_disk_that_reaches_beyond_its_descriptor(tmp_path):
    data = vforge_disks.stream(1, capacity=64 * MIB)
    for capacity in (64 * MIB, 64 * MIB - 511, 65 * MIB, None):  # to whole sectors, as a disk has them
        check(tmp_path, data, capacity)
    assert "makes one of 67108352" in refused(tmp_path, data, 64 * MIB - 512)


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [
        (_GRAIN_AT, "<Q", 0),
        (_GRAIN_AT, "<Q", 2**63),
        (_ENTRIES_AT, "<I", 0),
        (_ENTRIES_AT, "<I", 2**32 - 1),
        (_CAPACITY_AT, "<Q", 0),
        (_CAPACITY_AT, "<Q", 2**64 - 1),
        (_DIRECTORY_AT, "<Q", 2**63),
    ],
)
def test_numbers_that_no_disk_has_cost_nothing(tmp_path, at, form, value):
    refused(tmp_path, changed(vforge_disks.qemu(30_000), at, form, value), None)


@given(st.integers(0, 79), st.binary(min_size=1, max_size=16), st.sampled_from(["qemu", "stream"]))
def test_whatever_a_header_holds_it_is_a_disk_or_refused(tmp_path_factory, at, other, form):
    data = vforge_disks.qemu(20_000) if form == "qemu" else vforge_disks.stream(1)
    with contextlib.suppress(PackageError):
        check(tmp_path_factory.mktemp("any"), data[:at] + other + data[at + len(other) :])


@given(st.binary(max_size=2000))
def test_any_bytes_are_refused_as_a_disk(tmp_path_factory, data):
    refused(tmp_path_factory.mktemp("any"), data)
