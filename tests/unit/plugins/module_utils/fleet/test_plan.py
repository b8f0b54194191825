# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a fleet."""

from __future__ import annotations

import collections
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._fleet.model import MIB
from ansible_collections.vforge.vsphere.plugins.module_utils._fleet.plan import NoRoom, plan
from ansible_collections.vforge.vsphere.plugins.module_utils._fleet.report import result, summary, warnings
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.fleet.support import (
    V1,
    V2,
    clone,
    datastore,
    golden,
    host,
    options,
    parent,
    situation,
)


def _on_hosts(made):
    return collections.Counter(placed.host.name for placed in made.clones)


def _standing(count=6, version=V1, **changes):
    """A fleet that is as it was asked for, over three hosts."""
    parents = tuple(parent(number, version) for number in (1, 2, 3))
    clones = tuple(clone(number, parents[(number - 1) % 3]) for number in range(1, count + 1))
    return situation(parents=parents, clones=clones, **changes)


def test_a_new_fleet_gets_a_parent_on_each_host_and_as_many_clones_on_each():
    made = plan(options(), situation())
    assert [seed.host.name for seed in made.seeds] == ["esx1", "esx2", "esx3"]
    assert _on_hosts(made) == {"esx1": 2, "esx2": 2, "esx3": 2}
    assert [placed.number for placed in made.created] == [1, 2, 3, 4, 5, 6]
    assert all(placed.parent is None for placed in made.clones)
    assert (made.rolls, made.removals, made.obsolete, made.orphans, made.skipped) == ((), (), (), (), {})


def test_a_fleet_as_asked_is_left_alone():
    made = plan(options(), _standing())
    assert not made.pending
    assert [placed.existing.number for placed in made.clones] == [1, 2, 3, 4, 5, 6]


def test_scaling_up_fills_the_hosts_with_the_fewest_and_makes_what_is_missing():
    now = _standing()
    now = situation(parents=now.parents, clones=tuple(each for each in now.clones if each.number not in (2, 5)))
    made = plan(options(count=8), now)
    assert [placed.number for placed in made.created] == [2, 5, 7, 8]
    assert _on_hosts(made) == {"esx1": 3, "esx2": 3, "esx3": 2}
    assert made.seeds == ()


def test_scaling_down_removes_the_newest_first():
    made = plan(options(count=3), _standing())
    assert [each.number for each in made.removals] == [6, 5, 4]
    assert [placed.number for placed in made.clones] == [1, 2, 3]
    assert made.obsolete == ()


def test_no_more_hosts_than_clones_get_a_parent():
    assert [seed.host.name for seed in plan(options(count=2), situation()).seeds] == ["esx1", "esx2"]


def test_a_changed_golden_vm_is_rolled_through_in_batches():
    made = plan(options(batch_size=4), _standing(golden=golden(version=V2)))
    assert [seed.host.name for seed in made.seeds] == ["esx1", "esx2", "esx3"]
    assert [[placed.number for placed in batch] for batch in made.rolls] == [[1, 2, 3, 4], [5, 6]]
    assert all(placed.replaces is not None and placed.existing is None for batch in made.rolls for placed in batch)
    assert [each.name for each in made.obsolete] == [f"web-parent-esx{number}-1" for number in (1, 2, 3)]
    assert made.created == []


def test_a_roll_that_was_broken_off_goes_on():
    new = tuple(parent(number, V2) for number in (1, 2, 3))
    old = _standing()
    clones = (clone(1, new[0]), clone(2, new[1]), *old.clones[2:])
    made = plan(options(), situation(golden=golden(version=V2), parents=(*old.parents, *new), clones=clones))
    assert made.seeds == ()
    assert [placed.number for batch in made.rolls for placed in batch] == [3, 4, 5, 6]
    assert len(made.obsolete) == 3


def test_an_unready_parent_is_finished_where_it_is_needed_and_removed_where_it_is_not():
    left = (parent(1, ready=False), parent(2, V2, ready=False))
    made = plan(options(count=1), situation(parents=left))
    assert [(seed.name, seed.parent) for seed in made.seeds] == [(left[0].name, left[0])]
    assert made.obsolete == (left[1],)
    assert plan(options(count=0), situation(parents=left)).obsolete == left


def test_a_second_parent_of_a_host_goes_unless_it_has_clones():
    first, second = parent(1), parent(1, moid="vm-x", name="web-parent-esx1-x", instance_uuid="uuid-x", ready=False)
    assert plan(options(count=1), situation(parents=(first, second))).obsolete == (second,)
    used = situation(parents=(first, second), clones=(clone(1, second),))
    assert plan(options(count=1), used).obsolete == ()


