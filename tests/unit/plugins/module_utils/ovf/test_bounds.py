# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What packages may cost: bounds that stand before anything is parsed, and odd input that is refused as that."""

from __future__ import annotations

import contextlib
import io
import os
import re
import tarfile
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vforge_packages
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import TimedOut
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import descriptor, manifest
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.blobs import (
    LocalBlob,
    PackageError,
    is_archive,
    read_archive,
    whole,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.package import open_package
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.websource import WebAccess
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.running import Templates
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.support import Made
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.support import archive as pack

KIB, MIB = 2**10, 2**20
END = bytes(1024)


def opened(path, *, signed=False, **access):
    return open_package(str(path), WebAccess(**access), signed=signed)


def refused(work, code):
    with pytest.raises(PackageError) as raised:
        work()
    assert raised.value.error_code == code, raised.value
    return raised.value.message


def judged(work):
    """What is made of some input, and else the code of its refusal; anything else is a failure of the test."""
    try:
        return work(), ""
    except PackageError as error:
        return None, error.error_code


def header(name, kind=tarfile.REGTYPE, size=0, form=tarfile.GNU_FORMAT):
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(form)


def padded(data):
    return data + bytes(-len(data) % 512)


def extended(kind, body):
    return header("ext", kind, len(body)) + padded(body)


def record(key, value):
    """One record of a pax header, whose length counts its own digits."""
    length = len(key) + len(value) + 3
    length += len(str(length + len(str(length))))
    return f"{length} {key}={value}\n".encode()


def ova(folder, *parts):
    path = Path(folder) / "odd.ova"
    path.write_bytes(b"".join(parts) + END)
    return LocalBlob(str(path))


# --- archives ---

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co")), min_size=1, max_size=120
)
MEMBERS = st.dictionaries(
    NAMES.filter(lambda name: not set("\\/") & set(name) and name not in (".", "..")), st.binary(max_size=1500)
)


