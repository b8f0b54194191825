# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ready-made scripts in simulated guests: each clone gets an identity of its own when it wakes."""

from __future__ import annotations

import json

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.plugin_utils import ready_made
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.clone.running import Tasks

_LINUX = ("networkmanager", "netplan", "ifcfg")


def _identity(sim, name):
    files = ("/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub", "/etc/ssh/ssh_host_rsa_key")
    return [sim.guest_file(name, path) for path in files]


@pytest.fixture
def fleet(start):
    """A function that freezes a parent with a script, makes clones with these guestinfo values, and waits for addresses."""

    def _fleet(script, clones, family="ipv4"):
        parents = start()
        parents.run(on_wake=[script])
        asked = [{"name": name, "guestinfo": json.dumps(info)} for name, info in clones.items()]
        ran = Tasks(parents.sim).run(clones=asked, wait_for_ip_address=True, ip_family=family)
        return parents.sim, ran.clones

    return _fleet


@pytest.mark.parametrize("name", _LINUX)
def test_each_clone_has_a_name_an_address_and_keys_of_its_own(fleet, name):
    wanted = {
        "web-1": {"hostname": "first", "ipv4": "10.9.8.1/22", "gateway": "10.9.8.254", "dns": "10.9.8.2,10.9.8.3"},
        "web-2": {"hostname": "second", "ipv4": "10.9.8.4"},
        "web-3": {"hostname": "third"},
    }
    sim, clones = fleet(ready_made.script(name), wanted)
    assert clones["web-1"]["ip"] == "10.9.8.1"
    assert clones["web-2"]["ip"] == "10.9.8.4"
    assert clones["web-3"]["ip"] not in (None, "10.9.8.1", "10.9.8.4")
    assert [sim.vm(clone)["host_name"] for clone in wanted] == ["first", "second", "third"]
    identities = [_identity(sim, clone) for clone in ("golden-parent", *wanted)]
    assert len({tuple(identity) for identity in identities}) == 4
    assert all(len({identity[at] for identity in identities}) == 4 for at in range(3))


@pytest.mark.parametrize("name", _LINUX)
def test_a_clone_shows_its_own_mac(fleet, name):
    sim, clones = fleet(ready_made.script(name), {"web-1": {"ipv4": "10.9.8.1/24"}})
    (nic,) = clones["web-1"]["nics"]
    told = sim.vm("web-1")
    assert nic["ip_addresses"] == ["10.9.8.1"]
    assert nic["mac"] == told["nics"][0]["mac"] != sim.vm("golden-parent")["nics"][0]["mac"]


def test_a_clone_that_is_given_nothing_keeps_the_name_and_asks_dhcp(fleet):
    sim, clones = fleet(ready_made.script("networkmanager"), {"web-1": {}})
    assert clones["web-1"]["ip"]
    assert sim.vm("web-1")["host_name"] == "golden-parent"


def test_without_a_script_a_clone_never_shows_an_address_of_its_own(start):
    parents = start()
    parents.run(on_wake=["echo awake\n"])
    ran = Tasks(parents.sim).late("WaitForUpdatesEx", saying=" ok ", name="web-1", wait_for_ip_address=True)
    assert ran.clones["web-1"]["error"]["error_code"] == "ip_timeout"


def test_cloud_init_names_the_clone_from_its_metadata(fleet):
    metadata = "instance-id: web-1\nlocal-hostname: by-cloud-init\n"
    sim, clones = fleet(ready_made.script("cloud_init"), {"web-1": {"metadata": metadata}})
    assert clones["web-1"]["ip"]
    assert sim.vm("web-1")["host_name"] == "by-cloud-init"
    assert sim.guest_file("web-1", "/etc/machine-id") != sim.guest_file("golden-parent", "/etc/machine-id")


# How the scripts of clones went


@pytest.fixture
def frozen(start):
    """A function that freezes a parent with these scripts; returns the parents and the tasks that clone."""

    def _frozen(*scripts, **more):
        parents = start()
        parents.run(on_wake=list(scripts), **more)
        return parents, Tasks(parents.sim)

    return _frozen


def test_a_script_that_fails_in_a_clone_is_the_failure_of_that_clone(frozen):
    script = """case $(vmware-rpctool "info-get guestinfo.role") in bad) printf 'no \\033[31mway\\n'; exit 7 ;; esac\n"""
    parents, tasks = frozen("echo first\n", script, "rm -f /etc/ssh/ssh_host_*\n")
    asked = [{"name": "web-1", "guestinfo": '{"role": "good"}'}, {"name": "web-2", "guestinfo": '{"role": "bad"}'}]
    ran = tasks.attempt(clones=asked, timeout=60)
    good, bad = ran.clones["web-1"], ran.clones["web-2"]
    assert (good["action"], good["wake"]) == ("created", "ok")
    assert (bad["action"], bad["wake"], bad["error"]["error_code"]) == ("failed", "failed", "wake_failed")
    assert (bad["error"]["script"], bad["error"]["exit_code"], bad["error"]["output"]) == (2, 7, "no \\x1b[31mway")
    assert "no \\x1b[31mway" in bad["error"]["msg"]
    assert "SSH host keys of its parent" in bad["error"]["msg"]
    assert parents.left_in_guest("web-1") == []
    again = tasks.attempt(clones=asked)
    assert (again.clones["web-1"]["action"], again.clones["web-2"]["error"]["error_code"]) == ("unchanged", "wake_failed")
    assert again.called("CreateFilter") == 0
    tasks.run(clones=[{"name": "web-2"}], state="absent")
    asked[1]["guestinfo"] = '{"role": "good"}'
    assert tasks.run(clones=asked).actions == {"web-1": "unchanged", "web-2": "created"}


