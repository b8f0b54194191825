# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data for cloud-init as keys of extraConfig."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: to_guestinfo
short_description: Data for cloud-init as keys of extraConfig
version_added: 0.9.0
description:
  - Makes of metadata, user data and vendor data the keys that cloud-init's VMware
    data source reads, for C(extra_config) of a module that makes VMs, so that they
    are there before the first boot.
  - They are what P(vforge.vsphere.cloud_init_guestinfo#module) would write, so that this module
    finds nothing to change later.
positional: _input
options:
  _input:
    description:
      - A mapping with C(metadata), C(userdata) and C(vendordata), each as in
        P(vforge.vsphere.cloud_init_guestinfo#module).
      - C(metadata) must have an C(instance_id).
    type: dict
    required: true
  encoding:
    description:
      - How values are written, as in P(vforge.vsphere.cloud_init_guestinfo#module).
    type: str
    choices: [auto, base64, gzip+base64, plain]
    default: auto
  report:
    description:
      - Whether the script goes with them that reports when cloud-init has finished, as with
        C(wait=finished) of the module.
    type: bool
    default: false
  validate:
    description:
      - How strictly cloud-config is checked, as in P(vforge.vsphere.cloud_init_guestinfo#module).
    type: str
    choices: [none, syntax, schema]
    default: syntax
  schema_path:
    description:
      - Where cloud-init's schema is, as in P(vforge.vsphere.cloud_init_guestinfo#module).
    type: path
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: An instant clone that gets its identity from cloud-init when it wakes
  vforge.vsphere.instant_clone:
    parent:
      name: golden-parent
    name: web-1
    extra_config: >-
      {{ {'metadata': {'instance_id': 'web-1-' ~ build, 'local_hostname': 'web-1'}, 'userdata': {'packages': ['nginx']}}
         | vforge.vsphere.to_guestinfo }}
"""

RETURN = r"""
_value:
  description: The keys and their values.
  type: dict
  sample:
    guestinfo.userdata: I2Nsb3VkLWNvbmZpZwp7fQo=
    guestinfo.userdata.encoding: base64
"""


def to_guestinfo(
    data: t.Any, encoding: str = "auto", report: bool = False, validate: str = "syntax", schema_path: str | None = None
) -> dict[str, str]:
    """The pairs.

    :raises AnsibleFilterError: when cloud-init could not use the data.
    """
    # Imported here, since Ansible loads all filters of a collection in each task that uses one of
    # them.
    from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit import bundle, checks, documents
    from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit.encoding import ENCODINGS
    from ansible_collections.vforge.vsphere.plugins.module_utils._errors import VforgeError

    if not isinstance(data, dict):
        raise AnsibleFilterError("to_guestinfo wants a mapping with metadata, userdata and vendordata.")
    if encoding not in ENCODINGS:
        raise AnsibleFilterError(f"to_guestinfo knows the encodings {', '.join(ENCODINGS)}.")
    if validate not in documents.LEVELS:
        raise AnsibleFilterError(f"to_guestinfo knows validate as {', '.join(documents.LEVELS)}.")
    try:
        return bundle.packed(data, encoding, report=report, content=checks.Content(validate, schema_path or None))
    except VforgeError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """The filter, for Ansible."""

    def filters(self) -> dict[str, t.Callable[..., dict[str, str]]]:
        """Name and function."""
        return {"to_guestinfo": to_guestinfo}
