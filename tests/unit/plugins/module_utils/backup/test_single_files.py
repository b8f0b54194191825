# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Single files of a point, got out as the guide says: by programs that know nothing of this collection, and cannot write."""

from __future__ import annotations

import os
import shutil
import subprocess

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.support import (
    KEY,
    UNIT,
    Backups,
    Guest,
    nothing,
    soon,
)

MIB = 2**20


def run(*words, cwd=None):
    """Run a program, of the system too: mke2fs and debugfs are what every Debian starts with."""
    places = [*os.environ["PATH"].split(":"), "/usr/sbin", "/sbin"]
    program = shutil.which(words[0], path=":".join(places))
    assert program, words[0]
    subprocess.run([program, *words[1:]], cwd=cwd, check=True, capture_output=True)


def write_changes(guest, data):
    """What differs is what the guest has written, in the units of changed block tracking."""
    for start in range(0, len(data), UNIT):
        new = data[start : start + UNIT]
        if guest.data[start : start + UNIT] != new:
            guest.write(start, new)


def test_files_come_out_of_a_point_in_a_chain_and_nothing_of_it_is_written(tmp_path):
    (etc := tmp_path / "files/etc").mkdir(parents=True)
    (etc / "hosts").write_text("127.0.0.1 first\n", encoding="utf-8")
    (etc / "big").write_bytes(os.urandom(MIB))
    disk = tmp_path / "disk.raw"
    run("mke2fs", "-q", "-t", "ext4", "-d", str(tmp_path / "files"), str(disk), "8M")
    backups, guest = Backups(tmp_path / "repository"), Guest(8 * MIB)
    write_changes(guest, disk.read_bytes())
    backups.take(guest)
    (tmp_path / "hosts").write_text("127.0.0.1 second\n", encoding="utf-8")
    run("debugfs", "-w", "-R", f"write {tmp_path / 'hosts'} /etc/hosts.new", str(disk))
    write_changes(guest, disk.read_bytes())
    point = backups.take(guest)
    assert point.disk(KEY).backing

    with backups.locked() as machine:
        image = machine.path_of(point, point.disk(KEY))
    before = {path: path.read_bytes() for path in (tmp_path / "repository").rglob("*") if path.is_file()}
    folder, name = os.path.split(image)
    # As the guide has it, in the folder of the point.
    run("nbdcopy", "--", "[", "qemu-nbd", "--read-only", "--format=qcow2", name, "]", str(tmp_path / "out.raw"), cwd=folder)
    run("debugfs", "-R", f"dump /etc/hosts.new {tmp_path / 'got'}", str(tmp_path / "out.raw"))
    assert (tmp_path / "got").read_text(encoding="utf-8") == "127.0.0.1 second\n"
    run("7z", "x", f"-o{tmp_path / 'all'}", str(tmp_path / "out.raw"))
    assert (tmp_path / "all/etc/big").read_bytes() == (etc / "big").read_bytes()
    assert (tmp_path / "all/etc/hosts").read_text(encoding="utf-8") == "127.0.0.1 first\n"

    assert {path: path.read_bytes() for path in (tmp_path / "repository").rglob("*") if path.is_file()} == before
    with backups.repository.locked(point.instance_uuid, soon(), nothing) as machine:
        assert backups.verified(machine, point)
