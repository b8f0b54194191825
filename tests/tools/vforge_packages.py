# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages as the field has them, reduced to what matters: made here, kept in tests/fixtures/packages.

    vforge_packages.py    # writes all of them again

Each function that is marked with ``shape`` makes the files of one package; its docstring says which tools or
habits it comes from. ``test_packages.py`` says of each what is to become of it, in check mode and for real.
Nothing is copied from anybody's package: descriptors have what the family is known by, disks are empty.
Standard library only.
"""

from __future__ import annotations

import collections.abc
import hashlib
import io
import pathlib
import shutil
import sys
import tarfile

import vforge_disks

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "packages"

Files = dict[str, bytes]
SHAPES: dict[str, collections.abc.Callable[[], Files]] = {}

_OVF = "http://schemas.dmtf.org/ovf/envelope/1"
_CIM = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2"
_NAMESPACES = (
    f'xmlns="{_OVF}" xmlns:ovf="{_OVF}" xmlns:rasd="{_CIM}/CIM_ResourceAllocationSettingData" '
    f'xmlns:vssd="{_CIM}/CIM_VirtualSystemSettingData" xmlns:vmw="http://www.vmware.com/schema/ovf"'
)
_FORMAT = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
_MIB = 2**20


def shape(make: collections.abc.Callable[[], Files]) -> collections.abc.Callable[[], Files]:
    """Register a package under the name of its function, with hyphens."""
    SHAPES[make.__name__.replace("_", "-")] = make
    return make


# --- what packages are made of ---


def disk(seed: object = 1, capacity: int = _MIB) -> bytes:
    """A disk in the form of qemu-img, with one grain."""
    return vforge_disks.qemu(8 * 2**10 + 512, seed, capacity)


def item(number: int, kind: int, more: str = "", attributes: str = "") -> str:
    """One item of the hardware."""
    return (
        f"<Item{attributes}><rasd:ElementName>item {number}</rasd:ElementName>"
        f"<rasd:InstanceID>{number}</rasd:InstanceID>{more}<rasd:ResourceType>{kind}</rasd:ResourceType></Item>"
    )


def _value(name: str, text: object) -> str:
    return f"<rasd:{name}>{text}</rasd:{name}>"


def hardware(*disks: str, networks: collections.abc.Sequence[str] = ("VM Network",), more: str = "") -> str:
    """A CPU, memory, a SCSI controller, a disk for each of these ids, a card for each network."""
    items = item(1, 3, _value("VirtualQuantity", 1))
    items += item(2, 4, _value("AllocationUnits", "byte * 2^20") + _value("VirtualQuantity", 512))
    items += item(3, 6, _value("Address", 0) + _value("ResourceSubType", "lsilogic"))
    for number, one in enumerate(disks):
        place = _value("AddressOnParent", number) + _value("HostResource", f"ovf:/disk/{one}") + _value("Parent", 3)
        items += item(10 + number, 17, place)
    for number, name in enumerate(networks):
        items += item(40 + number, 10, _value("Connection", name) + _value("ResourceSubType", "VmxNet3"))
    return (
        "<VirtualHardwareSection><Info>hardware</Info><System><vssd:ElementName>family</vssd:ElementName>"
        "<vssd:InstanceID>0</vssd:InstanceID><vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType></System>"
        f"{items}{more}</VirtualHardwareSection>"
    )


def system(name: str, body: str) -> str:
    """A VM."""
    return (
        f'<VirtualSystem ovf:id="{name}"><Info>a VM</Info><Name>{name}</Name>'
        f'<OperatingSystemSection ovf:id="96"><Info>OS</Info></OperatingSystemSection>{body}</VirtualSystem>'
    )


def references(files: dict[str, str], sizes: dict[str, int] | None = None, attributes: str = "") -> str:
    """The list of files: id -> href, with the sizes by href that are known."""
    listed = ""
    for number, href in files.items():
        size = f' ovf:size="{sizes[href]}"' if sizes and href in sizes else ""
        listed += f'<File ovf:id="{number}" ovf:href="{href}"{size}{attributes}/>'
    return f"<References>{listed}</References>"


def disks(ids: dict[str, str], capacity: object = 1, unit: str = "byte * 2^20") -> str:
    """The list of disks: id -> id of the file."""
    listed = "".join(
        f'<Disk ovf:diskId="{one}" ovf:fileRef="{file}" ovf:capacity="{capacity}" '
        f'ovf:capacityAllocationUnits="{unit}" ovf:format="{_FORMAT}"/>'
        for one, file in ids.items()
    )
    return f"<DiskSection><Info>disks</Info>{listed}</DiskSection>"


def networks(*names: str) -> str:
    """The list of networks."""
    listed = "".join(f'<Network ovf:name="{name}"><Description>{name}</Description></Network>' for name in names)
    return f"<NetworkSection><Info>networks</Info>{listed}</NetworkSection>"


def envelope(*parts: str, namespaces: str = _NAMESPACES) -> bytes:
    """A descriptor."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Envelope {namespaces}>{"".join(parts)}</Envelope>\n'.encode()


