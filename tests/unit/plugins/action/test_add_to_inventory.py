# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles add hosts to the inventory only where that is asked for: each round of a loop costs milliseconds, skipped or not."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml
from ansible.module_utils.parsing.convert_bool import boolean
from jinja2.nativetypes import NativeEnvironment

ROLES = pathlib.Path(__file__).parents[4] / "roles"
TASKS = {
    "guest_cloud_init": "inventory.yml",
    "instant_clone_fleet": "clone.yml",
    "ovf_linked_clones": "guestinfo.yml",
    "vmfork_fleet": "clone.yml",
}
HOSTS = [{"name": "web-1", "address": "10.0.0.1"}]


def _loading(path: pathlib.Path) -> t.Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_every_role_that_adds_hosts_is_here():
    adding = {path.parts[-3] for path in ROLES.glob("*/tasks/*.yml") if "add_host:" in path.read_text(encoding="utf-8")}
    assert adding == set(TASKS)


@pytest.mark.parametrize("role", sorted(TASKS))
def test_the_loop_over_hosts_is_empty_where_none_is_to_be_added(role):
    (task,) = [each for each in _loading(ROLES / role / "tasks" / TASKS[role]) if "ansible.builtin.add_host" in each]
    assert "when" not in task
    environment = NativeEnvironment()
    environment.filters["bool"] = boolean
    loop = environment.from_string(task["loop"])
    known = {f"{role}_reported": {"hosts": HOSTS}}
    assert loop.render({**known, f"{role}_add_to_inventory": True}) == HOSTS
    for switched_off in (False, "false", "no"):
        assert loop.render({**known, f"{role}_add_to_inventory": switched_off}) == []
    assert _loading(ROLES / role / "defaults" / "main.yml")[f"{role}_add_to_inventory"] is True
