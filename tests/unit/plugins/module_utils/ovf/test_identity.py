# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Identity is content; and what is not read again when nothing has changed."""

from __future__ import annotations

import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.private import PrivateFolder
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import identity
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.blobs import LocalBlob, SliceBlob
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.digests import DigestCache, Digester, Want
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.errors import PackageError
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.manifest import Digest
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.package import open_package
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.websource import WebAccess
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.support import Made, archive, content


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
        return Digester(DigestCache(folder, warnings.append), always=always, tell=lambda *_: None)

    return make


def identify(path, digester, verify=identity.BEFORE, given=None):
    return identity.identify(open_package(str(path), WebAccess()), verify, given, digester)


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
    assert identify(path, first) == identify(path, second) == identify(path, always)
    assert (first.read, second.read, always.read) == (300_000, 0, 300_000)
    assert warnings == []


def test_a_file_of_another_time_is_read_again(tmp_path, digester):
    path = Made().ovf(tmp_path)
    identify(path, digester())
    disk = tmp_path / "web-disk1.vmdk"
    os.utime(disk, ns=(0, os.stat(disk).st_mtime_ns + 1))
    again = digester()
    identify(path, again)
    assert again.read == 300_000


def test_a_damaged_memory_is_told_and_does_no_harm(tmp_path, digester, warnings):
    path = Made().ova(tmp_path)
    first = identify(path, digester())
    for file in (tmp_path / f"vforge-vsphere-{os.geteuid()}").glob("ovf-*.json"):
        file.write_text('{"format": 1}')
        file.chmod(0o600)
    again = digester()
    assert identify(path, again) == first
    assert again.read == 300_000
    assert "damaged" in warnings[0]


@pytest.mark.parametrize("verify", [identity.BEFORE, identity.STREAM])
def test_a_wrong_descriptor_is_found_at_once(tmp_path, digester, verify):
    files = Made().files()
    files["web.ovf"] = files["web.ovf"].replace(b"A VM", b"B VM")
    with pytest.raises(PackageError) as raised:
        identify(archive(tmp_path / "web.ova", files), digester(), verify)
    assert raised.value.error_code == "checksum_mismatch"


def test_a_wrong_disk_is_found_before_anything_is_made(tmp_path, digester):
    files = Made().files()
    files["web-disk1.vmdk"] = content(300_000, 9)
    path = archive(tmp_path / "web.ova", files)
    with pytest.raises(PackageError) as raised:
        identify(path, digester())
    assert raised.value.error_code == "checksum_mismatch"
    # While streaming it is not looked at yet.
    assert identify(path, digester(), identity.STREAM).verified == frozenset()


def test_what_the_manifest_leaves_out_is_read_in_any_case(tmp_path, digester):
    made = Made(disks={"a.vmdk": content(1000), "b.vmdk": content(2000, 2)})
    files = made.files()
    files["web.mf"] = b"\n".join(line for line in files["web.mf"].splitlines() if b"b.vmdk" not in line)
    reading = digester()
    known = identify(archive(tmp_path / "web.ova", files), reading, identity.STREAM)
    assert (reading.read, known.verified) == (2000, {"b.vmdk"})
    assert known.warnings == ("The manifest of web.ova leaves out b.vmdk.",)


@pytest.mark.parametrize("verify", [identity.BEFORE, identity.STREAM])
def test_a_given_checksum_is_of_the_whole_ova_and_read_in_one_pass(tmp_path, digester, verify):
    path = Made().ova(tmp_path)
    right = Digest("sha512", hashlib.sha512(path.read_bytes()).hexdigest())
    reading = digester()
    known = identify(path, reading, verify, right)
    assert (reading.read, known.verified) == (path.stat().st_size, {"web-disk1.vmdk"})
    again = digester()
    identify(path, again, verify, right)
    assert again.read == 0
    with pytest.raises(PackageError, match="the option checksum says"):
        identify(path, digester(), verify, Digest("sha512", "0" * 128))


@given(st.binary(max_size=3000), st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), max_size=4))
def test_digests_of_parts_in_one_pass_or_in_several(tmp_path_factory, data, places):
    path = tmp_path_factory.mktemp("parts") / "file"
    path.write_bytes(data)
    blob = LocalBlob(str(path))
    parts = [SliceBlob(blob, "x", start, min(size, len(data) - start)) for start, size in places if start < len(data)]
    for wants in ([Want(part, "sha256") for part in parts], [Want(blob, "sha1"), *(Want(part, "sha256") for part in parts)]):
        found = Digester(DigestCache(None, print), always=False, tell=lambda *_: None).digests(wants)
        for want, digest in found.items():
            start, size = want.place
            assert digest.value == hashlib.new(want.algorithm, data[start : start + size]).hexdigest()
