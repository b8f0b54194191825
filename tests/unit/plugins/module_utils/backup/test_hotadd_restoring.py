# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores by disks that are made on the VM that the module runs in, against the simulator."""

from __future__ import annotations

import json

import pytest
from pyVmomi import vim

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import writers
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import proxy as proxies
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.restores import MIB, restores
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import Forked

PROXY = "hot-proxy"


@pytest.fixture(name="web")
def _web(make_sim, tmp_path, monkeypatch):
    """The tracked VM web-1, which is off, with a disk of 8 MiB, a backup of it, and a proxy whose disks show in a folder."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    devices = tmp_path / "by-id"
    devices.mkdir()
    with restores(make_sim("--vms", "2", "--guest-time", "10ms"), tmp_path) as known:
        known.make("web-1", size=8 * MIB)
        known.write(0, seed=1)
        known.write(6 * MIB + 4096, seed=2)
        known.run()
        known.kept = known.content()
        known.write(MIB, seed=3)
        known.off()
        known.sim.create_vm(PROXY, on=True, extra_config={"disk.EnableUUID": "TRUE"})
        known.sim.patch_vm(PROXY, devices=str(devices))
        known.devices = devices
        known.asked = {"transport": "hotadd", "hotadd": {"proxy": {"name": PROXY}, "device_folder": str(devices)}}
        yield known


def attached(web):
    """The files of the disks that the proxy has of others, and its marks."""
    seen = web.sim.vm(PROXY)
    files = [disk["files"][0] for disk in seen["disks"] if PROXY not in disk["files"][0]]
    return files, {key: value for key, value in seen["extra_config"].items() if key.startswith("vforge.attached.") and value}


def assert_nothing_is_left(web):
    assert attached(web) == ([], {})
    assert list(web.devices.glob("wwn-*")) == [] or len(web.sim.vm(PROXY)["disks"]) == len(list(web.devices.glob("wwn-*")))
    web.assert_nothing_is_left()


def test_a_disk_is_made_on_the_proxy_written_proved_and_exchanged(web):
    old = web.file()
    checked = web.restore(check=True, **web.asked)
    assert (checked.called("ReconfigVM_Task"), checked.result["changed"]) == (0, True)
    ran = web.restore(**web.asked)
    assert ran.result["into"]["actions"] == ["disks_brought_in", "disks_replaced", "replaced_disks_deleted"]
    (disk,) = ran.result["disks"]
    assert (disk["action"], disk["compared"], disk["not_read"]) == ("restored", "content", "")
    assert (ran.result["into"]["transport"], ran.result["into"]["warnings"]) == ("hotadd", [])
    # It is made and attached by one call, detached by one, and exchanged by one.
    assert (ran.called("ReconfigVM_Task"), ran.called("ImportVApp")) == (3, 0)
    assert web.content() == web.kept
    assert web.file() == disk["path"] != old
    (device,) = [each for each in web.vm("web-1").config.hardware.device if each.key == 2000]
    assert (device.backing.diskMode, device.backing.thinProvisioned) == ("persistent", True)
    assert_nothing_is_left(web)
    again = web.restore(**web.asked)
    assert (again.result["changed"], again.called("ReconfigVM_Task")) == (False, 0)


def test_auto_is_by_devices_where_these_lead_to_all_disks_and_else_by_a_lease(web):
    checked = web.restore(check=True, **web.asked | {"transport": "auto"})
    assert (checked.result["into"]["transport"], checked.called("ReconfigVM_Task")) == ("hotadd", 0)
    ran = web.restore(**web.asked | {"transport": "auto"})
    assert (ran.result["into"]["transport"], ran.called("ImportVApp")) == ("hotadd", 0)
    assert ran.result["into"]["transports"] == [{"name": "hotadd", "usable": True, "reason": ""}]
    assert web.content() == web.kept
    again = web.restore(**web.asked | {"transport": "auto"})
    assert (again.result["changed"], again.result["into"]["transports"]) == (False, [])

    web.on()
    web.write(MIB, seed=4)
    web.off()
    web.sim.govc("vm.change", "-vm", PROXY, "-e", "disk.EnableUUID=FALSE")
    ran = web.restore(**web.asked | {"transport": "auto"})
    assert (ran.result["into"]["transport"], ran.called("ImportVApp"), ran.result["into"]["warnings"]) == ("import", 1, [])
    hotadd, lease = ran.result["into"]["transports"]
    assert "has not disk.EnableUUID" in hotadd["reason"]
    assert lease == {"name": "import", "usable": True, "reason": ""}
    assert web.content() == web.kept
    assert_nothing_is_left(web)


def test_a_thick_disk_of_a_vm_that_runs_and_a_policy_go_the_same_way(web):
    web.on()
    ran = web.restore(power_off=True, powered_on=True, verify="content", **web.asked)
    assert ran.result["into"]["actions"][:3] == ["disks_brought_in", "powered_off", "disks_replaced"]
    assert (web.content(), web.state()) == (web.kept, "poweredOn")
    assert_nothing_is_left(web)


def test_what_cannot_be_is_said_before_anything_is_done(web, tmp_path):
    for hotadd, why in (
        ({"proxy": {"name": "web-1"}}, "which has its own disks already"),
        ({"proxy": {"name": PROXY}, "device_folder": str(tmp_path / "none")}, "disks would not show"),
        ({"device_folder": str(web.devices)}, "the machine where the module runs"),
    ):
        ran = web.try_restore(transport="hotadd", hotadd=hotadd)
        assert (ran.error.error_code, ran.called("ReconfigVM_Task"), ran.result["changed"]) == ("no_transport", 0, False)
        assert why in str(ran.error)
    web.sim.govc("vm.change", "-vm", PROXY, "-e", "disk.EnableUUID=FALSE")
    assert "has not disk.EnableUUID" in str(web.try_restore(check=True, **web.asked).error)


@pytest.mark.parametrize("wrong", ["size", "begin", "end"])
def test_a_device_that_may_be_another_disk_is_not_written(web, monkeypatch, wrong):
    """Whatever shows under the UUID of the new disk: one of another size, or with something in it, is somebody's."""
    other = web.devices / "other"
    content = bytearray(4 * MIB if wrong == "size" else 8 * MIB)
    content[{"size": 0, "begin": 5, "end": -5}[wrong]] = 1
    other.write_bytes(content)
    monkeypatch.setattr(writers._devices, "wait", lambda *_args: str(other))
    file = web.file()
    ran = web.try_restore(**web.asked)
    assert ran.error.error_code == "wrong_disk"
    assert other.read_bytes() == content
    assert web.file() == file
    other.unlink()
    assert_nothing_is_left(web)