@given(MEMBERS, st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_what_others_pack_is_found_where_it_is(tmp_path_factory, members, form):
    path = tmp_path_factory.mktemp("packed") / "x.ova"
    with tarfile.open(path, "w", format=form, encoding="utf-8") as packed:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            # Of another time than whole seconds: pax writes a header of its own for that.
            member.mtime = 1.5 if form == tarfile.PAX_FORMAT else 1
            with contextlib.suppress(ValueError):  # ustar has no place for it
                packed.addfile(member, io.BytesIO(data))
    found = read_archive(LocalBlob(str(path))).members
    kept = {name for name in members if form != tarfile.USTAR_FORMAT or name in found}
    assert list(found) == [name for name in members if name in kept]
    assert {name: whole(blob, MIB) for name, blob in found.items()} == {name: members[name] for name in kept}


def test_a_size_that_octal_digits_cannot_hold(tmp_path):
    """Disks of more than 8 GiB, as both formats write them; the file has holes, and takes no space."""
    size = 9 * 2**30
    for number, form in enumerate((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        path = tmp_path / f"{number}.ova"
        with path.open("wb") as file:
            start = file.write(header("big.vmdk", size=size, form=form))
            file.truncate(start + size + 1024)
        (found,) = read_archive(LocalBlob(str(path))).members.values()
        assert (found.offset, found.size) == (start, size)


OLD_NAMES = st.text("abcxyz.-_ ", min_size=1, max_size=60).filter(lambda name: name.strip(". ") and "/" not in name)


@given(st.dictionaries(OLD_NAMES, st.binary(max_size=1500), min_size=1))
def test_what_tar_of_version_7_packs_is_found(tmp_path_factory, members):
    path = tmp_path_factory.mktemp("old") / "x.ova"
    path.write_bytes(vforge_packages.old_tar(members, "folder")["web.ova"])
    found = read_archive(LocalBlob(str(path))).members
    assert {name: whole(blob, MIB) for name, blob in found.items()} == {
        f"folder/{name}": data for name, data in members.items()
    }


@pytest.mark.parametrize("at", [0, 99, 100, 124, 148, 156, 200])
def test_a_header_of_version_7_with_another_byte_begins_no_archive(at):
    block = vforge_packages.old_tar({"a.ovf": b""})["web.ova"][:512]
    assert is_archive(block)
    assert not is_archive(block[:at] + bytes([block[at] ^ 0x41]) + block[at + 1 :])
    assert not is_archive(block[:511])
    assert not is_archive(bytes(512))


def test_a_checksum_of_signed_bytes(tmp_path):
    block = bytearray(header("b\u00fcro.ovf"))
    signed_sum = sum(byte - 256 if byte > 127 else byte for byte in block[:148] + block[156:]) + 8 * 32
    block[148:156] = b"%06o\0 " % signed_sum
    assert list(read_archive(ova(tmp_path, bytes(block))).members) == ["b\u00fcro.ovf"]


def test_extended_headers_of_solaris(tmp_path):
    assert list(read_archive(ova(tmp_path, extended(b"X", record("path", "a.ovf")), header("short"))).members) == ["a.ovf"]


@given(st.data())
def test_a_header_with_other_bytes_is_read_or_refused(tmp_path_factory, draw):
    folder = tmp_path_factory.mktemp("changed")
    parts = [extended(b"x", record("path", "a.ovf")), header("a", size=3), padded(b"abc"), extended(b"L", b"b\0"), header("b")]
    data = bytearray(b"".join(parts))
    for _count in range(draw.draw(st.integers(1, 4))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    for at in (0, 1024, 2048, 3072):
        if draw.draw(st.booleans()):  # with a checksum that is right, more of it is looked at
            block = data[at : at + 512]
            data[at + 148 : at + 156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 256)
    with contextlib.suppress(PackageError):
        found = read_archive(ova(folder, bytes(data)))
        assert all(blob.offset + blob.size <= len(data) + len(END) for blob in found.members.values())


@given(st.binary(max_size=400))
def test_whatever_a_pax_header_holds_it_is_read_or_refused(tmp_path_factory, body):
    folder = tmp_path_factory.mktemp("pax")
    with contextlib.suppress(PackageError):
        assert len(read_archive(ova(folder, extended(b"x", body), header("a"))).members) == 1


@pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"g"])
def test_several_headers_of_one_kind_in_a_row_are_refused(tmp_path, kind):
    body = record("path", "name") if kind == b"x" else record("comment", "x") if kind == b"g" else b"name\0"
    assert list(read_archive(ova(tmp_path, extended(kind, body), header("a"))).members) in (["name"], ["a"])
    twice = ova(tmp_path, extended(kind, body), extended(kind, body), header("a"))
    assert "several headers of one kind" in refused(lambda: read_archive(twice), "unsafe_package")


@pytest.mark.parametrize("kind", [b"L", b"x"])
def test_a_long_header_is_refused_and_not_read(tmp_path, kind):
    longest = ova(tmp_path, extended(kind, bytes(16 * KIB)), header("a"))
    read_archive(longest) if kind == b"x" else refused(lambda: read_archive(longest), "unsafe_package")
    longer = ova(tmp_path, extended(kind, bytes(16 * KIB + 1)), header("a"))
    assert "a header of 16385 bytes" in refused(lambda: read_archive(longer), "unsafe_package")


def test_all_headers_together_have_a_bound(tmp_path):
    many = [extended(b"x", record("comment", "x" * 15_000)) + header(f"{number}.txt") for number in range(200)]
    assert "2048000 bytes of headers" in refused(lambda: read_archive(ova(tmp_path, *many)), "unsafe_package")
    assert len(read_archive(ova(tmp_path, *many[:120])).members) == 120


@pytest.mark.parametrize(
    "parts",
    [
        (header("a", tarfile.GNUTYPE_SPARSE),),
        (extended(b"x", record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0")), header("a")),
        (extended(b"x", record("GNU.sparse.map", "0,1")), header("a")),
        (extended(b"g", record("GNU.sparse.size", "1")), header("a")),
        (extended(b"g", record("path", "b")), header("a")),
        (extended(b"g", record("size", "1")), header("a")),
        (header("a", b"M"),),
        (header("a", b"V"),),
        (header("a", b"5", size=1),),
        (header("a/"), header("a/b")),
        (header("a\nb"),),
        (header(""),),
        (extended(b"L", b"a/../../b\0"), header("a")),
        (extended(b"x", record("path", "/etc/x")), header("a")),
        (extended(b"x", record("path", "x" * 1025)), header("a")),
    ],
    ids=range(15),
)
def test_members_that_no_ova_needs_are_refused_from_their_first_header(tmp_path, parts):
    refused(lambda: read_archive(ova(tmp_path, *parts)), "unsafe_package")


@pytest.mark.parametrize(
    "parts",
    [
        (header("a"), b"no header".ljust(512)),
        (header("a")[:100] + b"\1" + header("a")[101:],),
        (extended(b"x", record("size", "9" * 20)), header("a")),
        (extended(b"x", record("size", "-1")), header("a")),
        (extended(b"x", b"99999 path=a\n"), header("a")),
        (extended(b"x", b"0 path=a\n"), header("a")),
        (extended(b"L", b"a\0"),),
        (header("B\xfcro.txt".encode("latin-1").decode("utf-8", "surrogateescape")),),
    ],
    ids=range(8),
)
def test_archives_that_are_broken(tmp_path, parts):
    refused(lambda: read_archive(ova(tmp_path, *parts)), "invalid_package")


def test_an_ova_that_was_cut_anywhere_is_not_complete(tmp_path):
    path = Made(disks={"a.vmdk": b"a" * 700, "b.vmdk": b"b" * 700}).ova(tmp_path)
    data = path.read_bytes()
    end = data.rindex(b"b" * 700) + 1024
    short = tmp_path / "short.ova"
    for size in range(512, end, 256):
        short.write_bytes(data[:size])
        refused(lambda: read_archive(LocalBlob(str(short))), "invalid_package")
    short.write_bytes(data[: end + 512])
    assert len(read_archive(LocalBlob(str(short))).members) == 4


# --- descriptors ---


def parsed(text):
    return descriptor.parse(text if isinstance(text, bytes) else text.encode(), "web.ovf")


def inside(text):
    """A descriptor with more in it."""
    made = Made().descriptor().decode()
    return made.replace("<NetworkSection>", f"{text}<NetworkSection>", 1)


_MANY = f"<a {' '.join(f'a{number}=_' for number in range(1000))}/>".replace("_", '""')


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<a/>" * 100_000, "more than 100000 elements"),
        ("<a>" * 65 + "</a>" * 65, "more than 64 elements in one another"),
        (_MANY * 201, "more than 200000 attributes"),
        ("<!---->" * 300_001, "more than 300000 tags"),
        (f"<a b='{'x' * 270_000}'/>", "a tag of more than 262144"),
        (f"<a b='{'>' * 270_000}'/>", "a tag of more than 262144"),
        (f"<a {'x' * 270_000}", "a tag of more than 262144"),
        (f"<a>{'x' * 600_000}</a>", "a text of more than 524288"),
        (f"<!--{'x' * 600_000}-->", "a text of more than 524288"),
        ('<File ovf:href="a" ovf:id="a"/>' * 1001, "more than 1000 files"),
        (
            "<DeploymentOptionSection>" + '<Configuration ovf:id="a"/>' * 1001 + "</DeploymentOptionSection>",
            "more than 1000 deployment options",
        ),
        ("<DiskSection>" + '<Disk ovf:capacity="1"/>' * 1001 + "</DiskSection>", "more than 1000 disks"),
        (f"<NetworkSection>{'<Network/>' * 1001}</NetworkSection>", "more than 1000 networks"),
        (f"<ProductSection>{'<Property/>' * 10_001}</ProductSection>", "more than 10000 properties"),
    ],
    ids=lambda value: value if len(value) < 60 else "text",
)
def test_descriptors_beyond_a_bound_are_refused(text, why):
    assert why in refused(lambda: parsed(inside(text)), "unsafe_package")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (('capacity="64"', f'capacity="{"9" * 5000}"'), "of the capacity '999"),
        (('capacity="64"', 'capacity="9999999999999999999"'), "a disk of 10485759999999999998951424 bytes"),
        (('capacity="64"', 'capacity="\u0661"'), "of the capacity"),
        (("byte * 2^20", "byte * 10^99"), "a disk of 64"),
        (('ovf:size="300000"', f'ovf:size="{"1" * 5000}"'), "size of a file is '111"),
        (('ovf:size="300000"', 'ovf:size="\u0661"'), "size of a file is"),
        (('ovf:href="web-disk1.vmdk"', 'ovf:href="web&#10;disk.vmdk"'), "has a control character"),
        (('ovf:href="web-disk1.vmdk"', f'ovf:href="{"x" * 1025}"'), "too long"),
        (('ovf:href="web-disk1.vmdk"', 'ovf:href="a" vmw:href="b"'), "two attributes 'href'"),
        (('<Network ovf:name="VM Network"', '<Network ovf:name="&#x9b;2J"'), "has a control character"),
    ],
    ids=range(10),
)
def test_odd_values_of_a_descriptor_are_said_as_that(change, why):
    text = Made().descriptor().decode()
    assert change[0] in text
    message = refused(lambda: parsed(text.replace(*change, 1)), "invalid_package")
    assert why in message
    assert len(message) < 400


