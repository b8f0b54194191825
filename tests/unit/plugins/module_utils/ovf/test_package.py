# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages in files: OVA and OVF, what is refused of them, and how little is read."""

from __future__ import annotations

import tarfile

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import descriptor
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.blobs import LocalBlob, PackageError, Seeker, whole
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.package import check_name, open_package
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.websource import WebAccess
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.support import Made, archive, content


def opened(path, form="{}"):
    return open_package(form.format(path), WebAccess())


def refused(path, code):
    with pytest.raises(PackageError) as raised:
        opened(path)
    assert raised.value.error_code == code, raised.value
    return raised.value.message


def header(name, kind=tarfile.REGTYPE, size=0, link=""):
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname = kind, size, link
    return member


@pytest.mark.parametrize("form", ["{}", "file:{}", "file://{}", "file://localhost{}"])
def test_an_ova_by_path_and_by_address(tmp_path, form):
    package = opened(Made().ova(tmp_path), form)
    assert package.packed
    assert package.descriptor_name == "web.ovf"
    assert list(package.files) == ["web-disk1.vmdk"]
    assert whole(package.files["web-disk1.vmdk"], 2**20) == content(300_000)


def test_an_ovf_with_its_disks_beside_it(tmp_path):
    package = opened(Made().ovf(tmp_path))
    assert not package.packed
    assert whole(package.files["web-disk1.vmdk"], 2**20) == content(300_000)
    assert set(package.manifest) == {"web.ovf", "web-disk1.vmdk"}


def test_what_it_is_shows_in_its_content_not_in_its_name(tmp_path):
    path = Made().ova(tmp_path)
    assert opened(path.rename(tmp_path / "appliance.bin")).packed


def test_a_disk_in_pieces(tmp_path):
    made = Made()
    text = made.descriptor().decode().replace('ovf:size="300000"', 'ovf:size="300000" ovf:chunkSize="100000"')
    (tmp_path / "web.ovf").write_text(text, encoding="utf-8")
    data = content(300_000)
    for number in range(3):
        (tmp_path / f"web-disk1.vmdk.{number:09d}").write_bytes(data[number * 100_000 : (number + 1) * 100_000])
    blob = opened(tmp_path / "web.ovf").files["web-disk1.vmdk"]
    assert whole(blob, 2**20) == data
    stream = blob.open(150_000)
    buffer = bytearray(10)
    assert stream.readinto(memoryview(buffer)) == 10
    stream.close()
    assert bytes(buffer) == data[150_000:150_010]


@pytest.mark.parametrize(
    "member",
    [
        header("../../etc/cron.d/x"),
        header("/etc/passwd"),
        header("a/../../b"),
        header("disks/../../x"),
        header("..\\x"),
        header("x", tarfile.SYMTYPE, link="/etc/passwd"),
        header("x", tarfile.LNKTYPE, link="web.ovf"),
        header("x", tarfile.CHRTYPE),
        header("x", tarfile.FIFOTYPE),
        header("x", tarfile.GNUTYPE_SPARSE),
        header("web.ovf"),
    ],
    ids=lambda member: f"{member.name}-{member.type!r}",
)
def test_members_that_no_ova_needs_are_refused(tmp_path, member):
    assert "web.ova" in refused(archive(tmp_path / "web.ova", Made().files(), [member]), "unsafe_package")


def test_an_entry_larger_than_the_file_that_holds_it_is_refused(tmp_path):
    path = Made().ova(tmp_path)
    short = tmp_path / "short.ova"
    short.write_bytes(path.read_bytes()[:-100_000])
    assert "ends within 'web-disk1.vmdk'" in refused(short, "invalid_package")


def test_an_entry_larger_than_the_descriptor_announces_is_refused(tmp_path):
    files = Made(manifest=None).files()
    files["web-disk1.vmdk"] += b"more"
    assert "more than the 300000" in refused(archive(tmp_path / "web.ova", files), "unsafe_package")


def test_an_entry_smaller_than_the_descriptor_announces_is_refused(tmp_path):
    files = Made(manifest=None).files()
    files["web-disk1.vmdk"] = files["web-disk1.vmdk"][:-1]
    assert "299999 bytes of the 300000" in refused(archive(tmp_path / "web.ova", files), "invalid_package")


