# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cloud-init reads of keys of extraConfig."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: from_guestinfo
short_description: What cloud-init reads of keys of extraConfig
version_added: 0.9.0
description:
  - Decodes metadata, user data and vendor data as cloud-init's VMware data source
    does, whichever encoding they have.
positional: _input
options:
  _input:
    description: A mapping of keys of extraConfig, with or without the prefix
      C(guestinfo.), to their values.
    type: dict
    required: true
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: What has another tool given to this VM?
  ansible.builtin.debug:
    msg: "{{ (advanced_settings | vforge.vsphere.from_guestinfo).userdata }}"
"""

RETURN = r"""
_value:
  description: C(metadata), C(userdata) and C(vendordata) as texts, null
    for what is absent or redacted.
  type: dict
"""


def from_guestinfo(pairs: t.Any) -> dict[str, str | None]:
    """The texts.

    :raises AnsibleFilterError: when a value is not what its encoding says.
    """
    # Imported here, since Ansible loads all filters of a collection in each task that uses one of
    # them.
    from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit import bundle
    from ansible_collections.vforge.vsphere.plugins.module_utils._errors import VforgeError

    if not isinstance(pairs, dict):
        raise AnsibleFilterError("from_guestinfo wants a mapping of keys of extraConfig to their values.")
    try:
        return bundle.unpacked(pairs)
    except VforgeError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter, for Ansible."""

    def filters(self) -> dict[str, t.Callable[[t.Any], dict[str, str | None]]]:
        """Name and function."""
        return {"from_guestinfo": from_guestinfo}
