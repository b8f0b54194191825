# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell which templates were made of OVF packages."""

DOCUMENTATION = r"""
module: cached_ovf_template_info
short_description: Tell which templates were made of OVF packages
version_added: 0.9.0
description:
  - Lists the templates that M(vforge.vsphere.cached_ovf_template) has made, with the digest of the
    package that each was made of, the versions of one name, and on request the VMs that depend on
    their disks. Those that are being made are listed, too.
options:
  name:
    description:
      - Name of a template. All of its versions are returned. By default all templates are.
    type: str
  datacenter:
    description:
      - Name or path of the datacenter to look in.
    type: str
  folder:
    description:
      - VM folder, as a whole path (V(/DC0/vm/web)) or below the VM
        folder of the datacenter (V(web)).
      - Without it and O(datacenter) the whole inventory is searched, in one traversal.
    type: str
  recurse:
    description:
      - Whether the folders below O(folder) are looked in, too.
      - Without it only that folder is, by default the VM folder of the datacenter. That is where
        M(vforge.vsphere.cached_ovf_template) has a template and its versions with the same
        O(datacenter) and O(folder).
    type: bool
    default: true
  used_by:
    description:
      - Whether the VMs are returned that depend on the disks of each template. For this the disks
        of all VMs on its datastores are read, in one call.
    type: bool
    default: false
  timeout:
    description:
      - Seconds that the task may take, from its beginning.
    type: int
    default: 300
extends_documentation_fragment:
  - vforge.vsphere.connection
  - vforge.vsphere.attributes
attributes:
  check_mode:
    support: full
    details:
      - Never changes anything.
  diff_mode:
    support: none
  idempotent:
    support: full
  action_group:
    support: full
seealso:
  - module: vforge.vsphere.cached_ovf_template
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Which versions of a template are there, and which VMs hold the old ones?
  vforge.vsphere.cached_ovf_template_info:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    name: debian-13
    datacenter: Berlin
    folder: templates
    used_by: true
  register: versions

- name: Show them
  ansible.builtin.debug:
    msg: "{{ item.name }} {{ item.digest }} is used by {{ item.used_by | length }} VMs"
  loop: "{{ versions.templates }}"
  loop_control:
    label: "{{ item.path }}"
"""

RETURN = r"""
templates:
  description: One entry for each template, sorted by path.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
      sample: debian-13
    moid:
      description: Managed object ID.
      type: str
      sample: vm-42
    path:
      description: Inventory path.
      type: str
      sample: /Berlin/vm/templates/debian-13
    instance_uuid:
      description: Instance UUID.
      type: str
    digest:
      description: Digest of the package that it was made of.
      type: str
      sample: sha256:99a5ac28d48817dbb03d73a4745bc7c731ec821cdc369045c274d677f0e9f8a6
    host:
      description: ESXi host.
      type: str
    cluster:
      description: Cluster.
      type: str
    datastores:
      description: Datastores.
      type: list
      elements: str
    version_of:
      description: The name that was asked for when it was made.
      type: str
    source:
      description: Where it came from.
      type: str
    state:
      description:
        - V(ready), V(importing) while its disks are carried or when the run that did so has died,
          V(unpublished) when it only has to be marked as a template, or V(unknown) while vCenter
          has no configuration of it yet.
      type: str
      sample: ready
    owner:
      description: The run that made it, as an ID, the machine and the time of its begin.
      type: str
    used_by:
      description: Names of the VMs that depend on its disks.
      returned: with O(used_by=true)
      type: list
      elements: str
    users:
      description: The same VMs, each with C(name) and C(moid), since names may repeat.
      returned: with O(used_by=true)
      type: list
      elements: dict
      contains:
        name:
          description: Name.
          type: str
        moid:
          description: Managed object ID.
          type: str
timing:
  description: Seconds by phase.
  returned: always
  type: dict
calls:
  description: SOAP calls of the task, with C(total), C(update_rounds) (waiting, not in the total),
    C(by_method), C(bytes_received) and, of these, C(bytes_by_phase).
  returned: when a connection was tried
  type: dict
error_code:
  description: A stable code for what went wrong, such as V(not_found) or V(wrong_credentials).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.info import InfoOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.info import run as read_templates


def argument_spec():
    """The options of the module."""
    return {
        **_argspec.connection(),
        "name": {"type": "str"},
        "datacenter": {"type": "str"},
        "folder": {"type": "str"},
        "recurse": {"type": "bool", "default": True},
        "used_by": {"type": "bool", "default": False},
        **_argspec.timeout(),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.connection_rules()


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), InfoOptions.from_params)
    run(module, InfoOptions.from_params, read_templates)


if __name__ == "__main__":
    main()
