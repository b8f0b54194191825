# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of a guest's addresses count."""

from __future__ import annotations

import types

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.addresses import GuestNic, guest_nics, usable

REPORTED = ["fe80::250:56ff:fe80:1", "169.254.7.7", "10.0.0.7", "fd00::7", "127.0.0.1", "::1", "0.0.0.0", "ff02::1", "none"]  # noqa: S104


@pytest.mark.parametrize(("family", "left"), [("any", ["10.0.0.7", "fd00::7"]), ("ipv4", ["10.0.0.7"]), ("ipv6", ["fd00::7"])])
def test_only_what_others_can_reach_counts(family, left):
    assert usable(REPORTED, family) == left


def test_a_zone_does_not_hide_a_link_local_address():
    assert usable(["fe80::1%eth0", "2001:db8::0007"]) == ["2001:db8::7"]


def test_a_guest_nic_without_a_device_has_no_key():
    told = [
        types.SimpleNamespace(deviceConfigId=4000, macAddress="00:50:56:AA:BB:CC", ipAddress=["10.0.0.7"]),
        types.SimpleNamespace(deviceConfigId=-1, macAddress=None, ipAddress=None),
    ]
    assert guest_nics(told) == [GuestNic(4000, "00:50:56:aa:bb:cc", ("10.0.0.7",)), GuestNic(None, "", ())]
