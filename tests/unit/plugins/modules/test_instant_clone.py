# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module: its result, and, as a process of its own, what a signal leaves behind."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from ansible_collections.vforge.vsphere.plugins.modules import instant_clone
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import ForkedOrStarted
from vforge_module import HIDDEN, PATIENCE

# Where the folder ansible_collections lies, in the run's copy of the checkout.
_PATH = str(Path(instant_clone.__file__).parents[5])
_TWELVE = [{"name": f"web-{number:02}"} for number in range(12)]


class Module(ForkedOrStarted):
    """Starts the module against one simulator."""

    def __init__(self, sim, runtime_dir):
        super().__init__(sim, "instant_clone", _PATH, runtime_dir, parent={"name": "golden-parent"})

    def clones(self):
        """The names of the clones that there are."""
        elements = self.sim.govc("ls", "/DC0/vm")["elements"]
        return sorted(path for element in elements if (path := element["Path"].rpartition("/")[2]).startswith("web-"))


@pytest.fixture
def module(make_sim, tmp_path):
    """The module against a simulator of its own."""
    return Module(make_sim(), tmp_path)


def _stop_in_mid_batch(module, number, **params):
    """Send a signal when five clones are made and two calls are under way; the other five have not been begun."""
    module.sim.inject(method="InstantClone_Task", nth=6, times=0, do="delay")
    process = module.start(clones=_TWELVE, parallel=2, **params)
    module.until_called(process, "InstantClone_Task", 7)
    module.strike(process, number)
    return process


def test_a_run_returns_everything_that_is_documented(module):
    result = module.run(clones=_TWELVE[:2], guestinfo={"role": "web"}, wait_for_ip_address=True)
    documented = {"clones", "failures", "counts", "parent", "timing", "calls", "changed"}
    assert documented <= result.keys()
    # A diff is returned in diff mode alone.
    assert "diff" not in result
    assert result["calls"]["total"] == sum(
        count for method, count in module.sim.calls()["by_method"].items() if method != "WaitForUpdatesEx"
    )
    assert {"connect", "lookup", "clone", "wait_for_ip", "total"} <= result["timing"].keys()
    assert "failed" not in result
    again = module.run(clones=_TWELVE[:2], guestinfo={"role": "web"}, wait_for_ip_address=True)
    assert again["changed"] is False
    assert again["calls"]["by_method"].get("Login", 0) == 0


def test_secrets_are_not_returned_and_nothing_else_is_starred_out(module):
    result = module.run(clones=_TWELVE[:2], guestinfo=json.dumps({"role": "web", "password": "hunter2", "n": "1"}))
    text = json.dumps(result)
    assert "hunter2" not in text
    assert module.sim.password not in text
    assert [clone["name"] for clone in result["clones"]] == ["web-00", "web-01"]
    assert result["invocation"]["module_args"]["guestinfo"] in HIDDEN


@pytest.mark.parametrize(
    ("params", "error_code"),
    [
        ({}, "invalid_option"),
        ({"name": "a", "clones": [{"name": "b"}]}, "invalid_option"),
        ({"name": "a", "parent": {}}, "invalid_option"),
        ({"name": "a", "parent": {"name": "none"}}, "not_found"),
        ({"name": "a", "folder": "none"}, "not_found"),
        ({"name": "a", "resource_pool": "DC0_C1_RP1"}, "invalid_option"),
        ({"name": "a", "guestinfo": "no mapping"}, "invalid_option"),
        ({"name": "a", "password": "not the password"}, "wrong_credentials"),
        ({"name": "a", "password": ""}, "invalid_option"),
        ({"name": "a", "hostname": "nowhere.invalid"}, "unknown_host"),
        ({"name": "a", "port": 1}, "unreachable"),
        ({"name": "a", "ca_path": "/nonexistent.pem"}, "tls_ca_file"),
        ({"name": "a", "thumbprint": "00" * 32}, "tls_wrong_thumbprint"),
        ({"name": "a", "thumbprint": "00"}, "invalid_option"),
    ],
)
def test_a_failure_is_one_message_with_its_code(module, params, error_code):
    result = module.run(**params)
    assert result["failed"] is True
    assert result["error_code"] == error_code
    assert "\n" not in result["msg"]
    assert result["msg"].endswith((".", "?"))
    assert module.clones() == []


