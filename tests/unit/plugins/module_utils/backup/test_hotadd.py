# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups through disks that are attached to the VM that the module runs in, against the simulator."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import threading
import time

import pytest
from pyVmomi import vim

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import read, sources
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.find import Selector
from ansible_collections.vforge.vsphere.plugins.module_utils._temporary_disks import Attachments
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import proxy as proxies
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.running import tasks
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import Forked

KIB, MIB = 1 << 10, 1 << 20

PROXY = "hot-proxy"

# The proxy is found and read, and read again with the disk; vCenter's clock; two changes, of which each is waited for on a
# filter that is made and removed.
EXTRA_CALLS = 3 + 1 + 2 + 4


@pytest.fixture
def sim_flags():
    """Further flags of the simulator."""
    return ()


@pytest.fixture
def hot(make_sim, tmp_path, monkeypatch, sim_flags):
    """Tasks against a simulator with the tracked VM web-1, and a proxy whose disks show in a folder."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    devices = tmp_path / "by-id"
    devices.mkdir()
    with tasks(make_sim("--vms", "2", "--guest-time", "10ms", *sim_flags), tmp_path) as known:
        known.make("web-1", size=8 * MIB)
        known.sim.create_vm(PROXY, on=True, extra_config={"disk.enableUUID": "TRUE"})
        known.sim.patch_vm(PROXY, devices=str(devices))
        known.asked = {
            "transport": "hotadd",
            "nbd": None,
            "hotadd": {"proxy": {"name": PROXY}, "device_folder": str(devices)},
        }
        known.devices = devices
        yield known


def attached(hot):
    """The files of the disks that the proxy has of others, and the keys of its marks."""
    seen = hot.sim.vm(PROXY)
    files = [disk["files"][0] for disk in seen["disks"] if PROXY not in disk["files"][0]]
    return files, [key for key, value in seen["extra_config"].items() if key.startswith("vforge.attached.") and value]


def write(hot, number=1):
    hot.sim.write_disk("web-1", offset=number * MIB, length=64 * KIB, seed=number)


def test_full_and_increments_of_a_running_vm(hot):
    hot.sim.write_disk("web-1", offset=MIB, length=3 * MIB, seed=1)
    contents = [hot.content()]
    first = hot.run(**hot.asked)
    assert (first.one["transport"], first.disk["kind"], first.disk["transport"]) == ("hotadd", "full", "hotadd")
    assert 3 * MIB <= first.disk["read"] < 4 * MIB
    assert first.disk["consistency"] == "file-system-consistent"
    assert first.disk["rate"] > 0
    hot.sim.write_disk("web-1", offset=5 * MIB, length=64 * KIB, seed=2)
    contents.append(hot.content())
    second = hot.run(mode="incremental", **hot.asked)
    assert (second.disk["kind"], second.disk["read"]) == ("incremental", 64 * KIB)
    assert [hot.restored(number) for number in range(2)] == contents
    assert attached(hot) == ([], [])
    assert hot.snapshots("web-1") == []
    # The disk is attached and detached by a call each.
    assert second.called("ReconfigVM_Task") == 2
    by_nbd = hot.run(mode="incremental", transport="nbd")
    assert second.total - by_nbd.total == EXTRA_CALLS


def test_auto_takes_it_where_it_leads_to_the_disks(hot):
    write(hot)
    ran = hot.run(**{**hot.asked, "transport": "auto"})
    assert ran.one["transport"] == "hotadd"
    ways = {way["name"]: way["reason"] for way in ran.one["transports"]}
    assert ways["nbd"] == "the option nbd is not set"
    assert "has locked the file" in ways["datastore_http"]
    assert hot.restored(0) == hot.content()


def test_more_disks_at_a_time_than_there_are_places_wait_for_each_other(hot):
    names = [f"app-{number}" for number in range(4)]
    for number, name in enumerate(names):
        hot.make(name, disks=2, size=MIB)
        hot.sim.write_disk(name, offset=0, length=64 * KIB, seed=number)
    # Fourteen of the fifteen places are taken: one by the disk that it came with.
    for number in range(13):
        hot.sim.govc(
            "vm.disk.create",
            "-vm",
            PROXY,
            "-name",
            f"{PROXY}/own-{number}",
            "-size",
            "1M",
            "-ds",
            "LocalDS_0",
            "-controller",
            "pvscsi-1000",
        )
    ran = hot.run(vms=[{"name": name} for name in names], **hot.asked)
    assert ran.result["counts"] == {"backed_up": 4}
    assert [hot.restored(0, name=name, key=2001) for name in names] == [hot.content(name, 2001) for name in names]
    assert attached(hot)[1] == []
    hot.sim.govc(
        "vm.disk.create",
        "-vm",
        PROXY,
        "-name",
        f"{PROXY}/last",
        "-size",
        "1M",
        "-ds",
        "LocalDS_0",
        "-controller",
        "pvscsi-1000",
    )
    ran = hot.attempt(vms=[{"name": name} for name in names], **hot.asked)
    assert (ran.called("CreateSnapshot_Task"), ran.result["counts"]) == (0, {"failed": 4})
    assert "no SCSI controller of /DC0/vm/hot-proxy has a free place" in str(ran.error)


def test_what_cannot_be_is_said_before_any_snapshot(hot, tmp_path):
    for given, why in (
        ({"vm": {"name": PROXY}}, "which has its own disks already"),
        ({"hotadd": {"proxy": {"name": PROXY}, "device_folder": str(tmp_path / "none")}}, "disks would not show"),
        ({"hotadd": {"device_folder": str(hot.devices)}}, "the machine where the module runs"),
    ):
        ran = hot.attempt(**{**hot.asked, **given})
        assert (ran.code, ran.called("CreateSnapshot_Task")) == ("no_transport", 0)
        assert why in str(ran.error)
    hot.sim.govc("vm.change", "-vm", PROXY, "-e", "disk.enableUUID=FALSE")
    ran = hot.attempt(**hot.asked)
    assert "has not disk.EnableUUID" in str(ran.error)
    checked = hot.attempt(check=True, **hot.asked)
    assert (checked.code, checked.one["changed"]) == ("no_transport", False)


def test_increments_that_nothing_can_read_are_refused_before_any_snapshot(hot):
    hot.run(**hot.asked)
    ran = hot.attempt(transport="auto", mode="incremental", nbd=None)
    assert (ran.code, ran.called("CreateSnapshot_Task")) == ("no_transport", 0)
    assert all(f"{name}: " in str(ran.error) for name in ("nbd", "hotadd", "datastore_http"))
    # Without that wish whole disks are read, and nobody can overlook it.
    whole = hot.run(transport="auto", nbd=None)
    assert (whole.one["transport"], whole.disk["reason"]["code"]) == ("export", "whole_disks_only")
    assert "although its changes are tracked" in whole.one["warnings"][0]


def test_a_disk_that_does_not_show_fails_its_vm_and_is_detached(hot, monkeypatch):
    monkeypatch.setattr(sources, "SECONDS_TO_SHOW", 0.2)
    hot.sim.patch_vm(PROXY, devices="")
    ran = hot.attempt(**hot.asked)
    assert ran.code == "device_missing"
    assert (attached(hot), hot.snapshots("web-1"), hot.points()) == (([], []), [], [])


def link_of(hot):
    """What the guest calls the disk of web-1."""
    (disk,) = [device for device in hot.vm("web-1").config.hardware.device if device.key == 2000]
    return hot.devices / f"wwn-0x{disk.backing.uuid.replace('-', '').lower()}"


def test_a_disk_of_that_name_that_was_there_before_is_not_taken_for_it(hot, monkeypatch):
    monkeypatch.setattr(sources, "SECONDS_TO_SHOW", 0.2)
    link_of(hot).write_bytes(bytes(8 * MIB))
    ran = hot.attempt(**hot.asked)
    assert (ran.code, ran.called("ReconfigVM_Task")) == ("device_missing", 0)
    assert "could be taken for" in str(ran.error)
    assert hot.points() == []


def test_a_device_that_goes_late_is_waited_for(hot):
    write(hot)
    link = link_of(hot)
    link.write_bytes(bytes(8 * MIB))
    later = threading.Timer(0.3, link.unlink)
    later.start()
    hot.run(**hot.asked)
    later.join()
    assert hot.restored(0) == hot.content()


def test_another_disk_of_that_name_makes_no_point(hot):
    hot.sim.patch_vm(PROXY, devices="")
    link = link_of(hot)

    def show_another():
        if hot.sim.called("ReconfigVM_Task", 1, within=120):
            link.write_bytes(bytes(MIB))
            hot.sim.clear(held)

    later = threading.Thread(target=show_another)
    held = hot.sim.inject(method="ReconfigVM_Task", do="delay")
    hot.sim.reset_calls()
    later.start()
    # It came when the disk was attached, and has another size.
    assert hot.attempt(**hot.asked).code == "wrong_disk"
    later.join()
    assert (attached(hot), hot.points()) == (([], []), [])


def test_vms_whose_disks_have_one_uuid_are_read_after_each_other(hot):
    """As linked clones may have it."""
    hot.sim.govc("vm.power", "-off", "web-1")
    hot.sim.govc("snapshot.create", "-vm", "web-1", "base")
    place = ("-ds", "LocalDS_0", "-pool", "/DC0/host/DC0_C0/Resources")
    for name in ("one", "two"):
        hot.sim.govc("vm.clone", "-vm", "web-1", "-snapshot", "base", "-link", *place, "-on=true", name)
    hot.sim.govc("vm.power", "-on", "web-1")
    ran = hot.run(vms=[{"name": name} for name in ("web-1", "one", "two")], **hot.asked)
    assert ran.result["counts"] == {"backed_up": 3}
    assert [hot.restored(0, name) for name in ("web-1", "one", "two")] == [
        hot.content(name) for name in ("web-1", "one", "two")
    ]
    assert attached(hot)[1] == []


@pytest.mark.parametrize("fault", ["FileLocked", "GenericVmConfigFault", "InvalidDeviceBacking"])
def test_a_disk_that_vcenter_does_not_attach_fails_its_vm(hot, fault):
    hot.sim.inject(method="ReconfigVM_Task", do="task-fault", fault=fault)
    ran = hot.attempt(**hot.asked)
    assert ran.error is not None
    assert (attached(hot), hot.snapshots("web-1"), hot.points()) == (([], []), [], [])
    hot.run(**hot.asked)


def test_a_place_that_another_run_takes_meanwhile_is_left_to_it(hot):
    hot.sim.inject(method="ReconfigVM_Task", do="task-fault", fault="InvalidDeviceSpec")
    write(hot)
    ran = hot.run(**hot.asked)
    assert ran.called("ReconfigVM_Task") == 3
    assert hot.restored(0) == hot.content()


def test_a_place_is_given_to_one_disk_at_a_time(hot):
    """Also when places are looked for while other threads wait for their turn with theirs."""
    names = [f"held-{number}" for number in range(3)]
    for name in names:
        hot.make(name, size=MIB, on=False)
    together = threading.Barrier(len(names), timeout=300)

    def attach(attachments, vm):
        deadline = time.monotonic() + 60
        with attachments.attached(vm.disks[0], vm.instance_uuid, vm.name, deadline, lambda _disk: None) as found:
            together.wait()
            return found.slot

    def work(session):
        known = proxies.find(session, Selector(name=PROXY))
        vms = read.find(session, [Selector(name=name) for name in names], None)
        attachments = Attachments(session, known, "run", 60, lambda: None)
        # Another run takes the first place.
        place = ("-name", f"{PROXY}/own", "-size", "1M", "-ds", "LocalDS_0", "-controller", "pvscsi-1000")
        hot.sim.govc("vm.disk.create", "-vm", PROXY, *place)
        hot.sim.inject(method="ReconfigVM_Task", times=0, do="delay", delay_ms=200)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            slots = list(pool.map(lambda vm: attach(attachments, vm), vms))
        assert len(set(slots)) == len(names)
        assert attachments.end() == {}
        return {}

    assert hot.ran(work).called("ReconfigVM_Task") == 1 + 1 + 2 * len(names)
    assert attached(hot) == ([], [])


def test_a_proxy_that_another_task_changes_is_waited_for(hot):
    hot.sim.inject(method="ReconfigVM_Task", do="fault", fault="TaskInProgress", times=2)
    write(hot)
    ran = hot.run(**hot.asked)
    assert ran.called("ReconfigVM_Task") == 4
    assert hot.restored(0) == hot.content()


def test_a_disk_that_cannot_be_detached_keeps_its_snapshot_until_the_next_run(hot):
    write(hot)
    # The first call attaches; all that detach fail.
    hot.sim.inject(method="ReconfigVM_Task", nth=2, times=0, do="fault", fault="GenericVmConfigFault")
    ran = hot.attempt(**hot.asked)
    assert (ran.code, ran.called("RemoveSnapshot_Task")) == ("snapshot_in_use", 0)
    assert any("could not be detached" in warning for warning in ran.one["warnings"])
    files, marks = attached(hot)
    assert (len(files), len(marks), len(hot.snapshots("web-1"))) == (1, 1, 1)
    hot.sim.clear()
    # This process lives, so its mark is believed; where it is over, the next run cleans up.
    mark = json.loads(hot.sim.vm(PROXY)["extra_config"][marks[0]])
    text = json.dumps({**mark, "began": "0"})
    hot.reconfigure(PROXY, extraConfig=[vim.option.OptionValue(key=marks[0], value=text)])
    again = hot.attempt(**hot.asked)
    assert again.result["detached"] == files
    assert attached(hot) == ([], [])


@pytest.fixture
def shown():
    """Has vCenter show the disks that are attached to the proxy in another way; ``None`` ends that."""
    real = proxies._disks

    def show(change):
        def disks(devices):
            return (change(disk) if disk.mode == "independent_nonpersistent" else disk for disk in real(devices))

        patch.setattr(proxies, "_disks", disks if change is not None else real)

    with pytest.MonkeyPatch.context() as patch:
        yield show


def with_redo_log(disk):
    """As a running VM may show a nonpersistent disk: what is written to it goes to a redo log."""
    return dataclasses.replace(disk, files=(f"[LocalDS_0] {PROXY}/{PROXY}-REDO_a.vmdk", *disk.files))


def in_other_words(disk):
    """Paths of a vSAN datastore may be written with the name of a folder, or its UUID."""
    return dataclasses.replace(disk, files=tuple(file.replace("/", "//") for file in disk.files))


@pytest.mark.parametrize("change", [with_redo_log, in_other_words])
def test_a_disk_that_vcenter_shows_with_another_file_is_ours(hot, shown, change):
    write(hot)
    shown(change)
    ran = hot.run(**hot.asked)
    assert ran.called("ReconfigVM_Task") == 2
    assert hot.restored(0) == hot.content()
    assert (attached(hot), hot.snapshots("web-1")) == (([], []), [])


def left_by_a_dead_run(hot):
    """The file of a disk that stays attached, with the mark of a run that is over."""
    hot.sim.inject(method="ReconfigVM_Task", nth=2, times=0, do="fault", fault="GenericVmConfigFault")
    hot.attempt(**hot.asked)
    hot.sim.clear()
    (file,), (key,) = attached(hot)
    text = json.dumps({**json.loads(hot.sim.vm(PROXY)["extra_config"][key]), "began": "0"})
    hot.reconfigure(PROXY, extraConfig=[vim.option.OptionValue(key=key, value=text)])
    return file


@pytest.mark.parametrize("change", [with_redo_log, in_other_words])
def test_what_a_dead_run_has_left_is_found_whatever_vcenter_shows(hot, shown, change):
    file = left_by_a_dead_run(hot)
    shown(change)
    assert hot.attempt(**hot.asked).result["detached"] == [file]
    assert attached(hot) == ([], [])


def unknown(disk):
    """A disk of which nothing says which it is."""
    return dataclasses.replace(disk, files=("[LocalDS_0] other/other.vmdk",), uuid="")


def test_a_disk_of_which_nobody_knows_whose_it_is_stays_with_its_mark(hot, shown):
    file = left_by_a_dead_run(hot)
    shown(unknown)
    ran = hot.attempt(check=True, transport="hotadd", nbd=None, hotadd=hot.asked["hotadd"])
    assert ran.result["detached"] == []
    assert any("nobody can tell" in warning and file in warning for warning in hot.warnings)
    hot.attempt(**hot.asked)
    assert file in attached(hot)[0]
    # A run that can tell finds it by its mark.
    shown(None)
    assert file in hot.attempt(**hot.asked).result["detached"]
    assert attached(hot) == ([], [])


def test_a_disk_of_our_own_that_cannot_be_recognized_keeps_its_snapshot(hot, shown):
    shown(unknown)
    ran = hot.attempt(**hot.asked)
    assert (ran.error is not None, ran.called("RemoveSnapshot_Task")) == (True, 0)
    assert any("nobody can tell" in warning for warning in ran.one["warnings"])
    assert [len(each) for each in attached(hot)] == [1, 1]


@pytest.mark.parametrize("name", ["TERM", "KILL"])
@pytest.mark.parametrize(
    "moment", [("ReconfigVM_Task", 1), ("QueryChangedDiskAreas", 1), ("ReconfigVM_Task", 2), ("RemoveSnapshot_Task", 1)]
)
def test_whenever_a_run_ends_nothing_stays_attached_for_long(hot, tmp_path, name, moment):
    write(hot)
    module = Forked(hot.sim, "vm_backup", tmp_path)
    asked = {"vm": {"name": "web-1"}, "repository": str(hot.repository), "streams": 2}
    asked |= {key: value for key, value in hot.asked.items() if value is not None}
    method, nth = moment
    ended = module.run(asked, rule={"method": method, "nth": nth, "do": "signal", "signal": name, "delay_ms": 50})
    hot.sim.clear()
    hot.sim.settle()
    if name == "KILL":
        assert ended.code == -9
    else:
        assert ended.result["error_code"] == "interrupted"
        assert (attached(hot), hot.snapshots("web-1")) == (([], []), [])
    before = attached(hot)[0]
    ran = hot.run(**hot.asked)
    assert ran.result["detached"] == before
    assert (attached(hot), hot.snapshots("web-1")) == (([], []), [])
    assert hot.restored(-1) == hot.content()


def takes(duration):
    """How long changes of the proxy take."""
    return pytest.mark.parametrize("sim_flags", [("--reconfigure-time", duration)])


@takes("500ms")
def test_a_disk_whose_attaching_was_not_answered_is_waited_for_and_detached(hot):
    hot.sim.inject(method="ReconfigVM_Task", do="drop-after")
    ran = hot.attempt(**hot.asked)
    assert ran.code == "connection_lost"
    assert ran.called("ReconfigVM_Task") == 2
    assert (attached(hot), hot.snapshots("web-1"), hot.vm("web-1").runtime.consolidationNeeded) == (([], []), [], False)


# More than a round of waiting: the signal ends that.
@takes("2s")
def test_a_disk_whose_attaching_a_signal_ends_is_waited_for_and_detached(hot, tmp_path):
    module = Forked(hot.sim, "vm_backup", tmp_path)
    asked = {"vm": {"name": "web-1"}, "repository": str(hot.repository), "streams": 2}
    asked |= {key: value for key, value in hot.asked.items() if value is not None}
    ended = module.run(asked, rule={"method": "ReconfigVM_Task", "do": "signal", "signal": "TERM", "delay_ms": 50})
    assert ended.result["error_code"] == "interrupted"
    assert ended.calls["ReconfigVM_Task"] == 2
    assert (attached(hot), hot.snapshots("web-1"), hot.vm("web-1").runtime.consolidationNeeded) == (([], []), [], False)


@takes("500ms")
def test_a_disk_whose_detaching_was_not_answered_is_waited_for(hot):
    write(hot)
    hot.sim.inject(method="ReconfigVM_Task", nth=2, do="drop-after")
    ran = hot.run(**hot.asked)
    assert ran.called("ReconfigVM_Task") == 2
    assert hot.restored(0) == hot.content()
    assert (attached(hot), hot.snapshots("web-1")) == (([], []), [])
