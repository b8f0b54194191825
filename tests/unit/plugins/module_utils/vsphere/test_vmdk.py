# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMDK files, read to their end: those of qemu-img and by the book are taken, damaged ones are not."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vforge_disks
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import vmdk

MIB = 2**20
GRAIN = 2**16


class Memory:
    """Bytes in memory, as a file; ``longest`` is the most that was read at once."""

    label = "a.vmdk"

    def __init__(self, data):
        self._data = data
        self.size = len(data)
        self.longest = 0

    def read(self, at, size):
        self.longest = max(self.longest, size)
        return self._data[at : at + size]


def content_of(data):
    """Verify a disk, and return what it has with its content."""
    taken = []
    found = vmdk.verify(Memory(data), lambda part: taken.append(bytes(part)))
    return found, b"".join(taken)


def refused(data):
    with pytest.raises(vmdk.NotStreamOptimized) as raised:
        vmdk.verify(Memory(data))
    assert raised.value.error_code == "invalid_disk"
    assert raised.value.hint
    return str(raised.value)


def changed(data, at, new):
    return data[:at] + new + data[at + len(new) :]


@pytest.fixture(name="raw")
def _raw(tmp_path):
    """A raw image with data at its start, in its middle and at its end, whose size is no multiple of a grain."""
    path = tmp_path / "a.raw"
    data = bytearray(9 * MIB + 3 * 512)
    for at in (0, 5 * MIB + 4096, len(data) - 700):
        data[at : at + 700] = vforge_disks.noise(700, at)
    data[3 * MIB : 4 * MIB] = vforge_disks.noise(MIB)
    path.write_bytes(data)
    return path


