# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What roles must not do with thousands of VMs: start a module for each, or compare each with each."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from ansible_collections.vforge.vsphere.plugins.modules import instant_clone

_ROLES = Path(instant_clone.__file__).parents[2] / "roles"
_FILES = sorted(_ROLES.glob("*/tasks/*.yml"))

_ACTIONS = re.compile(r"[a-z_]+\.[a-z_]+\.[a-z0-9_]+")

# Modules that are started for each of a list, since these lists are short: templates of nodes, and kinds of Kubernetes objects.
_FEW = {
    ("capv_cluster/tasks/learn.yml", "kubernetes.core.k8s_info"),
    ("capv_node_template/tasks/management.yml", "kubernetes.core.k8s_info"),
    ("capv_node_template/tasks/unused.yml", "vforge.vsphere.cached_ovf_template"),
}

# These run on the controller, without a module: no other way adds hosts.
_WITHOUT_MODULE = {f"ansible.builtin.{action}" for action in ("add_host", "assert", "include_tasks", "set_fact")}


def _tasks(found):
    for each in found or []:
        yield each
        for key in ("block", "rescue", "always"):
            yield from _tasks(each.get(key))


def test_no_role_starts_a_module_for_each_of_a_long_list():
    looped = {
        (str(path.relative_to(_ROLES)), action)
        for path in _FILES
        for task in _tasks(yaml.safe_load(path.read_text(encoding="utf-8")))
        if "loop" in task
        for action in task
        if _ACTIONS.fullmatch(action) and action not in _WITHOUT_MODULE
    }
    assert len(_FILES) > 30
    assert looped == _FEW


def test_what_is_looked_for_among_many_is_looked_for_in_a_mapping():
    """Jinja compares a value with each of a list: of 4,000 VMs with 4,000 that is half a minute, and a moment in a mapping."""
    lists = re.compile(r"'in', [^'{}]*map\(attribute='\w+'\)\)")
    found = [(path.relative_to(_ROLES).as_posix(), lists.findall(path.read_text(encoding="utf-8"))) for path in _FILES]
    assert [each for each in found if each[1]] == []
