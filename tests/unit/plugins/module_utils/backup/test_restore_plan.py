# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a restore into a VM decides, without a vCenter: which point, which disks, what is refused, what is left of whom."""

from __future__ import annotations

import dataclasses
import types

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import restore_plan, targets
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.model import BackupDamaged, DiskBackup, Point
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.restore_options import IntoOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.restore_plan import NotRestored, Place
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.restore_record import Made, Record, Replaced
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.selecting import PointSelector, chosen_disks
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.targets import Target
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, NotFound
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.disks import Disk
from ansible_collections.vforge.vsphere.plugins.modules.vm_restore import argument_spec, prepared
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted

UUID = "5029c440-85ee-c2a1-e9dd-b63e39364603"


def backup(key=2000, unit="scsi0:0", digests="d1", uuid="6000C29a-0001"):
    return DiskBackup(
        key=key,
        label=f"Hard disk {key - 1999}",
        unit=unit,
        capacity=2**20,
        file=f"disk-{key}.qcow2",
        backing="",
        digests=digests,
        change_id=None,
        identity=f"1-{key}/{uuid}",
        transport="nbd",
        read=0,
        written=0,
    )


def point(number=1, created="2026-11-01T10:00:00+00:00", disks=None):
    return Point(
        id=f"20261101T{number:06d}Z-0123abcd",
        number=number,
        created=created,
        instance_uuid=UUID,
        vm_name="web",
        consistency="crash-consistent",
        disks=tuple(disks or (backup(), backup(2001, "scsi0:1", "d2", "6000C29a-0002"))),
    )


def disk(key=2000, unit="scsi0:0", file="[ds] web/web.vmdk", **more):
    return Disk(key=key, label=f"Hard disk {key - 1999}", unit=unit, files=(file,), capacity=2**20, **more)


def target(*disks, **more):
    known = {"moid": "vm-1", "name": "web", "path": "/DC0/vm/web", "power_state": "poweredOff", "vmx": "[ds] web/web.vmx"}
    return Target(**{**known, "disks": disks or (disk(),), "controllers": {"scsi0": 1000}, **more})


def options(**given):
    asked = {"repository": "/srv/backups", "vm": "web", "into": {"name": "web"}, **given}
    return prepared(accepted(argument_spec(), asked))


# Which point, which disks


def test_points_by_id_newest_and_time():
    points = [point(1), point(2, "2026-11-02T10:00:00+00:00"), point(3, "2026-11-01T12:00:00+00:00")]

    def chosen(**given):
        return PointSelector.from_params(given).choose(points, "here").number

    assert (chosen(), chosen(point="latest"), chosen(point="newest"), chosen(point=points[0].id)) == (3, 3, 3, 1)
    # By their times: the clock was put back before the third.
    assert chosen(before="2026-11-03") == 2
    assert chosen(before="2026-11-01T12:30:00") == 3
    assert chosen(before="2026-11-01T13:30:00+01:00") == 3
    assert chosen(before="2026-11-01 11:59") == 1
    with pytest.raises(NotFound, match="no backup of before"):
        chosen(before="2026-11-01T09:59:59Z")
    with pytest.raises(NotFound, match="no backup 20200101T000000Z"):
        chosen(point="20200101T000000Z-00000000")


@pytest.mark.parametrize("word", ["Hard disk 2", "hard DISK 2", "SCSI0:1", "2001", "6000c29A-0002"])
def test_a_disk_has_many_names(word):
    assert [found.key for found in chosen_disks(point(), [word])] == [2001]
    assert [found.key for found in chosen_disks(point(), [word, "2001", "2000"])] == [2001, 2000]


def test_a_name_that_no_disk_or_several_have():
    with pytest.raises(NotFound, match="has no Hard disk 9"):
        chosen_disks(point(), ["Hard disk 9"])
    twins = point(disks=(backup(), backup(2001, "scsi0:1")))
    with pytest.raises(NotFound, match="several disks"):
        chosen_disks(twins, ["6000C29a-0001"])


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"before": "yesterday"}, "before"),
        ({"before": "2026-01-01", "point": "20200101T000000Z-00000000"}, "before"),
        ({"format": "raw"}, "format"),
        ({"into": {"name": "web", "moid": "vm-1"}}, "into"),
        ({"into": None}, "dest"),
        ({"storage_policy": "gold", "settings": ["storage_policies"]}, "storage_policy"),
        ({"into": None, "dest": "/restored", "settings": ["tags"]}, "settings"),
        ({"into": None, "dest": "/restored", "storage_policy": "gold"}, "storage_policy"),
        ({"into": None, "dest": "/restored", "content": False}, "content"),
        ({"content": False}, "content"),
    ],
)
def test_options_that_cannot_be_right(given, option):
    with pytest.raises(InvalidOption) as raised:
        options(**given)
    assert raised.value.details["option"] == option