def plain(
    href: str = "a.vmdk",
    data: bytes | None = None,
    *,
    size: int | None = None,
    capacity: object = 1,
    unit: str = "byte * 2^20",
    attributes: str = "",
    inside: str = "",
) -> bytes:
    """The descriptor of a VM with one disk."""
    content = disk() if data is None else data
    return envelope(
        references({"f1": href}, {href: len(content) if size is None else size}, attributes),
        disks({"d1": "f1"}, capacity, unit),
        networks("VM Network"),
        system("web", hardware("d1") + inside),
    )


def line(name: str, data: bytes, algorithm: str = "sha256", written: str = "") -> str:
    """A line of a manifest, as the standard has it."""
    return f"{written or algorithm.upper()}({name})= {hashlib.new(algorithm, data).hexdigest()}\n"


def listing(files: Files, algorithm: str = "sha256", written: str = "") -> bytes:
    """A manifest of all of these files."""
    return "".join(line(name, data, algorithm, written) for name, data in files.items()).encode()


def two(**changes: bytes) -> Files:
    """A descriptor and a disk, without a manifest."""
    return {"web.ovf": changes.get("text", plain()), "a.vmdk": changes.get("data", disk())}


def with_manifest(files: Files, listed: bytes | None = None, name: str = "web.mf") -> Files:
    """Files with a manifest behind the descriptor, which is where the standard wants it."""
    first, *rest = files
    text = listing(files) if listed is None else listed
    return {first: files[first], name: text, **{one: files[one] for one in rest}}


def damaged(data: bytes) -> bytes:
    """The same with another byte where no head shows it."""
    return data[:700] + bytes([data[700] ^ 1]) + data[701:]


