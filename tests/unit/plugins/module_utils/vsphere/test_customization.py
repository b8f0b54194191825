# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guest is to become: options as checked values, and as vSphere's specification."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyVmomi import VmomiSupport, vim

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.customization import CardSettings, parse, specification

WINDOWS = {"full_name": "Owner", "organization": "Example"}


def test_a_linux_guest_with_nothing_set_gets_its_name_and_dhcp():
    spec = specification(parse({}, {}, "web-1"), cards=2)
    assert isinstance(spec.identity, vim.vm.customization.LinuxPrep)
    assert (spec.identity.hostName.name, spec.identity.domain) == ("web-1", "localdomain")
    assert isinstance(spec.options, vim.vm.customization.LinuxOptions)
    assert [type(card.adapter.ip) for card in spec.nicSettingMap] == [vim.vm.customization.DhcpIpGenerator] * 2


def test_everything_of_linux():
    linux = {"domain": "example.com", "timezone": "Europe/Berlin", "hw_clock_utc": True, "script": "#!/bin/sh\n"}
    nic = {"ip": "10.1.2.3/20", "gateway": "10.1.0.1"}
    given_ = {"hostname": "first", "nics": [nic], "linux": linux, "dns_servers": ["10.0.0.2"], "dns_suffixes": ["a.b"]}
    spec = specification(parse(given_, {}, "web-1"), cards=2)
    who = spec.identity
    assert (who.hostName.name, who.domain, who.timeZone) == ("first", "example.com", "Europe/Berlin")
    assert (who.hwClockUTC, who.scriptText) == (True, "#!/bin/sh\n")
    assert (spec.globalIPSettings.dnsServerList, spec.globalIPSettings.dnsSuffixList) == (["10.0.0.2"], ["a.b"])
    fixed, dhcp = (card.adapter for card in spec.nicSettingMap)
    assert (fixed.ip.ipAddress, fixed.subnetMask, fixed.gateway) == ("10.1.2.3", "255.255.240.0", ["10.1.0.1"])
    assert isinstance(dhcp.ip, vim.vm.customization.DhcpIpGenerator)


def test_windows_in_a_workgroup():
    windows = {**WINDOWS, "admin_password": "secret", "auto_logon_count": 2, "run_once": ["cmd /c one"], "timezone": 110}
    spec = specification(parse({"windows": windows, "dns_servers": ["10.0.0.2"]}, {}, "web-1"), cards=1)
    who = spec.identity
    assert (who.userData.computerName.name, who.userData.fullName, who.userData.orgName) == ("web-1", "Owner", "Example")
    assert (who.identification.joinWorkgroup, who.identification.joinDomain) == ("WORKGROUP", None)
    unattended = who.guiUnattended
    assert (unattended.password.value, unattended.password.plainText, unattended.timeZone) == ("secret", True, 110)
    assert (unattended.autoLogon, unattended.autoLogonCount, who.guiRunOnce.commandList) == (True, 2, ["cmd /c one"])
    assert (spec.options.changeSID, spec.options.deleteAccounts) == (True, False)
    # Windows has name servers of its cards only.
    assert spec.nicSettingMap[0].adapter.dnsServerList == ["10.0.0.2"]


def test_windows_in_a_domain():
    joins = {"domain": "example.com", "domain_ou": "OU=web", "domain_admin": "joiner", "domain_admin_password": "secret"}
    identification = specification(parse({"windows": {**WINDOWS, **joins}}, {}, "web-1"), cards=1).identity.identification
    assert (identification.joinDomain, identification.domainOU, identification.domainAdmin) == (
        "example.com",
        "OU=web",
        "joiner",
    )
    assert (identification.domainAdminPassword.value, identification.joinWorkgroup) == ("secret", None)


def test_what_a_clone_leaves_out_is_taken_from_the_task():
    common = {"dns_servers": ["10.0.0.2"], "linux": {"timezone": "UTC", "domain": "a.b"}, "nics": [{"ip": "dhcp"}]}
    wanted = parse({"linux": {"domain": "c.d"}, "nics": [{"ip": "10.0.0.9/24"}], "dns_suffixes": None}, common, "web-1")
    assert (wanted.linux.domain, wanted.linux.timezone, wanted.dns_servers) == ("c.d", "UTC", ("10.0.0.2",))
    assert wanted.cards == (CardSettings("10.0.0.9/24"),)


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"hostname": "web_1"}, "no host name"),
        ({"hostname": "web-1.example.com"}, "without the domain"),
        ({"hostname": "-web"}, "no host name"),
        ({"hostname": "w" * 64}, "no host name"),
        ({"hostname": "w" * 16, "windows": WINDOWS}, "at most 15"),
        ({"hostname": "12345", "windows": WINDOWS}, "all digits"),
        ({"nics": [{"ip": "10.0.0.5"}]}, "10.0.0.5/24"),
        ({"nics": [{"ip": "10.0.0.300/24"}]}, "10.0.0.300"),
        ({"nics": [{"ip": "fd00::1/64"}]}, "fd00::1"),
        ({"nics": [{"gateway": "router"}]}, "router"),
        ({"dns_servers": ["10.0.0.2,10.0.0.3"]}, "no address"),
        ({"linux": {"timezone": "UTC"}, "windows": WINDOWS}, "both linux and windows"),
        ({"windows": {"full_name": "Owner"}}, "organization"),
        ({"windows": {"organization": "Example"}}, "full_name"),
        ({"windows": {**WINDOWS, "domain": "a.b", "workgroup": "W"}}, "both domain and workgroup"),
        ({"windows": {**WINDOWS, "domain": "a.b"}}, "domain_admin"),
        ({"windows": {**WINDOWS, "auto_logon_count": 1}}, "no admin_password"),
    ],
)
def test_what_cannot_be_is_refused_with_the_name_of_the_clone(given_, words):
    with pytest.raises(InvalidOption) as refused:
        parse(given_, {}, "web-7")
    assert words in str(refused.value)
    assert "web-7" in str(refused.value)
    assert refused.value.details["option"] == "customize"


def test_the_name_of_a_vm_that_is_no_host_name_asks_for_one():
    with pytest.raises(InvalidOption, match=r"customize\.hostname"):
        parse({}, {}, "web 1")


SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8)


@given(SECRET)
def test_secrets_are_in_no_repr(secret):
    marked = f"<<{secret}>>"
    windows = {**WINDOWS, "admin_password": marked, "product_id": marked, "run_once": [marked]}
    windows |= {"domain": "a.b", "domain_admin": "joiner", "domain_admin_password": marked}
    assert marked not in repr(parse({"windows": windows}, {}, "web-1"))
    assert marked not in repr(parse({"linux": {"script": marked}}, {}, "web-1"))


@given(st.ip_addresses(v=4), st.integers(0, 32), st.integers(1, 4))
def test_a_specification_is_one_that_pyvmomi_can_send(address, prefix, cards):
    spec = specification(parse({"nics": [{"ip": f"{address}/{prefix}"}]}, {}, "web-1"), cards)
    assert len(spec.nicSettingMap) == cards
    adapter = spec.nicSettingMap[0].adapter
    assert adapter.ip.ipAddress == str(address)
    assert sum(bin(int(part)).count("1") for part in adapter.subnetMask.split(".")) == prefix
    assert isinstance(spec, VmomiSupport.GetVmodlType("vim.vm.customization.Specification"))
