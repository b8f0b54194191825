# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read of a disk: what changed, or all of it wherever what changed is not certain to be told."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import plan
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.model import DiskBackup, Point
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.options import BackupOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.disks import Disk
from ansible_collections.vforge.vsphere.plugins.modules.vm_backup import argument_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted

GIB = 2**30
TRACKING = "52 de c0 d9 b9 43 9d 10-61 d5 4c 1b e9 7b 65 63"
DELTA = "[ds] web/web-000001.vmdk"

THEN = Disk(
    key=2000,
    label="Hard disk 1",
    unit="scsi0:0",
    files=("[ds] web/web.vmdk",),
    capacity=GIB,
    change_id=f"{TRACKING}/7",
    uuid="6000C29e",
    object_id="11-2000",
)


def earlier(disk, delta=""):
    """The newest point of a VM, made of a disk as it was then."""
    made = DiskBackup(
        key=disk.key,
        label=disk.label,
        unit=disk.unit,
        capacity=disk.capacity,
        file="disk-2000.qcow2",
        backing="",
        digests="",
        change_id=f"{TRACKING}/5",
        identity=disk.identity,
        transport="nbd",
        read=0,
        written=0,
        delta=delta,
    )
    point = Point(
        id="20261101T000000Z-00000001",
        number=1,
        created="2026-11-01T00:00:00+00:00",
        instance_uuid="",
        vm_name="web",
        consistency="",
        disks=(made,),
    )
    return plan.Earlier(point)


def reading(disk, mode, there):
    """What is planned: whether an increment, an audit, or all of it and why."""
    options = BackupOptions.from_params(accepted(argument_spec(), {"vm": {"name": "web"}, "repository": "/srv", "mode": mode}))
    found = plan.reading(disk, there, options, "hotadd")
    return found.why.code if isinstance(found, plan.Whole) else type(found).__name__


@pytest.mark.parametrize(
    ("now", "auto", "audit"),
    [
        ({}, "Changes", "Audit"),
        ({"change_id": f"{TRACKING}/5"}, "Changes", "Audit"),
        # Extended: hosts have lost changes of such disks (KB 2090639). An audit reads all of it anyway.
        ({"capacity": 2 * GIB}, "capacity_changed", "Audit"),
        ({"capacity": GIB // 2}, "capacity_changed", "capacity_changed"),
        # Another disk under the same key.
        ({"uuid": "6000C29f"}, "disk_replaced", "disk_replaced"),
        ({"object_id": "12-2000"}, "disk_replaced", "disk_replaced"),
        ({"key": 2001}, "no_earlier_backup", "no_earlier_backup"),
        # Moved with its tracking, or without it.
        ({"files": ("[other] web/web.vmdk",)}, "Changes", "Audit"),
        ({"change_id": "52 aa/1"}, "tracking_restarted", "tracking_restarted"),
        ({"change_id": None}, "not_tracked", "not_tracked"),
        # A state of before: that of a snapshot, or of a restored VM.
        ({"change_id": f"{TRACKING}/4"}, "change_id_newer", "change_id_newer"),
    ],
)
def test_what_is_read_of_a_disk(now, auto, audit):
    disk = dataclasses.replace(THEN, **now)
    assert (reading(disk, "auto", earlier(THEN)), reading(disk, "audit", earlier(THEN))) == (auto, audit)
    assert reading(disk, "full", earlier(THEN)) == "asked_for"
    if auto == "Changes":
        assert reading(disk, "incremental", earlier(THEN)) == "Changes"
        return
    with pytest.raises(plan.NotBackedUp) as caught:
        reading(disk, "incremental", earlier(THEN))
    assert (caught.value.error_code, caught.value.details["reason"]) == ("full_required", auto)


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ((DELTA, *THEN.files), "Changes"),
        (("[ds] web/web-000002.vmdk", *THEN.files), "delta_disk_gone"),
        (THEN.files, "delta_disk_gone"),
    ],
)
def test_a_disk_whose_delta_disk_of_then_is_gone_is_read_whole(files, found):
    """It was reverted, so a changeId of then may be one of states that are gone."""
    assert reading(dataclasses.replace(THEN, files=files), "auto", earlier(THEN, DELTA)) == found


def test_a_disk_is_read_whole_where_the_newest_backup_is_damaged():
    assert reading(THEN, "auto", plan.Earlier(None, damaged=True)) == "earlier_backup_damaged"
    assert reading(THEN, "auto", plan.Earlier(None)) == "no_earlier_backup"


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        ({}, False),
        ({"sector_format": "native_4k"}, True),
        ({"sector_format": "native_4k", "mode": "independent_persistent"}, False),
        ({"sector_format": "native_4k", "physical": True}, False),
    ],
)
def test_a_4kn_disk_is_refused_where_the_backup_would_have_it(more, refused):
    options = BackupOptions.from_params(accepted(argument_spec(), {"vm": {"name": "web"}, "repository": "/srv"}))
    other = dataclasses.replace(THEN, key=2001, label="Hard disk 2", **more)
    if not refused:
        plan.check_disks("/DC0/vm/web", [THEN, other], options)
        return
    with pytest.raises(plan.NotBackedUp, match=r"^/DC0/vm/web has disks .*\(Hard disk 2: native_4k\)") as caught:
        plan.check_disks("/DC0/vm/web", [THEN, other], options)
    assert (caught.value.error_code, caught.value.details["disks"]) == ("sector_format", ["Hard disk 2"])