def test_a_device_is_in_the_hands_of_the_module_until_it_is_detached(web, monkeypatch):
    """Else this machine's own LVM or RAID could take what was written for theirs."""
    device, seen = writers._devices.Device, []
    close = device.close
    monkeypatch.setattr(device, "close", lambda opened: seen.append(attached(web)) or close(opened))
    web.restore(**web.asked)
    assert seen == [([], {})]


def test_a_device_that_loses_what_was_written_changes_no_vm(web, monkeypatch):
    write = writers.images.write_device

    def spoiling(source, device, *args):
        write(source, device, *args)
        with open(device, "r+b") as file:
            file.seek(6 * MIB + 8192)
            file.write(b"?")

    monkeypatch.setattr(writers.images, "write_device", spoiling)
    file = web.file()
    ran = web.try_restore(**web.asked)
    assert (ran.error.error_code, web.file()) == ("read_back_failed", file)
    assert f"at byte {6 * MIB}" in str(ran.error)
    assert_nothing_is_left(web)


def test_a_damaged_point_changes_nothing(web):
    (image,) = web.repository.glob("vm-*/points/*/disk-2000.qcow2")
    content = image.read_bytes()
    image.write_bytes(b"x" * len(content))
    ran = web.try_restore(**web.asked)
    assert (ran.error.error_code, ran.called("ReconfigVM_Task")) == ("backup_damaged", 0)
    assert_nothing_is_left(web)
    # What only its digests tell is told when it was written, and the disk goes.
    image.write_bytes(content[:-1000] + b"?" * 500 + content[-500:])
    ran = web.try_restore(**web.asked)
    assert (ran.error.error_code, ran.called("ReconfigVM_Task")) == ("read_back_failed", 2)
    assert_nothing_is_left(web)


@pytest.mark.parametrize("fault", ["FileAlreadyExists", "NoDiskSpace", "GenericVmConfigFault"])
def test_a_disk_that_vcenter_does_not_make_changes_nothing(web, fault):
    web.sim.inject(method="ReconfigVM_Task", do="task-fault", fault=fault)
    file = web.file()
    ran = web.try_restore(**web.asked)
    assert (ran.error.error_code != "", ran.result["changed"], web.file()) == (True, False, file)
    # What is there already is somebody's.
    assert (ran.called("DeleteVirtualDisk_Task") == 0) == (fault == "FileAlreadyExists")
    assert_nothing_is_left(web)
    web.restore(**web.asked)
    assert web.content() == web.kept


