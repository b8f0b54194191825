# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A point of a chain without this collection: single files of it, and its machine booted, by the commands of the guide, which
cannot write.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup import guide
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.support import (
    KEY,
    UNIT,
    Backups,
    Guest,
    nothing,
    soon,
    why_nothing_can_be_mounted,
)

MIB = 2**20
SECTOR = 512


def run(*words):
    """Run a program, of the system too: mke2fs and debugfs are what every Debian starts with."""
    places = [*os.environ["PATH"].split(":"), "/usr/sbin", "/sbin"]
    program = shutil.which(words[0], path=":".join(places))
    assert program, words[0]
    subprocess.run([program, *map(str, words[1:])], check=True, capture_output=True)


def write_changes(guest, data):
    """What differs is what the guest has written, in the units of changed block tracking."""
    for start in range(0, len(data), UNIT):
        new = data[start : start + UNIT]
        if guest.data[start : start + UNIT] != new:
            guest.write(start, new)


class Chain:
    """Two points of a disk with ext4; the second, an increment, has other bytes in one file.

    content: of the files in the first, by their paths; ``changed`` is the path of that file, and what it has in the second.
    around: what is on the disk around the file system.
    """

    def __init__(self, folder, content, changed, around=lambda system: system):
        for path, data in content.items():
            (folder / "files" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "files" / path).write_bytes(data)
        system = folder / "ext4"
        # GRUB of Debian 12 does not know that feature.
        run("mke2fs", "-q", "-t", "ext4", "-O", "^metadata_csum_seed", "-d", folder / "files", system, "6M")
        self.backups = Backups(folder / "repository")
        guest = Guest(8 * MIB)
        write_changes(guest, around(system.read_bytes()).ljust(8 * MIB, b"\0"))
        self.backups.take(guest)
        path, data = changed
        (folder / "new").write_bytes(data)
        run("debugfs", "-w", "-R", f"rm /{path}", system)
        run("debugfs", "-w", "-R", f"write {folder / 'new'} /{path}", system)
        write_changes(guest, around(system.read_bytes()).ljust(8 * MIB, b"\0"))
        self.point = self.backups.take(guest)
        assert self.point.disk(KEY).backing
        with self.backups.locked() as machine:
            self.folder = Path(machine.folder_of(self.point))
        self._repository = folder / "repository"
        self._before = self._bytes()

    def _bytes(self):
        return {path: path.read_bytes() for path in self._repository.rglob("*") if path.is_file()}

    def assert_nothing_was_written(self):
        assert self._bytes() == self._before
        with self.backups.repository.locked(self.point.instance_uuid, soon(), nothing) as machine:
            assert self.backups.verified(machine, self.point)


FILES = {"etc/hosts": b"127.0.0.1 first\n", "etc/big": os.urandom(MIB)}


@pytest.fixture(name="chain")
def _chain(tmp_path):
    return Chain(tmp_path, FILES, ("etc/hosts", b"127.0.0.1 second\n"))


def test_files_come_out_of_a_point_without_a_mount(chain, tmp_path):
    restored = tmp_path / "restored"
    restored.mkdir()
    guide.Shell(chain.folder, restored=restored).run(guide.commands("Single files", 4))
    assert (restored / "hosts").read_bytes() == b"127.0.0.1 second\n"
    assert (restored / "files/etc/hosts").read_bytes() == b"127.0.0.1 second\n"
    assert (restored / "files/etc/big").read_bytes() == FILES["etc/big"]
    chain.assert_nothing_was_written()


# Mounted


@pytest.fixture(name="places")
def _places(tmp_path):
    """Where something is mounted in a test, and not after it."""
    if why := why_nothing_can_be_mounted(tmp_path):
        pytest.skip(why)
    found = {"disk": tmp_path / "disk-of", "files": tmp_path / "files-of"}
    yield found
    for place in reversed(found.values()):
        subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)


def test_a_point_is_mounted_and_nobody_can_write_to_it(chain, places):
    shell = guide.Shell(chain.folder, **places)
    with shell.beside(guide.commands("Single files", 0), places["disk"] / "nbd"):
        shell.run(guide.commands("Single files", 1))
        for path, data in {**FILES, "etc/hosts": b"127.0.0.1 second\n"}.items():
            assert (places["files"] / path).read_bytes() == data
        for path in (places["files"] / "etc/hosts", places["disk"] / "nbd"):
            with pytest.raises(OSError, match=r"Read-only|Permission denied"):
                path.open("r+b")
        shell.run(guide.commands("Single files", 3))
    assert list(places["disk"].iterdir()) == list(places["files"].iterdir()) == []
    chain.assert_nothing_was_written()


# Booted


_GRUB = """\
serial --unit=0
terminal_output serial
cat /says/first
cat /says/second
reboot
"""


def with_grub(modules, folder):
    """What puts a file system into the first partition of a disk, and GRUB before it."""
    core = folder / "core.img"
    needed = ["biosdisk", "part_msdos", "ext2", "normal", "cat", "serial", "terminal", "reboot"]
    run("grub-mkimage", "-O", "i386-pc", "-d", modules, "-p", "(hd0,msdos1)/boot/grub", "-o", core, *needed)
    begin = MIB // SECTOR

    def around(system):
        # Status, a CHS address, its type (Linux), another CHS address, where it begins, and how long it is.
        partition = struct.pack("<B3sB3sII", 0x80, bytes(3), 0x83, bytes(3), begin, len(system) // SECTOR)
        boot = (modules / "boot.img").read_bytes()[:446] + partition.ljust(64, b"\0") + b"\x55\xaa"
        return (boot + core.read_bytes()).ljust(MIB, b"\0") + system

    return around


def test_a_point_boots_and_what_its_guest_writes_is_not_in_it(boot_tools, tmp_path, monkeypatch):
    modules = boot_tools.parent / "usr/lib/grub/i386-pc"
    files = {"boot/grub/grub.cfg": _GRUB.encode(), "says/first": b"of the first point\n", "says/second": b"not yet\n"}
    chain = Chain(tmp_path, files, ("says/second", b"of the second point\n"), with_grub(modules, tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    # Its screen is this program's output, and it ends when its guest starts again.
    machine = guide.commands("A look at the machine", 0).rstrip() + " -nographic -no-reboot"
    said = guide.Shell(chain.folder).run(machine)
    assert "of the first point" in said
    assert "of the second point" in said
    assert "not yet" not in said
    chain.assert_nothing_was_written()
