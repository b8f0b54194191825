# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mappings with some of their keys alone."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.plugin_utils import task_results

DOCUMENTATION = r"""
name: only_keys
short_description: Take some keys of each mapping in a list
version_added: 0.9.0
description:
  - Turns entries of a result, or of a variable, into what an option of the next task takes, such as their C(moid) alone.
  - The same in Jinja's own filters costs several of them for each entry, which 1,000 VMs feel.
positional: _input, keys
options:
  _input:
    description: The mappings.
    type: list
    elements: dict
    required: true
  keys:
    description: The keys that stay. What a mapping has not is left out.
    type: list
    elements: str
    required: true
seealso:
  - plugin: vforge.vsphere.joined
    plugin_type: filter
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Restart what has to be restarted
  vforge.vsphere.evc:
    vms: "{{ asked.cluster.interrupted | vforge.vsphere.only_keys(['moid']) }}"
    mode: intel-haswell
    power_cycle: true
"""

RETURN = r"""
_value:
  description: The mappings in their order, each with these keys alone.
  type: list
  elements: dict
"""


def only_keys(entries: t.Any, keys: t.Any) -> list[dict[str, t.Any]]:
    """Each mapping with these keys alone.

    :raises AnsibleFilterError: when the input is no list of mappings, or the keys are no list.
    """
    if not isinstance(keys, (list, tuple)):
        raise task_results.refusal("only_keys wants a list of keys.", keys)
    return [{key: entry[key] for key in keys if key in entry} for entry in task_results.mappings(entries, "only_keys")]


class FilterModule:
    """The filter, for Ansible."""

    def filters(self) -> dict[str, t.Callable[..., list[dict[str, t.Any]]]]:
        """Name and function."""
        return {"only_keys": only_keys}