def ova(files: Files, form: int = tarfile.USTAR_FORMAT, folders: collections.abc.Sequence[str] = ()) -> Files:
    """These files as one archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name in folders:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
        end = tar.offset
    # Without the filling up to 10 KiB that tape drives once needed.
    return {"web.ova": out.getvalue()[:end] + bytes(1024)}


def old_tar(files: Files, folder: str = "") -> Files:
    """These files as tar of Unix Version 7 packs them: no magic, no kind, folders by their names alone."""
    members = {f"{folder}/": b""} if folder else {}
    members |= {f"{folder}/{name}" if folder else name: data for name, data in files.items()}
    out = b""
    for name, data in members.items():
        head = bytearray(512)
        head[: len(name)] = name.encode()
        head[100:148] = b"%06o \0%06o \0%06o \0%011o %011o " % (0o644, 0, 0, len(data), 0)
        head[148:156] = b" " * 8
        head[148:156] = b"%06o\0 " % sum(head)
        out += bytes(head) + data + bytes(-len(data) % 512)
    return {"web.ova": out + bytes(1024)}


# --- disks: which a host takes ---


@shape
def disk_of_vmware() -> Files:
    """A stream with footer and end-of-stream marker: ovftool, the vSphere Client, VirtualBox."""
    data = vforge_disks.stream(0, capacity=_MIB)
    return with_manifest(two(text=plain(data=data), data=data))


@shape
def disk_of_qemu() -> Files:
    """qemu-img convert: a real grain directory offset, and neither footer nor marker."""
    return with_manifest(two())


@shape
def disk_raw() -> Files:
    """A raw image that somebody has called .vmdk."""
    data = b"\xfa\x33\xc0".ljust(510, b"\0") + b"\x55\xaa" + bytes(4096)
    return with_manifest(two(text=plain(data=data), data=data))


@shape
def disk_monolithic_sparse() -> Files:
    """A disk of VMware Workstation, packed as it was."""
    data = vforge_disks.header(flags=3, compression=0, capacity=_MIB) + bytes(4096)
    return with_manifest(two(text=plain(data=data), data=data))


@shape
def disk_version_1() -> Files:
    """Old releases of qemu-img: all right but for the version."""
    data = vforge_disks.header(version=1, capacity=_MIB) + bytes(4096)
    return with_manifest(two(text=plain(data=data), data=data))


@shape
def disk_qcow2() -> Files:
    """A qcow2 image: virt-v2v and image builders for other platforms."""
    data = b"QFI\xfb\0\0\0\3".ljust(4096, b"\0")
    return with_manifest(two(text=plain(data=data), data=data))


@shape
def disk_text_alone() -> Files:
    """The text part of a VMDK whose extent was left behind."""
    data = b'# Disk DescriptorFile\nversion=1\ncreateType="vmfs"\nRW 2048 VMFS "a-flat.vmdk"\n'.ljust(1024)
    return with_manifest(two(text=plain(data=data), data=data))


@shape
def disk_cut_before_its_footer() -> Files:
    """A download that broke off; descriptor and manifest were made of what had come."""
    data = vforge_disks.stream(0, capacity=_MIB)[:-1024]
    return with_manifest(two(text=plain(data=data), data=data))


@shape
def disk_cut_in_its_marker() -> Files:
    """The same by the last 512 bytes, without sizes and manifest."""
    data = vforge_disks.stream(0, capacity=_MIB)[:-512]
    text = plain(data=data).replace(f' ovf:size="{len(data)}"'.encode(), b"")
    return two(text=text, data=data)


@shape
def disk_of_qemu_cut_in_its_last_grain() -> Files:
    """The same of a disk without a footer, which only its tables show."""
    whole = disk()
    data = whole[: len(whole) - 2048]
    return two(text=plain(data=data), data=data)


@shape
def disk_larger_than_its_descriptor_says() -> Files:
    """A disk that was exchanged for a larger one, beside an old descriptor."""
    data = disk(capacity=2 * _MIB)
    return with_manifest(two(text=plain(data=data), data=data))


@shape
def disk_smaller_than_its_descriptor_says() -> Files:
    """A descriptor whose author wanted more room: vSphere makes the disk as large as that."""
    return with_manifest(two(text=plain(capacity=4)))


@shape
def disk_of_no_file() -> Files:
    """ovf:fileRef="" as some exporters write for a disk without content."""
    text = envelope(
        references({"f1": "a.vmdk"}),
        disks({"d1": "f1", "d2": ""}),
        networks("VM Network"),
        system("web", hardware("d1", "d2")),
    )
    return with_manifest(two(text=text))


# --- files that the chosen hardware does not use ---


def _second(number: int, attributes: str = "") -> str:
    """One more disk on the controller."""
    place = _value("AddressOnParent", 1) + _value("HostResource", "ovf:/disk/d2") + _value("Parent", 3)
    return item(number, 17, place, attributes)


def _two_disks(disk_section: str, more: str = "", before: str = "", other: bytes | None = None) -> Files:
    text = envelope(
        references({"f1": "a.vmdk", "f2": "b.vmdk"}),
        disk_section,
        networks("VM Network"),
        before,
        system("web", hardware("d1", more=more)),
    )
    return {"web.ovf": text, "a.vmdk": disk(), "b.vmdk": disk(2) if other is None else other}


_BOTH = disks({"d1": "f1", "d2": "f2"})
_SIZES = (
    "<DeploymentOptionSection><Info>sizes</Info>"
    '<Configuration ovf:id="small" ovf:default="true"><Label>s</Label><Description>s</Description></Configuration>'
    '<Configuration ovf:id="big"><Label>b</Label><Description>b</Description></Configuration>'
    "</DeploymentOptionSection>"
)


@shape
def unused_disk_of_another_option() -> Files:
    """A disk that one deployment option alone has: appliances of VMware's own, in their default option."""
    more = _second(20, ' ovf:configuration="big"')
    return ova(with_manifest(_two_disks(_BOTH, more, _SIZES)))


@shape
def unused_disk_of_another_option_damaged() -> Files:
    """The same with another byte in it: nobody sends it, and it is of the package all the same."""
    files = with_manifest(_two_disks(_BOTH, _second(20, ' ovf:configuration="big"'), _SIZES))
    return ova({**files, "b.vmdk": damaged(files["b.vmdk"])})


@shape
def unused_disk_that_no_item_names() -> Files:
    """A disk that the hardware forgot, and that no host would take."""
    return ova(with_manifest(_two_disks(_BOTH, other=b"raw".ljust(4096, b"\0"))))


@shape
def unused_file_of_a_swap_disk() -> Files:
    """A large disk for swap, which is made empty; a file for it is listed all the same."""
    section = _BOTH.replace('ovf:diskId="d2" ovf:fileRef="f2" ovf:capacity="1"', 'ovf:diskId="d2" ovf:capacity="4096"')
    return ova(with_manifest(_two_disks(section, _second(20))))


@shape
def disk_with_a_parent() -> Files:
    """A disk of two files: the base, and what changed since."""
    section = _BOTH.replace('ovf:diskId="d1"', 'ovf:diskId="d1" ovf:parentRef="d2"')
    return ova(with_manifest(_two_disks(section)))