def test_clones_on_hosts_that_take_none_stay():
    hosts = (host(1, maintenance=True), host(2), host(3))
    made = plan(options(count=7), _standing(hosts=hosts))
    assert made.skipped == {"esx1": "it is in maintenance mode"}
    assert _on_hosts(made) == {"esx1": 2, "esx2": 3, "esx3": 2}


def test_people_read_of_each_host_and_why_it_is_left_out():
    hosts = (host(1, maintenance=True), host(2), host(3), host(4, connection="disconnected"))
    asked, now = options(count=7), _standing(hosts=hosts)
    assert summary(asked, now, plan(asked, now)) == [
        "web: 1 clone to make, 6 unchanged",
        "esx1: 2 clones and no new ones, because it is in maintenance mode",
        "esx2: 3 clones",
        "esx3: 2 clones",
        "esx4: no clones, because it is disconnected",
    ]


def test_old_parents_stay_while_their_host_cannot_be_reached():
    hosts = (host(1, connection="notResponding"), host(2), host(3))
    made = plan(options(), _standing(golden=golden(version=V2), hosts=hosts))
    assert [each.host for each in made.obsolete] == ["host-2", "host-3"]


def test_clones_whose_parent_is_gone_are_left_alone():
    now = _standing()
    made = plan(options(), situation(parents=now.parents[1:], clones=now.clones))
    assert [each.number for each in made.orphans] == [1, 4]
    assert [placed.number for placed in made.clones] == [2, 3, 5, 6]
    assert made.created == []


def test_children_of_vmfork_whose_parent_is_gone_are_left_alone_whatever_is_asked():
    now = _standing()
    lost = situation(parents=now.parents[1:], clones=now.clones, golden=golden(version=V2))
    made = plan(options(kind="vmfork", count=3), lost)
    assert [each.number for each in made.orphans] == [1, 4]
    assert [each.number for each in made.removals] == [6, 5]
    assert [placed.number for batch in made.rolls for placed in batch] == [2, 3]
    gone = plan(options(kind="vmfork", state="absent"), lost)
    assert [each.number for each in gone.orphans] == [1, 4]
    assert [each.number for each in gone.removals] == [6, 5, 3, 2]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"connection": "disconnected"}, "it is disconnected"),
        ({"free_memory": 2000 * MIB}, "2048 MiB of memory are needed for a parent and a clone, and 2000 are free"),
        ({"datastores": frozenset()}, "it sees no datastore"),
        (
            {"datastores": frozenset({"datastore-2"})},
            "14336 MiB are needed for a parent and a clone on small, and 9000 are free",
        ),
        ({"datastores": frozenset({"datastore-3"})}, "it sees no datastore"),
    ],
)
def test_hosts_without_room_are_skipped_with_the_reason(changes, reason):
    stores = {
        "datastore-1": datastore(),
        "datastore-2": datastore(2, "small", 9000),
        "datastore-3": datastore(3, "lost", 9_000_000, accessible=False),
    }
    made = plan(options(), situation(hosts=(host(1, **changes), host(2)), datastores=stores))
    assert made.skipped == {"esx1": reason}
    assert _on_hosts(made) == {"esx2": 6}


def test_a_datastore_that_is_asked_for_must_be_seen():
    hosts = (host(1), host(2, datastores=frozenset({"datastore-1", "datastore-2"})))
    stores = {f"datastore-{n}": datastore(n, f"ds{n}") for n in (1, 2)}
    made = plan(options(datastore="ds2"), situation(hosts=hosts, datastores=stores))
    assert made.skipped == {"esx1": "it does not see the datastore ds2"}
    assert [seed.datastore for seed in made.seeds] == ["ds2"]


def test_a_host_that_is_full_leaves_the_rest_to_others():
    hosts = (host(1, free_memory=(2048 + 3 * 512) * MIB), host(2), host(3, free_memory=None))
    made = plan(options(count=20, clone_memory_mb=512), situation(hosts=hosts))
    assert _on_hosts(made)["esx1"] == 3
    assert _on_hosts(made)["esx2"] + _on_hosts(made)["esx3"] == 17


def test_a_shared_datastore_is_counted_once():
    room = {"datastore-1": datastore(free=3 * (10_240 + 2048) + 6 * 2048)}
    assert len(plan(options(), situation(datastores=room)).clones) == 6
    with pytest.raises(
        NoRoom, match=r"7 clones are to be made, and the hosts have room for 6\. esx1: 2048 MiB are needed for a clone"
    ):
        plan(options(count=7), situation(datastores=room))


def test_linked_parents_take_no_disk_of_their_own():
    room = {"datastore-1": datastore(free=3 * 2048 + 6 * 2048)}
    asked = options(golden_snapshot="clean")
    assert asked.disk_mode == "linked"
    assert len(plan(asked, situation(datastores=room)).clones) == 6
    assert len(plan(options(disk_mode="linked"), situation(datastores=room)).clones) == 6


