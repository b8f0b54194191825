# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading many properties of many objects in one call."""

from __future__ import annotations

import datetime

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import props
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.find import TO_VMS
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.props import collect, collect_chosen, moment, read, utc
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim, vmodl
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import ConnectionLost, Fault, Unavailable
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import session

DynamicProperty = vmodl.DynamicProperty
ObjectContent = vmodl.query.PropertyCollector.ObjectContent


def test_an_answer_comes_in_pages_and_whole(make_sim):
    sim = make_sim("--vms", "1200", "--parents", "0")
    with session(sim) as known:
        sim.reset_calls()
        rows = collect(known, [known.content.rootFolder], {vim.VirtualMachine: ("name",)}, TO_VMS)
        assert sim.calls()["by_method"] == {"RetrievePropertiesEx": 1, "ContinueRetrievePropertiesEx": 2}
        # Each page is a call as any other.
        told = known.stats.summary()
        assert told["update_rounds"] == 0
        assert told["total"] == sum(told["by_method"].values())
        _a_large_place_is_read_in_two(sim, known, rows)
    assert len({row.moid for row in rows}) == 1200
    assert len({row.get("name") for row in rows}) == 1200


def _a_large_place_is_read_in_two(sim, known, rows):
    """Of all VMs what decides is read, and the rest only of those that are chosen."""
    roots, name, power = [known.content.rootFolder], "server-00700", "runtime.powerState"
    wanted, deciding = {vim.VirtualMachine: ("name", power)}, {vim.VirtualMachine: ("name",)}
    sim.reset_calls()
    before = known.stats.received
    found = collect_chosen(known, roots, wanted, TO_VMS, deciding, lambda row: row.get("name") == name)
    assert sim.calls()["by_method"] == {"RetrievePropertiesEx": 3}
    assert {row.moid: row.get("name") for row in found} == {row.moid: row.get("name") for row in rows}
    assert [row.get("name") for row in found if power in row.values] == [name]
    assert known.stats.received - before < 1200 * 300 + 500 * 400


def test_in_a_small_place_all_is_read_at_once(shared_sim):
    with session(shared_sim) as known:
        shared_sim.reset_calls()
        wanted = {vim.VirtualMachine: ("name", "runtime.powerState")}
        rows = collect_chosen(known, [known.content.rootFolder], wanted, TO_VMS, {}, lambda _row: False)
        assert shared_sim.calls()["by_method"] == {"RetrievePropertiesEx": 1}
    assert rows
    assert all("runtime.powerState" in row.values for row in rows)


def test_the_bytes_of_all_answers_are_counted(shared_sim):
    """By the phases of a task, too."""
    with session(shared_sim) as known:
        before = known.stats.received
        with known.stats.phase("lookup"):
            read(known, [known.content.rootFolder], vim.Folder, ["name"])
        told = known.stats.summary()
        assert told["bytes_received"] == known.stats.received
        assert told["bytes_by_phase"] == {"lookup": known.stats.received - before}
        # One object with its name in an envelope.
        assert 300 < told["bytes_by_phase"]["lookup"] < 2_000


def test_many_known_objects_are_one_call(shared_sim):
    with session(shared_sim) as known:
        rows = collect(known, [known.content.rootFolder], {vim.VirtualMachine: ("name",)}, TO_VMS)
        shared_sim.reset_calls()
        told = read(known, [row.ref for row in rows], vim.VirtualMachine, ["name", "runtime.powerState"])
        assert shared_sim.calls()["by_method"] == {"RetrievePropertiesEx": 1}
    assert {moid: row.get("name") for moid, row in told.items()} == {row.moid: row.get("name") for row in rows}
    assert {row.get("runtime.powerState") for row in told.values()} <= {"poweredOn", "poweredOff", "suspended"}


def test_what_is_gone_is_left_out(shared_sim):
    with session(shared_sim) as known:
        gone, root = known.reference(vim.Folder, "group-none"), known.content.rootFolder
        assert list(read(known, [gone, root], vim.Folder, ["name"])) == [root._GetMoId()]
        assert read(known, [gone], vim.Folder, ["name"]) == {}