@shape
def file_of_bios_settings() -> Files:
    """The nvram file of newer exports, for which old releases have no place."""
    setting = '<vmw:ExtraConfig ovf:required="false" ovf:key="nvram" ovf:value="ovf:/file/f2"/>'
    return ova(with_manifest(_two_disks(disks({"d1": "f1"}), setting, other=b"settings".ljust(8684, b"\0"))))


@shape
def properties_of_several_types() -> Files:
    """A boolean, and one that its maker has hidden from users."""
    product = (
        f"<ProductSection><Info>p</Info>{_property('on', 'boolean', 'False')}"
        '<Property ovf:key="secret" ovf:type="string" ovf:userConfigurable="false"/></ProductSection>'
    )
    return ova(with_manifest(two(text=plain(inside=product))))


# --- manifests ---


@shape
def manifest_of_openssl_3() -> Files:
    """SHA2-256( as OpenSSL 3 writes it: a script of many image builders."""
    files = two()
    return ova(with_manifest(files, listing(files, written="SHA2-256")))


@shape
def manifest_with_a_hyphen() -> Files:
    """SHA-256( of some build systems."""
    files = two()
    return ova(with_manifest(files, listing(files, written="SHA-256")))


@shape
def manifest_sha384() -> Files:
    """SHA-384, which the standard's list of algorithms allows."""
    files = two()
    return ova(with_manifest(files, listing(files, "sha384")))


@shape
def manifest_sha512_of_openssl_3() -> Files:
    """SHA2-512(."""
    files = two()
    return ova(with_manifest(files, listing(files, "sha512", "SHA2-512")))


@shape
def manifest_of_several_digests() -> Files:
    """MD5, SHA-1 and SHA-256 for each file; the strongest counts, and the weak ones are not even right."""
    files = two()
    weak = "".join(f"MD5({name})= {'0' * 32}\nSHA1({name})= {'0' * 40}\n" for name in files)
    return ova(with_manifest(files, weak.encode() + listing(files)))


@shape
def manifest_of_several_digests_damaged() -> Files:
    """The same with a right SHA-1 and a wrong SHA-256: the strongest is believed."""
    files = two()
    right = listing(files, "sha1")
    return ova(with_manifest(files, right + listing({**files, "a.vmdk": b"other"})))


@shape
def manifest_of_md5_alone() -> Files:
    """Digests that prove nothing any more, and are not understood."""
    files = two()
    return ova(with_manifest(files, "".join(f"MD5({name})= {'0' * 32}\n" for name in files).encode()))


@shape
def manifest_of_sha256sum() -> Files:
    """What sha256sum writes, with and without its asterisk."""
    first, second = ((name, hashlib.sha256(data).hexdigest()) for name, data in two().items())
    return with_manifest(two(), f"{first[1]}  {first[0]}\n{second[1]} *./{second[0]}\n".encode())


@shape
def manifest_of_sha256sum_damaged() -> Files:
    """The same, and a disk that is another."""
    files = manifest_of_sha256sum()
    return {**files, "a.vmdk": damaged(files["a.vmdk"])}


@shape
def manifest_with_dots() -> Files:
    """./a.vmdk: made by find and xargs."""
    files = two()
    return with_manifest(files, listing({f"./{name}": data for name, data in files.items()}))


@shape
def manifest_with_dots_damaged() -> Files:
    """The same, and a disk that is another."""
    files = manifest_with_dots()
    return {**files, "a.vmdk": damaged(files["a.vmdk"])}


@shape
def manifest_in_capitals() -> Files:
    """WEB.MF, from a machine whose names have no case."""
    return with_manifest(two(), name="WEB.MF")


@shape
def manifest_in_capitals_damaged() -> Files:
    """The same, and a disk that is another."""
    files = manifest_in_capitals()
    return {**files, "a.vmdk": damaged(files["a.vmdk"])}


@shape
def manifest_of_another_base_name() -> Files:
    """An OVA whose descriptor was renamed after the manifest was written; the only manifest counts."""
    files = two()
    text = listing({"old.ovf": files["web.ovf"], "a.vmdk": files["a.vmdk"]})
    return ova(with_manifest(files, text, "old.mf"))


@shape
def manifest_of_another_base_name_damaged() -> Files:
    """The same, and a disk that is another."""
    files = two()
    text = listing({"old.ovf": files["web.ovf"], "a.vmdk": files["a.vmdk"]})
    return ova(with_manifest({**files, "a.vmdk": damaged(files["a.vmdk"])}, text, "old.mf"))


