# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role instant_clone_fleet in playbooks: what it costs, how it fails, and what govc sees of it."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.vforge.vsphere.plugins.modules import fleet_plan

# Where the folder ansible_collections lies, in the run's copy of the checkout.
_COLLECTIONS = str(Path(fleet_plan.__file__).parents[5])

# Rounds of one long question, which budgets of calls leave out.
_ROUNDS = ("WaitForUpdatesEx", "ContinueRetrievePropertiesEx")

_PARENTS = ("DC0_C0_H0", "DC0_C0_H1", "DC0_C0_H2")


@dataclasses.dataclass(frozen=True)
class Ran:
    """A play that ended: what it printed, what it left in variables, and what the server counted by method."""

    code: int
    output: str
    left: dict[str, Any]
    calls: dict[str, int]

    @property
    def total(self) -> int:
        """Calls in the budget."""
        return sum(count for method, count in self.calls.items() if method not in _ROUNDS)

    @property
    def clones(self) -> list[dict[str, Any]]:
        """The entries of the clone task."""
        return list(self.left["result"]["clones"])

    @property
    def counts(self) -> dict[str, int]:
        """What was done with how many clones."""
        return dict(self.left["result"]["counts"])


class Fleet:
    """Plays the role against one simulator, for a fleet web-### of a VM that is powered off."""

    def __init__(self, sim: Any, folder: Path) -> None:
        self.sim = sim
        self._folder = folder
        sim.create_vm("golden", on=False)

    def start(self, *words: str, **given: Any) -> subprocess.Popen[str]:
        """Start a play; the variables of the role are given without their prefix."""
        asked = {
            "name": "web-###",
            "golden": {"path": "/DC0/vm/golden"},
            "golden_version": "1",
            "clusters": ["DC0_C0"],
            "folder": "DC0_F0",
            "guest_username": self.sim.guest_username,
            "guest_password": self.sim.guest_password,
            **given,
        }
        keep = {
            "result": "{{ instant_clone_fleet_result | default({}) }}",
            "plan": "{{ instant_clone_fleet_plan | default({}) }}",
            "groups": "{{ groups }}",
        }
        role = {"name": "vforge.vsphere.instant_clone_fleet"}
        steps = {
            "block": [{"ansible.builtin.include_role": role}],
            "always": [{"ansible.builtin.copy": {"dest": "left.json", "content": "{{ kept | to_json }}"}, "check_mode": False}],
        }
        variables = {**{f"instant_clone_fleet_{name}": value for name, value in asked.items()}, "kept": keep}
        play = [{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": [steps]}]
        (self._folder / "play.json").write_text(json.dumps(play), encoding="utf-8")
        self.sim.reset_calls()
        return subprocess.Popen(
            [sys.executable, "-c", "from ansible.cli.playbook import main; main()", *words, "play.json"],
            cwd=self._folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *words: str, **given: Any) -> Ran:
        """Play to the end."""
        with self.start(*words, **given) as process:
            output, _none = process.communicate()
        left = json.loads((self._folder / "left.json").read_text(encoding="utf-8"))
        return Ran(process.returncode, output, left, self.sim.calls()["by_method"])

    def vms(self, pattern: str) -> dict[str, dict[str, Any]]:
        """The VMs of the fleet's folder, as govc reads them."""
        found = self.sim.govc("vm.info", f"/DC0/vm/DC0_F0/{pattern}")["virtualMachines"] or []
        return {vm["name"]: vm for vm in found}

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "HOME": str(self._folder),
            "ANSIBLE_HOME": str(self._folder / "ansible"),
            "ANSIBLE_COLLECTIONS_PATH": _COLLECTIONS,
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "XDG_RUNTIME_DIR": str(self._folder),
            "VMWARE_HOST": self.sim.host,
            "VMWARE_PORT": str(self.sim.port),
            "VMWARE_USER": self.sim.username,
            "VMWARE_PASSWORD": self.sim.password,
            "VMWARE_CA_PATH": self.sim.ca,
        }


@pytest.fixture
def start(make_sim, tmp_path):
    """A function that starts a simulator with the given flags, with a golden VM in it."""
    return lambda *flags: Fleet(make_sim("--clone-time", "1ms", *flags), tmp_path)


def _assert_relations(fleet: Fleet, ran: Ran) -> None:
    """Module, marks and disks tell of the same parents, and each clone is on the host of its own."""
    parents = fleet.vms("web-parent-*")
    by_uuid = {vm["config"]["instanceUuid"]: vm for vm in parents.values()}
    seen = fleet.vms("web-[0-9]*")
    assert sorted(seen) == sorted(clone["name"] for clone in ran.clones)
    for clone in ran.clones:
        vm = seen[clone["name"]]
        extra = {pair["key"]: pair["value"] for pair in vm["config"]["extraConfig"]}
        uuid, name = extra["vforge.clone"].split(" ")
        parent = by_uuid[uuid]
        assert (name, clone["parent"]) == (vm["name"], f"/DC0/vm/DC0_F0/{parent['name']}")
        assert vm["runtime"]["host"] == parent["runtime"]["host"]
        files = {file["key"]: file["name"] for file in vm["layoutEx"]["file"]}
        chain = [files[unit["fileKey"][0]] for unit in vm["layoutEx"]["disk"][0]["chain"]]
        assert f"/{parent['name']}." in chain[0]
        assert f"{vm['name']}/" in chain[-1]


def test_300_over_three_parents_with_one_in_twenty_failing(start):
    """Exact accounts, and the second run makes exactly the missing ones."""
    fleet = start("--vms", "10")
    fleet.sim.inject(method="InstantClone_Task", every=20, times=0, do="task-fault", fault="InsufficientResourcesFault")
    first = fleet.run(count=300)
    assert first.code == 2
    assert first.counts == {"created": 285, "failed": 15}
    assert {each["fault"] for each in first.left["result"]["failed_clones"]} == {"InsufficientResourcesFault"}
    assert len(first.left["result"]["failed_clones"]) == 15
    assert first.calls["InstantClone_Task"] == 300
    assert first.calls["CloneVM_Task"] == 3
    assert first.calls["Login"] == 1
    assert first.total <= 300 + 60
    assert len(fleet.vms("web-[0-9]*")) == 285
    fleet.sim.clear()
    second = fleet.run(count=300)
    assert second.code == 0, second.output
    assert second.counts == {"created": 15, "unchanged": 285}
    assert second.calls["InstantClone_Task"] == 15
    assert {"CloneVM_Task", "Login", "StartProgramInGuest"}.isdisjoint(second.calls)
    assert second.total <= 15 + 20
    hosts = collections.Counter(clone["host"] for clone in second.clones)
    assert hosts == dict.fromkeys(_PARENTS, 100)
    assert len(second.left["groups"]["web"]) == 300
    _assert_relations(fleet, second)


def test_the_cost_does_not_depend_on_the_inventory(start):
    fleet = start("--vms", "10000")
    ran = fleet.run(count=300)
    assert ran.code == 0, ran.output
    assert ran.counts == {"created": 300}
    assert (ran.calls["InstantClone_Task"], ran.calls["Login"]) == (300, 1)
    assert ran.total <= 300 + 60


def test_one_parent_that_does_not_freeze_is_removed_and_the_next_run_makes_it(start):
    fleet = start("--vms", "2")
    fleet.sim.inject(method="StartProgramInGuest", name="web-parent-DC0_C0_H1-*", do="fault", fault="GuestPermissionDenied")
    failed = fleet.run("-vvv", count=3)
    assert failed.code == 2
    assert "not frozen were removed again" in failed.output
    assert fleet.sim.guest_password not in failed.output
    assert {name[len("web-parent-") :][:9] for name in fleet.vms("web-*")} == {"DC0_C0_H0", "DC0_C0_H2"}
    fleet.sim.clear()
    again = fleet.run(count=3)
    assert again.code == 0, again.output
    assert (again.calls["CloneVM_Task"], again.calls["InstantClone_Task"]) == (1, 3)
    _assert_relations(fleet, again)


def test_parents_that_a_killed_run_has_left_are_finished(start):
    fleet = start("--vms", "2")
    fleet.sim.inject(method="CreateTemporaryDirectoryInGuest", times=0, do="delay", delay_ms=60_000)
    with fleet.start(count=3) as process:
        while fleet.sim.calls()["by_method"].get("CreateTemporaryDirectoryInGuest", 0) < 3 and process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        os.killpg(process.pid, 9)
        process.communicate()
    fleet.sim.clear()
    assert len(fleet.vms("web-parent-*")) == 3
    again = fleet.run(count=3)
    assert again.code == 0, again.output
    assert again.left["plan"]["counts"]["seeds"] == 3
    assert "CloneVM_Task" not in again.calls
    assert again.counts == {"created": 3}


def test_without_kept_sessions_each_task_logs_in_once(start, monkeypatch):
    fleet = start("--vms", "2")
    monkeypatch.setenv("VMWARE_SESSION_CACHE", "false")
    ran, again = fleet.run(count=3), fleet.run(count=3)
    assert (ran.calls["Login"], again.calls["Login"]) == (4, 2)
    assert ran.total <= 3 + 60


def test_addresses_of_a_list_are_handed_out_by_number(start):
    fleet = start("--vms", "2")
    given = [f"10.9.8.{n}/24" for n in (31, 21, 11)]
    ran = fleet.run(count=3, addresses=given, hosts=["DC0_C0_H2"], group="front")
    assert ran.code == 0, ran.output
    assert [clone["ip"] for clone in ran.clones] == ["10.9.8.31", "10.9.8.21", "10.9.8.11"]
    assert {clone["host"] for clone in ran.clones} == {"DC0_C0_H2"}
    assert ran.left["groups"]["front"] == ["web-001", "web-002", "web-003"]
    other = fleet.run(count=3, addresses=["10.9.8.41/24", *given[1:]], hosts=["DC0_C0_H2"], group="front")
    assert other.counts == {"unchanged": 3}
    assert "web-001: the option addresses has another address now" in " ".join(other.output.split())
    few = fleet.run(count=4, addresses=given)
    assert few.code == 2
    assert "3 addresses for 4 VMs" in few.output