def test_no_host_at_all_is_reported_with_every_reason():
    hosts = (host(1, maintenance=True), host(2, connection="disconnected"))
    with pytest.raises(NoRoom, match=r"room for 0\. esx1: it is in maintenance mode; esx2: it is disconnected") as caught:
        plan(options(), situation(hosts=hosts))
    assert caught.value.details["skipped_hosts"] == {"esx1": "it is in maintenance mode", "esx2": "it is disconnected"}


def test_a_name_that_a_vm_of_somebody_else_holds_stops_it_only_where_it_is_needed():
    taken = {"web-05": "a folder holds the name"}
    with pytest.raises(InvalidOption, match="web-05 cannot be made in /DC0/vm: a folder holds the name"):
        plan(options(), situation(taken=taken))
    assert plan(options(count=4), situation(taken=taken)).pending


@pytest.mark.parametrize(
    "asked", [options(count=1), options(count=2), options(state="absent", golden=None, clusters=None, folder="/DC0/vm")]
)
def test_parents_stay_while_nobody_knows_whose_a_vm_is(asked):
    """They may be those of a VM whose datastore is away, or that another run is making."""
    unknown = {"taken": {"web-03": "a VM that is inaccessible holds the name"}, "unknown": ("web-03",)}
    known = _standing(3, version=V2)
    assert plan(asked, known).obsolete != ()
    now = dataclasses.replace(known, **unknown)
    made = plan(asked, now)
    assert made.obsolete == ()
    assert warnings(asked, now, made)[-1].startswith("Nobody knows whether web-03 are of this fleet: a VM that is")
    with pytest.raises(InvalidOption) as caught:
        plan(options(count=3), now)
    assert "run again when that is known" in caught.value.hint


def test_absent_removes_everything_newest_first():
    made = plan(options(state="absent", golden=None, clusters=None, folder="/DC0/vm"), _standing(golden=None, hosts=()))
    assert [each.number for each in made.removals] == [6, 5, 4, 3, 2, 1]
    assert len(made.obsolete) == 3
    assert (made.clones, made.seeds) == ((), ())


def test_the_result_is_what_the_tasks_of_a_role_take():
    now = _standing(golden=golden(version=V2))
    now = situation(golden=now.golden, parents=(*now.parents, parent(1, V2)), clones=now.clones)
    asked = options(count=5, addresses=[f"10.0.0.{n}/24" for n in range(1, 6)])
    told = result(asked, now, plan(asked, now))
    assert [seed["host"] for seed in told["seeds"]] == ["host-2", "host-3"]
    assert told["seeds"][0]["extra_config"] == {"vforge.fleet": f"web build%202 {told['seeds'][0]['name']}"}
    assert told["parents"] == [{"path": f"/DC0/vm/{seed['name']}"} for seed in told["seeds"]]
    assert told["clones"][0] == {
        "name": "web-01",
        "parent": {"moid": "vm-p12"},
        "guestinfo": {"hostname": "web-01", "ipv4": "10.0.0.1/24"},
    }
    assert told["clones"][1]["parent"] == {"path": f"/DC0/vm/{told['seeds'][0]['name']}"}
    assert told["rolls"][0]["make"] == told["clones"]
    assert told["rolls"][0]["remove"][0] == {"name": "web-01", "folder": "/DC0/vm", "parent": {"moid": "vm-p11"}}
    assert told["removals"] == [{"name": "web-06", "folder": "/DC0/vm", "parent": {"moid": "vm-p31"}}]
    leaving = {clone.moid for clone in now.clones}
    assert (len(told["leaving"]), set(told["leaving"])) == (6, leaving)
    assert told["counts"] == {"seeds": 2, "created": 0, "unchanged": 0, "rolled": 5, "removed": 1, "obsolete_parents": 3}
    assert told["summary"][0] == "web: 2 parents to make, 5 clones to replace, 1 clone to remove, 3 parents to remove"
    forked = options(kind="vmfork", count=5)
    told = result(forked, now, plan(forked, now))
    assert told["clones"][0] == {"name": "web-01", "parent": {"moid": "vm-p12"}, "config_params": {"hostname": "web-01"}}
    assert told["removals"] == [{"name": "web-06", "folder": "/DC0/vm", "parent": {"moid": "vm-p31"}, "state": "absent"}]


_LIST = [f"10.0.0.{n}/24" for n in range(1, 9)]


def _addressed(count=3):
    """A fleet that was made with the first addresses of the list."""
    now = _standing(count)
    return situation(
        parents=now.parents, clones=tuple(dataclasses.replace(each, ipv4=_LIST[each.number - 1]) for each in now.clones)
    )