@shape
def manifest_of_another_base_name_in_a_folder() -> Files:
    """The same as loose files: the only manifest beside the only descriptor."""
    files = two()
    text = listing({"old.ovf": files["web.ovf"], "a.vmdk": damaged(files["a.vmdk"])})
    return with_manifest(files, text, "old.mf")


@shape
def manifest_twice() -> Files:
    """An OVA with two manifests, none of them called as the descriptor is."""
    files = two()
    return ova({**with_manifest(files, name="one.mf"), "two.mf": listing(files)})


@shape
def manifest_in_another_case() -> Files:
    """A manifest of A.VMDK for a.vmdk."""
    files = two()
    text = listing({"WEB.OVF": files["web.ovf"], "A.VMDK": damaged(files["a.vmdk"])})
    return with_manifest(files, text)


@shape
def manifest_of_other_files() -> Files:
    """A manifest of disks that are not there: whatever was meant, it is not this package."""
    files = two()
    return with_manifest(files, listing({**files, "b.vmdk": b"gone"}))


@shape
def manifest_of_a_file_besides() -> Files:
    """A manifest that names a file which is there, and which the descriptor does not need."""
    files = {**two(), "README.txt": b"read me\n"}
    return ova(with_manifest(files))


@shape
def manifest_without_a_disk() -> Files:
    """A manifest of the descriptor alone, which is said."""
    files = two()
    return with_manifest(files, listing({"web.ovf": files["web.ovf"]}))


@shape
def manifest_missing() -> Files:
    """No manifest, which is said."""
    return ova(two())


@shape
def manifest_missing_beside_files() -> Files:
    """The same as loose files."""
    return two()


@shape
def manifest_that_is_a_page() -> Files:
    """A sign-in page that was saved as the manifest."""
    return with_manifest(two(), b"<!DOCTYPE html>\n<html><body>Sign in</body></html>\n")


def _chunks() -> Files:
    data = disk()
    text = plain(data=data, attributes=' ovf:chunkSize="3000"')
    parts = {f"a.vmdk.{number:09d}": data[at : at + 3000] for number, at in enumerate(range(0, len(data), 3000))}
    return {"web.ovf": text, **parts}


@shape
def manifest_of_chunks() -> Files:
    """A disk in pieces, each with a digest of its own."""
    return with_manifest(_chunks())


@shape
def manifest_of_chunks_damaged() -> Files:
    """The same, with another byte in the second piece."""
    files = _chunks()
    made = with_manifest(files)
    second = made["a.vmdk.000000001"]
    return {**made, "a.vmdk.000000001": bytes([second[0] ^ 1]) + second[1:]}


@shape
def chunks_without_a_size() -> Files:
    """A disk in pieces whose size the descriptor does not say."""
    files = _chunks()
    text = files["web.ovf"].replace(f' ovf:size="{len(disk())}"'.encode(), b"")
    return with_manifest({**files, "web.ovf": text})


# --- names ---


@shape
def name_with_dots() -> Files:
    """./a.vmdk in the descriptor, a.vmdk in the archive and in the manifest."""
    files = two(text=plain("./a.vmdk"))
    return ova(with_manifest(files))


@shape
def name_percent_encoded() -> Files:
    """a%20b.vmdk in the descriptor, "a b.vmdk" on the disk: hrefs are addresses."""
    files = {"web.ovf": plain("a%20b.vmdk"), "a b.vmdk": disk()}
    return with_manifest(files)


@shape
def name_percent_encoded_and_meant_so() -> Files:
    """a%20b.vmdk in both places: the name as it is written comes first."""
    files = {"web.ovf": plain("a%20b.vmdk"), "a%20b.vmdk": disk(), "a b.vmdk": b"another file"}
    return with_manifest(files, listing({name: files[name] for name in ("web.ovf", "a%20b.vmdk")}))


@shape
def name_that_decodes_to_a_way_out() -> Files:
    """%2e%2e%2fa.vmdk: what leads out of the package when it is decoded."""
    return {"web.ovf": plain("%2e%2e%2fa.vmdk")}


@shape
def name_in_another_unicode_form() -> Files:
    """A manifest of a name as macOS decomposes it, in an archive where it is composed."""
    files = {"web.ovf": plain("b\u00fcro.vmdk"), "b\u00fcro.vmdk": disk()}
    text = listing({"web.ovf": files["web.ovf"], "bu\u0308ro.vmdk": files["b\u00fcro.vmdk"]})
    return ova(with_manifest(files, text), tarfile.PAX_FORMAT)


@shape
def packed_as_a_folder() -> Files:
    """tar cf web.ova appliance/: hrefs and the manifest are relative to the descriptor."""
    files = {f"appliance/{name}": data for name, data in with_manifest(two()).items()}
    return ova(files, folders=["appliance"])