def test_a_disk_that_vcenter_has_made_although_it_says_that_it_failed_goes(web):
    web.sim.inject(method="ReconfigVM_Task", do="task-fault-after", fault="GenericVmConfigFault")
    ran = web.try_restore(**web.asked)
    assert (ran.error.error_code, ran.result["into"]["warnings"]) == ("generic_vm_config_fault", [])
    assert_nothing_is_left(web)


def test_a_disk_that_is_not_written_in_time_goes_all_the_same(web, monkeypatch):
    def late(_source, _device, _deadline, go_on):
        go_on.__self__._job.task.deadline = 0.0
        go_on()

    monkeypatch.setattr(writers.images, "write_device", late)
    ran = web.try_restore(**web.asked)
    assert (ran.error.error_code, ran.result["into"]["warnings"]) == ("timeout", [])
    assert_nothing_is_left(web)


@pytest.mark.parametrize("moment", [1, 2])
@pytest.mark.parametrize("lost", ["drop", "drop-after"])
def test_a_call_that_nobody_answers_leaves_nothing(web, moment, lost):
    web.sim.inject(method="ReconfigVM_Task", nth=moment, do=lost)
    ran = web.try_restore(**web.asked)
    if ran.error is None:
        assert web.content() == web.kept
    assert_nothing_is_left(web)
    web.restore(**web.asked)
    assert web.content() == web.kept
    assert_nothing_is_left(web)


def test_a_disk_that_does_not_show_is_removed(web, monkeypatch):
    monkeypatch.setattr(writers, "SECONDS_TO_SHOW", 0.2)
    web.sim.patch_vm(PROXY, devices="")
    ran = web.try_restore(**web.asked)
    assert ran.error.error_code == "device_missing"
    assert_nothing_is_left(web)


@pytest.mark.parametrize("then", ["hotadd", "import", "backup"])
def test_a_disk_that_cannot_be_detached_goes_with_the_next_run_by_whatever_way(web, then):
    file = web.file()
    # The first call makes it; all that detach it fail.
    web.sim.inject(method="ReconfigVM_Task", nth=2, times=0, do="fault", fault="GenericVmConfigFault")
    ran = web.try_restore(**web.asked)
    assert (ran.error.error_code, web.file()) == ("not_attached", file)
    assert any("could not be detached" in warning for warning in ran.result["into"]["warnings"])
    (left,), marks = attached(web)
    assert web.orphans() == []
    web.sim.clear()
    if then == "backup":
        # This process lives, so its mark is believed by whoever does not have the record of the restore.
        ((key, text),) = marks.items()
        dead = json.dumps({**json.loads(text), "began": "0"})
        web.reconfigure(PROXY, extraConfig=[vim.option.OptionValue(key=key, value=dead)])
        assert web.run(**web.asked, nbd=None).result["detached"] == [left]
        assert attached(web) == ([], {})
    ran = web.restore(point=web.points()[0].id, **(web.asked if then == "hotadd" else {}))
    assert ran.result["into"]["actions"][0] == "leftover_removed"
    assert web.content() == web.kept
    assert_nothing_is_left(web)


def test_a_disk_that_vcenter_names_in_other_words_is_known_by_its_uuid(web, monkeypatch):
    """As vSAN names folders by their UUIDs."""
    real = proxies._disks

    def disks(devices):
        for disk in real(devices):
            words = tuple(file.replace("/", "//") for file in disk.files) if disk.mode == proxies.PERSISTENT else disk.files
            yield type(disk)(**{**vars(disk), "files": words})

    monkeypatch.setattr(proxies, "_disks", disks)
    ran = web.restore(**web.asked)
    # One call more, which notes the UUID in the mark.
    assert ran.called("ReconfigVM_Task") == 4
    assert web.content() == web.kept
    assert_nothing_is_left(web)


@pytest.mark.parametrize("name", ["TERM", "KILL"])
@pytest.mark.parametrize("moment", [1, 2, 3])
def test_whenever_a_run_ends_nothing_stays_for_long(web, tmp_path, name, moment):
    module = Forked(web.sim, "vm_restore", tmp_path)
    asked = {"vm": "web-1", "into": {"name": "web-1"}, "repository": str(web.repository), **web.asked}
    rule = {"method": "ReconfigVM_Task", "nth": moment, "do": "signal", "signal": name, "delay_ms": 500}
    ended = module.run(asked, rule=rule)
    web.sim.clear()
    if name == "KILL":
        assert ended.code == -9
    else:
        assert ended.result["error_code"] == "interrupted"
        assert attached(web) == ([], {})
        assert moment == 3 or web.orphans() == []
    web.restore(**web.asked)
    assert web.content() == web.kept
    assert_nothing_is_left(web)
