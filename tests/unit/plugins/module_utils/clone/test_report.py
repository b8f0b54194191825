# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task tells, and what it never tells."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._clone import plan, report
from ansible_collections.vforge.vsphere.plugins.module_utils._clone.task import CloneItem
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import Fault
from ansible_collections.vforge.vsphere.plugins.module_utils._vm_stages import CREATE, UPDATE
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.addresses import GuestNic
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.clone.support import (
    existing,
    options,
    parent,
    request,
)

_ASKED = options(name="web-1")


def _step(wanted, found=None):
    known = parent()
    return plan.present(wanted, plan.place(wanted, known, {}), found, known)


def _entry(item, asked):
    return report.entries([item], asked)[0]


def _item(step, vm=None, **known):
    return CloneItem(plan=step, steps=step.steps, vm=vm, **known)


def _with_guest(*nics):
    return existing(guest=tuple(GuestNic(key, mac, tuple(found)) for key, mac, found in nics))


def test_an_entry_reports_all_of_a_clone():
    vm = existing(
        guest=(
            GuestNic(4000, "00:50:56:00:00:01", ("fe80::1", "10.0.0.5", "2001:db8::5")),
            GuestNic(None, "02:42:00:00:00:01", ("172.17.0.1",)),
        )
    )
    step = _step(request(config={"guestinfo.b": "1", "other": "2"}))
    told = _entry(_item(step, vm, moid="vm-9", done=[CREATE], seconds=0.4), _ASKED)
    nics = told.pop("nics")
    assert told == {
        "name": "web-1",
        "action": "created",
        "actions": ["created"],
        "changed": True,
        "seconds": 0.4,
        "calls": 0,
        "moid": "vm-9",
        "parent": "/DC0/vm/golden",
        "folder": "/DC0/vm",
        "path": "/DC0/vm/web-1",
        "resource_pool": "web",
        "instance_uuid": "50000000-0000-0000-0000-000000000009",
        "bios_uuid": "42000000-0000-0000-0000-000000000009",
        "host": "esx-1",
        "datastore": "fast",
        "power_state": "poweredOn",
        "ip_addresses": ["10.0.0.5", "2001:db8::5"],
        "ip": "10.0.0.5",
        "guestinfo": ["guestinfo.b"],
        "wake": None,
        "refused": [],
        "differences": [],
        "warnings": [],
    }
    assert nics[0] == {
        "label": "Network adapter 1",
        "mac": "00:50:56:00:00:01",
        "network": "front",
        "connected": True,
        "ip_addresses": ["10.0.0.5", "2001:db8::5"],
    }
    assert nics[1]["ip_addresses"] == []


@pytest.mark.parametrize(
    ("asked", "ip"),
    [
        ({}, "2001:db8::5"),
        ({"ip_family": "ipv4"}, "10.0.0.5"),
        ({"ip_family": "ipv6"}, "2001:db8::5"),
        ({"ip_nic": "network adapter 2"}, "10.9.0.5"),
        ({"ip_nic": "Network adapter 2", "ip_family": "ipv6"}, None),
    ],
)
def test_the_ip_is_of_the_family_and_nic_asked_for(asked, ip):
    vm = _with_guest(
        (4000, "00:50:56:00:00:01", ["fe80::1%2", "2001:db8::5", "10.0.0.5"]),
        (None, "00:50:56:00:00:02", ["169.254.0.1", "10.9.0.5"]),
    )
    assert _entry(_item(_step(request(), vm), vm), options(name="web-1", **asked))["ip"] == ip


def test_check_mode_has_every_key_of_a_real_run():
    step = _step(request(bios_uuid="42000000-0000-0000-0000-000000000001"))
    real = _entry(_item(step, existing(), moid="vm-9", done=[CREATE], seconds=0.4), _ASKED)
    checked = _entry(_item(step, plan.expected(step), done=[CREATE]), _ASKED)
    assert checked.keys() == real.keys()
    assert checked["nics"][0].keys() == real["nics"][0].keys()
    assert (checked["moid"], checked["instance_uuid"], checked["ip"], checked["nics"][0]["mac"]) == (None,) * 4
    assert checked["bios_uuid"] == "42000000-0000-0000-0000-000000000001"
    assert checked["host"] == "esx-1"


