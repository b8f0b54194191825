# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell what is known of the parents of instant clones."""

DOCUMENTATION = r"""
module: instant_clone_parent_info
short_description: Tell what is known of the parents of instant clones
version_added: 0.9.0
description:
  - Tells whether VMs are frozen, on which hosts they are, how many levels of delta disks they have,
    which clones they have, and what would make vSphere refuse a clone of them.
  - The clones are the VMs that M(vforge.vsphere.instant_clone) has marked as such. They are found
    by one traversal of the inventory, whatever its size.
options:
  children:
    description:
      - Whether the clones are looked for, in the whole inventory.
    type: bool
    default: true
  ask_vcenter:
    description:
      - Whether vCenter is asked for a dry run of a clone (C(CheckInstantClone_Task)), which knows
        more reasons than can be read from the VM. It needs the privileges that a clone needs.
    type: bool
    default: true
  timeout:
    description:
      - Seconds that the task may take, from its beginning.
    type: int
    default: 300
extends_documentation_fragment:
  - vforge.vsphere.parents
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
  - module: vforge.vsphere.instant_clone_parent
  - module: vforge.vsphere.instant_clone
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Is the parent ready to be cloned, and what was cloned of it?
  vforge.vsphere.instant_clone_parent_info:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    parent:
      name: golden-parent
  register: golden

- name: Stop here if not
  ansible.builtin.assert:
    that: golden.parents[0].can_clone
    fail_msg: "{{ golden.parents[0].refusals | map(attribute='reason') | join(' ') }}"
"""

RETURN = r"""
parents:
  description:
    - One entry for each VM, in the order of the options, also when the task fails.
    - Of one of several that cannot be found it has its C(name), C(moid) and C(path), as far as the
      options say them, and its C(error).
  returned: when the VMs were found
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
      sample: golden-parent
    moid:
      description: Managed object ID.
      type: str
      sample: vm-42
    path:
      description: Inventory path.
      type: str
      sample: /DC0/vm/golden-parent
    error:
      description: Of a VM that cannot be found its C(error_code) and C(msg).
      type: dict
    instance_uuid:
      description: Instance UUID.
      type: str
    host:
      description: ESXi host on which it runs, and its clones with it.
      type: str
    power_state:
      description: Power state.
      type: str
      sample: poweredOn
    state:
      description: V(frozen), V(running), or the power state of a VM that is not powered on.
      type: str
      sample: frozen
    frozen:
      description: Whether it is frozen.
      type: bool
    wake_scripts:
      description: How many scripts clones run when they wake. Null where the VM is
        not frozen or does not show it.
      type: int
    delta_levels:
      description: Levels of delta disks above the base, of the disk that has most.
      type: int
      sample: 12
    collapsible_levels:
      description: How many of them a collapse takes away; the rest belongs to the VM that
        this one is a linked clone of.
      type: int
      sample: 12
    clones_left:
      description: How many clones a running parent can still have. A
        frozen one does not use them up.
      type: int
      sample: 243
    tools_running:
      description: Whether VMware Tools run; they do not while the VM is frozen.
      type: bool
    snapshots:
      description: Names of its snapshots.
      type: list
      elements: str
    disks:
      description: Its disks, with C(label), C(delta_levels) and C(collapsible_levels).
      type: list
      elements: dict
    children:
      description: The VMs that are marked as its clones, with C(name), C(moid),
        C(path), C(power_state) and C(host).
      type: list
      elements: dict
    can_clone:
      description:
        - Whether nothing was found that would refuse a clone.
        - It is null where nothing was found, but vCenter could not be asked;
          RV(parents[].not_asked) says why.
      type: bool
    not_asked:
      description: Why vCenter could not be asked, with C(error_code) and C(msg); null
        where it was, or was not to be.
      type: dict
    refusals:
      description: What would refuse a clone, with a stable C(code), the C(reason), and the
        label of the C(device) in question.
      type: list
      elements: dict
      sample:
        - code: passthrough
          device: PCI device 0
          reason: "PCI device 0: a PCI device of the host is passed through to it."
failures:
  description: Those of several that could not be found, in short, with
    C(name), C(error_code) and C(msg).
  returned: as RV(parents)
  type: list
  elements: dict
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
from ansible_collections.vforge.vsphere.plugins.module_utils._parent.info import run as read_parents
from ansible_collections.vforge.vsphere.plugins.module_utils._parent.model import InfoOptions


def argument_spec():
    """The options of the module."""
    return {
        **_argspec.connection(),
        **_argspec.parents(),
        "children": {"type": "bool", "default": True},
        "ask_vcenter": {"type": "bool", "default": True},
        **_argspec.timeout(),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(_argspec.connection_rules(), _argspec.one_of("parent", "parents"))


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), InfoOptions.from_params)
    run(module, InfoOptions.from_params, read_parents)


if __name__ == "__main__":
    main()
