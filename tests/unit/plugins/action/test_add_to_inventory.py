# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles add hosts to the inventory: those of each host of a play, and only where that is asked for."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
import yaml

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import environment, kept
from vforge_playbook import run_playbook

ROLES = pathlib.Path(__file__).parents[4] / "roles"
TASKS = {
    "guest_cloud_init": "inventory.yml",
    "instant_clone_fleet": "clone.yml",
    "ovf_linked_clones": "guestinfo.yml",
    "vmfork_fleet": "clone.yml",
}


def _loading(path: pathlib.Path) -> t.Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_every_role_that_adds_hosts_is_here():
    adding = {path.parts[-3] for path in ROLES.glob("*/tasks/*.yml") if "add_host:" in path.read_text(encoding="utf-8")}
    assert adding == set(TASKS)


@pytest.mark.parametrize("role", sorted(TASKS))
def test_each_host_of_a_play_has_the_task_from_an_include_of_its_own(role):
    (include,) = [
        each
        for each in _loading(ROLES / role / "tasks" / TASKS[role])
        if each.get("ansible.builtin.include_tasks") == "add_hosts.yml"
    ]
    assert (include["loop"], include["when"]) == (["{{ inventory_hostname }}"], f"{role}_add_to_inventory | bool")
    assert _loading(ROLES / role / "defaults" / "main.yml")[f"{role}_add_to_inventory"] is True
    (task,) = _loading(ROLES / role / "tasks" / "add_hosts.yml")
    assert task["loop"] == f"{{{{ {role}_reported.inventory }}}}"
    # Each argument of its own would be one more template to compile, for each host.
    assert task["ansible.builtin.add_host"] == f"{{{{ {role}_added }}}}"


def _played(folder: pathlib.Path, hosts: dict[str, dict[str, t.Any]], tasks: list[dict[str, t.Any]]) -> tuple[str, t.Any]:
    """Play tasks on several hosts; returns what is said, and the groups of the inventory then."""
    inventory = {"all": {"vars": {"ansible_connection": "local"}, "hosts": hosts}}
    (folder / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")
    play = {"hosts": "all", "gather_facts": False, "tasks": tasks}
    after = {"hosts": "localhost", "gather_facts": False, "tasks": [kept("{{ groups | to_json }}", folder / "left.json")]}
    (folder / "play.json").write_text(json.dumps([play, after]), encoding="utf-8")
    code, output = run_playbook("-i", "hosts.json", "play.json", cwd=folder, env=environment(folder))
    assert code == 0, output
    return output, json.loads((folder / "left.json").read_text(encoding="utf-8"))


def _reporting(vm: str, address: str, group: str, **more: t.Any) -> dict[str, t.Any]:
    """Variables of a host whose role has made one VM."""
    return {
        "guest_cloud_init_source": {"name": "template"},
        "guest_cloud_init_guests": [{"name": vm}],
        "guest_cloud_init_result": {"vms": [{"name": vm, "instance_uuid": vm, "local_ipv4": address}]},
        "guest_cloud_init_group": group,
        **more,
    }


_ADD = {"ansible.builtin.include_role": {"name": "vforge.vsphere.guest_cloud_init", "tasks_from": "inventory"}}


def test_the_vms_of_all_hosts_of_a_play_are_added(tmp_path):
    hosts = {
        "vcenter-a": _reporting("web-1", "10.0.0.1", "web"),
        "vcenter-b": _reporting("db-1", "10.0.0.2", "db"),
        "vcenter-c": _reporting("old-1", "10.0.0.3", "old", guest_cloud_init_add_to_inventory="false"),
    }
    _output, groups = _played(tmp_path, hosts, [_ADD])
    assert (groups["web"], groups["db"], "old" in groups) == (["web-1"], ["db-1"], False)


def test_a_role_in_a_loop_keeps_the_item_of_its_user(tmp_path):
    hosts = {"vcenter-a": _reporting("web-1", "10.0.0.1", "{{ item }}")}
    output, groups = _played(tmp_path, hosts, [{**_ADD, "loop": ["blue", "green"]}])
    assert (groups["blue"], groups["green"]) == (["web-1"], ["web-1"])
    assert "already in use" not in output


def test_every_loop_of_a_role_has_a_variable_of_its_own():
    """``item`` is the user's, who may play the role in a loop."""

    def tasks_of(entries: t.Any) -> t.Iterator[dict[str, t.Any]]:
        for entry in entries or ():
            yield entry
            for part in ("block", "rescue", "always"):
                yield from tasks_of(entry.get(part))

    files = sorted(ROLES.glob("*/tasks/*.yml"))
    looping = [(file, task) for file in files for task in tasks_of(_loading(file)) if "loop" in task]
    assert len(looping) > 10
    for file, task in looping:
        assert task.get("loop_control", {}).get("loop_var", "item").startswith(f"{file.parts[-3]}_"), (file, task["name"])
