# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role instant_clone_fleet in playbooks: what it costs, how it fails, and what govc sees of it."""

from __future__ import annotations

import collections

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.fleets import Fleet, Played

_PARENTS = ("DC0_C0_H0", "DC0_C0_H1", "DC0_C0_H2")


@pytest.fixture
def start(make_sim, tmp_path):
    """A function that starts a simulator with the given flags, with a golden VM in it."""
    return lambda *flags: Fleet(make_sim("--clone-time", "1ms", *flags), tmp_path, "instant_clone_fleet")


def _assert_relations(fleet: Fleet, ran: Played) -> None:
    """Module, marks and disks tell of the same parents, and each clone is on the host of its own."""
    parents = fleet.vms("web-parent-*")
    by_uuid = {vm["config"]["instanceUuid"]: vm for vm in parents.values()}
    seen = fleet.vms("web-[0-9]*")
    assert sorted(seen) == sorted(clone["name"] for clone in ran.clones)
    for clone in ran.clones:
        vm = seen[clone["name"]]
        extra = {pair["key"]: pair["value"] for pair in vm["config"]["extraConfig"]}
        uuid, name = extra["vforge.clone"].split(" ")
        parent = by_uuid[uuid]
        assert (name, clone["parent"]) == (vm["name"], f"/DC0/vm/DC0_F0/{parent['name']}")
        assert vm["runtime"]["host"] == parent["runtime"]["host"]
        files = {file["key"]: file["name"] for file in vm["layoutEx"]["file"]}
        chain = [files[unit["fileKey"][0]] for unit in vm["layoutEx"]["disk"][0]["chain"]]
        assert f"/{parent['name']}." in chain[0]
        assert f"{vm['name']}/" in chain[-1]


def test_300_over_three_parents_with_one_in_twenty_failing(start):
    """Exact accounts, and the second run makes exactly the missing ones."""
    fleet = start("--vms", "10")
    fleet.sim.inject(method="InstantClone_Task", every=20, times=0, do="task-fault", fault="InsufficientResourcesFault")
    first = fleet.run(count=300)
    assert first.code == 2
    assert first.counts == {"created": 285, "failed": 15}
    assert {each["fault"] for each in first.left["result"]["failures"]} == {"InsufficientResourcesFault"}
    assert len(first.left["result"]["failures"]) == 15
    assert first.calls["InstantClone_Task"] == 300
    assert first.calls["CloneVM_Task"] == 3
    assert first.calls["Login"] == 1
    assert first.total <= 300 + 60
    assert len(fleet.vms("web-[0-9]*")) == 285
    fleet.sim.clear()
    second = fleet.run(count=300)
    assert second.code == 0, second.output
    assert second.counts == {"created": 15, "unchanged": 285}
    assert second.calls["InstantClone_Task"] == 15
    assert {"CloneVM_Task", "Login", "StartProgramInGuest"}.isdisjoint(second.calls)
    assert second.total <= 15 + 20
    hosts = collections.Counter(clone["host"] for clone in second.clones)
    assert hosts == dict.fromkeys(_PARENTS, 100)
    assert len(second.left["groups"]["web"]) == 300
    assert fleet.run(count=300).total == 13
    _assert_relations(fleet, second)


def test_the_cost_does_not_depend_on_the_inventory(start):
    fleet = start("--vms", "10000")
    ran = fleet.run(count=30)
    assert ran.code == 0, ran.output
    assert ran.counts == {"created": 30}
    assert (ran.calls["InstantClone_Task"], ran.calls["Login"]) == (30, 1)
    # In a folder of thousands it costs less to ask for each of the names than to read all.
    assert ran.calls["FindChild"] <= 30 + 5
    assert ran.total <= 30 + 60 + 30 + 10


@pytest.mark.parametrize(
    ("given", "words"), [({"guest_username": ""}, "guest_username is not set"), ({"on_wake": ["netplam"]}, "names 'netplam'")]
)
def test_options_that_no_parent_could_be_frozen_with_are_refused_before_one_is_made(start, given, words):
    fleet = start("--vms", "2")
    ran = fleet.run(count=3, **given)
    assert ran.code == 2
    assert words in " ".join(ran.output.split())
    assert "CloneVM_Task" not in ran.calls


