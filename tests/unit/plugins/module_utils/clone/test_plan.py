# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be done for a clone that is wanted, and for one that is not."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._clone import plan
from ansible_collections.vforge.vsphere.plugins.module_utils._vm_stages import CREATE, DESTROY, UPDATE
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.compute import Place
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.markers import CLOUD_DATA_MARK, MARKER_KEY, marker
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.clone.support import (
    BACK,
    NICS,
    OTHER_UUID,
    PARENT_UUID,
    existing,
    parent,
    request,
)


def _present(wanted, found):
    known = parent()
    return plan.present(wanted, plan.place(wanted, known, {}), found, known)


def test_what_is_missing_is_created_with_all_that_is_asked():
    step = _present(request(config={"guestinfo.a": "1"}, nics=[{"index": 0, "network": "back"}]), None)
    assert isinstance(step, plan.Create)
    assert step.steps == (CREATE,)
    assert step.written == {"guestinfo.a": "1"}
    assert step.place.nics == (plan.NicEdit(NICS[0], BACK),)


def test_a_clone_that_is_as_asked_is_kept():
    wanted = request(
        config={"guestinfo.a": "1", "guestinfo.empty": ""},
        resource_pool="web",
        datastore="fast",
        nics=[{"index": 0, "network": "front", "mac": NICS[0].mac, "connected": True}],
        bios_uuid="42000000-0000-0000-0000-000000000009",
    )
    step = _present(wanted, existing(extra_config={"guestinfo.a": "1", "other": "x"}))
    assert isinstance(step, plan.Change)
    assert step.steps == step.differences == step.nics == ()
    assert (step.config, step.settings, step.move_to_pool) == ({}, {}, False)


_CLOUD_DATA = {
    "guestinfo.metadata": "e30=",
    "guestinfo.metadata.encoding": "base64",
    "guestinfo.userdata": "c2VjcmV0",
    "guestinfo.userdata.encoding": "base64",
    f"{CLOUD_DATA_MARK}userdata": "fingerprint",
}
_READ = {"guestinfo.userdata": "---", "guestinfo.userdata.encoding": " "}


def test_what_cloud_init_has_read_and_overwritten_is_not_written_again():
    step = _present(request(config=_CLOUD_DATA), existing(extra_config={**_CLOUD_DATA, **_READ}))
    assert (step.steps, step.config, step.differences) == ((), {}, ())


@pytest.mark.parametrize(
    ("held", "written"),
    [
        ({f"{CLOUD_DATA_MARK}userdata": "another"}, {"guestinfo.userdata", f"{CLOUD_DATA_MARK}userdata"}),
        ({f"{CLOUD_DATA_MARK}userdata": ""}, {"guestinfo.userdata", f"{CLOUD_DATA_MARK}userdata"}),
        ({"guestinfo.userdata": "b3RoZXI="}, {"guestinfo.userdata"}),
        ({"guestinfo.metadata": "---"}, {"guestinfo.metadata"}),
    ],
)
def test_other_data_for_cloud_init_are_written(held, written):
    step = _present(request(config=_CLOUD_DATA), existing(extra_config={**_CLOUD_DATA, **_READ, **held}))
    assert {key for key in step.config if not key.endswith(".encoding")} == written


def test_data_without_a_fingerprint_are_written_again():
    asked = {"guestinfo.userdata": "secret"}
    assert _present(request(config=asked), existing(extra_config=_READ)).config == asked


def test_without_a_pool_asked_for_any_pool_will_do():
    assert _present(request(), existing(place=Place(pool="resgroup-3", pool_name="db"))).steps == ()


@pytest.mark.parametrize(
    ("wanted", "what", "actual", "told"),
    [
        ({"config": {"guestinfo.a": "2"}}, "guestinfo.a", "another value", "the value asked for"),
        ({"config": {"guestinfo.new": "2"}}, "guestinfo.new", "another value", "the value asked for"),
        ({"resource_pool": "db/blue"}, "resource_pool", "web", "Resources/db/blue"),
        ({"nics": [{"index": 0, "network": "back"}]}, "Network adapter 1 network", "front", "back"),
        ({"nics": [{"index": 1, "connected": False}]}, "Network adapter 2 connected", "True", "False"),
    ],
)
def test_what_a_running_clone_can_still_get(wanted, what, actual, told):
    step = _present(request(**wanted), existing(extra_config={"guestinfo.a": "1"}))
    assert step.steps == (UPDATE,)
    assert step.differences == (plan.Difference(what, actual, told),)


def test_an_update_touches_only_what_differs():
    wanted = request(config={"guestinfo.a": "1", "guestinfo.b": "2"}, nics=[{"index": 0, "network": "front"}, {"index": 1}])
    step = _present(wanted, existing(extra_config={"guestinfo.a": "1"}))
    assert step.config == {"guestinfo.b": "2"}
    assert step.nics == ()
    assert not step.move_to_pool


@pytest.mark.parametrize(
    ("wanted", "what", "why_not"),
    [
        ({"nics": [{"index": 0, "mac": "00:50:56:00:00:09"}]}, "Network adapter 1 MAC", "not powered off is fixed"),
        ({"datastore": "slow"}, "datastore", "migration"),
        ({"bios_uuid": "42000000-0000-0000-0000-000000000001"}, "bios_uuid", "identity"),
    ],
)
def test_what_a_running_clone_keeps_is_shown_and_left(wanted, what, why_not):
    step = _present(request(**wanted), existing())
    assert (type(step), step.steps) == (plan.Change, ())
    (difference,) = step.differences
    assert difference.what == what
    assert why_not in difference.why_not