@shape
def packed_as_a_folder_damaged() -> Files:
    """The same, and a disk that is another."""
    files = with_manifest(two())
    files["a.vmdk"] = damaged(files["a.vmdk"])
    return ova({f"appliance/{name}": data for name, data in files.items()}, folders=["appliance"])


@shape
def packed_with_dots() -> Files:
    """tar cf web.ova ./*: every name begins with ./ ."""
    return ova({f"./{name}": data for name, data in with_manifest(two()).items()}, tarfile.GNU_FORMAT)


@shape
def packed_on_a_mac() -> Files:
    """What macOS adds beside each file: ._web.ovf is no second descriptor, ._web.mf no second manifest."""
    files = with_manifest(two())
    added = {f"._{name}": b"\0\5\x16\7" for name in files}
    return ova({**added, **files, "__MACOSX/web.ovf": b"\0", ".DS_Store": b"\0"}, tarfile.PAX_FORMAT)


@shape
def packed_with_headers_as_files() -> Files:
    """Tar programs that do not know pax unpack its headers as files, which are then packed again."""
    return ova({"PaxHeaders.1/web.ovf": b"30 mtime=1\n", **with_manifest(two())})


@shape
def packed_by_an_old_tar() -> Files:
    """Tar of Unix Version 7: no magic in its headers."""
    return old_tar(with_manifest(two()))


@shape
def packed_by_an_old_tar_as_a_folder() -> Files:
    """The same with a folder, which only the end of its name shows."""
    return old_tar(with_manifest(two()), "appliance")


@shape
def packed_by_gnu() -> Files:
    """GNU's own format, with a name of more than 100 characters."""
    name = "a" * 120 + ".vmdk"
    return ova(with_manifest({"web.ovf": plain(name), name: disk()}), tarfile.GNU_FORMAT)


@shape
def packed_with_two_descriptors() -> Files:
    """Two packages in one archive: nothing says which is meant."""
    return ova({**two(), "other.ovf": plain()})


@shape
def page_for_a_package() -> Files:
    """A sign-in page that was saved under the name of the package."""
    return {"web.ova": b"<!doctype html>\n<html lang=en><title>Sign in</title></html>\n".ljust(2048)}


# --- descriptors ---


@shape
def size_too_small() -> Files:
    """ovf:size is smaller than the file, whose digest is right: a descriptor that was edited by hand."""
    return with_manifest(two(text=plain(size=1000)))


@shape
def size_too_large() -> Files:
    """The same the other way round."""
    return with_manifest(two(text=plain(size=900_000)))


@shape
def size_wrong_and_no_digest() -> Files:
    """A file of another size that nothing else vouches for."""
    return two(text=plain(size=900_000))


@shape
def size_wrong_and_digest_wrong() -> Files:
    """A file of another size that is another file, too."""
    files = with_manifest(two(text=plain(size=900_000)))
    return {**files, "a.vmdk": damaged(files["a.vmdk"])}


@shape
def unit_of_1024() -> Files:
    """byte * 1024: vCenter knows whether it takes that."""
    return with_manifest(two(text=plain(capacity=1024, unit="byte * 1024")))


@shape
def unit_mib() -> Files:
    """MiB: vCenter knows whether it takes that."""
    return with_manifest(two(text=plain(capacity=1, unit="MiB")))


def _vapp(*systems: str, more: str = "") -> bytes:
    return envelope(
        references({"f1": "a.vmdk"}, {"a.vmdk": len(disk())}),
        disks({"d1": "f1"}),
        networks("VM Network"),
        f'<VirtualSystemCollection ovf:id="vapp" xmlns:vapp="urn:vapp"><Info>a vApp</Info>{more}{"".join(systems)}'
        "</VirtualSystemCollection>",
    )


_STARTUP = '<StartupSection><Info>order</Info><Item ovf:id="web" ovf:order="1" ovf:startDelay="0"/></StartupSection>'
_VAPP_PRODUCT = (
    '<ProductSection ovf:class="vapp"><Info>p</Info>'
    '<Property ovf:key="domain" ovf:type="string" ovf:userConfigurable="true"/></ProductSection>'
)


@shape
def vapp_of_one_vm() -> Files:
    """A vApp around one VM, with an order of start and a property of its own."""
    web = system("web", hardware("d1", more='<vapp:Note ovf:required="false">n</vapp:Note>'))
    return with_manifest(two(text=_vapp(web, more=_STARTUP + _VAPP_PRODUCT)))


@shape
def vapp_of_two_vms() -> Files:
    """A vApp of two VMs, each of which could be wanted."""
    return with_manifest(two(text=_vapp(system("web", hardware("d1")), system("db", hardware()))))


