# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run tasks about disks, with a simulator and without, and judge disks by other programs."""

from __future__ import annotations

import hashlib
import subprocess
import typing as t
from pathlib import Path

from ansible_collections.vforge.vsphere.plugins.module_utils._disk import info, task
from ansible_collections.vforge.vsphere.plugins.module_utils._disk.model import DiskOptions, InfoOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._vmfromdisks import task as vm_task
from ansible_collections.vforge.vsphere.plugins.module_utils._vmfromdisks.model import VmOptions
from ansible_collections.vforge.vsphere.plugins.modules import vm_from_disks, vmdk, vmdk_info
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Ran, Runner, Work, succeeded

MIB = 2**20


def options(**given: t.Any) -> DiskOptions:
    """Typed options of a task of ``vmdk``."""
    return DiskOptions.from_params(accepted(vmdk.argument_spec(), given))


def alone(*, check: bool = False, **given: t.Any) -> dict[str, t.Any]:
    """A task of ``vmdk`` that needs no vCenter."""
    result = task.run_alone(options(**given), lambda _line: None, check=check)
    assert result is not None
    return result


def look(**given: t.Any) -> dict[str, t.Any]:
    """What ``vmdk_info`` says of a file on this machine."""
    result = info.run_alone(InfoOptions.from_params(accepted(vmdk_info.argument_spec(), given)), lambda _line: None)
    assert result is not None
    return t.cast("dict[str, t.Any]", result["disk"])


def one(result: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The entry of the only disk."""
    assert len(result["disks"]) == 1
    return t.cast("dict[str, t.Any]", result["disks"][0])


class Disks(Runner):
    """Runs tasks of ``vmdk`` against one simulator."""

    module = "vmdk"

    def work(self, given: dict[str, t.Any], check: bool) -> Work:
        """A task of vmdk."""
        asked = options(**given)
        return lambda session: task.run(session, asked, check=check)

    def info(self, **given: t.Any) -> Ran:
        """A task of vmdk_info that must succeed."""
        asked = InfoOptions.from_params(accepted(vmdk_info.argument_spec(), given))
        return succeeded(self.documented(self.ran(lambda session: info.run(session, asked)), "vmdk_info"))


class Vms(Runner):
    """Runs tasks of ``vm_from_disks`` against one simulator."""

    module = "vm_from_disks"

    def work(self, given: dict[str, t.Any], check: bool) -> Work:
        """A task of vm_from_disks."""
        asked = VmOptions.from_params(accepted(vm_from_disks.argument_spec(), given))
        return lambda session: vm_task.run(session, asked, check=check)


class Judges:
    """The programs that say whether a disk is right, none of them ours.

    :param tools: the folder with their commands.
    """

    def __init__(self, tools: Path) -> None:
        self.tools = tools

    def run(self, program: str, *words: t.Any, good: tuple[int, ...] = (0,)) -> str:
        """What a program writes."""
        done = subprocess.run(
            [self.tools / program, *map(str, words)], capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode in good, (program, words, done.stdout, done.stderr)
        return done.stdout

    def make(self, source: Path, target: Path, kind: str, *more: str) -> Path:
        """An image in another format, by qemu-img."""
        self.run("qemu-img", "convert", "-f", "raw", "-O", kind, *more, source, target)
        return target

    def same(self, path: Path, kind: str, raw: Path) -> None:
        """``qemu-img`` finds the content of a raw image in an image, whose tables it checks, too."""
        self.run("qemu-img", "check", "-f", kind, path, good=(0, 63))
        self.run("qemu-img", "compare", "-f", kind, "-F", "raw", path, raw)

    def digest_by_libvmdk(self, path: Path) -> str:
        """SHA-256 of the content of a VMDK as libvmdk reads it."""
        program = (
            "import hashlib, pyvmdk, sys\n"
            "handle = pyvmdk.handle()\n"
            "handle.open(sys.argv[1])\n"
            "name = handle.get_extent_descriptor(0).get_filename()\n"
            # A host calls the file so, whatever it is called here.
            "if name == 'generated-stream.vmdk':\n"
            "    handle.open_extent_data_files_as_file_objects([open(sys.argv[1], 'rb')])\n"
            "else:\n"
            "    handle.open_extent_data_files()\n"
            "digest, left = hashlib.sha256(), handle.get_media_size()\n"
            "while left:\n"
            "    part = handle.read_buffer(min(left, 1 << 20))\n"
            "    assert part\n"
            "    digest.update(part)\n"
            "    left -= len(part)\n"
            "print(digest.hexdigest())\n"
        )
        return self.run("disk-python", "-c", program, path).strip()


def sha256(data: bytes) -> str:
    """In hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
