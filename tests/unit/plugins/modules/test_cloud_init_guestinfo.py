# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module as a process of its own, as Ansible starts it: what bad input costs, and what signals and kills leave behind."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from ansible_collections.vforge.vsphere.plugins.modules import cloud_init_guestinfo
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import ForkedOrStarted

# Where the folder ansible_collections lies, in the run's copy of the checkout.
_PATH = str(Path(cloud_init_guestinfo.__file__).parents[5])
_NAMES = [f"web-{number}" for number in range(1, 7)]
_HIDDEN = "hunter2-and-more"
_SCRIPT = f"#!/bin/sh\n# {_HIDDEN}\n"


class Module(ForkedOrStarted):
    """Starts the module for six VMs that are off."""

    def __init__(self, sim, runtime_dir):
        data = {"metadata": {"redact": ["userdata"]}, "userdata": _SCRIPT}
        super().__init__(sim, "cloud_init_guestinfo", _PATH, runtime_dir, vms=[{"name": name} for name in _NAMES], **data)
        for name in _NAMES:
            sim.create_vm(name, on=False)

    def delivered(self):
        """The VMs that have user data, as the simulator tells."""
        return [name for name in _NAMES if "guestinfo.userdata" in self.sim.vm(name)["extra_config"]]


@pytest.fixture
def module(make_sim, tmp_path):
    """The module against a simulator of its own."""
    return Module(make_sim("--vms", "2"), tmp_path)


def test_bad_input_is_refused_before_any_call(module):
    large = "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(400_000))
    for given, word in (
        ({"userdata": f"---\n#cloud-config\npassword: {_HIDDEN}"}, "mend_header"),
        ({"userdata": f"#cloud-config\npassword: [{_HIDDEN}"}, "from line 2 on"),
        ({"metadata": {"network": {"ethernets": {"n": {"addresses": ["10.0.0.5"]}}}}}, "addresses[0]"),
        ({"userdata": f"#!/bin/sh\n{large}"}, "do not fit"),
        ({"userdata": f"#!/bin/sh\n#{'x' * 512 * 1024}", "transport": "customization"}, "at most 524288 each"),
    ):
        result = module.run(**given)
        assert result["failed"] is True
        assert word in result["msg"]
        assert module.sim.calls()["by_method"] == {}
        assert _HIDDEN not in json.dumps(result)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_mid_delivery_leaves_an_exact_account(module, number):
    module.sim.inject(method="ReconfigVM_Task", nth=4, times=0, do="delay")
    process = module.start(parallel=1)
    module.until_called(process, "ReconfigVM_Task", 4)
    module.strike(process, number)
    result = module.result(process)
    assert f"The run was ended by {number.name}." in result["msg"]
    assert [vm["name"] for vm in result["vms"] if "delivered" in vm["actions"]] == module.delivered()
    assert len(result["failures"]) == len(_NAMES) - len(module.delivered()) > 0
    assert _HIDDEN not in json.dumps(result)
    missing = [name for name in _NAMES if name not in module.delivered()]
    again = module.run()
    assert [vm["name"] for vm in again["vms"] if vm["changed"]] == missing


def test_a_signal_in_the_wait_says_what_was_done(module):
    module.sim.patch_guest(_NAMES[0], missing=["cloud-init"])
    process = module.start(power_on=True, wait="network")
    # One filter for each step, and one for the wait.
    module.until_called(process, "CreateFilter", 3)
    process.send_signal(signal.SIGTERM)
    result = module.result(process)
    assert result["vms"][0]["actions"] == ["delivered", "powered_on"]
    assert result["vms"][0]["error"]["error_code"] == "not_attempted"


@pytest.mark.parametrize("method", ["ReconfigVM_Task", "PowerOnVM_Task"])
def test_the_run_after_a_kill_does_what_is_missing(module, method):
    module.sim.inject(method=method, nth=3, times=0, do="delay")
    process = module.start(power_on=True, wait="finished", parallel=2)
    module.until_called(process, method, 3)
    module.strike(process, signal.SIGKILL)
    process.communicate()
    result = module.run(power_on=True, wait="finished")
    assert [vm["finished"] for vm in result["vms"]] == ["done"] * len(_NAMES)
    assert module.run(power_on=True, wait="finished")["changed"] is False
