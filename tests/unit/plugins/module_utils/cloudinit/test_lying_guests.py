# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests in which somebody else has root: what they tell reaches no result unless it is proved, and only they suffer for it."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit import report_script, task

GIVEN = {"metadata": {"local_hostname": "web-1"}, "userdata": {"packages": ["nginx"]}}


@pytest.fixture(autouse=True)
def short_patience(monkeypatch):
    """A minute is what real Tools need; the simulator's report at once, or never what is waited for here."""
    monkeypatch.setattr(task, "_TOOLS_SECONDS", 1.0)


def static(address):
    """Metadata with one address and no DHCP."""
    return {"network": {"version": 2, "ethernets": {"nics": {"match": {"name": "e*"}, "addresses": [address]}}}}


def tells(*pairs):
    """User data with which a guest tells these keys of guestinfo, before its cloud-init reports its end."""
    lines = "".join(f'vmware-rpctool "info-set guestinfo.{key} {value}"\n' for key, value in pairs)
    return f"#!/bin/sh\n{lines}"


def delivered(cloud, *vms, **more):
    """VMs with their data, started and waited for; the entries by name."""
    ran = cloud.run(vms=list(vms), power_on=True, wait="finished", timeout=60, **more)
    assert {entry["finished"] for entry in ran.vms} == {"done"}
    return ran, {entry["name"]: entry for entry in ran.vms}


def codes(entry):
    """What was refused of a VM."""
    return [refusal["error_code"] for refusal in entry["refused"]]


@pytest.mark.parametrize("lie", ["192.0.2.77", "-oPort=1", "192.0.2.77,*", "127.0.0.1", "odd text", "fe80::1%-x"])
def test_an_address_that_is_not_its_own_is_refused_for_this_vm_alone(cloud, vm, lie):
    liar, honest = vm(), vm()
    ran, told = delivered(
        cloud,
        {"name": liar, "metadata": {}, "userdata": tells(("local-ipv4", lie))},
        {"name": honest, **GIVEN},
    )
    assert (told[liar]["local_ipv4"], codes(told[liar])) == (None, ["reported_address_refused"])
    assert (told[honest]["local_ipv4"], told[honest]["refused"]) == (cloud.sim.vm(honest)["ip"], [])
    assert [each["name"] for each in ran.result["refusals"]] == [liar]
    assert [warning for warning in cloud.warnings if liar in warning and "left out" in warning]
    assert all(warning.isprintable() for warning in cloud.warnings)


def test_the_address_that_the_user_gave_is_the_only_one(cloud, vm):
    name = vm()
    _ran, told = delivered(
        cloud, {"name": name, "metadata": static("192.0.2.50/24"), "userdata": tells(("local-ipv4", "192.0.2.51"))}
    )
    assert (told[name]["local_ipv4"], codes(told[name])) == (None, ["reported_address_refused"])
    assert "the user gave it, 192.0.2.50" in told[name]["refused"][0]["msg"]


def test_what_the_user_gave_is_true_though_tools_say_nothing(cloud, vm):
    name = vm()
    cloud.sim.patch_guest(name, hang=True)
    asked = {"name": name, "metadata": static("192.0.2.60/24"), "userdata": "#!/bin/sh\ntrue\n"}
    cloud.run(vms=[asked], power_on=True)
    cloud.sim.patch_guest(name, hang=False)
    _ran, told = delivered(cloud, {**asked, "userdata": tells(("local-ipv4", "192.0.2.60"))}, allow_reboot=True)
    assert (told[name]["local_ipv4"], told[name]["refused"]) == ("192.0.2.60", [])


def test_the_address_of_another_vm_of_the_task_is_that_one_s(cloud, vm):
    liar, owner = vm(), vm()
    cloud.sim.patch_guest(liar, ipv4="192.0.2.70")
    _ran, told = delivered(
        cloud,
        {"name": liar, "metadata": {}, "userdata": tells(("local-ipv4", "192.0.2.70"))},
        {"name": owner, "metadata": static("192.0.2.70/24"), "userdata": "#!/bin/sh\ntrue\n"},
    )
    assert (told[liar]["local_ipv4"], codes(told[liar])) == (None, ["reported_address_refused"])
    assert f"the user gave to {owner}" in told[liar]["refused"][0]["msg"]
    assert (told[owner]["local_ipv4"], told[owner]["refused"]) == ("192.0.2.70", [])


