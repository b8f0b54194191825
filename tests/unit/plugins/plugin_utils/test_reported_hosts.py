# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which VMs become hosts of the inventory."""

from __future__ import annotations

import dataclasses
import time

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.plugin_utils import host_names
from ansible_collections.vforge.vsphere.plugins.plugin_utils.reported_hosts import Options, arguments, difference, judge

_NOBODY = Options({}, False)


@dataclasses.dataclass
class Inventory:
    """An inventory of hosts with their addresses."""

    hosts: dict[str, str] = dataclasses.field(default_factory=dict)
    groups: tuple[str, ...] = ("all", "web")

    def holders(self, address):
        """As the action plugin tells them."""
        return [name for name, known in self.hosts.items() if known == address]


class _Nobody:
    """An inventory without hosts."""

    groups = ()

    def holders(self, _address):
        return []


def judged(*vms, addresses=None, hosts=None):
    """Hosts, and codes of what was refused by name."""
    found = judge(vms, Options(addresses or {}, False), Inventory(hosts or {}))
    return found.as_result(), {entry["name"]: entry["error_code"] for entry in found.refused}


def test_vms_with_an_address_become_hosts_and_those_without_are_passed_over():
    vms = [
        {"name": "a", "ip": "10.0.0.1"},
        {"name": "b", "local_ipv4": None, "local_ipv6": "fd00::2"},
        {"name": "c", "ip": None},
    ]
    assert judged(*vms) == ([{"name": "a", "address": "10.0.0.1"}, {"name": "b", "address": "fd00::2"}], {})


def test_a_host_is_all_arguments_of_add_host_in_one_mapping():
    host = {"name": "a", "address": "10.0.0.1"}
    expected = {"name": "a", "groups": ["web"], "ansible_host": "10.0.0.1", "ansible_user": "admin"}
    # Neither the name nor the address is the user's to set.
    assert arguments(host, ["web"], {"ansible_user": "admin", "name": "b", "ansible_host": "10.9.9.9"}) == expected


def test_what_a_module_refused_is_passed_on():
    entry = {"name": "a", "local_ipv4": None, "refused": [{"error_code": "reported_address_refused", "msg": "a lies."}]}
    assert judged(entry) == ([], {"a": "reported_address_refused"})


@pytest.mark.parametrize("address", ["-oX=y", "10.0.0.1,*", "10.0.0.1 x", "127.0.0.1", "::1", "fe80::1", "host.example.com"])
def test_nothing_but_an_address_is_one(address):
    assert judged({"name": "a", "ip": address}) == ([], {"a": "reported_address_refused"})


def test_the_address_of_another_host_is_refused():
    vm = {"name": "web-1", "ip": "10.0.0.1"}
    assert judged(vm, hosts={"db-1": "10.0.0.1"}) == ([], {"web-1": "reported_address_refused"})
    for own in ("web-1", "WEB-1.example.com", "web-1_4211AAAA-0000-1111-2222-333344445555"):
        assert judged(vm, hosts={own: "10.0.0.1"})[1] == {}
    uuid = "4211aaaa-0000-1111-2222-333344445555"
    for other in ("web-1_of_others", "web-11", f"web-1-{uuid}", uuid):
        assert judged(vm, hosts={other: "10.0.0.1"}) == ([], {"web-1": "reported_address_refused"})


def test_of_two_vms_that_claim_one_address_neither_is_believed_whichever_comes_first():
    liar, honest = {"name": "web-1", "ip": "10.0.0.1"}, {"name": "web-2", "ip": "10.0.0.1"}
    both = {"web-1": "reported_address_refused", "web-2": "reported_address_refused"}
    for vms in ((liar, honest), (honest, liar)):
        assert judged(*vms) == ([], both)
        hosts, refused = judged(*vms, addresses={"web-2": "10.0.0.1/24"})
        assert (hosts, refused) == ([{"name": "web-2", "address": "10.0.0.1"}], {"web-1": "reported_address_refused"})
    (why,) = [entry["msg"] for entry in judge([liar, honest], _NOBODY, Inventory()).refused if entry["name"] == "web-1"]
    assert why == "web-1 reports the address 10.0.0.1, and so does web-2: nobody can know whose it is."


