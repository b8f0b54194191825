# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What roles call a failure: nothing that fails passes for something else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import environment
from vforge_playbook import run_playbook

_FILES = sorted((Path(__file__).parents[4] / "roles").glob("*/tasks/*.yml"))


def _tasks(entries: Any) -> Iterator[dict[str, Any]]:
    for entry in entries or ():
        yield entry
        for part in ("block", "rescue", "always"):
            yield from _tasks(entry.get(part))


def _with(keyword: str) -> list[Any]:
    found = [(file, task) for file in _FILES for task in _tasks(yaml.safe_load(file.read_text(encoding="utf-8")))]
    named = [pytest.param(task, id=f"{file.parts[-3]}: {task['name']}") for file, task in found if keyword in task]
    assert len(named) > 10
    return named


@pytest.mark.parametrize("task", _with("failed_when"))
def test_what_has_no_error_code_fails_too(task):
    """As where a module cannot start, or Ansible ends it: only results that have what comes next may pass."""
    condition = str(task["failed_when"])
    assert "error_code" not in condition or re.search(r"\.\w+ is not defined", condition)


@pytest.mark.parametrize("task", _with("failed_when"))
def test_no_failure_is_reported_by_changed_where_changed_when_has_overwritten_it(task):
    """Ansible looks at changed_when first, and puts what it says into the registered result."""
    told = re.search(rf"\b{task['register']}(\.changed| is changed)", str(task["failed_when"]))
    assert "changed_when" not in task or told is None


@pytest.mark.parametrize("task", _with("changed_when"))
def test_changed_when_asks_for_nothing_that_a_failure_lacks(task):
    """From ansible-core 2.22 on its own failure takes the place of the module's."""
    assert "register" not in task or not re.search(rf"\b{task['register']}\.\w+\[", str(task["changed_when"]))


def test_what_is_asked_again_until_something_is_so_is_asked_again_after_a_failure():
    """Of a failure a condition on what a result has is an error, which ends the task in another one's words."""
    found = [task for file in _FILES for task in _tasks(yaml.safe_load(file.read_text(encoding="utf-8"))) if "until" in task]
    assert len(found) > 0
    assert [task["name"] for task in found if f"{task['register']}." in task["until"] and "default(" not in task["until"]] == []


def test_a_module_that_cannot_start_ends_the_role_with_what_is_wrong(tmp_path):
    given = {"evc_baseline_cluster": "DC0_C0", "ansible_python_interpreter": "/nowhere/python3"}
    role = {"ansible.builtin.include_role": {"name": "vforge.vsphere.evc_baseline"}}
    play = {"hosts": "localhost", "gather_facts": False, "vars": given, "tasks": [role]}
    (tmp_path / "play.json").write_text(json.dumps([play]), encoding="utf-8")
    code, output = run_playbook("play.json", cwd=tmp_path, env=environment(tmp_path))
    assert (code, "/nowhere/python3" in output, "Sort out hosts and VMs" in output) == (2, True, False), output