def converted(tools, raw, *options, out="out.vmdk"):
    target = raw.with_name(out)
    words = ["convert", *options, "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, target]
    subprocess.run([tools / "qemu-img", *words], check=True)
    return target.read_bytes()


def test_a_disk_of_qemu_is_read_to_the_byte(tools, raw):
    found, content = content_of(converted(tools, raw))
    assert content == raw.read_bytes()
    assert (found.capacity, found.streamed, found.grains) == (raw.stat().st_size, False, found.allocated // GRAIN + 1)


def test_an_empty_disk_of_qemu_is_whole(tools, tmp_path):
    raw = tmp_path / "a.raw"
    raw.write_bytes(bytes(64 * MIB))
    found, content = content_of(converted(tools, raw))
    assert (found.grains, found.allocated, content) == (0, 0, bytes(64 * MIB))


def test_a_disk_by_the_book_is_read_to_the_byte():
    found, content = content_of(vforge_disks.stream(3))
    expected = b"".join(vforge_disks.noise(GRAIN, f"1 {number}") for number in range(3))
    assert (found.grains, found.streamed) == (3, True)
    assert content == expected.ljust(64 * MIB, b"\0")


@pytest.mark.parametrize("form", ["qemu", "stream"])
def test_a_disk_that_was_cut_anywhere_is_refused(tools, raw, form):
    data = converted(tools, raw) if form == "qemu" else vforge_disks.stream(3)
    whole = data.rstrip(b"\0") if form == "qemu" else data
    steps = max(len(whole) // 97, 1)
    for size in range(512, len(whole), steps):
        assert "Hosts take" in refused(data[:size])
    assert "get it again" in refused(data[: len(whole) - 513])


def test_a_grain_that_was_damaged_is_refused_wherever_it_is(tools, raw):
    data = converted(tools, raw)
    start = vmdk.look(Memory(data)).overhead * 512
    for at in range(start + 40, len(data.rstrip(b"\0")) - 8, 64_001):
        damaged = changed(data, at, bytes([data[at] ^ 0xFF]))
        refused(damaged)


def two_grains():
    """A stream of two grains: its bytes, the length of each grain in the file, and where their table is."""
    data = vforge_disks.stream(2)
    length = -(-(12 + struct.unpack_from("<I", data, 1024 + 8)[0]) // 512) * 512
    return data, length, data.index(struct.pack("<II", 2, 2 + length // 512))


def test_grains_out_of_their_order_are_refused_since_hosts_read_a_stream():
    data, length, table = two_grains()
    first, second = data[1024 : 1024 + length], data[1024 + length : 1024 + 2 * length]
    swapped = changed(data, 1024, second + first)
    assert "tables have none, or another" in refused(swapped)
    # Tables that follow the grains do not help: the stream is what a host reads.
    assert "tables have none, or another" in refused(changed(swapped, table, struct.pack("<II", 2 + length // 512, 2)))


def test_a_grain_whose_length_is_not_what_it_says():
    data = vforge_disks.stream(1)
    short = zlib.compress(bytes(512))
    made = changed(data, 1024 + 8, struct.pack("<I", len(short)) + short)
    assert "where 65536 belong" in refused(made)
    size = struct.unpack_from("<I", data, 1024 + 8)[0]
    assert "whose length is not what it says" in refused(changed(data, 1024 + 8, struct.pack("<I", size - 1)))
    assert "whose length is not what it says" in refused(changed(data, 1024 + 8, struct.pack("<I", size + 1)))


def test_tables_that_name_a_grain_which_is_not_in_the_stream():
    data, _length, table = two_grains()
    assert "name a grain that it does not have" in refused(changed(data, table + 8, struct.pack("<I", 2)))


def test_the_footer_and_the_descriptor_say_what_the_header_says():
    data = vforge_disks.stream(1)
    footer = len(data) - 1024
    assert "footer that is not like its header" in refused(changed(data, footer + 12, struct.pack("<Q", 5)))
    assert "by its descriptor" in refused(data.replace(b"RDONLY 131072", b"RDONLY 131073"))
    assert "calls itself monolithicFlat" in refused(data.replace(b'"streamOptimized"', b'"monolithicFlat" '))


def test_two_copies_of_the_tables_that_differ(tools, raw):
    data = converted(tools, raw)
    header = vmdk.look(Memory(data))
    second = struct.unpack_from("<I", data, header.second * 512)[0] * 512
    assert "two copies of its tables" in refused(changed(data, second, struct.pack("<I", 77)))


def test_something_behind_the_end(tools, raw):
    # The footer of a stream is looked for at the end of the file.
    assert "footer and end-of-stream marker are not there" in refused(vforge_disks.stream(1) + b"x" * 512)
    refused(converted(tools, raw) + b"x" * 512)


@given(st.integers(0, 5000), st.binary(min_size=1, max_size=8), st.sampled_from(["qemu", "stream"]))
def test_whatever_bytes_a_disk_has_it_is_taken_or_refused(at, other, form):
    data = vforge_disks.qemu(20_000) if form == "qemu" else vforge_disks.stream(1)
    with contextlib.suppress(vmdk.NotStreamOptimized):
        vmdk.verify(Memory(changed(data, at, other)))


def test_the_memory_does_not_grow_with_the_disk():
    peaks = []
    for grains in (40, 400):
        source = Memory(vforge_disks.stream(grains))
        tracemalloc.start()
        vmdk.verify(source, lambda _part: None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert source.longest <= MIB
    assert peaks[1] < peaks[0] + MIB


# Descriptors

TEXT = b"""# Disk DescriptorFile
version=1
encoding="UTF-8"
CID=123abcde
parentCID=ffffffff
createType="vmfs"

# Extent description
RW 20971520 VMFS "web 1-flat.vmdk"
RW 2048 FLAT "b-flat.vmdk" 17
RW 2048 ZERO

# The Disk Data Base
ddb.adapterType = "lsilogic"
ddb.virtualHWVersion = "21"
ddb.thinProvisioned = "1"
"""


def test_a_descriptor_is_read_with_all_of_its_extents():
    found = vmdk.descriptor(TEXT, "a.vmdk")
    assert (found.create_type, found.adapter, found.parent) == ("vmfs", "lsilogic", "")
    assert found.values["cid"] == "123abcde"
    assert found.extents == (
        vmdk.Extent("RW", 20971520, "VMFS", "web 1-flat.vmdk"),
        vmdk.Extent("RW", 2048, "FLAT", "b-flat.vmdk", 17),
        vmdk.Extent("RW", 2048, "ZERO"),
    )
    assert found.capacity == (20971520 + 4096) * 512


@pytest.mark.parametrize("data", [b"", b"KDMV" + bytes(600), b"x" * 600])
def test_what_is_no_descriptor_is_refused(data):
    with pytest.raises(vmdk.NoDescriptor):
        vmdk.descriptor(data, "a.vmdk")


def test_the_descriptor_inside_a_sparse_file(tools, raw):
    found = vmdk.embedded_descriptor(Memory(converted(tools, raw)))
    assert found is not None
    assert (found.create_type, found.capacity) == ("streamOptimized", raw.stat().st_size)