def test_a_vm_of_several_results_is_one_host():
    vm = {"name": "web-1", "instance_uuid": "5012", "ip": "10.0.0.1"}
    assert judged(vm, dict(vm)) == ([{"name": "web-1", "address": "10.0.0.1"}], {})


def test_of_two_vms_with_one_name_neither_becomes_a_host():
    vms = [{"name": "web-1", "instance_uuid": uuid, "ip": f"10.0.0.{uuid}"} for uuid in ("1", "2")]
    assert judged(*vms) == ([], {"web-1": "host_name_refused"})


def test_what_the_user_gave_is_whose_the_user_says():
    vms = [{"name": "a", "local_ipv4": "10.0.0.9", "local_ipv6": "fd00::1"}, {"name": "b", "ip": "10.0.0.2"}]
    assert judged(*vms, addresses={"a": "fd00::1/64"})[0] == [
        {"name": "a", "address": "fd00::1"},
        {"name": "b", "address": "10.0.0.2"},
    ]
    assert judged(*vms, addresses={"a": "10.0.0.2/24"})[1] == {
        "a": "reported_address_refused",
        "b": "reported_address_refused",
    }
    assert judged(vms[1], addresses={"b": "10.0.0.2/24"}, hosts={"db-1": "10.0.0.2"})[1] == {}
    with pytest.raises(InvalidOption, match="is no address"):
        judged(*vms, addresses={"a": "somewhere"})


@pytest.mark.parametrize(
    "name",
    ["", "-v", "a:22", "a,b", "*", "!a", "~a", "a/../b", "{{ a }}", "a\nb", " a", "localhost", "10.0.0.5", "::1", "x" * 300],
)
def test_a_name_that_means_something_else_to_ansible_is_refused(name):
    assert host_names.objection(name)
    assert judged({"name": name, "ip": "10.0.0.1"})[0] == []


@pytest.mark.parametrize("name", ["web-1", "Web 1 (old)", "web_1.example.com", "w\u00e9b", "1"])
def test_usual_names_are_not(name):
    assert host_names.objection(name) == ""


def test_the_name_of_a_group_is_refused():
    assert judged({"name": "web", "ip": "10.0.0.1"}) == ([], {"web": "host_name_refused"})


def test_a_key_that_is_none_is_refused_though_no_module_would_hand_it_in():
    found = judge([{"name": "a", "ip": "10.0.0.1", "ssh_host_keys": ["* ssh-rsa x"]}], _NOBODY, Inventory())
    assert [entry["error_code"] for entry in found.refused] == ["host_key_refused"]
    assert found.write_down("", _NOBODY) == ""
    assert found.as_result() == []


def test_a_difference_has_the_lines_that_went_and_those_that_came():
    found = difference("known_hosts", "a\nb\nb\nc\n", "a\nb\nd\nc")
    assert found == {"before_header": "known_hosts", "after_header": "known_hosts", "before": "b\n", "after": "d\n"}
    assert difference("known_hosts", "a\n", "a\n")["after"] == ""


def test_a_thousand_hosts_with_other_keys_are_quickly_judged_and_shown():
    """All of them were made again. Whatever compares each with each takes minutes for that."""
    count = 3_000
    vms = [{"name": f"web-{n}", "ip": f"10.0.{n // 250}.{n % 250 + 1}"} for n in range(count)]
    given = {f"db-{n}": f"10.1.{n // 250}.{n % 250 + 1}" for n in range(count)}
    before = [f"{vm['ip']} ssh-ed25519 old{n}" for n, vm in enumerate(vms)]
    after = [f"{vm['ip']} ssh-ed25519 new{n}" for n, vm in enumerate(vms)]
    begun = time.process_time()
    hosts = judge(vms, Options(given, False), _Nobody()).guests
    found = difference("known_hosts", "\n".join(before), "\n".join(after))
    took = time.process_time() - begun
    assert len(hosts) == count
    assert found["before"].splitlines() == before
    assert found["after"].splitlines() == after
    assert took < 2
