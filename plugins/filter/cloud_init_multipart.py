# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several parts of user data as one."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: cloud_init_multipart
short_description: Several parts of user data as one
version_added: 0.9.0
description:
  - Makes one MIME message of cloud-config, scripts and other parts, as cloud-init takes them. The
    same parts always make the same message.
positional: _input
options:
  _input:
    description:
      - The parts. Each is a text that begins with a header of cloud-init, a mapping of
        cloud-config, or a mapping with C(content) and, if need be, C(type), C(filename) and
        C(merge), which says how cloud-init joins it with other parts.
    type: list
    elements: raw
    required: true
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: User data of two parts
  ansible.builtin.set_fact:
    userdata: "{{ [{'packages': ['nginx']}, lookup('file', 'setup.sh')] | vforge.vsphere.cloud_init_multipart }}"
"""

RETURN = r"""
_value:
  description: The message.
  type: str
"""


def cloud_init_multipart(parts: t.Any) -> str:
    """The message.

    :raises AnsibleFilterError: when a part does not say what it is.
    """
    # Imported here, since Ansible loads all filters of a collection in each task that uses one of
    # them.
    from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit import multipart
    from ansible_collections.vforge.vsphere.plugins.module_utils._errors import VforgeError

    if not isinstance(parts, list):
        raise AnsibleFilterError("cloud_init_multipart wants a list of parts.")
    try:
        return multipart.message(parts)
    except VforgeError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter, for Ansible."""

    def filters(self) -> dict[str, t.Callable[[t.Any], str]]:
        """Name and function."""
        return {"cloud_init_multipart": cloud_init_multipart}
