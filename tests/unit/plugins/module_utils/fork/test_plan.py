# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a VMFork task."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.find import Selector
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._fork import plan
from ansible_collections.vforge.vsphere.plugins.module_utils._fork.model import ChildRequest
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.fork.support import (
    CREDENTIALS,
    child,
    options,
    parent,
    quiesced,
)

ENABLED = {"enabled": True, "group_id": "group-1", "known": True}


def _place(request, known):
    return plan.place(request, known, {"web": ("group-v2", "/DC0/vm/web")})


def _step(known, existing=None, **asked):
    request = ChildRequest("web-1", **asked)
    if request.state == "absent":
        return plan.absent(request, existing, known)
    return plan.present(request, _place(request, known), existing, known)


@pytest.mark.parametrize(
    ("known", "asked", "steps"),
    [
        (parent(), {"state": "quiesced", **CREDENTIALS}, ("enable", "quiesce")),
        (parent(**ENABLED), {"state": "quiesced", **CREDENTIALS}, ("quiesce",)),
        (quiesced(), {"state": "quiesced"}, ()),
        (parent(), {"state": "enabled"}, ("enable",)),
        (parent(**ENABLED), {"state": "enabled"}, ()),
        (quiesced(), {"state": "enabled", "allow_reset": True}, ("reset",)),
        (parent(quiesced=True), {"state": "enabled", "allow_reset": True}, ("reset", "enable")),
        (parent(), {"state": "disabled"}, ()),
        (parent(**ENABLED), {"state": "disabled"}, ("disable",)),
        (quiesced(), {"state": "disabled"}, ("disable",)),
        (quiesced(), {"state": "disabled", "allow_reset": True}, ("disable", "reset")),
        (parent(quiesced=True), {"state": "disabled", "allow_reset": True}, ("reset",)),
        (parent(power_state="poweredOff"), {"state": "enabled"}, ("enable",)),
    ],
)
def test_the_steps_to_each_state(known, asked, steps):
    decided = plan.decide(known, options(**asked), [])
    assert decided.refusal is None
    assert decided.steps == steps


@pytest.mark.parametrize(
    ("known", "asked", "option", "words"),
    [
        (parent(template=True), {}, "parent", "is a template"),
        (parent(power_state="suspended"), CREDENTIALS, "parent", "is suspended"),
        (parent(), {}, "guest_username", "guest_username is not set"),
        (parent(child_type="persistent"), CREDENTIALS, "parent", "is a child itself"),
        (quiesced(), {"state": "enabled"}, "allow_reset", "only a reset"),
        (quiesced(child()), {"state": "disabled"}, "state", "while non-persistent children of it run"),
        (quiesced(child()), {"state": "enabled", "allow_reset": True}, "state", "web-1"),
        (quiesced(child(power_state="suspended")), {"state": "disabled"}, "state", "web-1"),
    ],
)
def test_what_is_refused_of_a_parent(known, asked, option, words):
    refusal = plan.decide(known, options(**asked), []).refusal
    assert refusal.details["option"] == option
    assert words in refusal.message
    assert refusal.hint


@pytest.mark.parametrize("other", [child(power_state="poweredOff"), child(child_type="none"), child(child_type="persistent")])
def test_children_that_do_not_run_on_the_memory_of_the_parent_are_no_obstacle(other):
    assert plan.decide(quiesced(other), options(state="disabled"), []).steps == ("disable",)


def test_children_that_go_with_the_same_task_are_no_obstacle():
    known = quiesced(child())
    gone = _step(known, child(), state="absent")
    decided = plan.decide(known, options(state="disabled"), [gone])
    assert (decided.steps, decided.warnings) == (("disable",), plan.decide(quiesced(), options(state="disabled"), []).warnings)


def test_disabling_says_what_it_leaves():
    decided = plan.decide(quiesced(child(power_state="poweredOff")), options(state="disabled"), [])
    assert len(decided.warnings) == 2
    assert "web-1" in decided.warnings[0]
    assert "allow_reset" in decided.warnings[1]