def test_what_a_killed_run_has_left_is_finished_and_other_scripts_roll_it_as_another_golden_vm_does(start):
    fleet = start("--vms", "2")
    fleet.kill_at("CreateTemporaryDirectoryInGuest", 3, count=3)
    old = set(fleet.vms("web-parent-*"))
    assert len(old) == 3
    made = fleet.run("-vvv", count=3)
    assert made.code == 0, made.output
    assert made.left["plan"]["counts"]["seeds"] == 3
    assert "CloneVM_Task" not in made.calls
    assert made.counts == {"created": 3}
    asked = {"count": 3, "on_wake": ["networkmanager", "echo hidden-word > /root/more\n"]}
    rolled = fleet.run(**asked)
    assert rolled.code == 0, rolled.output
    assert (rolled.left["plan"]["counts"]["rolled"], rolled.left["plan"]["counts"]["obsolete_parents"]) == (3, 3)
    assert not old & set(fleet.vms("web-parent-*"))
    assert {clone["wake"] for clone in rolled.clones} == {"ok"}
    assert fleet.sim.guest_file("web-001", "/root/more") == "hidden-word\n"
    again = fleet.run(**asked)
    assert (again.counts, again.left["plan"]["pending"]) == ({"unchanged": 3}, False)
    for secret in ("hidden-word", fleet.sim.guest_password):
        assert secret not in made.output + rolled.output + again.output
    _assert_relations(fleet, again)


def test_without_kept_sessions_each_task_logs_in_once(start, monkeypatch):
    fleet = start("--vms", "2")
    monkeypatch.setenv("VMWARE_SESSION_CACHE", "false")
    ran = fleet.run(count=3)
    assert ran.calls["Login"] == 5
    # Each task asks for the content, logs in and logs out once more.
    assert ran.total <= 3 + 60 + 3 * (5 - 1)
    assert fleet.run(count=3).calls["Login"] == 2


def test_addresses_of_a_list_are_handed_out_by_number(start):
    fleet = start("--vms", "2")
    given = [f"10.9.8.{n}/24" for n in (31, 21, 11)]
    ran = fleet.run(count=3, addresses=given, hosts=["DC0_C0_H2"], group="front")
    assert ran.code == 0, ran.output
    assert [clone["ip"] for clone in ran.clones] == ["10.9.8.31", "10.9.8.21", "10.9.8.11"]
    assert {clone["host"] for clone in ran.clones} == {"DC0_C0_H2"}
    assert ran.left["groups"]["front"] == ["web-001", "web-002", "web-003"]
    other = fleet.run(count=3, addresses=["10.9.8.41/24", *given[1:]], hosts=["DC0_C0_H2"], group="front")
    assert other.counts == {"unchanged": 3}
    assert "web-001: the option addresses has another address now" in " ".join(other.output.split())
    few = fleet.run(count=4, addresses=given)
    assert few.code == 2
    assert "3 addresses for 4 VMs" in few.output


def test_a_clone_that_reports_the_address_of_another_host_is_left_out_and_the_others_go_on(start):
    fleet = start("--vms", "0")
    assert fleet.run(count=3).code == 0
    stolen = fleet.sim.vm("web-002")["ip"]
    fleet.sim.patch_vm("web-003", guest={"ipv4": stolen})
    ran = fleet.run(count=3)
    assert ran.code == 0, ran.output
    assert ran.left["groups"]["web"] == ["web-001"]
    assert "which web-002 reports as well" in " ".join(ran.output.split())
    assert {each["name"] for each in ran.left["reported"]["refused"]} == {"web-002", "web-003"}


def test_what_is_wrong_with_the_clones_shows_before_a_parent_is_made(start):
    fleet = start("--vms", "2")
    ran = fleet.run(count=3, networks=[{"network": "VM Network"}])
    assert ran.code != 0
    assert "index" in ran.output.partition("fatal")[2]
    assert [method for method in ran.calls if method.endswith("_Task")] == []


