# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Identity is content; and what is not read again when nothing has changed."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._files import PrivateFolder
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import identity
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.blobs import LocalBlob, PackageError, SliceBlob
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.identity import DigestCache, Digester, Want, Witness
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.manifest import Digest
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.package import open_package
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.websource import WebAccess
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.support import Made, archive, content, manifest


@pytest.fixture
def warnings():
    """What was warned of."""
    return []


@pytest.fixture
def digester(tmp_path, warnings, monkeypatch):
    """A function that makes a new digester over one cache, as each task has it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def make(*, always=False):
        folder = PrivateFolder.find(warnings.append, "digests", "the source is read again")
        return Digester(DigestCache(folder, warnings.append), always=always, show=lambda *_: None)

    return make


def identify(path, digester, **how):
    return identity.identify(open_package(str(path), WebAccess()), digester, **how)


def identify_before(path, digester):
    """As it is done before an import with ``verify: before``."""
    package = open_package(str(path), WebAccess())
    known = identity.identify(package, digester)
    identity.read_again(package, known, package.files, digester, ())
    return known


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512", None])
def test_an_ova_and_its_files_are_the_same(tmp_path, digester, algorithm):
    made = Made(manifest=algorithm)
    assert identify(made.ova(tmp_path), digester()).digest == identify(made.ovf(tmp_path), digester()).digest


def test_other_content_is_another_identity(tmp_path, digester):
    digests = set()
    for number, made in enumerate([Made(), Made(disks={"web-disk1.vmdk": content(300_000, 2)}), Made(networks=("x",))]):
        folder = tmp_path / str(number)
        folder.mkdir()
        digests.add(identify(made.ova(folder), digester()).digest)
    assert len(digests) == 3


@pytest.mark.parametrize("form", ["ova", "ovf"])
def test_an_unchanged_file_is_read_once(tmp_path, digester, form, warnings):
    path = getattr(Made(manifest=None), form)(tmp_path)
    first, second, always = digester(), digester(), digester(always=True)
    known = [identify(path, one) for one in (first, second, always)]
    assert len({one.digest for one in known}) == 1
    assert [(set(one.read), set(one.remembered)) for one in known] == [
        ({"web-disk1.vmdk"}, set()),
        (set(), {"web-disk1.vmdk"}),
        ({"web-disk1.vmdk"}, set()),
    ]
    assert (first.read, second.read, always.read) == (300_000, 0, 300_000)
    assert warnings == []


def test_a_file_of_another_time_is_read_again(tmp_path, digester):
    path = Made(manifest=None).ovf(tmp_path)
    identify(path, digester())
    disk = tmp_path / "web-disk1.vmdk"
    os.utime(disk, ns=(0, os.stat(disk).st_mtime_ns + 1))
    again = digester()
    identify(path, again)
    assert again.read == 300_000


_NESTED = "[" * 5000 + "]" * 5000


@pytest.mark.parametrize(
    "change",
    [
        lambda _text: '{"format": 1}',
        lambda _text: "",
        lambda _text: "\xff\xfe",
        lambda _text: "[1, 2]",
        lambda _text: "Infinity",
        lambda _text: _NESTED,
        lambda text: text.replace('"digests": {', f'"more": {_NESTED}, "digests": {{'),
        lambda text: re.sub(r'"[0-9a-f]{64}"', "Infinity", text),
        lambda text: re.sub(r'"[0-9a-f]{64}"', "NaN", text),
        lambda text: re.sub(r"[0-9a-f]{64}", "ab", text),
        lambda text: re.sub(r'"digests": .*', '"digests": 7}', text),
    ],
    ids=range(11),
)
def test_a_damaged_memory_is_reported_and_does_no_harm(tmp_path, digester, warnings, change):
    path = Made(manifest=None).ova(tmp_path)
    first = identify(path, digester())
    (file,) = (tmp_path / f"vforge-vsphere-{os.geteuid()}").glob("ovf-*.json")
    whole = file.read_text(encoding="utf-8")
    assert change(whole) != whole
    file.write_text(change(whole), encoding="latin-1")
    again = digester()
    assert identify(path, again) == first
    assert again.read == 300_000
    assert "damaged" in warnings[0]


@given(st.binary(max_size=300))
def test_whatever_a_memory_holds_it_is_digests_or_damaged(data):
    blob = LocalBlob(__file__)
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, PackageError):
        assert identity._remembered(data, blob) == {}


def test_a_wrong_descriptor_is_found_at_once(tmp_path, digester):
    files = Made().files()
    files["web.ovf"] = files["web.ovf"].replace(b"A VM", b"B VM")
    with pytest.raises(PackageError) as raised:
        identify(archive(tmp_path / "web.ova", files), digester())
    assert raised.value.error_code == "checksum_mismatch"


def test_a_wrong_disk_is_found_before_anything_is_made(tmp_path, digester):
    files = Made().files()
    files["web-disk1.vmdk"] = content(300_000, 9)
    path = archive(tmp_path / "web.ova", files)
    # To look for the template that is there already no disk is read.
    assert identify(path, digester()).read == {}
    with pytest.raises(PackageError) as raised:
        identify_before(path, digester())
    assert raised.value.error_code == "checksum_mismatch"


def test_what_the_manifest_leaves_out_is_read_in_any_case(tmp_path, digester):
    made = Made(disks={"a.vmdk": content(1000), "b.vmdk": content(2000, 2)})
    files = made.files()
    files["web.mf"] = b"\n".join(line for line in files["web.mf"].splitlines() if b"b.vmdk" not in line)
    reading = digester()
    known = identify(archive(tmp_path / "web.ova", files), reading)
    assert (reading.read, set(known.read)) == (2000, {"b.vmdk"})
    assert known.warnings == ("The manifest of web.ova leaves out b.vmdk.",)


def test_a_given_checksum_is_of_the_whole_ova_and_read_in_one_pass_each_time(tmp_path, digester):
    path = Made().ova(tmp_path)
    right = Digest("sha512", hashlib.sha512(path.read_bytes()).hexdigest())
    for _run in range(2):
        reading = digester()
        known = identify(path, reading, given=right)
        assert (reading.read, set(known.read)) == (path.stat().st_size, {"web-disk1.vmdk"})
    with pytest.raises(PackageError, match="the option checksum says"):
        identify(path, digester(), given=Digest("sha512", "0" * 128))


def test_a_given_checksum_of_loose_files_is_of_the_descriptor_in_memory(tmp_path, digester):
    path = Made().ovf(tmp_path)
    right = Digest("sha1", hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest())
    package = open_package(str(path), WebAccess())
    path.write_bytes(b"<other/>")
    assert identity.identify(package, digester(), given=right).remembered == frozenset()
    with pytest.raises(PackageError, match="the option checksum says"):
        identity.identify(package, digester(), given=Digest("sha1", "0" * 40))


@pytest.mark.parametrize("member", ["web.ovf", "web.mf", "header"])
def test_what_was_read_of_an_ova_before_must_be_what_its_checksum_is_of(tmp_path, digester, member):
    path = Made().ova(tmp_path)
    right = path.read_bytes()
    # The archive as it was looked at differs from the one that has the right checksum.
    other = bytearray(right)
    if member == "header":
        header = tarfile.TarInfo("web.ovf")
        header.size, header.mode = len(Made().descriptor()), 0o600
        other[:512] = header.tobuf(tarfile.USTAR_FORMAT)
    else:
        at = right.index({"web.ovf": b"A VM<", "web.mf": b"SHA256"}[member])
        other[at : at + 4] = other[at : at + 4].lower()
    path.write_bytes(other)
    package = open_package(str(path), WebAccess())
    package = dataclasses.replace(package, manifest={})
    path.write_bytes(right)
    os.utime(path, ns=(0, int(package.source.stamp.partition(":")[2])))
    with pytest.raises(PackageError) as raised:
        identity.identify(package, digester(), given=Digest("sha256", hashlib.sha256(right).hexdigest()))
    assert raised.value.error_code == "source_changed"


def test_nothing_of_a_signed_package_comes_from_memory(tmp_path, digester):
    path = Made(manifest=None).ova(tmp_path)
    identify(path, digester())
    again = digester()
    assert identify(path, again, signed=True).remembered == frozenset()
    assert again.read == 300_000


def test_a_file_that_changed_unseen_is_found_out_and_forgotten(tmp_path, digester):
    path = Made(manifest=None).ova(tmp_path)
    first = identify(path, digester())
    status, data = path.stat(), bytearray(path.read_bytes())
    data[-20_000] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    # It is taken for the same, which does for finding the template that was made of it.
    assert identify(path, digester()).digest == first.digest
    with pytest.raises(PackageError) as raised:
        identify_before(path, digester())
    assert raised.value.error_code == "source_changed"
    assert identify_before(path, digester()).digest != first.digest


def test_pieces_that_the_manifest_names_one_by_one(tmp_path, digester):
    made = Made(manifest=None)
    text = made.descriptor().replace(b'ovf:size="300000"', b'ovf:size="300000" ovf:chunkSize="100000"')
    data = content(300_000)
    files = {f"web-disk1.vmdk.{number:09d}": data[number * 100_000 : (number + 1) * 100_000] for number in range(3)}
    for name, part in {"web.ovf": text, **files}.items():
        (tmp_path / name).write_bytes(part)
    path = tmp_path / "web.ovf"
    (tmp_path / "web.mf").write_bytes(manifest({"web.ovf": text, **files}))
    known = identify(path, digester())
    assert known.warnings == ()
    assert known.files["web-disk1.vmdk"] == ("sha256", hashlib.sha256(data).hexdigest())
    (tmp_path / "web-disk1.vmdk.000000001").write_bytes(content(100_000, 5))
    with pytest.raises(PackageError) as raised:
        identify(path, digester())
    assert "web-disk1.vmdk.000000001" in raised.value.message
    (tmp_path / "web.mf").write_bytes(manifest({"web.ovf": text, "web-disk1.vmdk.000000000": b"", "x": b""}))
    assert open_package(str(path), WebAccess()).left_out() == ["web-disk1.vmdk"]


@given(st.binary(max_size=3000), st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), max_size=4))
def test_digests_of_parts_in_one_pass_or_in_several(tmp_path_factory, data, places):
    path = tmp_path_factory.mktemp("parts") / "file"
    path.write_bytes(data)
    blob = LocalBlob(str(path))
    parts = [SliceBlob(blob, "x", start, min(size, len(data) - start)) for start, size in places if start < len(data)]
    for wants in ([Want(part, "sha256") for part in parts], [Want(blob, "sha1"), *(Want(part, "sha256") for part in parts)]):
        found = Digester(DigestCache(None, print), always=False, show=lambda *_: None).fresh(wants)
        for want, digest in found.items():
            start, size = want.place
            assert digest.value == hashlib.new(want.algorithm, data[start : start + size]).hexdigest()


@given(st.binary(min_size=1, max_size=300), st.data())
def test_a_witness_sees_any_other_byte_and_no_other(data, draw):
    seen = []
    for _count in range(draw.draw(st.integers(0, 4))):
        start = draw.draw(st.integers(0, len(data) - 1))
        seen.append((start, data[start : draw.draw(st.integers(start, len(data)))]))
    other = bytearray(data)
    where = draw.draw(st.none() | st.integers(0, len(data) - 1))
    if where is not None:
        other[where] ^= 255
    noticed = any(where is not None and start <= where < start + len(part) for start, part in seen)
    witness, at = Witness(LocalBlob(__file__), seen), 0
    with pytest.raises(PackageError) if noticed else contextlib.nullcontext():
        while at < len(other):
            size = draw.draw(st.integers(1, 40))
            witness.look(at, memoryview(other)[at : at + size])
            at += size