def test_a_clone_keeps_its_address_and_it_is_reported_that_the_list_has_another():
    now, asked = _addressed(), options(count=4, addresses=[_LIST[0], *_LIST[4:7]])
    made = plan(asked, now)
    told = [entry["guestinfo"]["ipv4"] for entry in result(asked, now, made)["clones"]]
    assert told == [_LIST[0], _LIST[1], _LIST[2], _LIST[6]]
    assert [word.partition(":")[0] for word in warnings(asked, now, made)] == ["web-02, web-03"]
    unchanged = options(count=3, addresses=_LIST)
    assert warnings(unchanged, now, plan(unchanged, now)) == []


def test_a_clone_that_asked_dhcp_is_reported_when_a_list_comes_later():
    asked = options(count=1, addresses=_LIST)
    now = _standing(1)
    made = plan(asked, now)
    assert "ipv4" not in result(asked, now, made)["clones"][0]["guestinfo"]
    assert warnings(asked, now, made)[0].startswith("web-01: the option addresses has another address")


@pytest.mark.parametrize("golden_version", [V1, V2])
def test_no_clone_gets_the_address_of_another(golden_version):
    now = dataclasses.replace(_addressed(), golden=golden(version=golden_version))
    shifted = options(count=4, addresses=[*_LIST[4:7], _LIST[0]])
    with pytest.raises(InvalidOption, match=r"gives 10\.0\.0\.1 to web-04, and web-01 has it") as caught:
        plan(shifted, now)
    assert caught.value.details["conflicts"] == ["10.0.0.1"]
    assert plan(options(count=4, addresses=_LIST), now).pending


def test_an_address_of_a_clone_that_goes_is_free_again():
    made = plan(
        options(count=2, addresses=[_LIST[0], _LIST[2]]),
        situation(parents=_addressed().parents, clones=_addressed().clones[::2]),
    )
    assert ([each.number for each in made.removals], [placed.number for placed in made.created]) == ([3], [2])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": -1}, "count must be at least 0"),
        ({"count": 2**31}, "count is at most 45000"),
        ({"golden_version": "a\x07"}, "golden_version has a control character"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"golden": None}, "golden is not set"),
        ({"clusters": []}, "Neither clusters nor hosts is set"),
        ({"state": "absent", "golden": None, "folder": "web"}, "folder must be a whole path"),
        ({"state": "absent", "golden": None}, "folder must be a whole path"),
        ({"state": "absent", "golden": None, "folder": "/a", "parents_folder": "b"}, "parents_folder must be a whole path"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(InvalidOption, match=message):
        options(**changes)


_PRESENT = st.dictionaries(st.integers(1, 30), st.tuples(st.integers(1, 3), st.booleans()), max_size=30)


@given(
    count=st.integers(0, 30), present=_PRESENT, ready=st.sets(st.integers(1, 3)), down=st.sets(st.integers(1, 3), max_size=2)
)
def test_whatever_there_is_the_plan_leads_to_the_fleet(count, present, ready, down):
    """Every number is kept, made, replaced or removed once; nothing is placed where it cannot be; the next plan is empty."""
    current = {number: parent(number, V1, ready=number in ready) for number in (1, 2, 3)}
    old = {number: parent(number, V2) for number in (1, 2, 3)}
    clones = tuple(clone(number, (current if good else old)[at]) for number, (at, good) in present.items())
    hosts = tuple(host(number, maintenance=number in down) for number in (1, 2, 3))
    now = situation(hosts=hosts, parents=(*current.values(), *old.values()), clones=clones)
    made = plan(options(count=count), now)
    assert [placed.number for placed in made.clones] == list(range(1, count + 1))
    assert {each.number for each in made.removals} == {number for number in present if number > count}
    moved = [placed for placed in made.clones if placed.existing is None]
    assert not {placed.host.moid for placed in moved} & {f"host-{number}" for number in down}
    for placed in moved:
        assert (placed.parent is None) == (placed.host.moid in {seed.host.moid for seed in made.seeds})
    seeded = {seed.parent.host for seed in made.seeds}
    parents = tuple(
        parent(number, V1, ready=number in ready or f"host-{number}" in seeded)
        for number in (1, 2, 3)
        if current[number] not in made.obsolete
    )
    left = tuple(each for each in old.values() if each not in made.obsolete)
    after = tuple(placed.existing or clone(placed.number, current[int(placed.host.moid[-1])]) for placed in made.clones)
    again = plan(options(count=count), situation(hosts=hosts, parents=(*parents, *left), clones=after))
    assert not again.pending


def test_scripts_are_part_of_the_options_only_where_they_are_given():
    assert not options().scripts
    assert not options(on_wake=[]).scripts
    given = options(before_freeze="true\n", freeze_command="freeze me", on_wake=["echo a\n"]).scripts
    assert (given.before, given.command, given.wake) == ("true\n", "freeze me", ("echo a\n",))
    with pytest.raises(InvalidOption, match="path"):
        options(on_wake=["files/wake.sh"])
