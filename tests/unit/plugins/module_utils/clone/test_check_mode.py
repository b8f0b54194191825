# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check mode asks vCenter and makes nothing; its result has the shape of a real run's."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session

_ASKED = {
    "clones": [{"name": "web-1", "guestinfo": {"a": "1"}}, {"name": "web-2", "networks": [{"index": 0, "connected": False}]}],
    "folder": "DC0_F0",
}


def _shape(value):
    """The keys of a result, whatever the values."""
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items() if key not in ("timing", "error")}
    return [_shape(item) for item in value] if isinstance(value, list) and value and isinstance(value[0], dict) else None


def test_vcenter_is_asked_and_makes_nothing(start):
    tasks = start()
    before = tasks.names("/DC0/vm/DC0_F0")
    ran = tasks.run(check=True, **_ASKED)
    assert ran.called("CheckInstantClone_Task") == 2
    assert ran.called("InstantClone_Task") == ran.called("ReconfigVM_Task") == 0
    assert tasks.names("/DC0/vm/DC0_F0") == before
    assert tasks.sim.vm("golden-parent")["disks"][0]["deltas"] == 0
    assert ran.total <= 2 + 14


def test_the_result_has_the_shape_of_a_real_run(start):
    tasks = start()
    checked = tasks.run(check=True, **_ASKED).result
    real = tasks.run(**_ASKED).result
    assert _shape(checked) == _shape(real)
    for key in ("changed", "counts", "parent", "diff"):
        assert checked[key] == real[key]
    same = ("name", "action", "changed", "path", "folder", "host", "resource_pool", "datastore", "power_state", "guestinfo")
    for key in same:
        assert [clone[key] for clone in checked["clones"]] == [clone[key] for clone in real["clones"]]


@pytest.mark.parametrize("named", [True, False])
def test_a_server_without_a_checker_is_warned_of_and_no_reason_to_fail(start, monkeypatch, named):
    """It names none, or one that it does not have."""
    real = Session._adopt

    def adopt(self, kept):
        real(self, kept)
        self.content.vmProvisioningChecker = vim.vm.check.ProvisioningChecker("nobody", self.stub) if named else None

    monkeypatch.setattr(Session, "_adopt", adopt)
    ran = start().run(check=True, **_ASKED)
    assert ran.result["counts"] == {"created": 2}
    for name, clone in ran.clones.items():
        assert f"vCenter could not be asked whether {name} can be made" in clone["warnings"][0]


def test_what_exists_is_not_asked_about(start):
    tasks = start()
    tasks.run(**_ASKED)
    again = tasks.run(check=True, **_ASKED)
    assert again.result["changed"] is False
    assert again.called("CheckInstantClone_Task") == 0


def test_a_change_is_reported_and_not_made(start):
    tasks = start()
    tasks.run(**_ASKED)
    ran = tasks.run(check=True, **{**_ASKED, "resource_pool": "DC0_C0_RP2"})
    assert ran.result["counts"] == {"updated": 2}
    assert ran.result["changed"] is True
    assert "resource_pool: Resources/DC0_C0_RP2" in ran.result["diff"]["after"]
    assert not tasks.sim.vm("web-1")["pool"].endswith("DC0_C0_RP2")


def test_removing_is_reported_and_not_made(start):
    tasks = start()
    tasks.run(**_ASKED)
    ran = tasks.run(check=True, state="absent", **_ASKED)
    assert ran.result["counts"] == {"removed": 2}
    assert ran.result["changed"] is True
    assert ran.called("PowerOffVM_Task") == ran.called("Destroy_Task") == 0
    assert {"web-1", "web-2"} <= {*tasks.names("/DC0/vm/DC0_F0")}
    real = tasks.run(state="absent", **_ASKED)
    assert real.result["diff"] == ran.result["diff"]


def test_what_vcenter_would_refuse_fails_the_check(start):
    tasks = start()
    tasks.sim.patch_vm("golden-parent", passthrough=True)
    ran = tasks.attempt(check=True, **_ASKED)
    assert ran.result["counts"] == {"failed": 2}
    assert "vCenter would refuse web-1:" in ran.clones["web-1"]["error"]["msg"]
    assert ran.result["changed"] is False
    assert "Nothing was changed: this was check mode." in ran.error.message


def test_a_conflict_fails_the_check(start):
    tasks = start()
    tasks.sim.create_vm("web-1", folder="/DC0/vm/DC0_F0")
    ran = tasks.attempt(check=True, **_ASKED)
    assert ran.actions == {"web-1": "failed", "web-2": "created"}


def test_many_deltas_are_warned_of(start):
    tasks = start()
    tasks.sim.patch_vm("golden-parent", delta_levels=120)
    ran = tasks.run(check=True, name="web-1")
    assert ran.clones["web-1"]["warnings"]


@pytest.mark.parametrize("wait", [False, True])
def test_no_address_is_waited_for(start, wait):
    tasks = start()
    ran = tasks.run(check=True, name="web-1", wait_for_ip_address=wait)
    assert ran.clones["web-1"]["ip"] is None
    assert ran.called("CreateFilter") <= 1
