# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module as a process of its own, as Ansible starts it: what a signal in the middle of its work leaves behind."""

from __future__ import annotations

import json
import signal
import uuid
from pathlib import Path

import pytest

from ansible_collections.vforge.vsphere.plugins.modules import cached_ovf_template
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import ForkedOrStarted

# Where the folder ansible_collections lies, in the run's copy of the checkout.
_PATH = str(Path(cached_ovf_template.__file__).parents[5])


class Module(ForkedOrStarted):
    """Starts the module against one simulator."""

    def __init__(self, sim, runtime_dir, package):
        place = {"cluster": "DC0_C0", "default_network": "VM Network"}
        super().__init__(sim, "cached_ovf_template", _PATH, runtime_dir, name="tiny", source=str(package.ova), **place)

    def is_clean(self):
        """Whether there is no trace of an import."""
        nothing = self.sim.govc("find", "/DC0/vm", "-name", "tiny*") or []
        return (nothing, self.sim.open_leases(), self.sim.orphans()) == ([], 0, [])


@pytest.fixture
def module(make_sim, tmp_path, tiny_ova):
    """The module against a simulator of its own."""
    return Module(make_sim("--vms", "2"), tmp_path, tiny_ova)


@pytest.mark.parametrize(
    ("method", "number"),
    [
        ("CreateImportSpec", signal.SIGINT),
        ("ImportVApp", signal.SIGTERM),
        ("HttpNfcLeaseGetManifest", signal.SIGINT),
        ("HttpNfcLeaseComplete", signal.SIGTERM),
        ("ReconfigVM_Task", signal.SIGHUP),
    ],
)
def test_a_signal_at_any_step_leaves_nothing_half_made(module, method, number):
    module.sim.inject(method=method, times=0, do="delay")
    module.sim.disturb_uploads(rate=300_000, times=0)
    process = module.start()
    module.until_called(process, method, 1)
    module.strike(process, number)
    result = module.result(process)
    assert f"The run was ended by {number.name}." in result["msg"]
    assert result["error_code"] == "interrupted"
    assert module.is_clean()
    assert module.run()["actions"] == ["imported"]


def test_a_killed_run_is_cleared_away_by_vcenter_itself(module):
    module.sim.disturb_uploads(rate=50_000)
    process = module.start()
    module.until(process, lambda: module.sim.uploads()["uploads"])
    module.strike(process, signal.SIGKILL)
    process.communicate()
    # Its lease ends soon, whatever takeover_after says.
    module.sim.forget_leases()
    result = module.run(takeover_after=3600, timeout=60)
    assert result["actions"][-1] == "imported"
    assert len(module.sim.govc("find", "/DC0/vm", "-name", "tiny*")) == 1
    assert module.sim.orphans() == []


def test_no_secret_is_reported(module):
    text = uuid.uuid4().hex
    headers, properties = json.dumps({"X-Token": text}), json.dumps({"greeting": text})
    told = module.run(properties=properties, source_headers=headers, source_username="me", source_password=text)
    assert told["changed"] is True
    assert text not in json.dumps(told)