@pytest.mark.parametrize("encoding", ["punycode", "utf-7", "unicode_escape", "idna", "zlib", "no-such"])
def test_encodings_that_no_descriptor_needs_are_not_tried(encoding):
    text = Made().descriptor().replace(b'encoding="UTF-8"', f'encoding="{encoding}"'.encode())
    assert "encoding" in refused(lambda: parsed(text), "invalid_package")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "iso-8859-15", "windows-1252"])
def test_what_is_parsed_is_what_is_sent(encoding):
    text = Made(networks=("Büro",)).descriptor().decode()
    text = text.replace('encoding="UTF-8"', f'encoding="{encoding}"')
    data = text.encode(encoding)
    found = parsed(b"\xfe\xff" + data if encoding == "utf-16-be" else data)
    assert found.networks == ("Büro",)
    assert found.text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<Envelope')
    assert parsed(found.text) == found


ELEMENTS = st.recursive(
    st.sampled_from(["File", "Disk", "Network", "Property", "Configuration", "Item", "x"]).map(lambda name: (name, {}, [])),
    lambda inner: st.tuples(
        st.sampled_from(["References", "DiskSection", "NetworkSection", "ProductSection", "File", "VirtualSystem"]),
        st.dictionaries(
            st.sampled_from(["id", "href", "size", "chunkSize", "name", "key", "class", "capacity", "fileRef", "diskId"]),
            st.sampled_from(["", "a", "1", "9" * 30, "${x}", "-1", "é", "a.vmdk"]),
            max_size=4,
        ),
        st.lists(inner, max_size=5),
    ),
    max_leaves=30,
)


