# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""govc's commands for files: datastores, imports and exports, virtual disks, first class disks."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from pathlib import Path

import pytest
from conftest import Govc, only

from vforge_ova import Package
from vforge_sim import Simulator

_VM = "golden-parent"
_STORE = ("-ds", "LocalDS_0")
_PLACE = ("-pool", "DC0_C0/Resources", *_STORE)


def test_files_of_a_datastore(govc: Govc, tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    (tmp_path / "up").write_bytes(content)
    govc.refused("datastore.ls", *_STORE, "files/up")
    govc("datastore.mkdir", *_STORE, "files")
    govc.refused("datastore.mkdir", *_STORE, "files")
    govc.refused("datastore.mkdir", *_STORE, "deep/deeper")
    govc("datastore.mkdir", *_STORE, "-p", "deep/deeper")
    govc("datastore.upload", *_STORE, "up", "files/up")
    govc("datastore.upload", *_STORE, "-", "files/words", given="some words")
    assert govc("datastore.ls", *_STORE, "files").splitlines() == ["up", "words"]
    listed = only(json.loads(govc("datastore.ls", *_STORE, "-l", "-json", "files/u*")))
    assert only(listed["file"])["fileSize"] == len(content)
    govc("datastore.download", *_STORE, "files/up", "down")
    assert (tmp_path / "down").read_bytes() == content
    assert govc("datastore.download", *_STORE, "files/words", "-") == "some words"
    govc("datastore.cp", *_STORE, "files/up", "files/copy")
    govc("datastore.mv", *_STORE, "files/copy", "files/moved")
    govc.refused("datastore.mv", *_STORE, "files/up", "files/moved")
    govc("datastore.mv", *_STORE, "-f", "files/up", "files/moved")
    assert govc("datastore.tail", *_STORE, "-c", "5", "files/words") == "words"
    govc.refused("datastore.download", *_STORE, "files/up", "-")
    govc("datastore.rm", *_STORE, "files")
    govc.refused("datastore.rm", *_STORE, "files")
    govc("datastore.rm", *_STORE, "-f", "files")


def test_virtual_disks_by_their_files(govc: Govc) -> None:
    govc("datastore.mkdir", *_STORE, "disks")
    govc("datastore.disk.create", *_STORE, "-size", "8M", "disks/one.vmdk")
    govc.refused("datastore.disk.create", *_STORE, "-size", "8M", "disks/one.vmdk")
    assert only(json.loads(govc("datastore.disk.info", *_STORE, "-json", "disks/one.vmdk")))["DiskType"] == "thin"
    govc("datastore.cp", *_STORE, "disks/one.vmdk", "disks/two.vmdk")
    govc("datastore.disk.extend", *_STORE, "-size", "16M", "disks/two.vmdk")
    govc("datastore.disk.inflate", *_STORE, "disks/two.vmdk")
    govc("vm.disk.attach", "-vm", _VM, *_STORE, "-disk", "disks/two.vmdk", "-link=false")
    assert "16,384 KB" in govc("device.info", "-vm", _VM, "disk-*")
    govc.refused("datastore.rm", *_STORE, "disks/two.vmdk")
    govc("datastore.rm", *_STORE, "disks/one.vmdk")
    govc.refused("datastore.ls", *_STORE, "disks/one-flat.vmdk")


def _with_sha1(package: Package) -> Package:
    """The package with a manifest of SHA-1, the one digest of which a lease tells unasked; the archive is made anew."""
    manifest = package.ovf.with_suffix(".mf")
    names = [path.name for path in sorted(package.ovf.parent.iterdir()) if path.suffix in {".ovf", ".vmdk"}]
    digests = [hashlib.sha1((package.ovf.parent / name).read_bytes()).hexdigest() for name in names]  # noqa: S324
    manifest.write_text("".join(f"SHA1({name})= {each}\n" for name, each in zip(names, digests, strict=True)), encoding="utf-8")
    with tarfile.open(package.ova, "w") as archive:
        for name in (package.ovf.name, manifest.name, *(name for name in names if name.endswith(".vmdk"))):
            archive.add(package.ovf.parent / name, name)
    return package


@pytest.mark.parametrize("form", ["import.ova", "import.ovf"])
def test_import(govc: Govc, package: Package, form: str) -> None:
    _with_sha1(package)
    source = package.ova if form == "import.ova" else package.ovf
    options = json.loads(govc("import.spec", source))
    options["NetworkMapping"] = [{**each, "Network": "VM Network"} for each in options["NetworkMapping"]]
    govc(form, "-m", "-name", "imported", "-folder", "DC0_F0", "-options", "-", *_PLACE, source, given=json.dumps(options))
    assert govc("device.ls", "-vm", "imported").count("disk-") == 2
    assert only(json.loads(govc("vm.info", "-json", "imported"))["virtualMachines"])["runtime"]["powerState"] == "poweredOff"
    assert "already exists" in govc.refused(form, "-name", "imported", "-folder", "DC0_F0", *_PLACE, source)
    options["NetworkMapping"] = [{**each, "Network": "nothing"} for each in options["NetworkMapping"]]
    (package.ovf.parent / "options.json").write_text(json.dumps(options), encoding="utf-8")
    assert "nothing" in govc.refused(form, "-name", "b", "-options", package.ovf.parent / "options.json", *_PLACE, source)
    govc("vm.power", "-on", "imported")
    govc("vm.destroy", "imported")


def test_an_import_with_a_wrong_digest(govc: Govc, package: Package, sim: Simulator) -> None:
    manifest = _with_sha1(package).ovf.with_suffix(".mf")
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(re.sub(r"(disk1.vmdk.= )\w+", rf"\g<1>{'0' * 40}", text), encoding="utf-8")
    assert "mismatch" in govc.refused("import.ovf", "-m", "-name", "imported", *_PLACE, package.ovf)
    sim.forget_leases(within=0.1)
    sim.leases_over()
    govc.refused("vm.power", "-on", "imported")


@pytest.mark.parametrize("how", ["", "snapshot"])
def test_export(govc: Govc, sim: Simulator, tmp_path: Path, how: str) -> None:
    sim.create_vm("src", disks=[{"bytes": 2**21}])
    sim.write_disk("src", offset=4096, length=1024, seed=7)
    govc.refused("export.ovf", "-vm", "src", "running")
    govc(*(("snapshot.create", "-vm", "src", "base") if how else ("vm.power", "-off", "src")))
    govc("export.ovf", "-vm", "src", "-sha", "1", *(("-snapshot", "base") if how else ()), "out")
    folder = tmp_path / "out" / "src"
    manifest = dict(line.split("= ") for line in (folder / "src.mf").read_text(encoding="utf-8").splitlines())
    assert len(manifest) == 2
    for name, digest in manifest.items():
        content = (folder / name.partition("(")[2].rstrip(")")).read_bytes()
        assert hashlib.sha1(content).hexdigest() == digest  # noqa: S324
    govc("import.ovf", "-m", "-name", "back", *_PLACE, folder / "src.ovf")
    assert sim.read_disk("back", _disk_key(govc, "back"), length=2**21) == sim.read_disk("src", length=2**21)


def _disk_key(govc: Govc, vm: str) -> int:
    return int(only(json.loads(govc("device.info", "-vm", vm, "-json", "disk-*"))["devices"])["key"])


def test_an_export_of_a_snapshot(govc: Govc, tmp_path: Path) -> None:
    govc("snapshot.create", "-vm", _VM, "base")
    govc("snapshot.export", "-vm", _VM, "base")
    assert [path.read_bytes()[:4] for path in tmp_path.rglob("*.vmdk")] == [b"KDMV"]


def test_import_of_a_disk(govc: Govc, loose_disk: Path) -> None:
    govc("import.vmdk", *_PLACE, loose_disk, "brought/loose.vmdk")
    assert govc("datastore.ls", *_STORE, "brought/loose.vmdk") == "loose.vmdk"
    govc.refused("import.vmdk", *_PLACE, loose_disk, "brought/loose.vmdk")
    govc("vm.disk.attach", "-vm", _VM, *_STORE, "-disk", "brought/loose.vmdk", "-link=false")
    assert "8,192 KB" in govc("device.info", "-vm", _VM, "disk-*")


def test_first_class_disks(govc: Govc) -> None:
    made = govc("disk.create", *_STORE, "-size", "10M", "data").split()[-1]
    assert "data" in govc("disk.ls", *_STORE, made)
    assert govc("disk.ls", *_STORE) != ""
    govc.refused("disk.ls", *_STORE, "nothing")

    govc("disk.attach", "-vm", _VM, *_STORE, made)
    govc.refused("disk.rm", *_STORE, made)
    govc("disk.detach", "-vm", _VM, made)

    snapshot = govc("disk.snapshot.create", *_STORE, made).split()[-1]
    assert snapshot in govc("disk.snapshot.ls", *_STORE, made)
    govc("disk.snapshot.rm", *_STORE, made, snapshot)
    govc.refused("disk.snapshot.rm", *_STORE, made, snapshot)
    govc("disk.rm", *_STORE, made)
    govc.refused("disk.rm", *_STORE, made)


def test_registering_first_class_disks(govc: Govc) -> None:
    govc("datastore.mkdir", *_STORE, "loose")
    govc("datastore.disk.create", *_STORE, "-size", "10M", "loose/loose.vmdk")
    govc.refused("disk.register", *_STORE, "loose", "loose")
    govc.refused("disk.register", *_STORE, "", "loose")
    registered = govc("disk.register", *_STORE, "loose/loose.vmdk", "loose")
    assert registered in govc("disk.ls", *_STORE, registered)
    govc.refused("disk.register", *_STORE, "loose/loose.vmdk", "loose")
    govc("disk.rm", *_STORE, registered)
    govc.refused("datastore.ls", *_STORE, "loose/loose.vmdk")


def test_metadata_of_first_class_disks(govc: Govc) -> None:
    made = govc("disk.create", *_STORE, "-size", "10M", "data").split()[-1]
    govc("disk.metadata.update", made, "team=storage", "-", "x")
    assert "storage" in govc("disk.metadata.ls", made)


def test_tags_of_first_class_disks(govc: Govc) -> None:
    made = govc("disk.create", *_STORE, "-size", "10M", "data").split()[-1]
    govc("tags.category.create", "tier")
    govc("tags.create", "-c", "tier", "gold")
    govc("disk.tags.attach", "-c", "tier", "gold", made)
    assert "gold" in govc("disk.ls", *_STORE, "-T", made)
    govc("disk.tags.detach", "-c", "tier", "gold", made)
