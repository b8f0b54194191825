# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mappings with what another mapping has for each of them."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.plugin_utils import task_results

DOCUMENTATION = r"""
name: joined
short_description: Add to each mapping in a list what another mapping has for it
version_added: 0.9.0
description:
  - Looks each entry up in a mapping by one of its keys, most often its C(name), and puts what is there over it.
positional: _input, found_by_key
options:
  _input:
    description: The mappings.
    type: list
    elements: dict
    required: true
  found_by_key:
    description: A mapping with a mapping for each entry. An entry that it has not stays as it is.
    type: dict
    required: true
  key:
    description: The key of an entry whose value is looked up.
    type: str
    default: name
seealso:
  - plugin: vforge.vsphere.only_keys
    plugin_type: filter
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Give each clone its guestinfo
  vforge.vsphere.linked_clone:
    source: {name: golden}
    clones: "{{ clones | vforge.vsphere.joined(roles_of_clones) }}"
  vars:
    clones: [{name: web-1}, {name: db-1}]
    roles_of_clones:
      web-1: {guestinfo: {role: web}}
      db-1: {guestinfo: {role: db}}
"""

RETURN = r"""
_value:
  description: The mappings in their order.
  type: list
  elements: dict
"""


def joined(entries: t.Any, found_by_key: t.Any, key: str = "name") -> list[dict[str, t.Any]]:
    """Each mapping with what is found for its key over it.

    :raises AnsibleFilterError: when the input is no list of mappings, one has not the key, there
        is no mapping to look in, or something else than a mapping in it.
    """
    if not isinstance(found_by_key, dict):
        raise task_results.refusal("joined wants a mapping to look in.", found_by_key)
    result = []
    for entry in task_results.mappings(entries, "joined"):
        if key not in entry:
            raise task_results.refusal(f"joined wants entries with the key {key}.", entry)
        found = found_by_key.get(entry[key], {})
        if not isinstance(found, dict):
            raise task_results.refusal(f"joined wants a mapping for {entry[key]}.", found)
        # Not by **, which would take values of Ansible's that are still to be rendered as they lie there.
        result.append(dict([*entry.items(), *found.items()]))
    return result


class FilterModule:
    """The filter, for Ansible."""

    def filters(self) -> dict[str, t.Callable[..., list[dict[str, t.Any]]]]:
        """Name and function."""
        return {"joined": joined}
