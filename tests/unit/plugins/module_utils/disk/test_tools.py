# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs from Debian's packages that make disks for the tests, and judge disks, run unpacked."""

from __future__ import annotations

import subprocess

import pytest

VERSIONS = {
    "qemu-img": ["--version"],
    "qemu-nbd": ["--version"],
    "qemu-io": ["--version"],
    "vmdkinfo": ["-V"],
    "7z": ["i"],
    "nbdkit": ["--version"],
    "nbdinfo": ["--version"],
    "nbdcopy": ["--version"],
    "restic": ["version"],
    "disk-python": ["-c", "import nbd, pyvmdk; print(nbd.NBD().get_version(), pyvmdk.get_version())"],
}


def output(tools, program, *words):
    done = subprocess.run([tools / program, *words], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("program", sorted(VERSIONS))
def test_each_program_runs_with_its_own_libraries(tools, program):
    assert output(tools, program, *VERSIONS[program]).strip()


def test_nbdkit_finds_its_plugins_and_filters(tools):
    served = output(tools, "nbdkit", "-U", "-", "--filter=cow", "memory", "1M", "--run", 'nbdinfo --size "$uri"')
    assert served.strip() == "1048576"