def test_a_guest_without_what_a_script_asks_for_at_last_fails_without_the_keys_of_its_parent(frozen):
    parents, tasks = frozen(ready_made.script("networkmanager"))
    # The parent had it when it was frozen; the clone finds that it does not work.
    parents.sim.patch_guest("golden-parent", fail={"nmcli*": 9})
    ran = tasks.attempt(name="web-1", wait_for_ip_address=True, timeout=60)
    error = ran.clones["web-1"]["error"]
    assert (error["error_code"], error["exit_code"]) == ("wake_failed", 9)
    assert "SSH host keys" not in error["msg"]
    of_parent, of_clone = (_identity(parents.sim, name) for name in ("golden-parent", "web-1"))
    assert not set(of_parent) & set(of_clone)


def test_keys_that_no_script_has_made_again_are_reported(frozen):
    _parents, tasks = frozen("echo awake\n")
    ran = tasks.run(name="web-1")
    assert ran.clones["web-1"]["wake"] == "ok"
    assert "SSH host keys" in ran.clones["web-1"]["warnings"][0]
    assert any("web-1: the SSH host keys are still those of the parent" in text for text in tasks.warnings)


def test_a_script_that_does_not_end_is_late(frozen):
    _parents, tasks = frozen("sleep 3600\n")
    ran = tasks.late("WaitForUpdatesEx", saying=" running'", name="web-1")
    assert ran.clones["web-1"]["error"]["error_code"] == "wake_timeout"
    assert "is still running" in ran.clones["web-1"]["error"]["msg"]
    left = tasks.run(name="web-2", wait_for_wake=False, timeout=60)
    assert "wake" not in left.clones["web-2"]


def test_one_filter_waits_for_scripts_and_addresses(frozen):
    _parents, tasks = frozen(ready_made.script("networkmanager"))
    ran = tasks.run(clones=[{"name": f"web-{number}"} for number in range(1, 4)], wait_for_ip_address=True, timeout=60)
    assert {clone["wake"] for clone in ran.clones.values()} == {"ok"}
    assert all(clone["ip"] for clone in ran.clones.values())
    # The other one is for the tasks that clone.
    assert (ran.called("CreateFilter"), tasks.warnings) == (2, [])


def test_a_parent_without_scripts_is_not_waited_for(frozen):
    _parents, tasks = frozen()
    ran = tasks.run(name="web-1")
    assert ran.clones["web-1"]["wake"] is None
    assert ran.called("CreateFilter") == 1
    assert not [key for key in ran.clones["web-1"]["guestinfo"] if "vforge" in key]


def test_a_clone_of_a_clone_does_not_report_what_its_parent_reported(frozen):
    parents, tasks = frozen("echo awake\n")
    tasks.run(name="middle", timeout=60)
    parents.run(parent={"name": "middle"}, on_wake=["sleep 3600\n"])
    ran = tasks.late("WaitForUpdatesEx", since=("CreateFilter", 2), parent={"name": "middle"}, name="web-1")
    assert ran.clones["web-1"]["error"]["error_code"] == "wake_timeout"


@pytest.mark.parametrize("key", ["vforge.token", "guestinfo.vforge.wake", "guestinfo.VForge.frozen"])
def test_what_the_scripts_report_is_not_for_users_to_set(start, key):
    with pytest.raises(InvalidOption, match="collection's own"):
        Tasks(start().sim).run(name="web-1", guestinfo=json.dumps({key: "x"}))


@pytest.mark.parametrize("name", _LINUX)
@pytest.mark.parametrize("key", ["hostname", "ipv4", "gateway", "dns"])
def test_a_value_full_of_shell_characters_is_the_failure_of_its_clone_and_does_nothing(frozen, name, key):
    parents, tasks = frozen(ready_made.script(name))
    odd = "$(touch /root/canary)`touch /root/canary`; touch /root/canary *"
    ran = tasks.attempt(name="web-1", guestinfo=json.dumps({"ipv4": "10.9.8.1", key: odd}), timeout=60)
    error = ran.clones["web-1"]["error"]
    assert (error["error_code"], error["output"]) == (
        "wake_failed",
        f"guestinfo.{key} has characters that no name and no address has",
    )
    assert "/root/canary" not in parents.sim.vm("web-1")["guest"]["files"]
