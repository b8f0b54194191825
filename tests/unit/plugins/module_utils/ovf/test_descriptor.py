# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Descriptors and manifests: what is read of them, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import descriptor, manifest
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.blobs import PackageError
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


def test_a_descriptor_as_appliances_have_it():
    """A default of 110 KiB, qualifiers of two namespaces, and configurations that are no deployment options."""
    text = Made(properties=("hostname",)).descriptor().decode()
    key = 'ovf:key="hostname"'
    assert text.count(key) == 1
    text = text.replace(key, f'{key} ovf:qualifiers="MinLen(1)" vmw:qualifiers="Ip" ovf:value="{"x" * 110_000}"')
    inside = "<vcloud:NetworkConfig><vcloud:Configuration/></vcloud:NetworkConfig>"
    space = 'xmlns:vcloud="http://www.vmware.com/vcloud/v1.5"'
    text = text.replace(
        "<NetworkSection>", f"<vcloud:NetworkConfigSection {space}>{inside}</vcloud:NetworkConfigSection><NetworkSection>"
    )
    found = descriptor.parse(text.encode(), "web.ovf")
    assert (found.properties, found.options) == (("hostname",), ())


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


A, B = b"a" * 64, b"b" * 64
SHA1 = b"1" * 40


@pytest.mark.parametrize(
    ("text", "algorithm", "oddities"),
    [
        (b"SHA256(x)= " + A, "sha256", ()),
        (b"sha512 (x) = " + A + A, "sha512", ()),
        (b"SHA2-256(x)= " + A, "sha256", ("SHA2-256 for the algorithm",)),
        (b"SHA-256(x)= " + A, "sha256", ("SHA-256 for the algorithm",)),
        (b"SHA-1(x)= " + SHA1, "sha1", ("SHA-1 for the algorithm",)),
        (b"SHA384(x)= " + A + A[:32], "sha384", ("SHA384 for the algorithm",)),
        (b"SHA2-512(x)= " + A + A, "sha512", ("SHA2-512 for the algorithm",)),
        (A + b"  x", "sha256", ("lines as sha256sum writes them",)),
        (A + b" *./x", "sha256", ("lines as sha256sum writes them",)),
        (SHA1.upper() + b"  x", "sha1", ("lines as sha256sum writes them",)),
        (b"SHA1(x)= " + SHA1 + b"\nSHA256(./x)= " + A, "sha256", ("several digests for one file",)),
        (b"SHA256(x)= " + A + b"\nSHA1(x)= " + SHA1, "sha256", ("several digests for one file",)),
        (b"MD5(x)= 0\nSHA256(x)= " + A, "sha256", ()),
    ],
    ids=lambda value: value[:9].decode() if isinstance(value, bytes) else None,
)
def test_manifests_as_tools_write_them(text, algorithm, oddities):
    found = manifest.parse(text, "it")
    assert {name: digest.algorithm for name, digest in found.digests.items()} == {"x": algorithm}
    assert found.oddities == oddities


def assigned(names, descriptor="web.ovf", own=("a.vmdk",), folder=""):
    """What becomes of the digests of these names: whose each is, and which are nobody's."""
    listing = manifest.Manifest({name: manifest.Digest("sha1", str(at)) for at, name in enumerate(names)})
    found = manifest.assign(listing, descriptor, own, folder)
    return {name: names[int(digest.value)] for name, digest in found.digests.items()}, found.unused


@pytest.mark.parametrize(
    ("names", "own", "expected"),
    [
        (["web.ovf", "a.vmdk"], ["a.vmdk"], {"web.ovf": "web.ovf", "a.vmdk": "a.vmdk"}),
        (["a.vmdk"], ["./a.vmdk"], {"./a.vmdk": "a.vmdk"}),
        (["a b.vmdk"], ["a%20b.vmdk"], {"a%20b.vmdk": "a b.vmdk"}),
        (["a%20b.vmdk"], ["a b.vmdk"], {"a b.vmdk": "a%20b.vmdk"}),
        # Both are there: each gets its own.
        (["a b.vmdk", "a%20b.vmdk"], ["a%20b.vmdk", "a b.vmdk"], {"a%20b.vmdk": "a%20b.vmdk", "a b.vmdk": "a b.vmdk"}),
        (["A.VMDK", "a.vmdk"], ["a.vmdk", "A.vmdk"], {"a.vmdk": "a.vmdk", "A.vmdk": "A.VMDK"}),
        (["bu\u0308ro.vmdk"], ["b\u00fcro.vmdk"], {"b\u00fcro.vmdk": "bu\u0308ro.vmdk"}),
        (["old.ovf"], [], {"web.ovf": "old.ovf"}),
    ],
)
def test_each_digest_goes_to_the_file_that_is_meant(names, own, expected):
    assert assigned(names, own=own) == (expected, ())