@pytest.mark.parametrize(
    "written",
    [
        "echo '* ssh-ed25519 AAAA' > /etc/ssh/ssh_host_ed25519_key.pub",
        "echo 'ssh-ed25519 AAAA' > /etc/ssh/ssh_host_ed25519_key.pub",
        "echo '-oPort=1 ssh-rsa' > /etc/ssh/ssh_host_rsa_key.pub",
    ],
)
def test_host_keys_that_are_none_are_refused_whole_and_the_address_stays(cloud, vm, written):
    liar, honest = vm(), vm()
    _ran, told = delivered(
        cloud, {"name": liar, "metadata": {}, "userdata": f"#!/bin/sh\n{written}\n"}, {"name": honest, **GIVEN}
    )
    assert (told[liar]["ssh_host_keys"], codes(told[liar])) == ([], ["host_key_refused"])
    assert told[liar]["local_ipv4"] == cloud.sim.vm(liar)["ip"]
    assert len(told[honest]["ssh_host_keys"]) == 3


def test_an_end_that_is_reported_in_other_words_is_none(cloud, vm):
    name = vm()
    asked = {"vm": {"name": name}, "wait": "finished", "metadata": {"instance_id": "i-1"}, "userdata": GIVEN["userdata"]}
    ran = cloud.run(**asked, power_on=True)
    assert ran.one["finished"] == "done"
    cloud.sim.govc("vm.change", "-vm", name, "-e", f"{report_script.KEY}=i-1 splendid")
    late = cloud.late("WaitForUpdatesEx", **asked)
    assert late.one["error"]["error_code"] == "cloud_init_timeout"


def test_a_key_of_ones_own_is_reported_on_one_line_and_cut(cloud, vm):
    name = vm()
    script = "#!/bin/sh\nvmware-rpctool 'info-set guestinfo.ready yes'\n"
    asked = {"metadata": {}, "userdata": script, "wait": "finished", "finished_key": "guestinfo.ready"}
    cloud.run(vm={"name": name}, power_on=True, **asked)
    cloud.sim.govc("vm.change", "-vm", name, "-e", f"guestinfo.ready=a\x1b[2J{'x' * 3000}")
    told = cloud.run(vm={"name": name}, **asked).one["finished"]
    assert told.isprintable()
    assert len(told) < 1100


def test_the_information_module_judges_as_well(cloud, vm):
    liar, honest = vm(), vm()
    delivered(cloud, {"name": liar, **GIVEN}, {"name": honest, **GIVEN})
    address = cloud.sim.vm(honest)["ip"]
    cloud.sim.govc("vm.change", "-vm", liar, "-e", f"guestinfo.local-ipv4={address}")
    told = {entry["name"]: entry for entry in cloud.info(vms=[{"name": liar}, {"name": honest}]).vms}
    assert (told[liar]["local_ipv4"], codes(told[liar])) == (None, ["reported_address_refused"])
    # Nobody can tell which of the two lies; the user can, by giving the addresses.
    assert (told[honest]["local_ipv4"], codes(told[honest])) == (None, ["reported_address_refused"])


@pytest.mark.parametrize("text", ["a: &a [1]\ninstance-id: [*a, *a]", "instance-id: i\n" + "# x\n" * 17_000, "[" * 2000])
def test_metadata_that_a_guest_has_written_cost_nothing_and_are_replaced(cloud, vm, text):
    name = vm()
    cloud.run(vm={"name": name}, metadata={"local_hostname": "a"})
    cloud.sim.govc("vm.change", "-vm", name, "-e", f"guestinfo.metadata={text}", "-e", "guestinfo.metadata.encoding= ")
    entry = cloud.info(vm={"name": name}).one
    assert entry["metadata"]["instance_id"] is None
    assert cloud.run(vm={"name": name}, metadata={"local_hostname": "a"}).one["actions"] == ["delivered"]