def written(element, prefix):
    name, attributes, inner = element
    given_ = "".join(f' {prefix}{key}="{value}"' for key, value in attributes.items())
    return f"<{prefix}{name}{given_}>{''.join(written(one, prefix) for one in inner)}</{prefix}{name}>"


@given(st.lists(ELEMENTS, max_size=4), st.sampled_from(["", "ovf:"]))
def test_any_elements_are_a_descriptor_or_refused(elements, prefix):
    body = "".join(written(element, prefix) for element in elements)
    found, code = judged(lambda: parsed(f"<{prefix}Envelope xmlns:ovf='x'>{body}</{prefix}Envelope>"))
    if found is None:
        assert code == "invalid_package"
        return
    assert len(found.files) == len(re.findall(rf"<{prefix}File\b", body))
    assert all(disk.capacity is None or 0 <= disk.capacity < 2**63 for disk in found.disks)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-16", "surrogatepass")))
def test_any_bytes_are_a_descriptor_or_refused(data):
    with contextlib.suppress(PackageError):
        parsed(data)
        pytest.fail("these are too few bytes for a descriptor that is accepted")


def test_a_descriptor_is_read_until_the_deadline():
    with pytest.raises(TimedOut):
        descriptor.parse(inside("<a/>" * 2000).encode(), "web.ovf", time.monotonic())


