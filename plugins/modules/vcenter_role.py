# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a role in vCenter with the privileges that flows of this collection need."""

DOCUMENTATION = r"""
module: vcenter_role
short_description: Make a role in vCenter with the privileges that flows of this collection need
version_added: 0.9.0
description:
  - Makes, changes or removes a role in vCenter. It gets the privileges that the named flows need,
    and no others.
  - Who gets the role, and on which objects, stays with you. No permission is set.
options:
  name:
    description:
      - Name of the role.
    type: str
    required: true
  state:
    description:
      - V(present) makes the role, or gives it exactly the privileges that are asked for.
      - V(absent) removes it. A role that somebody has is left, and that is an error.
    type: str
    choices: [present, absent]
    default: present
  flows:
    description:
      - Roles and modules of this collection. The role of vCenter gets what all of them need.
      - A name that a role and a module have means the role.
      - With O(state=present) O(flows) or O(privileges) is required.
    type: list
    elements: str
    choices:
      [
          backup_clone, cached_ovf_template, capv_node_template, capv_template, cbt_backup,
          cbt_changed_areas, changed_areas_report, cloud_init_guestinfo, cpu_features_info, evc,
          evc_baseline, fcd_audit, first_class_disk, first_class_disk_info,
          first_class_disk_snapshot, fork_parent, guest_cloud_init, instant_clone,
          instant_clone_fleet, instant_clone_parent, linked_clone, ovf_linked_clones, restore_drill,
          vm_backup, vm_clone_backup, vm_export, vm_from_disks, vm_guest_check, vm_restore, vmdk,
          vmdk_info,
          vmdk_migrate, vmfork_fleet
      ]
  least:
    description:
      - Leave out privileges that only some options need, such as those to remove clones. The guide
        on privileges has them.
    type: bool
    default: false
  privileges:
    description:
      - Privileges, beside those of O(flows) or alone, by their names in the API, such as
        V(VirtualMachine.Interact.ConsoleInteract).
    type: list
    elements: str
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
  diff_mode:
    support: full
  idempotent:
    support: full
  action_group:
    support: full
notes:
  - Needs the privilege Authorization.ModifyRoles on vCenter itself, and each privilege that the
    role gets.
  - Every role has System.Anonymous, System.Read and System.View. They are neither compared nor
    shown.
  - Proved on the simulator alone.
seealso:
  - name: Guide Privileges
    description: What each flow needs, and on which objects.
    link: https://github.com/vforge/vforge.vsphere/blob/main/docs/docsite/rst/guide_privileges.rst
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: A role for who makes fleets and backs them up
  vforge.vsphere.vcenter_role:
    hostname: vcenter.example.com
    username: administrator@vsphere.local
    password: "{{ vcenter_password }}"
    name: vforge-automation
    flows: [instant_clone_fleet, cbt_backup]

- name: Remove it
  vforge.vsphere.vcenter_role:
    name: vforge-automation
    state: absent
"""

RETURN = r"""
name:
  description: Name of the role.
  returned: when the vCenter was reached
  type: str
role_id:
  description: Its number in vCenter; null where it is not there.
  returned: when the vCenter was reached
  type: int
actions:
  description: V(created), V(updated) or V(removed), or in check mode what would be.
  returned: when the vCenter was reached
  type: list
  elements: str
privileges:
  description: What the role has now, or in check mode would have.
  returned: when the vCenter was reached
  type: list
  elements: str
added:
  description: Privileges that it did not have.
  returned: when the vCenter was reached
  type: list
  elements: str
removed:
  description: Privileges that were taken from it.
  returned: when the vCenter was reached
  type: list
  elements: str
failures:
  description: The role where it failed, in short, with C(name), C(error_code) and C(msg).
  returned: when the vCenter was reached
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
  description: A stable code for what went wrong, such as V(system_role), V(unknown_privilege) or
    V(no_permission).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._role.model import Options
from ansible_collections.vforge.vsphere.plugins.module_utils._role.task import run as run_task


def argument_spec():
    """The options of the module."""
    return {
        **_argspec.connection(),
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "flows": {
            "type": "list",
            "elements": "str",
            "choices": [
                "backup_clone",
                "cached_ovf_template",
                "capv_node_template",
                "capv_template",
                "cbt_backup",
                "cbt_changed_areas",
                "changed_areas_report",
                "cloud_init_guestinfo",
                "cpu_features_info",
                "evc",
                "evc_baseline",
                "fcd_audit",
                "first_class_disk",
                "first_class_disk_info",
                "first_class_disk_snapshot",
                "fork_parent",
                "guest_cloud_init",
                "instant_clone",
                "instant_clone_fleet",
                "instant_clone_parent",
                "linked_clone",
                "ovf_linked_clones",
                "restore_drill",
                "vm_backup",
                "vm_clone_backup",
                "vm_export",
                "vm_from_disks",
                "vm_guest_check",
                "vm_restore",
                "vmdk",
                "vmdk_info",
                "vmdk_migrate",
                "vmfork_fleet",
            ],
        },
        "least": {"type": "bool", "default": False},
        "privileges": {"type": "list", "elements": "str"},
        **_argspec.timeout(),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(
        _argspec.connection_rules(),
        {"required_if": [("state", "present", ("flows", "privileges"), True)]},
    )


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), Options.from_params)
    run(
        module,
        Options.from_params,
        lambda session, options: run_task(session, options, check=module.check_mode),
    )


if __name__ == "__main__":
    main()