# --- families ---


def _property(key: str, kind: str = "string", value: str = "", more: str = "") -> str:
    return (
        f'<Property ovf:key="{key}" ovf:type="{kind}" ovf:userConfigurable="true" ovf:value="{value}"{more}>'
        f"<Label>{key}</Label><Description>{key}</Description></Property>"
    )


@shape
def family_vmware_appliance() -> Files:
    """VMware's own: deployment options, a licence, qualified properties, settings of vSphere, several disks."""
    options = "".join(
        f'<Configuration ovf:id="{one}"{more}><Label>{one}</Label><Description>{one}</Description></Configuration>'
        for one, more in (("tiny", ""), ("small", ' ovf:default="true"'), ("large", ""))
    )
    more = item(4, 20, _value("Address", 0) + _value("ResourceSubType", "vmware.sata.ahci"))
    more += item(5, 15, _value("AddressOnParent", 0) + _value("Parent", 4), ' ovf:required="false"')
    more += item(6, 24, attributes=' ovf:required="false"') + item(7, 1, _value("ResourceSubType", "vmware.vmci"))
    more += '<vmw:Config ovf:required="false" vmw:key="cpuHotAddEnabled" vmw:value="true"/>'
    product = (
        '<ProductSection ovf:class="vami" ovf:instance="box"><Info>p</Info><Product>Box</Product>'
        f"<Category>Networking</Category>{_property('ip0')}{_property('gateway')}</ProductSection>"
        f"<ProductSection><Info>p</Info>{_property('guestinfo.ssh', 'boolean', 'True')}"
        f"{_property('guestinfo.role', more=' ovf:qualifiers=&quot;x&quot;').replace('&quot;', chr(39))}</ProductSection>"
    )
    text = envelope(
        references({"f1": "box-disk1.vmdk", "f2": "box-disk2.vmdk"}),
        disks({"d1": "f1", "d2": "f2"}),
        networks("Management"),
        f"<DeploymentOptionSection><Info>sizes</Info>{options}</DeploymentOptionSection>",
        system(
            "box",
            hardware("d1", "d2", networks=["Management"], more=more)
            + "<AnnotationSection><Info>n</Info><Annotation>a box</Annotation></AnnotationSection>"
            + "<EulaSection><Info>licence</Info><License>none</License></EulaSection>"
            + product,
        ),
    )
    return ova(with_manifest({"box.ovf": text, "box-disk1.vmdk": disk(), "box-disk2.vmdk": disk(2)}, name="box.mf"))


@shape
def family_virtualbox() -> Files:
    """VirtualBox: version 1.0 of the format, a settings section of its own, hardware of a PC, SHA-1."""
    namespaces = _NAMESPACES + ' ovf:version="1.0" xml:lang="en-US" xmlns:vbox="http://www.virtualbox.org/ovf/machine"'
    more = item(4, 5, _value("Address", 0) + _value("ResourceSubType", "PIIX4"))
    more += item(5, 15, _value("AddressOnParent", 0) + _value("Parent", 4)) + item(6, 23, _value("Address", 0))
    text = envelope(
        references({"file1": "vb-disk001.vmdk"}),
        f'<DiskSection><Info>disks</Info><Disk ovf:capacity="{_MIB}" ovf:diskId="vmdisk1" ovf:fileRef="file1" '
        f'ovf:format="{_FORMAT}" vbox:uuid="00000000-0000-4000-8000-000000000001"/></DiskSection>',
        networks("NAT"),
        system(
            "vb",
            hardware("vmdisk1", networks=["NAT"], more=more).replace("VmxNet3", "E1000")
            + '<vbox:Machine ovf:required="false" version="1.19-linux"><ovf:Info>settings</ovf:Info></vbox:Machine>',
        ).replace('<OperatingSystemSection ovf:id="96">', '<OperatingSystemSection ovf:id="80">'),
        namespaces=namespaces,
    )
    files = {"vb.ovf": text, "vb-disk001.vmdk": vforge_disks.stream(0, capacity=_MIB)}
    return ova(with_manifest(files, listing(files, "sha1"), "vb.mf"))