def test_two_controllers_that_make_the_same_fleet_at_once_make_it_once(make_sim, tmp_path):
    """Each with its own sessions and files: both know what there is by vCenter alone."""
    sim = make_sim("--clone-time", "1ms", "--vms", "2")
    homes = [tmp_path / name for name in ("one", "two")]
    for home in homes:
        home.mkdir()
    first = Fleet(sim, homes[0], "instant_clone_fleet")
    second = Fleet(sim, homes[1], "instant_clone_fleet", golden=False)
    with first.start(count=6) as one, second.start(count=6) as two:
        said = [process.communicate()[0] for process in (one, two)]
    for process, output in zip((one, two), said, strict=True):
        # One that comes too late for what the other has made says so.
        assert process.returncode == 0 or '"error_code"' in output, output
    again = first.run(count=6)
    assert again.code == 0, again.output
    assert len(first.vms("web-parent-*")) == 3
    _assert_relations(first, again)
    assert sorted(first.vms("web-[0-9]*")) == [f"web-00{number}" for number in range(1, 7)]


def test_a_parent_stays_while_a_vm_uses_its_disks_that_somebody_has_taken_out_of_the_fleet(start):
    fleet = start("--vms", "0")
    assert fleet.run(count=2, hosts=["DC0_C0_H0"]).code == 0
    (old,) = fleet.vms("web-parent-*")
    fleet.sim.govc("object.mv", "/DC0/vm/DC0_F0/web-002", "/DC0/vm")
    rolled = fleet.run(count=2, hosts=["DC0_C0_H0"], golden_version="2")
    assert rolled.code == 0, rolled.output
    assert f"{old} is not removed: its disks are used by web-002." in " ".join(rolled.output.split())
    assert old in fleet.vms("web-parent-*")
    assert (rolled.counts, len(fleet.vms("web-[0-9]*"))) == ({"created": 1, "unchanged": 1}, 2)
    gone = fleet.run(state="absent")
    assert gone.code == 2
    assert list(fleet.vms("web-*")) == [old]
    fleet.sim.govc("vm.destroy", "/DC0/vm/web-002")
    assert fleet.run(state="absent").code == 0
    assert fleet.vms("web-*") == {}


def test_no_clone_gets_the_address_of_one_that_was_renamed(start):
    fleet = start("--vms", "0")
    given = {"addresses": [f"10.9.8.{n}/24" for n in (31, 21)], "hosts": ["DC0_C0_H0"]}
    assert fleet.run(count=2, **given).code == 0
    fleet.sim.govc("object.rename", "/DC0/vm/DC0_F0/web-002", "customer-7")
    refused = fleet.run(count=2, **given)
    assert refused.code == 2
    assert "gives 10.9.8.21 to web-002, and customer-7 has it" in " ".join(refused.output.split())
    fleet.sim.govc("vm.power", "-off", "-force", "/DC0/vm/DC0_F0/customer-7")
    again = fleet.run(count=2, **given)
    assert again.code == 0, again.output
    assert again.counts == {"created": 1, "unchanged": 1}


def test_check_mode_says_what_would_become_of_parents_and_clones_that_are_not_there_yet(start):
    fleet = start("--vms", "0")
    would = fleet.run("--check", count=3)
    assert would.code == 0, would.output
    assert "web-001, web-002, web-003 would be made when their parents are there." in would.output
    assert "would be frozen." in would.output
    assert "no clones" not in would.output
    made = fleet.run(count=3)
    # Parents are made and frozen, clones are made, and the test keeps what there is.
    assert ("changed=4 " in would.output, "changed=4 " in made.output) == (True, True)


def test_check_mode_counts_the_parents_that_go_with_their_last_clones(start):
    fleet = start("--vms", "0")
    given = {"count": 2, "hosts": ["DC0_C0_H0"]}
    assert fleet.run(**given).code == 0
    for asked in ({**given, "golden_version": "2"}, {"state": "absent"}):
        (old,) = fleet.vms("web-parent-*")
        would = fleet.run("--check", **asked)
        assert would.code == 0, would.output
        assert f"{old} would be removed." in would.output
        assert "is not removed" not in would.output
        done = fleet.run(**asked)
        assert done.code == 0, done.output
        assert old not in fleet.vms("web-parent-*")


def test_check_mode_says_which_parent_stays_for_a_vm_that_somebody_has_taken_out_of_the_fleet(start):
    fleet = start("--vms", "0")
    assert fleet.run(count=2, hosts=["DC0_C0_H0"]).code == 0
    (old,) = fleet.vms("web-parent-*")
    fleet.sim.govc("object.mv", "/DC0/vm/DC0_F0/web-002", "/DC0/vm")
    would = fleet.run("--check", state="absent")
    assert would.code == 2
    assert f"{old} is not removed: its disks are used by web-001, web-002." in " ".join(would.output.split())