def test_what_is_unset_is_the_default(shared_sim):
    with session(shared_sim) as known:
        root = known.content.rootFolder
        row = read(known, [root], vim.Folder, ["name", "parent"])[root._GetMoId()]
    assert row.get("parent") is None
    assert row.get("parent", "none") == "none"
    assert row.get("name") == "Datacenters"


def test_nothing_is_read_of_nothing(shared_sim):
    with session(shared_sim) as known:
        shared_sim.reset_calls()
        assert read(known, [], vim.Folder, ["name"]) == {}
        assert shared_sim.calls()["total"] == 0


def test_a_property_that_does_not_exist_is_a_fault_of_the_server(shared_sim):
    with session(shared_sim) as known, pytest.raises(Fault) as caught:
        read(known, [known.content.rootFolder], vim.Folder, ["nonsense"])
    assert caught.value.error_code == "invalid_property"


@pytest.mark.parametrize("do", ["drop", "drop-after"])
def test_a_read_whose_answer_was_lost_is_made_again(make_sim, do):
    sim = make_sim("--vms", "0", "--parents", "0")
    with session(sim) as known:
        root = known.content.rootFolder
        sim.inject(method="RetrievePropertiesEx", do=do)
        assert read(known, [root], vim.Folder, ["name"])[root._GetMoId()].get("name") == "Datacenters"
        sim.inject(method="RetrievePropertiesEx", do=do, times=2)
        with pytest.raises(ConnectionLost) as caught:
            read(known, [root], vim.Folder, ["name"])
        assert "during RetrievePropertiesEx" in str(caught.value)
        assert read(known, [root], vim.Folder, ["name"])[root._GetMoId()].get("name") == "Datacenters"


def test_a_session_that_another_thread_replaces_between_two_pages_has_the_read_begin_again(make_sim):
    sim = make_sim("--vms", "3", "--parents", "0")
    pages = []
    with session(sim) as known:

        def replaced(read_so_far):
            pages.append(read_so_far)
            if len(pages) == 1:
                sim.expire_sessions()
                known.renew(known.generation)
            return False

        part = props.collect_until(known, [known.content.rootFolder], {vim.VirtualMachine: ("name",)}, TO_VMS, 1, replaced)
    assert (part.whole, len(part.rows), pages) == (True, 3, [1, 1, 2])
    assert len({row.moid for row in part.rows}) == 3


def test_a_gateway_that_answers_for_the_vcenter_is_seen_through(make_sim):
    sim = make_sim("--vms", "0", "--parents", "0")
    with session(sim) as known:
        root = known.content.rootFolder
        sim.inject(method="RetrievePropertiesEx", do="http-status", status=503)
        assert len(read(known, [root], vim.Folder, ["name"])) == 1
        sim.inject(method="RetrievePropertiesEx", do="http-status", status=503, times=0)
        with pytest.raises(Unavailable) as caught:
            read(known, [root], vim.Folder, ["name"])
    assert caught.value.error_code == "vcenter_unavailable"
    assert "503" in str(caught.value)


def test_a_property_that_comes_without_a_value_is_unset():
    named, unset = (DynamicProperty(name=name, val=value) for name, value in (("name", "web-1"), ("snapshot", None)))
    row = props._row(ObjectContent(obj=vim.VirtualMachine("vm-1"), propSet=[named, unset]))
    assert (row.values, row.get("snapshot", "none")) == ({"name": "web-1"}, "none")


def test_a_time_is_in_utc_whatever_zone_it_came_in():
    noon = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC)
    east = noon.astimezone(datetime.timezone(datetime.timedelta(hours=2)))
    for when in (noon.replace(tzinfo=None), noon, east):
        assert utc(when) == noon
        assert moment(when) == "2026-11-30T12:00:00+00:00"
    assert utc(None) is None
    assert moment(None) == ""


def test_uuids_are_in_small_letters_whatever_they_came_in():
    uuid = "502AA5E1-9B3F-4C5D-8E7F-0123456789AB"
    known = {"name": uuid, "config.uuid": uuid, "config.instanceUuid": uuid}
    row = props._row(
        ObjectContent(
            obj=vim.VirtualMachine("vm-1"),
            propSet=[DynamicProperty(name=name, val=value) for name, value in known.items()],
        )
    )
    assert row.values == {"name": uuid, "config.uuid": uuid.lower(), "config.instanceUuid": uuid.lower()}
