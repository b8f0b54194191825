# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a VM around disks that are there."""

DOCUMENTATION = r"""
module: vm_from_disks
short_description: Make a VM around disks that are there
version_added: 0.9.0
description:
  - Makes a VM with disks that lie on datastores already, such as M(vforge.vsphere.vmdk) has
    imported, with CPUs, memory, firmware, a controller and network cards.
  - A VM of the name that is there is never changed. Where its disks, CPUs, memory, guest operating
    system, firmware or secure boot are others, the task fails and says which. Its cards,
    its controller and its notes are not compared.
options:
  name:
    description:
      - Name of the VM.
    type: str
    required: true
  state:
    description:
      - V(present) makes the VM where it is not there.
      - V(absent) removes it with its disks, if it is powered off, has the O(instance_uuid), and no
        other VM uses its disks.
    type: str
    choices: [present, absent]
    default: present
  datacenter:
    description:
      - Name or path of the datacenter to look in. Not needed where there is only one.
    type: str
  folder:
    description:
      - VM folder, as a whole path (V(/DC0/vm/web)) or below the VM
        folder of the datacenter (V(web)).
    type: str
  host:
    description:
      - ESXi host. By default the first that can be used, has the datastores of
        the disks, and sees the networks.
    type: str
  disks:
    description:
      - The disks, as V([datastore1] web/web.vmdk), in their order on the controller.
        Required with O(state=present).
      - The files of the VM are made beside the first.
      - A disk that another VM has, that is a first class disk, or that is not there, is refused. In
        check mode one that is not there is only named, in RV(vms[].missing_disks) and in the diff,
        since an earlier task may be to make it.
    type: list
    elements: str
  cpus:
    description:
      - How many virtual CPUs it has.
    type: int
    default: 1
  memory:
    description:
      - Its memory in MiB, a multiple of 4.
    type: int
    default: 1024
  guest_id:
    description:
      - Guest operating system as vSphere names it, such as V(debian12_64Guest).
    type: str
    default: otherGuest64
  firmware:
    description:
      - Its firmware. A guest starts only with that which it was installed with.
    type: str
    choices: [bios, efi]
    default: bios
  secure_boot:
    description:
      - Whether the firmware V(efi) starts only what is signed. It needs vCenter 6.5 or later.
    type: bool
    default: false
  hardware_version:
    description:
      - Virtual hardware, such as V(vmx-19). By default the newest that the host has.
      - What is newer than the vCenter is refused before anything is read. A host may be older
        than its vCenter, which then refuses to make the VM.
    type: str
  controller:
    description:
      - The controller of the disks. V(nvme) needs vCenter 6.5 or later.
    type: str
    choices: [pvscsi, lsilogic, lsilogicsas, buslogic, sata, nvme, ide]
    default: pvscsi
  networks:
    description:
      - A network for each card, by name, path or moid.
    type: list
    elements: str
  card:
    description:
      - Kind of the network cards.
    type: str
    choices: [vmxnet3, e1000e, e1000]
    default: vmxnet3
  annotation:
    description:
      - Notes of the VM.
    type: str
  instance_uuid:
    description:
      - Instance UUID of the VM that is to be removed. Required with O(state=absent).
    type: str
  powered_on:
    description:
      - Whether it is powered on. A VM that runs is left running either way.
    type: bool
    default: false
  wait_for_tools:
    description:
      - Whether VMware Tools are waited for, which shows that the guest has
        started. With O(powered_on=true).
    type: bool
    default: false
  timeout:
    description:
      - Seconds that the task may take, from its beginning.
    type: int
    default: 900
notes:
  - Needed privileges are VirtualMachine.Inventory.Create, VirtualMachine.Config.AddExistingDisk,
    VirtualMachine.Config.AddRemoveDevice, Resource.AssignVMToPool, Datastore.AllocateSpace,
    Network.Assign and VirtualMachine.Interact.PowerOn, or VirtualMachine.Inventory.Delete.
  - Proved on the simulator alone.
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
seealso:
  - module: vforge.vsphere.vmdk
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: A VM around an imported disk
  vforge.vsphere.vm_from_disks:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    name: web-2
    disks: ["[datastore1] web-2/web-2.vmdk"]
    cpus: 2
    memory: 4096
    guest_id: debian12_64Guest
    firmware: efi
    networks: [VM Network]
    powered_on: true
    wait_for_tools: true
  register: web

- name: Remove it again
  vforge.vsphere.vm_from_disks:
    name: web-2
    state: absent
    instance_uuid: "{{ web.vms[0].instance_uuid }}"
"""

RETURN = r"""
vms:
  description: The VM, as the only entry of a list.
  returned: unless it was refused before anything was done
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
    moid:
      description: Managed object ID.
      type: str
      sample: vm-42
    path:
      description: Inventory path.
      type: str
    instance_uuid:
      description: Instance UUID.
      type: str
    power_state:
      description: Power state.
      type: str
    tools_running:
      description: Whether VMware Tools run.
      type: bool
    disks:
      description: Its disks.
      type: list
      elements: str
    missing_disks:
      description: In check mode, those O(disks) of a new VM that are not there yet.
      type: list
      elements: str
    actions:
      description: What was done, or in check mode would be, of
        V(created), V(powered_on) and V(removed).
      type: list
      elements: str
    changed:
      description: Whether anything was done.
      type: bool
    seconds:
      description: Seconds that vCenter has worked on it; null where it did not.
      type: float
    error:
      description: Where it failed, C(error_code) and C(msg).
      type: dict
failures:
  description: The VM, in short, where it failed, with C(name), C(error_code) and C(msg).
  returned: as RV(vms)
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
  description: A stable code for what went wrong, such as V(exists),
    V(invalid_option), V(not_found) or V(timeout).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._vmfromdisks import task
from ansible_collections.vforge.vsphere.plugins.module_utils._vmfromdisks.model import VmOptions


def argument_spec():
    """The options of the module."""
    return {
        **_argspec.connection(),
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "datacenter": {"type": "str"},
        "folder": {"type": "str"},
        "host": {"type": "str"},
        "disks": {"type": "list", "elements": "str"},
        "cpus": {"type": "int", "default": 1},
        "memory": {"type": "int", "default": 1024},
        "guest_id": {"type": "str", "default": "otherGuest64"},
        "firmware": {"type": "str", "choices": ["bios", "efi"], "default": "bios"},
        "secure_boot": {"type": "bool", "default": False},
        "hardware_version": {"type": "str"},
        "controller": {
            "type": "str",
            "choices": ["pvscsi", "lsilogic", "lsilogicsas", "buslogic", "sata", "nvme", "ide"],
            "default": "pvscsi",
        },
        "networks": {"type": "list", "elements": "str"},
        "card": {"type": "str", "choices": ["vmxnet3", "e1000e", "e1000"], "default": "vmxnet3"},
        "annotation": {"type": "str"},
        "instance_uuid": {"type": "str"},
        "powered_on": {"type": "bool", "default": False},
        "wait_for_tools": {"type": "bool", "default": False},
        **_argspec.timeout(900),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(
        _argspec.connection_rules(),
        {"required_if": [["state", "present", ["disks"]], ["state", "absent", ["instance_uuid"]]]},
    )


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), VmOptions.from_params)
    run(
        module,
        VmOptions.from_params,
        lambda session, options: task.run(session, options, check=module.check_mode),
    )


if __name__ == "__main__":
    main()
