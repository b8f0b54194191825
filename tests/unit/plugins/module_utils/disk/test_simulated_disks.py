# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulator's own disks, by other people's programs: what its leases give is read by all of them, and comes in again."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.disk.running import MIB, sha256


@pytest.mark.parametrize("form", ["stream", "qemu"])
def test_govc_takes_a_disk_out_and_in_again_bit_for_bit(make_sim, judges, tmp_path, form):
    sim = make_sim("--vms", "2")
    sim.request("POST", "/leases", {"form": form})
    sim.request("POST", "/vms", {"name": "box", "datastore": "LocalDS_0", "disks": [{"bytes": 40 * MIB}]})
    sim.write_disk("box", offset=3 * MIB, length=4096, count=9, stride=4 * MIB, seed=5)
    content = sim.read_disk("box")
    raw = tmp_path / "box.raw"
    raw.write_bytes(content)
    sim.govc("vm.power", "-off", "box")
    sim.govc("export.ovf", "-vm", "box", str(tmp_path))
    disk = tmp_path / "box" / "box-disk-0.vmdk"
    judges.same(disk, "vmdk", raw)
    if form == "stream":  # 7-Zip and libvmdk do not read the other
        assert "Stream optimized" in judges.run("vmdkinfo", disk)
        assert judges.digest_by_libvmdk(disk) == sha256(content)
        judges.run("7z", "t", disk)
    sim.govc("datastore.download", "-ds", "LocalDS_0", "box/box-flat.vmdk", str(tmp_path / "flat"))
    assert (tmp_path / "flat").read_bytes() == content
    sim.govc("import.ovf", "-name", "again", "-ds", "LocalDS_0", "-pool", "DC0_C0/Resources", str(disk.with_name("box.ovf")))
    assert sim.read_disk("again") == content