def test_the_snapshot_that_persistent_children_rest_on():
    known = parent()
    made = _step(known, persistent=True)
    refusal = plan.decide(known, options(**CREDENTIALS), [made]).refusal
    assert refusal.details["option"] == "create_snapshot"
    assert plan.decide(known, options(create_snapshot=True, **CREDENTIALS), [made]).steps == ("enable", "snapshot", "quiesce")
    having = parent(snapshots=("mine",))
    assert plan.decide(having, options(**CREDENTIALS), [made]).steps == ("enable", "quiesce")
    there = _step(quiesced(child(child_type="none")), child(child_type="none"), persistent=True)
    assert plan.decide(quiesced(), options(), [there]).steps == ()


def test_a_missing_child_is_made_and_powered_on():
    step = _step(quiesced())
    assert isinstance(step, plan.Create)
    assert (step.steps, step.placement.folder_path) == (("create", "power_on"), "/DC0/vm/templates")
    assert _step(quiesced(), powered_on=False).steps == ("create",)


@pytest.mark.parametrize(
    ("existing", "asked", "steps", "what"),
    [
        (child(), {}, (), []),
        (child(power_state="poweredOff"), {}, ("power_on",), ["power_state"]),
        (child(power_state="suspended"), {}, ("power_on",), ["power_state"]),
        (child(), {"powered_on": False}, ("power_off",), ["power_state"]),
        (child(), {"config": {"guestinfo.fork.a": "1"}}, ("update",), ["guestinfo.fork.a"]),
        (child(config={"guestinfo.fork.a": "1"}), {"config": {"guestinfo.fork.a": "1"}}, (), []),
        (child(), {"config": {"guestinfo.fork.a": ""}}, (), []),
        (child(), {"persistent": True}, (), ["persistent"]),
        (child(child_type="none"), {}, (), ["persistent"]),
        (child(child_type="none"), {"persistent": True}, (), []),
        (child(), {"resource_pool": "web"}, (), ["resource_pool"]),
        (child(), {"datastore": "slow"}, (), ["datastore"]),
        (child(), {"datastore": "fast"}, (), []),
    ],
)
def test_an_existing_child_is_brought_to_what_is_asked(existing, asked, steps, what):
    step = _step(quiesced(child()), existing, **asked)
    assert (type(step), step.steps) == (plan.Change, steps)
    assert [difference.what for difference in step.differences] == what


def test_a_child_is_known_by_the_list_of_its_parent_or_by_the_fork_group():
    assert isinstance(_step(quiesced(child()), child(group_id="another")), plan.Change)
    assert isinstance(_step(quiesced(), child()), plan.Change)
    assert isinstance(_step(quiesced(), child(group_id="another")), plan.Conflict)
    assert isinstance(_step(parent(), child(group_id="")), plan.Conflict)
    assert "Folder" in _step(quiesced(), child(kind="Folder")).reason


def test_only_a_child_is_removed():
    assert isinstance(_step(quiesced(), None, state="absent"), plan.Gone)
    assert isinstance(_step(quiesced(), child(), state="absent"), plan.Remove)
    assert isinstance(_step(quiesced(), child(group_id=""), state="absent"), plan.Conflict)
    itself = child("golden-parent", moid="vm-1")
    assert _step(quiesced(), itself, state="absent").reason == "it is the parent itself"


@pytest.mark.parametrize(
    ("asked", "existing", "option"),
    [
        ({}, None, "powered_on"),
        ({}, child(power_state="poweredOff"), "powered_on"),
        ({"persistent": True, "powered_on": False}, None, "persistent"),
    ],
)
def test_what_needs_a_quiesced_parent_is_refused_with_another_state(asked, existing, option):
    known = parent(**ENABLED, children=(child(power_state="poweredOff"),))
    with pytest.raises(InvalidOption) as caught:
        plan.check_plans([_step(known, existing, **asked)], options(state="enabled"))
    assert caught.value.details["option"] == option
    assert "state quiesced" in caught.value.hint
    plan.check_plans([_step(known, existing, **asked)], options())


def test_what_needs_no_quiesced_parent_is_not_refused():
    known = parent(**ENABLED)
    linked = child(power_state="poweredOff", child_type="none")
    plan.check_plans([_step(known, powered_on=False), _step(known, linked, persistent=True)], options(state="enabled"))


def test_no_child_is_made_on_a_host_that_is_away():
    with pytest.raises(InvalidOption, match="maintenance"):
        plan.check_plans([_step(quiesced(host_available=False))], options())


