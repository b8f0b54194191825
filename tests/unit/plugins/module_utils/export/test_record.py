# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an export notes for the next run, and what the next run makes of it."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.find import Selector
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.props import Row
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim
from ansible_collections.vforge.vsphere.plugins.module_utils._copy_source import (
    NO,
    REQUIRE,
    TRY,
    FromNewSnapshot,
    FromSnapshot,
    FromVm,
    consistency,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._export import plan, read, record
from ansible_collections.vforge.vsphere.plugins.module_utils._export.model import (
    ALWAYS,
    CHANGED,
    MISSING,
    ExportOptions,
    Target,
    Vm,
    plain,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._export.plan import NotExportable
from ansible_collections.vforge.vsphere.plugins.module_utils._export.record import PackedFile, Record
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.snapshots import Snapshot, SnapshotSelector
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.export.test_descriptor import MACHINE

TARGET = Target(Selector(name="web-1"))
SNAPSHOT = Snapshot("snapshot-1", "before", "before")
WRITTEN = dataclasses.replace(MACHINE, disks=tuple(dataclasses.replace(disk, content="12ab") for disk in MACHINE.disks))
OFF = Vm(
    moid="vm-1",
    name="web-1",
    path="/DC0/vm/web-1",
    instance_uuid="u-1",
    power_state="poweredOff",
    machine=WRITTEN,
    change_version="v-1",
    snapshots=(SNAPSHOT,),
)
ON = dataclasses.replace(OFF, power_state="poweredOn", tools=True)
FILES = (
    PackedFile("web-1.ovf", 10, "a" * 64, "descriptor"),
    PackedFile("web-1-disk1.vmdk", 20, "b" * 64, "disk", "Hard disk 1"),
)


def _options(**given):
    return ExportOptions(targets=(TARGET,), datacenter=None, dest="/exports", **given)


def _record(vm=OFF, source=FromVm(), last_start="", options=None):  # noqa: B008 (it is frozen)
    return Record(
        vm=vm.instance_uuid,
        config=record.config_of(vm, source, options or _options()),
        disks=record.disks_of(vm, source, last_start),
        consistency="crash",
        at="2026-05-01T02:00:00+00:00",
        files=FILES,
    )


def _reason(vm, known, last_start="", **given):
    options = _options(**given)
    source = plan.source(vm, TARGET, options)
    return plan.decide(vm, source, options, known, last_start).reason


def test_a_record_comes_back_as_it_was():
    assert record.parse(_record().as_bytes()) == _record()


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"files": "none"},
        {"files": [{"name": "web-1.ovf"}]},
        {"files": [{**dataclasses.asdict(FILES[0]), "size": "10"}]},
        {"at": "yesterday"},
        {"at": "2026-05-01T02:00:00"},
        {"vm": None, "config": None, "files": None},
    ],
)
def test_what_is_no_record_of_this_release_is_none(change):
    assert record.parse(json.dumps({**json.loads(_record().as_bytes()), **change}).encode()) is None


@given(st.binary(max_size=200))
def test_no_bytes_are_an_error(data):
    assert record.parse(data) is None


def test_a_package_is_there_when_each_of_its_files_has_its_size():
    sizes = {"web-1.ovf": 10, "web-1-disk1.vmdk": 20}
    assert _record().fits(sizes)
    assert not _record().fits({**sizes, "web-1-disk1.vmdk": 19})
    assert not _record().fits({"web-1.ovf": 10})
    archive = dataclasses.replace(_record(), files=(PackedFile("web-1.ova", 64, "c" * 64, "archive"), *FILES))
    assert archive.fits({"web-1.ova": 64})
    assert archive.size == 64


# What counts as unchanged


def test_a_vm_that_is_off_is_unchanged_as_long_as_its_disks_have_their_content_ids():
    assert _reason(OFF, _record()) == "unchanged"
    disks = (dataclasses.replace(WRITTEN.disks[0], content="34cd"), WRITTEN.disks[1])
    written = dataclasses.replace(OFF, machine=dataclasses.replace(WRITTEN, disks=disks))
    assert _reason(written, _record()) == "changed"


def test_a_vm_that_moved_is_unchanged():
    disks = tuple(dataclasses.replace(disk, files=("[b] x/x.vmdk",)) for disk in WRITTEN.disks)
    moved = dataclasses.replace(OFF, machine=dataclasses.replace(WRITTEN, disks=disks), change_version="v-2")
    assert _reason(moved, _record()) == "unchanged"


def test_where_a_host_says_no_content_ids_the_change_version_and_the_last_start_count():
    vm = dataclasses.replace(OFF, machine=MACHINE)
    assert record.needs_last_start(vm, FromVm())
    assert not record.needs_last_start(OFF, FromVm())
    known = _record(vm, last_start="2026-04-01")
    assert _reason(vm, known, "2026-04-01") == "unchanged"
    assert _reason(vm, known, "2026-04-02") == "changed"
    assert _reason(dataclasses.replace(vm, change_version="v-2"), known, "2026-04-01") == "changed"
    assert _reason(dataclasses.replace(vm, change_version=""), known, "2026-04-01") == "unknown"


