# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a VM is made of, into a file and out of it: all but what may be a secret."""

from __future__ import annotations

import dataclasses
import json

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import hardware
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.export.test_descriptor import MACHINE

NEVER_SHOWN = "hunter2-of-somebody"


def test_what_comes_out_is_what_went_in_without_what_may_be_a_secret():
    machine = dataclasses.replace(
        MACHINE,
        extra=(*MACHINE.extra, ("guestinfo.token", NEVER_SHOWN), ("sched.cpu.latencySensitivity", "high")),
        properties=(
            hardware.Property("user", default="admin", value=NEVER_SHOWN),
            hardware.Property("login", kind="password", default=NEVER_SHOWN, value=NEVER_SHOWN),
        ),
    )
    data = hardware.as_json(machine)
    assert NEVER_SHOWN.encode() not in data
    found = hardware.from_json(data)
    assert ("sched.cpu.latencySensitivity", "high") in found.extra
    assert [each.default for each in found.properties] == ["admin", ""]
    assert dataclasses.replace(found, extra=(), properties=()) == dataclasses.replace(machine, extra=(), properties=())
    assert "guestinfo.token" in json.loads(data)["left_out"]


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"left_out": []}', b'{"left_out": [], "name": "x", "disks": 1}'])
def test_what_is_no_machine_is_refused(data):
    with pytest.raises(ValueError, match=r"machine|Expecting"):
        hardware.from_json(data)
