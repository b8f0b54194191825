# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images, the programs that judge them, and tasks against a simulator."""

from __future__ import annotations

import pytest

import vforge_disks
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.disk.running import MIB, Disks, Judges


@pytest.fixture
def judges(tools):
    """The programs that say whether a disk is right."""
    return Judges(tools)


@pytest.fixture
def raw(tmp_path):
    """A raw image of 9 MiB and three sectors, with data at its start, in its middle and at its end."""
    path = tmp_path / "a.raw"
    data = bytearray(9 * MIB + 3 * 512)
    for at in (0, 5 * MIB + 4096, len(data) - 700):
        data[at : at + 700] = vforge_disks.noise(700, at)
    data[3 * MIB : 4 * MIB] = vforge_disks.noise(MIB)
    path.write_bytes(data)
    return path


@pytest.fixture
def disks(make_sim, request):
    """Tasks of vmdk against a simulator, with qemu-img on PATH."""
    request.getfixturevalue("tools")
    return Disks(make_sim("--vms", "2"))
