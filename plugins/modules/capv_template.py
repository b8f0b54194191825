# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a template ready for nodes of Cluster API Provider vSphere."""

DOCUMENTATION = r"""
module: capv_template
short_description: Make a template ready for nodes of Cluster API Provider vSphere
version_added: 0.9.0
description:
  - Makes sure that a template has what the clone modes of Cluster API Provider vSphere (CAPV) need,
    and nothing that its clones should not have.
  - For linked clones that is a snapshot. Without one CAPV makes full clones, and does not say so.
  - vApp properties, and what cloud-init and Ignition read of guestinfo, are removed.
    CAPV gives each clone its own.
  - A template cannot be changed. So it is a VM for a moment, where anything has to be, and a
    template again whatever happens. One that another run works on is waited for, and gets
    no second snapshot of the name.
  - It says in check mode what CAPV would miss.
options:
  template:
    description:
      - The template, or a VM that is off and is to be one, named in exactly one way.
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
          - BIOS UUID of the VM, or its instance UUID with C(use_instance_uuid=true).
        type: str
      use_instance_uuid:
        description:
          - Whether C(uuid) is the instance UUID, which vCenter keeps
            unique, rather than the BIOS UUID.
        type: bool
        default: false
      moid:
        description:
          - Managed object ID of the VM, such as V(vm-42).
        type: str
      folder:
        description:
          - Inventory path of the folder that holds the VM named by C(name).
        type: str
  datacenter:
    description:
      - Name or path of the datacenter to look in.
    type: str
  clone_mode:
    description:
      - How CAPV is to clone it. V(fullClone) needs no snapshot.
    type: str
    choices: [linkedClone, fullClone]
    default: linkedClone
  snapshot:
    description:
      - Name of the snapshot for linked clones. It is made where it is not the current one,
        which is the one that CAPV takes.
    type: str
    default: capv
  hardware_version:
    description:
      - Lowest hardware version, such as V(vmx-19). A template of an older one is upgraded. By
        default it is left as it is. What is newer than the vCenter is refused.
    type: str
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
  - Needed privileges are VirtualMachine.Provisioning.MarkAsVM,
    VirtualMachine.Provisioning.MarkAsTemplate, VirtualMachine.State.CreateSnapshot,
    VirtualMachine.Config.AdvancedConfig, VirtualMachine.Config.Settings,
    VirtualMachine.Config.UpgradeVirtualHardware, where it has vApp properties
    VApp.ApplicationConfig and, on the root resource pool of its cluster, Resource.AssignVMToPool.
  - A snapshot that was made before the hardware was upgraded is not used again, since
    clones of it have the older hardware.
  - Proved on the simulator alone.
seealso:
  - module: vforge.vsphere.cached_ovf_template
  - name: Role vforge.vsphere.capv_node_template
    description: Calls it.
    link: https://github.com/vforge/vforge.vsphere/blob/main/roles/capv_node_template/README.md
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: A template for linked clones
  vforge.vsphere.capv_template:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    template:
      path: /DC0/vm/templates/ubuntu-2404-kube-v1.34.2
    hardware_version: vmx-19

- name: Would CAPV miss anything?
  vforge.vsphere.capv_template:
    template:
      path: /DC0/vm/templates/ubuntu-2404-kube-v1.34.2
  check_mode: true
"""

RETURN = r"""
template:
  description: The template.
  returned: when it was found
  type: dict
  contains:
    name:
      description: Name.
      type: str
    moid:
      description: Managed object ID.
      type: str
    path:
      description: Inventory path. It is what a VSphereMachineTemplate names it by, since a name
        alone may be another one's too.
      type: str
    instance_uuid:
      description: Instance UUID.
      type: str
    template:
      description: Whether it is a template.
      type: bool
    clone_mode:
      description: The clone mode that it is for.
      type: str
    snapshot:
      description: Name of the snapshot for linked clones; empty for full ones.
      type: str
    hardware_version:
      description: Its hardware version.
      type: str
    lacked:
      description: What was not as CAPV needs it.
      type: list
      elements: str
    actions:
      description:
        - What was done, or in check mode would be, of V(hardware_upgraded), V(cleaned),
          V(snapshot_created) and V(made_template).
        - After a failure also V(started) where vCenter still worked on a step when the task ended.
      type: list
      elements: str
    seconds:
      description: Seconds that vCenter has worked on it; null where it did not.
      type: float
failures:
  description: The template, in short, where it failed, with C(name), C(error_code) and C(msg).
  returned: as RV(template)
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
  description: A stable code for what went wrong, such as V(not_found),
    V(invalid_option) or V(partial_failure).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._capv_template.model import Options
from ansible_collections.vforge.vsphere.plugins.module_utils._capv_template.task import run as run_task


def argument_spec():
    """The options of the module."""
    return {
        **_argspec.connection(),
        "template": {**_argspec.vm(), "required": True},
        "datacenter": {"type": "str"},
        "clone_mode": {"type": "str", "choices": ["linkedClone", "fullClone"], "default": "linkedClone"},
        "snapshot": {"type": "str", "default": "capv"},
        "hardware_version": {"type": "str"},
        **_argspec.timeout(),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.connection_rules()


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
