# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small real OVA for tests: two streamOptimized disks made by qemu-img, a descriptor, a manifest. Standard library only.

In Python::

    package = write_package(folder)
    package.ova  # the archive; package.ovf is the same as loose files beside each other

As a script::

    vforge_ova.py write FOLDER    # both forms, for a test or to look at
    vforge_ova.py disks           # make the disks anew, which needs qemu-img, and put their sizes into the descriptor

The disks are in the checkout (tests/fixtures/ova), since no package registry for Python or Go has a qemu-img that
runs on every Linux. The first is a bootable one: a master boot record that says what it is and halts, a partition
table, and data that does not compress.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import io
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile

SOURCES = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "ova"

NAME = "tiny"
# File of a disk -> size in MiB, KiB of data that does not compress.
DISKS = {"tiny-disk1.vmdk": (8, 64), "tiny-disk2.vmdk": (4, 16)}

_SECTOR = 512
_FIRST_SECTOR = 2048
_LINUX = 0x83
_BOOTABLE = 0x80
_GREETING = b"A disk of the tests of vforge.vsphere: nothing to start here.\r\n\0"
# Prints the text behind it through the BIOS, letter by letter, and halts: loaded at 0x7c00, the text is at 0x7c1a.
_BOOT_CODE = bytes.fromhex("31c0 8ed8 be1a7c fc ac 08c0 7409 b40e bb0700 cd10 ebf2 fa f4 ebfc") + _GREETING
_TABLE_AT = 446


@dataclasses.dataclass(frozen=True)
class Package:
    """A package in both of its forms.

    ova: the archive. ovf: the descriptor of the loose form; disks and manifest lie beside it.
    """

    ova: pathlib.Path
    ovf: pathlib.Path

    @property
    def disks(self) -> list[pathlib.Path]:
        """The disks of the loose form, in the order of the descriptor."""
        return [self.ovf.parent / name for name in DISKS]

    @property
    def manifest(self) -> pathlib.Path:
        """The manifest of the loose form."""
        return self.ovf.with_suffix(".mf")


def write_package(folder: str | pathlib.Path, name: str = NAME) -> Package:
    """Write the package into a folder, which is made if need be; the same bytes each time.

    name: of the archive, the descriptor and the VM in it; another one makes another package with the same disks.
    """
    target = pathlib.Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    text = (SOURCES / f"{NAME}.ovf").read_text(encoding="utf-8")
    (target / f"{name}.ovf").write_text(re.sub(rf"(?<=[\">]){NAME}(?=[\"<])", name, text), encoding="utf-8")
    for disk in DISKS:
        shutil.copyfile(SOURCES / disk, target / disk)
    members = [target / f"{name}.ovf", target / f"{name}.mf", *(target / disk for disk in DISKS)]
    hashed = [path for path in members if path.suffix != ".mf"]
    members[1].write_text("".join(f"SHA256({path.name})= {_sha256(path)}\n" for path in hashed), encoding="utf-8")
    return Package(_pack(target / f"{name}.ova", members), members[0])


def _sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _pack(archive: pathlib.Path, members: list[pathlib.Path]) -> pathlib.Path:
    """A tar archive as the OVF specification wants it: ustar, the descriptor first, then the manifest."""
    with tarfile.open(archive, "w", format=tarfile.USTAR_FORMAT) as tar:
        for path in members:
            entry = tarfile.TarInfo(path.name)
            entry.size, entry.mode = path.stat().st_size, 0o644
            tar.addfile(entry, io.BytesIO(path.read_bytes()))
    return archive


def make_disks() -> None:
    """Make the disks with qemu-img, and note their sizes in the descriptor.

    Raises:
        FileNotFoundError: there is no qemu-img on PATH.
        subprocess.CalledProcessError: it failed.
    """
    descriptor = SOURCES / f"{NAME}.ovf"
    text = descriptor.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        for name, (mebibytes, kibibytes) in DISKS.items():
            raw = pathlib.Path(scratch) / f"{name}.raw"
            raw.write_bytes(_content(mebibytes * 1024 * 1024, kibibytes * 1024, name))
            options = ["-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized"]
            subprocess.run(["qemu-img", "convert", *options, str(raw), str(SOURCES / name)], check=True)
            size = (SOURCES / name).stat().st_size
            text = re.sub(rf'(ovf:href="{re.escape(name)}" ovf:id="[^"]+" ovf:size=")\d+', rf"\g<1>{size}", text)
    descriptor.write_text(text, encoding="utf-8")


def _content(size: int, data: int, seed: str) -> bytes:
    """What the guest would read: a boot record, and in the first partition a line of text and noise."""
    sectors = size // _SECTOR - _FIRST_SECTOR
    # Addresses of cylinders, heads and sectors are past what these can hold, as for any disk of today.
    partition = struct.pack("<B3sB3sII", _BOOTABLE, b"\xfe\xff\xff", _LINUX, b"\xfe\xff\xff", _FIRST_SECTOR, sectors)
    record = _BOOT_CODE.ljust(_TABLE_AT, b"\0") + partition.ljust(_SECTOR - 2 - _TABLE_AT, b"\0") + b"\x55\xaa"
    noise = b"".join(hashlib.sha256(f"{seed} {block}".encode()).digest() for block in range(data // 32))
    text = f"{seed}: a disk of the tests of vforge.vsphere\n".encode()
    return (record.ljust(_FIRST_SECTOR * _SECTOR, b"\0") + text + noise).ljust(size, b"\0")


def main(argv: list[str]) -> int:
    """The command line: see the top of this file."""
    parser = argparse.ArgumentParser(prog="vforge_ova.py", description="A small real OVA for tests.")
    commands = parser.add_subparsers(dest="do", required=True)
    writer = commands.add_parser("write", help="write the package into a folder")
    writer.add_argument("folder")
    commands.add_parser("disks", help="make the disks anew, with qemu-img")
    asked = parser.parse_args(argv)
    if asked.do == "disks":
        make_disks()
    else:
        print(write_package(asked.folder).ova)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