def test_a_descriptor_of_a_hundred_megabytes_is_refused_and_not_read(tmp_path):
    path = tmp_path / "web.ova"
    member = header("web.ovf", size=100 * 2**20)
    with path.open("wb") as file:
        file.write(member.tobuf(tarfile.USTAR_FORMAT))
        file.truncate(512 + 100 * 2**20 + 1024)
    assert f"at most {descriptor.LONGEST}" in refused(path, "unsafe_package")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XGLTYPE])
def test_a_header_that_would_fill_the_memory_is_refused_and_not_read(tmp_path, kind):
    path = tmp_path / "web.ova"
    with path.open("wb") as file:
        file.write(header("x", kind, size=4 * 2**30).tobuf(tarfile.GNU_FORMAT))
        file.truncate(5 * 2**30)
    assert "has a header of" in refused(path, "unsafe_package")


def test_an_ova_of_very_many_members_is_refused(tmp_path):
    members = [header(f"{number}.txt") for number in range(1100)]
    assert "more than 1000 members" in refused(archive(tmp_path / "web.ova", Made().files(), members), "unsafe_package")


@pytest.mark.parametrize("count", [0, 2])
def test_an_ova_has_one_descriptor(tmp_path, count):
    files = {f"{number}.ovf": Made().descriptor() for number in range(count)} or {"readme.txt": b"hello"}
    assert f"holds {count} descriptors" in refused(archive(tmp_path / "web.ova", files), "invalid_package")


@pytest.mark.parametrize(
    "href", ["/etc/passwd", "../x.vmdk", "a/../../x", "..\\x", "\\\\host\\x", "http://evil.example/x", "c:x"]
)
def test_names_that_lead_out_of_the_package_are_refused(href):
    with pytest.raises(PackageError) as raised:
        check_name(href, "web.ovf")
    assert raised.value.error_code == "unsafe_package"


def test_a_file_that_is_listed_and_not_there(tmp_path):
    path = Made().ovf(tmp_path)
    (tmp_path / "web-disk1.vmdk").unlink()
    assert "lists the file web-disk1.vmdk, which is not there" in refused(path, "invalid_package")


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"\x1f\x8b\x08rest", "a compressed file"), (b"MZ", "neither an OVA"), (b"", "neither an OVA")],
)
def test_what_is_no_package_is_refused(tmp_path, data, message):
    path = tmp_path / "it"
    path.write_bytes(data)
    assert message in refused(path, "invalid_package")


def test_what_cannot_be_read_is_said(tmp_path):
    assert "No such file" in refused(tmp_path / "missing.ova", "source_unreadable")
    assert "is no file" in refused(tmp_path, "source_unreadable")
    with pytest.raises(PackageError, match="cannot be read by ftp"):
        open_package("ftp://images.example/web.ova", WebAccess())
    with pytest.raises(PackageError, match="names another machine"):
        open_package("file://server/web.ova", WebAccess())
    with pytest.raises(PackageError, match="is no address"):
        open_package("file://[server/web.ova", WebAccess())


def test_a_file_that_cannot_be_read_on_is_the_sources_own_error():
    # Its first page can be asked for, and never be read.
    stream = LocalBlob("/proc/self/mem").open()
    with pytest.raises(PackageError, match="cannot be read") as caught:
        stream.readinto(memoryview(bytearray(16)))
    assert caught.value.error_code == "source_unreadable"
    stream.close()


def test_of_a_large_ova_only_headers_and_small_files_are_read(tmp_path, monkeypatch):
    made = Made(disks={"a.vmdk": content(2_000_000), "b.vmdk": content(2_000_000, 2)})
    path = made.ova(tmp_path)
    read = []
    real = Seeker.read
    monkeypatch.setattr(Seeker, "read", lambda self, at, size: read.append(real(self, at, size)) or read[-1])
    opened(path)
    assert sum(len(data) for data in read) < 50_000
    assert LocalBlob(str(path)).size > 4_000_000