def test_the_mac_of_a_clone_that_is_off_can_change():
    step = _present(request(nics=[{"index": 0, "mac": "00:50:56:00:00:09"}]), existing(power_state="poweredOff"))
    assert step.steps == (UPDATE,)
    assert step.nics == (plan.NicEdit(NICS[0], mac="00:50:56:00:00:09"),)
    assert step.differences[0].why_not == ""


def test_what_can_be_changed_is_changed_beside_what_cannot():
    wanted = request(nics=[{"index": 0, "network": "back", "mac": "00:50:56:00:00:09"}])
    step = _present(wanted, existing())
    assert step.steps == (UPDATE,)
    assert step.nics == (plan.NicEdit(NICS[0], BACK),)
    assert [bool(item.why_not) for item in step.differences] == [False, True]


_STRANGERS = [
    (existing(of=None), "a VM that this collection did not clone holds the name"),
    (existing(of=OTHER_UUID), f"a clone of another parent (instance UUID {OTHER_UUID}) holds the name"),
    (existing(of=None, extra_config={MARKER_KEY: marker(PARENT_UUID, "web-0")}), "did not clone"),
    (existing(of=None, extra_config={MARKER_KEY: PARENT_UUID}), "did not clone"),
    (existing(of=None, extra_config={MARKER_KEY: " web-1"}), "did not clone"),
    (existing(of=None, kind="Folder"), "a Folder holds the name"),
    (existing(of=None, kind="VirtualApp"), "a VirtualApp holds the name"),
]


@pytest.mark.parametrize(("found", "why"), _STRANGERS)
def test_a_vm_of_somebody_else_of_the_name_is_a_conflict(found, why):
    step = _present(request(config={"guestinfo.a": "1"}), found)
    assert isinstance(step, plan.Refuse)
    assert why in step.error.message
    assert (step.steps, step.written, step.differences) == ((), {}, ())


def test_a_clone_of_a_clone_inherits_the_mark_and_is_not_taken_for_its_brother():
    """extraConfig is inherited, so the mark of web-1 is also on what was cloned from web-1 by other means."""
    copy = dataclasses.replace(existing("web-1"), name="copy-of-web-1")
    assert copy.parent_uuid() is None
    assert isinstance(_present(request("copy-of-web-1"), copy), plan.Refuse)


@given(uuid=st.uuids().map(str), name=st.text(min_size=1), other=st.text(min_size=1))
def test_a_mark_counts_only_on_the_vm_whose_name_it_holds(uuid, name, other):
    assert existing(name, of=uuid).parent_uuid() == uuid
    renamed = dataclasses.replace(existing(name, of=uuid), name=other)
    assert renamed.parent_uuid() == (uuid if other == name else None)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("of", [parent(), None])
def test_a_marked_clone_is_removed(of, force):
    step = plan.absent(request(), existing(), of, force=force)
    assert step.steps == (DESTROY,)
    assert step.existing == existing()


def test_what_is_not_there_needs_nothing():
    assert isinstance(plan.absent(request(), None, parent(), force=True), plan.Gone)


@pytest.mark.parametrize(("found", "why"), _STRANGERS[:5])
def test_a_vm_of_somebody_else_is_removed_only_by_force(found, why):
    step = plan.absent(request(), found, parent(), force=False)
    assert isinstance(step, plan.Refuse)
    assert why in step.error.message
    assert "force removes it all the same" in step.error.message
    assert isinstance(plan.absent(request(), found, parent(), force=True), plan.Remove)


def test_without_a_parent_the_clone_of_any_is_removed():
    assert isinstance(plan.absent(request(), existing(of=OTHER_UUID), None, force=False), plan.Remove)
    assert isinstance(plan.absent(request(), existing(of=None), None, force=False), plan.Refuse)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (existing("golden", of=OTHER_UUID, moid="vm-1"), "it is the parent itself, which is never removed"),
        (existing(template=True), "it is a template, not a clone"),
        (existing(of=None, kind="Folder"), "a Folder holds the name"),
        (existing(of=None, kind="VirtualApp"), "a VirtualApp holds the name"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_what_is_never_removed(found, why, force):
    step = plan.absent(request(found.name), found, parent(), force=force)
    assert isinstance(step, plan.Refuse)
    assert step.error.message == f"{found.name} is not removed: {why}."


def test_check_mode_knows_what_will_be():
    wanted = request(
        resource_pool="db",
        datastore="slow",
        nics=[{"index": 0, "network": "back", "mac": "00:50:56:00:00:09", "connected": False}],
        bios_uuid="42000000-0000-0000-0000-000000000001",
    )
    will_be = plan.expected(_present(wanted, None))
    assert (will_be.name, will_be.power_state) == ("web-1", "poweredOn")
    assert (will_be.place.host_name, will_be.place.pool_name) == ("esx-1", "db")
    assert will_be.place.datastore_names == ("slow",)
    assert will_be.bios_uuid == "42000000-0000-0000-0000-000000000001"
    first, second = will_be.nics
    assert (first.network, first.mac, first.connected) == ("back", "00:50:56:00:00:09", False)
    # The MAC that the parent has is the one thing that a clone will not have.
    assert (second.network, second.mac, second.connected) == ("back", "", True)
    assert plan.expected(_present(request(), None)).place.datastore_names == ("fast",)