# What is refused


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"template": True}, "template"),
        ({"encrypted": True}, "encrypted"),
        ({"consolidate": True}, "consolidation_needed"),
        ({"controllers": {"sata0": 15000}}, "no_controller"),
        ({"first_class": frozenset({2000})}, "first_class_disk"),
        ({"disks": (disk(physical=True),)}, "raw_device"),
        ({"disks": (disk(backing="RawDiskMappingVer1"),)}, "raw_device"),
        ({"disks": (disk(sector_format="native_4k"),)}, "sector_format"),
        ({"power_state": "poweredOn"}, "not_powered_off"),
        ({"power_state": "suspended"}, "not_powered_off"),
    ],
)
def test_a_vm_that_nothing_can_be_restored_into(more, code):
    vm = target(**more)

    def judge():
        restore_plan.check(vm, options())
        restore_plan.places(vm, point(), [backup()])
        restore_plan.check_power(vm, options())

    with pytest.raises(NotRestored) as raised:
        judge()
    assert raised.value.error_code == code
    assert raised.value.hint


def test_a_suspended_vm_is_refused_even_where_it_may_be_powered_off():
    with pytest.raises(NotRestored, match="is suspended"):
        restore_plan.check_power(target(power_state="suspended"), options(power_off=True))


def test_steps_are_those_that_are_needed():
    due = [Place(backup(), disk(), 1000, 0, "thin")]

    def steps(vm, places, *, left=False, nvram=False, tags=False, **given):
        found = restore_plan.steps(vm, options(**given), places, nvram=nvram, tags=tags, leftovers=left)
        return [restore_plan.DONE[step] for step in found]

    assert steps(target(), []) == []
    assert steps(target(), due) == ["disks_brought_in", "disks_replaced", "replaced_disks_deleted"]
    assert steps(target(), due, keep_replaced=True) == ["disks_brought_in", "disks_replaced"]
    assert steps(target(power_state="poweredOn"), due, power_off=True, powered_on=True)[1] == "powered_off"
    assert steps(target(), [], left=True, powered_on=True) == ["leftover_removed", "powered_on"]
    assert steps(target(power_state="poweredOn"), [], powered_on=True) == []
    free = [dataclasses.replace(due[0], old=None)]
    assert steps(target(), free) == ["disks_brought_in", "disks_replaced"]
    assert steps(target(), [], nvram=True, tags=True) == ["nvram_put_back", "tags_attached"]
    assert steps(target(), due, nvram=True)[-1] == "nvram_put_back"
    running = target(power_state="poweredOn")
    assert steps(running, [], nvram=True, powered_on=True) == ["powered_off", "nvram_put_back", "powered_on"]
    assert steps(running, [], tags=True, powered_on=True) == ["tags_attached"]


# What is left of whom


@pytest.fixture(name="record")
def _record(tmp_path):
    tmp_path.chmod(0o700)
    return Record(str(tmp_path), UUID)


def left(record, *attached, wanted=(), keep_replaced=False):
    vm = target(*(disk(2000 + number, f"scsi0:{number}", file) for number, file in enumerate(attached)))
    return restore_plan.leftovers(vm, record, set(wanted), keep_replaced=keep_replaced)


def test_what_was_brought_in_is_kept_where_it_is_wanted(record):
    record.note_made(Made("new", "d1"))
    assert left(record, "old", wanted=["d1"]).deletable == ("new",)
    record.note_made(Made("new", "d1", compared="content"))
    assert left(record, "old", wanted=["d1"]).deletable == ()
    assert left(record, "old", wanted=["d2"]).deletable == ("new",)
    assert left(record, "new", wanted=["d2"]) == restore_plan.Leftovers((), ("new",), ())