# --- manifests ---


@given(st.binary(max_size=300) | st.text("SHA256()= \n0aé", max_size=300).map(str.encode))
def test_any_bytes_are_a_manifest_or_refused(data):
    found, code = judged(lambda: manifest.parse(data, "it"))
    if found is None:
        assert code == "invalid_package"
    else:
        assert all(len(digest.value) in (40, 64, 96, 128) for digest in found.digests.values())


def test_a_long_manifest_or_line_is_refused(tmp_path):
    files = {**Made().files(), "web.mf": b"\n" * (256 * KIB + 1)}
    refused(lambda: opened(pack(tmp_path / "web.ova", files)), "unsafe_package")
    refused(lambda: manifest.parse(b"SHA1(" + b"x" * 4096 + b")= " + b"0" * 40, "it"), "invalid_package")


# --- what lies beside a descriptor ---


def outside(tmp_path, folder):
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 300_000)
    (folder / "web-disk1.vmdk").unlink()
    return secret


def test_a_disk_that_is_a_link_out_of_the_folder_of_the_package_is_refused(tmp_path):
    folder = tmp_path / "package"
    folder.mkdir()
    path = Made(manifest=None).ovf(folder)
    (folder / "web-disk1.vmdk").symlink_to(outside(tmp_path, folder))
    assert "is a symbolic link" in refused(lambda: opened(path), "unsafe_package")


@pytest.mark.parametrize("name", ["web.mf", "web.cert"])
def test_so_is_a_manifest_or_a_signature(tmp_path, name):
    path = Made(manifest=None).ovf(tmp_path)
    (tmp_path / name).symlink_to("/dev/zero")
    assert "is a symbolic link" in refused(lambda: opened(path, signed=True), "unsafe_package")


def test_so_is_a_folder_that_is_a_link(tmp_path):
    folder, elsewhere = tmp_path / "package", tmp_path / "elsewhere"
    for one in (folder, elsewhere):
        one.mkdir()
    path = Made(disks={"disks/a.vmdk": b"a"}, manifest=None)
    (folder / "web.ovf").write_bytes(path.descriptor())
    (elsewhere / "a.vmdk").write_bytes(b"a")
    (folder / "disks").symlink_to(elsewhere)
    assert "is a symbolic link" in refused(lambda: opened(folder / "web.ovf"), "unsafe_package")
    (folder / "disks").unlink()
    elsewhere.rename(folder / "disks")
    assert whole(opened(folder / "web.ovf").files["disks/a.vmdk"], 1) == b"a"


def test_a_disk_that_becomes_a_link_later_is_refused_when_it_is_read(tmp_path):
    folder = tmp_path / "package"
    folder.mkdir()
    disk = opened(Made(manifest=None).ovf(folder)).files["web-disk1.vmdk"]
    (folder / "web-disk1.vmdk").symlink_to(outside(tmp_path, folder))
    refused(disk.open, "unsafe_package")
    refused(disk.unchanged, "unsafe_package")