@shape
def family_virt_v2v() -> Files:
    """virt-v2v and tools around it: prefixes everywhere, no sizes, a manifest of SHA-1, qemu-img's disks."""
    text = (
        f'<?xml version="1.0" encoding="utf-8"?><ovf:Envelope xmlns:ovf="{_OVF}" xmlns:rasd="{_CIM}/x" '
        f'xmlns:vssd="{_CIM}/y">'
        + references({"file1": "v2v-sda"})
        + disks({"disk1": "file1"})
        + networks("bridge")
        + system("v2v", hardware("disk1", networks=["bridge"]))
        + "</ovf:Envelope>"
    )
    for name in ("References", "File", "DiskSection", "Disk", "NetworkSection", "Network", "Info", "Description", "System"):
        text = text.replace(f"<{name}>", f"<ovf:{name}>").replace(f"</{name}>", f"</ovf:{name}>")
        text = text.replace(f"<{name} ", f"<ovf:{name} ")
    for name in ("VirtualSystem", "Name", "OperatingSystemSection", "VirtualHardwareSection", "Item"):
        text = text.replace(f"<{name}>", f"<ovf:{name}>").replace(f"</{name}>", f"</ovf:{name}>")
        text = text.replace(f"<{name} ", f"<ovf:{name} ")
    files = {"v2v.ovf": text.encode(), "v2v-sda": disk()}
    return with_manifest(files, listing(files, "sha1"), "v2v.mf")


@shape
def family_vcloud() -> Files:
    """vCloud Director: a vApp of one VM, sections of its own, a network that is none, UTF-8 with a mark."""
    text = envelope(
        references({"f1": "vm-0001-disk-0.vmdk"}, {"vm-0001-disk-0.vmdk": len(disk())}),
        disks({"d1": "f1"}),
        networks("none"),
        '<vcloud:CustomizationSection ovf:required="false"><Info>c</Info></vcloud:CustomizationSection>',
        '<VirtualSystemCollection ovf:id="vc"><Info>a vApp</Info><Name>vc</Name>'
        '<vcloud:LeaseSettingsSection ovf:required="false"><Info>l</Info></vcloud:LeaseSettingsSection>'
        + _STARTUP
        + system(
            "web",
            hardware("d1", networks=["none"])
            + '<vcloud:GuestCustomizationSection ovf:required="false"><Info>g</Info></vcloud:GuestCustomizationSection>',
        )
        + "</VirtualSystemCollection>",
        namespaces=_NAMESPACES + ' xmlns:vcloud="http://www.vmware.com/vcloud/v1.5"',
    )
    files = {"vc.ovf": b"\xef\xbb\xbf" + text, "vm-0001-disk-0.vmdk": disk()}
    return ova(with_manifest(files, listing(files, "sha1"), "vc.mf"))


@shape
def family_oracle() -> Files:
    """Oracle's templates: made by VirtualBox, renamed, with a read-me in the archive, names with blanks."""
    files = {"Oracle Linux.ovf": plain("Oracle Linux-disk1.vmdk"), "Oracle Linux-disk1.vmdk": disk()}
    made = with_manifest(files, listing(files, "sha1"), "Oracle Linux.mf")
    return ova({**made, "README.txt": b"read me\n"})


@shape
def family_nested_esxi() -> Files:
    """Nested ESXi: several empty disks, settings beyond the standard, properties that the guest reads."""
    text = envelope(
        references({"f1": "esxi-disk1.vmdk"}),
        f'<DiskSection><Info>disks</Info><Disk ovf:diskId="d1" ovf:fileRef="f1" ovf:capacity="1" '
        f'ovf:capacityAllocationUnits="byte * 2^20" ovf:format="{_FORMAT}"/>'
        '<Disk ovf:diskId="d2" ovf:capacity="4" ovf:capacityAllocationUnits="byte * 2^30"/>'
        '<Disk ovf:diskId="d3" ovf:capacity="8" ovf:capacityAllocationUnits="byte * 2^30"/></DiskSection>',
        networks("VM Network"),
        system(
            "esxi",
            hardware(
                "d1",
                "d2",
                "d3",
                networks=["VM Network", "VM Network"],
                more='<vmw:ExtraConfig ovf:required="false" vmw:key="vhv.enable" vmw:value="true"/>'
                '<vmw:ExtraConfig ovf:required="false" vmw:key="disk.EnableUUID" vmw:value="true"/>',
            ).replace("lsilogic", "VirtualSCSI")
            + f"<ProductSection><Info>p</Info>{_property('guestinfo.hostname')}{_property('guestinfo.vlan')}"
            f"{_property('guestinfo.createvmfs', 'boolean', 'False')}</ProductSection>",
        ),
    )
    files = {"esxi.ovf": text, "esxi-disk1.vmdk": disk()}
    return ova(with_manifest(files, name="esxi.mf"))


# --- writing them ---


def write(folder: pathlib.Path = FOLDER) -> None:
    """Write all packages, each into a folder of its name; what was there goes."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, make in SHAPES.items():
        for file, data in make().items():
            path = folder / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


if __name__ == "__main__":
    write()
    sys.exit(0)