def test_what_was_replaced_goes_only_where_the_restored_one_is_in_its_place(record):
    record.note_replaced([Replaced("old", "new")])
    assert left(record, "new") == restore_plan.Leftovers(("old",), (), ())
    assert left(record, "old") == restore_plan.Leftovers((), ("old",), ())
    # Somebody has put a third one there: nothing of it is ours to delete.
    assert left(record, "third") == restore_plan.Leftovers((), (), ("old",))
    # Where replaced disks are kept, it stays as well.
    assert left(record, "new", keep_replaced=True) == restore_plan.Leftovers((), (), ("old",))
    assert left(record, "old", keep_replaced=True) == restore_plan.Leftovers((), ("old",), ())


def test_a_record_is_read_again_and_goes_with_its_last_entry(record, tmp_path):
    record.note_made(Made("new", "d1", "content"))
    record.note_replaced([Replaced("old", "new")])
    again = Record(str(tmp_path), UUID)
    assert (again.made, again.replaced) == (record.made, record.replaced)
    again.forget_made(["new"])
    assert Record(str(tmp_path), UUID).made == {}
    again.forget(["old"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2, "made": [], "replaced": []}', '{"format": 1, "made": [{"file": 1}]}']
)
def test_a_record_that_is_none_is_not_believed(tmp_path, text):
    tmp_path.chmod(0o700)
    (tmp_path / f"restore-{UUID}.json").write_text(text, encoding="utf-8")
    with pytest.raises(BackupDamaged, match=r"is no record of a restore"):
        Record(str(tmp_path), UUID)


@pytest.mark.parametrize(
    ("old", "vmx", "folder"),
    [
        ("[ds] web/web.vmdk", "[ds] web/web.vmx", "[ds] web/"),
        ("[ds] web.vmdk", "[ds] web/web.vmx", "[ds] "),
        ("[ds] a/b [1]/web.vmdk", "[ds] web.vmx", "[ds] a/b [1]/"),
        ("", "[other] web/web.vmx", "[other] web/"),
        ("", "[other] web.vmx", "[other] "),
    ],
)
def test_a_new_disk_gets_a_name_that_nobody_has(old, vmx, folder):
    vm = target(disk(file=old or "[ds] x.vmdk"), vmx=vmx)
    place = Place(backup(), disk(file=old) if old else None, 1000, 0, "thin")
    near = restore_plan.beside(vm, place)
    first = f"{folder}restored-{point().id}-scsi0-0.vmdk"
    assert restore_plan.new_file(place, point(), near, lambda _path: False) == first
    taken = {first, first.replace(".vmdk", "-2.vmdk")}
    assert restore_plan.new_file(place, point(), near, taken.__contains__) == first.replace(".vmdk", "-3.vmdk")


def test_options_of_files_are_no_options_of_a_vm():
    assert isinstance(options(), IntoOptions)


@pytest.mark.parametrize(
    ("more", "now", "same"),
    [
        ({}, ["base"], True),
        ({}, ["other"], False),
        ({}, ["delta", "base"], False),
        ({"snapshots": ("one",)}, ["base"], True),
        ({"snapshots": ("one",)}, ["own", "base"], True),
        ({"snapshots": ("one",)}, ["base-000003.vmdk"], True),
        ({"snapshots": ("one",)}, ["another"], False),
    ],
)
def test_disks_are_the_same_though_their_snapshots_went(more, now, same):
    before = ("over", "own", "base") if more else ("base",)
    vm = target(dataclasses.replace(disk(), files=before), **more)
    assert restore_plan.same_disks(vm, target(dataclasses.replace(disk(), files=tuple(now)))) is same
    moved = target(dataclasses.replace(disk(unit="scsi0:1"), files=before))
    assert restore_plan.same_disks(vm, moved) is False


@pytest.mark.parametrize(("version", "sent"), [("", None), ("7", "7")])
def test_a_version_that_vcenter_does_not_say_is_not_sent(version, sent):
    """An empty one would be another than that of the VM."""
    specs = []
    machine = types.SimpleNamespace(ReconfigVM_Task=specs.append)
    session = types.SimpleNamespace(reference=lambda _kind, _moid: machine)
    into = target(version=version)
    targets.start_exchange(session, into, [])
    targets.start_policies(session, into, {})
    assert [spec.changeVersion for spec in specs] == [sent, sent]
