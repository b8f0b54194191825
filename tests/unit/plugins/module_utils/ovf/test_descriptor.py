# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Descriptors and manifests: what is read of them, and what is refused."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import descriptor, manifest
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.errors import PackageError
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.support import Made

_BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<Envelope>&b;</Envelope>"""

_OUTSIDE = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/passwd">]><Envelope>&file;</Envelope>"""


def test_what_a_descriptor_says():
    made = Made(disks={"a.vmdk": b"1234", "b.vmdk": b"12"}, networks=("front", "back"), properties=("hostname", "ip0"))
    found = descriptor.parse(made.descriptor(), "web.ovf")
    assert [(file.href, file.size) for file in found.files] == [("a.vmdk", 4), ("b.vmdk", 2)]
    assert [disk.capacity for disk in found.disks] == [64 * 2**20, 64 * 2**20]
    assert found.networks == ("front", "back")
    assert found.properties == ("hostname", "ip0")


@pytest.mark.parametrize(
    ("units", "capacity", "expected"),
    [
        ("byte * 2^30", "2", 2 * 2**30),
        ("byte * 10^9", "2", 2 * 10**9),
        ("byte", "7", 7),
        ("", "512", 512),
        ("MegaBytes", "3", 3 * 2**20),
        ("GB", "1", 2**30),
        ("byte * 2^30", "${disk.size}", None),
        # Whether there is such a unit is for vCenter to say.
        ("byte * 1024", "2", None),
        ("MiB", "2", None),
        ("furlong", "2", None),
        ("byte" + " " * 1000 + "*", "2", None),
    ],
)
def test_capacities_in_their_units(units, capacity, expected):
    text = Made().descriptor().decode().replace("byte * 2^20", units, 1).replace('capacity="64"', f'capacity="{capacity}"')
    assert descriptor.parse(text.encode(), "web.ovf").disks[0].capacity == expected


@pytest.mark.parametrize("bad", [_BOMB, _OUTSIDE])
def test_entities_are_refused_before_they_are_expanded(bad):
    with pytest.raises(PackageError) as raised:
        descriptor.parse(bad, "web.ovf")
    assert raised.value.error_code == "unsafe_package"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("</Envelope>", "</Envelop>"), "no well-formed XML"),
        (('ovf:href="web-disk1.vmdk"', 'ovf:href=""'), "a file without a name"),
        (('ovf:fileRef="file1"', 'ovf:fileRef="file9"'), "disks without a file"),
        (('ovf:size="300000"', 'ovf:size="-1"'), "size of a file is"),
        (('ovf:size="300000"', 'ovf:size="300000" ovf:compression="gzip"'), "is compressed"),
        (('capacity="64"', 'capacity="many"'), "of the capacity 'many'"),
        (("</References>", '<File ovf:href="web-disk1.vmdk" ovf:id="x"/></References>'), "lists a file twice"),
        (("</Envelope>", '<VirtualSystem ovf:id="other"/></Envelope>'), "a vApp of 2 VMs"),
        (("</Envelope>", '<VirtualSystem ovf:id="web"/></Envelope>'), "two VMs of one id"),
    ],
)
def test_what_is_wrong_with_a_descriptor_is_said(change, message):
    text = Made().descriptor().decode()
    assert change[0] in text
    with pytest.raises(PackageError, match=message) as raised:
        descriptor.parse(text.replace(*change, 1).encode(), "web.ovf")
    assert raised.value.error_code == "invalid_package"


def test_a_descriptor_of_something_else_is_refused():
    with pytest.raises(PackageError, match="its outermost element is html"):
        descriptor.parse(b"<html/>", "web.ovf")


def test_a_descriptor_in_another_encoding_is_sent_as_text_that_declares_its_own():
    text = Made(networks=("Büro",)).descriptor().decode().replace('encoding="UTF-8"', 'encoding="ISO-8859-1"')
    found = descriptor.parse(text.encode("iso-8859-1"), "web.ovf")
    assert found.networks == ("Büro",)
    assert 'encoding="UTF-8"' in found.text
    assert "Büro" in found.text


def test_a_manifest():
    text = b"SHA1(a b.ovf)= " + b"A" * 40 + b"\r\n\r\nSHA256 (disk(1).vmdk) = " + b"b" * 64 + b"\n"
    assert manifest.parse(text, "it").digests == {"a b.ovf": ("sha1", "a" * 40), "disk(1).vmdk": ("sha256", "b" * 64)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"hello\n", "line 1 is none of a manifest"),
        (b"MD5(a)= " + b"a" * 32, "uses 'md5'"),
        (b"SHA256(a)= abcd", "no sha256 of 64"),
        (b"SHA256(a)= " + b"a" * 64 + b"\nSHA256(a)= " + b"b" * 64, "two digests for a"),
    ],
)
def test_half_a_manifest_proves_nothing(text, message):
    with pytest.raises(PackageError, match=message):
        manifest.parse(text, "it")
