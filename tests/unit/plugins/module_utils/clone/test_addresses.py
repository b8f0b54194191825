# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for addresses: of all clones at once, of the right kind, and of their own."""

from __future__ import annotations

import functools

import pytest

_THREE = [{"name": "web-1"}, {"name": "web-2"}, {"name": "web-3"}]


def test_every_clone_has_an_address_of_its_own(start):
    tasks = start("--guest-time", "600ms")
    ran = tasks.run(clones=_THREE, wait_for_ip_address=True)
    told = [clone["ip"] for clone in ran.result["clones"]]
    assert told == [tasks.sim.vm(clone["name"])["ip"] for clone in _THREE]
    assert len({*told, tasks.sim.vm("golden-parent")["ip"]}) == 4
    assert all(clone["nics"][0]["ip_addresses"] == clone["ip_addresses"] for clone in ran.result["clones"])


def test_the_clones_wait_together(start):
    """One filter for all three guests."""
    ran = start().wait_for_late_guests(clones=_THREE)
    assert ran.called("CreateFilter") == 2


@pytest.mark.parametrize(("family", "waits_for"), [("ipv4", "10.9.9.9"), ("ipv6", "2001:db8::99"), ("any", "10.9.9.9")])
def test_the_family_asked_for(start, family, waits_for):
    tasks = start()
    tasks.run(name="web-1")
    tasks.sim.patch_vm("web-1", guest={"ipv4": "10.9.9.9", "ipv6": "2001:db8::99"})
    ran = tasks.run(name="web-1", wait_for_ip_address=True, ip_family=family)
    assert ran.clones["web-1"]["ip"] == waits_for
    assert ran.clones["web-1"]["ip_addresses"] == ["10.9.9.9", "2001:db8::99"]


def test_a_clone_with_only_link_local_ipv6_times_out_and_the_others_are_fine(start):
    tasks = start()
    tasks.run(clones=_THREE, wait_for_ip_address=True)
    for name in ("web-1", "web-3"):
        tasks.sim.patch_vm(name, guest={"ipv6": f"2001:db8::{name[-1]}"})
    ran = tasks.late("WaitForUpdatesEx", clones=_THREE, wait_for_ip_address=True, ip_family="ipv6")
    assert ran.actions == {"web-1": "unchanged", "web-2": "failed", "web-3": "unchanged"}
    error = ran.clones["web-2"]["error"]
    assert error["error_code"] == "ip_timeout"
    assert "web-2 is there, but its guest reported no IPv6 address in 600 s." in error["msg"]
    assert ran.clones["web-3"]["ip"] == "2001:db8::3"


def test_a_guest_that_never_reports_fails_its_clone_which_stays(start):
    tasks = start()
    tasks.run(clones=_THREE[:2])
    tasks.sim.patch_vm("golden-parent", guest={"hang": True})
    ran = tasks.late("WaitForUpdatesEx", since=("CreateFilter", 2), clones=_THREE, wait_for_ip_address=True)
    assert ran.actions == {"web-1": "unchanged", "web-2": "unchanged", "web-3": "failed"}
    assert ran.clones["web-3"]["error"]["error_code"] == "ip_timeout"
    assert ran.clones["web-3"]["changed"] is True
    assert ran.clones["web-3"]["moid"] == tasks.sim.vm("web-3")["moid"]
    assert ran.result["changed"] is True
    tasks.sim.patch_vm("web-3", guest={"hang": False})
    assert tasks.run(clones=_THREE, wait_for_ip_address=True).result["counts"] == {"unchanged": 3}


def test_the_address_of_the_parent_is_not_taken_for_the_clones(start):
    """A clone goes on from its parent's memory: until its guest has noticed, it reports its parent's address."""
    tasks = start()
    parents = tasks.sim.vm("golden-parent")["ip"]
    tasks.sim.patch_vm("golden-parent", guest={"stale_ms": 1500})
    ran = tasks.run(clones=_THREE, wait_for_ip_address=True)
    for clone in ran.result["clones"]:
        assert clone["ip"]
        assert parents not in clone["ip_addresses"]


def test_the_address_of_one_nic(start):
    tasks = start()
    tasks.sim.create_vm("two-nics", folder="/DC0/vm", networks=["DC0_DVPG0", "VM Network"])
    asked = {"parent": {"name": "two-nics"}, "name": "web-1", "wait_for_ip_address": True}
    first = tasks.run(**asked, ip_nic="network adapter 1")
    assert first.clones["web-1"]["ip"] == first.clones["web-1"]["nics"][0]["ip_addresses"][0]
    second = tasks.late("WaitForUpdatesEx", **asked, ip_nic="Network adapter 2")
    assert "its guest reported no address on Network adapter 2" in second.clones["web-1"]["error"]["msg"]


def test_a_clone_that_is_off_is_not_waited_for(start):
    tasks = start()
    tasks.run(name="web-1")
    tasks.sim.govc("vm.power", "-off", "web-1")
    ran = tasks.run(name="web-1", wait_for_ip_address=True)
    assert ran.clones["web-1"]["warnings"] == ["web-1 is poweredOff: its address is not waited for."]


# The first round tells what there is; in the second the task waits.
@pytest.mark.parametrize(("before", "calls"), [("CreateFilter", 1), ("WaitForUpdatesEx", 2)])
def test_a_clone_that_is_removed_while_it_is_waited_for(start, before, calls):
    tasks = start()
    tasks.sim.patch_vm("golden-parent", guest={"hang": True})
    tasks.run(name="web-1")
    destroy = functools.partial(tasks.sim.govc, "vm.destroy", "web-1")
    ran = tasks.meanwhile(before, calls, destroy, name="web-1", wait_for_ip_address=True, timeout=60)
    assert "web-1 is not there any more" in ran.clones["web-1"]["error"]["msg"]


def test_an_address_that_two_clones_report_is_neither_s_and_none_of_them_fails(start):
    """Whoever has root in one of them decides what it reports, so nobody can tell which of them lies."""
    tasks = start()
    tasks.run(clones=_THREE, wait_for_ip_address=True)
    for name in ("web-1", "web-2"):
        tasks.sim.patch_vm(name, guest={"ipv4": "10.9.9.9"})
    ran = tasks.run(clones=_THREE, wait_for_ip_address=True)
    assert ran.result["counts"] == {"unchanged": 3}
    assert [bool(clone["ip"]) for clone in ran.result["clones"]] == [False, False, True]
    told = ran.clones["web-1"]
    assert (told["ip_addresses"], told["nics"][0]["ip_addresses"]) == ([], [])
    assert [each["error_code"] for each in told["refused"]] == ["reported_address_refused"]
    assert "10.9.9.9', which web-2 reports as well" in told["refused"][0]["msg"]
    assert [each["name"] for each in ran.result["refusals"]] == ["web-1", "web-2"]


def test_an_address_that_the_user_gave_a_clone_is_its_own_whoever_else_reports_it(start):
    tasks = start()
    tasks.run(name="web-1", wait_for_ip_address=True)
    tasks.sim.patch_vm("web-1", guest={"ipv4": "10.9.9.9"})
    asked = [{"name": "web-1"}, {"name": "web-2", "guestinfo": {"ipv4": "10.9.9.9/24"}}]
    ran = tasks.run(clones=asked, wait_for_ip_address=True)
    assert [clone["ip"] for clone in ran.result["clones"]] == [None, "10.9.9.9"]
    assert "the user gave to web-2" in ran.clones["web-1"]["refused"][0]["msg"]