@pytest.mark.parametrize("option", ["guestinfo", "extra_config"])
@pytest.mark.parametrize("value", [5, True, ["a"], "hunter2"])
def test_guestinfo_of_another_type_is_refused_without_quoting_it(module, option, value):
    result = module.run(name="a", **{option: value})
    assert result["failed"] is True
    assert "hunter2" not in json.dumps(result)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_in_mid_batch_leaves_an_exact_account(module, number):
    result = module.result(_stop_in_mid_batch(module, number))
    assert result["error_code"] == "interrupted"
    assert f"The run was ended by {number.name}." in result["msg"]
    made = sorted(clone["name"] for clone in result["clones"] if clone["action"] == "created")
    assert module.clones() == made
    # Of the two calls that were under way one may still wait in vCenter for the other, and is then cancelled.
    assert len(made) in (6, 7)
    codes = [clone["error_code"] for clone in result["failures"]]
    assert sorted(codes) == ["cancelled"] * (7 - len(made)) + ["not_attempted"] * 5
    again = module.run(clones=_TWELVE)
    assert again["counts"] == {"created": 12 - len(made), "unchanged": len(made)}
    assert module.calls("InstantClone_Task") == 12 - len(made)
    assert module.clones() == [clone["name"] for clone in _TWELVE]


def test_after_a_kill_in_mid_batch_exactly_the_missing_clones_are_made(module):
    process = _stop_in_mid_batch(module, signal.SIGKILL)
    process.communicate()
    # vCenter has the two calls that were under way, whether or not anybody waits for them.
    end = time.monotonic() + PATIENCE
    while len(module.clones()) < 7 and time.monotonic() < end:
        pass
    again = module.run(clones=_TWELVE)
    assert again["counts"] == {"created": 5, "unchanged": 7}
    assert module.calls("InstantClone_Task") == 5
    assert module.clones() == [clone["name"] for clone in _TWELVE]


def test_a_run_that_is_interrupted_and_rolls_back_leaves_nothing(module):
    result = module.result(_stop_in_mid_batch(module, signal.SIGTERM, on_error="rollback"))
    assert result["counts"]["rolled_back"] >= 6
    assert result["counts"]["rolled_back"] + result["counts"]["failed"] == 12
    assert result["changed"] is False
    assert module.clones() == []


def test_a_signal_while_addresses_are_waited_for_still_reports_what_was_made(module):
    module.sim.patch_vm("golden-parent", guest={"hang": True})
    process = module.start(clones=_TWELVE[:3], wait_for_ip_address=True)
    module.until_called(process, "CreateFilter", 2)
    process.send_signal(signal.SIGTERM)
    result = module.result(process)
    assert "The run was ended by SIGTERM." in result["msg"]
    assert {clone["name"]: clone["moid"] for clone in result["clones"]} == {
        name: module.sim.vm(name)["moid"] for name in module.clones()
    }
    assert result["changed"] is True


def test_the_argument_spec_and_the_documentation_of_the_items_agree():
    """What one clone may have is listed twice in the options; an item has it all, and a name."""
    spec = instant_clone.argument_spec()
    items = spec["clones"]["options"]
    for name, option in items.items():
        if name != "name":
            assert spec[name] == option, name
    assert spec["guestinfo"]["no_log"] is True
    assert spec["extra_config"]["no_log"] is True
    assert items["guestinfo"]["no_log"] is True
    assert items["extra_config"]["no_log"] is True