@pytest.mark.parametrize("name", ["web.ovf", "web.mf", "web.cert", "web-disk1.vmdk"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    path = Made(manifest=None).ovf(tmp_path)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    assert "is no file" in refused(lambda: opened(path, signed=True), "source_unreadable")


def test_the_package_itself_may_be_named_by_a_link(tmp_path):
    (tmp_path / "current.ova").symlink_to(Made().ova(tmp_path))
    assert opened(tmp_path / "current.ova").packed


@pytest.mark.parametrize("name", ["a\udcffb.ova", "a\x1b[2Jb.ova", "a\nb.ova"])
def test_odd_names_of_files_are_shown_and_sent_without_what_is_odd(tmp_path, name, shared_sim, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    path = Made(manifest=None).ova(tmp_path).rename(tmp_path / name)
    templates = Templates(shared_sim)
    for _run in range(2):
        ran = templates.run(os.fsdecode(path), name="odd")
        assert "a\ufffd" in ran.result["template"]["source"]
        assert "\ufffd" in ran.result["source"]["label"]
    assert ran.result["changed"] is False
    templates.run(None, state="absent", name="odd")


@pytest.mark.parametrize("name", ["a\0b.ova", "a\ud800b.ova", "x" * 300 + ".ova"])
def test_what_can_be_no_name_of_a_file(tmp_path, name):
    assert "\ud800" not in refused(lambda: opened(f"{tmp_path}/{name}"), "source_unreadable")


# --- the worst within the bounds ---


def worst(folder):
    """An OVA that is at its bounds wherever it can be: what it costs is the most that any may cost."""
    uri = "u" * 8000
    names = "".join(f'<ovf:Network ovf:name="{number:05d}{"n" * 300}"/>' for number in range(1000))
    keys = "".join(f'<ovf:Property ovf:key="k{number}" ovf:b="" ovf:c=""/>' for number in range(10_000))
    files = "".join(f'<ovf:File ovf:href="f{number}" ovf:id="f{number}" ovf:size="0"/>' for number in range(990))
    many = '<ovf:a ovf:b="" ovf:c=""/>' * 80_000
    text = (
        f'<ovf:Envelope xmlns:ovf="{uri}"><ovf:References>{files}</ovf:References>'
        f"<ovf:NetworkSection>{names}</ovf:NetworkSection>"
        f"<ovf:ProductSection>{keys}</ovf:ProductSection>{many}"
    )
    fill = descriptor.LONGEST - len(text) - len("\U0001f4bb".encode()) - len("</ovf:Envelope>")
    # One character beyond the others makes each of them take four bytes in memory.
    pieces = [f"<b>{'x' * (500 * KIB)}</b>"] * (fill // (500 * KIB + 7))
    text += "".join(pieces) + "\U0001f4bb" + "</ovf:Envelope>"
    listing = b"".join(b"SHA256(f%d)= %064d\n" % (number, 0) for number in range(3000))[: 256 * KIB]
    parts = [header("a.ovf", size=len(text.encode())), padded(text.encode())]
    listing = listing[: listing.rindex(b"\n") + 1]
    parts += [header("a.mf", size=len(listing)), padded(listing)]
    for number in range(990):
        parts.append(extended(b"x", record("comment", "c" * 400)) + header(f"f{number}"))
    return ova(folder, *parts)


def test_the_worst_package_within_the_bounds(tmp_path):
    path = tmp_path / "odd.ova"
    worst(tmp_path)
    begun = time.process_time()
    package = opened(path)
    took = time.process_time() - begun
    assert (len(package.files), len(package.descriptor.networks), len(package.descriptor.properties)) == (990, 1000, 10_000)
    assert len(package.descriptor_bytes) > 0.85 * descriptor.LONGEST
    assert took < 5, took
    del package
    tracemalloc.start()
    try:
        opened(path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 100 * MIB, most / MIB