@pytest.mark.parametrize(
    "selector",
    [
        Selector(moid="vm-1"),
        Selector(uuid="42000000-0000-0000-0000-000000000001"),
        Selector(uuid="50000000-0000-0000-0000-000000000001", use_instance_uuid=True),
        Selector(path="/DC0/vm/templates/golden-parent"),
        Selector(path="templates/golden-parent"),
        Selector(name="golden-parent"),
        Selector(name="golden-parent", folder="/DC0/vm/templates"),
        Selector(name="golden-parent", folder="templates"),
        Selector(name="golden-parent", folder="/DC0/vm/templates/"),
    ],
)
def test_a_child_names_its_parent_in_any_way(selector):
    mine, other = parent(), parent(moid="vm-2", name="another", path="/DC0/vm/another", instance_uuid="", bios_uuid="")
    assert plan.owner(ChildRequest("web-1", parent=selector), [other, mine]) is mine


@pytest.mark.parametrize(
    "selector", [Selector(name="gold/1", folder="templates"), Selector(path="templates/gold%2F1"), Selector(name="gold%2f1")]
)
def test_the_parent_of_a_child_may_be_in_a_datacenter_in_a_folder(selector):
    mine = parent(name="gold/1", path="/Europe/DC0/vm/templates/gold%2f1", folder_path="/Europe/DC0/vm/templates")
    assert plan.owner(ChildRequest("web-1", parent=selector), [parent(moid="vm-2"), mine]) is mine


@pytest.mark.parametrize("selector", [Selector(name="nobody"), Selector(path="/DC0/vm/golden-parent"), Selector(moid="vm-9")])
def test_a_parent_that_is_none_of_the_tasks_is_refused(selector):
    with pytest.raises(InvalidOption, match="none of this task's parents") as caught:
        plan.owner(ChildRequest("web-1", parent=selector), [parent()])
    assert "/DC0/vm/templates/golden-parent" in caught.value.hint


def test_two_parents_of_one_name_are_not_guessed_between():
    with pytest.raises(InvalidOption, match="more than one"):
        plan.owner(ChildRequest("web-1", parent=Selector(name="golden-parent")), [parent(), parent(moid="vm-2")])


@pytest.mark.parametrize(
    ("asked", "option"), [({"resource_pool": "nowhere"}, "resource_pool"), ({"datastore": "nowhere"}, "datastore")]
)
def test_a_place_that_is_not_there_is_refused_with_those_that_are(asked, option):
    with pytest.raises(InvalidOption) as caught:
        _step(quiesced(), **asked)
    assert caught.value.details["option"] == option
    assert ("Resources/web" if option == "resource_pool" else "fast, slow") in caught.value.hint


def test_places_are_found():
    place = _place(ChildRequest("a", folder="web", resource_pool="web", datastore="slow"), quiesced())
    assert (place.folder, place.folder_path, place.pool.moid, place.datastore) == (
        "group-v2",
        "/DC0/vm/web",
        "resgroup-2",
        "datastore-2",
    )


def test_a_parent_in_a_vapp_gives_no_folder():
    with pytest.raises(InvalidOption, match="vApp"):
        plan.own_folder(ChildRequest("a"), quiesced(folder=""))


@pytest.mark.parametrize(
    ("known", "asked", "option"),
    [
        (parent(), {}, "state"),
        (parent(**ENABLED), {}, "powered_on"),
        (parent(**ENABLED), {"persistent": True}, "persistent"),
        (parent(**ENABLED), {"powered_on": False}, None),
        (quiesced(), {}, None),
    ],
)
def test_a_parent_that_is_left_as_it_is_decides_what_its_children_can_be(known, asked, option):
    step = _step(known, **asked)
    plan.check_plans([step], options(state=None))
    refusal = plan.too_early(step, None)
    assert (refusal and refusal.details["option"]) == option


def test_a_parent_that_is_left_as_it_is_gets_a_snapshot_at_most():
    assert plan.decide(parent(), options(state=None), []).steps == ()
    known = quiesced()
    made = _step(known, persistent=True)
    assert plan.decide(known, options(state=None), [made]).refusal.details["option"] == "create_snapshot"
    assert plan.decide(known, options(state=None, create_snapshot=True), [made]).steps == ("snapshot",)