@pytest.mark.parametrize(
    ("vm", "refresh", "reason"),
    [
        (ON, CHANGED, "unknown"),
        (ON, MISSING, "present"),
        (OFF, MISSING, "present"),
        (OFF, ALWAYS, "asked"),
        (dataclasses.replace(OFF, instance_uuid="u-2"), MISSING, "missing"),
        (dataclasses.replace(OFF, machine=dataclasses.replace(WRITTEN, memory_mib=1)), CHANGED, "changed"),
    ],
)
def test_the_reasons(vm, refresh, reason):
    assert _reason(vm, _record(), refresh=refresh) == reason
    assert _reason(vm, None, refresh=refresh) == "missing"


def test_a_snapshot_is_unchanged_whatever_becomes_of_its_vm():
    source, options = FromSnapshot(SNAPSHOT), _options()
    known = _record(ON, source)
    other = dataclasses.replace(ON, machine=dataclasses.replace(WRITTEN, memory_mib=1), change_version="v-9")
    assert plan.decide(other, source, options, known, "").reason == "unchanged"
    asked = _options(extra_config=("guestinfo.role",))
    assert plan.decide(ON, source, asked, known, "").reason == "changed"


# Where the disks come from, and what cannot be exported


@pytest.mark.parametrize(
    ("vm", "quiesce", "source"),
    [
        (OFF, REQUIRE, FromVm()),
        (ON, TRY, FromNewSnapshot(quiesce=True)),
        (ON, NO, FromNewSnapshot(quiesce=False)),
        (dataclasses.replace(ON, tools=False), TRY, FromNewSnapshot(quiesce=False)),
        (dataclasses.replace(ON, power_state="suspended"), TRY, FromNewSnapshot(quiesce=False)),
    ],
)
def test_the_source(vm, quiesce, source):
    assert plan.source(vm, TARGET, _options(quiesce=quiesce)) == source


def test_a_named_snapshot_is_the_source_in_any_power_state():
    target = Target(Selector(name="web-1"), SnapshotSelector(name="before"))
    assert {plan.source(vm, target, _options()) for vm in (ON, OFF)} == {FromSnapshot(SNAPSHOT)}


@pytest.mark.parametrize("state", ["poweredOn", "suspended"])
def test_what_has_to_be_quiesced_and_cannot_be_is_refused(state):
    with pytest.raises(NotExportable, match="cannot be quiesced"):
        plan.source(dataclasses.replace(ON, power_state=state, tools=False), TARGET, _options(quiesce=REQUIRE))


@pytest.mark.parametrize(
    ("machine", "vm", "words"),
    [
        (dataclasses.replace(WRITTEN, encrypted=True), OFF, "encrypted"),
        (dataclasses.replace(WRITTEN, disks=(dataclasses.replace(WRITTEN.disks[0], obstacle="it is raw"),)), OFF, "it is raw"),
        (
            dataclasses.replace(WRITTEN, disks=(dataclasses.replace(WRITTEN.disks[0], mode="independent_persistent"),)),
            ON,
            "independent",
        ),
    ],
)
def test_what_vsphere_does_not_export_is_refused_before_anything(machine, vm, words):
    with pytest.raises(NotExportable, match=words):
        _reason(dataclasses.replace(vm, machine=machine), None)


def test_an_independent_disk_of_a_vm_that_is_off_goes_along():
    disks = (dataclasses.replace(WRITTEN.disks[0], mode="independent_persistent"),)
    assert _reason(dataclasses.replace(OFF, machine=dataclasses.replace(WRITTEN, disks=disks)), None) == "missing"


@pytest.mark.parametrize(
    ("vm", "source", "quiesced", "reached"),
    [
        (dataclasses.replace(OFF, clean=True), FromVm(), False, "file_system"),
        (dataclasses.replace(OFF, clean=False), FromVm(), False, "crash"),
        (OFF, FromVm(), False, "crash"),
        (ON, FromNewSnapshot(quiesce=True), True, "file_system"),
        (ON, FromNewSnapshot(quiesce=True), False, "crash"),
        (dataclasses.replace(ON, quiesced=frozenset(["snapshot-1"])), FromSnapshot(SNAPSHOT), False, "file_system"),
        (ON, FromSnapshot(SNAPSHOT), False, "crash"),
    ],
)
def test_the_consistency_that_is_reached(vm, source, quiesced, reached):
    assert consistency(vm, source, quiesced=quiesced) == reached


@given(st.text(max_size=100))
def test_a_name_for_files_leads_nowhere(name):
    made = plain(name)
    assert "/" not in made
    assert not made.startswith((".", "-"))
    assert plain(made) == made


@pytest.mark.parametrize("package", ["a/b", "..", ".hidden", "-x", "web 1"])
def test_a_package_that_is_no_plain_name_is_refused(package):
    params = {"vm": {"name": "web-1"}, "package": package, "dest": "/exports", "format": "ovf", "quiesce": "try"}
    with pytest.raises(InvalidOption, match="plain name"):
        ExportOptions.from_params({**params, "refresh": "changed", "timeout": 60, "parallel": 8})


def test_a_vm_whose_configuration_may_not_be_read_is_none_that_can_be_exported():
    known = {"name": "web", "config.instanceUuid": "502aa5e1-9b3f-4c5d-8e7f-0123456789ab"}
    row = Row(vim.VirtualMachine("vm-1"), known)
    assert not read._is_whole(row)
    assert read._is_whole(Row(row.ref, {**known, "config": vim.vm.ConfigInfo()}))