def test_a_failed_clone_has_its_fault():
    item = _item(_step(request()))
    item.fail(Fault("DuplicateName", "duplicate_name", "the name is taken", hint="Choose another.", holder="vm-7"))
    told = _entry(item, _ASKED)
    assert (told["action"], told["changed"]) == ("failed", False)
    assert told["error"] == {
        "error_code": "duplicate_name",
        "msg": "the name is taken. Choose another.",
        "fault": "DuplicateName",
        "holder": "vm-7",
    }


def test_a_difference_says_whether_it_can_change():
    step = _step(request(datastore="slow", config={"guestinfo.a": "1"}), existing())
    fixable, fixed = _entry(_item(step, existing(), done=[UPDATE]), _ASKED)["differences"]
    assert fixable == {"what": "guestinfo.a", "actual": "another value", "wanted": "the value asked for", "can_change": True}
    assert fixed == {
        "what": "datastore",
        "actual": "fast",
        "wanted": "slow",
        "can_change": False,
        "why_not": "it takes a migration, which is not this module's",
    }


def test_a_path_escapes_the_slash_of_a_name():
    told = _entry(_item(_step(request("a/b 100%"))), _ASKED)
    assert told["path"] == "/DC0/vm/a%2fb 100%25"


def test_the_diff_shows_what_is_made_changed_and_removed():
    made = _step(request("new", datastore="slow", config={"guestinfo.a": "1"}, nics=[{"index": 1, "connected": False}]))
    changed = _step(request("old", resource_pool="db", bios_uuid="42000000-0000-0000-0000-000000000001"), existing("old"))
    kept = _step(request("kept"), existing("kept"))
    removed = plan.absent(request("gone"), existing("gone"), parent(), force=False)
    diff = report.diff([made, changed, kept, removed])
    assert diff["before"] == "old:\n  resource_pool: web\ngone:\n  moid: vm-9\n  power_state: poweredOn\n"
    assert diff["after"] == (
        "new:\n  folder: /DC0/vm\n  resource_pool: Resources/web\n  datastore: slow\n"
        "  Network adapter 2: back, automatic MAC, not connected\n  guestinfo.a: (set)\n"
        "old:\n  resource_pool: Resources/db\n"
    )


def test_the_names_of_the_guestinfo_keys_are_reported_of_what_is_there():
    found = existing(extra_config={"guestinfo.old": "x", "other": "y"})
    kept = _entry(_item(_step(request(config={"guestinfo.new": "z"}), found), found), _ASKED)
    assert kept["guestinfo"] == ["guestinfo.new", "guestinfo.old"]


_VALUES = st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), min_size=1).map(lambda text: f"s3cret{text}")
_PAIRS = st.dictionaries(st.sampled_from(["guestinfo.a", "guestinfo.password", "b"]), _VALUES, min_size=1)


@given(wanted=_PAIRS, actual=_PAIRS, there=st.booleans(), ends=st.sampled_from(["present", "absent", "failed"]))
@settings(deadline=None)
def test_no_value_is_anywhere_in_result_or_diff(wanted, actual, there, ends):
    found = existing(extra_config=actual) if there else None
    asked = request(config=wanted)
    step = plan.absent(asked, found, parent(), force=False) if ends == "absent" else _step(asked, found)
    item = _item(step, found, done=list(step.steps))
    if ends == "failed":
        item.fail(Fault("SystemError", "system_error", "no"))
    everything = [_entry(item, _ASKED), report.diff([step])]
    assert "s3cret" not in json.dumps(everything, ensure_ascii=False)
    for kept in (step, item, found):
        assert "s3cret" not in repr(kept)
