# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The OVA that other tests deploy is what it says it is."""

from __future__ import annotations

import hashlib
import re
import struct
import tarfile
import zlib

# Of a hosted sparse extent, which a streamOptimized disk is: magic, and where in its header the capacity in sectors is.
_MAGIC = b"KDMV"
_CAPACITY_AT = 12


def test_the_archive_holds_the_loose_files_with_the_descriptor_first(tiny_ova):
    with tarfile.open(tiny_ova.ova) as tar:
        names = tar.getnames()
        held = {name: tar.extractfile(name).read() for name in names}
    assert names == ["tiny.ovf", "tiny.mf", "tiny-disk1.vmdk", "tiny-disk2.vmdk"]
    assert all(held[path.name] == path.read_bytes() for path in (tiny_ova.ovf, tiny_ova.manifest, *tiny_ova.disks))


def test_the_manifest_and_the_descriptor_tell_the_truth(tiny_ova):
    told = dict(re.findall(r"^SHA256\((.+)\)= (\w+)$", tiny_ova.manifest.read_text(), re.MULTILINE))
    for path in (tiny_ova.ovf, *tiny_ova.disks):
        assert told.pop(path.name) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told == {}
    sizes = re.findall(r'ovf:href="(.+?)" ovf:id=".+?" ovf:size="(\d+)"', tiny_ova.ovf.read_text())
    assert sizes == [(path.name, str(path.stat().st_size)) for path in tiny_ova.disks]


def test_the_disks_are_stream_optimized_and_the_first_one_begins_with_a_boot_record(tiny_ova):
    for path, mebibytes in zip(tiny_ova.disks, (8, 4), strict=True):
        data = path.read_bytes()
        assert data.startswith(_MAGIC)
        assert struct.unpack_from("<Q", data, _CAPACITY_AT) == (mebibytes * 2048,)
        assert b'createType="streamOptimized"' in data
    first = _first_grain(tiny_ova.disks[0].read_bytes())
    assert first[510:512] == b"\x55\xaa"
    assert b"nothing to start here" in first


def _first_grain(data):
    """The first 64 KiB of the disk: a marker (sector, length), and as many bytes of zlib's."""
    (overhead,) = struct.unpack_from("<Q", data, 64)
    sector, length = struct.unpack_from("<QI", data, overhead * 512)
    assert sector == 0
    return zlib.decompress(data[overhead * 512 + 12 : overhead * 512 + 12 + length])