@pytest.mark.parametrize(
    "names",
    [
        ["b.vmdk"],
        ["a.vmdk.bak", "../a.vmdk"],
        ["A.vmdk", "a.VMDK"],  # either could be meant
        ["one.ovf", "two.ovf"],
    ],
)
def test_digests_that_could_be_of_anything_are_nobodys(names):
    found, unused = assigned(names, own=["a.vmdk"])
    assert (found, sorted(unused)) == ({}, sorted(names))


@given(st.lists(st.sampled_from(["a", "./a", "A", "a%20b", "a b", "x.ovf", "d/a", "web.ovf", "\u00fc"]), unique=True))
def test_no_digest_is_lost_and_none_is_given_twice(names):
    found, unused = assigned([name for name in names if name != "./a"], own=["a", "a b", "\u00dc"], folder="d")
    assert len(found) + len(unused) == len({name.removeprefix("d/") for name in names if name != "./a"})
    assert set(found) <= {"web.ovf", "a", "a b", "\u00dc"}


def vapp(*inside, attributes='ovf:id="vapp"'):
    """A descriptor of a vApp with these things in it."""
    text = Made().descriptor().decode()
    begin, end = text.index("<VirtualSystem "), text.index("</Envelope>")
    parts = "".join(inside).replace("VM", text[begin:end])
    return f"{text[:begin]}<VirtualSystemCollection {attributes}>{parts}</VirtualSystemCollection>{text[end:]}"


@pytest.mark.parametrize(
    "inside",
    [
        ("VM",),
        ("<Info>a vApp</Info>", "\r\n", "VM", "\n<StartupSection/>"),
        ("<!-- <VirtualSystem> -->", "VM", "<!-- </VirtualSystemCollection> -->"),
        ('<Name a="&lt;&gt;/>">x</Name>', "VM"),
        ("<Info>\U0001f4bb \u00fc</Info>\r", "VM"),
        ('<VirtualSystemCollection ovf:id="inner">', "VM", "</VirtualSystemCollection>"),
    ],
    ids=range(6),
)
def test_a_vapp_of_one_vm_is_sent_as_that_vm(inside):
    alone, made = descriptor.parse(Made().descriptor(), "web.ovf"), descriptor.parse(vapp(*inside).encode(), "web.ovf")
    assert made == alone


def test_what_a_vapp_has_for_its_vm_comes_along():
    product = '<ProductSection ovf:class="c"><Property ovf:key="k"/></ProductSection>'
    spaces = 'xmlns:v=\'urn:v\' ovf:id="vapp" xmlns:vmw="urn:vmw"'
    text = vapp(product, "VM", product.replace('"k"', '"l"'), attributes=spaces)
    found = descriptor.parse(text.replace("<Name>web", "<v:x vmw:y=''/><Name>web").encode(), "web.ovf")
    assert found.properties == ("c.k", "c.l")
    assert "<VirtualSystem xmlns:v='urn:v' xmlns:vmw=\"urn:vmw\" ovf:id=" in found.text
    assert "VirtualSystemCollection" not in found.text


def test_one_vm_of_several_is_chosen_by_its_id():
    other = '<VirtualSystem ovf:id="db"><ProductSection><Property ovf:key="k"/></ProductSection></VirtualSystem>'
    text = vapp("VM", other).encode()
    with pytest.raises(PackageError, match="2 VMs") as raised:
        descriptor.parse(text, "web.ovf")
    assert raised.value.details["virtual_systems"] == ["web", "db"]
    assert descriptor.parse(text, "web.ovf", system="db").properties == ("k",)
    assert descriptor.parse(text, "web.ovf", system="web").text == descriptor.parse(Made().descriptor(), "web.ovf").text
    assert descriptor.parse(text, "web.ovf", system="web").system == "web"
    with pytest.raises(InvalidOption, match="has no VM mail"):
        descriptor.parse(text, "web.ovf", system="mail")
    # Where there is nothing to choose, the choice makes no other package of it.
    assert descriptor.parse(Made().descriptor(), "web.ovf", system="web").system == ""


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
