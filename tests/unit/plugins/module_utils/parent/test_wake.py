# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ready-made scripts in simulated guests: each clone gets an identity of its own when it wakes."""

from __future__ import annotations

import json

import pytest

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


def test_a_clone_that_is_told_nothing_keeps_the_name_and_asks_dhcp(fleet):
    sim, clones = fleet(ready_made.script("networkmanager"), {"web-1": {}})
    assert clones["web-1"]["ip"]
    assert sim.vm("web-1")["host_name"] == "golden-parent"


def test_without_a_script_a_clone_never_shows_an_address_of_its_own(start):
    parents = start()
    parents.run(on_wake=["echo awake\n"])
    ran = Tasks(parents.sim).attempt(name="web-1", wait_for_ip_address=True, timeout=3)
    assert ran.clones["web-1"]["error"]["error_code"] == "ip_timeout"


def test_cloud_init_names_the_clone_from_its_metadata(fleet):
    metadata = "instance-id: web-1\nlocal-hostname: by-cloud-init\n"
    sim, clones = fleet(ready_made.script("cloud_init"), {"web-1": {"metadata": metadata}})
    assert clones["web-1"]["ip"]
    assert sim.vm("web-1")["host_name"] == "by-cloud-init"
    assert sim.guest_file("web-1", "/etc/machine-id") != sim.guest_file("golden-parent", "/etc/machine-id")
