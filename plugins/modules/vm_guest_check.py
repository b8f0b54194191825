# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until the guest of a VM answers, and run a command in it."""

DOCUMENTATION = r"""
module: vm_guest_check
short_description: Wait until the guest of a VM answers, and run a command in it
version_added: 0.9.0
description:
  - Waits until VMware Tools run in the guest of a VM and take guest operations. With
    O(command) it then runs a program in the guest, waits for its end, and fails where
    that is not one of O(exit_codes).
  - No network of the guest is used, so it works in an isolated one, too. The role
    C(restore_drill) checks restored VMs by it.
options:
  vm:
    description:
      - The VM, named in exactly one way.
      - A text is its name, or its path where it begins with a slash.
    type: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the VM. When several VMs have it, the task fails and lists their paths.
        type: str
      path:
        description:
          - Inventory path of the VM, such as V(/DC0/vm/web/web-1), or its path below
            the VM folder of O(datacenter).
          - A slash within a name is written V(%2f).
        type: str
      uuid:
        description:
          - BIOS UUID of the VM, or its instance UUID with O(vm.use_instance_uuid=true).
        type: str
      use_instance_uuid:
        description:
          - Whether O(vm.uuid) is the instance UUID, which vCenter keeps
            unique, rather than the BIOS UUID.
        type: bool
        default: false
      moid:
        description:
          - Managed object ID of the VM, such as V(vm-42).
        type: str
      folder:
        description:
          - Inventory path of the folder that holds the VM named by O(vm.name).
        type: str
  datacenter:
    description:
      - Name or path of the datacenter to look in. The whole inventory by default.
    type: str
  command:
    description:
      - A program by its whole path in the guest, and its arguments, with no shell between. It needs
        O(guest_username) and O(guest_password).
      - Everybody in the guest can see arguments, so no secret belongs there.
      - It is taken for a program that only looks; the task is never changed.
    type: list
    elements: str
  exit_codes:
    description:
      - Exit codes of a command that succeeded.
    type: list
    elements: int
    default: [0]
  timeout:
    description:
      - Seconds that the task may take, from its beginning.
    type: int
    default: 300
extends_documentation_fragment:
  - vforge.vsphere.guest
  - vforge.vsphere.connection
  - vforge.vsphere.attributes
attributes:
  check_mode:
    support: full
    details:
      - Waits for nothing and runs nothing. It says what there is.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - As far as O(command) is.
  action_group:
    support: full
notes:
  - With O(command) it needs the privileges VirtualMachine.GuestOperations.Execute,
    VirtualMachine.GuestOperations.Modify and VirtualMachine.GuestOperations.Query on the VM.
  - Proved on a simulator alone.
seealso:
  - module: vforge.vsphere.vm_restore
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Wait until its guest has started
  vforge.vsphere.vm_guest_check:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    vm:
      name: db-1-drill
    timeout: 600

- name: Is the database there?
  vforge.vsphere.vm_guest_check:
    vm:
      name: db-1-drill
    guest_username: root
    guest_password: "{{ guest_password }}"
    command: [/usr/bin/systemctl, is-active, postgresql]
"""

RETURN = r"""
vm:
  description: The VM and what its guest said.
  returned: when the VM was found
  type: dict
  contains:
    name:
      description: Name of the VM.
      type: str
    moid:
      description: Managed object ID of the VM.
      type: str
    path:
      description: Inventory path of the VM.
      type: str
    power_state:
      description: V(poweredOn), V(poweredOff) or V(suspended), as it was found.
      type: str
    tools_answer:
      description: Whether VMware Tools take guest operations.
      type: bool
    exit_code:
      description: Of the command. Null where none was run to its end.
      type: int
    output:
      description: What the command wrote, of a long text its end.
      type: str
failures:
  description: The VM, where it failed, with C(name), C(error_code) and C(msg).
  returned: as RV(vm)
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
  description:
    - A stable code for what went wrong, such as V(not_found), V(guest_powered_off), V(timeout),
      V(guest_wrong_credentials) or V(guest_check_failed).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._guest_check import CheckOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._guest_check import run as run_task


def argument_spec():
    """The options of the module."""
    return {
        **_argspec.connection(),
        **_argspec.guest(),
        "vm": {**_argspec.vm(), "required": True},
        "datacenter": {"type": "str"},
        "command": {"type": "list", "elements": "str"},
        "exit_codes": {"type": "list", "elements": "int", "default": [0]},
        **_argspec.timeout(),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(_argspec.connection_rules(), _argspec.guest_rules())


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), CheckOptions.from_params)
    run(
        module,
        CheckOptions.from_params,
        lambda session, options: run_task(session, options, check=module.check_mode),
    )


if __name__ == "__main__":
    main()
